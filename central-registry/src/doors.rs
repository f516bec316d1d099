//! Where security servers' requests come in: HTTPS with SOAP in both directions, as X-Road's registration
//! service (port 4001) and management service (port 4002) speak it.
//!
//! The registration service is open to everybody, since a server that registers its first certificate is
//! not known yet: what comes is bounded in length, time and frequency before it is looked at. The
//! management service takes two kinds of request without a signature of their own: it trusts the security
//! server before it, and so takes connections of the addresses that the configuration names alone.

mod limit;
mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_management::MAX_MESSAGE;
use causeway_message::soap::write_fault;
use causeway_message::{Fault, codes};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ring::rand::{SecureRandom as _, SystemRandom};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::config::{Config, Doorway};
use crate::http::GRACE;
use crate::registry::{Door, Registry, RegistryError};

use limit::RateLimit;

/// The most connections of one door at a time; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 128;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one request may take from the handshake to the end of its answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// The doors of a registry: bound, not yet served.
pub struct Doors {
    doors: Vec<(Door, TcpListener)>,
    tls: Arc<rustls::ServerConfig>,
    management_from: Vec<IpAddr>,
    /// The TLS certificate, DER.
    certificate: Vec<u8>,
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.doors.iter().map(|(door, _)| door)).finish()
    }
}

impl Doors {
    /// Binds the doors that a configuration describes; `None` when it describes none.
    ///
    /// # Errors
    /// When an address cannot be bound, or certificate and key cannot be used.
    pub async fn open(config: &Config) -> Result<Option<Self>, RegistryError> {
        let Some(doorway) = &config.doorway else { return Ok(None) };
        let Doorway { registration, management, management_from, certificate, key } = doorway;
        let (tls, certificate) = tls::config(certificate, key)?;
        let mut doors = Vec::new();
        for (door, address) in [(Door::Registration, registration), (Door::Management, management)]
        {
            let listener = TcpListener::bind(address).await.map_err(|e| {
                RegistryError::Disk(format!("cannot listen on {address} for requests: {e}"))
            })?;
            doors.push((door, listener));
        }
        Ok(Some(Self { doors, tls, management_from: management_from.clone(), certificate }))
    }

    /// The TLS certificate that clients see, DER. Security servers compare it with the one that the
    /// global configuration names.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The address of a door.
    pub fn address(&self, door: Door) -> Option<SocketAddr> {
        let (_, listener) = self.doors.iter().find(|(which, _)| *which == door)?;
        listener.local_addr().ok()
    }
}

impl Registry {
    /// Takes management requests until `shutdown` comes. [`Registry::serve`] does it by itself.
    pub async fn serve_doors(&self, doors: Doors, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        for (door, listener) in doors.doors {
            let house = Arc::new(House {
                registry: self.clone(),
                door,
                from: (door == Door::Management).then(|| doors.management_from.clone()),
                limit: Mutex::new(RateLimit::new(match door {
                    // X-Road's; a server needs one request for each new certificate.
                    Door::Registration => 10,
                    // All requests of an instance come from one address.
                    Door::Management => 600,
                })),
            });
            tasks.spawn(house.accept(listener, Arc::clone(&doors.tls), stopped.clone()));
        }
        shutdown.await;
        drop(stop);
        while tasks.join_next().await.is_some() {}
    }
}

/// What all connections of a door share.
struct House {
    registry: Registry,
    door: Door,
    /// Whose connections are taken; `None`: everybody's.
    from: Option<Vec<IpAddr>>,
    limit: Mutex<RateLimit>,
}

impl House {
    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        mut stopped: watch::Receiver<()>,
    ) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        if let Ok(address) = listener.local_addr() {
            info!(%address, door = ?self.door, "taking management requests");
        }
        loop {
            while connections.try_join_next().is_some() {}
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                listener.accept().await.map(|accepted| (accepted, slot))
            };
            let accepted = tokio::select! {
                accepted = next => accepted,
                _ = stopped.changed() => break,
            };
            let ((stream, peer), slot) = match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    warn!(error = %e, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let peer = peer.ip().to_canonical();
            if !self.from.as_ref().is_none_or(|from| from.contains(&peer)) {
                warn!(%peer, "the management service takes no connections of this address");
                continue;
            }
            let (house, tls) = (Arc::clone(&self), Arc::clone(&tls));
            connections.spawn(async move {
                let connection = house.connection(stream, peer, tls);
                if tokio::time::timeout(CONNECTION_TIMEOUT, connection).await.is_err() {
                    debug!(%peer, "a connection lasted too long");
                }
                drop(slot);
            });
        }
        drop(listener);
        let rest = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            debug!("connections were cut off");
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        tls: Arc<rustls::ServerConfig>,
    ) {
        let handshake = TlsAcceptor::from(tls).accept(stream);
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => return debug!(%peer, error = %e, "a TLS handshake failed"),
            Err(_) => return debug!(%peer, "a TLS handshake took too long"),
        };
        let service = service_fn(move |request: Request<Incoming>| {
            let house = Arc::clone(&self);
            async move { Ok::<_, Infallible>(house.answer(request, peer).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(e) = connection.await {
            debug!(%peer, error = %e, "a connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let paths: &[&str] = match self.door {
            Door::Registration => &["/managementservice", "/managementservice/"],
            Door::Management => &["/managementservice/manage", "/managementservice/manage/"],
        };
        if !paths.contains(&request.uri().path()) {
            return plain(StatusCode::NOT_FOUND, "there is no such service here\n");
        }
        if request.method() != Method::POST {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "POST alone is taken here\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if !self.limit.lock().unwrap_or_else(PoisonError::into_inner).allows(peer, Instant::now()) {
            warn!(%peer, "too many requests of this address");
            let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "{\"status\":429}");
            let json = HeaderValue::from_static("application/json;charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            return response;
        }
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_MESSAGE).collect().await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long\n");
        };
        let content_type =
            head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (registry, door, body) = (self.registry.clone(), self.door, body.to_bytes());
        // Signatures and the disk take their time.
        let take = move || {
            registry.take_request(door, content_type.as_deref(), body, OffsetDateTime::now_utc())
        };
        let taken = tokio::task::spawn_blocking(take).await.unwrap_or_else(|e| {
            Err(Fault::new(codes::INTERNAL_ERROR, format!("The request broke off: {e}")))
        });
        match taken {
            Ok(answer) => xml(StatusCode::OK, answer),
            Err(fault) => {
                let fault = fault.with_detail(trace_id());
                warn!(%peer, code = fault.code(), text = fault.message(), detail = fault.detail(),
                    "a management request failed");
                xml(StatusCode::INTERNAL_SERVER_ERROR, write_fault(&fault).into_bytes())
            }
        }
    }
}

/// What finds the fault in the log again.
fn trace_id() -> String {
    let mut random = [0; 8];
    match SystemRandom::new().fill(&mut random) {
        Ok(()) => hex::encode(random),
        Err(_) => String::new(),
    }
}

fn xml(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml;charset=UTF-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
