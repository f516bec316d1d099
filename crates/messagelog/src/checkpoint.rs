//! Writes the tables of full segments and the index, and brings the index back
//! when it fails while the log is in use.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crate::catalog::{Catalog, Entry};
use crate::commit::{SharedCatalog, lock};
use crate::error::LogError;
use crate::index::Index;
use crate::journal::Place;
use crate::recovery::{Recovery, fits, replay};
use crate::stamp;

/// The index as threads share it; none while it cannot be used.
pub(crate) type SharedIndex = Arc<RwLock<Option<Index>>>;

/// Keeps tables and index up with the catalog.
pub(crate) struct Checkpointer {
    pub(crate) place: Place,
    pub(crate) catalog: SharedCatalog,
    pub(crate) index: SharedIndex,
    pub(crate) index_folder: PathBuf,
    pub(crate) index_cache: u64,
}

impl Checkpointer {
    /// Writes what has changed.
    pub(crate) fn run(&self) -> Result<(), LogError> {
        self.write_tables()?;
        if self.index.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen()?;
        }
        let Some(changes) = lock(&self.catalog).take_changes() else { return Ok(()) };
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let saved = match index.as_ref() {
            Some(index) => index.save(&changes),
            None => Err(LogError::Index("it is not open".into())),
        };
        drop(index);
        match saved {
            Ok(()) => {
                lock(&self.catalog).saved(&changes);
                Ok(())
            }
            Err(error) => {
                lock(&self.catalog).not_saved(&changes);
                // Sled stays unusable after an error.
                *self.index.write().unwrap_or_else(PoisonError::into_inner) = None;
                Err(error)
            }
        }
    }

    fn write_tables(&self) -> Result<(), LogError> {
        let unwritten: Vec<_> =
            lock(&self.catalog).sealed.values().filter_map(|s| s.table.clone()).collect();
        for table in unwritten {
            table.write(self.place.disk.as_ref(), &self.place.folder, &self.place.log)?;
            if let Some(sealed) = lock(&self.catalog).sealed.get_mut(&table.first) {
                sealed.table = None;
            }
        }
        Ok(())
    }

    /// Opens the index again. Coverage that it has lost is read from the
    /// segments; what waits for a timestamp is in the catalog.
    fn reopen(&self) -> Result<(), LogError> {
        let mut slot = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let index = Index::open(&self.index_folder, &self.place.log, self.index_cache)?;
        let segments: Vec<u64> = {
            let catalog = lock(&self.catalog);
            catalog.sealed.keys().copied().chain([catalog.active.first]).collect()
        };
        let loaded = index.load()?;
        let fitting = loaded.filter(|(checkpoint, _)| fits(&self.place, &segments, checkpoint));
        let (checkpoint, blocks) = match fitting {
            Some((checkpoint, pending)) => (checkpoint, pending.blocks()),
            None => {
                index.clear()?;
                (Catalog::start(), Vec::new())
            }
        };
        let mut groups = Vec::new();
        let mut recovery = Recovery::default();
        replay(&self.place, &segments, &checkpoint, &mut recovery, &mut |written, _, entry| {
            if let Entry::Timestamp { records } = entry {
                let found = stamp::groups(records).into_iter();
                groups.extend(found.map(|(first, last)| ((last, written.sequence), first)));
            }
        })?;
        let mut catalog = lock(&self.catalog);
        catalog.groups.extend(groups);
        let present = catalog.pending.blocks();
        catalog.pending.mark_changed(blocks.into_iter().chain(present));
        *slot = Some(index);
        tracing::info!("the message log's index is open again");
        Ok(())
    }
}
