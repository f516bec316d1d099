//! The security servers, each started from its configuration file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use security_server::server::{self, Running, Server};
use security_server::settings::Settings;

use crate::SandboxError;
use crate::addresses::ServerAddresses;
use crate::consumer::Consumer;
use crate::world::ServerPlan;

/// How long a server may take to become ready.
const READY: Duration = Duration::from_secs(30);

/// A security server of the ecosystem, running or not.
#[derive(Debug)]
pub struct SecurityServer {
    plan: ServerPlan,
    addresses: ServerAddresses,
    file: PathBuf,
    consumer: Consumer,
    running: Option<Running>,
}

impl SecurityServer {
    pub(crate) fn new(plan: ServerPlan, addresses: ServerAddresses, file: PathBuf) -> Self {
        let consumer = Consumer::new(format!("http://{}", addresses.http));
        Self { plan, addresses, file, consumer, running: None }
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// What it says against its configuration, or what it lacks after half a minute.
    pub async fn start(&mut self) -> Result<(), SandboxError> {
        if self.running.is_some() {
            return Ok(());
        }
        let settings = Settings::load(&self.file).map_err(SandboxError::part(self.name()))?;
        let running =
            server::start(settings, None).await.map_err(SandboxError::part(self.name()))?;
        let ready = running.wait_until_ready(READY).await;
        self.running = Some(running);
        ready.map_err(SandboxError::part(self.name()))
    }

    /// Stops it, when what is in flight is done.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Reads its configuration file again, without dropping connections.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn reload(&self) -> Result<(), SandboxError> {
        let settings = Settings::load(&self.file).map_err(SandboxError::part(self.name()))?;
        match &self.running {
            Some(running) => running.reload(settings).map_err(SandboxError::part(self.name())),
            None => Ok(()),
        }
    }

    /// Rewrites its configuration file; takes effect at the next start or [`Self::reload`].
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn edit(&self, change: impl FnOnce(&mut toml::Table)) -> Result<(), SandboxError> {
        let text = std::fs::read_to_string(&self.file).map_err(SandboxError::io(&self.file))?;
        let mut table: toml::Table = text.parse().map_err(SandboxError::part(self.name()))?;
        change(&mut table);
        let text = toml::to_string_pretty(&table).map_err(SandboxError::part(self.name()))?;
        std::fs::write(&self.file, text).map_err(SandboxError::io(&self.file))
    }

    /// Its name, such as `ss1`.
    pub fn name(&self) -> String {
        self.plan.name()
    }

    /// Who it is and whom it serves.
    pub fn plan(&self) -> &ServerPlan {
        &self.plan
    }

    /// Where it listens.
    pub fn addresses(&self) -> &ServerAddresses {
        &self.addresses
    }

    /// Its configuration file.
    pub fn configuration(&self) -> &Path {
        &self.file
    }

    /// An information system's view of it.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// The server itself, while it runs in this process.
    pub fn server(&self) -> Option<&Arc<Server>> {
        self.running.as_ref().map(Running::server)
    }

    /// Timestamps what waits in its log, at once.
    ///
    /// # Errors
    /// When it does not run here, or no timestamping authority answers.
    pub async fn stamp_now(&self) -> Result<(), SandboxError> {
        let Some(server) = self.server() else {
            return Err(SandboxError::part(self.name())("does not run in this process"));
        };
        server.stamp_now().await.map_err(SandboxError::part(self.name()))
    }
}
