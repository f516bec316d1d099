//! The data folder: temporary or kept, what says that an ecosystem in it is complete, and what says that
//! one was begun there.

use std::fs::{self, DirEntry, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use causeway_keys::KeyKind;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::options::Options;
use crate::world::Topology;
use crate::{Ports, SandboxError};

const STATE: &str = "sandbox.json";
const LOG: &str = "sandbox.log";
/// In a folder from before anything else is until all is: whoever finds it may begin again. Locked while
/// somebody is at work.
const BEGUN: &str = "sandbox.begun";
const FORMAT: u32 = 1;

/// Where the ecosystem is kept.
#[derive(Debug)]
pub(crate) enum Folder {
    Temporary(TempDir),
    /// With the lock, while an ecosystem is being made there.
    Kept(PathBuf, Option<File>),
}

/// What is fixed when an ecosystem is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    format: u32,
    pub(crate) port_base: u16,
    key: String,
    servers: usize,
}

impl Folder {
    /// Opens or makes the folder, and reads what it holds.
    pub(crate) fn open(options: &Options) -> Result<(Self, Option<State>), SandboxError> {
        let Some(path) = &options.data else {
            let folder = tempfile::Builder::new()
                .prefix("causeway-sandbox-")
                .tempdir()
                .map_err(SandboxError::io(std::env::temp_dir()))?;
            return Ok((Self::Temporary(folder), None));
        };
        fs::create_dir_all(path).map_err(SandboxError::io(path))?;
        // Absolute, so that the files in it name each other whatever the working folder.
        let path = path.canonicalize().map_err(SandboxError::io(path))?;
        let state = State::read(&path)?;
        let begun = match &state {
            Some(state) => {
                state.fits(&path, options)?;
                None
            }
            None => Some(begin(&path)?),
        };
        Ok((Self::Kept(path, begun), state))
    }

    /// Writes that the ecosystem is complete.
    pub(crate) fn finish(&mut self, state: &State) -> Result<(), SandboxError> {
        state.write(self.path())?;
        if let Self::Kept(_, begun) = self {
            *begun = None;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path, _) => path,
        }
    }

    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }
}

/// Begins in a folder that is empty, or in which another start was broken off: what that one left goes.
fn begin(folder: &Path) -> Result<File, SandboxError> {
    let marker = folder.join(BEGUN);
    // A log file may be there already: it is opened before everything else.
    let ours = [LOG, BEGUN];
    let entries = || -> Result<Vec<DirEntry>, SandboxError> {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        entries.map_err(SandboxError::io(folder))
    };
    let others =
        |entries: &[DirEntry]| entries.iter().any(|e| !ours.iter().any(|o| e.file_name() == *o));
    if !marker.exists() && others(&entries()?) {
        return Err(SandboxError::NotASandbox(folder.to_owned()));
    }
    let lock = File::create(&marker).map_err(SandboxError::io(&marker))?;
    lock.try_lock().map_err(|_| SandboxError::BeingMade(folder.to_owned()))?;
    for entry in entries()? {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        let removed = match &*name {
            BEGUN | LOG => Ok(()),
            "trust" | "registry" => fs::remove_dir_all(&path),
            "registry.pin" | "anchor.xml" => fs::remove_file(&path),
            server if server.strip_prefix("ss").is_some_and(|n| n.parse::<u8>().is_ok()) => {
                fs::remove_dir_all(&path)
            }
            // Somebody has put it there since.
            _ => return Err(SandboxError::NotASandbox(folder.to_owned())),
        };
        removed.map_err(SandboxError::io(&path))?;
    }
    Ok(lock)
}

impl State {
    pub(crate) fn new(port_base: u16, key: KeyKind, topology: Topology) -> Self {
        Self { format: FORMAT, port_base, key: key.to_string(), servers: count(topology) }
    }

    fn read(folder: &Path) -> Result<Option<Self>, SandboxError> {
        let path = folder.join(STATE);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<Self>(&bytes) {
                Ok(state) if state.format == FORMAT => Ok(Some(state)),
                _ => Err(SandboxError::NotASandbox(folder.to_owned())),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SandboxError::io(path)(error)),
        }
    }

    /// Says that everything else in the folder is complete.
    fn write(&self, folder: &Path) -> Result<(), SandboxError> {
        let text = serde_json::to_vec_pretty(self).map_err(SandboxError::part(STATE))?;
        // At once: somebody may end the program at any time.
        let (path, part) = (folder.join(STATE), folder.join(BEGUN));
        fs::write(&part, text).map_err(SandboxError::io(&part))?;
        fs::rename(&part, &path).map_err(SandboxError::io(path))
    }

    fn fits(&self, folder: &Path, options: &Options) -> Result<(), SandboxError> {
        let otherwise = |option, was: &dyn ToString, asked: &dyn ToString| {
            let (was, asked) = (was.to_string(), asked.to_string());
            Err(SandboxError::MadeOtherwise { folder: folder.to_owned(), option, was, asked })
        };
        match options.ports {
            Ports::From(base) if base != self.port_base => {
                otherwise("--port-base", &self.port_base, &base)
            }
            _ if self.key != options.key.to_string() => otherwise("--key", &self.key, &options.key),
            _ if self.servers != count(options.topology) => {
                otherwise("servers", &self.servers, &count(options.topology))
            }
            _ => Ok(()),
        }
    }
}

fn count(topology: Topology) -> usize {
    match topology {
        Topology::Two => 2,
        Topology::Failover => 3,
    }
}

/// The file for the log of the servers, in a data folder.
pub(crate) fn log_file(folder: &Path) -> PathBuf {
    folder.join(LOG)
}

/// Makes a folder, with those above it.
pub(crate) fn make(path: &Path) -> Result<(), SandboxError> {
    fs::create_dir_all(path).map_err(SandboxError::io(path))
}

/// Writes a file that its owner alone may read.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), SandboxError> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(SandboxError::io(path))?;
    file.write_all(bytes).map_err(SandboxError::io(path))
}

/// Reads a small file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, SandboxError> {
    fs::read(path).map_err(SandboxError::io(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_kept_folder_remembers_how_it_was_made() {
        let parent = tempfile::tempdir().unwrap();
        let options = Options { data: Some(parent.path().join("data")), ..Options::default() };
        let (folder, state) = Folder::open(&options).unwrap();
        assert!(state.is_none() && !folder.is_temporary());
        let path = folder.path().to_owned();
        drop(folder);
        fs::write(log_file(&path), "x").unwrap();
        assert!(Folder::open(&options).unwrap().1.is_none());
        let made = State::new(17_000, options.key, options.topology);
        made.write(&path).unwrap();
        assert_eq!(Folder::open(&options).unwrap().1, Some(made));

        let other = Options { key: KeyKind::EcP256, ..options.clone() };
        let error = Folder::open(&other).unwrap_err().to_string();
        assert!(error.contains("--key rsa2048, not p256"), "{error}");
        let other = Options { ports: Ports::From(18_000), ..options.clone() };
        assert!(matches!(Folder::open(&other), Err(SandboxError::MadeOtherwise { .. })));

        let broken = parent.path().join("broken");
        let options = Options { data: Some(broken.clone()), ..options };
        let (begun, _) = Folder::open(&options).unwrap();
        fs::create_dir_all(broken.join("ss1/data")).unwrap();
        fs::create_dir(broken.join("trust")).unwrap();
        fs::write(broken.join("registry.pin"), "x").unwrap();
        assert!(matches!(Folder::open(&options), Err(SandboxError::BeingMade(_))));
        drop(begun);
        let (mut again, state) = Folder::open(&options).unwrap();
        assert!(state.is_none() && !broken.join("ss1").exists() && !broken.join("trust").exists());
        again.finish(&State::new(17_000, options.key, options.topology)).unwrap();
        assert!(!broken.join(BEGUN).exists() && Folder::open(&options).unwrap().1.is_some());
        fs::rename(broken.join(STATE), broken.join(BEGUN)).unwrap();
        fs::write(broken.join("mine"), "x").unwrap();
        assert!(matches!(Folder::open(&options), Err(SandboxError::NotASandbox(_))));

        let stranger = Options { data: Some(parent.path().to_owned()), ..options };
        assert!(matches!(Folder::open(&stranger), Err(SandboxError::NotASandbox(_))));
    }

    #[test]
    fn a_temporary_folder_goes() {
        let (folder, _) = Folder::open(&Options::default()).unwrap();
        let path = folder.path().to_owned();
        assert!(path.is_dir() && folder.is_temporary());
        drop(folder);
        assert!(!path.exists());
    }
}
