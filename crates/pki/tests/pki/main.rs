//! The crate judged from outside: against X-Road's own files, against the `openssl` command, against
//! independent decoders, and against hostile bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chains;
mod hostile;
mod openssl;
mod profiles;
mod responses;
mod support;
mod timestamps;
mod vectors;
