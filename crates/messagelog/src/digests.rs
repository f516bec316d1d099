//! Digests of signature documents, remembered for a moment: all messages of a
//! batch bring the same document, and digesting it costs more than comparing it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::codec::sha512;
use crate::record::Sha512;

/// How many documents are remembered: a few keys sign at the same time.
const REMEMBERED: usize = 8;

/// The latest documents with their digests.
#[derive(Debug, Default)]
pub(crate) struct SignatureDigests(Mutex<VecDeque<(Bytes, Sha512)>>);

impl SignatureDigests {
    /// The SHA-512 digest of a signature document.
    pub(crate) fn of(&self, document: &Bytes) -> Sha512 {
        let known = |latest: &VecDeque<(Bytes, Sha512)>| {
            latest.iter().find(|(bytes, _)| bytes == document).map(|(_, digest)| *digest)
        };
        if let Some(digest) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return digest;
        }
        let digest = sha512(document);
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known(&latest).is_none() {
            latest.truncate(REMEMBERED - 1);
            latest.push_front((document.clone(), digest));
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_has_its_own_digest() {
        let digests = SignatureDigests::default();
        for round in 0..3_u8 {
            for number in 0..20_u8 {
                let document = Bytes::from(vec![number; 100 + usize::from(round)]);
                assert_eq!(digests.of(&document), sha512(&document));
                assert_eq!(digests.of(&document), sha512(&document));
            }
        }
    }
}
