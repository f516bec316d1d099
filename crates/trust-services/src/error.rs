use causeway_keys::KeysError;
use causeway_pki::PkiError;
use thiserror::Error;

/// What can go wrong in the trust services.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrustServicesError {
    /// A certificate, request or signature is at fault.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A key cannot be made or read.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A file of the authority cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file of the authority does not hold what it should.
    #[error("{path}: {why}")]
    BadFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The request is refused by the authority's rules.
    #[error("refused: {0}")]
    Refused(String),
    /// The system gives no random bytes.
    #[error("no random bytes from the system")]
    NoRandomness,
    /// No such certificate was issued.
    #[error("no certificate with serial number {0} was issued")]
    UnknownCertificate(String),
    /// The network failed.
    #[error("network: {0}")]
    Network(#[from] std::io::Error),
}
