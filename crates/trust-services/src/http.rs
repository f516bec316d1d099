//! The HTTP edge: OCSP (RFC 6960 appendix A) and timestamps (RFC 3161 3.4) on one listener.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::{
    Fault, FaultSwitch, ListenSwitch, OcspResponder, TimestampingAuthority, TrustServicesError,
};

/// Largest request body, bytes.
const MAX_BODY: usize = 16 * 1024;

/// Longest path of a GET request, bytes.
const MAX_PATH: usize = 4 * 1024;

/// Most connections at a time; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 256;

/// How long the header block of a request may take.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// How long the body of a request may take.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How long a silent service holds a request.
const SILENCE: Duration = Duration::from_secs(120);

/// How long open connections may finish after the shutdown.
const GRACE: Duration = Duration::from_secs(2);

/// Pause after a failure to accept (no file descriptors left) or to listen again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const OCSP_REQUEST: &str = "application/ocsp-request";
const OCSP_RESPONSE: &str = "application/ocsp-response";
const TIMESTAMP_QUERY: &str = "application/timestamp-query";
const TIMESTAMP_REPLY: &str = "application/timestamp-reply";

/// What one listener serves. POST requests are told apart by their content type, whatever the path; GET
/// requests, with base64 in the path (`/…` or `/ocsp/…`), are for OCSP.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// The OCSP responder.
    pub ocsp: Option<Arc<OcspResponder>>,
    /// The timestamping authority.
    pub tsa: Option<Arc<TimestampingAuthority>>,
    /// Opens and closes the listening socket.
    pub listening: ListenSwitch,
}

/// Serves until `shutdown` completes; then open connections have two seconds to finish.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), TrustServicesError> {
    let address = listener.local_addr()?;
    let graceful = GracefulShutdown::new();
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut switch = services.listening.subscribe();
    let mut listener = Some(listener);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = next_connection(&mut listener, address, &mut switch, &limit);
        let (stream, permit) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next => next,
        };
        let services = services.clone();
        let service = service_fn(move |request| {
            let services = services.clone();
            async move { Ok::<_, std::convert::Infallible>(respond(request, &services).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::debug!("connections were cut off at shutdown");
    }
    Ok(())
}

/// Waits for a connection; closes and opens the socket as the switch says. Safe to be dropped at any await.
async fn next_connection(
    listener: &mut Option<TcpListener>,
    address: SocketAddr,
    switch: &mut watch::Receiver<bool>,
    limit: &Arc<Semaphore>,
) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    loop {
        let wanted = *switch.borrow_and_update();
        match listener {
            Some(_) if !wanted => *listener = None,
            None if wanted => match TcpListener::bind(address).await {
                Ok(opened) => *listener = Some(opened),
                Err(error) => {
                    tracing::warn!(%address, %error, "cannot listen again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            _ => {}
        }
        let Some(open) = listener else {
            // the sender lives in the services, which outlive this
            let _ = switch.changed().await;
            continue;
        };
        let accept = async {
            let permit = Arc::clone(limit).acquire_owned().await.ok();
            (open.accept().await, permit)
        };
        tokio::select! {
            _ = switch.changed() => {}
            (accepted, permit) = accept => match accepted {
                Ok((stream, _)) => return (stream, permit),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn respond(request: Request<Incoming>, services: &Services) -> Response<Full<Bytes>> {
    match route(request, services).await {
        Ok(Routed::Ocsp(body, responder)) => {
            let faults = responder.faults().clone();
            let answer = move || responder.answer(&body, OffsetDateTime::now_utc());
            finish(faults, OCSP_RESPONSE, answer).await
        }
        Ok(Routed::Timestamp(body, authority)) => {
            let faults = authority.faults().clone();
            let answer = move || authority.answer(&body, OffsetDateTime::now_utc());
            finish(faults, TIMESTAMP_REPLY, answer).await
        }
        Err(status) => {
            let mut response = plain(status);
            if status == StatusCode::METHOD_NOT_ALLOWED {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
            }
            response
        }
    }
}

enum Routed {
    Ocsp(Bytes, Arc<OcspResponder>),
    Timestamp(Bytes, Arc<TimestampingAuthority>),
}

async fn route(request: Request<Incoming>, services: &Services) -> Result<Routed, StatusCode> {
    if request.method() == Method::GET {
        let responder = services.ocsp.clone().ok_or(StatusCode::NOT_FOUND)?;
        let body = request_in_path(request.uri().path()).ok_or(StatusCode::NOT_FOUND)?;
        return Ok(Routed::Ocsp(body.into(), responder));
    }
    if request.method() != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(OCSP_REQUEST) {
        let responder = services.ocsp.clone().ok_or(StatusCode::NOT_FOUND)?;
        Ok(Routed::Ocsp(body(request).await?, responder))
    } else if kind.eq_ignore_ascii_case(TIMESTAMP_QUERY) {
        let authority = services.tsa.clone().ok_or(StatusCode::NOT_FOUND)?;
        Ok(Routed::Timestamp(body(request).await?, authority))
    } else {
        Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    }
}

async fn body(request: Request<Incoming>) -> Result<Bytes, StatusCode> {
    let collected = Limited::new(request.into_body(), MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIME, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(StatusCode::PAYLOAD_TOO_LARGE)
        }
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Applies delay and fault, else computes the answer off the event loop (signing takes milliseconds).
async fn finish(
    faults: FaultSwitch,
    kind: &'static str,
    answer: impl FnOnce() -> Vec<u8> + Send + 'static,
) -> Response<Full<Bytes>> {
    let delay = faults.delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let bytes = match faults.fault() {
        Fault::None => match tokio::task::spawn_blocking(answer).await {
            Ok(bytes) => bytes,
            Err(_) => return plain(StatusCode::INTERNAL_SERVER_ERROR),
        },
        Fault::Unavailable => return plain(StatusCode::SERVICE_UNAVAILABLE),
        Fault::Garbage => b"this is not an answer".to_vec(),
        Fault::Silent => {
            tokio::time::sleep(SILENCE).await;
            return plain(StatusCode::GATEWAY_TIMEOUT);
        }
    };
    let mut response = Response::new(Full::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(status.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// The request in the path of a GET: base64, percent-encoded as it should be or bare as some send it.
fn request_in_path(path: &str) -> Option<Vec<u8>> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_prefix("ocsp/").unwrap_or(path);
    if path.is_empty() || path.len() > MAX_PATH {
        return None;
    }
    let text = percent_decode(path)?;
    STANDARD.decode(&text).or_else(|_| STANDARD_NO_PAD.decode(&text)).ok()
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let value = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
            out.push(u8::try_from(value).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn requests_in_paths() {
        assert_eq!(request_in_path("/AQID"), Some(vec![1, 2, 3]));
        assert_eq!(request_in_path("/ocsp/AQI%3D"), Some(vec![1, 2]));
        assert_eq!(request_in_path("/AQI"), Some(vec![1, 2]));
        assert_eq!(request_in_path("/%2F%2f%2BA"), Some(vec![0xff, 0xff, 0x80]));
        assert_eq!(request_in_path("///+A"), Some(vec![0xff, 0xff, 0x80]));
        for bad in ["", "/", "/ocsp/", "/%", "/%4", "/%zz", "/a b"] {
            assert_eq!(request_in_path(bad), None, "{bad}");
        }
        assert_eq!(request_in_path(&format!("/{}", "A".repeat(MAX_PATH + 4))), None);
    }
}
