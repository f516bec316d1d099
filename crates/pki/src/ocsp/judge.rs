use std::time::Duration;

use time::OffsetDateTime;

use super::{CertStatus, OcspError, OcspResponse, ResponderId};
use crate::{Certificate, EcdsaForm, name};

/// How far thisUpdate may lie in the future: what clocks of honest peers differ by.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// How old a response may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OcspPolicy {
    /// Greatest age of thisUpdate: `ocspFreshnessSeconds` of the own instance's global configuration.
    pub freshness: Duration,
    /// Whether nextUpdate, where present, must not have passed (an instance may switch this off).
    pub verify_next_update: bool,
}

impl Default for OcspPolicy {
    /// One hour, nextUpdate verified: X-Road's defaults.
    fn default() -> Self {
        Self { freshness: Duration::from_secs(3600), verify_next_update: true }
    }
}

/// Whose signatures on OCSP responses count, as the global configuration says.
#[derive(Debug, Clone, Copy)]
pub struct OcspTrust<'a> {
    /// Responders configured for the very authority that issued the certificate.
    pub responders_of_issuer: &'a [Certificate],
    /// Responders configured for any authority of any instance.
    pub all_responders: &'a [Certificate],
    /// All authorities of all instances.
    pub all_cas: &'a [Certificate],
}

impl<'a> OcspTrust<'a> {
    /// No configured responders: only the issuer itself, and responders that it certified, count.
    pub const fn issuer_only() -> Self {
        Self { responders_of_issuer: &[], all_responders: &[], all_cas: &[] }
    }
}

/// Judges a response for `cert` at a moment: signature and authority of the responder, age, status.
///
/// # Errors
/// The first rule that is broken, in the order of X-Road 7.8; see [`verify_signature`], [`judge_time`]
/// and [`judge_status`].
pub fn judge(
    response: &OcspResponse,
    cert: &Certificate,
    issuer: &Certificate,
    trust: &OcspTrust<'_>,
    policy: &OcspPolicy,
    at: OffsetDateTime,
) -> Result<(), OcspError> {
    verify_signature(response, cert, issuer, trust)?;
    judge_time(response, policy, at)?;
    judge_status(response)
}

/// Verifies what does not depend on time, so that a caller may remember it: that the response is about
/// `cert`, that its signature verifies, and that the responder may speak for `issuer`. Gives the
/// responder's certificate.
///
/// Candidates are the configured responders, the known authorities, the issuer, and the certificates in
/// the response, that fit the responder id. X-Road tries the first that fits and no other, so two
/// authorities of one name break it; here each is tried.
///
/// # Errors
/// [`OcspError::OtherCertificate`], [`OcspError::ResponderNotFound`], [`OcspError::BadSignature`] or
/// [`OcspError::NotAuthorized`].
pub fn verify_signature(
    response: &OcspResponse,
    cert: &Certificate,
    issuer: &Certificate,
    trust: &OcspTrust<'_>,
) -> Result<Certificate, OcspError> {
    if !response.matches(cert, issuer) {
        return Err(OcspError::OtherCertificate(cert.serial_decimal()));
    }
    let candidates = trust
        .responders_of_issuer
        .iter()
        .chain(trust.all_responders)
        .chain(trust.all_cas)
        .chain(std::iter::once(issuer))
        .chain(response.certificates())
        .filter(|candidate| fits(response.responder_id(), candidate));
    let mut failure = OcspError::ResponderNotFound;
    let mut tried: Vec<&Certificate> = Vec::new();
    for candidate in candidates {
        if tried.contains(&candidate) {
            continue;
        }
        tried.push(candidate);
        if !is_signed_by(response, candidate) {
            if failure == OcspError::ResponderNotFound {
                failure = OcspError::BadSignature;
            }
        } else if is_authorized(candidate, issuer, trust) {
            return Ok(candidate.clone());
        } else {
            failure = OcspError::NotAuthorized;
        }
    }
    Err(failure)
}

fn fits(id: &ResponderId, candidate: &Certificate) -> bool {
    match id {
        ResponderId::ByName(der) => name::same_or_reversed(der, candidate.subject_der()),
        ResponderId::ByKey(hash) => candidate.key_sha1() == hash,
    }
}

fn is_signed_by(response: &OcspResponse, candidate: &Certificate) -> bool {
    candidate.public_key().is_ok_and(|key| {
        key.verify_legacy(
            response.signature_algorithm(),
            EcdsaForm::Der,
            response.tbs(),
            response.signature(),
        )
        .is_ok()
    })
}

fn is_authorized(responder: &Certificate, issuer: &Certificate, trust: &OcspTrust<'_>) -> bool {
    trust.responders_of_issuer.contains(responder)
        || responder == issuer
        || (responder.is_ocsp_signer() && responder.is_issued_by(issuer))
}

/// Judges the age of the response at a moment.
///
/// Stricter than X-Road: thisUpdate more than [`MAX_CLOCK_SKEW`] after `at` is refused.
///
/// # Errors
/// [`OcspError::TooOld`], [`OcspError::FromTheFuture`] or [`OcspError::Expired`].
pub fn judge_time(
    response: &OcspResponse,
    policy: &OcspPolicy,
    at: OffsetDateTime,
) -> Result<(), OcspError> {
    let this_update = response.this_update();
    let age = at - this_update;
    if age > policy.freshness {
        return Err(OcspError::TooOld(this_update));
    }
    if -age > MAX_CLOCK_SKEW {
        return Err(OcspError::FromTheFuture(this_update));
    }
    match response.next_update() {
        Some(next_update) if policy.verify_next_update && next_update < at => {
            Err(OcspError::Expired { at, next_update })
        }
        _ => Ok(()),
    }
}

/// Requires the status to be good.
///
/// # Errors
/// [`OcspError::Revoked`] or [`OcspError::UnknownStatus`].
pub fn judge_status(response: &OcspResponse) -> Result<(), OcspError> {
    match response.status() {
        CertStatus::Good => Ok(()),
        CertStatus::Revoked { at } => Err(OcspError::Revoked(at)),
        CertStatus::Unknown => Err(OcspError::UnknownStatus),
    }
}
