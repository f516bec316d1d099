//! Hash chains: judging never panics and always ends, whatever result and chain say.
#![no_main]

use std::borrow::Cow;

use causeway_signature::hashchain::{Input, Resolve, verify};
use libfuzzer_sys::fuzz_target;

struct Files<'a>(&'a [u8]);

impl Resolve for Files<'_> {
    fn resolve(&self, uri: &str) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(if uri == "/message.xml" { b"<m/>" } else { self.0 }))
    }
}

fuzz_target!(|input: (&[u8], &[u8])| {
    let (result, chain) = input;
    let _ = verify(result, &[Input { name: "/message.xml", digest: None }], &Files(chain));
});
