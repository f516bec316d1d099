//! Signing messages, one or many at once, with one private-key operation.
//!
//! A lone message with a single part is signed as it is. More parts, or more
//! messages, become one hash chain, and the signature is over its result:
//! every message of the batch carries the same signature and result, and its
//! own chain (X-Road 7.8 `SignatureCtx`, `BatchSigner`).

use bytes::Bytes;
use causeway_pki::{DigestAlgorithm, SigningKey};
use time::OffsetDateTime;

use crate::hashchain::{self, DigestValue, PartDigest};
use crate::xades::{Composer, Reference};
use crate::{MESSAGE, SIGNATURE_CHAIN, SIGNATURE_CHAIN_RESULT, SignatureError};

/// Digest of message parts and of hash chains on every message that we sign.
pub const PART_DIGEST: DigestAlgorithm = DigestAlgorithm::Sha512;

/// The signature of one message, as it travels and is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSignature {
    /// The signature document; shared by all messages of a batch.
    pub signature: Bytes,
    /// The chain's result document, where a chain was needed; shared too.
    pub hash_chain_result: Option<Bytes>,
    /// The message's own chain document.
    pub hash_chain: Option<Bytes>,
}

impl MessageSignature {
    /// Result and chain together, where the signature is over a chain.
    pub fn chain(&self) -> Option<(&Bytes, &Bytes)> {
        self.hash_chain_result.as_ref().zip(self.hash_chain.as_ref())
    }
}

/// Signs a batch. Each message is given by the SHA-512 digests of its parts,
/// the message itself first; `ocsp` as for [`Composer::compose`].
///
/// # Errors
/// [`SignatureError::CannotCreate`] for an empty batch, a message without
/// parts or with a first part that is not the message, or when the key refuses.
pub fn sign(
    messages: &[Vec<PartDigest>],
    composer: &Composer,
    key: &dyn SigningKey,
    ocsp: &[&[u8]],
    signing_time: OffsetDateTime,
) -> Result<Vec<MessageSignature>, SignatureError> {
    let proper = |parts: &Vec<PartDigest>| parts.first().is_some_and(|p| p.name == MESSAGE);
    let first = messages
        .first()
        .and_then(|m| m.first())
        .filter(|_| messages.iter().all(proper))
        .ok_or_else(|| {
            SignatureError::CannotCreate("a message must have a message part, first".into())
        })?;
    let chains = hashchain::build(PART_DIGEST, messages, SIGNATURE_CHAIN);
    let reference = match &chains {
        None => reference(MESSAGE, first.digest.clone(), "text/xml"),
        Some(chains) => reference(
            SIGNATURE_CHAIN_RESULT,
            PART_DIGEST.digest(chains.result.as_bytes()),
            "application/hash-chain-result",
        ),
    };
    let to_be_signed = composer.compose(&reference, ocsp, signing_time);
    let value =
        key.sign(to_be_signed.octets()).map_err(|e| SignatureError::CannotCreate(e.to_string()))?;
    let signature = Bytes::from(to_be_signed.finish(&value)?);
    Ok(match chains {
        None => vec![MessageSignature { signature, hash_chain_result: None, hash_chain: None }],
        Some(chains) => {
            let result = Bytes::from(chains.result);
            let of = |chain: String| MessageSignature {
                signature: signature.clone(),
                hash_chain_result: Some(result.clone()),
                hash_chain: Some(Bytes::from(chain)),
            };
            chains.chains.into_iter().map(of).collect()
        }
    })
}

fn reference(uri: &'static str, digest: Vec<u8>, mime_type: &'static str) -> Reference {
    Reference { uri, digest: DigestValue { algorithm: PART_DIGEST, value: digest }, mime_type }
}
