//! OpenAPI descriptions: nothing panics, and hiding the servers changes no endpoint and is done once.
#![no_main]

use causeway_metadata::openapi::{OpenApi, hide_servers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let read = OpenApi::read(text);
    if let Ok(hidden) = hide_servers(text) {
        assert_eq!(hide_servers(&hidden).as_ref(), Ok(&hidden));
        if let Ok(read) = read {
            assert_eq!(OpenApi::read(&hidden).map(|h| h.endpoints), Ok(read.endpoints));
        }
    }
});
