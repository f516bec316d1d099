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
    drop(log);
    for kill in [false, true] {
        let acknowledged = if kill { killed(folder.path(), 300) } else { Vec::new() };
        let begin = std::time::Instant::now();
        let log = Log::open(settings()).unwrap();
        let opened = begin.elapsed();
        println!("opened in {opened:?}, {} replayed, {}", log.recovery().replayed, memory());
        assert!(!log.recovery().rebuilt && opened.as_millis() < 1000);
        let begin = std::time::Instant::now();
        assert_eq!(log.find(&query("m123456")).unwrap().len(), 1);
        println!("found in {:?}", begin.elapsed());
        println!("{:?}", log.counters().unwrap());
        for (id, message_id) in acknowledged {
            assert_eq!(log.record(id).unwrap().unwrap().message_id, message_id);
        }
    }
}

/// What a process acknowledged that wrote to a log for some milliseconds until
/// it was killed.
fn killed(folder: &Path, milliseconds: u64) -> Vec<(RecordId, String)> {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "--quiet", "a_process_to_be_killed"])
        .env("CAUSEWAY_VICTIM", folder)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut out, &mut text).map(|_| text).unwrap()
    });
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    child.kill().unwrap();
    child.wait().unwrap();
    let text = reader.join().unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter_map(|line| line.strip_prefix("ACK "));
    let answers = lines.map(|line| line.split_once(' ').unwrap());
    answers.map(|(id, message_id)| (RecordId(id.parse().unwrap()), message_id.into())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a test that kills it"]
async fn a_process_to_be_killed() {
    let Some(folder) = std::env::var_os("CAUSEWAY_VICTIM") else { return };
    let log = Log::open(small(Path::new(&folder))).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..16 {
        let log = log.clone();
        tasks.spawn(async move {
            for number in 0u64.. {
                let message_id = format!("{}-{writer}-{number}", std::process::id());
                let mut new = record(&message_id);
                if number % 8 == 0 {
                    let body = Bytes::from(vec![7; 300_000]);
                    new.attachments.push(NewAttachment {
                        number: 1,
                        digest: [0; 64],
                        length: 300_000,
                        body: Some(SpooledBody::Memory(body)),
                    });
                }
                let id = log.append(new).await.unwrap();
                println!("ACK {id} {message_id}");
            }
        });
    }
    let _ = tasks.join_next().await;
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 0..6 {
        all.extend(killed(folder.path(), 100 + round * 77));
        let log = Log::open(small(folder.path())).unwrap();
        assert!(log.recovery().damages.is_empty(), "{:?}", log.recovery());
        assert!(!log.recovery().rebuilt, "{:?}", log.recovery());
        for (id, message_id) in &all {
            let read = log.record(*id).unwrap().expect(message_id);
            assert_eq!(&read.message_id, message_id);
            for attachment in read.attachments {
                let AttachmentBody::File(path) = attachment.body else { panic!("{id}") };
                assert_eq!(std::fs::metadata(path).unwrap().len(), 300_000);
            }
        }
        let counters = log.counters().unwrap();
        assert!(counters.records >= all.len() as u64);
        let shares = std::fs::read_dir(folder.path().join("bodies")).unwrap();
        let bodies = shares.map(|s| std::fs::read_dir(s.unwrap().path()).unwrap().count());
        assert_eq!(bodies.sum::<usize>() as u64 * 300_000, counters.body_bytes);
    }
    assert!(all.len() > 20, "{}", all.len());
}

#[tokio::test]
async fn old_records_go_when_they_are_timestamped() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for number in 0..600 {
        let mut new = record(&format!("m{number}"));
        if number % 20 == 0 {
            let body = Some(SpooledBody::Memory(vec![1; 300_000].into()));
            new.attachments.push(NewAttachment {
                number: 1,
                digest: [0; 64],
                length: 300_000,
                body,
            });
        }
        log.append(new).await.unwrap();
    }
    assert_eq!(log.remove_before(RecordId(601)).unwrap(), 0, "no timestamp yet");
    stamp(&log, 400).await;
    let all = log.records_from(RecordId(0), 1000).unwrap();
    assert_eq!(all.len(), 600);
    assert_eq!(log.records_from(all[7], 3).unwrap(), all[7..10]);
    log.close().await;

    let log = Log::open(small(folder.path())).unwrap();
    let before = log.counters().unwrap();
    let removed = log.remove_before(RecordId(300)).unwrap();
    assert!(removed >= 1);
    let left = log.records_from(RecordId(0), 1000).unwrap();
    assert!(left.len() < 600 && left[0] <= RecordId(300) && left.last() == all.last());
    let after = log.counters().unwrap();
    assert_eq!(after.records, left.len() as u64);
    assert_eq!(after.segments, before.segments - removed as u64);
    assert!(after.segment_bytes < before.segment_bytes);
    let gone = log.find(&query("m3")).unwrap();
    assert!(gone.is_empty() && log.record(all[3]).unwrap().is_none());
    assert_eq!(log.remove_before(left[0]).unwrap(), 0, "nothing more before that");
    log.remove_before(RecordId(u64::MAX)).unwrap();
    assert_eq!(log.counters().unwrap().untimestamped, 200, "what waits stays");
    drop(log);
    for lost_index in [false, true] {
        if lost_index {
            std::fs::remove_dir_all(folder.path().join("index")).unwrap();
        }
        let log = Log::open(small(folder.path())).unwrap();
        assert_eq!(log.recovery().rebuilt, lost_index);
        assert!(log.recovery().damages.is_empty());
        let counters = log.counters().unwrap();
        assert_eq!(counters.untimestamped, 200);
        for id in log.records_from(RecordId(0), 1000).unwrap() {
            let read = log.record(id).unwrap().unwrap();
            assert_eq!(read.timestamp.is_some(), id <= RecordId(400), "{id}");
            for attachment in read.attachments {
                let AttachmentBody::File(path) = attachment.body else { panic!("{id}") };
                assert!(path.exists());
            }
        }
        let shares = std::fs::read_dir(folder.path().join("bodies")).unwrap();
        let bodies = shares.map(|s| std::fs::read_dir(s.unwrap().path()).unwrap().count());
        assert_eq!(bodies.sum::<usize>() as u64 * 300_000, counters.body_bytes);
    }
}

#[tokio::test]
async fn numbers_of_records_that_the_segments_lost_are_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for number in 0..20 {
        log.append(record(&format!("m{number}"))).await.unwrap();
    }
    drop(log);
    let segment = folder.path().join("segments/0000000000000001.segment");
    let file = std::fs::OpenOptions::new().write(true).open(segment).unwrap();
    file.set_len(2000).unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    assert!(log.recovery().rebuilt);
    let [damage] = log.recovery().damages.as_slice() else { panic!("{:?}", log.recovery()) };
    assert!(damage.lost.end == 21 && damage.lost.start > 1, "{damage:?}");
    let left = log.counters().unwrap();
    assert_eq!((left.records, left.damages), (damage.lost.start - 1, 1));
    assert!(log.record(RecordId(15)).unwrap().is_none());
    assert_eq!(log.append(record("next")).await.unwrap(), RecordId(21));
    drop(log);
    let log = Log::open(small(folder.path())).unwrap();
    assert_eq!(log.record(RecordId(21)).unwrap().unwrap().message_id, "next");
    assert_eq!(log.counters().unwrap().records, left.records + 1);
}
