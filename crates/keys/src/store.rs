//! Files that are replaced whole or not at all, and that only their owner can read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::KeysError;

/// Replaces the file's content: after a crash at any point the file is the old or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), KeysError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    // What a crash left behind is worthless.
    if let Err(error) = std::fs::remove_file(&temporary)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(KeysError::io("remove", &temporary, error));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private_file(&mut options);
    options
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .map_err(|e| KeysError::io("write", &temporary, e))?;
    std::fs::rename(&temporary, path).map_err(|e| KeysError::io("replace", path, e))?;
    sync_folder(path)
}

/// Reads a file of at most `limit` bytes; refuses one that everyone may read or write.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, KeysError> {
    let file = File::open(path).map_err(|e| KeysError::io("open", path, e))?;
    if is_exposed(&file).map_err(|e| KeysError::io("inspect", path, e))? {
        return Err(KeysError::Exposed(path.to_owned()));
    }
    let mut content = Vec::new();
    file.take((limit as u64).saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|e| KeysError::io("read", path, e))?;
    if content.len() > limit {
        return Err(KeysError::damaged(path, format!("longer than {limit} bytes")));
    }
    Ok(content)
}

/// Makes a folder, with those above it, that only its owner can enter.
pub(crate) fn create_folder(path: &Path) -> Result<(), KeysError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|e| KeysError::io("create", path, e))
}

/// A rename is durable once its folder is.
fn sync_folder(path: &Path) -> Result<(), KeysError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    #[cfg(unix)]
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| KeysError::io("sync", folder, e))?;
    Ok(())
}

#[cfg(unix)]
fn private_file(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn private_file(_: &mut OpenOptions) {}

/// The group is let pass: container platforms give a volume's group access to every file in it.
#[cfg(unix)]
fn is_exposed(file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &File) -> std::io::Result<bool> {
    Ok(false)
}
