//! A registry at work: stories of its operator and of the security servers that download from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod any_requests;
mod api;
mod command_line;
mod doors;
mod publishing;
mod requests;
mod support;
