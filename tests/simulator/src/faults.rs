//! Faults that a test orders.

use std::time::Duration;

use crate::error::Failure;

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call does nothing and is answered with this, as by a proxy or a server in trouble.
    Respond {
        /// The HTTP status.
        status: u16,
        /// The content type.
        content_type: String,
        /// The body, of whatever form.
        body: String,
    },
    /// The call succeeds, and the job that it set off fails when its time is over.
    JobFails {
        /// The code of the error, such as 533.
        code: u16,
        /// Its text.
        text: String,
    },
    /// The call does nothing, and the connection is closed without an answer.
    CloseBeforeAnswer,
    /// The call does what it should, and the connection is closed after this many bytes of the answer's body.
    TruncateBody(usize),
    /// The call does what it should, and the connection is closed without an answer.
    LoseAnswer,
    /// The call does what it should, and the answer comes this much later, by the real clock.
    Delay(Duration),
}

impl Fault {
    /// An HTML page, as a proxy answers with.
    pub fn html(status: u16, text: &str) -> Self {
        Self::Respond {
            status,
            content_type: "text/html".to_owned(),
            body: format!("<html><body><h1>{status} {text}</h1></body></html>\n"),
        }
    }
}

#[derive(Debug)]
struct Armed {
    command: String,
    /// How many calls it lets pass before.
    skip: u32,
    remaining: u32,
    fault: Fault,
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Armed>);

impl Faults {
    /// Arms a fault for the next calls of a command, or of any for `*`, apart from the first `skip` ones.
    pub(crate) fn arm(&mut self, command: &str, skip: u32, calls: u32, fault: Fault) {
        if calls > 0 {
            self.0.push(Armed {
                command: command.to_owned(),
                skip,
                remaining: calls,
                fault,
            });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn take(&mut self, command: &str, meant: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let matches =
            |armed: &Armed| armed.command == "*" || armed.command.eq_ignore_ascii_case(command);
        let mut index = None;
        for (i, armed) in self.0.iter_mut().enumerate() {
            if !matches(armed) || !meant(&armed.fault) {
                continue;
            }
            if let Some(left) = armed.skip.checked_sub(1) {
                armed.skip = left;
            } else if index.is_none() {
                index = Some(i);
            }
        }
        let index = index?;
        let armed = self.0.get_mut(index)?;
        armed.remaining -= 1;
        if armed.remaining == 0 {
            Some(self.0.remove(index).fault)
        } else {
            Some(armed.fault.clone())
        }
    }

    /// The fault that meets a call of the command.
    pub(crate) fn of_call(&mut self, command: &str) -> Option<Fault> {
        self.take(command, |fault| !matches!(fault, Fault::JobFails { .. }))
    }

    /// The failure that meets a job of the command.
    pub(crate) fn of_job(&mut self, command: &str) -> Option<Failure> {
        match self.take(command, |fault| matches!(fault, Fault::JobFails { .. })) {
            Some(Fault::JobFails { code, text }) => Some(Failure { code, text }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_their_order_and_as_often_as_ordered() {
        let mut faults = Faults::default();
        faults.arm("startVirtualMachine", 0, 2, Fault::CloseBeforeAnswer);
        faults.arm("*", 0, 1, Fault::LoseAnswer);
        faults.arm("startVirtualMachine", 0, 0, Fault::TruncateBody(1));
        assert_eq!(
            faults.of_call("STARTVIRTUALMACHINE"),
            Some(Fault::CloseBeforeAnswer)
        );
        assert_eq!(
            faults.of_call("startVirtualMachine"),
            Some(Fault::CloseBeforeAnswer)
        );
        assert_eq!(
            faults.of_call("startVirtualMachine"),
            Some(Fault::LoseAnswer)
        );
        assert_eq!(faults.of_call("startVirtualMachine"), None);
    }

    #[test]
    fn faults_let_calls_pass_before_they_come() {
        let mut faults = Faults::default();
        faults.arm("a", 2, 1, Fault::LoseAnswer);
        assert_eq!(faults.of_call("a"), None);
        assert_eq!(faults.of_call("b"), None);
        assert_eq!(faults.of_call("a"), None);
        assert_eq!(faults.of_call("a"), Some(Fault::LoseAnswer));
        assert_eq!(faults.of_call("a"), None);
    }

    #[test]
    fn faults_of_jobs_do_not_meet_calls() {
        let mut faults = Faults::default();
        faults.arm(
            "a",
            0,
            1,
            Fault::JobFails {
                code: 533,
                text: "full".to_owned(),
            },
        );
        assert_eq!(faults.of_call("a"), None);
        assert_eq!(
            faults.of_job("a"),
            Some(Failure {
                code: 533,
                text: "full".to_owned()
            })
        );
        assert_eq!(faults.of_job("a"), None);
    }
}
