//! Timestamping of the message log: what was logged is stamped soon, in
//! batches, by an authority that the global configuration approves (RFC 3161;
//! X-Road 7.8 `LogManager`, `Timestamper`).
//!
//! Messages do not wait for it. They are refused only when there is no
//! authority to ask, or when all attempts have failed for longer than the
//! operator accepts: that is [`Timestamping::gate`]. `policy` decides when and
//! how much, `authority` talks to one authority, and what is here ties them to
//! the log. How the records and a token fit together is known to
//! [`causeway_messagelog::timestamping`].

mod authority;
#[cfg(test)]
pub(crate) mod fake;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use causeway_globalconf::GlobalConf;
use causeway_message::{Fault, codes};
use causeway_messagelog::timestamping::Plan;
use causeway_messagelog::{Log, LogError, RecordId, Untimestamped};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::globalconf_client::Published;
use crate::health::work::{Diagnosis, Ledger, State, Wake, after, pause, stopped};
use crate::outgoing::{Outgoing, Timeouts};
use crate::settings::TimestampingSettings;
use policy::{Outcome, Pace, is_over, services, unapproved};

/// How soon to look again while there is no global configuration.
const WITHOUT_CONFIGURATION: Duration = Duration::from_millis(500);
/// What [`Timestamping::failing`] holds while the last attempt did not fail.
const NOT_FAILING: i64 = i64::MIN;
/// The longest error text that is kept of an authority, in characters.
const MAX_ERROR: usize = 500;

/// Timestamps the message log.
pub struct Timestamping {
    settings: TimestampingSettings,
    log: Arc<Log>,
    conf: Published,
    outgoing: Outgoing,
    /// Since when attempts fail, Unix time in milliseconds: what the gate asks for each message.
    failing: AtomicI64,
    ledger: Ledger,
    authorities: Mutex<HashMap<String, Heard>>,
    /// Held by whoever is stamping.
    turn: tokio::sync::Mutex<Round>,
    /// How many rounds of all that waited have begun.
    rounds: AtomicU64,
    /// When the loop is to go on.
    due: Mutex<Instant>,
    moved: Notify,
}

/// What whoever stamps leaves to the next.
#[derive(Debug, Default)]
struct Round {
    /// The number of the last round of all that waited.
    number: u64,
    /// What became of it.
    result: Option<Result<(), StampError>>,
    /// The oldest of the records that were stamped last.
    oldest: Option<RecordId>,
}

/// What an authority last did.
#[derive(Debug, Clone, Default)]
struct Heard {
    last_success: Option<OffsetDateTime>,
    last_error: Option<(OffsetDateTime, String)>,
    failing: bool,
}

/// How timestamping stands, for the operator's eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The attempts as a whole. While they fail, `since` is when they began to.
    pub work: Diagnosis,
    /// From when on messages are refused if no attempt succeeds.
    pub refuses_from: Option<OffsetDateTime>,
    /// The authorities in the order in which they are asked.
    pub services: Vec<ServiceStatus>,
    /// Services of the settings that the global configuration does not approve.
    pub unapproved: Vec<String>,
}

/// How one authority stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Its name in the global configuration.
    pub name: String,
    /// Its address.
    pub url: String,
    /// What it did when it was last asked; waiting when it has not been.
    pub state: State,
    /// When it last gave a timestamp.
    pub last_success: Option<OffsetDateTime>,
    /// When it last failed, and why.
    pub last_error: Option<(OffsetDateTime, String)>,
}

/// Why nothing was stamped.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StampError {
    /// The global configuration has expired, or there is none.
    #[error("{0}")]
    GlobalConf(String),
    /// There is no authority to ask.
    #[error(
        "No time-stamping provider is approved in the global configuration and configured here"
    )]
    NoProvider,
    /// None of the authorities gave a timestamp; each with its reason.
    #[error("Failed to get time-stamp from any time-stamping provider: {}", .0.join("; "))]
    Authorities(Vec<String>),
    /// The message log cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The server is too busy, or stops.
    #[error("The work was given up: {0}")]
    Interrupted(String),
}

impl StampError {
    /// The code of the protocol.
    pub fn code(&self) -> &'static str {
        match self {
            Self::GlobalConf(_) => codes::GLOBAL_CONF_OUTDATED,
            Self::NoProvider => codes::NO_TIMESTAMPING_PROVIDER,
            Self::Authorities(_) => codes::TIMESTAMPING_FAILED,
            Self::Log(e) => e.code(),
            Self::Interrupted(_) => codes::INTERNAL_ERROR,
        }
    }
}

impl From<StampError> for Fault {
    fn from(error: StampError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl Timestamping {
    /// Timestamping for this log, by the authorities of the published global configuration.
    pub fn new(settings: TimestampingSettings, log: Arc<Log>, conf: Published) -> Self {
        let timeouts = Timeouts { connect: settings.connect_timeout, read: settings.read_timeout };
        Self {
            outgoing: Outgoing::new(timeouts),
            failing: AtomicI64::new(NOT_FAILING),
            ledger: Ledger::new(OffsetDateTime::now_utc()),
            authorities: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            rounds: AtomicU64::new(0),
            due: Mutex::new(Instant::now() + Pace::of(&settings, None).first()),
            moved: Notify::new(),
            settings,
            log,
            conf,
        }
    }

    /// Refuses messages that could not be timestamped in time: asked before each one is logged.
    ///
    /// # Errors
    /// `logging_failed.mlog.no_timestamping_provider_found` when there is no authority to ask,
    /// `logging_failed.timestamping_failed` when all have failed for too long.
    pub fn gate(&self, now: OffsetDateTime) -> Result<(), Fault> {
        let refused = |code: &'static str, text: String| {
            Err(Fault::new(code, text).with_prefix(codes::LOGGING_FAILED))
        };
        let has_provider = (self.conf.load().as_deref())
            .is_some_and(|conf| services(conf, &self.settings.services).next().is_some());
        if !has_provider {
            return refused(codes::NO_TIMESTAMPING_PROVIDER, StampError::NoProvider.to_string());
        }
        match self.failing_since() {
            Some(since) if is_over(since, self.settings.acceptable_failure, now) => {
                let text = format!(
                    "Cannot time-stamp messages: no time-stamping provider has answered since {since}"
                );
                refused(codes::TIMESTAMPING_FAILED, text)
            }
            _ => Ok(()),
        }
    }

    /// Timestamps at its pace until the server stops.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let wait = self.due().saturating_duration_since(Instant::now());
            match pause(wait, &self.moved, &mut stop).await {
                Wake::Stop => return,
                // Somebody else has stamped, or failed to.
                Wake::Asked => continue,
                Wake::Due => {}
            }
            if self.conf.load().is_none() {
                self.set_due(WITHOUT_CONFIGURATION);
                continue;
            }
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                () = self.attempt() => {}
            }
        }
    }

    /// Stamps everything that waits now, at once. Callers that come meanwhile share the next round.
    ///
    /// # Errors
    /// The code of [`StampError::code`]; some may have been stamped nevertheless.
    pub async fn stamp_now(&self) -> Result<(), Fault> {
        let begun = self.rounds.load(Ordering::Acquire);
        let mut turn = self.turn.lock().await;
        if turn.number > begun
            && let Some(result) = &turn.result
        {
            return result.clone().map_err(Fault::from);
        }
        turn.number = self.rounds.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        let pace = self.pace();
        let result = loop {
            match self.stamp(pace.limit, &mut turn.oldest).await {
                Ok(count) if count >= pace.limit => {}
                Ok(count) => break Ok(count),
                Err(error) => break Err(error),
            }
        };
        self.note(pace, &result);
        self.moved.notify_one();
        let result = result.map(|_| ());
        turn.result = Some(result.clone());
        result.map_err(Fault::from)
    }

    /// How timestamping stands.
    pub fn status(&self) -> Status {
        let conf = self.conf.load();
        let heard = self.authorities();
        let status = |tsa: &causeway_globalconf::ApprovedTsa| {
            let heard = heard.get(&tsa.url).cloned().unwrap_or_default();
            let state = match (&heard.last_success, &heard.last_error) {
                (None, None) => State::Waiting,
                _ if heard.failing => State::Failing,
                _ => State::Good,
            };
            let Heard { last_success, last_error, .. } = heard;
            ServiceStatus {
                name: tsa.name.clone(),
                url: tsa.url.clone(),
                state,
                last_success,
                last_error,
            }
        };
        let wanted = &self.settings.services;
        let acceptable = self.settings.acceptable_failure;
        Status {
            work: self.ledger.read(),
            refuses_from: self
                .failing_since()
                .filter(|_| !acceptable.is_zero())
                .map(|since| after(since, acceptable)),
            services: conf
                .as_deref()
                .map(|conf| services(conf, wanted).map(status).collect())
                .unwrap_or_default(),
            unapproved: conf
                .as_deref()
                .map(|conf| unapproved(conf, wanted).into_iter().map(str::to_owned).collect())
                .unwrap_or_default(),
        }
    }

    /// Since when all attempts have failed; `None` when the last one did not.
    pub fn failing_since(&self) -> Option<OffsetDateTime> {
        let milliseconds = self.failing.load(Ordering::Relaxed);
        if milliseconds == NOT_FAILING {
            return None;
        }
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
    }

    /// One attempt of the loop.
    async fn attempt(&self) {
        let mut turn = self.turn.lock().await;
        let pace = self.pace();
        let limit = pace.amount(self.failing_since().is_some());
        let result = self.stamp(limit, &mut turn.oldest).await;
        self.note(pace, &result);
    }

    /// Stamps the oldest records that wait, at most `limit`, and tells how many there were.
    async fn stamp(
        &self,
        limit: usize,
        stamped: &mut Option<RecordId>,
    ) -> Result<usize, StampError> {
        let log = Arc::clone(&self.log);
        let records = blocking(move || log.untimestamped(limit)).await?;
        let count = records.len();
        let Some(oldest) = records.first().map(|record| record.id) else { return Ok(0) };
        if stamped.take() == Some(oldest) {
            // Timestamps may cost money; the log's fault must not buy them without end.
            let text = format!("record {oldest} still waits though it has been timestamped");
            return Err(LogError::Index(text).into());
        }
        if self.pace().is_crowded(count) {
            let limit = self.settings.records_limit;
            tracing::warn!(count, limit, "many records wait for their timestamp");
        }
        let conf = self.conf.load_full();
        let conf =
            conf.ok_or_else(|| StampError::GlobalConf("There is no global configuration".into()))?;
        conf.valid_at(OffsetDateTime::now_utc())
            .map_err(|e| StampError::GlobalConf(e.to_string()))?;
        if services(&conf, &self.settings.services).next().is_none() {
            return Err(StampError::NoProvider);
        }
        let log = Arc::clone(&self.log);
        let plan = blocking(move || plan(&log, &records)).await?;
        let token = self.token(plan.stamped(), &conf).await?;
        let timestamp = blocking(move || plan.complete(token, OffsetDateTime::now_utc())).await?;
        self.log.append_timestamp(timestamp).await?;
        *stamped = Some(oldest);
        tracing::debug!(count, "records timestamped");
        Ok(count)
    }

    /// A token from the first authority that gives one.
    async fn token(&self, stamped: &[u8], conf: &GlobalConf) -> Result<Bytes, StampError> {
        let mut errors = Vec::new();
        for tsa in services(conf, &self.settings.services) {
            let result = authority::stamp(&self.outgoing, &tsa.url, stamped, conf).await;
            let now = OffsetDateTime::now_utc();
            let mut heard = self.authorities();
            let heard = heard.entry(tsa.url.clone()).or_default();
            heard.failing = result.is_err();
            match result {
                Ok(token) => {
                    heard.last_success = Some(now);
                    return Ok(token);
                }
                Err(error) => {
                    let code = error.code();
                    tracing::warn!(tsa = tsa.name, url = tsa.url, code, %error, "no timestamp");
                    let text: String = error.to_string().chars().take(MAX_ERROR).collect();
                    heard.last_error = Some((now, text.clone()));
                    errors.push(format!("{}: {text}", tsa.name));
                }
            }
        }
        Err(StampError::Authorities(errors))
    }

    /// Takes down what became of an attempt, and when the next one is due.
    fn note(&self, pace: Pace, result: &Result<usize, StampError>) {
        let now = OffsetDateTime::now_utc();
        let was_failing = self.failing_since();
        let outcome = result.as_ref().map_or(Outcome::Failed, |count| Outcome::Stamped(*count));
        let wait = pace.after(was_failing.is_some(), outcome);
        match result {
            Ok(_) => {
                if let Some(since) = was_failing {
                    tracing::info!(%since, "timestamping works again");
                }
                self.failing.store(NOT_FAILING, Ordering::Relaxed);
                self.ledger.succeeded(now, after(now, wait));
            }
            Err(error) => {
                if was_failing.is_none() {
                    let milliseconds = now.unix_timestamp_nanos() / 1_000_000;
                    let milliseconds = i64::try_from(milliseconds).unwrap_or(i64::MAX);
                    self.failing.store(milliseconds, Ordering::Relaxed);
                }
                tracing::error!(code = error.code(), %error, "timestamping failed");
                self.ledger.failed(now, &error.to_string(), after(now, wait));
            }
        }
        self.set_due(wait);
    }

    fn pace(&self) -> Pace {
        Pace::of(&self.settings, self.conf.load().as_deref())
    }

    fn due(&self) -> Instant {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_due(&self, wait: Duration) {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + wait;
    }

    fn authorities(&self) -> MutexGuard<'_, HashMap<String, Heard>> {
        self.authorities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Timestamping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timestamping").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What is to be stamped for these records, of which there is at least one.
fn plan(log: &Log, records: &[Untimestamped]) -> Result<Plan, LogError> {
    let [alone] = records else { return Plan::batch(records) };
    let single = log.record(alone.id).and_then(|record| match record {
        Some(record) => Plan::single(&record),
        None => Err(LogError::UnknownRecord(alone.id)),
    });
    single.or_else(|error| {
        // A signature that cannot be read must not keep all behind it waiting: its digest is known,
        // and a chain over the record and itself serves as well.
        tracing::warn!(record = %alone.id, %error, "a record is timestamped by its digest alone");
        Plan::batch(&[alone.clone(), alone.clone()])
    })
}

/// Runs what blocks on files, or computes for long, where it keeps nobody waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, StampError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(StampError::Interrupted(error.to_string())),
    }
}
