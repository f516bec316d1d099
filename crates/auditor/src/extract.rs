//! Taking the signed files out of a container.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use causeway_asic::archive::{Archive, Entry};
use causeway_asic::{AsicError, Limits, entry};

/// Why files could not be taken out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The container cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The container.
        path: PathBuf,
        /// Why.
        error: AsicError,
    },
    /// A file is there already.
    #[error("{} is there already, and nothing is overwritten; choose another folder", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is nothing to take out.
    #[error("{} holds neither a message nor attachments", path.display())]
    Nothing {
        /// The container.
        path: PathBuf,
    },
}

/// Writes message and attachments of a container into a folder, which is made when it is not there.
/// Nothing is overwritten; when a file cannot be read to its end, what was written of it is removed.
/// Nothing is verified either. Gives the files written.
///
/// # Errors
/// See [`ExtractError`].
pub fn extract(
    container: &Path,
    folder: &Path,
    limits: &Limits,
) -> Result<Vec<PathBuf>, ExtractError> {
    let unreadable = |error| ExtractError::Unreadable { path: container.to_owned(), error };
    let unwritable = |path: &Path, error| ExtractError::Unwritable { path: path.to_owned(), error };
    let file = File::open(container).map_err(|e| unreadable(e.into()))?;
    let mut archive = Archive::open(file, limits).map_err(unreadable)?;
    let wanted: Vec<Entry> =
        archive.entries().iter().filter(|e| is_signed_file(e.name())).cloned().collect();
    if wanted.is_empty() {
        return Err(ExtractError::Nothing { path: container.to_owned() });
    }
    fs::create_dir_all(folder).map_err(|e| unwritable(folder, e))?;
    if let Some(there) =
        wanted.iter().map(|e| folder.join(e.name())).find(|path| path.symlink_metadata().is_ok())
    {
        return Err(ExtractError::Exists { path: there });
    }
    let mut written = Vec::new();
    for found in wanted {
        let path = folder.join(found.name());
        let file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| {
                if error.kind() == io::ErrorKind::AlreadyExists {
                    ExtractError::Exists { path: path.clone() }
                } else {
                    unwritable(&path, error)
                }
            })?;
        let mut out = BufWriter::new(file);
        let copied = archive.copy(&found, &mut out).map_err(unreadable);
        let done = copied.and_then(|_| out.flush().map_err(|e| unwritable(&path, e)));
        if let Err(error) = done {
            // The first error is the one to tell; that the rest stays behind as well is seen.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        written.push(path);
    }
    Ok(written)
}

/// Whether a name is that of a message or attachment: plain, or behind a digest as in the time before X-Road 6.
fn is_signed_file(name: &str) -> bool {
    let name = match name.split_once('-') {
        Some((digest, rest))
            if !digest.is_empty() && digest.bytes().all(|b| b.is_ascii_hexdigit()) =>
        {
            rest
        }
        _ => name,
    };
    let number = name.strip_prefix(entry::ATTACHMENT);
    name == entry::MESSAGE
        || number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}
