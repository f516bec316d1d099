use std::fmt;
use std::sync::Arc;

use causeway_pki::{Certificate, DigestAlgorithm, PkiError};

use crate::Version;

/// A certificate as a configuration document carries it: the bytes inside the base64, DER or PEM text.
///
/// Reading a document does not read its certificates, so that one odd certificate of an anchor or a
/// responder does not take a whole configuration down; whoever needs one calls [`EncodedCertificate::read`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncodedCertificate(Arc<[u8]>);

impl EncodedCertificate {
    /// The bytes as they were carried.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the certificate.
    ///
    /// # Errors
    /// When the bytes are neither a DER nor a PEM certificate.
    pub fn read(&self) -> Result<Certificate, PkiError> {
        Certificate::from_der_or_pem(&self.0)
    }
}

impl fmt::Debug for EncodedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedCertificate({} bytes)", self.0.len())
    }
}

impl From<Vec<u8>> for EncodedCertificate {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&Certificate> for EncodedCertificate {
    fn from(certificate: &Certificate) -> Self {
        Self(certificate.der().into())
    }
}

/// The digests by which an authentication certificate is registered.
///
/// A document carries one of them, depending on its version; a registry that publishes all versions
/// holds both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AuthCertificateHash {
    /// SHA-1 of the certificate's DER: version 2.
    pub sha1: Option<[u8; 20]>,
    /// SHA-256 of the certificate's DER: version 3 and newer.
    pub sha256: Option<[u8; 32]>,
}

impl AuthCertificateHash {
    /// Both digests of a certificate.
    pub fn of(certificate: &Certificate) -> Self {
        Self { sha1: Some(certificate.sha1()), sha256: Some(certificate.sha256()) }
    }

    /// A digest found in a document of the given version. `None` for one of the wrong length, which
    /// can match no certificate; documents with such are in use.
    pub fn from_document(version: Version, digest: &[u8]) -> Option<Self> {
        Some(match version.auth_certificate_digest() {
            DigestAlgorithm::Sha1 => Self { sha1: Some(digest.try_into().ok()?), sha256: None },
            _ => Self { sha1: None, sha256: Some(digest.try_into().ok()?) },
        })
    }

    /// The digest that a document of the given version carries.
    pub fn for_document(&self, version: Version) -> Option<&[u8]> {
        match version.auth_certificate_digest() {
            DigestAlgorithm::Sha1 => self.sha1.as_ref().map(|digest| &digest[..]),
            _ => self.sha256.as_ref().map(|digest| &digest[..]),
        }
    }
}
