use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use causeway_keys::KeyKind;

use crate::addresses::Ports;
use crate::world::Topology;

/// Changes a security server's configuration before it is written; gets the server's name, such
/// as `ss1`, and the file's content.
pub type Adjust = Arc<dyn Fn(&str, &mut toml::Table) + Send + Sync>;

/// Is told how a start goes on.
pub type Progress = Arc<dyn Fn(&Step, StepState) + Send + Sync>;

/// How an ecosystem is to be.
#[derive(Clone)]
pub struct Options {
    /// Where everything is kept; without it a fresh temporary folder, removed at the end.
    pub data: Option<PathBuf>,
    /// The ports.
    pub ports: Ports,
    /// The kind of the members' keys, for signing and authentication.
    pub key: KeyKind,
    /// How many security servers.
    pub topology: Topology,
    /// How often the message log is timestamped.
    pub timestamping_interval: Duration,
    /// How long a published global configuration is valid.
    pub configuration_validity: Duration,
    /// How often security servers look for a newer global configuration.
    pub configuration_refresh: Duration,
    /// Names of security servers that are set up but not started: for tests that run them as
    /// processes of their own.
    pub not_started: BTreeSet<String>,
    /// Changes the security servers' configurations. Not called for an ecosystem that is there.
    pub adjust: Option<Adjust>,
    /// Is told how the start goes on.
    pub progress: Option<Progress>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data: None,
            ports: Ports::default(),
            key: KeyKind::Rsa2048,
            topology: Topology::default(),
            timestamping_interval: Duration::from_secs(2),
            configuration_validity: Duration::from_secs(600),
            configuration_refresh: Duration::from_secs(5),
            not_started: BTreeSet::new(),
            adjust: None,
            progress: None,
        }
    }
}

impl Options {
    /// For tests: a temporary folder, free ports, and P-256 keys, which are made at once.
    pub fn for_tests() -> Self {
        Self { ports: Ports::Free, key: KeyKind::EcP256, ..Self::default() }
    }

    /// Changes the security servers' configurations.
    #[must_use]
    pub fn adjust(
        mut self,
        adjust: impl Fn(&str, &mut toml::Table) + Send + Sync + 'static,
    ) -> Self {
        self.adjust = Some(Arc::new(adjust));
        self
    }

    pub(crate) fn tell(&self, step: &Step, state: StepState) {
        if let Some(progress) = &self.progress {
            progress(step, state);
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("data", &self.data)
            .field("ports", &self.ports)
            .field("key", &self.key)
            .field("topology", &self.topology)
            .finish_non_exhaustive()
    }
}

/// A step of the start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The folder is chosen: which, and whether it is removed at the end.
    Folder(PathBuf, bool),
    /// The certification authority, OCSP responder and timestamping authority answer.
    Authorities,
    /// The members' information systems answer.
    Systems,
    /// So many keys of a kind are made.
    Keys(usize, KeyKind),
    /// The keys have certificates.
    Certificates,
    /// Members and servers are in the registry, and the global configuration is served.
    Registry,
    /// Everything is read back from the folder.
    Reopened,
    /// A security server is ready: its identifier.
    Server(String),
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// It has begun.
    Begun,
    /// So many of its parts are done, and it goes on.
    Reached(usize),
    /// It is done, after this time.
    Done(Duration),
}
