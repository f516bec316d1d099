//! Containers that we write, read by ourselves and by others.

use std::io::{Read, Write};
use std::process::Command;

use bytes::Bytes;
use causeway_asic::{Attachment, Container, Limits, MIME_TYPE, Source};
use proptest::prelude::*;

use super::{CREATED, sample};

#[test]
fn what_is_written_is_read_back() {
    let container = sample();
    let bytes = container.write(CREATED).unwrap();
    assert_eq!(bytes, container.write(CREATED).unwrap(), "the same parts give the same bytes");
    let mut again = Container::read(&bytes, &Limits::default()).unwrap();
    assert!(again.manifest.take().is_some() && again.asic_manifest.take().is_some());
    assert!(again.media_type_first);
    assert_eq!(again, container);
}

#[test]
fn the_media_type_is_where_detectors_look() {
    let bytes = sample().write(CREATED).unwrap();
    assert_eq!(&bytes[..4], b"PK\x03\x04");
    assert_eq!(&bytes[30..38], b"mimetype");
    assert_eq!(&bytes[38..38 + MIME_TYPE.len()], MIME_TYPE.as_bytes());
    assert!(bytes.ends_with(format!("mimetype={MIME_TYPE}").as_bytes()));
}

#[test]
fn another_library_reads_it_in_xroads_order() {
    let bytes = sample().write(CREATED).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let names: Vec<String> =
        (0..archive.len()).map(|i| archive.by_index(i).unwrap().name().to_owned()).collect();
    let expected = [
        "mimetype",
        "message.xml",
        "META-INF/signatures.xml",
        "sig-hashchainresult.xml",
        "sig-hashchain.xml",
        "ts-hashchainresult.xml",
        "ts-hashchain.xml",
        "META-INF/manifest.xml",
        "META-INF/ASiCManifest.xml",
        "META-INF/timestamp.tst",
        "attachment1",
        "attachment2",
    ];
    assert_eq!(names, expected);
    let mut content = Vec::new();
    archive.by_name("attachment2").unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(content, vec![0xff; 3000]);
}

#[test]
fn common_tools_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.asice");
    std::fs::write(&path, sample().write(CREATED).unwrap()).unwrap();
    let script = "import sys, zipfile\n\
        z = zipfile.ZipFile(sys.argv[1])\n\
        assert z.testzip() is None\n\
        i = z.infolist()[0]\n\
        assert (i.filename, i.compress_type, i.extra) == ('mimetype', 0, b''), i\n\
        assert i.date_time == (2025, 3, 4, 5, 6, 6), i.date_time\n\
        assert z.read('attachment1') == b'first attachment'\n";
    let path = path.to_str().unwrap();
    for (tool, arguments) in [("unzip", vec!["-t", path]), ("python3", vec!["-c", script, path])] {
        match Command::new(tool).args(arguments).output() {
            Ok(output) => assert!(
                output.status.success(),
                "{tool}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => eprintln!("SKIPPED: {tool}: {error}"),
        }
    }
}

/// X-Road's reader walks the file from its beginning with Java's `ZipInputStream`.
#[test]
fn java_reads_it_from_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let container = folder.path().join("sample.asice");
    std::fs::write(&container, sample().write(CREATED).unwrap()).unwrap();
    let program = folder.path().join("Walk.java");
    let source = "import java.io.*; import java.util.zip.*;\n\
        class Walk { public static void main(String[] a) throws IOException {\n\
        try (ZipInputStream z = new ZipInputStream(new FileInputStream(a[0]))) { ZipEntry e;\n\
        while ((e = z.getNextEntry()) != null) { byte[] b = z.readAllBytes();\n\
        System.out.println(e.getName() + \" \" + b.length + \" \" + e.getLastModifiedTime()); } } } }\n";
    std::fs::write(&program, source).unwrap();
    let Ok(output) = Command::new("java").arg(&program).arg(&container).output() else {
        eprintln!("SKIPPED: no java");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 12, "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines[0].starts_with("mimetype 31 "), "{text}");
    assert_eq!(lines[1], "message.xml 10 2025-03-04T05:06:07Z");
    assert_eq!(lines[11], "attachment2 3000 2025-03-04T05:06:07Z");
}

#[test]
fn containers_of_another_library_are_read() {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let deflated = zip::write::SimpleFileOptions::default();
    writer.add_directory("META-INF/", stored).unwrap();
    for (name, options, content) in [
        ("attachment1", deflated, "body"),
        ("META-INF/signatures.xml", deflated, "<s/>"),
        ("META-INF/timestamp.tst", stored, "token"),
        ("message.xml", stored, "<m/>"),
        ("mimetype", deflated, MIME_TYPE),
    ] {
        writer.start_file(name, options).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    let container = Container::read(&bytes, &Limits::default()).unwrap();
    assert_eq!(container.message, "<m/>");
    assert_eq!(container.attachments[0].content().unwrap(), "body");
}

/// Bytes that are made as they are read.
struct Endless(u8);

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        for byte in out.iter_mut() {
            self.0 = self.0.wrapping_mul(31).wrapping_add(7);
            *byte = self.0;
        }
        Ok(out.len())
    }
}

#[test]
fn large_attachments_stream_in_and_out() {
    let length = 40 << 20;
    let write = |reader: &mut (dyn Read + Send)| {
        let source = Source::new(length, reader.take(length));
        sample().write_to(tempfile::tempfile().unwrap(), CREATED, vec![source]).unwrap()
    };
    let file = write(&mut std::io::repeat(0));
    let refused = Container::read_from(&file, &Limits::default()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "what is at a compression ratio beyond 200, with 'attachment1', inflated, in bytes, is beyond the \
         bound of 33554432"
    );
    assert!(Container::read_from(&file, &Limits::large()).is_ok());
    let file = write(&mut Endless(1));
    let container = Container::read_from(&file, &Limits::default()).unwrap();
    let [attachment] = container.attachments.as_slice() else { panic!() };
    assert_eq!(attachment.size(), length);
    assert!(attachment.content().is_none());
    assert_eq!(
        container.write(CREATED).unwrap_err().to_string(),
        "the content of 'attachment1' is not in memory"
    );
}

#[test]
fn a_source_must_keep_its_promise() {
    for promised in [3, 5] {
        let source = Source::new(promised, &b"four"[..]);
        let error = sample().write_to(Vec::new(), CREATED, vec![source]).unwrap_err();
        assert!(error.to_string().contains("bytes where"), "{error}");
    }
}

#[test]
fn a_container_without_its_parts_is_not_written() {
    let code = |change: fn(&mut Container)| {
        let mut container = sample();
        change(&mut container);
        container.write(CREATED).unwrap_err().code()
    };
    assert_eq!(code(|c| c.message = Bytes::from_static(b" \n")), "asic_message_not_found");
    assert_eq!(code(|c| c.signatures = Bytes::new()), "asic_signature_not_found");
    assert_eq!(code(|c| c.sig_hash_chain = None), "asic_hash_chain_not_found");
    assert_eq!(code(|c| c.sig_hash_chain_result = None), "asic_hash_chain_result_not_found");
    assert_eq!(code(|c| c.ts_hash_chain = None), "asic_hash_chain_not_found");
    assert_eq!(code(|c| c.timestamp = None), "malformed_signature");
    assert_eq!(code(|c| c.timestamp = Some(Bytes::new())), "asic_timestamp_not_found");
    assert_eq!(code(|c| c.manifest = Some(Bytes::new())), "asic_manifest_not_found");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_parts_come_back(
        message in proptest::collection::vec(any::<u8>(), 1..2000),
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..5),
        seconds in -5_000_000_000_i64..10_000_000_000,
        chains in any::<bool>(),
    ) {
        let blank = std::str::from_utf8(&message).is_ok_and(|text| text.trim().is_empty());
        prop_assume!(!blank);
        let mut container = sample();
        container.message = Bytes::from(message);
        if !chains {
            container.sig_hash_chain = None;
            container.sig_hash_chain_result = None;
        }
        container.attachments =
            (1..).zip(bodies).map(|(n, body)| Attachment::new(n, Bytes::from(body))).collect();
        let created = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let bytes = container.write(created).unwrap();
        let mut again = Container::read(&bytes, &Limits::default()).unwrap();
        again.manifest = None;
        again.asic_manifest = None;
        prop_assert_eq!(again, container);
    }
}
