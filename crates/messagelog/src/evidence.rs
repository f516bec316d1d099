//! From a record to the container that proves it (W-S 7: ASiC-E in X-Road's
//! profile).

use std::fs::File;
use std::io::Write;

use causeway_asic::{AsicError, Container, Source, container_name};

use crate::record::{AttachmentBody, MessageRecord, TimestampCover};

/// The container of a record, without its attachments, which
/// [`write_container`] streams. A record without a timestamp gives one that
/// cannot be written.
pub fn to_container(record: &MessageRecord) -> Container {
    let mut container = Container::new(record.message.clone(), record.signature.clone());
    container.sig_hash_chain_result = record.hash_chain_result.clone();
    container.sig_hash_chain = record.hash_chain.clone();
    if let Some(timestamp) = &record.timestamp
        && let TimestampCover::Batch { hash_chain_result, hash_chain } = &timestamp.cover
    {
        container.timestamp = Some(timestamp.token.clone());
        container.ts_hash_chain_result = Some(hash_chain_result.clone());
        container.ts_hash_chain = Some(hash_chain.clone());
    }
    container
}

/// The file name of a record's container.
pub fn file_name(record: &MessageRecord) -> String {
    container_name(&record.message_id, record.response, record.id.0)
}

/// Writes a record's container with its attachments. Large bodies stream from
/// their files. Attachments count from 1 without a gap in a container, so what
/// comes after one whose body was not stored is left out. Entries have the
/// record's time.
///
/// # Errors
/// [`AsicError::NoTimestamp`] for a record without a timestamp; [`AsicError::Io`].
pub fn write_container<W: Write>(record: &MessageRecord, out: W) -> Result<W, AsicError> {
    let mut sources = Vec::new();
    let mut attachments: Vec<_> = record.attachments.iter().collect();
    attachments.sort_by_key(|attachment| attachment.number);
    for (attachment, number) in attachments.into_iter().zip(1u32..) {
        if attachment.number != number {
            break;
        }
        sources.push(match &attachment.body {
            AttachmentBody::Inline(bytes) => Source::from(bytes.clone()),
            AttachmentBody::File(path) => Source::new(attachment.length, File::open(path)?),
            AttachmentBody::Omitted => break,
        });
    }
    to_container(record).write_to(out, record.time, sources)
}
