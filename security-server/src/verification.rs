//! Judging what peers send: their signatures and their TLS certificates.
//!
//! The judgements themselves are pure (`causeway_signature::verify`,
//! `causeway_pki`); here they are remembered for a short while, since all
//! messages of a batch bring the same signature document, and all messages
//! of a connection the same certificate. A judgement is remembered together
//! with the global configuration under which it was made.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_globalconf::GlobalConf;
use causeway_identifiers::ClientId;
use causeway_message::{Fault, codes};
use causeway_pki::ocsp::{OcspResponse, judge, judge_time};
use causeway_pki::{Certificate, DigestAlgorithm, Digester, chain};
use causeway_signature::SignatureError;
use causeway_signature::verify::{Absent, ChainDocuments, Part, judge_coverage, judge_signer};
use causeway_signature::xades::{Mould, SignatureDocument};
use time::OffsetDateTime;

/// How long a signature document's judgement stands (all messages of a batch arrive within moments).
const SIGNATURE_STANDS: Duration = Duration::from_secs(10);
/// How long a certificate's judgement stands, as X-Road's OCSP verifier caches.
const CERTIFICATE_STANDS: Duration = Duration::from_secs(60);
/// Most judgements of a kind that are remembered.
const MOST_REMEMBERED: usize = 1024;
/// The longest signature document that is remembered, in bytes.
const LARGEST_REMEMBERED: usize = 32 << 10;

type Digest = Vec<u8>;

/// Remembers judgements.
#[derive(Default)]
pub struct Verification {
    signatures: Memory<(Digest, ClientId), Arc<SignatureDocument>>,
    /// By sender and length; what the next document of the sender is read by.
    moulds: Memory<(ClientId, usize), Arc<Mould>>,
    signers: Memory<([u8; 32], ClientId), ()>,
    certificates: Memory<(Digest, ClientId), ()>,
}

impl std::fmt::Debug for Verification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verification")
    }
}

impl Verification {
    /// Judges a message's signature now: it is the sender's, and covers every part.
    ///
    /// # Errors
    /// `signature_verification.…` with the reason.
    pub fn judge_message(
        &self,
        signature: &Bytes,
        chain: Option<(&Bytes, &Bytes)>,
        parts: &[Part<'_>],
        sender: &ClientId,
        now: OffsetDateTime,
        conf: &Arc<GlobalConf>,
    ) -> Result<(), Fault> {
        let refused = |e: SignatureError| {
            Fault::new(e.code(), e.to_string()).with_prefix(codes::SIGNATURE_VERIFICATION)
        };
        let key = (DigestAlgorithm::Sha256.digest(signature), sender.clone());
        let chain = chain.map(|(result, chain)| ChainDocuments { result, chain });
        let covers = |document: &SignatureDocument| {
            judge_coverage(document, chain, parts, Absent::Refused).map(|_| ()).map_err(refused)
        };
        if let Some(document) = self.signatures.recall(&key, conf) {
            return covers(&document);
        }
        let shape = (sender.clone(), signature.len());
        let known = self.moulds.recall(&shape, conf).and_then(|mould| mould.read(signature));
        let (document, mould) = match known {
            Some(document) => (document, None),
            None => SignatureDocument::parse_with_mould(signature).map_err(refused)?,
        };
        self.judge_signer(&document, sender, now, conf).map_err(refused)?;
        covers(&document)?;
        // What is not signed can be anything: an honest document is small.
        if signature.len() <= LARGEST_REMEMBERED {
            self.signatures.remember(key, Arc::new(document), conf, SIGNATURE_STANDS);
            if let Some(mould) = mould {
                self.moulds.remember(shape, Arc::new(mould), conf, CERTIFICATE_STANDS);
            }
        }
        Ok(())
    }

    /// Judges the signature value, and the signer's certificate unless the same
    /// one came with the same OCSP responses a short while ago.
    fn judge_signer(
        &self,
        document: &SignatureDocument,
        sender: &ClientId,
        now: OffsetDateTime,
        conf: &Arc<GlobalConf>,
    ) -> Result<(), SignatureError> {
        let key = (document.vouchers(), sender.clone());
        if self.signers.recall(&key, conf).is_some() {
            return document.judge_value();
        }
        let signer = judge_signer(document, sender, now, conf.as_ref())?;
        // Evidence is judged at the time of its timestamp, which is yet to come. A response that is too
        // old by then would make it void, and its age is the sender's choice.
        let policy = conf.ocsp_policy();
        let until_stamped =
            (conf.timestamping_interval() + CERTIFICATE_STANDS).min(policy.freshness / 2);
        for response in &signer.ocsp {
            judge_time(response, &policy, now + until_stamped).map_err(|e| {
                SignatureError::CertificatePath {
                    code: e.code(),
                    message: format!("It would be too old when the message is timestamped: {e}"),
                }
            })?;
        }
        self.signers.remember(key, (), conf, CERTIFICATE_STANDS);
        Ok(())
    }

    /// Judges a peer's TLS certificate now: it is an authentication
    /// certificate of an approved authority, good by OCSP, and registered for
    /// a security server that serves this client. The OCSP responses, DER, are
    /// read only when the same ones were not judged a short while ago.
    ///
    /// # Errors
    /// `ssl_authentication_failed`, telling what is wrong with whose certificate.
    pub fn judge_peer(
        &self,
        peer: &[Certificate],
        ocsp: &[&[u8]],
        client: &ClientId,
        now: OffsetDateTime,
        conf: &Arc<GlobalConf>,
    ) -> Result<(), Fault> {
        let mut digester = Digester::new(DigestAlgorithm::Sha256);
        for certificate in peer {
            digester.update(&certificate.sha256());
        }
        for response in ocsp {
            digester.update(&DigestAlgorithm::Sha256.digest(response));
        }
        let key = (digester.finish(), client.clone());
        if self.certificates.recall(&key, conf).is_some() {
            return Ok(());
        }
        let refused = |text| Fault::new(codes::SSL_AUTHENTICATION_FAILED, text);
        let responses =
            ocsp.iter().map(|der| OcspResponse::parse(der)).collect::<Result<Vec<_>, _>>();
        let responses =
            responses.map_err(|e| refused(format!("An OCSP response cannot be read: {e}")))?;
        judge_authentication(peer, &responses, client, now, conf).map_err(refused)?;
        self.certificates.remember(key, (), conf, CERTIFICATE_STANDS);
        Ok(())
    }
}

/// The judgement of a TLS certificate (X-Road `CertHelper.verifyAuthCert`).
fn judge_authentication(
    peer: &[Certificate],
    ocsp: &[OcspResponse],
    client: &ClientId,
    now: OffsetDateTime,
    conf: &GlobalConf,
) -> Result<(), String> {
    let leaf = peer.first().ok_or("The peer showed no TLS certificate")?;
    let subject = leaf.subject_rfc2253();
    if !leaf.is_authentication_certificate() {
        return Err(format!("The certificate of {subject} is not an authentication certificate"));
    }
    let last = peer.last().unwrap_or(leaf);
    let anchor = conf.issuer_of(client.instance(), last).ok_or_else(|| {
        format!("The certificate of {subject} is not issued by an approved certification service")
    })?;
    let extra = peer.get(1..).unwrap_or_default();
    let path = chain::judge(leaf, extra, &anchor.certificate, now)
        .map_err(|e| format!("{subject}: {e}"))?;
    if ocsp.is_empty() {
        return Err(format!("The OCSP response for the TLS certificate of {subject} is missing"));
    }
    for certificate in path.iter().filter(|c| **c != anchor.certificate) {
        let issuer = conf.issuer_of(client.instance(), certificate).ok_or_else(|| {
            format!("The authority of {} is not approved", certificate.subject_rfc2253())
        })?;
        let response = ocsp
            .iter()
            .find(|r| r.matches(certificate, &issuer.certificate))
            .ok_or_else(|| format!("No OCSP response for {}", certificate.subject_rfc2253()))?;
        judge(
            response,
            certificate,
            &issuer.certificate,
            &conf.ocsp_trust(issuer),
            &conf.ocsp_policy(),
            now,
        )
        .map_err(|e| format!("{}: {e}", certificate.subject_rfc2253()))?;
    }
    if !conf.auth_certificate_matches(leaf, client) {
        return Err(format!(
            "The TLS certificate of {subject} is not registered for a security server that serves {client}"
        ));
    }
    Ok(())
}

struct Remembered<V> {
    value: V,
    until: Instant,
    conf: Weak<GlobalConf>,
}

struct Memory<K, V>(Mutex<HashMap<K, Remembered<V>>>);

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Memory<K, V> {
    fn recall(&self, key: &K, conf: &Arc<GlobalConf>) -> Option<V> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(key)?;
        let stands =
            found.until > Instant::now() && std::ptr::eq(found.conf.as_ptr(), Arc::as_ptr(conf));
        stands.then(|| found.value.clone())
    }

    fn remember(&self, key: K, value: V, conf: &Arc<GlobalConf>, stands: Duration) {
        let now = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.retain(|_, r| r.until > now);
            if known.len() >= MOST_REMEMBERED {
                known.clear();
            }
        }
        known.insert(key, Remembered { value, until: now + stands, conf: Arc::downgrade(conf) });
    }
}
