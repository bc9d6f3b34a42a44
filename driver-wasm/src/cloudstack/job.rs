//! Asynchronous jobs: most commands that change something only begin it.

use super::client::Params;
use super::model::AsyncJob;
use super::{Client, Command, Error, Refusal, Stage};

/// How long the cloud may be out of reach before a wait gives up, in milliseconds: a management server restarts.
const OUTAGE_LIMIT: u64 = 60_000;

/// The code where a failed job gives none: CloudStack's internal error.
const INTERNAL_ERROR: u16 = 530;

/// The waits of a poll, growing from 0.1 to 5 seconds, until a deadline.
#[derive(Debug)]
pub(crate) struct Backoff {
    delay: u64,
    deadline: u64,
}

impl Backoff {
    const FIRST: u64 = 100;
    const MAX: u64 = 5_000;

    /// Waits for at most `limit` milliseconds in all.
    pub(crate) fn new(client: &Client<'_>, limit: u64) -> Self {
        Self {
            delay: Self::FIRST,
            deadline: client.host().now().saturating_add(limit),
        }
    }

    /// Waits. False if the deadline has passed, and so there was nothing to wait for.
    ///
    /// # Errors
    ///
    /// If the user has asked to stop.
    pub(crate) fn pause(&mut self, client: &Client<'_>) -> Result<bool, Error> {
        let left = self.deadline.saturating_sub(client.host().now());
        if left == 0 {
            return Ok(false);
        }
        client.pause(self.delay.min(left))?;
        self.delay = (self.delay.saturating_mul(8) / 5).min(Self::MAX);
        Ok(true)
    }
}

/// Waits until the job that carries `command` out is done,
/// for at most `limit` milliseconds.
pub(super) fn wait(
    client: &Client<'_>,
    command: Command,
    job_id: &str,
    limit: u64,
) -> Result<(), Error> {
    let mut backoff = Backoff::new(client, limit);
    let params = Params::of(&[("jobid", job_id)]);
    let mut last_answer = client.host().now();
    while backoff.pause(client)? {
        let job = client.fetch(Command::QueryAsyncJobResult, &params);
        match job {
            Ok(job) => {
                last_answer = client.host().now();
                if let Some(outcome) = outcome(command, job) {
                    return outcome;
                }
            }
            Err(error) => {
                let silence = client.host().now().saturating_sub(last_answer);
                if !error.is_outage() || silence >= OUTAGE_LIMIT {
                    return Err(error);
                }
            }
        }
    }
    Err(Error::Deadline {
        command,
        job_id: job_id.to_owned(),
        limit,
    })
}

/// How a job ended, if it has.
fn outcome(command: Command, job: AsyncJob) -> Option<Result<(), Error>> {
    let AsyncJob { result, .. } = job;
    let code = job.jobresultcode.filter(|code| *code != 0);
    let failed = |code: Option<u16>, text| {
        Err(Error::Refused(Refusal {
            command,
            stage: Stage::Job,
            code: code.unwrap_or(INTERNAL_ERROR),
            cs_code: result.cserrorcode,
            text,
        }))
    };
    Some(match job.jobstatus {
        0 => return None,
        1 if result.success == Some(false) => failed(code, result.displaytext),
        1 => Ok(()),
        2 => failed(result.errorcode.or(code), result.errortext),
        3 => failed(code, "the job was cancelled".to_owned()),
        status => Err(Error::Malformed {
            command: Command::QueryAsyncJobResult,
            detail: format!("the job has the status {status}"),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudstack::Cloud;
    use crate::contract::types::ErrorKind;
    use crate::testing::{Answer, TestHost, lost, ok, raw, refuse};
    use serde_json::{Value, json};

    fn job(content: Value) -> Answer {
        ok("queryAsyncJobResult", content)
    }

    fn pending() -> Answer {
        job(json!({"jobid": "j", "jobstatus": 0, "jobprocstatus": 0, "jobresultcode": 0}))
    }

    fn done() -> Answer {
        job(
            json!({"jobid": "j", "jobstatus": 1, "jobresultcode": 0, "jobresulttype": "object",
            "jobresult": {"virtualmachine": {"id": "v"}}}),
        )
    }

    fn wait_for(answers: Vec<Answer>) -> (Result<(), Error>, u64) {
        let host = TestHost::script(answers);
        let begin = host.now.get();
        let outcome = Cloud::new(&host).wait(Command::StopVirtualMachine, "j");
        (outcome, host.now.get() - begin)
    }

    #[test]
    fn a_job_is_polled_ever_more_slowly_until_it_is_done() {
        let (outcome, time) = wait_for(vec![done()]);
        outcome.unwrap();
        assert_eq!(time, 100);
        let (outcome, time) = wait_for(vec![pending(), pending(), done()]);
        outcome.unwrap();
        assert_eq!(time, 100 + 160 + 256);
        let mut answers = vec![pending(); 20];
        answers.push(job(
            json!({"jobstatus": "1", "jobresult": {"success": "true"}}),
        ));
        let (outcome, time) = wait_for(answers);
        outcome.unwrap();
        assert_eq!(time, 11_255 + 12 * 5_000);
    }

    #[test]
    fn a_failed_job_says_why() {
        let cases = [
            (
                json!({"jobstatus": 2, "jobresultcode": 530, "jobresulttype": "object",
                    "jobresult": {"errorcode": 533, "cserrorcode": 4325, "errortext": "No room."}}),
                ": No room (error 533/4325)",
                ErrorKind::Capacity,
            ),
            (
                json!({"jobstatus": 2, "jobresultcode": 530, "jobresulttype": "text", "jobresult": "it broke"}),
                ": it broke (error 530)",
                ErrorKind::Internal,
            ),
            (
                json!({"jobstatus": "2"}),
                " (error 530)",
                ErrorKind::Internal,
            ),
            (
                json!({"jobstatus": 2, "jobresultcode": 531, "jobresult": null}),
                " (error 531)",
                ErrorKind::Permission,
            ),
            (
                json!({"jobstatus": 3}),
                ": the job was cancelled (error 530)",
                ErrorKind::Internal,
            ),
            (
                json!({"jobstatus": 1, "jobresultcode": 0, "jobresult": {"success": false, "displaytext": "no"}}),
                ": no (error 530)",
                ErrorKind::Internal,
            ),
        ];
        for (content, text, kind) in cases {
            let error = wait_for(vec![pending(), job(content)]).0.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("CloudStack could not complete stopVirtualMachine{text}")
            );
            assert_eq!(error.kind(), kind);
        }
        let error = wait_for(vec![job(json!({"jobstatus": 9}))]).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        let error = wait_for(vec![job(json!({}))]).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }

    #[test]
    fn a_job_that_never_ends_is_given_up_at_its_deadline() {
        let (outcome, time) = wait_for(vec![pending(); 200]);
        let error = outcome.unwrap_err();
        assert_eq!(
            error.to_string(),
            "stopVirtualMachine has not finished within 300 s (job j)"
        );
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(time, 300_000);
    }

    #[test]
    fn an_outage_is_sat_out_for_a_minute() {
        let mut answers = vec![pending()];
        answers.extend(vec![lost(true); 20]);
        answers.push(done());
        wait_for(answers).0.unwrap();

        let mut answers = vec![pending()];
        answers.extend(vec![raw(503, "down"); 200]);
        let (outcome, time) = wait_for(answers);
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unreachable);
        assert!((60_000..80_000).contains(&time), "{time}");

        let refused = refuse("queryAsyncJobResult", 401, "x");
        let (outcome, time) = wait_for(vec![pending(), refused]);
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Authentication);
        assert_eq!(time, 260);
    }
}
