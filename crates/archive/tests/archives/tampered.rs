//! Archives that somebody changed. What a chain of digests can show is found; each test says what it cannot.

use std::io::Cursor;

use causeway_archive::ArchiveError;
use causeway_archive::linking::{Link, LinkingInfo};
use causeway_archive::read::{Problem, inspect};
use causeway_archive::set::{Facts, Known, SetProblem, judge};
use causeway_archive::write::{Item, LogArchive};
use causeway_asic::Limits;
use causeway_asic::archive::{Archive, ArchiveWriter};
use causeway_pki::DigestAlgorithm;
use proptest::prelude::*;

use super::BEGIN;

type Entries = Vec<(String, Vec<u8>)>;

fn made(contents: &[&[u8]], previous: Option<Link>) -> Vec<u8> {
    let mut archive = LogArchive::begin(Vec::new(), previous, DigestAlgorithm::Sha256).unwrap();
    for (number, content) in (0_u64..).zip(contents) {
        let item = Item { query_id: "id", response: false, record_id: number, time: BEGIN };
        archive.add(&item, |out| out.write_all(content).map_err(ArchiveError::from)).unwrap();
    }
    archive.finish().unwrap().0
}

fn unpacked(bytes: &[u8]) -> Entries {
    let mut archive = Archive::open(Cursor::new(bytes), &Limits::default()).unwrap();
    let entries = archive.entries().to_vec();
    entries
        .iter()
        .map(|entry| (entry.name().to_owned(), archive.read(entry, u64::MAX).unwrap()))
        .collect()
}

fn packed(entries: &Entries) -> Vec<u8> {
    let mut archive = ArchiveWriter::new(Vec::new(), BEGIN);
    for (name, content) in entries {
        archive.deflate(name, content).unwrap();
    }
    archive.finish("").unwrap()
}

fn problems(entries: &Entries) -> Vec<Problem> {
    inspect(Cursor::new(packed(entries))).unwrap().problems
}

const NAMES: [&str; 3] = ["id-request-0.asice", "id-request-1.asice", "id-request-2.asice"];

#[test]
fn each_change_inside_is_told_by_its_name() {
    let entries = unpacked(&made(&[b"zero", b"one", b"two"], None));
    assert_eq!(problems(&entries), []);
    let changed = |change: &dyn Fn(&mut Entries)| {
        let mut entries = entries.clone();
        change(&mut entries);
        problems(&entries)
    };
    let name = |place: usize| NAMES[place].to_owned();
    assert_eq!(changed(&|e| e[1].1.push(0)), [Problem::Changed(name(1))]);
    assert_eq!(changed(&|e| drop(e.remove(1))), [Problem::Missing(name(1))]);
    assert_eq!(changed(&|e| e.swap(0, 1)), [Problem::Moved(name(0))]);
    assert_eq!(
        changed(&|e| e[1].0 = "other.asice".into()),
        [Problem::NotListed("other.asice".into()), Problem::Missing(name(1))]
    );
    assert_eq!(
        changed(&|e| e.push(("copy.asice".into(), e[0].1.clone()))),
        [Problem::NotListed("copy.asice".into())]
    );
    assert_eq!(
        changed(&|e| e.push(("note.txt".into(), Vec::new()))),
        [Problem::Stranger("note.txt".into())]
    );
    // Two that take each other's names.
    assert_eq!(
        changed(&|e| {
            e[0].0 = name(1);
            e[1].0 = name(0);
        }),
        [Problem::Changed(name(1)), Problem::Changed(name(0))]
    );
    // Taken out of the list too: what follows does not follow.
    let without_line = changed(&|e| {
        e.remove(1);
        let mut info = LinkingInfo::parse(&e[2].1).unwrap();
        info.containers.remove(1);
        e[2].1 = info.to_text().into_bytes();
    });
    assert_eq!(without_line, [Problem::Changed(name(2))]);
    // Names are not part of what is hashed: a chain cannot show this. The auditor compares names with messages.
    let renamed_in_both = changed(&|e| {
        e[1].0 = "x.asice".into();
        let mut info = LinkingInfo::parse(&e[3].1).unwrap();
        info.containers[1].container = "x.asice".into();
        e[3].1 = info.to_text().into_bytes();
    });
    assert_eq!(renamed_in_both, []);
}

/// A chain of archives, as facts: what a reader of each would know.
fn chain(length: usize, group: &str) -> Vec<Facts> {
    let mut facts: Vec<Facts> = Vec::new();
    for number in 0..length {
        let previous = facts.last().map(|before| Link {
            digest: before.last.clone().unwrap(),
            archive: before.file.clone(),
        });
        let digest = DigestAlgorithm::Sha256.digest(format!("{group}{number}").as_bytes());
        let last: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = format!("mlog-{group}20250101000000-20250101000000-{}.zip", &last[..16]);
        facts.push(Facts { file, previous, last: Some(last), holds: true });
    }
    facts
}

#[test]
fn what_is_missing_doubled_forked_or_replaced_is_named() {
    let whole = chain(5, "");
    let known = Known::default();
    let judged = judge(&whole, &known);
    assert_eq!((judged.problems.len(), judged.chains.len()), (0, 1));
    assert_eq!(judged.chains[0].archives, [0, 1, 2, 3, 4]);
    assert_eq!(judged.chains[0].digest, whole[4].last);

    let mut gap = whole.clone();
    let removed = gap.remove(2);
    let judged = judge(&gap, &known);
    assert!(!judged.holds() && judged.chains.len() == 2);
    assert!(judged.problems[0].text(&gap).contains(&removed.file));

    let mut copied = whole.clone();
    copied.push(Facts { file: "copy.zip".into(), ..whole[1].clone() });
    let judged = judge(&copied, &known);
    assert!(judged.holds());
    assert_eq!(judged.problems, [SetProblem::Copy { archive: 1, copy: 5 }]);

    let mut forked = whole.clone();
    forked.push(Facts { last: Some("ab".into()), file: "other.zip".into(), ..whole[2].clone() });
    let judged = judge(&forked, &known);
    assert!(
        matches!(&judged.problems[..], [SetProblem::Fork { archives, .. }] if archives == &[2, 5])
    );
    assert_eq!(judged.chains.len(), 2);

    // Written anew with other content, under the old name.
    let mut replaced = whole.clone();
    replaced[3].last = Some("cd".repeat(32));
    let judged = judge(&replaced, &known);
    let expected = SetProblem::Replaced { archive: 3, before: 4 };
    assert!(judged.problems.contains(&expected) && !judged.holds());

    // Two whose names were swapped: evidence is not hurt, and it is said.
    let mut swapped = whole.clone();
    let name = std::mem::replace(&mut swapped[1].file, whole[2].file.clone());
    swapped[2].file = name;
    let judged = judge(&swapped, &known);
    assert!(judged.holds());
    let renamed = |p: &&SetProblem| matches!(p, SetProblem::Renamed { .. });
    assert_eq!(judged.problems.iter().filter(renamed).count(), 2);

    let circle = [
        Facts { previous: Some(link("b")), last: Some("a".into()), file: "a".into(), holds: false },
        Facts { previous: Some(link("a")), last: Some("b".into()), file: "b".into(), holds: false },
        Facts { previous: Some(link("c")), last: Some("c".into()), file: "c".into(), holds: false },
    ];
    let judged = judge(&circle, &known);
    let circles = judged.problems.iter().filter(|p| matches!(p, SetProblem::Circle { .. }));
    assert_eq!(circles.count(), 2);
    assert_eq!(judged.chains.iter().map(|chain| chain.archives.len()).sum::<usize>(), 3);
}

fn link(digest: &str) -> Link {
    Link { digest: digest.into(), archive: String::new() }
}

#[test]
fn groups_have_chains_of_their_own() {
    let both = [chain(2, "DEV_COM_1-"), chain(3, "DEV_COM_2-")].concat();
    let judged = judge(&both, &Known::default());
    assert_eq!((judged.problems.len(), judged.chains.len()), (0, 2));
    let mut again = chain(2, "DEV_COM_1-");
    again.push(Facts {
        last: Some("ef".repeat(32)),
        file: "mlog-DEV_COM_1-20250101000000-20250101000000-efefefefefefefef.zip".into(),
        ..again[0].clone()
    });
    let judged = judge(&again, &Known::default());
    assert!(matches!(&judged.problems[..], [SetProblem::Beginnings { group: Some(_), .. }]));
}

/// Nothing points forwards: what is gone from the end is gone without a trace, unless its digest is known.
#[test]
fn the_end_needs_a_digest_from_elsewhere() {
    let whole = chain(4, "");
    let cut = &whole[..3];
    assert!(judge(cut, &Known::default()).holds());
    let known = Known { before: Vec::new(), until: vec![whole[3].last.clone().unwrap()] };
    assert!(matches!(&judge(cut, &known).problems[..], [SetProblem::End { .. }]));
    let judged = judge(&whole, &known);
    assert!(judged.holds() && judged.chains[0].end_is_known);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any single byte that changes in an archive is found, or changes nothing that was archived.
    #[test]
    fn changed_bytes_are_found(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let original = made(&[b"zero", b"one", b"two"], Some(Link { digest: "ab".repeat(32), archive: "a.zip".into() }));
        let mut bytes = original.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let Ok(found) = inspect(Cursor::new(&bytes)) else { return Ok(()) };
        if found.holds() {
            // Times of entries, and the name that the archive before has: neither is part of what is hashed.
            let same = unpacked(&bytes);
            let before = unpacked(&original);
            prop_assert_eq!(&same[..3], &before[..3]);
            let digests = |text: &[u8]| LinkingInfo::parse(text).unwrap().containers;
            prop_assert_eq!(digests(&same[3].1), digests(&before[3].1));
        }
    }

    #[test]
    fn strangers_facts_end_in_a_judgement(
        facts in proptest::collection::vec(
            (0_u8..6, proptest::option::of(0_u8..6), proptest::option::of(0_u8..6), any::<bool>()),
            0..12,
        ),
    ) {
        let facts: Vec<Facts> = facts
            .into_iter()
            .map(|(file, previous, last, holds)| Facts {
                file: format!("{file}"),
                previous: previous.map(|d| Link { digest: format!("{d}"), archive: format!("{d}") }),
                last: last.map(|d| format!("{d}")),
                holds,
            })
            .collect();
        let judged = judge(&facts, &Known::default());
        let mut placed: Vec<usize> = judged.chains.iter().flat_map(|c| c.archives.clone()).collect();
        placed.extend(judged.problems.iter().filter_map(|p| match p {
            SetProblem::Copy { copy, .. } => Some(*copy),
            _ => None,
        }));
        placed.sort_unstable();
        prop_assert_eq!(placed, (0..facts.len()).collect::<Vec<_>>());
        for problem in &judged.problems {
            prop_assert!(!problem.text(&facts).is_empty());
        }
    }
}
