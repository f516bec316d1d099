use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::digest::{SHA256, digest};
use serde_json::{Map, json};
use time::OffsetDateTime;

use super::event;
use super::line::{self, Entry, GENESIS, Link, MAX_LINE};

const CURRENT: &str = "audit.log";
const NEXT: &str = "audit.log.next";

/// Why an event could not be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// A file or folder could not be used.
    #[error("the audit log '{}': {source}; make room or mend its permissions", path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The last line is not one that this program wrote.
    #[error(
        "the audit log '{}' ends with a line that was changed; keep the file for whoever looks into it, \
         move it out of the folder, and start again: a new chain begins", .0.display()
    )]
    Damaged(PathBuf),
    /// The disk failed before, and it is not known what it holds.
    #[error(
        "the audit log is closed, since its disk failed before; restart when the disk is mended"
    )]
    Closed,
    /// Another process writes to it.
    #[error("the audit log '{}' is in use by another process; stop that one first", .0.display())]
    InUse(PathBuf),
}

/// What was found when a log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The end of the chain, with the event of the recovery itself.
    pub end: Link,
    /// Bytes of an unfinished line that were cut off. What it was about was never answered as done.
    pub torn_bytes: u64,
}

struct Writer {
    file: File,
    /// Bytes in the file, all of them whole lines.
    length: u64,
    /// The number of the file's first line.
    first: u64,
    end: Link,
    closed: bool,
}

/// An audit log in a folder: `audit.log`, and those before it as `audit-FIRST-LAST.log`, named by the
/// numbers of their lines. Nothing is ever removed: archive the older files as the law demands.
pub struct AuditLog {
    folder: PathBuf,
    rotate_at: u64,
    writer: Mutex<Writer>,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AuditLog({})", self.folder.display())
    }
}

impl AuditLog {
    /// Opens the log of a folder, or begins it. A line that a crash left unfinished is cut off, which is
    /// an event itself. A file that has grown to `rotate_at` bytes is closed and another begun, whose
    /// first line carries the chain on.
    ///
    /// # Errors
    /// When the disk refuses, another process has it open, or the last line was changed.
    pub fn open(
        folder: &Path,
        rotate_at: u64,
        now: OffsetDateTime,
    ) -> Result<(Self, Recovery), AuditError> {
        let at = |path: &Path| at(path.to_owned());
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(at(folder))?;
        // Left behind by a crash while files were changed over; nothing in it was answered as done.
        let next = folder.join(NEXT);
        match std::fs::remove_file(&next) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&next)(e)),
            _ => {}
        }
        let path = folder.join(CURRENT);
        let mut file = open_file(&path, false).map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(AuditError::InUse(path)),
            Err(std::fs::TryLockError::Error(e)) => return Err(at(&path)(e)),
        }
        let tail = Tail::of(&mut file).map_err(at(&path))?;
        let (end, first) = match &tail.last {
            Some(last) => {
                let read = line::read(last).filter(|read| read.whole);
                let end = read.ok_or_else(|| AuditError::Damaged(path.clone()))?.link;
                let first = first_number(&mut file).map_err(at(&path))?;
                (end, first.ok_or_else(|| AuditError::Damaged(path.clone()))?)
            }
            None => {
                let end = end_of_older(folder)?;
                (end, end.seq.saturating_add(1))
            }
        };
        let length = tail.length.saturating_sub(tail.torn.len() as u64);
        if !tail.torn.is_empty() {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(at(&path))?;
        }
        file.seek(SeekFrom::Start(length)).map_err(at(&path))?;
        sync_folder(folder).map_err(at(folder))?;
        let writer = Mutex::new(Writer { file, length, first, end, closed: false });
        let log = Self { folder: folder.to_owned(), rotate_at, writer };
        if !tail.torn.is_empty() {
            let sha256 = hex::encode(digest(&SHA256, &tail.torn));
            let data = object(json!({ "tornBytes": tail.torn.len(), "tornSha256": sha256 }));
            log.record(&Entry::of_system(event::LOG_RECOVERED, &data), now)?;
        }
        let recovery = Recovery { end: log.end(), torn_bytes: tail.torn.len() as u64 };
        Ok((log, recovery))
    }

    /// Records an event. It is on disk when this returns.
    ///
    /// # Errors
    /// When it is not certain that it is: what it is about must not be answered as done then.
    pub fn record(&self, entry: &Entry<'_>, now: OffsetDateTime) -> Result<Link, AuditError> {
        let mut writer = self.writer();
        if writer.closed {
            return Err(AuditError::Closed);
        }
        if writer.length >= self.rotate_at && writer.length > 0 {
            self.rotate(&mut writer, now)?;
        }
        let (line, link) = entry.line(writer.end, now);
        self.append(&mut writer, &line)?;
        writer.end = link;
        Ok(link)
    }

    /// Whether events can be recorded; ask before a change that must not go unrecorded.
    ///
    /// # Errors
    /// [`AuditError::Closed`] after the disk has failed.
    pub fn ready(&self) -> Result<(), AuditError> {
        if self.writer().closed { Err(AuditError::Closed) } else { Ok(()) }
    }

    /// The end of the chain; note it elsewhere, and it shows later whether lines are missing at the end.
    pub fn end(&self) -> Link {
        self.writer().end
    }

    /// The files in the order of their lines, the current one last.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = older(folder)?.into_iter().map(|(_, path)| path).collect();
        let current = folder.join(CURRENT);
        if current.exists() {
            files.push(current);
        }
        Ok(files)
    }

    fn append(&self, writer: &mut Writer, line: &str) -> Result<(), AuditError> {
        let path = self.folder.join(CURRENT);
        if let Err(e) = writer.file.write_all(line.as_bytes()) {
            // A full disk leaves part of a line; without it the log can go on when there is room again.
            let length = writer.length;
            let undone = writer
                .file
                .set_len(length)
                .and_then(|()| writer.file.seek(SeekFrom::Start(length)).map(drop));
            writer.closed = undone.is_err();
            return Err(at(path)(e));
        }
        if let Err(e) = writer.file.sync_data() {
            // After a failed sync nobody knows what the disk has.
            writer.closed = true;
            return Err(at(path)(e));
        }
        writer.length = writer.length.saturating_add(line.len() as u64);
        Ok(())
    }

    /// Closes the current file under its numbers, and begins the next with an event of its own.
    fn rotate(&self, writer: &mut Writer, now: OffsetDateTime) -> Result<(), AuditError> {
        let (current, next) = (self.folder.join(CURRENT), self.folder.join(NEXT));
        let name = format!("audit-{:012}-{:012}.log", writer.first, writer.end.seq);
        let (old, failed) = (self.folder.join(&name), at(next.clone()));
        let data = object(json!({ "previousFile": name }));
        let (line, link) = Entry::of_system(event::LOG_CONTINUED, &data).line(writer.end, now);
        let changed_over = || -> io::Result<File> {
            let mut file = open_file(&next, true)?;
            file.lock()?;
            file.write_all(line.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&current, &old)?;
            std::fs::rename(&next, &current)?;
            sync_folder(&self.folder)?;
            Ok(file)
        };
        match changed_over() {
            Ok(file) => {
                let (length, first) = (line.len() as u64, link.seq);
                *writer = Writer { file, length, first, end: link, closed: false };
                Ok(())
            }
            Err(e) => {
                // It may have been half way: the next start looks at what there is.
                writer.closed = !current.exists() || old.exists();
                Err(failed(e))
            }
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a file: its last whole line, and what stands behind it.
struct Tail {
    length: u64,
    last: Option<Vec<u8>>,
    torn: Vec<u8>,
}

impl Tail {
    fn of(file: &mut File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        // The last whole line and an unfinished one behind it fit in twice the longest line.
        let window = (MAX_LINE as u64).saturating_mul(2).min(length);
        file.seek(SeekFrom::Start(length.saturating_sub(window)))?;
        let mut bytes = Vec::new();
        file.take(window).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let torn = bytes.split_off(whole);
        let last = bytes.strip_suffix(b"\n").map(|lines| {
            let begin = lines.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            lines[begin..].to_vec()
        });
        Ok(Self { length, last, torn })
    }
}

/// The number that a file's first line has.
fn first_number(file: &mut File) -> io::Result<Option<u64>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(MAX_LINE as u64).read_to_end(&mut bytes)?;
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    Ok(line::read(line).map(|read| read.link.seq))
}

/// Where the chain ends when the current file is missing or empty.
fn end_of_older(folder: &Path) -> Result<Link, AuditError> {
    let Some((_, path)) = older(folder).map_err(at(folder.to_owned()))?.pop() else {
        return Ok(GENESIS);
    };
    let tail = File::open(&path).and_then(|mut file| Tail::of(&mut file));
    let last = tail.map_err(at(path.clone()))?.last;
    let read = last.and_then(|last| line::read(&last)).filter(|read| read.whole);
    read.map(|read| read.link).ok_or(AuditError::Damaged(path))
}

/// The closed files by the number of their last line.
fn older(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let last = name
            .to_str()
            .and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".log")?.split_once('-'))
            .and_then(|(_, last)| last.parse().ok());
        if let Some(last) = last {
            found.push((last, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn open_file(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(new).mode(0o600).open(path)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all())
}

fn at(path: PathBuf) -> impl FnOnce(io::Error) -> AuditError {
    move |source| AuditError::Disk { path, source }
}

fn object(value: serde_json::Value) -> Map<String, serde_json::Value> {
    match value {
        serde_json::Value::Object(map) => map,
        _ => Map::new(),
    }
}
