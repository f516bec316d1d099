//! Calls to the services that a security server depends on: configuration
//! sources, OCSP responders, timestamping authorities, other servers' OCSP ports.
//!
//! They are few and far between, so each call has a connection of its own
//! (HTTP/1.1, RFC 9112). Every step has a time limit, every answer a size limit.
//! `https` trusts the platform's certification authorities; where none are
//! installed, `https` addresses are refused and `http` ones still work, since
//! everything fetched this way is signed. Redirects are not followed.

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// How often a call may spend its read timeout before it is given up as a whole.
const WHOLE_CALL: u32 = 4;
/// The largest bundle of root certificates that is read, in bytes.
const MAX_BUNDLE: u64 = 16 << 20;
/// Where distributions keep their bundle of trusted roots.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For name look-up, connecting and the TLS handshake together.
    pub connect: Duration,
    /// For each wait for bytes after that; the whole call gets four times as much.
    pub read: Duration,
}

/// A client for such calls. Clones share the TLS configuration.
#[derive(Clone)]
pub struct Outgoing {
    timeouts: Timeouts,
    tls: Option<Arc<ClientConfig>>,
}

/// What a server answered, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The content type, when there is one in ASCII.
    pub content_type: Option<String>,
    /// The body, within the limit of the call.
    pub body: Bytes,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutgoingError {
    /// Not an `http` or `https` address.
    #[error("'{0}' is not an http or https address")]
    Address(String),
    /// An `https` address, and no trusted roots to judge its certificate by.
    #[error(
        "{0}: no certification authorities are installed on this system, so https cannot be used"
    )]
    NoRoots(String),
    /// The server could not be reached.
    #[error("{url}: cannot connect: {source}")]
    Connect {
        /// The address.
        url: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A step took too long.
    #[error("{url}: no progress within {limit:?} while {step}")]
    TimedOut {
        /// The address.
        url: String,
        /// What was being done.
        step: &'static str,
        /// The time that it had.
        limit: Duration,
    },
    /// The TLS handshake failed.
    #[error("{url}: TLS: {source}")]
    Tls {
        /// The address.
        url: String,
        /// What went wrong; mostly a certificate that is not trusted.
        #[source]
        source: io::Error,
    },
    /// The answer is not HTTP, or broke off.
    #[error("{url}: {source}")]
    Http {
        /// The address.
        url: String,
        /// What went wrong.
        #[source]
        source: hyper::Error,
    },
    /// The answer is larger than it may be.
    #[error("{url}: the answer is longer than {limit} bytes")]
    TooLong {
        /// The address.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
}

impl Outgoing {
    /// A client that trusts the platform's certification authorities, or knows no `https` where a
    /// bundle of them is not found.
    pub fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, tls: platform_roots().and_then(client_config) }
    }

    /// A client that trusts these certification authorities.
    pub fn with_roots(timeouts: Timeouts, roots: RootCertStore) -> Self {
        Self { timeouts, tls: client_config(roots) }
    }

    /// A client that calls `http` addresses alone.
    pub fn plain(timeouts: Timeouts) -> Self {
        Self { timeouts, tls: None }
    }

    /// Whether `https` addresses can be called.
    pub fn speaks_https(&self) -> bool {
        self.tls.is_some()
    }

    /// Gets an address. At most `limit` bytes of body are read.
    ///
    /// # Errors
    /// See [`OutgoingError`]; a status that means failure is not an error here.
    pub async fn get(&self, url: &str, limit: usize) -> Result<Answer, OutgoingError> {
        self.call(Method::GET, url, None, Bytes::new(), limit).await
    }

    /// As [`Outgoing::get`], asking for a media type.
    ///
    /// # Errors
    /// As [`Outgoing::get`].
    pub async fn get_accepting(
        &self,
        url: &str,
        media_type: &'static str,
        limit: usize,
    ) -> Result<Answer, OutgoingError> {
        self.call(Method::GET, url, Some((ACCEPT, media_type)), Bytes::new(), limit).await
    }

    /// Posts a body to an address.
    ///
    /// # Errors
    /// As [`Outgoing::get`].
    pub async fn post(
        &self,
        url: &str,
        media_type: &'static str,
        body: impl Into<Bytes>,
        limit: usize,
    ) -> Result<Answer, OutgoingError> {
        self.call(Method::POST, url, Some((CONTENT_TYPE, media_type)), body.into(), limit).await
    }

    async fn call(
        &self,
        method: Method,
        url: &str,
        header: Option<(http::HeaderName, &'static str)>,
        body: Bytes,
        limit: usize,
    ) -> Result<Answer, OutgoingError> {
        let address = Url::parse(url)
            .ok()
            .filter(|address| matches!(address.scheme(), "http" | "https") && address.has_host())
            .ok_or_else(|| OutgoingError::Address(url.to_owned()))?;
        let request = request(method, &address, header, body)
            .ok_or_else(|| OutgoingError::Address(url.to_owned()))?;
        let call = Call { url, timeouts: self.timeouts, started: Instant::now() };
        if address.scheme() == "https" {
            let config = self.tls.clone().ok_or_else(|| OutgoingError::NoRoots(url.to_owned()))?;
            let stream = call.connecting(connect_tls(&call, &address, config)).await??;
            call.exchange(stream, request, limit).await
        } else {
            let stream = call.connecting(connect(&call, &address)).await??;
            call.exchange(stream, request, limit).await
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("timeouts", &self.timeouts)
            .field("speaks_https", &self.speaks_https())
            .finish()
    }
}

/// One call: its address and its clock.
struct Call<'a> {
    url: &'a str,
    timeouts: Timeouts,
    started: Instant,
}

impl Call<'_> {
    async fn connecting<F: Future>(&self, step: F) -> Result<F::Output, OutgoingError> {
        let limit = self.timeouts.connect;
        timeout(limit, step).await.map_err(|_| self.timed_out("connecting", limit))
    }

    /// A step of reading or writing, within the read timeout and the whole call's.
    async fn step<F: Future>(
        &self,
        name: &'static str,
        step: F,
    ) -> Result<F::Output, OutgoingError> {
        let limit = self.timeouts.read;
        let whole = limit.saturating_mul(WHOLE_CALL);
        let end = (Instant::now() + limit).min(self.started + self.timeouts.connect + whole);
        timeout_at(end, step).await.map_err(|_| self.timed_out(name, limit))
    }

    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Answer, OutgoingError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) =
            self.step("starting the exchange", handshake).await?.map_err(|e| self.http(e))?;
        // It ends with an error when the answer is given up half-way, which is told of elsewhere.
        let _driver = Driver(tokio::spawn(async move { drop(connection.await) }));
        let answer = sender.send_request(request);
        let answer = self.step("waiting for the answer", answer).await?;
        self.read(answer.map_err(|e| self.http(e))?, limit).await
    }

    async fn read(
        &self,
        answer: Response<Incoming>,
        limit: usize,
    ) -> Result<Answer, OutgoingError> {
        let too_long = || OutgoingError::TooLong { url: self.url.to_owned(), limit };
        let status = answer.status();
        let content_type = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let mut body = answer.into_body();
        if usize::try_from(body.size_hint().lower()).is_ok_and(|length| length > limit) {
            return Err(too_long());
        }
        let mut bytes = BytesMut::new();
        while let Some(frame) = self.step("reading the answer", body.frame()).await? {
            if let Ok(data) = frame.map_err(|e| self.http(e))?.into_data() {
                if data.len() > limit - bytes.len() {
                    return Err(too_long());
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(Answer { status, content_type, body: bytes.freeze() })
    }

    fn timed_out(&self, step: &'static str, limit: Duration) -> OutgoingError {
        OutgoingError::TimedOut { url: self.url.to_owned(), step, limit }
    }

    fn http(&self, source: hyper::Error) -> OutgoingError {
        OutgoingError::Http { url: self.url.to_owned(), source }
    }
}

/// The task that moves a connection's bytes; it ends with the call.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request(
    method: Method,
    address: &Url,
    header: Option<(http::HeaderName, &'static str)>,
    body: Bytes,
) -> Option<Request<Full<Bytes>>> {
    let host = address.host_str()?;
    let host = match address.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let target = match address.query() {
        Some(query) => format!("{}?{query}", address.path()),
        None => address.path().to_owned(),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, HeaderValue::from_str(&host).ok()?);
    if let Some((name, value)) = header {
        request = request.header(name, HeaderValue::from_static(value));
    }
    request.body(Full::new(body)).ok()
}

async fn connect(call: &Call<'_>, address: &Url) -> Result<TcpStream, OutgoingError> {
    let failed = |source| OutgoingError::Connect { url: call.url.to_owned(), source };
    let port = address.port_or_known_default().unwrap_or(80);
    let addresses: Vec<SocketAddr> = match address.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain(name)) => {
            tokio::net::lookup_host((name, port)).await.map_err(failed)?.collect()
        }
        None => Vec::new(),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    let end = call.started + call.timeouts.connect;
    for (tried, address) in addresses.iter().enumerate() {
        // An address that swallows packets must not use up the time of the others.
        let others = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = end.saturating_duration_since(Instant::now()) / others;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(failed)?;
                return Ok(stream);
            }
            Ok(Err(e)) => last = e,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed(last))
}

async fn connect_tls(
    call: &Call<'_>,
    address: &Url,
    config: Arc<ClientConfig>,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, OutgoingError> {
    let stream = connect(call, address).await?;
    let name = match address.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
        Some(Host::Ipv4(ip)) => Some(ServerName::from(std::net::IpAddr::V4(ip))),
        Some(Host::Ipv6(ip)) => Some(ServerName::from(std::net::IpAddr::V6(ip))),
        None => None,
    };
    let name = name.ok_or_else(|| OutgoingError::Address(call.url.to_owned()))?;
    TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|source| OutgoingError::Tls { url: call.url.to_owned(), source })
}

/// The platform's trusted roots: the bundle that `SSL_CERT_FILE` names, else the first that exists at
/// the places where distributions keep it. `None` when there is none with a usable certificate.
pub fn platform_roots() -> Option<RootCertStore> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let places = named.into_iter().chain(BUNDLES.iter().map(PathBuf::from));
    places.filter(|path| path.is_file()).find_map(|path| roots_from(&path))
}

/// The roots of a PEM bundle of at most 16 MiB; those that cannot be read are passed over.
fn roots_from(path: &Path) -> Option<RootCertStore> {
    if std::fs::metadata(path).ok()?.len() > MAX_BUNDLE {
        return None;
    }
    let pem = std::fs::read(path).ok()?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    (!roots.is_empty()).then_some(roots)
}

fn client_config(roots: RootCertStore) -> Option<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some(Arc::new(config))
}
