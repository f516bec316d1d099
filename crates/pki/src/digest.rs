use der::asn1::ObjectIdentifier;

use crate::{PkiError, asn1};

/// A digest algorithm of the protocol.
///
/// SHA-224 is known to X-Road by name but is not offered here: nothing in the field signs with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DigestAlgorithm {
    /// SHA-1: for identifiers (OCSP certificate ids, key ids), never for new signatures.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512, the protocol's default.
    Sha512,
}

impl DigestAlgorithm {
    /// All of them, weakest first.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The XML Signature identifier, e.g. `http://www.w3.org/2001/04/xmlenc#sha512`.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Sha1 => "http://www.w3.org/2000/09/xmldsig#sha1",
            Self::Sha256 => "http://www.w3.org/2001/04/xmlenc#sha256",
            Self::Sha384 => "http://www.w3.org/2001/04/xmldsig-more#sha384",
            Self::Sha512 => "http://www.w3.org/2001/04/xmlenc#sha512",
        }
    }

    /// The algorithm that an XML Signature identifier names.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.uri() == uri)
    }

    /// The name used in transport headers and settings, e.g. `SHA-512`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The algorithm of that name, in any case of letters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The object identifier.
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => ObjectIdentifier::new_unwrap("1.3.14.3.2.26"),
            Self::Sha256 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
            Self::Sha384 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
            Self::Sha512 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
        }
    }

    /// The algorithm that an object identifier names.
    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.oid() == *oid)
    }

    /// Length of the digest in bytes.
    pub fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        ring::digest::digest(self.ring(), bytes).as_ref().to_vec()
    }

    fn ring(self) -> &'static ring::digest::Algorithm {
        match self {
            Self::Sha1 => &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &ring::digest::SHA256,
            Self::Sha384 => &ring::digest::SHA384,
            Self::Sha512 => &ring::digest::SHA512,
        }
    }

    /// `AlgorithmIdentifier` DER; `with_null` writes the NULL parameters that older structures carry.
    pub(crate) fn identifier(self, with_null: bool) -> Vec<u8> {
        let oid = asn1::oid(&self.oid());
        if with_null { asn1::sequence(&[oid, asn1::null()]) } else { asn1::sequence(&[oid]) }
    }

    /// Reads an `AlgorithmIdentifier` whose parameters are absent or NULL.
    pub(crate) fn read_identifier(mut reader: asn1::Reader<'_>) -> Result<Self, PkiError> {
        let oid = reader.oid()?;
        if let Some(parameters) = reader.optional(asn1::tag::NULL)?
            && !parameters.value.is_empty()
        {
            return Err(PkiError::malformed("digest algorithm", "NULL with content"));
        }
        reader.finish()?;
        Self::ALL
            .into_iter()
            .find(|algorithm| oid == algorithm.oid())
            .ok_or_else(|| PkiError::UnsupportedAlgorithm(oid.to_string()))
    }
}

impl std::fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Computes a digest over data that comes in pieces.
#[derive(Clone)]
pub struct Digester {
    algorithm: DigestAlgorithm,
    context: ring::digest::Context,
}

impl Digester {
    /// Starts a digest.
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        Self { algorithm, context: ring::digest::Context::new(algorithm.ring()) }
    }

    /// The algorithm in use.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Vec<u8> {
        self.context.finish().as_ref().to_vec()
    }
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digester").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn names_uris_and_oids_lead_back() {
        for algorithm in DigestAlgorithm::ALL {
            assert_eq!(DigestAlgorithm::from_uri(algorithm.uri()), Some(algorithm));
            assert_eq!(
                DigestAlgorithm::from_name(&algorithm.name().to_lowercase()),
                Some(algorithm)
            );
            assert_eq!(DigestAlgorithm::from_oid(&algorithm.oid()), Some(algorithm));
            assert_eq!(algorithm.digest(b"x").len(), algorithm.output_len());
            let mut digester = Digester::new(algorithm);
            digester.update(b"ab");
            digester.update(b"c");
            assert_eq!(digester.finish(), algorithm.digest(b"abc"));
        }
        assert_eq!(DigestAlgorithm::from_uri("urn:md5"), None);
    }

    #[test]
    fn sha256_of_abc() {
        assert_eq!(
            hex::encode(DigestAlgorithm::Sha256.digest(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
