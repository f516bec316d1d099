//! Look-ups: from a number or a message id to the frames, and from frames to
//! records. Synchronous; a reader holds no lock while it reads files.

use std::sync::{Arc, PoisonError};

use crate::bodies::Bodies;
use crate::checkpoint::SharedIndex;
use crate::codec::{
    Coverage, Digest, Message, StoredBody, Timestamp, decode_message, lookup_key, time_of,
};
use crate::commit::{SharedCatalog, lock};
use crate::disk::DiskFile;
use crate::error::{AtStep, LogError};
use crate::frame::{Kind, Salt};
use crate::journal::Place;
use crate::record::{
    Attachment, AttachmentBody, Counters, MessageRecord, Query, RecordId, RecordTimestamp,
    TimestampCover, Untimestamped,
};
use crate::recovery::{make_table, open};
use crate::scan::{Depth, Frame, read_frame};
use crate::segment;
use crate::table::{Table, TableFile};

/// Reads a log.
pub(crate) struct Reader {
    pub(crate) place: Place,
    pub(crate) catalog: SharedCatalog,
    pub(crate) index: SharedIndex,
    pub(crate) bodies: Bodies,
}

/// Where a frame is, or which segment's written table knows.
enum Location {
    At { segment: u64, offset: u64 },
    Table(u64),
}

/// A segment that is open for reading several frames.
struct OpenSegment {
    first: u64,
    file: Box<dyn DiskFile>,
    salt: Salt,
    table: Option<TableFile>,
}

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
        let Some(frame) = self.frame(id.0, Depth::Whole, &mut None)? else { return Ok(None) };
        if frame.header.kind != Kind::Message {
            return Ok(None);
        }
        let message = message_of(&frame)?;
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
            signature: replaced.unwrap_or(message.signature),
            signature_hash: message.digest.signature_hash,
            hash_chain_result: message.hash_chain_result,
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
            let Some(frame) = self.frame(sequence, Depth::Whole, &mut None)? else { continue };
            let coverage = Coverage::decode(&frame.payload).ok_or_else(|| senseless(&frame))?;
            let Some((_, evidence)) = coverage.records.iter().find(|(other, _)| *other == id)
            else {
                continue;
            };
            let token = sequence.saturating_sub(u64::from(coverage.distance));
            let token_frame = self
                .frame(token, Depth::Whole, &mut None)?
                .filter(|frame| frame.header.kind == Kind::Timestamp)
                .ok_or_else(|| senseless(&frame))?;
            let timestamp =
                Timestamp::decode(&token_frame.payload).ok_or_else(|| senseless(&token_frame))?;
            let (replaced, cover) = match timestamp.hash_chain_result {
                Some(hash_chain_result) if !coverage.single => {
                    let hash_chain = evidence.clone();
                    (None, TimestampCover::Batch { hash_chain_result, hash_chain })
                }
                None if coverage.single => (Some(evidence.clone()), TimestampCover::Single),
                _ => return Err(senseless(&frame)),
            };
            let id = RecordId(token);
            return Ok(Some((replaced, RecordTimestamp { id, token: timestamp.token, cover })));
        }
        Ok(None)
    }

    /// The oldest records without a timestamp. Damaged ones are left out: they
    /// cannot get one, and must not keep others waiting.
    pub(crate) fn untimestamped(&self, limit: usize) -> Result<Vec<Untimestamped>, LogError> {
        let mut out = Vec::new();
        let mut from = 0;
        while out.len() < limit {
            let wanted = limit - out.len();
            let ids: Vec<u64> = lock(&self.catalog).pending.iter_from(from).take(wanted).collect();
            let Some(last) = ids.last() else { break };
            from = last.saturating_add(1);
            let mut segment = None;
            for id in ids {
                let frame = match self.frame(id, Depth::Beginning, &mut segment) {
                    Ok(Some(frame)) => frame,
                    Ok(None) | Err(LogError::Damaged { .. }) => {
                        tracing::error!(record = id, "a record without a timestamp is damaged");
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                if let Some(digest) = Digest::decode(&frame.payload) {
                    out.push(Untimestamped {
                        id: RecordId(id),
                        time: time_of(digest.time),
                        signature_hash: digest.signature_hash,
                    });
                }
            }
        }
        Ok(out)
    }

    /// Whether there is a message record of this number.
    pub(crate) fn is_message(&self, id: RecordId) -> Result<bool, LogError> {
        if lock(&self.catalog).pending.contains(id.0) {
            return Ok(true);
        }
        let frame = self.frame(id.0, Depth::Beginning, &mut None)?;
        Ok(frame.is_some_and(|frame| frame.header.kind == Kind::Message))
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
        let current = match opened.take().filter(|current| current.first == first) {
            Some(current) => current,
            None => match open(&self.place, first) {
                Ok((file, salt)) => OpenSegment { first, file, salt, table: None },
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
        let (file, salt) = (current.file.as_ref(), &current.salt);
        read_frame(file, salt, first, offset, sequence, depth).map(Some)
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

fn message_of(frame: &Frame) -> Result<Message, LogError> {
    decode_message(&frame.payload).ok_or_else(|| senseless(frame))
}

fn senseless(frame: &Frame) -> LogError {
    LogError::damaged(segment::label(frame.segment), frame.offset, "its content makes no sense")
}
