//! One commit: bodies to their places, frames to the journal, entries to the
//! catalog, an answer to each request. Plain synchronous code; the thread that
//! runs it is in `committer`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::bodies::{Bodies, Spooled};
use crate::catalog::{Catalog, Entry};
use crate::codec::{Coverage, MAX_COVERED, MAX_COVERED_SPAN, Timestamp, milliseconds};
use crate::error::LogError;
use crate::frame::Kind;
use crate::journal::{Journal, Payload, Written};
use crate::record::{MAX_RECORD_BYTES, NewCover, NewTimestamp, RecordId};

/// The most bytes of chains in one coverage frame.
const MAX_COVERAGE_BYTES: usize = 1024 * 1024;

/// What a caller waits for.
pub(crate) type Reply = oneshot::Sender<Result<RecordId, LogError>>;

/// Frames that belong together: all of them durable, or an error.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) frames: Vec<(Payload, Entry)>,
    /// Bodies of the first frame's record.
    pub(crate) bodies: Vec<Spooled>,
    pub(crate) reply: Reply,
}

impl Request {
    /// What it takes in a segment.
    pub(crate) fn bytes(&self) -> u64 {
        self.frames.iter().map(|(payload, _)| payload.frame_bytes()).sum()
    }
}

/// The catalog as threads share it.
pub(crate) type SharedCatalog = Arc<Mutex<Catalog>>;

/// Locks the catalog. Nothing that holds it panics half way through a change.
pub(crate) fn lock(catalog: &Mutex<Catalog>) -> MutexGuard<'_, Catalog> {
    catalog.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The frames of a timestamp: the token, then who is covered.
pub(crate) fn timestamp_frames(timestamp: NewTimestamp) -> Result<Vec<(Payload, Entry)>, LogError> {
    let (result, single, mut records) = match timestamp.cover {
        NewCover::Batch { hash_chain_result, chains } => (Some(hash_chain_result), false, chains),
        NewCover::Single { record, signature } => (None, true, vec![(record, signature)]),
    };
    if records.is_empty() {
        return Err(LogError::Invalid("a timestamp must cover a record"));
    }
    let token = Timestamp {
        time: milliseconds(timestamp.time),
        token: timestamp.token,
        hash_chain_result: result,
    };
    let bytes = token.encode();
    bounded("the timestamp", bytes.len())?;
    let mut frames = vec![(Payload::new(Kind::Timestamp, bytes), Entry::Timestamp)];
    records.sort_by_key(|(id, _)| *id);
    records.dedup_by_key(|(id, _)| *id);
    let mut rest = records.as_slice();
    while let Some((first, _)) = rest.first() {
        let mut bytes = 0usize;
        let mut count = 0;
        for (id, evidence) in rest.iter().take(MAX_COVERED) {
            bounded("the evidence of a timestamp", evidence.len())?;
            bytes = bytes.saturating_add(evidence.len());
            let narrow = id.0.saturating_sub(first.0) < MAX_COVERED_SPAN;
            if count > 0 && (!narrow || bytes > MAX_COVERAGE_BYTES) {
                break;
            }
            count += 1;
        }
        let (group, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        let coverage = Coverage { distance: frames.len() as u32, single, records: group.to_vec() };
        let payload = Payload::new(Kind::Coverage, coverage.encode());
        frames.push((payload, Entry::covering(&coverage)));
        rest = later;
    }
    Ok(frames)
}

fn bounded(what: &'static str, bytes: usize) -> Result<(), LogError> {
    let limit = MAX_RECORD_BYTES;
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
}

/// A request whose bodies are in their places.
struct Placed {
    first: u64,
    frames: Vec<(Payload, Entry)>,
    bodies: Vec<u32>,
    reply: Reply,
}

impl Committer {
    pub(crate) fn new(
        journal: Journal,
        catalog: SharedCatalog,
        bodies: Bodies,
        failing: Arc<AtomicBool>,
    ) -> Self {
        Self { journal, catalog, bodies, failing, doomed: Vec::new(), unsynced: BTreeSet::new() }
    }

    /// Makes requests durable and answers each.
    pub(crate) fn commit(&mut self, requests: Vec<Request>) {
        if let Err(error) = self.journal.ready() {
            self.report(&error);
            for request in requests {
                answer(request.reply, Err(error.clone()));
            }
            return;
        }
        for (record, number) in std::mem::take(&mut self.doomed) {
            self.bodies.remove(record, number);
            self.unsynced.insert(Bodies::share(record));
        }
        let placed = self.place(requests);
        if let Err(error) = self.sync_bodies() {
            self.report(&error);
            for request in placed {
                for number in request.bodies {
                    self.bodies.remove(request.first, number);
                }
                answer(request.reply, Err(error.clone()));
            }
            return;
        }
        self.write(placed);
    }

    fn place(&mut self, requests: Vec<Request>) -> Vec<Placed> {
        let mut next = self.journal.next();
        let mut placed = Vec::with_capacity(requests.len());
        for request in requests {
            let bodies: Vec<u32> = request.bodies.iter().map(|body| body.number).collect();
            if !bodies.is_empty() {
                self.unsynced.insert(Bodies::share(next));
                if let Err(error) = self.bodies.keep(next, request.bodies) {
                    self.report(&error);
                    answer(request.reply, Err(error));
                    continue;
                }
            }
            let count = request.frames.len() as u64;
            placed.push(Placed {
                first: next,
                frames: request.frames,
                bodies,
                reply: request.reply,
            });
            next = next.saturating_add(count);
        }
        placed
    }

    fn sync_bodies(&mut self) -> Result<(), LogError> {
        if !self.unsynced.is_empty() {
            self.bodies.sync(&self.unsynced)?;
            self.unsynced.clear();
        }
        Ok(())
    }

    fn write(&mut self, placed: Vec<Placed>) {
        let frames = || placed.iter().flat_map(|request| &request.frames);
        let payloads: Vec<&Payload> = frames().map(|(payload, _)| payload).collect();
        let mut written: Vec<Written> = Vec::with_capacity(payloads.len());
        let result = self.journal.write(&payloads, &mut written);
        let mut catalog = lock(&self.catalog);
        for ((payload, entry), written) in frames().zip(&written) {
            catalog.apply(*written, payload.frame_bytes(), entry);
        }
        drop(catalog);
        match &result {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            Err(error) => self.report(error),
        }
        let next = self.journal.next();
        for request in placed {
            let behind = request.first.saturating_add(request.frames.len() as u64);
            match &result {
                Err(error) if behind > next => {
                    let bodies = request.bodies.iter().map(|number| (request.first, *number));
                    self.doomed.extend(bodies);
                    answer(request.reply, Err(error.clone()));
                }
                _ => answer(request.reply, Ok(RecordId(request.first))),
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
