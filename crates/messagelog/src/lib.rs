//! The message log: every signed message, kept durably, with its timestamp.
//!
//! A server logs each message before it lets the exchange go on (X-Road 7,
//! `pr-mess` and the message log's data model), so an append must be durable
//! when it returns, and cheap. The truth is a row of append-only *segment*
//! files ([`Log`] writes them from one thread, with one `fdatasync` for all
//! the appends that were waiting). Everything else – tables beside the
//! segments, and a small sled database with the work queue of records without
//! a timestamp – is derived from the segments and can be rebuilt from them at
//! any time.
//!
//! Read in this order: [`NewRecord`] and [`MessageRecord`] say what a record
//! is; [`Log`] opens a folder, appends and looks up; [`MessageStore`] is the
//! same as a trait, for a twin in another database; [`timestamping`] turns the
//! queue into what a timestamping authority stamps; [`evidence`] makes a
//! record's container; [`tree`] is the Merkle tree over records, not used by
//! the log yet. Inside, `frame` and
//! `segment` are the file format, `scan` reads it back after a crash,
//! `journal` writes it, `catalog` and `index` answer look-ups, `committer`
//! holds the threads. All but `committer` and [`Log`] are plain synchronous
//! code over the `disk` trait, which the crash tests replace by a disk that
//! forgets.
//!
//! # On disk
//! ```text
//! log.lock                         one process at a time
//! segments/<first id>.segment      frames: messages, timestamps
//! segments/<first id>.table        where each id is, and which message ids occur
//! bodies/<id div 4096>/<id>-<n>    large attachment bodies
//! spool/                           bodies that are being received
//! index/                           sled: queue, coverage, checkpoint
//! ```

mod bodies;
mod catalog;
mod chain;
mod checkpoint;
mod codec;
mod commit;
mod committer;
mod disk;
mod error;
pub mod evidence;
mod frame;
mod index;
mod journal;
mod log;
mod pending;
mod reader;
mod record;
mod recovery;
mod scan;
mod segment;
mod shared;
mod spool;
mod stamp;
mod store;
mod table;
pub mod timestamping;
pub mod tree;
mod waiting;

pub use error::LogError;
pub use log::{Log, LogSettings};
pub use record::{
    Attachment, AttachmentBody, Counters, MAX_ATTACHMENTS, MAX_RECORD_BYTES, MAX_TEXT_BYTES,
    MessageRecord, NewAttachment, NewCover, NewRecord, NewTimestamp, Query, RecordId,
    RecordTimestamp, Sha512, Side, TimestampCover, Untimestamped,
};
pub use recovery::Recovery;
pub use scan::Damage;
pub use spool::{SpoolFile, SpooledBody};
pub use store::{MessageStore, StoreFuture};

#[cfg(test)]
mod testing;
