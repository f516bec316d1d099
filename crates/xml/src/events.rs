//! Reading a text piece by piece, without a tree: for messages whose content is somebody else's.

use std::borrow::Cow;
use std::ops::Range;

use uppsala::{PullEvent, PullParser};

use crate::{Limits, XmlError, declaration, limits};

/// One piece of a text, in document order. Comments and processing instructions are passed over;
/// ranges are bytes of the text that [`Events::new`] was given.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// An element begins.
    Start {
        /// Its name.
        name: Name<'a>,
        /// Its attributes, in order, without declarations of namespaces.
        attributes: Vec<(Name<'a>, Cow<'a, str>)>,
        /// The namespaces that it declares: prefix (empty for the default one) and URI.
        namespaces: Vec<(Cow<'a, str>, Cow<'a, str>)>,
        /// Where the start tag stands.
        at: Range<usize>,
    },
    /// An element ends.
    End {
        /// Where the end tag stands; for `<a/>`, the whole of it.
        at: Range<usize>,
    },
    /// Character data, references resolved; also what a CDATA section holds.
    Text {
        /// The characters.
        content: Cow<'a, str>,
        /// Where they stand.
        at: Range<usize>,
    },
}

/// The name of an element or attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<'a> {
    /// The namespace, if any.
    pub namespace: Option<Cow<'a, str>>,
    /// The prefix as written, if any.
    pub prefix: Option<Cow<'a, str>>,
    /// The local name.
    pub local: Cow<'a, str>,
}

impl Name<'_> {
    /// Whether the name has this namespace and local name.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.local == local && self.namespace.as_deref() == Some(namespace)
    }

    /// The name as written, with its prefix.
    pub fn qualified(&self) -> String {
        match &self.prefix {
            Some(prefix) if !prefix.is_empty() => format!("{prefix}:{}", self.local),
            _ => self.local.clone().into_owned(),
        }
    }
}

impl<'a> From<uppsala::QName<'a>> for Name<'a> {
    fn from(name: uppsala::QName<'a>) -> Self {
        Self { namespace: name.namespace_uri, prefix: name.prefix, local: name.local_name }
    }
}

/// The events of a text, within bounds and with the same rules as [`crate::Document`]: no document
/// types, no entities but the five of XML itself. Whoever reads to the end knows that the text is well-formed.
pub struct Events<'a> {
    parser: PullParser<'a>,
}

impl std::fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl<'a> Events<'a> {
    /// Events of a text that was decoded already: what its declaration says of the encoding is not looked at.
    ///
    /// # Errors
    /// [`XmlError`] for a text beyond the bounds, with a document type, or with a declaration that cannot be read.
    pub fn new(text: &'a str, limits: &Limits) -> Result<Self, XmlError> {
        limits::check(text.as_bytes(), limits)?;
        declaration::check_decoded(text)?;
        let parser = PullParser::new(text)
            .with_max_depth(limits.max_depth)
            .with_max_entity_expansion(0)
            .with_forbid_dtd(true)
            .with_forbid_entities(true);
        Ok(Self { parser })
    }

    /// The next event; `None` at the end of the text.
    ///
    /// # Errors
    /// [`XmlError::Malformed`]; there is nothing after it.
    pub fn next_event(&mut self) -> Result<Option<Event<'a>>, XmlError> {
        loop {
            let event = self.parser.next_event();
            let Some(event) = event.map_err(|e| XmlError::Malformed(e.to_string()))? else {
                return Ok(None);
            };
            return Ok(Some(match event {
                PullEvent::StartElement {
                    name,
                    attributes,
                    namespace_declarations,
                    byte_start,
                    byte_end,
                    ..
                } => Event::Start {
                    name: name.into(),
                    attributes: attributes.into_iter().map(|a| (a.name.into(), a.value)).collect(),
                    namespaces: namespace_declarations,
                    at: byte_start..byte_end,
                },
                PullEvent::EndElement { byte_start, byte_end, .. } => {
                    Event::End { at: byte_start..byte_end }
                }
                PullEvent::Text { content, byte_start, byte_end }
                | PullEvent::CData { content, byte_start, byte_end } => {
                    Event::Text { content, at: byte_start..byte_end }
                }
                _ => continue,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::Document;
    use proptest::prelude::*;

    fn all(text: &str) -> Result<Vec<Event<'_>>, XmlError> {
        let mut events = Events::new(text, &Limits::default())?;
        std::iter::from_fn(|| events.next_event().transpose()).collect()
    }

    #[test]
    fn events_tell_where_they_stand() {
        let text = "<?xml version='1.0' encoding='ISO-8859-1'?><a xmlns='u' b='&lt;'><c/>x<![CDATA[<]]></a>";
        let events = all(text).unwrap();
        let Event::Start { name, attributes, namespaces, at } = &events[0] else { panic!() };
        assert!(name.is("u", "a"));
        assert_eq!(attributes[0].1, "<");
        assert_eq!(namespaces[0], ("".into(), "u".into()));
        assert_eq!(&text[at.clone()], "<a xmlns='u' b='&lt;'>");
        let Event::End { at } = &events[2] else { panic!() };
        assert_eq!(&text[at.clone()], "<c/>");
        let texts: String = events
            .iter()
            .filter_map(
                |e| if let Event::Text { content, .. } = e { Some(&**content) } else { None },
            )
            .collect();
        assert_eq!(texts, "x<");
    }

    #[test]
    fn what_a_tree_refuses_is_refused() {
        for text in [
            "<!DOCTYPE a><a/>",
            "<a>&x;</a>",
            "<a><b></a>",
            "<p:a/>",
            "<a x='1' x='2'/>",
            "<a/><b/>",
            "<a>",
            "",
            "<?xml version='2.0'?><a/>",
            "<a>\u{1}</a>",
            "<a b='<'/>",
        ] {
            assert!(all(text).is_err(), "{text}");
            assert!(Document::parse(text.as_bytes(), &Limits::default()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_tree_and_events_agree(text in "(<a>|</a>|<a/>|x|&lt;|&#1;|<!--c-->|<\\?p\\?>|<!\\[CDATA\\[y\\]\\]>| ){0,12}") {
            prop_assert_eq!(all(&text).is_ok(), Document::parse(text.as_bytes(), &Limits::default()).is_ok());
        }
    }
}
