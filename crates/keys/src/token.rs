use std::fmt;
use std::sync::Arc;

use causeway_identifiers::MemberId;
use causeway_pki::issue::RequestTemplate;
use causeway_pki::{Certificate, SigningKey};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::record::{base64_bytes, certificate, member};
use crate::{KeyId, KeyKind, KeyPair, KeysError, Pin};

/// SHA-256 of a certificate's DER.
pub type Fingerprint = [u8; 32];

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Usage {
    /// A member's signatures on messages.
    Signing,
    /// A security server's side of TLS between servers.
    Authentication,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signing => "signing",
            Self::Authentication => "authentication",
        })
    }
}

/// A certificate beside its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CertificateInfo {
    /// The certificate.
    #[serde(with = "certificate")]
    pub certificate: Certificate,
    /// The member whose signatures it is for; absent for authentication.
    #[serde(with = "member")]
    pub member: Option<MemberId>,
    /// Whether the server may use it.
    pub active: bool,
}

/// A certificate request that was made for a key and not yet answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequestInfo {
    /// The DER PKCS#10 request.
    #[serde(with = "base64_bytes")]
    pub der: Vec<u8>,
    /// The member for whom it was made; absent for authentication.
    #[serde(with = "member")]
    pub member: Option<MemberId>,
}

/// A key as a token tells of it, locked or not.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Its name.
    pub id: KeyId,
    /// Its kind.
    pub kind: KeyKind,
    /// The operator's name for it.
    pub label: String,
    /// What it is for.
    pub usage: Usage,
    /// The DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// Its certificates.
    pub certificates: Vec<CertificateInfo>,
    /// Requests for it that were not yet answered.
    pub requests: Vec<RequestInfo>,
}

/// A key together with an active certificate: ready for use.
#[derive(Clone)]
pub struct Credential {
    /// Signs.
    pub key: Arc<dyn SigningKey>,
    /// The certificate.
    pub certificate: Certificate,
    /// The member whose signatures it is for; absent for authentication.
    pub member: Option<MemberId>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("subject", &self.certificate.subject_rfc2253())
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}

/// How a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenState {
    /// Keys can be used and made.
    Unlocked,
    /// A PIN is needed.
    Locked,
    /// It was unlocked and cannot be reached now; why. It is tried again when a key is used.
    Absent(String),
}

/// Where private keys live: a file, or a module that never lets them out.
///
/// All methods may be called from several threads. Keys handed out stop
/// signing when the token is locked or the key deleted.
pub trait Token: Send + Sync + fmt::Debug {
    /// The operator's name for the token.
    fn label(&self) -> String;

    /// How it is.
    fn state(&self) -> TokenState;

    /// Whether keys can be used and made.
    fn is_unlocked(&self) -> bool {
        self.state() == TokenState::Unlocked
    }

    /// Unlocks the token.
    ///
    /// # Errors
    /// [`KeysError::PinIncorrect`]; [`KeysError::PinTooSoon`] after several of them.
    fn unlock(&self, pin: &Pin) -> Result<(), KeysError>;

    /// Locks the token.
    fn lock(&self);

    /// Changes the PIN. The token must be unlocked, and stays so.
    ///
    /// # Errors
    /// [`KeysError::Locked`], [`KeysError::PinIncorrect`], or that the new one is not taken.
    fn change_pin(&self, present: &Pin, new: &Pin) -> Result<(), KeysError>;

    /// All keys with their certificates and requests. The token may be locked.
    fn keys(&self) -> Vec<KeyInfo>;

    /// Makes a key in the token.
    ///
    /// # Errors
    /// [`KeysError::Locked`], or that the key cannot be made or stored.
    fn generate_key(&self, kind: KeyKind, label: &str, usage: Usage) -> Result<KeyId, KeysError>;

    /// A key to sign with.
    ///
    /// # Errors
    /// [`KeysError::Locked`], [`KeysError::KeyNotFound`].
    fn signing_key(&self, id: &KeyId) -> Result<Arc<dyn SigningKey>, KeysError>;

    /// Makes a certificate request for a key, remembers it, and gives its DER.
    ///
    /// # Errors
    /// [`KeysError::Locked`], [`KeysError::KeyNotFound`], or that it cannot be encoded.
    fn certificate_request(
        &self,
        id: &KeyId,
        template: &RequestTemplate,
        member: Option<MemberId>,
    ) -> Result<Vec<u8>, KeysError>;

    /// Forgets a certificate request.
    ///
    /// # Errors
    /// [`KeysError::KeyNotFound`], [`KeysError::RequestNotFound`].
    fn delete_request(&self, id: &KeyId, der: &[u8]) -> Result<(), KeysError>;

    /// Takes a certificate for one of the keys, found by its public key. The
    /// token may be locked. A signing certificate is active at once and gets
    /// the member of the key's last request; an authentication certificate
    /// waits for [`Self::set_active`], since its server must first be
    /// registered with it. Requests of the key are answered by it and go.
    ///
    /// # Errors
    /// When no key belongs to it, its key usage is not the key's, or it is there already.
    fn import_certificate(&self, certificate: Certificate) -> Result<KeyId, KeysError>;

    /// Makes a certificate usable, or not.
    ///
    /// # Errors
    /// [`KeysError::CertificateNotFound`].
    fn set_active(&self, certificate: &Fingerprint, active: bool) -> Result<(), KeysError>;

    /// Says whose signatures a certificate is for.
    ///
    /// # Errors
    /// [`KeysError::CertificateNotFound`].
    fn set_member(
        &self,
        certificate: &Fingerprint,
        member: Option<MemberId>,
    ) -> Result<(), KeysError>;

    /// Forgets a certificate; its key stays.
    ///
    /// # Errors
    /// [`KeysError::CertificateNotFound`].
    fn delete_certificate(&self, certificate: &Fingerprint) -> Result<(), KeysError>;

    /// Forgets a key with its certificates and requests; the private half is gone for good.
    ///
    /// # Errors
    /// [`KeysError::KeyNotFound`]; of a module also [`KeysError::Locked`] and that it cannot be reached.
    fn delete_key(&self, id: &KeyId) -> Result<(), KeysError>;

    /// The active certificates for a usage that are valid at the given time, with their keys.
    ///
    /// # Errors
    /// [`KeysError::Locked`].
    fn credentials(&self, usage: Usage, at: OffsetDateTime) -> Result<Vec<Credential>, KeysError> {
        let mut found = Vec::new();
        for key in self.keys().into_iter().filter(|key| key.usage == usage) {
            let usable = |c: &CertificateInfo| c.active && c.certificate.is_valid_at(at);
            for info in key.certificates.into_iter().filter(usable) {
                let (certificate, member) = (info.certificate, info.member);
                found.push(Credential { key: self.signing_key(&key.id)?, certificate, member });
            }
        }
        Ok(found)
    }
}

impl From<KeyPair> for Arc<dyn SigningKey> {
    fn from(key: KeyPair) -> Self {
        Arc::new(key)
    }
}
