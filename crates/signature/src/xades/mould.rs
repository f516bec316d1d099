//! Reading many documents that one program wrote for one signer.
//!
//! Such documents are the same, byte for byte, but for a few texts: the
//! digests, the signature value, the time. A [`Mould`] is one document that
//! was read in full, with the places of these texts. Another document that
//! differs from it in nothing else, and there only in letters, digits and the
//! few signs of base64 and times, is the same XML with other texts: its tree,
//! its bounds and its canonical forms follow from those of the first. So it is
//! read by comparing bytes, and comes out as the general reader would read it.

use std::borrow::Cow;
use std::ops::Range;

use causeway_xml::{Element, decode_base64};
use memchr::memmem;

use super::read::{SignatureDocument, parse_time};
use super::{DS, XADES};

/// What a program writes for a carriage return, which base64 in lines brings along.
const RETURN: &str = "&#13;";
/// References to characters none of which is a sign that a text may consist of.
const HARMLESS: [&str; 6] = ["amp;", "lt;", "gt;", "quot;", "apos;", "#13;"];
/// The longest document that becomes a mould, in bytes.
const LONGEST: usize = 64 << 10;

/// A document that others can be read by.
#[derive(Debug)]
pub struct Mould {
    source: Vec<u8>,
    /// In the order of the document.
    texts: Vec<Text>,
    document: SignatureDocument,
    /// The canonical form of the signed properties.
    properties: Vec<u8>,
}

/// A text that differs from document to document.
#[derive(Debug)]
struct Text {
    role: Role,
    /// Where it stands in the document.
    source: Range<usize>,
    /// Where it stands in the canonical form that has it; as long as in the document.
    canonical: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The digest of the file with this number.
    File(usize),
    /// The digest of the signed properties.
    Properties,
    Value,
    Time,
}

impl Mould {
    /// Makes a mould of a document that was read. `None` where the texts'
    /// places are not beyond doubt: comments, sections, processing
    /// instructions, unusual character references, a text that occurs twice.
    pub(super) fn of(
        source: &[u8],
        signature: Element<'_>,
        document: &SignatureDocument,
        properties: Vec<u8>,
    ) -> Option<Self> {
        if source.len() > LONGEST || !is_simple(source) {
            return None;
        }
        let signed_info = signature.child_ns(DS, "SignedInfo")?;
        let place = |role, element, canonical| Text::place(role, element, source, canonical);
        let (mut texts, mut files) = (Vec::new(), 0);
        for reference in signed_info.children().filter(|c| c.is(DS, "Reference")) {
            let role = if reference.attribute("URI")?.starts_with('#') {
                Role::Properties
            } else {
                files += 1;
                Role::File(files - 1)
            };
            let digest = reference.child_ns(DS, "DigestValue")?;
            texts.push(place(role, digest, Some(document.signed_info()))?);
        }
        texts.push(place(Role::Value, signature.child_ns(DS, "SignatureValue")?, None)?);
        let time = signature
            .child_ns(DS, "Object")?
            .child_ns(XADES, "QualifyingProperties")?
            .child_ns(XADES, "SignedProperties")?
            .child_ns(XADES, "SignedSignatureProperties")?
            .child_ns(XADES, "SigningTime")?;
        texts.push(place(Role::Time, time, Some(&properties))?);
        texts.sort_by_key(|text| text.source.start);
        Some(Self { source: source.to_vec(), texts, document: document.clone(), properties })
    }

    /// Reads a document by this one; `None` when it is not the same but for
    /// the texts, or a text cannot be read: the general reader may read it, or tell what is wrong.
    pub fn read(&self, source: &[u8]) -> Option<SignatureDocument> {
        if source.len() != self.source.len() {
            return None;
        }
        let mut at = 0;
        for Text { source: place, .. } in &self.texts {
            let same = source.get(at..place.start)? == self.source.get(at..place.start)?
                && has_shape(source.get(place.clone())?, self.source.get(place.clone())?);
            if !same {
                return None;
            }
            at = place.end;
        }
        if source.get(at..)? != self.source.get(at..)? {
            return None;
        }
        let mut document = self.document.clone();
        let mut properties = Cow::Borrowed(&self.properties);
        for text in &self.texts {
            let written = std::str::from_utf8(source.get(text.source.clone())?).ok()?;
            let read = written.replace(RETURN, "\r");
            match text.role {
                Role::File(number) => {
                    document.references.get_mut(number)?.digest.value = decode_base64(&read)?;
                }
                Role::Properties => document.properties.0.value = decode_base64(&read)?,
                Role::Value => document.value = decode_base64(&read)?,
                Role::Time => document.signing_time = parse_time(&read),
            }
            let canonical = match text.role {
                Role::File(_) | Role::Properties => &mut document.signed_info,
                Role::Time => properties.to_mut(),
                Role::Value => continue,
            };
            canonical
                .get_mut(text.canonical.clone())?
                .copy_from_slice(canonical_form(written).as_bytes());
        }
        document.properties.1 = document.properties.0.algorithm.digest(&properties);
        Some(document)
    }
}

/// Whether `<` can only be the beginning of a tag, apart from the declaration's, and every
/// character that a text may consist of stands for itself.
fn is_simple(source: &[u8]) -> bool {
    let behind =
        |sign| memchr::memchr_iter(sign, source).map(|at| source.get(at + 1..).unwrap_or_default());
    let begins = source.starts_with(b"<?xml version=\"1.0\"")
        || (source.starts_with(b"<") && !source.starts_with(b"<!") && !source.starts_with(b"<?"));
    begins
        && memchr::memchr(b'\r', source).is_none()
        && behind(b'<').skip(1).all(|rest| !rest.starts_with(b"!") && !rest.starts_with(b"?"))
        && behind(b'&').all(|rest| HARMLESS.iter().any(|known| rest.starts_with(known.as_bytes())))
}

/// The signs of base64 and of times; none is ever escaped.
fn is_sign(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b':' | b'-' | b'.')
}

/// The canonical form of a text as it is written, which is as long.
fn canonical_form(written: &str) -> String {
    written.replace(RETURN, "&#xD;")
}

/// Whether a text has signs where the other has some, and is the same elsewhere.
fn has_shape(text: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while let (Some(a), Some(b)) = (text.get(at), other.get(at)) {
        if *b == b'&' {
            let end = at + RETURN.len();
            if text.get(at..end) != other.get(at..end) {
                return false;
            }
            at = end;
            continue;
        }
        if a != b && !(is_sign(*a) && is_sign(*b)) {
            return false;
        }
        at += 1;
    }
    text.len() == other.len()
}

impl Text {
    fn place(
        role: Role,
        element: Element<'_>,
        source: &[u8],
        canonical: Option<&[u8]>,
    ) -> Option<Self> {
        let text = element.text();
        let known = |b: u8| is_sign(b) || matches!(b, b' ' | b'\t' | b'\n' | b'\r');
        if text.is_empty() || !text.bytes().all(known) || element.children().next().is_some() {
            return None;
        }
        // Its element holds nothing but the text, which stands for itself: so it is written like this, whatever
        // blanks its end tag may have. Where that is found once, it was found.
        let end = format!("</{}", element.qualified_name());
        let written = text.replace('\r', RETURN);
        let place = |form: &str, whole: &[u8]| {
            let needle = format!(">{form}{end}");
            let mut found = memmem::find_iter(whole, needle.as_bytes());
            let start = found.next()? + 1;
            found.next().is_none().then(|| start..start + form.len())
        };
        let canonical = match canonical {
            Some(whole) => place(&canonical_form(&written), whole)?,
            None => 0..0,
        };
        Some(Self { role, source: place(&written, source)?, canonical })
    }
}
