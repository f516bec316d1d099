//! The services judged by causeway-pki's own rules, by `openssl`, and by misuse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::issue::{CertificateRequest, RequestTemplate, SubjectAltName};
use causeway_pki::ocsp::{self, CertId, CertStatus, OcspPolicy, OcspResponse, OcspTrust};
use causeway_pki::profile::CertificateProfile;
use causeway_pki::tsp::{self, TimestampRequest, TimestampResponse, TspError};
use causeway_pki::{Certificate, DigestAlgorithm, SigningKey, chain};
use causeway_trust_services::{
    AuthorityOptions, CertificationAuthority, Fault, Level, OcspResponder, Order, Purpose,
    Services, TimestampingAuthority, TrustServicesError, serve,
};
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().replace_nanosecond(0).unwrap()
}

fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok_and(|o| o.status.success());
    if !found {
        eprintln!("SKIPPED: no openssl command");
    }
    found
}

fn openssl(folder: &Path, arguments: &str) -> (bool, String) {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn authority(intermediate: bool) -> CertificationAuthority {
    let mut options = AuthorityOptions::new("Causeway tests", "Test CA");
    options.intermediate = intermediate;
    options.profile = Some(CertificateProfile::FiVrk);
    CertificationAuthority::create(&options, now()).unwrap()
}

const SUBJECT: [(&str, &str); 4] =
    [("C", "FI"), ("O", "Agency"), ("serialNumber", "DEV/ss1/GOV"), ("CN", "1234")];

fn request(subject: &[(&str, &str)]) -> (KeyPair, CertificateRequest) {
    let key = KeyPair::generate(KeyKind::EcP256).unwrap();
    let template = RequestTemplate::new(subject).unwrap();
    let template = template.alt_names([SubjectAltName::from_host("ss1.example.org")]);
    let der = template.sign(&key).unwrap();
    (key, CertificateRequest::parse(&der).unwrap())
}

fn signing(authority: &CertificationAuthority) -> Certificate {
    let order = Order::new(Purpose::Signing).ocsp_url("http://127.0.0.1:1");
    authority.issue(&request(&SUBJECT).1, &order, now()).unwrap()
}

#[test]
fn issues_by_profile_and_purpose() {
    for intermediate in [false, true] {
        let authority = authority(intermediate);
        let signing = signing(&authority);
        assert!(signing.is_signing_certificate() && !signing.is_authentication_certificate());
        assert_eq!(signing.ocsp_urls(), ["http://127.0.0.1:1"]);
        assert!(signing.dns_names().is_empty());
        let (key, csr) = request(&[("C", "FI"), ("CN", "ss1.example.org")]);
        let auth = authority.issue(&csr, &Order::new(Purpose::Authentication), now()).unwrap();
        assert!(auth.is_authentication_certificate() && !auth.is_signing_certificate());
        assert_eq!(auth.dns_names(), ["ss1.example.org"]);
        assert_eq!(auth.subject_public_key_info(), key.certificate_public_key());
        let extra: Vec<Certificate> = authority.intermediate().cloned().into_iter().collect();
        for leaf in [&signing, &auth] {
            let path = chain::judge(leaf, &extra, authority.certificate(), now()).unwrap();
            assert_eq!(path.len(), 1 + extra.len());
            chain::judge(leaf, &[], authority.issuer(), now()).unwrap();
        }
        // a signing certificate whose subject names no member is refused, and not registered
        let before = authority.issued().len();
        let (_, csr) = request(&[("C", "SE"), ("O", "x"), ("serialNumber", "1"), ("CN", "2")]);
        let error = authority.issue(&csr, &Order::new(Purpose::Signing), now()).unwrap_err();
        assert!(matches!(error, TrustServicesError::Refused(_)), "{error}");
        assert_eq!(authority.issued().len(), before);
        let error = authority.issue(&csr, &Order::new(Purpose::Authority), now()).unwrap_err();
        assert!(matches!(error, TrustServicesError::Refused(_)));
        let none = Order::new(Purpose::Authentication).valid_for(Duration::ZERO);
        assert!(authority.issue(&csr, &none, now()).is_err());
        let long = Order::new(Purpose::Authentication).valid_for(Duration::MAX);
        let long = authority.issue(&csr, &long, now()).unwrap();
        assert_eq!(long.not_after(), authority.issuer().not_after());
    }
}

#[test]
fn openssl_believes_the_authority() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(true);
    let leaf = signing(&authority);
    std::fs::write(folder.path().join("root.pem"), authority.certificate().to_pem()).unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.intermediate().unwrap().to_pem())
        .unwrap();
    std::fs::write(folder.path().join("leaf.pem"), leaf.to_pem()).unwrap();
    let verify = "verify -x509_strict -CAfile root.pem -untrusted ca.pem leaf.pem";
    let (ok, text) = openssl(folder.path(), verify);
    assert!(ok, "{text}");
}

#[test]
fn register_survives_restarts_and_torn_lines() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ca");
    let authority = authority(true);
    let early = signing(&authority);
    authority.revoke(&early, now()).unwrap();
    authority.persist(&place).unwrap();
    assert!(authority.persist(&place).is_err(), "a second authority in one folder");
    let (first, second) = (signing(&authority), signing(&authority));
    let moment = now() - Duration::hours(1);
    authority.revoke(&first, moment).unwrap();
    authority.revoke(&first, now()).unwrap();
    let root = authority.certificate().clone();
    drop(authority);

    let register = place.join("register.jsonl");
    let mut bytes = std::fs::read(&register).unwrap();
    let whole = bytes.len();
    bytes.extend_from_slice(b"{\"issued\":{\"level\":\"ro");
    std::fs::write(&register, bytes).unwrap();

    let again = CertificationAuthority::from_state(&place).unwrap();
    assert_eq!(*again.certificate(), root);
    assert_eq!(again.profile(), Some(CertificateProfile::FiVrk));
    let level = Level::Intermediate;
    assert_eq!(again.status(level, first.serial_bytes()), CertStatus::Revoked { at: moment });
    assert_eq!(again.status(level, second.serial_bytes()), CertStatus::Good);
    assert!(matches!(again.status(level, early.serial_bytes()), CertStatus::Revoked { .. }));
    assert_eq!(again.status(Level::Root, second.serial_bytes()), CertStatus::Unknown);
    let third = signing(&again);
    let bytes = std::fs::read(&register).unwrap();
    assert!(bytes[..whole].ends_with(b"\n") && bytes[whole..].ends_with(b"\n"));
    let again = CertificationAuthority::from_state(&place).unwrap();
    assert_eq!(again.status(level, third.serial_bytes()), CertStatus::Good);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(place.join("root.pkcs8")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let stranger = signing(&self::authority(false));
    let error = again.revoke(&stranger, now()).unwrap_err();
    assert!(matches!(error, TrustServicesError::UnknownCertificate(_)));
    std::fs::write(&register, b"{}\n").unwrap();
    assert!(CertificationAuthority::from_state(&place).is_err());
}

fn judge(
    response: &[u8],
    cert: &Certificate,
    issuer: &Certificate,
    at: OffsetDateTime,
) -> Result<(), ocsp::OcspError> {
    let trust = OcspTrust::issuer_only();
    let response = OcspResponse::parse(response)?;
    ocsp::judge(&response, cert, issuer, &trust, &OcspPolicy::default(), at)
}

#[test]
fn responder_speaks_for_both_levels() {
    let authority = Arc::new(authority(true));
    let leaf = signing(&authority);
    let (root, middle) = (authority.certificate().clone(), authority.issuer().clone());
    let delegated = OcspResponder::delegated(authority.clone(), "Test OCSP", now()).unwrap();
    let own =
        OcspResponder::new(authority.clone(), authority.key(Level::Intermediate), middle.clone());
    for responder in [delegated, own.unwrap()] {
        let answer = responder.answer(&ocsp::request(&leaf, &middle), now());
        judge(&answer, &leaf, &middle, now()).unwrap();
        let answer = responder.answer(&ocsp::request(&middle, &root), now());
        judge(&answer, &middle, &root, now()).unwrap();
        // both in one request: no one signature can cover them
        let both = [CertId::of(&leaf, &middle), CertId::of(&middle, &root)];
        let answer = responder.answer(&ocsp::request_for(&both), now());
        assert_eq!(OcspResponse::parse(&answer), Err(ocsp::OcspError::Unsuccessful(6)));
        // another authority's certificate
        let stranger = self::authority(false);
        let foreign = signing(&stranger);
        let answer = responder.answer(&ocsp::request(&foreign, stranger.issuer()), now());
        assert_eq!(OcspResponse::parse(&answer), Err(ocsp::OcspError::Unsuccessful(6)));
        assert_eq!(
            OcspResponse::parse(&responder.answer(b"nonsense", now())),
            Err(ocsp::OcspError::Unsuccessful(1))
        );
        // never issued
        let id = CertId::with_algorithm(DigestAlgorithm::Sha256, &[1, 2, 3], &middle);
        let answer = OcspResponse::parse(&responder.answer(&ocsp::request_for(&[id]), now()));
        assert_eq!(answer.unwrap().status(), CertStatus::Unknown);
    }
    let responder = OcspResponder::delegated(authority.clone(), "Test OCSP", now()).unwrap();
    authority.revoke(&leaf, now()).unwrap();
    let answer = responder.answer(&ocsp::request(&leaf, &middle), now());
    assert_eq!(judge(&answer, &leaf, &middle, now()).unwrap_err().code(), "cert_validation");
    let stale = OcspResponder::delegated(authority.clone(), "Test OCSP", now()).unwrap();
    let stale = stale.with_age(Duration::hours(2)).with_next_update(None);
    let answer = stale.answer(&ocsp::request(&leaf, &middle), now());
    assert!(matches!(judge(&answer, &leaf, &middle, now()), Err(ocsp::OcspError::TooOld(_))));
    let foreign = KeyPair::generate(KeyKind::EcP256).unwrap();
    assert!(OcspResponder::new(authority, Arc::new(foreign), leaf).is_err());
}

#[test]
fn timestamps_are_granted_and_refused() {
    let authority = authority(false);
    for kind in [KeyKind::EcP256, KeyKind::Rsa2048] {
        let tsa = TimestampingAuthority::certified(&authority, "Test TSA", kind, now()).unwrap();
        let tsa = tsa.with_policy("1.2.3.4").unwrap();
        let known = [tsa.certificate().clone()];
        for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha384, DigestAlgorithm::Sha512]
        {
            let request = TimestampRequest::new(algorithm, &algorithm.digest(b"data"));
            for request in [request.clone(), request.with_nonce(&[7; 8]).with_certificate()] {
                let answer =
                    TimestampResponse::parse(&tsa.answer(&request.to_der(), now())).unwrap();
                let token = tsp::check_response(&request, &answer).unwrap();
                token.verify(b"data", &known).unwrap();
                assert_eq!(token.certificates().len(), usize::from(request.certificate_wanted()));
                assert_eq!(token.policy(), "1.2.3.4");
            }
        }
        let sha1 = TimestampRequest::new(DigestAlgorithm::Sha1, &[0; 20]);
        let answer = TimestampResponse::parse(&tsa.answer(&sha1.to_der(), now())).unwrap();
        let error = tsp::check_response(&sha1, &answer).unwrap_err();
        assert!(matches!(error, TspError::NotGranted { status: 2, .. }));
        assert!(!TimestampResponse::parse(&tsa.answer(b"?", now())).unwrap().is_granted());
    }
}

fn world() -> (Arc<CertificationAuthority>, Certificate, Services) {
    let authority = Arc::new(authority(false));
    let leaf = signing(&authority);
    let responder = OcspResponder::delegated(authority.clone(), "Test OCSP", now()).unwrap();
    let tsa = TimestampingAuthority::certified(&authority, "Test TSA", KeyKind::EcP256, now());
    let services = Services {
        ocsp: Some(Arc::new(responder)),
        tsa: Some(Arc::new(tsa.unwrap())),
        ..Services::default()
    };
    (authority, leaf, services)
}

struct Running {
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), TrustServicesError>>,
}

async fn start(services: &Services) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let services = services.clone();
    let task = tokio::spawn(serve(listener, services, async {
        let _ = stopped.await;
    }));
    Running { address, stop, task }
}

/// Status and body of one exchange; the request is written as it is.
async fn exchange(address: SocketAddr, request: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(StdDuration::from_secs(5), reading).await.ok()?.ok()?;
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    Some((status, answer[split + 4..].to_vec()))
}

fn post(kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /any HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn over_http() {
    let (authority, leaf, services) = world();
    let running = start(&services).await;
    let issuer = authority.issuer();
    let ask = ocsp::request(&leaf, issuer);
    let (status, body) =
        exchange(running.address, &post("application/ocsp-request", &ask)).await.unwrap();
    assert_eq!(status, 200);
    judge(&body, &leaf, issuer, now()).unwrap();
    let text = STANDARD.encode(&ask);
    let encoded = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    for path in [format!("/{text}"), format!("/ocsp/{encoded}")] {
        let (status, body) = exchange(running.address, &get(&path)).await.unwrap();
        assert_eq!(status, 200);
        judge(&body, &leaf, issuer, now()).unwrap();
    }
    let imprint = DigestAlgorithm::Sha512.digest(b"data");
    let request = TimestampRequest::new(DigestAlgorithm::Sha512, &imprint);
    let posted = post("application/timestamp-query; x=y", &request.to_der());
    let (status, body) = exchange(running.address, &posted).await.unwrap();
    assert_eq!(status, 200);
    let answer = TimestampResponse::parse(&body).unwrap();
    let known = [services.tsa.as_ref().unwrap().certificate().clone()];
    tsp::check_response(&request, &answer).unwrap().verify(b"data", &known).unwrap();

    for (request, expected) in [
        (post("text/plain", b"x"), 415),
        (post("application/ocsp-request", &[0; 20_000]), 413),
        (get("/"), 404),
        (get("/%zz"), 404),
        (b"DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(), 405),
    ] {
        let answered = exchange(running.address, &request).await.unwrap();
        assert_eq!(answered.0, expected);
    }
    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
    assert!(exchange(running.address, &get("/")).await.is_none());
}

#[tokio::test]
async fn faults_on_demand() {
    let (authority, leaf, services) = world();
    let running = start(&services).await;
    let ask = post("application/ocsp-request", &ocsp::request(&leaf, authority.issuer()));
    let faults = services.ocsp.as_ref().unwrap().faults().clone();
    faults.set_available(false);
    assert_eq!(exchange(running.address, &ask).await.unwrap().0, 503);
    faults.set_fault(Fault::Garbage);
    let (status, body) = exchange(running.address, &ask).await.unwrap();
    assert_eq!(status, 200);
    assert!(OcspResponse::parse(&body).is_err());
    faults.set_available(true);
    faults.set_delay(StdDuration::from_millis(200));
    let started = std::time::Instant::now();
    assert_eq!(exchange(running.address, &ask).await.unwrap().0, 200);
    assert!(started.elapsed() >= StdDuration::from_millis(200));
    faults.set_delay(StdDuration::ZERO);
    faults.set_fault(Fault::Silent);
    let silent = exchange(running.address, &ask);
    assert!(tokio::time::timeout(StdDuration::from_millis(300), silent).await.is_err());
    faults.set_available(true);

    services.listening.set_listening(false);
    wait_for(|| async { TcpStream::connect(running.address).await.is_err() }).await;
    services.listening.set_listening(true);
    wait_for(|| async { TcpStream::connect(running.address).await.is_ok() }).await;
    assert_eq!(exchange(running.address, &ask).await.unwrap().0, 200);

    services.listening.set_listening(false);
    wait_for(|| async { TcpStream::connect(running.address).await.is_err() }).await;
    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
}

async fn wait_for<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    for _ in 0..200 {
        if condition().await {
            return;
        }
        tokio::time::sleep(StdDuration::from_millis(20)).await;
    }
    panic!("did not come true within four seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_as_a_client() {
    if !has_openssl() {
        return;
    }
    let (authority, leaf, services) = world();
    let running = start(&services).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root.pem"), authority.certificate().to_pem()).unwrap();
    std::fs::write(folder.path().join("leaf.pem"), leaf.to_pem()).unwrap();
    let ask = format!(
        "ocsp -issuer root.pem -cert leaf.pem -url http://{}/ -CAfile root.pem",
        running.address
    );
    let run = |folder: &Path, arguments: String| {
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || openssl(&folder, &arguments))
    };
    let (ok, text) = run(folder.path(), ask.clone()).await.unwrap();
    assert!(ok && text.contains("Response verify OK") && text.contains("leaf.pem: good"), "{text}");
    authority.revoke(&leaf, now()).unwrap();
    let (_, text) = run(folder.path(), ask).await.unwrap();
    assert!(text.contains("leaf.pem: revoked"), "{text}");

    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("data"), b"data").unwrap();
    let make = "ts -query -data data -sha512 -cert -out q.tsq".to_owned();
    assert!(run(folder.path(), make).await.unwrap().0);
    let posted = post("application/timestamp-query", &std::fs::read(path("q.tsq")).unwrap());
    let (status, body) = exchange(running.address, &posted).await.unwrap();
    assert_eq!(status, 200);
    std::fs::write(path("r.tsr"), body).unwrap();
    let verify = "ts -verify -queryfile q.tsq -in r.tsr -CAfile root.pem".to_owned();
    let (ok, text) = run(folder.path(), verify).await.unwrap();
    assert!(ok && text.contains("Verification: OK"), "{text}");
    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
}

proptest::proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        static WORLD: std::sync::LazyLock<Services> = std::sync::LazyLock::new(|| world().2);
        let answer = WORLD.ocsp.as_ref().unwrap().answer(&bytes, now());
        proptest::prop_assert!(!answer.is_empty());
        let answer = WORLD.tsa.as_ref().unwrap().answer(&bytes, now());
        proptest::prop_assert!(TimestampResponse::parse(&answer).is_ok());
    }
}
