//! Archives that no honest writer makes.

use causeway_asic::archive::{Archive, ArchiveWriter};
use causeway_asic::{AsicError, Container, Limits, MIME_TYPE};
use proptest::prelude::*;

use super::{CREATED, sample};

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new(), CREATED);
    for (name, content) in entries {
        writer.deflate(name, content).unwrap();
    }
    writer.finish("").unwrap()
}

fn open(bytes: &[u8]) -> Result<Archive<std::io::Cursor<&[u8]>>, AsicError> {
    Archive::open(std::io::Cursor::new(bytes), &Limits::default())
}

fn refusal(bytes: &[u8]) -> String {
    open(bytes).expect_err("must be refused").to_string()
}

/// Opens and reads all entries.
fn drain(bytes: &[u8]) -> Result<(), AsicError> {
    let mut archive = open(bytes)?;
    for entry in archive.entries().to_vec() {
        archive.copy(&entry, &mut std::io::sink())?;
    }
    Ok(())
}

fn position(bytes: &[u8], what: &[u8], nth: usize) -> usize {
    let mut found = bytes.windows(what.len()).enumerate().filter(|(_, w)| *w == what);
    found.nth(nth).expect("pattern").0
}

const LOCAL: &[u8] = b"PK\x03\x04";
const DIRECTORY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";

/// Sets a 16-bit field in the first local header and the first directory header.
fn set_both(bytes: &mut [u8], local: usize, directory: usize, value: u16) {
    let (l, d) = (position(bytes, LOCAL, 0), position(bytes, DIRECTORY, 0));
    bytes[l + local..l + local + 2].copy_from_slice(&value.to_le_bytes());
    bytes[d + directory..d + directory + 2].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn names_that_lead_elsewhere() {
    for name in [
        "../evil",
        "a/../../b",
        "/etc/passwd",
        "a\\b",
        "a\0b",
        "a//b",
        "./a",
        "a/.",
        "C:evil",
        "",
        "a\nb",
        "\u{7f}",
        "/",
    ] {
        assert!(refusal(&archive(&[(name, b"x")])).contains("is not allowed"), "{name:?}");
    }
    let mut not_utf8 = archive(&[("abc", b"x")]);
    for _ in 0..2 {
        let at = position(&not_utf8, b"abc", 0);
        not_utf8[at] = 0xff;
    }
    assert!(refusal(&not_utf8).contains("is not allowed"));
    assert!(refusal(&archive(&[(&"x".repeat(1025), b"x")])).contains("is not allowed"));
    assert!(refusal(&archive(&[("folder/", b"x")])).contains("has content"));
}

#[test]
fn names_that_occur_twice() {
    assert!(
        refusal(&archive(&[("a", b"1"), ("b", b"2"), ("a", b"3")])).contains("'a' occurs twice")
    );
    assert!(refusal(&archive(&[("Message.xml", b"1"), ("message.xml", b"2")])).contains("twice"));
}

#[test]
fn encryption_and_other_methods() {
    let plain = archive(&[("a", b"content")]);
    for (flag, text) in [(1, "encrypted"), (1 << 6, "flags"), (1 << 13, "flags"), (1 << 5, "flags")]
    {
        let mut bytes = plain.clone();
        set_both(&mut bytes, 6, 8, flag);
        assert!(refusal(&bytes).contains(text), "{flag}");
    }
    for method in [1, 6, 9, 12, 14, 93, 99] {
        let mut bytes = plain.clone();
        set_both(&mut bytes, 8, 10, method);
        assert!(refusal(&bytes).contains(&format!("method {method}")));
    }
    let mut stored = plain.clone();
    set_both(&mut stored, 8, 10, 0);
    assert!(refusal(&stored).contains("another size than its own"));
}

#[test]
fn headers_that_contradict_the_directory() {
    let plain = archive(&[("abc", b"content")]);
    // In the local header: flags, method, check sum, sizes, name.
    for at in [6, 8, 14, 18, 22, 30] {
        let mut bytes = plain.clone();
        bytes[at] ^= 1;
        assert!(open(&bytes).is_err(), "byte {at}");
    }
    let mut renamed = plain.clone();
    renamed[30] = b'X';
    assert!(refusal(&renamed).contains("differ"));
}

#[test]
fn bytes_that_one_reader_would_miss() {
    let plain = archive(&[("a", b"content")]);
    let prefixed = [b"#!/bin/sh\n".as_slice(), &plain].concat();
    assert!(refusal(&prefixed).contains("not where it says"));
    let trailed = [plain.as_slice(), b"more"].concat();
    assert!(refusal(&trailed).contains("behind its end"));

    // A second local entry that the directory does not list: a reader that walks the file would see it.
    let other = archive(&[("hidden", b"content")]);
    let hidden = &other[..position(&other, DIRECTORY, 0)];
    let at = position(&plain, DIRECTORY, 0);
    let mut spliced = [&plain[..at], hidden, &plain[at..]].concat();
    let end = position(&spliced, END, 0);
    let start = u32::try_from(at + hidden.len()).unwrap();
    spliced[end + 16..end + 20].copy_from_slice(&start.to_le_bytes());
    assert!(refusal(&spliced).contains("not followed by"));

    // An archive in the comment of the archive.
    let mut commented = ArchiveWriter::new(Vec::new(), CREATED);
    commented.store("a", b"content").unwrap();
    let nested =
        commented.finish("PK\x05\x06 and more that is long enough to be a record").unwrap();
    assert!(open(&nested).is_err());
}

#[test]
fn entries_that_share_their_bytes() {
    let mut bytes = archive(&[("a", b"content"), ("b", b"content")]);
    let second = position(&bytes, DIRECTORY, 1);
    bytes[second + 42..second + 46].copy_from_slice(&[0; 4]);
    assert!(open(&bytes).is_err());
}

#[test]
fn archives_of_other_kinds() {
    let plain = archive(&[("a", b"content")]);
    let end = position(&plain, END, 0);
    let with = |at: usize, value: &[u8]| {
        let mut bytes = plain.clone();
        bytes[end + at..end + at + value.len()].copy_from_slice(value);
        refusal(&bytes)
    };
    assert!(with(4, &[1, 0]).contains("split"));
    assert!(with(10, &[2, 0]).contains("split"));
    assert!(with(8, &[2, 0, 2, 0]).contains("cut"));
    assert!(with(8, &[0, 0, 0, 0]).contains("more entries than it says"));
    assert!(with(16, &[0xff; 4]).contains("ZIP64"));
    assert_eq!(
        refusal(&plain[..end]),
        "the archive is damaged: it breaks off: the record at its end is missing"
    );
    assert_eq!(open(b"no archive").unwrap_err(), AsicError::NotAnArchive);
    assert_eq!(open(b"").unwrap_err(), AsicError::NotAnArchive);
}

#[test]
fn bombs() {
    let zeros = vec![0; 33 << 20];
    assert!(refusal(&archive(&[("attachment1", &zeros)])).contains("compression ratio"));
    // Nor in slices.
    let slice = &zeros[..1 << 20];
    let names: Vec<String> = (1..=33).map(|number| format!("attachment{number}")).collect();
    let slices: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), slice)).collect();
    assert!(drain(&archive(&slices[1..])).is_ok());
    assert!(refusal(&archive(&slices)).contains("compression ratio"));
    let zeros = &zeros[..3 << 20];
    let small = Limits {
        max_entry_bytes: 1000,
        max_total_bytes: 1500,
        max_entries: 3,
        ..Limits::default()
    };
    let open = |bytes: &[u8]| {
        Archive::open(std::io::Cursor::new(bytes), &small).expect_err("must be refused").to_string()
    };
    let kilobyte = vec![1; 1000];
    assert!(open(&archive(&[("a", zeros)])).contains("beyond the bound of 1000"));
    assert!(
        open(&archive(&[("a", &kilobyte), ("b", &kilobyte)])).contains("beyond the bound of 1500")
    );
    assert!(
        open(&archive(&[("a", b""), ("b", b""), ("c", b""), ("d", b"")])).contains("bound of 3")
    );

    // The headers promise 10 bytes, and the stream gives three million.
    let mut liar = archive(&[("a", zeros)]);
    let (l, d) = (position(&liar, LOCAL, 0), position(&liar, DIRECTORY, 0));
    liar[l + 22..l + 26].copy_from_slice(&10_u32.to_le_bytes());
    liar[d + 24..d + 28].copy_from_slice(&10_u32.to_le_bytes());
    assert!(drain(&liar).unwrap_err().to_string().contains("not as long as it says"));

    let mut container = sample();
    container.message = vec![b'x'; 17 << 20].into();
    let large = Limits { max_dense_bytes: 1 << 30, ..Limits::default() };
    let error = Container::read(&container.write(CREATED).unwrap(), &large).unwrap_err();
    assert!(matches!(error, AsicError::TooLarge { limit, .. } if limit == 16 << 20), "{error}");
}

#[test]
fn honest_bodies_may_compress_well() {
    let mut container = sample();
    let zeros = bytes::Bytes::from(vec![0; 10 << 20]);
    container.attachments = vec![causeway_asic::Attachment::new(1, zeros)];
    let written = container.write(CREATED).unwrap();
    assert!(written.len() < 100_000, "{}", written.len());
    let read = Container::read(&written, &Limits::default()).unwrap();
    assert!(read.attachments == container.attachments);
}

#[test]
fn a_stream_must_end_where_its_entry_ends() {
    // A stored block that ends the stream, and a byte behind it inside the entry.
    let mut bytes = archive(&[("a", b"")]);
    assert!(drain(&bytes).is_ok());
    let (l, d) = (position(&bytes, LOCAL, 0), position(&bytes, DIRECTORY, 0));
    let size = u32::from_le_bytes(bytes[l + 18..l + 22].try_into().unwrap()) + 1;
    bytes[l + 18..l + 22].copy_from_slice(&size.to_le_bytes());
    bytes[d + 20..d + 24].copy_from_slice(&size.to_le_bytes());
    bytes.insert(d, 0);
    let end = position(&bytes, END, 0);
    let start = u32::try_from(d + 1).unwrap();
    bytes[end + 16..end + 20].copy_from_slice(&start.to_le_bytes());
    assert!(drain(&bytes).unwrap_err().to_string().contains("behind its deflate stream"));
}

#[test]
fn structure_codes_of_made_containers() {
    let code = |entries: &[(&str, &[u8])]| {
        Container::read(&archive(entries), &Limits::default()).map(|_| ()).map_err(|e| e.code())
    };
    let mime = ("mimetype", MIME_TYPE.as_bytes());
    let message = ("message.xml", b"<m/>".as_slice());
    let signature = ("META-INF/signatures.xml", b"<s/>".as_slice());
    let token = ("META-INF/timestamp.tst", b"token".as_slice());
    assert_eq!(code(&[mime, message, signature, token]), Ok(()));
    assert_eq!(
        code(&[("mimetype", b"APPLICATION/vnd.etsi.asic-e+zip"), message, signature, token]),
        Ok(())
    );
    assert_eq!(
        code(&[("mimetype", b" "), message, signature, token]),
        Err("asic_mime_type_not_found")
    );
    assert_eq!(code(&[("mimetype", b"text/plain"), message]), Err("asic_invalid_mime_type"));
    assert_eq!(
        code(&[mime, ("Message.xml", b"<m/>"), signature, token]),
        Err("asic_message_not_found")
    );
    assert_eq!(code(&[mime, message, signature]), Err("malformed_signature"));
    assert_eq!(code(&[mime, message, ("META-INF/signatures.xml", b"<s>")]), Err("invalid_xml"));
    assert_eq!(
        code(&[mime, message, signature, token, ("sig-hashchain.xml", b"<c/>")]),
        Err("asic_hash_chain_result_not_found")
    );
    assert_eq!(
        code(&[
            mime,
            message,
            signature,
            token,
            ("sig-hashchain.xml", b" "),
            ("sig-hashchainresult.xml", b"")
        ]),
        Ok(())
    );
    assert_eq!(
        code(&[mime, message, signature, token, ("ts-hashchainresult.xml", b"<c/>")]),
        Err("asic_hash_chain_not_found")
    );
    assert_eq!(
        code(&[mime, message, signature, token, ("META-INF/ASiCManifest.xml", b"")]),
        Err("asic_manifest_not_found")
    );
    let container = Container::read(
        &archive(&[
            mime,
            message,
            signature,
            token,
            ("attachment01", b""),
            ("attachment0", b""),
            ("attachmentX", b""),
            ("attachment7", b""),
        ]),
        &Limits::default(),
    )
    .unwrap();
    assert_eq!(container.attachments.len(), 1);
    assert_eq!(container.extra.len(), 3);
}

/// Every byte of a container changed: it is refused, or says the same.
#[test]
fn a_changed_byte_never_changes_the_content() {
    let mut container = sample();
    container.attachments.truncate(1);
    let bytes = container.write(CREATED).unwrap();
    let read = Container::read(&bytes, &Limits::default()).unwrap();
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            if let Ok(other) = Container::read(&changed, &Limits::default()) {
                assert_eq!(other, read, "byte {at}");
            }
        }
    }
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Container::read(&bytes, &Limits::default());
    }

    #[test]
    fn reading_mangled_archives_never_panics(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = sample().write(CREATED).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = Container::read(&bytes, &Limits::default());
        let _ = Container::read(&bytes[..cut.index(bytes.len())], &Limits::default());
    }
}
