mod extensions;
mod spans;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use time::OffsetDateTime;
use x509_parser::prelude::FromDer as _;

use crate::asn1::{Reader, tag};
use crate::key::{KeyKind, PublicKey};
use crate::{DigestAlgorithm, EcdsaForm, PkiError, SignatureAlgorithm, name, pem};

pub use extensions::{BasicConstraints, KeyUsage};
use extensions::{CLIENT_AUTH, Extensions, OCSP_SIGNING};
use spans::Spans;

/// Largest certificate that is read, bytes.
pub const MAX_CERTIFICATE: usize = 64 * 1024;

struct Inner {
    der: Vec<u8>,
    tbs: Range<usize>,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    spki: Range<usize>,
    spki_bits: Range<usize>,
    signature_algorithm: Range<usize>,
    signature: Range<usize>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    sha1: [u8; 20],
    sha256: [u8; 32],
    key_kind: KeyKind,
    extensions: Extensions,
    canonical_subject: OnceLock<String>,
    canonical_issuer: OnceLock<String>,
    key_sha1: OnceLock<Vec<u8>>,
}

/// An X.509 certificate (RFC 5280), parsed once and cheap to clone.
///
/// Two certificates are equal when their DER is.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

impl Certificate {
    /// Reads a DER certificate of at most 64 KiB.
    ///
    /// # Errors
    /// [`PkiError::Malformed`], also when data follows the certificate or an extension occurs twice,
    /// and [`PkiError::TooLarge`].
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        if der.len() > MAX_CERTIFICATE {
            return Err(PkiError::TooLarge { what: "certificate, bytes", limit: MAX_CERTIFICATE });
        }
        let der = der.to_vec();
        let spans = Spans::find(&der)?;
        let (rest, parsed) = x509_parser::certificate::X509Certificate::from_der(&der)
            .map_err(|error| PkiError::malformed("certificate", error.to_string()))?;
        if !rest.is_empty() {
            return Err(PkiError::malformed("certificate", "unexpected data at the end"));
        }
        let extensions = Extensions::read(parsed.extensions())?;
        let slice = |range: &Range<usize>| der.get(range.clone()).unwrap_or_default();
        let key_kind = match PublicKey::from_spki(slice(&spans.spki)) {
            Ok(key) => key.kind(),
            Err(_) => KeyKind::Other,
        };
        let mut sha1 = [0; 20];
        sha1.copy_from_slice(&DigestAlgorithm::Sha1.digest(&der));
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(&DigestAlgorithm::Sha256.digest(&der));
        Ok(Self(Arc::new(Inner {
            tbs: spans.tbs,
            serial: spans.serial,
            issuer: spans.issuer,
            subject: spans.subject,
            spki: spans.spki,
            spki_bits: spans.spki_bits,
            signature_algorithm: spans.signature_algorithm,
            signature: spans.signature,
            not_before: spans.not_before,
            not_after: spans.not_after,
            sha1,
            sha256,
            key_kind,
            extensions,
            canonical_subject: OnceLock::new(),
            canonical_issuer: OnceLock::new(),
            key_sha1: OnceLock::new(),
            der,
        })))
    }

    /// Reads a certificate that is DER, PEM text (its first block), or bare base64 of either: all occur
    /// in shared parameters. Data after the certificate is ignored, as Java ignores it (padding, and the
    /// trust settings of OpenSSL's `TRUSTED CERTIFICATE`).
    ///
    /// # Errors
    /// As [`Self::from_der`].
    pub fn from_der_or_pem(bytes: &[u8]) -> Result<Self, PkiError> {
        if bytes.len() > 4 * MAX_CERTIFICATE {
            return Err(PkiError::TooLarge { what: "certificate, bytes", limit: MAX_CERTIFICATE });
        }
        if bytes.first() == Some(&tag::SEQUENCE) {
            return Self::first_of_der(bytes);
        }
        if let Some(certificate) = Self::first_of_pem(bytes)? {
            return Ok(certificate);
        }
        let neither = || PkiError::malformed("certificate", "neither DER nor PEM");
        let text = std::str::from_utf8(bytes).map_err(|_| neither())?;
        let decoded = pem::decode_base64(text, 2 * MAX_CERTIFICATE)?;
        match decoded.first() {
            Some(&tag::SEQUENCE) => Self::first_of_der(&decoded),
            _ => Self::first_of_pem(&decoded)?.ok_or_else(neither),
        }
    }

    fn first_of_der(bytes: &[u8]) -> Result<Self, PkiError> {
        Self::from_der(Reader::new(bytes, "certificate").expect(tag::SEQUENCE)?.raw)
    }

    fn first_of_pem(text: &[u8]) -> Result<Option<Self>, PkiError> {
        for label in ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"] {
            if let Some(der) = pem::decode_all(text, label, MAX_CERTIFICATE)?.first() {
                return Self::first_of_der(der).map(Some);
            }
        }
        Ok(None)
    }

    /// All certificates of a PEM file, in its order (at most 64).
    ///
    /// # Errors
    /// When a block cannot be read.
    pub fn all_from_pem(text: &[u8]) -> Result<Vec<Self>, PkiError> {
        pem::decode_all(text, "CERTIFICATE", MAX_CERTIFICATE)?
            .iter()
            .map(|der| Self::from_der(der))
            .collect()
    }

    /// The certificate as PEM text.
    pub fn to_pem(&self) -> String {
        pem::encode(self.der(), "CERTIFICATE")
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.0.der.get(range.clone()).unwrap_or_default()
    }

    /// The certificate's DER.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// SHA-1 of the DER (the key of the OCSP channel on 5577).
    pub fn sha1(&self) -> [u8; 20] {
        self.0.sha1
    }

    /// SHA-256 of the DER.
    pub fn sha256(&self) -> [u8; 32] {
        self.0.sha256
    }

    /// Any digest of the DER.
    pub fn digest(&self, algorithm: DigestAlgorithm) -> Vec<u8> {
        match algorithm {
            DigestAlgorithm::Sha1 => self.0.sha1.to_vec(),
            DigestAlgorithm::Sha256 => self.0.sha256.to_vec(),
            other => other.digest(self.der()),
        }
    }

    /// DER of the subject's name.
    pub fn subject_der(&self) -> &[u8] {
        self.slice(&self.0.subject)
    }

    /// DER of the issuer's name.
    pub fn issuer_der(&self) -> &[u8] {
        self.slice(&self.0.issuer)
    }

    /// The subject as Java's `X500Principal.getName()` writes it; see [`name::rfc2253`].
    pub fn subject_rfc2253(&self) -> String {
        name::rfc2253(self.subject_der())
    }

    /// The issuer as Java's `X500Principal.getName()` writes it; see [`name::rfc2253`].
    pub fn issuer_rfc2253(&self) -> String {
        name::rfc2253(self.issuer_der())
    }

    /// The subject in the form of [`name::canonical`], computed once.
    pub fn canonical_subject(&self) -> &str {
        self.0.canonical_subject.get_or_init(|| name::canonical(self.subject_der()))
    }

    /// The issuer in the form of [`name::canonical`], computed once.
    pub fn canonical_issuer(&self) -> &str {
        self.0.canonical_issuer.get_or_init(|| name::canonical(self.issuer_der()))
    }

    /// Whether the certificate names `issuer`'s subject as its issuer; no signature is looked at.
    pub fn names_as_issuer(&self, issuer: &Certificate) -> bool {
        self.issuer_der() == issuer.subject_der()
            || self.canonical_issuer() == issuer.canonical_subject()
    }

    /// SHA-1 of the subject's public key bits, computed once: OCSP's and CMS's way to name a key.
    pub fn key_sha1(&self) -> &[u8] {
        let compute = || DigestAlgorithm::Sha1.digest(self.subject_public_key_bits());
        self.0.key_sha1.get_or_init(compute)
    }

    /// Content octets of the serial number: big-endian two's complement.
    pub fn serial_bytes(&self) -> &[u8] {
        self.slice(&self.0.serial)
    }

    /// The serial number in decimal, negative ones with a minus sign.
    pub fn serial_decimal(&self) -> String {
        decimal(self.serial_bytes())
    }

    /// Start of validity.
    pub fn not_before(&self) -> OffsetDateTime {
        self.0.not_before
    }

    /// End of validity (the last valid second).
    pub fn not_after(&self) -> OffsetDateTime {
        self.0.not_after
    }

    /// Whether the moment lies within the validity, both ends included.
    pub fn is_valid_at(&self, at: OffsetDateTime) -> bool {
        self.0.not_before <= at && at <= self.0.not_after
    }

    /// The key usage extension, if there is one.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.0.extensions.key_usage
    }

    /// Object identifiers of the extended key usage extension, if there is one.
    pub fn extended_key_usage(&self) -> Option<&[String]> {
        self.0.extensions.extended_key_usage.as_deref()
    }

    fn has_extended_usage(&self, oid: &str) -> bool {
        self.extended_key_usage().is_some_and(|usages| usages.iter().any(|usage| usage == oid))
    }

    /// The basic constraints extension, if there is one.
    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.0.extensions.basic_constraints
    }

    /// Whether it is a signing certificate: key usage has nonRepudiation.
    pub fn is_signing_certificate(&self) -> bool {
        self.key_usage().is_some_and(|usage| usage.contains(KeyUsage::NON_REPUDIATION))
    }

    /// Whether it is an authentication certificate: extended key usage has clientAuth, or key usage has
    /// digitalSignature, keyEncipherment or dataEncipherment. A certificate can be both kinds.
    pub fn is_authentication_certificate(&self) -> bool {
        let any = KeyUsage::DIGITAL_SIGNATURE
            .with(KeyUsage::KEY_ENCIPHERMENT)
            .with(KeyUsage::DATA_ENCIPHERMENT);
        self.has_extended_usage(CLIENT_AUTH)
            || self.key_usage().is_some_and(|usage| usage.intersects(any))
    }

    /// Whether extended key usage has OCSPSigning.
    pub fn is_ocsp_signer(&self) -> bool {
        self.has_extended_usage(OCSP_SIGNING)
    }

    /// Whether basic constraints say that the subject is a certification authority.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints().is_some_and(|constraints| constraints.ca)
    }

    /// Whether issuer and subject are the same name (the signature is not looked at).
    pub fn is_self_signed(&self) -> bool {
        self.names_as_issuer(self)
    }

    /// OCSP responders' URLs from the authority information access extension, in its order.
    pub fn ocsp_urls(&self) -> Vec<String> {
        self.0.extensions.ocsp_urls.clone()
    }

    /// DNS names of the subject alternative name extension.
    pub fn dns_names(&self) -> &[String] {
        &self.0.extensions.dns_names
    }

    /// The subject key identifier extension, if there is one.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.0.extensions.subject_key_id.as_deref()
    }

    /// Object identifiers of the critical extensions.
    pub fn critical_extensions(&self) -> &[String] {
        &self.0.extensions.critical
    }

    /// Whether the certificate carries name constraints.
    pub fn has_name_constraints(&self) -> bool {
        self.0.extensions.name_constraints
    }

    /// DER of the SubjectPublicKeyInfo.
    pub fn subject_public_key_info(&self) -> &[u8] {
        self.slice(&self.0.spki)
    }

    /// Content of the subjectPublicKey BIT STRING: what OCSP and key identifiers hash.
    pub fn subject_public_key_bits(&self) -> &[u8] {
        self.slice(&self.0.spki_bits)
    }

    /// The public key.
    ///
    /// # Errors
    /// When it is malformed or too large.
    pub fn public_key(&self) -> Result<PublicKey, PkiError> {
        PublicKey::from_spki(self.subject_public_key_info())
    }

    /// What kind of key it holds.
    pub fn key_kind(&self) -> KeyKind {
        self.0.key_kind
    }

    /// The value of a subject attribute given by dotted object identifier; see [`name::attribute`].
    pub fn subject_attribute(&self, oid: &str) -> Option<String> {
        name::attribute(self.subject_der(), oid)
    }

    /// The signed part.
    pub fn tbs_der(&self) -> &[u8] {
        self.slice(&self.0.tbs)
    }

    /// The algorithm of the issuer's signature.
    ///
    /// # Errors
    /// [`PkiError::UnsupportedAlgorithm`] when it is not one of ours (MD5, DSA, …).
    pub fn signature_algorithm(&self) -> Result<SignatureAlgorithm, PkiError> {
        SignatureAlgorithm::from_identifier(self.slice(&self.0.signature_algorithm))
    }

    /// Whether `issuer` issued this certificate: the names match and the signature verifies
    /// (SHA-1 and short RSA keys of authorities included). Validity and constraints are not looked at.
    pub fn is_issued_by(&self, issuer: &Certificate) -> bool {
        self.names_as_issuer(issuer) && self.verify_signature(issuer).is_ok()
    }

    /// Verifies the certificate's signature with the issuer's key.
    ///
    /// # Errors
    /// When it does not verify or its algorithm is unsupported.
    pub fn verify_signature(&self, issuer: &Certificate) -> Result<(), PkiError> {
        let signature = self.slice(&self.0.signature);
        issuer
            .public_key()?
            .verify_legacy(self.signature_algorithm()?, EcdsaForm::Der, self.tbs_der(), signature)
            .map_err(|error| match error {
                PkiError::BadSignature(_) => PkiError::BadSignature("the certificate"),
                other => other,
            })
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl std::hash::Hash for Certificate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.sha256.hash(state);
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject_rfc2253())
            .field("issuer", &self.issuer_rfc2253())
            .field("serial", &self.serial_decimal())
            .finish_non_exhaustive()
    }
}

/// Two's complement big-endian octets in decimal.
fn decimal(octets: &[u8]) -> String {
    let negative = octets.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude: Vec<u8> = octets.to_vec();
    if negative {
        let mut carry = true;
        for octet in magnitude.iter_mut().rev() {
            let (value, overflow) = (!*octet).overflowing_add(u8::from(carry));
            *octet = value;
            carry = overflow;
        }
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|octet| *octet != 0) {
        let mut remainder = 0u16;
        for octet in &mut magnitude {
            let value = (remainder << 8) | u16::from(*octet);
            *octet = (value / 10) as u8;
            remainder = value % 10;
        }
        digits.push(b'0' + remainder as u8);
    }
    if digits.is_empty() {
        return "0".into();
    }
    if negative {
        digits.push(b'-');
    }
    digits.reverse();
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn serial_numbers_in_decimal() {
        assert_eq!(decimal(&[0]), "0");
        assert_eq!(decimal(&[0, 255]), "255");
        assert_eq!(decimal(&[255]), "-1");
        assert_eq!(decimal(&[0x80]), "-128");
        assert_eq!(decimal(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), "18446744073709551616");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Certificate::from_der(&bytes);
            let _ = Certificate::from_der_or_pem(&bytes);
            let _ = Certificate::all_from_pem(&bytes);
        }

        #[test]
        fn serials_agree_with_integers(value in any::<i64>()) {
            prop_assert_eq!(decimal(&value.to_be_bytes()), value.to_string());
        }
    }
}
