use std::path::{Path, PathBuf};

use causeway_pki::PkiError;

use crate::KeyId;

/// What can go wrong with keys, PINs and tokens. No variant carries a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The PIN could not be obtained.
    #[error("cannot read the PIN from {source_name}: {why}")]
    PinSource {
        /// The file, environment variable or prompt.
        source_name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The PIN does not satisfy the policy.
    #[error("the PIN {0}")]
    PinPolicy(&'static str),
    /// The PIN is wrong.
    #[error("the PIN is wrong ({failed} failed attempts in a row)")]
    PinIncorrect {
        /// Failed attempts since the last success, this one among them.
        failed: u32,
    },
    /// Too many wrong PINs: no further one is tried yet, not even the right one.
    #[error("too many wrong PINs: try again in {seconds} s")]
    PinTooSoon {
        /// Seconds until the next attempt.
        seconds: u64,
    },
    /// The token is locked.
    #[error("the token is locked")]
    Locked,
    /// The module took too many wrong PINs, and takes none any more.
    #[error(
        "the token's PIN is locked after too many wrong ones; unlock it with the module's own tools"
    )]
    PinLocked,
    /// A PKCS#11 library, or the module behind it, does not work.
    #[error("the PKCS#11 library {library}: {why}")]
    Module {
        /// The library's file.
        library: PathBuf,
        /// What it says.
        why: String,
    },
    /// The token in a PKCS#11 module is not there.
    #[error("there is no token with {choice}: {why}")]
    TokenAbsent {
        /// Which token was looked for.
        choice: String,
        /// What was found instead.
        why: String,
    },
    /// There is no token in the folder.
    #[error("no token in {0}")]
    NoToken(PathBuf),
    /// There is a token in the folder already.
    #[error("{0} has a token already")]
    TokenExists(PathBuf),
    /// The token's file is damaged, or was tampered with.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Everyone on the machine may read or write the token's file.
    #[error("{0} is open to everyone on this machine; make it readable by its owner alone")]
    Exposed(PathBuf),
    /// Another process changed the token's file after it was read here.
    #[error("{0} was changed by another process; open the token again")]
    ChangedOnDisk(PathBuf),
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The token has no such key.
    #[error("no key {0} in the token")]
    KeyNotFound(KeyId),
    /// The token has no such certificate.
    #[error("no certificate with SHA-256 fingerprint {0} in the token")]
    CertificateNotFound(String),
    /// The token has no such certificate request.
    #[error("no such certificate request for key {0}")]
    RequestNotFound(KeyId),
    /// The certificate is there already.
    #[error("certificate with SHA-256 fingerprint {0} is in the token already")]
    CertificateExists(String),
    /// No key in the token belongs to the certificate.
    #[error("no key in the token belongs to the certificate of {0}")]
    NoKeyForCertificate(String),
    /// The certificate's key usage does not fit its key's.
    #[error("the certificate of {subject} is not for {usage}, which its key is for")]
    WrongUsage {
        /// The certificate's subject.
        subject: String,
        /// What the key is for.
        usage: crate::Usage,
    },
    /// A key of a kind that is not kept here, or that is malformed.
    #[error("unsupported key: {0}")]
    UnsupportedKey(String),
    /// The key could not be made.
    #[error("cannot generate a key: {0}")]
    Generation(String),
    /// A bound of the token would be exceeded.
    #[error("a token holds at most {limit} {what}")]
    TooMany {
        /// What there would be too many of.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// Certificates, requests or signing.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

impl KeysError {
    /// The X-Road 7.8 error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PinPolicy(_) => "token_pin_policy_failure",
            Self::PinIncorrect { .. } => "pin_incorrect",
            Self::PinTooSoon { .. } => "login_failed",
            Self::PinLocked => "pin_locked",
            Self::Module { .. } | Self::TokenAbsent { .. } => "token_not_available",
            Self::Locked => "token_not_active",
            Self::NoToken(_) => "token_not_initialized",
            Self::Damaged { .. } | Self::Exposed(_) | Self::ChangedOnDisk(_) => {
                "token_not_available"
            }
            Self::Io { .. } => "io_error",
            Self::KeyNotFound(_) | Self::NoKeyForCertificate(_) => "key_not_found",
            Self::CertificateNotFound(_) => "cert_not_found",
            Self::RequestNotFound(_) => "csr_not_found",
            Self::CertificateExists(_) => "cert_exists",
            Self::WrongUsage { .. } => "wrong_cert_usage",
            Self::Generation(_) => "failed_to_generate_private_key",
            Self::Pki(error) => error.code(),
            Self::PinSource { .. }
            | Self::TokenExists(_)
            | Self::UnsupportedKey(_)
            | Self::TooMany { .. } => "internal_error",
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn module(library: &Path, why: impl Into<String>) -> Self {
        Self::Module { library: library.to_owned(), why: why.into() }
    }

    pub(crate) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.into() }
    }
}
