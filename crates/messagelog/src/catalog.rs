//! What the log knows of its segments, in memory: the active segment's table,
//! which records wait for a timestamp, which frames cover records with one,
//! and the counters. Small parts of it go to the index now and then
//! ([`Catalog::take_changes`]); the frames behind that checkpoint are read
//! again when the log is opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Digest, decode_message};
use crate::frame::Kind;
use crate::journal::Written;
use crate::pending::{BLOCK_BYTES, Pending};
use crate::scan::Frame;
use crate::segment;
use crate::stamp::{self, MAX_GROUP_SPAN, Timestamp};
use crate::table::{Table, Totals};
use crate::waiting::{Remembered, Waiting};

/// Where a checkpoint stands: all frames up to `last` are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    /// The last frame, if there is any.
    pub(crate) last: Option<Written>,
    /// Where the frame after it goes, if it goes into the same segment.
    pub(crate) tail: u64,
}

impl Checkpoint {
    /// The sequence number of the first frame that is not in it.
    pub(crate) fn next(&self) -> u64 {
        self.last.map_or(1, |last| last.sequence.saturating_add(1))
    }
}

/// Records that a timestamp covers, by the last of them and the timestamp's
/// number, with the first of them.
pub(crate) type Group = ((u64, u64), u64);

/// What changed since the last checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct Changes {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) blocks: Vec<(u64, Option<[u8; BLOCK_BYTES]>)>,
    pub(crate) groups: Vec<Group>,
}

/// What a frame says to the catalog.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Message(Digest),
    /// The covered records, in order.
    Timestamp {
        records: Vec<u64>,
    },
}

impl Entry {
    /// Reads it from a whole frame; `None` when the payload makes no sense.
    pub(crate) fn of(frame: &Frame) -> Option<Self> {
        match frame.header.kind {
            Kind::Message => {
                let complete = frame.header.document == 0;
                decode_message(&frame.payload, complete).map(|m| Self::Message(m.digest))
            }
            Kind::Timestamp => {
                let timestamp = Timestamp::decode(&frame.payload)?;
                Some(Self::Timestamp { records: timestamp.records() })
            }
        }
    }

    fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Message(digest) => Some(digest),
            _ => None,
        }
    }
}

/// A full segment.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    /// Its table, while that is not written yet.
    pub(crate) table: Option<Arc<Table>>,
    pub(crate) totals: Totals,
}

/// The catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// Full segments in order.
    pub(crate) sealed: BTreeMap<u64, Sealed>,
    pub(crate) active: Table,
    pub(crate) pending: Pending,
    /// What the timestamper asks of the oldest of them.
    pub(crate) waiting: Waiting,
    /// Covering frames that are not in the index yet.
    pub(crate) groups: BTreeMap<(u64, u64), u64>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) damages: u64,
    /// The next frame when changes were last taken.
    taken: u64,
}

impl Catalog {
    /// A catalog that knows what a checkpoint says, and no tables yet.
    pub(crate) fn new(checkpoint: Checkpoint, pending: Pending) -> Self {
        Self {
            sealed: BTreeMap::new(),
            active: Table::new(checkpoint.last.map_or(1, |last| last.segment)),
            pending,
            waiting: Waiting::default(),
            groups: BTreeMap::new(),
            checkpoint,
            damages: 0,
            taken: checkpoint.next(),
        }
    }

    /// Takes up a durable frame of the given length. Frames come in order.
    pub(crate) fn apply(&mut self, written: Written, frame_bytes: u64, entry: &Entry) {
        if written.segment != self.active.first {
            let full = std::mem::replace(&mut self.active, Table::new(written.segment));
            self.seal(full);
        }
        self.active.push(written.sequence, written.offset, frame_bytes, entry.digest());
        self.count(written, frame_bytes, entry);
    }

    /// Takes up a full segment whose table is not written yet.
    pub(crate) fn seal(&mut self, table: Table) {
        let totals = table.totals;
        self.sealed.insert(table.first, Sealed { table: Some(Arc::new(table)), totals });
    }

    /// [`Self::apply`] without the table.
    pub(crate) fn count(&mut self, written: Written, frame_bytes: u64, entry: &Entry) {
        let checkpoint = &mut self.checkpoint;
        checkpoint.last = Some(written);
        checkpoint.tail = written.offset.saturating_add(frame_bytes);
        match entry {
            Entry::Message(digest) => {
                self.pending.insert(written.sequence);
                self.waiting.push(Remembered {
                    id: written.sequence,
                    time: digest.time,
                    signature_hash: digest.signature_hash,
                });
            }
            Entry::Timestamp { records } => {
                for id in records {
                    self.pending.remove(*id);
                }
                self.waiting.trim(&self.pending);
                for (first, last) in stamp::groups(records) {
                    self.groups.insert((last, written.sequence), first);
                }
            }
        }
    }

    /// Takes out the oldest full segments that hold only records before
    /// `before`, all with a timestamp; those whose table is not written stay.
    pub(crate) fn take_before(&mut self, before: u64) -> Vec<(u64, Sealed)> {
        let mut taken = Vec::new();
        let mut firsts: Vec<u64> = self.sealed.keys().copied().collect();
        firsts.push(self.active.first);
        for pair in firsts.windows(2) {
            let [first, next] = pair else { break };
            let waits = self.pending.iter_from(*first).next().is_some_and(|id| id < *next);
            let written = self.sealed.get(first).is_some_and(|sealed| sealed.table.is_none());
            if *next > before || waits || !written {
                break;
            }
            taken.extend(self.sealed.remove_entry(first));
        }
        taken
    }

    /// The number of the first record that can be there.
    pub(crate) fn first(&self) -> u64 {
        self.sealed.keys().next().copied().unwrap_or(self.active.first)
    }

    /// The segment that holds a sequence number, if it is not beyond the end.
    pub(crate) fn segment_of(&self, sequence: u64) -> Option<u64> {
        if sequence >= self.checkpoint.next() {
            return None;
        }
        if sequence >= self.active.first {
            return Some(self.active.first);
        }
        self.sealed.range(..=sequence).next_back().map(|(first, _)| *first)
    }

    /// Covering frames in memory that may cover a record.
    pub(crate) fn groups_of(&self, id: u64) -> Vec<u64> {
        let range = (id, 0)..(id.saturating_add(MAX_GROUP_SPAN), 0);
        let groups = self.groups.range(range).filter(|(_, first)| **first <= id);
        groups.map(|((_, frame), _)| *frame).collect()
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> u64 {
        self.sealed.len() as u64 + 1
    }

    /// All segments in numbers.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = self.active.totals;
        for sealed in self.sealed.values() {
            totals.add(sealed.totals);
        }
        totals
    }

    /// Frames since changes were last taken.
    pub(crate) fn behind(&self) -> u64 {
        self.checkpoint.next().saturating_sub(self.taken)
    }

    /// What the index needs to know, if there is anything new.
    pub(crate) fn take_changes(&mut self) -> Option<Changes> {
        if self.behind() == 0 && self.groups.is_empty() {
            return None;
        }
        self.taken = self.checkpoint.next();
        Some(Changes {
            checkpoint: self.checkpoint,
            blocks: self.pending.take_changed(),
            groups: self.groups.iter().map(|(key, first)| (*key, *first)).collect(),
        })
    }

    /// The index has the changes.
    pub(crate) fn saved(&mut self, changes: &Changes) {
        for (key, _) in &changes.groups {
            self.groups.remove(key);
        }
    }

    /// The index does not have the changes: they are to be taken again.
    pub(crate) fn not_saved(&mut self, changes: &Changes) {
        self.pending.mark_changed(changes.blocks.iter().map(|(block, _)| *block));
        self.taken = 0;
    }

    /// Where the frames of the first segment begin, when there is no checkpoint.
    pub(crate) fn start() -> Checkpoint {
        Checkpoint { last: None, tail: segment::HEADER_BYTES }
    }
}
