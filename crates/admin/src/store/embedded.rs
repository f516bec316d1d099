use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use super::{Change, Row, Store, StoreError};

/// A store in a folder, kept by sled.
#[derive(Debug)]
pub struct EmbeddedStore {
    db: sled::Db,
}

impl EmbeddedStore {
    /// Opens the store of a folder, or makes it; the folder is for its owner alone.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it open, [`StoreError::Failed`] when the disk
    /// refuses.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let refused = |e: std::io::Error| StoreError::Failed(format!("{}: {e}", folder.display()));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused)?;
        let owner_only = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(folder, owner_only).map_err(refused)?;
        let db = sled::Config::new()
            .path(folder)
            .cache_capacity(4 << 20)
            .mode(sled::Mode::LowSpace)
            .open()
            .map_err(|e| match &e {
                sled::Error::Io(io) if io.to_string().contains("lock") => StoreError::InUse,
                _ => StoreError::Failed(e.to_string()),
            })?;
        Ok(Self { db })
    }
}

impl Store for EmbeddedStore {
    fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.db
            .scan_prefix(prefix)
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
