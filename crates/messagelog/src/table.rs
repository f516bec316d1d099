//! What is in one segment: where each frame begins, and which message keys
//! occur. The active segment's table is in memory; a full segment's is written
//! beside it once and then only read, so that memory does not grow with the log.
//!
//! ```text
//!  0  magic "CWTABLE1"             32  frames (u32)
//!  8  the log's random id (16)     36  message keys (u32)
//! 24  first sequence number (u64)  40  bytes of frames (u64)
//!                                  48  bytes of bodies in files (u64)
//!                                  60  CRC-32 of bytes 0..60
//! 64  one u32 for each sequence number: its frame's offset div 8, 0 for none
//!  …  (key u64, sequence number minus first u32) for each message, sorted
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::codec::Digest;
use crate::disk::{Disk, DiskFile};
use crate::error::{AtStep, LogError};
use crate::frame::{ALIGNMENT, put, u32_at, u64_at};

const MAGIC: [u8; 8] = *b"CWTABLE1";
const HEADER_BYTES: u64 = 64;
const OFFSET_BYTES: u64 = 4;
const KEY_BYTES: u64 = 12;

/// A segment in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) messages: u64,
    /// Bytes of frames.
    pub(crate) bytes: u64,
    /// Bytes of bodies in files.
    pub(crate) body_bytes: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.body_bytes = self.body_bytes.saturating_add(other.body_bytes);
    }
}

/// A table in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) first: u64,
    offsets: Vec<u32>,
    keys: Vec<(u64, u32)>,
    pub(crate) totals: Totals,
}

impl Table {
    pub(crate) fn new(first: u64) -> Self {
        Self { first, offsets: Vec::new(), keys: Vec::new(), totals: Totals::default() }
    }

    /// Adds the frame of a sequence number, with its digest when it is a
    /// message. Numbers come in order; those left out are lost.
    pub(crate) fn push(
        &mut self,
        sequence: u64,
        offset: u64,
        bytes: u64,
        message: Option<&Digest>,
    ) {
        let index = sequence.saturating_sub(self.first);
        let (Ok(index), Ok(place)) = (u32::try_from(index), u32::try_from(offset / ALIGNMENT))
        else {
            return;
        };
        if (index as usize) < self.offsets.len() {
            return;
        }
        self.offsets.resize(index as usize, 0);
        self.offsets.push(place);
        let mut totals = Totals { bytes, ..Totals::default() };
        if let Some(digest) = message {
            self.keys.push((digest.key, index));
            totals.messages = 1;
            totals.body_bytes = digest.body_bytes;
        }
        self.totals.add(totals);
    }

    /// Where the frame of a sequence number begins.
    pub(crate) fn offset(&self, sequence: u64) -> Option<u64> {
        let index = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        place(*self.offsets.get(index)?)
    }

    /// The messages of a key, in order.
    pub(crate) fn find(&self, key: u64, out: &mut Vec<u64>) {
        let found = self.keys.iter().filter(|(other, _)| *other == key);
        out.extend(found.map(|(_, index)| self.first.saturating_add(u64::from(*index))));
    }

    fn encode(&self, log: &[u8; 16]) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES as usize];
        put(&mut out, 0, &MAGIC);
        put(&mut out, 8, log);
        put(&mut out, 24, &self.first.to_le_bytes());
        put(&mut out, 32, &(self.offsets.len() as u32).to_le_bytes());
        put(&mut out, 36, &(self.keys.len() as u32).to_le_bytes());
        put(&mut out, 40, &self.totals.bytes.to_le_bytes());
        put(&mut out, 48, &self.totals.body_bytes.to_le_bytes());
        let crc = crc32fast::hash(out.get(..60).unwrap_or_default());
        put(&mut out, 60, &crc.to_le_bytes());
        for offset in &self.offsets {
            out.extend_from_slice(&offset.to_le_bytes());
        }
        let mut keys = self.keys.clone();
        keys.sort_unstable();
        for (key, index) in keys {
            out.extend_from_slice(&key.to_le_bytes());
            out.extend_from_slice(&index.to_le_bytes());
        }
        out
    }

    /// Writes the table of a full segment, replacing one that is there.
    pub(crate) fn write(
        &self,
        disk: &dyn Disk,
        folder: &Path,
        log: &[u8; 16],
    ) -> Result<(), LogError> {
        let step = "writing a table";
        let unfinished = folder.join(format!("{:016x}.table-new", self.first));
        match disk.remove(&unfinished) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(LogError::io(step, e)),
            _ => {}
        }
        let file = disk.create(&unfinished).at(step)?;
        file.write_full(&self.encode(log), 0).at(step)?;
        file.sync_all().at(step)?;
        disk.rename(&unfinished, &path(folder, self.first)).at(step)
    }
}

/// The file of the table of a segment.
pub(crate) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:016x}.table"))
}

/// A written table.
pub(crate) struct TableFile {
    file: Box<dyn DiskFile>,
    first: u64,
    offsets: u64,
    keys: u64,
    pub(crate) totals: Totals,
}

impl TableFile {
    /// Opens the table of a segment; `None` when it is missing or not whole.
    pub(crate) fn open(
        disk: &dyn Disk,
        folder: &Path,
        log: &[u8; 16],
        first: u64,
    ) -> io::Result<Option<Self>> {
        let file = match disk.open(&path(folder, first), false) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut bytes = [0; HEADER_BYTES as usize];
        file.read_full(&mut bytes, 0)?;
        let Some((offsets, totals)) = read_header(&bytes, log, first) else { return Ok(None) };
        let keys = totals.messages;
        let length = HEADER_BYTES + offsets * OFFSET_BYTES + keys * KEY_BYTES;
        Ok((file.length()? == length).then_some(Self { file, first, offsets, keys, totals }))
    }

    /// Where the frame of a sequence number begins.
    pub(crate) fn offset(&self, sequence: u64) -> io::Result<Option<u64>> {
        let Some(index) = sequence.checked_sub(self.first).filter(|i| *i < self.offsets) else {
            return Ok(None);
        };
        let mut bytes = [0; OFFSET_BYTES as usize];
        self.file.read_full(&mut bytes, HEADER_BYTES + index * OFFSET_BYTES)?;
        Ok(place(u32::from_le_bytes(bytes)))
    }

    /// The messages of a key, in order.
    pub(crate) fn find(&self, key: u64, out: &mut Vec<u64>) -> io::Result<()> {
        let (mut low, mut high) = (0, self.keys);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle)? {
                Some((other, _)) if other >= key => high = middle,
                _ => low = middle + 1,
            }
        }
        while let Some((other, index)) = self.key(low)? {
            if other != key {
                break;
            }
            out.push(self.first.saturating_add(u64::from(index)));
            low += 1;
        }
        Ok(())
    }

    fn key(&self, index: u64) -> io::Result<Option<(u64, u32)>> {
        if index >= self.keys {
            return Ok(None);
        }
        let mut bytes = [0; KEY_BYTES as usize];
        let at = HEADER_BYTES + self.offsets * OFFSET_BYTES + index * KEY_BYTES;
        self.file.read_full(&mut bytes, at)?;
        Ok(u64_at(&bytes, 0).zip(u32_at(&bytes, 8)))
    }
}

fn read_header(bytes: &[u8], log: &[u8; 16], first: u64) -> Option<(u64, Totals)> {
    let whole = bytes.get(..8)? == MAGIC
        && bytes.get(8..24)? == log
        && u64_at(bytes, 24)? == first
        && u32_at(bytes, 60)? == crc32fast::hash(bytes.get(..60)?);
    let totals = Totals {
        messages: u64::from(u32_at(bytes, 36)?),
        bytes: u64_at(bytes, 40)?,
        body_bytes: u64_at(bytes, 48)?,
    };
    whole.then_some((u64::from(u32_at(bytes, 32)?), totals))
}

fn place(stored: u32) -> Option<u64> {
    (stored != 0).then_some(u64::from(stored) * ALIGNMENT)
}
