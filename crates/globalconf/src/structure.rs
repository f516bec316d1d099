//! Reading of configuration documents: elements of no namespace below a root that has one, and
//! identifiers whose parts have a namespace of their own (protocol reference 7.7).

use causeway_identifiers::ClientId;
use causeway_xml::{Document, Element, Limits, decode_base64};
use time::OffsetDateTime;

use crate::{EncodedCertificate, GlobalConfError, instant};

/// The namespace of the root elements.
pub(crate) const XROAD: &str = "http://x-road.eu/xsd/xroad.xsd";
/// The namespace of the parts of identifiers and of their `objectType`.
pub(crate) const IDENTIFIERS: &str = "http://x-road.eu/xsd/identifiers";

/// Reading one kind of document; every error names it.
#[derive(Clone, Copy)]
pub(crate) struct Structure {
    what: &'static str,
}

type Result<T> = std::result::Result<T, GlobalConfError>;

impl Structure {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what }
    }

    pub(crate) fn error(self, why: impl Into<String>) -> GlobalConfError {
        GlobalConfError::malformed(self.what, why)
    }

    /// Parses a document whose root has the given local name.
    pub(crate) fn document<'a>(
        self,
        xml: &'a [u8],
        limits: &Limits,
        root: &str,
    ) -> Result<Document<'a>> {
        let document = Document::parse(xml, limits).map_err(|e| self.error(e.to_string()))?;
        if !document.root().is(XROAD, root) {
            return Err(self.error(format!("the root element is not '{root}' of {XROAD}")));
        }
        Ok(document)
    }

    /// The children of this name that are in no namespace.
    pub(crate) fn all<'d>(
        self,
        parent: Element<'d>,
        name: &'static str,
    ) -> impl Iterator<Item = Element<'d>> {
        parent.children().filter(move |child| is_plain(child, name))
    }

    pub(crate) fn at_most_one<'d>(
        self,
        parent: Element<'d>,
        name: &'static str,
    ) -> Result<Option<Element<'d>>> {
        let mut found = self.all(parent, name);
        let first = found.next();
        if found.next().is_some() {
            return Err(self.error(format!("more than one '{name}' in '{}'", parent.name())));
        }
        Ok(first)
    }

    pub(crate) fn one<'d>(self, parent: Element<'d>, name: &'static str) -> Result<Element<'d>> {
        self.at_most_one(parent, name)?
            .ok_or_else(|| self.error(format!("no '{name}' in '{}'", parent.name())))
    }

    /// The text of a child that must be there; it may be empty.
    pub(crate) fn text(self, parent: Element<'_>, name: &'static str) -> Result<String> {
        Ok(self.one(parent, name)?.text())
    }

    pub(crate) fn optional_text(
        self,
        parent: Element<'_>,
        name: &'static str,
    ) -> Result<Option<String>> {
        Ok(self.at_most_one(parent, name)?.map(|e| e.text()))
    }

    /// As [`Structure::text`], trimmed, and not empty.
    pub(crate) fn token(self, parent: Element<'_>, name: &'static str) -> Result<String> {
        let text = self.text(parent, name)?.trim().to_owned();
        if text.is_empty() {
            return Err(self.error(format!("'{name}' is empty")));
        }
        Ok(text)
    }

    pub(crate) fn bytes(self, element: Element<'_>) -> Result<Vec<u8>> {
        decode_base64(&element.text())
            .ok_or_else(|| self.error(format!("'{}' is not base64", element.name())))
    }

    pub(crate) fn certificate(self, element: Element<'_>) -> Result<EncodedCertificate> {
        let bytes = self.bytes(element)?;
        if bytes.is_empty() {
            return Err(self.error(format!("'{}' is empty", element.name())));
        }
        Ok(bytes.into())
    }

    pub(crate) fn certificates(
        self,
        parent: Element<'_>,
        name: &'static str,
    ) -> Result<Vec<EncodedCertificate>> {
        self.all(parent, name).map(|e| self.certificate(e)).collect()
    }

    /// A number of seconds or the like: an `xsd:integer` that is not negative.
    pub(crate) fn number(self, parent: Element<'_>, name: &'static str) -> Result<u32> {
        let text = self.token(parent, name)?;
        text.strip_prefix('+')
            .unwrap_or(&text)
            .parse()
            .map_err(|_| self.error(format!("'{name}' is not a number from 0 to {}", u32::MAX)))
    }

    pub(crate) fn boolean(self, element: Element<'_>) -> Result<bool> {
        match element.text().trim() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.error(format!("'{}' is neither true nor false", element.name()))),
        }
    }

    /// An `xsd:dateTime`; without an offset it counts as UTC.
    pub(crate) fn date_time(self, element: Element<'_>) -> Result<OffsetDateTime> {
        let text = element.text();
        instant::parse(text.trim())
            .or_else(|| instant::parse(&format!("{}Z", text.trim())))
            .ok_or_else(|| self.error(format!("'{}' is not a date and time", element.name())))
    }

    /// A member's or subsystem's identifier. Its type leaves no room for other parts.
    pub(crate) fn client_id(self, element: Element<'_>) -> Result<ClientId> {
        let (mut instance, mut class, mut code, mut subsystem) = (None, None, None, None);
        for child in element.children() {
            let place = match child.name() {
                "xRoadInstance" => &mut instance,
                "memberClass" => &mut class,
                "memberCode" => &mut code,
                "subsystemCode" => &mut subsystem,
                _ => return Err(self.unexpected(child, element)),
            };
            if child.namespace() != Some(IDENTIFIERS) || place.is_some() {
                return Err(self.unexpected(child, element));
            }
            *place = Some(child.text());
        }
        // X-Road goes by the parts: a subsystem labelled MEMBER is in use.
        match (element.attribute_ns(IDENTIFIERS, "objectType"), &subsystem) {
            (Some("MEMBER"), _) | (Some("SUBSYSTEM"), Some(_)) => {}
            (found, _) => {
                return Err(self.error(format!(
                    "'{}' has the object type '{}', which is not what its parts say",
                    element.name(),
                    found.unwrap_or_default()
                )));
            }
        }
        let part = |value: Option<String>| value.unwrap_or_default();
        ClientId::new(&part(instance), &part(class), &part(code), subsystem.as_deref())
            .map_err(|e| self.error(format!("'{}': {e}", element.name())))
    }

    /// Refuses children of other names, for documents whose schema leaves no room for them.
    pub(crate) fn only(self, parent: Element<'_>, names: &[&str]) -> Result<()> {
        match parent.children().find(|c| !names.iter().any(|name| is_plain(c, name))) {
            Some(child) => Err(self.unexpected(child, parent)),
            None => Ok(()),
        }
    }

    fn unexpected(self, child: Element<'_>, parent: Element<'_>) -> GlobalConfError {
        self.error(format!("unexpected '{}' in '{}'", child.qualified_name(), parent.name()))
    }
}

fn is_plain(element: &Element<'_>, name: &str) -> bool {
    element.name() == name && element.namespace().is_none()
}
