use der::asn1::ObjectIdentifier;

use crate::asn1::{self, Reader, tag};
use crate::{DigestAlgorithm, PkiError};

/// A signature algorithm: a scheme together with its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 8.2).
    RsaPkcs1(DigestAlgorithm),
    /// RSASSA-PSS (RFC 8017 8.1): MGF1 with the same digest, salt as long as the digest.
    RsaPss(DigestAlgorithm),
    /// ECDSA (FIPS 186-5); the curve is that of the key.
    Ecdsa(DigestAlgorithm),
}

/// How an ECDSA signature is written. RSA signatures have one form only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EcdsaForm {
    /// `SEQUENCE { r INTEGER, s INTEGER }`: certificates, OCSP, CMS, global configuration.
    Der,
    /// `r ‖ s`, both of the same width (XML Signature); any even length is accepted on reading.
    Raw,
}

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");

impl SignatureAlgorithm {
    /// All algorithms that have an XML Signature identifier, in the order of the enum.
    pub fn all() -> impl Iterator<Item = Self> {
        let schemes: [fn(DigestAlgorithm) -> Self; 3] = [Self::RsaPkcs1, Self::RsaPss, Self::Ecdsa];
        schemes
            .into_iter()
            .flat_map(|scheme| DigestAlgorithm::ALL.into_iter().map(scheme))
            .filter(|algorithm| *algorithm != Self::RsaPss(DigestAlgorithm::Sha1))
    }

    /// The digest it signs.
    pub fn digest(self) -> DigestAlgorithm {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss(digest) | Self::Ecdsa(digest) => digest,
        }
    }

    /// The same scheme with another digest.
    pub fn with_digest(self, digest: DigestAlgorithm) -> Self {
        match self {
            Self::RsaPkcs1(_) => Self::RsaPkcs1(digest),
            Self::RsaPss(_) => Self::RsaPss(digest),
            Self::Ecdsa(_) => Self::Ecdsa(digest),
        }
    }

    /// The XML Signature identifier (RFC 9231).
    pub fn uri(self) -> &'static str {
        use DigestAlgorithm::{Sha1, Sha224, Sha256, Sha384, Sha512};
        match self {
            Self::RsaPkcs1(Sha1) => "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
            Self::RsaPkcs1(Sha224) => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha224",
            Self::RsaPkcs1(Sha256) => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            Self::RsaPkcs1(Sha384) => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
            Self::RsaPkcs1(Sha512) => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
            Self::RsaPss(Sha1) => "http://www.w3.org/2007/05/xmldsig-more#sha1-rsa-MGF1",
            Self::RsaPss(Sha224) => "http://www.w3.org/2007/05/xmldsig-more#sha224-rsa-MGF1",
            Self::RsaPss(Sha256) => "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
            Self::RsaPss(Sha384) => "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1",
            Self::RsaPss(Sha512) => "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1",
            Self::Ecdsa(Sha1) => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1",
            Self::Ecdsa(Sha224) => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha224",
            Self::Ecdsa(Sha256) => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
            Self::Ecdsa(Sha384) => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
            Self::Ecdsa(Sha512) => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
        }
    }

    /// The algorithm that an XML Signature identifier names.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::all().find(|algorithm| algorithm.uri() == uri)
    }

    /// The name that Java gives it, e.g. `SHA512withRSA`; the protocol uses it in some headers.
    pub fn jca_name(self) -> &'static str {
        use DigestAlgorithm::{Sha1, Sha224, Sha256, Sha384, Sha512};
        match self {
            Self::RsaPkcs1(Sha1) => "SHA1withRSA",
            Self::RsaPkcs1(Sha224) => "SHA224withRSA",
            Self::RsaPkcs1(Sha256) => "SHA256withRSA",
            Self::RsaPkcs1(Sha384) => "SHA384withRSA",
            Self::RsaPkcs1(Sha512) => "SHA512withRSA",
            Self::RsaPss(Sha1) => "SHA1withRSAandMGF1",
            Self::RsaPss(Sha224) => "SHA224withRSAandMGF1",
            Self::RsaPss(Sha256) => "SHA256withRSAandMGF1",
            Self::RsaPss(Sha384) => "SHA384withRSAandMGF1",
            Self::RsaPss(Sha512) => "SHA512withRSAandMGF1",
            Self::Ecdsa(Sha1) => "SHA1withECDSA",
            Self::Ecdsa(Sha224) => "SHA224withECDSA",
            Self::Ecdsa(Sha256) => "SHA256withECDSA",
            Self::Ecdsa(Sha384) => "SHA384withECDSA",
            Self::Ecdsa(Sha512) => "SHA512withECDSA",
        }
    }

    /// The algorithm that Java calls so (any case of letters).
    pub fn from_jca_name(name: &str) -> Option<Self> {
        Self::all().find(|algorithm| algorithm.jca_name().eq_ignore_ascii_case(name))
    }

    fn oid(self) -> ObjectIdentifier {
        use DigestAlgorithm::{Sha1, Sha224, Sha256, Sha384, Sha512};
        ObjectIdentifier::new_unwrap(match self {
            Self::RsaPkcs1(Sha1) => "1.2.840.113549.1.1.5",
            Self::RsaPkcs1(Sha224) => "1.2.840.113549.1.1.14",
            Self::RsaPkcs1(Sha256) => "1.2.840.113549.1.1.11",
            Self::RsaPkcs1(Sha384) => "1.2.840.113549.1.1.12",
            Self::RsaPkcs1(Sha512) => "1.2.840.113549.1.1.13",
            Self::RsaPss(_) => return RSA_PSS,
            Self::Ecdsa(Sha1) => "1.2.840.10045.4.1",
            Self::Ecdsa(Sha224) => "1.2.840.10045.4.3.1",
            Self::Ecdsa(Sha256) => "1.2.840.10045.4.3.2",
            Self::Ecdsa(Sha384) => "1.2.840.10045.4.3.3",
            Self::Ecdsa(Sha512) => "1.2.840.10045.4.3.4",
        })
    }

    /// The DER `AlgorithmIdentifier` as certificates, OCSP responses and CMS carry it (RFC 4055, 5758).
    pub fn to_identifier(self) -> Vec<u8> {
        let oid = asn1::oid(&self.oid());
        match self {
            Self::RsaPkcs1(_) => asn1::sequence(&[oid, asn1::null()]),
            Self::Ecdsa(_) => asn1::sequence(&[oid]),
            Self::RsaPss(digest) => {
                let hash = digest.identifier(true);
                let mask = asn1::sequence(&[asn1::oid(&MGF1), hash.clone()]);
                let salt = asn1::unsigned(&[digest.output_len() as u8]);
                let parameters = asn1::sequence(&[
                    asn1::element(tag::context_constructed(0), &[hash]),
                    asn1::element(tag::context_constructed(1), &[mask]),
                    asn1::element(tag::context_constructed(2), &[salt]),
                ]);
                asn1::sequence(&[oid, parameters])
            }
        }
    }

    /// Reads a DER `AlgorithmIdentifier` of a signature.
    ///
    /// # Errors
    /// [`PkiError::UnsupportedAlgorithm`] for algorithms outside this enum, among them PSS with
    /// parameters other than the usual ones.
    pub fn from_identifier(der: &[u8]) -> Result<Self, PkiError> {
        Self::from_identifier_with(der, None)
    }

    /// Like [`Self::from_identifier`]; bare `rsaEncryption`, which CMS allows, takes `digest`.
    pub(crate) fn from_identifier_with(
        der: &[u8],
        digest: Option<DigestAlgorithm>,
    ) -> Result<Self, PkiError> {
        let what = "signature algorithm";
        let mut reader = Reader::single(der, tag::SEQUENCE, what)?.reader(what);
        let oid = reader.oid()?;
        if oid == RSA_PSS {
            return Self::read_pss(reader.sequence()?);
        }
        if let (true, Some(digest)) = (oid == RSA_ENCRYPTION, digest) {
            return Ok(Self::RsaPkcs1(digest));
        }
        Self::all()
            .filter(|algorithm| !matches!(algorithm, Self::RsaPss(_)))
            .find(|algorithm| oid == algorithm.oid())
            .ok_or_else(|| PkiError::UnsupportedAlgorithm(oid.to_string()))
    }

    fn read_pss(mut reader: Reader<'_>) -> Result<Self, PkiError> {
        let unsupported = || PkiError::UnsupportedAlgorithm("RSASSA-PSS parameters".into());
        let what = "RSASSA-PSS parameters";
        let hash = reader.optional(tag::context_constructed(0))?.ok_or_else(unsupported)?;
        let digest = DigestAlgorithm::read_identifier(hash.reader(what).sequence()?)?;
        let mask = reader.optional(tag::context_constructed(1))?.ok_or_else(unsupported)?;
        let mut mask = mask.reader(what).sequence()?;
        let same =
            mask.oid()? == MGF1 && DigestAlgorithm::read_identifier(mask.sequence()?)? == digest;
        let salt = reader.optional(tag::context_constructed(2))?.ok_or_else(unsupported)?;
        let salt = salt.reader(what).integer()?;
        if !same || salt != [digest.output_len() as u8] || digest == DigestAlgorithm::Sha1 {
            return Err(unsupported());
        }
        Ok(Self::RsaPss(digest))
    }
}

impl std::fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.jca_name())
    }
}

/// Widest coordinate that is converted: P-521 needs 66 bytes.
const MAX_COORDINATE: usize = 66;

fn trimmed(value: &[u8]) -> &[u8] {
    let zeros = value.iter().take_while(|octet| **octet == 0).count();
    value.get(zeros..).unwrap_or_default()
}

/// DER ECDSA signature to `r ‖ s`, each `width` bytes wide (32 for P-256).
///
/// # Errors
/// When the input is not such a signature or a number does not fit the width.
pub fn ecdsa_der_to_raw(der: &[u8], width: usize) -> Result<Vec<u8>, PkiError> {
    let what = "ECDSA signature";
    let mut reader = Reader::single(der, tag::SEQUENCE, what)?.reader(what);
    let (r, s) = (reader.integer()?, reader.integer()?);
    reader.finish()?;
    let mut raw = Vec::with_capacity(2 * width.min(MAX_COORDINATE));
    for number in [r, s] {
        if number.first().is_some_and(|first| first & 0x80 != 0) {
            return Err(PkiError::malformed(what, "negative number"));
        }
        let number = trimmed(number);
        let padding = width
            .checked_sub(number.len())
            .filter(|_| width <= MAX_COORDINATE)
            .ok_or_else(|| PkiError::malformed(what, "number exceeds the curve's width"))?;
        raw.extend(std::iter::repeat_n(0, padding));
        raw.extend_from_slice(number);
    }
    Ok(raw)
}

/// `r ‖ s` of any even length to a DER ECDSA signature.
///
/// Java peers write the two numbers at the width of the longer one instead of the curve's, so the
/// length tells nothing: the value is split in the middle.
///
/// # Errors
/// When the length is odd, zero, or beyond P-521's.
pub fn ecdsa_raw_to_der(raw: &[u8]) -> Result<Vec<u8>, PkiError> {
    if raw.is_empty() || !raw.len().is_multiple_of(2) || raw.len() > 2 * MAX_COORDINATE {
        return Err(PkiError::malformed("ECDSA signature", "length is not that of r and s"));
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    Ok(asn1::sequence(&[asn1::unsigned(r), asn1::unsigned(s)]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_identifiers_lead_back() {
        for algorithm in SignatureAlgorithm::all() {
            assert_eq!(SignatureAlgorithm::from_uri(algorithm.uri()), Some(algorithm));
            assert_eq!(SignatureAlgorithm::from_jca_name(algorithm.jca_name()), Some(algorithm));
            let identifier = algorithm.to_identifier();
            assert_eq!(SignatureAlgorithm::from_identifier(&identifier), Ok(algorithm));
        }
        let bare = asn1::sequence(&[asn1::oid(&RSA_ENCRYPTION), asn1::null()]);
        assert!(SignatureAlgorithm::from_identifier(&bare).is_err());
    }

    proptest! {
        #[test]
        fn ecdsa_forms_lead_back(r in prop::collection::vec(any::<u8>(), 32), s in prop::collection::vec(any::<u8>(), 32)) {
            let raw = [r, s].concat();
            let der = ecdsa_raw_to_der(&raw).unwrap();
            prop_assert_eq!(ecdsa_der_to_raw(&der, 32).unwrap(), raw);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), width in 0usize..200) {
            let _ = ecdsa_der_to_raw(&bytes, width);
            let _ = ecdsa_raw_to_der(&bytes);
            let _ = SignatureAlgorithm::from_identifier(&bytes);
        }
    }
}
