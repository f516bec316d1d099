//! Bodies on their way into the log: small ones in memory, large ones in a
//! file of the log's `spool` folder, so that keeping one is only a rename.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use tempfile::{NamedTempFile, TempPath};

/// A body that was received.
#[derive(Debug)]
pub enum SpooledBody {
    /// In memory.
    Memory(Bytes),
    /// In a file made by [`crate::Log::spool_file`].
    File(SpoolFile),
}

/// A file of the log's `spool` folder. It is removed when it is dropped, unless
/// it was appended with a record.
#[derive(Debug)]
pub struct SpoolFile {
    file: NamedTempFile,
}

impl SpoolFile {
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new().prefix("body-").tempfile_in(folder)?;
        Ok(Self { file })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The open file, for reading back or for asynchronous writing through a clone.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// The bytes written so far.
    ///
    /// # Errors
    /// When the file's length cannot be read.
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.as_file().metadata()?.len())
    }

    /// Makes the bytes durable and gives the path away; the file is closed.
    pub(crate) fn into_durable_path(self) -> io::Result<TempPath> {
        self.file.as_file().sync_all()?;
        Ok(self.file.into_temp_path())
    }
}

impl Write for SpoolFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
