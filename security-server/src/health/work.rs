//! Work that runs beside the messages: how it stands, and when it goes on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{Notify, watch};

/// The longest error text that is kept, in characters.
const MAX_ERROR: usize = 2000;

/// How a piece of work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has not been tried yet.
    Waiting,
    /// The last attempt succeeded.
    Good,
    /// The last attempt failed.
    Failing,
}

/// A piece of work for the operator's eyes, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// How it stands.
    pub state: State,
    /// Since when it has stood like that.
    pub since: OffsetDateTime,
    /// When it last succeeded.
    pub last_success: Option<OffsetDateTime>,
    /// What went wrong when it last failed; kept after it has recovered.
    pub last_error: Option<String>,
    /// When it will be tried next.
    pub next: Option<OffsetDateTime>,
}

impl Diagnosis {
    /// Work that begins now.
    pub fn waiting(now: OffsetDateTime) -> Self {
        Self { state: State::Waiting, since: now, last_success: None, last_error: None, next: None }
    }

    /// The same after a success.
    #[must_use]
    pub fn succeeded(self, now: OffsetDateTime, next: OffsetDateTime) -> Self {
        Self { last_success: Some(now), next: Some(next), ..self.turned(State::Good, now) }
    }

    /// The same after a failure.
    #[must_use]
    pub fn failed(self, now: OffsetDateTime, error: &str, next: OffsetDateTime) -> Self {
        let error = error.chars().take(MAX_ERROR).collect();
        Self { last_error: Some(error), next: Some(next), ..self.turned(State::Failing, now) }
    }

    fn turned(self, state: State, now: OffsetDateTime) -> Self {
        let since = if self.state == state { self.since } else { now };
        Self { state, since, ..self }
    }
}

/// The current diagnosis of a loop, written by it and read by everyone.
#[derive(Debug)]
pub struct Ledger(Mutex<Diagnosis>);

impl Ledger {
    /// A ledger for work that begins now.
    pub fn new(now: OffsetDateTime) -> Self {
        Self(Mutex::new(Diagnosis::waiting(now)))
    }

    /// The diagnosis as it is.
    pub fn read(&self) -> Diagnosis {
        self.lock().clone()
    }

    /// Notes a success.
    pub fn succeeded(&self, now: OffsetDateTime, next: OffsetDateTime) {
        let mut diagnosis = self.lock();
        *diagnosis = diagnosis.clone().succeeded(now, next);
    }

    /// Notes a failure.
    pub fn failed(&self, now: OffsetDateTime, error: &str, next: OffsetDateTime) {
        let mut diagnosis = self.lock();
        *diagnosis = diagnosis.clone().failed(now, error, next);
    }

    fn lock(&self) -> MutexGuard<'_, Diagnosis> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a pause ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The time is over.
    Due,
    /// Somebody asked for it to be done now.
    Asked,
    /// The server is stopping.
    Stop,
}

/// Waits until the time is over, somebody asks, or the server stops (`stop` turns true, or its sender
/// is gone).
pub async fn pause(time: Duration, asked: &Notify, stop: &mut watch::Receiver<bool>) -> Wake {
    tokio::select! {
        biased;
        () = stopped(stop) => Wake::Stop,
        () = asked.notified() => Wake::Asked,
        () = tokio::time::sleep(time) => Wake::Due,
    }
}

/// Ends when the server stops.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: nobody is left to wait for.
    drop(stop.wait_for(|stop| *stop).await);
}

/// The moment that lies so far after another; the last one there is when it cannot be told.
pub fn after(moment: OffsetDateTime, time: Duration) -> OffsetDateTime {
    time::Duration::try_from(time)
        .ok()
        .and_then(|time| moment.checked_add(time))
        .unwrap_or_else(|| time::PrimitiveDateTime::MAX.assume_utc())
}

/// The time from one moment to another; zero when the other is not later.
pub fn until(now: OffsetDateTime, moment: OffsetDateTime) -> Duration {
    Duration::try_from(moment - now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    #[test]
    fn since_tells_when_the_state_turned() {
        let waiting = Diagnosis::waiting(at(0));
        let failing = waiting.failed(at(1), "first", at(2)).failed(at(2), "second", at(3));
        assert_eq!((failing.state, failing.since), (State::Failing, at(1)));
        assert_eq!(failing.last_error.as_deref(), Some("second"));
        let good = failing.succeeded(at(3), at(9));
        assert_eq!((good.state, good.since, good.last_success), (State::Good, at(3), Some(at(3))));
        assert_eq!(good.last_error.as_deref(), Some("second"));
    }

    #[test]
    fn moments_do_not_overflow() {
        assert!(after(at(0), Duration::MAX) > at(1 << 33));
        assert_eq!(until(at(5), at(3)), Duration::ZERO);
        assert_eq!(until(at(3), at(5)), Duration::from_secs(2));
    }

    #[tokio::test]
    async fn a_pause_ends_when_asked_and_when_stopping() {
        let asked = Notify::new();
        let (sender, mut stop) = watch::channel(false);
        asked.notify_one();
        assert_eq!(pause(Duration::from_secs(60), &asked, &mut stop).await, Wake::Asked);
        assert_eq!(pause(Duration::from_millis(1), &asked, &mut stop).await, Wake::Due);
        sender.send(true).unwrap();
        assert_eq!(pause(Duration::from_secs(60), &asked, &mut stop).await, Wake::Stop);
        drop(sender);
        assert_eq!(pause(Duration::from_secs(60), &asked, &mut stop).await, Wake::Stop);
    }
}
