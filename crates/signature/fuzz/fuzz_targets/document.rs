//! Signature documents: reading and judging never panic, and a mould reads what it was made of, and
//! its like, as the general reader does.
#![no_main]

use causeway_signature::verify::{Absent, Content, Part, judge_coverage};
use causeway_signature::xades::SignatureDocument;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((document, mould)) = SignatureDocument::parse_with_mould(bytes) {
        if let Some(mould) = mould {
            let same = mould.read(bytes).expect("a mould reads its own document");
            assert_eq!(format!("{same:?}"), format!("{document:?}"));
            // Other digits everywhere: where the mould takes them, they are in its texts.
            for digit in b'0'..=b'9' {
                let mut other = bytes.to_vec();
                other.iter_mut().filter(|b| **b == digit).for_each(|b| *b = b'A');
                if let Some(quick) = mould.read(&other) {
                    let general = SignatureDocument::parse(&other).expect("only a mould reads it");
                    assert_eq!(format!("{quick:?}"), format!("{general:?}"));
                }
            }
        }
        let _ = document.judge_value();
        let part = Part { name: "/message.xml", content: Content::Bytes(b"<m/>") };
        let _ = judge_coverage(&document, None, &[part], Absent::Reported);
    }
});
