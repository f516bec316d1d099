//! SOAP messages: who speaks to which service, and faults (`pr-mess` 4.0;
//! X-Road 7.8 `SaxSoapParserImpl`, `SoapHeader`, `SoapFault`).
//!
//! Faults also carry REST errors between security servers.

use causeway_identifiers::{ClientId, SecurityServerId, ServiceId};
use causeway_xml::{Document, Element, Limits, Writer, XmlError};

use crate::{Fault, Sender, codes};

/// Namespace of SOAP 1.1 envelopes.
pub const ENVELOPE_NS: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// Namespace of the header fields.
pub const HEADER_NS: &str = "http://x-road.eu/xsd/xroad.xsd";
/// Namespace of identifiers.
pub const IDENTIFIER_NS: &str = "http://x-road.eu/xsd/identifiers";

/// The header of a SOAP message, and what kind its body is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoapMessage {
    /// The client that asks.
    pub client: ClientId,
    /// The service that is asked.
    pub service: ServiceId,
    /// The message id.
    pub message_id: String,
    /// The server that the client asks for, if any.
    pub security_server: Option<SecurityServerId>,
    /// The user on whose behalf the client asks.
    pub user_id: Option<String>,
    /// The matter that the request belongs to.
    pub issue: Option<String>,
    /// `4.0`, or another text that begins with `4.`.
    pub protocol_version: String,
    /// `requestHash` of a response: base64 text.
    pub request_hash: Option<String>,
    /// Whether the body element's name ends in `Response`.
    pub response: bool,
}

fn fault(code: &'static str, text: impl Into<String>) -> Fault {
    Fault::new(code, text)
}

fn not_soap(error: &XmlError) -> Fault {
    match error {
        XmlError::Malformed(_) | XmlError::NotUtf8 => fault(codes::INVALID_SOAP, error.to_string()),
        _ => fault(codes::INVALID_XML, error.to_string()),
    }
}

impl SoapMessage {
    /// Reads the header and the kind of a message.
    ///
    /// # Errors
    /// X-Road's codes: `invalid_soap`, `invalid_xml`, `missing_header`,
    /// `missing_header_field`, `duplicate_header_field`, `missing_body`,
    /// `invalid_body`, `inconsistent_headers`, `invalid_protocol_version`;
    /// a fault in place of a message has the fault's own code.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let doc = Document::parse(bytes, &Limits::default()).map_err(|e| not_soap(&e))?;
        let envelope = doc.root();
        if !envelope.is(ENVELOPE_NS, "Envelope") {
            return Err(fault(codes::INVALID_SOAP, "The message is not a SOAP 1.1 envelope"));
        }
        let body = envelope.child_ns(ENVELOPE_NS, "Body");
        let header = envelope.child_ns(ENVELOPE_NS, "Header").ok_or_else(|| {
            let text = "The SOAP message has no header";
            fault(if body.is_some() { codes::MISSING_HEADER } else { codes::MISSING_BODY }, text)
        })?;
        let body =
            body.ok_or_else(|| fault(codes::MISSING_BODY, "The SOAP message has no body"))?;

        let client = client_id(required(header, "client")?)?;
        let service = service_id(required(header, "service")?)?;
        let message_id = text_of(required(header, "id")?);
        let protocol_version = text_of(required(header, "protocolVersion")?);
        if message_id.is_empty() {
            return Err(fault(codes::MISSING_HEADER_FIELD, "The header field id is empty"));
        }
        if !protocol_version.starts_with("4.") {
            let text = "The protocol version is not supported: 4.0 is";
            return Err(fault(codes::INVALID_PROTOCOL_VERSION, text));
        }
        let mut content = body.children();
        let operation = content
            .next()
            .ok_or_else(|| fault(codes::INVALID_BODY, "The SOAP body has no element"))?;
        if content.next().is_some() {
            return Err(fault(codes::INVALID_BODY, "The SOAP body has more than one element"));
        }
        if !operation.name().starts_with(service.code()) {
            let text = "The body element is not named as the service code in the header";
            return Err(fault(codes::INCONSISTENT_HEADERS, text));
        }
        Ok(Self {
            security_server: optional(header, "securityServer")?.map(server_id).transpose()?,
            user_id: optional(header, "userId")?.map(text_of),
            issue: optional(header, "issue")?.map(text_of),
            request_hash: optional(header, "requestHash")?.map(text_of),
            response: operation.name().ends_with("Response"),
            client,
            service,
            message_id,
            protocol_version,
        })
    }

    /// Who must have signed the message.
    pub fn sender(&self) -> Sender {
        let client = if self.response { self.service.client() } else { &self.client };
        Sender {
            client: client.clone(),
            response: self.response,
            message_id: self.message_id.clone(),
            service: Some(self.service.clone()),
        }
    }
}

fn optional<'d>(header: Element<'d>, name: &str) -> Result<Option<Element<'d>>, Fault> {
    let mut found = header.children().filter(|c| c.is(HEADER_NS, name));
    let first = found.next();
    if found.next().is_some() {
        return Err(fault(
            codes::DUPLICATE_HEADER_FIELD,
            format!("The header field {name} is repeated"),
        ));
    }
    Ok(first)
}

fn required<'d>(header: Element<'d>, name: &str) -> Result<Element<'d>, Fault> {
    optional(header, name)?.ok_or_else(|| {
        fault(codes::MISSING_HEADER_FIELD, format!("The header field {name} is missing"))
    })
}

fn text_of(element: Element<'_>) -> String {
    element.text().trim().to_owned()
}

fn parts<'n>(
    element: Element<'_>,
    types: &[&str],
    names: [&'n str; 7],
) -> Result<[Option<String>; 7], Fault> {
    let kind = element.attribute_ns(IDENTIFIER_NS, "objectType").unwrap_or_default();
    if !types.contains(&kind) {
        let text = format!(
            "The header field {} has not an objectType of {}",
            element.name(),
            types.join(" or ")
        );
        return Err(fault(codes::INVALID_SOAP, text).with_prefix(codes::CLIENT));
    }
    let part = |name: &'n str| element.child_ns(IDENTIFIER_NS, name).map(text_of);
    Ok(names.map(part))
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

fn client_of(field: &str, found: &[Option<String>; 7]) -> Result<ClientId, Fault> {
    let [instance, class, member, subsystem, ..] = found;
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    ClientId::new(&text(instance), &text(class), &text(member), subsystem.as_deref()).map_err(|e| {
        fault(codes::MISSING_HEADER_FIELD, format!("In the header field {field}: {e}"))
    })
}

fn client_id(element: Element<'_>) -> Result<ClientId, Fault> {
    client_of(element.name(), &parts(element, &["MEMBER", "SUBSYSTEM"], PARTS)?)
}

fn service_id(element: Element<'_>) -> Result<ServiceId, Fault> {
    let found = parts(element, &["SERVICE"], PARTS)?;
    let [.., code, version, _] = &found;
    client_of(element.name(), &found)?
        .service(code.as_deref().unwrap_or_default(), version.as_deref())
        .map_err(|e| {
            fault(codes::MISSING_HEADER_FIELD, format!("In the header field service: {e}"))
        })
}

fn server_id(element: Element<'_>) -> Result<SecurityServerId, Fault> {
    let found = parts(element, &["SERVER"], PARTS)?;
    let [.., code] = &found;
    let owner = client_of(element.name(), &found)?.member().clone();
    SecurityServerId::new(owner, code.as_deref().unwrap_or_default()).map_err(|e| {
        fault(codes::MISSING_HEADER_FIELD, format!("In the header field securityServer: {e}"))
    })
}

/// Writes a fault as SOAP, on one line, as X-Road does.
pub fn write_fault(fault: &Fault) -> String {
    let mut w = Writer::new();
    w.start("SOAP-ENV:Envelope", &[("xmlns:SOAP-ENV", ENVELOPE_NS)]);
    w.start("SOAP-ENV:Body", &[]);
    w.start("SOAP-ENV:Fault", &[]);
    w.element("faultcode", &[], fault.code());
    w.element("faultstring", &[], fault.message());
    w.element("faultactor", &[], "");
    w.start("detail", &[]);
    w.element("faultDetail", &[("xmlns", "")], fault.detail());
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", w.finish())
}

/// Reads a SOAP fault.
///
/// # Errors
/// `invalid_soap` for what is not an envelope, `missing_body` without a body,
/// `invalid_message` for a message that is not a fault.
pub fn read_fault(bytes: &[u8]) -> Result<Fault, Fault> {
    let doc = Document::parse(bytes, &Limits { max_bytes: 1 << 20, ..Limits::default() })
        .map_err(|e| not_soap(&e))?;
    let envelope = doc.root();
    if !envelope.is(ENVELOPE_NS, "Envelope") {
        return Err(fault(codes::INVALID_SOAP, "The answer is not a SOAP 1.1 envelope"));
    }
    let body = envelope
        .child_ns(ENVELOPE_NS, "Body")
        .ok_or_else(|| fault(codes::MISSING_BODY, "The SOAP answer has no body"))?;
    let found = body
        .child_ns(ENVELOPE_NS, "Fault")
        .ok_or_else(|| fault(codes::INVALID_MESSAGE, "The SOAP answer is not a fault"))?;
    let text = |name: &str| found.child(name).map(text_of).unwrap_or_default();
    let code = text("faultcode");
    if code.is_empty() || code.len() > 500 {
        return Err(fault(codes::INVALID_SOAP, "The SOAP fault has no code"));
    }
    // They go to the log and to the client program: one line each, and no more than people read.
    let plain = |text: String, most: usize| -> String {
        text.chars().filter(|c| !c.is_control()).take(most).collect()
    };
    Ok(Fault::new(plain(code, 500), plain(text("faultstring"), 2000))
        .with_detail(plain(text("detail"), 500)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fault_is_read_back() {
        let made =
            Fault::new("server.serverproxy.access_denied", "Not <allowed>").with_detail("uuid");
        let text = write_fault(&made);
        assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><SOAP-ENV:Envelope"));
        assert_eq!(read_fault(text.as_bytes()).unwrap(), made);
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = SoapMessage::parse(&bytes);
            let _ = read_fault(&bytes);
        }
    }
}
