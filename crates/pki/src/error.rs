use thiserror::Error;

/// What can be wrong with certificates, keys, signatures and the structures around them.
///
/// OCSP, timestamps and certificate paths have errors of their own ([`crate::ocsp::OcspError`],
/// [`crate::tsp::TspError`], [`crate::chain::ChainError`]) because the protocol gives them codes of
/// their own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The bytes are not the structure they should be.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The structure that was being read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The input is larger than this crate is willing to read.
    #[error("{what} exceeds {limit}")]
    TooLarge {
        /// The structure that was being read.
        what: &'static str,
        /// The limit, in the unit that `what` names (bytes or entries).
        limit: usize,
    },
    /// An algorithm that is unknown, or known and not accepted here.
    #[error("unsupported algorithm: {0}")]
    UnsupportedAlgorithm(String),
    /// A kind of public key that cannot be used for what was asked.
    #[error("unsupported key: {0}")]
    UnsupportedKey(String),
    /// A signature does not verify; the text names what it should have covered.
    #[error("signature of {0} does not verify")]
    BadSignature(&'static str),
    /// The certificate's content does not fit its purpose (profile, key usage, subject).
    #[error("incorrect certificate: {0}")]
    IncorrectCertificate(String),
    /// The key refused to sign.
    #[error("signing failed: {0}")]
    SigningFailed(String),
    /// A value given by the caller cannot be encoded.
    #[error("cannot encode {what}: {why}")]
    CannotEncode {
        /// The value at fault.
        what: &'static str,
        /// Why it cannot be encoded.
        why: String,
    },
}

impl PkiError {
    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        Self::Malformed { what, why: why.into() }
    }

    pub(crate) fn cannot_encode(what: &'static str, why: impl Into<String>) -> Self {
        Self::CannotEncode { what, why: why.into() }
    }

    /// The error code of the protocol (snake case, as of X-Road 7.8).
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadSignature(_) => "invalid_signature_value",
            Self::IncorrectCertificate(_) => "incorrect_certificate",
            Self::SigningFailed(_) => "cannot_create_signature",
            _ => "internal_error",
        }
    }
}
