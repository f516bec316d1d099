//! Hash chains: one signature or timestamp for many messages, a short proof
//! for each (Cybernetica T-4-23; X-Road 7.8 `hashchain`, schema `hashchain.xsd`).
//!
//! A step's digest is taken over the DER of its values, in order:
//! `SEQUENCE OF SEQUENCE { OCTET STRING digest, UTF8String algorithm, SEQUENCE {} }`.
//! [`build()`] makes the tree and each leaf's chain, [`verify()`] judges a chain.

mod build;
mod verify;

use causeway_pki::DigestAlgorithm;

pub use build::{Chains, PartDigest, build};
pub use verify::{Covered, Input, Resolve, verify};

/// Namespace of hash chain documents.
pub const NAMESPACE: &str = "http://cyber.ee/hashchain";
pub(crate) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";

/// A digest with its algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestValue {
    /// The algorithm.
    pub algorithm: DigestAlgorithm,
    /// The digest.
    pub value: Vec<u8>,
}

/// The DER that a step hashes.
pub fn digest_list(items: &[DigestValue]) -> Vec<u8> {
    let mut body = Vec::with_capacity(items.len() * 112);
    for item in items {
        let uri = item.algorithm.uri().as_bytes();
        let mut inner = Vec::with_capacity(item.value.len() + uri.len() + 12);
        tlv(0x04, &item.value, &mut inner);
        tlv(0x0c, uri, &mut inner);
        tlv(0x30, &[], &mut inner);
        tlv(0x30, &inner, &mut body);
    }
    let mut out = Vec::with_capacity(body.len() + 6);
    tlv(0x30, &body, &mut out);
    out
}

fn tlv(tag: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    let length = value.len();
    if let (true, Ok(short)) = (length < 0x80, u8::try_from(length)) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let used: Vec<u8> = bytes.into_iter().skip_while(|b| *b == 0).collect();
        out.push(0x80 | u8::try_from(used.len()).unwrap_or(8));
        out.extend_from_slice(&used);
    }
    out.extend_from_slice(value);
}

/// The digest of a step with these values.
pub fn step_digest(algorithm: DigestAlgorithm, items: &[DigestValue]) -> Vec<u8> {
    algorithm.digest(&digest_list(items))
}
