//! The two threads of a log. The committer takes all requests that wait,
//! commits them together, and takes those that came meanwhile: the batch forms
//! while the previous sync runs. While requests come in crowds, it lets about as
//! much time pass before a commit as the one before took: each waits a moment
//! longer, and all together cost fewer syncs. A lone request is written at once.
//! The checkpointer writes
//! tables and index now and then, so that neither is ever in an append's way.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::checkpoint::Checkpointer;
use crate::commit::{Committer, Request};
use crate::error::{AtStep, LogError};
use crate::journal::MAX_WRITE;

/// The most requests of one commit.
const MAX_BATCH: usize = 4096;
/// A commit of so many requests shows that they come in crowds.
const CROWD: usize = 2;
/// The longest that is waited for a crowd.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);
/// How long changes may wait for a checkpoint.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
/// How long to wait after a checkpoint that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How many frames may wait for a checkpoint.
const CHECKPOINT_FRAMES: u64 = 20_000;

/// What the committer is asked.
pub(crate) enum Command {
    Commit(Request),
    /// Finish what is waiting and end.
    Close,
}

/// The running threads; ended by [`Command::Close`] or when all senders are gone.
pub(crate) struct Threads {
    committer: JoinHandle<()>,
    checkpointer: JoinHandle<()>,
}

impl Threads {
    /// Starts both.
    pub(crate) fn start(
        committer: Committer,
        checkpointer: Checkpointer,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Self, LogError> {
        let step = "starting a thread";
        let bell = Arc::new(Bell::default());
        let ring = Ring(Arc::clone(&bell));
        let checkpointer = thread::Builder::new()
            .name("log-checkpoint".into())
            .spawn(move || checkpoint(&checkpointer, &bell))
            .at(step)?;
        let committer = thread::Builder::new()
            .name("log-commit".into())
            .spawn(move || commit(committer, commands, &ring))
            .at(step)?;
        Ok(Self { committer, checkpointer })
    }

    /// Waits until both have ended.
    pub(crate) fn join(self) {
        let _ = self.committer.join();
        let _ = self.checkpointer.join();
    }
}

fn commit(mut committer: Committer, mut commands: mpsc::Receiver<Command>, ring: &Ring) {
    let mut closing = false;
    let mut requests = Vec::new();
    let mut pause = Duration::ZERO;
    while !closing {
        let Some(command) = commands.blocking_recv() else { break };
        thread::sleep(pause);
        let mut bytes = 0;
        let mut waiting = Some(command);
        while let Some(command) = waiting.take() {
            match command {
                Command::Commit(request) => {
                    bytes += request.payload.most_bytes();
                    requests.push(request);
                }
                Command::Close => {
                    closing = true;
                    commands.close();
                }
            }
            if bytes < MAX_WRITE as u64 && requests.len() < MAX_BATCH {
                waiting = commands.try_recv().ok();
            }
        }
        let (size, begun) = (requests.len(), Instant::now());
        // After a close, what was sent before it still counts.
        committer.commit(&mut requests);
        pause = pause_after(size, begun.elapsed());
        ring.0.ring(committer.behind() >= CHECKPOINT_FRAMES);
    }
    while let Ok(command) = commands.try_recv() {
        if let Command::Commit(request) = command {
            requests.push(request);
        }
    }
    if !requests.is_empty() {
        committer.commit(&mut requests);
    }
    if committer.is_broken() {
        tracing::warn!("the message log is closed after a failed write");
    }
}

/// How long to let others come before the next commit, after one of this size that took so long.
fn pause_after(size: usize, took: Duration) -> Duration {
    if size < CROWD { Duration::ZERO } else { took.min(LONGEST_PAUSE) }
}

fn checkpoint(checkpointer: &Checkpointer, bell: &Bell) {
    let mut failed = false;
    while bell.wait(failed) {
        let result = checkpointer.run();
        failed = result.is_err();
        if let Err(error) = result {
            tracing::warn!(%error, "the message log's index could not be written");
            bell.ring(false);
        }
    }
    if let Err(error) = checkpointer.run() {
        tracing::warn!(%error, "the message log's index could not be written at the end");
    }
}

/// Wakes the checkpointer.
#[derive(Default)]
struct Bell {
    state: Mutex<BellState>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy)]
struct BellState {
    rung: bool,
    urgent: bool,
    closed: bool,
}

impl Bell {
    fn ring(&self, urgent: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.rung || (urgent && !state.urgent) {
            state.rung = true;
            state.urgent |= urgent;
            self.changed.notify_one();
        }
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_one();
    }

    /// Waits for a ring, and then for more until some time is over or it is
    /// urgent. After a failure nothing is urgent. Whether to go on.
    fn wait(&self, failed: bool) -> bool {
        let interval = if failed { RETRY_INTERVAL } else { CHECKPOINT_INTERVAL };
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self
            .changed
            .wait_while(state, |state| !state.rung && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, interval, |state| {
            !state.closed && (failed || !state.urgent)
        });
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let closed = state.closed;
        *state = BellState { closed, ..BellState::default() };
        !closed
    }
}

/// Tells the checkpointer to end when the committer has ended, however it did.
struct Ring(Arc<Bell>);

impl Drop for Ring {
    fn drop(&mut self) {
        self.0.close();
    }
}
