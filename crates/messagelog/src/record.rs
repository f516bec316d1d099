//! What a record is: as it is given to the log, and as it is read back.

use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;
use causeway_identifiers::ClientId;
use time::OffsetDateTime;

use crate::spool::SpooledBody;

/// The longest message id, request id, service or server text, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// The most attachments that one record may list.
pub const MAX_ATTACHMENTS: usize = 1024;
/// The most bytes that one record may hold inside a segment: message,
/// signature, chains and small bodies together.
pub const MAX_RECORD_BYTES: usize = 32 * 1024 * 1024;
/// A SHA-512 digest.
pub type Sha512 = [u8; 64];

/// The number of a record. It grows with every record of a log, never repeats,
/// and may skip: timestamps take numbers too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub u64);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// On which side of an exchange the server stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// It served the party that asks.
    Consumer,
    /// It served the party that answers.
    Provider,
}

/// A message to be logged.
#[derive(Debug)]
pub struct NewRecord {
    /// When the message was logged; kept in milliseconds.
    pub time: OffsetDateTime,
    /// The message id (`x-road-id`, or `id` of the SOAP header).
    pub message_id: String,
    /// The server's own id of the exchange (`x-road-request-id`).
    pub request_id: Option<String>,
    /// Whether this is the response.
    pub response: bool,
    /// The side on which the server stood.
    pub side: Side,
    /// The local party: the consumer's client on the consumer side, the
    /// service's client on the provider side, for requests and responses alike.
    pub owner: ClientId,
    /// The service that was called, in its short form.
    pub service: String,
    /// The server at the other end, in its short form, when it is known.
    pub peer: Option<String>,
    /// The message: SOAP envelope or REST header block, exactly as signed.
    pub message: Bytes,
    /// The signature document, exactly as sent or received.
    pub signature: Bytes,
    /// `sig-hashchainresult.xml` of a batch signature.
    pub hash_chain_result: Option<Bytes>,
    /// `sig-hashchain.xml` of a batch signature.
    pub hash_chain: Option<Bytes>,
    /// The attachments, or the REST body as attachment 1.
    pub attachments: Vec<NewAttachment>,
}

/// An attachment of a [`NewRecord`].
#[derive(Debug)]
pub struct NewAttachment {
    /// Its number, from 1.
    pub number: u32,
    /// The SHA-512 digest of its body, as signed.
    pub digest: Sha512,
    /// The length of its body in bytes.
    pub length: u64,
    /// The body; absent when it is not to be stored.
    pub body: Option<SpooledBody>,
}

/// A logged message with its timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRecord {
    /// Its number.
    pub id: RecordId,
    /// When it was logged, to the millisecond.
    pub time: OffsetDateTime,
    /// The message id.
    pub message_id: String,
    /// The server's own id of the exchange.
    pub request_id: Option<String>,
    /// Whether this is the response.
    pub response: bool,
    /// The side on which the server stood.
    pub side: Side,
    /// The local party.
    pub owner: ClientId,
    /// The service that was called, in its short form.
    pub service: String,
    /// The server at the other end, in its short form.
    pub peer: Option<String>,
    /// The message, exactly as signed.
    pub message: Bytes,
    /// The signature document. When the record was timestamped alone, the
    /// document into which the token was put; otherwise exactly as logged.
    pub signature: Bytes,
    /// The SHA-512 digest of the signature document as it was logged.
    pub signature_hash: Sha512,
    /// `sig-hashchainresult.xml` of a batch signature.
    pub hash_chain_result: Option<Bytes>,
    /// `sig-hashchain.xml` of a batch signature.
    pub hash_chain: Option<Bytes>,
    /// The attachments in the order in which they were logged.
    pub attachments: Vec<Attachment>,
    /// The timestamp, once there is one.
    pub timestamp: Option<RecordTimestamp>,
}

/// An attachment of a [`MessageRecord`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its number, from 1.
    pub number: u32,
    /// The SHA-512 digest of its body, as signed.
    pub digest: Sha512,
    /// The length of its body in bytes.
    pub length: u64,
    /// Where the body is.
    pub body: AttachmentBody,
}

/// Where an attachment's body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachmentBody {
    /// In the record.
    Inline(Bytes),
    /// In a file of the log's `bodies` folder.
    File(PathBuf),
    /// Not stored.
    Omitted,
}

/// The timestamp of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTimestamp {
    /// The number of the timestamp record, shared by all records of a batch.
    pub id: RecordId,
    /// The RFC 3161 token, DER.
    pub token: Bytes,
    /// How the token covers the record.
    pub cover: TimestampCover,
}

/// How a token covers a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampCover {
    /// The token stamps `ts-hashchainresult.xml`, and the chain leads from
    /// there to the record's signature document.
    Batch {
        /// `ts-hashchainresult.xml`, exactly as stamped.
        hash_chain_result: Bytes,
        /// `ts-hashchain.xml` of this record.
        hash_chain: Bytes,
    },
    /// The token stamps the signature value and is inside the signature document.
    Single,
}

/// A timestamp to be logged.
#[derive(Debug, Clone)]
pub struct NewTimestamp {
    /// When it was received; kept in milliseconds.
    pub time: OffsetDateTime,
    /// The RFC 3161 token, DER, with the authority's certificate inside.
    pub token: Bytes,
    /// What it covers.
    pub cover: NewCover,
}

/// What a [`NewTimestamp`] covers.
#[derive(Debug, Clone)]
pub enum NewCover {
    /// Several records through a hash chain.
    Batch {
        /// `ts-hashchainresult.xml`, exactly as stamped.
        hash_chain_result: Bytes,
        /// The leaves of the chain's tree, in their order: each record with the
        /// SHA-512 digest of its signature document. Each record's
        /// `ts-hashchain.xml` is made from them when it is asked for.
        leaves: Vec<(RecordId, Sha512)>,
    },
    /// One record, whose signature document now has the token inside.
    Single {
        /// The record.
        record: RecordId,
        /// Its signature document with the token.
        signature: Bytes,
    },
}

/// A record that waits for its timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untimestamped {
    /// The record.
    pub id: RecordId,
    /// When it was logged.
    pub time: OffsetDateTime,
    /// The SHA-512 digest of its signature document.
    pub signature_hash: Sha512,
}

/// Which message records to find. The instance is not part of it, as in
/// X-Road's `/asic` (`LogRecordManager`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The message id.
    pub message_id: String,
    /// The owner's member class.
    pub member_class: String,
    /// The owner's member code.
    pub member_code: String,
    /// The owner's subsystem code; absent finds the member's own records only.
    pub subsystem_code: Option<String>,
    /// Only responses, only requests, or both.
    pub response: Option<bool>,
    /// The most records to return.
    pub limit: usize,
}

/// The log in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Message records held.
    pub records: u64,
    /// Message records without a timestamp.
    pub untimestamped: u64,
    /// When the oldest record without a timestamp was logged.
    pub oldest_untimestamped: Option<OffsetDateTime>,
    /// Bytes of records in the segments, without preallocated space and bodies.
    pub segment_bytes: u64,
    /// Bytes of attachment bodies in files.
    pub body_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Whether the last write failed, so that appends are refused until one succeeds.
    pub failing: bool,
    /// Places in the segments that could not be read when the log was opened.
    pub damages: u64,
}
