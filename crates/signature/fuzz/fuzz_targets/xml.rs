//! XML: parsing and canonicalizing never panic, canonical text is read back to the same canonical text,
//! and what the quick reader reads, the general one reads the same.
#![no_main]

use causeway_xml::{Canonicalization, Document, Limits, Node, Plain};
use libfuzzer_sys::fuzz_target;

/// Everything that both readers tell, in the order of the document.
fn told<'d>(element: impl Node<'d>, out: &mut Vec<String>) {
    out.push(format!(
        "{:?} {} {:?} {}",
        element.namespace(),
        element.name(),
        element.text(),
        element.own_text_is_blank()
    ));
    element.children().for_each(|child| told(child, out));
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(plain) = Plain::read(bytes, &Limits::default()) {
        let general = Document::parse(bytes, &Limits::default()).expect("only one reader reads it");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        told(plain.root(), &mut ours);
        told(general.root(), &mut theirs);
        assert_eq!(ours, theirs);
    }
    let Ok(document) = Document::parse(bytes, &Limits::default()) else { return };
    for method in [Canonicalization::Inclusive, Canonicalization::Exclusive] {
        let Ok(once) = document.root().canonicalize(method) else { continue };
        let Ok(again) = Document::parse(&once, &Limits::default()) else {
            panic!("canonical text is not read back: {}", String::from_utf8_lossy(&once))
        };
        assert_eq!(again.root().canonicalize(method).as_deref(), Ok(once.as_slice()));
    }
});
