//! Connections that are kept.
//!
//! A TLS handshake costs more than an exchange, so connections stay open and
//! are used again, each for one message at a time. A connection belongs to a
//! security server; whether its certificate may speak for a provider is
//! judged with each message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use causeway_identifiers::SecurityServerId;
use causeway_pki::Certificate;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::{Candidate, ConnectError, Dialer};
use crate::http::Body;
use crate::tls::OutgoingTls;

/// Most idle connections that are kept to one server.
const MOST_IDLE: usize = 256;

/// A connection to a security server, taken for one message.
#[derive(Debug)]
pub struct Peer {
    /// The server at the other end.
    pub server: Candidate,
    /// The certificates that it showed, leaf first.
    pub certificates: Arc<Vec<Certificate>>,
    sender: http1::SendRequest<Body>,
    connection: Running,
    /// Whether it had been used before.
    pub reused: bool,
    generation: u64,
}

/// The task that drives a connection. It ends with whoever holds the
/// connection: after a message that failed half way, nobody knows what is in it.
#[derive(Debug)]
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request that could not be sent, or got no answer.
#[derive(Debug)]
pub enum SendError {
    /// The connection had been closed before anything was sent; the request may be sent on another.
    NotSent(Box<Request<Body>>),
    /// It failed after something was sent.
    Failed(String),
}

#[derive(Debug)]
struct Idle {
    certificates: Arc<Vec<Certificate>>,
    sender: http1::SendRequest<Body>,
    connection: Running,
    since: Instant,
    generation: u64,
}

/// Keeps connections, by server.
#[derive(Debug)]
pub struct PeerPool {
    dialer: Dialer,
    idle: Mutex<HashMap<(SecurityServerId, String), Vec<Idle>>>,
    idle_timeout: Duration,
    config: ArcSwapOption<OutgoingTls>,
    /// Grows when the server's own certificate changes: older connections are not used again.
    generation: std::sync::atomic::AtomicU64,
}

impl PeerPool {
    /// A pool over a dialer. Idle connections are closed after `idle_timeout`.
    pub fn new(dialer: Dialer, idle_timeout: Duration) -> Self {
        Self {
            dialer,
            idle: Mutex::default(),
            idle_timeout,
            config: ArcSwapOption::empty(),
            generation: 0.into(),
        }
    }

    /// Sets the identity with which new connections are opened; `None` while there is no authentication certificate.
    pub fn set_config(&self, config: Option<Arc<OutgoingTls>>) {
        self.config.store(config);
        self.generation.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A connection to one of these servers: one that is kept to the server
    /// that was fastest, else a new one.
    ///
    /// # Errors
    /// When none can be reached.
    pub async fn take(&self, candidates: &[Candidate]) -> Result<Peer, ConnectError> {
        if self.dialer.knows(candidates) {
            let ordered = self.dialer.order(candidates);
            if let Some(peer) = ordered.first().and_then(|c| self.take_idle(c)) {
                return Ok(peer);
            }
        }
        self.open(candidates).await
    }

    /// A new connection to one of these servers.
    ///
    /// # Errors
    /// When none can be reached.
    pub async fn open(&self, candidates: &[Candidate]) -> Result<Peer, ConnectError> {
        let generation = self.generation.load(std::sync::atomic::Ordering::SeqCst);
        let config = self.config.load_full().ok_or_else(|| ConnectError {
            text: "other servers: this server has no active authentication certificate".into(),
            tls: false,
        })?;
        let (server, stream, certificates) = self.dialer.connect(candidates, &config).await?;
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| ConnectError { text: format!("{}: {e}", server.address), tls: false })?;
        // How a connection ends is seen by the message that uses it.
        let running = tokio::spawn(async move { connection.await.unwrap_or_default() });
        let connection = Running(running.abort_handle());
        let certificates = Arc::new(certificates);
        Ok(Peer { server, certificates, sender, connection, reused: false, generation })
    }

    /// Forgets a server that failed, so that another one of the set is tried.
    pub fn distrust(&self, candidates: &[Candidate]) {
        self.dialer.forget(candidates);
    }

    fn take_idle(&self, server: &Candidate) -> Option<Peer> {
        let key = (server.id.clone(), server.address.clone());
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(&key)?;
        while let Some(connection) = kept.pop() {
            if connection.since.elapsed() < self.idle_timeout
                && !connection.sender.is_closed()
                && connection.sender.is_ready()
            {
                return Some(Peer {
                    server: server.clone(),
                    certificates: connection.certificates,
                    sender: connection.sender,
                    connection: connection.connection,
                    reused: true,
                    generation: connection.generation,
                });
            }
        }
        None
    }

    /// Gives a connection back after its answer was read to the end.
    pub fn give_back(&self, peer: Peer) {
        let current = self.generation.load(std::sync::atomic::Ordering::SeqCst);
        if peer.sender.is_closed() || peer.generation != current {
            return;
        }
        let key = (peer.server.id.clone(), peer.server.address.clone());
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(key).or_default();
        kept.retain(|i| i.since.elapsed() < self.idle_timeout && !i.sender.is_closed());
        if kept.len() < MOST_IDLE {
            kept.push(Idle {
                certificates: peer.certificates,
                sender: peer.sender,
                connection: peer.connection,
                since: Instant::now(),
                generation: peer.generation,
            });
        }
    }

    /// How many connections are kept idle.
    pub fn idle_connections(&self) -> usize {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }
}

impl Peer {
    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, SendError> {
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok(response),
            Err(mut error) => match error.take_message() {
                Some(request) => Err(SendError::NotSent(Box::new(request))),
                None => Err(SendError::Failed(error.into_error().to_string())),
            },
        }
    }
}
