//! OCSP responses between security servers, over plain HTTP on port 5577: whoever
//! connects to a server first asks it for the responses of its certificates
//! (X-Road 7.8 `CertHashBasedOcspResponder`; protocol reference 3.11).
//!
//! [`handle`] answers from the server's own [`OcspCache`]; [`PeerOcsp`] asks
//! others. The responses are signed, so the way they come needs no protection,
//! and whoever uses them judges them.

mod multipart;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use causeway_message::{Fault, codes};
use causeway_pki::Certificate;
use causeway_pki::ocsp::{MAX_RESPONSE, OcspError, OcspPolicy, OcspResponse, judge_time};
use causeway_transport::ContentType;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use time::OffsetDateTime;
use url::{Host, form_urlencoded};

use crate::health::work::after;
use crate::http::{Body, empty, full};
use crate::ocsp_client::OcspCache;
use crate::outgoing::{Outgoing, OutgoingError, Timeouts};

/// The most certificates in one request, here and there.
const MAX_CERTIFICATES: usize = 32;
/// The most responses that are remembered.
const MAX_KNOWN: usize = 10_000;
/// How long another server may take to answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a response is used before it is asked for anew.
const YOUNG: Duration = Duration::from_secs(60);
/// The media type of a response.
const OCSP_RESPONSE: &str = "application/ocsp-response";

/// Answers another server's request; see [`respond`].
pub async fn handle(cache: Arc<OcspCache>, request: Request<Incoming>) -> Response<Body> {
    respond(&cache, request.method(), request.uri().query())
}

/// The answer to another server's request: `GET` with a SHA-1 digest in each `cert` parameter gives the
/// responses in that order, or status 500 when one is missing; `HEAD` is a sign of life. The digests
/// in `cert_hash` parameters that newer servers add are not looked at, as in X-Road.
pub fn respond(cache: &OcspCache, method: &Method, query: Option<&str>) -> Response<Body> {
    match *method {
        Method::HEAD => Response::new(empty()),
        Method::GET => match collect(cache, query.unwrap_or_default()) {
            Ok(responses) => multipart_of(&responses),
            Err(text) => refusal(&text),
        },
        _ => refusal("Invalid request method"),
    }
}

fn collect(cache: &OcspCache, query: &str) -> Result<Vec<OcspResponse>, String> {
    let hashes = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "cert");
    let hashes: Vec<_> = hashes.map(|(_, hash)| hash).take(MAX_CERTIFICATES + 1).collect();
    if hashes.is_empty() {
        return Err("Could not get cert hashes".to_owned());
    }
    if hashes.len() > MAX_CERTIFICATES {
        return Err(format!("More than {MAX_CERTIFICATES} cert hashes"));
    }
    let one = |hash: &str| {
        cache.get_by_sha1(hash).ok_or_else(|| {
            let hash: String = hash.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
            format!("Could not find OCSP response for certificate {hash}")
        })
    };
    hashes.iter().map(|hash| one(hash)).collect()
}

fn multipart_of(responses: &[OcspResponse]) -> Response<Body> {
    let boundary = format!("causeway{}", uuid::Uuid::new_v4().simple());
    let parts: Vec<&[u8]> = responses.iter().map(OcspResponse::der).collect();
    let body = multipart::write(&parts, OCSP_RESPONSE, &boundary);
    let content_type =
        format!("multipart/related; type=\"{OCSP_RESPONSE}\"; charset=UTF-8; boundary={boundary}");
    answer(StatusCode::OK, &content_type, body)
}

fn refusal(text: &str) -> Response<Body> {
    tracing::info!(text, "OCSP responses refused to another server");
    answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=UTF-8", text.to_owned())
}

fn answer(status: StatusCode, content_type: &str, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    // Made of ASCII alone.
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

/// Why another server's responses could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The other server's address cannot be part of a URL.
    #[error("'{0}' is not a host name or address")]
    Host(String),
    /// More certificates than one request may name.
    #[error("{0} certificates in a chain are too many")]
    TooMany(usize),
    /// The other server could not be called.
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    /// The other server refused.
    #[error("{url}: status {status}: {text}")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// The beginning of what it said.
        text: String,
    },
    /// The answer is not a multipart message.
    #[error("{0}: the answer is not a multipart message of OCSP responses")]
    NotMultipart(String),
    /// The answer has another number of responses than there are certificates.
    #[error("{url}: {found} OCSP responses for {expected} certificates")]
    Count {
        /// The address.
        url: String,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A response cannot be read.
    #[error("{url}: {source}")]
    Response {
        /// The address.
        url: String,
        /// What is wrong with it.
        #[source]
        source: OcspError,
    },
}

/// The OCSP responses of other servers' certificates.
#[derive(Debug)]
pub struct PeerOcsp {
    outgoing: Outgoing,
    known: Mutex<HashMap<Sha1, Known>>,
    /// When asking failed the last time, and how.
    failed: Mutex<HashMap<Sha1, (Instant, String)>>,
    /// One at a time asks for a certificate; the others wait for what it gets.
    asking: Mutex<HashMap<Sha1, Weak<tokio::sync::Mutex<()>>>>,
}

type Sha1 = [u8; 20];

#[derive(Debug)]
struct Known {
    response: OcspResponse,
    fetched: OffsetDateTime,
}

impl PeerOcsp {
    /// Nothing is known yet. Connecting to another server may take this long, each wait for its
    /// answer 30 s.
    pub fn new(connect_timeout: Duration) -> Self {
        Self::with_timeouts(Timeouts { connect: connect_timeout, read: READ_TIMEOUT })
    }

    fn with_timeouts(timeouts: Timeouts) -> Self {
        Self {
            outgoing: Outgoing::plain(timeouts),
            known: Mutex::default(),
            failed: Mutex::default(),
            asking: Mutex::default(),
        }
    }

    /// The responses for these certificates, in their order: known ones that are fresh, or asked for
    /// at the server at this host and port.
    ///
    /// They came over a way on which anybody can change them: the caller judges them. What was found
    /// bad should be [forgotten](Self::forget); it is asked for anew within a minute in any case, so
    /// that nobody can keep two servers apart by one forged answer.
    ///
    /// # Errors
    /// `ssl_authentication_failed`, as the server cannot prove who it is.
    pub async fn responses(
        self: &Arc<Self>,
        host: &str,
        port: u16,
        certificates: &[Certificate],
        policy: &OcspPolicy,
        now: OffsetDateTime,
    ) -> Result<Vec<OcspResponse>, Fault> {
        if let Some(responses) = self.known(certificates, policy, now, YOUNG) {
            return Ok(responses);
        }
        let arrived = Instant::now();
        let turn = self.turn(certificates);
        if let Some(responses) = self.known(certificates, policy, now, Duration::MAX) {
            // They hold still. Nobody waits for newer ones: the other server's port may be slow or silent.
            if let Ok(turn) = turn.try_lock_owned() {
                let refreshed = Arc::clone(self).refresh(
                    host.to_owned(),
                    port,
                    certificates.to_vec(),
                    responses.clone(),
                );
                tokio::spawn(async move {
                    refreshed.await;
                    drop(turn);
                });
            }
            return Ok(responses);
        }
        let leaf = certificates.first().map(Certificate::sha1).unwrap_or_default();
        let _turn = turn.lock().await;
        if let Some(responses) = self.known(certificates, policy, now, YOUNG) {
            return Ok(responses);
        }
        // Whoever waited while another one failed does not wait for the same again.
        if let Some((_, text)) = lock(&self.failed).get(&leaf).filter(|(at, _)| *at >= arrived) {
            return Err(Fault::new(codes::SSL_AUTHENTICATION_FAILED, text.clone()));
        }
        match self.fetch(host, port, certificates).await {
            Ok(responses) => {
                lock(&self.failed).remove(&leaf);
                self.remember(certificates, &responses, after(now, arrived.elapsed()));
                Ok(responses)
            }
            Err(error) => {
                let text = format!("The peer's OCSP responses could not be fetched: {error}");
                let mut failed = lock(&self.failed);
                if failed.len() >= MAX_KNOWN {
                    failed.clear();
                }
                failed.insert(leaf, (Instant::now(), text.clone()));
                Err(Fault::new(codes::SSL_AUTHENTICATION_FAILED, text))
            }
        }
    }

    /// Asks anew for what is known. When that fails, what is known counts on, and is asked for
    /// again in a while, not with each message.
    async fn refresh(
        self: Arc<Self>,
        host: String,
        port: u16,
        certificates: Vec<Certificate>,
        known: Vec<OcspResponse>,
    ) {
        let responses = match self.fetch(&host, port, &certificates).await {
            Ok(responses) => responses,
            Err(error) => {
                tracing::warn!(%host, port, "a server's OCSP responses could not be asked for anew; those at hand hold still: {error}");
                known
            }
        };
        self.remember(&certificates, &responses, OffsetDateTime::now_utc());
    }

    /// Forgets the responses for these certificates, because they turned out bad.
    pub fn forget(&self, certificates: &[Certificate]) {
        let mut known = lock(&self.known);
        for certificate in certificates {
            known.remove(&certificate.sha1());
        }
    }

    /// The responses for these certificates, when each is known, fresh, and not longer here than
    /// `age`.
    fn known(
        &self,
        certificates: &[Certificate],
        policy: &OcspPolicy,
        now: OffsetDateTime,
        age: Duration,
    ) -> Option<Vec<OcspResponse>> {
        let known = lock(&self.known);
        let fresh = |certificate: &Certificate| {
            let Known { response, fetched } = known.get(&certificate.sha1())?;
            let counts = judge_time(response, policy, now).is_ok() && now < after(*fetched, age);
            counts.then(|| response.clone())
        };
        certificates.iter().map(fresh).collect()
    }

    fn remember(
        &self,
        certificates: &[Certificate],
        responses: &[OcspResponse],
        now: OffsetDateTime,
    ) {
        let mut known = lock(&self.known);
        for (certificate, response) in certificates.iter().zip(responses) {
            if known.len() >= MAX_KNOWN && !known.contains_key(&certificate.sha1()) {
                let oldest = known.iter().min_by_key(|(_, k)| k.fetched).map(|(sha1, _)| *sha1);
                oldest.and_then(|sha1| known.remove(&sha1));
            }
            let response = response.clone();
            known.insert(certificate.sha1(), Known { response, fetched: now });
        }
    }

    fn turn(&self, certificates: &[Certificate]) -> Arc<tokio::sync::Mutex<()>> {
        let leaf = certificates.first().map(Certificate::sha1).unwrap_or_default();
        let mut asking = lock(&self.asking);
        if let Some(turn) = asking.get(&leaf).and_then(Weak::upgrade) {
            return turn;
        }
        asking.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        asking.insert(leaf, Arc::downgrade(&turn));
        turn
    }

    /// Asks the server at this host and port for the responses of these certificates, in their
    /// order, whatever is known already.
    ///
    /// # Errors
    /// See [`ExchangeError`].
    pub async fn fetch(
        &self,
        host: &str,
        port: u16,
        certificates: &[Certificate],
    ) -> Result<Vec<OcspResponse>, ExchangeError> {
        let expected = certificates.len();
        if expected > MAX_CERTIFICATES {
            return Err(ExchangeError::TooMany(expected));
        }
        let url = request_url(host, port, certificates)?;
        let limit = (MAX_RESPONSE + 1024) * (expected + 1);
        let answer = self.outgoing.get_accepting(&url, "multipart/related", limit).await?;
        let status = answer.status.as_u16();
        if !matches!(status, 200..=208 | 226) {
            let text = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
            return Err(ExchangeError::Status { url, status, text });
        }
        let content_type = ContentType::parse(answer.content_type.as_deref().unwrap_or_default());
        let parts = content_type
            .boundary()
            .and_then(|boundary| multipart::read(&answer.body, boundary.as_str()))
            .ok_or_else(|| ExchangeError::NotMultipart(url.clone()))?;
        let responses: Vec<&[u8]> = parts
            .into_iter()
            .filter(|part| part.content_type.eq_ignore_ascii_case(OCSP_RESPONSE))
            .map(|part| part.body)
            .collect();
        if responses.len() != expected {
            return Err(ExchangeError::Count { url, found: responses.len(), expected });
        }
        responses
            .into_iter()
            .map(OcspResponse::parse)
            .collect::<Result<_, _>>()
            .map_err(|source| ExchangeError::Response { url, source })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The address to ask: SHA-1 digests for servers up to 7.3, then SHA-256 digests.
fn request_url(
    host: &str,
    port: u16,
    certificates: &[Certificate],
) -> Result<String, ExchangeError> {
    let unbracketed = host.trim_start_matches('[').trim_end_matches(']');
    let host = match unbracketed.parse() {
        Ok(ip) => Host::Ipv6(ip),
        Err(_) => Host::parse(host).map_err(|_| ExchangeError::Host(host.to_owned()))?,
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    for certificate in certificates {
        query.append_pair("cert", &hex::encode(certificate.sha1()));
    }
    for certificate in certificates {
        query.append_pair("cert_hash", &hex::encode(certificate.sha256()));
    }
    Ok(format!("http://{host}:{port}/?{}", query.finish()))
}
