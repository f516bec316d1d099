use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use causeway_pki::{DigestAlgorithm, PkiError, SignatureAlgorithm, SigningKey};
use der::Encode as _;
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use pkcs8::PrivateKeyInfo;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RsaKeyPair,
};
use rsa::pkcs8::EncodePrivateKey as _;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use zeroize::Zeroizing;

use crate::{KeyKind, KeysError};

pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(crate) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(crate) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// The longest PKCS#8 that is read, in bytes (RSA-4096 has about 2,400).
const LONGEST_PKCS8: usize = 8 << 10;

/// Names a key: the SHA-1 of its public key (the bits of the BIT STRING) in
/// lower-case hexadecimal, which is also the usual subject key identifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    pub(crate) fn of(public_key_bits: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, public_key_bits);
        Self(hex::encode(digest))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = KeysError;

    /// Reads 40 hexadecimal digits, in any case of letters.
    fn from_str(text: &str) -> Result<Self, KeysError> {
        if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(KeysError::UnsupportedKey("a key identifier has 40 hexadecimal digits".into()))
        }
    }
}

/// A private key in memory, with its public half. Clones share it.
#[derive(Clone)]
pub struct KeyPair {
    inner: Arc<Inner>,
    /// Cleared when the token that the key is from is locked, or the key deleted.
    usable: Option<Arc<AtomicBool>>,
}

struct Inner {
    kind: KeyKind,
    id: KeyId,
    pkcs8: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
    signer: Signer,
    random: SystemRandom,
}

enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl KeyPair {
    /// Makes a new key. RSA takes its time: a second or more for 4096 bits.
    ///
    /// # Errors
    /// [`KeysError::Generation`] when the system gives no random bytes.
    pub fn generate(kind: KeyKind) -> Result<Self, KeysError> {
        let failed = |why: &dyn fmt::Display| KeysError::Generation(why.to_string());
        match kind.modulus_bits() {
            // ring makes no RSA keys. The rsa crate does this and nothing else
            // here: its private key operations are not in constant time.
            Some(bits) => {
                let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits)
                    .map_err(|e| failed(&e))?;
                let document = key.to_pkcs8_der().map_err(|e| failed(&e))?;
                Self::from_pkcs8(document.as_bytes())
            }
            None => {
                let document = EcdsaKeyPair::generate_pkcs8(
                    &ECDSA_P256_SHA256_ASN1_SIGNING,
                    &SystemRandom::new(),
                )
                .map_err(|e| failed(&e))?;
                Self::from_pkcs8(document.as_ref())
            }
        }
    }

    /// Reads a DER PKCS#8 private key (RFC 5208): RSA of 2048, 3072 or 4096
    /// bits, or P-256 with its public key inside (RFC 5915).
    ///
    /// # Errors
    /// [`KeysError::UnsupportedKey`] for other keys, and for malformed and inconsistent ones.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeysError> {
        let unsupported = |why: String| KeysError::UnsupportedKey(why);
        if pkcs8.len() > LONGEST_PKCS8 {
            return Err(unsupported(format!("PKCS#8 longer than {LONGEST_PKCS8} bytes")));
        }
        // The parser's own errors tell offsets, never contents.
        let info = PrivateKeyInfo::try_from(pkcs8)
            .map_err(|e| unsupported(format!("malformed PKCS#8: {e}")))?;
        let (kind, spki, id, signer) = match info.algorithm.oid {
            RSA => {
                let key = RsaKeyPair::from_pkcs8(pkcs8)
                    .map_err(|e| unsupported(format!("RSA key refused: {e}")))?;
                let bits = key.public().modulus_len().saturating_mul(8);
                let kind = KeyKind::ALL
                    .into_iter()
                    .find(|kind| kind.modulus_bits() == Some(bits))
                    .ok_or_else(|| unsupported(format!("RSA of {bits} bits")))?;
                let public = key.public().as_ref();
                (kind, spki_of(RSA, AnyRef::NULL, public)?, KeyId::of(public), Signer::Rsa(key))
            }
            EC => {
                let key = EcdsaKeyPair::from_pkcs8(
                    &ECDSA_P256_SHA256_ASN1_SIGNING,
                    pkcs8,
                    &SystemRandom::new(),
                )
                .map_err(|e| unsupported(format!("elliptic curve key refused: {e}")))?;
                let public = key.public_key().as_ref();
                let spki = spki_of(EC, AnyRef::from(&P256), public)?;
                (KeyKind::EcP256, spki, KeyId::of(public), Signer::Ec(key))
            }
            other => return Err(unsupported(format!("algorithm {other}"))),
        };
        let pkcs8 = Zeroizing::new(pkcs8.to_vec());
        let inner = Inner { kind, id, pkcs8, spki, signer, random: SystemRandom::new() };
        Ok(Self { inner: Arc::new(inner), usable: None })
    }

    /// The DER PKCS#8 private key. Keep it no longer than needed.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.inner.pkcs8.clone()
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.inner.kind
    }

    /// The key's name.
    pub fn key_id(&self) -> &KeyId {
        &self.inner.id
    }

    /// The key's name, as text.
    pub fn id(&self) -> String {
        self.inner.id.to_string()
    }

    /// The DER SubjectPublicKeyInfo of the public half.
    pub fn public_key(&self) -> &[u8] {
        &self.inner.spki
    }

    /// The same key, which stops signing when the flag is cleared.
    pub(crate) fn gated(&self, usable: Arc<AtomicBool>) -> Self {
        Self { inner: Arc::clone(&self.inner), usable: Some(usable) }
    }
}

impl SigningKey for KeyPair {
    fn certificate_public_key(&self) -> &[u8] {
        &self.inner.spki
    }

    /// RSA PKCS#1 v1.5 with SHA-512, X-Road's default for members' keys;
    /// ECDSA with SHA-256, the one digest that *ring* has for P-256.
    fn algorithm(&self) -> SignatureAlgorithm {
        match self.inner.signer {
            Signer::Rsa(_) => SignatureAlgorithm::RsaPkcs1(DigestAlgorithm::Sha512),
            Signer::Ec(_) => SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha256),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        self.sign_with(self.algorithm().digest(), message)
    }

    fn sign_with(&self, digest: DigestAlgorithm, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        if self.usable.as_ref().is_some_and(|usable| !usable.load(Ordering::Acquire)) {
            return Err(PkiError::SigningFailed(format!(
                "key {}: its token was locked, or the key deleted",
                self.inner.id
            )));
        }
        let failed = |_| PkiError::SigningFailed(format!("key {}", self.inner.id));
        match (&self.inner.signer, digest) {
            (Signer::Rsa(key), digest) => {
                let padding: &dyn ring::signature::RsaEncoding = match digest {
                    DigestAlgorithm::Sha256 => &RSA_PKCS1_SHA256,
                    DigestAlgorithm::Sha384 => &RSA_PKCS1_SHA384,
                    DigestAlgorithm::Sha512 => &RSA_PKCS1_SHA512,
                    _ => return Err(unsupported(SignatureAlgorithm::RsaPkcs1(digest))),
                };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(padding, &self.inner.random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            (Signer::Ec(key), DigestAlgorithm::Sha256) => {
                let signature = key.sign(&self.inner.random, message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            (Signer::Ec(_), digest) => Err(unsupported(SignatureAlgorithm::Ecdsa(digest))),
        }
    }

    fn is_quick(&self) -> bool {
        matches!(self.inner.signer, Signer::Ec(_))
    }
}

/// The error of a key that cannot sign with an algorithm.
pub(crate) fn unsupported(algorithm: SignatureAlgorithm) -> PkiError {
    PkiError::UnsupportedAlgorithm(format!("signing with {}", algorithm.jca_name()))
}

/// A SubjectPublicKeyInfo (RFC 5280 4.1.2.7) as DER.
pub(crate) fn spki_of(
    oid: ObjectIdentifier,
    parameters: AnyRef<'_>,
    public: &[u8],
) -> Result<Vec<u8>, KeysError> {
    BitStringRef::from_bytes(public)
        .and_then(|subject_public_key| {
            let algorithm = AlgorithmIdentifierRef { oid, parameters: Some(parameters) };
            SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der()
        })
        .map_err(|e| KeysError::UnsupportedKey(format!("public key cannot be encoded: {e}")))
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({} {})", self.inner.kind, self.inner.id)
    }
}
