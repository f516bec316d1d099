//! The folders of large bodies: `spool` while they are received, `bodies` when
//! they belong to a record. A body's name begins with its record's number, so
//! after a crash those of records that never became durable are known by it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempPath;

use crate::disk::Disk;
use crate::error::{AtStep, LogError};
use crate::spool::SpoolFile;

/// Record numbers whose bodies share a folder.
const SHARE: u64 = 4096;

/// The folders of one log.
#[derive(Clone)]
pub(crate) struct Bodies {
    disk: Arc<dyn Disk>,
    bodies: PathBuf,
    spool: PathBuf,
}

/// A durable body that is still in the spool.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) number: u32,
    pub(crate) path: TempPath,
}

impl Bodies {
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: &Path) -> Result<Self, LogError> {
        let bodies = directory.join("bodies");
        let spool = directory.join("spool");
        for folder in [&bodies, &spool] {
            disk.create_folder(folder).at("making the folders of the log")?;
        }
        Ok(Self { disk, bodies, spool })
    }

    pub(crate) fn spool_file(&self) -> Result<SpoolFile, LogError> {
        SpoolFile::create(&self.spool).at("making a spool file")
    }

    pub(crate) fn spool_folder(&self) -> &Path {
        &self.spool
    }

    /// The number of the folder in which a record's bodies are.
    pub(crate) fn share(record: u64) -> u64 {
        record / SHARE
    }

    /// Where a body is.
    pub(crate) fn path(&self, record: u64, number: u32) -> PathBuf {
        self.folder(record / SHARE).join(format!("{record:016x}-{number}"))
    }

    fn folder(&self, share: u64) -> PathBuf {
        self.bodies.join(format!("{share:013x}"))
    }

    /// Gives spooled bodies to a record. [`Self::sync`] makes it durable. On an
    /// error the record has none of them.
    pub(crate) fn keep(&self, record: u64, spooled: Vec<Spooled>) -> Result<(), LogError> {
        let step = "keeping a body";
        let numbers: Vec<u32> = spooled.iter().map(|body| body.number).collect();
        self.disk.create_folder(&self.folder(record / SHARE)).at(step)?;
        for body in spooled {
            if let Err(e) = self.disk.rename(&body.path, &self.path(record, body.number)) {
                for number in numbers {
                    self.remove(record, number);
                }
                return Err(LogError::io(step, e));
            }
            // Its name is free again: it must not be removed when this is dropped.
            let _ = body.path.keep();
        }
        Ok(())
    }

    /// Makes the names of the bodies of records durable, of those that were
    /// kept and of those that were removed.
    pub(crate) fn sync(&self, shares: &BTreeSet<u64>) -> Result<(), LogError> {
        let step = "syncing the bodies";
        for share in shares {
            match self.disk.sync_folder(&self.folder(*share)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => other.at(step)?,
            }
        }
        self.disk.sync_folder(&self.bodies).at(step)
    }

    /// Removes a body of a record that did not become durable.
    pub(crate) fn remove(&self, record: u64, number: u32) {
        let _ = self.disk.remove(&self.path(record, number));
    }

    /// Removes the bodies of records before `first`, which are gone.
    pub(crate) fn remove_before(&self, first: u64) -> Result<(), LogError> {
        let step = "removing bodies of removed records";
        for share in self.disk.list(&self.bodies).at(step)? {
            let Ok(number) = u64::from_str_radix(&share, 16) else { continue };
            if number > first / SHARE {
                continue;
            }
            let folder = self.bodies.join(share);
            for name in self.disk.list(&folder).at(step)? {
                if record_of(&name).is_some_and(|record| record < first) {
                    self.disk.remove(&folder.join(name)).at(step)?;
                }
            }
            if number < first / SHARE {
                // What else somebody put there stays.
                let _ = self.disk.remove_folder(&folder);
            }
        }
        Ok(())
    }

    /// Removes what a crash left: all that is spooled, and bodies of records
    /// from `next` on.
    pub(crate) fn remove_orphans(&self, next: u64) -> Result<(), LogError> {
        let step = "removing orphaned bodies";
        for name in self.disk.list(&self.spool).at(step)? {
            self.disk.remove(&self.spool.join(name)).at(step)?;
        }
        for share in self.disk.list(&self.bodies).at(step)? {
            let number = u64::from_str_radix(&share, 16);
            if number.is_err() || number.is_ok_and(|number| number < next / SHARE) {
                continue;
            }
            let folder = self.bodies.join(share);
            for name in self.disk.list(&folder).at(step)? {
                if record_of(&name).is_some_and(|record| record >= next) {
                    self.disk.remove(&folder.join(name)).at(step)?;
                }
            }
            // Before their numbers are given again: a body that comes back
            // after another crash would belong to another record.
            self.disk.sync_folder(&folder).at(step)?;
        }
        Ok(())
    }
}

/// The record in a body's name.
fn record_of(name: &str) -> Option<u64> {
    let (record, _) = name.split_once('-')?;
    u64::from_str_radix(record, 16).ok()
}
