//! A security server as a process.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running security server; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    config: PathBuf,
    /// When it was started.
    pub(crate) started: Instant,
}

impl Process {
    /// Starts a server with a configuration file. What it says goes behind what is in the file
    /// `stderr` beside that.
    pub(crate) fn start(config: &Path) -> Self {
        let program = match std::env::var_os("CAUSEWAY_SECURITY_SERVER") {
            Some(program) => PathBuf::from(program),
            None => PathBuf::from(env!("CARGO_BIN_EXE_security-server-under-test")),
        };
        let stderr = OpenOptions::new().create(true).append(true).open(said_file(config)).unwrap();
        let started = Instant::now();
        let child = Command::new(&program)
            .args(["run", "--config"])
            .arg(config)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Self { child, config: config.to_owned(), started }
    }

    /// Kills it as the system does, with no chance to finish anything, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.must_run();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, as an operator does, and gives how it ended.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        self.must_run();
        let command = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
        self.ended(Duration::from_secs(30)).await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self, most: Duration) -> ExitStatus {
        let deadline = Instant::now() + most;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server has not ended:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Fails when it has ended by itself.
    pub(crate) fn must_run(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the server ended by itself, {status}:\n{}", self.said());
        }
    }

    /// The end of what servers with this configuration have said.
    pub(crate) fn said(&self) -> String {
        said(&self.config)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of what servers with a configuration have said.
pub(crate) fn said(config: &Path) -> String {
    let said = std::fs::read(said_file(config)).unwrap_or_default();
    String::from_utf8_lossy(&said[said.len().saturating_sub(4000)..]).into_owned()
}

/// Forgets what was said so far.
pub(crate) fn forget_said(config: &Path) {
    File::create(said_file(config)).unwrap();
}

fn said_file(config: &Path) -> PathBuf {
    config.with_file_name("stderr")
}
