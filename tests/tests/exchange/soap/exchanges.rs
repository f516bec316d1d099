//! The whole exchanges of X-Road's proxy test suite: same request, same answer of the provider, same outcome.
//!
//! The table is the last one of `INDEX.md` beside X-Road's data; its cases' set-ups are in `cases`. The
//! parties are renamed to members of the sandbox, message ids are put in as X-Road's suite does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::cases::{self, Setup, Stage};

/// A row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) request: String,
    pub(crate) answer: String,
    pub(crate) outcome: String,
}

fn vectors() -> Option<PathBuf> {
    let path = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    );
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no test data at {}", path.display());
    eprintln!("SKIPPED: no test data at {}", path.display());
    None
}

fn table(folder: &Path) -> Vec<Row> {
    let index = std::fs::read_to_string(folder.join("INDEX.md")).unwrap();
    let (_, last) = index.rsplit_once("\n## ").unwrap();
    let rows = last.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case"));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        let mut next = || cells.next().unwrap();
        Row { case: next(), request: next(), answer: next(), outcome: next() }
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exchanges_of_x_road() {
    let Some(folder) = vectors() else { return };
    let rows = table(&folder);
    assert_eq!(rows.len(), 102, "the table of X-Road's cases");
    let mut results: BTreeMap<String, (String, Result<String, &str>)> = BTreeMap::new();
    let mut stage = Stage::start(folder.join("soap/queries")).await;
    // A connection that is kept leads past a fake server: they come first.
    let mut setups: Vec<(Row, Setup)> =
        rows.into_iter().map(|row| (row.clone(), cases::setup(&row))).collect();
    setups.sort_by_key(|(_, setup)| setup.when);
    for (row, setup) in setups {
        let expected = setup.expected.clone().unwrap_or_else(|| row.outcome.clone());
        let result = match setup.not_applicable {
            Some(reason) => Err(reason),
            None => Ok(stage.run(&row, setup).await),
        };
        results.insert(row.case, (expected, result));
    }
    stage.stop().await;
    let mut wrong = 0;
    let mut apply = 0;
    for (case, (expected, result)) in &results {
        match result {
            Err(reason) => println!("{case:36} does not apply: {reason}"),
            Ok(got) if got == expected => println!("{case:36} {got}"),
            Ok(got) => {
                wrong += 1;
                println!("{case:36} DIFFERS: {got}, and {expected} was expected");
            }
        }
        apply += usize::from(result.is_ok());
    }
    println!("{apply} of {} cases apply, {wrong} differ", results.len());
    assert_eq!(wrong, 0, "see the table above");
}
