//! The program, as somebody at a terminal or a script meets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use causeway_asic::archive::ArchiveWriter;
use time::macros::datetime;

use super::folder;

fn auditor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_auditor")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

struct Desk {
    vectors: PathBuf,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Option<Self> {
        Some(Self { vectors: folder()?, folder: tempfile::tempdir().unwrap() })
    }

    fn container(&self, name: &str) -> String {
        self.vectors.join("asic").join(name).to_str().unwrap().to_owned()
    }

    fn configuration(&self) -> String {
        self.vectors.join("globalconf/globalconf_good2_v3").to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn verify(&self, files: &[&str], more: &[&str]) -> Output {
        let conf = self.configuration();
        auditor(&[&["verify", "--conf", &conf], files, more].concat())
    }
}

#[test]
fn exit_status_tells_scripts() {
    let Some(desk) = Desk::new() else { return };
    let valid = desk.container("valid-batch-ts.asice");
    let gaps = desk.container("valid-signed-hashchain.asice");
    let invalid = desk.container("wrong-message.asice");
    let absent = desk.path("absent.asice");
    let status = |files: &[&str], more: &[&str]| desk.verify(files, more).status.code().unwrap();
    assert_eq!(status(&[&valid], &[]), 0);
    assert_eq!(status(&[&valid, &gaps], &[]), 0);
    assert_eq!(status(&[&valid, &gaps], &["--complete"]), 1);
    assert_eq!(status(&[&invalid, &valid], &[]), 1);
    assert_eq!(status(&[&absent, &invalid], &[]), 2);
    assert_eq!(status(&[&valid], &["--at", "2024-12-05T07:35:00Z"]), 0);
    assert_eq!(status(&[&valid], &["--at", "2030-01-01T00:00:00Z"]), 1);
    assert_eq!(status(&[&valid], &["--at", "yesterday"]), 2);
    assert_eq!(auditor(&["verify", &valid]).status.code(), Some(2));
    assert_eq!(auditor(&["verify", &valid, "--conf", &absent]).status.code(), Some(2));
}

#[test]
fn what_is_not_a_file_is_not_judged() {
    let Some(desk) = Desk::new() else { return };
    let folder = desk.path("folder");
    fs::create_dir(&folder).unwrap();
    let pipe = desk.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [folder, pipe] {
        let output = desk.verify(&[&path], &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains("NOT JUDGED: ") && said.contains("is not a file"), "{said}");
        assert!(output.stdout.is_empty());
    }
}

/// As behind `| head`, once it has ended.
#[test]
fn nobody_who_reads_changes_nothing() {
    let Some(desk) = Desk::new() else { return };
    let valid = desk.container("valid-batch-ts.asice");
    let invalid = desk.container("wrong-message.asice");
    let absent = desk.path("absent.asice");
    let conf = desk.configuration();
    let status = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Command::new(env!("CARGO_BIN_EXE_auditor"))
            .args(arguments)
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .status()
            .unwrap()
            .code()
    };
    assert_eq!(status(&["verify", &valid, "--conf", &conf]), Some(0));
    assert_eq!(status(&["verify", &invalid, "--conf", &conf, "--json"]), Some(1));
    assert_eq!(status(&["verify", &valid, &absent, "--conf", &conf]), Some(2));
    assert_eq!(status(&["verify", &valid, "--conf", &absent]), Some(2));
    assert_eq!(status(&["--help"]), Some(0));
    assert_eq!(status(&["verify"]), Some(2));
}

#[test]
fn the_report_can_be_read() {
    let Some(desk) = Desk::new() else { return };
    let valid = text(&desk.verify(&[&desk.container("valid-signed-hashchain.asice")], &[]).stdout);
    for part in [
        "valid-signed-hashchain.asice: VALID, BUT NOT ALL THAT WAS SIGNED IS HERE\n",
        "signed by    MEMBER:DEV/COM/4321\n",
        "certificate serialNumber=DEV/ss2/COM,CN=4321,O=Test client,C=FI\n",
        "timestamp    2024-12-05T12:37:50Z (over this signature)\n",
        "NOT covered  attachment1: signed, but not in the container\n",
    ] {
        assert!(valid.contains(part), "{part:?} in\n{valid}");
    }
    let invalid = text(&desk.verify(&[&desk.container("wrong-message.asice")], &[]).stdout);
    for part in
        ["INVALID (invalid_signature_value)", "because", "next step    Fetch the container again"]
    {
        assert!(invalid.contains(part), "{part:?} in\n{invalid}");
    }
    // Names and times in what went wrong, too.
    let early = ["--at", "2020-01-01T00:00:00.5Z"];
    let output = desk.verify(&[&desk.container("valid-batch-ts.asice")], &early);
    let page = text(&output.stdout);
    assert!(page.contains("INVALID") && page.contains("serialNumber=DEV/ss2/COM"), "{page}");
    assert!(!page.contains("2.5.4.5=#") && !page.contains("+00:00:00"), "{page}");
    assert!(page.contains("judged at    2020-01-01T00:00:00Z\n"), "{page}");
}

#[test]
fn json_is_one_document() {
    let Some(desk) = Desk::new() else { return };
    let files = [
        desk.container("valid-batch-ts.asice"),
        desk.container("invalid-digest.asice"),
        desk.path("absent.asice"),
    ];
    let output = desk.verify(&files.each_ref().map(String::as_str), &["--json"]);
    assert_eq!(output.status.code(), Some(2));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["instance"], "DEV");
    let [valid, invalid, absent] = document["files"].as_array().unwrap().as_slice() else {
        panic!()
    };
    assert_eq!(valid["verdict"], "valid");
    assert_eq!(valid["timestamp"]["time"], "2024-12-05T07:34:14Z");
    assert_eq!(valid["signer"]["member"], "MEMBER:DEV/COM/4321");
    assert_eq!(valid["failure"], serde_json::Value::Null);
    assert_eq!(invalid["verdict"], "invalid");
    assert_eq!(invalid["failure"]["code"], "invalid_signature_value");
    assert_eq!(invalid["failure"]["stricter_rule"], serde_json::Value::Null);
    assert!(absent["error"].as_str().unwrap().contains("No such file"));
    assert_eq!(absent.get("verdict"), None);
}

/// Zips a configuration as `GET /verificationconf` does.
fn zip_configuration(desk: &Desk, prefix: &str) -> String {
    let mut archive = ArchiveWriter::new(Vec::new(), datetime!(2025-01-01 00:00 UTC));
    let from = PathBuf::from(desk.configuration());
    for name in ["DEV/shared-params.xml", "DEV/shared-params.xml.metadata", "instance-identifier"] {
        if let Ok(content) = fs::read(from.join(name)) {
            archive.deflate(&format!("{prefix}{name}"), &content).unwrap();
        }
    }
    let path = desk.path(&format!("conf{}.zip", prefix.len()));
    fs::write(&path, archive.finish("").unwrap()).unwrap();
    path
}

#[test]
fn configurations_come_as_folders_or_archives() {
    let Some(desk) = Desk::new() else { return };
    let container = desk.container("valid-batch-ts.asice");
    let status =
        |conf: &str| auditor(&["verify", &container, "--conf", conf]).status.code().unwrap();
    for prefix in ["", "verificationconf/"] {
        assert_eq!(status(&zip_configuration(&desk, prefix)), 0, "{prefix}");
    }
    // The folder above, as an archive that was unpacked leaves it.
    let above = desk.folder.path().join("unpacked/verificationconf/DEV");
    fs::create_dir_all(&above).unwrap();
    let from = PathBuf::from(desk.configuration());
    for name in ["DEV/shared-params.xml", "DEV/shared-params.xml.metadata", "instance-identifier"] {
        let to = desk.folder.path().join("unpacked/verificationconf").join(name);
        fs::copy(from.join(name), to).unwrap();
    }
    assert_eq!(status(&desk.path("unpacked")), 0);
    assert_eq!(status(&desk.path("unpacked/verificationconf")), 0);

    let output = auditor(&[
        "verify",
        &container,
        "--conf",
        &desk.vectors.join("certs").display().to_string(),
    ]);
    assert_eq!(output.status.code(), Some(2));
    let complaint = text(&output.stderr);
    assert!(complaint.contains("is not a global configuration"), "{complaint}");
    assert!(complaint.contains("GET /verificationconf"), "{complaint}");
}

#[test]
fn extraction_takes_the_signed_files_and_overwrites_nothing() {
    let Some(desk) = Desk::new() else { return };
    let container = desk.container("valid-non-batch-soap-attachments.asice");
    let to = desk.path("out");
    let output = auditor(&["extract", &container, "--to", &to]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 3);
    let size = |name: &str| fs::metadata(Path::new(&to).join(name)).unwrap().len();
    assert_eq!((size("message.xml"), size("attachment1"), size("attachment2")), (1559, 100, 50));

    fs::write(Path::new(&to).join("attachment2"), "mine").unwrap();
    fs::remove_file(Path::new(&to).join("message.xml")).unwrap();
    let again = auditor(&["extract", &container, "--to", &to]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("nothing is overwritten"));
    assert_eq!(fs::read(Path::new(&to).join("attachment2")).unwrap(), b"mine");
    assert!(!Path::new(&to).join("message.xml").exists(), "it is all or nothing");

    let old = desk.path("old");
    assert!(
        auditor(&["extract", &desk.container("attachments.asice"), "--to", &old]).status.success()
    );
    assert!(Path::new(&old).join("73fa2305d2fae54794e16b0c212f08e2-message.xml").exists());
}

/// Archives made to harm whoever opens them.
#[test]
fn hostile_archives_are_refused_and_leave_nothing_behind() {
    let Some(desk) = Desk::new() else { return };
    let made = |entries: &[(&str, &[u8])]| {
        let mut archive = ArchiveWriter::new(Vec::new(), datetime!(2025-01-01 00:00 UTC));
        for (name, content) in entries {
            archive.deflate(name, content).unwrap();
        }
        archive.finish("").unwrap()
    };
    let message = ("message.xml", b"<m/>".as_slice());
    let zeros = vec![0; 33 << 20];
    for (name, bytes, part) in [
        ("traversal", made(&[message, ("../escaped", b"x")]), "is not allowed"),
        ("absolute", made(&[message, ("/tmp/escaped", b"x")]), "is not allowed"),
        ("twice", made(&[message, message]), "occurs twice"),
        ("bomb", made(&[message, ("attachment1", &zeros)]), "compression ratio"),
        ("prefixed", [b"#!".as_slice(), &made(&[message])].concat(), "not where it says"),
    ] {
        let path = desk.path(name);
        fs::write(&path, bytes).unwrap();
        let output = desk.verify(&[&path], &[]);
        let page = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(page.contains("INVALID (io_error)") && page.contains(part), "{page}");
        assert!(page.contains("X-Road does not ask this"), "{page}");
        let to = desk.path(&format!("{name}-out"));
        assert_eq!(auditor(&["extract", &path, "--to", &to]).status.code(), Some(2));
        assert!(!Path::new(&to).exists());
    }
    assert!(!desk.folder.path().join("escaped").exists());

    // What breaks off in the middle is removed again.
    let mut damaged = made(&[("attachment1", b"some content that will not match")]);
    let at = damaged.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    damaged[at - 3] ^= 0x55;
    let path = desk.path("damaged");
    fs::write(&path, damaged).unwrap();
    let to = desk.path("damaged-out");
    assert_eq!(auditor(&["extract", &path, "--to", &to]).status.code(), Some(2));
    assert!(!Path::new(&to).join("attachment1").exists());
}

#[test]
fn names_cannot_write_to_the_terminal() {
    let Some(desk) = Desk::new() else { return };
    let path = desk.path("no container \u{1b}[2J");
    fs::write(&path, "nothing").unwrap();
    let output = desk.verify(&[&path], &[]);
    let page = text(&output.stdout);
    assert!(page.contains("INVALID (asic_mime_type_not_found)"), "{page}");
    assert!(!page.contains('\u{1b}'));
}
