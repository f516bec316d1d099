//! Writing an archive to anything that takes bytes, without seeking back.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use time::{OffsetDateTime, UtcOffset};

use super::CHUNK;
use super::directory::{DESCRIPTOR, DIRECTORY_HEADER, END_RECORD, FLAG_DESCRIPTOR, LOCAL_HEADER};
use crate::AsicError;

/// The version of the format that readers need: 2.0, deflate.
const VERSION: u16 = 20;

/// Writes an archive. The same content and times give the same bytes.
///
/// Names are the caller's own constants, or names that this crate made: relative and ASCII.
pub struct ArchiveWriter<W> {
    out: W,
    position: u64,
    directory: Vec<u8>,
    count: u16,
    time: OffsetDateTime,
}

impl<W> std::fmt::Debug for ArchiveWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveWriter").field("count", &self.count).finish_non_exhaustive()
    }
}

/// What the two headers of an entry say.
struct Header<'n> {
    name: &'n str,
    flags: u16,
    method: u16,
    crc: u32,
    compressed: u32,
    size: u32,
    extra: Vec<u8>,
    offset: u32,
}

impl<W: Write> ArchiveWriter<W> {
    /// Starts an archive whose entries have this modification time.
    pub fn new(out: W, time: OffsetDateTime) -> Self {
        Self { out, position: 0, directory: Vec::new(), count: 0, time }
    }

    /// Sets the modification time of the entries that follow.
    pub fn set_time(&mut self, time: OffsetDateTime) {
        self.time = time;
    }

    /// Adds an entry as it is.
    ///
    /// # Errors
    /// [`AsicError::TooLarge`] beyond what an archive without 64-bit extensions holds, [`AsicError::Io`].
    pub fn store(&mut self, name: &str, content: &[u8]) -> Result<(), AsicError> {
        let extra = self.extended_time();
        self.whole(name, 0, content, content, extra)
    }

    /// Adds an entry as it is, with no extra field: so that the content starts where
    /// media type detection looks for it (ETSI EN 319 162-1, A.1).
    ///
    /// # Errors
    /// As [`ArchiveWriter::store`].
    pub fn store_plain(&mut self, name: &str, content: &[u8]) -> Result<(), AsicError> {
        self.whole(name, 0, content, content, Vec::new())
    }

    /// Adds a deflated entry.
    ///
    /// # Errors
    /// As [`ArchiveWriter::store`].
    pub fn deflate(&mut self, name: &str, content: &[u8]) -> Result<(), AsicError> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content)?;
        let compressed = encoder.finish()?;
        let extra = self.extended_time();
        self.whole(name, 8, content, &compressed, extra)
    }

    /// Adds a deflated entry that is read piece by piece; sizes and check sum follow behind the
    /// data. The source must give `length` bytes, no more and no less.
    ///
    /// # Errors
    /// [`AsicError::WrongLength`], else as [`ArchiveWriter::store`]; the archive is broken after any of them.
    pub fn deflate_from(
        &mut self,
        name: &str,
        source: &mut dyn Read,
        length: u64,
    ) -> Result<(), AsicError> {
        let size = fits(length, name)?;
        let extra = self.extended_time();
        let offset = fits(self.position, name)?;
        let (flags, method) = (FLAG_DESCRIPTOR, 8);
        let mut header =
            Header { name, flags, method, crc: 0, compressed: 0, size: 0, extra, offset };
        self.local_header(&header)?;

        let mut counted = Counted { out: &mut self.out, count: 0 };
        let mut encoder = DeflateEncoder::new(&mut counted, Compression::default());
        let mut crc = crc32fast::Hasher::new();
        let mut found = 0_u64;
        let mut chunk = vec![0; CHUNK];
        let mut source = source.take(length.saturating_add(1));
        loop {
            let read = source.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            found += read as u64;
            crc.update(&chunk[..read]);
            encoder.write_all(&chunk[..read])?;
        }
        encoder.finish()?;
        if found != length {
            return Err(AsicError::WrongLength { name: name.to_owned(), expected: length, found });
        }
        self.position += counted.count;
        header.crc = crc.finalize();
        header.compressed = fits(counted.count, name)?;
        header.size = size;
        self.describe(&header)
    }

    /// Adds an entry that is written piece by piece and whose size need not be known before. It is packed
    /// as X-Road packs containers into archives: a deflate stream that compresses nothing, which readers
    /// that cannot seek understand too; sizes and check sum follow behind the data.
    ///
    /// # Errors
    /// Those of `write`, else as [`ArchiveWriter::store`]; the archive is broken after any of them.
    pub fn pack<T, E: From<AsicError>>(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<T, E> {
        let extra = self.extended_time();
        let offset = fits(self.position, name)?;
        let (flags, method) = (FLAG_DESCRIPTOR, 8);
        let mut header =
            Header { name, flags, method, crc: 0, compressed: 0, size: 0, extra, offset };
        self.local_header(&header)?;

        let (written, packed, crc, count) = {
            let packed = Counted { out: &mut self.out, count: 0 };
            let encoder = DeflateEncoder::new(packed, Compression::none());
            let mut summed = Summed { out: encoder, crc: crc32fast::Hasher::new(), count: 0 };
            let written = write(&mut summed)?;
            let Summed { out: encoder, crc, count } = summed;
            (written, encoder.finish().map_err(AsicError::from)?.count, crc, count)
        };
        self.position += packed;
        header.crc = crc.finalize();
        header.compressed = fits(packed, name)?;
        header.size = fits(count, name)?;
        self.describe(&header)?;
        Ok(written)
    }

    /// How many bytes were written, without the directory that is yet to come.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Writes the directory and the comment, and gives back what was written to.
    ///
    /// # Errors
    /// As [`ArchiveWriter::store`]; also for a comment longer than 65,535 bytes.
    pub fn finish(mut self, comment: &str) -> Result<W, AsicError> {
        let start = fits(self.position, "the directory")?;
        let bytes = fits(self.directory.len() as u64, "the directory")?;
        let directory = std::mem::take(&mut self.directory);
        self.write(&directory)?;
        let mut end = Vec::with_capacity(22 + comment.len());
        end.extend_from_slice(&END_RECORD.to_le_bytes());
        end.extend_from_slice(&[0; 4]);
        end.extend_from_slice(&self.count.to_le_bytes());
        end.extend_from_slice(&self.count.to_le_bytes());
        end.extend_from_slice(&bytes.to_le_bytes());
        end.extend_from_slice(&start.to_le_bytes());
        end.extend_from_slice(&fits16(comment.len(), "the comment")?.to_le_bytes());
        end.extend_from_slice(comment.as_bytes());
        self.write(&end)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn whole(
        &mut self,
        name: &str,
        method: u16,
        content: &[u8],
        packed: &[u8],
        extra: Vec<u8>,
    ) -> Result<(), AsicError> {
        let header = Header {
            name,
            flags: 0,
            method,
            crc: crc32fast::hash(content),
            compressed: fits(packed.len() as u64, name)?,
            size: fits(content.len() as u64, name)?,
            extra,
            offset: fits(self.position, name)?,
        };
        self.local_header(&header)?;
        self.write(packed)?;
        self.directory_header(&header)
    }

    /// What follows behind the data of an entry, and its line in the directory.
    fn describe(&mut self, header: &Header<'_>) -> Result<(), AsicError> {
        let mut descriptor = Vec::with_capacity(16);
        for field in [DESCRIPTOR, header.crc, header.compressed, header.size] {
            descriptor.extend_from_slice(&field.to_le_bytes());
        }
        self.write(&descriptor)?;
        self.directory_header(header)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), AsicError> {
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn local_header(&mut self, header: &Header<'_>) -> Result<(), AsicError> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&LOCAL_HEADER.to_le_bytes());
        self.shared_fields(header, &mut bytes)?;
        bytes.extend_from_slice(header.name.as_bytes());
        bytes.extend_from_slice(&header.extra);
        self.write(&bytes)
    }

    fn directory_header(&mut self, header: &Header<'_>) -> Result<(), AsicError> {
        self.count =
            self.count.checked_add(1).filter(|count| *count < u16::MAX).ok_or_else(|| {
                AsicError::TooLarge { what: "the number of entries".into(), limit: 65_534 }
            })?;
        let mut bytes = Vec::with_capacity(80);
        bytes.extend_from_slice(&DIRECTORY_HEADER.to_le_bytes());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        self.shared_fields(header, &mut bytes)?;
        // Comment length, disk, internal and external attributes: all zero.
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(&header.offset.to_le_bytes());
        bytes.extend_from_slice(header.name.as_bytes());
        bytes.extend_from_slice(&header.extra);
        self.directory.extend_from_slice(&bytes);
        Ok(())
    }

    /// The fields from the needed version to the length of the extra field, alike in both headers.
    fn shared_fields(&self, header: &Header<'_>, bytes: &mut Vec<u8>) -> Result<(), AsicError> {
        let (date, time) = dos_time(self.time);
        for field in [VERSION, header.flags, header.method, time, date] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        for field in [header.crc, header.compressed, header.size] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&fits16(header.name.len(), header.name)?.to_le_bytes());
        bytes.extend_from_slice(&fits16(header.extra.len(), header.name)?.to_le_bytes());
        Ok(())
    }

    /// The extended timestamp field: seconds of the modification time, without a zone to guess.
    /// Absent outside of its range.
    fn extended_time(&self) -> Vec<u8> {
        let Ok(seconds) = i32::try_from(self.time.unix_timestamp()) else { return Vec::new() };
        let mut extra = vec![b'U', b'T', 5, 0, 1];
        extra.extend_from_slice(&seconds.to_le_bytes());
        extra
    }
}

/// Counts what passes.
struct Counted<W> {
    out: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Counts what passes, and sums it up.
struct Summed<W> {
    out: W,
    crc: crc32fast::Hasher,
    count: u64,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.crc.update(bytes.get(..written).unwrap_or(bytes));
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        // Flushing a deflate stream would end a block, so that bytes would depend on who flushes.
        Ok(())
    }
}

fn fits(value: u64, what: &str) -> Result<u32, AsicError> {
    u32::try_from(value).ok().filter(|value| *value != u32::MAX).ok_or_else(|| {
        let what = format!("the archive at '{what}', in bytes,");
        AsicError::TooLarge { what, limit: u64::from(u32::MAX) - 1 }
    })
}

fn fits16(value: usize, what: &str) -> Result<u16, AsicError> {
    u16::try_from(value).map_err(|_| AsicError::TooLarge {
        what: format!("a field of '{what}', in bytes,"),
        limit: u64::from(u16::MAX),
    })
}

/// Date and time as FAT has them: UTC here, two seconds apart, 1980 to 2107.
fn dos_time(time: OffsetDateTime) -> (u16, u16) {
    let time = time.to_offset(UtcOffset::UTC);
    let Ok(years) = u16::try_from(time.year() - 1980) else { return (1 << 5 | 1, 0) };
    if years > 127 {
        return (127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29);
    }
    let date = years << 9 | u16::from(u8::from(time.month())) << 5 | u16::from(time.day());
    let clock = (u16::from(time.hour()) << 11)
        | (u16::from(time.minute()) << 5)
        | (u16::from(time.second()) / 2);
    (date, clock)
}
