//! Takes records off the message's path and stores them from a thread of its own.
//!
//! [`Recorder::push`] costs a message an uncontended lock and a move. The thread takes what came
//! within a second together, counts it and stores it. When it cannot keep up, or the disk is full,
//! the oldest records that wait give way, and the log says how many (X-Road's `OpMonitoringBuffer`).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use causeway_identifiers::ClientId;

use crate::buffer::Buffer;
use crate::store::{Found, Search, Store, StoreError};
use crate::{Health, Record, ServiceHealth};

/// How a recorder works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderSettings {
    /// How many records may wait for the store. X-Road: 20,000.
    pub max_waiting: usize,
    /// How long records may wait to be stored together.
    pub gather: Duration,
    /// The period of health statistics, in seconds. X-Road: 600.
    pub health_period_seconds: u64,
}

/// So many records are stored at once without waiting for more.
const BATCH: usize = 2_000;
/// How often what was stored is forced to the disk.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// How often old files are looked for.
const CLEAN_EVERY: Duration = Duration::from_secs(600);
/// How long to wait after the store failed.
const RETRY: Duration = Duration::from_secs(5);
/// How often the log tells of dropped records, at most.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Stores records, and finds them again.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    started_ms: u64,
    gather: Duration,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    store: Mutex<Store>,
    health: Mutex<Health>,
}

#[derive(Debug)]
struct Queue {
    buffer: Buffer,
    /// Records pushed, and those of them that were dealt with: stored or dropped.
    pushed: u64,
    settled: u64,
    hurry: bool,
    closing: bool,
    closed: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked left a counter or a queue behind, which is whole at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time of the system's clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`std::io::Error`] when the system gives no thread.
    pub fn start(store: Store, settings: &RecorderSettings) -> std::io::Result<Self> {
        let queue = Queue {
            buffer: Buffer::new(settings.max_waiting),
            pushed: 0,
            settled: 0,
            hurry: false,
            closing: false,
            closed: false,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            store: Mutex::new(store),
            health: Mutex::new(Health::new(settings.health_period_seconds)),
        });
        let (working, gather) = (Arc::clone(&shared), settings.gather);
        let thread = std::thread::Builder::new()
            .name("monitoring".into())
            .spawn(move || Work::new(&working, gather).run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), started_ms: now_ms(), gather })
    }

    /// Hands a record over. Never waits for the disk. After [`Self::close`] it does nothing.
    pub fn push(&self, mut record: Record) {
        record.shorten();
        let mut queue = locked(&self.shared.queue);
        if queue.closing {
            return;
        }
        let before = queue.buffer.len();
        queue.buffer.push(record);
        queue.pushed += 1;
        // The thread sleeps until there is something, and then until there is much.
        let wake = before == 0 || before + 1 == BATCH;
        drop(queue);
        if wake {
            self.shared.changed.notify_all();
        }
    }

    /// Waits until all that was handed over before is stored, or until the time is over; whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut queue = locked(&self.shared.queue);
        let target = queue.pushed;
        queue.hurry = true;
        self.shared.changed.notify_all();
        while queue.settled < target && !queue.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.settled >= target
    }

    /// Looks records up. It reads files, and may take seconds: not for a thread that serves messages.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn search(&self, wanted: &Search) -> Result<Found, StoreError> {
        let searcher = locked(&self.shared.store).searcher(now_ms() / 1000);
        searcher.search(wanted)
    }

    /// The health of all services, or of those of one provider.
    pub fn health(&self, provider: Option<&ClientId>) -> Vec<ServiceHealth> {
        locked(&self.shared.health).of(provider, now_ms())
    }

    /// The period of the health statistics, in seconds.
    pub fn health_period_seconds(&self) -> u64 {
        locked(&self.shared.health).period_seconds()
    }

    /// When it was started, in milliseconds since 1970.
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// How long records may wait to be stored together.
    pub fn gather(&self) -> Duration {
        self.gather
    }

    /// Stores what waits, and ends the thread. A disk that refuses is tried once.
    pub fn close(&self) {
        locked(&self.shared.queue).closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = locked(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that stores operational data ended in an error");
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread's own state.
struct Work<'s> {
    shared: &'s Shared,
    gather: Duration,
    synced: Instant,
    cleaned: Option<Instant>,
    told: Option<Instant>,
    dropped: u64,
}

impl<'s> Work<'s> {
    fn new(shared: &'s Shared, gather: Duration) -> Self {
        Self { shared, gather, synced: Instant::now(), cleaned: None, told: None, dropped: 0 }
    }

    fn run(mut self) {
        loop {
            self.clean();
            let (batch, closing) = self.next_batch();
            if !batch.is_empty() && !self.store(batch) {
                if closing {
                    break;
                }
                self.rest(RETRY);
            }
            self.tell_dropped(closing);
            let mut store = locked(&self.shared.store);
            if (closing || self.synced.elapsed() >= SYNC_EVERY)
                && let Err(error) = store.sync()
            {
                tracing::warn!(%error, "operational data was not forced to the disk");
            }
            drop(store);
            if self.synced.elapsed() >= SYNC_EVERY {
                self.synced = Instant::now();
            }
            if closing && locked(&self.shared.queue).buffer.len() == 0 {
                break;
            }
        }
        let mut queue = locked(&self.shared.queue);
        queue.closed = true;
        let left = queue.buffer.len();
        if left > 0 {
            tracing::warn!(
                records = left,
                "operational data is lost: it could not be stored before the end"
            );
        }
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// Waits for records, gathers, and takes them; also says whether it is the end.
    fn next_batch(&self) -> (Vec<Record>, bool) {
        let mut queue = locked(&self.shared.queue);
        let idle = Instant::now() + SYNC_EVERY;
        while queue.buffer.len() == 0 && !queue.closing {
            let left = idle.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (Vec::new(), false);
            }
            queue = self.wait(queue, left);
        }
        let until = Instant::now() + self.gather;
        while queue.buffer.len() < BATCH && !queue.closing && !queue.hurry {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self.wait(queue, left);
        }
        let batch = queue.buffer.take(BATCH);
        if queue.buffer.len() == 0 {
            queue.hurry = false;
        }
        (batch, queue.closing)
    }

    fn wait<'q>(&self, queue: MutexGuard<'q, Queue>, time: Duration) -> MutexGuard<'q, Queue> {
        let waited = self.shared.changed.wait_timeout(queue, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Counts and stores; `false` when the disk refuses, and then the records wait again.
    fn store(&mut self, mut batch: Vec<Record>) -> bool {
        let now = now_ms();
        let stored = locked(&self.shared.store).append(&batch, now / 1000);
        let failed =
            stored.err().map(|(error, stored)| (error, batch.split_off(stored.min(batch.len()))));
        {
            let mut health = locked(&self.shared.health);
            batch.iter().for_each(|record| health.count(record, now));
            let uncounted = health.take_uncounted();
            if uncounted > 0 {
                tracing::warn!(
                    records = uncounted,
                    "health statistics leave requests out: they name more services than are counted"
                );
            }
        }
        let mut queue = locked(&self.shared.queue);
        queue.settled += batch.len() as u64;
        let ok = failed.is_none();
        if let Some((error, left)) = failed {
            tracing::warn!(%error, records = left.len(), "operational data cannot be stored; it is tried again");
            queue.buffer.put_back(left);
        }
        let dropped = queue.buffer.take_dropped();
        queue.settled += dropped;
        self.dropped += dropped;
        drop(queue);
        self.shared.changed.notify_all();
        ok
    }

    /// Sleeps, unless it is the end.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut queue = locked(&self.shared.queue);
        while !queue.closing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self.wait(queue, left);
        }
    }

    fn tell_dropped(&mut self, closing: bool) {
        let due = self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if self.dropped > 0 && (due || closing) {
            tracing::warn!(
                records = self.dropped,
                "operational data is lost: more records waited than [monitoring] max_records_in_buffer allows, and the oldest gave way"
            );
            self.dropped = 0;
            self.told = Some(Instant::now());
        }
    }

    fn clean(&mut self) {
        if self.cleaned.is_some_and(|cleaned| cleaned.elapsed() < CLEAN_EVERY) {
            return;
        }
        self.cleaned = Some(Instant::now());
        match locked(&self.shared.store).clean(now_ms() / 1000) {
            Ok(removed) if removed.for_room > 0 => tracing::warn!(
                files = removed.for_room,
                "operational data is deleted before its time: [monitoring] max_disk is too little for keep"
            ),
            Ok(removed) if removed.old > 0 => {
                tracing::info!(
                    files = removed.old,
                    "operational data whose time is over is deleted"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "old operational data cannot be deleted"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::{ServerType, StoreSettings};

    fn store(folder: &std::path::Path) -> Store {
        let keep = Duration::from_secs(3600);
        Store::open(StoreSettings { folder: folder.into(), keep, max_bytes: 1 << 30 }).unwrap()
    }

    fn settings(max_waiting: usize, gather: Duration) -> RecorderSettings {
        RecorderSettings { max_waiting, gather, health_period_seconds: 600 }
    }

    fn all() -> Search {
        Search { from: 0, to: u64::MAX, party: None, provider: None, limit: 10_000 }
    }

    #[test]
    fn what_was_handed_over_is_found_now_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let recorder =
            Recorder::start(store(folder.path()), &settings(100, Duration::from_millis(1)))
                .unwrap();
        for i in 0..10 {
            recorder.push(Record::begin(ServerType::Client, i));
        }
        assert!(recorder.flush(Duration::from_secs(20)));
        assert_eq!(recorder.search(&all()).unwrap().records.len(), 10);
        recorder.push(Record::begin(ServerType::Client, 10));
        recorder.close();
        recorder.push(Record::begin(ServerType::Client, 11));
        drop(recorder);
        let again = Recorder::start(store(folder.path()), &settings(100, Duration::ZERO)).unwrap();
        let times: Vec<u64> =
            again.search(&all()).unwrap().records.iter().map(|r| r.request_in_ts).collect();
        assert_eq!(times, (0..=10).collect::<Vec<u64>>());
    }

    #[test]
    fn what_was_stored_survives_a_process_that_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let recorder =
            Recorder::start(store(folder.path()), &settings(100, Duration::from_secs(3600)))
                .unwrap();
        recorder.push(Record::begin(ServerType::Client, 1));
        assert!(recorder.flush(Duration::from_secs(20)));
        recorder.push(Record::begin(ServerType::Client, 2));
        // What another process would find if this one ended here: the files as they are.
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let after = Recorder::start(store(copy.path()), &settings(100, Duration::ZERO)).unwrap();
        after.push(Record::begin(ServerType::Client, 3));
        assert!(after.flush(Duration::from_secs(20)));
        let times: Vec<u64> =
            after.search(&all()).unwrap().records.iter().map(|r| r.request_in_ts).collect();
        assert_eq!(times, [1, 3]);
    }

    #[test]
    fn a_full_buffer_drops_the_oldest_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        // Nothing is stored while it gathers, so the buffer must make room by itself.
        let recorder =
            Recorder::start(store(folder.path()), &settings(5, Duration::from_secs(3600))).unwrap();
        for i in 0..20 {
            recorder.push(Record::begin(ServerType::Client, i));
        }
        assert!(recorder.flush(Duration::from_secs(20)));
        let times: Vec<u64> =
            recorder.search(&all()).unwrap().records.iter().map(|r| r.request_in_ts).collect();
        assert_eq!(times, [15, 16, 17, 18, 19]);
    }
}
