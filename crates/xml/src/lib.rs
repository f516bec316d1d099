//! The one door for XML: bounded parsing without document types or entities,
//! canonicalization, and an escaping writer.
//!
//! Everything that a stranger sends as XML (signatures, hash chains, global
//! configurations, SOAP) passes [`Document::parse`], which refuses document
//! type declarations, undue depth, size, element and attribute counts before
//! a tree is built. Canonicalization is Canonical XML 1.0 and Exclusive
//! Canonical XML 1.0 ([`Canonicalization`]); writing is [`Writer`].

mod declaration;
mod events;
mod limits;
mod writer;

use std::fmt;

use bergshamra_c14n::{C14nMode, canonicalize_doc};
use bergshamra_xml::NodeSet;
use uppsala::{NodeId, NodeKind};

pub use events::{Event, Events, Name};
pub use limits::Limits;
pub use writer::Writer;

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// Longer than [`Limits::max_bytes`].
    #[error("the XML text is longer than {0} bytes")]
    TooLarge(usize),
    /// Deeper than [`Limits::max_depth`], or more elements or attributes than allowed.
    #[error("the XML text exceeds the bound on {0}")]
    TooComplex(&'static str),
    /// A document type declaration; entities and external references come with it.
    #[error("document type declarations are not allowed")]
    Doctype,
    /// Not UTF-8.
    #[error("the XML text is not UTF-8")]
    NotUtf8,
    /// Not well-formed, or without a root element.
    #[error("not well-formed XML: {0}")]
    Malformed(String),
    /// Canonicalization failed.
    #[error("canonicalization failed: {0}")]
    Canonicalization(String),
}

/// A canonicalization method (XML Signature 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canonicalization {
    /// Canonical XML 1.0.
    Inclusive,
    /// Canonical XML 1.0 with comments.
    InclusiveWithComments,
    /// Canonical XML 1.1.
    Inclusive11,
    /// Exclusive Canonical XML 1.0.
    Exclusive,
    /// Exclusive Canonical XML 1.0 with comments.
    ExclusiveWithComments,
}

impl Canonicalization {
    /// The method of an algorithm identifier; `None` when it is not supported.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Some(match uri {
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315" => Self::Inclusive,
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments" => {
                Self::InclusiveWithComments
            }
            "http://www.w3.org/2006/12/xml-c14n11" => Self::Inclusive11,
            "http://www.w3.org/2001/10/xml-exc-c14n#" => Self::Exclusive,
            "http://www.w3.org/2001/10/xml-exc-c14n#WithComments" => Self::ExclusiveWithComments,
            _ => return None,
        })
    }

    fn mode(self) -> C14nMode {
        match self {
            Self::Inclusive => C14nMode::Inclusive,
            Self::InclusiveWithComments => C14nMode::InclusiveWithComments,
            Self::Inclusive11 => C14nMode::Inclusive11,
            Self::Exclusive => C14nMode::Exclusive,
            Self::ExclusiveWithComments => C14nMode::ExclusiveWithComments,
        }
    }

    fn keeps_comments(self) -> bool {
        matches!(self, Self::InclusiveWithComments | Self::ExclusiveWithComments)
    }
}

/// A parsed document.
pub struct Document<'a> {
    tree: uppsala::Document<'a>,
    root: NodeId,
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({:?})", self.root())
    }
}

impl<'a> Document<'a> {
    /// Parses a UTF-8 document within the given bounds. A byte order mark is allowed.
    ///
    /// # Errors
    /// See [`XmlError`]; nothing is allocated for a text beyond the bounds.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, XmlError> {
        limits::check(bytes, limits)?;
        let text = std::str::from_utf8(bytes).map_err(|_| XmlError::NotUtf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        declaration::check(text)?;
        let parser = uppsala::Parser::new()
            .with_max_depth(limits.max_depth)
            .with_max_entity_expansion(0)
            .with_forbid_dtd(true)
            .with_forbid_entities(true);
        let tree = parser.parse(text).map_err(|e| XmlError::Malformed(e.to_string()))?;
        let root =
            tree.document_element().ok_or_else(|| XmlError::Malformed("no root element".into()))?;
        Ok(Self { tree, root })
    }

    /// The root element.
    pub fn root(&self) -> Element<'_> {
        Element { tree: &self.tree, id: self.root }
    }

    /// The canonical form of the whole document, with processing instructions
    /// (and comments, where the method keeps them) around the root.
    ///
    /// # Errors
    /// As [`Element::canonicalize`].
    pub fn canonicalize(&self, method: Canonicalization) -> Result<Vec<u8>, XmlError> {
        let nodes = if method.keeps_comments() {
            NodeSet::all(&self.tree)
        } else {
            NodeSet::all_without_comments(&self.tree)
        };
        canonicalize_doc::<&str>(&self.tree, method.mode(), Some(&nodes), &[])
            .map_err(|e| XmlError::Canonicalization(e.to_string()))
    }
}

/// An element of a [`Document`].
#[derive(Clone, Copy)]
pub struct Element<'d> {
    tree: &'d uppsala::Document<'d>,
    id: NodeId,
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.tree, other.tree) && self.id == other.id
    }
}

impl fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.qualified_name())
    }
}

impl<'d> Element<'d> {
    fn data(&self) -> Option<&'d uppsala::Element<'d>> {
        self.tree.element(self.id)
    }

    /// The local name.
    pub fn name(&self) -> &'d str {
        self.data().map_or("", |e| &*e.name.local_name)
    }

    /// The namespace, if any.
    pub fn namespace(&self) -> Option<&'d str> {
        self.data().and_then(|e| e.name.namespace_uri.as_deref())
    }

    /// The prefix as written, if any.
    pub fn prefix(&self) -> Option<&'d str> {
        self.data().and_then(|e| e.name.prefix.as_deref())
    }

    /// The name as written, with its prefix.
    pub fn qualified_name(&self) -> String {
        match self.prefix() {
            Some(p) => format!("{p}:{}", self.name()),
            None => self.name().to_owned(),
        }
    }

    /// Whether the element has this namespace and local name.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.name() == local && self.namespace() == Some(namespace)
    }

    /// The value of the attribute of this name that is in no namespace.
    pub fn attribute(&self, local: &str) -> Option<&'d str> {
        self.attributes().find(|(ns, name, _)| ns.is_none() && *name == local).map(|(_, _, v)| v)
    }

    /// The value of a namespaced attribute.
    pub fn attribute_ns(&self, namespace: &str, local: &str) -> Option<&'d str> {
        self.data().and_then(|e| e.get_attribute_ns(namespace, local))
    }

    /// All attributes: namespace, local name, value. Declarations of namespaces are not among them.
    pub fn attributes(
        &self,
    ) -> impl Iterator<Item = (Option<&'d str>, &'d str, &'d str)> + use<'d> {
        self.data()
            .into_iter()
            .flat_map(|e| e.attributes.iter())
            .map(|a| (a.name.namespace_uri.as_deref(), &*a.name.local_name, &*a.value))
    }

    /// The child elements, in order.
    pub fn children(&self) -> impl Iterator<Item = Element<'d>> + use<'d> {
        let tree = self.tree;
        std::iter::successors(tree.first_child(self.id), move |id| tree.next_sibling(*id))
            .filter(move |id| tree.element(*id).is_some())
            .map(move |id| Element { tree, id })
    }

    /// The first child element with this local name, whatever its namespace.
    pub fn child(&self, local: &str) -> Option<Element<'d>> {
        self.children().find(|c| c.name() == local)
    }

    /// The first child element with this namespace and local name.
    pub fn child_ns(&self, namespace: &str, local: &str) -> Option<Element<'d>> {
        self.children().find(|c| c.is(namespace, local))
    }

    /// The parent element; `None` at the root.
    pub fn parent(&self) -> Option<Element<'d>> {
        let id = self.tree.parent(self.id)?;
        self.tree.element(id).map(|_| Element { tree: self.tree, id })
    }

    /// This element and all elements below it, in document order.
    pub fn descendants(&self) -> impl Iterator<Item = Element<'d>> + use<'d> {
        let (tree, top) = (self.tree, self.id);
        std::iter::successors(Some(top), move |id| next_in_order(tree, top, *id))
            .filter(move |id| tree.element(*id).is_some())
            .map(move |id| Element { tree, id })
    }

    /// Whether this element has no character data of its own but white space: what the schemas ask
    /// of elements that have elements.
    pub fn own_text_is_blank(&self) -> bool {
        let tree = self.tree;
        std::iter::successors(tree.first_child(self.id), move |id| tree.next_sibling(*id)).all(
            |id| match tree.node_kind(id) {
                Some(NodeKind::Text(t) | NodeKind::CData(t)) => {
                    t.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
                }
                _ => true,
            },
        )
    }

    /// The concatenated character data of this element and those below it.
    pub fn text(&self) -> String {
        let (tree, top) = (self.tree, self.id);
        let mut out = String::new();
        for id in std::iter::successors(Some(top), move |id| next_in_order(tree, top, *id)) {
            if let Some(NodeKind::Text(t) | NodeKind::CData(t)) = tree.node_kind(id) {
                out.push_str(t);
            }
        }
        out
    }

    /// The canonical form of this element, with what it inherits from its ancestors.
    ///
    /// # Errors
    /// [`XmlError::Canonicalization`] when the canonicalizer refuses (relative namespaces).
    pub fn canonicalize(&self, method: Canonicalization) -> Result<Vec<u8>, XmlError> {
        self.canonicalize_with_prefixes(method, &[])
    }

    /// As [`Element::canonicalize`], with the `InclusiveNamespaces` prefix list of the exclusive method.
    ///
    /// # Errors
    /// As [`Element::canonicalize`].
    pub fn canonicalize_with_prefixes(
        &self,
        method: Canonicalization,
        prefixes: &[&str],
    ) -> Result<Vec<u8>, XmlError> {
        let nodes = if method.keeps_comments() {
            NodeSet::tree_with_comments(self.id, self.tree)
        } else {
            NodeSet::tree_without_comments(self.id, self.tree)
        };
        canonicalize_doc(self.tree, method.mode(), Some(&nodes), prefixes)
            .map_err(|e| XmlError::Canonicalization(e.to_string()))
    }
}

/// The next node after `id` in document order, within the subtree of `top`. Iterative: depth costs no stack.
fn next_in_order(tree: &uppsala::Document<'_>, top: NodeId, id: NodeId) -> Option<NodeId> {
    if let Some(child) = tree.first_child(id) {
        return Some(child);
    }
    let mut at = id;
    while at != top {
        if let Some(sibling) = tree.next_sibling(at) {
            return Some(sibling);
        }
        at = tree.parent(at)?;
    }
    None
}

/// Decodes base64 as XML carries it: white space anywhere is ignored.
///
/// # Errors
/// `None` when the rest is not base64.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let stripped: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(stripped).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Document<'_>, XmlError> {
        Document::parse(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn reads_namespaces_attributes_and_text() {
        let doc = parse("<a xmlns='u:1' xmlns:p='u:2' x='1' p:x='2'><p:b>t<!-- c -->u</p:b><c><![CDATA[<v>]]></c></a>").unwrap();
        let root = doc.root();
        assert!(root.is("u:1", "a"));
        assert_eq!(root.attribute("x"), Some("1"));
        assert_eq!(root.attribute_ns("u:2", "x"), Some("2"));
        assert_eq!(root.child_ns("u:2", "b").unwrap().text(), "tu");
        assert_eq!(root.child("c").unwrap().text(), "<v>");
        assert_eq!(root.descendants().count(), 3);
        assert_eq!(root.child("c").unwrap().parent(), Some(root));
    }

    #[test]
    fn inclusive_canonical_form_inherits_declarations() {
        let doc = parse("<r xmlns:z=\"u:z\" xmlns:a=\"u:a\"><a:b   q='1'  ><c/>&#13;\nx</a:b></r>")
            .unwrap();
        let b = doc.root().child("b").unwrap();
        let text = |m| String::from_utf8(b.canonicalize(m).unwrap()).unwrap();
        assert_eq!(
            text(Canonicalization::Inclusive),
            "<a:b xmlns:a=\"u:a\" xmlns:z=\"u:z\" q=\"1\"><c></c>&#xD;\nx</a:b>"
        );
        assert_eq!(
            text(Canonicalization::Exclusive),
            "<a:b xmlns:a=\"u:a\" q=\"1\"><c></c>&#xD;\nx</a:b>"
        );
    }

    #[test]
    fn hostile_documents_are_refused() {
        assert_eq!(
            parse("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>").unwrap_err(),
            XmlError::Doctype
        );
        assert!(matches!(parse("<a>&x;</a>").unwrap_err(), XmlError::Malformed(_)));
        assert!(matches!(parse("<a><b></a>").unwrap_err(), XmlError::Malformed(_)));
        assert!(matches!(parse("<p:a/>").unwrap_err(), XmlError::Malformed(_)));
        assert!(matches!(parse("<a x='1' x='2'/>").unwrap_err(), XmlError::Malformed(_)));
        assert_eq!(
            Document::parse(b"<a>\xff</a>", &Limits::default()).unwrap_err(),
            XmlError::NotUtf8
        );
        for refused in [
            "<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
            "<?xml version='2.0'?><a/>",
            "<?xml?><a/>",
            "<?xml version='1.0' encoding='UTF-8' standalone='maybe'?><a/>",
            "<?xml version='1.0' encodinh='UTF-8'?><a/>",
            "<?xmm version='1.0'?><a/>",
        ] {
            assert!(parse(refused).is_err(), "{refused}");
        }
        for taken in [
            "<?xml version='1.0'?><a/>",
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<a/>",
            "<?xml version = '1.0' encoding='UTF-8' standalone='yes' ?><a/>",
            "\u{feff}<?xml version='1.1' standalone=\"no\"?><a/>",
        ] {
            parse(taken).unwrap();
        }
        let deep = format!("{}{}", "<a>".repeat(5000), "</a>".repeat(5000));
        assert!(parse(&deep).is_err());
        let flood: String = (0..5000).map(|i| format!(" a{i}='1'")).collect();
        assert_eq!(
            parse(&format!("<a{flood}/>")).unwrap_err(),
            XmlError::TooComplex("attributes of one element")
        );
        // Many namespaces around many elements: what makes canonicalization slow.
        let declared: String = (0..200).map(|i| format!(" xmlns:p{i}='u{i}'")).collect();
        let around = |depth: usize, inside: usize| {
            let (open, close) = (format!("<a{declared}>").repeat(depth), "</a>".repeat(depth));
            parse(&format!("{open}{}{close}", "<b/>".repeat(inside))).map(|_| ())
        };
        assert_eq!(around(30, 400).unwrap_err(), XmlError::TooComplex("namespaces in scope"));
        around(1, 400).unwrap();
        // Beside each other they are not in scope of each other.
        parse(&format!("<r>{}</r>", "<b xmlns:p='u'></b>".repeat(50_000))).unwrap();
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Document::parse(&bytes, &Limits::default());
        }

        #[test]
        fn what_is_written_is_read_back(text in "[^\\p{Cc}\\p{Cn}\u{fffe}\u{ffff}]{0,60}", attr in "[^\\p{Cc}\\p{Cn}]{0,60}") {
            let mut w = Writer::new();
            w.declaration();
            w.start("a", &[("v", &attr)]);
            w.element("b", &[], &text);
            w.end();
            let out = w.finish();
            let doc = parse(&out).unwrap();
            prop_assert_eq!(doc.root().attribute("v").unwrap(), attr);
            prop_assert_eq!(doc.root().child("b").unwrap().text(), text);
        }
    }
}
