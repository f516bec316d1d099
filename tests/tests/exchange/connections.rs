//! The three connection types of a client: HTTP, HTTPS, and HTTPS with a certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use sandbox::SecurityServer;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use toml::Value;

use crate::provider::{Provider, response};
use crate::scene::{self, PERSON, POPULATION, PORTAL, add_service, for_portal, get, portal, set};
use crate::wire::{Answer, Wire, ask};

const REFUSED: Option<&str> = Some("server.clientproxy.ssl_authentication_failed");

/// An information system's key with its certificate.
fn identity() -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["portal.example".to_owned()]).unwrap();
    (cert.der().clone(), PrivatePkcs8KeyDer::from(signing_key.serialize_der()))
}

/// Takes the server for itself whatever it shows, as `curl -k` does, and notes what that is.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

type Shown<'i> = Option<&'i (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>)>;

/// Asks over TLS; also gives the certificate that the server showed.
async fn ask_tls(
    address: SocketAddr,
    shown: Shown<'_>,
    request: impl AsRef<[u8]>,
) -> (Answer, Vec<u8>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let config = match shown {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config
            .with_client_auth_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key.clone_key()))
            .unwrap(),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let theirs = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    (Wire::over(stream).ask(request).await, theirs)
}

/// Asks over TLS with this certificate and key, both DER.
pub(crate) async fn ask_with(
    address: SocketAddr,
    shown: &(Vec<u8>, Vec<u8>),
    request: &[u8],
) -> Answer {
    let shown = (CertificateDer::from(shown.0.clone()), PrivatePkcs8KeyDer::from(shown.1.clone()));
    ask_tls(address, Some(&shown), request).await.0
}

/// The codes of what is asked over HTTP, HTTPS without a certificate, with the right and with a
/// wrong one.
async fn codes(server: &SecurityServer, right: Shown<'_>, wrong: Shown<'_>) -> [Option<String>; 4] {
    let at = server.addresses();
    let request = get(PERSON, "");
    let answers = [
        ask(at.http, &request).await,
        ask_tls(at.https, None, &request).await.0,
        ask_tls(at.https, right, &request).await.0,
        ask_tls(at.https, wrong, &request).await.0,
    ];
    answers.map(|answer| answer.code().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_chooses_how_its_systems_connect() {
    let ecosystem = scene::start(|_, _| {}).await;
    let (right, wrong) = (identity(), identity());
    let file = ecosystem.folder().join("portal.crt");
    std::fs::write(&file, &right.0).unwrap();
    let server = ecosystem.server("ss1").unwrap();
    let listed = Value::Array(vec![file.to_str().unwrap().into()]);

    for (connection, listed, expected) in [
        ("http", None, [None, None, None, None]),
        ("https", None, [REFUSED, None, None, None]),
        ("https-with-certificate", Some(listed), [REFUSED, REFUSED, None, REFUSED]),
        ("https-with-certificate", None, [REFUSED, REFUSED, REFUSED, REFUSED]),
        ("http", None, [None, None, None, None]),
    ] {
        let change = |table: &mut toml::Table| {
            let client = scene::client(table, PORTAL);
            set(client, "connection", connection);
            client.remove("certificates");
            if let Some(listed) = listed.clone() {
                set(client, "certificates", listed);
            }
        };
        server.edit(change).unwrap();
        server.reload().unwrap();
        let told = codes(server, Some(&right), Some(&wrong)).await;
        assert_eq!(told.each_ref().map(Option::as_deref), expected, "{connection} {listed:?}");
    }
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_given_to_those_who_may_ask() {
    let ecosystem = scene::start(|name, table| {
        if name == "ss1" {
            set(scene::client(table, PORTAL), "connection", "https");
        }
    })
    .await;
    let at = ecosystem.server("ss1").unwrap().addresses();
    let request = get(PERSON, "X-Road-Id: one\r\n");
    let (answer, shown) = ask_tls(at.https, None, &request).await;
    assert_eq!((answer.status, answer.code()), (200, None), "{answer:?}");
    // What the server shows is its internal certificate, which the operator can hand out.
    let internal = ecosystem.folder().join("ss1/data/tls/internal.crt");
    let internal = std::fs::read(internal).unwrap();
    let internal = causeway_pki::Certificate::from_der_or_pem(&internal).unwrap();
    assert_eq!(internal.der(), shown);

    ecosystem.stamp_now().await.unwrap();
    let path = sandbox::evidence::asic_path(&scene::id(PORTAL), "one", false);
    let download = get(&path, "");
    let refused = ask(at.http, &download).await;
    assert!(refused.status >= 400 && !refused.body.starts_with(b"PK"), "{refused:?}");
    let (given, _) = ask_tls(at.https, None, &download).await;
    assert!(given.status == 200 && given.body.starts_with(b"PK"), "{given:?}");
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_over_tls_show_the_certificate_that_is_listed() {
    let (right, other) = (identity(), identity());
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![right.0.clone()], PrivateKeyDer::Pkcs8(right.1.clone_key()))
            .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let provider = Provider::start_tls(acceptor, |_| response("200 OK", "", b"ok")).await;
    let url = provider.url("/").replace("http:", "https:");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, certificate: &CertificateDer<'_>| {
        let path = folder.path().join(name);
        std::fs::write(&path, certificate).unwrap();
        Value::Array(vec![path.to_str().unwrap().into()])
    };
    let (listed, not_it) = (file("right.crt", &right.0), file("other.crt", &other.0));
    let at_first = listed.clone();
    let ecosystem = scene::start(move |name, table| {
        if name == "ss2" {
            set(scene::client(table, POPULATION), "certificates", at_first.clone());
            add_service(table, POPULATION, "verified", &url, &for_portal());
            let any = format!("{}\nverify_tls = false", for_portal());
            add_service(table, POPULATION, "unverified", &url, &any);
        }
    })
    .await;
    let server = ecosystem.server("ss2").unwrap();
    for (certificates, code) in [
        (listed.clone(), None),
        (not_it, Some("server.serverproxy.ssl_authentication_failed")),
        (listed, None),
    ] {
        let change = |table: &mut toml::Table| {
            set(scene::client(table, POPULATION), "certificates", certificates);
        };
        server.edit(change).unwrap();
        server.reload().unwrap();
        for (service, code) in [("verified", code), ("unverified", None)] {
            let request = get(&format!("/r1/DEV/GOV/1001/population/{service}/x"), "");
            let answer = portal(&ecosystem, request).await;
            assert_eq!(answer.code(), code, "{service}: {answer:?}");
        }
    }
    ecosystem.stop().await;
}
