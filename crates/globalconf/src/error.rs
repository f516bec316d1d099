use time::OffsetDateTime;

/// What can be wrong with a global configuration, its signed directory or its anchor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobalConfError {
    /// A document of the configuration is not what its schema says, or is missing.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The document at fault, e.g. `shared parameters`.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The configuration has expired.
    #[error("the global configuration of {instance} expired at {expired}")]
    Outdated {
        /// The instance, empty when it is not known yet.
        instance: String,
        /// When it expired.
        expired: OffsetDateTime,
    },
    /// The signed directory is not a well-formed multipart message, or is beyond its bounds.
    #[error("malformed configuration directory: {0}")]
    MalformedDirectory(String),
    /// A header that must be there is not.
    #[error("missing header {0}")]
    MissingHeader(&'static str),
    /// A header lacks a parameter that must be there.
    #[error("header {header} lacks the parameter {parameter}")]
    MissingParameter {
        /// The header.
        header: &'static str,
        /// The parameter.
        parameter: &'static str,
    },
    /// A header has a value that is not allowed.
    #[error("header {header} has the value '{value}', which is not allowed")]
    WrongHeaderValue {
        /// The header.
        header: &'static str,
        /// The value, cut to 200 characters.
        value: String,
    },
    /// The directory has no signed part.
    #[error("the configuration directory has no signed data")]
    MissingSignedData,
    /// The directory has no signature part, so that no expiry date could be read from it.
    #[error("the configuration directory has no signature, hence no expiry date that counts")]
    MissingSignature,
    /// None of the verification certificates of the location has the digest that the directory names.
    #[error("no verification certificate of the location has the digest {0}")]
    MissingVerificationCertificate(String),
    /// The signature is not base64.
    #[error("the signature of the configuration directory is not base64")]
    UndecodableSignature,
    /// The signature does not verify.
    #[error("the signature of the configuration directory does not verify: {0}")]
    InvalidSignature(String),
    /// A part is of another instance than the directory says.
    #[error("a part that should be of instance {expected} is of instance {found}")]
    InstanceMismatch {
        /// The instance that the directory names.
        expected: String,
        /// The instance that the document names.
        found: String,
    },
    /// A part's digest is not that of the directory.
    #[error("the digest of {0} is not the one in the signed directory")]
    PartDigest(String),
    /// What is to be published cannot be written.
    #[error("cannot write {what}: {why}")]
    CannotWrite {
        /// What was to be written.
        what: &'static str,
        /// Why it cannot be.
        why: String,
    },
    /// An address from which no configuration can be downloaded.
    #[error("'{0}' is not an address to download a configuration from")]
    InvalidAddress(String),
}

impl GlobalConfError {
    /// The error code of X-Road 7.8.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed_global_conf",
            Self::Outdated { .. } => "global_conf_outdated",
            Self::MalformedDirectory(_) => "global_conf_parsing_downloaded_conf_directory_failure",
            Self::MissingHeader(_) => "global_conf_header_field_missing",
            Self::MissingParameter { .. } => "global_conf_header_field_missing_parameter",
            Self::WrongHeaderValue { .. } => "global_conf_header_field_wrong_value",
            Self::MissingSignedData => "global_conf_missing_signed_data",
            Self::MissingSignature => "global_conf_missing_signed_data_expiration_date",
            Self::MissingVerificationCertificate(_) => "global_conf_missing_verification_cert",
            Self::UndecodableSignature => "global_conf_signature_decode_failure",
            Self::InvalidSignature(_) => "global_conf_signature_verification_failure",
            Self::InstanceMismatch { .. } => "global_conf_part_invalid_instance_identifier",
            Self::PartDigest(_) => "global_conf_part_downloaded_file_integrity_failure",
            Self::InvalidAddress(_) => "global_conf_download_url_connection_failure",
            Self::CannotWrite { .. } => "internal_error",
        }
    }

    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        Self::Malformed { what, why: why.into() }
    }

    pub(crate) fn directory(why: impl Into<String>) -> Self {
        Self::MalformedDirectory(why.into())
    }

    pub(crate) fn cannot_write(what: &'static str, why: impl Into<String>) -> Self {
        Self::CannotWrite { what, why: why.into() }
    }

    pub(crate) fn wrong_value(header: &'static str, value: &str) -> Self {
        Self::WrongHeaderValue { header, value: value.chars().take(200).collect() }
    }
}
