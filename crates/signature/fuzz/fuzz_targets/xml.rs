//! XML: parsing and canonicalizing never panic, and canonical text is read back to the same canonical text.
#![no_main]

use causeway_xml::{Canonicalization, Document, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes, &Limits::default()) else { return };
    for method in [Canonicalization::Inclusive, Canonicalization::Exclusive] {
        let Ok(once) = document.root().canonicalize(method) else { continue };
        let Ok(again) = Document::parse(&once, &Limits::default()) else {
            panic!("canonical text is not read back: {}", String::from_utf8_lossy(&once))
        };
        assert_eq!(again.root().canonicalize(method).as_deref(), Ok(once.as_slice()));
    }
});
