//! The online certificate status protocol (RFC 6960): requests, responses, and the judgement that
//! X-Road 7.8 passes on a response.

mod build;
mod judge;
mod request;
mod response;

use thiserror::Error;
use time::OffsetDateTime;

use crate::asn1::{self, Reader, tag};
use crate::{Certificate, DigestAlgorithm, PkiError};

pub use build::{ResponderIdForm, ResponseBuilder, error_response};
pub use judge::{
    MAX_CLOCK_SKEW, OcspPolicy, OcspTrust, judge, judge_status, judge_time, verify_signature,
};
pub use request::{MAX_REQUEST, OcspRequest, request, request_for};
pub use response::{CertStatus, MAX_RESPONSE, OcspResponse, ResponderId, SingleResponse};

/// Why an OCSP response does not speak for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OcspError {
    /// The response cannot be read.
    #[error("OCSP response: {0}")]
    Malformed(#[from] PkiError),
    /// The responder answered with an error status (RFC 6960 4.2.1) instead of a response.
    #[error("OCSP responder answered with status {0}")]
    Unsuccessful(u8),
    /// The response is about another certificate.
    #[error("OCSP response does not apply to certificate (sn = {0})")]
    OtherCertificate(String),
    /// No known or embedded certificate fits the responder id.
    #[error("Could not find OCSP certificate for responder ID")]
    ResponderNotFound,
    /// The response's signature does not verify.
    #[error("Signature on OCSP response is not valid")]
    BadSignature,
    /// The responder may not speak for this certification authority.
    #[error("OCSP responder is not authorized for given CA")]
    NotAuthorized,
    /// thisUpdate lies too far back.
    #[error("OCSP response is too old (thisUpdate: {0})")]
    TooOld(OffsetDateTime),
    /// thisUpdate lies in the future.
    #[error("OCSP response is from the future (thisUpdate: {0})")]
    FromTheFuture(OffsetDateTime),
    /// nextUpdate has passed.
    #[error("OCSP nextUpdate is too old, atDate: {at} nextUpdate: {next_update}")]
    Expired {
        /// The moment of judgement.
        at: OffsetDateTime,
        /// The response's nextUpdate.
        next_update: OffsetDateTime,
    },
    /// The certificate has been revoked.
    #[error("OCSP response indicates certificate status is REVOKED (date: {0})")]
    Revoked(OffsetDateTime),
    /// The responder does not know the certificate.
    #[error("OCSP response indicates certificate status is UNKNOWN")]
    UnknownStatus,
}

impl OcspError {
    /// The error code of the protocol.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Revoked(_) | Self::UnknownStatus => "cert_validation",
            _ => "incorrect_validation_info",
        }
    }
}

/// Names a certificate to a responder: digests of the issuer's name and key, and the serial number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertId {
    /// Algorithm of both digests.
    pub algorithm: DigestAlgorithm,
    /// Digest of the DER of the issuer's name.
    pub issuer_name_hash: Vec<u8>,
    /// Digest of the content of the issuer's subjectPublicKey BIT STRING.
    pub issuer_key_hash: Vec<u8>,
    /// Content octets of the serial number, shortest form.
    pub serial: Vec<u8>,
}

impl CertId {
    /// The id of `cert`, issued by `issuer`, with SHA-1: the only algorithm X-Road peers use and accept.
    pub fn of(cert: &Certificate, issuer: &Certificate) -> Self {
        Self::with_algorithm(DigestAlgorithm::Sha1, cert.serial_bytes(), issuer)
    }

    /// The id of the certificate with this serial number (content octets) of `issuer`.
    pub fn with_algorithm(algorithm: DigestAlgorithm, serial: &[u8], issuer: &Certificate) -> Self {
        Self {
            algorithm,
            issuer_name_hash: algorithm.digest(issuer.subject_der()),
            issuer_key_hash: algorithm.digest(issuer.subject_public_key_bits()),
            serial: shortest(serial).to_vec(),
        }
    }

    fn read(mut reader: Reader<'_>) -> Result<Self, PkiError> {
        let algorithm = DigestAlgorithm::read_identifier(reader.sequence()?)?;
        let issuer_name_hash = reader.octets()?;
        let issuer_key_hash = reader.octets()?;
        let serial = reader.integer()?;
        reader.finish()?;
        let length = algorithm.output_len();
        if issuer_name_hash.len() != length || issuer_key_hash.len() != length || serial.len() > 64
        {
            return Err(PkiError::malformed("OCSP certificate id", "lengths do not fit"));
        }
        Ok(Self {
            algorithm,
            issuer_name_hash: issuer_name_hash.to_vec(),
            issuer_key_hash: issuer_key_hash.to_vec(),
            serial: shortest(serial).to_vec(),
        })
    }

    fn write(&self) -> Vec<u8> {
        asn1::sequence(&[
            self.algorithm.identifier(true),
            asn1::octets(&self.issuer_name_hash),
            asn1::octets(&self.issuer_key_hash),
            asn1::element(tag::INTEGER, &[&self.serial]),
        ])
    }
}

/// Two's complement octets without redundant leading ones.
pub(crate) fn shortest(mut serial: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = serial {
        let redundant = match (first, rest.first()) {
            (0, Some(next)) => next & 0x80 == 0,
            (0xff, Some(next)) => next & 0x80 != 0,
            _ => false,
        };
        if !redundant {
            break;
        }
        serial = rest;
    }
    serial
}
