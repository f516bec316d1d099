//! Segment files: their names, their header, and how one is made.
//!
//! ```text
//!  0  magic "CWSEGMT2"             24  first sequence number (u64)
//!  8  the log's random id (16)     32  made at, milliseconds (i64)
//! 40  zeros                        60  CRC-32 of bytes 0..60
//! ```
//! Frames follow from byte 64. A new segment gets its header under another
//! name and is then renamed, so a file with a segment's name always has one.
//! The last character of the magic is the version of all that is in the log.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile};
use crate::error::{AtStep, LogError};
use crate::frame::{put, u32_at, u64_at};

/// The length of a segment's header: where its frames begin.
pub(crate) const HEADER_BYTES: u64 = 64;
const MAGIC: [u8; 8] = *b"CWSEGMT2";
/// The version of the format, the last character of the magic.
const VERSION: char = '2';
const SUFFIX: &str = ".segment";
const UNFINISHED_SUFFIX: &str = ".new";

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) log: [u8; 16],
    pub(crate) first: u64,
    pub(crate) made: i64,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut out = [0; HEADER_BYTES as usize];
        put(&mut out, 0, &MAGIC);
        put(&mut out, 8, &self.log);
        put(&mut out, 24, &self.first.to_le_bytes());
        put(&mut out, 32, &self.made.to_le_bytes());
        let crc = crc32fast::hash(out.get(..60).unwrap_or_default());
        put(&mut out, 60, &crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..8)? != MAGIC || u32_at(bytes, 60)? != crc32fast::hash(bytes.get(..60)?) {
            return None;
        }
        Some(Self {
            log: bytes.get(8..24)?.try_into().ok()?,
            first: u64_at(bytes, 24)?,
            made: u64_at(bytes, 32)?.cast_signed(),
        })
    }
}

/// The file of the segment that begins with a sequence number.
pub(crate) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:016x}{SUFFIX}"))
}

/// The first sequence number in a segment's file name.
pub(crate) fn first_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Makes an empty segment of the given length, durable with its name.
pub(crate) fn create(
    disk: &dyn Disk,
    folder: &Path,
    header: &Header,
    length: u64,
) -> Result<Box<dyn DiskFile>, LogError> {
    let step = "making a segment";
    let unfinished = folder.join(format!("{:016x}{UNFINISHED_SUFFIX}", header.first));
    match disk.remove(&unfinished) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(LogError::io(step, e)),
        _ => {}
    }
    let file = disk.create(&unfinished).at(step)?;
    file.set_length(length.max(HEADER_BYTES)).at(step)?;
    file.write_full(&header.encode(), 0).at(step)?;
    file.sync_all().at(step)?;
    disk.rename(&unfinished, &path(folder, header.first)).at(step)?;
    disk.sync_folder(folder).at(step)?;
    Ok(file)
}

/// The segments of a folder in order, as first sequence numbers. What a crash
/// left half made is removed.
pub(crate) fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, LogError> {
    let step = "listing the segments";
    let mut segments = Vec::new();
    for name in disk.list(folder).at(step)? {
        if let Some(first) = first_of_name(&name) {
            segments.push(first);
        } else if name.ends_with(UNFINISHED_SUFFIX) {
            disk.remove(&folder.join(&name)).at(step)?;
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Reads a segment's header and checks that it is the one its name says.
pub(crate) fn read_header(file: &dyn DiskFile, first: u64) -> Result<Header, LogError> {
    let mut bytes = [0; HEADER_BYTES as usize];
    file.read_full(&mut bytes, 0).at("reading a segment")?;
    if let (Some(b"CWSEGMT"), Some(version)) = (bytes.get(..7), bytes.get(7))
        && MAGIC.last() != Some(version)
        && version.is_ascii_alphanumeric()
    {
        let found = char::from(*version);
        return Err(LogError::Format { file: label(first), found, expected: VERSION });
    }
    Header::decode(&bytes)
        .filter(|header| header.first == first)
        .ok_or_else(|| LogError::damaged(label(first), 0, "the segment's header"))
}

/// A segment's name in messages.
pub(crate) fn label(first: u64) -> String {
    format!("segment {first:016x}")
}
