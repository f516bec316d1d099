//! A frame of a segment: the records of one moment, compressed together.
//!
//! ```text
//! magic "OPF1" | time (8) | records (4) | marks (4) | packed length (4) | length (4) | CRC of the packed bytes (4)
//! | the marks (4 each) | CRC of all before it (4) | packed bytes
//! ```
//! Numbers are little-endian; the time is in seconds since 1970. A *mark* is a number of a client or
//! provider that occurs; a frame with more than [`MAX_MARKS`] has none, which means that anybody may
//! occur. The packed bytes are the records as JSON, one a line, deflated.

use std::io::{self, Read, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::Record;

pub(super) const FIXED_BYTES: usize = 32;
/// The most marks that a frame lists.
pub(super) const MAX_MARKS: usize = 1024;
/// The most records of a frame.
pub(super) const MAX_RECORDS: usize = 5_000;
/// The longest a frame's records may be, in bytes, unpacked: 64 MiB. A record has at most
/// 24 texts of 255 characters and one of 2,048, four bytes each at most, escaped: far less than [`MAX_RECORD_BYTES`].
pub(super) const MAX_BYTES: usize = 64 << 20;
/// The longest a record may be as JSON; a frame is closed before another might not fit.
const MAX_RECORD_BYTES: usize = 256 << 10;
const MAGIC: [u8; 4] = *b"OPF1";

/// What a frame's beginning says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) time: u64,
    pub(super) records: u32,
    pub(super) packed: u32,
    length: u32,
    crc: u32,
    /// `None`: anybody may occur.
    marks: Option<Vec<u32>>,
}

impl Header {
    /// Reads a frame's beginning; `None` when there is none, or it is damaged or incomplete.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut fixed = [0; FIXED_BYTES];
        if !fill(from, &mut fixed)? || fixed[..4] != MAGIC {
            return Ok(None);
        }
        let number = |at: usize| u32::from_le_bytes(four(&fixed, at));
        let count = number(16);
        let listed = if count == u32::MAX { 0 } else { count as usize };
        let (records, packed, length) = (number(12), number(20), number(24));
        let fits = listed <= MAX_MARKS
            && records as usize <= MAX_RECORDS
            && packed as usize <= MAX_BYTES
            && length as usize <= MAX_BYTES;
        if !fits {
            return Ok(None);
        }
        let mut rest = vec![0; listed * 4 + 4];
        if !fill(from, &mut rest)? {
            return Ok(None);
        }
        let (marks, crc) = rest.split_at(listed * 4);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&fixed);
        hasher.update(marks);
        if hasher.finalize().to_le_bytes() != crc {
            return Ok(None);
        }
        let mut time = [0; 8];
        time.copy_from_slice(&fixed[4..12]);
        let marks =
            marks.chunks_exact(4).map(|m| u32::from_le_bytes(four(m, 0))).collect::<Vec<u32>>();
        Ok(Some(Self {
            time: u64::from_le_bytes(time),
            records,
            packed,
            length,
            crc: number(28),
            marks: (count != u32::MAX).then_some(marks),
        }))
    }

    /// How many bytes of the file the beginning takes.
    pub(super) fn bytes(&self) -> u64 {
        (FIXED_BYTES + 4 * self.marks.as_ref().map_or(0, Vec::len) + 4) as u64
    }

    /// Whether somebody with this mark may occur.
    pub(super) fn may_have(&self, mark: u32) -> bool {
        self.marks.as_ref().is_none_or(|marks| marks.binary_search(&mark).is_ok())
    }

    /// The records of the packed bytes; `None` when they are damaged.
    pub(super) fn unpack(&self, packed: &[u8]) -> Option<Vec<Record>> {
        if packed.len() != self.packed as usize || crc32fast::hash(packed) != self.crc {
            return None;
        }
        let mut text = Vec::with_capacity(self.length as usize);
        let most = u64::from(self.length) + 1;
        DeflateDecoder::new(packed).take(most).read_to_end(&mut text).ok()?;
        if text.len() != self.length as usize {
            return None;
        }
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let records: Option<Vec<Record>> = lines
            .take(self.records as usize + 1)
            .map(|line| serde_json::from_slice(line).ok())
            .collect();
        let mut records = records.filter(|r| r.len() == self.records as usize)?;
        records.iter_mut().for_each(|r| r.monitoring_data_ts = self.time);
        Some(records)
    }
}

/// A frame of as many of the records as fit into one, with their number: at least one.
pub(super) fn pack(records: &[Record], time: u64) -> io::Result<(Vec<u8>, usize)> {
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
    let (mut count, mut length) = (0, 0);
    let mut marks = Vec::new();
    let mut line = Vec::new();
    for record in records.iter().take(MAX_RECORDS) {
        if length > MAX_BYTES - MAX_RECORD_BYTES {
            break;
        }
        line.clear();
        serde_json::to_writer(&mut line, record)?;
        line.push(b'\n');
        if line.len() > MAX_RECORD_BYTES {
            return Err(io::Error::other("an operational data record is longer than 256 KiB"));
        }
        packer.write_all(&line)?;
        count += 1;
        length += line.len();
        marks.extend([record.client().mark(), record.provider().mark()]);
    }
    let packed = packer.finish()?;
    marks.sort_unstable();
    marks.dedup();
    let listed = if marks.len() > MAX_MARKS { &[][..] } else { &marks[..] };
    let marks_field = if marks.len() > MAX_MARKS { u32::MAX } else { marks.len() as u32 };
    let mut frame = Vec::with_capacity(FIXED_BYTES + listed.len() * 4 + 4 + packed.len());
    frame.extend(MAGIC);
    frame.extend(time.to_le_bytes());
    for number in
        [count as u32, marks_field, packed.len() as u32, length as u32, crc32fast::hash(&packed)]
    {
        frame.extend(number.to_le_bytes());
    }
    for mark in listed {
        frame.extend(mark.to_le_bytes());
    }
    frame.extend(crc32fast::hash(&frame).to_le_bytes());
    frame.extend(packed);
    Ok((frame, count))
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    four
}

/// Fills the buffer; `false` when the file ends before.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
