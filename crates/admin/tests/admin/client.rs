//! Over sockets: a real client, and what only sockets can do.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use causeway_admin::http::{
    EdgeSettings, Networks, Rates, Serving, TlsError, TlsFiles, ensure, serve,
};
use causeway_admin::identity::Role;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::support::{PASSWORD, Scene, scene};

struct Running {
    scene: Scene,
    address: SocketAddr,
    files: TlsFiles,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

async fn start(serving: Serving) -> Running {
    let unlimited = Rates { per_second: 0, per_minute: 0 };
    let scene = scene(EdgeSettings {
        rates_by_address: unlimited,
        rates_by_principal: unlimited,
        ..EdgeSettings::default()
    });
    let files = TlsFiles {
        certificate: scene.folder.path().join("tls/admin.crt"),
        key: scene.folder.path().join("tls/admin.key"),
    };
    let tls = ensure(&files, &["cs.example.org".to_owned()], OffsetDateTime::now_utc()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let gate = Arc::clone(&scene.gate);
    let served = tokio::spawn(async move {
        serve(gate, listener, tls, serving, async { drop(stopped.await) }).await;
    });
    Running { scene, address, files, stop: Some(stop), served }
}

impl Running {
    async fn connect(&self) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(&self.files.certificate).unwrap();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Sends bytes, and reads until the server closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let (mut from, mut to) = tokio::io::split(self.connect().await.unwrap());
        let mut answer = Vec::new();
        // A server that has seen enough closes before it has read all; a close without a notice is an end, too.
        let _ = tokio::join!(to.write_all(bytes), from.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn end(mut self) {
        drop(self.stop.take());
        self.served.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_works_with_curl() {
    let running = start(Serving::default()).await;
    let url = format!("https://localhost:{}", running.address.port());
    let certificate = running.files.certificate.clone();
    let curl = |arguments: Vec<String>| {
        let certificate = certificate.clone();
        async move {
            let run = move || {
                Command::new("curl")
                    .args(["-sS", "--max-time", "20", "-w", "\n%{http_code}", "--cacert"])
                    .arg(certificate)
                    .args(arguments)
                    .output()
            };
            let output = tokio::task::spawn_blocking(run).await.unwrap().ok()?;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let (body, status) = text.rsplit_once('\n').unwrap();
            Some((status.parse::<u16>().unwrap(), body.to_owned()))
        }
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let json = ["-H", "Content-Type: application/json"].map(str::to_owned);
    let user = format!("-u admin:{PASSWORD}");

    // As X-Road's guide shows it: a key, and a request with it.
    let mut arguments = words(&format!("-X POST {user} {url}/api/v1/api-keys --data"));
    arguments.push("[\"XROAD_REGISTRATION_OFFICER\"]".into());
    arguments.extend(json.clone());
    let Some((status, body)) = curl(arguments).await else {
        eprintln!("curl is not there; not tested with a real client");
        return running.end().await;
    };
    assert_eq!(status, 200, "{body}");
    let made: serde_json::Value = serde_json::from_str(&body).unwrap();
    let key = format!("Authorization: X-Road-ApiKey token={}", made["key"].as_str().unwrap());

    let with_key = |more: &str| {
        let mut arguments = words(more);
        arguments.extend(["-H".to_owned(), key.clone()]);
        arguments
    };
    let (status, body) = curl(with_key(&format!("{url}/api/v1/things"))).await.unwrap();
    assert_eq!((status, body.as_str()), (200, "[\"first\"]"));
    let mut add = with_key(&format!("-X POST {url}/api/v1/things -d \"second\""));
    add.extend(json);
    assert_eq!(curl(add).await.unwrap(), (201, "\"second\"".to_owned()));
    let (status, _) = curl(words(&format!("{url}/api/v1/things"))).await.unwrap();
    assert_eq!(status, 401);
    let (status, body) = curl(with_key(&format!("-I {url}/api/v1/things"))).await.unwrap();
    assert_eq!(status, 200);
    assert!(body.to_lowercase().contains("content-length"));

    // As a browser: sign in, keep the cookies, send the token back, sign out.
    let jar = running.scene.folder.path().join("jar").display().to_string();
    let sign_in = format!("-c {jar} -d username=admin&password={PASSWORD} {url}/login");
    assert_eq!(curl(words(&sign_in)).await.unwrap(), (200, "OK\n".to_owned()));
    let kept = std::fs::read_to_string(&jar).unwrap();
    let token = kept.lines().find(|l| l.contains("XSRF-TOKEN")).unwrap();
    let token = token.split('\t').next_back().unwrap();
    let session = |more: &str| {
        let mut arguments = words(&format!("-b {jar} {more}"));
        arguments.extend(["-H".to_owned(), format!("X-XSRF-TOKEN: {token}")]);
        arguments
    };
    let (status, body) = curl(session(&format!("{url}/api/v1/user"))).await.unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("\"username\":\"admin\""));
    assert_eq!(curl(session(&format!("-X POST {url}/logout"))).await.unwrap().0, 200);
    assert_eq!(curl(session(&format!("{url}/api/v1/user"))).await.unwrap().0, 401);

    let events: Vec<String> = running
        .scene
        .audited()
        .iter()
        .map(|line| format!("{} {}", line["event"].as_str().unwrap(), line["auth"]))
        .collect();
    assert_eq!(
        events,
        [
            "Key management API log in \"HttpBasicPam\"",
            "API key create \"HttpBasicPam\"",
            "Add thing \"ApiKey\"",
            "Authentication failed null",
            "Log in user null",
            "Log out user \"Session\"",
            "Authentication failed null",
        ]
    );
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn smuggled_requests_are_not_carried_out() {
    let running = start(Serving::default()).await;
    let key = running.scene.key([Role::RegistrationOfficer]);
    let inner = format!(
        "POST /api/v1/things HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 10\r\n\r\n\"smuggled\""
    );
    let chunked = format!("0\r\n\r\n{inner}");
    for head in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", chunked.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", chunked.len()),
        "Content-Length: 0\r\nContent-Length: 5\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        "Content-Length: +5\r\n".to_owned(),
        "X-A: b\r\n Transfer-Encoding: chunked\r\n".to_owned(),
    ] {
        let request = format!(
            "GET /api/v1/things HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\n{head}\
             Connection: close\r\n\r\n{chunked}"
        );
        let answer = running.raw(request.as_bytes()).await;
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{head}: {answer}");
        assert!(!answer.contains("201"), "{head}: {answer}");
    }
    let things = running.scene.send(
        "GET",
        "/api/v1/things",
        &[("Authorization", &key)],
        "",
        crate::support::AWAY,
    );
    assert_eq!(things.body, "[\"first\"]");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_bodies_are_given_up_and_others_served_meanwhile() {
    let quick = Duration::from_millis(300);
    let running = start(Serving { head: quick, body: quick, ..Serving::default() }).await;
    let key = running.scene.key([Role::RegistrationOfficer]);
    let head = format!(
        "POST /api/v1/things HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n\"slow"
    );
    let (slow_body, slow_head, good) = tokio::join!(
        running.raw(head.as_bytes()),
        running.raw(b"GET /api/v1/things HTTP/1.1\r\nHost: loc"),
        running.raw(
            b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ),
    );
    assert!(slow_body.starts_with("HTTP/1.1 408"), "{slow_body}");
    assert!(!slow_head.contains("200"), "{slow_head}");
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
    assert_eq!(running.scene.last_event(), "Add thing failed");
    // A TLS handshake that never comes.
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_bodies_heads_and_many_headers_are_refused() {
    let running = start(Serving::default()).await;
    let key = running.scene.key([Role::RegistrationOfficer]);
    let head = format!(
        "POST /api/v1/things HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {key}\r\n\
         Content-Type: application/json\r\n"
    );
    let body = "x".repeat(60 << 10);
    let announced = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    assert!(running.raw(announced.as_bytes()).await.starts_with("HTTP/1.1 413"));
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert!(running.raw(chunked.as_bytes()).await.starts_with("HTTP/1.1 413"));
    let many: String = (0..100).map(|n| format!("X-{n}: v\r\n")).collect();
    let answer = running.raw(format!("{head}{many}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = format!("{head}X-Long: {}\r\n\r\n", "v".repeat(64 << 10));
    let answer = running.raw(long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_places() {
    let serving = Serving { connections: 10, connections_of_address: 2, ..Serving::default() };
    let running = start(serving).await;
    let first = running.connect().await.unwrap();
    let _second = running.connect().await.unwrap();
    assert!(running.connect().await.is_err(), "the third is closed at once");
    drop(first);
    // The place is free again as soon as the server has noticed.
    while running.connect().await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.end().await;
}

#[test]
fn the_key_is_its_owners_alone_and_made_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("tls/admin.crt"),
        key: folder.path().join("tls/admin.key"),
    };
    let now = OffsetDateTime::now_utc();
    ensure(&files, &[], now).unwrap();
    let first = std::fs::read(&files.certificate).unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&files.key), 0o600);
    ensure(&files, &["other".to_owned()], now).unwrap();
    assert_eq!(std::fs::read(&files.certificate).unwrap(), first);
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(ensure(&files, &[], now), Err(TlsError::Exposed(_))));
    std::fs::remove_file(&files.key).unwrap();
    assert!(matches!(ensure(&files, &[], now), Err(TlsError::Half(_))));
    std::fs::write(&files.key, "nonsense").unwrap();
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(ensure(&files, &[], now), Err(TlsError::Unusable { .. })));
    assert!(Networks::loopback().contain("::1".parse().unwrap()));
}
