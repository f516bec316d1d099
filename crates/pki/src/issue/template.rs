use der::asn1::ObjectIdentifier;
use std::net::IpAddr;
use time::OffsetDateTime;

use crate::asn1::{self, tag};
use crate::{BasicConstraints, Certificate, DigestAlgorithm, KeyUsage, PkiError, SigningKey, name};

/// Extended key usages, dotted.
pub mod eku {
    /// TLS server.
    pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
    /// TLS client: what makes an authentication certificate.
    pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
    /// Timestamping (RFC 3161 demands it alone and critical).
    pub const TIME_STAMPING: &str = "1.3.6.1.5.5.7.3.8";
    /// OCSP responder of an authority.
    pub const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
}

/// One alternative name of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SubjectAltName {
    /// A DNS name.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

impl SubjectAltName {
    /// A DNS name or, if the text is one, an IP address.
    pub fn from_host(host: &str) -> Self {
        match host.parse() {
            Ok(address) => Self::Ip(address),
            Err(_) => Self::Dns(host.to_owned()),
        }
    }

    fn write(&self) -> Result<Vec<u8>, PkiError> {
        match self {
            Self::Dns(dns) if !dns.is_empty() && dns.is_ascii() && dns.len() <= 255 => {
                Ok(asn1::element(tag::context(2), &[dns]))
            }
            Self::Dns(dns) => {
                Err(PkiError::cannot_encode("alternative name", format!("bad DNS name {dns:?}")))
            }
            Self::Ip(IpAddr::V4(address)) => {
                Ok(asn1::element(tag::context(7), &[address.octets()]))
            }
            Self::Ip(IpAddr::V6(address)) => {
                Ok(asn1::element(tag::context(7), &[address.octets()]))
            }
        }
    }
}

/// What a certificate is to say. Key identifiers are added by themselves.
#[derive(Debug, Clone)]
pub struct CertificateTemplate {
    /// DER of the subject's name; see [`name::encode`].
    pub subject: Vec<u8>,
    /// The subject's DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// Serial number, unsigned big-endian, at most 20 bytes.
    pub serial: Vec<u8>,
    /// Start of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
    /// Key usage, critical.
    pub key_usage: Option<KeyUsage>,
    /// Extended key usages, dotted; see [`eku`].
    pub extended_key_usage: Vec<String>,
    /// Whether the extended key usage is critical.
    pub extended_key_usage_critical: bool,
    /// Basic constraints, critical.
    pub basic_constraints: Option<BasicConstraints>,
    /// URL of the authority's OCSP responder.
    pub ocsp_url: Option<String>,
    /// Alternative names of the subject.
    pub subject_alt_names: Vec<SubjectAltName>,
    /// Whether to mark a responder's certificate as needing no revocation check (RFC 6960 4.2.2.2.1).
    pub ocsp_no_check: bool,
}

impl CertificateTemplate {
    /// A template with no extensions beyond the key identifiers.
    pub fn new(
        subject: Vec<u8>,
        public_key: &[u8],
        serial: &[u8],
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Self {
        Self {
            subject,
            public_key: public_key.to_vec(),
            serial: serial.to_vec(),
            not_before,
            not_after,
            key_usage: None,
            extended_key_usage: Vec::new(),
            extended_key_usage_critical: false,
            basic_constraints: None,
            ocsp_url: None,
            subject_alt_names: Vec::new(),
            ocsp_no_check: false,
        }
    }

    /// Issues the certificate with the authority's key and certificate.
    ///
    /// # Errors
    /// When a value cannot be encoded, the authority's key and certificate do not belong together, or
    /// the key refuses.
    pub fn issue(
        &self,
        key: &dyn SigningKey,
        authority: &Certificate,
    ) -> Result<Certificate, PkiError> {
        if key.certificate_public_key() != authority.subject_public_key_info() {
            let why = "the authority's key is not that of its certificate";
            return Err(PkiError::SigningFailed(why.into()));
        }
        let key_id = match authority.subject_key_id() {
            Some(id) => id.to_vec(),
            None => DigestAlgorithm::Sha1.digest(authority.subject_public_key_bits()),
        };
        self.sign(key, authority.subject_der(), &key_id)
    }

    /// Issues a self-signed certificate: issuer is the subject. `key` must be the template's.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub fn self_sign(&self, key: &dyn SigningKey) -> Result<Certificate, PkiError> {
        if key.certificate_public_key() != self.public_key {
            let why = "the key is not that of the certificate to be self-signed";
            return Err(PkiError::SigningFailed(why.into()));
        }
        let key_id = key_identifier(&self.public_key)?;
        self.sign(key, &self.subject, &key_id)
    }

    fn sign(
        &self,
        key: &dyn SigningKey,
        issuer: &[u8],
        issuer_key_id: &[u8],
    ) -> Result<Certificate, PkiError> {
        if self.serial.len() > 20 || self.serial.iter().all(|octet| *octet == 0) {
            return Err(PkiError::cannot_encode(
                "certificate",
                "serial number of 1 to 20 bytes needed",
            ));
        }
        if self.not_after < self.not_before {
            return Err(PkiError::cannot_encode("certificate", "validity ends before it begins"));
        }
        let algorithm = key.algorithm().to_identifier();
        let validity =
            asn1::sequence(&[asn1::x509_time(self.not_before), asn1::x509_time(self.not_after)]);
        let extensions = asn1::sequence(&self.extensions(issuer_key_id)?);
        let tbs = asn1::sequence(&[
            asn1::element(tag::context_constructed(0), &[[tag::INTEGER, 1, 2]]),
            asn1::unsigned(&self.serial),
            algorithm.clone(),
            issuer.to_vec(),
            validity,
            self.subject.clone(),
            self.public_key.clone(),
            asn1::element(tag::context_constructed(3), &[extensions]),
        ]);
        let signature = key.sign(&tbs)?;
        Certificate::from_der(&asn1::sequence(&[tbs, algorithm, asn1::bits(&signature)]))
    }

    fn extensions(&self, issuer_key_id: &[u8]) -> Result<Vec<Vec<u8>>, PkiError> {
        let own_key_id = key_identifier(&self.public_key)?;
        let authority_key_id = asn1::sequence(&[asn1::element(tag::context(0), &[issuer_key_id])]);
        let mut extensions = vec![
            extension("2.5.29.14", false, &asn1::octets(&own_key_id))?,
            extension("2.5.29.35", false, &authority_key_id)?,
        ];
        if let Some(constraints) = self.basic_constraints {
            let mut parts = Vec::new();
            if constraints.ca {
                parts.push(asn1::boolean(true));
                parts.extend(constraints.path_len.map(|most| asn1::unsigned(&most.to_be_bytes())));
            }
            extensions.push(extension("2.5.29.19", true, &asn1::sequence(&parts))?);
        }
        if let Some(usage) = self.key_usage {
            extensions.push(extension("2.5.29.15", true, &key_usage_der(usage))?);
        }
        if !self.extended_key_usage.is_empty() {
            let oids = self.extended_key_usage.iter().map(|usage| oid_der(usage));
            let value = asn1::sequence(&oids.collect::<Result<Vec<_>, _>>()?);
            extensions.push(extension("2.5.29.37", self.extended_key_usage_critical, &value)?);
        }
        if let Some(url) = &self.ocsp_url {
            if !url.is_ascii() {
                return Err(PkiError::cannot_encode("OCSP URL", "not ASCII"));
            }
            let location = asn1::element(tag::context(6), &[url]);
            let access = asn1::sequence(&[oid_der("1.3.6.1.5.5.7.48.1")?, location]);
            extensions.push(extension("1.3.6.1.5.5.7.1.1", false, &asn1::sequence(&[access]))?);
        }
        if !self.subject_alt_names.is_empty() {
            extensions.push(alt_names_extension(&self.subject_alt_names)?);
        }
        if self.ocsp_no_check {
            extensions.push(extension("1.3.6.1.5.5.7.48.1.5", false, &asn1::null())?);
        }
        Ok(extensions)
    }
}

pub(super) fn alt_names_extension(names: &[SubjectAltName]) -> Result<Vec<u8>, PkiError> {
    let names = names.iter().map(SubjectAltName::write).collect::<Result<Vec<_>, _>>()?;
    extension("2.5.29.17", false, &asn1::sequence(&names))
}

/// SHA-1 of the subjectPublicKey bits (RFC 5280 4.2.1.2, method 1).
fn key_identifier(spki: &[u8]) -> Result<Vec<u8>, PkiError> {
    Ok(DigestAlgorithm::Sha1.digest(crate::PublicKey::from_spki(spki)?.bits()))
}

fn oid_der(dotted: &str) -> Result<Vec<u8>, PkiError> {
    let oid = ObjectIdentifier::new(dotted)
        .map_err(|_| PkiError::cannot_encode("object identifier", format!("{dotted:?}")))?;
    Ok(asn1::oid(&oid))
}

fn extension(oid: &str, critical: bool, value: &[u8]) -> Result<Vec<u8>, PkiError> {
    let mut parts = vec![oid_der(oid)?];
    if critical {
        parts.push(asn1::boolean(true));
    }
    parts.push(asn1::octets(value));
    Ok(asn1::sequence(&parts))
}

/// A named BIT STRING: bit 0 is the highest of the first octet, zeros at the end are cut off.
fn key_usage_der(usage: KeyUsage) -> Vec<u8> {
    let bits = usage.bits();
    let first = (bits as u8).reverse_bits();
    let second = ((bits >> 8) as u8).reverse_bits();
    let octets = if second != 0 { vec![first, second] } else { vec![first] };
    let unused = octets.last().map_or(0, |last| last.trailing_zeros().min(7) as u8);
    asn1::element(tag::BIT_STRING, &[&[unused][..], &octets])
}

/// A name built from attribute pairs; a short cut for templates.
impl CertificateTemplate {
    /// Encodes a subject; see [`name::encode`].
    ///
    /// # Errors
    /// As [`name::encode`].
    pub fn subject_of<T: AsRef<str>, V: AsRef<str>>(
        attributes: &[(T, V)],
    ) -> Result<Vec<u8>, PkiError> {
        name::encode(attributes)
    }
}
