//! The store as its users see it, and what a crash leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;

use causeway_identifiers::ClientId;
use proptest::prelude::*;

use super::*;
use crate::{Record, ServerType};

const DAY: u64 = 86_400;

fn settings(folder: &Path) -> StoreSettings {
    StoreSettings { folder: folder.into(), keep: Duration::from_secs(7 * DAY), max_bytes: 1 << 30 }
}

fn id(code: &str) -> ClientId {
    ClientId::parse(&format!("DEV/GOV/{code}/sub")).unwrap()
}

fn record(number: u64, client: &str, provider: &str) -> Record {
    let mut record = Record::begin(ServerType::Client, number);
    record.set_client(&id(client));
    record.set_service(&id(provider).service("query", None).unwrap());
    record
}

fn wanted(from: u64, to: u64) -> Search {
    Search { from, to, party: None, provider: None, limit: 10_000 }
}

fn numbers(found: &Found) -> Vec<u64> {
    found.records.iter().map(|r| r.request_in_ts).collect()
}

fn find(store: &Store, wanted: &Search) -> Found {
    store.searcher(wanted.to.min(10 * DAY)).search(wanted).unwrap()
}

#[test]
fn time_client_and_provider_select() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(settings(folder.path())).unwrap();
    store.append(&[record(1, "a", "b"), record(2, "c", "b")], 100).unwrap();
    store.append(&[record(3, "b", "a")], 101).unwrap();
    store.append(&[record(4, "c", "d")], 102).unwrap();
    assert_eq!(numbers(&find(&store, &wanted(0, 1000))), [1, 2, 3, 4]);
    assert_eq!(numbers(&find(&store, &wanted(101, 101))), [3]);
    assert_eq!(find(&store, &wanted(101, 101)).records[0].monitoring_data_ts, 101);
    let of = |party: Option<&str>, provider: Option<&str>| {
        numbers(&find(
            &store,
            &Search { party: party.map(id), provider: provider.map(id), ..wanted(0, 1000) },
        ))
    };
    assert_eq!(of(Some("a"), None), [1, 3]);
    assert_eq!(of(None, Some("b")), [1, 2]);
    assert_eq!(of(Some("a"), Some("b")), [1]);
    assert!(of(Some("x"), None).is_empty());
    let member = ClientId::parse("DEV/GOV/a").unwrap();
    assert!(find(&store, &Search { party: Some(member), ..wanted(0, 1000) }).records.is_empty());
}

#[test]
fn seconds_stay_whole_when_there_is_too_much() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(settings(folder.path())).unwrap();
    for (number, time) in [(1, 10), (2, 11), (3, 11), (4, 11), (5, 12)] {
        store.append(&[record(number, "a", "b")], time).unwrap();
    }
    let page = |from, to, limit| {
        let found = find(&store, &Search { limit, ..wanted(from, to) });
        (numbers(&found), found.next_from)
    };
    assert_eq!(page(0, 99, 1), (vec![1], Some(11)));
    assert_eq!(page(11, 99, 2), (vec![2, 3, 4], Some(12)));
    assert_eq!(page(12, 99, 1), (vec![5], None), "exactly full, and nothing left");
    assert_eq!(page(0, 11, 2), (vec![1, 2, 3, 4], None), "what is left is not asked for");
    let other = Search { party: Some(id("x")), limit: 1, ..wanted(0, 99) };
    assert_eq!(find(&store, &other).next_from, None);
}

#[test]
fn a_search_that_reads_too_much_says_where_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(settings(folder.path())).unwrap();
    for time in 10..20 {
        store.append(&[record(time, "a", "b"), record(time, "c", "b")], time).unwrap();
    }
    let segments: Vec<Segment> = store.segments.iter().cloned().collect();
    let wanted = Search { party: Some(id("c")), ..wanted(0, 99) };
    let found = search::search(segments, &wanted, 4).unwrap();
    assert_eq!((numbers(&found), found.next_from), (vec![10, 11], Some(12)));
}

#[test]
fn old_files_go_and_full_disks_are_not_filled() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(settings(folder.path())).unwrap();
    for day in 0..10 {
        store.append(&[record(day, "a", "b")], day * DAY + 5).unwrap();
    }
    let found = store.searcher(9 * DAY).search(&wanted(0, u64::MAX)).unwrap();
    assert_eq!(numbers(&found), (2..10).collect::<Vec<u64>>(), "not found before it is deleted");
    assert_eq!(store.clean(9 * DAY).unwrap(), Removed { old: 2, for_room: 0 });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 8 + 1);
    store.settings.max_bytes = store.bytes() / 2;
    assert_eq!(store.clean(9 * DAY).unwrap(), Removed { old: 0, for_room: 4 });
    assert_eq!(numbers(&find(&store, &wanted(0, 99 * DAY))), [6, 7, 8, 9]);
    assert_eq!(store.clean(99 * DAY).unwrap().old, 4);
    store.append(&[record(50, "a", "b")], 99 * DAY).unwrap();
    assert_eq!(store.segments.len(), 1);
}

/// What documentation says of the size on disk.
#[test]
fn a_record_takes_some_two_hundred_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(settings(folder.path())).unwrap();
    let mut random = 1_u64;
    let mut uuid = || {
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random >> 32
        };
        format!(
            "{:08x}-{:04x}-4{:03x}-{:012x}",
            next(),
            next() & 0xffff,
            next() & 0xfff,
            next().wrapping_mul(next()) & 0xffff_ffff_ffff
        )
    };
    let records: Vec<Record> = (0..2000)
        .map(|i| {
            let now = 1_700_000_000_000 + i / 2;
            let mut r = record(now, &format!("client-{}", i % 10), &format!("provider-{}", i % 7));
            (r.request_out_ts, r.response_in_ts) = (Some(now + i % 3), Some(now + 5 + i % 11));
            r.response_out_ts = now + 7 + i % 13;
            (r.message_id, r.x_request_id) = (Some(uuid()), Some(uuid()));
            r.security_server_internal_ip = Some("10.1.2.3".into());
            r.client_security_server_address = Some("ss1.example.org".into());
            r.service_security_server_address = Some("ss2.example.org".into());
            r.x_road_version = Some("7.8.0".into());
            r.message_protocol_version = Some("1".into());
            (r.rest_method, r.status_code) = (Some("GET".into()), Some(200));
            (r.request_size, r.response_size) = (Some(300 + i % 50), Some(900 + i % 700));
            r.succeeded = true;
            r
        })
        .collect();
    store.append(&records, 7).unwrap();
    let each = store.bytes() / 2000;
    assert!((60..200).contains(&each), "{each} bytes a record");
}

#[test]
fn a_searcher_outlives_what_it_searches() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(settings(folder.path())).unwrap();
    store.append(&[record(1, "a", "b")], 5).unwrap();
    store.append(&[record(2, "a", "b")], 5 + 2 * SEGMENT_SECONDS).unwrap();
    let searcher = store.searcher(100);
    store.clean(7 * DAY + 100).unwrap();
    assert_eq!(numbers(&searcher.search(&wanted(0, DAY)).unwrap()), [2]);
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let _store = Store::open(settings(folder.path())).unwrap();
    assert!(matches!(Store::open(settings(folder.path())), Err(StoreError::InUse(_))));
}

#[test]
fn a_clock_that_goes_back_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(settings(folder.path())).unwrap();
    // A little: the time stands still. Much: a file of its own, found in its place.
    for (number, time) in [(1, 5000), (2, 4990), (3, 1000), (4, 1001), (5, 6000)] {
        store.append(&[record(number, "a", "b")], time).unwrap();
    }
    let check = |store: &Store| {
        assert_eq!(numbers(&find(store, &wanted(0, 9000))), [3, 4, 1, 2, 5]);
        assert_eq!(numbers(&find(store, &wanted(5000, 5000))), [1, 2]);
        let first = find(store, &Search { limit: 1, ..wanted(0, 9000) });
        assert_eq!((numbers(&first), first.next_from), (vec![3], Some(1001)));
    };
    check(&store);
    drop(store);
    check(&Store::open(settings(folder.path())).unwrap());
}

#[test]
fn a_damaged_frame_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(settings(folder.path())).unwrap();
    store.append(&[record(1, "a", "b")], 1).unwrap();
    let first = store.bytes() as usize;
    store.append(&[record(2, "a", "b")], 2).unwrap();
    let path = store.segments[0].path.clone();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[first - 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let found = find(&store, &wanted(0, 9));
    assert_eq!((numbers(&found), found.damaged), (vec![2], 1));
}

#[test]
fn many_parties_are_not_listed_and_many_records_are_many_frames() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(settings(folder.path())).unwrap();
    let records: Vec<Record> =
        (0..6000).map(|i| record(i, &format!("c{}", i % 2000), "p")).collect();
    store.append(&records, 7).unwrap();
    let found = find(&store, &Search { party: Some(id("c1999")), ..wanted(7, 7) });
    assert_eq!(numbers(&found), [1999, 3999, 5999]);
    assert_eq!(find(&store, &wanted(7, 7)).records.len(), 6000, "a second stays whole");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever the last write was torn, all before it is there, and what comes next is found.
    #[test]
    fn a_torn_end_loses_only_itself(batches in prop::collection::vec(1_usize..5, 1..6), cut in any::<prop::sample::Index>(), garbage in prop::collection::vec(any::<u8>(), 0..40)) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(settings(folder.path())).unwrap();
        let mut ends = vec![(0, 0)];
        let mut number = 0;
        for (time, count) in batches.iter().enumerate() {
            let batch: Vec<Record> = (0..*count).map(|_| { number += 1; record(number, "a", "b") }).collect();
            store.append(&batch, time as u64 + 1).unwrap();
            ends.push((store.bytes() as usize, number));
        }
        let path = store.segments[0].path.clone();
        drop(store);
        let mut bytes = std::fs::read(&path).unwrap();
        let cut = cut.index(bytes.len() + 1);
        bytes.truncate(cut);
        let whole = ends.iter().rfind(|(end, _)| *end <= cut).unwrap().1;
        let mut file = File::create(&path).unwrap();
        file.write_all(&bytes).unwrap();
        // A disk may have put anything behind it.
        if cut > 0 { file.write_all(&garbage).unwrap(); }
        drop(file);
        let mut store = Store::open(settings(folder.path())).unwrap();
        let expected: Vec<u64> = (1..=whole).collect();
        prop_assert_eq!(numbers(&find(&store, &wanted(0, 100))), expected.clone());
        store.append(&[record(999, "a", "b")], 50).unwrap();
        drop(store);
        let store = Store::open(settings(folder.path())).unwrap();
        let after: Vec<u64> = expected.into_iter().chain([999]).collect();
        prop_assert_eq!(numbers(&find(&store, &wanted(0, 100))), after);
    }
}
