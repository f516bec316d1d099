use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::identity::IdentityError;

/// A warning that must be confirmed for a request to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// X-Road's code of it.
    pub code: &'static str,
    /// What it is about.
    pub metadata: Vec<String>,
}

/// Why a request is not carried out. Its body has X-Road's form (`ErrorInfo`): `status`, and where there
/// is more to say `error.code`, `error.metadata`, `error.validation_errors` and `warnings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status of the answer.
    pub status: StatusCode,
    /// X-Road's code of what is wrong; `None` where the status says it all.
    pub code: Option<&'static str>,
    /// What it is about: names, values, what to do next.
    pub metadata: Vec<String>,
    /// For `validation_failure`: fields, each with what is wrong about it.
    pub validation_errors: BTreeMap<String, Vec<String>>,
    /// Warnings to be confirmed.
    pub warnings: Vec<Warning>,
    /// For the audit log, in words.
    pub reason: Box<str>,
    /// For `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A status that says it all; the reason is for the audit log.
    pub fn bare(status: StatusCode, reason: impl Into<Box<str>>) -> Self {
        Self {
            status,
            code: None,
            metadata: Vec::new(),
            validation_errors: BTreeMap::new(),
            warnings: Vec::new(),
            reason: reason.into(),
            retry_after: None,
        }
    }

    /// A status with a code.
    pub fn coded(status: StatusCode, code: &'static str, reason: impl Into<Box<str>>) -> Self {
        Self { code: Some(code), ..Self::bare(status, reason) }
    }

    /// 404 with a code.
    pub fn missing(code: &'static str, reason: impl Into<Box<str>>) -> Self {
        Self::coded(StatusCode::NOT_FOUND, code, reason)
    }

    /// 409 with a code.
    pub fn conflict(code: &'static str, reason: impl Into<Box<str>>) -> Self {
        Self::coded(StatusCode::CONFLICT, code, reason)
    }

    /// 400 with a code.
    pub fn bad(code: &'static str, reason: impl Into<Box<str>>) -> Self {
        Self::coded(StatusCode::BAD_REQUEST, code, reason)
    }

    /// 400 `validation_failure`: a field by X-Road's name, and what is wrong about it.
    pub fn invalid_field(field: &str, error: &str) -> Self {
        let mut problem = Self::bad("validation_failure", format!("{field}: {error}"));
        problem.validation_errors.insert(field.to_owned(), vec![error.to_owned()]);
        problem
    }

    /// 500 `internal_error`; the reason goes to the server's log alone, once.
    pub fn internal(reason: &str) -> Self {
        tracing::error!(reason, "a request could not be carried out");
        Self::coded(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", reason)
    }

    /// Adds what it is about.
    #[must_use]
    pub fn about(mut self, metadata: impl Into<String>) -> Self {
        self.metadata.push(metadata.into());
        self
    }

    /// The body.
    pub fn body(&self) -> Bytes {
        let mut body = json!({ "status": self.status.as_u16() });
        if let Some(code) = self.code {
            let mut error = json!({ "code": code });
            if !self.metadata.is_empty() {
                error["metadata"] = json!(self.metadata);
            }
            if !self.validation_errors.is_empty() {
                error["validation_errors"] = json!(self.validation_errors);
            }
            body["error"] = error;
        }
        if !self.warnings.is_empty() {
            let warning = |w: &Warning| json!({ "code": w.code, "metadata": w.metadata });
            body["warnings"] = Value::Array(self.warnings.iter().map(warning).collect());
        }
        body.to_string().into()
    }
}

impl From<IdentityError> for Problem {
    fn from(e: IdentityError) -> Self {
        let reason = e.to_string();
        match e {
            IdentityError::TooSoon { seconds } => {
                let retry_after = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
                Self { retry_after, ..Self::bare(StatusCode::TOO_MANY_REQUESTS, reason) }
            }
            IdentityError::WrongPassword => Self::bare(StatusCode::UNAUTHORIZED, reason),
            IdentityError::NoSuchKey(id) => {
                Self::missing("api_key_not_found", reason).about(id.to_string())
            }
            IdentityError::InvalidRole(_) => Self::bad("invalid_role", reason),
            IdentityError::RoleNotHeld(_) => Self::bare(StatusCode::FORBIDDEN, reason),
            IdentityError::TooMany(..) => Self::conflict("too_many_api_keys", reason),
            _ => Self::internal(&reason),
        }
    }
}
