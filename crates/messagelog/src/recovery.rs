//! Opens the segments: takes the checkpoint if it fits them, reads the frames
//! behind it, finds the tail, and makes the tables that are missing.

use std::path::Path;

use crate::catalog::{Catalog, Changes, Checkpoint, Entry, Sealed};
use crate::codec::Digest;
use crate::disk::{Disk, DiskFile};
use crate::error::{AtStep, LogError};
use crate::frame::{Kind, Salt};
use crate::index::Index;
use crate::journal::{Journal, Place, Written};
use crate::pending::Pending;
use crate::scan::{Damage, Depth, End, Frame, Opened, Scan};
use crate::segment;
use crate::table::{Table, TableFile};

/// The most damages that are listed one by one.
const MAX_DAMAGES: usize = 1000;

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whether the index had to be rebuilt from all segments.
    pub rebuilt: bool,
    /// Frames read behind the checkpoint.
    pub replayed: u64,
    /// Places that could not be read, in the segments that were scanned.
    pub damages: Vec<Damage>,
}

/// An opened log.
pub(crate) struct Recovered {
    pub(crate) journal: Journal,
    pub(crate) catalog: Catalog,
    pub(crate) recovery: Recovery,
}

/// The random id of the log whose segments are in a folder; `None` when there
/// are none. Frames are read with it, so one good header is enough.
///
/// # Errors
/// When no header is good, when any is of another format, or when the last
/// segment is of another log: it would be taken for one with a torn tail, and
/// cut off.
pub(crate) fn log_id(disk: &dyn Disk, folder: &Path) -> Result<Option<[u8; 16]>, LogError> {
    let mut id = None;
    let mut last = Ok(());
    for first in segment::list(disk, folder)? {
        let path = segment::path(folder, first);
        let file = disk.open(&path, false).at("opening a segment")?;
        last = match segment::read_header(file.as_ref(), first) {
            Ok(header) if header.log == *id.get_or_insert(header.log) => Ok(()),
            Ok(_) => Err(LogError::damaged(segment::label(first), 0, "it is of another log")),
            Err(e @ LogError::Format { .. }) => return Err(e),
            Err(e) => Err(e),
        };
    }
    last.map(|()| id)
}

/// Opens the segments of a place, or starts a log there.
pub(crate) fn recover(place: &Place, index: &Index) -> Result<Recovered, LogError> {
    let segments = segment::list(place.disk.as_ref(), &place.folder)?;
    let Some((last, full)) = segments.split_last() else {
        start_anew(index)?;
        let journal = Journal::create(place.clone(), 1)?;
        let catalog = Catalog::new(Catalog::start(), Pending::default());
        return Ok(Recovered { journal, catalog, recovery: Recovery::default() });
    };
    let mut recovery = Recovery::default();
    let loaded = index.load()?;
    let known = loaded.as_ref().map_or(1, |(checkpoint, _)| checkpoint.next());
    let fitting = loaded.filter(|(checkpoint, _)| fits(place, &segments, checkpoint));
    let (checkpoint, pending) = match fitting {
        Some(loaded) => loaded,
        None => {
            recovery.rebuilt = true;
            start_anew(index)?;
            (Catalog::start(), Pending::default())
        }
    };
    let mut catalog = Catalog::new(checkpoint, pending);
    let end =
        replay(place, &segments, &checkpoint, &mut recovery, &mut |written, frame, entry| {
            catalog.count(written, frame.header.frame_bytes(), entry);
        })?;
    for first in full {
        let table = TableFile::open(place.disk.as_ref(), &place.folder, &place.log, *first);
        match table.at("opening a table")? {
            Some(file) => {
                catalog.sealed.insert(*first, Sealed { table: None, totals: file.totals });
            }
            None => catalog.seal(make_table(place, *first, false)?),
        }
    }
    let journal = if end.next < known {
        // The index has seen records that the segments have no more. Their
        // numbers are not given again, and what is left is not touched.
        recovery.damages.push(Damage { segment: *last, offset: end.tail, lost: end.next..known });
        catalog.seal(make_table(place, *last, true)?);
        catalog.active = Table::new(known);
        Journal::create(place.clone(), known)?
    } else {
        let journal = Journal::resume(place.clone(), *last, end.tail, end.next)?;
        // Only now: the tail may have had frames with a good header alone.
        catalog.active = make_table(place, *last, true)?;
        journal
    };
    catalog.damages = recovery.damages.len() as u64;
    recovery.damages.truncate(MAX_DAMAGES);
    Ok(Recovered { journal, catalog, recovery })
}

fn start_anew(index: &Index) -> Result<(), LogError> {
    index.clear()?;
    let checkpoint = Catalog::start();
    index.save(&Changes { checkpoint, blocks: Vec::new(), groups: Vec::new() })
}

/// Whether a checkpoint's last frame is where it says.
pub(crate) fn fits(place: &Place, segments: &[u64], checkpoint: &Checkpoint) -> bool {
    let Some(last) = checkpoint.last else { return checkpoint.tail == segment::HEADER_BYTES };
    if !segments.contains(&last.segment) {
        return false;
    }
    let frame = open(place, last.segment).and_then(|(file, salt)| {
        Opened::new(file, salt, last.segment, Depth::Whole)?.frame(last.offset, Depth::Beginning)
    });
    frame.is_ok_and(|frame| {
        frame.header.sequence == last.sequence
            && last.offset.saturating_add(frame.header.frame_bytes()) == checkpoint.tail
    })
}

/// Shows each frame behind a checkpoint, and tells where the last segment ends.
pub(crate) fn replay(
    place: &Place,
    segments: &[u64],
    checkpoint: &Checkpoint,
    recovery: &mut Recovery,
    visit: &mut dyn FnMut(Written, &Frame, &Entry),
) -> Result<End, LogError> {
    let mut end = End { tail: segment::HEADER_BYTES, next: 1, damages: Vec::new() };
    let begin = checkpoint.last.map_or(0, |last| last.segment);
    let mut follows = segments.iter().skip(1).map(Some).chain([None]);
    let mut is_first = true;
    for first in segments {
        let successor = follows.next().flatten().copied();
        if *first < begin {
            continue;
        }
        let (file, salt) = open(place, *first)?;
        let (offset, expected) = match checkpoint.last {
            Some(last) if last.segment == *first => (checkpoint.tail, checkpoint.next()),
            _ => (segment::HEADER_BYTES, *first),
        };
        if !is_first && *first > end.next {
            let lost = end.next..*first;
            recovery.damages.push(Damage { segment: *first, offset: 0, lost });
        }
        is_first = false;
        let scan = Scan {
            file: file.as_ref(),
            salt: &salt,
            segment: *first,
            offset,
            expected,
            last: successor.is_none(),
            depth: Depth::Whole,
        };
        let mut unreadable = Vec::new();
        end = scan.run(&mut |frame| {
            let written = Written {
                sequence: frame.header.sequence,
                segment: frame.segment,
                offset: frame.offset,
            };
            match Entry::of(&frame) {
                Some(entry) => {
                    recovery.replayed += 1;
                    visit(written, &frame, &entry);
                }
                // Its checksum is right, so this version wrote something it
                // cannot read, or a later version wrote it.
                None => unreadable.push(Damage {
                    segment: frame.segment,
                    offset: frame.offset,
                    lost: written.sequence..written.sequence.saturating_add(1),
                }),
            }
            Ok(())
        })?;
        recovery.damages.append(&mut unreadable);
        recovery.damages.append(&mut end.damages);
    }
    Ok(end)
}

/// Reads what is in a segment, without checking payloads.
pub(crate) fn make_table(place: &Place, first: u64, last: bool) -> Result<Table, LogError> {
    let (file, salt) = open(place, first)?;
    let mut table = Table::new(first);
    let scan = Scan {
        file: file.as_ref(),
        salt: &salt,
        segment: first,
        offset: segment::HEADER_BYTES,
        expected: first,
        last,
        depth: Depth::Beginning,
    };
    scan.run(&mut |frame| {
        let digest = match frame.header.kind {
            Kind::Message => Digest::decode(&frame.payload),
            Kind::Timestamp => None,
        };
        let bytes = frame.header.frame_bytes();
        table.push(frame.header.sequence, frame.offset, bytes, digest.as_ref());
        Ok(())
    })?;
    Ok(table)
}

/// Opens a segment for reading.
pub(crate) fn open(place: &Place, first: u64) -> Result<(Box<dyn DiskFile>, Salt), LogError> {
    let path = segment::path(&place.folder, first);
    let file = place.disk.open(&path, false).at("opening a segment")?;
    Ok((file, Salt::new(&place.log, first)))
}
