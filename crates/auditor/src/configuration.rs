//! Reading the global configuration that a judgement rests on: what a security server hands out at
//! `GET /verificationconf`, zipped or unpacked, or the folder of any X-Road configuration client.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use causeway_asic::archive::{Archive, Entry};
use causeway_asic::{AsicError, Limits};
use causeway_globalconf::{GlobalConf, GlobalConfError, file_name};

/// The deepest folder that is looked into: `verificationconf/INSTANCE/` and one above.
const MAX_DEPTH: usize = 4;
/// The most files of a configuration.
const MAX_FILES: usize = 10_000;
/// The largest file of a configuration, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Why there is no global configuration to judge by.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The archive cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        error: AsicError,
    },
    /// There are too many files, or one is too large.
    #[error("{} is too large for a configuration", path.display())]
    TooLarge {
        /// The file or folder.
        path: PathBuf,
    },
    /// The files are not a global configuration.
    #[error(
        "{} is not a global configuration: {error}. It must hold the file 'instance-identifier' and a folder for \
         each instance, as a security server hands out at GET /verificationconf", path.display()
    )]
    NotAConfiguration {
        /// The folder or archive.
        path: PathBuf,
        /// Why.
        error: GlobalConfError,
    },
}

/// Reads a global configuration from a folder or a ZIP archive.
///
/// # Errors
/// See [`ConfigurationError`].
pub fn read(path: &Path) -> Result<GlobalConf, ConfigurationError> {
    let unreadable = |error| ConfigurationError::Unreadable { path: path.to_owned(), error };
    let mut files = Vec::new();
    if fs::metadata(path).map_err(unreadable)?.is_dir() {
        read_folder(path, "", 0, &mut files)?;
    } else {
        read_archive(path, &mut files)?;
    }
    GlobalConf::from_directory_files(files)
        .map_err(|error| ConfigurationError::NotAConfiguration { path: path.to_owned(), error })
}

type Files = Vec<(String, Vec<u8>)>;

/// Whether a file belongs to a configuration, by its name.
fn belongs(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.strip_suffix(file_name::METADATA_SUFFIX).unwrap_or(name);
    [
        file_name::INSTANCE_IDENTIFIER,
        file_name::SHARED_PARAMETERS,
        file_name::PRIVATE_PARAMETERS,
        file_name::FETCH_INTERVAL,
        file_name::NEXT_UPDATE,
    ]
    .contains(&name)
}

/// Reads the files of a folder and those below it; the recursion is bounded by [`MAX_DEPTH`].
fn read_folder(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Files,
) -> Result<(), ConfigurationError> {
    let unreadable =
        |path: &Path, error| ConfigurationError::Unreadable { path: path.to_owned(), error };
    for found in fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        let path = found.map_err(|e| unreadable(folder, e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let metadata = fs::metadata(&path).map_err(|e| unreadable(&path, e))?;
        if metadata.is_dir() {
            if depth < MAX_DEPTH {
                read_folder(&path, &format!("{prefix}{name}/"), depth + 1, files)?;
            }
        } else if belongs(name) {
            if files.len() == MAX_FILES || metadata.len() > MAX_FILE_BYTES {
                return Err(ConfigurationError::TooLarge { path });
            }
            let content = fs::read(&path).map_err(|e| unreadable(&path, e))?;
            files.push((format!("{prefix}{name}"), content));
        }
    }
    Ok(())
}

fn read_archive(path: &Path, files: &mut Files) -> Result<(), ConfigurationError> {
    let file = File::open(path)
        .map_err(|error| ConfigurationError::Unreadable { path: path.to_owned(), error })?;
    let unreadable = |error| ConfigurationError::Archive { path: path.to_owned(), error };
    let mut archive =
        Archive::open(file, &Limits::for_global_configuration()).map_err(unreadable)?;
    let wanted: Vec<Entry> = archive
        .entries()
        .iter()
        .filter(|e| !e.is_directory() && belongs(e.name()))
        .cloned()
        .collect();
    for entry in wanted {
        let content = archive.read(&entry, MAX_FILE_BYTES).map_err(unreadable)?;
        files.push((entry.name().to_owned(), content));
    }
    Ok(())
}
