//! Keys, certificates and a plain HTTP client.

use std::sync::Arc;

use causeway_globalconf::directory::{Directory, SHARED_PARAMETERS, SignedDirectory};
use causeway_globalconf::{Anchor, GlobalConfError, SharedParameters};
use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::issue::{CertificateTemplate, eku};
use causeway_pki::{BasicConstraints, Certificate, KeyUsage, SigningKey, name};
use central_registry::{
    CaCertificateRecord, CaRecord, CertificateRecord, Config, ConfigurationKind, OcspRecord,
    Registry, Signer, Signers, TsaRecord,
};
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

pub(crate) fn key() -> Arc<KeyPair> {
    Arc::new(KeyPair::generate(KeyKind::EcP256).unwrap())
}

pub(crate) fn signers() -> Signers {
    let signer = |subject: &str| Signer::self_signed(key(), subject, now()).unwrap();
    Signers { internal: signer("internal"), external: signer("external") }
}

fn template(subject: &str, key: &KeyPair) -> CertificateTemplate {
    let subject = name::encode(&[("CN", subject)]).unwrap();
    let (start, end) = (now() - Duration::hours(1), now() + Duration::days(1));
    CertificateTemplate::new(subject, key.certificate_public_key(), &[1, 2, 3], start, end)
}

pub(crate) fn ca_certificate(subject: &str) -> Certificate {
    let key = key();
    let mut template = template(subject, &key);
    template.basic_constraints = Some(BasicConstraints { ca: true, path_len: None });
    template.key_usage = Some(KeyUsage::KEY_CERT_SIGN);
    template.self_sign(&*key).unwrap()
}

pub(crate) fn auth_certificate(subject: &str) -> Certificate {
    let key = key();
    let mut template = template(subject, &key);
    template.key_usage = Some(KeyUsage::DIGITAL_SIGNATURE);
    template.extended_key_usage = vec![eku::CLIENT_AUTH.to_owned()];
    template.self_sign(&*key).unwrap()
}

pub(crate) fn record(certificate: &Certificate) -> CertificateRecord {
    CertificateRecord(certificate.into())
}

pub(crate) fn member(short: &str) -> MemberId {
    MemberId::parse(short).unwrap()
}

pub(crate) fn client(short: &str) -> ClientId {
    ClientId::parse(short).unwrap()
}

pub(crate) fn server(short: &str) -> SecurityServerId {
    SecurityServerId::parse(short).unwrap()
}

/// Brings a small instance into a registry: one owner with a server and the management services.
pub(crate) fn populate(registry: &Registry) -> Certificate {
    registry.add_member_class("GOV", "Government").unwrap();
    registry.add_member(&member("DEV/GOV/1"), "Operator & Sons").unwrap();
    registry.add_subsystem(&client("DEV/GOV/1/MANAGEMENT"), Some("Management")).unwrap();
    registry.add_server(&server("DEV/GOV/1/SS1"), "ss1.example.org").unwrap();
    let certificate = auth_certificate("ss1");
    registry.add_auth_certificate(&server("DEV/GOV/1/SS1"), &certificate).unwrap();
    registry.add_client(&server("DEV/GOV/1/SS1"), &client("DEV/GOV/1/MANAGEMENT")).unwrap();
    registry.set_management_provider(&client("DEV/GOV/1/MANAGEMENT")).unwrap();
    let top = CaCertificateRecord {
        certificate: record(&ca_certificate("CA")),
        ocsp: vec![OcspRecord {
            url: "http://ocsp.example.org".into(),
            certificate: None,
            cost: None,
        }],
    };
    let ca = CaRecord {
        authentication_only: false,
        profile: "BasicCertificateProfileInfoProvider".into(),
        top,
        intermediates: vec![],
        acme_url: None,
        acme_addresses: None,
        csr_format: None,
    };
    registry.add_ca("Test CA", ca).unwrap();
    let tsa = TsaRecord {
        url: "http://tsa.example.org".into(),
        certificate: record(&ca_certificate("TSA")),
        cost: Some("FREE".into()),
    };
    registry.add_tsa("Test TSA", tsa).unwrap();
    certificate
}

/// A registry in a folder, with keys and a store of its own, and some records.
pub(crate) fn config(folder: &tempfile::TempDir) -> Config {
    let pin = folder.path().join("pin");
    std::fs::write(&pin, "Secret-1234\n").unwrap();
    let mut config = Config::new("DEV", folder.path().join("storage"), "registry.example.org");
    config.pin = causeway_keys::PinSource::File(pin);
    config.key_kind = KeyKind::EcP256;
    config
}

/// A plain GET; gives status and body.
pub(crate) async fn get(address: std::net::SocketAddr, path: &str) -> (u16, Vec<u8>) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes()).await
}

pub(crate) async fn exchange(address: std::net::SocketAddr, request: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    let body = text.find("\r\n\r\n").map_or(answer.len(), |at| at + 4);
    (status, answer[body..].to_vec())
}

/// Downloads and verifies a configuration as a security server does, from the anchor on.
pub(crate) async fn download(
    address: std::net::SocketAddr,
    anchor: &[u8],
    kind: ConfigurationKind,
    version: u8,
) -> Result<(Directory, SharedParameters), GlobalConfError> {
    let anchor = Anchor::parse(anchor).unwrap();
    let expected = format!("http://registry.example.org/{}", kind.path());
    let source = anchor.sources.iter().find(|s| s.url == expected).expect("a source");
    let certificates: Vec<_> = source.certificates.iter().map(|c| c.read().unwrap()).collect();
    let (status, body) = get(address, &format!("/{}?version={version}", kind.path())).await;
    assert_eq!(status, 200);
    let directory = SignedDirectory::parse(&body)?.verify(&certificates, now())?;
    for part in &directory.parts {
        let (status, file) = get(address, &part.location).await;
        assert_eq!(status, 200, "{}", part.location);
        part.check(&file)?;
    }
    let shared = directory.part(SHARED_PARAMETERS, "DEV").unwrap();
    let (_, xml) = get(address, &shared.location).await;
    let shared = SharedParameters::parse(&xml, directory.version)?;
    Ok((directory, shared))
}
