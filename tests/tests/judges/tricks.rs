//! ZIP tricks with one of our containers, before our auditor: nothing that one reader sees and
//! another does not, and nothing that leads out of the folder.

use auditor::Report;
use causeway_asic::Limits;
use causeway_asic::archive::{Archive, ArchiveWriter};
use causeway_keys::KeyKind;
use sandbox::evidence;
use time::OffsetDateTime;

use crate::samples::{Samples, Signed, find};

type Entries = Vec<(String, Vec<u8>)>;

/// The entries of a good container, to be rearranged.
fn entries(samples: &Samples) -> Entries {
    let bytes = &samples.find(Signed::Parts, true, true).bytes;
    let mut archive = Archive::open(std::io::Cursor::new(bytes), &Limits::default()).unwrap();
    let listed = archive.entries().to_vec();
    listed.iter().map(|e| (e.name().to_owned(), archive.read(e, 1 << 20).unwrap())).collect()
}

fn pack(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = ArchiveWriter::new(Vec::new(), OffsetDateTime::UNIX_EPOCH);
    for (name, content) in entries {
        match name.as_str() {
            "mimetype" => archive.store_plain(name, content).unwrap(),
            _ => archive.deflate(name, content).unwrap(),
        }
    }
    archive.finish("mimetype=application/vnd.etsi.asic-e+zip").unwrap()
}

/// Judges a file; it is not extracted either.
fn refusal(samples: &Samples, file: &[u8]) -> (String, String) {
    let report: Report = evidence::judge(file, &samples.conf);
    assert!(!report.is_valid(), "accepted");
    let failure = report.failure.expect("a reason");
    (failure.code, failure.message)
}

/// Changes the entries of a good container and has it judged.
fn changed(change: impl FnOnce(&mut Entries)) -> (String, String) {
    let samples = Samples::of(KeyKind::EcP256);
    let mut entries = entries(&samples);
    change(&mut entries);
    refusal(&samples, &pack(&entries))
}

fn of<'e>(entries: &'e mut Entries, name: &str) -> &'e mut (String, Vec<u8>) {
    entries.iter_mut().find(|entry| entry.0 == name).unwrap()
}

#[test]
fn a_repacked_container_holds() {
    let samples = Samples::of(KeyKind::EcP256);
    let file = pack(&entries(&samples));
    let report = evidence::judge(&file, &samples.conf);
    assert!(report.is_valid(), "{:?}", report.failure);
}

#[test]
fn the_media_type_comes_first_and_is_right() {
    let missing = changed(|entries| entries.retain(|entry| entry.0 != "mimetype"));
    assert_eq!(missing.0, "asic_mime_type_not_found", "{missing:?}");
    let empty = changed(|entries| of(entries, "mimetype").1.clear());
    assert_eq!(empty.0, "asic_mime_type_not_found", "{empty:?}");
    let other = changed(|entries| of(entries, "mimetype").1 = b"application/zip".to_vec());
    assert_eq!(other.0, "asic_invalid_mime_type", "{other:?}");
}

/// X-Road's own valid containers have it so, those of its older versions: it is told, not refused.
#[test]
fn a_media_type_that_is_not_first_is_told() {
    let samples = Samples::of(KeyKind::EcP256);
    let told = |entries: &Entries| {
        let report = evidence::judge(&pack(entries), &samples.conf);
        assert!(report.is_valid(), "{:?}", report.failure);
        report.notes.iter().any(|note| note.contains("media type is not the archive's first entry"))
    };
    let mut entries = entries(&samples);
    assert!(!told(&entries));
    entries.rotate_left(1);
    assert!(told(&entries));
}

#[test]
fn names_occur_once() {
    for name in
        ["message.xml", "META-INF/signatures.xml", "sig-hashchain.xml", "attachment1", "mimetype"]
    {
        for at in [1, 3] {
            let refused = changed(|entries| {
                let copy = (name.to_owned(), b"<other/>".to_vec());
                entries.insert(at.min(entries.len()), copy);
            });
            assert!(refused.1.contains(name), "{refused:?}");
        }
        // Readers that do not tell capitals from small letters would see two.
        let upper = changed(|entries| entries.push((name.to_uppercase(), b"<other/>".to_vec())));
        assert!(!upper.0.is_empty(), "{upper:?}");
    }
}

#[test]
fn names_stay_inside() {
    for name in [
        "../message.xml",
        "META-INF/../../x",
        "/etc/x",
        "C:\\x",
        "a\\..\\..\\x",
        "a/./b",
        "a//b",
        "..",
        "x\0y",
        "x\ny",
    ] {
        let refused = changed(|entries| entries.push((name.to_owned(), b"x".to_vec())));
        assert_eq!(refused.0, "io_error", "{name:?}: {refused:?}");
    }
}

#[test]
fn nothing_stands_around_the_archive() {
    let samples = Samples::of(KeyKind::EcP256);
    let file = pack(&entries(&samples));
    let before = [b"#!/bin/sh\n".as_slice(), &file].concat();
    let behind = [file.as_slice(), b"more"].concat();
    let twice = [file.as_slice(), &file].concat();
    let cut = file[..file.len() - 30].to_vec();
    for file in [before, behind, twice, cut, Vec::new()] {
        let refused = refusal(&samples, &file);
        assert!(!refused.0.is_empty(), "{refused:?}");
    }
}

#[test]
fn both_places_of_a_name_say_the_same() {
    let samples = Samples::of(KeyKind::EcP256);
    let file = pack(&entries(&samples));
    let local = find(&file, b"message.xml").unwrap();
    let directory = local + 11 + find(&file[local + 11..], b"message.xml").unwrap();
    for at in [local, directory] {
        let mut file = file.clone();
        file[at] = b'n';
        let refused = refusal(&samples, &file);
        assert_eq!(refused.0, "io_error", "{refused:?}");
    }
}

#[test]
fn bombs_are_not_inflated() {
    for name in ["attachment1", "attachment2", "message.xml", "other"] {
        let refused = changed(|entries| {
            entries.retain(|entry| entry.0 != name);
            entries.push((name.to_owned(), vec![0; 40 << 20]));
        });
        assert_eq!(refused.0, "io_error", "{name}: {refused:?}");
    }
    let many = changed(|entries| {
        entries.extend((0..20_000).map(|number| (format!("file{number}"), Vec::new())));
    });
    assert_eq!(many.0, "io_error", "{many:?}");
}

#[test]
fn what_is_added_or_gone_is_noticed() {
    let gone = changed(|entries| entries.retain(|entry| entry.0 != "sig-hashchain.xml"));
    assert_eq!(gone.0, "asic_hash_chain_not_found", "{gone:?}");
    let gone = changed(|entries| entries.retain(|entry| entry.0 != "sig-hashchainresult.xml"));
    assert_eq!(gone.0, "asic_hash_chain_result_not_found", "{gone:?}");
    let gone = changed(|entries| entries.retain(|entry| entry.0 != "META-INF/timestamp.tst"));
    assert_eq!(gone.0, "malformed_signature", "{gone:?}");

    let samples = Samples::of(KeyKind::EcP256);
    let mut more = entries(&samples);
    more.push(("attachment2".to_owned(), b"unsigned".to_vec()));
    let report = evidence::judge(&pack(&more), &samples.conf);
    let told = report.not_covered.iter().any(|gap| gap.name.ends_with("attachment2"));
    assert!(!report.is_valid() || told, "{report:?}");
    let mut less = entries(&samples);
    less.retain(|entry| entry.0 != "attachment1");
    let report = evidence::judge(&pack(&less), &samples.conf);
    assert!(
        !report.is_valid() || (!report.complete && !report.not_covered.is_empty()),
        "{report:?}"
    );
}
