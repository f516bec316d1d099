//! The security server's configuration: one TOML file, with clients in it or in files of a folder
//! beside it, read into values that need no further checks.
//!
//! [`Settings::load`] finds everything that is wrong at once, each with file, line and key. Every
//! key, its default and its unit are in `docs/security-server-configuration.md`; an annotated
//! example is `docs/examples/security-server.toml`. Paths are relative to the configuration file's
//! folder. Nothing here talks to the network; certificates and the anchor are read from disk, so
//! that a missing one is known before the server starts.

mod clients;
mod document;
mod doubts;
mod problem;
mod quantity;
mod read;
mod read_clients;
mod read_descriptions;
pub mod tls;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use causeway_identifiers::SecurityServerId;
pub use causeway_keys::PinSource;
pub use causeway_message::CodeStyle;

pub use clients::{
    Client, ClientTable, ConnectionType, DescriptionSource, Right, Service, ServiceKind, Subject,
    service_key,
};
pub use problem::{SettingsError, SettingsErrors};

use crate::descriptions::Kept;

/// The whole configuration of a security server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who this server is.
    pub server: SecurityServerId,
    /// Where the server keeps its state.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listen: Listen,
    /// How it talks to other security servers.
    pub peers: PeerSettings,
    /// Where trust comes from.
    pub global_conf: GlobalConfSettings,
    /// Where the keys are.
    pub token: TokenSettings,
    /// How the message log is timestamped.
    pub timestamping: TimestampingSettings,
    /// How OCSP responses are fetched.
    pub ocsp: OcspSettings,
    /// The message log.
    pub log: LogSettings,
    /// Operational and environmental monitoring.
    pub monitoring: MonitoringSettings,
    /// What a message may use at most.
    pub limits: LimitSettings,
    /// Which generation of error codes client programs get.
    pub errors: CodeStyle,
    /// TLS towards information systems.
    pub tls: TlsSettings,
    /// Whom this server speaks for.
    pub clients: Arc<ClientTable>,
    /// How long messages under way may take to end when the server stops.
    pub shutdown_grace: Duration,
    /// The server's own log (not the message log).
    pub logging: LoggingSettings,
}

/// Where the server listens. `None`: it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Information systems, plain HTTP. Default `127.0.0.1:8080`.
    pub client_http: Option<SocketAddr>,
    /// Information systems, HTTPS. Default `0.0.0.0:8443`.
    pub client_https: Option<SocketAddr>,
    /// Other security servers' messages. Default `0.0.0.0:5500`.
    pub peers: Option<SocketAddr>,
    /// Other security servers that fetch OCSP responses. Default `0.0.0.0:5577`.
    pub ocsp: Option<SocketAddr>,
    /// Health and metrics. Default `127.0.0.1:5588`.
    pub health: Option<SocketAddr>,
}

/// How the server talks to other security servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSettings {
    /// The port of other servers for messages. Default 5500.
    pub port: u16,
    /// The port of other servers for OCSP responses. Default 5577.
    pub ocsp_port: u16,
    /// Default 30 s.
    pub connect_timeout: Duration,
    /// How long a peer may be silent while its answer is awaited. Default 10 min.
    pub response_timeout: Duration,
    /// How long an unused connection stays open. Default 60 s.
    pub idle_timeout: Duration,
    /// The oldest version of consumers' servers that is served, such as `7.4.0`.
    pub min_supported_version: Option<String>,
    /// How long the fastest of a provider's servers stays the first choice. Default 1 h.
    pub fastest_cache: Duration,
    /// The instances whose servers may use TLS 1.2 with CBC suites. Default: none.
    pub cbc_suites_for: Vec<String>,
}

/// Where trust comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalConfSettings {
    /// The file of the configuration anchor.
    pub anchor: PathBuf,
    /// How often the global configuration is downloaded. Default 60 s.
    pub refresh: Duration,
    /// Default 10 s.
    pub connect_timeout: Duration,
    /// Default 30 s.
    pub read_timeout: Duration,
    /// Which other instances are trusted. Default none.
    pub allowed_federations: AllowedFederations,
}

/// Which other instances, of those that the own registry trusts, this server trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedFederations {
    /// None.
    None,
    /// All that the registry trusts.
    All,
    /// These instance identifiers.
    Only(Vec<String>),
}

impl AllowedFederations {
    /// Whether an instance is trusted. Instance identifiers are compared without regard to case,
    /// as X-Road does.
    pub fn allows(&self, instance: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(instances) => instances.iter().any(|i| i.eq_ignore_ascii_case(instance)),
        }
    }
}

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// The software token's folder. Default `token` below the data folder.
    pub dir: PathBuf,
    /// Where the PIN comes from. Default: asked at start.
    pub pin: PinSource,
    /// Further tokens, behind PKCS#11 libraries: for signing keys.
    pub modules: Vec<ModuleSettings>,
}

/// A token behind a PKCS#11 library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSettings {
    /// What the operator calls it: a word of letters, digits, `-` and `_`.
    pub name: String,
    /// The library's file.
    pub library: PathBuf,
    /// Which of the library's tokens it is.
    pub choice: causeway_keys::TokenChoice,
    /// Where the PIN comes from. Default: asked at start.
    pub pin: PinSource,
    /// Where certificates and names of its keys are kept. Default `tokens/NAME` below the data folder.
    pub dir: PathBuf,
}

impl ModuleSettings {
    /// Opens the token, locked.
    ///
    /// # Errors
    /// When the library cannot be loaded, or the folder's file cannot be read.
    pub fn open(&self) -> Result<causeway_keys::Pkcs11Token, causeway_keys::KeysError> {
        causeway_keys::Pkcs11Token::open(&self.library, self.choice.clone(), &self.dir)
    }
}

/// How the message log is timestamped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampingSettings {
    /// Names or URLs of approved services, in the order of preference. Empty: all that are
    /// approved in the own instance, in the global configuration's order.
    pub services: Vec<String>,
    /// After how long without success messages are refused. Zero: never. Default 4 h.
    pub acceptable_failure: Duration,
    /// Overrides the global configuration's interval.
    pub interval: Option<Duration>,
    /// How soon to try again after a failure. Default 60 s.
    pub retry: Duration,
    /// How many records a timestamp covers at most. Default 1,000: what is told of a batch
    /// takes about 5 KB of memory a record, and a full batch is followed by the next at once.
    pub records_limit: usize,
    /// Default 20 s.
    pub connect_timeout: Duration,
    /// Default 60 s.
    pub read_timeout: Duration,
}

/// How OCSP responses are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspSettings {
    /// Overrides the global configuration's interval.
    pub fetch_interval: Option<Duration>,
    /// How soon to try again after a failure. Default 60 s.
    pub retry: Duration,
    /// Default 20 s.
    pub connect_timeout: Duration,
    /// Default 30 s.
    pub read_timeout: Duration,
}

/// The message log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Default `log` below the data folder.
    pub dir: PathBuf,
    /// The size of a segment file, allocated ahead, in bytes. Default 64 MiB.
    pub segment_bytes: u64,
    /// The largest body that a record keeps, in bytes. Default 10 MiB.
    pub max_loggable_body: u64,
    /// What happens to a message with a larger body. Default: refused.
    pub over_limit: OverLimit,
    /// Whether records keep bodies at all. Default true.
    pub body_logging: bool,
}

/// What happens to a message whose body is too large for its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverLimit {
    /// It is refused.
    Refuse,
    /// It passes; its record keeps the body's digest, so the signature still verifies.
    Omit,
}

/// Operational and environmental monitoring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitoringSettings {
    /// Whether exchanges leave records, and questions about them are answered. Default true.
    pub enabled: bool,
    /// Where the records are. Default `monitoring` below the data folder.
    pub dir: PathBuf,
    /// How long records are kept. Default 7 days.
    pub keep: Duration,
    /// How many bytes of disk the records may take; the oldest give way. Default 10 GiB.
    pub max_disk: u64,
    /// How many records may wait to be written; the oldest give way. Default 20,000.
    pub max_records_in_buffer: usize,
    /// How many records an answer has, give or take those of one second. Default 10,000.
    pub max_records_in_payload: usize,
    /// How old a record must be before it is given out, since some of its second may still be on
    /// their way. Default 60 s.
    pub available_after: Duration,
    /// The period of health statistics. Default 10 min.
    pub health_period: Duration,
    /// Whether only the owner gets more than certificates and operating system of the server's
    /// metrics. Default false.
    pub limit_remote_metrics: bool,
}

/// What messages may use at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// The largest body, in bytes. Default 8 GiB.
    pub max_body: u64,
    /// How many connections are served at once. Default 5000.
    pub max_connections: usize,
    /// How long a client may take to send its headers. Default 30 s.
    pub header_timeout: Duration,
    /// How long the sender of a request may be silent before it is complete, and how long whoever is
    /// connected may take nothing of what is written. Default 60 s.
    pub request_timeout: Duration,
    /// The bodies up to this many bytes are kept in memory, larger ones are spooled to disk.
    /// Default 64 KiB.
    pub inline_body: usize,
}

/// TLS towards information systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate that information systems see, PEM. Default `tls/internal.crt` below the
    /// data folder; made self-signed when both it and the key are absent.
    pub internal_certificate: PathBuf,
    /// Its key, PKCS#8 PEM. Default `tls/internal.key` below the data folder.
    pub internal_key: PathBuf,
    /// Whether an information system's certificate must be valid at the time, beside being one of its
    /// client's. Default false (X-Road `enforce-client-is-cert-validity-period-check`).
    pub check_client_dates: bool,
}

/// The server's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingSettings {
    /// Default text.
    pub format: LogFormat,
    /// A filter as in `RUST_LOG`, such as `info` or `security_server=debug`. Default `info`;
    /// the environment variable `RUST_LOG` wins.
    pub filter: String,
}

/// How lines of the server's own log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl Settings {
    /// Reads a configuration file and the client files that it includes.
    ///
    /// # Errors
    /// Everything that is wrong, in all files.
    pub fn load(path: &Path) -> Result<Self, SettingsErrors> {
        read::load(path, HashMap::new())
    }

    /// As [`Settings::load`], as if newer copies of some descriptions had been taken over already;
    /// their names are those of [`Copies::name`](crate::descriptions::Copies::name).
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_with_descriptions(
        path: &Path,
        newer: HashMap<String, Arc<Kept>>,
    ) -> Result<Self, SettingsErrors> {
        read::load(path, newer)
    }

    /// When an information system's certificate must be valid, if that matters here.
    pub(crate) fn caller_dates(&self, now: time::OffsetDateTime) -> Option<time::OffsetDateTime> {
        self.tls.check_client_dates.then_some(now)
    }

    /// The largest body of a message, in bytes: what may be relayed, and, where the log must keep
    /// bodies, what it may keep.
    pub fn body_limit(&self) -> u64 {
        let must_keep = self.log.body_logging && self.log.over_limit == OverLimit::Refuse;
        let loggable = if must_keep { self.log.max_loggable_body } else { u64::MAX };
        self.limits.max_body.min(loggable)
    }

    /// Where the global configuration that counts is kept.
    pub fn global_conf_folder(&self) -> PathBuf {
        self.data_dir.join("globalconf")
    }

    /// Where this server's OCSP responses are kept.
    pub fn ocsp_folder(&self) -> PathBuf {
        self.data_dir.join("ocsp")
    }

    /// What differs in `newer` and takes effect only when the server starts again: all but the
    /// clients. The names are those of the configuration's sections and top-level keys.
    pub fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        // Whether certificates must be in date is asked for each message.
        let tls =
            |settings: &Self| TlsSettings { check_client_dates: false, ..settings.tls.clone() };
        let differs = [
            ("server", self.server != newer.server),
            ("data_dir", self.data_dir != newer.data_dir),
            ("shutdown_grace", self.shutdown_grace != newer.shutdown_grace),
            ("error_codes", self.errors != newer.errors),
            ("listen", self.listen != newer.listen),
            ("peers", self.peers != newer.peers),
            ("global_conf", self.global_conf != newer.global_conf),
            ("token", self.token != newer.token),
            ("timestamping", self.timestamping != newer.timestamping),
            ("ocsp", self.ocsp != newer.ocsp),
            ("log", self.log != newer.log),
            ("monitoring", self.monitoring != newer.monitoring),
            ("limits", self.limits != newer.limits),
            ("tls", tls(self) != tls(newer)),
            ("logging", self.logging != newer.logging),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests;
