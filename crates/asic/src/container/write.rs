//! Writing a container (X-Road 7.8 `AsicHelper.write`).

use std::fmt;
use std::io::{Read, Write};

use bytes::Bytes;
use time::OffsetDateTime;

use super::{Container, entry};
use crate::archive::ArchiveWriter;
use crate::{AsicError, MIME_TYPE, manifest};

/// Where the bytes of an attachment come from when it is written.
pub struct Source<'s> {
    length: u64,
    reader: Box<dyn Read + Send + 's>,
}

impl<'s> Source<'s> {
    /// A reader that gives exactly `length` bytes.
    pub fn new(length: u64, reader: impl Read + Send + 's) -> Self {
        Self { length, reader: Box::new(reader) }
    }

    /// How many bytes will come.
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl From<Bytes> for Source<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes.len() as u64, std::io::Cursor::new(bytes))
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Container {
    /// Writes the container to memory, with its attachments.
    ///
    /// # Errors
    /// [`AsicError::ContentNotKept`] when an attachment has a digest alone, else as [`Container::write_to`].
    pub fn write(&self, created: OffsetDateTime) -> Result<Vec<u8>, AsicError> {
        let mut sources = Vec::with_capacity(self.attachments.len());
        for attachment in &self.attachments {
            let content = attachment
                .content
                .clone()
                .ok_or_else(|| AsicError::ContentNotKept(attachment.name()))?;
            sources.push((attachment.number, Source::from(content)));
        }
        self.write_numbered(Vec::new(), created, sources)
    }

    /// Writes the container to `out`, with the attachments that `sources` give, numbered from 1
    /// in their order, in place of its own. They stream: memory stays bounded whatever their
    /// size. The modification time of all entries is `created`, by which the bytes are determined.
    ///
    /// Entries come in X-Road's order; `mimetype` is stored, so that readers of other makes
    /// recognize the format. The manifests are made here.
    ///
    /// # Errors
    /// Those of [`Container::check`]; [`AsicError::WrongLength`], [`AsicError::TooLarge`], [`AsicError::Io`].
    pub fn write_to<W: Write>(
        &self,
        out: W,
        created: OffsetDateTime,
        sources: Vec<Source<'_>>,
    ) -> Result<W, AsicError> {
        self.write_numbered(out, created, (1..).zip(sources).collect())
    }

    fn write_numbered<W: Write>(
        &self,
        out: W,
        created: OffsetDateTime,
        sources: Vec<(u32, Source<'_>)>,
    ) -> Result<W, AsicError> {
        self.check()?;
        let name = |number: u32| format!("{}{number}", entry::ATTACHMENT);
        let manifest = manifest::open_document(
            self.listed_documents(),
            sources.iter().map(|(number, _)| name(*number)),
        );
        let asic_manifest = self.ts_hash_chain_result.as_deref().map(manifest::asic);

        let mut archive = ArchiveWriter::new(out, created);
        archive.store_plain(entry::MIME_TYPE, MIME_TYPE.as_bytes())?;
        let documents: [(&str, Option<&[u8]>); 9] = [
            (entry::MESSAGE, Some(&self.message)),
            (entry::SIGNATURES, Some(&self.signatures)),
            (entry::SIGNATURE_CHAIN_RESULT, self.sig_hash_chain_result.as_deref()),
            (entry::SIGNATURE_CHAIN, self.sig_hash_chain.as_deref()),
            (entry::TIMESTAMP_CHAIN_RESULT, self.ts_hash_chain_result.as_deref()),
            (entry::TIMESTAMP_CHAIN, self.ts_hash_chain.as_deref()),
            (entry::MANIFEST, Some(manifest.as_bytes())),
            (entry::ASIC_MANIFEST, asic_manifest.as_ref().map(String::as_bytes)),
            (entry::TIMESTAMP, self.timestamp.as_deref()),
        ];
        for (name, content) in documents {
            if let Some(content) = content {
                archive.deflate(name, content)?;
            }
        }
        for (number, mut source) in sources {
            archive.deflate_from(&name(number), &mut source.reader, source.length)?;
        }
        archive.finish(&format!("mimetype={MIME_TYPE}"))
    }

    /// The XML files that the manifest lists, in the order in which X-Road's hash table gives them.
    fn listed_documents(&self) -> impl Iterator<Item = &'static str> {
        [
            self.sig_hash_chain.as_ref().map(|_| entry::SIGNATURE_CHAIN),
            Some(entry::MESSAGE),
            self.ts_hash_chain_result.as_ref().map(|_| entry::TIMESTAMP_CHAIN_RESULT),
            self.sig_hash_chain_result.as_ref().map(|_| entry::SIGNATURE_CHAIN_RESULT),
            self.ts_hash_chain.as_ref().map(|_| entry::TIMESTAMP_CHAIN),
        ]
        .into_iter()
        .flatten()
    }
}
