//! Writing one archive (`LogArchiveCache`).

use std::collections::HashSet;
use std::io::Write;

use causeway_asic::archive::ArchiveWriter;
use causeway_asic::container_name;
use causeway_pki::{DigestAlgorithm, Digester};
use time::OffsetDateTime;

use crate::ArchiveError;
use crate::linking::{LINKING_INFO, Link, Linked, LinkingInfo, MAX_CONTAINERS, accepted, step};

/// The most bytes of an archive that can still take a container: a ZIP file without 64-bit extensions holds 4 GiB,
/// and a container, its body of 1 GiB at most, must fit behind.
const MAX_BYTES: u64 = (4 << 30) - (1 << 30) - (64 << 20);

/// What the archive must know of a container.
#[derive(Debug, Clone, Copy)]
pub struct Item<'i> {
    /// The message id, as the message has it.
    pub query_id: &'i str,
    /// A response; else a request.
    pub response: bool,
    /// The number of the record, unique on its server.
    pub record_id: u64,
    /// When the message was logged.
    pub time: OffsetDateTime,
}

/// What became of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The last digest, which the next archive continues.
    pub digest: String,
    /// The times of the earliest and the latest record.
    pub span: (OffsetDateTime, OffsetDateTime),
    /// How many containers are in it.
    pub containers: usize,
    /// The containers' sizes together, in bytes.
    pub container_bytes: u64,
}

/// An archive that is being written. What is kept in memory is a line for each container, of which there are
/// [`MAX_CONTAINERS`] at most; containers stream through.
pub struct LogArchive<W> {
    zip: ArchiveWriter<W>,
    info: LinkingInfo,
    names: HashSet<String>,
    span: Option<(OffsetDateTime, OffsetDateTime)>,
    container_bytes: u64,
}

impl<W> std::fmt::Debug for LogArchive<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogArchive")
            .field("containers", &self.info.containers.len())
            .finish_non_exhaustive()
    }
}

impl<W: Write> LogArchive<W> {
    /// Begins an archive that continues `previous`; a chain begins with none.
    ///
    /// # Errors
    /// [`ArchiveError::DigestNotAccepted`].
    pub fn begin(
        out: W,
        previous: Option<Link>,
        algorithm: DigestAlgorithm,
    ) -> Result<Self, ArchiveError> {
        let info =
            LinkingInfo { previous, algorithm: accepted(algorithm)?, containers: Vec::new() };
        Ok(Self {
            zip: ArchiveWriter::new(out, OffsetDateTime::UNIX_EPOCH),
            info,
            names: HashSet::new(),
            span: None,
            container_bytes: 0,
        })
    }

    /// Adds a container, which `write` writes. Its name is X-Road's ([`container_name`]).
    ///
    /// # Errors
    /// [`ArchiveError::SameName`] and [`ArchiveError::Full`], after which the archive can still be finished;
    /// those of `write` and [`ArchiveError::File`], after which it cannot.
    pub fn add(
        &mut self,
        item: &Item<'_>,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        if self.is_full() {
            return Err(ArchiveError::Full);
        }
        let container = container_name(item.query_id, item.response, item.record_id);
        // As the reader compares names: on some systems letter case makes no difference.
        if !self.names.insert(container.to_lowercase()) {
            return Err(ArchiveError::SameName(container));
        }
        self.zip.set_time(item.time);
        let algorithm = self.info.algorithm;
        let (digest, bytes) = self.zip.pack(&container, |out| {
            let mut digested = Digested { out, digester: Digester::new(algorithm), bytes: 0 };
            write(&mut digested)?;
            Ok::<_, ArchiveError>((digested.digester.finish(), digested.bytes))
        })?;
        self.container_bytes += bytes;
        let digest = step(algorithm, self.info.last_digest(), &digest);
        self.info.containers.push(Linked { digest, container });
        let (first, last) = self.span.unwrap_or((item.time, item.time));
        self.span = Some((first.min(item.time), last.max(item.time)));
        Ok(())
    }

    /// The containers' sizes together, in bytes: what X-Road holds against its bound.
    pub fn container_bytes(&self) -> u64 {
        self.container_bytes
    }

    /// How many containers are in the archive.
    pub fn containers(&self) -> usize {
        self.info.containers.len()
    }

    /// Whether no other container fits, whatever the settings say.
    pub fn is_full(&self) -> bool {
        self.containers() == MAX_CONTAINERS || self.zip.position() > MAX_BYTES
    }

    /// Writes the linking information, as the last entry, and the end of the archive.
    ///
    /// # Errors
    /// [`ArchiveError::Empty`], [`ArchiveError::File`].
    pub fn finish(mut self) -> Result<(W, Finished), ArchiveError> {
        let span = self.span.ok_or(ArchiveError::Empty)?;
        self.zip.set_time(span.1);
        let text = self.info.to_text();
        self.zip
            .pack(LINKING_INFO, |out| out.write_all(text.as_bytes()).map_err(ArchiveError::from))?;
        let finished = Finished {
            digest: self.info.last_digest().to_owned(),
            span,
            containers: self.info.containers.len(),
            container_bytes: self.container_bytes,
        };
        Ok((self.zip.finish("")?, finished))
    }
}

/// Digests and counts what passes.
struct Digested<'o> {
    out: &'o mut dyn Write,
    digester: Digester,
    bytes: u64,
}

impl Write for Digested<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digester.update(bytes.get(..written).unwrap_or(bytes));
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
