//! An ecosystem with one security server as a process of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sandbox::{Call, Ecosystem, Exchange, Options};
use tokio::sync::{Mutex, MutexGuard};

use crate::process::Process;

/// How long a server may take to serve before a test gives up. Says nothing about how long it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The stories measure time and use all of the machine, so they go one after the other.
static TURN: Mutex<()> = Mutex::const_new(());

/// The ecosystem, and which of its servers is the process.
pub(crate) struct Scene {
    pub(crate) ecosystem: Ecosystem,
    pub(crate) name: &'static str,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    /// An ecosystem in which the server of this name is not started yet.
    pub(crate) async fn set(name: &'static str, options: Options) -> Self {
        let turn = TURN.lock().await;
        let not_started = BTreeSet::from([name.to_owned()]);
        let ecosystem = Ecosystem::start(Options { not_started, ..options }).await.unwrap();
        Self { ecosystem, name, _turn: turn }
    }

    /// The configuration file of the process.
    pub(crate) fn config(&self) -> PathBuf {
        self.ecosystem.server(self.name).unwrap().configuration().to_owned()
    }

    /// Starts the process; it does not serve yet.
    pub(crate) fn start(&self) -> Process {
        Process::start(&self.config())
    }

    /// The folder of a server's message log, as the sandbox configures it.
    pub(crate) fn log_folder(&self, name: &str) -> PathBuf {
        let config = self.ecosystem.server(name).unwrap().configuration();
        config.with_file_name("data").join("log")
    }

    /// A request of the portal to the population register.
    pub(crate) fn question(&self) -> Call {
        let world = self.ecosystem.world();
        let path = format!("/{}", sandbox::records::CHILD);
        Call::get(&world.portal.subsystem, &world.persons, &path)
    }

    /// Asks once; an answer that is an error is one.
    pub(crate) async fn ask(&self) -> Result<Exchange, String> {
        let exchange = self.ecosystem.send(self.question()).await.map_err(|e| e.to_string())?;
        exchange.error().map_or(Ok(exchange), Err)
    }

    /// Asks until there is an answer, and gives it with the time since the process was started.
    pub(crate) async fn until_served(&self, process: &mut Process) -> (Exchange, Duration) {
        self.until_answered(process.started, || process.must_run()).await
    }

    /// Asks until there is an answer, and gives it with the time since `begun`.
    pub(crate) async fn until_answered(
        &self,
        begun: Instant,
        mut check: impl FnMut(),
    ) -> (Exchange, Duration) {
        let deadline = Instant::now() + PATIENCE;
        let mut errors = Vec::new();
        loop {
            match self.ask().await {
                Ok(exchange) => return (exchange, begun.elapsed()),
                Err(error) => {
                    check();
                    errors.push(error);
                    if Instant::now() > deadline {
                        errors.dedup_by_key(|error| error.chars().take(60).collect::<String>());
                        panic!("no answer: {errors:#?}\n{}", crate::process::said(&self.config()));
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Asks until the answer is an error of which the text contains `part`.
    pub(crate) async fn until_refused(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask().await {
                Err(error) if error.contains(part) => return error,
                other => {
                    let other = other.map(|exchange| exchange.status);
                    assert!(Instant::now() < deadline, "not refused with {part}, but {other:?}");
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Timestamps all that waits in both logs.
    pub(crate) async fn stamp(&self, last: &Exchange) {
        self.ecosystem.stamp_now().await.unwrap();
        for server in self.ecosystem.servers() {
            let owner = if server.name() == "ss1" { &last.client } else { last.service.client() };
            let path = sandbox::evidence::asic_path(owner, &last.id, false);
            let answer = server.consumer().get(&format!("{path}&force")).await.unwrap();
            assert!(answer.status().is_success(), "{}: {:?}", server.name(), answer.body());
        }
    }
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}
