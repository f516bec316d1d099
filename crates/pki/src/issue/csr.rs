use der::asn1::ObjectIdentifier;

use super::SubjectAltName;
use super::template::alt_names_extension;
use crate::asn1::{self, Reader, tag};
use crate::{
    DigestAlgorithm, EcdsaForm, PkiError, PublicKey, SignatureAlgorithm, SigningKey, name, pem,
};

/// Largest certificate request that is read, bytes of DER.
pub const MAX_CSR: usize = 16 * 1024;

const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

const WHAT: &str = "certificate request";

/// A parsed certificate request whose signature has been verified (proof of possession).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    der: Vec<u8>,
    subject: Vec<u8>,
    public_key: PublicKey,
    alt_names: Vec<SubjectAltName>,
}

impl CertificateRequest {
    /// Reads a request in DER or PEM (`CERTIFICATE REQUEST` or `NEW CERTIFICATE REQUEST`) and verifies its
    /// signature.
    ///
    /// # Errors
    /// When it is malformed, exceeds 16 KiB, or was not signed with the key in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, PkiError> {
        if bytes.len() > 4 * MAX_CSR {
            return Err(PkiError::TooLarge { what: "certificate request, bytes", limit: MAX_CSR });
        }
        if bytes.first() == Some(&tag::SEQUENCE) {
            return Self::from_der(bytes);
        }
        for label in ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"] {
            if let Some(der) = pem::decode_all(bytes, label, MAX_CSR)?.first() {
                return Self::from_der(der);
            }
        }
        Err(PkiError::malformed(WHAT, "neither DER nor PEM"))
    }

    fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        if der.len() > MAX_CSR {
            return Err(PkiError::TooLarge { what: "certificate request, bytes", limit: MAX_CSR });
        }
        let mut outer = Reader::single(der, tag::SEQUENCE, WHAT)?.reader(WHAT);
        let info = outer.expect(tag::SEQUENCE)?;
        let algorithm = SignatureAlgorithm::from_identifier(outer.expect(tag::SEQUENCE)?.raw)?;
        let signature = outer.bit_octets()?;
        outer.finish()?;

        let mut fields = info.reader(WHAT);
        fields.integer()?;
        let subject = fields.expect(tag::SEQUENCE)?.raw;
        name::parse(subject)?;
        let public_key = PublicKey::from_spki(fields.expect(tag::SEQUENCE)?.raw)?;
        let alt_names = match fields.optional(tag::context_constructed(0))? {
            Some(attributes) => read_alt_names(attributes.reader(WHAT))?,
            None => Vec::new(),
        };
        fields.finish()?;
        public_key.verify(algorithm, EcdsaForm::Der, info.raw, signature).map_err(|error| {
            match error {
                PkiError::BadSignature(_) => PkiError::BadSignature(WHAT),
                other => other,
            }
        })?;
        Ok(Self { der: der.to_vec(), subject: subject.to_vec(), public_key, alt_names })
    }

    /// The request's DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The request as PEM text.
    pub fn to_pem(&self) -> String {
        pem::encode(&self.der, "CERTIFICATE REQUEST")
    }

    /// DER of the subject asked for.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// The subject asked for, in the form of [`name::rfc2253`].
    pub fn subject_rfc2253(&self) -> String {
        name::rfc2253(&self.subject)
    }

    /// The key to be certified.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// DNS names and IP addresses asked for.
    pub fn subject_alt_names(&self) -> &[SubjectAltName] {
        &self.alt_names
    }
}

fn read_alt_names(mut attributes: Reader<'_>) -> Result<Vec<SubjectAltName>, PkiError> {
    let mut names = Vec::new();
    while !attributes.is_empty() {
        let mut attribute = attributes.sequence()?;
        if attribute.oid()? != EXTENSION_REQUEST {
            continue;
        }
        let mut extensions = attribute.expect(tag::SET)?.reader(WHAT).sequence()?;
        while !extensions.is_empty() {
            let mut extension = extensions.sequence()?;
            let oid = extension.oid()?;
            extension.optional(tag::BOOLEAN)?;
            let value = extension.octets()?;
            if oid != SUBJECT_ALT_NAME {
                continue;
            }
            let mut list = Reader::single(value, tag::SEQUENCE, WHAT)?.reader(WHAT);
            while !list.is_empty() && names.len() < 64 {
                names.extend(read_alt_name(list.next()?));
            }
        }
    }
    Ok(names)
}

fn read_alt_name(tlv: asn1::Tlv<'_>) -> Option<SubjectAltName> {
    match (tlv.tag, tlv.value.len()) {
        (0x82, 1..=255) => {
            let dns = std::str::from_utf8(tlv.value).ok()?;
            dns.is_ascii().then(|| SubjectAltName::Dns(dns.to_owned()))
        }
        (0x87, 4) => <[u8; 4]>::try_from(tlv.value).ok().map(|ip| SubjectAltName::Ip(ip.into())),
        (0x87, 16) => <[u8; 16]>::try_from(tlv.value).ok().map(|ip| SubjectAltName::Ip(ip.into())),
        _ => None,
    }
}

/// What to ask for in a certificate request.
#[derive(Debug, Clone, Default)]
pub struct RequestTemplate {
    subject: Vec<u8>,
    alt_names: Vec<SubjectAltName>,
}

impl RequestTemplate {
    /// A request for the subject given as attribute pairs; see [`name::encode`].
    ///
    /// # Errors
    /// As [`name::encode`].
    pub fn new<T: AsRef<str>, V: AsRef<str>>(subject: &[(T, V)]) -> Result<Self, PkiError> {
        Ok(Self { subject: name::encode(subject)?, alt_names: Vec::new() })
    }

    /// Asks for alternative names.
    pub fn alt_names(mut self, names: impl IntoIterator<Item = SubjectAltName>) -> Self {
        self.alt_names.extend(names);
        self
    }

    /// Signs the request with the key to be certified (SHA-256, as X-Road does by default) and gives its DER.
    ///
    /// # Errors
    /// When an alternative name cannot be encoded or the key refuses.
    pub fn sign(&self, key: &dyn SigningKey) -> Result<Vec<u8>, PkiError> {
        let mut attributes = Vec::new();
        if !self.alt_names.is_empty() {
            let extensions = asn1::sequence(&[alt_names_extension(&self.alt_names)?]);
            let values = asn1::set_of(vec![extensions]);
            attributes.push(asn1::sequence(&[asn1::oid(&EXTENSION_REQUEST), values]));
        }
        let info = asn1::sequence(&[
            vec![tag::INTEGER, 1, 0],
            self.subject.clone(),
            key.certificate_public_key().to_vec(),
            asn1::element(tag::context_constructed(0), &attributes),
        ]);
        let digest = DigestAlgorithm::Sha256;
        let signature = key.sign_with(digest, &info)?;
        let algorithm = key.algorithm().with_digest(digest).to_identifier();
        Ok(asn1::sequence(&[info, algorithm, asn1::bits(&signature)]))
    }

    /// As [`Self::sign`], as PEM text.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_pem(&self, key: &dyn SigningKey) -> Result<String, PkiError> {
        Ok(pem::encode(&self.sign(key)?, "CERTIFICATE REQUEST"))
    }
}
