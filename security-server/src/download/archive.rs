//! Making the files that are downloaded, and sending them.
//!
//! A file is made as a whole before its first byte is sent: an error still has a status of its
//! own, the length is known, and a slow reader holds no thread. Small files stay in memory,
//! large ones go into a nameless temporary file.

use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::Path;

use bytes::Bytes;
use causeway_messagelog::MessageRecord;
use causeway_messagelog::evidence::{file_name, write_container};
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tempfile::{SpooledData, SpooledTempFile, spooled_tempfile_in};
use tokio_util::io::ReaderStream;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::http::{Body, full};

/// The largest file that is kept in memory, in bytes.
const IN_MEMORY: usize = 1 << 20;
/// How much of a file is read at once, in bytes.
const CHUNK: usize = 64 * 1024;
/// From which content on an entry gets 64-bit sizes; compression may add a little.
const LARGE_ENTRY: u64 = 3 << 30;

/// A file to be sent.
#[derive(Debug)]
pub(super) struct Made {
    length: u64,
    content: SpooledTempFile,
}

impl Made {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn into_body(self) -> Body {
        match self.content.into_inner() {
            SpooledData::InMemory(bytes) => full(Bytes::from(bytes.into_inner())),
            SpooledData::OnDisk(file) => {
                let file = tokio::fs::File::from_std(file);
                StreamBody::new(ReaderStream::with_capacity(file, CHUNK).map_ok(Frame::data))
                    .boxed()
            }
        }
    }
}

/// Where a file is made. It goes to a folder's file system when it is large.
pub(super) fn space(folder: &Path) -> SpooledTempFile {
    spooled_tempfile_in(IN_MEMORY, folder)
}

/// What was written, from its beginning.
pub(super) fn made(mut content: SpooledTempFile) -> io::Result<Made> {
    let length = content.seek(SeekFrom::End(0))?;
    content.rewind()?;
    Ok(Made { length, content })
}

/// One container.
pub(super) fn container(record: &MessageRecord, folder: &Path) -> io::Result<Made> {
    made(write_container(record, space(folder)).map_err(io::Error::other)?)
}

/// A ZIP file of containers, which are compressed already.
pub(super) struct Containers(ZipWriter<SpooledTempFile>);

impl Containers {
    pub(super) fn new(folder: &Path) -> Self {
        Self(ZipWriter::new(space(folder)))
    }

    pub(super) fn add(&mut self, record: &MessageRecord) -> io::Result<()> {
        let bodies = record.attachments.iter().fold(0, |sum: u64, a| sum.saturating_add(a.length));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip_time(record.time))
            .large_file(bodies >= LARGE_ENTRY);
        self.0.start_file(file_name(record), options)?;
        write_container(record, &mut self.0).map_err(io::Error::other)?;
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<Made> {
        made(self.0.finish()?)
    }
}

/// A ZIP file of these files, compressed.
pub(super) fn zipped(files: &[(String, Vec<u8>)], folder: &Path) -> io::Result<Made> {
    let mut zip = ZipWriter::new(space(folder));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, content) in files {
        zip.start_file(name.as_str(), options)?;
        zip.write_all(content)?;
    }
    made(zip.finish()?)
}

/// A time as ZIP has it, without a zone: in UTC.
fn zip_time(time: time::OffsetDateTime) -> zip::DateTime {
    let time = time.to_offset(time::UtcOffset::UTC);
    u16::try_from(time.year())
        .ok()
        .and_then(|year| {
            let (month, day) = (u8::from(time.month()), time.day());
            let (hour, minute, second) = (time.hour(), time.minute(), time.second());
            zip::DateTime::from_date_and_time(year, month, day, hour, minute, second).ok()
        })
        .unwrap_or_default()
}
