//! A consumer information system's view: plain HTTP requests to its own security server.

use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_identifiers::{ClientId, ServiceId, rest};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::SandboxError;

/// The header that says who asks (X-Road REST protocol 4.3).
pub const CLIENT: HeaderName = HeaderName::from_static("x-road-client");
/// The header with the message id.
pub const ID: HeaderName = HeaderName::from_static("x-road-id");
/// The header with the code of an error that a security server found.
pub const ERROR: HeaderName = HeaderName::from_static("x-road-error");
/// The header with the digest of the request that a response answers.
pub const REQUEST_HASH: HeaderName = HeaderName::from_static("x-road-request-hash");

/// The largest answer that is kept in memory, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// A body that may be sent without being in memory.
pub type RequestBody = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// A request in the making.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks.
    pub client: ClientId,
    /// What is asked.
    pub service: ServiceId,
    /// The message id.
    pub id: String,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A GET request. `path` is what follows the service's code, such as `/1234?full=true`.
    pub fn get(client: &ClientId, service: &ServiceId, path: &str) -> Self {
        Self {
            client: client.clone(),
            service: service.clone(),
            id: Uuid::new_v4().to_string(),
            method: Method::GET,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Another method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Another message id.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = id.to_owned();
        self
    }

    /// One more header; several with one name are possible.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// A body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The path of the URL at the security server.
    pub fn url_path(&self) -> String {
        rest_path(&self.service, &self.path)
    }
}

/// The path at a security server under which a service is asked (X-Road REST protocol 4.1).
pub fn rest_path(service: &ServiceId, path: &str) -> String {
    format!("/r1/{}{path}", rest::encode_service(service))
}

/// A request with its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The message id.
    pub id: String,
    /// Who asked.
    pub client: ClientId,
    /// What was asked.
    pub service: ServiceId,
    /// The method and the path behind the service's code.
    pub request: String,
    /// When the request was sent.
    pub at: OffsetDateTime,
    /// From the first byte sent to the last received.
    pub elapsed: Duration,
    /// The size of the request's body, in bytes.
    pub sent: usize,
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer's body.
    pub body: Bytes,
}

impl Exchange {
    /// The code of an error that a security server found; `None` when the provider answered.
    pub fn error_code(&self) -> Option<&str> {
        self.headers.get(ERROR).and_then(|value| value.to_str().ok())
    }

    /// What went wrong, if anything did: a security server's error or a bad status.
    pub fn error(&self) -> Option<String> {
        if self.status.is_success() && self.error_code().is_none() {
            return None;
        }
        let body = String::from_utf8_lossy(&self.body);
        let body: String = body.chars().take(400).collect();
        Some(format!("{} {body}", self.status))
    }
}

/// An information system's HTTP client, bound to one security server. Keeps connections.
#[derive(Debug, Clone)]
pub struct Consumer {
    base: String,
    http: Client<HttpConnector, RequestBody>,
}

impl Consumer {
    /// A client of the security server at a URL such as `http://127.0.0.1:8080`.
    pub fn new(base: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Self { base: base.into(), http }
    }

    /// The security server's URL.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request to a service and reads the answer.
    ///
    /// # Errors
    /// When there is no answer, or one larger than 64 MiB. An answer that tells of an error is one.
    pub async fn send(&self, call: Call) -> Result<Exchange, SandboxError> {
        let path = call.url_path();
        let url = format!("{}{path}", self.base);
        let request_line = format!("{} {}", call.method, call.path);
        let sent = call.body.len();
        let mut request = Request::builder()
            .method(&call.method)
            .uri(&url)
            .header(CLIENT, rest::encode_client(&call.client))
            .header(ID, &call.id)
            .body(Full::new(call.body).boxed_unsync())
            .map_err(no_answer(&url))?;
        request.headers_mut().extend(call.headers);
        let (at, start) = (OffsetDateTime::now_utc(), Instant::now());
        let response = self.http.request(request).await.map_err(|e| no_answer(&url)(chain(&e)))?;
        let (head, body) = response.into_parts();
        let body = whole(body).await.map_err(no_answer(&url))?;
        Ok(Exchange {
            id: call.id,
            client: call.client,
            service: call.service,
            request: request_line,
            at,
            elapsed: start.elapsed(),
            sent,
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// Reads something else from the security server, such as `/verificationconf`.
    ///
    /// # Errors
    /// When there is no answer, or one larger than 64 MiB.
    pub async fn get(&self, path: &str) -> Result<Response<Bytes>, SandboxError> {
        let url = format!("{}{path}", self.base);
        let request = Request::get(&url).body(Full::default().boxed_unsync());
        let request = request.map_err(no_answer(&url))?;
        let response = self.http.request(request).await.map_err(|e| no_answer(&url)(chain(&e)))?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, whole(body).await.map_err(no_answer(&url))?))
    }

    /// Sends any request, with bodies that need not fit into memory.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn stream(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SandboxError> {
        let url = request.uri().to_string();
        self.http.request(request).await.map_err(|e| no_answer(&url)(chain(&e)))
    }
}

async fn whole(body: Incoming) -> Result<Bytes, String> {
    Limited::new(body, MAX_ANSWER)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| error.to_string())
}

fn no_answer<E: std::fmt::Display>(url: &str) -> impl FnOnce(E) -> SandboxError {
    let url = url.to_owned();
    move |why| SandboxError::NoAnswer { url, why: why.to_string() }
}

/// An error with its causes: hyper tells little in the first.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.take(8).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
