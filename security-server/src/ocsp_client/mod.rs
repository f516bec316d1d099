//! The OCSP client: it keeps a fresh response at hand for each of the server's
//! own certificates, and for the authorities between them and their roots, since
//! peers ask for them with every message (RFC 6960 over HTTP; X-Road 7.8
//! `OcspClientWorker`).
//!
//! [`OcspCache`] is what others use. [`OcspClient`] fills it: from the responders
//! that the global configuration names for the authority, then from the one that
//! the certificate names. A response is judged before it counts; one that says
//! "revoked" counts as much as one that says "good", so that the server knows
//! about itself what everybody else will know soon.

mod cache;
mod pace;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use causeway_console::{name, time};
use causeway_globalconf::{CostPriority, GlobalConf};
use causeway_pki::Certificate;
use causeway_pki::ocsp::{
    self, CertStatus, MAX_RESPONSE, OcspError, OcspPolicy, OcspResponse, judge_time,
    verify_signature,
};
use futures_util::StreamExt as _;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};

pub use cache::OcspCache;

use crate::globalconf_client::Published;
use crate::health::work::{Diagnosis, Ledger, State, Wake, after, pause, stopped, until};
use crate::outgoing::{Outgoing, OutgoingError, Timeouts};
use crate::settings::OcspSettings;
use pace::{Moments, Pace, Record, is_final, replaces};

/// How many certificates are asked for at once.
const AT_ONCE: usize = 8;
/// The longest pause: a certificate may have come without anybody telling.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How soon to look again while there is no global configuration.
const WITHOUT_CONFIGURATION: Duration = Duration::from_secs(2);

/// Tells which certificates are in use now.
pub type OwnCertificates = dyn Fn() -> Vec<Certificate> + Send + Sync;

/// Fetches OCSP responses ahead of need.
pub struct OcspClient {
    settings: OcspSettings,
    outgoing: Outgoing,
    cache: Arc<OcspCache>,
    published: Published,
    certificates: Box<OwnCertificates>,
    entries: Mutex<HashMap<[u8; 20], Entry>>,
    ledger: Ledger,
    asked: Notify,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Entry {
    subject: String,
    record: Record,
    diagnosis: Diagnosis,
}

/// How a certificate's response stands, for the operator's eyes.
#[derive(Debug, Clone)]
pub struct CertificateStatus {
    /// The certificate's subject.
    pub subject: String,
    /// The certificate's SHA-1 digest in hexadecimal, by which peers ask for its response.
    pub sha1: String,
    /// How fetching it stands.
    pub fetching: Diagnosis,
    /// What the response that is held says; `None` when none is held.
    pub status: Option<CertStatus>,
    /// When what it says was known to be so.
    pub this_update: Option<OffsetDateTime>,
}

/// Why a response could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No authority of the global configuration issued the certificate.
    #[error("its issuer is not among the certification authorities of the global configuration")]
    UnknownIssuer,
    /// Neither the global configuration nor the certificate names a responder.
    #[error("no OCSP responder is known for it")]
    NoResponder,
    /// No responder gave a response that counts; each with its reason.
    #[error("{}", .0.join("; "))]
    Responders(Vec<String>),
}

/// Why one responder's answer does not count.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    #[error("status {0}")]
    Status(u16),
    #[error(transparent)]
    Ocsp(#[from] OcspError),
}

impl OcspClient {
    /// A client for the certificates that `certificates` tells, each time it is asked.
    pub fn new(
        settings: OcspSettings,
        cache: Arc<OcspCache>,
        published: Published,
        certificates: impl Fn() -> Vec<Certificate> + Send + Sync + 'static,
    ) -> Self {
        let timeouts = Timeouts { connect: settings.connect_timeout, read: settings.read_timeout };
        Self {
            settings,
            outgoing: Outgoing::new(timeouts),
            cache,
            published,
            certificates: Box::new(certificates),
            entries: Mutex::default(),
            ledger: Ledger::new(OffsetDateTime::now_utc()),
            asked: Notify::new(),
            changed: watch::Sender::new(0),
        }
    }

    /// Asks the loop to fetch everything now: at the operator's wish, or when certificates changed.
    pub fn refresh_soon(&self) {
        self.asked.notify_one();
    }

    /// A counter that moves when a response has been replaced.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How fetching stands as a whole: failing while it fails for any certificate.
    pub fn diagnosis(&self) -> Diagnosis {
        self.ledger.read()
    }

    /// How it stands for each certificate.
    pub fn certificates(&self) -> Vec<CertificateStatus> {
        let entries = self.entries();
        let mut all: Vec<CertificateStatus> = entries
            .iter()
            .map(|(sha1, entry)| {
                let sha1 = hex::encode(sha1);
                let response = self.cache.get_by_sha1(&sha1);
                CertificateStatus {
                    subject: entry.subject.clone(),
                    sha1,
                    fetching: entry.diagnosis.clone(),
                    status: response.as_ref().map(OcspResponse::status),
                    this_update: response.as_ref().map(OcspResponse::this_update),
                }
            })
            .collect();
        all.sort_by(|a, b| (&a.subject, &a.sha1).cmp(&(&b.subject, &b.sha1)));
        all
    }

    /// Fetches each response when it is due, all of them at start and when asked, until `stop` turns
    /// true.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut everything = true;
        loop {
            let next = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                next = self.fetch_due(OffsetDateTime::now_utc(), everything) => next,
            };
            let wait = until(OffsetDateTime::now_utc(), next).min(LONGEST_PAUSE);
            match pause(wait, &self.asked, &mut stop).await {
                Wake::Stop => return,
                Wake::Asked => everything = true,
                Wake::Due => everything = false,
            }
        }
    }

    /// Fetches the responses that are due, or all of them; tells when the next is due.
    pub async fn fetch_due(&self, now: OffsetDateTime, everything: bool) -> OffsetDateTime {
        let Some(conf) = self.published.load_full() else {
            let next = after(now, WITHOUT_CONFIGURATION);
            self.ledger.failed(now, "there is no global configuration yet", next);
            return next;
        };
        let pace = Pace::of(&self.settings, &conf);
        let certificates = wanted(&(self.certificates)(), &conf, now);
        self.forget_others(&certificates).await;
        let due: Vec<_> = certificates
            .iter()
            .filter(|certificate| everything || self.due(certificate, &pace) <= now)
            .collect();
        let tried = !due.is_empty();
        futures_util::stream::iter(due)
            .for_each_concurrent(AT_ONCE, |certificate| {
                self.refresh(certificate, &conf, &pace, now)
            })
            .await;
        let next = certificates.iter().map(|certificate| self.due(certificate, &pace)).min();
        let next = next.unwrap_or_else(|| after(now, LONGEST_PAUSE));
        if tried || certificates.is_empty() {
            self.conclude(now, next);
        }
        next
    }

    /// Fetches one certificate's response from whoever gives one that counts: genuine, fresh, and
    /// with a definite status.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(
        &self,
        certificate: &Certificate,
        conf: &GlobalConf,
        policy: &OcspPolicy,
        now: OffsetDateTime,
    ) -> Result<OcspResponse, FetchError> {
        let issuer = conf.issuer_in_any_instance(certificate).ok_or(FetchError::UnknownIssuer)?;
        let urls = conf.ocsp_urls_of(certificate, CostPriority::AsListed);
        if urls.is_empty() {
            return Err(FetchError::NoResponder);
        }
        let request = bytes::Bytes::from(ocsp::request(certificate, &issuer.certificate));
        let trust = conf.ocsp_trust(issuer);
        let mut failures = Vec::new();
        for url in urls {
            let answer = async {
                let answer = self
                    .outgoing
                    .post(&url, "application/ocsp-request", request.clone(), MAX_RESPONSE)
                    .await?;
                if answer.status != 200 {
                    return Err(AnswerError::Status(answer.status.as_u16()));
                }
                let response = OcspResponse::parse(&answer.body)?;
                verify_signature(&response, certificate, &issuer.certificate, &trust)?;
                judge_time(&response, policy, now)?;
                if !is_final(response.status()) {
                    return Err(OcspError::UnknownStatus.into());
                }
                Ok(response)
            };
            match answer.await {
                Ok(response) => return Ok(response),
                Err(AnswerError::Outgoing(error)) => failures.push(error.to_string()),
                Err(error) => failures.push(format!("{url}: {error}")),
            }
        }
        Err(FetchError::Responders(failures))
    }

    async fn refresh(
        &self,
        certificate: &Certificate,
        conf: &GlobalConf,
        pace: &Pace,
        now: OffsetDateTime,
    ) {
        let result = self.fetch(certificate, conf, &pace.policy, now).await;
        let error = match result {
            Ok(response) => {
                self.keep(certificate, response).await;
                None
            }
            Err(error) => {
                let subject = name(&certificate.subject_rfc2253());
                tracing::warn!(subject, %error, "no OCSP response for an own certificate");
                Some(error.to_string())
            }
        };
        let held = self.cache.get(certificate);
        let mut entries = self.entries();
        let entry = entries.entry(certificate.sha1()).or_insert_with(|| Entry {
            subject: name(&certificate.subject_rfc2253()),
            record: Record::default(),
            diagnosis: Diagnosis::waiting(now),
        });
        let failures = error.as_ref().map_or(0, |_| entry.record.failures.saturating_add(1));
        entry.record = Record { last: Some(now), failures };
        let next = pace.due(entry.record, held.as_ref().map(Moments::from));
        entry.diagnosis = match error {
            None => entry.diagnosis.clone().succeeded(now, next),
            Some(error) => entry.diagnosis.clone().failed(now, &error, next),
        };
    }

    async fn keep(&self, certificate: &Certificate, response: OcspResponse) {
        let held = self.cache.get(certificate);
        if !replaces(held.as_ref(), &response) {
            return;
        }
        if let CertStatus::Revoked { at } = response.status() {
            let subject = name(&certificate.subject_rfc2253());
            let at = time(at);
            tracing::error!(subject, at, "an own certificate has been revoked");
        }
        let (cache, owned) = (Arc::clone(&self.cache), certificate.clone());
        let saved = tokio::task::spawn_blocking(move || cache.put(&owned, response)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "an OCSP response could not be saved");
        }
        self.changed.send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    fn due(&self, certificate: &Certificate, pace: &Pace) -> OffsetDateTime {
        let held = self.cache.get(certificate);
        let record = self.entries().get(&certificate.sha1()).map(|entry| entry.record);
        pace.due(record.unwrap_or_default(), held.as_ref().map(Moments::from))
    }

    async fn forget_others(&self, certificates: &[Certificate]) {
        self.entries().retain(|sha1, _| certificates.iter().any(|c| c.sha1() == *sha1));
        // Locked keys, or a configuration that cannot be read, must not cost the responses.
        if !certificates.is_empty() {
            let (cache, kept) = (Arc::clone(&self.cache), certificates.to_vec());
            drop(tokio::task::spawn_blocking(move || cache.retain(&kept)).await);
        }
    }

    fn conclude(&self, now: OffsetDateTime, next: OffsetDateTime) {
        let failing: Vec<String> = self
            .entries()
            .values()
            .filter(|entry| entry.diagnosis.state == State::Failing)
            .map(|entry| {
                let error = entry.diagnosis.last_error.as_deref().unwrap_or_default();
                format!("{}: {error}", entry.subject)
            })
            .collect();
        if failing.is_empty() {
            self.ledger.succeeded(now, next);
        } else {
            self.ledger.failed(now, &failing.join("; "), next);
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<[u8; 20], Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for OcspClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OcspClient").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The certificates that need a response: the own ones that are valid, and the authorities between
/// them and their roots.
fn wanted(own: &[Certificate], conf: &GlobalConf, now: OffsetDateTime) -> Vec<Certificate> {
    let mut all: Vec<Certificate> = Vec::new();
    for certificate in own {
        let path = conf.issuer_path(conf.instance(), certificate);
        let authorities = path.iter().filter(|ca| !ca.is_top).map(|ca| &ca.certificate);
        for certificate in std::iter::once(certificate).chain(authorities) {
            let known = all.iter().any(|c| c.sha1() == certificate.sha1());
            if !known && !certificate.is_self_signed() && certificate.is_valid_at(now) {
                all.push(certificate.clone());
            }
        }
    }
    all
}
