//! What a server asks of a message log, as a trait: [`crate::Log`] is the one
//! on segment files; a twin in a database would be another.

use std::future::Future;
use std::pin::Pin;

use crate::error::LogError;
use crate::record::{
    Counters, MessageRecord, NewRecord, NewTimestamp, Query, RecordId, Untimestamped,
};
use crate::spool::SpoolFile;

/// A future that a trait object can return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, LogError>> + Send + 'a>>;

/// A durable store of messages and their timestamps.
pub trait MessageStore: Send + Sync {
    /// Keeps a record. When it is `Ok`, the record is durable.
    fn append(&self, record: NewRecord) -> StoreFuture<'_, RecordId>;

    /// Makes a file to receive a large body in, removed unless it is appended.
    ///
    /// # Errors
    /// When the file cannot be made.
    fn spool_file(&self) -> Result<SpoolFile, LogError>;

    /// The matching records, oldest first.
    fn find(&self, query: Query) -> StoreFuture<'_, Vec<RecordId>>;

    /// One record with its timestamp; `None` when there is no such message record.
    fn record(&self, id: RecordId) -> StoreFuture<'_, Option<MessageRecord>>;

    /// The oldest records without a timestamp, at most `limit`, oldest first.
    fn untimestamped(&self, limit: usize) -> StoreFuture<'_, Vec<Untimestamped>>;

    /// Keeps a timestamp and applies it to the records that it covers. Records
    /// that have a timestamp already keep the one they have.
    fn append_timestamp(&self, timestamp: NewTimestamp) -> StoreFuture<'_, RecordId>;

    /// The store in numbers.
    fn counters(&self) -> StoreFuture<'_, Counters>;
}
