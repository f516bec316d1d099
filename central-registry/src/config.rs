//! The registry's configuration file: TOML, read key by key so that every mistake is told at once,
//! each with its line and key. Every key with its default is in `docs/central-registry-configuration.md`; an
//! annotated example is `docs/examples/central-registry.toml`.

mod read;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_admin::http::EdgeSettings;
use causeway_globalconf::Version;
use causeway_keys::{KeyKind, PinSource};

use crate::requests::Approval;

/// How a central registry runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The instance identifier (`instance`).
    pub instance: String,
    /// The folder with the store, the token and the published files (`storage`).
    pub storage: PathBuf,
    /// Where the configuration is served (`listen`).
    pub listen: SocketAddr,
    /// Host names, with ports if need be, under which security servers reach the registry
    /// (`public_addresses`); at least one.
    pub public_addresses: Vec<String>,
    /// The oldest version that is published (`minimum_version`, default 2).
    pub minimum_version: Version,
    /// Where the token's PIN comes from (`[signing] pin_file` or `pin_environment`, else the terminal).
    pub pin: PinSource,
    /// The kind of keys that are made for signing (`[signing] key`, default `rsa3072`).
    pub key_kind: KeyKind,
    /// How long a published configuration counts (`[publication] validity_seconds`, default 600).
    pub validity: Duration,
    /// How often it is renewed without a change (`[publication] renewal_seconds`, default 60).
    pub renewal: Duration,
    /// Which requests of security servers need no approval (`[requests] approve_…`, default none).
    pub approval: Approval,
    /// Where management requests are taken; nowhere without a TLS certificate (`[requests]`).
    pub doorway: Option<Doorway>,
    /// The admin interface (`[admin]`); `None` when it is not switched on.
    pub admin: Option<AdminConfig>,
}

/// Where management requests are taken, over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doorway {
    /// Registrations of authentication certificates, of everybody (`registration_listen`, default port
    /// 4001 of all addresses).
    pub registration: SocketAddr,
    /// All other requests, of the security server that serves the management services
    /// (`management_listen`, default port 4002 of the loopback address).
    pub management: SocketAddr,
    /// Whose connections the latter takes (`management_from`, default the loopback addresses).
    pub management_from: Vec<IpAddr>,
    /// The TLS certificate, PEM (`tls_certificate`).
    pub certificate: PathBuf,
    /// Its key, PEM (`tls_key`).
    pub key: PathBuf,
}

impl Doorway {
    /// A doorway at the default addresses.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            registration: SocketAddr::from(([0, 0, 0, 0], 4001)),
            management: SocketAddr::from(([127, 0, 0, 1], 4002)),
            management_from: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            certificate: certificate.into(),
            key: key.into(),
        }
    }
}

/// How the admin interface runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it is served over HTTPS (`listen`).
    pub listen: SocketAddr,
    /// How it judges requests (`allowed_hosts`, `key_management_from`, `api_from`).
    pub edge: EdgeSettings,
}

impl Config {
    /// A configuration with the defaults, for an instance in a folder.
    pub fn new(instance: &str, storage: impl Into<PathBuf>, public_address: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            storage: storage.into(),
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            public_addresses: vec![public_address.to_owned()],
            minimum_version: Version::V2,
            pin: PinSource::Prompt("PIN of the registry's token: ".into()),
            key_kind: KeyKind::Rsa3072,
            validity: Duration::from_secs(600),
            renewal: Duration::from_secs(60),
            approval: Approval::default(),
            doorway: None,
            admin: None,
        }
    }

    /// Reads a configuration file. Relative paths in it are relative to its own folder, whatever the
    /// working folder of the process.
    ///
    /// # Errors
    /// All mistakes in it, in the order of their lines.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let what = format!("cannot be read: {e}");
            ConfigErrors {
                file: path.to_owned(),
                mistakes: vec![Mistake { line: 0, key: String::new(), what }],
            }
        })?;
        let mut config = Self::parse(&text)
            .map_err(|mistakes| ConfigErrors { file: path.to_owned(), mistakes })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.storage = folder.join(&config.storage);
        if let PinSource::File(file) = &mut config.pin {
            *file = folder.join(&*file);
        }
        if let Some(doorway) = &mut config.doorway {
            doorway.certificate = folder.join(&doorway.certificate);
            doorway.key = folder.join(&doorway.key);
        }
        Ok(config)
    }

    /// Reads the text of a configuration file. Its paths are as they stand there.
    ///
    /// # Errors
    /// All mistakes in it, in the order of their lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        read::read(text)
    }

    /// The folder of the store.
    pub(crate) fn store_folder(&self) -> PathBuf {
        self.storage.join("store")
    }

    /// The folder of the token.
    pub(crate) fn token_folder(&self) -> PathBuf {
        self.storage.join("token")
    }

    /// The folder of the published files.
    pub(crate) fn public_folder(&self) -> PathBuf {
        self.storage.join("public")
    }

    /// The folder of the admin interface.
    pub(crate) fn admin_folder(&self) -> PathBuf {
        self.storage.join("admin")
    }

    /// The folder of the store of users and API keys.
    pub(crate) fn identity_folder(&self) -> PathBuf {
        self.admin_folder().join("store")
    }

    /// The folder of the audit log.
    pub(crate) fn audit_folder(&self) -> PathBuf {
        self.admin_folder().join("audit")
    }

    /// The socket at which a running registry takes changes.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.storage.join("admin.sock")
    }
}

/// A mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1; 0 when it is the file as a whole.
    pub line: usize,
    /// The key with its table, e.g. `signing.key`; empty when it is none in particular.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

/// The mistakes of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file.
    pub file: PathBuf,
    /// Its mistakes.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Mistake { line, key, what }) in self.mistakes.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.file.display())?;
            if *line > 0 {
                write!(f, ":{line}")?;
            }
            if !key.is_empty() {
                write!(f, ": {key}")?;
            }
            write!(f, ": {what}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
