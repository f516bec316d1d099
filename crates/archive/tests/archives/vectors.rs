//! X-Road's archives, with the verdicts of its own checker.

use std::fs::File;
use std::path::PathBuf;

use causeway_archive::ArchiveError;
use causeway_archive::read::{Inspected, Problem, inspect};
use causeway_archive::set::{Facts, Known, SetProblem, judge};

fn vectors() -> Option<PathBuf> {
    let path = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")),
        PathBuf::from,
    );
    if path.is_dir() {
        return Some(path.join("messagelog"));
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no vectors at {}", path.display());
    eprintln!("SKIPPED: vectors not found at {}", path.display());
    None
}

fn open(name: &str) -> Option<Inspected> {
    Some(inspect(File::open(vectors()?.join(name)).unwrap()).unwrap())
}

fn facts(name: &str) -> Option<Facts> {
    let found = open(name)?;
    let info = found.info.as_ref().unwrap();
    Some(Facts {
        file: name.rsplit('/').next().unwrap().into(),
        previous: info.previous.clone(),
        last: Some(info.last_digest().into()),
        holds: found.holds(),
    })
}

#[test]
fn xroads_chain_of_two_holds() {
    let Some(first) = facts("message-archive-0.zip") else { return };
    let second = facts("message-archive-1.zip").unwrap();
    assert!(first.holds && second.holds);
    assert_eq!(first.previous, None);
    let link = second.previous.clone().unwrap();
    assert_eq!(Some(&link.digest), first.last.as_ref());
    assert_eq!(link.archive, "mlog-20231023121255-20231023121255-9011ab557706b505.zip.gpg");

    // In any order; the first one has another name than it was given.
    let judged = judge(&[second.clone(), first.clone()], &Known::default());
    assert!(judged.holds());
    assert_eq!(judged.chains.len(), 1);
    assert_eq!(judged.chains[0].archives, [1, 0]);
    assert!(matches!(&judged.problems[..], [SetProblem::Renamed { archive: 1, was: Some(_) }]));

    // Alone, the second needs its previous digest from elsewhere, and it must be the right one.
    let alone = [second];
    assert!(matches!(&judge(&alone, &Known::default()).problems[..], [SetProblem::Missing { .. }]));
    let known = |digest: String| Known { before: vec![digest], until: Vec::new() };
    assert!(judge(&alone, &known(link.digest.clone())).holds());
    assert!(!judge(&alone, &known(link.digest.replacen('9', "8", 1))).holds());
}

#[test]
fn xroads_archives_have_xroads_verdicts() {
    let folder = "logarchive/mlog-";
    let Some(good) = open(&format!("{folder}WITH_LINKINGINFO.zip")) else { return };
    assert_eq!(good.problems, []);
    let problems = |name: &str| open(&format!("{folder}{name}.zip")).unwrap().problems;
    assert_eq!(
        problems("EXCESSIVE_FILES_IN_LINKINGINFO"),
        [Problem::Missing("8888888888-request-OUxhMqY0Kx.asice".into())]
    );
    assert_eq!(
        problems("NO_ASIC_CONTAINERS"),
        [Problem::NoContainers, Problem::Missing("1234567890-request-OUxhMqY0Kx.asice".into())]
    );
    assert_eq!(problems("NO_LINKINGINFO"), [Problem::LinkingInfo(ArchiveError::NoLinkingInfo)]);
    assert_eq!(
        problems("WITH_INVALID_LINKINGINFO"),
        [Problem::Changed("1234567890-request-OUxhMqY0Kx.asice".into())]
    );
}
