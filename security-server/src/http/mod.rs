//! HTTP at the server's edges: bodies, serving, and what both sides share.

pub mod case;
pub mod patient;
pub mod serve;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};

/// The most headers of a request or an answer.
pub const MAX_HEADERS: usize = 256;

/// The body of every answer that this server gives.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// A body that is in memory already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}
