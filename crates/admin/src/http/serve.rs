//! The thin part: sockets, TLS, and what takes too long.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::{Gate, Problem};
use crate::identity::network;

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 64;

/// Bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Serving {
    /// Connections at a time; further ones wait. Default 256.
    pub connections: usize,
    /// Connections of one address at a time; further ones are closed. Default 32.
    pub connections_of_address: usize,
    /// How long a TLS handshake, and a request's head, may take. Default 10 s.
    pub head: Duration,
    /// How long a request's body may take. Default 30 s.
    pub body: Duration,
    /// How long a connection may last. Default 300 s.
    pub connection: Duration,
    /// How long open connections get to finish at shutdown. Default 5 s.
    pub grace: Duration,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_of_address: 32,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            connection: Duration::from_secs(300),
            grace: Duration::from_secs(5),
        }
    }
}

/// Why the edge cannot serve.
#[derive(Debug, thiserror::Error)]
#[error("the admin interface cannot listen at {address}: {source}")]
pub struct ServeError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// Open connections by network.
#[derive(Debug, Default)]
struct Open(Mutex<HashMap<IpAddr, usize>>);

/// One of them; ends with its drop.
struct Place {
    open: Arc<Open>,
    network: IpAddr,
}

impl Open {
    fn enter(self: &Arc<Self>, peer: IpAddr, most: usize) -> Option<Place> {
        let network = network(peer);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= most {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Place { open: Arc::clone(self), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// Serves a gate on `listener` over TLS until `shutdown` comes; what is in flight then is finished.
pub async fn serve(
    gate: Arc<Gate>,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    serving: Serving,
    shutdown: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(serving.connections));
    let open = Arc::new(Open::default());
    let graceful = GracefulShutdown::new();
    let acceptor = TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    if let Ok(address) = listener.local_addr() {
        info!(%address, "serving the admin interface");
    }
    tokio::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            listener.accept().await.map(|accepted| (accepted, slot))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            () = &mut shutdown => break,
        };
        let ((stream, peer), slot) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                warn!(error = %e, "cannot accept a connection at the admin interface");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = open.enter(peer.ip(), serving.connections_of_address) else {
            debug!(%peer, "too many connections of one address");
            continue;
        };
        let (gate, acceptor, watcher) = (Arc::clone(&gate), acceptor.clone(), graceful.watcher());
        connections.spawn(async move {
            let _held = (slot, place);
            let served = connection(gate, acceptor, stream, peer, serving, watcher);
            if tokio::time::timeout(serving.connection, served).await.is_err() {
                debug!(%peer, "a connection lasted too long");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(serving.grace, graceful.shutdown()).await.is_err() {
        debug!("connections at the admin interface were cut off");
    }
}

async fn connection(
    gate: Arc<Gate>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    serving: Serving,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let stream = match tokio::time::timeout(serving.head, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => {
            debug!(%peer, error = %e, "a TLS handshake failed");
            return;
        }
        Err(_) => {
            debug!(%peer, "a TLS handshake took too long");
            return;
        }
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let gate = Arc::clone(&gate);
        async move {
            let response = exchange(gate, request, peer.ip(), serving.body).await;
            Ok::<_, Infallible>(response.map(Full::new))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(serving.head)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(e) = watcher.watch(connection).await {
        debug!(%peer, error = %e, "a connection ended");
    }
}

/// One request: its head is judged before any of its body is read.
async fn exchange(
    gate: Arc<Gate>,
    request: Request<Incoming>,
    peer: IpAddr,
    patience: Duration,
) -> Response<Bytes> {
    let (head, body) = request.into_parts();
    let judging = {
        let gate = Arc::clone(&gate);
        tokio::task::spawn_blocking(move || gate.admit(&head, peer, OffsetDateTime::now_utc()))
    };
    let admitted = match judging.await {
        Ok(Ok(admitted)) => admitted,
        Ok(Err(refusal)) => return *refusal,
        Err(e) => return broke_off(&e),
    };
    let body = Limited::new(body, admitted.longest_body).collect();
    let body = match tokio::time::timeout(patience, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) => Err(e.is::<LengthLimitError>()),
        Err(_) => Err(false),
    };
    let performing = tokio::task::spawn_blocking(move || match body {
        Ok(body) => gate.perform(admitted, body),
        Err(too_long) => gate.refuse_body(&admitted, too_long),
    });
    performing.await.unwrap_or_else(|e| broke_off(&e))
}

fn broke_off(e: &tokio::task::JoinError) -> Response<Bytes> {
    let problem = Problem::internal(&format!("a request broke off: {e}"));
    let mut response = Response::new(problem.body());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
