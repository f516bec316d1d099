//! Audit logs: nothing panics, and what is whole ends with a line that the chain leads to.
#![no_main]

use causeway_admin::audit::{GENESIS, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|log: &[u8]| {
    for start in [None, Some(GENESIS)] {
        if let Ok(report) = verify(log, start) {
            assert!(!report.is_whole() || report.lines == 0 || report.end.is_some());
        }
    }
});
