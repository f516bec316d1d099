//! The auditor against X-Road's containers, changed copies of them, and as a program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archives;
mod cli;
mod flips;
mod stricter;
mod vectors;
mod world;

use std::path::PathBuf;

use causeway_asic::{Container, Limits};
use causeway_globalconf::GlobalConf;

/// X-Road's test vectors; `None`, with a word about it, where they are not.
fn folder() -> Option<PathBuf> {
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

fn configuration() -> Option<GlobalConf> {
    Some(auditor::configuration::read(&folder()?.join("globalconf/globalconf_good2_v3")).unwrap())
}

fn container(name: &str) -> Option<Container> {
    let bytes = std::fs::read(folder()?.join("asic").join(name)).unwrap();
    Some(Container::read(&bytes, &Limits::default()).unwrap())
}

/// Configuration and a container, or nothing where there are no vectors.
fn case(name: &str) -> Option<(GlobalConf, Container)> {
    configuration().zip(container(name))
}

/// The code of a report; empty when it is valid.
fn code(report: &auditor::Report) -> &str {
    report.failure.as_ref().map_or("", |failure| &failure.code)
}
