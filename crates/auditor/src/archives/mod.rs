//! Judging sets of archives of the message log ([`causeway_archive`]): each container, each archive's linking
//! information, and what is missing among the archives.
//!
//! One thread reads, as many as there are cores judge, and the findings come out in the order in which containers
//! lie in archives, and archives were given. What is in memory does not grow with the number of containers: findings
//! are counted, and told of up to a bound.

mod collect;
mod files;
mod html;
mod pool;
mod report;
mod text;
mod words;

use std::path::PathBuf;

use causeway_archive::openpgp::SecretKeys;
use causeway_archive::set::Known;
use causeway_asic::Limits;

use crate::Judging;

pub use files::{FoundFile, find};
pub use html::page;
pub use report::{
    ArchiveReport, ChainReport, ContainerFinding, Finding, SetReport, SetVerdict, Totals, Volume,
};
pub use text::{render, render_archive, render_finding};
pub use words::Language;

/// How archives are judged.
#[derive(Debug)]
pub struct Options {
    /// Digests that are known from elsewhere.
    pub known: Known,
    /// How much a container may ask.
    pub limits: Limits,
    /// Whether a container counts as not valid when something that was signed is not in it.
    pub complete: bool,
    /// The keys that open encrypted archives.
    pub keys: Option<SecretKeys>,
    /// How many threads judge; at least one.
    pub workers: usize,
}

/// How far the work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Archives that are done.
    pub archives: usize,
    /// All archives.
    pub of_archives: usize,
    /// Containers that were judged.
    pub containers: u64,
}

/// What happens on the way, in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// A container was judged: it is the archive's, and is not what it should be.
    Container(&'e ContainerFinding),
    /// An archive is done.
    Archive(&'e ArchiveReport),
    /// Some more was done.
    Progress(Progress),
}

/// Judges archives. `told` hears of findings as they are made.
pub fn audit(
    files: &[FoundFile],
    judging: &Judging<'_>,
    options: &Options,
    told: &mut dyn FnMut(Event<'_>),
) -> SetReport {
    let mut collector = collect::Collector::new(judging, options, files);
    pool::run(files, judging, options, &mut |step| collector.take(step, told));
    collector.finish()
}

/// The file name of a path, for people and for linking information.
pub(crate) fn file_name(path: &std::path::Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Paths that are given twice count once.
pub(crate) fn without_doubles(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = std::collections::HashSet::new();
    paths
        .into_iter()
        .filter(|path| seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone())))
        .collect()
}
