//! What all messages of a signing batch bring along: the signature document and
//! the result of its hash chain. A segment keeps them once.
//!
//! They are digested and checksummed when the first message of a batch comes,
//! and known again when the others bring their own copies: comparing costs much
//! less than digesting.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crc32fast::Hasher;

use crate::codec::{Sha256, sha256, sha512};
use crate::record::Sha512;

/// How many are remembered: a few keys, here and at the peers, sign at the same time.
const REMEMBERED: usize = 16;

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
        let key = SharedKey {
            signature_hash: sha512(&signature),
            result_hash: hash_chain_result.as_deref().map(sha256),
        };
        let mut crc = Hasher::new();
        crc.update(&signature);
        crc.update(hash_chain_result.as_deref().unwrap_or_default());
        Self { signature, hash_chain_result, key, crc }
    }

    /// What they take behind a record.
    pub(crate) fn bytes(&self) -> usize {
        self.signature.len() + self.hash_chain_result.as_ref().map_or(0, Bytes::len)
    }

    fn is(&self, signature: &Bytes, result: Option<&Bytes>) -> bool {
        same(&self.signature, signature)
            && match (&self.hash_chain_result, result) {
                (Some(own), Some(result)) => same(own, result),
                (own, result) => own.is_none() && result.is_none(),
            }
    }
}

/// Messages that are signed here share the very same memory.
fn same(a: &Bytes, b: &Bytes) -> bool {
    a.len() == b.len() && (a.as_ptr() == b.as_ptr() || a == b)
}

/// The latest documents.
#[derive(Debug, Default)]
pub(crate) struct SharedDocuments(Mutex<VecDeque<Arc<Shared>>>);

impl SharedDocuments {
    /// The documents of a message.
    pub(crate) fn of(&self, signature: &Bytes, result: Option<&Bytes>) -> Arc<Shared> {
        let known = |latest: &VecDeque<Arc<Shared>>| {
            latest.iter().find(|shared| shared.is(signature, result)).cloned()
        };
        if let Some(shared) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return shared;
        }
        let shared = Arc::new(Shared::new(signature.clone(), result.cloned()));
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known(&latest).is_none() {
            latest.truncate(REMEMBERED - 1);
            latest.push_front(Arc::clone(&shared));
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
            for number in 0..40_u8 {
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
