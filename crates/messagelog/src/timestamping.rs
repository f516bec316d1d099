//! What a timestamping authority is to stamp, and what its token means for the
//! records (X-Road 7.8 `SingleTimestampRequest`, `BatchTimestampRequest`). No
//! I/O: the caller sends [`Plan::stamped`]'s digest to the authority, judges
//! the token, and gives [`Plan::complete`]'s result to
//! [`crate::Log::append_timestamp`].
//!
//! One record is stamped by its signature value, and the token goes into its
//! signature document. Several are the leaves of a hash chain, each the digest
//! of a whole signature document, and the chain's result is stamped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use causeway_pki::DigestAlgorithm;
use causeway_signature::xades::SignatureDocument;
use time::OffsetDateTime;

use crate::chain::Tree;
use crate::error::LogError;
use crate::record::{MessageRecord, NewCover, NewTimestamp, RecordId, Sha512, Untimestamped};

/// The digest algorithm of the chains: that of the digests that the log keeps.
pub const ALGORITHM: DigestAlgorithm = crate::chain::ALGORITHM;

/// The most places in a signature document at which the token is tried.
const MAX_PLACES: usize = 8;

/// What is to be stamped.
#[derive(Debug, Clone)]
pub struct Plan {
    stamped: Vec<u8>,
    kind: PlanKind,
}

#[derive(Debug, Clone)]
enum PlanKind {
    Single { record: RecordId, signature: Bytes },
    Batch { leaves: Vec<(RecordId, Sha512)> },
}

impl Plan {
    /// A plan for one record.
    ///
    /// # Errors
    /// When its signature document cannot be read.
    pub fn single(record: &MessageRecord) -> Result<Self, LogError> {
        let document = read(&record.signature)?;
        if embed(&record.signature, &document, &[0]).is_none() {
            // There is no place for a token in it, which no honest signer
            // makes. A chain over the record and itself serves as well, and
            // the record does not stay in the way of others.
            return Self::chained(vec![(record.id, record.signature_hash); 2]);
        }
        Ok(Self {
            stamped: document.value().to_vec(),
            kind: PlanKind::Single { record: record.id, signature: record.signature.clone() },
        })
    }

    /// A plan for two or more records. Each adds less than 100 bytes to what is
    /// written and held in memory meanwhile.
    ///
    /// # Errors
    /// When there are fewer than two.
    pub fn batch(records: &[Untimestamped]) -> Result<Self, LogError> {
        if records.len() < 2 {
            return Err(LogError::Invalid("a batch timestamp needs two records"));
        }
        Self::chained(records.iter().map(|r| (r.id, r.signature_hash)).collect())
    }

    fn chained(leaves: Vec<(RecordId, Sha512)>) -> Result<Self, LogError> {
        let tree = Tree::new(leaves.iter().map(|(_, digest)| *digest).collect())
            .ok_or(LogError::Invalid("a hash chain needs two records"))?;
        Ok(Self { stamped: tree.result().into_bytes(), kind: PlanKind::Batch { leaves } })
    }

    /// The bytes whose digest the authority stamps.
    pub fn stamped(&self) -> &[u8] {
        &self.stamped
    }

    /// How many records it covers.
    pub fn records(&self) -> usize {
        match &self.kind {
            PlanKind::Single { .. } => 1,
            PlanKind::Batch { leaves } => leaves.len(),
        }
    }

    /// The timestamp to log: `token` is the authority's, DER, already judged
    /// against [`Plan::stamped`] and with the authority's certificate inside.
    ///
    /// # Errors
    /// When the token cannot be put into the signature document.
    pub fn complete(self, token: Bytes, time: OffsetDateTime) -> Result<NewTimestamp, LogError> {
        let cover = match self.kind {
            PlanKind::Single { record, signature } => {
                let document = read(&signature)?;
                let signature = embed(&signature, &document, &token).ok_or_else(|| {
                    LogError::Timestamp("the token does not fit into the signature".into())
                })?;
                NewCover::Single { record, signature: Bytes::from(signature) }
            }
            PlanKind::Batch { leaves } => {
                NewCover::Batch { hash_chain_result: Bytes::from(self.stamped), leaves }
            }
        };
        Ok(NewTimestamp { time, token, cover })
    }
}

fn read(signature: &[u8]) -> Result<SignatureDocument, LogError> {
    SignatureDocument::parse(signature)
        .map_err(|e| LogError::Timestamp(format!("the signature cannot be read: {e}")))
}

/// Puts a token into a signature document as the first child of
/// `UnsignedSignatureProperties`, leaving every other byte as it is. Whether
/// a place is the right one is judged by reading the result: a peer's document
/// may have the same words elsewhere.
fn embed(signature: &[u8], document: &SignatureDocument, token: &[u8]) -> Option<Vec<u8>> {
    let encoded = BASE64.encode(token);
    for (at, prefix) in places(std::str::from_utf8(signature).ok()?) {
        let (before, behind) = signature.split_at_checked(at)?;
        let stamp = format!(
            "<{prefix}SignatureTimeStamp><{prefix}EncapsulatedTimeStamp>{encoded}\
             </{prefix}EncapsulatedTimeStamp></{prefix}SignatureTimeStamp>"
        );
        let stamped = [before, stamp.as_bytes(), behind].concat();
        let Ok(result) = SignatureDocument::parse(&stamped) else { continue };
        let is_first = result.timestamps().first().is_some_and(|first| first == token);
        if is_first
            && result.timestamps().len() == document.timestamps().len() + 1
            && result.signed_info() == document.signed_info()
            && result.value() == document.value()
        {
            return Some(stamped);
        }
    }
    None
}

/// Places right behind what looks like the start tag, with the tag's prefix.
fn places(text: &str) -> Vec<(usize, &str)> {
    const NAME: &str = "UnsignedSignatureProperties";
    let mut places = Vec::new();
    for (at, _) in text.match_indices(NAME) {
        let (Some(before), Some(behind)) = (text.get(..at), text.get(at + NAME.len()..)) else {
            continue;
        };
        let Some(open) = before.rfind('<') else { continue };
        let prefix = before.get(open + 1..).unwrap_or_default();
        let is_prefix = prefix.is_empty()
            || prefix.strip_suffix(':').is_some_and(|p| !p.is_empty() && p.len() <= 32)
                && prefix.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.".contains(c));
        let end = behind.find('>');
        if let Some(end) = end.filter(|end| is_prefix && !behind[..*end].ends_with('/')) {
            places.push((at + NAME.len() + end + 1, prefix));
        }
        if places.len() == MAX_PLACES {
            break;
        }
    }
    places
}
