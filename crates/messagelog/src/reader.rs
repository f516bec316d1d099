//! Look-ups: from a number or a message id to the frames, and from frames to
//! records. Synchronous; a reader holds no lock while it reads files.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::bodies::Bodies;
use crate::chain::Tree;
use crate::checkpoint::SharedIndex;
use crate::codec::{Digest, Documents, Message, StoredBody, decode_message, lookup_key, time_of};
use crate::commit::{SharedCatalog, lock};
use crate::error::{AtStep, LogError};
use crate::frame::{Kind, MAX_PAYLOAD};
use crate::journal::Place;
use crate::record::{
    Attachment, AttachmentBody, Counters, MessageRecord, Query, RecordId, RecordTimestamp, Sha512,
    TimestampCover, Untimestamped,
};
use crate::recovery::{make_table, open};
use crate::scan::{Depth, Frame, Opened, no_frame};
use crate::segment;
use crate::stamp::{Cover, Timestamp};
use crate::table::{Table, TableFile};

/// Reads a log.
pub(crate) struct Reader {
    pub(crate) place: Place,
    pub(crate) catalog: SharedCatalog,
    pub(crate) index: SharedIndex,
    pub(crate) bodies: Bodies,
    /// The timestamp that was asked for last: whoever reads one of its records
    /// reads others too.
    pub(crate) stamped: Mutex<Option<Arc<Stamped>>>,
}

/// A batch timestamp with its tree.
#[derive(Debug)]
pub(crate) struct Stamped {
    sequence: u64,
    token: Bytes,
    hash_chain_result: Bytes,
    /// Its records in order, each with its leaf.
    leaves: Vec<(u64, usize)>,
    tree: Tree,
}

/// Where a frame is, or which segment's written table knows.
enum Location {
    At { segment: u64, offset: u64 },
    Table(u64),
}

/// A segment that is open for reading several frames.
struct OpenSegment {
    opened: Opened,
    table: Option<TableFile>,
}

/// How many waiting records are looked up at once.
const PAGE: usize = 4096;

impl Reader {
    /// The matching records, oldest first.
    pub(crate) fn find(&self, query: &Query) -> Result<Vec<RecordId>, LogError> {
        let key = lookup_key(
            &self.place.log,
            &query.message_id,
            &query.member_class,
            &query.member_code,
            query.subsystem_code.as_deref(),
        );
        let mut newest = Vec::new();
        let sealed: Vec<(u64, Option<Arc<Table>>)> = {
            let catalog = lock(&self.catalog);
            catalog.active.find(key, &mut newest);
            catalog.sealed.iter().map(|(first, s)| (*first, s.table.clone())).collect()
        };
        let mut found = Vec::new();
        for (first, table) in sealed {
            if found.len() >= query.limit {
                break;
            }
            let mut candidates = Vec::new();
            match table {
                Some(table) => table.find(key, &mut candidates),
                None => match self.table(first)? {
                    Some(file) => file.find(key, &mut candidates).at("reading a table")?,
                    None => make_table(&self.place, first, false)?.find(key, &mut candidates),
                },
            }
            self.matching(query, candidates, &mut found)?;
        }
        self.matching(query, newest, &mut found)?;
        Ok(found)
    }

    fn matching(
        &self,
        query: &Query,
        candidates: Vec<u64>,
        found: &mut Vec<RecordId>,
    ) -> Result<(), LogError> {
        let mut segment = None;
        for sequence in candidates {
            if found.len() >= query.limit {
                break;
            }
            let Some(frame) = self.frame(sequence, Depth::Whole, &mut segment)? else { continue };
            let message = message_of(&frame)?;
            let owner = &message.owner;
            if message.message_id == query.message_id
                && owner.member().class() == query.member_class
                && owner.member().code() == query.member_code
                && owner.subsystem_code() == query.subsystem_code.as_deref()
                && query.response.is_none_or(|response| response == message.digest.response())
            {
                found.push(RecordId(sequence));
            }
        }
        Ok(())
    }

    /// One record with its timestamp.
    pub(crate) fn record(&self, id: RecordId) -> Result<Option<MessageRecord>, LogError> {
        let mut segment = None;
        let Some(frame) = self.frame(id.0, Depth::Whole, &mut segment)? else { return Ok(None) };
        if frame.header.kind != Kind::Message {
            return Ok(None);
        }
        let mut message = message_of(&frame)?;
        let documents = match message.documents.take() {
            Some(documents) => documents,
            None => documents_of(&frame, &message, segment)?,
        };
        let (replaced, timestamp) = match self.timestamp(id)? {
            Some((replaced, timestamp)) => (replaced, Some(timestamp)),
            None => (None, None),
        };
        let attachments = message.attachments.into_iter().map(|stored| Attachment {
            number: stored.number,
            digest: stored.digest,
            length: stored.length,
            body: match stored.body {
                StoredBody::Inline(bytes) => AttachmentBody::Inline(bytes),
                StoredBody::File => AttachmentBody::File(self.bodies.path(id.0, stored.number)),
                StoredBody::Omitted => AttachmentBody::Omitted,
            },
        });
        Ok(Some(MessageRecord {
            id,
            time: time_of(message.digest.time),
            message_id: message.message_id,
            request_id: message.request_id,
            response: message.digest.response(),
            side: message.side,
            owner: message.owner,
            service: message.service,
            peer: message.peer,
            message: message.message,
            signature: replaced.unwrap_or(documents.signature),
            signature_hash: message.digest.signature_hash,
            hash_chain_result: documents.hash_chain_result,
            hash_chain: message.hash_chain,
            attachments: attachments.collect(),
            timestamp,
        }))
    }

    /// The first timestamp that covers a record, and the signature document
    /// with it inside if it covers that record alone.
    fn timestamp(
        &self,
        id: RecordId,
    ) -> Result<Option<(Option<bytes::Bytes>, RecordTimestamp)>, LogError> {
        let mut frames = {
            let catalog = lock(&self.catalog);
            if catalog.pending.contains(id.0) {
                return Ok(None);
            }
            // Memory before index: what moves between is in one of them.
            catalog.groups_of(id.0)
        };
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        match index.as_ref() {
            Some(index) => frames.extend(index.groups_of(id.0)?),
            None => return Err(LogError::Index("it is not open now".into())),
        }
        drop(index);
        frames.sort_unstable();
        frames.dedup();
        for sequence in frames {
            let timestamp = |token, cover| RecordTimestamp { id: RecordId(sequence), token, cover };
            let latest = self.stamped.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let stamped = match latest.filter(|latest| latest.sequence == sequence) {
                Some(stamped) => stamped,
                None => match self.stamped(sequence, id)? {
                    Found::Nothing => continue,
                    Found::Single { token, signature } => {
                        let timestamp = timestamp(token, TimestampCover::Single);
                        return Ok(Some((Some(signature), timestamp)));
                    }
                    Found::Batch(stamped) => stamped,
                },
            };
            if let Some(hash_chain) = stamped.chain(id) {
                let hash_chain_result = stamped.hash_chain_result.clone();
                let cover = TimestampCover::Batch { hash_chain_result, hash_chain };
                return Ok(Some((None, timestamp(stamped.token.clone(), cover))));
            }
        }
        Ok(None)
    }

    /// What the timestamp of a number is to a record.
    fn stamped(&self, sequence: u64, id: RecordId) -> Result<Found, LogError> {
        let Some(frame) = self.frame(sequence, Depth::Whole, &mut None)? else {
            return Ok(Found::Nothing);
        };
        if frame.header.kind != Kind::Timestamp {
            return Err(senseless(&frame));
        }
        let Timestamp { token, cover, .. } =
            Timestamp::decode(&frame.payload).ok_or_else(|| senseless(&frame))?;
        match cover {
            Cover::Single { record, signature } if record == id => {
                Ok(Found::Single { token, signature })
            }
            Cover::Batch { hash_chain_result, leaves }
                if leaves.iter().any(|(record, _)| *record == id) =>
            {
                let stamped = Stamped::new(sequence, token, hash_chain_result, leaves);
                let stamped = Arc::new(stamped.ok_or_else(|| senseless(&frame))?);
                let mut latest = self.stamped.lock().unwrap_or_else(PoisonError::into_inner);
                *latest = Some(Arc::clone(&stamped));
                Ok(Found::Batch(stamped))
            }
            _ => Ok(Found::Nothing),
        }
    }

    /// The oldest records without a timestamp. Damaged ones are left out: they
    /// cannot get one, and must not keep others waiting.
    pub(crate) fn untimestamped(&self, limit: usize) -> Result<Vec<Untimestamped>, LogError> {
        let mut out = Vec::new();
        let mut from = 0;
        while out.len() < limit {
            let wanted = (limit - out.len()).min(PAGE);
            let page = {
                let catalog = lock(&self.catalog);
                catalog.waiting.page(&catalog.pending, from, wanted)
            };
            let Some((last, _)) = page.last() else { break };
            from = last.saturating_add(1);
            let mut segment = None;
            for (id, remembered) in page {
                let (time, signature_hash) = match remembered {
                    Some(remembered) => (remembered.time, remembered.signature_hash),
                    None => match self.digest(id, &mut segment)? {
                        Some(digest) => (digest.time, digest.signature_hash),
                        None => continue,
                    },
                };
                out.push(Untimestamped { id: RecordId(id), time: time_of(time), signature_hash });
            }
        }
        Ok(out)
    }

    /// The beginning of a record that should be there; `None` when it is damaged.
    fn digest(
        &self,
        id: u64,
        segment: &mut Option<OpenSegment>,
    ) -> Result<Option<Digest>, LogError> {
        match self.frame(id, Depth::Beginning, segment) {
            Ok(Some(frame)) => Ok(Digest::decode(&frame.payload)),
            Ok(None) | Err(LogError::Damaged { .. }) => {
                tracing::error!(record = id, "a record without a timestamp is damaged");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The first of these that is no message record, if there is one.
    pub(crate) fn first_unknown(&self, ids: Vec<RecordId>) -> Result<Option<RecordId>, LogError> {
        let others: Vec<RecordId> = {
            let catalog = lock(&self.catalog);
            ids.into_iter().filter(|id| !catalog.pending.contains(id.0)).collect()
        };
        let mut segment = None;
        for id in others {
            let frame = self.frame(id.0, Depth::Beginning, &mut segment)?;
            if frame.is_none_or(|frame| frame.header.kind != Kind::Message) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Removes the oldest segments that hold only records before `before`, all
    /// with a timestamp, with their bodies; how many segments went.
    ///
    /// Segments go from the oldest on, each durably before the next, so that a
    /// crash leaves no hole; look-ups do not see them from the beginning.
    pub(crate) fn remove_before(&self, before: RecordId) -> Result<usize, LogError> {
        let step = "removing a segment";
        let (disk, folder) = (self.place.disk.as_ref(), &self.place.folder);
        let taken = lock(&self.catalog).take_before(before.0);
        let count = taken.len();
        let mut taken = taken.into_iter();
        while let Some((first, sealed)) = taken.next() {
            let removed = disk
                .remove(&segment::path(folder, first))
                .and_then(|()| disk.remove(&crate::table::path(folder, first)))
                .and_then(|()| disk.sync_folder(folder));
            if let Err(error) = removed {
                let mut catalog = lock(&self.catalog);
                catalog.sealed.insert(first, sealed);
                catalog.sealed.extend(taken);
                return Err(LogError::io(step, error));
            }
        }
        let first = lock(&self.catalog).first();
        self.bodies.remove_before(first)?;
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = index.as_ref() {
            index.forget_before(first)?;
        }
        Ok(count)
    }

    /// Message records from a number on, in order, at most `limit`.
    pub(crate) fn records_from(
        &self,
        from: RecordId,
        limit: usize,
    ) -> Result<Vec<RecordId>, LogError> {
        let (first, next) = {
            let catalog = lock(&self.catalog);
            (catalog.first(), catalog.checkpoint.next())
        };
        let mut found = Vec::new();
        let mut segment = None;
        for id in from.0.max(first)..next {
            if found.len() >= limit {
                break;
            }
            let frame = self.frame(id, Depth::Beginning, &mut segment)?;
            if frame.is_some_and(|frame| frame.header.kind == Kind::Message) {
                found.push(RecordId(id));
            }
        }
        Ok(found)
    }

    /// The log in numbers.
    pub(crate) fn counters(&self, failing: bool) -> Result<Counters, LogError> {
        let oldest = self.untimestamped(1)?;
        let catalog = lock(&self.catalog);
        let totals = catalog.totals();
        Ok(Counters {
            records: totals.messages,
            untimestamped: catalog.pending.len(),
            oldest_untimestamped: oldest.first().map(|oldest| oldest.time),
            segment_bytes: totals.bytes,
            body_bytes: totals.body_bytes,
            segments: catalog.segments(),
            failing,
            damages: catalog.damages,
        })
    }

    /// The frame of a number; `None` when it was never given or is lost.
    fn frame(
        &self,
        sequence: u64,
        depth: Depth,
        opened: &mut Option<OpenSegment>,
    ) -> Result<Option<Frame>, LogError> {
        let Some(location) = self.locate(sequence) else { return Ok(None) };
        let first = match location {
            Location::At { segment, .. } | Location::Table(segment) => segment,
        };
        let current = match opened.take().filter(|current| current.opened.segment() == first) {
            Some(current) => current,
            None => match open(&self.place, first) {
                Ok((file, salt)) => {
                    let opened = Opened::new(file, salt, first, depth)?;
                    OpenSegment { opened, table: None }
                }
                // Removed since it was located.
                Err(_) if self.locate(sequence).is_none() => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let current = opened.insert(current);
        let offset = match location {
            Location::At { offset, .. } => Some(offset),
            Location::Table(_) => {
                if current.table.is_none() {
                    current.table = self.table(first)?;
                }
                match &current.table {
                    Some(table) => table.offset(sequence).at("reading a table")?,
                    None => make_table(&self.place, first, false)?.offset(sequence),
                }
            }
        };
        let Some(offset) = offset else { return Ok(None) };
        let frame = current.opened.frame(offset, depth)?;
        if frame.header.sequence != sequence {
            return Err(no_frame(first, offset));
        }
        Ok(Some(frame))
    }

    fn locate(&self, sequence: u64) -> Option<Location> {
        let catalog = lock(&self.catalog);
        let segment = catalog.segment_of(sequence)?;
        let table = if segment == catalog.active.first {
            &catalog.active
        } else {
            match &catalog.sealed.get(&segment)?.table {
                Some(table) => table.as_ref(),
                None => return Some(Location::Table(segment)),
            }
        };
        Some(Location::At { segment, offset: table.offset(sequence)? })
    }

    fn table(&self, first: u64) -> Result<Option<TableFile>, LogError> {
        let disk = self.place.disk.as_ref();
        TableFile::open(disk, &self.place.folder, &self.place.log, first).at("opening a table")
    }
}

/// What a timestamp is to a record.
enum Found {
    Nothing,
    Single { token: Bytes, signature: Bytes },
    Batch(Arc<Stamped>),
}

impl Stamped {
    fn new(
        sequence: u64,
        token: Bytes,
        hash_chain_result: Bytes,
        leaves: Vec<(RecordId, Sha512)>,
    ) -> Option<Self> {
        let tree = Tree::new(leaves.iter().map(|(_, digest)| *digest).collect())?;
        let mut leaves: Vec<_> = leaves.into_iter().map(|(id, _)| id.0).zip(0..).collect();
        leaves.sort_unstable();
        Some(Self { sequence, token, hash_chain_result, leaves, tree })
    }

    /// The chain of a record, if it is one of these.
    fn chain(&self, id: RecordId) -> Option<Bytes> {
        let at = self.leaves.partition_point(|(other, _)| *other < id.0);
        let (_, leaf) = self.leaves.get(at).filter(|(other, _)| *other == id.0)?;
        self.tree.chain(*leaf).map(Bytes::from)
    }
}

fn message_of(frame: &Frame) -> Result<Message, LogError> {
    let complete = frame.header.document == 0;
    decode_message(&frame.payload, complete).ok_or_else(|| senseless(frame))
}

/// The documents that a record shares with one before it in its segment.
fn documents_of(
    frame: &Frame,
    message: &Message,
    segment: Option<OpenSegment>,
) -> Result<Documents, LogError> {
    let label = || segment::label(frame.segment);
    let bad = || LogError::damaged(label(), frame.offset, "the documents that it refers to");
    let at = frame.offset.checked_sub(u64::from(frame.header.document)).ok_or_else(bad)?;
    let (signature, result) = message.lengths;
    let whole = (signature as usize).checked_add(result as usize);
    let whole = whole.filter(|bytes| *bytes <= MAX_PAYLOAD).ok_or_else(bad)?;
    let bytes = segment.ok_or_else(bad)?.opened.bytes(at, whole)?;
    if bytes.len() != whole {
        return Err(bad());
    }
    let hash_chain_result = message.result_hash.map(|_| bytes.slice(signature as usize..));
    let documents = Documents { signature: bytes.slice(..signature as usize), hash_chain_result };
    // They are in another frame, whose checksum may be bad for what is before them.
    if documents.key() == message.shared_key() { Ok(documents) } else { Err(bad()) }
}

fn senseless(frame: &Frame) -> LogError {
    LogError::damaged(segment::label(frame.segment), frame.offset, "its content makes no sense")
}
