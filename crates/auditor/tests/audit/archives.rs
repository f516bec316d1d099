//! Sets of archives: X-Road's, ours, and ours after somebody changed them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use auditor::archives::{FoundFile, Language, Options, SetReport, SetVerdict, audit, find, page};
use auditor::{Judging, configuration};
use causeway_archive::folder::Protection;
use causeway_archive::linking::{Linked, LinkingInfo, step};
use causeway_archive::name::archive_name;
use causeway_archive::openpgp::Recipients;
use causeway_archive::set::Known;
use causeway_asic::Limits;
use causeway_asic::archive::{Archive, ArchiveWriter};
use causeway_keys::KeyKind;
use time::macros::datetime;

use super::folder;
use super::world::{Book, World, archive};

fn options(until: &[&str]) -> Options {
    Options {
        known: Known {
            before: Vec::new(),
            until: until.iter().map(|digest| (*digest).to_owned()).collect(),
        },
        limits: Limits::default(),
        complete: false,
        keys: None,
        workers: 2,
    }
}

fn judged(folder: &Path, judging: &Judging<'_>, options: &Options) -> SetReport {
    let files = find(&[folder.to_owned()]).unwrap();
    audit(&files, judging, options, &mut |_| {})
}

fn auditor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_auditor")).arg("archive").args(arguments).output().unwrap()
}

#[test]
fn xroads_archives_are_valid_with_every_container() {
    let Some(vectors) = folder() else { return };
    let conf = configuration::read(&vectors.join("messagelog/globalconf")).unwrap();
    let files: Vec<FoundFile> = ["message-archive-1.zip", "message-archive-0.zip"]
        .map(|name| FoundFile { path: vectors.join("messagelog").join(name) })
        .into();
    let judging = Judging::new(&conf, None);
    let report = audit(&files, &judging, &options(&[]), &mut |_| {});
    assert_eq!(report.verdict, SetVerdict::Valid, "{report:#?}");
    assert_eq!(
        (report.totals.containers, report.totals.valid, report.totals.incomplete),
        (21, 21, 3)
    );
    assert_eq!((report.totals.requests, report.totals.responses), (11, 10));
    assert_eq!(report.chains.len(), 1);
    assert_eq!(report.chains[0].archives, ["message-archive-0.zip", "message-archive-1.zip"]);
    let strict = Options { complete: true, ..options(&[]) };
    assert_eq!(audit(&files, &judging, &strict, &mut |_| {}).verdict, SetVerdict::Invalid);
    // The second alone lacks the first; it says so, and by name.
    let report = audit(&files[..1], &judging, &options(&[]), &mut |_| {});
    assert_eq!(report.verdict, SetVerdict::Invalid);
    assert!(
        report.problems[0].text.contains("mlog-20231023121255-20231023121255-9011ab557706b505")
    );
}

/// A set of archives in memory, to be changed.
#[derive(Clone)]
struct Set(Vec<(String, Vec<u8>)>);

type Entries = Vec<(String, Vec<u8>)>;

impl Set {
    fn read(folder: &Path) -> Self {
        let files = find(&[folder.to_owned()]).unwrap();
        let read = |file: &FoundFile| {
            let name = file.path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(&file.path).unwrap())
        };
        Self(files.iter().map(read).collect())
    }

    fn write(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.0 {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn change(&mut self, at: usize, change: impl FnOnce(&mut Entries)) {
        let mut entries = unpacked(&self.0[at].1).unwrap();
        change(&mut entries);
        self.0[at].1 = packed(&entries);
    }

    /// As somebody who knows the format would: the chain within the archive holds again, and its name too.
    fn change_well(&mut self, at: usize, change: impl FnOnce(&mut Entries)) {
        self.change(at, |entries| {
            let info = entries.pop().unwrap();
            change(entries);
            let mut info = LinkingInfo::parse(&info.1).unwrap();
            let mut last = info.previous_digest().to_owned();
            info.containers.clear();
            for (name, content) in entries.iter() {
                last = step(info.algorithm, &last, &info.algorithm.digest(content));
                info.containers.push(Linked { digest: last.clone(), container: name.clone() });
            }
            entries.push(("linkinginfo".into(), info.to_text().into_bytes()));
        });
        let entries = unpacked(&self.0[at].1).unwrap();
        let info = LinkingInfo::parse(&entries.last().unwrap().1).unwrap();
        let begin = datetime!(2026-01-01 0:00 UTC);
        self.0[at].0 = archive_name(None, (begin, begin), info.last_digest(), false);
    }

    fn contents(&self) -> Option<BTreeSet<Vec<u8>>> {
        let mut all = BTreeSet::new();
        for (_, bytes) in &self.0 {
            all.extend(
                unpacked(bytes)?.into_iter().filter(|(n, _)| n.ends_with(".asice")).map(|e| e.1),
            );
        }
        Some(all)
    }
}

fn unpacked(bytes: &[u8]) -> Option<Entries> {
    let mut archive = Archive::open(Cursor::new(bytes), &Limits::default()).ok()?;
    let entries = archive.entries().to_vec();
    let read = |entry| {
        Some((
            String::from(causeway_asic::archive::Entry::name(entry)),
            archive.read(entry, u64::MAX).ok()?,
        ))
    };
    entries.iter().map(read).collect()
}

fn packed(entries: &Entries) -> Vec<u8> {
    let mut archive = ArchiveWriter::new(Vec::new(), datetime!(2026-01-01 0:00 UTC));
    for (name, content) in entries {
        archive.store(name, content).unwrap();
    }
    archive.finish("").unwrap()
}

/// Numbers that are the same each time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
}

/// What a change must lead to.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// The set is not valid.
    Invalid,
    /// The set is valid, and it is told what is strange.
    Told,
    /// Nothing in the set shows it; a last digest that was kept elsewhere does.
    OnlyByTheEnd,
}

/// Changes a set in one of many ways, and says what must come of it.
fn tamper(set: &mut Set, numbers: &mut Numbers) -> (&'static str, Expected) {
    let count = set.0.len();
    let (at, other) = (numbers.below(count), numbers.below(count - 1));
    let other = if other >= at { other + 1 } else { other };
    let last = at == count - 1;
    let end = if last { Expected::OnlyByTheEnd } else { Expected::Invalid };
    let (i, j) = (numbers.below(4), numbers.below(3));
    let j = if j >= i { j + 1 } else { j };
    match numbers.below(16) {
        0 => {
            set.0.remove(at);
            ("an archive is removed", end)
        }
        1 => {
            let copy = (format!("{}-copy.zip", set.0[at].0), set.0[at].1.clone());
            set.0.push(copy);
            ("an archive is doubled", Expected::Told)
        }
        2 => {
            let name = set.0[at].0.clone();
            set.0[at].0 = std::mem::replace(&mut set.0[other].0, name);
            ("two archives swap their names", Expected::Told)
        }
        3 => {
            let length = 1 + numbers.below(set.0[at].1.len() - 1);
            set.0[at].1.truncate(length);
            ("an archive is cut", Expected::Invalid)
        }
        4 => {
            set.change(at, |e| {
                let byte = numbers.below(e[i].1.len());
                e[i].1[byte] ^= 1 << numbers.below(8);
            });
            ("a container is changed", Expected::Invalid)
        }
        5 => {
            set.change(at, |e| drop(e.remove(i)));
            ("a container is removed", Expected::Invalid)
        }
        6 => {
            set.change(at, |e| e.swap(i, j));
            ("two containers swap their places", Expected::Invalid)
        }
        7 => {
            set.change(at, |e| e[i].0 = "other-request-1.asice".into());
            ("a container is renamed", Expected::Invalid)
        }
        8 => {
            set.change(at, |e| {
                let name = e[i].0.clone();
                e[i].0 = std::mem::replace(&mut e[j].0, name);
            });
            ("two containers swap their names", Expected::Invalid)
        }
        9 => {
            set.change(at, |e| e.insert(j, ("copy-request-1.asice".into(), e[i].1.clone())));
            ("a container is doubled", Expected::Invalid)
        }
        10 => {
            let foreign = unpacked(&set.0[other].1).unwrap()[j].clone();
            set.change(at, |e| e.insert(i, foreign));
            ("a container of another archive is added", Expected::Invalid)
        }
        11 => {
            set.change(at, |e| {
                e.remove(i);
                let info = e.last_mut().unwrap();
                let mut read = LinkingInfo::parse(&info.1).unwrap();
                read.containers.remove(i);
                info.1 = read.to_text().into_bytes();
            });
            // Without its last container and line, an archive is one that ended earlier: its name still has the digits of
            // another digest, and the next archive continues that one.
            let told = i == 3 && last;
            let expected = if told { Expected::Told } else { Expected::Invalid };
            ("a container is removed, and from the list", expected)
        }
        12 => {
            set.change(at, |e| {
                e[i].0 = "other-request-1.asice".into();
                let info = e.last_mut().unwrap();
                let mut read = LinkingInfo::parse(&info.1).unwrap();
                read.containers[i].container = "other-request-1.asice".into();
                info.1 = read.to_text().into_bytes();
            });
            ("a container is renamed, and in the list", Expected::Invalid)
        }
        13 => {
            set.change_well(at, |e| drop(e.remove(i)));
            ("a container is removed, and the chain made anew", end)
        }
        14 => {
            set.change_well(at, |e| e.swap(i, j));
            ("two containers swap their places, and the chain is made anew", end)
        }
        _ => {
            set.change(at, |e| {
                e.pop();
            });
            ("the linking information is removed", Expected::Invalid)
        }
    }
}

/// Some hundred changes of a set, each found as far as it can be.
#[test]
fn what_was_changed_in_a_set_is_found() {
    let world = World::new(KeyKind::EcP256);
    let made = world.containers(24, 4, 24);
    let folder = tempfile::tempdir().unwrap();
    let book = archive(folder.path(), &made, 4, Book::default());
    let conf = world.configuration();
    let judging = Judging::new(&conf, None);
    let report = judged(folder.path(), &judging, &options(&[]));
    assert_eq!(report.verdict, SetVerdict::Valid, "{report:#?}");
    assert_eq!((report.totals.archives, report.totals.valid), (6, 24));
    assert_eq!((report.problems.len(), report.chains.len()), (0, 1));
    let end = book.last.unwrap().digest;

    let original = {
        // In the order of the chain; they have the same times, so not that of their names.
        let mut set = Set::read(folder.path());
        let order = &report.chains[0].archives;
        set.0.sort_by_key(|(name, _)| order.iter().position(|known| known == name));
        set
    };
    let mut numbers = Numbers(7);
    let mut ways = BTreeSet::new();
    for round in 0..320 {
        let mut set = original.clone();
        let (what, expected) = tamper(&mut set, &mut numbers);
        ways.insert(what);
        let changed = set.write();
        let report = judged(changed.path(), &judging, &options(&[]));
        let context = format!("round {round}: {what}: {report:#?}");
        match expected {
            Expected::Invalid => assert_eq!(report.verdict, SetVerdict::Invalid, "{context}"),
            Expected::Told => {
                assert_eq!(report.verdict, SetVerdict::Valid, "{context}");
                assert!(!report.problems.is_empty(), "{context}");
            }
            Expected::OnlyByTheEnd => {
                assert_eq!(report.verdict, SetVerdict::Valid, "{context}");
                let whole = judged(changed.path(), &judging, &options(&[&end]));
                assert_eq!(whole.verdict, SetVerdict::Invalid, "{context}");
            }
        }
    }
    assert_eq!(ways.len(), 16, "{ways:?}");

    // Any byte that changes is found, or changes nothing that was archived.
    let contents = original.contents();
    for _ in 0..120 {
        let mut set = original.clone();
        let at = numbers.below(set.0.len());
        let byte = numbers.below(set.0[at].1.len());
        set.0[at].1[byte] ^= 1 << numbers.below(8);
        let changed = set.write();
        let report = judged(changed.path(), &judging, &options(&[&end]));
        if report.verdict == SetVerdict::Valid {
            assert_eq!(set.contents(), contents, "byte {byte} of archive {at}");
        }
    }
}

/// What is found does not depend on how many judge at once.
#[test]
fn findings_come_in_order_whoever_judges() {
    let world = World::new(KeyKind::EcP256);
    let mut made = world.containers(60, 7, 20);
    for place in [3, 11, 40] {
        // A byte of the compressed message; the checks sums of ZIP make it a damaged container.
        let middle = made[place].bytes.len() / 2;
        made[place].bytes[middle] ^= 0x40;
    }
    let folder = tempfile::tempdir().unwrap();
    archive(folder.path(), &made, 25, Book::default());
    let conf = world.configuration();
    let run = |workers| {
        let judging = Judging::new(&conf, None);
        judged(folder.path(), &judging, &Options { workers, ..options(&[]) })
    };
    let alone = run(1);
    assert_eq!((alone.totals.containers, alone.totals.invalid), (60, 3));
    assert_eq!(alone.verdict, SetVerdict::Invalid);
    assert!(alone.archives.iter().all(|archive| archive.linking_holds));
    for workers in [2, 5] {
        assert_eq!(run(workers), alone);
    }
    let english = page(&alone, Language::English, datetime!(2026-01-02 3:04 UTC));
    assert_eq!(english, page(&alone, Language::English, datetime!(2026-01-02 3:04 UTC)));
    assert!(english.contains("io_error") && english.contains("class=\"verdict invalid\""));
}

#[test]
fn the_page_is_for_people() {
    let world = World::new(KeyKind::EcP256);
    let made = world.containers(6, 3, 6);
    let folder = tempfile::tempdir().unwrap();
    archive(folder.path(), &made, 3, Book::default());
    let strange = folder.path().join("<script>alert(1)<b>&\"'.zip");
    fs::write(&strange, b"no archive").unwrap();
    let conf = world.configuration();
    let report = judged(folder.path(), &Judging::new(&conf, None), &options(&[]));
    for (language, words) in [
        (
            Language::English,
            ["Audit of message log archives", "Not valid", "Last digest", "lang=\"en\""],
        ),
        (
            Language::Vietnamese,
            ["Kiểm tra kho lưu trữ", "Không hợp lệ", "Giá trị băm cuối", "lang=\"vi\""],
        ),
    ] {
        let page = page(&report, language, datetime!(2026-01-02 3:04 UTC));
        for word in words {
            assert!(page.contains(word), "{word}");
        }
        assert!(page.contains("2026-01-02T03:04:00Z") && page.matches("<svg").count() == 2);
        for never in ["<script", "http://", "https://", "javascript:", "NaN", "inf\""] {
            assert!(!page.contains(never), "{never}");
        }
        assert!(page.contains("&lt;script&gt;"));
        // Every element that is opened is closed, in order: it is XML but for its first line and its meta elements.
        let body = &page[page.find("<body>").unwrap()..page.find("</html>").unwrap()];
        let body = body.replace("<br>", "<br/>");
        causeway_xml::Document::parse(body.as_bytes(), &causeway_xml::Limits::default()).unwrap();
    }
}

#[test]
fn the_program_tells_scripts_and_people() {
    let world = World::new(KeyKind::EcP256);
    let made = world.containers(8, 4, 8);
    let desk = tempfile::tempdir().unwrap();
    let path = |name: &str| desk.path().join(name).to_str().unwrap().to_owned();
    let (conf, set) = (path("conf"), path("set"));
    fs::create_dir(&set).unwrap();
    world.write_configuration(Path::new(&conf));
    let book = archive(Path::new(&set), &made, 4, Book::default());
    let end = book.last.unwrap().digest;
    let status = |arguments: &[&str]| auditor(arguments).status.code();
    assert_eq!(status(&[&set, "--conf", &conf, "--until", &end]), Some(0));
    assert_eq!(status(&[&set, "--conf", &conf, "--until", "abcd"]), Some(1));
    assert_eq!(status(&[&path("absent.zip"), "--conf", &conf]), Some(2));
    assert_eq!(status(&[&path("conf"), "--conf", &conf]), Some(2), "no archives in there");
    let second = book.stored[1].to_str().unwrap();
    assert_eq!(status(&[second, "--conf", &conf]), Some(1));

    let page = path("page.html");
    let output = auditor(&[&set, "--conf", &conf, "--report", &page, "--language", "vi", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["verdict"], "valid");
    assert_eq!(json["totals"]["valid"], 8);
    assert_eq!(json["chains"][0]["digest"], end);
    assert_eq!(json["signers"]["MEMBER:DEV/GOV/1234"], 8);
    let after = json["archives"][0]["digest"].as_str().unwrap();
    let first = book.stored[0].file_name().unwrap().to_str().unwrap();
    let after = if json["archives"][0]["file"].as_str().unwrap().ends_with(first) {
        after
    } else {
        json["archives"][1]["digest"].as_str().unwrap()
    };
    assert_eq!(status(&[second, "--conf", &conf, "--after", after]), Some(0));
    assert!(fs::read_to_string(page).unwrap().contains("lang=\"vi\""));
    let text = auditor(&[&set, "--conf", &conf]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("\nVALID: ") && text.contains("8 valid") && text.contains(&end),
        "{text}"
    );
}

#[test]
fn encrypted_archives_need_a_key() {
    if Command::new("gpg").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: gpg is not installed");
        return;
    }
    let home = tempfile::Builder::new().prefix("g").tempdir().unwrap();
    let gpg = |arguments: &[&str]| {
        let base = ["--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "secret"];
        let output = Command::new("gpg")
            .arg("--homedir")
            .arg(home.path())
            .args(base)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    gpg(&["--quick-generate-key", "auditor", "future-default"]);
    let recipients =
        Recipients::read(&gpg(&["--export"]), time::OffsetDateTime::now_utc()).unwrap();
    let protection = Protection::OpenPgp { recipients: Arc::new(recipients), signer: None };

    let world = World::new(KeyKind::EcP256);
    let desk = tempfile::tempdir().unwrap();
    let path = |name: &str| desk.path().join(name).to_str().unwrap().to_owned();
    let (conf, set, key, password) = (path("conf"), path("set"), path("key"), path("password"));
    fs::create_dir(&set).unwrap();
    world.write_configuration(Path::new(&conf));
    let made = world.containers(4, 2, 4);
    let book = Book { protection, ..Book::default() };
    let book = archive(Path::new(&set), &made, 2, book);
    assert!(book.stored.iter().all(|path: &PathBuf| path.to_str().unwrap().ends_with(".zip.gpg")));
    fs::write(&key, gpg(&["--export-secret-keys", "--armor"])).unwrap();
    fs::write(&password, "secret\n").unwrap();
    let status =
        |more: &[&str]| auditor(&[&[&set[..], "--conf", &conf], more].concat()).status.code();
    assert_eq!(status(&["--key", &key, "--key-password-file", &password]), Some(0));
    assert_eq!(status(&["--key", &key]), Some(2));
    assert_eq!(status(&[]), Some(2));
    let _ =
        Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).status();
}
