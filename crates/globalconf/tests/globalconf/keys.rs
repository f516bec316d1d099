//! Keys and certificates for tests, made at run time.

use causeway_pki::{Certificate, DigestAlgorithm, PkiError, SignatureAlgorithm, SigningKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA512, RsaKeyPair};

pub(crate) enum TestKey {
    Ec(Box<EcdsaKeyPair>, Vec<u8>),
    Rsa(Box<RsaKeyPair>, Vec<u8>),
}

impl TestKey {
    /// A P-256 key with a self-signed certificate.
    pub(crate) fn ec() -> (Self, Certificate) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        let certificate = Certificate::from_der(params.self_signed(&key).unwrap().der()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            &key.serialize_der(),
            &SystemRandom::new(),
        );
        let spki = certificate.subject_public_key_info().to_vec();
        (Self::Ec(Box::new(pair.unwrap()), spki), certificate)
    }

    /// An RSA-2048 key with a self-signed certificate, both made by openssl.
    pub(crate) fn rsa() -> (Self, Certificate) {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-sha256",
            "-days",
            "2",
            "-subj",
            "/CN=signing",
            "-keyout",
            &file("key.pem"),
            "-out",
            &file("cert.pem"),
        ]);
        openssl(&[
            "pkcs8",
            "-topk8",
            "-nocrypt",
            "-in",
            &file("key.pem"),
            "-outform",
            "DER",
            "-out",
            &file("key.der"),
        ]);
        let certificate = Certificate::from_der_or_pem(&crate::read(file("cert.pem"))).unwrap();
        let pair = RsaKeyPair::from_pkcs8(&crate::read(file("key.der"))).unwrap();
        let spki = certificate.subject_public_key_info().to_vec();
        (Self::Rsa(Box::new(pair), spki), certificate)
    }
}

pub(crate) fn openssl(arguments: &[&str]) {
    let out = std::process::Command::new("openssl").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "openssl {arguments:?}: {text}");
}

impl SigningKey for TestKey {
    fn certificate_public_key(&self) -> &[u8] {
        match self {
            Self::Ec(_, spki) | Self::Rsa(_, spki) => spki,
        }
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::Ec(..) => SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha256),
            Self::Rsa(..) => SignatureAlgorithm::RsaPkcs1(DigestAlgorithm::Sha512),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(key, _) => Ok(key.sign(&random, message).unwrap().as_ref().to_vec()),
            Self::Rsa(key, _) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA512, &random, message, &mut signature).unwrap();
                Ok(signature)
            }
        }
    }

    fn sign_with(&self, digest: DigestAlgorithm, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        assert_eq!(digest, self.algorithm().digest());
        self.sign(message)
    }
}
