//! X-Road's containers.

use std::path::PathBuf;

use causeway_asic::{Container, Limits};

fn vectors() -> Option<PathBuf> {
    let path = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")),
        PathBuf::from,
    );
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no vectors at {}", path.display());
    eprintln!("SKIPPED: vectors not found at {}", path.display());
    None
}

fn read(file: &str) -> Option<Result<Container, &'static str>> {
    let bytes = std::fs::read(vectors()?.join(file)).unwrap();
    Some(Container::read(&bytes, &Limits::default()).map_err(|e| e.code()))
}

#[test]
fn structure_is_judged_as_xroad_does() {
    for (file, code) in [
        ("valid-signed-message.asice", None),
        ("valid-signed-message-with-attachments.asice", None),
        ("no-mimetype.asice", Some("asic_mime_type_not_found")),
        ("not-asic.asice", Some("asic_mime_type_not_found")),
        ("no-message.asice", Some("asic_message_not_found")),
        ("no-signature.asice", Some("asic_signature_not_found")),
    ] {
        let Some(outcome) = read(&format!("asic-core/{file}")) else { return };
        assert_eq!(outcome.err(), code, "{file}");
    }
}

#[test]
fn every_signed_container_reads_and_an_old_one_has_no_message() {
    let Some(vectors) = vectors() else { return };
    let mut read_count = 0;
    for file in std::fs::read_dir(vectors.join("asic")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "asice") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let outcome = Container::read(&bytes, &Limits::default());
        if path.ends_with("attachments.asice") {
            assert_eq!(outcome.unwrap_err().code(), "asic_message_not_found");
        } else {
            outcome.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            read_count += 1;
        }
    }
    assert_eq!(read_count, 12);
}

#[test]
fn parts_are_told_apart() {
    let Some(container) = read("asic/valid-non-batch-soap-attachments.asice") else { return };
    let container = container.unwrap();
    assert_eq!(container.attachments.len(), 2);
    assert_eq!(container.attachments[0].name(), "attachment1");
    assert_eq!(container.attachments[0].content().unwrap().len(), 100);
    assert!(container.timestamp.is_some() && container.ts_hash_chain.is_some());
    assert!(container.sig_hash_chain.is_none() && container.extra.is_empty());

    let strange = read("asic/invalid-not-signed-hashchain.asice").unwrap().unwrap();
    let extra: Vec<&str> = strange.extra.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(extra, ["hashchain.xml", "hashchainresult.xml"]);
    assert!(strange.sig_hash_chain.is_some() && strange.timestamp.is_none());
}

/// The manifests that we make are those that X-Road made for the same parts.
#[test]
fn manifests_are_xroads() {
    for file in [
        "valid-batch-ts",
        "valid-non-batch-rest",
        "valid-non-batch-soap-attachments",
        "valid-signed-hashchain",
        "valid-signed-message",
    ] {
        let Some(container) = read(&format!("asic/{file}.asice")) else { return };
        let mut container = container.unwrap();
        // What is written has it first, wherever it was.
        container.media_type_first = true;
        let written = container.write(super::CREATED).unwrap();
        let again = Container::read(&written, &Limits::default()).unwrap();
        assert_eq!(again, container, "{file}");
    }
}
