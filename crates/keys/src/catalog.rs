//! What is told of the keys of a token: their certificates and certificate requests.
//!
//! Plain functions over the records, the same for keys sealed in a file and keys in a module.

use causeway_identifiers::MemberId;
use causeway_pki::Certificate;

use crate::record::{self, KeyRecord};
use crate::token::{CertificateInfo, Fingerprint, RequestInfo, Usage};
use crate::{KeyId, KeysError};

fn key_mut<'k, S>(
    keys: &'k mut [KeyRecord<S>],
    id: &KeyId,
) -> Result<&'k mut KeyRecord<S>, KeysError> {
    let missing = || KeysError::KeyNotFound(id.clone());
    keys.iter_mut().find(|k| k.id == *id).ok_or_else(missing)
}

/// Remembers a request until a certificate answers it.
pub(crate) fn add_request<S>(
    keys: &mut [KeyRecord<S>],
    id: &KeyId,
    der: &[u8],
    member: Option<MemberId>,
) -> Result<(), KeysError> {
    let requests = &mut key_mut(keys, id)?.requests;
    // RSA signs the same request the same way again.
    requests.retain(|request| request.der != der);
    if requests.len() >= record::MOST_PER_KEY {
        let limit = record::MOST_PER_KEY;
        return Err(KeysError::TooMany { what: "requests for one key", limit });
    }
    requests.push(RequestInfo { der: der.to_vec(), member });
    Ok(())
}

/// Forgets a request.
pub(crate) fn delete_request<S>(
    keys: &mut [KeyRecord<S>],
    id: &KeyId,
    der: &[u8],
) -> Result<(), KeysError> {
    let requests = &mut key_mut(keys, id)?.requests;
    let before = requests.len();
    requests.retain(|request| request.der != der);
    if requests.len() == before {
        return Err(KeysError::RequestNotFound(id.clone()));
    }
    Ok(())
}

/// Takes a certificate for the key that it belongs to.
pub(crate) fn import_certificate<S>(
    keys: &mut [KeyRecord<S>],
    certificate: Certificate,
) -> Result<KeyId, KeysError> {
    let subject = certificate.subject_rfc2253();
    let key = keys
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
}

/// Forgets a certificate; its key stays.
pub(crate) fn delete_certificate<S>(
    keys: &mut [KeyRecord<S>],
    certificate: &Fingerprint,
) -> Result<(), KeysError> {
    for key in keys {
        let before = key.certificates.len();
        key.certificates.retain(|info| info.certificate.sha256() != *certificate);
        if key.certificates.len() < before {
            return Ok(());
        }
    }
    Err(KeysError::CertificateNotFound(hex::encode(certificate)))
}

/// Changes what is told of a certificate.
pub(crate) fn change_certificate<S>(
    keys: &mut [KeyRecord<S>],
    certificate: &Fingerprint,
    change: impl FnOnce(&mut CertificateInfo),
) -> Result<(), KeysError> {
    let info = keys
        .iter_mut()
        .flat_map(|key| &mut key.certificates)
        .find(|info| info.certificate.sha256() == *certificate)
        .ok_or_else(|| KeysError::CertificateNotFound(hex::encode(certificate)))?;
    change(info);
    Ok(())
}
