//! One frame of a segment: a header of 40 bytes, the payload, and zeros up to
//! the next multiple of 8.
//!
//! ```text
//!  0  magic "CWF2"                    16  sequence number (u64)
//!  4  kind, version, two zeros        24  durable: where the write began (u64)
//!  8  payload length (u32)            32  document: how far back it is (u32)
//! 12  CRC-32 of the payload           36  CRC-32 of salt, offset and bytes 0..36
//! ```
//! Numbers are little endian. The header's checksum covers the log's random id,
//! the segment and the offset, so that bytes which happen to look like a frame
//! – a peer may send whatever it likes inside a message – never pass for one.
//! `durable` is the offset up to which the segment was durable when this frame
//! was written. It tells a torn tail (unacknowledged frames of the last write,
//! any of which may be missing) from damage to frames that were acknowledged.
//! `document` is how many bytes before this frame the documents begin that this
//! record shares with others of its batch; 0 says that they end its own payload.

use crc32fast::Hasher;

use crate::record::MAX_RECORD_BYTES;

/// The length of a frame's header.
pub(crate) const HEADER_BYTES: usize = 40;
/// Frames begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;
/// The longest payload: a record and what its encoding adds.
pub(crate) const MAX_PAYLOAD: usize = MAX_RECORD_BYTES + 1024 * 1024;

const MAGIC: [u8; 4] = *b"CWF2";
const VERSION: u8 = 2;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message record.
    Message,
    /// A timestamp token with what it covers.
    Timestamp,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::Timestamp => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Message),
            2 => Some(Self::Timestamp),
            _ => None,
        }
    }
}

/// What makes a header's checksum good only in its log, segment and place.
#[derive(Debug, Clone)]
pub(crate) struct Salt(Hasher);

impl Salt {
    pub(crate) fn new(log: &[u8; 16], segment: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(log);
        hasher.update(&segment.to_le_bytes());
        Self(hasher)
    }

    fn checksum(&self, offset: u64, header: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(&offset.to_le_bytes());
        hasher.update(header);
        hasher.finalize()
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) length: u32,
    pub(crate) payload_crc: u32,
    pub(crate) sequence: u64,
    pub(crate) durable: u64,
    /// How many bytes before this frame the record's shared documents begin; 0
    /// when they are in its own payload.
    pub(crate) document: u32,
}

impl Header {
    /// The header's bytes at an offset of a segment.
    pub(crate) fn encode(&self, salt: &Salt, offset: u64) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        put(&mut out, 0, &MAGIC);
        put(&mut out, 4, &[self.kind.byte(), VERSION]);
        put(&mut out, 8, &self.length.to_le_bytes());
        put(&mut out, 12, &self.payload_crc.to_le_bytes());
        put(&mut out, 16, &self.sequence.to_le_bytes());
        put(&mut out, 24, &self.durable.to_le_bytes());
        put(&mut out, 32, &self.document.to_le_bytes());
        let crc = salt.checksum(offset, out.get(..36).unwrap_or_default());
        put(&mut out, 36, &crc.to_le_bytes());
        out
    }

    /// Reads a header; `None` when these bytes are not a header of this place.
    pub(crate) fn decode(bytes: &[u8], salt: &Salt, offset: u64) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if bytes.get(..4)? != MAGIC || u32_at(bytes, 36)? != salt.checksum(offset, bytes.get(..36)?)
        {
            return None;
        }
        let length = u32_at(bytes, 8)?;
        if *bytes.get(5)? != VERSION || length as usize > MAX_PAYLOAD {
            return None;
        }
        Some(Self {
            kind: Kind::from_byte(*bytes.get(4)?)?,
            length,
            payload_crc: u32_at(bytes, 12)?,
            sequence: u64_at(bytes, 16)?,
            durable: u64_at(bytes, 24)?,
            document: u32_at(bytes, 32)?,
        })
    }

    /// The length of the whole frame in its segment.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.length as usize)
    }

    /// Whether these bytes are the payload that was written.
    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        payload.len() == self.length as usize && crc32fast::hash(payload) == self.payload_crc
    }
}

/// The length in a segment of a frame with a payload of the given length.
pub(crate) fn frame_bytes(payload: usize) -> u64 {
    (HEADER_BYTES as u64).saturating_add(payload as u64).next_multiple_of(ALIGNMENT)
}

/// Copies `bytes` into `out` at a place that the caller knows to be inside.
pub(crate) fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at.saturating_add(bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

/// A little-endian number at a place, if the bytes go so far.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// A little-endian number at a place, if the bytes go so far.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn header() -> impl Strategy<Value = Header> {
        let numbers = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>());
        (1u8..=2, 0..=MAX_PAYLOAD as u32, numbers).prop_map(
            |(kind, length, (payload_crc, sequence, durable, document))| Header {
                kind: Kind::from_byte(kind).unwrap(),
                length,
                payload_crc,
                sequence,
                durable,
                document,
            },
        )
    }

    proptest! {
        #[test]
        fn headers_round_trip(header in header(), log: [u8; 16], segment: u64, offset: u64) {
            let salt = Salt::new(&log, segment);
            let bytes = header.encode(&salt, offset);
            prop_assert_eq!(Header::decode(&bytes, &salt, offset), Some(header));
        }

        #[test]
        fn a_header_is_good_in_its_place_only(header in header(), log: [u8; 16], offset: u32) {
            let salt = Salt::new(&log, 1);
            let offset = u64::from(offset);
            let bytes = header.encode(&salt, offset);
            prop_assert_eq!(Header::decode(&bytes, &salt, offset + 8), None);
            prop_assert_eq!(Header::decode(&bytes, &Salt::new(&log, 2), offset), None);
        }

        #[test]
        fn one_flipped_bit_is_seen(header in header(), bit in 0usize..HEADER_BYTES * 8) {
            let salt = Salt::new(&[7; 16], 1);
            let mut bytes = header.encode(&salt, 64);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::decode(&bytes, &salt, 64), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, offset: u64) {
            let _ = Header::decode(&bytes, &Salt::new(&[0; 16], 0), offset);
        }
    }
}
