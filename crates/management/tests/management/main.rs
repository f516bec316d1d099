//! Management requests: written, read, judged and answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod judging;
mod reading;
mod world;
