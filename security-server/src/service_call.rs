//! Calling the provider's information system.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use causeway_message::rest::{RestRequest, header_bytes};
use causeway_message::{Fault, codes};
use causeway_pki::Certificate;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::Reader;
use crate::http::Body;
use crate::http::case::{Recorder, Spelling};
use crate::http::patient::Patient;
use crate::message::{Asked, Kind, SOAP_ACTION, SoapCall};
use crate::related::{Attachment, for_information_system};
use crate::settings::{Client, Service};
use crate::tls::{self, Identity};

/// How long opening a connection to a service may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a service may take nothing of what is written to it.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);
/// How long an idle connection to a service is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What follows a request on its way to the service.
#[derive(Debug)]
pub enum Attachments {
    /// The body of a REST request, if it has one.
    Body(Option<Reader>),
    /// The attachments of a SOAP request.
    Parts(Vec<Attachment>),
}

/// Digests of the certificates that a service may show; `None`: any certificate passes.
type Accepted = Option<Vec<[u8; 32]>>;

/// Calls services, over connections that are kept.
#[derive(Debug)]
pub struct ServiceCaller {
    identity: Option<Arc<Identity>>,
    clients: Mutex<HashMap<Accepted, HttpClient<ServiceConnector, Body>>>,
}

impl ServiceCaller {
    /// Calls with the server's internal certificate, where a service asks for one.
    pub fn new(identity: Option<Arc<Identity>>) -> Self {
        Self { identity, clients: Mutex::default() }
    }

    /// Forgets all connections, after the settings changed.
    pub fn reset(&self) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sends a request to its service and waits for the head of the answer,
    /// as long as the service's time-out allows.
    ///
    /// # Errors
    /// X-Road's codes: `service_malformed_url`, `unknown_host`,
    /// `network_error`, `ssl_authentication_failed`, `io_error`.
    pub(crate) async fn call(
        &self,
        provider: &Client,
        service: &Service,
        request: &Asked,
        attachments: Attachments,
    ) -> Result<Response<Incoming>, Fault> {
        let request = match (&request.kind, attachments) {
            (Kind::Rest(rest), Attachments::Body(body)) => {
                http_request(address(service, rest)?, rest, body)?
            }
            (Kind::Soap(call), Attachments::Parts(parts)) => {
                soap_request(service, request.bytes.clone(), call, parts)?
            }
            _ => {
                let text = "The attachments are not of the request's kind";
                return Err(Fault::new(codes::INTERNAL_ERROR, text));
            }
        };
        let pinned = service.verify_tls.then_some(provider.certificates.as_slice());
        let client = self.client(pinned)?;
        match tokio::time::timeout(service.timeout, client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let what = format!("The service {} at {} failed", service.id, service.url);
                Err(failure(&error, &what))
            }
            Err(_) => {
                let text = format!(
                    "The service {} did not answer within {} s",
                    service.id,
                    service.timeout.as_secs()
                );
                Err(Fault::new(codes::IO_ERROR, text))
            }
        }
    }

    /// Gets what is at an address; over HTTPS the server there shows one of `certificates`, where
    /// those are told.
    ///
    /// # Errors
    /// X-Road's codes: `service_malformed_url`, `unknown_host`, `network_error`,
    /// `ssl_authentication_failed`, `io_error`.
    pub async fn get(
        &self,
        url: &str,
        certificates: Option<&[Certificate]>,
    ) -> Result<Response<Incoming>, Fault> {
        let malformed = |e: &dyn fmt::Display| {
            Fault::new(codes::SERVICE_MALFORMED_URL, format!("{url} is not a URL: {e}"))
        };
        let uri: Uri = url.parse().map_err(|e| malformed(&e))?;
        let host = uri.authority().map(|host| host.as_str()).unwrap_or_default();
        let host = HeaderValue::from_str(host).map_err(|e| malformed(&e))?;
        let mut request = Request::new(crate::http::empty());
        request.headers_mut().insert(HOST, host);
        *request.uri_mut() = uri;
        let client = self.client(certificates)?;
        client
            .request(request)
            .await
            .map_err(|error| failure(&error, &format!("{url} cannot be had")))
    }

    fn client(
        &self,
        certificates: Option<&[Certificate]>,
    ) -> Result<HttpClient<ServiceConnector, Body>, Fault> {
        let key = certificates.map(|c| c.iter().map(Certificate::sha256).collect());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let pinned = certificates.map(<[Certificate]>::to_vec);
        let config = tls::for_services(self.identity.as_deref(), pinned)
            .map_err(|e| Fault::new(codes::INTERNAL_ERROR, e.to_string()))?;
        let client = HttpClient::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(64)
            .http1_max_headers(crate::http::MAX_HEADERS)
            .build(ServiceConnector { tls: Arc::new(config) });
        clients.insert(key, client.clone());
        Ok(client)
    }
}

/// The service's address with the path and query of the request, as they came.
fn address(service: &Service, request: &RestRequest) -> Result<Uri, Fault> {
    let base = if request.service_path.is_empty() {
        service.url.as_str()
    } else {
        service.url.strip_suffix('/').unwrap_or(&service.url)
    };
    let mut text = format!("{base}{}", request.service_path);
    if let Some(query) = &request.query {
        text.push('?');
        text.push_str(query);
    }
    text.parse().map_err(|e| {
        let text = format!(
            "The address of the service {} with the path of the request is not a URL: {e}",
            service.id
        );
        Fault::new(codes::SERVICE_MALFORMED_URL, text)
    })
}

fn http_request(
    uri: Uri,
    request: &RestRequest,
    body: Option<Reader>,
) -> Result<Request<Body>, Fault> {
    let unusable = |what: &str| {
        Fault::new(
            codes::INTERNAL_ERROR,
            format!("The request has {what} that HTTP does not allow"),
        )
    };
    let bodiless = body.is_none();
    let mut out = Request::new(body.map_or_else(crate::http::empty, Reader::into_body));
    *out.method_mut() = request.verb.parse().map_err(|_| unusable("a method"))?;
    if bodiless && matches!(*out.method(), Method::POST | Method::PUT | Method::PATCH) {
        // RFC 9110 8.6: some services refuse these methods without it.
        out.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    insert_host(out.headers_mut(), &uri)?;
    for (name, value) in &request.headers {
        let name: HeaderName = name.parse().map_err(|_| unusable("a header name"))?;
        let value = HeaderValue::from_bytes(&header_bytes(value))
            .map_err(|_| unusable("a header value"))?;
        let fits = out.headers_mut().try_append(name, value);
        fits.map_err(|_| unusable("more headers"))?;
    }
    *out.uri_mut() = uri;
    Ok(out)
}

/// A SOAP request as X-Road makes it: `POST` to the service's own address.
fn soap_request(
    service: &Service,
    envelope: bytes::Bytes,
    call: &SoapCall,
    attachments: Vec<Attachment>,
) -> Result<Request<Body>, Fault> {
    let uri: Uri = service.url.parse().map_err(|e| {
        let text = format!("The address of the service {} is not a URL: {e}", service.id);
        Fault::new(codes::SERVICE_MALFORMED_URL, text)
    })?;
    let (content_type, body) =
        for_information_system(envelope, &call.part, attachments, &call.content_type)?;
    let mut out = Request::new(body);
    *out.method_mut() = Method::POST;
    let headers = out.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(""));
    if let Some(action) = &call.action {
        headers.insert(SOAP_ACTION, action.clone());
    }
    insert_host(headers, &uri)?;
    *out.uri_mut() = uri;
    Ok(out)
}

fn insert_host(headers: &mut hyper::HeaderMap, uri: &Uri) -> Result<(), Fault> {
    if let Some(host) = uri.authority() {
        let host = host.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(host).map_err(|_| {
            Fault::new(codes::INTERNAL_ERROR, "The request has a host that HTTP does not allow")
        })?;
        headers.insert(HOST, host);
    }
    Ok(())
}

fn failure(error: &hyper_util::client::legacy::Error, what: &str) -> Fault {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut innermost = String::new();
    let mut code = if error.is_connect() { codes::NETWORK_ERROR } else { codes::IO_ERROR };
    while let Some(e) = cause {
        if let Some(failed) = e.downcast_ref::<ConnectFailure>() {
            code = failed.code;
        }
        innermost = e.to_string();
        cause = e.source();
    }
    Fault::new(code, format!("{what}: {innermost}"))
}

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct ConnectFailure {
    code: &'static str,
    text: String,
}

impl ConnectFailure {
    fn new(code: &'static str, text: impl ToString) -> Self {
        Self { code, text: text.to_string() }
    }
}

/// Opens connections to services, with TLS where the address says `https`.
#[derive(Clone)]
struct ServiceConnector {
    tls: Arc<ClientConfig>,
}

impl fmt::Debug for ServiceConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceConnector")
    }
}

impl tower_service::Service<Uri> for ServiceConnector {
    type Response = ServiceStream;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<ServiceStream, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = Arc::clone(&self.tls);
        Box::pin(async move {
            tokio::time::timeout(CONNECT_TIMEOUT, open(uri, tls)).await.unwrap_or_else(|_| {
                Err(ConnectFailure::new(codes::NETWORK_ERROR, "connecting took too long"))
            })
        })
    }
}

async fn open(uri: Uri, tls: Arc<ClientConfig>) -> Result<ServiceStream, ConnectFailure> {
    let malformed =
        || ConnectFailure::new(codes::SERVICE_MALFORMED_URL, "the address names no host");
    let host =
        uri.host().ok_or_else(malformed)?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), port))
        .await
        .map_err(|_| {
            ConnectFailure::new(codes::UNKNOWN_HOST, format!("{host} is not a known host"))
        })?
        .collect();
    let stream = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(|e| ConnectFailure::new(codes::NETWORK_ERROR, e))?;
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, STALL_TIMEOUT);
    if !secure {
        return Ok(ServiceStream::new(stream));
    }
    let name = ServerName::try_from(host).map_err(|_| malformed())?;
    let stream = TlsConnector::from(tls)
        .connect(name, stream.reading_ahead())
        .await
        .map_err(|e| ConnectFailure::new(codes::SSL_AUTHENTICATION_FAILED, e))?;
    Ok(ServiceStream::new(stream))
}

trait AsyncStream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send> AsyncStream for T {}

/// A connection to a service, plain or with TLS. It remembers how the service
/// spells its headers; the answer carries that as an extension.
struct ServiceStream(TokioIo<Recorder<Pin<Box<dyn AsyncStream>>>>, Spelling);

impl ServiceStream {
    fn new(stream: impl AsyncStream + 'static) -> Self {
        let spelling = Spelling::default();
        Self(TokioIo::new(Recorder::new(Box::pin(stream), Some(spelling.clone()))), spelling)
    }
}

impl Connection for ServiceStream {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.1.clone())
    }
}

impl Read for ServiceStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for ServiceStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}
