use causeway_asic::AsicError;

/// Why an archive cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The ZIP file, or a container, is damaged, refused or too large; or reading or writing failed.
    #[error("{0}")]
    File(#[from] AsicError),
    /// No entry `linkinginfo`.
    #[error(
        "the archive has no entry 'linkinginfo', so nothing ties it to others or its containers to each other"
    )]
    NoLinkingInfo,
    /// The entry `linkinginfo` cannot be read.
    #[error("the archive's linking information cannot be read: {0}")]
    MalformedLinkingInfo(String),
    /// The digests are of an algorithm that is not accepted.
    #[error(
        "the archive's linking information uses '{0}'; only SHA-256, SHA-384 and SHA-512 are accepted"
    )]
    DigestNotAccepted(String),
    /// A container of this name is in the archive already.
    #[error(
        "a container '{0}' is in the archive already; message ids and record numbers must differ"
    )]
    SameName(String),
    /// The archive cannot take another container.
    #[error("the archive is full; it must be finished and another one begun")]
    Full,
    /// There is nothing in the archive.
    #[error("the archive has no containers, and an empty one is never written")]
    Empty,
    /// What was written does not read back as what was to be written.
    #[error("the archive does not read back as it was written ({0}); it was thrown away")]
    NotAsWritten(String),
    /// A key for encryption cannot be read or used.
    #[error("the OpenPGP key cannot be used: {0}")]
    Key(String),
    /// The archive is encrypted for others.
    #[error("the archive is encrypted, and none of the given keys opens it: {0}")]
    NoKey(String),
    /// The archive's encryption does not hold.
    #[error("the encrypted archive is damaged or was changed: {0}")]
    Encryption(String),
    /// Encrypting failed.
    #[error("encrypting the archive failed: {0}")]
    Encrypting(String),
}

impl ArchiveError {
    /// The error code, as X-Road 7.8 has it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::NoKey(_) | Self::Encryption(_) | Self::Encrypting(_) => "io_error",
            _ => "internal_error",
        }
    }
}

impl From<std::io::Error> for ArchiveError {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.into())
    }
}
