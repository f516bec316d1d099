//! ECDSA with SHA-512 over P-256 and P-384, which *ring* does not offer.
//!
//! Members of existing instances who use elliptic keys sign so by default
//! (X-Road signs everything with SHA-512), so it must be verified. Signing
//! stays with *ring*: nothing secret passes here.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;

use crate::{DigestAlgorithm, KeyKind, PkiError};

/// Verifies a DER signature over `message`; `bits` is the uncompressed point.
pub(crate) fn verify(
    kind: KeyKind,
    bits: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), PkiError> {
    let bad = || PkiError::BadSignature("the data");
    let digest = DigestAlgorithm::Sha512.digest(message);
    match kind {
        KeyKind::EcP256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(bits).map_err(|_| bad())?;
            let signature = p256::ecdsa::Signature::from_der(signature).map_err(|_| bad())?;
            key.verify_prehash(&digest, &signature).map_err(|_| bad())
        }
        KeyKind::EcP384 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(bits).map_err(|_| bad())?;
            let signature = p384::ecdsa::Signature::from_der(signature).map_err(|_| bad())?;
            key.verify_prehash(&digest, &signature).map_err(|_| bad())
        }
        _ => Err(PkiError::UnsupportedKey(format!("ECDSA with SHA-512 with a key of kind {kind}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::{EcdsaForm, PublicKey, SignatureAlgorithm};
    use std::process::Command;

    /// openssl makes key and signature, so that two strangers agree.
    #[test]
    fn what_openssl_signs_holds() {
        let dir = std::env::temp_dir().join(format!("causeway-ecdsa512-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = |name: &str| dir.join(name).to_string_lossy().into_owned();
        std::fs::write(file("message"), b"a message").unwrap();
        for curve in ["prime256v1", "secp384r1"] {
            let run = |args: &[&str]| {
                Command::new("openssl").args(args).output().map(|o| o.status.success())
            };
            let (key, public, signature) = (file("key"), file("public"), file("signature"));
            if run(&["ecparam", "-name", curve, "-genkey", "-noout", "-out", &key]).is_err() {
                eprintln!("SKIPPED: openssl is not there");
                return;
            }
            assert!(
                run(&["pkey", "-in", &key, "-pubout", "-outform", "DER", "-out", &public]).unwrap()
            );
            assert!(
                run(&["dgst", "-sha512", "-sign", &key, "-out", &signature, &file("message")])
                    .unwrap()
            );
            let public = PublicKey::from_spki(&std::fs::read(public).unwrap()).unwrap();
            let mut signature = std::fs::read(signature).unwrap();
            let algorithm = SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha512);
            public.verify(algorithm, EcdsaForm::Der, b"a message", &signature).unwrap();
            assert!(public.verify(algorithm, EcdsaForm::Der, b"another", &signature).is_err());
            let last = signature.len() - 1;
            signature[last] ^= 1;
            assert!(public.verify(algorithm, EcdsaForm::Der, b"a message", &signature).is_err());
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
