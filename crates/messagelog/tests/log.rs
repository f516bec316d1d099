//! The log as a server uses it, on a real folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use causeway_asic::{AsicError, Container, Limits};
use causeway_identifiers::ClientId;
use causeway_messagelog::timestamping::Plan;
use causeway_messagelog::{
    AttachmentBody, Log, LogError, LogSettings, MessageStore, NewAttachment, NewCover, NewRecord,
    NewTimestamp, Query, RecordId, Side, SpooledBody, TimestampCover, evidence,
};
use causeway_signature::hashchain::{self, Input, Resolve};
use causeway_signature::xades::SignatureDocument;
use time::OffsetDateTime;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(1_750_000_000_123_000_000).unwrap()
}

fn record(message_id: &str) -> NewRecord {
    NewRecord {
        time: now(),
        message_id: message_id.into(),
        request_id: Some("request".into()),
        response: false,
        side: Side::Consumer,
        owner: ClientId::parse("DEV/GOV/1234/Portal").unwrap(),
        service: "DEV/GOV/77/Register/persons".into(),
        peer: Some("DEV/GOV/77/SERVER".into()),
        message: Bytes::from(format!("GET\r\n/r1/DEV\r\nx-road-id:{message_id}\r\n")),
        signature: Bytes::from(format!("<signature of='{message_id}'/>")),
        hash_chain_result: None,
        hash_chain: None,
        attachments: Vec::new(),
    }
}

fn query(message_id: &str) -> Query {
    Query {
        message_id: message_id.into(),
        member_class: "GOV".into(),
        member_code: "1234".into(),
        subsystem_code: Some("Portal".into()),
        response: None,
        limit: 100,
    }
}

fn small(folder: &Path) -> LogSettings {
    LogSettings { segment_bytes: 64 * 1024, ..LogSettings::new(folder) }
}

fn vectors() -> Option<PathBuf> {
    let folder = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "the vectors are missing");
    eprintln!("SKIPPED: vectors not found at {}", folder.display());
    None
}

async fn stamp(log: &Log, limit: usize) -> RecordId {
    let waiting = log.untimestamped(limit).unwrap();
    let plan = Plan::batch(&waiting).unwrap();
    let token = Bytes::from_static(b"token");
    log.append_timestamp(plan.complete(token, now()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_record_reads_back_and_is_found_by_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    let request = log.append(record("a")).await.unwrap();
    let mut response = record("a");
    response.response = true;
    response.side = Side::Provider;
    let response = log.append(response).await.unwrap();
    let mut of_member = record("a");
    of_member.owner = ClientId::parse("DEV/GOV/1234").unwrap();
    let of_member = log.append(of_member).await.unwrap();
    assert!(request < response && response < of_member);

    let read = log.record(request).unwrap().unwrap();
    let new = record("a");
    assert_eq!(
        (read.time, &read.message_id, &read.request_id),
        (now(), &new.message_id, &new.request_id)
    );
    assert_eq!((&read.owner, &read.service, &read.peer), (&new.owner, &new.service, &new.peer));
    assert_eq!((&read.message, &read.signature), (&new.message, &new.signature));
    assert!(read.timestamp.is_none() && !read.response && read.side == Side::Consumer);
    assert_eq!(log.record(response).unwrap().unwrap().side, Side::Provider);
    assert!(log.record(RecordId(0)).unwrap().is_none());
    assert!(log.record(RecordId(99)).unwrap().is_none());

    assert_eq!(log.find(&query("a")).unwrap(), [request, response]);
    assert_eq!(log.find(&Query { response: Some(true), ..query("a") }).unwrap(), [response]);
    assert_eq!(log.find(&Query { limit: 1, ..query("a") }).unwrap(), [request]);
    assert_eq!(log.find(&Query { subsystem_code: None, ..query("a") }).unwrap(), [of_member]);
    assert!(log.find(&query("b")).unwrap().is_empty());
    assert!(log.find(&Query { member_code: "1".into(), ..query("a") }).unwrap().is_empty());
}

#[tokio::test]
async fn bodies_stay_in_memory_or_in_files_by_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    let large: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    let mut file = log.spool_file().unwrap();
    file.write_all(&large).unwrap();
    let attachment = |number, length: usize, body| NewAttachment {
        number,
        digest: [number as u8; 64],
        length: length as u64,
        body,
    };
    let mut new = record("bodies");
    new.attachments = vec![
        attachment(1, 5, Some(SpooledBody::Memory(Bytes::from_static(b"small")))),
        attachment(2, large.len(), Some(SpooledBody::File(file))),
        attachment(3, large.len(), Some(SpooledBody::Memory(large.clone().into()))),
        attachment(4, 12345, None),
    ];
    let id = log.append(new).await.unwrap();
    assert_eq!(log.counters().unwrap().body_bytes, 600_000);
    assert_eq!(std::fs::read_dir(log.spool_folder()).unwrap().count(), 0);
    drop(log.spool_file().unwrap());
    std::fs::write(log.spool_folder().join("left"), "over").unwrap();
    drop(log);
    let orphan = folder.path().join("bodies/0000000000000/00000000000000ff-1");
    std::fs::write(&orphan, "of a record that never was").unwrap();

    let log = Log::open(small(folder.path())).unwrap();
    assert!(!orphan.exists() && !log.spool_folder().join("left").exists());
    let read = log.record(id).unwrap().unwrap();
    assert_eq!(read.attachments.len(), 4);
    assert_eq!(read.attachments[0].body, AttachmentBody::Inline(Bytes::from_static(b"small")));
    for attachment in &read.attachments[1..3] {
        let AttachmentBody::File(path) = &attachment.body else { panic!("{attachment:?}") };
        assert_eq!(std::fs::read(path).unwrap(), large);
    }
    assert_eq!(read.attachments[3].body, AttachmentBody::Omitted);
    assert_eq!(read.attachments[3].length, 12345);
    let out = evidence::write_container(&read, Vec::new());
    assert!(matches!(out, Err(AsicError::NoTimestamp)), "{out:?}");

    let mut wrong = record("wrong");
    let mut file = log.spool_file().unwrap();
    file.write_all(b"123").unwrap();
    wrong.attachments = vec![attachment(1, 4, Some(SpooledBody::File(file)))];
    assert!(matches!(log.append(wrong).await, Err(LogError::Invalid(_))));
    assert_eq!(log.counters().unwrap().records, 1);
}

#[tokio::test]
async fn a_log_is_open_once_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    assert!(matches!(Log::open(small(folder.path())), Err(LogError::Locked { .. })));
    for number in 0..500 {
        log.append(record(&format!("m{number}"))).await.unwrap();
    }
    stamp(&log, 200).await;
    log.close().await;
    assert!(matches!(log.append(record("late")).await, Err(LogError::Closed)));
    assert_eq!(log.find(&query("m7")).unwrap(), [RecordId(8)]);
    let before = log.counters().unwrap();
    assert!(before.segments > 3, "{before:?}");
    assert_eq!((before.records, before.untimestamped), (500, 300));
    assert_eq!(before.oldest_untimestamped, Some(now()));

    let log = Log::open(small(folder.path())).unwrap();
    assert_eq!((log.recovery().replayed, log.recovery().rebuilt), (0, false));
    assert_eq!(log.counters().unwrap(), before);
    for number in [0, 1, 199, 200, 499] {
        let found = log.find(&query(&format!("m{number}"))).unwrap();
        assert_eq!(found, [RecordId(number + 1)]);
        let read = log.record(found[0]).unwrap().unwrap();
        assert_eq!(read.timestamp.is_some(), number < 200);
    }
    assert_eq!(log.append(record("next")).await.unwrap(), RecordId(506));
}

#[tokio::test]
async fn a_lost_or_ruined_index_and_lost_tables_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for number in 0..800 {
        log.append(record(&format!("m{number}"))).await.unwrap();
        if number % 150 == 149 {
            stamp(&log, 100).await;
        }
    }
    let before = log.counters().unwrap();
    drop(log);
    let ruins: [fn(&Path); 3] = [
        |folder| std::fs::remove_dir_all(folder.join("index")).unwrap(),
        |folder| std::fs::write(folder.join("index/db"), vec![0x5a; 100_000]).unwrap(),
        |folder| {
            for entry in std::fs::read_dir(folder.join("segments")).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "table") {
                    std::fs::remove_file(path).unwrap();
                }
            }
        },
    ];
    for ruin in ruins {
        ruin(folder.path());
        let log = Log::open(small(folder.path())).unwrap();
        assert!(log.recovery().damages.is_empty());
        assert_eq!(log.counters().unwrap(), before);
        for number in 0..800 {
            let found = log.find(&query(&format!("m{number}"))).unwrap();
            assert_eq!(found.len(), 1, "m{number}");
            log.record(found[0]).unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_and_readers_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(LogSettings { queue: 8, ..small(folder.path()) }).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..32 {
        let log = log.clone();
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for number in 0..40 {
                let message_id = format!("w{writer}-{number}");
                let id = log.append(record(&message_id)).await.unwrap();
                // What was acknowledged is there for everyone at once.
                assert_eq!(log.find(&query(&message_id)).unwrap(), [id]);
                assert_eq!(log.record(id).unwrap().unwrap().message_id, message_id);
                ids.push(id);
            }
            assert!(ids.is_sorted());
            ids
        });
    }
    let stamper = tokio::spawn({
        let log = log.clone();
        async move {
            for _ in 0..20 {
                if log.untimestamped(70).unwrap().len() > 1 {
                    stamp(&log, 70).await;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let mut all = BTreeSet::new();
    while let Some(ids) = tasks.join_next().await {
        all.extend(ids.unwrap());
    }
    stamper.await.unwrap();
    assert_eq!(all.len(), 32 * 40);
    while log.counters().unwrap().untimestamped > 1 {
        stamp(&log, 300).await;
    }
    for id in &all {
        let read = log.record(*id).unwrap().unwrap();
        assert_eq!(
            read.timestamp.is_none(),
            log.untimestamped(1).unwrap().iter().any(|w| w.id == *id)
        );
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_loses_nothing_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for number in 0..50 {
        let append = log.append(record(&format!("gone-{number}")));
        let _ = tokio::time::timeout(std::time::Duration::ZERO, append).await;
    }
    let id = log.append(record("stays")).await.unwrap();
    assert_eq!(log.find(&query("stays")).unwrap(), [id]);
}

#[tokio::test]
async fn the_first_timestamp_counts_and_unknown_records_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for number in 0..3 {
        log.append(record(&format!("m{number}"))).await.unwrap();
    }
    let plan = Plan::batch(&log.untimestamped(10).unwrap()).unwrap();
    let first = plan.clone().complete(Bytes::from_static(b"first"), now()).unwrap();
    let second = plan.complete(Bytes::from_static(b"second"), now()).unwrap();
    let stamped = log.append_timestamp(first).await.unwrap();
    log.append_timestamp(second).await.unwrap();
    assert_eq!(log.counters().unwrap().untimestamped, 0);
    let timestamp = log.record(RecordId(2)).unwrap().unwrap().timestamp.unwrap();
    assert_eq!((timestamp.id, &timestamp.token[..]), (stamped, &b"first"[..]));

    for id in [stamped, RecordId(100)] {
        let cover = NewCover::Single { record: id, signature: Bytes::from_static(b"<s/>") };
        let new = NewTimestamp { time: now(), token: Bytes::new(), cover };
        assert!(matches!(log.append_timestamp(new).await, Err(LogError::UnknownRecord(_))));
    }
    assert!(log.record(stamped).unwrap().is_none(), "a timestamp is no message record");
}

#[tokio::test]
async fn it_serves_as_a_message_store() {
    let folder = tempfile::tempdir().unwrap();
    let store: Box<dyn MessageStore> = Box::new(Log::open(small(folder.path())).unwrap());
    let id = store.append(record("m")).await.unwrap();
    assert_eq!(store.find(query("m")).await.unwrap(), [id]);
    assert_eq!(store.record(id).await.unwrap().unwrap().id, id);
    assert_eq!(store.untimestamped(5).await.unwrap().len(), 1);
    assert_eq!(store.counters().await.unwrap().records, 1);
}

struct Files<'a>(&'a [u8], &'a [u8]);

impl Resolve for Files<'_> {
    fn resolve(&self, uri: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
        match uri {
            "/ts-hashchain.xml" => Some(self.0.into()),
            "/META-INF/signatures.xml" => Some(self.1.into()),
            _ => None,
        }
    }
}

#[tokio::test]
async fn a_batch_timestamp_leads_to_each_signature() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for number in 0..150 {
        log.append(record(&format!("m{number}"))).await.unwrap();
    }
    let plan = Plan::batch(&log.untimestamped(149).unwrap()).unwrap();
    assert_eq!(plan.records(), 149);
    let stamped = plan.stamped().to_vec();
    log.append_timestamp(plan.complete(Bytes::from_static(b"t"), now()).unwrap()).await.unwrap();
    assert_eq!(log.untimestamped(9).unwrap().len(), 1);
    for id in 1..=149 {
        let read = log.record(RecordId(id)).unwrap().unwrap();
        let container = evidence::to_container(&read);
        assert_eq!(container.ts_hash_chain_result.as_deref(), Some(&stamped[..]));
        let chain = container.ts_hash_chain.unwrap();
        let inputs = [Input { name: "/META-INF/signatures.xml", digest: None }];
        hashchain::verify(&stamped, &inputs, &Files(&chain, &read.signature)).unwrap();
        assert!(hashchain::verify(&stamped, &inputs, &Files(&chain, b"<other/>")).is_err());
        if id == 77 {
            assert_eq!(evidence::file_name(&read), "m76-request-2d.asice");
            let bytes = evidence::write_container(&read, Vec::new()).unwrap();
            let again = Container::read(&bytes, &Limits::default()).unwrap();
            assert_eq!((again.message, again.signatures), (read.message, read.signature));
            assert_eq!(again.ts_hash_chain, Some(chain));
        }
    }
}

#[tokio::test]
async fn a_single_timestamp_goes_into_xroads_own_signatures() {
    let Some(vectors) = vectors() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for name in ["signatures/sign-0.xml", "messagelog/signature.xml"] {
        let mut new = record(name);
        let signature = Bytes::from(std::fs::read(vectors.join(name)).unwrap());
        new.signature = signature.clone();
        let id = log.append(new).await.unwrap();
        let read = log.record(id).unwrap().unwrap();
        let plan = Plan::single(&read).unwrap();
        let before = SignatureDocument::parse(&signature).unwrap();
        assert_eq!(plan.stamped(), before.value());
        let new = plan.complete(Bytes::from_static(b"a token"), now()).unwrap();
        log.append_timestamp(new).await.unwrap();

        let stamped = log.record(id).unwrap().unwrap();
        assert_eq!(stamped.timestamp.unwrap().cover, TimestampCover::Single);
        assert_eq!(stamped.signature_hash, read.signature_hash);
        let after = SignatureDocument::parse(&stamped.signature).unwrap();
        assert_eq!(after.timestamps()[0], b"a token");
        assert_eq!(after.signed_info(), before.signed_info());
        assert_eq!(after.value(), before.value());
        assert_eq!(after.judge_value().is_ok(), before.judge_value().is_ok());
    }
}

#[tokio::test]
async fn xroads_containers_come_out_as_they_went_in() {
    let Some(vectors) = vectors() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for name in
        ["valid-batch-ts.asice", "valid-non-batch-rest.asice", "valid-signed-hashchain.asice"]
    {
        let bytes = std::fs::read(vectors.join("asic").join(name)).unwrap();
        let original = Container::read(&bytes, &Limits::default()).unwrap();
        let mut new = record(name);
        new.message = original.message.clone();
        new.signature = original.signatures.clone();
        new.hash_chain_result = original.sig_hash_chain_result.clone();
        new.hash_chain = original.sig_hash_chain.clone();
        for attachment in &original.attachments {
            new.attachments.push(NewAttachment {
                number: attachment.number(),
                digest: attachment.sha512().try_into().unwrap(),
                length: attachment.size(),
                body: attachment.content().cloned().map(SpooledBody::Memory),
            });
        }
        let id = log.append(new).await.unwrap();
        let cover = match &original.ts_hash_chain_result {
            Some(result) => NewCover::Batch {
                hash_chain_result: result.clone(),
                chains: vec![(id, original.ts_hash_chain.clone().unwrap())],
            },
            None => NewCover::Single { record: id, signature: original.signatures.clone() },
        };
        let token = original.timestamp.clone().unwrap_or_default();
        log.append_timestamp(NewTimestamp { time: now(), token, cover }).await.unwrap();
        let read = log.record(id).unwrap().unwrap();
        let written = evidence::write_container(&read, Vec::new()).unwrap();
        let mut again = Container::read(&written, &Limits::default()).unwrap();
        again.manifest.clone_from(&original.manifest);
        again.asic_manifest.clone_from(&original.asic_manifest);
        assert!(again == original, "{name}");
    }
}

/// Prints how long a log of a million records takes to open, after a clean end
/// and after a kill. Run it alone: `--ignored --nocapture a_million`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute and half a gigabyte"]
async fn a_million_records_open_at_once() {
    const COUNT: u64 = 1_000_000;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = || LogSettings::new(folder.path());
    let memory = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned()
    };
    let log = Log::open(settings()).unwrap();
    let begin = std::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..256 {
        let log = log.clone();
        tasks.spawn(async move {
            for number in (writer..COUNT).step_by(256) {
                log.append(record(&format!("m{number}"))).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    println!("written in {:?}, {}", begin.elapsed(), memory());
    let begin = std::time::Instant::now();
    for _ in 0..700 {
        stamp(&log, 1000).await;
    }
    println!("timestamped 700,000 in {:?}, {}", begin.elapsed(), memory());
    // As a kill would leave it: a copy of the folder while the log is open.
    let copy = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for _ in 0..5000 {
        log.append(record("behind the checkpoint")).await.unwrap();
    }
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(format!("{}/.", folder.path().display()))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    drop(log);
    for path in [folder.path(), copy.path()] {
        let begin = std::time::Instant::now();
        let log = Log::open(LogSettings::new(path)).unwrap();
        let opened = begin.elapsed();
        println!("opened in {opened:?}, {} replayed, {}", log.recovery().replayed, memory());
        assert!(!log.recovery().rebuilt && opened.as_millis() < 1000);
        let begin = std::time::Instant::now();
        assert_eq!(log.find(&query("m123456")).unwrap().len(), 1);
        println!("found in {:?}", begin.elapsed());
        println!("{:?}", log.counters().unwrap());
    }
}
