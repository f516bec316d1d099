//! From the keys of the token to what signs and what TLS shows.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use causeway_globalconf::GlobalConf;
use causeway_identifiers::MemberId;
use causeway_keys::{KeysError, Usage};
use causeway_pki::ocsp::{OcspResponse, judge_status, judge_time};
use causeway_pki::{Certificate, SigningKey};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use super::tokens::Tokens;
use crate::metrics::Metrics;
use crate::ocsp_client::OcspCache;
use crate::signing::BatchSigner;
use crate::tls::Identity;

/// Keys that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The token refuses.
    #[error("{0}")]
    Keys(#[from] KeysError),
    /// A signing thread could not be started.
    #[error("a signing thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The certification authorities strictly between a certificate and its root: they go along with it.
fn intermediates(certificate: &Certificate, conf: Option<&GlobalConf>) -> Vec<Certificate> {
    let Some(conf) = conf else { return Vec::new() };
    conf.issuer_path(conf.instance(), certificate)
        .into_iter()
        .map(|ca| ca.certificate.clone())
        .filter(|ca| !ca.is_self_signed())
        .collect()
}

/// The TLS identity towards other security servers: the active authentication certificate.
///
/// # Errors
/// When the token refuses.
pub(super) fn authentication(
    tokens: &Tokens,
    conf: Option<&GlobalConf>,
    now: OffsetDateTime,
) -> Result<Option<Identity>, CredentialsError> {
    let token = tokens.software();
    let Some(credential) = token.credentials(Usage::Authentication, now)?.into_iter().next_back()
    else {
        return Ok(None);
    };
    let spki = credential.key.certificate_public_key();
    let Some(info) = token.keys().into_iter().find(|k| k.public_key == spki) else {
        return Ok(None);
    };
    let pkcs8 = token.key(&info.id)?.to_pkcs8();
    let mut chain = vec![credential.certificate.clone()];
    chain.extend(intermediates(&credential.certificate, conf));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
    Ok(Some(Identity { chain, key }))
}

/// A signer for each member that has an active signing key. Where a member
/// has several, the certificate that is valid the longest is used.
///
/// # Errors
/// When the token refuses, or a thread cannot be started.
pub(super) fn signers(
    tokens: &Tokens,
    conf: &Arc<ArcSwapOption<GlobalConf>>,
    ocsp: &Arc<OcspCache>,
    metrics: &Arc<Metrics>,
    now: OffsetDateTime,
) -> Result<HashMap<MemberId, BatchSigner>, CredentialsError> {
    let mut best = HashMap::new();
    let mut credentials = tokens.credentials(Usage::Signing, now)?;
    credentials.sort_by_key(|c| c.certificate.not_after());
    for credential in credentials {
        if let Some(member) = credential.member.clone() {
            best.insert(member, credential);
        }
    }
    let held = conf.load_full();
    let mut signers = HashMap::new();
    for (member, credential) in best {
        let between = intermediates(&credential.certificate, held.as_deref());
        let metrics = Arc::clone(metrics);
        let signer = BatchSigner::start(
            credential.certificate.clone(),
            &between,
            credential.key,
            current_ocsp(
                credential.certificate,
                between.clone(),
                Arc::clone(ocsp),
                Arc::clone(conf),
            ),
            Box::new(move |messages| metrics.batch(messages)),
        )?;
        signers.insert(member, signer);
    }
    Ok(signers)
}

/// The OCSP responses for a signature made now: good, and not older than the network allows. With
/// any other nobody would accept it.
fn current_ocsp(
    certificate: Certificate,
    between: Vec<Certificate>,
    ocsp: Arc<OcspCache>,
    conf: Arc<ArcSwapOption<GlobalConf>>,
) -> crate::signing::CurrentOcsp {
    Box::new(move |now| -> Result<Vec<OcspResponse>, String> {
        let conf = conf.load_full().ok_or("there is no global configuration")?;
        std::iter::once(&certificate)
            .chain(&between)
            .map(|certificate| {
                // Made for messages alone: this is asked for every batch.
                let subject = || causeway_console::name(&certificate.subject_rfc2253());
                let response = ocsp.get(certificate).ok_or_else(|| {
                    format!("there is no valid OCSP response for the certificate of {}", subject())
                })?;
                judge_time(&response, &conf.ocsp_policy(), now)
                    .and_then(|()| judge_status(&response))
                    .map_err(|e| {
                        format!(
                            "there is no valid OCSP response for the certificate of {}: {e}",
                            subject()
                        )
                    })?;
                Ok(response)
            })
            .collect()
    })
}

/// The certificates whose OCSP responses must be at hand: signing and authentication, with what lies between.
///
/// # Errors
/// When the token refuses.
pub(super) fn own_certificates(
    tokens: &Tokens,
    conf: Option<&GlobalConf>,
    now: OffsetDateTime,
) -> Result<Vec<Certificate>, CredentialsError> {
    let mut all = Vec::new();
    for usage in [Usage::Signing, Usage::Authentication] {
        for credential in tokens.credentials(usage, now)? {
            all.extend(intermediates(&credential.certificate, conf));
            all.push(credential.certificate);
        }
    }
    all.sort_by_key(Certificate::sha256);
    all.dedup();
    Ok(all)
}
