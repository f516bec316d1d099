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

/// A global configuration as it lies on disk.
#[allow(dead_code, reason = "one of the test binaries needs none")]
pub(crate) fn global_conf(dir: &Path) -> causeway_globalconf::GlobalConf {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                files.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    causeway_globalconf::GlobalConf::from_directory_files(files).unwrap()
}
