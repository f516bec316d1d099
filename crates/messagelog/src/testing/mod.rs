//! What the tests share: a disk that forgets and fails, random numbers from a
//! seed, and records to write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crash;
mod faults;
mod forgetful;
mod formats;

pub(crate) use forgetful::ForgetfulDisk;

use bytes::Bytes;
use causeway_identifiers::ClientId;
use time::OffsetDateTime;

use crate::record::{NewRecord, Side};

/// Random numbers from a seed (xorshift64*).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// A record with the given message id and a message of the given length. Ids
/// whose numbers are near have the same signature document, as in a batch.
pub(crate) fn record(message_id: &str, length: usize) -> NewRecord {
    let mut random = Random::new(length as u64 + 1);
    let digits = message_id.trim_start_matches(|c: char| !c.is_ascii_digit());
    let batch = digits.parse::<u64>().map_or(0, |number| number / 4);
    let chained = batch.is_multiple_of(3).then_some(batch);
    NewRecord {
        time: OffsetDateTime::from_unix_timestamp(1_750_000_000).unwrap(),
        message_id: message_id.to_owned(),
        request_id: Some("7a0c0f4e-1111-4222-8333-944445555666".to_owned()),
        response: false,
        side: Side::Consumer,
        owner: ClientId::new("DEV", "GOV", "1234", Some("Portal")).unwrap(),
        service: "DEV/GOV/77/Register/persons".to_owned(),
        peer: None,
        message: Bytes::from(random.bytes(length)),
        signature: Bytes::from(format!("<signature of='{batch}'/>").repeat(20)),
        hash_chain_result: chained.map(|batch| Bytes::from(format!("<result of='{batch}'/>"))),
        hash_chain: chained.map(|_| Bytes::from(format!("<chain of='{message_id}'/>"))),
        attachments: Vec::new(),
    }
}
