//! Global configurations: X-Road's own, ours, and hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod directories;
mod documents;
mod keys;
mod locations;
mod scale;
mod snapshot;

use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A file or folder of the vectors; `None` (and a word about it) when they are not there.
fn vector(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")),
        PathBuf::from,
    );
    if !root.is_dir() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no vectors at {}", root.display());
        eprintln!("SKIPPED: vectors not found at {}", root.display());
        return None;
    }
    Some(root.join(path))
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

/// All files below a folder, with paths relative to it.
fn files_below(root: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push((relative, read(&path)));
            }
        }
    }
    files
}

fn at(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}
