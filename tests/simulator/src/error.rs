//! The errors of the API and of jobs, with CloudStack's codes.

use serde_json::{Value, json};

/// An error as the API answers it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {text}")]
pub(crate) struct ApiError {
    /// The HTTP status, which is CloudStack's `errorcode` too.
    pub(crate) status: u16,
    /// CloudStack's number for the exception behind the error; what fails before a command runs has none.
    pub(crate) exception: Option<u16>,
    pub(crate) text: String,
}

impl ApiError {
    fn new(status: u16, exception: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            exception: Some(exception),
            text: text.into(),
        }
    }

    /// The request is not by a known user, or not as the user signed it.
    pub(crate) fn unauthorized() -> Self {
        Self {
            status: 401,
            exception: None,
            text: "unable to verify user credentials and/or request signature".to_owned(),
        }
    }

    /// A state changing command that has to be sent by POST.
    pub(crate) fn post_required(command: &str) -> Self {
        Self::new(
            400,
            9999,
            format!("State changing command {command} needs to be sent using POST request"),
        )
    }

    /// A parameter whose name is not of the form that a map takes.
    pub(crate) fn malformed(text: impl Into<String>) -> Self {
        Self::new(430, 9999, text)
    }

    /// A parameter that does not fit the command's declaration.
    pub(crate) fn parameter(text: impl Into<String>) -> Self {
        Self::new(431, 9999, text)
    }

    /// A value that the command cannot take.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(431, 4350, text)
    }

    /// A command that there is not, or not for this user.
    pub(crate) fn unsupported() -> Self {
        Self::new(
            432,
            9999,
            "The given command does not exist or it is not available for user",
        )
    }

    /// Something that went wrong inside.
    pub(crate) fn internal(text: impl Into<String>) -> Self {
        Self::new(530, 4250, text)
    }

    /// Something that the user may not do.
    pub(crate) fn denied(text: impl Into<String>) -> Self {
        Self::new(531, 4365, text)
    }

    /// An account that calls too often.
    pub(crate) fn throttled(wait_ms: i64) -> Self {
        Self::new(
            429,
            4545,
            format!(
                "The given user has reached his/her account api limit, please retry after {wait_ms} ms."
            ),
        )
    }

    /// The cloud has no more to give.
    pub(crate) fn insufficient_capacity(text: impl Into<String>) -> Self {
        Self::new(533, 4325, text)
    }

    /// The account has as many as it may have.
    pub(crate) fn limit(text: impl Into<String>) -> Self {
        Self::new(535, 4370, text)
    }

    /// Something still used.
    pub(crate) fn in_use(text: impl Into<String>) -> Self {
        Self::new(536, 4375, text)
    }

    /// A rule that clashes with another.
    pub(crate) fn conflict(text: impl Into<String>) -> Self {
        Self::new(537, 4360, text)
    }

    /// An id that was never given out, in CloudStack's words.
    pub(crate) fn no_entity(command: &str, name: &str, value: &str) -> Self {
        Self::parameter(format!(
            "Unable to execute API command {} due to invalid value. Invalid parameter {name} value={value} due to \
             incorrect long value format, or entity does not exist or due to incorrect parameter annotation for the \
             field in api cmd class.",
            command.to_lowercase()
        ))
    }

    /// The error as the content of a response.
    pub(crate) fn to_json(&self) -> Value {
        let mut content =
            json!({ "uuidList": [], "errorcode": self.status, "errortext": self.text });
        if let (Some(exception), Some(content)) = (self.exception, content.as_object_mut()) {
            content.insert("cserrorcode".to_owned(), json!(exception));
        }
        content
    }
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self {
            code: error.status,
            text: error.text,
        }
    }
}
