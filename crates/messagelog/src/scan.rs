//! Reads a segment from some offset on, tells where it ends, and what is damaged.
//!
//! After a crash the last write may be there in part: any of its pages may be
//! missing. Nothing of it was acknowledged, so the scan ends at the first frame
//! that is not whole, and the journal cuts the rest off. A frame that is not
//! whole *before* frames of a later write is another matter: it was durable
//! once, so the disk lost it. That is damage: it is reported, left in place and
//! stepped over, never cut off.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use crate::codec::Digest;
use crate::disk::DiskFile;
use crate::error::{AtStep, LogError};
use crate::frame::{ALIGNMENT, HEADER_BYTES, Header, Salt, put};
use crate::segment;

/// What preallocated space is compared with.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// How much of each frame to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// All of it, with its checksum.
    Whole,
    /// The header and the first [`Digest::BYTES`] of the payload, unchecked.
    Beginning,
}

/// A frame that was found.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) header: Header,
    /// The payload, or its beginning.
    pub(crate) payload: Bytes,
}

/// A place that could not be read, with the sequence numbers that are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment, by its first sequence number.
    pub segment: u64,
    /// Where the damage begins, in bytes from the segment's beginning.
    pub offset: u64,
    /// The record numbers that are missing.
    pub lost: Range<u64>,
}

/// Where a segment's frames end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// The offset behind the last frame.
    pub(crate) tail: u64,
    /// The sequence number after the last frame's.
    pub(crate) next: u64,
    pub(crate) damages: Vec<Damage>,
}

/// What to scan.
pub(crate) struct Scan<'a> {
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) salt: &'a Salt,
    /// The segment's first sequence number.
    pub(crate) segment: u64,
    /// Where to begin: a frame's beginning or the tail.
    pub(crate) offset: u64,
    /// The sequence number expected there.
    pub(crate) expected: u64,
    /// Whether it is the log's last segment, which may have a torn tail.
    pub(crate) last: bool,
    pub(crate) depth: Depth,
}

impl Scan<'_> {
    /// Shows each frame to `visit`, in order.
    pub(crate) fn run(
        self,
        visit: &mut dyn FnMut(Frame) -> Result<(), LogError>,
    ) -> Result<End, LogError> {
        let step = "reading a segment";
        let length = self.file.length().at(step)?;
        let mut end = End { tail: self.offset, next: self.expected, damages: Vec::new() };
        let mut window = Window::new(WINDOW);
        loop {
            let resume = match self.frame(end.tail, length, &mut window).at(step)? {
                Read::Whole(frame) if frame.header.sequence >= end.next => {
                    let behind = end.tail.saturating_add(frame.header.frame_bytes());
                    let next = frame.header.sequence.saturating_add(1);
                    if frame.header.sequence > end.next {
                        let lost = end.next..frame.header.sequence;
                        end.damages.push(self.damage(end.tail, lost));
                    }
                    visit(frame)?;
                    (end.tail, end.next) = (behind, next);
                    continue;
                }
                Read::Whole(_) | Read::Nothing => end.tail.saturating_add(ALIGNMENT),
                Read::BadPayload(header) => end.tail.saturating_add(header.frame_bytes()),
            };
            let Some((offset, sequence)) =
                self.resume(end.tail, resume, end.next, length).at(step)?
            else {
                return Ok(end);
            };
            end.damages.push(self.damage(end.tail, end.next..sequence));
            (end.tail, end.next) = (offset, sequence);
        }
    }

    fn damage(&self, offset: u64, lost: Range<u64>) -> Damage {
        Damage { segment: self.segment, offset, lost }
    }

    fn frame(&self, offset: u64, length: u64, window: &mut Window) -> io::Result<Read> {
        let start = window.at(self.file, offset)?;
        let Some(header) = Header::decode(start, self.salt, offset) else {
            return Ok(Read::Nothing);
        };
        let payload_at = offset.saturating_add(HEADER_BYTES as u64);
        if payload_at.saturating_add(u64::from(header.length)) > length {
            return Ok(Read::BadPayload(header));
        }
        let near = start.get(HEADER_BYTES..).unwrap_or_default();
        let near = near.get(..header.length as usize).unwrap_or(near);
        let payload = match self.depth {
            Depth::Beginning => Bytes::copy_from_slice(near.get(..Digest::BYTES).unwrap_or(near)),
            Depth::Whole => {
                let mut payload = vec![0; header.length as usize];
                put(&mut payload, 0, near);
                let rest = payload.get_mut(near.len()..).unwrap_or_default();
                let rest_at = payload_at.saturating_add(near.len() as u64);
                let there = self.file.read_full(rest, rest_at)?;
                if there != rest.len() || !header.matches(&payload) {
                    return Ok(Read::BadPayload(header));
                }
                Bytes::from(payload)
            }
        };
        Ok(Read::Whole(Frame { segment: self.segment, offset, header, payload }))
    }

    /// Where to go on after something unreadable at `bad`: the first good
    /// header from `from` on, if the rest of the segment shows that what is at
    /// `bad` was durable once.
    fn resume(
        &self,
        bad: u64,
        from: u64,
        expected: u64,
        length: u64,
    ) -> io::Result<Option<(u64, u64)>> {
        let mut chunk = vec![0; ZEROS.len()];
        let mut first = None;
        let mut at = from;
        while at < length {
            let there = self.file.read_full(&mut chunk, at)?;
            let bytes = chunk.get(..there).unwrap_or_default();
            if there < HEADER_BYTES {
                break;
            }
            if ZEROS.get(..there) == Some(bytes) {
                // Preallocated space. No header crosses its end, for that
                // would begin with the magic number.
                at = at.saturating_add(there as u64);
                continue;
            }
            let mut inside = 0;
            while let Some(candidate) = bytes.get(inside..inside + HEADER_BYTES) {
                let offset = at.saturating_add(inside as u64);
                inside += ALIGNMENT as usize;
                let header = Header::decode(candidate, self.salt, offset);
                let Some(header) = header.filter(|header| header.sequence >= expected) else {
                    continue;
                };
                let found = *first.get_or_insert((offset, header.sequence));
                if !self.last || header.durable > bad {
                    return Ok(Some(found));
                }
            }
            at = at.saturating_add(inside as u64);
        }
        Ok(None)
    }
}

/// The bytes around a place, so that small frames do not each cost a read.
struct Window {
    bytes: Vec<u8>,
    /// Where in the file they begin, and how many there are.
    from: u64,
    count: usize,
}

/// Bytes of a window when frames are read in a row: some records of usual size.
const WINDOW: usize = 16 * 1024;
/// What of a frame must be in a window.
const START: usize = HEADER_BYTES + Digest::BYTES;

impl Window {
    fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes.max(START)], from: 0, count: 0 }
    }

    /// The bytes from an offset on: at least the start of a frame, unless the
    /// file ends before.
    fn at(&mut self, file: &dyn DiskFile, offset: u64) -> io::Result<&[u8]> {
        let inside = offset.checked_sub(self.from).and_then(|at| usize::try_from(at).ok());
        let at = match inside.filter(|at| at.saturating_add(START) <= self.count) {
            Some(at) => at,
            None => {
                self.count = file.read_full(&mut self.bytes, offset)?;
                self.from = offset;
                0
            }
        };
        Ok(self.bytes.get(at..self.count).unwrap_or_default())
    }
}

enum Read {
    Whole(Frame),
    BadPayload(Header),
    Nothing,
}

/// A segment that is open for reading some frames of it, all of which were
/// durable before it was opened: what is read once is not read again.
pub(crate) struct Opened {
    file: Box<dyn DiskFile>,
    salt: Salt,
    segment: u64,
    length: u64,
    window: Window,
}

impl Opened {
    /// An open segment. When beginnings of frames are to be read, there will be
    /// several near each other.
    pub(crate) fn new(
        file: Box<dyn DiskFile>,
        salt: Salt,
        segment: u64,
        depth: Depth,
    ) -> Result<Self, LogError> {
        let length = file.length().at("reading a record")?;
        let window = match depth {
            Depth::Whole => START,
            Depth::Beginning => WINDOW,
        };
        Ok(Self { file, salt, segment, length, window: Window::new(window) })
    }

    /// Its first sequence number.
    pub(crate) fn segment(&self) -> u64 {
        self.segment
    }

    /// Bytes from an offset on, as far as the segment goes.
    pub(crate) fn bytes(&self, offset: u64, count: usize) -> Result<Bytes, LogError> {
        let mut bytes = vec![0; count];
        let there = self.file.read_full(&mut bytes, offset).at("reading a record")?;
        bytes.truncate(there);
        Ok(Bytes::from(bytes))
    }

    /// Reads the frame that begins at an offset.
    pub(crate) fn frame(&mut self, offset: u64, depth: Depth) -> Result<Frame, LogError> {
        let (file, salt, segment) = (self.file.as_ref(), &self.salt, self.segment);
        let scan = Scan { file, salt, segment, offset, expected: 0, last: false, depth };
        match scan.frame(offset, self.length, &mut self.window).at("reading a record")? {
            Read::Whole(frame) => Ok(frame),
            Read::BadPayload(_) => {
                Err(LogError::damaged(segment::label(segment), offset, "a frame's checksum"))
            }
            Read::Nothing => Err(no_frame(segment, offset)),
        }
    }
}

/// The error when a frame is not where it should be.
pub(crate) fn no_frame(segment: u64, offset: u64) -> LogError {
    LogError::damaged(segment::label(segment), offset, "no frame where one was")
}
