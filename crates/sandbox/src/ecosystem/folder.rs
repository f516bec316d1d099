//! The data folder: temporary or kept, and what says that an ecosystem in it is complete.

use std::fs;
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
const FORMAT: u32 = 1;

/// Where the ecosystem is kept.
#[derive(Debug)]
pub(crate) enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
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
        match &state {
            Some(state) => state.fits(&path, options)?,
            None => {
                // A log file may be there already: it is opened before everything else.
                let mut entries = fs::read_dir(&path).map_err(SandboxError::io(&path))?;
                if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != LOG)) {
                    return Err(SandboxError::NotASandbox(path));
                }
            }
        }
        Ok((Self::Kept(path), state))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }

    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }
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
    pub(crate) fn write(&self, folder: &Path) -> Result<(), SandboxError> {
        let text = serde_json::to_vec_pretty(self).map_err(SandboxError::part(STATE))?;
        let path = folder.join(STATE);
        fs::write(&path, text).map_err(SandboxError::io(path))
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
        fs::write(log_file(folder.path()), "x").unwrap();
        assert!(Folder::open(&options).unwrap().1.is_none());
        let made = State::new(17_000, options.key, options.topology);
        made.write(folder.path()).unwrap();
        assert_eq!(Folder::open(&options).unwrap().1, Some(made));

        let other = Options { key: KeyKind::EcP256, ..options.clone() };
        let error = Folder::open(&other).unwrap_err().to_string();
        assert!(error.contains("--key rsa2048, not p256"), "{error}");
        let other = Options { ports: Ports::From(18_000), ..options.clone() };
        assert!(matches!(Folder::open(&other), Err(SandboxError::MadeOtherwise { .. })));

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
