#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use causeway_pki::ocsp::{CertId, CertStatus, ResponseBuilder};
use http_body_util::BodyExt as _;
use tempfile::TempDir;

use super::*;
use crate::outgoing::fake::{FakeServer, IMPATIENT, Reply, TestCa, TestKey, nobody};

struct World {
    _folder: TempDir,
    cache: Arc<OcspCache>,
    certificates: Vec<Certificate>,
}

/// A server with two certificates and the responses for them.
fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let cache = OcspCache::open(folder.path().join("ocsp"));
    let ca = TestCa::new("CA");
    let certificates: Vec<_> =
        ["one", "two"].map(|name| ca.issue(name, &TestKey::generate())).into();
    for certificate in &certificates {
        let id = CertId::of(certificate, &ca.certificate);
        let response = ResponseBuilder::new(OffsetDateTime::now_utc())
            .single(&id, CertStatus::Good, OffsetDateTime::now_utc(), None)
            .sign(&ca.key, &ca.certificate)
            .unwrap();
        cache.put(certificate, OcspResponse::parse(&response).unwrap()).unwrap();
    }
    World { _folder: folder, cache: Arc::new(cache), certificates }
}

async fn body_of(response: Response<Body>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// Serves `respond` over the wire.
async fn serve(cache: &Arc<OcspCache>) -> FakeServer {
    let cache = Arc::clone(cache);
    FakeServer::start(move |asked| {
        let query = asked.target.split_once('?').map(|(_, query)| query.to_owned());
        let method = asked.method.parse().unwrap();
        let response = respond(&cache, &method, query.as_deref());
        let status = response.status().as_u16();
        let content_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(body_of(response))
        });
        Reply::Http(status, Box::leak(content_type.into_boxed_str()), body)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_come_in_the_order_asked_for() {
    let world = world();
    let server = serve(&world.cache).await;
    let peers = PeerOcsp::with_timeouts(IMPATIENT);
    let reversed: Vec<_> = world.certificates.iter().rev().cloned().collect();
    let responses = peers.fetch("127.0.0.1", server.address.port(), &reversed).await.unwrap();
    for (certificate, response) in reversed.iter().zip(&responses) {
        assert_eq!(response.der(), world.cache.get(certificate).unwrap().der());
    }
    let asked = server.asked.lock().unwrap()[0].clone();
    let digests = |kind: &str, of: fn(&Certificate) -> String| -> String {
        reversed.iter().map(|c| format!("{kind}={}&", of(c))).collect()
    };
    let query = digests("cert", |c| hex::encode(c.sha1()))
        + &digests("cert_hash", |c| hex::encode(c.sha256()));
    assert_eq!(asked.target, format!("/?{}", query.trim_end_matches('&')));
    assert!(asked.head.contains("accept: multipart/related"));

    // All or nothing.
    let stranger = TestCa::new("CA").issue("three", &TestKey::generate());
    let error = peers
        .fetch("127.0.0.1", server.address.port(), &[reversed[0].clone(), stranger])
        .await
        .unwrap_err();
    assert!(matches!(error, ExchangeError::Status { status: 500, .. }), "{error}");
    assert!(error.to_string().contains("Could not find OCSP response"), "{error}");
}

#[tokio::test]
async fn only_what_the_protocol_knows_is_answered() {
    let world = world();
    let get = |query: Option<&str>| respond(&world.cache, &Method::GET, query);
    let response = respond(&world.cache, &Method::HEAD, None);
    assert_eq!(response.status(), 200);
    assert!(body_of(response).await.is_empty());
    for (response, text) in [
        (get(None), "Could not get cert hashes"),
        (get(Some("cert_hash=00")), "Could not get cert hashes"),
        (get(Some("cert=<script>")), "Could not find OCSP response for certificate script"),
        (get(Some(&"cert=00&".repeat(33))), "More than 32 cert hashes"),
        (respond(&world.cache, &Method::POST, Some("cert=00")), "Invalid request method"),
    ] {
        assert_eq!(response.status(), 500);
        assert_eq!(String::from_utf8(body_of(response).await).unwrap(), text);
    }
}

#[tokio::test]
async fn bad_answers_are_errors() {
    let world = world();
    let der = world.cache.get(&world.certificates[0]).unwrap().der().to_vec();
    let ok = "multipart/related; boundary=\"B\"";
    let fetch = async |reply: fn(&[u8]) -> Vec<u8>, content_type: &'static str| {
        let der = der.clone();
        let server = FakeServer::start(move |_| Reply::Http(200, content_type, reply(&der))).await;
        let peers = PeerOcsp::with_timeouts(IMPATIENT);
        peers.fetch("127.0.0.1", server.address.port(), &world.certificates[..1]).await
    };
    let one = |der: &[u8]| multipart::write(&[der], OCSP_RESPONSE, "B");
    assert_eq!(fetch(one, ok).await.unwrap()[0].der(), der);
    let error = fetch(one, "text/plain").await.unwrap_err();
    assert!(matches!(error, ExchangeError::NotMultipart(_)), "{error}");
    let error = fetch(|_| b"--B\r\n".to_vec(), ok).await.unwrap_err();
    assert!(matches!(error, ExchangeError::NotMultipart(_)), "{error}");
    let two = |der: &[u8]| multipart::write(&[der, der], OCSP_RESPONSE, "B");
    let error = fetch(two, ok).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Count { found: 2, expected: 1, .. }), "{error}");
    let other = |der: &[u8]| multipart::write(&[der], "text/plain", "B");
    let error = fetch(other, ok).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Count { found: 0, .. }), "{error}");
    let junk = |_: &[u8]| multipart::write(&[b"junk"], OCSP_RESPONSE, "B");
    let error = fetch(junk, ok).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Response { .. }), "{error}");
    let error = fetch(|_| vec![0; 2 << 20], ok).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Outgoing(OutgoingError::TooLong { .. })), "{error}");

    let peers = PeerOcsp::with_timeouts(IMPATIENT);
    let port = nobody().await.port();
    let error = peers.fetch("127.0.0.1", port, &world.certificates).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Outgoing(OutgoingError::Connect { .. })), "{error}");
    let error = peers.fetch("evil/path?", port, &world.certificates).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Host(_)), "{error}");
}

#[test]
fn addresses_of_all_kinds_are_taken() {
    for (host, url) in [
        ("ss.example.org", "http://ss.example.org:5577/?"),
        ("10.0.0.1", "http://10.0.0.1:5577/?"),
        ("::1", "http://[::1]:5577/?"),
        ("[fe80::1]", "http://[fe80::1]:5577/?"),
    ] {
        assert_eq!(request_url(host, 5577, &[]).unwrap(), url);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_not_asked_for_again() {
    let world = world();
    let server = serve(&world.cache).await;
    let peers = Arc::new(PeerOcsp::with_timeouts(IMPATIENT));
    let (policy, now) = (OcspPolicy::default(), OffsetDateTime::now_utc());
    let responses = async |now| {
        peers.responses("127.0.0.1", server.address.port(), &world.certificates, &policy, now).await
    };
    // However many ask at once, one of them goes.
    let (a, b, c) = tokio::join!(responses(now), responses(now), responses(now));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(server.count(), 1);
    responses(now + time::Duration::seconds(59)).await.unwrap();
    assert_eq!(server.count(), 1);
    peers.forget(&world.certificates[..1]);
    responses(now).await.unwrap();
    assert_eq!(server.count(), 2);
    // What is older still counts at once, and is asked for behind that.
    responses(now + time::Duration::seconds(61)).await.unwrap();
    while server.count() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // A server that does not answer any more is known until its responses are stale.
    drop(server);
    let port = nobody().await.port();
    let responses =
        async |now| peers.responses("127.0.0.1", port, &world.certificates, &policy, now).await;
    assert_eq!(responses(now + time::Duration::minutes(30)).await.unwrap().len(), 2);
    let fault = responses(now + time::Duration::hours(2)).await.unwrap_err();
    assert_eq!(fault.code(), "ssl_authentication_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_silent_port_while_responses_hold() {
    let world = world();
    let server = serve(&world.cache).await;
    let patient = Timeouts { connect: Duration::from_secs(600), read: Duration::from_secs(600) };
    let peers = Arc::new(PeerOcsp::with_timeouts(patient));
    let (policy, now) = (OcspPolicy::default(), OffsetDateTime::now_utc());
    let (certificates, port) = (&world.certificates, server.address.port());
    peers.responses("127.0.0.1", port, certificates, &policy, now).await.unwrap();

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let later = now + time::Duration::minutes(10);
    for _ in 0..3 {
        let asked = peers.responses("127.0.0.1", port, certificates, &policy, later);
        let got = tokio::time::timeout(Duration::from_secs(60), asked).await;
        assert_eq!(got.expect("what is known").unwrap().len(), 2);
    }
}
