//! The formats: what is written reads back, and nothing that is read panics.

use std::path::Path;

use bytes::Bytes;
use causeway_identifiers::ClientId;
use proptest::prelude::*;
use time::OffsetDateTime;

use super::{ForgetfulDisk, Random};
use crate::codec::{
    Digest, Documents, Message, StoredBody, decode_message, encode_message, time_of,
};
use crate::commit::timestamp_frame;
use crate::disk::Disk;
use crate::frame::{HEADER_BYTES, Header, Kind, Salt};
use crate::record::{NewAttachment, NewCover, NewRecord, NewTimestamp, RecordId, Side};
use crate::scan::{Depth, Scan};
use crate::segment;
use crate::shared::Shared;
use crate::spool::SpooledBody;
use crate::stamp::{Cover, MAX_GROUP_SPAN, Timestamp, groups};
use crate::table::{Table, TableFile};

fn some_bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn owner() -> impl Strategy<Value = ClientId> {
    let part = || "[a-zA-Z0-9ÄÖ]{1,12}";
    (part(), part(), part(), proptest::option::of(part()))
        .prop_map(|(i, c, m, s)| ClientId::new(&i, &c, &m, s.as_deref()).unwrap())
}

fn attachments() -> impl Strategy<Value = Vec<NewAttachment>> {
    let body = proptest::option::of(some_bytes());
    proptest::collection::vec((any::<u8>(), body), 0..4).prop_map(|list| {
        let numbered = list.into_iter().zip(1..);
        let attachment = |((digest, body), number): ((u8, Option<Bytes>), u32)| NewAttachment {
            number,
            digest: [digest; 64],
            length: body.as_ref().map_or(77, |body| body.len() as u64),
            body: body.map(SpooledBody::Memory),
        };
        numbered.map(attachment).collect()
    })
}

fn new_record() -> impl Strategy<Value = NewRecord> {
    let texts = (".{0,30}", proptest::option::of(".{0,30}"), ".{0,30}");
    let documents = (some_bytes(), some_bytes(), proptest::option::of(some_bytes()));
    let rest = (any::<bool>(), any::<bool>(), -10_000_000_000_000i64..10_000_000_000_000);
    (texts, documents, rest, owner(), attachments()).prop_map(
        |((message_id, peer, service), (message, signature, chain), rest, owner, attachments)| {
            NewRecord {
                time: time_of(rest.2),
                message_id,
                request_id: peer.clone(),
                response: rest.0,
                side: if rest.1 { Side::Consumer } else { Side::Provider },
                owner,
                service,
                peer,
                message,
                signature,
                hash_chain_result: chain.clone(),
                hash_chain: chain,
                attachments,
            }
        },
    )
}

fn shared(new: &NewRecord) -> Shared {
    Shared::new(new.signature.clone(), new.hash_chain_result.clone())
}

fn assert_same(new: &NewRecord, read: &Message) {
    assert_eq!(time_of(read.digest.time), new.time);
    assert_eq!((read.digest.response(), read.side), (new.response, new.side));
    assert_eq!((&read.message_id, &read.request_id), (&new.message_id, &new.request_id));
    assert_eq!((&read.owner, &read.service, &read.peer), (&new.owner, &new.service, &new.peer));
    assert_eq!((&read.message, &read.hash_chain), (&new.message, &new.hash_chain));
    assert_eq!(read.shared_key(), shared(new).key);
    assert_eq!(read.attachments.len(), new.attachments.len());
    for (read, new) in read.attachments.iter().zip(&new.attachments) {
        assert_eq!((read.number, read.length), (new.number, new.length));
        assert_eq!(read.digest, new.digest);
        match (&read.body, &new.body) {
            (StoredBody::Inline(read), Some(SpooledBody::Memory(new))) => assert_eq!(read, new),
            (StoredBody::Omitted, None) => {}
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn messages_round_trip(new in new_record()) {
        let mut payload = encode_message(&new, &[1; 16], &shared(&new)).unwrap();
        let alone = Bytes::from(payload.clone());
        payload.extend_from_slice(&new.signature);
        payload.extend_from_slice(new.hash_chain_result.as_deref().unwrap_or_default());
        let complete = Bytes::from(payload);
        let read = decode_message(&complete, true).unwrap();
        assert_same(&new, &read);
        let (signature, hash_chain_result) = (new.signature.clone(), new.hash_chain_result.clone());
        prop_assert_eq!(read.documents, Some(Documents { signature, hash_chain_result }));
        let read = decode_message(&alone, false).unwrap();
        assert_same(&new, &read);
        prop_assert_eq!(read.documents, None);
        for end in 0..complete.len() {
            prop_assert!(decode_message(&complete.slice(..end), true).is_none());
            let whole = end == alone.len();
            prop_assert_eq!(decode_message(&complete.slice(..end), false).is_some(), whole);
        }
    }

    #[test]
    fn damaged_payloads_never_panic(new in new_record(), flips: Vec<(u16, u8)>) {
        let mut payload = encode_message(&new, &[1; 16], &shared(&new)).unwrap();
        for (at, bits) in flips {
            let at = usize::from(at) % payload.len();
            payload[at] ^= bits;
        }
        let payload = Bytes::from(payload);
        let _ = (decode_message(&payload, true), decode_message(&payload, false));
    }

    #[test]
    fn arbitrary_payloads_never_panic(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        let _ = (decode_message(&bytes, true), decode_message(&bytes, false));
        let _ = Timestamp::decode(&bytes);
    }

    #[test]
    fn timestamps_round_trip(
        token in some_bytes(),
        result in some_bytes(),
        covered in proptest::collection::vec((0..40_000u64, 0..40u8), 1..300),
    ) {
        let time = OffsetDateTime::from_unix_timestamp(1_750_000_000).unwrap();
        let leaves: Vec<_> = covered.iter().map(|(id, leaf)| (RecordId(*id), [*leaf; 64])).collect();
        let (hash_chain_result, single) = (result.clone(), NewCover::Single {
            record: RecordId(7),
            signature: result,
        });
        let batch = NewCover::Batch { hash_chain_result, leaves };
        for new in [batch, single] {
            let expected = match new.clone() {
                NewCover::Single { record, signature } => Cover::Single { record, signature },
                NewCover::Batch { hash_chain_result, leaves } => {
                    Cover::Batch { hash_chain_result, leaves }
                }
            };
            let timestamp = NewTimestamp { time, token: token.clone(), cover: new };
            let (payload, _) = timestamp_frame(timestamp).unwrap();
            let bytes = Bytes::from(payload.bytes);
            let read = Timestamp::decode(&bytes).unwrap();
            prop_assert_eq!((&read.token, &read.cover), (&token, &expected));
            for end in 0..bytes.len() {
                prop_assert!(Timestamp::decode(&bytes.slice(..end)).is_none());
            }
            let records = read.records();
            prop_assert!(records.is_sorted_by(|a, b| a < b));
            let groups = groups(&records);
            prop_assert!(groups.is_sorted_by(|a, b| a.1 < b.0));
            prop_assert!(groups.iter().all(|(first, last)| last - first < MAX_GROUP_SPAN));
            for id in &records {
                prop_assert!(groups.iter().any(|(first, last)| first <= id && id <= last));
            }
        }
    }

    #[test]
    fn arbitrary_segments_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        frames in proptest::collection::vec((0usize..3000, 0u32..200, any::<u64>()), 0..6),
        last: bool,
        whole: bool,
    ) {
        let salt = Salt::new(&[3; 16], 1);
        let mut bytes = bytes;
        for (offset, length, sequence) in frames {
            // Headers that are right in their place, with anything behind them.
            let offset = offset / 8 * 8;
            let header = Header {
                kind: Kind::Message,
                length,
                payload_crc: 0,
                sequence: sequence % 10,
                durable: sequence % 3000,
                document: length % 7,
            };
            if let Some(place) = bytes.get_mut(offset..offset + HEADER_BYTES) {
                place.copy_from_slice(&header.encode(&salt, offset as u64));
            }
        }
        let disk = ForgetfulDisk::default();
        let file = disk.create(Path::new("/segment")).unwrap();
        file.write_full(&bytes, 0).unwrap();
        let depth = if whole { Depth::Whole } else { Depth::Beginning };
        let mut expected = 1;
        let scan = Scan {
            file: file.as_ref(), salt: &salt, segment: 1, offset: 64, expected, last, depth,
        };
        let end = scan.run(&mut |frame| {
            assert!(frame.header.sequence >= expected);
            expected = frame.header.sequence + 1;
            Ok(())
        });
        prop_assert!(end.unwrap().next >= expected);
    }

    #[test]
    fn tables_answer_alike_in_memory_and_on_disk(seed: u64, keys in 1u64..40) {
        let mut random = Random::new(seed);
        let mut table = Table::new(100);
        let mut sequence = 100;
        for _ in 0..random.below(200) {
            sequence += 1 + random.below(20) / 19;
            let mut digest = [0; Digest::BYTES];
            digest[0] = random.below(keys) as u8;
            let digest = Digest::decode(&digest).filter(|_| random.chance(70));
            table.push(sequence, 64 + 8 * sequence, 8, digest.as_ref());
        }
        let disk = ForgetfulDisk::default();
        table.write(&disk, Path::new("/"), &[5; 16]).unwrap();
        let file = TableFile::open(&disk, Path::new("/"), &[5; 16], 100).unwrap().unwrap();
        prop_assert!(TableFile::open(&disk, Path::new("/"), &[6; 16], 100).unwrap().is_none());
        prop_assert_eq!(file.totals, table.totals);
        for key in 0..=keys {
            let (mut memory, mut written) = (Vec::new(), Vec::new());
            table.find(key, &mut memory);
            file.find(key, &mut written).unwrap();
            prop_assert_eq!(memory, written);
        }
        for sequence in 90..sequence + 10 {
            prop_assert_eq!(table.offset(sequence), file.offset(sequence).unwrap());
        }
    }

    #[test]
    fn segment_headers_round_trip(log: [u8; 16], first: u64, made: i64, bit in 0usize..512) {
        let header = segment::Header { log, first, made };
        let mut bytes = header.encode();
        prop_assert_eq!(segment::Header::decode(&bytes), Some(header));
        bytes[bit / 8] ^= 1 << (bit % 8);
        let damaged = segment::Header::decode(&bytes);
        prop_assert!(damaged.is_none());
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let refused = |change: fn(&mut NewRecord)| {
        let mut new = super::record("m", 10);
        change(&mut new);
        encode_message(&new, &[0; 16], &shared(&new)).unwrap_err()
    };
    refused(|new| new.message_id = "x".repeat(5000));
    refused(|new| new.message = vec![0; 33 * 1024 * 1024].into());
    let attachment = |number, length| NewAttachment {
        number,
        digest: [0; 64],
        length,
        body: Some(SpooledBody::Memory(Bytes::from_static(b"12345"))),
    };
    let mut new = super::record("m", 10);
    new.attachments = vec![attachment(1, 5), attachment(1, 5)];
    assert!(encode_message(&new, &[0; 16], &shared(&new)).is_err(), "the same number twice");
    new.attachments = vec![attachment(1, 6)];
    assert!(encode_message(&new, &[0; 16], &shared(&new)).is_err(), "a wrong length");
    new.attachments = vec![attachment(1, 5), attachment(2, 5)];
    assert!(encode_message(&new, &[0; 16], &shared(&new)).is_ok());
}

#[test]
fn a_log_in_another_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(crate::Log::open(crate::LogSettings::new(folder.path())).unwrap());
    let path = segment::path(&folder.path().join("segments"), 1);
    let file = crate::disk::RealDisk.open(&path, true).unwrap();
    file.write_full(b"1", 7).unwrap();
    let before = std::fs::read(&path).unwrap();
    let Err(error) = crate::Log::open(crate::LogSettings::new(folder.path())) else {
        panic!("it was opened")
    };
    let text = error.to_string();
    assert!(matches!(error, crate::LogError::Format { found: '1', expected: '2', .. }), "{text}");
    assert!(text.contains("segment 0000000000000001 is in format 1"), "{text}");
    assert!(std::fs::read(&path).unwrap() == before);
}

/// A record's leaf is the same from its frame and from what is read, however it
/// is stored; and it changes with all that matters.
#[tokio::test]
async fn a_leaf_tells_the_record_and_not_how_it_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        crate::LogSettings { inline_bytes: 100, ..crate::LogSettings::new(folder.path()) };
    let log = crate::Log::open(settings).unwrap();
    let mut leaves = std::collections::BTreeSet::new();
    for number in 0..12u32 {
        let make = || {
            let mut new = super::record(&format!("m{number}"), 50);
            let length = if number % 2 == 0 { 20 } else { 300 };
            new.attachments.push(NewAttachment {
                number: 1,
                digest: [7; 64],
                length,
                body: Some(SpooledBody::Memory(vec![7; length as usize].into())),
            });
            new
        };
        let mut payload = encode_message(&make(), &[1; 16], &shared(&make())).unwrap();
        let id = log.append(make()).await.unwrap();
        payload[..8].fill(9);
        let read = log.record(id).unwrap().unwrap();
        let leaf = crate::tree::record_leaf(&read);
        assert_eq!(crate::tree::stored_leaf(id, &payload).unwrap(), leaf);
        payload.truncate(leaf.len() - 8 + crate::codec::IDENTITY - 1);
        assert_eq!(crate::tree::stored_leaf(id, &payload), None);
        assert!(leaves.insert(leaf));
        let changes: [fn(&mut crate::MessageRecord); 10] = [
            |r| r.id = RecordId(r.id.0 + 1000),
            |r| r.response = !r.response,
            |r| r.side = Side::Provider,
            |r| r.time += time::Duration::MILLISECOND,
            |r| r.peer = Some("DEV/GOV/77/OTHER".into()),
            |r| r.message = Bytes::from_static(b"other"),
            |r| r.signature_hash[5] ^= 1,
            |r| r.hash_chain = Some(Bytes::from_static(b"other")),
            |r| r.hash_chain_result = Some(Bytes::from_static(b"other")),
            |r| r.attachments[0].digest[5] ^= 1,
        ];
        for change in changes {
            let mut other = read.clone();
            change(&mut other);
            assert!(leaves.insert(crate::tree::record_leaf(&other)));
        }
        let mut stored_otherwise = read;
        stored_otherwise.attachments[0].body = crate::AttachmentBody::Omitted;
        assert!(!leaves.insert(crate::tree::record_leaf(&stored_otherwise)));
    }
}
