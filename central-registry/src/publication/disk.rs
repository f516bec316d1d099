//! The published files on disk, laid out as X-Road's central server lays them out, so that any web
//! server can hand them out too: `V6/internalconf`, `V6/<stamp>/shared-params.xml`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use causeway_globalconf::Version;

use super::{Folder, parse_stamp};
use crate::records::ConfigurationKind;

/// The folder of published files.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
}

impl Disk {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn version_folder(&self, version: Version) -> PathBuf {
        self.root.join(format!("V{version}"))
    }

    /// The generations of a version that are there, oldest first. What cannot be read is left out:
    /// everything here can be made again.
    pub(crate) fn folders(&self, version: Version) -> Vec<Folder> {
        let mut folders: Vec<Folder> = self
            .stamps(version)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|stamp| {
                let files = read_files(&self.version_folder(version).join(&stamp)).ok()?;
                Some(Folder { stamp, files })
            })
            .collect();
        folders.sort_by(|a, b| a.stamp.cmp(&b.stamp));
        folders
    }

    fn stamps(&self, version: Version) -> io::Result<Vec<String>> {
        let mut stamps = Vec::new();
        for entry in fs::read_dir(self.version_folder(version))? {
            if let Ok(name) = entry?.file_name().into_string()
                && name.len() == 23
                && parse_stamp(&name).is_some()
            {
                stamps.push(name);
            }
        }
        Ok(stamps)
    }

    /// Writes a generation, unless it is there. It appears whole: under another name first.
    pub(crate) fn write_folder(&self, version: Version, folder: &Folder) -> io::Result<()> {
        let parent = self.version_folder(version);
        let target = parent.join(&folder.stamp);
        if target.is_dir() {
            return Ok(());
        }
        let unfinished = parent.join(format!("{}.new", folder.stamp));
        if unfinished.is_dir() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished)?;
        for (name, content) in &folder.files {
            write_synced(&unfinished.join(name), content)?;
        }
        sync(&unfinished)?;
        fs::rename(&unfinished, &target)?;
        sync(&parent)
    }

    /// Puts a signed directory in the place of the one before, at once.
    pub(crate) fn replace_directory(
        &self,
        version: Version,
        kind: ConfigurationKind,
        content: &[u8],
    ) -> io::Result<()> {
        let parent = self.version_folder(version);
        let unfinished = parent.join(format!("{}.new", kind.path()));
        write_synced(&unfinished, content)?;
        fs::rename(&unfinished, parent.join(kind.path()))?;
        sync(&parent)
    }

    /// Removes generations that are not to be kept, and directories of versions that are no longer
    /// published.
    pub(crate) fn clean(&self, kept: &[(Version, &str)], published: &[Version]) -> io::Result<()> {
        for version in Version::ALL {
            let parent = self.version_folder(version);
            if !parent.is_dir() {
                continue;
            }
            if !published.contains(&version) {
                for kind in ConfigurationKind::ALL {
                    let path = parent.join(kind.path());
                    if path.exists() {
                        fs::remove_file(path)?;
                    }
                }
            }
            for stamp in self.stamps(version)? {
                if !kept.contains(&(version, stamp.as_str())) {
                    fs::remove_dir_all(parent.join(stamp))?;
                }
            }
        }
        Ok(())
    }
}

fn read_files(folder: &Path) -> io::Result<BTreeMap<String, Bytes>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            files.insert(name, fs::read(entry.path())?.into());
        }
    }
    Ok(files)
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
