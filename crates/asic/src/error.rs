use std::io;

/// Why a container, or the archive that holds it, cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AsicError {
    /// The file is not a ZIP archive. X-Road's reader finds no entry in it, so its first complaint
    /// is the missing media type.
    #[error("the file is not a ZIP archive, so not a container")]
    NotAnArchive,
    /// The archive contradicts itself or breaks off.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// The archive uses something that has no place in a container, and that readers may understand differently.
    #[error("the archive is refused: {0}")]
    Refused(String),
    /// The archive, or an entry, is beyond a bound of [`crate::Limits`].
    #[error("{what} is beyond the bound of {limit}")]
    TooLarge {
        /// What is too large, with its unit.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// Reading or writing failed.
    #[error("reading or writing failed: {0}")]
    Io(String),
    /// No entry `mimetype`, or an empty one.
    #[error("the container has no entry 'mimetype', or it is empty")]
    MimeTypeNotFound,
    /// The media type is another.
    #[error("the container's media type is '{0}'")]
    InvalidMimeType(String),
    /// No entry `message.xml`, or an empty one.
    #[error("the container has no entry 'message.xml', or it is empty")]
    MessageNotFound,
    /// No entry `META-INF/signatures.xml`, or an empty one.
    #[error("the container has no entry 'META-INF/signatures.xml', or it is empty")]
    SignatureNotFound,
    /// A hash chain without the result that it leads to.
    #[error("the container has a hash chain but no entry '{0}', or it is empty")]
    HashChainResultNotFound(&'static str),
    /// The result of a hash chain without the chain.
    #[error("the container has the result of a hash chain but no entry '{0}', or it is empty")]
    HashChainNotFound(&'static str),
    /// An empty timestamp.
    #[error("the container's timestamp is empty")]
    TimestampNotFound,
    /// An empty manifest.
    #[error("the container's entry '{0}' is empty")]
    ManifestNotFound(&'static str),
    /// The signature is not XML, where the timestamp was to be found in it.
    #[error("the signature is not well-formed XML: {0}")]
    InvalidSignatureXml(String),
    /// No timestamp, neither as an entry nor in the signature.
    #[error(
        "the container has no timestamp, neither 'META-INF/timestamp.tst' nor inside the signature"
    )]
    NoTimestamp,
    /// The bytes of an attachment were not kept, so they cannot be written.
    #[error("the content of '{0}' is not in memory")]
    ContentNotKept(String),
    /// A source did not give as many bytes as it promised.
    #[error("'{name}' gave {found} bytes where {expected} were promised")]
    WrongLength {
        /// The entry.
        name: String,
        /// How many bytes were promised.
        expected: u64,
        /// How many came, or one more than promised when more came.
        found: u64,
    },
}

impl AsicError {
    /// The error code, as X-Road 7.8 writes it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnArchive | Self::MimeTypeNotFound => "asic_mime_type_not_found",
            Self::InvalidMimeType(_) => "asic_invalid_mime_type",
            Self::MessageNotFound => "asic_message_not_found",
            Self::SignatureNotFound => "asic_signature_not_found",
            Self::HashChainResultNotFound(_) => "asic_hash_chain_result_not_found",
            Self::HashChainNotFound(_) => "asic_hash_chain_not_found",
            Self::TimestampNotFound => "asic_timestamp_not_found",
            Self::ManifestNotFound(_) => "asic_manifest_not_found",
            Self::InvalidSignatureXml(_) => "invalid_xml",
            Self::NoTimestamp => "malformed_signature",
            Self::Damaged(_)
            | Self::Refused(_)
            | Self::TooLarge { .. }
            | Self::Io(_)
            | Self::ContentNotKept(_)
            | Self::WrongLength { .. } => "io_error",
        }
    }

    /// Whether a rule of this reader spoke that X-Road's does not have.
    pub fn is_stricter_than_xroad(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::TooLarge { .. })
    }

    pub(crate) fn damaged(text: impl Into<String>) -> Self {
        Self::Damaged(text.into())
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

impl From<io::Error> for AsicError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::damaged("it breaks off"),
            _ => Self::Io(error.to_string()),
        }
    }
}
