//! The time-stamp protocol (RFC 3161): requests, answers, and tokens, which are CMS signed data
//! (RFC 5652) over a TSTInfo, with the signing certificate attributes of RFC 2634 and RFC 5816.

mod build;
mod request;
mod response;
mod token;

use thiserror::Error;

use crate::PkiError;

pub use build::{FailureInfo, ResponseBuilder, refusal};
pub use request::{MAX_REQUEST, TimestampRequest, request};
pub use response::{MAX_RESPONSE, TimestampResponse, check_response};
pub use token::{SignerId, TimestampToken};

mod oid {
    use der::asn1::ObjectIdentifier;

    pub(super) const SIGNED_DATA: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
    pub(super) const TST_INFO: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
    pub(super) const CONTENT_TYPE: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
    pub(super) const MESSAGE_DIGEST: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
    pub(super) const SIGNING_TIME: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
    pub(super) const SIGNING_CERTIFICATE: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
    pub(super) const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
}

/// Why a timestamp does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TspError {
    /// The token cannot be read.
    #[error("timestamp token: {0}")]
    MalformedToken(PkiError),
    /// The authority's answer cannot be read.
    #[error("timestamp response: {0}")]
    MalformedResponse(PkiError),
    /// The token stamps other data.
    #[error("Timestamp hashes do not match")]
    ImprintMismatch,
    /// No timestamping authority is known.
    #[error("No TSP service providers are configured.")]
    NoProvider,
    /// The token's signer is not among the known authorities.
    #[error("Could not find TSP certificate for timestamp")]
    CertificateNotFound,
    /// The token's signature does not hold; the text says which part of it.
    #[error("Failed to verify timestamp signer information: {0}")]
    SignatureInvalid(String),
    /// The authority refused.
    #[error("TimeStampResp.status: {status}, .statusString: {text}")]
    NotGranted {
        /// PKIStatus: 2 rejection, 3 waiting, 4 and 5 revocation.
        status: u8,
        /// The authority's words.
        text: String,
    },
    /// The answer is not an answer to the request.
    #[error("timestamp response does not fit the request: {0}")]
    ResponseMismatch(&'static str),
}

impl TspError {
    /// The error code of the protocol.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MalformedToken(_) | Self::ImprintMismatch => "malformed_signature",
            Self::MalformedResponse(_) => "mlog.reading_timestamp_response_failed",
            Self::NoProvider => "mlog.no_timestamping_provider_found",
            Self::CertificateNotFound => "mlog.tsp_certificate_not_found",
            Self::SignatureInvalid(_) => "mlog.timestamp_signer_verification_failed",
            Self::NotGranted { .. } => "mlog.timestamp_non_granted_response",
            Self::ResponseMismatch(_) => "mlog.timestamp_response_validation_failed",
        }
    }
}
