//! Where X-Road's own data lies: `CAUSEWAY_VECTORS`, or `shared/vectors` beside the repository.

use std::path::{Path, PathBuf};

/// A folder of the vectors; `None`, said aloud, when they are not there. In CI that is a failure.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    let dir = root.join(name);
    if dir.is_dir() {
        return Some(dir);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "vectors not found at {}", dir.display());
    eprintln!("SKIPPED: vectors not found at {}", dir.display());
    None
}
