//! Signature documents: reading and judging never panic.
#![no_main]

use causeway_signature::verify::{Absent, Content, Part, judge_coverage};
use causeway_signature::xades::SignatureDocument;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = SignatureDocument::parse(bytes) {
        let _ = document.judge_value();
        let part = Part { name: "/message.xml", content: Content::Bytes(b"<m/>") };
        let _ = judge_coverage(&document, None, &[part], Absent::Reported);
    }
});
