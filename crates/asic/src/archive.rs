//! ZIP archives (PKWARE APPNOTE 6.3), in the part that containers need: entries that are stored
//! or deflated, no encryption, no 64-bit extensions, nothing split over files.
//!
//! [`Archive::open`] accepts an archive only when every way of reading it gives the same entries:
//! the central directory and the headers before each entry agree, entries lie one behind the
//! other from the first byte to the directory without gaps, and no name occurs twice or leads out
//! of the folder into which it is unpacked. A reader that walks the file from its beginning, as
//! X-Road's does, sees what a reader of the directory sees. Bounds ([`crate::Limits`]) hold before
//! anything is inflated. Symbolic links are files like any other.

mod directory;
mod fields;
mod writer;

use std::fmt;
use std::io::{Read, Seek, SeekFrom, Write};

use flate2::{Decompress, FlushDecompress, Status};

use crate::{AsicError, Limits};

pub use writer::ArchiveWriter;

/// How much is read or inflated at once, in bytes.
const CHUNK: usize = 64 << 10;

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    name: String,
    deflated: bool,
    crc: u32,
    compressed: u64,
    size: u64,
    data_start: u64,
}

impl Entry {
    /// The name: a relative path with `/` between its parts, safe to unpack.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The inflated size in bytes, as the archive declares it; reading fails when it is not true.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The size in the archive, in bytes.
    pub fn compressed_size(&self) -> u64 {
        self.compressed
    }

    /// Whether the entry is deflated; else it is stored.
    pub fn is_deflated(&self) -> bool {
        self.deflated
    }

    /// Whether the entry is a folder, which has no content.
    pub fn is_directory(&self) -> bool {
        self.name.ends_with('/')
    }
}

/// An archive whose structure was found sound.
pub struct Archive<R> {
    reader: R,
    entries: Vec<Entry>,
    comment: Vec<u8>,
}

impl<R> fmt::Debug for Archive<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the structure of an archive and judges it; nothing is inflated.
    ///
    /// # Errors
    /// [`AsicError::NotAnArchive`], [`AsicError::Damaged`], [`AsicError::Refused`],
    /// [`AsicError::TooLarge`] or [`AsicError::Io`].
    pub fn open(mut reader: R, limits: &Limits) -> Result<Self, AsicError> {
        let (entries, comment) = directory::read(&mut reader, limits)?;
        Ok(Self { reader, entries, comment })
    }

    /// The entries, in the order of the archive's directory.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of exactly this name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The comment of the whole archive.
    pub fn comment(&self) -> &[u8] {
        &self.comment
    }

    /// The content of an entry.
    ///
    /// # Errors
    /// [`AsicError::TooLarge`] when it is larger than `max_bytes`, else as [`Archive::copy`].
    pub fn read(&mut self, entry: &Entry, max_bytes: u64) -> Result<Vec<u8>, AsicError> {
        if entry.size > max_bytes {
            let what = format!("'{}', inflated, in bytes,", entry.name);
            return Err(AsicError::TooLarge { what, limit: max_bytes });
        }
        let mut out = Vec::new();
        self.copy(entry, &mut out)?;
        Ok(out)
    }

    /// Writes the content of an entry to `out`, piece by piece, and returns its size.
    ///
    /// # Errors
    /// [`AsicError::Damaged`] when the content is not of the declared size or check sum (what was
    /// written until then is to be thrown away), [`AsicError::Io`].
    pub fn copy(&mut self, entry: &Entry, out: &mut dyn Write) -> Result<u64, AsicError> {
        self.reader.seek(SeekFrom::Start(entry.data_start))?;
        let mut sink = Sink { out, crc: crc32fast::Hasher::new(), size: 0, entry };
        let mut raw = (&mut self.reader).take(entry.compressed);
        if entry.deflated {
            inflate(&mut raw, &mut sink)?;
        } else {
            copy_stored(&mut raw, &mut sink)?;
        }
        sink.finish()
    }
}

/// Where content goes: never more than was declared.
struct Sink<'s> {
    out: &'s mut dyn Write,
    crc: crc32fast::Hasher,
    size: u64,
    entry: &'s Entry,
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), AsicError> {
        self.size += bytes.len() as u64;
        if self.size > self.entry.size {
            return Err(self.wrong_size());
        }
        self.crc.update(bytes);
        self.out.write_all(bytes)?;
        Ok(())
    }

    fn finish(self) -> Result<u64, AsicError> {
        if self.size != self.entry.size {
            return Err(self.wrong_size());
        }
        if self.crc.finalize() != self.entry.crc {
            let text = format!("the check sum of '{}' differs", self.entry.name);
            return Err(AsicError::Damaged(text));
        }
        Ok(self.size)
    }

    fn wrong_size(&self) -> AsicError {
        AsicError::Damaged(format!("'{}' is not as long as it says", self.entry.name))
    }
}

fn copy_stored(raw: &mut dyn Read, sink: &mut Sink<'_>) -> Result<(), AsicError> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match raw.read(&mut chunk)? {
            0 => return Ok(()),
            read => sink.write(&chunk[..read])?,
        }
    }
}

/// Inflates a raw deflate stream (RFC 1951) that must end where the entry ends.
fn inflate(raw: &mut dyn Read, sink: &mut Sink<'_>) -> Result<(), AsicError> {
    let damaged = |sink: &Sink<'_>| {
        AsicError::Damaged(format!("'{}' is not a deflate stream", sink.entry.name))
    };
    let mut inflater = Decompress::new(false);
    let mut input = vec![0; CHUNK];
    let mut output = vec![0; CHUNK];
    let mut pending = 0..0;
    loop {
        if pending.is_empty() {
            pending = 0..raw.read(&mut input)?;
        }
        let (consumed, produced) = (inflater.total_in(), inflater.total_out());
        let status = inflater
            .decompress(&input[pending.clone()], &mut output, FlushDecompress::None)
            .map_err(|_| damaged(sink))?;
        let consumed = inflater.total_in() - consumed;
        let produced = inflater.total_out() - produced;
        sink.write(&output[..usize::try_from(produced).unwrap_or(CHUNK)])?;
        pending.start += usize::try_from(consumed).unwrap_or(pending.len());
        if status == Status::StreamEnd {
            break;
        }
        if consumed == 0 && produced == 0 {
            return Err(damaged(sink));
        }
    }
    if inflater.total_in() != sink.entry.compressed {
        let text = format!("'{}' has bytes behind its deflate stream", sink.entry.name);
        return Err(AsicError::Refused(text));
    }
    Ok(())
}
