use der::asn1::ObjectIdentifier;
use sha2::Digest as _;

use crate::{PkiError, asn1};

/// A digest algorithm of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DigestAlgorithm {
    /// SHA-1: for identifiers (OCSP certificate ids, key ids), never for new signatures.
    Sha1,
    /// SHA-224: what an anchor's fingerprint is shown in; nothing is signed with it here.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512, the protocol's default.
    Sha512,
}

impl DigestAlgorithm {
    /// All of them, weakest first.
    pub const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The XML Signature identifier, e.g. `http://www.w3.org/2001/04/xmlenc#sha512`.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Sha1 => "http://www.w3.org/2000/09/xmldsig#sha1",
            Self::Sha224 => "http://www.w3.org/2001/04/xmldsig-more#sha224",
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
            Self::Sha224 => "SHA-224",
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
            Self::Sha224 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.4"),
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
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self.ring() {
            Some(algorithm) => ring::digest::digest(algorithm, bytes).as_ref().to_vec(),
            None => sha2::Sha224::digest(bytes).to_vec(),
        }
    }

    /// *ring*'s algorithm; it has no SHA-224.
    fn ring(self) -> Option<&'static ring::digest::Algorithm> {
        match self {
            Self::Sha1 => Some(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY),
            Self::Sha224 => None,
            Self::Sha256 => Some(&ring::digest::SHA256),
            Self::Sha384 => Some(&ring::digest::SHA384),
            Self::Sha512 => Some(&ring::digest::SHA512),
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
    context: Context,
}

#[derive(Clone)]
enum Context {
    Ring(ring::digest::Context),
    Sha224(sha2::Sha224),
}

impl Digester {
    /// Starts a digest.
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        let context = match algorithm.ring() {
            Some(ring) => Context::Ring(ring::digest::Context::new(ring)),
            None => Context::Sha224(sha2::Sha224::new()),
        };
        Self { algorithm, context }
    }

    /// The algorithm in use.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.context {
            Context::Ring(context) => context.update(bytes),
            Context::Sha224(context) => context.update(bytes),
        }
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Vec<u8> {
        match self.context {
            Context::Ring(context) => context.finish().as_ref().to_vec(),
            Context::Sha224(context) => context.finalize().to_vec(),
        }
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
    fn digests_of_abc() {
        assert_eq!(
            hex::encode(DigestAlgorithm::Sha256.digest(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex::encode(DigestAlgorithm::Sha224.digest(b"abc")),
            "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"
        );
    }
}
