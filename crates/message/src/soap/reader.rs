//! Reading a SOAP message in one pass: the header's fields, the body's element, or a fault.
//!
//! The checks come in the order of the text, those of the whole at the end of the envelope, as in
//! X-Road's `SaxSoapParserImpl`, so that a message with several errors gets the same code.

use std::ops::Range;

use causeway_identifiers::{ClientId, SecurityServerId, ServiceId};
use causeway_xml::{Event, Events, Limits, Name, XmlError};

use super::{
    ENCODING_NS, ENVELOPE_NS, HEADER_NS, IDENTIFIER_NS, REPRESENTATION_NS, RepresentedParty,
    RequestHash, SoapMessage,
};
use crate::{Fault, codes};

/// What a message may ask of us. No tree is built, so that elements cost nothing but time.
const LIMITS: Limits = Limits {
    max_bytes: super::MAX_BYTES * 2,
    max_depth: 200,
    max_elements: 5_000_000,
    max_attributes: 256,
    max_scope: 20_000_000,
};
/// The longest header field that is read, in bytes.
const MAX_FIELD: usize = 64 << 10;

/// What was read.
pub(super) enum Read {
    /// A message.
    Message(Box<SoapMessage>, Box<Marks>),
    /// A fault; see [`FaultText`].
    Fault(FaultText),
}

/// What a fault says.
#[derive(Debug, Default, Clone)]
pub(super) struct FaultText {
    pub(super) code: String,
    pub(super) string: String,
    pub(super) detail: String,
}

/// Where in the text the request hash stands, or is to stand.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The end of the header field `id`.
    pub(super) after_id: usize,
    /// The prefix of that element, with its colon.
    pub(super) prefix: String,
    /// What the hash's element takes over from it: attributes and declarations of namespaces.
    pub(super) attributes: Vec<(String, String)>,
    /// Request hashes that are there already.
    pub(super) hashes: Vec<Range<usize>>,
    /// The white space before a header field.
    pub(super) indentation: Option<String>,
}

/// Reads a text.
///
/// # Errors
/// X-Road's codes, without a prefix.
pub(super) fn read(text: &str) -> Result<Read, Fault> {
    let mut events = Events::new(text, &LIMITS).map_err(|e| not_soap(&e))?;
    let mut reading = Reading::default();
    while let Some(event) = events.next_event().map_err(|e| not_soap(&e))? {
        match event {
            Event::Start { name, attributes, namespaces, at } => {
                reading.start(&name, &attributes, &namespaces, at.start)?;
                reading.position = at.end;
            }
            Event::Text { content, at } => {
                reading.nothing_between(at.start)?;
                reading.text(&content)?;
                reading.position = at.end;
            }
            Event::End { at } => {
                reading.nothing_between(at.start)?;
                reading.end(at.end)?;
                reading.position = at.end;
            }
        }
    }
    reading.outcome()
}

pub(super) fn not_soap(error: &XmlError) -> Fault {
    let code = match error {
        XmlError::TooLarge(_) | XmlError::TooComplex(_) => codes::INVALID_XML,
        _ => codes::INVALID_SOAP,
    };
    Fault::new(code, error.to_string())
}

/// The element that the reader is in, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Envelope,
    Header,
    Field(Field),
    RequestHash,
    Identifier(Identifier),
    /// A part of an identifier, by its place in [`PARTS`].
    Part(usize),
    Party,
    PartyPart(usize),
    Body,
    Fault,
    FaultField(usize),
    FaultDetail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    UserId,
    Issue,
    ProtocolVersion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identifier {
    Client,
    Service,
    Server,
}

const PARTS: [&str; 7] = [
    "xRoadInstance",
    "memberClass",
    "memberCode",
    "subsystemCode",
    "serviceCode",
    "serviceVersion",
    "serverCode",
];

impl Identifier {
    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Service => "service",
            Self::Server => "securityServer",
        }
    }

    fn types(self) -> &'static [&'static str] {
        match self {
            Self::Client => &["MEMBER", "SUBSYSTEM"],
            Self::Service => &["SERVICE"],
            Self::Server => &["SERVER"],
        }
    }

    /// Which of [`PARTS`] it has; others in it are passed over.
    fn has(self, part: usize) -> bool {
        match self {
            Self::Client => part < 4,
            Self::Service => part < 6,
            Self::Server => part < 3 || part == 6,
        }
    }
}

const FAULT_FIELDS: [&str; 3] = ["faultcode", "faultstring", "faultactor"];

#[derive(Default)]
struct Reading {
    places: Vec<Place>,
    /// How deep in elements that nobody looks into.
    ignored: usize,
    value: String,
    parts: [Option<String>; 7],
    party: [Option<String>; 2],
    client: Option<ClientId>,
    service: Option<ServiceId>,
    server: Option<SecurityServerId>,
    message_id: Option<String>,
    user_id: Option<String>,
    issue: Option<String>,
    protocol_version: Option<String>,
    represented_party: Option<RepresentedParty>,
    request_hash: Option<RequestHash>,
    algorithm: Option<String>,
    header_begun: bool,
    header_ended: bool,
    body_begun: bool,
    operation: Option<String>,
    rpc: bool,
    fault: Option<FaultText>,
    /// What stands in a fault's `detail` beside elements.
    detail: String,
    hash_begins: usize,
    marks: Marks,
    /// The end of what was read last.
    position: usize,
}

type Attributes<'e, 'a> = &'e [(Name<'a>, std::borrow::Cow<'a, str>)];
type Namespaces<'e, 'a> = &'e [(std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)];

impl Reading {
    fn start(
        &mut self,
        name: &Name<'_>,
        attributes: Attributes<'_, '_>,
        namespaces: Namespaces<'_, '_>,
        at: usize,
    ) -> Result<(), Fault> {
        if self.ignored > 0 {
            if matches!(self.places.last(), Some(Place::Identifier(_) | Place::Party)) {
                return Err(mixed());
            }
            self.ignored += 1;
            return Ok(());
        }
        if self.is_in_value() {
            return Err(mixed());
        }
        let entered = match self.places.last().copied() {
            None if name.is(ENVELOPE_NS, "Envelope") => {
                self.rpc = attributes
                    .iter()
                    .any(|(n, v)| n.is(ENVELOPE_NS, "encodingStyle") && *v == ENCODING_NS);
                Some(Place::Envelope)
            }
            None => {
                return Err(fault(codes::INVALID_SOAP, "The message is not a SOAP 1.1 envelope"));
            }
            Some(Place::Envelope) => self.enter_envelope_child(name)?,
            Some(Place::Header) => self.enter_field(name, attributes, namespaces, at)?,
            Some(Place::Identifier(identifier)) => PARTS
                .iter()
                .position(|part| name.is(IDENTIFIER_NS, part))
                .filter(|part| identifier.has(*part))
                .map(|part| self.once(self.parts[part].is_some(), name).map(|()| Place::Part(part)))
                .transpose()?,
            Some(Place::Party) => ["partyClass", "partyCode"]
                .iter()
                .position(|part| name.is(REPRESENTATION_NS, part))
                .map(|part| {
                    self.once(self.party[part].is_some(), name).map(|()| Place::PartyPart(part))
                })
                .transpose()?,
            Some(Place::Body) => self.enter_body_child(name)?,
            Some(Place::Fault) if name.local == "detail" => {
                self.detail.clear();
                Some(Place::FaultDetail)
            }
            Some(Place::Fault) => {
                FAULT_FIELDS.iter().position(|f| *f == name.local).map(Place::FaultField)
            }
            Some(Place::FaultDetail) if name.local == "faultDetail" => {
                self.detail.push_str(&std::mem::take(&mut self.value));
                Some(Place::FaultField(FAULT_FIELDS.len()))
            }
            Some(_) => None,
        };
        match entered {
            Some(place) => {
                self.value.clear();
                self.places.push(place);
            }
            None => self.ignored = 1,
        }
        Ok(())
    }

    fn enter_envelope_child(&mut self, name: &Name<'_>) -> Result<Option<Place>, Fault> {
        // Beyond X-Road, which reads the fields of all headers and the last body: another reader may take others.
        if name.is(ENVELOPE_NS, "Header") {
            if std::mem::replace(&mut self.header_begun, true) {
                return Err(fault(codes::INVALID_SOAP, "The SOAP message has two headers"));
            }
            return Ok(Some(Place::Header));
        }
        if name.is(ENVELOPE_NS, "Body") {
            if std::mem::replace(&mut self.body_begun, true) {
                return Err(fault(codes::INVALID_BODY, "The SOAP message has two bodies"));
            }
            return Ok(Some(Place::Body));
        }
        Ok(None)
    }

    fn enter_field(
        &mut self,
        name: &Name<'_>,
        attributes: Attributes<'_, '_>,
        namespaces: Namespaces<'_, '_>,
        at: usize,
    ) -> Result<Option<Place>, Fault> {
        if name.is(REPRESENTATION_NS, "representedParty") {
            self.once(self.represented_party.is_some(), name)?;
            self.party = [None, None];
            return Ok(Some(Place::Party));
        }
        if name.namespace.as_deref() != Some(HEADER_NS) {
            return Ok(None);
        }
        let (is_repeated, place) = match &*name.local {
            "id" => (self.message_id.is_some(), Place::Field(Field::Id)),
            "userId" => (self.user_id.is_some(), Place::Field(Field::UserId)),
            "issue" => (self.issue.is_some(), Place::Field(Field::Issue)),
            "protocolVersion" => {
                (self.protocol_version.is_some(), Place::Field(Field::ProtocolVersion))
            }
            "client" => (self.client.is_some(), Place::Identifier(Identifier::Client)),
            "service" => (self.service.is_some(), Place::Identifier(Identifier::Service)),
            "securityServer" => (self.server.is_some(), Place::Identifier(Identifier::Server)),
            "requestHash" => (self.request_hash.is_some(), Place::RequestHash),
            _ => return Ok(None),
        };
        self.once(is_repeated, name)?;
        match place {
            Place::Identifier(identifier) => {
                judge_type(identifier, attributes)?;
                self.parts = Default::default();
            }
            Place::RequestHash => {
                self.hash_begins = at;
                self.algorithm = attributes
                    .iter()
                    .find(|(n, _)| n.namespace.is_none() && n.local == "algorithmId")
                    .map(|(_, v)| v.clone().into_owned());
            }
            Place::Field(Field::Id) => self.mark_id(name, attributes, namespaces),
            _ => {}
        }
        Ok(Some(place))
    }

    fn mark_id(
        &mut self,
        name: &Name<'_>,
        attributes: Attributes<'_, '_>,
        namespaces: Namespaces<'_, '_>,
    ) {
        self.marks.prefix = match name.prefix.as_deref() {
            None | Some("") => String::new(),
            Some(prefix) => format!("{prefix}:"),
        };
        let declared = namespaces.iter().map(|(prefix, uri)| {
            let name =
                if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
            (name, uri.clone().into_owned())
        });
        let others = attributes
            .iter()
            .filter(|(n, _)| n.namespace.is_some() || n.local != "algorithmId")
            .map(|(n, v)| (n.qualified(), v.clone().into_owned()));
        self.marks.attributes = declared.chain(others).collect();
    }

    fn enter_body_child(&mut self, name: &Name<'_>) -> Result<Option<Place>, Fault> {
        // A fault is passed on without a signature: nothing may come along with it.
        if self.operation.is_some() || self.fault.is_some() {
            return Err(fault(codes::INVALID_BODY, "The SOAP body has more than one element"));
        }
        if name.is(ENVELOPE_NS, "Fault") {
            self.fault = Some(FaultText::default());
            return Ok(Some(Place::Fault));
        }
        self.operation = Some(name.local.clone().into_owned());
        Ok(None)
    }

    /// Whether the reader is in a value of the header. One reader takes all text below an element for its value,
    /// another the first piece: where both do not see the same, nobody knows who speaks.
    fn is_in_value(&self) -> bool {
        matches!(
            self.places.last(),
            Some(Place::Field(_) | Place::RequestHash | Place::Part(_) | Place::PartyPart(_))
        )
    }

    /// Refuses comments and processing instructions within a value of the header.
    fn nothing_between(&self, at: usize) -> Result<(), Fault> {
        if self.ignored == 0 && self.is_in_value() && at > self.position {
            return Err(mixed());
        }
        Ok(())
    }

    fn text(&mut self, content: &str) -> Result<(), Fault> {
        if self.marks.indentation.is_none()
            && self.places.contains(&Place::Header)
            && content.bytes().all(|b| b <= b' ')
        {
            self.marks.indentation = Some(content.to_owned());
        }
        let collects = !matches!(
            self.places.last(),
            None | Some(Place::Envelope | Place::Header | Place::Body | Place::Fault)
        );
        if self.ignored == 0 && collects {
            if self.value.len() + content.len() > MAX_FIELD {
                return Err(fault(codes::INVALID_SOAP, "A field of the SOAP header is too long"));
            }
            self.value.push_str(content);
        }
        Ok(())
    }

    fn end(&mut self, at: usize) -> Result<(), Fault> {
        if self.ignored > 0 {
            self.ignored -= 1;
            return Ok(());
        }
        let value = std::mem::take(&mut self.value);
        match self.places.pop() {
            Some(Place::Field(Field::Id)) => {
                self.message_id = Some(value);
                self.marks.after_id = at;
            }
            Some(Place::Field(Field::UserId)) => self.user_id = Some(value),
            Some(Place::Field(Field::Issue)) => self.issue = Some(value),
            Some(Place::Field(Field::ProtocolVersion)) => {
                if !value.starts_with("4.") {
                    let given: String = value.chars().take(20).collect();
                    let text = format!("Protocol version '{given}' is not spoken here: 4.0 is");
                    return Err(fault(codes::INVALID_PROTOCOL_VERSION, text));
                }
                self.protocol_version = Some(value);
            }
            Some(Place::RequestHash) => {
                self.request_hash = Some(RequestHash { algorithm: self.algorithm.take(), value });
                self.marks.hashes.push(self.hash_begins..at);
            }
            Some(Place::Part(part)) => self.parts[part] = Some(value),
            Some(Place::PartyPart(part)) => self.party[part] = Some(value),
            Some(Place::Party) => {
                let [class, code] = std::mem::take(&mut self.party);
                self.represented_party = Some(RepresentedParty { class, code });
            }
            Some(Place::Identifier(identifier)) => self.end_identifier(identifier)?,
            Some(Place::FaultField(field)) => {
                if let Some(read) = &mut self.fault {
                    match field {
                        0 => read.code = value,
                        1 => read.string = value,
                        2 => {}
                        _ => read.detail = value,
                    }
                }
            }
            Some(Place::FaultDetail) => {
                self.detail.push_str(&value);
                if let Some(read) = self.fault.as_mut().filter(|f| f.detail.is_empty()) {
                    read.detail = std::mem::take(&mut self.detail);
                }
            }
            Some(Place::Header) => self.header_ended = true,
            Some(Place::Envelope | Place::Body | Place::Fault) | None => {}
        }
        Ok(())
    }

    fn end_identifier(&mut self, identifier: Identifier) -> Result<(), Fault> {
        let parts = std::mem::take(&mut self.parts);
        let [instance, class, member, subsystem, code, version, server] = &parts;
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        // A blank part is an error of X-Road's own there, and told as such.
        let unreadable = |e: causeway_identifiers::IdentifierError| {
            let text = format!("In the header field {}: {e}", identifier.name());
            fault(codes::INTERNAL_ERROR, text)
        };
        let client =
            ClientId::new(&text(instance), &text(class), &text(member), subsystem.as_deref())
                .map_err(unreadable)?;
        match identifier {
            Identifier::Client => self.client = Some(client),
            Identifier::Service => {
                let service = client.service(&text(code), version.as_deref());
                self.service = Some(service.map_err(unreadable)?);
            }
            Identifier::Server => {
                let id = SecurityServerId::new(client.member().clone(), &text(server));
                self.server = Some(id.map_err(unreadable)?);
            }
        }
        Ok(())
    }

    fn once(&self, is_repeated: bool, name: &Name<'_>) -> Result<(), Fault> {
        if is_repeated {
            let text = format!("The header field {} is repeated", name.local);
            return Err(fault(codes::DUPLICATE_HEADER_FIELD, text));
        }
        Ok(())
    }

    /// What was read, once the text is over: its checks are those of X-Road at the end of the envelope.
    fn outcome(self) -> Result<Read, Fault> {
        if let Some(read) = self.fault {
            return Ok(Read::Fault(read));
        }
        if !self.header_ended {
            return Err(fault(codes::MISSING_HEADER, "The SOAP message has no header"));
        }
        let missing = |field: &str| {
            let text = format!("The SOAP header has no field {field}, which is mandatory");
            fault(codes::MISSING_HEADER_FIELD, text)
        };
        let protocol_version = self.protocol_version.ok_or_else(|| missing("protocolVersion"))?;
        let client = self.client.ok_or_else(|| missing("client"))?;
        let message_id = self.message_id.ok_or_else(|| missing("id"))?;
        let service = self.service.ok_or_else(|| missing("service"))?;
        if message_id.trim().is_empty() {
            return Err(missing("id"));
        }
        if !self.body_begun {
            return Err(fault(codes::MISSING_BODY, "The SOAP message has no body"));
        }
        let operation = self
            .operation
            .ok_or_else(|| fault(codes::INVALID_BODY, "The SOAP body has no element"))?;
        if !operation.starts_with(service.code()) {
            let text = "The body's element is not named as the service code in the header";
            return Err(fault(codes::INCONSISTENT_HEADERS, text));
        }
        let message = SoapMessage {
            client,
            service,
            message_id,
            security_server: self.server,
            user_id: self.user_id,
            issue: self.issue,
            represented_party: self.represented_party,
            protocol_version,
            request_hash: self.request_hash,
            response: operation.ends_with("Response"),
            operation,
            rpc: self.rpc,
        };
        Ok(Read::Message(Box::new(message), Box::new(self.marks)))
    }
}

fn mixed() -> Fault {
    let text = "A field of the SOAP header has elements, comments or instructions among its text";
    fault(codes::INVALID_SOAP, text)
}

fn judge_type(identifier: Identifier, attributes: Attributes<'_, '_>) -> Result<(), Fault> {
    let kind = attributes.iter().find(|(n, _)| n.is(IDENTIFIER_NS, "objectType"));
    if kind.is_some_and(|(_, kind)| identifier.types().contains(&&**kind)) {
        return Ok(());
    }
    let text = format!(
        "The header field {} has no objectType of {}",
        identifier.name(),
        identifier.types().join(" or ")
    );
    Err(fault(codes::INVALID_XML, text))
}

fn fault(code: &'static str, text: impl Into<String>) -> Fault {
    Fault::new(code, text)
}
