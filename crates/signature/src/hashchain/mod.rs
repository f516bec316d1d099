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
    let inner = |item: &DigestValue| {
        tlv_length(item.value.len()) + tlv_length(item.algorithm.uri().len()) + tlv_length(0)
    };
    let body = items.iter().map(|item| tlv_length(inner(item))).sum();
    let mut out = Vec::with_capacity(tlv_length(body));
    header(0x30, body, &mut out);
    for item in items {
        header(0x30, inner(item), &mut out);
        header(0x04, item.value.len(), &mut out);
        out.extend_from_slice(&item.value);
        let uri = item.algorithm.uri().as_bytes();
        header(0x0c, uri.len(), &mut out);
        out.extend_from_slice(uri);
        header(0x30, 0, &mut out);
    }
    out
}

/// How many bytes of a length matter.
fn length_octets(length: usize) -> usize {
    (usize::BITS - length.leading_zeros()).div_ceil(8) as usize
}

/// The length of a value with its tag and length.
fn tlv_length(length: usize) -> usize {
    if length < 0x80 { 2 + length } else { 2 + length_octets(length) + length }
}

fn header(tag: u8, length: usize, out: &mut Vec<u8>) {
    out.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let (octets, bytes) = (length_octets(length), length.to_be_bytes());
            out.push(0x80 | u8::try_from(octets).unwrap_or(8));
            out.extend_from_slice(&bytes[bytes.len() - octets..]);
        }
    }
}

/// The digest of a step with these values.
pub fn step_digest(algorithm: DigestAlgorithm, items: &[DigestValue]) -> Vec<u8> {
    algorithm.digest(&digest_list(items))
}
