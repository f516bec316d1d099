//! Opening a connection: the fastest of several servers, the others in reserve.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use causeway_identifiers::SecurityServerId;
use causeway_pki::Certificate;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Candidate;
use crate::http::patient::Patient;
use crate::metrics::Metrics;
use crate::tls::{self, OutgoingTls};

/// The shortest time that is left to a connection attempt after others failed.
const LEAST_TIMEOUT: Duration = Duration::from_secs(5);

/// Why no server could be reached.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no connection to {text}")]
pub struct ConnectError {
    /// Each server that was tried, with the reason.
    pub text: String,
    /// A server was reached, but TLS with it failed.
    pub tls: bool,
}

/// Opens connections and remembers which server answered first.
#[derive(Debug)]
pub struct Dialer {
    port: u16,
    timeout: Duration,
    remember: Duration,
    stall: Duration,
    metrics: Arc<Metrics>,
    fastest: Mutex<HashMap<Vec<String>, (SecurityServerId, Instant)>>,
}

impl Dialer {
    /// Connects to `port` of the servers; the fastest of a set is remembered for `remember`, and a
    /// connection fails when the server takes nothing of what is written for `stall`.
    pub fn new(
        port: u16,
        timeout: Duration,
        remember: Duration,
        stall: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { port, timeout, remember, stall, metrics, fastest: Mutex::default() }
    }

    /// Puts the server that was fastest the last time first.
    pub fn order(&self, candidates: &[Candidate]) -> Vec<Candidate> {
        let mut ordered = candidates.to_vec();
        if candidates.len() > 1 {
            let key = key_of(candidates);
            let mut fastest = self.fastest.lock().unwrap_or_else(PoisonError::into_inner);
            fastest.retain(|_, (_, until)| *until > Instant::now());
            if let Some((id, _)) = fastest.get(&key) {
                ordered.sort_by_key(|c| c.id != *id);
            }
        }
        ordered
    }

    /// Whether the fastest of these is known.
    pub fn knows(&self, candidates: &[Candidate]) -> bool {
        let fastest = self.fastest.lock().unwrap_or_else(PoisonError::into_inner);
        candidates.len() == 1
            || fastest.get(&key_of(candidates)).is_some_and(|(_, until)| *until > Instant::now())
    }

    /// Connects to one of the candidates: to the remembered one with a short
    /// time-out, else to all at once, and takes the first that connects. One
    /// whose TLS fails is left out and the rest tried again with half the time.
    ///
    /// # Errors
    /// When none can be reached; the text names each with its reason.
    pub async fn connect(
        &self,
        candidates: &[Candidate],
        config: &OutgoingTls,
    ) -> Result<(Candidate, TlsStream<Patient>, Vec<Certificate>), ConnectError> {
        let mut left = self.order(candidates);
        let mut timeout = self.timeout;
        let (mut reasons, mut tls_failed) = (Vec::new(), false);
        if candidates.len() > 1 && self.knows(candidates) && left.len() > 1 {
            let first = left.remove(0);
            match self.attempt(std::slice::from_ref(&first), LEAST_TIMEOUT, config).await {
                Ok(connected) => return Ok(connected),
                Err((_, reason)) => {
                    self.fastest
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .remove(&key_of(candidates));
                    reasons.push(reason);
                }
            }
        }
        while !left.is_empty() {
            match self.attempt(&left, timeout, config).await {
                Ok(connected) => {
                    self.remember(candidates, &connected.0);
                    return Ok(connected);
                }
                Err((failed, reason)) => {
                    reasons.push(reason);
                    tls_failed |= failed.is_some();
                    match failed {
                        Some(id) => left.retain(|c| c.id != id),
                        None => break,
                    }
                    timeout = (timeout / 2).max(LEAST_TIMEOUT);
                }
            }
        }
        Err(ConnectError { text: reasons.join("; "), tls: tls_failed })
    }

    /// Forgets which of these was fastest, since it failed.
    pub fn forget(&self, candidates: &[Candidate]) {
        self.fastest.lock().unwrap_or_else(PoisonError::into_inner).remove(&key_of(candidates));
    }

    fn remember(&self, candidates: &[Candidate], winner: &Candidate) {
        if candidates.len() > 1 {
            let mut fastest = self.fastest.lock().unwrap_or_else(PoisonError::into_inner);
            fastest.insert(key_of(candidates), (winner.id.clone(), Instant::now() + self.remember));
        }
    }

    /// One round over some candidates. An error names the one whose TLS failed; none when no TCP connection came about.
    async fn attempt(
        &self,
        candidates: &[Candidate],
        timeout: Duration,
        config: &OutgoingTls,
    ) -> Result<(Candidate, TlsStream<Patient>, Vec<Certificate>), (Option<SecurityServerId>, String)>
    {
        let (winner, stream) =
            first_connected(candidates, self.port, timeout).await.map_err(|e| (None, e))?;
        let failed =
            |e: String| (Some(winner.id.clone()), format!("{}:{}: {e}", winner.address, self.port));
        let name = ServerName::try_from(winner.address.clone())
            .or_else(|_| ServerName::try_from("security-server".to_owned()))
            .map_err(|e| failed(e.to_string()))?;
        let stream = Patient::new(stream, self.stall).reading_ahead();
        let handshake =
            TlsConnector::from(Arc::clone(config.towards(winner.id.owner().instance())))
                .connect(name, stream);
        let stream = match tokio::time::timeout(timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => return Err(failed(format!("TLS failed: {e}"))),
            Err(_) => return Err(failed("TLS took too long".into())),
        };
        let session = stream.get_ref().1;
        if session.negotiated_cipher_suite().is_some_and(|s| causeway_tls_cbc::is_cbc(s.suite())) {
            tracing::warn!(server = %winner.id, "a connection uses a CBC suite; ask the server's operator for suites with GCM");
            self.metrics.cbc_connection("outgoing");
        }
        let certificates = tls::shown(session.peer_certificates());
        Ok((winner, stream, certificates))
    }
}

fn key_of(candidates: &[Candidate]) -> Vec<String> {
    let mut key: Vec<String> =
        candidates.iter().map(|c| format!("{} {}", c.address, c.id)).collect();
    key.sort();
    key
}

async fn first_connected(
    candidates: &[Candidate],
    port: u16,
    timeout: Duration,
) -> Result<(Candidate, TcpStream), String> {
    let mut attempts = JoinSet::new();
    for candidate in candidates.iter().cloned() {
        attempts.spawn(async move {
            let connecting = TcpStream::connect((candidate.address.as_str(), port));
            match tokio::time::timeout(timeout, connecting).await {
                Ok(Ok(stream)) => Ok((candidate, stream)),
                Ok(Err(e)) => Err(format!("{}:{port}: {e}", candidate.address)),
                Err(_) => Err(format!(
                    "{}:{port}: no answer within {} s",
                    candidate.address,
                    timeout.as_secs()
                )),
            }
        });
    }
    let mut reasons = Vec::new();
    while let Some(finished) = attempts.join_next().await {
        match finished {
            Ok(Ok((candidate, stream))) => {
                // Small messages in several writes must not wait for acknowledgements.
                let _ = stream.set_nodelay(true);
                return Ok((candidate, stream));
            }
            Ok(Err(reason)) => reasons.push(reason),
            Err(e) => reasons.push(e.to_string()),
        }
    }
    Err(reasons.join("; "))
}
