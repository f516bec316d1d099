//! The admin crate's stories: identity over both stores, the audit log, the HTTPS edge under attack.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacks;
mod audit;
mod client;
mod edge;
mod identity;
mod support;
