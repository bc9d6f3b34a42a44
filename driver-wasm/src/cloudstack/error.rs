//! What can go wrong between the driver and CloudStack.

use std::fmt;

use crate::cloudstack::Command;
use crate::contract::http::{Failure, FailureKind};
use crate::contract::types::{self, ErrorKind};
use crate::options::{API_KEY, ENDPOINT, SECRET_KEY};
use crate::text;

/// The most characters of a server's text that an error shows.
const MAX_TEXT: usize = 500;

/// What helps where the rate of calls is limited.
const LATER: &str = "Try again later";

/// Why a command did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// CloudStack says no.
    #[error("{0}")]
    Refused(Refusal),
    /// There is no answer.
    #[error("{command} {}", unanswered(.failure))]
    NoAnswer {
        /// What was called.
        command: Command,
        /// Why there is none.
        failure: Failure,
    },
    /// There is an answer, but not one of CloudStack's.
    #[error(
        "The endpoint does not answer {command} like a CloudStack API (HTTP status {status}){}",
        quoted(.snippet)
    )]
    NotCloudStack {
        /// What was called.
        command: Command,
        /// The HTTP status.
        status: u16,
        /// A few words of the answer.
        snippet: String,
    },
    /// CloudStack's answer lacks something or has something of another type.
    #[error("CloudStack's answer to {command} is not understood: {detail}")]
    Malformed {
        /// What was called.
        command: Command,
        /// What is wrong with the answer.
        detail: String,
    },
    /// The job takes longer than the driver waits.
    #[error("{command} has not finished within {} s (job {job_id})", .limit / 1_000)]
    Deadline {
        /// What was called.
        command: Command,
        /// The job.
        job_id: String,
        /// How long the driver waited, in milliseconds.
        limit: u64,
    },
    /// The user asked to stop.
    #[error("The operation was cancelled")]
    Cancelled,
}

/// When CloudStack refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// At once: nothing was begun.
    Request,
    /// While it carried the command out.
    Job,
}

/// CloudStack's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What was called.
    pub(crate) command: Command,
    /// When it was refused.
    pub(crate) stage: Stage,
    /// CloudStack's error code, which is the HTTP status too.
    pub(crate) code: u16,
    /// The code of the exception within CloudStack.
    pub(crate) cs_code: Option<u16>,
    /// CloudStack's explanation.
    pub(crate) text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.stage {
            Stage::Request => "refused",
            Stage::Job => "could not complete",
        };
        write!(f, "CloudStack {verb} {}", self.command)?;
        let text = text::line(&self.text, MAX_TEXT);
        match text.trim_end_matches('.') {
            "" => {}
            text => write!(f, ": {text}")?,
        }
        match self.cs_code {
            Some(cs_code) => write!(f, " (error {}/{cs_code})", self.code),
            None => write!(f, " (error {})", self.code),
        }
    }
}

fn unanswered(failure: &Failure) -> String {
    let what = match failure.kind {
        FailureKind::Refused => "cannot be called",
        _ => "got no answer",
    };
    format!("{what}: {}", failure.message.trim_end_matches('.'))
}

fn quoted(snippet: &str) -> String {
    if snippet.is_empty() {
        return String::new();
    }
    format!(": \"{snippet}\"")
}

impl Refusal {
    fn says(&self, phrases: &[&str]) -> bool {
        let text = self.text.to_ascii_lowercase();
        phrases
            .iter()
            .any(|phrase| text::after(&text, phrase).is_some())
    }

    /// Whether what the command is about does not exist (any more). CloudStack has no code for that, only texts.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.code, 430 | 431)
            && self.says(&["entity does not exist", "unable to find", "does not exist"])
    }

    /// Whether the public key is of a type that the server does not take: those of 2016 know `ssh-rsa` alone.
    pub(crate) fn is_invalid_key(&self) -> bool {
        matches!(self.code, 430 | 431)
            && self.says(&["key"])
            && self.says(&["invalid", "not valid", "not supported", "unsupported"])
    }

    /// Whether a public key is registered already, under whatever name: `A key pair with key '…' already exists`.
    pub(crate) fn is_known_key(&self) -> bool {
        matches!(self.code, 430 | 431) && self.says(&["key pair"]) && self.says(&["already exists"])
    }

    /// Whether `expunge` is what was refused. CloudStack 4.6 to 4.22: `Parameter expunge can be passed by Admin only…`
    pub(crate) fn is_about_expunge(&self) -> bool {
        self.says(&["expunge"]) && self.says(&["admin only"])
    }

    /// Whether a port is taken by another rule.
    pub(crate) fn is_rule_conflict(&self) -> bool {
        self.code == 537 || matches!(self.cs_code, Some(4360 | 4500))
    }

    /// Whether the account may not call the command. Old servers have 432 for that, new ones 401.
    pub(crate) fn is_denied(&self) -> bool {
        self.code == 401 && self.says(&["not available for user"])
            || matches!(self.code, 405 | 432 | 531)
    }

    fn kind(&self) -> ErrorKind {
        match self.code {
            401 | 432 if self.says(&["not available for user"]) => ErrorKind::Permission,
            401 | 511 => ErrorKind::Authentication,
            405 | 531 => ErrorKind::Permission,
            429 => ErrorKind::RateLimited,
            // A machine is deployed from other things; that one of those is gone does not mean that the machine is.
            430 | 431 if self.is_gone() && self.command != Command::DeployVirtualMachine => {
                ErrorKind::NotFound
            }
            400 | 430 | 431 => ErrorKind::InvalidOption,
            432 => ErrorKind::Unsupported,
            502..=504 => ErrorKind::Unreachable,
            532 | 535 => ErrorKind::Quota,
            // A host, storage or router that is not available now is, to the user, a cloud without room.
            533 | 534 => ErrorKind::Capacity,
            536 | 537 => ErrorKind::Conflict,
            _ => ErrorKind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match (self.kind(), self.code) {
            (ErrorKind::Authentication, 511) => Some(
                "The account asks for a second factor, which the API keys of another user may do without"
                    .to_owned(),
            ),
            (ErrorKind::Authentication, _) => Some(format!(
                "Check --{API_KEY} and --{SECRET_KEY}, and the clock of this computer: a signed request expires"
            )),
            (ErrorKind::Permission, _) => Some(format!(
                "Ask the administrator of the account to allow {}",
                self.command
            )),
            (ErrorKind::Quota, _) => Some(
                "Remove what is no longer needed, or ask for a higher limit of the account".to_owned(),
            ),
            (ErrorKind::Capacity, _) => {
                Some("Try again later, or take another zone or service offering".to_owned())
            }
            (ErrorKind::RateLimited, _) => Some(LATER.to_owned()),
            _ => None,
        }
    }
}

impl Error {
    /// CloudStack's refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether what the command is about does not exist (any more).
    pub(crate) fn is_gone(&self) -> bool {
        self.refusal().is_some_and(Refusal::is_gone)
    }

    /// Whether it is unknown if CloudStack carries the command out: it may have been received, and there is no answer.
    pub(crate) fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::NoAnswer { failure, .. } => failure.request_sent,
            // Who asks to be called less often has not carried it out.
            Self::NotCloudStack { .. } => !self.is_rate_limit(),
            Self::Malformed { .. } => true,
            Self::Refused(_) | Self::Deadline { .. } | Self::Cancelled => false,
        }
    }

    /// Whether CloudStack, or a proxy before it, asks to be called less often, which it does before it does anything else.
    pub(crate) fn is_rate_limit(&self) -> bool {
        matches!(
            self,
            Self::Refused(Refusal { code: 429, .. }) | Self::NotCloudStack { status: 429, .. }
        )
    }

    /// Whether CloudStack cannot be reached, perhaps only now.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::NoAnswer { failure, .. } => matches!(
                failure.kind,
                FailureKind::Unreachable | FailureKind::TimedOut
            ),
            Self::NotCloudStack { status, .. } => matches!(status, 502..=504),
            Self::Refused(refusal) => matches!(refusal.code, 502..=504),
            Self::Malformed { .. } | Self::Deadline { .. } | Self::Cancelled => false,
        }
    }

    /// The contract's kind of error.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(refusal) => refusal.kind(),
            Self::NoAnswer { failure, .. } => match failure.kind {
                FailureKind::Refused => ErrorKind::Unsupported,
                FailureKind::TimedOut if failure.request_sent => ErrorKind::TimedOut,
                FailureKind::Unreachable | FailureKind::Tls | FailureKind::TimedOut => {
                    ErrorKind::Unreachable
                }
                FailureKind::BadResponse => ErrorKind::Protocol,
            },
            Self::NotCloudStack { .. } if self.is_outage() => ErrorKind::Unreachable,
            Self::NotCloudStack { .. } if self.is_rate_limit() => ErrorKind::RateLimited,
            Self::NotCloudStack { .. } | Self::Malformed { .. } => ErrorKind::Protocol,
            Self::Deadline { .. } => ErrorKind::TimedOut,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::NoAnswer { failure, .. } => match failure.kind {
                FailureKind::Tls => Some(format!(
                    "The certificate of --{ENDPOINT} must be valid for its host name and come from an authority that this \
                     computer trusts"
                )),
                FailureKind::Unreachable | FailureKind::TimedOut => {
                    Some(format!("Check --{ENDPOINT} and this computer's network"))
                }
                FailureKind::BadResponse => Some(format!("Check --{ENDPOINT}")),
                FailureKind::Refused => None,
            },
            Self::NotCloudStack { status, .. } => Some(match status {
                300..=399 => format!(
                    "The endpoint redirects to another URL, which is not followed; give that one with --{ENDPOINT}"
                ),
                429 => LATER.to_owned(),
                502..=504 => format!("Try again later, or check --{ENDPOINT}"),
                _ => format!("Check --{ENDPOINT}, which mostly ends with /client/api"),
            }),
            _ => None,
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind(),
            message: text::without_controls(&error.to_string()),
            hint: error.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u16, text: &str) -> Refusal {
        Refusal {
            command: Command::StopVirtualMachine,
            stage: Stage::Request,
            code,
            cs_code: None,
            text: text.to_owned(),
        }
    }

    #[test]
    fn every_code_has_its_kind() {
        let table = [
            (400, "", ErrorKind::InvalidOption),
            (
                401,
                "unable to verify user credentials and/or request signature",
                ErrorKind::Authentication,
            ),
            (
                401,
                "The given command 'x' either does not exist, is not available for user, or not available from ip address",
                ErrorKind::Permission,
            ),
            (405, "", ErrorKind::Permission),
            (429, "", ErrorKind::RateLimited),
            (430, "Invalid signature version", ErrorKind::InvalidOption),
            (431, "Invalid name", ErrorKind::InvalidOption),
            (
                431,
                "Unable to execute API command stopvirtualmachine due to invalid value. Invalid parameter id value=1 due to incorrect long value format, or entity does not exist or due to incorrect parameter annotation for the field in api cmd class.",
                ErrorKind::NotFound,
            ),
            (
                431,
                "unable to find a virtual machine with id 1",
                ErrorKind::NotFound,
            ),
            (432, "", ErrorKind::Unsupported),
            (
                432,
                "The given command:x does not exist or it is not available for user",
                ErrorKind::Permission,
            ),
            (503, "", ErrorKind::Unreachable),
            (511, "", ErrorKind::Authentication),
            (530, "Internal error", ErrorKind::Internal),
            (531, "", ErrorKind::Permission),
            (532, "", ErrorKind::Quota),
            (533, "", ErrorKind::Capacity),
            (534, "", ErrorKind::Capacity),
            (535, "", ErrorKind::Quota),
            (536, "", ErrorKind::Conflict),
            (537, "", ErrorKind::Conflict),
            (599, "", ErrorKind::Internal),
        ];
        for (code, text, kind) in table {
            assert_eq!(refusal(code, text).kind(), kind, "{code} {text}");
        }
        let deploy = Refusal {
            command: Command::DeployVirtualMachine,
            ..refusal(431, "entity does not exist")
        };
        assert_eq!(deploy.kind(), ErrorKind::InvalidOption);
    }

    #[test]
    fn a_refusal_reads_as_one_clean_sentence() {
        let mut refusal = refusal(431, "No\n\u{1b}[2Jroom.");
        assert_eq!(
            refusal.to_string(),
            "CloudStack refused stopVirtualMachine: No [2Jroom (error 431)"
        );
        refusal.cs_code = Some(4350);
        refusal.stage = Stage::Job;
        refusal.text = String::new();
        assert_eq!(
            refusal.to_string(),
            "CloudStack could not complete stopVirtualMachine (error 431/4350)"
        );
        refusal.text = "x".repeat(10_000);
        assert!(refusal.to_string().chars().count() < 600);
    }

    #[test]
    fn known_texts_are_recognised() {
        assert!(refusal(431, "Public key is invalid").is_invalid_key());
        assert!(!refusal(431, "A key pair with name 'x' already exists.").is_invalid_key());
        assert!(refusal(531, "Parameter expunge can be passed by Admin only. Or when the allow.user.expunge.recover.vm key is set.").is_about_expunge());
        assert!(refusal(431, "A key pair with name 'x' does not exist.").is_gone());
        assert!(!refusal(530, "does not exist").is_gone());
    }

    #[test]
    fn failures_have_their_kinds_and_hints() {
        use FailureKind::{BadResponse, Refused, TimedOut, Tls, Unreachable};
        let table = [
            (Refused, false, ErrorKind::Unsupported),
            (Unreachable, false, ErrorKind::Unreachable),
            (Tls, false, ErrorKind::Unreachable),
            (TimedOut, false, ErrorKind::Unreachable),
            (TimedOut, true, ErrorKind::TimedOut),
            (BadResponse, true, ErrorKind::Protocol),
        ];
        for (kind, request_sent, expected) in table {
            let error = types::Error::from(Error::NoAnswer {
                command: Command::ListZones,
                failure: Failure {
                    kind,
                    message: "no connection to cloud.bt.com.".to_owned(),
                    request_sent,
                },
            });
            assert_eq!(error.kind, expected);
            let start = if kind == Refused {
                "cannot be called"
            } else {
                "got no answer"
            };
            assert_eq!(
                error.message,
                format!("listZones {start}: no connection to cloud.bt.com")
            );
            assert_eq!(error.hint.is_some(), kind != Refused);
        }
    }
}
