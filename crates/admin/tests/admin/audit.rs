//! The audit log: what it looks like, what it outlives, and what shows.

use std::io::Write as _;
use std::path::Path;

use causeway_admin::audit::{
    AuditError, AuditLog, Entry, Fault, FaultKind, GENESIS, Report, Verifier, event, verify,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const BIG: u64 = 1 << 30;

fn open(folder: &Path, rotate_at: u64) -> AuditLog {
    AuditLog::open(folder, rotate_at, NOW).unwrap().0
}

fn data(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn record(log: &AuditLog, event: &str) {
    log.record(&Entry::of_system(event, &data(json!({ "n": event }))), NOW).unwrap();
}

fn current(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("audit.log")).unwrap()
}

fn verify_all(folder: &Path) -> Report {
    let mut verifier = Verifier::new(Some(GENESIS));
    for file in AuditLog::files(folder).unwrap() {
        verifier.read(std::fs::read(file).unwrap().as_slice()).unwrap();
    }
    verifier.finish()
}

fn lines_of(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

#[test]
fn a_line_has_x_roads_fields() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), BIG);
    let about = data(json!({ "memberClass": "GOV", "memberName": "Köök \"&\" 🔑" }));
    let success = Entry {
        event: "Add member",
        user: Some("alice"),
        address: Some("::ffff:192.0.2.1".parse().unwrap()),
        failure: None,
        warning: false,
        auth: Some("Session"),
        url: Some("/api/v1/members"),
        data: &about,
    };
    log.record(&success, NOW).unwrap();
    let failure = Entry { failure: Some("no"), user: None, ..success };
    log.record(&failure, NOW).unwrap();
    let text = String::from_utf8(current(folder.path())).unwrap();
    assert!(text.is_ascii());
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0]["data"], Value::Object(about.clone()));
    assert_eq!(lines[0]["event"], "Add member");
    assert_eq!(lines[0]["ipaddress"], "192.0.2.1");
    assert_eq!(lines[0]["timestamp"], "1970-01-01T00:00:00Z");
    assert_eq!(lines[1]["event"], "Add member failed");
    assert_eq!(lines[1]["user"], Value::Null);
    assert_eq!(lines[1]["warning"], false);
    assert_eq!(lines[1]["previous"], lines[0]["hash"]);
    let order: Vec<usize> =
        ["event", "user", "ipaddress", "reason", "warning", "auth", "url", "data"]
            .iter()
            .map(|name| text.lines().nth(1).unwrap().find(&format!("\"{name}\":")).unwrap())
            .collect();
    assert!(order.is_sorted());
    assert!(verify_all(folder.path()).is_whole());
}

#[test]
fn what_is_too_long_is_left_out_and_its_digest_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), BIG);
    let long = data(json!({ "text": "ä".repeat(300 << 10) }));
    let reason = "r".repeat(1 << 20);
    let mut entry = Entry::of_system("Upload", &long);
    entry.failure = Some(&reason);
    log.record(&entry, NOW).unwrap();
    let line: Value = serde_json::from_slice(&current(folder.path())).unwrap();
    assert_eq!(line["data"]["omittedBytes"], (600 << 10) + 11);
    assert_eq!(line["reason"].as_str().unwrap().len(), 1000);
    assert!(verify_all(folder.path()).is_whole());
}

#[test]
fn the_chain_goes_on_over_restarts_and_files() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..10 {
        let log = open(folder.path(), 700);
        record(&log, &format!("first {n}"));
        record(&log, &format!("second {n}"));
    }
    assert!(AuditLog::files(folder.path()).unwrap().len() > 3);
    let report = verify_all(folder.path());
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.first, Some(1));
    assert_eq!(report.end.unwrap(), open(folder.path(), 700).end());

    // Archiving the older files breaks nothing; what is left follows the end of what was archived.
    let files = AuditLog::files(folder.path()).unwrap();
    let (last, archived) = files.split_last().unwrap();
    let mut verifier = Verifier::new(Some(GENESIS));
    for file in archived {
        verifier.read(std::fs::read(file).unwrap().as_slice()).unwrap();
        std::fs::remove_file(file).unwrap();
    }
    let archived = verifier.finish();
    record(&open(folder.path(), BIG), "after");
    let rest = verify(std::fs::read(last).unwrap().as_slice(), archived.end).unwrap();
    assert!(rest.is_whole());

    // A whole file that is missing in the middle shows.
    assert!(!verify_all(folder.path()).is_whole());
}

#[test]
fn a_crash_between_two_files_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), BIG);
    record(&log, "one");
    drop(log);
    std::fs::rename(
        folder.path().join("audit.log"),
        folder.path().join("audit-000000000001-000000000001.log"),
    )
    .unwrap();
    std::fs::write(folder.path().join("audit.log.next"), b"{\"half").unwrap();
    record(&open(folder.path(), BIG), "two");
    let report = verify_all(folder.path());
    assert!(report.is_whole() && report.lines == 2, "{report:?}");
}

#[test]
fn a_torn_line_is_cut_off_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), BIG);
    record(&log, "one");
    record(&log, "two");
    drop(log);
    let whole = current(folder.path());
    let second = lines_of(&whole)[0].len();
    for cut in second..whole.len() {
        std::fs::write(folder.path().join("audit.log"), &whole[..cut]).unwrap();
        let (log, recovery) = AuditLog::open(folder.path(), BIG, NOW).unwrap();
        let torn = (cut - second) as u64;
        assert_eq!(recovery.torn_bytes, torn);
        record(&log, "three");
        let report = verify_all(folder.path());
        assert!(report.is_whole());
        assert_eq!(report.lines, 2 + u64::from(torn > 0));
        let text = String::from_utf8(current(folder.path())).unwrap();
        assert_eq!(text.contains(event::LOG_RECOVERED), torn > 0);
    }
}

#[test]
fn a_changed_last_line_stops_the_start_and_two_writers_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), BIG);
    record(&log, "one");
    assert!(matches!(AuditLog::open(folder.path(), BIG, NOW), Err(AuditError::InUse(_))));
    drop(log);
    let changed = String::from_utf8(current(folder.path())).unwrap().replace("one", "two");
    std::fs::write(folder.path().join("audit.log"), changed).unwrap();
    assert!(matches!(AuditLog::open(folder.path(), BIG, NOW), Err(AuditError::Damaged(_))));
}

#[test]
fn files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    record(&open(&path, BIG), "one");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("audit.log"))), (0o700, 0o600));
}

#[test]
fn a_missing_end_shows_against_a_noted_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), BIG);
    record(&log, "one");
    record(&log, "two");
    let noted = log.end();
    let lines = lines_of(&current(folder.path()));
    let finish = |text: &[u8]| {
        let mut verifier = Verifier::new(Some(GENESIS)).expecting(noted);
        verifier.read(text).unwrap();
        verifier.finish()
    };
    assert!(finish(&lines.concat()).is_whole());
    record(&log, "three");
    assert!(finish(&current(folder.path())).is_whole(), "it may have gone on");
    let short = finish(&lines[0]);
    assert_eq!(short.faults, [Fault { line: 1, kind: FaultKind::EndsElsewhere }]);
    assert!(!finish(b"").is_whole());
}

/// Changes a line as one who knows the format does: its own hash fits again.
fn forged(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(line.to_vec()).unwrap().replace(from, to);
    let body = text.split_once(",\"hash\":").unwrap().0;
    let hash = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    format!("{body},\"hash\":\"{}\"}}\n", hex::encode(hash)).into_bytes()
}

#[test]
fn a_line_whose_hash_was_made_anew_breaks_the_chain_behind_it() {
    let lines = some_log(4);
    for at in 0..3 {
        let mut changed = lines.clone();
        changed[at] = forged(&lines[at], "event", "EVENT");
        let report = verify(changed.concat().as_slice(), Some(GENESIS)).unwrap();
        let fault = Fault { line: at as u64 + 2, kind: FaultKind::DoesNotFollow };
        assert_eq!(report.faults, [fault]);
    }
    // A log that begins anew under another's beginning.
    let beginning = forged(&lines[0], &"0".repeat(64), &"1".repeat(64));
    assert!(!verify(beginning.as_slice(), None).unwrap().is_whole());
}

fn some_log(events: usize) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), BIG);
    (0..events).for_each(|n| record(&log, &format!("event {n}")));
    lines_of(&current(folder.path()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_line_removed_before_the_end_shows(at in 0_usize..4) {
        let mut lines = some_log(5);
        lines.remove(at);
        let report = verify(lines.concat().as_slice(), Some(GENESIS)).unwrap();
        prop_assert!(!report.is_whole());
        prop_assert_eq!(report.faults[0].line, at as u64 + 1);
    }

    #[test]
    fn lines_in_another_order_show(a in 0_usize..5, b in 0_usize..5) {
        let mut lines = some_log(5);
        lines.swap(a, b);
        prop_assert_eq!(verify(lines.concat().as_slice(), Some(GENESIS)).unwrap().is_whole(), a == b);
    }

    #[test]
    fn any_changed_byte_shows(at in 0_usize..1000, flip in 1_u8..) {
        let mut text = some_log(4).concat();
        let at = at % text.len();
        text[at] ^= flip;
        let report = verify(text.as_slice(), Some(GENESIS)).unwrap();
        prop_assert!(!report.is_whole(), "byte {} of {}", at, text.len());
    }

    #[test]
    fn a_line_twice_shows(at in 0_usize..5) {
        let mut lines = some_log(5);
        lines.insert(at, lines[at].clone());
        prop_assert!(!verify(lines.concat().as_slice(), Some(GENESIS)).unwrap().is_whole());
    }

    #[test]
    fn anything_can_be_verified(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        let report = verify(text.as_slice(), None).unwrap();
        prop_assert_eq!(report.is_whole(), text.is_empty());
    }

    #[test]
    fn whatever_is_recorded_reads_back(
        user in proptest::option::of(".{0,20}"), reason in proptest::option::of(".{0,20}"), value in ".{0,50}"
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path(), BIG);
        let about = data(json!({ "value": value, "hash": "x", "previous": "y", "seq": 7 }));
        let mut entry = Entry::of_system("Event", &about);
        entry.user = user.as_deref();
        entry.failure = reason.as_deref();
        log.record(&entry, NOW).unwrap();
        log.record(&entry, NOW).unwrap();
        let text = current(folder.path());
        prop_assert!(verify(text.as_slice(), Some(GENESIS)).unwrap().is_whole());
        let line: Value = serde_json::from_slice(&lines_of(&text)[0]).unwrap();
        prop_assert_eq!(line["user"].as_str(), user.as_deref());
        prop_assert_eq!(line["reason"].as_str(), reason.as_deref());
        prop_assert_eq!(line["data"]["value"].as_str(), Some(value.as_str()));
    }
}

#[test]
fn a_disk_that_refuses_is_told() {
    // A device that is always full stands for the disk.
    let folder = tempfile::tempdir().unwrap();
    if !Path::new("/dev/full").exists() {
        eprintln!("/dev/full is not there; not tested");
        return;
    }
    let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert!(full.write_all(b"x").is_err());
    std::os::unix::fs::symlink("/dev/full", folder.path().join("audit.log")).unwrap();
    match AuditLog::open(folder.path(), BIG, NOW) {
        Ok((log, _)) => {
            assert!(log.record(&Entry::of_system("one", &Map::new()), NOW).is_err());
            assert_eq!(log.end(), GENESIS);
        }
        Err(e) => assert!(matches!(e, AuditError::Disk { .. } | AuditError::Damaged(_)), "{e}"),
    }
}
