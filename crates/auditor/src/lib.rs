//! The auditor: says of a signed container who signed what, when, and how that is known,
//! years later and without a network.
//!
//! [`judge()`] is the judgement: a container ([`causeway_asic`]) and a global configuration come in, a
//! [`Report`] goes out. Its checks have the order and the error codes of X-Road 7.8's
//! `AsicContainerVerifier`; where a rule is stricter than X-Road's, the report says so. It also
//! says what the signature does *not* cover, which a bare verdict hides. [`archives`] does so for sets of
//! archives of the message log, and tells what is missing among them. [`configuration`] and
//! [`mod@extract`] read and write files for the binary `auditor`, whose commands are in [`cli`].

pub mod archives;
mod chains;
pub mod cli;
pub mod configuration;
pub mod extract;
mod judge;
mod remember;
mod report;
mod rules;
mod text;

pub use judge::{Judging, judge, refuse};
pub use report::{
    CertificateFacts, Check, Failure, MessageFacts, NotCovered, OcspFacts, Report, SignerFacts,
    TimestampFacts, Verdict,
};
pub use text::render;
