//! A disk in memory that tells what was synced from what was not, and loses
//! any part of the latter in a crash.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::Random;
use crate::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// The disk. Folders are always there; names and contents have to be synced.
#[derive(Clone, Default)]
pub(crate) struct ForgetfulDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Operations until the machine stops.
    fuse: Option<u64>,
    /// Bytes that still fit.
    space: Option<u64>,
    /// How many syncs fail, from the next on.
    bad_syncs: u64,
    /// Whether writes are cut short at random.
    short_writes: Option<Random>,
}

#[derive(Default)]
struct Contents {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

struct OpenFile {
    disk: ForgetfulDisk,
    file: usize,
}

impl ForgetfulDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The machine stops after so many operations.
    pub(crate) fn set_fuse(&self, operations: Option<u64>) {
        self.state().fuse = operations;
    }

    /// So many bytes fit, or any number.
    pub(crate) fn set_space(&self, bytes: Option<u64>) {
        self.state().space = bytes;
    }

    /// The next syncs fail, and pages that they should have written are
    /// forgotten although they stay readable.
    pub(crate) fn fail_syncs(&self, count: u64) {
        self.state().bad_syncs = count;
    }

    pub(crate) fn set_short_writes(&self, random: Option<Random>) {
        self.state().short_writes = random;
    }

    /// Flips a bit of what is durable.
    pub(crate) fn flip(&self, path: &Path, offset: usize) {
        let mut state = self.state();
        let file = state.names[path];
        state.files[file].durable[offset] ^= 4;
        state.files[file].current[offset] ^= 4;
    }

    /// The length of a file, if it is there.
    pub(crate) fn length_of(&self, path: &Path) -> Option<u64> {
        let state = self.state();
        state.names.get(path).map(|file| state.files[*file].current.len() as u64)
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// The machine loses power and comes back: of what was not synced, any part
    /// may be there.
    pub(crate) fn crash(&self, random: &mut Random) {
        let mut state = self.state();
        state.fuse = None;
        state.space = None;
        state.bad_syncs = 0;
        state.short_writes = None;
        let percent = [0, 20, 50, 80, 100][random.below(5) as usize];
        for file in &mut state.files {
            let mut after = std::mem::take(&mut file.durable);
            for change in std::mem::take(&mut file.unsynced) {
                match change {
                    Change::Length(length) if random.chance(percent) => after.resize(length, 0),
                    Change::Length(_) => {}
                    Change::Write(offset, bytes) => {
                        let mut at = offset;
                        let mut rest = bytes.as_slice();
                        while !rest.is_empty() {
                            let take = (SECTOR - at % SECTOR).min(rest.len());
                            if random.chance(percent) {
                                put(&mut after, at, &rest[..take]);
                            }
                            at += take;
                            rest = &rest[take..];
                        }
                    }
                }
            }
            file.current.clone_from(&after);
            file.durable = after;
        }
        let paths: Vec<PathBuf> =
            state.names.keys().chain(state.durable_names.keys()).cloned().collect();
        for path in paths {
            let (now, before) = (state.names.get(&path), state.durable_names.get(&path));
            let file = if random.chance(percent) { now } else { before }.copied();
            match file {
                Some(file) => state.durable_names.insert(path, file),
                None => state.durable_names.remove(&path),
            };
        }
        state.names = state.durable_names.clone();
    }
}

impl State {
    fn operation(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the machine has stopped")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn named(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        self.operation()?;
        let contents = &mut self.files[file];
        if self.bad_syncs > 0 {
            self.bad_syncs -= 1;
            // Some sectors were written all the same, the others never will be.
            for change in std::mem::take(&mut contents.unsynced) {
                match change {
                    Change::Write(offset, bytes) if (offset / SECTOR).is_multiple_of(2) => {
                        put(&mut contents.durable, offset, &bytes);
                    }
                    Change::Write(..) => {}
                    length @ Change::Length(_) => contents.unsynced.push(length),
                }
            }
            return Err(io::Error::other("the device does not answer"));
        }
        for change in std::mem::take(&mut contents.unsynced) {
            match change {
                Change::Write(offset, bytes) => put(&mut contents.durable, offset, &bytes),
                Change::Length(length) => contents.durable.resize(length, 0),
            }
        }
        Ok(())
    }
}

fn put(contents: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if contents.len() < offset + bytes.len() {
        contents.resize(offset + bytes.len(), 0);
    }
    contents[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Disk for ForgetfulDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operation()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.space == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files.push(Contents::default());
        let file = state.files.len() - 1;
        state.names.insert(path.to_owned(), file);
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operation()?;
        let file = state.named(path)?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.operation()?;
        let inside = state.names.keys().filter_map(|path| path.strip_prefix(folder).ok());
        let mut names: Vec<String> = inside
            .filter_map(|path| path.components().next())
            .map(|part| part.as_os_str().to_str().unwrap().to_owned())
            .collect();
        names.dedup();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        let file = match state.names.remove(from) {
            Some(file) => file,
            // Spool files are real ones, and were synced.
            None => {
                let bytes = std::fs::read(from)?;
                std::fs::remove_file(from)?;
                let durable = bytes.clone();
                state.files.push(Contents { current: bytes, durable, unsynced: Vec::new() });
                state.files.len() - 1
            }
        };
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        self.state().operation()
    }

    fn remove_folder(&self, _folder: &Path) -> io::Result<()> {
        self.state().operation()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.durable_names.retain(|path, _| path.parent() != Some(folder));
        let now = state.names.iter().filter(|(path, _)| path.parent() == Some(folder));
        let now: Vec<_> = now.map(|(path, file)| (path.clone(), *file)).collect();
        state.durable_names.extend(now);
        Ok(())
    }
}

impl DiskFile for OpenFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let current = &state.files[self.file].current;
        let there = current.get(offset as usize..).unwrap_or_default();
        let count = there.len().min(bytes.len());
        bytes[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.operation()?;
        let mut count = bytes.len();
        if let Some(random) = &mut state.short_writes {
            count = 1 + random.below(count as u64) as usize;
        }
        if let Some(space) = &mut state.space {
            count = count.min(*space as usize);
            *space -= count as u64;
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let contents = &mut state.files[self.file];
        put(&mut contents.current, offset as usize, &bytes[..count]);
        contents.unsynced.push(Change::Write(offset as usize, bytes[..count].to_vec()));
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.state().sync(self.file)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.state().sync(self.file)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation()?;
        let contents = &mut state.files[self.file];
        contents.current.resize(length as usize, 0);
        contents.unsynced.push(Change::Length(length as usize));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].current.len() as u64)
    }
}
