//! For tests: services that misbehave on request, and keys and certificates
//! made at run time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway_pki::{Certificate, DigestAlgorithm, PkiError, SignatureAlgorithm, SigningKey};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Timeouts;

/// Short enough for tests of slow services.
pub(crate) const IMPATIENT: Timeouts =
    Timeouts { connect: Duration::from_millis(500), read: Duration::from_millis(300) };

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What to do with it.
pub(crate) enum Reply {
    /// An HTTP answer of this status and content type.
    Http(u16, &'static str, Vec<u8>),
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
    /// Nothing, for as long as the caller waits.
    Hang,
}

/// A service on 127.0.0.1 that ends with the test.
pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl FakeServer {
    pub(crate) async fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, reply) = (Arc::clone(&asked), Arc::new(reply));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&reply)));
            }
        });
        Self { address, asked, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.target.clone()).collect()
    }

    pub(crate) fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn serve<F>(mut stream: TcpStream, log: Arc<Mutex<Vec<Asked>>>, reply: Arc<F>)
where
    F: Fn(&Asked) -> Reply,
{
    let Some(asked) = receive(&mut stream).await else { return };
    log.lock().unwrap().push(asked.clone());
    let bytes = match reply(&asked) {
        Reply::Hang => return std::future::pending().await,
        Reply::Raw(bytes) => bytes,
        Reply::Http(status, content_type, body) => {
            let mut bytes = format!(
                "HTTP/1.1 {status} Whatever\r\nContent-Type: {content_type}\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            )
            .into_bytes();
            bytes.extend(body);
            bytes
        }
    };
    drop(stream.write_all(&bytes).await);
    drop(stream.shutdown().await);
}

async fn receive(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
        })
        .unwrap_or(0);
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let mut first = head.split_whitespace();
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    Some(Asked { method, target, head, body: bytes[end..].to_vec() })
}

/// A P-256 key.
pub(crate) struct TestKey {
    pair: KeyPair,
    signing: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl TestKey {
    pub(crate) fn generate() -> Self {
        let pair = KeyPair::generate().unwrap();
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = pair.serialize_der();
        let signing =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random).unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&pair);
        Self { pair, signing, spki }
    }
}

impl SigningKey for TestKey {
    fn certificate_public_key(&self) -> &[u8] {
        &self.spki
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha256)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        let random = ring::rand::SystemRandom::new();
        Ok(self.signing.sign(&random, message).unwrap().as_ref().to_vec())
    }

    fn sign_with(&self, _: DigestAlgorithm, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        self.sign(message)
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(30);
    params
}

/// A certificate that its own key signed.
pub(crate) fn self_signed(name: &str, key: &TestKey) -> Certificate {
    let certificate = params(name).self_signed(&key.pair).unwrap();
    Certificate::from_der(certificate.der()).unwrap()
}

/// A certification authority.
pub(crate) struct TestCa {
    pub(crate) certificate: Certificate,
    pub(crate) key: TestKey,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl TestCa {
    pub(crate) fn new(name: &str) -> Self {
        let key = TestKey::generate();
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pair = KeyPair::try_from(key.pair.serialize_der()).unwrap();
        let issuer = CertifiedIssuer::self_signed(params, pair).unwrap();
        let certificate = Certificate::from_der(issuer.der()).unwrap();
        Self { certificate, key, issuer }
    }

    /// A signing certificate for a key.
    pub(crate) fn issue(&self, name: &str, key: &TestKey) -> Certificate {
        let mut params = params(name);
        params.key_usages = vec![KeyUsagePurpose::ContentCommitment];
        self.sign(params, key)
    }

    fn sign(&self, params: CertificateParams, key: &TestKey) -> Certificate {
        let certificate = params.signed_by(&key.pair, &self.issuer).unwrap();
        Certificate::from_der(certificate.der()).unwrap()
    }
}

/// Shared parameters of an instance with nothing in them; one source, that cannot be reached.
pub(crate) fn shared_parameters(instance: &str) -> causeway_globalconf::SharedParameters {
    use causeway_globalconf::shared::{ConfigurationSource, GlobalSettings};
    causeway_globalconf::SharedParameters {
        instance: instance.to_owned(),
        sources: vec![ConfigurationSource {
            address: "127.0.0.1:9".to_owned(),
            internal_certificates: Vec::new(),
            external_certificates: Vec::new(),
        }],
        approved_cas: Vec::new(),
        approved_tsas: Vec::new(),
        members: Vec::new(),
        security_servers: Vec::new(),
        global_groups: Vec::new(),
        settings: GlobalSettings { member_classes: Vec::new(), ocsp_freshness_seconds: 3600 },
    }
}

/// A snapshot of instance `AA` with one certification authority and these responders.
pub(crate) fn conf_with_ca(
    ca: &Certificate,
    ocsp_urls: &[String],
) -> causeway_globalconf::GlobalConf {
    use causeway_globalconf::shared::{ApprovedCa, CaInfo, OcspResponder};
    use causeway_globalconf::{GlobalConf, InstanceConfiguration, Version};
    let responder =
        |url: &String| OcspResponder { url: url.clone(), certificate: None, cost: None };
    let mut shared = shared_parameters("AA");
    shared.approved_cas.push(ApprovedCa {
        name: "CA".to_owned(),
        authentication_only: false,
        top: CaInfo { certificate: ca.into(), ocsp: ocsp_urls.iter().map(responder).collect() },
        intermediates: Vec::new(),
        certificate_profile: "any".to_owned(),
        csr_format: None,
        acme: None,
    });
    GlobalConf::new("AA", vec![InstanceConfiguration::new(shared, Version::V6, None)]).unwrap()
}
