//! The payloads of frames, as bytes.
//!
//! A message's payload begins with what tables and queue need ([`Digest`]), at
//! fixed places, so that they are rebuilt without reading whole messages. Texts
//! and byte strings follow with their lengths before them; numbers are little
//! endian. Reading is bounded by the payload and never trusts a length.

use bytes::Bytes;
use causeway_identifiers::ClientId;
use time::OffsetDateTime;

use crate::error::LogError;
use crate::frame::u64_at;
use crate::record::{
    MAX_ATTACHMENTS, MAX_RECORD_BYTES, MAX_TEXT_BYTES, NewRecord, RecordId, Sha512, Side,
};
use crate::spool::SpooledBody;

const FLAG_RESPONSE: u64 = 1;
const FLAG_PROVIDER: u64 = 2;

/// The fixed beginning of a message's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    /// When the message was logged, milliseconds since 1970.
    pub(crate) time: i64,
    /// The short hash of message id and owner.
    pub(crate) key: u64,
    /// Whether it is a response, and the side.
    flags: u64,
    /// Bytes of its bodies in files.
    pub(crate) body_bytes: u64,
    /// The SHA-512 digest of the signature document.
    pub(crate) signature_hash: Sha512,
}

impl Digest {
    /// Its length.
    pub(crate) const BYTES: usize = 96;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.body_bytes.to_le_bytes());
        out.extend_from_slice(&self.signature_hash);
    }

    /// Reads it from the beginning of a payload.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        Some(Self {
            time: u64_at(payload, 0)?.cast_signed(),
            key: u64_at(payload, 8)?,
            flags: u64_at(payload, 16)?,
            body_bytes: u64_at(payload, 24)?,
            signature_hash: payload.get(32..Self::BYTES)?.try_into().ok()?,
        })
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
    pub(crate) signature: Bytes,
    pub(crate) hash_chain_result: Option<Bytes>,
    pub(crate) hash_chain: Option<Bytes>,
    pub(crate) attachments: Vec<StoredAttachment>,
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

/// The bytes of a new record. Bodies in files are only mentioned. `signature_hash` is the SHA-512
/// digest of its signature document.
pub(crate) fn encode_message(
    record: &NewRecord,
    log: &[u8; 16],
    signature_hash: Sha512,
) -> Result<Vec<u8>, LogError> {
    check_message(record)?;
    let owner = &record.owner;
    let digest = Digest {
        time: milliseconds(record.time),
        key: lookup_key(
            log,
            &record.message_id,
            owner.member().class(),
            owner.member().code(),
            owner.subsystem_code(),
        ),
        flags: if record.response { FLAG_RESPONSE } else { 0 }
            | if record.side == Side::Provider { FLAG_PROVIDER } else { 0 },
        body_bytes: file_bytes(record),
        signature_hash,
    };
    let mut out =
        Vec::with_capacity(Digest::BYTES + 512 + record.message.len() + record.signature.len());
    digest.encode(&mut out);
    put_bytes(&mut out, record.message_id.as_bytes());
    put_optional(&mut out, record.request_id.as_ref().map(String::as_bytes));
    put_bytes(&mut out, owner.instance().as_bytes());
    put_bytes(&mut out, owner.member().class().as_bytes());
    put_bytes(&mut out, owner.member().code().as_bytes());
    put_optional(&mut out, owner.subsystem_code().map(str::as_bytes));
    put_bytes(&mut out, record.service.as_bytes());
    put_optional(&mut out, record.peer.as_ref().map(String::as_bytes));
    put_bytes(&mut out, &record.message);
    put_bytes(&mut out, &record.signature);
    put_optional(&mut out, record.hash_chain_result.as_deref());
    put_optional(&mut out, record.hash_chain.as_deref());
    out.extend_from_slice(&(record.attachments.len() as u32).to_le_bytes());
    for attachment in &record.attachments {
        out.extend_from_slice(&attachment.number.to_le_bytes());
        out.extend_from_slice(&attachment.digest);
        out.extend_from_slice(&attachment.length.to_le_bytes());
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

/// Reads a message's payload; `None` when it makes no sense. Byte strings are
/// slices of `payload`, not copies.
pub(crate) fn decode_message(payload: &Bytes) -> Option<Message> {
    let digest = Digest::decode(payload)?;
    let mut reader = Reader { bytes: payload, at: Digest::BYTES };
    let message_id = reader.text()?;
    let request_id = reader.optional(Reader::text)?;
    let (instance, class, code) = (reader.text()?, reader.text()?, reader.text()?);
    let subsystem = reader.optional(Reader::text)?;
    let owner = ClientId::new(&instance, &class, &code, subsystem.as_deref()).ok()?;
    let mut message = Message {
        digest,
        side: digest.side(),
        message_id,
        request_id,
        owner,
        service: reader.text()?,
        peer: reader.optional(Reader::text)?,
        message: reader.take()?,
        signature: reader.take()?,
        hash_chain_result: reader.optional(Reader::take)?,
        hash_chain: reader.optional(Reader::take)?,
        attachments: Vec::new(),
    };
    let count = reader.number()? as usize;
    if count > MAX_ATTACHMENTS {
        return None;
    }
    for _ in 0..count {
        message.attachments.push(StoredAttachment {
            number: reader.number()?,
            digest: reader.fixed(64)?.as_ref().try_into().ok()?,
            length: reader.long()?,
            body: match reader.byte()? {
                0 => StoredBody::Omitted,
                1 => StoredBody::Inline(reader.take()?),
                2 => StoredBody::File,
                _ => return None,
            },
        });
    }
    reader.is_at_end().then_some(message)
}

/// A timestamp's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timestamp {
    pub(crate) time: i64,
    pub(crate) token: Bytes,
    pub(crate) hash_chain_result: Option<Bytes>,
}

impl Timestamp {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.token.len());
        out.extend_from_slice(&self.time.to_le_bytes());
        put_bytes(&mut out, &self.token);
        put_optional(&mut out, self.hash_chain_result.as_deref());
        out
    }

    pub(crate) fn decode(payload: &Bytes) -> Option<Self> {
        let mut reader = Reader { bytes: payload, at: 0 };
        let timestamp = Self {
            time: reader.long()?.cast_signed(),
            token: reader.take()?,
            hash_chain_result: reader.optional(Reader::take)?,
        };
        reader.is_at_end().then_some(timestamp)
    }
}

/// The most records that one coverage frame lists.
pub(crate) const MAX_COVERED: usize = 64;
/// The most by which ids in one coverage frame differ.
pub(crate) const MAX_COVERED_SPAN: u64 = 4096;

/// A coverage's payload: records in id order with what leads from the token to
/// each. The token is in the frame `distance` before this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coverage {
    pub(crate) distance: u32,
    /// Whether `evidence` is the signature document with the token inside,
    /// and not a hash chain.
    pub(crate) single: bool,
    pub(crate) records: Vec<(RecordId, Bytes)>,
}

impl Coverage {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.distance.to_le_bytes());
        out.push(u8::from(self.single));
        out.extend_from_slice(&(self.records.len() as u32).to_le_bytes());
        for (id, evidence) in &self.records {
            out.extend_from_slice(&id.0.to_le_bytes());
            put_bytes(&mut out, evidence);
        }
        out
    }

    pub(crate) fn decode(payload: &Bytes) -> Option<Self> {
        let mut reader = Reader { bytes: payload, at: 0 };
        let distance = reader.number()?;
        let single = match reader.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let count = reader.number()? as usize;
        if count == 0 || count > MAX_COVERED {
            return None;
        }
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            records.push((RecordId(reader.long()?), reader.take()?));
        }
        let ordered = records.windows(2).all(|pair| match pair {
            [(a, _), (b, _)] => a < b,
            _ => false,
        });
        let coverage = Self { distance, single, records };
        let narrow = coverage.last().0.saturating_sub(coverage.first().0) < MAX_COVERED_SPAN;
        (reader.is_at_end() && ordered && narrow).then_some(coverage)
    }

    pub(crate) fn first(&self) -> RecordId {
        self.records.first().map_or(RecordId(0), |(id, _)| *id)
    }

    pub(crate) fn last(&self) -> RecordId {
        self.records.last().map_or(RecordId(0), |(id, _)| *id)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
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

struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn fixed(&mut self, length: usize) -> Option<Bytes> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let slice = self.bytes.slice(self.at..end);
        self.at = end;
        Some(slice)
    }

    fn byte(&mut self) -> Option<u8> {
        self.fixed(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.fixed(4)?.as_ref().try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        u64_at(&self.fixed(8)?, 0)
    }

    fn take(&mut self) -> Option<Bytes> {
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

    fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }
}
