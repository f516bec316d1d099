//! What can go wrong in the log, and the code each error has on the wire.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::record::RecordId;

/// Why the log could not do what was asked.
///
/// It is cheap to clone: one failed write answers every append that shared it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A file operation failed; nothing that was asked for is kept.
    #[error("message log: {step} failed: {source}")]
    Io {
        /// What was being done, such as `writing a segment`.
        step: &'static str,
        /// The system's error.
        #[source]
        source: Arc<io::Error>,
    },
    /// The file system is full. The log refuses appends until there is space again.
    #[error("message log: no space left on the device ({step})")]
    NoSpace {
        /// What was being done.
        step: &'static str,
    },
    /// Another process has the log open.
    #[error("message log {path} is in use by another process")]
    Locked {
        /// The log's folder.
        path: PathBuf,
    },
    /// The log was closed.
    #[error("message log is closed")]
    Closed,
    /// A field of a new record is larger than the log takes.
    #[error("message log: {what} is {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The field at fault.
        what: &'static str,
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A field of a new record has a value that the log cannot keep.
    #[error("message log: {0}")]
    Invalid(&'static str),
    /// There is no message record of this id.
    #[error("message log has no message record {0}")]
    UnknownRecord(RecordId),
    /// Stored bytes do not match their checksum or make no sense.
    #[error("message log: {file} is damaged at offset {offset}: {reason}")]
    Damaged {
        /// The file's name within the log.
        file: String,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The folder has segments in another format than this version reads. They
    /// are left as they are.
    #[error(
        "message log: {file} is in format {found}, this version reads format {expected}: keep the \
         folder for the version that wrote it, and give this one an empty folder"
    )]
    Format {
        /// The file's name within the log.
        file: String,
        /// The format's version in the file.
        found: char,
        /// The version that can be read.
        expected: char,
    },
    /// The index cannot be used now; the segments are unharmed.
    #[error("message log index: {0}")]
    Index(String),
    /// A timestamp could not be planned or applied.
    #[error("message log timestamp: {0}")]
    Timestamp(String),
}

impl LogError {
    /// The error code in X-Road 7.8's snake case. Whatever keeps a record from
    /// being logged is `logging_failed`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timestamp(_) => "timestamping_failed",
            _ => "logging_failed",
        }
    }

    pub(crate) fn io(step: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { step },
            _ => Self::Io { step, source: Arc::new(source) },
        }
    }

    pub(crate) fn damaged(file: impl Into<String>, offset: u64, reason: &'static str) -> Self {
        Self::Damaged { file: file.into(), offset, reason }
    }
}

/// Names the step at which a file operation failed.
pub(crate) trait AtStep<T> {
    fn at(self, step: &'static str) -> Result<T, LogError>;
}

impl<T> AtStep<T> for io::Result<T> {
    fn at(self, step: &'static str) -> Result<T, LogError> {
        self.map_err(|e| LogError::io(step, e))
    }
}
