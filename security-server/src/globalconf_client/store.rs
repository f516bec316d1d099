//! The configuration on disk, so that the last good one survives a restart.
//!
//! The folder has the layout of X-Road's configuration client. It is a link: each
//! save is a folder of its own beside it, and the link is moved to it at once, so
//! that a crash leaves the old configuration or the new one, never a mixture, and
//! a file never without the metadata that says when it expires.
//!
//! ```text
//! globalconf -> globalconf.generations/7
//! globalconf/instance-identifier
//! globalconf/<instance>/shared-params.xml
//! globalconf/<instance>/shared-params.xml.metadata
//! ```

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

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
    folder: PathBuf,
}

impl Store {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// All files of the current generation, with `/` in their paths; nothing when there is none yet.
    pub(super) fn read(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let not_found = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
        match self.read_current() {
            // A save may take a generation away while it is read: then there is a newer one.
            Err(e) if not_found(&e) && self.folder.exists() => self.read_current(),
            Err(e) if not_found(&e) => Ok(Vec::new()),
            other => other,
        }
    }

    /// One file of the current generation; `None` when it cannot be read, whyever.
    pub(super) fn file(&self, path: &str) -> Option<Vec<u8>> {
        read_file(&self.folder.join(path)).ok()
    }

    /// The names of an instance's files in the current generation.
    pub(super) fn names(&self, instance_folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.join(instance_folder));
        let names = entries.into_iter().flatten().flatten().take(MAX_FILES);
        names.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Makes these files, and no others, the current generation. Durable when it returns.
    pub(super) fn replace(&self, files: &Files) -> io::Result<()> {
        let generations = self.beside(".generations")?;
        fs::create_dir_all(&generations)?;
        let (highest, old) = numbered(&generations)?;
        let new = generations.join(highest.saturating_add(1).to_string());
        fs::create_dir(&new)?;
        let written = self.write(&new, files).and_then(|()| self.switch(&generations, &new));
        if let Err(e) = written {
            // What was written half is of no use; that it cannot be removed either is no news.
            drop(fs::remove_dir_all(&new));
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
        // All from one generation, wherever the link leads meanwhile.
        let generation = fs::canonicalize(&self.folder)?;
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

    fn write(&self, generation: &Path, files: &Files) -> io::Result<()> {
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
                Content::Same => {
                    fs::hard_link(fs::canonicalize(self.folder.join(path))?, &target)?;
                }
            }
        }
        folders.iter().rev().try_for_each(|folder| sync(folder))
    }

    fn switch(&self, generations: &Path, new: &Path) -> io::Result<()> {
        let target: PathBuf = generations.file_name().into_iter().chain(new.file_name()).collect();
        let link = self.beside(".new")?;
        match fs::remove_file(&link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        std::os::unix::fs::symlink(target, &link)?;
        if fs::symlink_metadata(&self.folder).is_ok_and(|m| m.is_dir()) {
            // Somebody made the folder by hand, perhaps from another server's.
            fs::rename(&self.folder, generations.join("0"))?;
        }
        fs::rename(&link, &self.folder)?;
        sync(generations)?;
        self.folder.parent().map_or(Ok(()), sync)
    }

    fn beside(&self, suffix: &str) -> io::Result<PathBuf> {
        let mut name = OsString::from(self.folder.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        name.push(suffix);
        Ok(self.folder.with_file_name(name))
    }
}

/// All files of the configuration that [`GlobalConfClient`](super::GlobalConfClient) keeps in this
/// folder, of one moment: paths with `/`, and contents. Nothing when there is none yet. Blocks on
/// the disk.
///
/// # Errors
/// When they cannot be read.
pub fn read_folder(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    Store::new(folder.to_owned()).read()
}

/// The highest number in use, and the numbered folders.
fn numbered(generations: &Path) -> io::Result<(u64, Vec<PathBuf>)> {
    let (mut highest, mut folders) = (0, Vec::new());
    for entry in fs::read_dir(generations)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            highest = highest.max(number);
            folders.push(entry.path());
        }
    }
    Ok((highest, folders))
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
        let conf = folder.path().join("globalconf");
        let store = Store::new(conf.clone());
        assert_eq!(store.read().unwrap(), vec![]);
        store.replace(&files(&[("a", Some("1")), ("X/b", Some("2")), ("Y/c", Some("3"))])).unwrap();
        store.replace(&files(&[("a", Some("4")), ("X/b", None)])).unwrap();
        let mut read = read_folder(&conf).unwrap();
        read.sort();
        assert_eq!(read, vec![("X/b".to_owned(), b"2".to_vec()), ("a".to_owned(), b"4".to_vec())]);
        assert_eq!(store.names("X"), vec!["b".to_owned()]);
        assert_eq!(store.file("X/b"), Some(b"2".to_vec()));
        assert_eq!(store.file("Y/c"), None);
        // The layout is that of the folder itself, and old generations are gone.
        assert_eq!(fs::read(conf.join("X/b")).unwrap(), b"2");
        let generations = folder.path().join("globalconf.generations");
        assert_eq!(fs::read_dir(generations).unwrap().count(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_save_leaves_the_current_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("conf"));
        store.replace(&files(&[("a", Some("1"))])).unwrap();
        assert!(store.replace(&files(&[("a", Some("2")), ("b", None)])).is_err());
        assert_eq!(store.read().unwrap(), vec![("a".to_owned(), b"1".to_vec())]);
        // What a crash left behind does not stop the next save.
        fs::create_dir(folder.path().join("conf.generations/9")).unwrap();
        std::os::unix::fs::symlink("conf.generations/9", folder.path().join("conf.new")).unwrap();
        store.replace(&files(&[("a", Some("3"))])).unwrap();
        assert_eq!(store.file("a"), Some(b"3".to_vec()));
    }

    #[test]
    fn a_folder_made_by_hand_is_read_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("conf");
        fs::create_dir_all(conf.join("X")).unwrap();
        fs::write(conf.join("X/b"), "1").unwrap();
        let store = Store::new(conf);
        assert_eq!(store.read().unwrap(), vec![("X/b".to_owned(), b"1".to_vec())]);
        store.replace(&files(&[("X/b", None), ("a", Some("2"))])).unwrap();
        store.replace(&files(&[("X/b", None), ("a", None)])).unwrap();
        assert_eq!(store.read().unwrap().len(), 2);
        assert_eq!(fs::read_dir(folder.path().join("conf.generations")).unwrap().count(), 1);
    }
}
