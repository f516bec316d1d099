//! Bounds that hold before a tree is built.

use crate::XmlError;

/// How much a document may ask of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes.
    pub max_bytes: usize,
    /// The deepest nesting of elements.
    pub max_depth: u32,
    /// The most elements.
    pub max_elements: usize,
    /// The most attributes (with namespace declarations) of one element.
    pub max_attributes: usize,
    /// The namespace declarations in scope, added up over the names of all elements
    /// and attributes: at most so many. Resolving prefixes, and canonicalization, take as long as that.
    pub max_scope: usize,
}

impl Default for Limits {
    /// For signatures, hash chains and messages: 10 MiB, 64 levels, 100,000 elements, 256
    /// attributes, 2,000,000 namespaces in scope.
    fn default() -> Self {
        Self {
            max_bytes: 10 << 20,
            max_depth: 64,
            max_elements: 100_000,
            max_attributes: 256,
            max_scope: 2_000_000,
        }
    }
}

impl Limits {
    /// For a global configuration of a large country: 256 MiB and 5,000,000 elements.
    pub fn for_global_configuration() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_elements: 5_000_000,
            max_scope: 100_000_000,
            ..Self::default()
        }
    }
}

/// One pass over the bytes that finds document types and counts tags and
/// attributes, without building anything. It need not be an XML parser: text
/// that confuses it is not well-formed, and the parser refuses it next.
pub(crate) fn check(bytes: &[u8], limits: &Limits) -> Result<(), XmlError> {
    if bytes.len() > limits.max_bytes {
        return Err(XmlError::TooLarge(limits.max_bytes));
    }
    let mut rest = bytes;
    let (mut elements, mut scope) = (0_usize, Scope::default());
    while let Some(at) = memchr::memchr(b'<', rest) {
        rest = &rest[at..];
        if rest.starts_with(b"<!--") {
            rest = skip_past(rest, b"-->");
        } else if rest.starts_with(b"<![CDATA[") {
            rest = skip_past(rest, b"]]>");
        } else if rest.starts_with(b"<?") {
            rest = skip_past(rest, b"?>");
        } else if rest.starts_with(b"<!") {
            return Err(XmlError::Doctype);
        } else {
            elements += 1;
            if elements > limits.max_elements.saturating_mul(2) {
                return Err(XmlError::TooComplex("elements"));
            }
            let (mut namespaces, mut attributes) = (0, 0);
            let tag = rest;
            rest = check_tag(tag, limits.max_attributes, &mut namespaces, &mut attributes)?;
            if tag.starts_with(b"</") {
                scope.leave();
            } else {
                scope.enter(namespaces, attributes);
                if tag[..tag.len() - rest.len()].ends_with(b"/>") {
                    scope.leave();
                }
            }
            if scope.sum > limits.max_scope {
                return Err(XmlError::TooComplex("namespaces in scope"));
            }
        }
    }
    Ok(())
}

/// Namespace declarations, as elements are entered and left.
#[derive(Default)]
struct Scope {
    /// How many each open element has.
    open: Vec<usize>,
    now: usize,
    /// Added up over the names of elements and attributes so far.
    sum: usize,
}

impl Scope {
    fn enter(&mut self, declared: usize, attributes: usize) {
        self.open.push(declared);
        self.now += declared;
        let names = 1 + attributes.saturating_sub(declared);
        self.sum = self.sum.saturating_add(self.now.saturating_mul(names));
    }

    fn leave(&mut self) {
        self.now -= self.open.pop().unwrap_or_default();
    }
}

fn skip_past<'a>(text: &'a [u8], end: &[u8]) -> &'a [u8] {
    match memchr::memmem::find(text, end) {
        Some(at) => &text[at + end.len()..],
        None => &[],
    }
}

/// Walks one tag to its `>`, outside quotes, counting attribute values and namespace declarations.
fn check_tag<'t>(
    tag: &'t [u8],
    max_attributes: usize,
    namespaces: &mut usize,
    attributes: &mut usize,
) -> Result<&'t [u8], XmlError> {
    let mut at = 1;
    while let Some(offset) = memchr::memchr3(b'>', b'"', b'\'', &tag[at..]) {
        let before = &tag[at..at + offset];
        at += offset;
        let found = tag[at];
        at += 1;
        if found == b'>' {
            return Ok(&tag[at..]);
        }
        *attributes += 1;
        *namespaces += usize::from(memchr::memmem::find(before, b"xmlns").is_some());
        if *attributes > max_attributes {
            return Err(XmlError::TooComplex("attributes of one element"));
        }
        match memchr::memchr(found, &tag[at..]) {
            Some(end) => at += end + 1,
            None => return Ok(&[]),
        }
    }
    Ok(&[])
}
