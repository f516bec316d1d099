//! The payloads of message frames, as bytes; those of timestamps are in `stamp`.
//!
//! ```text
//!   0  short hash of message id and owner (u64)
//!   8  bytes of its bodies in files (u64)
//!  16  flags (u32): response, provider's side, chain's result
//!  20  where the record's identity ends (u32)
//!  24  logged at, milliseconds since 1970 (i64)
//!  32  SHA-512 of the signature document
//!  96  texts, message, chain, SHA-256 of the chain's result, attachments' digests
//!   …  lengths of signature document and chain's result (u32 each), bodies
//!   …  signature document, chain's result
//! ```
//! What tables and queue need ([`Digest`]) is at fixed places, so that they are
//! rebuilt without reading whole messages. Bytes 16 to the end of the identity
//! say everything about the record that evidence rests on, large parts by their
//! digest, and nothing about how it is stored. The documents at the end are
//! there in one record of each segment only; the headers of the others tell
//! where ([`crate::frame::Header::document`]). Texts and byte strings have their
//! lengths before them; numbers are little endian. Reading is bounded by the
//! payload and never trusts a length.

use bytes::Bytes;
use causeway_identifiers::ClientId;
use time::OffsetDateTime;

use crate::error::LogError;
use crate::frame::{u32_at, u64_at};
use crate::record::{
    MAX_ATTACHMENTS, MAX_RECORD_BYTES, MAX_TEXT_BYTES, MessageRecord, NewRecord, Sha512, Side,
};
use crate::shared::{Shared, SharedKey};
use crate::spool::SpooledBody;

const FLAG_RESPONSE: u32 = 1;
const FLAG_PROVIDER: u32 = 2;
const FLAG_RESULT: u32 = 4;
/// Where a record's identity begins in its payload.
pub(crate) const IDENTITY: usize = 16;

/// A SHA-256 digest.
pub(crate) type Sha256 = [u8; 32];

/// The fixed beginning of a message's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    /// The short hash of message id and owner.
    pub(crate) key: u64,
    /// Bytes of its bodies in files.
    pub(crate) body_bytes: u64,
    /// Whether it is a response, the side, and whether there is a chain's result.
    flags: u32,
    /// Where the identity ends.
    identity_end: u32,
    /// When the message was logged, milliseconds since 1970.
    pub(crate) time: i64,
    /// The SHA-512 digest of the signature document.
    pub(crate) signature_hash: Sha512,
}

impl Digest {
    /// Its length.
    pub(crate) const BYTES: usize = 96;

    /// Reads it from the beginning of a payload.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        Some(Self {
            key: u64_at(payload, 0)?,
            body_bytes: u64_at(payload, 8)?,
            flags: u32_at(payload, IDENTITY)?,
            identity_end: u32_at(payload, 20)?,
            time: u64_at(payload, 24)?.cast_signed(),
            signature_hash: payload.get(32..Self::BYTES)?.try_into().ok()?,
        })
    }

    /// The identity in the payload that begins with this.
    pub(crate) fn identity<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        payload.get(IDENTITY..self.identity_end as usize)
    }

    pub(crate) fn response(&self) -> bool {
        self.flags & FLAG_RESPONSE != 0
    }

    fn side(&self) -> Side {
        if self.flags & FLAG_PROVIDER != 0 { Side::Provider } else { Side::Consumer }
    }
}

/// The short hash under which a message is found: of the log's id, the message
/// id and the owner without its instance. The log's random id keeps others from
/// choosing message ids that collide.
pub(crate) fn lookup_key(
    log: &[u8; 16],
    message_id: &str,
    class: &str,
    code: &str,
    subsystem: Option<&str>,
) -> u64 {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(log);
    for text in [Some(message_id), Some(class), Some(code), subsystem].into_iter().flatten() {
        context.update(&(text.len() as u64).to_le_bytes());
        context.update(text.as_bytes());
    }
    u64_at(context.finish().as_ref(), 0).unwrap_or_default()
}

/// The SHA-512 digest of some bytes.
pub(crate) fn sha512(bytes: &[u8]) -> Sha512 {
    let mut out = [0; 64];
    crate::frame::put(&mut out, 0, ring::digest::digest(&ring::digest::SHA512, bytes).as_ref());
    out
}

/// The SHA-256 digest of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    let mut out = [0; 32];
    crate::frame::put(&mut out, 0, ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}

/// A time as whole milliseconds since 1970.
pub(crate) fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or_default()
}

/// The time of some milliseconds since 1970; 1970 when it is out of range.
pub(crate) fn time_of(milliseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A message's payload as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) digest: Digest,
    pub(crate) side: Side,
    pub(crate) message_id: String,
    pub(crate) request_id: Option<String>,
    pub(crate) owner: ClientId,
    pub(crate) service: String,
    pub(crate) peer: Option<String>,
    pub(crate) message: Bytes,
    pub(crate) hash_chain: Option<Bytes>,
    /// The SHA-256 digest of the chain's result.
    pub(crate) result_hash: Option<Sha256>,
    pub(crate) attachments: Vec<StoredAttachment>,
    /// The lengths of what it shares with others: signature document and
    /// chain's result.
    pub(crate) lengths: (u32, u32),
    /// That itself, if it is in this payload.
    pub(crate) documents: Option<Documents>,
}

impl Message {
    /// What tells its documents from others.
    pub(crate) fn shared_key(&self) -> SharedKey {
        SharedKey { signature_hash: self.digest.signature_hash, result_hash: self.result_hash }
    }
}

/// The documents that records of a batch share, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Documents {
    pub(crate) signature: Bytes,
    pub(crate) hash_chain_result: Option<Bytes>,
}

impl Documents {
    /// What tells them from others.
    pub(crate) fn key(&self) -> SharedKey {
        SharedKey {
            signature_hash: sha512(&self.signature),
            result_hash: self.hash_chain_result.as_deref().map(sha256),
        }
    }
}

/// An attachment as it is in a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredAttachment {
    pub(crate) number: u32,
    pub(crate) digest: Sha512,
    pub(crate) length: u64,
    pub(crate) body: StoredBody,
}

/// Where a stored attachment's body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoredBody {
    Inline(Bytes),
    File,
    Omitted,
}

/// The bytes of a new record, without the documents that go behind it. Bodies
/// in files are only mentioned.
pub(crate) fn encode_message(
    record: &NewRecord,
    log: &[u8; 16],
    shared: &Shared,
) -> Result<Vec<u8>, LogError> {
    check_message(record)?;
    let owner = &record.owner;
    let key = lookup_key(
        log,
        &record.message_id,
        owner.member().class(),
        owner.member().code(),
        owner.subsystem_code(),
    );
    let mut out = Vec::with_capacity(capacity(record));
    out.extend_from_slice(&key.to_le_bytes());
    out.extend_from_slice(&file_bytes(record).to_le_bytes());
    let identity = Identity {
        response: record.response,
        side: record.side,
        time: record.time,
        signature_hash: &shared.key.signature_hash,
        message_id: &record.message_id,
        request_id: record.request_id.as_deref(),
        owner,
        service: &record.service,
        peer: record.peer.as_deref(),
        message: &record.message,
        hash_chain: record.hash_chain.as_deref(),
        result_hash: shared.key.result_hash,
    };
    identity.put(&mut out, record.attachments.iter().map(|a| (a.number, &a.digest, a.length)));
    out.extend_from_slice(&(shared.signature.len() as u32).to_le_bytes());
    let result_bytes = shared.hash_chain_result.as_ref().map_or(0, Bytes::len);
    out.extend_from_slice(&(result_bytes as u32).to_le_bytes());
    for attachment in &record.attachments {
        match &attachment.body {
            Some(SpooledBody::Memory(bytes)) => {
                out.push(1);
                put_bytes(&mut out, bytes);
            }
            Some(SpooledBody::File(_)) => out.push(2),
            None => out.push(0),
        }
    }
    Ok(out)
}

/// What a record's identity is made of, besides its attachments.
pub(crate) struct Identity<'a> {
    response: bool,
    side: Side,
    time: OffsetDateTime,
    signature_hash: &'a Sha512,
    message_id: &'a str,
    request_id: Option<&'a str>,
    owner: &'a ClientId,
    service: &'a str,
    peer: Option<&'a str>,
    message: &'a [u8],
    hash_chain: Option<&'a [u8]>,
    result_hash: Option<Sha256>,
}

impl<'a> Identity<'a> {
    /// That of a record that was read.
    pub(crate) fn of(record: &'a MessageRecord) -> Self {
        Self {
            response: record.response,
            side: record.side,
            time: record.time,
            signature_hash: &record.signature_hash,
            message_id: &record.message_id,
            request_id: record.request_id.as_deref(),
            owner: &record.owner,
            service: &record.service,
            peer: record.peer.as_deref(),
            message: &record.message,
            hash_chain: record.hash_chain.as_deref(),
            result_hash: record.hash_chain_result.as_deref().map(sha256),
        }
    }

    /// Its bytes, with each attachment's number, digest and length.
    pub(crate) fn put<'b>(
        &self,
        out: &mut Vec<u8>,
        attachments: impl ExactSizeIterator<Item = (u32, &'b Sha512, u64)>,
    ) {
        let flags = if self.response { FLAG_RESPONSE } else { 0 }
            | if self.side == Side::Provider { FLAG_PROVIDER } else { 0 }
            | if self.result_hash.is_some() { FLAG_RESULT } else { 0 };
        let begin = out.len();
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&milliseconds(self.time).to_le_bytes());
        out.extend_from_slice(self.signature_hash);
        put_bytes(out, self.message_id.as_bytes());
        put_optional(out, self.request_id.map(str::as_bytes));
        put_bytes(out, self.owner.instance().as_bytes());
        put_bytes(out, self.owner.member().class().as_bytes());
        put_bytes(out, self.owner.member().code().as_bytes());
        put_optional(out, self.owner.subsystem_code().map(str::as_bytes));
        put_bytes(out, self.service.as_bytes());
        put_optional(out, self.peer.map(str::as_bytes));
        put_bytes(out, self.message);
        put_optional(out, self.hash_chain);
        out.extend_from_slice(self.result_hash.as_ref().map_or(&[][..], |hash| hash));
        out.extend_from_slice(&(attachments.len() as u32).to_le_bytes());
        for (number, digest, length) in attachments {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(digest);
            out.extend_from_slice(&length.to_le_bytes());
        }
        // Bounded by MAX_RECORD_BYTES, as all that follows.
        let end = (IDENTITY + out.len() - begin) as u32;
        crate::frame::put(out, begin + 4, &end.to_le_bytes());
    }
}

/// Enough for a record's bytes, so that they are not moved while they are made.
fn capacity(record: &NewRecord) -> usize {
    let owner = &record.owner;
    let texts = record.message_id.len()
        + record.request_id.as_ref().map_or(0, String::len)
        + owner.instance().len()
        + owner.member().class().len()
        + owner.member().code().len()
        + owner.subsystem_code().map_or(0, str::len)
        + record.service.len()
        + record.peer.as_ref().map_or(0, String::len);
    let bodies: usize = record
        .attachments
        .iter()
        .map(|attachment| match &attachment.body {
            Some(SpooledBody::Memory(bytes)) => 96 + bytes.len(),
            _ => 96,
        })
        .sum();
    let chain = record.hash_chain.as_ref().map_or(0, Bytes::len);
    Digest::BYTES + 128 + texts + record.message.len() + chain + bodies
}

/// Bytes of a record's bodies in files.
fn file_bytes(record: &NewRecord) -> u64 {
    let files = record.attachments.iter().filter(|a| matches!(a.body, Some(SpooledBody::File(_))));
    files.fold(0, |sum, attachment| sum.saturating_add(attachment.length))
}

fn check_message(record: &NewRecord) -> Result<(), LogError> {
    let texts = [
        ("the message id", Some(&record.message_id)),
        ("the request id", record.request_id.as_ref()),
        ("the service", Some(&record.service)),
        ("the peer", record.peer.as_ref()),
    ];
    for (what, text) in texts {
        bounded(what, text.map_or(0, String::len), MAX_TEXT_BYTES)?;
    }
    bounded("the number of attachments", record.attachments.len(), MAX_ATTACHMENTS)?;
    let mut total = record.message.len().saturating_add(record.signature.len());
    for bytes in [&record.hash_chain_result, &record.hash_chain].into_iter().flatten() {
        total = total.saturating_add(bytes.len());
    }
    for (position, attachment) in record.attachments.iter().enumerate() {
        let mut earlier = record.attachments.iter().take(position);
        if attachment.number == 0 || earlier.any(|other| other.number == attachment.number) {
            return Err(LogError::Invalid("attachments must have different numbers from 1"));
        }
        if let Some(SpooledBody::Memory(bytes)) = &attachment.body {
            if bytes.len() as u64 != attachment.length {
                return Err(LogError::Invalid("an attachment's length is not that of its body"));
            }
            total = total.saturating_add(bytes.len());
        }
    }
    bounded("the record", total, MAX_RECORD_BYTES)
}

fn bounded(what: &'static str, bytes: usize, limit: usize) -> Result<(), LogError> {
    if bytes > limit {
        return Err(LogError::TooLarge { what, bytes: bytes as u64, limit: limit as u64 });
    }
    Ok(())
}

/// Reads a message's payload; `None` when it makes no sense. `complete` says
/// that the shared documents are at its end. Byte strings are slices of
/// `payload`, not copies.
pub(crate) fn decode_message(payload: &Bytes, complete: bool) -> Option<Message> {
    let digest = Digest::decode(payload)?;
    let mut reader = Reader { bytes: payload, at: Digest::BYTES };
    let message_id = reader.text()?;
    let request_id = reader.optional(Reader::text)?;
    let (instance, class, code) = (reader.text()?, reader.text()?, reader.text()?);
    let subsystem = reader.optional(Reader::text)?;
    let owner = ClientId::new(&instance, &class, &code, subsystem.as_deref()).ok()?;
    let has_result = digest.flags & FLAG_RESULT != 0;
    let mut message = Message {
        digest,
        side: digest.side(),
        message_id,
        request_id,
        owner,
        service: reader.text()?,
        peer: reader.optional(Reader::text)?,
        message: reader.take()?,
        hash_chain: reader.optional(Reader::take)?,
        result_hash: None,
        attachments: Vec::new(),
        lengths: (0, 0),
        documents: None,
    };
    if has_result {
        message.result_hash = Some(reader.fixed(32)?.as_ref().try_into().ok()?);
    }
    let count = reader.number()? as usize;
    if count > MAX_ATTACHMENTS {
        return None;
    }
    for _ in 0..count {
        message.attachments.push(StoredAttachment {
            number: reader.number()?,
            digest: reader.fixed(64)?.as_ref().try_into().ok()?,
            length: reader.long()?,
            body: StoredBody::Omitted,
        });
    }
    if reader.at != digest.identity_end as usize {
        return None;
    }
    message.lengths = (reader.number()?, reader.number()?);
    for attachment in &mut message.attachments {
        attachment.body = match reader.byte()? {
            0 => StoredBody::Omitted,
            1 => StoredBody::Inline(reader.take()?),
            2 => StoredBody::File,
            _ => return None,
        };
    }
    if complete {
        let signature = reader.fixed(message.lengths.0 as usize)?;
        let result = reader.fixed(message.lengths.1 as usize)?;
        let hash_chain_result = has_result.then_some(result);
        message.documents = Some(Documents { signature, hash_chain_result });
    }
    reader.is_at_end().then_some(message)
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // Every caller's bytes are bounded by MAX_RECORD_BYTES.
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        put_bytes(out, bytes);
    }
}

pub(crate) struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn fixed(&mut self, length: usize) -> Option<Bytes> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let slice = self.bytes.slice(self.at..end);
        self.at = end;
        Some(slice)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.fixed(1)?.first().copied()
    }

    pub(crate) fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.fixed(4)?.as_ref().try_into().ok()?))
    }

    pub(crate) fn long(&mut self) -> Option<u64> {
        u64_at(&self.fixed(8)?, 0)
    }

    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let length = self.number()? as usize;
        self.fixed(length)
    }

    fn text(&mut self) -> Option<String> {
        let bytes = self.take().filter(|bytes| bytes.len() <= MAX_TEXT_BYTES)?;
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn optional<T>(&mut self, read: fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => Some(Some(read(self)?)),
            _ => None,
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }
}
