//! Writes frames: one write and one `fdatasync` for all that are given, a new
//! segment when one is full, and a way back after an error.
//!
//! After a failed write the journal is *broken*: what is behind the last
//! durable frame is unknown. [`Journal::ready`] cuts it off and makes that
//! durable before anything else is written. After a failed sync it also leaves
//! the segment for a new one, because the system may have dropped the pages
//! that it could not write and would report the next sync as good.
//!
//! The documents that the records of a signing batch share are written behind
//! the first of them in each segment; the others refer back to it. So a record
//! needs nothing but its own segment, and what it refers to was durable before
//! it or is cut off with it.
//!
//! A segment's length is set when it is made, but its blocks are not written:
//! a sync would have to write down with every commit which of them are in use
//! now, and `fallocate` does not help, since its blocks count as unwritten. So
//! zeros are written ahead, some at a time ([`AHEAD`]), and nearly all commits
//! only overwrite.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crc32fast::Hasher;

use time::OffsetDateTime;

use crate::codec::milliseconds;
use crate::disk::{Disk, DiskFile};
use crate::error::{AtStep, LogError};
use crate::frame::{HEADER_BYTES, Header, Kind, Salt, frame_bytes};
use crate::segment;
use crate::shared::{Shared, SharedKey};

/// The most bytes that are collected for one write.
pub(crate) const MAX_WRITE: usize = 4 * 1024 * 1024;

/// How far ahead zeros are written, in bytes.
const AHEAD: u64 = 256 * 1024;
static ZEROS: [u8; AHEAD as usize] = [0; AHEAD as usize];
/// For how many documents of a segment it is known where they are. Batches are
/// short, so only the latest matter.
const KNOWN_DOCUMENTS: usize = 4096;

/// A payload to be written.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
    crc: Hasher,
    shared: Option<Arc<Shared>>,
}

impl Payload {
    /// A message's: its own bytes, and the documents that go behind them unless
    /// the segment has them. The checksum is made here, on the caller's thread
    /// and not the committer's.
    pub(crate) fn message(bytes: Vec<u8>, shared: Arc<Shared>) -> Self {
        Self { shared: Some(shared), ..Self::new(Kind::Message, bytes) }
    }

    /// A timestamp's.
    pub(crate) fn timestamp(bytes: Vec<u8>) -> Self {
        Self::new(Kind::Timestamp, bytes)
    }

    fn new(kind: Kind, bytes: Vec<u8>) -> Self {
        let mut crc = Hasher::new();
        crc.update(&bytes);
        Self { kind, bytes, crc, shared: None }
    }

    /// What it takes in a segment at most.
    pub(crate) fn most_bytes(&self) -> u64 {
        frame_bytes(self.bytes.len() + self.shared.as_ref().map_or(0, |shared| shared.bytes()))
    }
}

/// A frame that became durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) written: Written,
    /// Its length in the segment.
    pub(crate) bytes: u64,
}

/// Where a payload was written, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) sequence: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// Where and how large segments are.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) log: [u8; 16],
    pub(crate) segment_bytes: u64,
}

/// The writer of a log.
pub(crate) struct Journal {
    place: Place,
    segment: u64,
    file: Box<dyn DiskFile>,
    salt: Salt,
    /// Behind the last durable frame.
    tail: u64,
    next: u64,
    state: State,
    buffer: Vec<u8>,
    /// The frames in the buffer, by their lengths.
    lengths: Vec<u64>,
    /// Where in this segment documents are.
    documents: HashMap<SharedKey, u64>,
    /// Up to where blocks of this segment are written.
    zeroed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// A write failed: what is behind the tail is unknown.
    Torn,
    /// A sync failed: the segment must not be used any more.
    Suspect,
}

impl Journal {
    /// Starts a log with an empty segment.
    pub(crate) fn create(place: Place, first: u64) -> Result<Self, LogError> {
        let file = make_segment(&place, first)?;
        Ok(Self::at(place, first, file, segment::HEADER_BYTES, first))
    }

    /// Goes on in the last segment, whose frames end at `tail`. Whatever is
    /// behind that is cut off.
    pub(crate) fn resume(
        place: Place,
        segment: u64,
        tail: u64,
        next: u64,
    ) -> Result<Self, LogError> {
        let path = segment::path(&place.folder, segment);
        let file = place.disk.open(&path, true).at("opening the last segment")?;
        let mut journal = Self::at(place, segment, file, tail, next);
        journal.state = State::Torn;
        journal.ready()?;
        Ok(journal)
    }

    fn at(place: Place, segment: u64, file: Box<dyn DiskFile>, tail: u64, next: u64) -> Self {
        let salt = Salt::new(&place.log, segment);
        Self {
            place,
            segment,
            file,
            salt,
            tail,
            next,
            state: State::Whole,
            buffer: Vec::new(),
            lengths: Vec::new(),
            documents: HashMap::new(),
            zeroed: tail,
        }
    }

    /// The sequence number of the next frame.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether the last write failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.state != State::Whole
    }

    /// Repairs what an error left, if there was one.
    pub(crate) fn ready(&mut self) -> Result<(), LogError> {
        if self.state == State::Whole {
            return Ok(());
        }
        let step = "cutting off an unfinished write";
        self.documents.clear();
        self.zeroed = self.tail;
        self.file.set_length(self.tail).at(step)?;
        if self.state == State::Suspect {
            self.file.sync_all().at(step)?;
            return self.roll();
        }
        self.file.set_length(self.place.segment_bytes.max(self.tail)).at(step)?;
        if let Err(e) = self.file.sync_all() {
            self.state = State::Suspect;
            return Err(LogError::io(step, e));
        }
        self.state = State::Whole;
        Ok(())
    }

    /// Writes payloads in order. `written` receives those that are durable, in
    /// order: all of them, or on an error the first few.
    pub(crate) fn write<P: AsRef<Payload>>(
        &mut self,
        payloads: &[P],
        written: &mut Vec<Durable>,
    ) -> Result<(), LogError> {
        self.ready()?;
        let mut rest = payloads;
        while let Some(first) = rest.first() {
            let (_, bytes) = self.measure(first.as_ref(), self.tail);
            if !self.fits(bytes, self.tail) {
                self.roll()?;
            }
            self.fill(rest);
            self.flush()?;
            for bytes in self.lengths.drain(..) {
                let (sequence, segment, offset) = (self.next, self.segment, self.tail);
                let at = Written { sequence, segment, offset };
                written.push(Durable { written: at, bytes });
                self.next = self.next.saturating_add(1);
                self.tail = self.tail.saturating_add(bytes);
                rest = rest.split_first().map_or(&[], |(_, later)| later);
            }
        }
        Ok(())
    }

    /// Whether a frame may begin at `tail`. An empty segment takes any.
    fn fits(&self, bytes: u64, tail: u64) -> bool {
        tail == segment::HEADER_BYTES || tail.saturating_add(bytes) <= self.place.segment_bytes
    }

    /// How far back a payload's documents are from `offset`, 0 when they have to
    /// go with it, and the length of its frame there.
    fn measure(&self, payload: &Payload, offset: u64) -> (u32, u64) {
        let Some(shared) = &payload.shared else { return (0, payload.most_bytes()) };
        let holder = self.documents.get(&shared.key);
        let back = holder.map_or(0, |at| offset.saturating_sub(*at));
        match u32::try_from(back) {
            Ok(back) if back > 0 => (back, frame_bytes(payload.bytes.len())),
            _ => (0, payload.most_bytes()),
        }
    }

    /// Puts as many frames as go into this segment and this write into the
    /// buffer, at least one.
    fn fill<P: AsRef<Payload>>(&mut self, payloads: &[P]) {
        self.buffer.clear();
        self.lengths.clear();
        let mut offset = self.tail;
        for payload in payloads {
            let payload = payload.as_ref();
            let (document, bytes) = self.measure(payload, offset);
            let too_much = self.buffer.len() as u64 + bytes > MAX_WRITE as u64;
            let count = self.lengths.len() as u64;
            if count > 0 && (too_much || !self.fits(bytes, offset)) {
                break;
            }
            let with = payload.shared.as_ref().filter(|_| document == 0);
            let mut crc = payload.crc.clone();
            let mut length = payload.bytes.len();
            if let Some(shared) = with {
                crc.combine(&shared.crc);
                length += shared.bytes();
                if self.documents.len() >= KNOWN_DOCUMENTS {
                    self.documents.clear();
                }
                let at = offset.saturating_add((HEADER_BYTES + payload.bytes.len()) as u64);
                self.documents.insert(shared.key, at);
            }
            let header = Header {
                kind: payload.kind,
                length: length as u32,
                payload_crc: crc.finalize(),
                sequence: self.next.saturating_add(count),
                durable: self.tail,
                document,
            };
            self.buffer.extend_from_slice(&header.encode(&self.salt, offset));
            self.buffer.extend_from_slice(&payload.bytes);
            if let Some(shared) = with {
                self.buffer.extend_from_slice(&shared.signature);
                let result = shared.hash_chain_result.as_deref().unwrap_or_default();
                self.buffer.extend_from_slice(result);
            }
            offset = offset.saturating_add(bytes);
            self.buffer.resize((offset - self.tail) as usize, 0);
            self.lengths.push(bytes);
        }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        if let Err(e) = self.file.write_full(&self.buffer, self.tail) {
            self.state = State::Torn;
            return Err(LogError::io("writing a segment", e));
        }
        self.write_ahead(self.tail.saturating_add(self.buffer.len() as u64));
        if let Err(e) = self.file.sync_data() {
            self.state = State::Suspect;
            return Err(LogError::io("syncing a segment", e));
        }
        if self.buffer.capacity() > MAX_WRITE {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Has the blocks behind `end` written, if the last ones are used up. Without
    /// them commits are slower, and no more than that.
    fn write_ahead(&mut self, end: u64) {
        if end <= self.zeroed {
            return;
        }
        let until = end.saturating_add(1).next_multiple_of(AHEAD).min(self.place.segment_bytes);
        let count = usize::try_from(until.saturating_sub(end)).unwrap_or_default();
        let zeros = ZEROS.get(..count).unwrap_or_default();
        if self.file.write_full(zeros, end).is_ok() {
            self.zeroed = until.max(end);
        }
    }

    fn roll(&mut self) -> Result<(), LogError> {
        // If this fails half way, the new segment's file may be there already:
        // nothing may go into the old one any more.
        self.state = State::Suspect;
        let file = make_segment(&self.place, self.next)?;
        // Only gives back space that was never used; the zeros do no harm.
        let _ = self.file.set_length(self.tail);
        self.file = file;
        self.segment = self.next;
        self.salt = Salt::new(&self.place.log, self.segment);
        self.tail = segment::HEADER_BYTES;
        self.documents.clear();
        self.zeroed = self.tail;
        self.state = State::Whole;
        Ok(())
    }
}

fn make_segment(place: &Place, first: u64) -> Result<Box<dyn DiskFile>, LogError> {
    let made = milliseconds(OffsetDateTime::now_utc());
    let header = segment::Header { log: place.log, first, made };
    segment::create(place.disk.as_ref(), &place.folder, &header, place.segment_bytes)
}
