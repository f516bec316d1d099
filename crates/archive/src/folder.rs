//! The edge: archives appear in a folder whole, verified and under their name, or not at all.

use std::fs::File;
use std::io::{BufReader, BufWriter, PipeWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use causeway_identifiers::ClientId;
use causeway_pki::{DigestAlgorithm, Digester};
use tempfile::NamedTempFile;
use time::UtcOffset;

use crate::ArchiveError;
use crate::linking::Link;
use crate::name::{Grouping, archive_name};
use crate::openpgp::{self, Recipients, SecretKeys, SessionKey};
use crate::read::{self, Sink};
use crate::write::{Finished, Item, LogArchive};

/// What files are called while they are written, as X-Road calls them.
const DRAFT_PREFIX: &str = "tmp-mlog-";
const DRAFT_SUFFIX: &str = ".tmp";

/// How archives are encrypted.
#[derive(Debug, Clone, Default)]
pub enum Protection {
    /// Not at all.
    #[default]
    None,
    /// For these recipients, and signed when there is a key for that.
    OpenPgp {
        /// Who can open them.
        recipients: Arc<Recipients>,
        /// The key that signs.
        signer: Option<Arc<SecretKeys>>,
    },
}

/// An archive that is in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The file.
    pub path: PathBuf,
    /// What the next archive of the group continues.
    pub link: Link,
    /// What is in it.
    pub finished: Finished,
}

/// Removes what was begun and never finished, as after a power cut; nobody else may be writing into the folder.
///
/// # Errors
/// [`ArchiveError::File`].
pub fn sweep(folder: &Path) -> Result<usize, ArchiveError> {
    let mut swept = 0;
    for found in std::fs::read_dir(folder)? {
        let path = found?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(DRAFT_PREFIX) && name.ends_with(DRAFT_SUFFIX) {
            std::fs::remove_file(&path)?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// An archive that is being written. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    folder: PathBuf,
    file: NamedTempFile,
    archive: LogArchive<Intake>,
    encrypted: bool,
}

impl Draft {
    /// Begins an archive in a folder. Encryption runs beside, so that no plaintext is ever on disk.
    ///
    /// # Errors
    /// [`ArchiveError::File`], [`ArchiveError::DigestNotAccepted`].
    pub fn begin(
        folder: &Path,
        previous: Option<Link>,
        algorithm: DigestAlgorithm,
        protection: &Protection,
    ) -> Result<Self, ArchiveError> {
        let file = tempfile::Builder::new()
            .prefix(DRAFT_PREFIX)
            .suffix(DRAFT_SUFFIX)
            .tempfile_in(folder)?;
        let out = BufWriter::new(file.reopen()?);
        let (sink, encrypted) = match protection {
            Protection::None => (Out::Plain(out), false),
            Protection::OpenPgp { recipients, signer } => {
                (Out::encrypted(out, recipients.clone(), signer.clone())?, true)
            }
        };
        let intake = Intake { out: sink, digester: Digester::new(DigestAlgorithm::Sha256) };
        let archive = LogArchive::begin(intake, previous, algorithm)?;
        Ok(Self { folder: folder.to_owned(), file, archive, encrypted })
    }

    /// Adds a container; see [`LogArchive::add`].
    ///
    /// # Errors
    /// As [`LogArchive::add`].
    pub fn add(
        &mut self,
        item: &Item<'_>,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        self.archive.add(item, write)
    }

    /// Finishes the archive: its bytes are on disk, read back and found to be what was written; then it
    /// gets its name, under which X-Road's archive of the same content would replace it too.
    ///
    /// # Errors
    /// [`ArchiveError::NotAsWritten`], [`ArchiveError::Empty`], [`ArchiveError::Encrypting`], [`ArchiveError::File`].
    pub fn finish(self, group: Option<&str>, zone: UtcOffset) -> Result<Stored, ArchiveError> {
        let (intake, finished) = self.archive.finish()?;
        let written = intake.digester.finish();
        let session_key = intake.out.finish()?;
        let mut file = self.file.reopen()?;
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        match session_key {
            Some(key) => check_encrypted(file, &key, &written)?,
            None => check_plain(file, &finished)?,
        }
        let (first, last) = finished.span;
        let span = (first.to_offset(zone), last.to_offset(zone));
        let name = archive_name(group, span, &finished.digest, self.encrypted);
        let path = self.folder.join(&name);
        self.file.persist(&path).map_err(|e| e.error)?;
        File::open(&self.folder)?.sync_all()?;
        let link = Link { digest: finished.digest.clone(), archive: name };
        Ok(Stored { path, link, finished })
    }
}

/// The archive, read back, has all containers and ends as it should.
fn check_plain(file: File, finished: &Finished) -> Result<(), ArchiveError> {
    let found = read::inspect(BufReader::new(file))
        .map_err(|e| ArchiveError::NotAsWritten(e.to_string()))?;
    if let Some(problem) = found.problems.first() {
        return Err(ArchiveError::NotAsWritten(problem.to_string()));
    }
    let as_written = found.info.is_some_and(|info| {
        info.last_digest() == finished.digest && info.containers.len() == finished.containers
    });
    if as_written { Ok(()) } else { Err(ArchiveError::NotAsWritten("it ends otherwise".into())) }
}

/// The archive, decrypted, is byte for byte what was encrypted.
fn check_encrypted(file: File, key: &SessionKey, written: &[u8]) -> Result<(), ArchiveError> {
    let mut sink = Sink(Digester::new(DigestAlgorithm::Sha256));
    openpgp::decrypt_with_session_key(BufReader::new(file), &mut sink, key, u64::MAX)
        .map_err(|e| ArchiveError::NotAsWritten(e.to_string()))?;
    if sink.0.finish() == written {
        Ok(())
    } else {
        Err(ArchiveError::NotAsWritten("it decrypts to something else".into()))
    }
}

/// Where an archive's bytes go.
#[derive(Debug)]
struct Intake {
    out: Out,
    digester: Digester,
}

impl Write for Intake {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = match &mut self.out {
            Out::Plain(out) => out.write(bytes),
            Out::Encrypted { pipe, .. } => pipe.write(bytes),
        }?;
        self.digester.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.out {
            Out::Plain(out) => out.flush(),
            Out::Encrypted { pipe, .. } => pipe.flush(),
        }
    }
}

#[derive(Debug)]
enum Out {
    Plain(BufWriter<File>),
    Encrypted { pipe: BufWriter<PipeWriter>, worker: JoinHandle<Result<SessionKey, ArchiveError>> },
}

impl Out {
    fn encrypted(
        mut out: BufWriter<File>,
        recipients: Arc<Recipients>,
        signer: Option<Arc<SecretKeys>>,
    ) -> Result<Self, ArchiveError> {
        let (reader, writer) = std::io::pipe()?;
        let worker = std::thread::Builder::new().name("encrypt".into()).spawn(move || {
            let key = openpgp::encrypt(reader, &mut out, &recipients, signer.as_deref())?;
            out.flush()?;
            Ok(key)
        })?;
        Ok(Self::Encrypted { pipe: BufWriter::with_capacity(64 << 10, writer), worker })
    }

    /// Ends what is written; gives the session key where it was encrypted.
    fn finish(self) -> Result<Option<SessionKey>, ArchiveError> {
        match self {
            Self::Plain(mut out) => {
                out.flush()?;
                Ok(None)
            }
            Self::Encrypted { mut pipe, worker } => {
                // What the worker says is nearer to the cause than that its pipe is broken.
                let flushed = pipe.flush();
                drop(pipe);
                let key = worker
                    .join()
                    .map_err(|_| ArchiveError::Encrypting("the encrypter ended".into()))??;
                flushed?;
                Ok(Some(key))
            }
        }
    }
}

/// How archives are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which records share archives.
    pub grouping: Grouping,
    /// How digests are made (`hash-algo-id`).
    pub algorithm: DigestAlgorithm,
    /// Beyond how many bytes of containers an archive ends (`archive-max-filesize`).
    pub max_bytes: u64,
    /// After how many containers an archive ends (`archive-transaction-batch`).
    pub max_containers: usize,
    /// The zone of the times in file names; X-Road takes the server's own.
    pub zone: UtcOffset,
}

impl Default for Settings {
    /// X-Road's: no grouping, SHA-512, 32 MiB, 10,000 containers; times in UTC.
    fn default() -> Self {
        Self {
            grouping: Grouping::None,
            algorithm: DigestAlgorithm::Sha512,
            max_bytes: 32 << 20,
            max_containers: 10_000,
            zone: UtcOffset::UTC,
        }
    }
}

/// What the archiver asks of its owner.
pub trait Ledger {
    /// The last archive of a group; none when there was no archive yet.
    ///
    /// # Errors
    /// Whatever keeps the owner from knowing.
    fn last(&self, group: Option<&str>) -> Result<Option<Link>, ArchiveError>;

    /// An archive is in its folder: its records may be marked as archived, and the next archive of the group
    /// continues this one. When the process ends before this is kept, the same records give an archive of the
    /// same name again.
    ///
    /// # Errors
    /// Whatever keeps the owner from keeping it.
    fn stored(&mut self, group: Option<&str>, archive: &Stored) -> Result<(), ArchiveError>;

    /// How archives of records of this client's group are encrypted.
    ///
    /// # Errors
    /// Whatever keeps the owner from knowing.
    fn protection(&self, client: &ClientId) -> Result<Protection, ArchiveError>;
}

/// Writes records into archives, one after the other (`LogArchiveWriter`). They come sorted by group.
#[derive(Debug)]
pub struct Archiver<L> {
    folder: PathBuf,
    settings: Settings,
    ledger: L,
    open: Option<(Option<String>, Draft)>,
}

impl<L: Ledger> Archiver<L> {
    /// An archiver for a folder.
    pub fn new(folder: &Path, settings: Settings, ledger: L) -> Self {
        Self { folder: folder.to_owned(), settings, ledger, open: None }
    }

    /// Archives a record of this client. An archive ends when the next record is of another group, and when it has become
    /// larger than it should.
    ///
    /// # Errors
    /// Those of `write`, of the ledger, and of [`Draft`]. The archive that was open is thrown away then, and
    /// none of its records is archived.
    pub fn add(
        &mut self,
        client: &ClientId,
        item: &Item<'_>,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let group = self.settings.grouping.group_of(client);
        if self.open.as_ref().is_some_and(|(open, _)| *open != group) {
            self.end()?;
        }
        let (group, mut draft) = match self.open.take() {
            Some(open) => open,
            None => {
                let previous = self.ledger.last(group.as_deref())?;
                let protection = self.ledger.protection(client)?;
                let algorithm = self.settings.algorithm;
                (group, Draft::begin(&self.folder, previous, algorithm, &protection)?)
            }
        };
        draft.add(item, write)?;
        let ends = draft.archive.container_bytes() > self.settings.max_bytes
            || draft.archive.containers() >= self.settings.max_containers
            || draft.archive.is_full();
        self.open = Some((group, draft));
        if ends { self.end() } else { Ok(()) }
    }

    /// Ends the archive that is open, and gives the ledger back.
    ///
    /// # Errors
    /// As [`Archiver::add`].
    pub fn finish(mut self) -> Result<L, ArchiveError> {
        self.end()?;
        Ok(self.ledger)
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let Some((group, draft)) = self.open.take() else { return Ok(()) };
        let stored = draft.finish(group.as_deref(), self.settings.zone)?;
        self.ledger.stored(group.as_deref(), &stored)
    }
}
