//! Descriptions and answers, against X-Road's own files and schema, and against strangers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod openapi;
mod wsdl;

use std::path::PathBuf;

fn vectors() -> Option<PathBuf> {
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

/// One of X-Road's files about metadata.
fn vector(name: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(vectors()?.join("metadata").join(name)).unwrap())
}
