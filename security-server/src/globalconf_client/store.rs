//! The configuration on disk, so that the last good one survives a restart.
//!
//! Each save is a folder of its own, in the layout of X-Road's configuration
//! client, and the link `current` is moved to it at once: a crash leaves the old
//! configuration or the new one, never a mixture, and a file never without the
//! metadata that says when it expires.
//!
//! ```text
//! current -> generation-7
//! generation-7/instance-identifier
//! generation-7/<instance>/shared-params.xml
//! generation-7/<instance>/shared-params.xml.metadata
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

const CURRENT: &str = "current";
const CURRENT_NEW: &str = "current.new";
const GENERATION: &str = "generation-";
/// The longest file that is read back, in bytes.
const MAX_FILE: u64 = 256 << 20;
/// The most files that are read back.
const MAX_FILES: usize = 10_000;

/// What a file of a new generation holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// These bytes.
    New(Bytes),
    /// What the file of the same path holds now.
    Same,
}

/// The files of a generation by their path: one name, or a folder and a name.
pub(super) type Files = BTreeMap<String, Content>;

/// The folder of the configuration.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// All files of the current generation, with `/` in their paths; nothing when there is none yet.
    pub(super) fn read(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        // A save may take the folder away while it is read: then the new one is there.
        self.read_current().or_else(|e| match e.kind() {
            io::ErrorKind::NotFound => self.read_current(),
            _ => Err(e),
        })
    }

    /// One file of the current generation; `None` when it cannot be read, whyever.
    pub(super) fn file(&self, path: &str) -> Option<Vec<u8>> {
        read_file(&self.root.join(CURRENT).join(path)).ok()
    }

    /// The names of an instance's files in the current generation.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(CURRENT).join(folder));
        let names = entries.into_iter().flatten().flatten().take(MAX_FILES);
        names.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Makes these files, and no others, the current generation. Durable when it returns.
    pub(super) fn replace(&self, files: &Files) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        let (number, old) = self.generations()?;
        let folder = self.root.join(format!("{GENERATION}{}", number.saturating_add(1)));
        fs::create_dir(&folder)?;
        let written = self.write(&folder, files).and_then(|()| self.switch(&folder));
        if let Err(e) = written {
            // What was written half is of no use; that it cannot be removed either is no news.
            drop(fs::remove_dir_all(&folder));
            return Err(e);
        }
        for old in old {
            if let Err(error) = fs::remove_dir_all(&old) {
                tracing::warn!(folder = %old.display(), %error, "an old global configuration could not be removed");
            }
        }
        Ok(())
    }

    fn read_current(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let Ok(target) = fs::read_link(self.root.join(CURRENT)) else { return Ok(Vec::new()) };
        let generation = self.root.join(target);
        let mut files = Vec::new();
        for entry in fs::read_dir(&generation)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !entry.file_type()?.is_dir() {
                files.push((name, read_file(&entry.path())?));
                continue;
            }
            for inner in fs::read_dir(entry.path())? {
                let inner = inner?;
                if let (Ok(file), true) =
                    (inner.file_name().into_string(), inner.file_type()?.is_file())
                {
                    files.push((format!("{name}/{file}"), read_file(&inner.path())?));
                }
                if files.len() > MAX_FILES {
                    return Err(io::Error::other("too many files in the global configuration"));
                }
            }
        }
        Ok(files)
    }

    /// The highest number in use, and the folders that are there.
    fn generations(&self) -> io::Result<(u64, Vec<PathBuf>)> {
        let (mut highest, mut folders) = (0, Vec::new());
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|n| n.strip_prefix(GENERATION)?.parse().ok());
            if let Some(number) = number {
                highest = highest.max(number);
                folders.push(entry.path());
            }
        }
        Ok((highest, folders))
    }

    fn write(&self, generation: &Path, files: &Files) -> io::Result<()> {
        let current = self.root.join(CURRENT);
        let mut folders: Vec<PathBuf> = vec![generation.to_owned()];
        for (path, content) in files {
            let target = generation.join(path);
            if let Some(folder) = target.parent()
                && !folders.iter().any(|known| known == folder)
            {
                fs::create_dir(folder)?;
                folders.push(folder.to_owned());
            }
            match content {
                Content::New(bytes) => {
                    let mut file = File::create_new(&target)?;
                    file.write_all(bytes)?;
                    file.sync_all()?;
                }
                Content::Same => fs::hard_link(fs::canonicalize(current.join(path))?, &target)?,
            }
        }
        folders.iter().rev().try_for_each(|folder| sync(folder))
    }

    fn switch(&self, generation: &Path) -> io::Result<()> {
        let name = generation.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let new = self.root.join(CURRENT_NEW);
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        std::os::unix::fs::symlink(name, &new)?;
        sync(&self.root)?;
        fs::rename(&new, self.root.join(CURRENT))?;
        sync(&self.root)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if read as u64 > MAX_FILE {
        return Err(io::Error::other(format!("{} is too large", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn files(of: &[(&str, Option<&str>)]) -> Files {
        let content = |text: Option<&str>| match text {
            Some(text) => Content::New(Bytes::copy_from_slice(text.as_bytes())),
            None => Content::Same,
        };
        of.iter().map(|(path, text)| ((*path).to_owned(), content(*text))).collect()
    }

    #[test]
    fn a_generation_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("globalconf"));
        assert_eq!(store.read().unwrap(), vec![]);
        store.replace(&files(&[("a", Some("1")), ("X/b", Some("2")), ("Y/c", Some("3"))])).unwrap();
        store.replace(&files(&[("a", Some("4")), ("X/b", None)])).unwrap();
        let mut read = store.read().unwrap();
        read.sort();
        assert_eq!(read, vec![("X/b".to_owned(), b"2".to_vec()), ("a".to_owned(), b"4".to_vec())]);
        assert_eq!(store.names("X"), vec!["b".to_owned()]);
        assert_eq!(store.file("X/b"), Some(b"2".to_vec()));
        assert_eq!(store.file("Y/c"), None);
        // One generation and the link to it.
        assert_eq!(fs::read_dir(folder.path().join("globalconf")).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_save_leaves_the_current_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        store.replace(&files(&[("a", Some("1"))])).unwrap();
        assert!(store.replace(&files(&[("a", Some("2")), ("b", None)])).is_err());
        assert_eq!(store.read().unwrap(), vec![("a".to_owned(), b"1".to_vec())]);
        // What a crash left behind does not stop the next save.
        fs::create_dir(folder.path().join("generation-9")).unwrap();
        std::os::unix::fs::symlink("generation-9", folder.path().join(CURRENT_NEW)).unwrap();
        store.replace(&files(&[("a", Some("3"))])).unwrap();
        assert_eq!(store.file("a"), Some(b"3".to_vec()));
    }
}
