//! The suites judged from outside: against records that others computed, against hostile ones, against rustls
//! itself and against the `openssl` command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod handshakes;
mod openssl;
mod records;
mod support;
