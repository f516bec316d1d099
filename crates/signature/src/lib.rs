//! Signatures over messages: XAdES documents, hash chains and batches, made
//! and judged (ETSI TS 101 903 in X-Road 7.8's profile; Cybernetica T-4-23).
//!
//! - [`hashchain`]: many messages under one signature or timestamp.
//! - [`xades`]: the signature document, composed for signing and read for judging.
//! - [`batch`]: from the parts of messages to what is signed, and back to each message.
//! - [`mod@verify`]: the checks, in X-Road's order, stricter where no honest peer is hurt.
//!
//! All of it is plain functions over bytes and values; time is a parameter.

pub mod batch;
mod error;
pub mod hashchain;
mod trust;
pub mod verify;
pub mod xades;

pub use error::{HashChainError, SignatureError};

/// Name of the message part.
pub const MESSAGE: &str = "/message.xml";
/// Name of the chain document of a batch signature.
pub const SIGNATURE_CHAIN: &str = "/sig-hashchain.xml";
/// Name of the result document of a batch signature.
pub const SIGNATURE_CHAIN_RESULT: &str = "/sig-hashchainresult.xml";
/// Name of the chain document of a batch timestamp.
pub const TIMESTAMP_CHAIN: &str = "/ts-hashchain.xml";
/// Name of the signature document in a container.
pub const SIGNATURES: &str = "/META-INF/signatures.xml";

/// Name of an attachment; the first is number 1.
pub fn attachment_name(number: usize) -> String {
    format!("/attachment{number}")
}

pub(crate) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
