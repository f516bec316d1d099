//! Reading a container (X-Road 7.8 `AsicHelper.read`).

use std::io::{Cursor, Read, Seek, Write};

use bytes::Bytes;
use causeway_pki::{DigestAlgorithm, Digester};

use super::{Attachment, Container, ExtraEntry, entry, is_blank};
use crate::archive::{Archive, Entry};
use crate::{AsicError, Limits, MIME_TYPE};

/// How many times [`Limits::max_kept_bytes`] all attachments together may keep.
const KEPT_TOGETHER: u64 = 8;

impl Container {
    /// Reads a container from memory; see [`Container::read_from`].
    ///
    /// # Errors
    /// As [`Container::read_from`].
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, AsicError> {
        Self::read_from(Cursor::new(bytes), limits)
    }

    /// Reads a container: first the archive's structure, then its documents, then the
    /// attachments, which are digested as they stream by and kept only when small.
    ///
    /// Names count exactly as they are written, letter case too.
    ///
    /// # Errors
    /// As [`Archive::open`]; [`AsicError::MimeTypeNotFound`], [`AsicError::InvalidMimeType`], and
    /// those of [`Container::check`].
    pub fn read_from<R: Read + Seek>(reader: R, limits: &Limits) -> Result<Self, AsicError> {
        let mut archive = Archive::open(reader, limits)?;
        let mut container = read_documents(&mut archive, limits)?;
        container.check()?;
        read_others(&mut archive, limits, &mut container)?;
        Ok(container)
    }

    /// As [`Container::read_from`], without [`Container::check`]: for a judge who says more of an
    /// incomplete container than that it is one. Documents that are missing are empty.
    ///
    /// # Errors
    /// As [`Container::read_from`], without those of [`Container::check`].
    pub fn read_unchecked<R: Read + Seek>(reader: R, limits: &Limits) -> Result<Self, AsicError> {
        let mut archive = Archive::open(reader, limits)?;
        let mut container = read_documents(&mut archive, limits)?;
        read_others(&mut archive, limits, &mut container)?;
        Ok(container)
    }
}

fn read_documents<R: Read + Seek>(
    archive: &mut Archive<R>,
    limits: &Limits,
) -> Result<Container, AsicError> {
    let first = archive.entries().first();
    let media_type_first = first.is_some_and(|first| first.name() == entry::MIME_TYPE);
    let mut documents = Documents { archive, limits };
    let mime_type = documents.get(entry::MIME_TYPE)?.unwrap_or_default();
    check_mime_type(&mime_type)?;
    let present = |document: Option<Bytes>| document.filter(|bytes| !is_blank(bytes));
    Ok(Container {
        sig_hash_chain_result: present(documents.get(entry::SIGNATURE_CHAIN_RESULT)?),
        sig_hash_chain: present(documents.get(entry::SIGNATURE_CHAIN)?),
        ts_hash_chain_result: present(documents.get(entry::TIMESTAMP_CHAIN_RESULT)?),
        ts_hash_chain: present(documents.get(entry::TIMESTAMP_CHAIN)?),
        timestamp: documents.get(entry::TIMESTAMP)?,
        manifest: documents.get(entry::MANIFEST)?,
        asic_manifest: documents.get(entry::ASIC_MANIFEST)?,
        media_type_first,
        ..Container::new(
            documents.get(entry::MESSAGE)?.unwrap_or_default(),
            documents.get(entry::SIGNATURES)?.unwrap_or_default(),
        )
    })
}

/// Reads the attachments, and notes what the format does not know.
fn read_others<R: Read + Seek>(
    archive: &mut Archive<R>,
    limits: &Limits,
    container: &mut Container,
) -> Result<(), AsicError> {
    let others: Vec<Entry> = archive
        .entries()
        .iter()
        .filter(|e| !e.is_directory() && !is_document(e.name()))
        .cloned()
        .collect();
    let mut kept = limits.max_kept_bytes.saturating_mul(KEPT_TOGETHER);
    for found in &others {
        let Some(number) = attachment_number(found.name()) else {
            let name = found.name().to_owned();
            container.extra.push(ExtraEntry { name, size: found.size() });
            continue;
        };
        let keep = found.size() <= limits.max_kept_bytes.min(kept);
        let attachment = read_attachment(archive, found, number, keep)?;
        kept -= attachment.content.as_ref().map_or(0, |bytes| bytes.len() as u64).min(kept);
        container.attachments.push(attachment);
    }
    container.attachments.sort_by_key(|attachment| attachment.number);
    Ok(())
}

struct Documents<'a, R> {
    archive: &'a mut Archive<R>,
    limits: &'a Limits,
}

impl<R: Read + Seek> Documents<'_, R> {
    fn get(&mut self, name: &str) -> Result<Option<Bytes>, AsicError> {
        let Some(found) = self.archive.find(name).cloned() else { return Ok(None) };
        let bytes = self.archive.read(&found, self.limits.max_document_bytes)?;
        Ok(Some(Bytes::from(bytes)))
    }
}

fn check_mime_type(content: &[u8]) -> Result<(), AsicError> {
    let text = String::from_utf8_lossy(content);
    if is_blank(content) {
        Err(AsicError::MimeTypeNotFound)
    } else if !text.eq_ignore_ascii_case(MIME_TYPE) {
        let shown = text.chars().filter(|c| !c.is_control()).take(80).collect();
        Err(AsicError::InvalidMimeType(shown))
    } else {
        Ok(())
    }
}

fn is_document(name: &str) -> bool {
    [
        entry::MIME_TYPE,
        entry::MESSAGE,
        entry::SIGNATURES,
        entry::SIGNATURE_CHAIN_RESULT,
        entry::SIGNATURE_CHAIN,
        entry::TIMESTAMP_CHAIN_RESULT,
        entry::TIMESTAMP_CHAIN,
        entry::MANIFEST,
        entry::ASIC_MANIFEST,
        entry::TIMESTAMP,
    ]
    .contains(&name)
}

/// The number of an attachment; `None` for names that are not made as attachments are.
fn attachment_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(entry::ATTACHMENT)?;
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    (format!("{number}") == digits).then_some(number)
}

/// Digests what passes, and keeps it when asked to.
struct Intake {
    digester: Digester,
    kept: Option<Vec<u8>>,
}

impl Write for Intake {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.digester.update(bytes);
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read_attachment<R: Read + Seek>(
    archive: &mut Archive<R>,
    found: &Entry,
    number: u32,
    keep: bool,
) -> Result<Attachment, AsicError> {
    let mut intake =
        Intake { digester: Digester::new(DigestAlgorithm::Sha512), kept: keep.then(Vec::new) };
    let size = archive.copy(found, &mut intake)?;
    let content = intake.kept.map(Bytes::from);
    Ok(Attachment { number, size, sha512: intake.digester.finish(), content })
}
