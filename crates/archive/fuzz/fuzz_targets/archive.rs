//! Reads any bytes as an archive, as linking information, and as a set: nothing panics, and linking information that was
//! read is written and read back the same.
#![no_main]

use std::io::Cursor;

use causeway_archive::linking::LinkingInfo;
use causeway_archive::name::ArchiveName;
use causeway_archive::read::inspect;
use causeway_archive::set::{Facts, Known, judge};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(info) = LinkingInfo::parse(bytes) {
        let again = LinkingInfo::parse(info.to_text().as_bytes());
        assert_eq!(again.as_ref(), Ok(&info));
        // As a set: each line is an archive that continues the one whose digest is its name.
        let facts: Vec<Facts> = info
            .containers
            .iter()
            .map(|linked| Facts {
                file: linked.container.clone(),
                previous: info.previous.clone().map(|link| causeway_archive::linking::Link {
                    digest: linked.container.clone(),
                    ..link
                }),
                last: Some(linked.digest.clone()),
                holds: true,
            })
            .collect();
        let judged = judge(&facts, &Known::default());
        for problem in &judged.problems {
            let _ = problem.text(&facts);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = ArchiveName::parse(text);
    }
    let _ = inspect(Cursor::new(bytes));
});
