//! Whatever a file of the store holds after a crash: it opens, it is searched, and it takes new records.
#![no_main]

use std::time::Duration;

use causeway_monitoring::{Record, Search, ServerType, Store, StoreSettings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("0000000001-0000000005.opdata");
    if std::fs::write(path, bytes).is_err() {
        return;
    }
    let settings = StoreSettings {
        folder: folder.path().into(),
        keep: Duration::from_secs(u64::MAX / 2),
        max_bytes: u64::MAX,
    };
    let mut store = Store::open(settings).expect("it opens");
    store.append(&[Record::begin(ServerType::Client, 77)], u64::MAX - 1).expect("it is written to");
    let all = Search { from: 0, to: u64::MAX, party: None, provider: None, limit: usize::MAX };
    let found = store.searcher(5).search(&all).expect("it is searched");
    assert!(found.records.iter().any(|r| r.request_in_ts == 77));
});
