//! Writes frames: one write and one `fdatasync` for all that are given, a new
//! segment when one is full, and a way back after an error.
//!
//! After a failed write the journal is *broken*: what is behind the last
//! durable frame is unknown. [`Journal::ready`] cuts it off and makes that
//! durable before anything else is written. After a failed sync it also leaves
//! the segment for a new one, because the system may have dropped the pages
//! that it could not write and would report the next sync as good.

use std::path::PathBuf;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::codec::milliseconds;
use crate::disk::{Disk, DiskFile};
use crate::error::{AtStep, LogError};
use crate::frame::{Header, Kind, Salt, frame_bytes};
use crate::segment;

/// The most bytes that are collected for one write.
pub(crate) const MAX_WRITE: usize = 4 * 1024 * 1024;

/// A payload to be written.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
    crc: u32,
}

impl Payload {
    /// The checksum is made here, on the caller's thread and not the committer's.
    pub(crate) fn new(kind: Kind, bytes: Vec<u8>) -> Self {
        let crc = crc32fast::hash(&bytes);
        Self { kind, bytes, crc }
    }

    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.bytes.len())
    }
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
        Self { place, segment, file, salt, tail, next, state: State::Whole, buffer: Vec::new() }
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
    pub(crate) fn write(
        &mut self,
        payloads: &[&Payload],
        written: &mut Vec<Written>,
    ) -> Result<(), LogError> {
        self.ready()?;
        let mut rest = payloads;
        while let Some(first) = rest.first() {
            if !self.fits(first.frame_bytes(), self.tail) {
                self.roll()?;
            }
            let count = self.fill(rest);
            let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            self.flush()?;
            for payload in now {
                written.push(Written {
                    sequence: self.next,
                    segment: self.segment,
                    offset: self.tail,
                });
                self.next = self.next.saturating_add(1);
                self.tail = self.tail.saturating_add(payload.frame_bytes());
            }
            rest = later;
        }
        Ok(())
    }

    /// Whether a frame may begin at `tail`. An empty segment takes any.
    fn fits(&self, bytes: u64, tail: u64) -> bool {
        tail == segment::HEADER_BYTES || tail.saturating_add(bytes) <= self.place.segment_bytes
    }

    /// Puts as many frames as go into this segment and this write into the
    /// buffer; how many there are, at least one.
    fn fill(&mut self, payloads: &[&Payload]) -> usize {
        self.buffer.clear();
        let mut count = 0;
        let mut offset = self.tail;
        for payload in payloads {
            let bytes = payload.frame_bytes();
            let too_much = self.buffer.len() as u64 + bytes > MAX_WRITE as u64;
            if count > 0 && (too_much || !self.fits(bytes, offset)) {
                break;
            }
            let header = Header {
                kind: payload.kind,
                length: payload.bytes.len() as u32,
                payload_crc: payload.crc,
                sequence: self.next.saturating_add(count as u64),
                durable: self.tail,
            };
            self.buffer.extend_from_slice(&header.encode(&self.salt, offset));
            self.buffer.extend_from_slice(&payload.bytes);
            offset = offset.saturating_add(bytes);
            self.buffer.resize((offset - self.tail) as usize, 0);
            count += 1;
        }
        count
    }

    fn flush(&mut self) -> Result<(), LogError> {
        if let Err(e) = self.file.write_full(&self.buffer, self.tail) {
            self.state = State::Torn;
            return Err(LogError::io("writing a segment", e));
        }
        if let Err(e) = self.file.sync_data() {
            self.state = State::Suspect;
            return Err(LogError::io("syncing a segment", e));
        }
        if self.buffer.capacity() > MAX_WRITE {
            self.buffer = Vec::new();
        }
        Ok(())
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
        self.state = State::Whole;
        Ok(())
    }
}

fn make_segment(place: &Place, first: u64) -> Result<Box<dyn DiskFile>, LogError> {
    let made = milliseconds(OffsetDateTime::now_utc());
    let header = segment::Header { log: place.log, first, made };
    segment::create(place.disk.as_ref(), &place.folder, &header, place.segment_bytes)
}
