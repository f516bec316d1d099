//! One commit: bodies to their places, frames to the journal, entries to the
//! catalog, an answer to each request. Plain synchronous code; the thread that
//! runs it is in `committer`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::bodies::{Bodies, Spooled};
use crate::catalog::{Catalog, Entry};
use crate::codec::milliseconds;
use crate::error::LogError;
use crate::journal::{Durable, Journal, Payload};
use crate::record::{MAX_RECORD_BYTES, NewCover, NewTimestamp, RecordId};
use crate::stamp::{Cover, MAX_LEAVES, Timestamp};

/// What a caller waits for.
pub(crate) type Reply = oneshot::Sender<Result<RecordId, LogError>>;

/// A frame to be made durable.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) payload: Payload,
    pub(crate) entry: Entry,
    /// Bodies of the frame's record.
    pub(crate) bodies: Vec<Spooled>,
    pub(crate) reply: Reply,
}

/// The catalog as threads share it.
pub(crate) type SharedCatalog = Arc<Mutex<Catalog>>;

/// Locks the catalog. Nothing that holds it panics half way through a change.
pub(crate) fn lock(catalog: &Mutex<Catalog>) -> MutexGuard<'_, Catalog> {
    catalog.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The frame of a timestamp.
pub(crate) fn timestamp_frame(timestamp: NewTimestamp) -> Result<(Payload, Entry), LogError> {
    let evidence = timestamp.token.len().saturating_add(match &timestamp.cover {
        NewCover::Batch { hash_chain_result, .. } => hash_chain_result.len(),
        NewCover::Single { signature, .. } => signature.len(),
    });
    bounded("the timestamp", evidence, MAX_RECORD_BYTES / 4)?;
    let cover = match timestamp.cover {
        NewCover::Batch { hash_chain_result, leaves } => {
            if leaves.is_empty() {
                return Err(LogError::Invalid("a timestamp must cover a record"));
            }
            bounded("the number of records under a timestamp", leaves.len(), MAX_LEAVES)?;
            Cover::Batch { hash_chain_result, leaves }
        }
        NewCover::Single { record, signature } => Cover::Single { record, signature },
    };
    let stored = Timestamp { time: milliseconds(timestamp.time), token: timestamp.token, cover };
    let entry = Entry::Timestamp { records: stored.records() };
    Ok((Payload::timestamp(stored.encode()), entry))
}

fn bounded(what: &'static str, bytes: usize, limit: usize) -> Result<(), LogError> {
    if bytes > limit {
        return Err(LogError::TooLarge { what, bytes: bytes as u64, limit: limit as u64 });
    }
    Ok(())
}

/// Writes requests.
pub(crate) struct Committer {
    journal: Journal,
    catalog: SharedCatalog,
    bodies: Bodies,
    failing: Arc<AtomicBool>,
    /// Bodies of records whose frames may be in the torn tail. They go when
    /// the tail is cut off, and not before: after a crash the frames might count.
    doomed: Vec<(u64, u32)>,
    /// Folders of bodies with names that are not durable.
    unsynced: BTreeSet<u64>,
    /// Empty between commits; kept so that a commit needs no memory of its own.
    placed: Vec<Placed>,
    durable: Vec<Durable>,
    behind: u64,
}

/// A request whose bodies are in their places.
struct Placed {
    sequence: u64,
    payload: Payload,
    entry: Entry,
    bodies: Vec<u32>,
    reply: Reply,
}

impl AsRef<Payload> for Placed {
    fn as_ref(&self) -> &Payload {
        &self.payload
    }
}

impl Committer {
    pub(crate) fn new(
        journal: Journal,
        catalog: SharedCatalog,
        bodies: Bodies,
        failing: Arc<AtomicBool>,
    ) -> Self {
        Self {
            journal,
            catalog,
            bodies,
            failing,
            doomed: Vec::new(),
            unsynced: BTreeSet::new(),
            placed: Vec::new(),
            durable: Vec::new(),
            behind: 0,
        }
    }

    /// Makes requests durable and answers each. None are left.
    pub(crate) fn commit(&mut self, requests: &mut Vec<Request>) {
        if let Err(error) = self.journal.ready() {
            self.report(&error);
            for request in requests.drain(..) {
                answer(request.reply, Err(error.clone()));
            }
            return;
        }
        for (record, number) in std::mem::take(&mut self.doomed) {
            self.bodies.remove(record, number);
            self.unsynced.insert(Bodies::share(record));
        }
        self.place(requests);
        let mut placed = std::mem::take(&mut self.placed);
        if let Err(error) = self.sync_bodies() {
            self.report(&error);
            for request in placed.drain(..) {
                for number in request.bodies {
                    self.bodies.remove(request.sequence, number);
                }
                answer(request.reply, Err(error.clone()));
            }
        } else {
            self.write(&mut placed);
        }
        self.placed = placed;
    }

    /// Frames that wait for a checkpoint.
    pub(crate) fn behind(&self) -> u64 {
        self.behind
    }

    fn place(&mut self, requests: &mut Vec<Request>) {
        let mut next = self.journal.next();
        for mut request in requests.drain(..) {
            let bodies: Vec<u32> = request.bodies.iter().map(|body| body.number).collect();
            if !bodies.is_empty() {
                self.unsynced.insert(Bodies::share(next));
                let spooled = std::mem::take(&mut request.bodies);
                if let Err(error) = self.bodies.keep(next, spooled) {
                    self.report(&error);
                    answer(request.reply, Err(error));
                    continue;
                }
            }
            let Request { payload, entry, reply, .. } = request;
            self.placed.push(Placed { sequence: next, payload, entry, bodies, reply });
            next = next.saturating_add(1);
        }
    }

    fn sync_bodies(&mut self) -> Result<(), LogError> {
        if !self.unsynced.is_empty() {
            self.bodies.sync(&self.unsynced)?;
            self.unsynced.clear();
        }
        Ok(())
    }

    fn write(&mut self, placed: &mut Vec<Placed>) {
        self.durable.clear();
        let result = self.journal.write(placed, &mut self.durable);
        let mut catalog = lock(&self.catalog);
        for (request, durable) in placed.iter().zip(&self.durable) {
            catalog.apply(durable.written, durable.bytes, &request.entry);
        }
        self.behind = catalog.behind();
        drop(catalog);
        match &result {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            Err(error) => self.report(error),
        }
        let next = self.journal.next();
        // In one go, with nothing locked: whom it wakes may append at once.
        for request in placed.drain(..) {
            match &result {
                Err(error) if request.sequence >= next => {
                    let bodies = request.bodies.iter().map(|number| (request.sequence, *number));
                    self.doomed.extend(bodies);
                    answer(request.reply, Err(error.clone()));
                }
                _ => answer(request.reply, Ok(RecordId(request.sequence))),
            }
        }
    }

    fn report(&self, error: &LogError) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the message log cannot write; it refuses records until it can");
        }
    }

    /// Whether the last write failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.journal.is_broken()
    }
}

fn answer(reply: Reply, result: Result<RecordId, LogError>) {
    // The caller may have gone away; the record stays.
    let _ = reply.send(result);
}
