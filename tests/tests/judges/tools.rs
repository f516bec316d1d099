//! Programs of others, and X-Road's own data.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether all tools are there. A missing one is told; in continuous integration it is an error.
pub(crate) fn have(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().filter(|tool| !is_there(tool)).collect();
    missing.is_empty()
        || skip(&format!("{missing:?} not installed; Debian: apt install {}", tools.join(" ")))
}

fn is_there(tool: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$1\"", "sh", tool])
        .stdout(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

/// Says that something is passed over. Always false.
pub(crate) fn skip(why: &str) -> bool {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("SKIPPED: {why}");
    false
}

/// X-Road's test vectors.
pub(crate) fn vectors() -> Option<PathBuf> {
    let path = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    );
    (path.is_dir() || skip(&format!("vectors not found at {}", path.display()))).then_some(path)
}
