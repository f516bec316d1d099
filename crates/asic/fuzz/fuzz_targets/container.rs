//! Reads any bytes as a container: nothing panics, and what was read is written and read back the same.
#![no_main]

use causeway_asic::{Container, Limits};
use libfuzzer_sys::fuzz_target;
use time::macros::datetime;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { max_total_bytes: 8 << 20, ..Limits::default() };
    let Ok(mut container) = Container::read(bytes, &limits) else { return };
    let Ok(written) = container.write(datetime!(2025-01-01 00:00 UTC)) else {
        unreachable!("a container that was read with all its content can be written")
    };
    let Ok(mut again) = Container::read(&written, &Limits::large()) else {
        unreachable!("a container that was written can be read")
    };
    for container in [&mut container, &mut again] {
        container.manifest = None;
        container.asic_manifest = None;
        container.extra.clear();
        container.media_type_first = true;
    }
    assert!(container == again);
});
