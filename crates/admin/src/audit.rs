//! The audit log: who changed what, and what was refused, one JSON object a line.
//!
//! A line has the fields of X-Road's audit log (`event`, `user`, `ipaddress`, `reason`, `warning`, `auth`,
//! `url`, `data`; SPEC-AL 1.1), in its order and like it in ASCII; before them `timestamp` and `seq`, behind
//! them `previous` and `hash`. `hash` is the SHA-256 of the line's bytes before `,"hash":`, and `previous`
//! is the hash of the line before: whoever changes, removes or moves a line breaks the chain. What a chain
//! alone cannot show is a line missing at the end; so note the [`Link`] of the end elsewhere from time to
//! time, and give it to the [`Verifier`].

pub mod event;
mod line;
mod log;
mod verify;

pub use line::{Entry, GENESIS, Link, MAX_LINE};
pub use log::{AuditError, AuditLog, Recovery};
pub use verify::{Fault, FaultKind, Report, Verifier, verify};
