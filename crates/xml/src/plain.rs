//! Plain documents: a quick reader of what programs write.
//!
//! What security servers send each other with every message is XML in its
//! plainest form: ASCII, elements and attributes, namespaces declared on the
//! root, no comments, no sections, no entities. [`Plain::read`] reads exactly
//! that, without a tree of owned nodes, and gives up on everything else: then
//! [`Document`](crate::Document) has the word. Whatever it reads, the general
//! reader reads as well, as the same tree; the tests compare the two.

use std::borrow::Cow;
use std::fmt;

use crate::{Element, Limits};

/// The most elements of a plain document.
const MOST_ELEMENTS: usize = 512;
/// The deepest nesting of elements.
const DEEPEST: usize = 12;
/// The most attributes of an element, and namespaces of the root.
const MOST_ATTRIBUTES: usize = 8;

/// An element of a document, however it was read.
pub trait Node<'d>: Copy + fmt::Debug {
    /// The local name.
    fn name(&self) -> &'d str;

    /// The namespace, if any.
    fn namespace(&self) -> Option<&'d str>;

    /// The value of the attribute of this name that is in no namespace.
    fn attribute(&self, local: &str) -> Option<&'d str>;

    /// The child elements, in order.
    fn children(&self) -> impl Iterator<Item = Self> + use<'d, Self>;

    /// The concatenated character data of this element and those below it.
    fn text(&self) -> Cow<'d, str>;

    /// Whether this element has no character data of its own but white space.
    fn own_text_is_blank(&self) -> bool;

    /// Whether the element has this namespace and local name.
    fn is(&self, namespace: &str, local: &str) -> bool {
        self.name() == local && self.namespace() == Some(namespace)
    }

    /// The first child element with this namespace and local name.
    fn child_ns(&self, namespace: &str, local: &str) -> Option<Self> {
        self.children().find(|c| c.is(namespace, local))
    }
}

impl<'d> Node<'d> for Element<'d> {
    fn name(&self) -> &'d str {
        Element::name(self)
    }

    fn namespace(&self) -> Option<&'d str> {
        Element::namespace(self)
    }

    fn attribute(&self, local: &str) -> Option<&'d str> {
        Element::attribute(self, local)
    }

    fn children(&self) -> impl Iterator<Item = Self> + use<'d> {
        Element::children(self)
    }

    fn text(&self) -> Cow<'d, str> {
        Cow::Owned(Element::text(self))
    }

    fn own_text_is_blank(&self) -> bool {
        Element::own_text_is_blank(self)
    }
}

/// A plain document.
pub struct Plain<'a> {
    elements: Vec<Data<'a>>,
    attributes: Vec<(&'a str, &'a str)>,
}

/// What is known of an element.
struct Data<'a> {
    name: &'a str,
    namespace: Option<&'a str>,
    /// Its attributes' places.
    attributes: (usize, usize),
    /// What stands between its tags, tags of other elements included.
    content: &'a str,
    /// The first element behind those inside it.
    next: usize,
    blank: bool,
}

/// An element of a [`Plain`] document.
#[derive(Clone, Copy)]
pub struct PlainElement<'d> {
    document: &'d Plain<'d>,
    at: usize,
}

impl fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plain({:?})", self.root())
    }
}

impl fmt::Debug for PlainElement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.name())
    }
}

impl<'a> Plain<'a> {
    /// Reads a plain document within the given bounds, and within narrow ones
    /// of its own: 512 elements, 12 levels, 8 attributes of an element.
    ///
    /// `None` says nothing about the text: it may be good XML that is not
    /// plain, or none at all.
    pub fn read(bytes: &'a [u8], limits: &Limits) -> Option<Self> {
        if bytes.len() > limits.max_bytes {
            return None;
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii())?;
        let elements = MOST_ELEMENTS.min(limits.max_elements);
        let mut reader = Reader {
            text,
            at: 0,
            most: elements.min(limits.max_scope / (MOST_ATTRIBUTES + 1)),
            depth: DEEPEST.min(usize::try_from(limits.max_depth).unwrap_or(DEEPEST)),
            attributes_each: MOST_ATTRIBUTES.min(limits.max_attributes),
            namespaces: Vec::new(),
            plain: Plain { elements: Vec::with_capacity(24), attributes: Vec::with_capacity(24) },
        };
        reader.document()?;
        Some(reader.plain)
    }

    /// The root element.
    pub fn root(&self) -> PlainElement<'_> {
        PlainElement { document: self, at: 0 }
    }
}

impl<'d> PlainElement<'d> {
    fn data(&self) -> Option<&'d Data<'d>> {
        self.document.elements.get(self.at)
    }

    /// All attributes: local name, value. Declarations of namespaces are not among them.
    pub fn attributes(&self) -> &'d [(&'d str, &'d str)] {
        self.data()
            .and_then(|d| self.document.attributes.get(d.attributes.0..d.attributes.1))
            .unwrap_or_default()
    }
}

impl<'d> Node<'d> for PlainElement<'d> {
    fn name(&self) -> &'d str {
        self.data().map_or("", |d| d.name)
    }

    fn namespace(&self) -> Option<&'d str> {
        self.data().and_then(|d| d.namespace)
    }

    fn attribute(&self, local: &str) -> Option<&'d str> {
        self.attributes().iter().find(|(name, _)| *name == local).map(|(_, value)| *value)
    }

    fn children(&self) -> impl Iterator<Item = Self> + use<'d> {
        let document = self.document;
        let mut at = self.at + 1;
        let end = self.data().map_or(0, |d| d.next);
        std::iter::from_fn(move || {
            let child = (at < end).then_some(PlainElement { document, at })?;
            at = document.elements.get(at)?.next;
            Some(child)
        })
    }

    fn text(&self) -> Cow<'d, str> {
        let Some(data) = self.data() else { return Cow::Borrowed("") };
        if data.next == self.at + 1 {
            return Cow::Borrowed(data.content);
        }
        // The pieces between tags; no tag has a `>` inside it.
        let pieces = data.content.split('<').enumerate();
        let text = pieces.filter_map(|(i, piece)| {
            if i == 0 { Some(piece) } else { piece.split_once('>').map(|(_, text)| text) }
        });
        Cow::Owned(text.collect())
    }

    fn own_text_is_blank(&self) -> bool {
        self.data().is_none_or(|d| d.blank)
    }
}

/// An element whose end was not reached yet.
struct Open<'a> {
    qualified: &'a str,
    element: usize,
    content: usize,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    most: usize,
    depth: usize,
    attributes_each: usize,
    /// Prefix and namespace; the default namespace has an empty prefix.
    namespaces: Vec<(&'a str, &'a str)>,
    plain: Plain<'a>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Takes this off the text.
    fn take(&mut self, expected: &str) -> Option<()> {
        self.rest().starts_with(expected.as_bytes()).then(|| self.at += expected.len())
    }

    fn blanks(&mut self) -> usize {
        let blanks = self.rest().iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n')).count();
        self.at += blanks;
        blanks
    }

    /// A name of letters, digits, `-`, `_` and `.`.
    fn name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        if !rest.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
            return None;
        }
        let part = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'-' | b'_' | b'.');
        let length = rest.iter().take_while(part).count();
        let name = self.text.get(self.at..self.at + length)?;
        self.at += length;
        Some(name)
    }

    /// Prefix (or none), local name, and the name as it is written.
    fn qualified(&mut self) -> Option<(&'a str, &'a str, &'a str)> {
        let start = self.at;
        let first = self.name()?;
        if self.rest().first() != Some(&b':') {
            return Some(("", first, first));
        }
        self.at += 1;
        let local = self.name()?;
        Some((first, local, self.text.get(start..self.at)?))
    }

    fn document(&mut self) -> Option<()> {
        if self.rest().starts_with(b"<?") {
            self.take("<?xml version=\"1.0\" encoding=\"UTF-8\"")?;
            // Either, or none.
            let _ = self.take(" standalone=\"yes\"").or_else(|| self.take(" standalone=\"no\""));
            self.take("?>")?;
        }
        self.blanks();
        let mut open: Vec<Open<'a>> = Vec::with_capacity(self.depth);
        loop {
            self.take("<")?;
            if self.rest().first() == Some(&b'/') {
                self.at += 1;
                let closed = open.pop()?;
                let content = self.text.get(closed.content..self.at - 2)?;
                self.take(closed.qualified)?;
                self.take(">")?;
                let next = self.plain.elements.len();
                let data = self.plain.elements.get_mut(closed.element)?;
                (data.content, data.next) = (content, next);
            } else {
                let opened = self.start_tag(open.is_empty())?;
                open.extend(opened);
                if open.len() > self.depth {
                    return None;
                }
            }
            let Some(inside) = open.last() else { break };
            let inside = inside.element;
            let blank = self.character_data()?;
            self.plain.elements.get_mut(inside)?.blank &= blank;
        }
        self.blanks();
        self.rest().is_empty().then_some(())
    }

    /// Passes over text; whether it is all white space.
    fn character_data(&mut self) -> Option<bool> {
        let rest = self.rest();
        let length = memchr::memchr(b'<', rest)?;
        let text = rest.get(..length)?;
        let blank = text.iter().all(|b| matches!(b, b' ' | b'\t' | b'\n'));
        // What would be something else than itself, or nothing at all, is not plain.
        let plain = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\n') && !matches!(b, b'&' | b'>');
        if !blank && !text.iter().all(plain) {
            return None;
        }
        self.at += length;
        Some(blank)
    }

    /// A start tag behind its `<`; what is open then, if the tag does not close itself.
    fn start_tag(&mut self, is_root: bool) -> Option<Option<Open<'a>>> {
        let element = self.plain.elements.len();
        if element == self.most || (is_root && element > 0) {
            return None;
        }
        let (prefix, name, qualified) = self.qualified()?;
        let first = self.plain.attributes.len();
        loop {
            let blanks = self.blanks();
            match self.rest().first()? {
                b'>' | b'/' => break,
                _ if blanks == 0 => return None,
                _ => self.attribute(is_root, first)?,
            }
        }
        let closes = self.rest().first() == Some(&b'/');
        self.at += usize::from(closes);
        self.take(">")?;
        let namespace = match self.namespaces.iter().find(|(p, _)| *p == prefix) {
            Some((_, namespace)) => Some(*namespace),
            None if prefix.is_empty() => None,
            None => return None,
        };
        let attributes = (first, self.plain.attributes.len());
        let next = element + 1;
        let data = Data { name, namespace, attributes, content: "", next, blank: true };
        self.plain.elements.push(data);
        Some((!closes).then_some(Open { qualified, element, content: self.at }))
    }

    fn attribute(&mut self, is_root: bool, first: usize) -> Option<()> {
        let (prefix, name, _) = self.qualified()?;
        self.take("=\"")?;
        let rest = self.rest();
        let length = memchr::memchr(b'"', rest)?;
        let plain = |b: &u8| matches!(b, b' '..=b'~') && !matches!(b, b'&' | b'<' | b'>');
        if !rest.get(..length)?.iter().all(plain) {
            return None;
        }
        let value = self.text.get(self.at..self.at + length)?;
        self.at += length + 1;
        let declared = match (prefix, name) {
            ("", "xmlns") => Some(""),
            ("xmlns", prefix) => Some(prefix),
            ("", _) => None,
            _ => return None,
        };
        let Some(prefix) = declared else {
            let others = self.plain.attributes.get(first..)?;
            if others.len() + self.namespaces.len() >= self.attributes_each
                || others.iter().any(|(other, _)| *other == name)
            {
                return None;
            }
            self.plain.attributes.push((name, value));
            return Some(());
        };
        // What has rules of its own is for the general reader.
        let reserved = prefix.get(..3).is_some_and(|p| p.eq_ignore_ascii_case("xml"))
            || value.is_empty()
            || value.starts_with("http://www.w3.org/XML/1998")
            || value.starts_with("http://www.w3.org/2000/xmlns");
        if !is_root
            || reserved
            || self.namespaces.len() + 1 > self.attributes_each / 2
            || self.namespaces.iter().any(|(other, _)| *other == prefix)
        {
            return None;
        }
        self.namespaces.push((prefix, value));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::Document;
    use proptest::prelude::*;

    fn limits() -> Limits {
        Limits::default()
    }

    fn assert_same<'p, 'd>(plain: PlainElement<'p>, general: Element<'d>) {
        assert_eq!(plain.name(), Element::name(&general));
        assert_eq!(Node::namespace(&plain), Element::namespace(&general));
        assert_eq!(plain.text(), Element::text(&general));
        assert_eq!(plain.own_text_is_blank(), Element::own_text_is_blank(&general));
        let attributes: Vec<_> =
            plain.attributes().iter().map(|(name, value)| (None, *name, *value)).collect();
        assert_eq!(attributes, Element::attributes(&general).collect::<Vec<_>>());
        for (_, name, value) in attributes {
            assert_eq!(plain.attribute(name), Some(value));
        }
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (plain.children().collect(), Element::children(&general).collect());
        assert_eq!(ours.len(), theirs.len());
        ours.into_iter().zip(theirs).for_each(|(ours, theirs)| assert_same(ours, theirs));
    }

    /// Whether the text is plain; when it is, the general reader reads the same.
    fn compare(text: &[u8], limits: &Limits) -> bool {
        let Some(plain) = Plain::read(text, limits) else { return false };
        let general = Document::parse(text, limits)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(text)));
        assert_same(plain.root(), general.root());
        true
    }

    const CHAIN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
        <HashChain xmlns=\"http://cyber.ee/hashchain\" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">\n\
        \t<DefaultDigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha512\"/>\n\
        <HashStep id=\"STEP0\"><StepRef URI=\"#STEP1\" /><HashValue>\n\
        <ds:DigestValue>QUJD\nREVG==</ds:DigestValue></HashValue></HashStep>\n\
        <HashStep   id=\"STEP1\" ><DataRef URI=\"/message.xml\"><ds:DigestValue></ds:DigestValue>text</DataRef></HashStep>\n\
        </HashChain>\n";

    #[test]
    fn what_servers_write_is_plain() {
        assert!(compare(CHAIN.as_bytes(), &limits()));
        assert!(compare(b"<a/>", &limits()));
        assert!(!compare(b"<a b='2'/>", &limits()));
        assert!(compare(b"<p:a xmlns:p=\"u:1\" b=\"1\"><q/> </p:a>", &limits()));
        let text = Plain::read(CHAIN.as_bytes(), &limits()).map(|p| p.root().text().into_owned());
        assert!(text.unwrap().contains("QUJD\nREVG=="));
    }

    #[test]
    fn everything_else_is_left_to_the_general_reader() {
        for text in [
            "",
            " ",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a></a>x",
            "x<a/>",
            "<a b=\"1\" b=\"2\"/>",
            "<a b=\"1\"c=\"2\"/>",
            "<a><!-- c --></a>",
            "<a><![CDATA[x]]></a>",
            "<a>&lt;</a>",
            "<a>&#65;</a>",
            "<a b=\"&#65;\"/>",
            "<a b=\"<\"/>",
            "<a>]]></a>",
            "<a>\r\n</a>",
            "<a b=\"1\n2\"/>",
            "<a b=\"1\t2\"/>",
            "<a>é</a>",
            "<a>\u{1}</a>",
            "<a>\u{7f}</a>",
            "<?pi?><a/>",
            "<a/><?pi?>",
            "<!DOCTYPE a><a/>",
            "\u{feff}<a/>",
            "<p:a/>",
            "<a p:b=\"1\"/>",
            "<a xml:id=\"1\"/>",
            "<a xmlns=\"\"/>",
            "<a><b xmlns=\"u\"/></a>",
            "<a xmlns:p=\"\"/>",
            "<a xmlns:xml=\"http://www.w3.org/XML/1998/namespace\"/>",
            "<a xmlns:p=\"http://www.w3.org/2000/xmlns/\"/>",
            "<a xmlns=\"u\" xmlns=\"v\"/>",
            "<a ></a >",
            "</a>",
            "<a",
            "<a b",
            "<a b=\"",
            "<a b=\"1\"",
            "<1/>",
            "<a:/>",
            "<:a/>",
            "<?xml version=\"1.1\" encoding=\"UTF-8\"?><a/>",
            " <?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>",
        ] {
            assert!(!compare(text.as_bytes(), &limits()), "{text}");
        }
    }

    #[test]
    fn bounds_hold() {
        let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        let beside = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n - 1));
        let with = |n: usize| {
            format!("<a{}/>", (0..n).map(|i| format!(" a{i}=\"1\"")).collect::<String>())
        };
        for (made, most) in [
            (&nested as &dyn Fn(usize) -> String, DEEPEST),
            (&beside, MOST_ELEMENTS),
            (&with, MOST_ATTRIBUTES),
        ] {
            assert!(compare(made(most).as_bytes(), &limits()));
            assert!(!compare(made(most + 1).as_bytes(), &limits()));
        }
        for narrow in [
            Limits { max_bytes: CHAIN.len() - 1, ..limits() },
            Limits { max_depth: 3, ..limits() },
            Limits { max_elements: 8, ..limits() },
            Limits { max_attributes: 1, ..limits() },
            Limits { max_scope: 10, ..limits() },
        ] {
            assert!(!compare(CHAIN.as_bytes(), &narrow), "{narrow:?}");
        }
    }

    fn element(depth: u32) -> BoxedStrategy<String> {
        let name = prop_oneof![Just("a"), Just("p:b"), Just("q:c"), Just("xml-d"), Just("_.e")];
        let attribute = prop_oneof![
            Just(""),
            Just(" x=\"1\""),
            Just("  y=\"#a b\" z=\"\""),
            Just(" p:x=\"1\""),
            Just(" xmlns:q=\"u:q\"")
        ];
        let text = prop_oneof![Just(""), Just("\n  "), Just("QUJD+/="), Just(" a b ")];
        let inside: BoxedStrategy<Vec<String>> = if depth == 0 {
            Just(Vec::new()).boxed()
        } else {
            proptest::collection::vec(element(depth - 1), 0..4).boxed()
        };
        (name, attribute, text.clone(), inside, text)
            .prop_map(|(name, attribute, before, inside, between)| {
                if before.is_empty() && inside.is_empty() {
                    return format!("<{name}{attribute}/>");
                }
                let inside: String = inside.into_iter().map(|i| i + between).collect();
                format!("<{name}{attribute}>{before}{inside}</{name}>")
            })
            .boxed()
    }

    fn document() -> impl Strategy<Value = String> {
        element(3)
            .prop_map(|inside| format!("<r xmlns=\"u:1\" xmlns:p=\"u:2\" id=\"1\">{inside}</r>\n"))
    }

    proptest! {
        #[test]
        fn the_two_readers_agree(text in document()) {
            let plain = !text.contains("p:x") && !text.contains("q:") && !text.contains(":q");
            prop_assert_eq!(compare(text.as_bytes(), &limits()), plain, "{}", text);
        }

        #[test]
        fn the_two_readers_agree_on_what_was_changed(
            text in prop_oneof![document(), Just(CHAIN.to_owned())],
            changes in proptest::collection::vec(
                (any::<proptest::sample::Index>(), 0..3_u8, proptest::sample::select(b"<>/=\"'& \t\n\r!?-:;#xap:\x00\x7f\xc3[]".to_vec())),
                1..4,
            ),
        ) {
            let mut bytes = text.into_bytes();
            for (at, kind, byte) in changes {
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            compare(&bytes, &limits());
        }

        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            compare(&bytes, &limits());
        }
    }
}
