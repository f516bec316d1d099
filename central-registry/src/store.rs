//! Where the registry's records lie: rows of bytes under a trait, kept by sled.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a row.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a row.
    Delete(Vec<u8>),
}

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the store open.
    #[error("the store is in use by another process")]
    InUse,
    /// The store could not be read or written.
    #[error("the store: {0}")]
    Failed(String),
}

/// A row: its key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Keeps rows. A commit is one transaction, and durable when it returns.
pub trait Store: Send + Sync {
    /// All rows, in the order of their keys.
    ///
    /// # Errors
    /// When they cannot be read.
    fn rows(&self) -> Result<Vec<Row>, StoreError>;

    /// Makes all changes or none, and flushes them to disk.
    ///
    /// # Errors
    /// When nothing was changed.
    fn commit(&self, changes: &[Change]) -> Result<(), StoreError>;
}

/// A store in a folder, kept by sled.
#[derive(Debug)]
pub struct SledStore {
    db: sled::Db,
}

impl SledStore {
    /// Opens the store of a folder, or makes it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let db = sled::Config::new()
            .path(folder)
            .cache_capacity(16 << 20)
            .mode(sled::Mode::LowSpace)
            .open()
            .map_err(|e| match &e {
                sled::Error::Io(io) if io.to_string().contains("lock") => StoreError::InUse,
                _ => StoreError::Failed(e.to_string()),
            })?;
        Ok(Self { db })
    }
}

impl Store for SledStore {
    fn rows(&self) -> Result<Vec<Row>, StoreError> {
        self.db
            .iter()
            .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(failed))
            .collect()
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for change in changes {
            match change {
                Change::Put(key, value) => batch.insert(key.as_slice(), value.as_slice()),
                Change::Delete(key) => batch.remove(key.as_slice()),
            }
        }
        self.db.apply_batch(batch).map_err(failed)?;
        self.db.flush().map(drop).map_err(failed)
    }
}

fn failed(e: sled::Error) -> StoreError {
    StoreError::Failed(e.to_string())
}

/// A store in memory, for tests and trials.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Store for MemoryStore {
    fn rows(&self) -> Result<Vec<Row>, StoreError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            match change {
                Change::Put(key, value) => rows.insert(key.clone(), value.clone()),
                Change::Delete(key) => rows.remove(key),
            };
        }
        Ok(())
    }
}
