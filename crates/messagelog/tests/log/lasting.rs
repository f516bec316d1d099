//! What happens to a log between two openings: kills, losses, removals.

use std::path::Path;

use bytes::Bytes;
use causeway_messagelog::{AttachmentBody, Log, LogSettings, NewAttachment, RecordId, SpooledBody};

use crate::{query, record, small, stamp};

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
        let index = std::fs::read_dir(folder.path().join("index")).unwrap();
        let bytes = index.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>();
        println!("the index has {bytes} bytes");
        for (id, message_id) in acknowledged {
            assert_eq!(log.record(id).unwrap().unwrap().message_id, message_id);
        }
    }
}

/// What a process acknowledged that wrote to a log for some milliseconds until
/// it was killed.
fn killed(folder: &Path, milliseconds: u64) -> Vec<(RecordId, String)> {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "--quiet", "lasting::a_process_to_be_killed"])
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
