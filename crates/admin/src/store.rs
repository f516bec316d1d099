//! Where users and API keys are kept: rows of bytes, changed in transactions.

mod embedded;
mod memory;

pub use embedded::EmbeddedStore;
pub use memory::MemoryStore;

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a row.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a row; one that is not there is no mistake.
    Delete(Vec<u8>),
}

/// A row: its key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the store open.
    #[error("the store of users and API keys is in use by another process; stop that one first")]
    InUse,
    /// The store could not be read or written.
    #[error("the store of users and API keys: {0}; look at the disk and the folder's permissions")]
    Failed(String),
}

/// Keeps rows. A commit is one transaction, and durable when it returns.
pub trait Store: Send + Sync {
    /// All rows whose key begins with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// When they cannot be read.
    fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, StoreError>;

    /// Makes all changes or none, in their order, and flushes them to disk.
    ///
    /// # Errors
    /// When it is not certain that the changes are on disk.
    fn commit(&self, changes: &[Change]) -> Result<(), StoreError>;
}
