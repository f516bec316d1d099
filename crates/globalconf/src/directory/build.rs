//! Making a signed directory.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_pki::{Certificate, DigestAlgorithm, SigningKey};
use time::OffsetDateTime;

use crate::{GlobalConfError, Version, instant};

const WHAT: &str = "signed directory";
/// The digest of parts and of the certificate, X-Road's default.
const DIGEST: DigestAlgorithm = DigestAlgorithm::Sha512;

/// A file to be published.
#[derive(Debug, Clone)]
pub struct NewPart<'a> {
    /// The identifier, e.g. `SHARED-PARAMETERS`.
    pub identifier: &'a str,
    /// The path at which it is served, e.g. `/V6/20251114030540012345678/shared-params.xml`.
    pub location: &'a str,
    /// The file's content; its digest goes into the directory.
    pub content: &'a [u8],
}

/// The two boundaries of a directory, 20 letters and digits each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundaries {
    outer: String,
    inner: String,
}

impl Boundaries {
    /// Makes boundaries from random bytes. They need to be new each time, not secret.
    pub fn from_random(random: &[u8; 38]) -> Self {
        const ALPHABET: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let letters = |bytes: &[u8]| -> String {
            bytes.iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).collect()
        };
        // The first letter keeps them apart whatever the randomness.
        Self {
            outer: format!("o{}", letters(&random[..19])),
            inner: format!("i{}", letters(&random[19..])),
        }
    }
}

/// Builds and signs a directory for the files of one instance, in the form of X-Road's central
/// server: SHA-512 digests, the key's algorithm, `Expire-date` to the second.
///
/// # Errors
/// [`GlobalConfError::CannotWrite`] when the certificate is not the key's, a value cannot stand in a
/// header, the time is outside the years 0 to 9999, or the key refuses to sign.
pub fn build(
    parts: &[NewPart<'_>],
    expires: OffsetDateTime,
    version: Version,
    instance: &str,
    key: &dyn SigningKey,
    certificate: &Certificate,
    boundaries: &Boundaries,
) -> Result<Vec<u8>, GlobalConfError> {
    if certificate.subject_public_key_info() != key.certificate_public_key() {
        let why = "the verification certificate is not that of the signing key";
        return Err(GlobalConfError::cannot_write(WHAT, why));
    }
    let Boundaries { outer, inner } = boundaries;
    let signed = signed_content(parts, expires, version, instance, inner)?;
    let signature = key
        .sign(signed.as_bytes())
        .map_err(|e| GlobalConfError::cannot_write(WHAT, e.to_string()))?;
    let directory = format!(
        "Content-Type: multipart/related; charset=UTF-8; boundary={outer}\r\n\
         \r\n\
         --{outer}\r\n\
         Content-Type: multipart/mixed; charset=UTF-8; boundary={inner}\r\n\
         \r\n\
         {signed}\
         \r\n\
         --{outer}\r\n\
         Content-Type: application/octet-stream\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Signature-Algorithm-Id: {algorithm}\r\n\
         Verification-certificate-hash: {hash}; hash-algorithm-id=\"{hash_algorithm}\"\r\n\
         \r\n\
         {signature}\r\n\
         --{outer}--\r\n",
        algorithm = key.algorithm().uri(),
        hash = STANDARD.encode(certificate.digest(DIGEST)),
        hash_algorithm = DIGEST.uri(),
        signature = STANDARD.encode(signature),
    );
    Ok(directory.into_bytes())
}

fn signed_content(
    parts: &[NewPart<'_>],
    expires: OffsetDateTime,
    version: Version,
    instance: &str,
    boundary: &str,
) -> Result<String, GlobalConfError> {
    let expires = instant::format(expires).ok_or_else(|| {
        GlobalConfError::cannot_write(WHAT, "the expiry date is outside the years 0 to 9999")
    })?;
    let mut out = format!("--{boundary}\r\nExpire-date: {expires}\r\nVersion: {version}\r\n");
    for part in parts {
        out.push_str(&format!(
            "\r\n\
             --{boundary}\r\n\
             Content-type: application/octet-stream\r\n\
             Content-transfer-encoding: base64\r\n\
             Content-identifier: {identifier}; instance='{instance}'\r\n\
             Content-location: {location}\r\n\
             Hash-algorithm-id: {algorithm}\r\n\
             \r\n\
             {digest}",
            identifier = header_value(part.identifier)?,
            instance = header_value(instance)?,
            location = header_value(part.location)?,
            algorithm = DIGEST.uri(),
            digest = STANDARD.encode(DIGEST.digest(part.content)),
        ));
    }
    out.push_str(&format!("\r\n--{boundary}--\r\n"));
    Ok(out)
}

fn header_value(value: &str) -> Result<&str, GlobalConfError> {
    let bad = |c: char| c.is_control() || matches!(c, ';' | '"');
    if value.is_empty() || value.trim() != value || value.contains(bad) {
        let why = format!("'{}' cannot stand in a header", value.escape_debug());
        return Err(GlobalConfError::cannot_write(WHAT, why));
    }
    Ok(value)
}
