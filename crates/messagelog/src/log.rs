//! The log as others use it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, oneshot};

use crate::bodies::{Bodies, Spooled};
use crate::catalog::Entry;
use crate::checkpoint::Checkpointer;
use crate::codec::{Digest, encode_message};
use crate::commit::{Committer, Request, timestamp_frame};
use crate::committer::{Command, Threads};
use crate::disk::{Disk, RealDisk};
use crate::error::{AtStep, LogError};
use crate::index::Index;
use crate::journal::{Payload, Place};
use crate::reader::Reader;
use crate::record::{
    Counters, MAX_RECORD_BYTES, MessageRecord, NewCover, NewRecord, NewTimestamp, Query, RecordId,
    Untimestamped,
};
use crate::recovery::{Recovery, log_id, recover};
use crate::shared::SharedDocuments;
use crate::spool::{SpoolFile, SpooledBody};
use crate::store::{MessageStore, StoreFuture};

/// Where a log is and how it uses memory and disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The log's folder. It is made when it is missing.
    pub directory: PathBuf,
    /// The size of a segment file in bytes, 64 MiB unless set.
    pub segment_bytes: u64,
    /// Bodies up to this many bytes go into the record, 256 KiB unless set;
    /// larger ones into a file.
    pub inline_bytes: usize,
    /// How many appends may wait before callers do, 256 unless set.
    pub queue: usize,
    /// The cache of the index in bytes, 8 MiB unless set.
    pub index_cache_bytes: u64,
}

impl LogSettings {
    /// The usual settings for a folder.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: 64 * 1024 * 1024,
            inline_bytes: 256 * 1024,
            queue: 256,
            index_cache_bytes: 8 * 1024 * 1024,
        }
    }
}

/// An open message log. Clones are the same log; it is closed when the last is
/// dropped, or by [`Log::close`].
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    commands: Option<mpsc::Sender<Command>>,
    running: Mutex<Option<(Threads, File)>>,
    reader: Reader,
    failing: Arc<AtomicBool>,
    removing: Mutex<()>,
    inline_bytes: usize,
    documents: SharedDocuments,
    recovery: Recovery,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.commands = None;
        self.join();
    }
}

impl Inner {
    fn join(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((threads, lock)) = running {
            threads.join();
            // The database has a lock of its own.
            *self.reader.index.write().unwrap_or_else(PoisonError::into_inner) = None;
            drop(lock);
        }
    }
}

impl Log {
    /// Opens the log of a folder, or makes one. It reads what is behind the
    /// last checkpoint, and blocks meanwhile: well under a second unless the
    /// index is lost.
    ///
    /// # Errors
    /// [`LogError::Locked`] when another process has it open; when the folder
    /// cannot be used; when the last segment is not this log's.
    pub fn open(settings: LogSettings) -> Result<Self, LogError> {
        Self::open_on(settings, Arc::new(RealDisk))
    }

    pub(crate) fn open_on(settings: LogSettings, disk: Arc<dyn Disk>) -> Result<Self, LogError> {
        let directory = &settings.directory;
        let folder = directory.join("segments");
        disk.create_folder(&folder).at("making the folders of the log")?;
        let lock = lock_folder(directory)?;
        let bodies = Bodies::new(Arc::clone(&disk), directory)?;
        disk.sync_folder(directory).at("syncing the log's folder")?;
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // It may not be ours to open.
            let _ = disk.sync_folder(parent);
        }
        let log = match log_id(disk.as_ref(), &folder)? {
            Some(log) => log,
            None => random_id()?,
        };
        let index_folder = directory.join("index");
        let index = Index::open(&index_folder, &log, settings.index_cache_bytes)?;
        let segment_bytes = settings.segment_bytes.max(4096);
        let place = Place { disk, folder, log, segment_bytes };
        let recovered = recover(&place, &index)?;
        bodies.remove_orphans(recovered.journal.next())?;
        bodies.remove_before(recovered.catalog.first())?;
        for damage in &recovered.recovery.damages {
            tracing::error!(?damage, "the message log is damaged");
        }
        let catalog = Arc::new(Mutex::new(recovered.catalog));
        let index = Arc::new(RwLock::new(Some(index)));
        let failing = Arc::new(AtomicBool::new(false));
        let committer = Committer::new(
            recovered.journal,
            Arc::clone(&catalog),
            bodies.clone(),
            Arc::clone(&failing),
        );
        let checkpointer = Checkpointer {
            place: place.clone(),
            catalog: Arc::clone(&catalog),
            index: Arc::clone(&index),
            index_folder,
            index_cache: settings.index_cache_bytes,
        };
        let (commands, receiver) = mpsc::channel(settings.queue.max(1));
        let threads = Threads::start(committer, checkpointer, receiver)?;
        Ok(Self {
            inner: Arc::new(Inner {
                commands: Some(commands),
                running: Mutex::new(Some((threads, lock))),
                reader: Reader { place, catalog, index, bodies, stamped: Mutex::default() },
                failing,
                removing: Mutex::new(()),
                inline_bytes: settings.inline_bytes.min(MAX_RECORD_BYTES / 2),
                documents: SharedDocuments::default(),
                recovery: recovered.recovery,
            }),
        })
    }

    /// What opening found.
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// Keeps a record. When it is `Ok`, the record and its bodies are durable.
    /// The wait is for one sync that all appends of the moment share.
    ///
    /// # Errors
    /// When it could not be made durable; it is then not in the log. Every such
    /// error has the code `logging_failed`.
    pub async fn append(&self, record: NewRecord) -> Result<RecordId, LogError> {
        let request = if self.inner.touches_files(&record) {
            let inner = Arc::clone(&self.inner);
            blocking(move || inner.prepare(record)).await?
        } else {
            self.inner.prepare(record)?
        };
        let (payload, entry, bodies) = request;
        self.commit(payload, entry, bodies).await
    }

    /// Makes a file to receive a large body in. It is removed when it is
    /// dropped, unless it is appended. Its folder is [`Log::spool_folder`].
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn spool_file(&self) -> Result<SpoolFile, LogError> {
        self.inner.reader.bodies.spool_file()
    }

    /// The folder of bodies that are being received, emptied when the log is opened.
    pub fn spool_folder(&self) -> &Path {
        self.inner.reader.bodies.spool_folder()
    }

    /// The matching records, oldest first. Blocks on file reads.
    ///
    /// # Errors
    /// When files cannot be read or are damaged.
    pub fn find(&self, query: &Query) -> Result<Vec<RecordId>, LogError> {
        self.inner.reader.find(query)
    }

    /// One record with its timestamp; `None` when there is no such message
    /// record. Blocks on file reads.
    ///
    /// # Errors
    /// When files cannot be read or are damaged.
    pub fn record(&self, id: RecordId) -> Result<Option<MessageRecord>, LogError> {
        self.inner.reader.record(id)
    }

    /// The oldest records without a timestamp, at most `limit`, oldest first.
    /// Blocks on file reads.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn untimestamped(&self, limit: usize) -> Result<Vec<Untimestamped>, LogError> {
        self.inner.reader.untimestamped(limit)
    }

    /// Keeps a timestamp and applies it to the records that it covers. Records
    /// that have a timestamp already keep the one they have. `Ok` is the
    /// timestamp's own number.
    ///
    /// # Errors
    /// [`LogError::UnknownRecord`] when it covers something that is no message
    /// record; otherwise as [`Log::append`]. After an error all of the records
    /// still wait for a timestamp.
    pub async fn append_timestamp(&self, timestamp: NewTimestamp) -> Result<RecordId, LogError> {
        let inner = Arc::clone(&self.inner);
        let (payload, entry) = blocking(move || inner.prepare_timestamp(timestamp)).await?;
        self.commit(payload, entry, Vec::new()).await
    }

    /// Message records from a number on, in order, at most `limit`: to walk
    /// through the log. Blocks on file reads.
    ///
    /// # Errors
    /// When files cannot be read or are damaged.
    pub fn records_from(&self, from: RecordId, limit: usize) -> Result<Vec<RecordId>, LogError> {
        self.inner.reader.records_from(from, limit)
    }

    /// Removes old records for good, once they are archived: the oldest
    /// segments that hold only records before `before`, all with a timestamp.
    /// How many segments went; records after the last such segment stay.
    /// Blocks on file operations.
    ///
    /// # Errors
    /// When a file cannot be removed. What was removed stays so.
    pub fn remove_before(&self, before: RecordId) -> Result<usize, LogError> {
        let _one_at_a_time = self.inner.removing.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.reader.remove_before(before)
    }

    /// The log in numbers.
    ///
    /// # Errors
    /// When the oldest waiting record cannot be read.
    pub fn counters(&self) -> Result<Counters, LogError> {
        self.inner.reader.counters(self.inner.failing.load(Ordering::Relaxed))
    }

    /// Finishes what is waiting, saves the index and gives the folder free.
    /// From then on appends fail, and look-ups of records with a timestamp too.
    pub async fn close(&self) {
        if let Some(commands) = &self.inner.commands {
            let _ = commands.send(Command::Close).await;
        }
        let inner = Arc::clone(&self.inner);
        let _ = blocking(move || {
            inner.join();
            Ok(())
        })
        .await;
    }

    async fn commit(
        &self,
        payload: Payload,
        entry: Entry,
        bodies: Vec<Spooled>,
    ) -> Result<RecordId, LogError> {
        let (reply, answer) = oneshot::channel();
        let commands = self.inner.commands.as_ref().ok_or(LogError::Closed)?;
        let command = Command::Commit(Request { payload, entry, bodies, reply });
        commands.send(command).await.map_err(|_| LogError::Closed)?;
        answer.await.map_err(|_| LogError::Closed)?
    }
}

impl Inner {
    fn is_large(&self, body: &Bytes) -> bool {
        body.len() > self.inline_bytes
    }

    fn touches_files(&self, record: &NewRecord) -> bool {
        record.attachments.iter().any(|attachment| match &attachment.body {
            Some(SpooledBody::File(_)) => true,
            Some(SpooledBody::Memory(bytes)) => self.is_large(bytes),
            None => false,
        })
    }

    /// Encodes a record and makes its large bodies durable in the spool.
    fn prepare(&self, mut record: NewRecord) -> Result<(Payload, Entry, Vec<Spooled>), LogError> {
        for attachment in &mut record.attachments {
            if let Some(SpooledBody::Memory(bytes)) = &attachment.body
                && self.is_large(bytes)
            {
                let mut file = self.reader.bodies.spool_file()?;
                file.write_all(bytes).at("spooling a body")?;
                attachment.body = Some(SpooledBody::File(file));
            }
        }
        let shared = self.documents.of(&record.signature, record.hash_chain_result.as_ref());
        let payload = encode_message(&record, &self.reader.place.log, &shared)?;
        let digest = Digest::decode(&payload).ok_or(LogError::Invalid("the record"))?;
        let mut spooled = Vec::new();
        for attachment in record.attachments {
            let Some(SpooledBody::File(file)) = attachment.body else { continue };
            let step = "syncing a body";
            if file.length().at(step)? != attachment.length {
                return Err(LogError::Invalid("an attachment's length is not that of its body"));
            }
            let path = file.into_durable_path().at(step)?;
            spooled.push(Spooled { number: attachment.number, path });
        }
        Ok((Payload::message(payload, shared), Entry::Message(digest), spooled))
    }

    fn prepare_timestamp(&self, timestamp: NewTimestamp) -> Result<(Payload, Entry), LogError> {
        let covered: Vec<RecordId> = match &timestamp.cover {
            NewCover::Batch { leaves, .. } => leaves.iter().map(|(id, _)| *id).collect(),
            NewCover::Single { record, .. } => vec![*record],
        };
        if let Some(id) = self.reader.first_unknown(covered)? {
            return Err(LogError::UnknownRecord(id));
        }
        timestamp_frame(timestamp)
    }
}

/// Runs something that blocks away from the runtime's threads.
async fn blocking<T: Send + 'static>(
    action: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(action).await.map_err(|_| LogError::Closed)?
}

impl MessageStore for Log {
    fn append(&self, record: NewRecord) -> StoreFuture<'_, RecordId> {
        Box::pin(Log::append(self, record))
    }

    fn spool_file(&self) -> Result<SpoolFile, LogError> {
        Log::spool_file(self)
    }

    fn find(&self, query: Query) -> StoreFuture<'_, Vec<RecordId>> {
        let log = self.clone();
        Box::pin(blocking(move || log.find(&query)))
    }

    fn record(&self, id: RecordId) -> StoreFuture<'_, Option<MessageRecord>> {
        let log = self.clone();
        Box::pin(blocking(move || log.record(id)))
    }

    fn untimestamped(&self, limit: usize) -> StoreFuture<'_, Vec<Untimestamped>> {
        let log = self.clone();
        Box::pin(blocking(move || log.untimestamped(limit)))
    }

    fn append_timestamp(&self, timestamp: NewTimestamp) -> StoreFuture<'_, RecordId> {
        Box::pin(Log::append_timestamp(self, timestamp))
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        let log = self.clone();
        Box::pin(blocking(move || log.counters()))
    }
}

fn lock_folder(directory: &Path) -> Result<File, LogError> {
    let step = "locking the log";
    let path = directory.join("log.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).at(step)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked { path: directory.to_path_buf() }),
        Err(TryLockError::Error(e)) => Err(LogError::io(step, e)),
    }
}

fn random_id() -> Result<[u8; 16], LogError> {
    let mut id = [0; 16];
    SystemRandom::new()
        .fill(&mut id)
        .map_err(|_| LogError::io("making the log's id", std::io::Error::other("no randomness")))?;
    Ok(id)
}
