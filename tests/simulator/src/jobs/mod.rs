//! Asynchronous jobs: the queue, in which each is carried out when its time has come.

mod work;

pub(crate) use work::Work;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::{later, print};
use crate::error::Failure;
use crate::hypervisor::Task;
use crate::world::{Entity, World};
use work::unexpected;

#[derive(Debug)]
enum Phase {
    /// Waits for an earlier job on the same thing.
    Queued,
    Running,
    Done {
        at: Timestamp,
        result: Result<Value, Failure>,
    },
}

/// What a job is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
}

/// A job.
#[derive(Debug)]
pub(crate) struct Job {
    id: Uuid,
    pub(crate) account: Uuid,
    user: Uuid,
    command: &'static str,
    class: &'static str,
    instance: Option<Instance>,
    created: Timestamp,
    begins: Timestamp,
    due: Timestamp,
    work: Work,
    /// A failure that was ordered for it.
    planned: Option<Failure>,
    /// What the hypervisor does for it, until that is done.
    task: Option<Task>,
    phase: Phase,
}

impl Entity for Job {
    fn id(&self) -> Uuid {
        self.id
    }
}

/// What is needed to set a job off.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) account: Uuid,
    pub(crate) command: &'static str,
    pub(crate) class: &'static str,
    pub(crate) instance: Option<Instance>,
    pub(crate) work: Work,
    pub(crate) planned: Option<Failure>,
}

impl Job {
    fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// The class of the command.
    pub(crate) fn class(&self) -> &'static str {
        self.class
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({
            "jobid": self.id, "accountid": self.account, "userid": self.user, "jobprocstatus": 0,
            "cmd": format!("org.apache.cloudstack.api.command.user.{}", self.class),
            "created": print(self.created),
        });
        let fields = match &self.phase {
            Phase::Queued | Phase::Running => json!({ "jobstatus": 0, "jobresultcode": 0 }),
            Phase::Done {
                at,
                result: Ok(result),
            } => json!({
                "jobstatus": 1, "jobresultcode": 0, "jobresulttype": "object", "jobresult": result,
                "completed": print(*at),
            }),
            // The result's code is that of an internal error for every failure; the real one is inside.
            Phase::Done {
                at,
                result: Err(failure),
            } => json!({
                "jobstatus": 2, "jobresultcode": 530, "jobresulttype": "object", "completed": print(*at),
                "jobresult": { "errorcode": failure.code, "errortext": failure.text },
            }),
        };
        if let (Some(value), Value::Object(fields)) = (value.as_object_mut(), fields) {
            value.extend(fields);
            if let Some(instance) = self.instance {
                value.insert("jobinstancetype".to_owned(), json!(instance.kind));
                value.insert("jobinstanceid".to_owned(), json!(instance.id));
            }
        }
        value
    }
}

impl World {
    /// Sets a job off. Jobs on one machine run one after the other.
    pub(crate) fn submit(&mut self, order: Order, now: Timestamp) -> Uuid {
        let others = self
            .jobs
            .iter()
            .filter(|job| !matches!(job.phase, Phase::Done { .. }));
        let same = others.filter(|job| order.instance.is_some() && job.instance == order.instance);
        let begins = same.map(|job| job.due).max().unwrap_or(now).max(now);
        let user = self
            .accounts
            .get(order.account)
            .map_or(Uuid::nil(), |account| account.user);
        let id = self.jobs.insert(Job {
            id: Uuid::new_v4(),
            account: order.account,
            user,
            command: order.command,
            class: order.class,
            instance: order.instance,
            created: now,
            begins,
            due: later(begins, self.behaviour.job_time(order.command)),
            work: order.work,
            planned: order.planned,
            task: None,
            phase: Phase::Queued,
        });
        self.advance(now);
        id
    }

    /// Lets happen what is due by `now`, in its order.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        loop {
            let waiting = self.look_at_tasks();
            let jobs = self.jobs.iter();
            let jobs = jobs.filter(|job| {
                let is_held = job.is_running() && self.held.contains(&job.command);
                job.task.is_none()
                    && !is_held
                    && !job.instance.is_some_and(|it| waiting.contains(&it))
            });
            let jobs = jobs.filter_map(|job| match job.phase {
                // What ends comes before what begins at the same time.
                Phase::Running => Some((job.due, 0, job.id)),
                Phase::Queued => Some((job.begins, 2, job.id)),
                Phase::Done { .. } => None,
            });
            let expunge = self
                .next_expunge()
                .map(|(time, machine)| (time, 1, machine));
            // Of jobs that are due together, the one made first comes first.
            let next = jobs
                .chain(expunge)
                .min_by_key(|(time, rank, _)| (*time, *rank));
            match next {
                Some((time, _, _)) if time > now => return,
                Some((_, 1, machine)) => self.expunge_machine(machine),
                Some((time, _, job)) => self.step(job, time),
                None => return,
            }
        }
    }

    /// Sees which of the hypervisor's tasks are done. Tells what is held up by those that are not, or by a test.
    fn look_at_tasks(&mut self) -> Vec<Instance> {
        let mut waiting = Vec::new();
        for job in self.jobs.iter_mut() {
            if job.is_running() && self.held.contains(&job.command) {
                waiting.extend(job.instance);
            }
            match job.task.as_ref().map(Task::outcome) {
                None => {}
                Some(None) => waiting.extend(job.instance),
                Some(Some(outcome)) => {
                    job.task = None;
                    job.planned = outcome.err().map(unexpected);
                }
            }
        }
        waiting
    }

    /// Begins a job that waits, or ends one that runs.
    fn step(&mut self, id: Uuid, at: Timestamp) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        let mut work = job.work.clone();
        let mut task = None;
        let next = match (&job.phase, job.planned.take()) {
            (Phase::Queued, planned) => {
                // A job that is going to fail does nothing to the machine itself.
                let is_real = planned.is_none();
                job.planned = planned;
                match work.begin(self, at) {
                    Ok(()) => {
                        task = is_real.then(|| work.set_off(self)).flatten();
                        Phase::Running
                    }
                    Err(failure) => Phase::Done {
                        at,
                        result: Err(failure),
                    },
                }
            }
            (Phase::Running, None) => Phase::Done {
                at,
                result: work.finish(self, at),
            },
            (Phase::Running, Some(failure)) => {
                work.abort(self, at);
                Phase::Done {
                    at,
                    result: Err(failure),
                }
            }
            (Phase::Done { .. }, _) => return,
        };
        if let Some(job) = self.jobs.get_mut(id) {
            job.phase = next;
            job.work = work;
            job.task = task;
        }
    }
}
