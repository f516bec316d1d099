//! The server in numbers, for a monitoring system that reads OpenMetrics text.
//!
//! What happens on a message's way is counted in atomics that are found without
//! a look-up or behind one short read lock. What is a state rather than an event
//! is set when it changes, or by an observer that runs when the text is asked
//! for. Nothing that a client program or a peer sends becomes a label: codes are
//! those of [`causeway_message::codes`], or `other`.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use causeway_message::codes;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use time::OffsetDateTime;

/// The media type of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the durations of exchanges, in seconds.
const EXCHANGE_BOUNDS: [f64; 13] =
    [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.0, 15.0, 60.0];
/// Upper bounds of the durations of appends to the message log, in seconds.
const APPEND_BOUNDS: [f64; 11] =
    [0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1.0];
/// Upper bounds of the numbers of messages under one signature.
const BATCH_BOUNDS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// The most parts of a fault's code that are looked at, from its end.
const MAX_CODE_PARTS: usize = 4;

type Gauge64 = Gauge<f64, AtomicU64>;
type Observer = Box<dyn Fn(&Metrics) + Send + Sync>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabel {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SideLabel {
    side: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    side: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OcspLabels {
    certificate: String,
    state: OcspState,
}

/// How an own certificate stands with its authority's responder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OcspState {
    /// There is a response that counts now, and it says `good`.
    Good,
    /// There is none that counts now.
    Missing,
    /// The last one says that the certificate is revoked or unknown.
    Bad,
}

impl OcspState {
    const ALL: [Self; 3] = [Self::Good, Self::Missing, Self::Bad];
}

impl EncodeLabelValue for OcspState {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder,
    ) -> Result<(), fmt::Error> {
        let text = match self {
            Self::Good => "good",
            Self::Missing => "missing",
            Self::Bad => "bad",
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

/// The counters of one side, found without a look-up.
struct Side {
    exchanges: Counter,
    took: Histogram,
    received: Counter,
    sent: Counter,
}

/// The server's metrics. All methods may be called from any thread.
pub struct Metrics {
    registry: Registry,
    observers: Mutex<Vec<Observer>>,
    consumer: Side,
    provider: Side,
    faults: Family<FaultLabels, Counter>,
    batches: Histogram,
    appends: Histogram,
    open_connections: Gauge,
    cbc: Family<DirectionLabel, Counter>,
    idle_peers: Gauge,
    untimestamped: Gauge,
    oldest_untimestamped: Gauge64,
    global_conf_valid: Gauge,
    ocsp: Family<OcspLabels, Gauge>,
    tsa_failing_since: Gauge64,
}

impl Metrics {
    /// Metrics that have counted nothing.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("causeway");
        let exchanges = Family::<SideLabel, Counter>::default();
        let took = Family::<SideLabel, Histogram, fn() -> Histogram>::new_with_constructor(|| {
            Histogram::new(EXCHANGE_BOUNDS)
        });
        let received = Family::<SideLabel, Counter>::default();
        let sent = Family::<SideLabel, Counter>::default();
        let of = |side: &'static str| {
            let label = SideLabel { side };
            Side {
                exchanges: exchanges.get_or_create_owned(&label),
                took: took.get_or_create_owned(&label),
                received: received.get_or_create_owned(&label),
                sent: sent.get_or_create_owned(&label),
            }
        };
        let (consumer, provider) = (of("consumer"), of("provider"));
        let metrics = Self {
            observers: Mutex::default(),
            consumer,
            provider,
            faults: Family::default(),
            batches: Histogram::new(BATCH_BOUNDS),
            appends: Histogram::new(APPEND_BOUNDS),
            open_connections: Gauge::default(),
            cbc: Family::default(),
            idle_peers: Gauge::default(),
            untimestamped: Gauge::default(),
            oldest_untimestamped: Gauge64::default(),
            global_conf_valid: Gauge::default(),
            ocsp: Family::default(),
            tsa_failing_since: Gauge64::default(),
            registry: Registry::default(),
        };
        registry.register("exchanges", "Exchanges that succeeded", exchanges);
        registry.register_with_unit("exchange", "How long they took", Unit::Seconds, took);
        registry.register_with_unit("received", "Message bodies received", Unit::Bytes, received);
        registry.register_with_unit("sent", "Message bodies sent", Unit::Bytes, sent);
        registry.register("faults", "Exchanges that failed, by code", metrics.faults.clone());
        registry.register(
            "signature_batch",
            "Messages under one signature",
            metrics.batches.clone(),
        );
        registry.register_with_unit(
            "log_append",
            "Until a record was durable in the message log",
            Unit::Seconds,
            metrics.appends.clone(),
        );
        metrics.register_states(&mut registry);
        Self { registry, ..metrics }
    }

    fn register_states(&self, registry: &mut Registry) {
        registry.register(
            "open_connections",
            "Connections of client programs and peers that are open",
            self.open_connections.clone(),
        );
        registry.register(
            "cbc_connections",
            "Connections with other security servers that used a CBC suite",
            self.cbc.clone(),
        );
        registry.register(
            "idle_peer_connections",
            "Connections to other security servers that wait for use",
            self.idle_peers.clone(),
        );
        registry.register(
            "untimestamped_records",
            "Records of the message log that wait for a timestamp",
            self.untimestamped.clone(),
        );
        registry.register_with_unit(
            "oldest_untimestamped_age",
            "Since when the oldest of them waits, 0 when there are none",
            Unit::Seconds,
            self.oldest_untimestamped.clone(),
        );
        registry.register(
            "global_configuration_valid",
            "1 while the own instance's global configuration counts",
            self.global_conf_valid.clone(),
        );
        registry.register(
            "ocsp_state",
            "How own certificates stand: 1 at the state that applies",
            self.ocsp.clone(),
        );
        registry.register_with_unit(
            "timestamping_failing_since_timestamp",
            "Since when timestamping fails (Unix time), 0 when it does not",
            Unit::Seconds,
            self.tsa_failing_since.clone(),
        );
    }

    /// Counts an exchange that succeeded, on the `consumer` or the `provider` side.
    pub fn exchange(&self, side: &'static str, took: Duration) {
        let side = self.side(side);
        side.exchanges.inc();
        side.took.observe(took.as_secs_f64());
    }

    /// Counts an exchange that failed. The code may have prefixes, and be whatever a peer made of it.
    pub fn fault(&self, side: &'static str, code: &str) {
        let labels = FaultLabels { side, code: known_code(code) };
        self.faults.get_or_create(&labels).inc();
    }

    /// Counts the bytes of bodies that came in and went out with an exchange.
    pub fn transferred(&self, side: &'static str, received: u64, sent: u64) {
        let side = self.side(side);
        side.received.inc_by(received);
        side.sent.inc_by(sent);
    }

    /// Counts a signature over this many messages.
    pub fn batch(&self, messages: usize) {
        self.batches.observe(u32::try_from(messages).map_or(f64::MAX, f64::from));
    }

    /// Counts an append to the message log.
    pub fn log_append(&self, took: Duration) {
        self.appends.observe(took.as_secs_f64());
    }

    /// Counts a connection with another security server that uses a CBC suite, `incoming` or `outgoing`.
    pub fn cbc_connection(&self, direction: &'static str) {
        self.cbc.get_or_create(&DirectionLabel { direction }).inc();
    }

    /// Counts a connection as open until the result is dropped.
    pub fn connection(&self) -> OpenConnection {
        self.open_connections.inc();
        OpenConnection(self.open_connections.clone())
    }

    /// How many connections to other servers wait for use.
    pub fn set_idle_peer_connections(&self, count: usize) {
        self.idle_peers.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many records wait for a timestamp, and since when the oldest does.
    pub fn set_untimestamped(
        &self,
        count: u64,
        oldest: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) {
        self.untimestamped.set(i64::try_from(count).unwrap_or(i64::MAX));
        let age = oldest.map_or(0.0, |oldest| (now - oldest).as_seconds_f64().max(0.0));
        self.oldest_untimestamped.set(age);
    }

    /// Whether the own instance's global configuration counts.
    pub fn set_global_conf_valid(&self, valid: bool) {
        self.global_conf_valid.set(valid.into());
    }

    /// How the own certificates stand, each by a name of the operator's (such as the key's id).
    /// Replaces what was set before.
    pub fn set_ocsp<'a>(&self, states: impl IntoIterator<Item = (&'a str, OcspState)>) {
        self.ocsp.clear();
        for (certificate, applies) in states {
            for state in OcspState::ALL {
                let labels = OcspLabels { certificate: certificate.to_owned(), state };
                self.ocsp.get_or_create(&labels).set((state == applies).into());
            }
        }
    }

    /// Since when timestamping fails; `None` when it does not.
    pub fn set_timestamping_failing_since(&self, since: Option<OffsetDateTime>) {
        let seconds = since.map_or(0, OffsetDateTime::unix_timestamp);
        self.tsa_failing_since.set(seconds as f64);
    }

    /// Runs `observer` before each [`Metrics::render`]. It sets what it knows. It may not
    /// block for long, and may neither call this nor `render`.
    pub fn observe(&self, observer: impl Fn(&Self) + Send + Sync + 'static) {
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        observers.push(Box::new(observer));
    }

    /// All metrics as OpenMetrics text, [`CONTENT_TYPE`].
    pub fn render(&self) -> String {
        for observer in self.observers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            observer(self);
        }
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            // Writing to a String cannot fail; should an encoder, a cut text is refused by its reader.
            tracing::error!("the metrics could not be written");
        }
        out
    }

    fn side(&self, side: &str) -> &Side {
        if side == "provider" { &self.provider } else { &self.consumer }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A connection that is open; see [`Metrics::connection`].
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The known code with which a fault's code ends, `other` when there is none.
fn known_code(code: &str) -> &'static str {
    let starts = code.rmatch_indices('.').map(|(at, _)| at + 1).take(MAX_CODE_PARTS - 1);
    // `server.clientproxy` and the like are no codes, so the longest ending that is one is wanted.
    let whole = (code.matches('.').take(MAX_CODE_PARTS).count() < MAX_CODE_PARTS).then_some(0);
    starts
        .chain(whole)
        .filter_map(|start| code.get(start..))
        .filter_map(|ending| codes::ALL.iter().find(|known| **known == ending))
        .last()
        .copied()
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use super::*;

    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "no {line:?} in\n{text}");
    }

    #[test]
    fn what_happened_is_in_the_text() {
        let metrics = Metrics::new();
        metrics.exchange("consumer", Duration::from_millis(7));
        metrics.exchange("provider", Duration::from_secs(100));
        metrics.fault("consumer", "server.serverproxy.unknown_service");
        metrics.transferred("provider", 5, 6);
        metrics.batch(3);
        metrics.log_append(Duration::from_micros(900));
        let text = metrics.render();
        has(&text, r#"causeway_exchanges_total{side="consumer"} 1"#);
        has(&text, r#"causeway_exchange_seconds_bucket{le="0.005",side="consumer"} 0"#);
        has(&text, r#"causeway_exchange_seconds_bucket{le="0.01",side="consumer"} 1"#);
        has(&text, r#"causeway_exchange_seconds_bucket{le="60.0",side="provider"} 0"#);
        has(&text, r#"causeway_exchange_seconds_count{side="provider"} 1"#);
        has(&text, r#"causeway_faults_total{side="consumer",code="unknown_service"} 1"#);
        has(&text, r#"causeway_sent_bytes_total{side="provider"} 6"#);
        has(&text, r#"causeway_signature_batch_bucket{le="4.0"} 1"#);
        has(&text, r#"causeway_log_append_seconds_bucket{le="0.001"} 1"#);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn states_are_set_and_observed() {
        let metrics = Metrics::new();
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        metrics.set_untimestamped(12, Some(now - Duration::from_secs(90)), now);
        metrics.set_global_conf_valid(true);
        metrics.set_ocsp([("gone", OcspState::Bad)]);
        metrics.set_ocsp([("sign", OcspState::Missing)]);
        metrics.set_timestamping_failing_since(Some(now));
        let calls = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&calls);
        metrics.observe(move |metrics| {
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            metrics.set_idle_peer_connections(4);
        });
        let connection = metrics.connection();
        let text = metrics.render();
        has(&text, "causeway_untimestamped_records 12");
        has(&text, "causeway_oldest_untimestamped_age_seconds 90.0");
        has(&text, "causeway_global_configuration_valid 1");
        has(&text, r#"causeway_ocsp_state{certificate="sign",state="missing"} 1"#);
        has(&text, r#"causeway_ocsp_state{certificate="sign",state="good"} 0"#);
        assert!(!text.contains("gone"));
        has(&text, "causeway_timestamping_failing_since_timestamp_seconds 1700000000.0");
        has(&text, "causeway_idle_peer_connections 4");
        has(&text, "causeway_open_connections 1");
        drop(connection);
        has(&metrics.render(), "causeway_open_connections 0");
        assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 2);
    }

    #[test]
    fn labels_are_bounded() {
        for (code, expected) in [
            ("server.clientproxy.network_error", "network_error"),
            ("network_error", "network_error"),
            ("server.clientproxy.logging_failed.timestamping_failed", "timestamping_failed"),
            (
                "server.clientproxy.mlog.no_timestamping_provider_found",
                "mlog.no_timestamping_provider_found",
            ),
            ("client.something_new", "other"),
            ("", "other"),
            (".", "other"),
            ("a.b.c.d.e.f.io_error", "io_error"),
            ("x\" y\n", "other"),
        ] {
            assert_eq!(known_code(code), expected, "{code}");
        }
        assert_eq!(known_code(&"io_error.".repeat(100_000)), "other");
        let metrics = Metrics::new();
        for n in 0..1000 {
            metrics.fault("provider", &format!("server.unheard_of_{n}"));
        }
        assert_eq!(metrics.render().matches("causeway_faults_total{").count(), 1);
    }
}
