//! Archives that we write.

use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::process::Command;

use causeway_archive::folder::{Archiver, Draft, Protection, Settings, sweep};
use causeway_archive::name::Grouping;
use causeway_archive::read::inspect;
use causeway_archive::write::{Item, LogArchive};
use causeway_archive::{ArchiveError, linking};
use causeway_identifiers::ClientId;
use causeway_pki::DigestAlgorithm;
use time::UtcOffset;

use super::{BEGIN, Book, archive};

#[test]
fn the_text_is_xroads() {
    let mut archive = LogArchive::begin(Vec::new(), None, DigestAlgorithm::Sha256).unwrap();
    for (number, content) in [b"one", b"two"].into_iter().enumerate() {
        let item = Item { query_id: "a b", response: number == 1, record_id: 33, time: BEGIN };
        archive.add(&item, |out| out.write_all(content).map_err(ArchiveError::from)).unwrap();
    }
    assert_eq!((archive.containers(), archive.container_bytes()), (2, 6));
    let (bytes, finished) = archive.finish().unwrap();
    let sha = |text: &str| hex(&DigestAlgorithm::Sha256.digest(text.as_bytes()));
    let first = sha(&sha("one"));
    let second = sha(&format!("{first}{}", sha("two")));
    let expected =
        format!("- - SHA-256\n{first} a+b-request-11.asice\n{second} a+b-response-11.asice\n");
    let mut zip = causeway_asic::archive::Archive::open(
        Cursor::new(&bytes),
        &causeway_asic::Limits::default(),
    )
    .unwrap();
    let names: Vec<&str> = zip.entries().iter().map(|entry| entry.name()).collect();
    assert_eq!(names, ["a+b-request-11.asice", "a+b-response-11.asice", "linkinginfo"]);
    let entry = zip.find("linkinginfo").unwrap().clone();
    assert_eq!(String::from_utf8(zip.read(&entry, 1000).unwrap()).unwrap(), expected);
    assert_eq!((finished.digest, finished.containers), (second, 2));
    assert_eq!(inspect(Cursor::new(bytes)).unwrap().problems, []);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_has_no_place_in_an_archive_is_refused() {
    let begin = |algorithm| LogArchive::begin(Vec::new(), None, algorithm);
    let mut archive = begin(DigestAlgorithm::Sha512).unwrap();
    assert!(matches!(
        begin(DigestAlgorithm::Sha1).unwrap_err(),
        ArchiveError::DigestNotAccepted(_)
    ));
    assert_eq!(begin(DigestAlgorithm::Sha384).unwrap().finish().unwrap_err(), ArchiveError::Empty);
    let mut add = |query_id, record_id| {
        let item = Item { query_id, response: false, record_id, time: BEGIN };
        archive.add(&item, |out| out.write_all(b"x").map_err(ArchiveError::from))
    };
    add("id", 1).unwrap();
    assert!(matches!(add("ID", 1), Err(ArchiveError::SameName(_))));
    assert!(matches!(add("id", 1), Err(ArchiveError::SameName(_))));
    add("id", 2).unwrap();
    let (bytes, finished) = archive.finish().unwrap();
    assert_eq!(finished.containers, 2);
    assert!(inspect(Cursor::new(bytes)).unwrap().holds());
}

#[test]
fn archives_end_by_size_by_number_and_with_their_group() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        grouping: Grouping::Member,
        max_bytes: 2500,
        max_containers: 4,
        zone: UtcOffset::from_hms(7, 0, 0).unwrap(),
        ..Settings::default()
    };
    let small = |owner| (owner, b"content".to_vec());
    let big = |owner| (owner, vec![7; 2000]);
    let (a, b) = ("DEV/COM/1/one", "DEV/COM/1/two");
    let records =
        [vec![big(a), big(b)], vec![small(a); 4], vec![small(b)], vec![small("DEV/GOV/2"); 2]]
            .concat();
    let book = archive(folder.path(), settings, Book::default(), &records);
    let names: Vec<String> = book
        .stored
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 4);
    let digests: Vec<&str> = book.links.iter().map(|(_, link)| &link.digest[..16]).collect();
    assert_eq!(
        names[0],
        format!("mlog-DEV_COM_1-20250304120607-20250304120608-{}.zip", digests[0])
    );
    assert_eq!(
        names[3],
        format!("mlog-DEV_GOV_2-20250304120614-20250304120615-{}.zip", digests[3])
    );
    let counts: Vec<usize> = book
        .stored
        .iter()
        .map(|path| inspect(File::open(path).unwrap()).unwrap())
        .map(|found| {
            assert_eq!(found.problems, []);
            found.info.unwrap().containers.len()
        })
        .collect();
    assert_eq!(counts, [2, 4, 1, 2]);
    let previous =
        |at: usize| inspect(File::open(&book.stored[at]).unwrap()).unwrap().info.unwrap().previous;
    assert_eq!(previous(0), None);
    assert_eq!(previous(1).as_ref(), Some(&book.links[0].1));
    assert_eq!(previous(2).as_ref(), Some(&book.links[1].1));
    assert_eq!(previous(3), None, "each group has a chain of its own");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing else is left");
}

#[test]
fn nothing_is_left_of_an_archive_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let mut archiver = Archiver::new(folder.path(), Settings::default(), Book::default());
    let owner = ClientId::parse("DEV/COM/1").unwrap();
    let item = Item { query_id: "id", response: false, record_id: 1, time: BEGIN };
    let ok = |out: &mut dyn Write| out.write_all(b"x").map_err(ArchiveError::from);
    archiver.add(&owner, &item, ok).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    archiver.add(&owner, &item, ok).unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // The records can be archived anew.
    archiver.add(&owner, &item, ok).unwrap();
    let book = archiver.finish().unwrap();
    assert_eq!(book.stored.len(), 1);

    fs::write(folder.path().join("tmp-mlog-123.tmp"), b"left by a power cut").unwrap();
    assert_eq!(sweep(folder.path()).unwrap(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(book.stored[0].exists());
}

/// A container of any size goes through; what is kept is a line for each.
#[test]
fn large_containers_stream() {
    let folder = tempfile::tempdir().unwrap();
    let mut draft =
        Draft::begin(folder.path(), None, DigestAlgorithm::Sha512, &Protection::None).unwrap();
    let piece = vec![0x5a; 1 << 20];
    let item = Item { query_id: "large", response: true, record_id: 9, time: BEGIN };
    let write = |out: &mut dyn Write| {
        (0..100).try_for_each(|_| out.write_all(&piece)).map_err(ArchiveError::from)
    };
    draft.add(&item, write).unwrap();
    let stored = draft.finish(None, UtcOffset::UTC).unwrap();
    assert_eq!(stored.finished.container_bytes, 100 << 20);
    let size = fs::metadata(&stored.path).unwrap().len();
    assert!(size > 100 << 20 && size < 101 << 20);
}

#[test]
fn common_tools_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let records = [("DEV/COM/1", b"first".to_vec()), ("DEV/COM/1", vec![3; 200_000])];
    let book = archive(folder.path(), Settings::default(), Book::default(), &records);
    let path = book.stored[0].to_str().unwrap();
    let script = "import sys, zipfile, hashlib\n\
        z = zipfile.ZipFile(sys.argv[1])\n\
        assert z.testzip() is None\n\
        lines = z.read('linkinginfo').decode().splitlines()\n\
        d = ''\n\
        for line in lines[1:]:\n\
        \x20 want, name = line.split()\n\
        \x20 h = lambda b: hashlib.sha512(b).hexdigest()\n\
        \x20 d = h((d + h(z.read(name))).encode())\n\
        \x20 assert d == want, name\n\
        assert len(lines) == 3 and lines[0] == '- - SHA-512'\n";
    for (tool, arguments) in [("unzip", vec!["-t", path]), ("python3", vec!["-c", script, path])] {
        match Command::new(tool).args(arguments).output() {
            Ok(output) => assert!(output.status.success(), "{tool}: {output:?}"),
            Err(error) => eprintln!("SKIPPED: {tool}: {error}"),
        }
    }
    let mut text = Vec::new();
    File::open(path).unwrap().read_to_end(&mut text).unwrap();
    assert!(linking::MAX_CONTAINERS < 65_535 && text.starts_with(b"PK\x03\x04"));
}
