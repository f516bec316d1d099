//! Which bytes of a record are its leaf.
//!
//! The record's number (u64, little endian), then its identity: the bytes of
//! its payload from the flags to the attachments' digests (`codec` has the
//! layout). In it are side and direction, the time, the SHA-512 digest of the
//! signature document, message id, request id, owner, service, peer, the signed
//! message itself, its hash chain, the SHA-256 digest of the chain's result, and
//! number, SHA-512 digest and length of each attachment. What is not in it: how
//! and where the log stores bodies and shared documents, and timestamps, which
//! come later and prove themselves. So a record that is stored otherwise has the
//! same leaf, and whoever has a record with its number can compute it.

use crate::codec::{Digest, Identity};
use crate::record::{MessageRecord, RecordId};

/// The leaf of a record that was read from a log.
pub fn record_leaf(record: &MessageRecord) -> Vec<u8> {
    let mut out = record.id.0.to_le_bytes().to_vec();
    let attachments = record.attachments.iter().map(|a| (a.number, &a.digest, a.length));
    Identity::of(record).put(&mut out, attachments);
    out
}

/// The leaf of a message record from its payload as it is in its segment; `None`
/// when that makes no sense.
pub fn stored_leaf(id: RecordId, payload: &[u8]) -> Option<Vec<u8>> {
    let identity = Digest::decode(payload)?.identity(payload)?;
    let mut out = Vec::with_capacity(8 + identity.len());
    out.extend_from_slice(&id.0.to_le_bytes());
    out.extend_from_slice(identity);
    Some(out)
}
