//! What comes in heads and bodies: nothing panics, and JSON that is let through is read without deep recursion.
#![no_main]

use causeway_admin::http::{decode, is_bounded, multipart, presented, read_pairs};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for (at, line) in bytes.split(|b| *b == b'\n').take(8).enumerate() {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(["authorization", "cookie", "x-xsrf-token"][at % 3], value);
        }
    }
    let _ = presented(&headers);
    let _ = is_bounded(bytes);
    let _ = multipart::read(bytes, "b");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = decode(text, true);
        let _ = read_pairs(text);
        let _ = multipart::boundary(text);
    }
});
