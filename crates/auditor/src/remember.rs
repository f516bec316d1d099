//! What was found of documents that many containers bring alike: all messages of a batch have the same
//! signature document, all records that were stamped together the same timestamp, all messages of some hours the
//! same certificates and OCSP responses.
//!
//! Only what holds is remembered, by a digest of all that it rests on, and for one global configuration. What
//! depends on the message (its hash chains, its digests, its sender) is judged each time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use causeway_identifiers::ClientId;
use causeway_pki::tsp::TimestampToken;
use causeway_pki::{Certificate, DigestAlgorithm, Digester};
use causeway_signature::SignatureError;
use causeway_signature::verify::Signer;
use causeway_signature::xades::SignatureDocument;
use time::OffsetDateTime;

use crate::report::{CertificateFacts, OcspFacts};

/// The most of a kind that is remembered; then it is forgotten and begun anew.
const MOST: usize = 512;
/// The longest document or token that is remembered, in bytes. What is not signed can be anything: an honest one is
/// small.
const LARGEST: usize = 32 << 10;

type Digest = Vec<u8>;

/// A signature document that was read.
pub(crate) struct KnownDocument {
    pub(crate) document: SignatureDocument,
    /// Of its certificates and OCSP responses.
    identity: Digest,
    value_holds: OnceLock<()>,
}

impl KnownDocument {
    fn new(document: SignatureDocument) -> Self {
        let mut digester = Digester::new(DigestAlgorithm::Sha256);
        let extra = document.extra().iter().map(|e| &e.certificate);
        for certificate in document.certificate().into_iter().chain(extra) {
            digester.update(&certificate.sha256());
        }
        // So that a certificate is never taken for a response.
        digester.update(b"/");
        for response in document.ocsp_responses() {
            digester.update(&DigestAlgorithm::Sha256.digest(response.der()));
        }
        Self { document, identity: digester.finish(), value_holds: OnceLock::new() }
    }

    /// Whether the signature value holds.
    pub(crate) fn value_holds(&self) -> bool {
        if self.value_holds.get().is_none() && self.document.judge_value().is_ok() {
            // An error means that it was set meanwhile.
            let _ = self.value_holds.set(());
        }
        self.value_holds.get().is_some()
    }
}

/// A signer whose certificates and OCSP responses hold at a time.
pub(crate) struct KnownSigner {
    pub(crate) signer: Signer,
    pub(crate) ocsp: Vec<OcspFacts>,
}

/// A timestamp token whose signature holds.
pub(crate) struct KnownToken {
    pub(crate) token: TimestampToken,
    pub(crate) authority: Certificate,
    pub(crate) facts: CertificateFacts,
}

/// What is remembered. For one global configuration; safe to share among threads.
#[derive(Default)]
pub(crate) struct Memory {
    documents: Known<Digest, KnownDocument>,
    signers: Known<(Digest, ClientId, OffsetDateTime), KnownSigner>,
    tokens: Known<Digest, KnownToken>,
}

impl Memory {
    /// Reads a signature document.
    pub(crate) fn document(&self, bytes: &[u8]) -> Result<Arc<KnownDocument>, SignatureError> {
        let key = DigestAlgorithm::Sha256.digest(bytes);
        if let Some(known) = self.documents.recall(&key) {
            return Ok(known);
        }
        let known = Arc::new(KnownDocument::new(SignatureDocument::parse(bytes)?));
        if bytes.len() <= LARGEST {
            self.documents.remember(key, Arc::clone(&known));
        }
        Ok(known)
    }

    pub(crate) fn signer(
        &self,
        document: &KnownDocument,
        client: &ClientId,
        at: OffsetDateTime,
    ) -> Option<Arc<KnownSigner>> {
        self.signers.recall(&(document.identity.clone(), client.clone(), at))
    }

    pub(crate) fn remember_signer(
        &self,
        document: &KnownDocument,
        client: &ClientId,
        at: OffsetDateTime,
        signer: Arc<KnownSigner>,
    ) {
        self.signers.remember((document.identity.clone(), client.clone(), at), signer);
    }

    pub(crate) fn token(&self, der: &[u8]) -> Option<Arc<KnownToken>> {
        self.tokens.recall(&DigestAlgorithm::Sha256.digest(der))
    }

    pub(crate) fn remember_token(&self, der: &[u8], token: Arc<KnownToken>) {
        if der.len() <= LARGEST {
            self.tokens.remember(DigestAlgorithm::Sha256.digest(der), token);
        }
    }
}

struct Known<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V> Known<K, V> {
    fn recall(&self, key: &K) -> Option<Arc<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn remember(&self, key: K, value: Arc<V>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, value);
    }
}
