use ring::signature as rs;

use crate::algorithm::{EcdsaForm, SignatureAlgorithm, ecdsa_raw_to_der};
use crate::asn1::{Reader, tag};
use crate::{DigestAlgorithm, PkiError, ecdsa_sha512};
use der::asn1::ObjectIdentifier;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// Largest SubjectPublicKeyInfo that is read, bytes (RSA-16384 needs about 2,100).
const MAX_SPKI: usize = 4096;

/// What kind of public key a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// RSA with the length of its modulus.
    Rsa {
        /// Length of the modulus in bits.
        bits: usize,
    },
    /// ECDSA on NIST P-256 (secp256r1).
    EcP256,
    /// ECDSA on NIST P-384 (secp384r1).
    EcP384,
    /// ECDSA on NIST P-521 (secp521r1): recognised, not verifiable here.
    EcP521,
    /// Anything else.
    Other,
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA-{bits}"),
            Self::EcP256 => f.write_str("P-256"),
            Self::EcP384 => f.write_str("P-384"),
            Self::EcP521 => f.write_str("P-521"),
            Self::Other => f.write_str("unknown kind of key"),
        }
    }
}

/// A public key that can verify signatures (RFC 5280 4.1.2.7, RFC 3279, RFC 5480).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    spki: Vec<u8>,
    bits: Vec<u8>,
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// When it is malformed or larger than 4096 bytes. Unknown algorithms are read, as [`KeyKind::Other`].
    pub fn from_spki(spki: &[u8]) -> Result<Self, PkiError> {
        let what = "public key";
        if spki.len() > MAX_SPKI {
            return Err(PkiError::TooLarge { what: "public key, bytes", limit: MAX_SPKI });
        }
        let mut reader = Reader::single(spki, tag::SEQUENCE, what)?.reader(what);
        let mut algorithm = reader.sequence()?;
        let oid = algorithm.oid()?;
        let bits = reader.bit_octets()?;
        reader.finish()?;
        let kind = if oid == RSA_ENCRYPTION {
            let mut key = Reader::single(bits, tag::SEQUENCE, what)?.reader(what);
            KeyKind::Rsa { bits: bit_length(key.integer()?) }
        } else if oid == EC_PUBLIC_KEY && algorithm.peek() == Some(tag::OID) {
            let curve = algorithm.oid()?;
            let known = [(P256, KeyKind::EcP256), (P384, KeyKind::EcP384), (P521, KeyKind::EcP521)];
            known
                .into_iter()
                .find(|(oid, _)| curve == *oid)
                .map_or(KeyKind::Other, |(_, kind)| kind)
        } else {
            KeyKind::Other
        };
        Ok(Self { kind, spki: spki.to_vec(), bits: bits.to_vec() })
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The content of the subjectPublicKey BIT STRING (what OCSP and key identifiers hash).
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// Verifies a signature over `message`. Refuses RSA keys below 2048 bits and SHA-1.
    ///
    /// ECDSA signatures may use P-256 or P-384 with SHA-256, SHA-384 or SHA-512.
    ///
    /// # Errors
    /// [`PkiError::BadSignature`], or that algorithm and key do not go together or are not accepted.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        form: EcdsaForm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), PkiError> {
        if algorithm == SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha512)
            && matches!(self.kind, KeyKind::EcP256 | KeyKind::EcP384)
        {
            return match form {
                EcdsaForm::Der => ecdsa_sha512::verify(self.kind, &self.bits, message, signature),
                EcdsaForm::Raw => ecdsa_sha512::verify(
                    self.kind,
                    &self.bits,
                    message,
                    &ecdsa_raw_to_der(signature)?,
                ),
            };
        }
        let verifier = match (self.kind, algorithm) {
            (KeyKind::Rsa { .. }, algorithm) => modern_rsa(algorithm),
            (kind, algorithm) => ecdsa(kind, algorithm),
        };
        let verifier = verifier.ok_or_else(|| self.unsupported(algorithm))?;
        self.run(verifier, algorithm, form, message, signature)
    }

    /// Like [`Self::verify`], and accepts RSA keys from 1024 bits and RSA with SHA-1: for certificates,
    /// OCSP responses and timestamps of authorities that we do not choose, and for old evidence.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_legacy(
        &self,
        algorithm: SignatureAlgorithm,
        form: EcdsaForm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), PkiError> {
        match (self.kind, legacy_rsa(algorithm)) {
            (KeyKind::Rsa { bits }, Some(verifier))
                if bits < 2048 || algorithm.digest() == DigestAlgorithm::Sha1 =>
            {
                self.run(verifier, algorithm, form, message, signature)
            }
            _ => self.verify(algorithm, form, message, signature),
        }
    }

    fn unsupported(&self, algorithm: SignatureAlgorithm) -> PkiError {
        PkiError::UnsupportedAlgorithm(format!("{algorithm} with a key of kind {}", self.kind))
    }

    fn run(
        &self,
        verifier: &'static dyn rs::VerificationAlgorithm,
        algorithm: SignatureAlgorithm,
        form: EcdsaForm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), PkiError> {
        let converted;
        let signature = match (algorithm, form) {
            (SignatureAlgorithm::Ecdsa(_), EcdsaForm::Raw) => {
                converted = ecdsa_raw_to_der(signature)?;
                &converted
            }
            _ => signature,
        };
        rs::UnparsedPublicKey::new(verifier, &self.bits)
            .verify(message, signature)
            .map_err(|_| PkiError::BadSignature("the data"))
    }
}

fn bit_length(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    match number.get(zeros) {
        Some(first) => {
            (number.len() - zeros) * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0)
        }
        None => 0,
    }
}

fn modern_rsa(algorithm: SignatureAlgorithm) -> Option<&'static dyn rs::VerificationAlgorithm> {
    use DigestAlgorithm::{Sha256, Sha384, Sha512};
    use SignatureAlgorithm::{RsaPkcs1, RsaPss};
    Some(match algorithm {
        RsaPkcs1(Sha256) => &rs::RSA_PKCS1_2048_8192_SHA256,
        RsaPkcs1(Sha384) => &rs::RSA_PKCS1_2048_8192_SHA384,
        RsaPkcs1(Sha512) => &rs::RSA_PKCS1_2048_8192_SHA512,
        RsaPss(Sha256) => &rs::RSA_PSS_2048_8192_SHA256,
        RsaPss(Sha384) => &rs::RSA_PSS_2048_8192_SHA384,
        RsaPss(Sha512) => &rs::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn legacy_rsa(algorithm: SignatureAlgorithm) -> Option<&'static dyn rs::VerificationAlgorithm> {
    use DigestAlgorithm::{Sha1, Sha256, Sha512};
    use SignatureAlgorithm::RsaPkcs1;
    Some(match algorithm {
        RsaPkcs1(Sha1) => &rs::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        RsaPkcs1(Sha256) => &rs::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        RsaPkcs1(Sha512) => &rs::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        _ => return None,
    })
}

fn ecdsa(
    kind: KeyKind,
    algorithm: SignatureAlgorithm,
) -> Option<&'static dyn rs::VerificationAlgorithm> {
    use DigestAlgorithm::{Sha256, Sha384};
    use SignatureAlgorithm::Ecdsa;
    Some(match (kind, algorithm) {
        (KeyKind::EcP256, Ecdsa(Sha256)) => &rs::ECDSA_P256_SHA256_ASN1,
        (KeyKind::EcP256, Ecdsa(Sha384)) => &rs::ECDSA_P256_SHA384_ASN1,
        (KeyKind::EcP384, Ecdsa(Sha256)) => &rs::ECDSA_P384_SHA256_ASN1,
        (KeyKind::EcP384, Ecdsa(Sha384)) => &rs::ECDSA_P384_SHA384_ASN1,
        _ => return None,
    })
}

/// A private key that signs. Where the key lives (memory, a locked token, a module) is not the
/// caller's concern.
pub trait SigningKey: Send + Sync {
    /// The DER SubjectPublicKeyInfo of the key's public half.
    fn certificate_public_key(&self) -> &[u8];

    /// The algorithm that [`Self::sign`] uses.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Signs `message` (it is digested here). RSA gives PKCS#1 v1.5, ECDSA the DER form.
    ///
    /// # Errors
    /// [`PkiError::SigningFailed`] when the key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError>;

    /// Signs with the given digest and the key's own scheme.
    ///
    /// # Errors
    /// [`PkiError::UnsupportedAlgorithm`] when the key cannot sign with that digest (P-256 in *ring*
    /// signs with SHA-256 alone), [`PkiError::SigningFailed`] when it cannot be used.
    fn sign_with(&self, digest: DigestAlgorithm, message: &[u8]) -> Result<Vec<u8>, PkiError>;

    /// Whether signing waits for nobody and is over within a hundred microseconds or so:
    /// sooner than another thread could be woken to do it.
    fn is_quick(&self) -> bool {
        false
    }
}

impl<K: SigningKey + ?Sized> SigningKey for std::sync::Arc<K> {
    fn certificate_public_key(&self) -> &[u8] {
        (**self).certificate_public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        (**self).algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        (**self).sign(message)
    }

    fn sign_with(&self, digest: DigestAlgorithm, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        (**self).sign_with(digest, message)
    }

    fn is_quick(&self) -> bool {
        (**self).is_quick()
    }
}
