//! What all messages of a signing batch bring along: the signature document and
//! the result of its hash chain. A segment keeps them once.
//!
//! They are digested when the first message of a batch comes, and known again
//! when the others bring their own copies: a checksum and a comparison cost much
//! less than a digest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crc32fast::Hasher;

use crate::codec::{Sha256, sha256, sha512};
use crate::record::Sha512;

/// How many are remembered: keys here and at the peers sign at the same time.
const REMEMBERED: usize = 64;
/// Larger ones are not remembered, so that memory is bounded: 4 MB in all.
const MAX_REMEMBERED_BYTES: usize = 64 * 1024;

/// By what the documents of one batch are told from those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SharedKey {
    /// The digest of the signature document.
    pub(crate) signature_hash: Sha512,
    /// The digest of the chain's result, if there is a chain.
    pub(crate) result_hash: Option<Sha256>,
}

/// The documents that the messages of a batch share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) signature: Bytes,
    pub(crate) hash_chain_result: Option<Bytes>,
    pub(crate) key: SharedKey,
    /// Of the signature document and the result behind it.
    pub(crate) crc: Hasher,
}

impl Shared {
    pub(crate) fn new(signature: Bytes, hash_chain_result: Option<Bytes>) -> Self {
        let crc = checksum(&signature, hash_chain_result.as_ref());
        let key = SharedKey {
            signature_hash: sha512(&signature),
            result_hash: hash_chain_result.as_deref().map(sha256),
        };
        Self { signature, hash_chain_result, key, crc }
    }

    /// What they take behind a record.
    pub(crate) fn bytes(&self) -> usize {
        self.signature.len() + self.hash_chain_result.as_ref().map_or(0, Bytes::len)
    }

    fn is(&self, signature: &Bytes, result: Option<&Bytes>) -> bool {
        self.signature == signature && self.hash_chain_result.as_ref() == result
    }
}

fn checksum(signature: &Bytes, result: Option<&Bytes>) -> Hasher {
    let mut crc = Hasher::new();
    crc.update(signature);
    crc.update(result.map_or(&[][..], |result| result));
    crc
}

/// The latest documents, with their checksums.
#[derive(Debug, Default)]
pub(crate) struct SharedDocuments(Mutex<VecDeque<(u32, Arc<Shared>)>>);

impl SharedDocuments {
    /// The documents of a message.
    pub(crate) fn of(&self, signature: &Bytes, result: Option<&Bytes>) -> Arc<Shared> {
        let sum = checksum(signature, result).finalize();
        let alike = {
            let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            latest.iter().find(|(other, _)| *other == sum).map(|(_, shared)| Arc::clone(shared))
        };
        // A peer can make checksums collide, and gains nothing.
        if let Some(shared) = alike.filter(|shared| shared.is(signature, result)) {
            return shared;
        }
        // They may be part of something larger, which is not to be kept in memory.
        let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        let shared = Arc::new(Shared::new(copy(signature), result.map(copy)));
        if shared.bytes() <= MAX_REMEMBERED_BYTES {
            let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            latest.truncate(REMEMBERED - 1);
            latest.push_front((sum, Arc::clone(&shared)));
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_has_its_own_digest() {
        let documents = SharedDocuments::default();
        for round in 0..3_u8 {
            for number in 0..160_u8 {
                let signature = Bytes::from(vec![number / 2; 100 + usize::from(round)]);
                let result = (number % 2 == 1).then(|| Bytes::from(vec![round; 20]));
                for _ in 0..2 {
                    let shared = documents.of(&signature, result.as_ref());
                    assert_eq!(shared.key.signature_hash, sha512(&signature));
                    assert_eq!(shared.key.result_hash, result.as_deref().map(sha256));
                    assert_eq!(shared.hash_chain_result, result);
                    let whole = [&signature[..], result.as_deref().unwrap_or_default()].concat();
                    assert_eq!(shared.crc.clone().finalize(), crc32fast::hash(&whole));
                }
            }
        }
    }
}
