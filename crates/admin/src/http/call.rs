use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::Problem;
use super::json;
use super::multipart::{self, Field};
use crate::identity::{Permissions, Principal, Role};

/// What the audit log will say of a call.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) user: Option<String>,
    pub(super) data: Map<String, Value>,
}

/// An admitted request, as its handler sees it.
#[derive(Debug)]
pub struct Call {
    /// Who asks; `None` on routes that are open to all.
    pub principal: Option<Principal>,
    /// From where.
    pub address: IpAddr,
    /// When.
    pub now: OffsetDateTime,
    pub(super) permissions: Permissions,
    pub(super) parameters: Vec<(&'static str, String)>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// The value of the session's cookie, whether good or not.
    pub(super) session: Option<String>,
    /// The body's media type with its parameters, as it was sent.
    pub(super) media_type: Option<String>,
    pub(super) notes: Mutex<Notes>,
}

impl Call {
    /// A part of the path by its name in the route's template, decoded. Empty when the template has no
    /// such name, which is a mistake of the program.
    pub fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    /// A value of the query; the first, when there are several.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as it came.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Reads the body's JSON.
    ///
    /// # Errors
    /// 400 `invalid_body` when it is not JSON of this form, or nested too deeply.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let amiss = |why: String| {
            Problem::coded(StatusCode::BAD_REQUEST, "invalid_body", why.clone()).about(why)
        };
        if !json::is_bounded(&self.body) {
            return Err(amiss(format!("is nested deeper than {} levels", json::MAX_DEPTH)));
        }
        serde_json::from_slice(&self.body).map_err(|e| amiss(e.to_string()))
    }

    /// Reads the body as a form with files.
    ///
    /// # Errors
    /// 400 `invalid_body` when it is not one, or not whole.
    pub fn fields(&self) -> Result<Vec<Field<'_>>, Problem> {
        let boundary = self.media_type.as_deref().and_then(multipart::boundary);
        let fields = boundary.and_then(|boundary| multipart::read(&self.body, boundary));
        fields.ok_or_else(|| Problem::bad("invalid_body", "the form is not whole"))
    }

    /// The roles of who asks.
    pub fn roles(&self) -> BTreeSet<Role> {
        self.principal.as_ref().map(|p| p.roles.clone()).unwrap_or_default()
    }

    /// Whether who asks has a permission, beside that of the route.
    pub fn may(&self, permission: &str) -> bool {
        self.principal.as_ref().is_some_and(|p| self.permissions.allow(&p.roles, permission))
    }

    /// Tells the audit log what the call is about, by X-Road's name of it (`memberCode`, `apiKeyId`, …).
    /// Never secrets.
    pub fn note(&self, name: &str, value: impl Into<Value>) {
        self.notes().data.insert(name.to_owned(), value.into());
    }

    /// Tells the audit log who it was, where the request itself does not.
    pub(super) fn note_user(&self, user: &str) {
        self.notes().user = Some(user.to_owned());
    }

    pub(super) fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
