use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Change, Row, Store, StoreError};

/// A store in memory, for tests and trials. What it holds ends with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Store for MemoryStore {
    fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rows
            .range(prefix.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
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
