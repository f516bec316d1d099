use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use super::Problem;

/// What an answer carries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Bytes),
    /// A file: its media type, and its name when it is to be saved.
    File {
        /// The media type.
        media_type: &'static str,
        /// The name under which browsers save it: letters, digits and `._-` alone; others are dropped.
        name: Option<String>,
        /// Its bytes.
        bytes: Bytes,
    },
}

/// An answer to a request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status; by convention that of the route.
    pub status: StatusCode,
    /// What it carries.
    pub body: Body,
    /// Values of `Set-Cookie`.
    pub(crate) cookies: Vec<String>,
}

impl Answer {
    /// 200 with JSON.
    ///
    /// # Errors
    /// When the value has no JSON form, which is a mistake of the program.
    pub fn json<T: Serialize>(value: &T) -> Result<Self, Problem> {
        let bytes = serde_json::to_vec(value).map_err(|e| Problem::internal(&e.to_string()))?;
        Ok(Self { status: StatusCode::OK, body: Body::Json(bytes.into()), cookies: Vec::new() })
    }

    /// 201 with JSON.
    ///
    /// # Errors
    /// As [`Answer::json`].
    pub fn created<T: Serialize>(value: &T) -> Result<Self, Problem> {
        Ok(Self { status: StatusCode::CREATED, ..Self::json(value)? })
    }

    /// 204.
    pub fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: Body::Empty, cookies: Vec::new() }
    }

    /// 200 with a file.
    pub fn file(media_type: &'static str, name: Option<String>, bytes: impl Into<Bytes>) -> Self {
        let body = Body::File { media_type, name, bytes: bytes.into() };
        Self { status: StatusCode::OK, body, cookies: Vec::new() }
    }

    /// 200 without a body.
    pub(crate) fn done() -> Self {
        Self { status: StatusCode::OK, ..Self::nothing() }
    }
}
