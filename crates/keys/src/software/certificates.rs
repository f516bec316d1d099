//! Certificates and certificate requests beside the keys of a software token.

use causeway_identifiers::MemberId;
use causeway_pki::Certificate;
use causeway_pki::issue::RequestTemplate;

use super::SoftwareToken;
use crate::token::{CertificateInfo, Fingerprint};
use crate::{KeyId, KeysError, catalog};

impl SoftwareToken {
    /// All certificates. The token may be locked.
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.keys().into_iter().flat_map(|key| key.certificates).collect()
    }

    /// Makes a certificate request for a key and remembers it until a
    /// certificate answers it. Gives the DER (PKCS#10, RFC 2986). The member
    /// is the one whose signatures the certificate will be for, and absent for
    /// authentication.
    ///
    /// # Errors
    /// [`KeysError::Locked`], [`KeysError::KeyNotFound`], or that the request cannot be encoded.
    pub fn certificate_request(
        &self,
        id: &KeyId,
        template: &RequestTemplate,
        member: Option<MemberId>,
    ) -> Result<Vec<u8>, KeysError> {
        let der = template.sign(&self.key(id)?)?;
        self.change(|file| catalog::add_request(&mut file.keys, id, &der, member))?;
        Ok(der)
    }

    /// Forgets a certificate request.
    ///
    /// # Errors
    /// [`KeysError::KeyNotFound`], [`KeysError::RequestNotFound`].
    pub fn delete_request(&self, id: &KeyId, der: &[u8]) -> Result<(), KeysError> {
        self.change(|file| catalog::delete_request(&mut file.keys, id, der))
    }

    /// Takes a certificate for one of the keys, found by its public key. The
    /// token may be locked. A signing certificate is active at once and gets
    /// the member of the key's last request; an authentication certificate
    /// waits for [`Self::activate`], since its server must first be
    /// registered with it. Requests of the key are answered by it and go.
    ///
    /// # Errors
    /// When no key belongs to it, its key usage is not the key's, or it is there already.
    pub fn import_certificate(&self, certificate: Certificate) -> Result<KeyId, KeysError> {
        self.change(|file| catalog::import_certificate(&mut file.keys, certificate))
    }

    /// Says whose signatures a certificate is for.
    ///
    /// # Errors
    /// [`KeysError::CertificateNotFound`].
    pub fn set_member(
        &self,
        certificate: &Fingerprint,
        member: Option<MemberId>,
    ) -> Result<(), KeysError> {
        self.change_certificate(certificate, |info| info.member = member)
    }

    /// Makes a certificate usable.
    ///
    /// # Errors
    /// [`KeysError::CertificateNotFound`].
    pub fn activate(&self, certificate: &Fingerprint) -> Result<(), KeysError> {
        self.change_certificate(certificate, |info| info.active = true)
    }

    /// Makes a certificate unusable.
    ///
    /// # Errors
    /// [`KeysError::CertificateNotFound`].
    pub fn deactivate(&self, certificate: &Fingerprint) -> Result<(), KeysError> {
        self.change_certificate(certificate, |info| info.active = false)
    }

    /// Forgets a certificate; its key stays.
    ///
    /// # Errors
    /// [`KeysError::CertificateNotFound`].
    pub fn delete_certificate(&self, certificate: &Fingerprint) -> Result<(), KeysError> {
        self.change(|file| catalog::delete_certificate(&mut file.keys, certificate))
    }

    fn change_certificate(
        &self,
        certificate: &Fingerprint,
        change: impl FnOnce(&mut CertificateInfo),
    ) -> Result<(), KeysError> {
        self.change(|file| catalog::change_certificate(&mut file.keys, certificate, change))
    }
}
