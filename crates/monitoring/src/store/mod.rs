//! The records on disk: a row of append-only files, each of some hours at most.
//!
//! A thousand exchanges a second are six hundred million records in a week, written once and read
//! once by a collector in the order of time. Hence no database: records that arrived together are
//! compressed together ([`frame`]), frames are appended to a [`segment`], old segments are deleted as
//! a whole, and a search reads only frames' beginnings until one can have what is wanted
//! ([`search`]). What is torn at the end of the last segment, by a crash, is cut off when the store is opened.

mod frame;
mod search;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use search::{Found, Search};
use segment::Segment;

use crate::Record;

/// How the store keeps records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where; the folder is made when it is not there.
    pub folder: PathBuf,
    /// How long records are kept and found.
    pub keep: Duration,
    /// How many bytes the files may take together; the oldest give way, a file at a time.
    pub max_bytes: u64,
}

/// A segment ends when it is so long, in bytes, …
const SEGMENT_BYTES: u64 = 64 << 20;
/// … or so old, in seconds: what is deleted as a whole must not hold long what should be gone.
const SEGMENT_SECONDS: u64 = 3600;
/// A clock that is set back by no more, in seconds, does not end a segment.
const CLOCK_MAY_GO_BACK: u64 = 60;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("{} cannot be written: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has the folder.
    #[error("{} is in use by another process", _0.display())]
    InUse(PathBuf),
}

impl StoreError {
    fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.to_owned(), error }
    }

    fn write(path: &Path, error: io::Error) -> Self {
        Self::Write { path: path.to_owned(), error }
    }
}

/// The records on disk. One process at a time has a folder.
#[derive(Debug)]
pub struct Store {
    settings: StoreSettings,
    segments: VecDeque<Segment>,
    /// The file of the last segment, while it is written to.
    active: Option<File>,
    unsynced: bool,
    _lock: File,
}

/// What was deleted, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Files whose records were too old.
    pub old: usize,
    /// Files that gave way though their records were not too old.
    pub for_room: usize,
}

impl Store {
    /// Opens the folder; cuts off what a crash left half written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(settings: StoreSettings) -> Result<Self, StoreError> {
        let folder = &settings.folder;
        std::fs::create_dir_all(folder).map_err(|e| StoreError::write(folder, e))?;
        let lock = take_lock(folder)?;
        let mut segments: Vec<Segment> = Vec::new();
        let entries = std::fs::read_dir(folder).map_err(|e| StoreError::read(folder, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| StoreError::read(folder, e))?;
            let bytes = entry.metadata().map_err(|e| StoreError::read(folder, e))?.len();
            segments.extend(Segment::of_file(entry.path(), bytes));
        }
        segments.sort_by_key(|s| s.number);
        for i in 0..segments.len() {
            match segments.get(i + 1).map(|next| (next.back, next.first)) {
                Some((false, next)) => {
                    let segment = &mut segments[i];
                    segment.last = next.saturating_sub(1).max(segment.first);
                }
                // The last of all, or the last before the clock went back: only the file knows.
                _ => read_to_end(&mut segments[i])?,
            }
        }
        let mut segments = VecDeque::from(segments);
        let mut active = None;
        if let Some(last) = segments.back() {
            let file = OpenOptions::new().append(true).open(&last.path);
            let file = file.map_err(|e| StoreError::write(&last.path, e))?;
            if last.bytes == 0 {
                std::fs::remove_file(&last.path).map_err(|e| StoreError::write(&last.path, e))?;
                segments.pop_back();
            } else {
                file.set_len(last.bytes).map_err(|e| StoreError::write(&last.path, e))?;
                active = Some(file);
            }
        }
        Ok(Self { settings, segments, active, unsynced: false, _lock: lock })
    }

    /// Appends records, all with this time (in seconds since 1970), or a slightly later one when the clock was set back.
    ///
    /// # Errors
    /// [`StoreError::Write`]; how many of the records were stored before, and stay so, is with it.
    pub fn append(&mut self, records: &[Record], now: u64) -> Result<(), (StoreError, usize)> {
        let mut stored = 0;
        while stored < records.len() {
            let count = self.append_frame(&records[stored..], now).map_err(|e| (e, stored))?;
            stored += count;
        }
        Ok(())
    }

    fn append_frame(&mut self, records: &[Record], now: u64) -> Result<usize, StoreError> {
        let time = self.ready(now)?;
        let (Some(segment), Some(file)) = (self.segments.back_mut(), self.active.as_mut()) else {
            return Ok(0);
        };
        let failed = |e| StoreError::write(&segment.path, e);
        let (bytes, count) = frame::pack(records, time).map_err(failed)?;
        if let Err(error) = file.write_all(&bytes) {
            // What is half written must not hide what comes next.
            if file.set_len(segment.bytes).is_err() {
                self.active = None;
            }
            return Err(failed(error));
        }
        segment.bytes += bytes.len() as u64;
        segment.last = time;
        self.unsynced = true;
        Ok(count)
    }

    /// Makes sure that there is a segment to write to; gives the time that its next frame has.
    fn ready(&mut self, now: u64) -> Result<u64, StoreError> {
        let last = self.segments.back();
        let time = match last {
            Some(s) if now < s.last && s.last - now <= CLOCK_MAY_GO_BACK => s.last,
            _ => now,
        };
        if let Some(s) = last.filter(|_| self.active.is_some()) {
            let over = s.bytes >= SEGMENT_BYTES || time >= s.first.saturating_add(SEGMENT_SECONDS);
            // A second is never in two segments, unless the clock went back.
            if time == s.last || (time > s.last && !over) {
                return Ok(time);
            }
        }
        let back = last.is_some_and(|s| time <= s.last);
        let number = last.map_or(1, |s| s.number + 1);
        let segment = Segment::begin(&self.settings.folder, number, time, back);
        self.sync()?;
        let file = OpenOptions::new().append(true).create_new(true).open(&segment.path);
        let file = file.map_err(|e| StoreError::write(&segment.path, e))?;
        self.segments.push_back(segment);
        self.active = Some(file);
        Ok(time)
    }

    /// Sees to it that what was appended survives a power failure.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if let (Some(file), Some(segment), true) =
            (&self.active, self.segments.back(), self.unsynced)
        {
            file.sync_data().map_err(|e| StoreError::write(&segment.path, e))?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Deletes files whose records are all too old at this time (in seconds since 1970), and the
    /// oldest while all together are too large.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn clean(&mut self, now: u64) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        let oldest = now.saturating_sub(self.settings.keep.as_secs());
        let mut total: u64 = self.segments.iter().map(|s| s.bytes).sum();
        while let Some(first) = self.segments.front() {
            let old = first.last < oldest;
            if !old && (total <= self.settings.max_bytes || self.segments.len() == 1) {
                break;
            }
            match std::fs::remove_file(&first.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::write(&first.path, e));
                }
                _ => {}
            }
            total = total.saturating_sub(first.bytes);
            if self.segments.len() == 1 {
                self.active = None;
                self.unsynced = false;
            }
            self.segments.pop_front();
            match old {
                true => removed.old += 1,
                false => removed.for_room += 1,
            }
        }
        Ok(removed)
    }

    /// A search over what is stored now, which goes on without the store: at this time (in seconds
    /// since 1970) nothing is found that is kept no longer.
    pub fn searcher(&self, now: u64) -> Searcher {
        let oldest = now.saturating_sub(self.settings.keep.as_secs());
        Searcher { segments: self.segments.iter().cloned().collect(), oldest }
    }

    /// How many bytes the files take.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum()
    }
}

/// What was stored at a moment, for a search; see [`Store::searcher`].
#[derive(Debug)]
pub struct Searcher {
    segments: Vec<Segment>,
    oldest: u64,
}

impl Searcher {
    /// Looks records up. It reads files, and may take seconds.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn search(self, wanted: &Search) -> Result<Found, StoreError> {
        let wanted = Search { from: wanted.from.max(self.oldest), ..wanted.clone() };
        search::search(self.segments, &wanted, search::MAX_READ)
    }
}

/// Reads a segment's frames to their end, which may be before the file's.
fn read_to_end(segment: &mut Segment) -> Result<(), StoreError> {
    let failed = |path: &Path, e| StoreError::read(path, e);
    let mut headers = segment.headers().map_err(|e| failed(&segment.path, e))?;
    while let Some((header, _)) = headers.next().map_err(|e| failed(&segment.path, e))? {
        segment.last = segment.last.max(header.time);
    }
    if headers.read_so_far() < segment.bytes {
        tracing::warn!(
            file = %segment.path.display(), bytes = segment.bytes - headers.read_so_far(),
            "operational data that was not written to its end is cut off"
        );
    }
    segment.bytes = headers.read_so_far();
    Ok(())
}

fn take_lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| StoreError::write(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
        Err(TryLockError::Error(e)) => Err(StoreError::write(&path, e)),
    }
}
