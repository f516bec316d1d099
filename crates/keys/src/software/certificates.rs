//! Certificates and certificate requests beside the keys of a software token.

use causeway_identifiers::MemberId;
use causeway_pki::Certificate;
use causeway_pki::issue::RequestTemplate;

use super::SoftwareToken;
use crate::token::{CertificateInfo, Fingerprint, RequestInfo, Usage};
use crate::{KeyId, KeysError, record};

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
        self.change(|file| {
            let requests = &mut file.key_mut(id)?.requests;
            // RSA signs the same request the same way again.
            requests.retain(|request| request.der != der);
            if requests.len() >= record::MOST_PER_KEY {
                let limit = record::MOST_PER_KEY;
                return Err(KeysError::TooMany { what: "requests for one key", limit });
            }
            requests.push(RequestInfo { der: der.clone(), member });
            Ok(der)
        })
    }

    /// Forgets a certificate request.
    ///
    /// # Errors
    /// [`KeysError::KeyNotFound`], [`KeysError::RequestNotFound`].
    pub fn delete_request(&self, id: &KeyId, der: &[u8]) -> Result<(), KeysError> {
        self.change(|file| {
            let requests = &mut file.key_mut(id)?.requests;
            let before = requests.len();
            requests.retain(|request| request.der != der);
            if requests.len() == before {
                return Err(KeysError::RequestNotFound(id.clone()));
            }
            Ok(())
        })
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
        let subject = certificate.subject_rfc2253();
        self.change(|file| {
            let key = file
                .keys
                .iter_mut()
                .find(|key| key.public_key == certificate.subject_public_key_info())
                .ok_or_else(|| KeysError::NoKeyForCertificate(subject.clone()))?;
            let fits = match key.usage {
                Usage::Signing => certificate.is_signing_certificate(),
                Usage::Authentication => certificate.is_authentication_certificate(),
            };
            if !fits {
                return Err(KeysError::WrongUsage { subject, usage: key.usage });
            }
            if key.certificates.iter().any(|info| info.certificate.der() == certificate.der()) {
                return Err(KeysError::CertificateExists(hex::encode(certificate.sha256())));
            }
            if key.certificates.len() >= record::MOST_PER_KEY {
                let limit = record::MOST_PER_KEY;
                return Err(KeysError::TooMany { what: "certificates of one key", limit });
            }
            let member = key.requests.drain(..).next_back().and_then(|request| request.member);
            let active = key.usage == Usage::Signing;
            key.certificates.push(CertificateInfo { certificate, member, active });
            Ok(key.id.clone())
        })
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
        self.change(|file| {
            for key in &mut file.keys {
                let before = key.certificates.len();
                key.certificates.retain(|info| info.certificate.sha256() != *certificate);
                if key.certificates.len() < before {
                    return Ok(());
                }
            }
            Err(KeysError::CertificateNotFound(hex::encode(certificate)))
        })
    }

    fn change_certificate(
        &self,
        certificate: &Fingerprint,
        change: impl FnOnce(&mut CertificateInfo),
    ) -> Result<(), KeysError> {
        self.change(|file| {
            let info = file
                .keys
                .iter_mut()
                .flat_map(|key| &mut key.certificates)
                .find(|info| info.certificate.sha256() == *certificate)
                .ok_or_else(|| KeysError::CertificateNotFound(hex::encode(certificate)))?;
            change(info);
            Ok(())
        })
    }
}
