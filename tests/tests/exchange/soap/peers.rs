//! Other security servers that misbehave: one in front of a real server, and one that asks a real server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use causeway_keys::{Pin, SoftwareToken, Usage};
use causeway_pki::Certificate;
use causeway_pki::ocsp::OcspResponse;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use security_server::tls::{Identity, OutgoingTls, for_information_systems};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::wire::{Answer, Wire, parse_head};

/// The authentication key of a server of the sandbox, with its certificate.
pub(crate) fn authentication(folder: &Path) -> Identity {
    let token = SoftwareToken::open(folder.join("data/token")).unwrap();
    let pin = std::fs::read_to_string(folder.join("pin")).unwrap();
    token.unlock(&Pin::new(pin.trim()).unwrap()).unwrap();
    let now = OffsetDateTime::now_utc();
    let credential = token.credentials(Usage::Authentication, now).unwrap().pop().unwrap();
    let spki = credential.key.certificate_public_key();
    let info = token.keys().into_iter().find(|k| k.public_key == spki).unwrap();
    let key = token.key(&info.id).unwrap().to_pkcs8().to_vec();
    Identity {
        chain: vec![credential.certificate],
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)),
    }
}

/// A key of nobody in particular.
pub(crate) fn stranger() -> Identity {
    let made = rcgen::generate_simple_self_signed(vec!["stranger.example".to_owned()]).unwrap();
    Identity {
        chain: vec![Certificate::from_der(made.cert.der()).unwrap()],
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der())),
    }
}

/// The OCSP response of a server's authentication certificate, as the server has it on disk.
pub(crate) fn ocsp_response(
    folder: &Path,
    certificate: &Certificate,
    issuer: &Certificate,
) -> Vec<u8> {
    let files = std::fs::read_dir(folder.join("data/ocsp")).unwrap();
    let paths: Vec<PathBuf> = files.map(|f| f.unwrap().path()).collect();
    let responses = paths.iter().filter_map(|path| std::fs::read(path).ok());
    responses
        .into_iter()
        .find(|der| OcspResponse::parse(der).is_ok_and(|r| r.matches(certificate, issuer)))
        .expect("a server has the OCSP response of its certificate")
}

/// What stands at a provider's address.
pub(crate) enum Mode {
    /// The real server.
    Real,
    /// One with this identity that takes a request and answers with these bytes.
    Answers(Identity, Vec<u8>),
    /// One that breaks off after the first bytes of a request.
    Aborts(Identity),
}

/// In front of a real server.
pub(crate) struct Switch {
    mode: Arc<Mutex<Arc<Mode>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Switch {
    /// Listens at `at`, and leads to the real server at `to`.
    pub(crate) async fn start(at: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let mode = Arc::new(Mutex::new(Arc::new(Mode::Real)));
        let now = Arc::clone(&mode);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mode = Arc::clone(&now.lock().unwrap());
                tokio::spawn(async move {
                    match &*mode {
                        Mode::Real => {
                            let mut stream = stream;
                            let mut real = TcpStream::connect(to).await.unwrap();
                            let _ = tokio::io::copy_bidirectional(&mut stream, &mut real).await;
                        }
                        Mode::Answers(identity, answer) => {
                            fake(stream, identity, Some(answer)).await
                        }
                        Mode::Aborts(identity) => fake(stream, identity, None).await,
                    }
                });
            }
        });
        Self { mode, task }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = Arc::new(mode);
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn fake(stream: TcpStream, identity: &Identity, answer: Option<&Vec<u8>>) {
    let acceptor = TlsAcceptor::from(Arc::new(for_information_systems(identity).unwrap()));
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let mut wire = Wire::over(stream);
    let Some(head) = wire.head().await else { return };
    let Some(answer) = answer else { return };
    let (_, headers) = parse_head(&head);
    wire.body(&headers, false).await;
    wire.send(answer).await;
}

/// Asks a real server as another one of this identity would.
pub(crate) async fn ask_as(identity: &Identity, address: SocketAddr, request: &[u8]) -> Answer {
    let tls = OutgoingTls::new(identity, &[]).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::clone(tls.towards("DEV")));
    Wire::over(connector.connect(name, stream).await.unwrap()).ask(request).await
}
