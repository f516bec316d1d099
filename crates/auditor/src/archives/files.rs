//! Finding archives, and opening them whatever they are packed in.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use causeway_archive::ArchiveError;
use causeway_archive::openpgp::{self, SecretKeys};
use causeway_archive::read::OpenArchive;

use super::{file_name, without_doubles};

/// The deepest folder that is looked into.
const MAX_DEPTH: usize = 16;
/// The most archives of a set.
const MAX_FILES: usize = 1_000_000;
/// The largest archive, decrypted, in bytes: a ZIP file without 64-bit extensions holds no more.
const MAX_BYTES: u64 = u32::MAX as u64;

/// An archive that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Where it is.
    pub path: PathBuf,
}

/// The archives that are meant: files as they are given, and of folders all that are named as archives are
/// (`.zip`, `.zip.gpg`), in order of their names.
///
/// # Errors
/// When a folder cannot be read, or there are more than a million files.
pub fn find(paths: &[PathBuf]) -> io::Result<Vec<FoundFile>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut below = Vec::new();
            look_into(path, 0, &mut below)?;
            below.sort_by_key(|path| file_name(path));
            found.extend(below);
        } else {
            found.push(path.clone());
        }
    }
    Ok(without_doubles(found).into_iter().map(|path| FoundFile { path }).collect())
}

/// The recursion is bounded by [`MAX_DEPTH`]; folders behind symbolic links are not looked into.
fn look_into(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot read {}: {error}", folder.display()))
    };
    for entry in fs::read_dir(folder).map_err(named)? {
        let entry = entry.map_err(named)?;
        let path = entry.path();
        if entry.file_type().map_err(named)?.is_dir() {
            if depth < MAX_DEPTH {
                look_into(&path, depth + 1, found)?;
            }
            continue;
        }
        let name = file_name(&path);
        if name.ends_with(".zip") || name.ends_with(".zip.gpg") {
            if found.len() == MAX_FILES {
                return Err(io::Error::other(format!("there are more than {MAX_FILES} archives")));
            }
            found.push(path);
        }
    }
    Ok(())
}

/// An archive, open.
pub(super) struct Opened {
    pub(super) archive: OpenArchive<BufReader<File>>,
    pub(super) bytes: u64,
    pub(super) encrypted: bool,
}

/// Opens an archive; an encrypted one is decrypted into a file that has no name and goes with this process.
pub(super) fn open(path: &Path, keys: Option<&SecretKeys>) -> Result<Opened, ArchiveError> {
    // A pipe would be waited for.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a file").into());
    }
    let bytes = metadata.len();
    let mut file = File::open(path)?;
    let mut first = Vec::new();
    (&mut file).take(16).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(0))?;
    let encrypted = openpgp::looks_encrypted(&first);
    let plain = if encrypted { decrypted(file, keys)? } else { file };
    let archive = OpenArchive::open(BufReader::new(plain))?;
    Ok(Opened { archive, bytes, encrypted })
}

fn decrypted(file: File, keys: Option<&SecretKeys>) -> Result<File, ArchiveError> {
    let keys = keys.ok_or_else(|| {
        ArchiveError::NoKey("none was given; give the secret key with --key".into())
    })?;
    let mut out = BufWriter::new(tempfile::tempfile()?);
    openpgp::decrypt(BufReader::new(file), &mut out, keys, MAX_BYTES)?;
    out.flush()?;
    let mut plain = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    plain.seek(SeekFrom::Start(0))?;
    Ok(plain)
}
