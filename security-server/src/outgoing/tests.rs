#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::fake::{FakeServer, IMPATIENT, Reply, nobody};
use super::*;

async fn get(url: &str, limit: usize) -> Result<Answer, OutgoingError> {
    Outgoing::plain(IMPATIENT).get(url, limit).await
}

#[tokio::test]
async fn an_answer_comes_back_whatever_its_status() {
    let server =
        FakeServer::start(|_| Reply::Http(404, "text/plain", b"no such thing".to_vec())).await;
    let answer = get(&server.url("/a/b?c=d%20e"), 100).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (404, &b"no such thing"[..]));
    assert_eq!(answer.content_type.as_deref(), Some("text/plain"));
    let asked = server.asked.lock().unwrap()[0].clone();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/a/b?c=d%20e"));
    assert!(asked.head.contains(&format!("host: {}\r\n", server.address)), "{}", asked.head);
}

#[tokio::test]
async fn a_body_is_posted() {
    let server = FakeServer::start(|_| Reply::Http(200, "a/b", Vec::new())).await;
    let outgoing = Outgoing::plain(IMPATIENT);
    outgoing.post(&server.url("/"), "application/x", &b"body"[..], 0).await.unwrap();
    let asked = server.asked.lock().unwrap()[0].clone();
    assert_eq!((asked.method.as_str(), &asked.body[..]), ("POST", &b"body"[..]));
    assert!(asked.head.contains("content-type: application/x\r\n"));
}

#[tokio::test]
async fn bodies_are_bounded_with_and_without_a_length() {
    let server = FakeServer::start(|_| Reply::Http(200, "a/b", vec![0; 101])).await;
    assert!(matches!(
        get(&server.url("/"), 100).await,
        Err(OutgoingError::TooLong { limit: 100, .. })
    ));
    assert_eq!(get(&server.url("/"), 101).await.unwrap().body.len(), 101);
    let endless = b"HTTP/1.1 200 OK\r\n\r\n".iter().copied().chain([7; 1000]).collect::<Vec<_>>();
    let server = FakeServer::start(move |_| Reply::Raw(endless.clone())).await;
    assert!(matches!(
        get(&server.url("/"), 100).await,
        Err(OutgoingError::TooLong { limit: 100, .. })
    ));
}

#[tokio::test]
async fn silence_garbage_and_absence_are_errors() {
    let server = FakeServer::start(|_| Reply::Hang).await;
    assert!(matches!(get(&server.url("/"), 9).await, Err(OutgoingError::TimedOut { .. })));
    let server = FakeServer::start(|_| Reply::Raw(b"garbage".to_vec())).await;
    assert!(matches!(get(&server.url("/"), 9).await, Err(OutgoingError::Http { .. })));
    let broken = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_vec();
    let server = FakeServer::start(move |_| Reply::Raw(broken.clone())).await;
    assert!(matches!(get(&server.url("/"), 9).await, Err(OutgoingError::Http { .. })));
    let nobody = format!("http://{}/", nobody().await);
    assert!(matches!(get(&nobody, 9).await, Err(OutgoingError::Connect { .. })));
}

#[tokio::test]
async fn only_web_addresses_are_called() {
    for url in ["", "ftp://host/", "file:///etc/passwd", "/path", "http://"] {
        assert!(matches!(get(url, 9).await, Err(OutgoingError::Address(_))), "{url}");
    }
    assert!(matches!(get("https://127.0.0.1/", 9).await, Err(OutgoingError::NoRoots(_))));
}

#[tokio::test]
async fn a_stranger_is_not_trusted_over_tls() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(key.cert.der().to_vec());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into()),
        )
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            drop(stream.read(&mut [0; 4096]).await);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
            drop(stream.write_all(answer).await);
            drop(stream.shutdown().await);
        }
    });
    let url = format!("https://localhost:{port}/");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let answer = Outgoing::with_roots(IMPATIENT, roots).get(&url, 9).await.unwrap();
    assert_eq!(&answer.body[..], b"hi");
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(stranger.cert.der().to_vec())).unwrap();
    let refused = Outgoing::with_roots(IMPATIENT, roots).get(&url, 9).await;
    assert!(matches!(refused, Err(OutgoingError::Tls { .. })), "{refused:?}");
}

#[test]
fn roots_come_from_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.pem");
    assert!(roots_from(&path).is_none());
    std::fs::write(&path, "nothing here").unwrap();
    assert!(roots_from(&path).is_none());
    let key = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
    std::fs::write(&path, format!("# comment\n{}", key.cert.pem())).unwrap();
    assert_eq!(roots_from(&path).unwrap().len(), 1);
}
