//! Requests over HTTPS, as security servers send them.

use std::net::SocketAddr;
use std::sync::Arc;

use causeway_management::{Request, request_id};
use causeway_message::soap::read_fault;
use central_registry::{Approval, Door, Doors, Doorway, RequestStatus};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use crate::requests::World;
use crate::support::{client, config, server};

struct Open {
    world: World,
    registration: SocketAddr,
    management: SocketAddr,
    certificate: CertificateDer<'static>,
    stop: Option<oneshot::Sender<()>>,
    _folder: tempfile::TempDir,
}

impl Open {
    /// A registry with both doors open; the management service takes connections of `from`.
    async fn new(from: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["registry.example.org".to_owned()]).unwrap();
        let (certificate, key) = (folder.path().join("crt"), folder.path().join("key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut config = config(&folder);
        let mut doorway = Doorway::new(certificate, key);
        doorway.registration = "127.0.0.1:0".parse().unwrap();
        doorway.management = "127.0.0.1:0".parse().unwrap();
        doorway.management_from = vec![from.parse().unwrap()];
        config.doorway = Some(doorway);
        let doors = Doors::open(&config).await.unwrap().unwrap();
        let (registration, management) =
            (doors.address(Door::Registration).unwrap(), doors.address(Door::Management).unwrap());
        let world = World::new(Approval { auth_certificates: true, ..Approval::default() });
        let (stop, stopped) = oneshot::channel::<()>();
        let registry = world.registry.clone();
        tokio::spawn(
            async move { registry.serve_doors(doors, async { drop(stopped.await) }).await },
        );
        let certificate = made.cert.der().clone();
        Self { world, registration, management, certificate, stop: Some(stop), _folder: folder }
    }

    /// One exchange; status, head and body. Nothing when the connection is refused.
    async fn ask(&self, address: SocketAddr, request: &[u8]) -> Option<(u16, String, Vec<u8>)> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("registry.example.org").unwrap();
        let mut stream =
            tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.ok()?;
        // A server that has refused the head need not read the body.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, head.to_ascii_lowercase(), answer[end + 4..].to_vec()))
    }

    async fn post(
        &self,
        address: SocketAddr,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> (u16, String, Vec<u8>) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: registry\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.ask(address, &[head.as_bytes(), body].concat()).await.unwrap()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_registers_and_is_managed() {
    let open = Open::new("127.0.0.1").await;
    let (content_type, body, header) = open.world.sent(&open.world.registration());
    let path = "/managementservice/";
    let (status, head, answer) = open.post(open.registration, path, &content_type, &body).await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/xml;charset=utf-8"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    assert_eq!(request_id(&answer, &header), Ok(Some(1)));
    assert_eq!(open.world.registry.requests()[0].status, RequestStatus::Approved);
    // The same once more: a SOAP fault with what finds it in the log.
    let (status, head, answer) = open.post(open.registration, path, &content_type, &body).await;
    assert_eq!(status, 500);
    assert!(head.contains("content-type: text/xml"), "{head}");
    let fault = read_fault(&answer).unwrap();
    assert_eq!(fault.code(), "internal_error");
    assert_eq!(fault.message(), "management_request_security_server_exists with statusCode 409");
    assert_eq!(fault.detail().len(), 16);
    // The other door, behind the security server.
    let change = Request::AddressChange { server: server("DEV/GOV/1/SS1"), address: "b".into() };
    let (content_type, body, header) = open.world.sent(&change);
    let path = "/managementservice/manage/";
    let (status, _, answer) = open.post(open.management, path, &content_type, &body).await;
    assert_eq!((status, request_id(&answer, &header)), (200, Ok(Some(2))));
    let gone =
        Request::ClientDeletion { server: server("DEV/GOV/1/SS1"), client: client("DEV/COM/2/X") };
    let (content_type, body, _) = open.world.sent(&gone);
    let (status, _, answer) = open.post(open.management, path, &content_type, &body).await;
    assert_eq!(status, 500);
    let text = "management_request_client_registration_not_found with statusCode 404";
    assert_eq!(read_fault(&answer).unwrap().message(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_turned_away() {
    let open = Open::new("192.0.2.1").await;
    let path = "/managementservice";
    let (status, head, _) = open
        .ask(open.registration, b"GET /managementservice HTTP/1.1\r\nHost: r\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(status, 405);
    assert!(head.contains("allow: post"), "{head}");
    let (status, ..) =
        open.post(open.registration, "/managementservice/manage", "text/xml", b"").await;
    assert_eq!(status, 404);
    let (status, ..) = open.post(open.registration, path, "text/xml", &vec![b' '; 200_000]).await;
    assert_eq!(status, 413);
    let (status, _, answer) = open.post(open.registration, path, "application/json", b"{}").await;
    assert_eq!((status, read_fault(&answer).unwrap().code()), (500, "invalid_content_type"));
    // Ten a minute: two have been counted.
    for _ in 0..8 {
        assert_eq!(open.post(open.registration, path, "text/xml", b"x").await.0, 500);
    }
    assert_eq!(open.post(open.registration, path, "text/xml", b"x").await.0, 429);
    // The management service is not for this address.
    assert!(open.ask(open.management, b"POST / HTTP/1.1\r\nHost: r\r\n\r\n").await.is_none());
    assert_eq!(open.world.registry.requests(), []);
}
