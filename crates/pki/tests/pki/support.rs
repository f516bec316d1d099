use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_pki::issue::CertificateTemplate;
use causeway_pki::{
    BasicConstraints, Certificate, DigestAlgorithm, KeyUsage, PkiError, SignatureAlgorithm,
    SigningKey, name,
};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaKeyPair,
};
use time::{Duration, OffsetDateTime};

/// X-Road's files, or `None` (said aloud) when they are not there; in CI they must be.
pub(crate) fn vectors() -> Option<PathBuf> {
    let folder = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "vectors not found");
    eprintln!("SKIPPED: vectors not found at {}", folder.display());
    None
}

/// Whether the `openssl` command is there; said aloud when not.
pub(crate) fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok_and(|o| o.status.success());
    if !found {
        eprintln!("SKIPPED: no openssl command");
    }
    found
}

/// Runs `openssl` in `folder` and gives its exit and both outputs.
pub(crate) fn openssl(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

pub(crate) enum TestKey {
    Ec { key: EcdsaKeyPair, spki: Vec<u8>, digest: DigestAlgorithm, pkcs8: Vec<u8> },
    Rsa { key: RsaKeyPair, spki: Vec<u8> },
}

impl TestKey {
    pub(crate) fn p256() -> Self {
        let mut spki = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        spki.extend_from_slice(key.public_key().as_ref());
        Self::Ec { key, spki, digest: DigestAlgorithm::Sha256, pkcs8: pkcs8.as_ref().to_vec() }
    }

    pub(crate) fn p384() -> Self {
        let mut spki = hex::decode("3076301006072a8648ce3d020106052b81040022036200").unwrap();
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P384_SHA384_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        spki.extend_from_slice(key.public_key().as_ref());
        Self::Ec { key, spki, digest: DigestAlgorithm::Sha384, pkcs8: pkcs8.as_ref().to_vec() }
    }

    /// An RSA-2048 key made by `openssl`, when there is one.
    pub(crate) fn rsa() -> Option<Self> {
        if !has_openssl() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let make = ["genpkey", "-algorithm", "RSA", "-out", "key.pem"];
        assert!(openssl(folder.path(), &make).0);
        let convert = "pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der";
        assert!(openssl(folder.path(), &convert.split(' ').collect::<Vec<_>>()).0);
        let export = "pkey -in key.pem -pubout -outform DER -out pub.der";
        assert!(openssl(folder.path(), &export.split(' ').collect::<Vec<_>>()).0);
        let pkcs8 = std::fs::read(folder.path().join("key.der")).unwrap();
        let key = RsaKeyPair::from_pkcs8(&pkcs8).unwrap();
        let spki = std::fs::read(folder.path().join("pub.der")).unwrap();
        Some(Self::Rsa { key, spki })
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        match self {
            Self::Ec { pkcs8, .. } => pkcs8,
            Self::Rsa { .. } => panic!("not needed"),
        }
    }
}

impl SigningKey for TestKey {
    fn certificate_public_key(&self) -> &[u8] {
        match self {
            Self::Ec { spki, .. } | Self::Rsa { spki, .. } => spki,
        }
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::Ec { digest, .. } => SignatureAlgorithm::Ecdsa(*digest),
            Self::Rsa { .. } => SignatureAlgorithm::RsaPkcs1(DigestAlgorithm::Sha512),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        self.sign_with(self.algorithm().digest(), message)
    }

    fn sign_with(&self, wanted: DigestAlgorithm, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        let random = SystemRandom::new();
        match self {
            Self::Ec { key, digest, .. } if *digest == wanted => {
                Ok(key.sign(&random, message).unwrap().as_ref().to_vec())
            }
            Self::Ec { .. } => Err(PkiError::UnsupportedAlgorithm(wanted.to_string())),
            Self::Rsa { key, .. } => {
                let padding: &dyn ring::signature::RsaEncoding = match wanted {
                    DigestAlgorithm::Sha384 => &RSA_PKCS1_SHA384,
                    DigestAlgorithm::Sha512 => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(padding, &random, message, &mut signature).unwrap();
                Ok(signature)
            }
        }
    }
}

/// A moment without fraction; certificates and responses of the tests lie around it.
pub(crate) fn noon() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap()
}

/// An authority of the tests.
pub(crate) struct Authority {
    pub(crate) key: TestKey,
    pub(crate) certificate: Certificate,
}

impl Authority {
    pub(crate) fn root(cn: &str, key: TestKey) -> Self {
        let mut template = template(cn, &key, 1);
        template.basic_constraints = Some(BasicConstraints { ca: true, path_len: Some(2) });
        template.key_usage = Some(KeyUsage::KEY_CERT_SIGN.with(KeyUsage::CRL_SIGN));
        let certificate = template.self_sign(&key).unwrap();
        Self { key, certificate }
    }

    pub(crate) fn issue(&self, template: &CertificateTemplate) -> Certificate {
        template.issue(&self.key, &self.certificate).unwrap()
    }

    pub(crate) fn below(&self, cn: &str, key: TestKey, serial: u8) -> Self {
        let mut template = template(cn, &key, serial);
        template.basic_constraints = Some(BasicConstraints { ca: true, path_len: None });
        template.key_usage = Some(KeyUsage::KEY_CERT_SIGN);
        let certificate = self.issue(&template);
        Self { key, certificate }
    }
}

/// A template valid for ten days around [`noon`].
pub(crate) fn template(cn: &str, key: &TestKey, serial: u8) -> CertificateTemplate {
    let subject = name::encode(&[("C", "EE"), ("O", "Causeway tests"), ("CN", cn)]).unwrap();
    let day = Duration::days(1);
    CertificateTemplate::new(
        subject,
        key.certificate_public_key(),
        &[serial],
        noon() - 5 * day,
        noon() + 5 * day,
    )
}

/// The decoded contents of every element with this local name; enough XML for the vectors.
pub(crate) fn base64_elements(xml: &str, local: &str) -> Vec<Vec<u8>> {
    text_elements(xml, local)
        .iter()
        .map(|text| {
            let text = text.replace("&#13;", "").replace("&#xD;", "");
            let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            STANDARD.decode(compact).unwrap()
        })
        .collect()
}

/// The texts of every element with this local name.
pub(crate) fn text_elements(xml: &str, local: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find(local) {
        let (before, after) = rest.split_at(at);
        let opens = before
            .rfind('<')
            .is_some_and(|lt| before[lt + 1..].chars().all(|c| c.is_alphanumeric() || c == ':'));
        rest = &after[local.len()..];
        if !opens || !rest.starts_with(['>', ' ']) {
            continue;
        }
        let Some((head, body)) = rest.split_once('>') else { break };
        if !head.ends_with('/')
            && let Some((text, _)) = body.split_once('<')
        {
            found.push(text.to_owned());
        }
    }
    found
}

/// Every file below `folder`.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// All certificates that occur in shared parameters of the vectors.
pub(crate) fn configured_certificates(vectors: &Path) -> Vec<Certificate> {
    let mut found: Vec<Certificate> = Vec::new();
    for path in files(vectors) {
        if path.file_name().is_some_and(|name| name == "shared-params.xml") {
            let xml = std::fs::read_to_string(&path).unwrap();
            for der in base64_elements(&xml, "cert") {
                match Certificate::from_der_or_pem(&der) {
                    Ok(certificate) if !found.contains(&certificate) => found.push(certificate),
                    Ok(_) => {}
                    Err(error) => eprintln!("{}: {error}", path.display()),
                }
            }
        }
    }
    found
}

/// The signature XML texts of all containers, with the container's name and the token of its batch
/// timestamp with the stamped data.
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) signatures: String,
    pub(crate) batch: Option<(Vec<u8>, Vec<u8>)>,
}

pub(crate) fn containers(vectors: &Path) -> Vec<Container> {
    let mut found = Vec::new();
    for path in files(&vectors.join("asic")) {
        if path.extension().is_none_or(|extension| extension != "asice") {
            continue;
        }
        let mut zip = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
        let mut entry = |name: &str| {
            let mut entry = zip.by_name(name).ok()?;
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            Some(bytes)
        };
        let signatures = String::from_utf8(entry("META-INF/signatures.xml").unwrap()).unwrap();
        let batch = entry("META-INF/timestamp.tst").zip(entry("ts-hashchainresult.xml"));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        found.push(Container { name, signatures, batch });
    }
    found
}
