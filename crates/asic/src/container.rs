//! The container: what it consists of, and what must be there.

mod read;
mod write;

use std::fmt;

use bytes::Bytes;
use causeway_pki::DigestAlgorithm;
use causeway_xml::{Document, Limits as XmlLimits};

use crate::AsicError;

pub use write::Source;

/// Names of the entries; the signature calls them the same with a slash before.
pub mod entry {
    /// The media type; first in the archive.
    pub const MIME_TYPE: &str = "mimetype";
    /// The message: a SOAP document, or a REST header block.
    pub const MESSAGE: &str = "message.xml";
    /// The signature document.
    pub const SIGNATURES: &str = "META-INF/signatures.xml";
    /// The result of the signature's hash chain.
    pub const SIGNATURE_CHAIN_RESULT: &str = "sig-hashchainresult.xml";
    /// The signature's hash chain.
    pub const SIGNATURE_CHAIN: &str = "sig-hashchain.xml";
    /// The result of the timestamp's hash chain.
    pub const TIMESTAMP_CHAIN_RESULT: &str = "ts-hashchainresult.xml";
    /// The timestamp's hash chain.
    pub const TIMESTAMP_CHAIN: &str = "ts-hashchain.xml";
    /// The list of files.
    pub const MANIFEST: &str = "META-INF/manifest.xml";
    /// What the timestamp covers.
    pub const ASIC_MANIFEST: &str = "META-INF/ASiCManifest.xml";
    /// The timestamp token of a batch.
    pub const TIMESTAMP: &str = "META-INF/timestamp.tst";
    /// Attachments are named by this and their number, from 1.
    pub const ATTACHMENT: &str = "attachment";
}

/// An attachment: a SOAP attachment, or the body of a REST message.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    number: u32,
    size: u64,
    sha512: Vec<u8>,
    content: Option<Bytes>,
}

impl Attachment {
    /// An attachment of known bytes. Numbers count from 1.
    pub fn new(number: u32, content: Bytes) -> Self {
        let sha512 = DigestAlgorithm::Sha512.digest(&content);
        Self { number, size: content.len() as u64, sha512, content: Some(content) }
    }

    /// The name in the archive, `attachment1`.
    pub fn name(&self) -> String {
        format!("{}{}", entry::ATTACHMENT, self.number)
    }

    /// The number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The SHA-512 digest of the content.
    pub fn sha512(&self) -> &[u8] {
        &self.sha512
    }

    /// The content, where it was kept ([`crate::Limits::max_kept_bytes`]).
    pub fn content(&self) -> Option<&Bytes> {
        self.content.as_ref()
    }
}

/// An entry that the format does not know; nothing that is signed refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraEntry {
    /// Its name.
    pub name: String,
    /// Its inflated size in bytes.
    pub size: u64,
}

/// A container's parts. Documents are bytes as they were signed; nothing is re-encoded.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Container {
    /// The message: a SOAP document, or a REST header block.
    pub message: Bytes,
    /// The signature document.
    pub signatures: Bytes,
    /// The result of the signature's hash chain.
    pub sig_hash_chain_result: Option<Bytes>,
    /// The signature's hash chain.
    pub sig_hash_chain: Option<Bytes>,
    /// The result of the timestamp's hash chain, for a timestamp over many signatures.
    pub ts_hash_chain_result: Option<Bytes>,
    /// The timestamp's hash chain.
    pub ts_hash_chain: Option<Bytes>,
    /// The timestamp token, DER, for a timestamp over many signatures; one over this signature
    /// alone is inside the signature document.
    pub timestamp: Option<Bytes>,
    /// The attachments, by number.
    pub attachments: Vec<Attachment>,
    /// The list of files, as it was read; written anew.
    pub manifest: Option<Bytes>,
    /// What the timestamp covers, as it was read; written anew.
    pub asic_manifest: Option<Bytes>,
    /// Entries that the format does not know, as they were read; never written.
    pub extra: Vec<ExtraEntry>,
    /// Whether the media type was the archive's first entry, as ETSI EN 319 162-1 A.1 asks for and
    /// all that is written here has it. X-Road reads containers without regard to it, and its older
    /// ones were repacked by tools that did not have any either.
    pub media_type_first: bool,
}

impl Container {
    /// A message and its signature; the other parts are set one by one.
    pub fn new(message: Bytes, signatures: Bytes) -> Self {
        Self {
            message,
            signatures,
            sig_hash_chain_result: None,
            sig_hash_chain: None,
            ts_hash_chain_result: None,
            ts_hash_chain: None,
            timestamp: None,
            attachments: Vec::new(),
            manifest: None,
            asic_manifest: None,
            extra: Vec::new(),
            media_type_first: true,
        }
    }

    /// Judges whether all parts are there that must be, in X-Road's order and with its codes
    /// (`AsicContainer.verifyContents`). Reading and writing do this themselves.
    ///
    /// # Errors
    /// [`AsicError::MessageNotFound`], [`AsicError::SignatureNotFound`],
    /// [`AsicError::HashChainResultNotFound`], [`AsicError::HashChainNotFound`],
    /// [`AsicError::InvalidSignatureXml`], [`AsicError::NoTimestamp`],
    /// [`AsicError::TimestampNotFound`], [`AsicError::ManifestNotFound`].
    pub fn check(&self) -> Result<(), AsicError> {
        if is_blank(&self.message) {
            return Err(AsicError::MessageNotFound);
        }
        if is_blank(&self.signatures) {
            return Err(AsicError::SignatureNotFound);
        }
        check_pair(
            (self.sig_hash_chain_result.as_ref(), entry::SIGNATURE_CHAIN_RESULT),
            (self.sig_hash_chain.as_ref(), entry::SIGNATURE_CHAIN),
        )?;
        match &self.timestamp {
            Some(token) if token.is_empty() => return Err(AsicError::TimestampNotFound),
            Some(_) => {}
            None => find_timestamp(&self.signatures)?,
        }
        check_pair(
            (self.ts_hash_chain_result.as_ref(), entry::TIMESTAMP_CHAIN_RESULT),
            (self.ts_hash_chain.as_ref(), entry::TIMESTAMP_CHAIN),
        )?;
        let manifests =
            [(&self.manifest, entry::MANIFEST), (&self.asic_manifest, entry::ASIC_MANIFEST)];
        match manifests.iter().find(|(m, _)| m.as_ref().is_some_and(|bytes| is_blank(bytes))) {
            Some((_, name)) => Err(AsicError::ManifestNotFound(name)),
            None => Ok(()),
        }
    }
}

/// Sizes alone: what people wrote to each other does not belong into logs.
impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container")
            .field("message_bytes", &self.message.len())
            .field("signature_chain", &self.sig_hash_chain.is_some())
            .field("timestamp_chain", &self.ts_hash_chain.is_some())
            .field("attachments", &self.attachments)
            .field("extra", &self.extra)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("number", &self.number)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(char::is_whitespace))
}

/// Two documents that come together or not at all.
fn check_pair(
    (result, result_name): (Option<&Bytes>, &'static str),
    (chain, chain_name): (Option<&Bytes>, &'static str),
) -> Result<(), AsicError> {
    let there = |document: Option<&Bytes>| document.is_some_and(|bytes| !is_blank(bytes));
    match (there(result), there(chain)) {
        (false, true) => Err(AsicError::HashChainResultNotFound(result_name)),
        (true, false) => Err(AsicError::HashChainNotFound(chain_name)),
        _ => Ok(()),
    }
}

/// Whether the signature document holds a timestamp; an older form has the token right in
/// `SignatureTimeStamp`.
fn find_timestamp(signatures: &[u8]) -> Result<(), AsicError> {
    const XADES: &str = "http://uri.etsi.org/01903/v1.3.2#";
    let limits = XmlLimits { max_bytes: 16 << 20, ..XmlLimits::default() };
    let document = Document::parse(signatures, &limits)
        .map_err(|e| AsicError::InvalidSignatureXml(e.to_string()))?;
    let stamp = document
        .root()
        .descendants()
        .find(|e| e.is(XADES, "SignatureTimeStamp"))
        .ok_or(AsicError::NoTimestamp)?;
    if stamp.text().trim().is_empty() {
        return Err(AsicError::TimestampNotFound);
    }
    Ok(())
}
