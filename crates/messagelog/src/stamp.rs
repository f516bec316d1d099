//! The payloads of timestamp frames: a token, and the leaves that lead from it
//! to each record. One frame holds all of a timestamp, so that it is there as a
//! whole or not at all.
//!
//! ```text
//!  0  received at, milliseconds (i64)
//!  …  token
//!  …  0: what was stamped; digests (u32 count, 64 bytes each); the leaves in
//!        their order (u32 count; record u64, number of its digest u32)
//!     1: record (u64), signature document with the token inside
//! ```
//! Records of one signing batch have the same leaf, which is here once.

use std::collections::HashMap;

use bytes::Bytes;

use crate::codec::{Reader, put_bytes};
use crate::record::{RecordId, Sha512};

/// The most by which record numbers in one group of the index differ.
pub(crate) const MAX_GROUP_SPAN: u64 = 4096;
/// The most leaves of one timestamp, so that its frame can be read.
pub(crate) const MAX_LEAVES: usize = 300_000;

/// A timestamp's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timestamp {
    pub(crate) time: i64,
    pub(crate) token: Bytes,
    pub(crate) cover: Cover,
}

/// What a timestamp covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cover {
    /// The leaves of a tree, in their order, and the document that was stamped.
    Batch { hash_chain_result: Bytes, leaves: Vec<(RecordId, Sha512)> },
    /// One record, with its signature document that has the token inside.
    Single { record: RecordId, signature: Bytes },
}

impl Timestamp {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let leaves = match &self.cover {
            Cover::Batch { leaves, .. } => leaves.len(),
            Cover::Single { signature, .. } => signature.len(),
        };
        let mut out = Vec::with_capacity(1024 + self.token.len() + leaves.saturating_mul(12));
        out.extend_from_slice(&self.time.to_le_bytes());
        put_bytes(&mut out, &self.token);
        match &self.cover {
            Cover::Batch { hash_chain_result, leaves } => {
                out.push(0);
                put_bytes(&mut out, hash_chain_result);
                put_leaves(&mut out, leaves);
            }
            Cover::Single { record, signature } => {
                out.push(1);
                out.extend_from_slice(&record.0.to_le_bytes());
                put_bytes(&mut out, signature);
            }
        }
        out
    }

    pub(crate) fn decode(payload: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let (time, token) = (reader.long()?.cast_signed(), reader.take()?);
        let cover = match reader.byte()? {
            0 => {
                let hash_chain_result = reader.take()?;
                Cover::Batch { hash_chain_result, leaves: take_leaves(&mut reader)? }
            }
            1 => Cover::Single { record: RecordId(reader.long()?), signature: reader.take()? },
            _ => return None,
        };
        reader.is_at_end().then_some(Self { time, token, cover })
    }

    /// The covered records in order, each once.
    pub(crate) fn records(&self) -> Vec<u64> {
        match &self.cover {
            Cover::Batch { leaves, .. } => {
                let mut records: Vec<u64> = leaves.iter().map(|(id, _)| id.0).collect();
                records.sort_unstable();
                records.dedup();
                records
            }
            Cover::Single { record, .. } => vec![record.0],
        }
    }
}

fn put_leaves(out: &mut Vec<u8>, leaves: &[(RecordId, Sha512)]) {
    let mut numbers: HashMap<&Sha512, u32> = HashMap::new();
    let count_at = out.len();
    out.extend_from_slice(&[0; 4]);
    for (_, digest) in leaves {
        let next = numbers.len() as u32;
        numbers.entry(digest).or_insert_with(|| {
            out.extend_from_slice(digest);
            next
        });
    }
    crate::frame::put(out, count_at, &(numbers.len() as u32).to_le_bytes());
    out.extend_from_slice(&(leaves.len() as u32).to_le_bytes());
    for (id, digest) in leaves {
        out.extend_from_slice(&id.0.to_le_bytes());
        let number = numbers.get(digest).copied().unwrap_or_default();
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn take_leaves(reader: &mut Reader<'_>) -> Option<Vec<(RecordId, Sha512)>> {
    let count = reader.number()? as usize;
    let digests = reader.fixed(count.checked_mul(64)?)?;
    let count = reader.number()? as usize;
    let numbers = reader.fixed(count.checked_mul(12)?)?;
    if count == 0 || count > MAX_LEAVES {
        return None;
    }
    let mut leaves = Vec::with_capacity(count);
    for leaf in numbers.chunks_exact(12) {
        let number = crate::frame::u32_at(leaf, 8)? as usize;
        let at = number.checked_mul(64)?;
        let digest = digests.get(at..at.checked_add(64)?)?.try_into().ok()?;
        leaves.push((RecordId(crate::frame::u64_at(leaf, 0)?), digest));
    }
    Some(leaves)
}

/// The covered records, which are in order, as groups for the index: first and
/// last of each.
pub(crate) fn groups(records: &[u64]) -> Vec<(u64, u64)> {
    let mut groups: Vec<(u64, u64)> = Vec::new();
    for id in records {
        match groups.last_mut() {
            Some((first, last)) if id.saturating_sub(*first) < MAX_GROUP_SPAN => *last = *id,
            _ => groups.push((*id, *id)),
        }
    }
    groups
}
