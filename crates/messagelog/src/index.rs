//! The sled database beside the segments: the queue of records without a
//! timestamp, where coverage is, and how far into the segments it goes.
//!
//! ```text
//! s                      checkpoint, see `encode`
//! p <block u64>          128 bytes: which records of the block wait
//! c <last> <frame>       first: a timestamp that covers records in first..=last
//! ```
//! Keys are big endian, values little endian. It is written by one thread,
//! away from the appends, and may lag: applying frames again changes nothing.
//! Writes go in small batches, since sled 0.34 holds on to memory in
//! proportion to a batch. Sled may panic on files that it cannot make sense
//! of; every call is guarded, and the answer to any failure is to open it anew
//! or to rebuild it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::catalog::{Changes, Checkpoint};
use crate::error::LogError;
use crate::frame::u64_at;
use crate::journal::Written;
use crate::pending::Pending;
use crate::stamp::MAX_GROUP_SPAN;

const VERSION: u64 = 2;
const BATCH: usize = 64;
const STATE: &[u8] = b"s";

/// The index of a log.
pub(crate) struct Index {
    db: sled::Db,
    log: [u8; 16],
}

impl Index {
    /// Opens or makes the index in a folder. One that cannot be opened is
    /// removed for a new one: all that it held is in the segments.
    pub(crate) fn open(folder: &Path, log: &[u8; 16], cache: u64) -> Result<Self, LogError> {
        match Self::try_open(folder, log, cache) {
            Ok(index) => Ok(index),
            Err(error) => {
                tracing::warn!(%error, "the message log's index cannot be opened, rebuilding it");
                let _ = std::fs::remove_dir_all(folder);
                Self::try_open(folder, log, cache)
            }
        }
    }

    fn try_open(folder: &Path, log: &[u8; 16], cache: u64) -> Result<Self, LogError> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(cache)
            .flush_every_ms(None)
            .mode(sled::Mode::LowSpace);
        let db = guarded(|| config.open())?;
        Ok(Self { db, log: *log })
    }

    /// What was saved last; `None` when there is nothing of this log, or
    /// nothing that makes sense.
    pub(crate) fn load(&self) -> Result<Option<(Checkpoint, Pending)>, LogError> {
        guarded(|| {
            let Some(state) = self.db.get(STATE)? else { return Ok(None) };
            let Some(checkpoint) = decode(&state, &self.log) else { return Ok(None) };
            let mut pending = Pending::default();
            for item in self.db.scan_prefix(b"p") {
                let (key, value) = item?;
                let block = key.get(1..).and_then(be);
                if block.and_then(|block| pending.load(block, &value)).is_none() {
                    return Ok(None);
                }
            }
            Ok(Some((checkpoint, pending)))
        })
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) -> Result<(), LogError> {
        guarded(|| self.db.clear())
    }

    /// Saves changes durably. The checkpoint goes last.
    pub(crate) fn save(&self, changes: &Changes) -> Result<(), LogError> {
        guarded(|| {
            for blocks in changes.blocks.chunks(BATCH) {
                let mut batch = sled::Batch::default();
                for (block, bytes) in blocks {
                    match bytes {
                        Some(bytes) => batch.insert(key(b'p', &[*block]), &bytes[..]),
                        None => batch.remove(key(b'p', &[*block])),
                    }
                }
                self.db.apply_batch(batch)?;
            }
            for groups in changes.groups.chunks(BATCH) {
                let mut batch = sled::Batch::default();
                for ((last, frame), first) in groups {
                    batch.insert(key(b'c', &[*last, *frame]), &first.to_le_bytes());
                }
                self.db.apply_batch(batch)?;
            }
            self.db.insert(STATE, encode(&changes.checkpoint, &self.log))?;
            self.db.flush()?;
            Ok(())
        })
    }

    /// The frames that may cover a record.
    pub(crate) fn groups_of(&self, id: u64) -> Result<Vec<u64>, LogError> {
        guarded(|| {
            let from = key(b'c', &[id, 0]);
            let to = key(b'c', &[id.saturating_add(MAX_GROUP_SPAN), 0]);
            let mut frames = Vec::new();
            for item in self.db.range(from..to) {
                let (key, first) = item?;
                let frame = key.get(9..).and_then(be);
                if let (Some(frame), Some(first)) = (frame, u64_at(&first, 0))
                    && first <= id
                {
                    frames.push(frame);
                }
            }
            Ok(frames)
        })
    }

    /// Forgets frames that cover nothing but records before `first`.
    pub(crate) fn forget_before(&self, first: u64) -> Result<(), LogError> {
        guarded(|| {
            loop {
                let mut batch = sled::Batch::default();
                let mut count = 0;
                for item in self.db.range(key(b'c', &[0, 0])..key(b'c', &[first, 0])).take(BATCH) {
                    batch.remove(item?.0);
                    count += 1;
                }
                if count == 0 {
                    return Ok(());
                }
                self.db.apply_batch(batch)?;
            }
        })
    }

    /// All that it holds, for comparing.
    #[cfg(test)]
    pub(crate) fn dump(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let items = self.db.iter().filter_map(Result::ok);
        items.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }
}

/// Runs something with sled, taking its panics for errors.
fn guarded<T>(action: impl FnOnce() -> sled::Result<T>) -> Result<T, LogError> {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(result) => result.map_err(|e| LogError::Index(e.to_string())),
        Err(_) => Err(LogError::Index("the database cannot make sense of its files".into())),
    }
}

fn key(kind: u8, numbers: &[u64]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + 8 * numbers.len());
    key.push(kind);
    for number in numbers {
        key.extend_from_slice(&number.to_be_bytes());
    }
    key
}

fn be(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn encode(checkpoint: &Checkpoint, log: &[u8; 16]) -> Vec<u8> {
    let last = checkpoint.last.unwrap_or(Written { sequence: 0, segment: 0, offset: 0 });
    let mut out = VERSION.to_le_bytes().to_vec();
    out.extend_from_slice(log);
    for number in [last.sequence, last.segment, last.offset, checkpoint.tail] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out
}

fn decode(bytes: &[u8], log: &[u8; 16]) -> Option<Checkpoint> {
    if u64_at(bytes, 0)? != VERSION || bytes.get(8..24)? != log {
        return None;
    }
    let number = |index: usize| u64_at(bytes, 24 + index * 8);
    let last = Written { sequence: number(0)?, segment: number(1)?, offset: number(2)? };
    Some(Checkpoint { last: (last.sequence != 0).then_some(last), tail: number(3)? })
}
