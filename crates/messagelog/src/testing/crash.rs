//! Crashes at random points, many times over: nothing acknowledged is lost,
//! nothing half written is seen, and the index that was kept is the one that a
//! rebuild would make.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{ForgetfulDisk, Random, record};
use crate::bodies::{Bodies, Spooled};
use crate::catalog::{Catalog, Entry};
use crate::checkpoint::Checkpointer;
use crate::codec::{Digest, encode_message};
use crate::commit::{Committer, Request, lock, timestamp_frame};
use crate::error::LogError;
use crate::index::Index;
use crate::journal::{Payload, Place};
use crate::reader::Reader;
use crate::record::{
    AttachmentBody, NewAttachment, NewCover, NewRecord, NewTimestamp, Query, RecordId,
    TimestampCover,
};
use crate::recovery::{log_id, recover};
use crate::shared::Shared;
use crate::spool::{SpoolFile, SpooledBody};

const CACHE: u64 = 1024 * 1024;

/// A machine with a log on it.
struct Machine {
    disk: ForgetfulDisk,
    place: Place,
    folder: tempfile::TempDir,
}

/// The log while the machine is up.
struct Running {
    committer: Committer,
    checkpointer: Checkpointer,
    reader: Reader,
    damages: usize,
}

impl Machine {
    fn new(segment_bytes: u64) -> Self {
        let disk = ForgetfulDisk::default();
        let folder = PathBuf::from("/log/segments");
        let shared: Arc<dyn crate::disk::Disk> = Arc::new(disk.clone());
        let place = Place { disk: shared, folder, log: [9; 16], segment_bytes };
        Self { disk, place, folder: tempfile::tempdir().unwrap() }
    }

    fn start(&self, index_folder: &str) -> Result<Running, LogError> {
        let disk = Arc::clone(&self.place.disk);
        let found = log_id(disk.as_ref(), &self.place.folder)?;
        assert!(found.is_none_or(|log| log == self.place.log));
        let index_folder = self.folder.path().join(index_folder);
        let index = Index::open(&index_folder, &self.place.log, CACHE)?;
        let recovered = recover(&self.place, &index)?;
        let bodies = Bodies::new(disk, std::path::Path::new("/log"))?;
        bodies.remove_orphans(recovered.journal.next())?;
        bodies.remove_before(recovered.catalog.first())?;
        let catalog = Arc::new(Mutex::new(recovered.catalog));
        let index = Arc::new(RwLock::new(Some(index)));
        let failing = Arc::new(AtomicBool::new(false));
        Ok(Running {
            committer: Committer::new(
                recovered.journal,
                Arc::clone(&catalog),
                bodies.clone(),
                failing,
            ),
            checkpointer: Checkpointer {
                place: self.place.clone(),
                catalog: Arc::clone(&catalog),
                index: Arc::clone(&index),
                index_folder,
                index_cache: CACHE,
            },
            reader: Reader {
                place: self.place.clone(),
                catalog,
                index,
                bodies,
                stamped: Mutex::default(),
            },
            damages: recovered.recovery.damages.len(),
        })
    }

    fn request(&self, new: NewRecord) -> (Request, oneshot::Receiver<Result<RecordId, LogError>>) {
        let shared = Shared::new(new.signature.clone(), new.hash_chain_result.clone());
        let payload = encode_message(&new, &self.place.log, &shared).unwrap();
        let digest = Digest::decode(&payload).unwrap();
        let mut bodies = Vec::new();
        for attachment in new.attachments {
            if let Some(SpooledBody::File(file)) = attachment.body {
                let path = file.into_durable_path().unwrap();
                bodies.push(Spooled { number: attachment.number, path });
            }
        }
        let entry = Entry::Message(digest);
        let payload = Payload::message(payload, Arc::new(shared));
        let (reply, answer) = oneshot::channel();
        (Request { payload, entry, bodies, reply }, answer)
    }

    fn body(&self, random: &mut Random) -> SpooledBody {
        use std::io::Write;
        let bytes = random.bytes(700);
        if random.chance(50) {
            return SpooledBody::Memory(Bytes::from(bytes));
        }
        let mut file = SpoolFile::create(self.folder.path()).unwrap();
        file.write_all(&bytes).unwrap();
        SpooledBody::File(file)
    }
}

/// What the callers of a log remember.
#[derive(Default)]
struct Memory {
    given: u64,
    acknowledged: BTreeMap<u64, String>,
    /// Messages of which no answer came: they may be there or not.
    doubtful: BTreeSet<String>,
    stamped: BTreeSet<u64>,
    /// Records before this may be removed, if they have a timestamp.
    removable: u64,
}

fn write_some(machine: &Machine, running: &mut Running, memory: &mut Memory, random: &mut Random) {
    let mut answers = Vec::new();
    let mut requests = Vec::new();
    for _ in 0..1 + random.below(6) {
        memory.given += 1;
        let message_id = format!("message-{}", memory.given);
        let mut new = record(&message_id, random.below(1500) as usize);
        for number in 1..=random.below(8).saturating_sub(5) {
            let body = machine.body(random);
            let length = 700;
            let body = Some(body);
            new.attachments.push(NewAttachment {
                number: number as u32,
                digest: [number as u8; 64],
                length,
                body,
            });
        }
        let (request, answer) = machine.request(new);
        requests.push(request);
        answers.push((message_id, answer));
    }
    running.committer.commit(&mut requests);
    for (message_id, mut answer) in answers {
        match answer.try_recv().unwrap() {
            Ok(id) => {
                assert!(memory.acknowledged.insert(id.0, message_id).is_none(), "{id} again");
            }
            Err(error) => {
                assert_eq!(error.code(), "logging_failed");
                memory.doubtful.insert(message_id);
            }
        }
    }
}

fn stamp_some(running: &mut Running, memory: &mut Memory, random: &mut Random) {
    let Ok(waiting) = running.reader.untimestamped(1 + random.below(150) as usize) else { return };
    if waiting.is_empty() {
        return;
    }
    let cover = if waiting.len() == 1 {
        let signature = Bytes::from(format!("<stamped {}/>", waiting[0].id));
        NewCover::Single { record: waiting[0].id, signature }
    } else {
        NewCover::Batch {
            hash_chain_result: Bytes::from_static(b"<result/>"),
            leaves: waiting.iter().map(|w| (w.id, w.signature_hash)).collect(),
        }
    };
    let token = Bytes::from_static(b"token");
    let timestamp = NewTimestamp { time: waiting[0].time, token, cover };
    let (payload, entry) = timestamp_frame(timestamp).unwrap();
    let (reply, mut answer) = oneshot::channel();
    running.committer.commit(&mut vec![Request { payload, entry, bodies: Vec::new(), reply }]);
    if answer.try_recv().unwrap().is_ok() {
        memory.stamped.extend(waiting.iter().map(|w| w.id.0));
    }
}

/// What the callers remember is what the log holds.
fn check(machine: &Machine, running: &Running, memory: &mut Memory) {
    assert_eq!(running.damages, 0);
    let reader = &running.reader;
    let next = lock(&reader.catalog).checkpoint.next();
    let mut visible = 0;
    let mut waiting = Vec::new();
    for id in 1..next {
        let Some(found) = reader.record(RecordId(id)).unwrap() else {
            let removed = id < memory.removable && memory.stamped.contains(&id);
            if !removed {
                assert!(!memory.acknowledged.contains_key(&id), "record {id} is lost");
            }
            continue;
        };
        visible += 1;
        match memory.acknowledged.get(&id) {
            Some(message_id) => assert_eq!(&found.message_id, message_id),
            None => {
                // It became durable although nobody was told; from now on it stays.
                assert!(memory.doubtful.remove(&found.message_id), "{}", found.message_id);
                memory.acknowledged.insert(id, found.message_id.clone());
            }
        }
        let same = record(&found.message_id, found.message.len());
        assert_eq!(found.message, same.message);
        let shared = Shared::new(same.signature, same.hash_chain_result);
        assert_eq!(found.signature_hash, shared.key.signature_hash);
        assert_eq!(found.hash_chain_result, shared.hash_chain_result);
        assert_eq!(found.hash_chain, same.hash_chain);
        match found.timestamp.as_ref().map(|timestamp| &timestamp.cover) {
            Some(TimestampCover::Single) => {
                assert_eq!(found.signature, format!("<stamped {id}/>"));
            }
            _ => assert_eq!(found.signature, shared.signature),
        }
        for attachment in &found.attachments {
            match &attachment.body {
                AttachmentBody::Inline(bytes) => assert_eq!(bytes.len(), 700),
                AttachmentBody::File(path) => {
                    assert_eq!(machine.disk.length_of(path), Some(700), "a body of {id}");
                }
                AttachmentBody::Omitted => panic!("a body of {id} is left out"),
            }
        }
        if found.timestamp.is_none() {
            assert!(!memory.stamped.contains(&id), "the timestamp of {id} is lost");
            waiting.push(id);
        } else {
            memory.stamped.insert(id);
        }
        let query = Query {
            message_id: found.message_id,
            member_class: "GOV".to_owned(),
            member_code: "1234".to_owned(),
            subsystem_code: Some("Portal".to_owned()),
            response: None,
            limit: 10,
        };
        assert_eq!(reader.find(&query).unwrap(), [RecordId(id)]);
    }
    let counters = reader.counters(false).unwrap();
    assert_eq!(counters.records, visible);
    assert_eq!(counters.untimestamped, waiting.len() as u64);
    let listed: Vec<u64> =
        reader.untimestamped(usize::MAX).unwrap().into_iter().map(|w| w.id.0).collect();
    assert_eq!(listed, waiting);
}

/// The index that was kept, brought up to date, is the one that a rebuild makes.
fn check_index(machine: &Machine, running: &Running) {
    let _ = std::fs::remove_dir_all(machine.folder.path().join("rebuilt"));
    let rebuilt = machine.start("rebuilt").unwrap();
    running.checkpointer.run().unwrap();
    rebuilt.checkpointer.run().unwrap();
    // A rebuild also finds what covered records that have been removed.
    let first = lock(&running.reader.catalog).first();
    let dump = |running: &Running| {
        let mut items = running.reader.index.read().unwrap().as_ref().unwrap().dump();
        items.retain(|(key, _)| key[0] != b'c' || key[1..9] >= first.to_be_bytes()[..]);
        items
    };
    assert_eq!(dump(running), dump(&rebuilt));
    let (kept, new): (&Catalog, &Catalog) =
        (&lock(&running.reader.catalog), &lock(&rebuilt.reader.catalog));
    assert_eq!(kept.checkpoint, new.checkpoint);
    assert_eq!(kept.totals(), new.totals());
    assert!(kept.pending == new.pending);
    assert_eq!(kept.active, new.active);
    assert!(kept.sealed.keys().eq(new.sealed.keys()));
}

fn live_and_crash(seed: u64) {
    let mut random = Random::new(seed);
    let machine = Machine::new(4096 + random.below(5) * 4096);
    let mut memory = Memory::default();
    for _ in 0..5 {
        let Ok(mut running) = machine.start("index") else {
            panic!("seed {seed}: the log does not open");
        };
        check(&machine, &running, &mut memory);
        if random.chance(40) {
            check_index(&machine, &running);
        }
        if random.chance(60) {
            machine.disk.set_fuse(Some(random.below(120)));
        }
        for _ in 0..random.below(25) {
            match random.below(20) {
                0 => machine.disk.set_space(Some(random.below(6000))),
                1 | 2 => machine.disk.set_space(None),
                3 => machine.disk.fail_syncs(1 + random.below(2)),
                4 => machine.disk.set_short_writes(Some(random.clone())),
                5 => drop(running.checkpointer.run()),
                6 if memory.given > 0 => {
                    let before = random.below(memory.given * 2);
                    memory.removable = memory.removable.max(before);
                    drop(running.reader.remove_before(RecordId(before)));
                }
                6..9 => stamp_some(&mut running, &mut memory, &mut random),
                _ => write_some(&machine, &mut running, &mut memory, &mut random),
            }
        }
        drop(running);
        machine.disk.crash(&mut random);
        if random.chance(10) {
            std::fs::remove_dir_all(machine.folder.path().join("index")).unwrap();
        }
    }
    let running = machine.start("index").unwrap();
    check(&machine, &running, &mut memory);
    check_index(&machine, &running);
    let bodies = machine.disk.names().iter().filter(|p| p.starts_with("/log/bodies")).count();
    let kept: usize = memory
        .acknowledged
        .keys()
        .filter_map(|id| running.reader.record(RecordId(*id)).unwrap())
        .map(|r| {
            let files = r.attachments.iter();
            files.filter(|a| matches!(a.body, AttachmentBody::File(_))).count()
        })
        .sum();
    assert_eq!(bodies, kept, "seed {seed}: orphaned bodies");
}

#[test]
fn crashes_at_random_points() {
    let count = std::env::var("CAUSEWAY_CRASHES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let begin = std::env::var("CAUSEWAY_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    for seed in begin..begin + count {
        let result = std::panic::catch_unwind(|| live_and_crash(seed));
        assert!(result.is_ok(), "seed {seed}");
    }
}

/// A new segment fails at each of its steps, and a smaller record comes next
/// that would still go into the old one.
#[test]
fn a_new_segment_that_fails_half_way() {
    for fuse in 0..12 {
        for seed in 0..8 {
            let mut random = Random::new(seed);
            let machine = Machine::new(4096);
            let mut memory = Memory::default();
            let mut running = machine.start("index").unwrap();
            let mut append = |running: &mut Running, length| {
                memory.given += 1;
                let message_id = format!("message-{}", memory.given);
                let (request, mut answer) = machine.request(record(&message_id, length));
                running.committer.commit(&mut vec![request]);
                match answer.try_recv().unwrap() {
                    Ok(id) => drop(memory.acknowledged.insert(id.0, message_id)),
                    Err(_) => drop(memory.doubtful.insert(message_id)),
                }
            };
            append(&mut running, 2500);
            machine.disk.set_fuse(Some(fuse));
            append(&mut running, 2500);
            machine.disk.set_fuse(None);
            append(&mut running, 10);
            append(&mut running, 20);
            drop(running);
            machine.disk.crash(&mut random);
            let running = machine.start("index").unwrap();
            check(&machine, &running, &mut memory);
        }
    }
}

/// The index fails under way and its files are gone: what is in memory and in
/// the segments brings it back.
#[test]
fn an_index_that_fails_is_brought_back() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let machine = Machine::new(8192);
        let mut memory = Memory::default();
        let mut running = machine.start("index").unwrap();
        for step in 0..40 {
            write_some(&machine, &mut running, &mut memory, &mut random);
            if random.chance(30) {
                stamp_some(&mut running, &mut memory, &mut random);
            }
            if random.chance(20) {
                running.checkpointer.run().unwrap();
            }
            if step == 20 {
                *running.checkpointer.index.write().unwrap() = None;
                if seed % 2 == 0 {
                    std::fs::remove_dir_all(machine.folder.path().join("index")).unwrap();
                }
            }
        }
        running.checkpointer.run().unwrap();
        check(&machine, &running, &mut memory);
        check_index(&machine, &running);
        let mut catalog = lock(&running.reader.catalog);
        catalog.pending.insert(5000);
        catalog.checkpoint.last.as_mut().unwrap().sequence += 1;
        let changes = catalog.take_changes().unwrap();
        assert!(catalog.take_changes().is_none());
        catalog.not_saved(&changes);
        assert_eq!(catalog.take_changes().unwrap().blocks, changes.blocks);
    }
}

/// Bits are flipped in each part of the third record, which holds the documents
/// of the fourth to sixth too.
#[test]
fn a_flipped_bit_is_reported_and_harms_no_other_record() {
    let machine = Machine::new(1024 * 1024);
    let mut running = machine.start("index").unwrap();
    let shared = Bytes::from_static(&[b's'; 500]);
    let offsets: Vec<u64> = (1..=10)
        .map(|number| {
            let mut new = record(&format!("m{number}"), 100);
            new.signature = match number {
                3..7 => shared.clone(),
                _ => Bytes::from(format!("<signature of='{number}'/>").repeat(20)),
            };
            new.hash_chain_result = Some(Bytes::from_static(b"<result/>"));
            let (request, mut answer) = machine.request(new);
            running.committer.commit(&mut vec![request]);
            assert_eq!(answer.try_recv().unwrap().unwrap(), RecordId(number));
            lock(&running.reader.catalog).active.offset(number).unwrap()
        })
        .collect();
    drop(running);
    let [begin, end] = [offsets[2], offsets[3]];
    assert!(offsets[4] - end < 500, "the fourth has the documents again");
    let mut length = [0; 4];
    let path = crate::segment::path(&machine.place.folder, 1);
    machine.place.disk.open(&path, false).unwrap().read_full(&mut length, begin + 8).unwrap();
    let behind = begin + 40 + u64::from(u32::from_le_bytes(length));
    let documents = behind - 500 - 9..behind;
    let mut random = Random::new(1);
    for flipped in (begin..end).step_by(7) {
        machine.disk.flip(&path, flipped as usize);
        let _ = std::fs::remove_dir_all(machine.folder.path().join("index"));
        let running = machine.start("index").unwrap();
        let readable: Vec<u64> = (1..=10)
            .filter(|id| matches!(running.reader.record(RecordId(*id)), Ok(Some(_))))
            .collect();
        let others: Vec<u64> = readable.iter().copied().filter(|id| *id != 3).collect();
        if documents.contains(&flipped) {
            assert_eq!(readable, [1, 2, 7, 8, 9, 10], "at {flipped} of {begin}..{end}");
        } else {
            assert_eq!(others, [1, 2, 4, 5, 6, 7, 8, 9, 10], "at {flipped} of {begin}..{end}");
        }
        // What waits for its timestamp can have it all the same.
        let waiting = running.reader.untimestamped(100).unwrap();
        assert!(waiting.iter().filter(|w| w.id != RecordId(3)).count() == 9);
        assert_eq!(running.damages, usize::from(waiting.len() == 9), "at {flipped}");
        drop(running);
        machine.disk.flip(&path, flipped as usize);
    }
    let mut memory = Memory::default();
    let mut running = machine.start("index").unwrap();
    write_some(&machine, &mut running, &mut memory, &mut random);
    assert_eq!(memory.acknowledged.keys().next(), Some(&11));
}

/// The documents that a failed write was to bring are not there: a record that
/// comes later has them anew. Neither are those of a segment before.
#[test]
fn documents_of_a_failed_write_or_another_segment_are_not_referred_to() {
    let machine = Machine::new(32 * 1024);
    let mut running = machine.start("index").unwrap();
    let mut append = |length, document: u8| {
        let mut new = record("m", length);
        new.signature = Bytes::from(vec![document; 300]);
        let (request, mut answer) = machine.request(new);
        running.committer.commit(&mut vec![request]);
        let result = answer.try_recv().unwrap();
        if let Ok(id) = &result {
            let found = running.reader.record(*id).unwrap().unwrap();
            assert_eq!(found.signature, vec![document; 300], "{id}");
        }
        result
    };
    append(100, 1).unwrap();
    machine.disk.set_space(Some(50));
    append(100, 2).unwrap_err();
    machine.disk.set_space(None);
    append(2000, 1).unwrap();
    append(100, 2).unwrap();
    machine.disk.fail_syncs(1);
    append(100, 3).unwrap_err();
    for number in 0..200_u8 {
        append(1000, number % 5).unwrap();
    }
}
