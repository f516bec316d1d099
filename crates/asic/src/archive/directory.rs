//! The structure of an archive: directory, headers, and that they agree.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};

use super::Entry;
use super::fields::Fields;
use crate::{AsicError, Limits};

pub(super) const LOCAL_HEADER: u32 = 0x0403_4b50;
pub(super) const DIRECTORY_HEADER: u32 = 0x0201_4b50;
pub(super) const END_RECORD: u32 = 0x0605_4b50;
pub(super) const DESCRIPTOR: u32 = 0x0807_4b50;

/// Flag: sizes and check sum follow behind the data.
pub(super) const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// Flags that may be set: how hard the deflater tried, descriptor, UTF-8 names.
const KNOWN_FLAGS: u16 = 0b110 | FLAG_DESCRIPTOR | FLAG_UTF8;
/// Flags in which the two headers of an entry must agree.
const SHARED_FLAGS: u16 = FLAG_DESCRIPTOR | FLAG_UTF8 | 1;
const FLAG_UTF8: u16 = 1 << 11;

const END_RECORD_BYTES: usize = 22;
const MAX_COMMENT: usize = 0xffff;
/// Longest name of an entry, in bytes.
const MAX_NAME: usize = 1024;
/// Extra field: 64-bit sizes.
const EXTRA_ZIP64: u16 = 0x0001;
/// Extra field: another name for the entry, which some readers would take.
const EXTRA_UNICODE_PATH: u16 = 0x7075;

/// What the directory says of an entry, before its own header is compared.
struct Listed {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    offset: u64,
}

/// Reads the entries and the archive's comment.
pub(super) fn read<R: Read + Seek>(
    reader: &mut R,
    limits: &Limits,
) -> Result<(Vec<Entry>, Vec<u8>), AsicError> {
    let length = reader.seek(SeekFrom::End(0))?;
    if length > u64::from(u32::MAX) {
        let what = "the archive, in bytes,".to_owned();
        return Err(AsicError::TooLarge { what, limit: u64::from(u32::MAX) });
    }
    let end = find_end(reader, length)?;
    if end.count > limits.max_entries {
        let what = "the number of entries in the archive".to_owned();
        return Err(AsicError::TooLarge { what, limit: limits.max_entries as u64 });
    }
    reader.seek(SeekFrom::Start(end.directory_start))?;
    let directory = read_exactly(reader, end.directory_bytes)?;
    let listed = read_directory(&directory, end.count)?;
    check_bounds(&listed, limits)?;
    let starts = walk_headers(reader, &listed, end.directory_start)?;
    let entries = names(&listed)?
        .into_iter()
        .zip(listed.iter().zip(starts))
        .map(|(name, (entry, data_start))| Entry {
            name,
            deflated: entry.method == 8,
            crc: entry.crc,
            compressed: entry.compressed,
            size: entry.size,
            data_start,
        })
        .collect();
    Ok((entries, end.comment))
}

/// Walks from the first byte to the directory, from header to header, and gives where each entry's data start.
fn walk_headers<R: Read + Seek>(
    reader: &mut R,
    listed: &[Listed],
    directory_start: u64,
) -> Result<Vec<u64>, AsicError> {
    let mut order: Vec<usize> = (0..listed.len()).collect();
    order.sort_by_key(|index| listed[*index].offset);
    let mut starts = vec![0; listed.len()];
    let mut expected = 0;
    for (position, &index) in order.iter().enumerate() {
        let entry = &listed[index];
        if entry.offset != expected {
            break;
        }
        expected = order.get(position + 1).map_or(directory_start, |next| listed[*next].offset);
        starts[index] = compare_header(reader, entry, expected)?;
    }
    if expected == directory_start {
        Ok(starts)
    } else {
        Err(AsicError::refused("it has bytes that belong to no entry"))
    }
}

struct End {
    count: usize,
    directory_start: u64,
    directory_bytes: u64,
    comment: Vec<u8>,
}

/// Finds the end record: the last of its kind, whose comment ends with the file.
fn find_end<R: Read + Seek>(reader: &mut R, length: u64) -> Result<End, AsicError> {
    let tail_bytes = length.min((END_RECORD_BYTES + MAX_COMMENT) as u64);
    reader.seek(SeekFrom::Start(length - tail_bytes))?;
    let tail = read_exactly(reader, tail_bytes)?;
    let marker = END_RECORD.to_le_bytes();
    let Some(at) = tail.windows(marker.len()).rposition(|window| window == marker) else {
        reader.seek(SeekFrom::Start(0))?;
        let mut first = Vec::new();
        reader.take(4).read_to_end(&mut first)?;
        return Err(if first == LOCAL_HEADER.to_le_bytes() {
            AsicError::damaged("it breaks off: the record at its end is missing")
        } else {
            AsicError::NotAnArchive
        });
    };
    let record_start = length - tail_bytes + at as u64;
    let (end, disks, total, comment_bytes) =
        read_end(&tail[at..]).ok_or_else(|| AsicError::damaged("the record at its end is cut"))?;
    if comment_bytes != end.comment.len() {
        return Err(AsicError::refused("it has bytes behind its end"));
    }
    if end.count == 0xffff
        || end.directory_start == 0xffff_ffff
        || end.directory_bytes == 0xffff_ffff
    {
        return Err(AsicError::refused("it uses 64-bit extensions (ZIP64)"));
    }
    if disks != 0 || total != end.count {
        return Err(AsicError::refused("it is split over several files"));
    }
    if end.directory_start.checked_add(end.directory_bytes) != Some(record_start) {
        return Err(AsicError::refused("its directory is not where it says"));
    }
    Ok(end)
}

/// The end record, the numbers of disks, of all entries, and of bytes that the comment should have.
fn read_end(record: &[u8]) -> Option<(End, u16, usize, usize)> {
    let mut fields = Fields(record);
    fields.u32()?;
    let disks = fields.u16()? | fields.u16()?;
    let count = usize::from(fields.u16()?);
    let total = usize::from(fields.u16()?);
    let directory_bytes = u64::from(fields.u32()?);
    let directory_start = u64::from(fields.u32()?);
    let comment_bytes = usize::from(fields.u16()?);
    let end = End { count, directory_start, directory_bytes, comment: fields.0.to_vec() };
    Some((end, disks, total, comment_bytes))
}

fn read_exactly<R: Read>(reader: &mut R, bytes: u64) -> Result<Vec<u8>, AsicError> {
    let mut out = Vec::new();
    reader.take(bytes).read_to_end(&mut out)?;
    if out.len() as u64 == bytes { Ok(out) } else { Err(AsicError::damaged("it breaks off")) }
}

fn read_directory(directory: &[u8], count: usize) -> Result<Vec<Listed>, AsicError> {
    let mut fields = Fields(directory);
    let mut listed = Vec::new();
    for _ in 0..count {
        let (entry, extra, disk) =
            read_listed(&mut fields).ok_or_else(|| AsicError::damaged("its directory is cut"))?;
        if disk != 0 {
            return Err(AsicError::refused("it is split over several files"));
        }
        check_extra(extra)?;
        check_method(&entry)?;
        listed.push(entry);
    }
    if fields.0.is_empty() {
        Ok(listed)
    } else {
        Err(AsicError::refused("its directory has more entries than it says"))
    }
}

fn read_listed<'b>(fields: &mut Fields<'b>) -> Option<(Listed, &'b [u8], u16)> {
    if fields.u32()? != DIRECTORY_HEADER {
        return None;
    }
    let _versions = fields.u32()?;
    let flags = fields.u16()?;
    let method = fields.u16()?;
    let _time = fields.u32()?;
    let crc = fields.u32()?;
    let compressed = u64::from(fields.u32()?);
    let size = u64::from(fields.u32()?);
    let name_bytes = usize::from(fields.u16()?);
    let extra_bytes = usize::from(fields.u16()?);
    let comment_bytes = usize::from(fields.u16()?);
    let disk = fields.u16()?;
    let _attributes = fields.bytes(6)?;
    let offset = u64::from(fields.u32()?);
    let name = fields.bytes(name_bytes)?.to_vec();
    let extra = fields.bytes(extra_bytes)?;
    fields.bytes(comment_bytes)?;
    Some((Listed { name, flags, method, crc, compressed, size, offset }, extra, disk))
}

fn check_extra(extra: &[u8]) -> Result<(), AsicError> {
    let mut fields = Fields(extra);
    while !fields.0.is_empty() {
        let field = (|| {
            let id = fields.u16()?;
            let bytes = usize::from(fields.u16()?);
            fields.bytes(bytes).map(|_| id)
        })();
        match field {
            Some(EXTRA_ZIP64) => {
                return Err(AsicError::refused("it uses 64-bit extensions (ZIP64)"));
            }
            Some(EXTRA_UNICODE_PATH) => {
                return Err(AsicError::refused("an entry has a second name"));
            }
            Some(_) => {}
            None => return Err(AsicError::damaged("an extra field of an entry is cut")),
        }
    }
    Ok(())
}

fn check_method(entry: &Listed) -> Result<(), AsicError> {
    let name = shown(&entry.name);
    if entry.flags & 1 != 0 {
        return Err(AsicError::Refused(format!("'{name}' is encrypted")));
    }
    if entry.flags & !KNOWN_FLAGS != 0 {
        return Err(AsicError::Refused(format!("'{name}' has flags that are not known")));
    }
    match entry.method {
        0 if entry.compressed == entry.size => Ok(()),
        0 => Err(AsicError::Refused(format!("'{name}' is stored in another size than its own"))),
        8 => Ok(()),
        method => Err(AsicError::Refused(format!(
            "'{name}' is packed by method {method}, which is neither storing nor deflating"
        ))),
    }
}

fn check_bounds(listed: &[Listed], limits: &Limits) -> Result<(), AsicError> {
    let (mut total, mut dense) = (0_u64, 0_u64);
    for entry in listed {
        let name = shown(&entry.name);
        if entry.size > limits.max_entry_bytes {
            let what = format!("'{name}', inflated, in bytes,");
            return Err(AsicError::TooLarge { what, limit: limits.max_entry_bytes });
        }
        if entry.size > entry.compressed.saturating_mul(limits.max_ratio) {
            dense = dense.saturating_add(entry.size);
        }
        if dense > limits.max_dense_bytes {
            let ratio = limits.max_ratio;
            let what = format!(
                "what is at a compression ratio beyond {ratio}, with '{name}', inflated, in bytes,"
            );
            return Err(AsicError::TooLarge { what, limit: limits.max_dense_bytes });
        }
        total = total.saturating_add(entry.size);
    }
    if total > limits.max_total_bytes {
        let what = "the archive, inflated, in bytes,".to_owned();
        return Err(AsicError::TooLarge { what, limit: limits.max_total_bytes });
    }
    Ok(())
}

/// Compares the entry's own header, and what follows its data, with the directory; gives where the data start.
fn compare_header<R: Read + Seek>(
    reader: &mut R,
    entry: &Listed,
    next: u64,
) -> Result<u64, AsicError> {
    let name = shown(&entry.name);
    let differs =
        || AsicError::Refused(format!("the header and the directory entry of '{name}' differ"));
    reader.seek(SeekFrom::Start(entry.offset))?;
    let header = read_exactly(reader, 30)?;
    let header = read_header(&header).ok_or_else(differs)?;
    let variable = read_exactly(reader, header.name_bytes + header.extra_bytes)?;
    let (own_name, extra) = variable
        .split_at(usize::try_from(header.name_bytes).unwrap_or(usize::MAX).min(variable.len()));
    check_extra(extra)?;
    let described = entry.flags & FLAG_DESCRIPTOR != 0;
    let listed = (entry.crc, entry.compressed, entry.size);
    let own = (header.crc, header.compressed, header.size);
    if own_name != entry.name
        || header.flags & SHARED_FLAGS != entry.flags & SHARED_FLAGS
        || header.flags & !KNOWN_FLAGS != 0
        || header.method != entry.method
        || !(own == listed || (described && own == (0, 0, 0)))
    {
        return Err(differs());
    }
    let data_start = entry.offset + 30 + header.name_bytes + header.extra_bytes;
    let data_end = data_start + entry.compressed;
    let behind = next
        .checked_sub(data_end)
        .filter(|behind| if described { (12..=24).contains(behind) } else { *behind == 0 })
        .ok_or_else(|| {
            AsicError::Refused(format!("'{name}' overlaps, or is not followed by, the next entry"))
        })?;
    if described {
        reader.seek(SeekFrom::Start(data_end))?;
        let descriptor = read_exactly(reader, behind)?;
        if read_descriptor(&descriptor) != Some(listed) {
            return Err(differs());
        }
    }
    Ok(data_start)
}

struct Header {
    flags: u16,
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    name_bytes: u64,
    extra_bytes: u64,
}

fn read_header(header: &[u8]) -> Option<Header> {
    let mut fields = Fields(header);
    if fields.u32()? != LOCAL_HEADER {
        return None;
    }
    let _version = fields.u16()?;
    let flags = fields.u16()?;
    let method = fields.u16()?;
    let _time = fields.u32()?;
    Some(Header {
        flags,
        method,
        crc: fields.u32()?,
        compressed: u64::from(fields.u32()?),
        size: u64::from(fields.u32()?),
        name_bytes: u64::from(fields.u16()?),
        extra_bytes: u64::from(fields.u16()?),
    })
}

/// Check sum and sizes, with or without a marker before them, in 32 or 64 bits.
fn read_descriptor(descriptor: &[u8]) -> Option<(u32, u64, u64)> {
    let mut fields = Fields(descriptor);
    if matches!(descriptor.len(), 16 | 24) && fields.u32()? != DESCRIPTOR {
        return None;
    }
    let crc = fields.u32()?;
    let sizes = match fields.0.len() {
        8 => (u64::from(fields.u32()?), u64::from(fields.u32()?)),
        16 => (fields.u64()?, fields.u64()?),
        _ => return None,
    };
    Some((crc, sizes.0, sizes.1))
}

/// Checks the names, alone and against each other.
fn names(listed: &[Listed]) -> Result<Vec<String>, AsicError> {
    let mut seen = HashSet::new();
    let mut out = Vec::with_capacity(listed.len());
    for entry in listed {
        let name = std::str::from_utf8(&entry.name).ok().filter(|name| is_safe(name)).ok_or_else(
            || AsicError::Refused(format!("the name '{}' is not allowed", shown(&entry.name))),
        )?;
        if name.ends_with('/') && entry.size != 0 {
            return Err(AsicError::Refused(format!("the folder '{name}' has content")));
        }
        if !seen.insert(name.to_lowercase()) {
            return Err(AsicError::Refused(format!("'{name}' occurs twice")));
        }
        out.push(name.to_owned());
    }
    Ok(out)
}

/// Whether a name is a relative path that stays below the folder in which it is unpacked, on every system.
fn is_safe(name: &str) -> bool {
    let path = name.strip_suffix('/').unwrap_or(name);
    !path.is_empty()
        && name.len() <= MAX_NAME
        && !name.chars().any(|c| c.is_control() || matches!(c, '\\' | ':'))
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// A name for messages to people.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).take(80).collect()
}
