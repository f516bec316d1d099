//! The log as a server uses it, on a real folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod evidence_of_records;
mod lasting;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use causeway_asic::AsicError;
use causeway_identifiers::ClientId;
use causeway_messagelog::timestamping::Plan;
use causeway_messagelog::{
    AttachmentBody, Log, LogError, LogSettings, MessageStore, NewAttachment, NewRecord, Query,
    RecordId, Side, SpooledBody, evidence,
};
use time::OffsetDateTime;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(1_750_000_000_123_000_000).unwrap()
}

/// Messages whose ids differ in the last character are of one signing batch.
fn signature_of(message_id: &str) -> Bytes {
    let batch = message_id.split_at(message_id.len() - 1).0;
    Bytes::from(format!("<signature of='{batch}'>{}</signature>", "v".repeat(100)))
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
        signature: signature_of(message_id),
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
    assert!(before.segments > 2, "{before:?}");
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
    assert_eq!(log.append(record("next")).await.unwrap(), RecordId(502));
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
async fn it_serves_as_a_message_store() {
    let folder = tempfile::tempdir().unwrap();
    let store: Box<dyn MessageStore> = Box::new(Log::open(small(folder.path())).unwrap());
    let id = store.append(record("m")).await.unwrap();
    assert_eq!(store.find(query("m")).await.unwrap(), [id]);
    assert_eq!(store.record(id).await.unwrap().unwrap().id, id);
    assert_eq!(store.untimestamped(5).await.unwrap().len(), 1);
    assert_eq!(store.counters().await.unwrap().records, 1);
}
