//! Why a signature or a hash chain does not hold.

/// A signature that cannot be made, read or trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not well-formed XML.
    #[error("the signature is not well-formed XML: {0}")]
    InvalidXml(String),
    /// The document is not a signature of the expected form, or does not cover what it must.
    #[error("{0}")]
    Malformed(String),
    /// The hash chain of the signature does not hold.
    #[error("the hash chain does not hold: {0}")]
    HashChain(#[from] HashChainError),
    /// The signature value, or the digest of something that is signed, is wrong.
    #[error("{0}")]
    InvalidValue(String),
    /// The certificate may not sign messages, or belongs to another member.
    #[error("{0}")]
    IncorrectCertificate(String),
    /// The certificate's path to an approved certification authority does not hold.
    #[error("{message}")]
    CertificatePath {
        /// The code of the path or OCSP check that failed.
        code: &'static str,
        /// What failed.
        message: String,
    },
    /// A signature could not be made.
    #[error("cannot create the signature: {0}")]
    CannotCreate(String),
}

impl SignatureError {
    /// The error code, as X-Road 7.8 writes it, without prefixes.
    pub fn code(&self) -> String {
        match self {
            Self::InvalidXml(_) => "invalid_xml".into(),
            Self::Malformed(_) => "malformed_signature".into(),
            Self::HashChain(error) => format!("malformed_signature.{}", error.code()),
            Self::InvalidValue(_) => "invalid_signature_value".into(),
            Self::IncorrectCertificate(_) => "incorrect_certificate".into(),
            Self::CertificatePath { code, .. } if code.starts_with("cannot_create_cert_path") => {
                (*code).into()
            }
            Self::CertificatePath { code, .. } if code.starts_with("invalid_cert_path") => {
                (*code).into()
            }
            Self::CertificatePath { code, .. } => format!("invalid_cert_path.{code}"),
            Self::CannotCreate(_) => "cannot_create_signature".into(),
        }
    }

    pub(crate) fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }
}

/// Why a hash chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashChainError {
    /// The chain or its result does not follow the schema, or is too deep or circular.
    #[error("malformed hash chain: {0}")]
    Malformed(String),
    /// A file that the chain names is not there.
    #[error("the hash chain names '{0}', which is not there")]
    InvalidReference(String),
    /// The digest of a file differs from what the chain states.
    #[error("the digest of '{0}' differs from the one in the hash chain")]
    DigestDiffers(String),
    /// The chain does not lead to its result.
    #[error("the hash chain does not lead to its result")]
    ResultDiffers,
    /// Something that must be covered is not.
    #[error("the hash chain does not cover '{0}'")]
    UnusedInput(String),
}

impl HashChainError {
    /// The error code, as X-Road 7.8 writes it, without prefixes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_hash_chain",
            Self::InvalidReference(_) => "invalid_reference",
            Self::DigestDiffers(_) => "invalid_hash_chain_ref",
            Self::ResultDiffers => "invalid_hash_chain",
            Self::UnusedInput(_) => "hashchain_unused_inputs",
        }
    }
}
