//! The SOAP metadata services `listMethods`, `allowedMethods` and `getWsdl`: what is asked, and the
//! answer's envelope (`pr-meta` 3 and 4; X-Road `MetadataServiceHandlerImpl`).
//!
//! An answer is the request with another body: header fields stay as they are, byte by byte, but
//! that the answer is in UTF-8. Adding the request hash is the affair of whoever sends it.

use causeway_identifiers::{ClientId, ServiceId};
use causeway_message::soap::{ENVELOPE_NS, HEADER_NS, IDENTIFIER_NS, in_utf8};
use causeway_message::{Fault, codes};
use causeway_xml::{Document, Element, Limits, Writer, XmlError};

/// The media type of the attachment that holds a WSDL.
pub const WSDL_MEDIA_TYPE: &str = "text/xml";

/// Which WSDL is asked for: a service of the provider that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WsdlQuestion {
    /// The service code.
    pub code: String,
    /// The service version.
    pub version: Option<String>,
}

impl WsdlQuestion {
    /// Reads the body of a `getWsdl` request.
    ///
    /// # Errors
    /// `invalid_request` without a service code; `invalid_soap` or `invalid_xml` for what is no envelope.
    pub fn read(request: &[u8]) -> Result<Self, Fault> {
        let request = in_utf8(request)?;
        let document = parse(&request)?;
        let question = question(&document)?;
        let text = |name: &str| {
            let text = question.child_ns(HEADER_NS, name).map(|e| e.text().trim().to_owned());
            text.filter(|text| !text.is_empty())
        };
        let code = text("serviceCode").ok_or_else(|| {
            let text = "The body of getWsdl has no serviceCode";
            Fault::new(codes::INVALID_REQUEST, text)
        })?;
        Ok(Self { code, version: text("serviceVersion") })
    }
}

/// A `getWsdl` request for the WSDL of a service, in document/literal style.
///
/// # Errors
/// `invalid_request` when the service's provider cannot be asked.
pub fn wsdl_question(
    client: &ClientId,
    service: &ServiceId,
    message_id: &str,
) -> Result<Vec<u8>, Fault> {
    let provider = service.client();
    let asked = provider.service(crate::GET_WSDL, None);
    let asked = asked.map_err(|e| Fault::new(codes::INVALID_REQUEST, e.to_string()))?;
    let mut w = Writer::new();
    w.declaration();
    w.start(
        "soap:Envelope",
        &[("xmlns:soap", ENVELOPE_NS), ("xmlns:xroad", HEADER_NS), ("xmlns:id", IDENTIFIER_NS)],
    );
    w.start("soap:Header", &[]);
    let kind = if client.subsystem_code().is_some() { "SUBSYSTEM" } else { "MEMBER" };
    w.start("xroad:client", &[("id:objectType", kind)]);
    write_client(&mut w, client);
    w.end();
    w.start("xroad:service", &[("id:objectType", "SERVICE")]);
    write_client(&mut w, asked.client());
    w.element("id:serviceCode", &[], asked.code());
    w.end();
    w.element("xroad:id", &[], message_id);
    w.element("xroad:protocolVersion", &[], "4.0");
    w.end();
    w.start("soap:Body", &[]);
    w.start("xroad:getWsdl", &[]);
    w.element("xroad:serviceCode", &[], service.code());
    if let Some(version) = service.version() {
        w.element("xroad:serviceVersion", &[], version);
    }
    w.end();
    Ok(w.finish().into_bytes())
}

fn write_client(w: &mut Writer, id: &ClientId) {
    let member = id.member();
    w.element("id:xRoadInstance", &[], member.instance());
    w.element("id:memberClass", &[], member.class());
    w.element("id:memberCode", &[], member.code());
    if let Some(code) = id.subsystem_code() {
        w.element("id:subsystemCode", &[], code);
    }
}

/// The answer to `listMethods` or `allowedMethods`: the request's envelope with the services in its body.
///
/// # Errors
/// `invalid_soap`, `invalid_xml` or `invalid_body` for a request that is none.
pub fn method_list<'s>(
    request: &[u8],
    operation: &str,
    services: impl IntoIterator<Item = &'s ServiceId>,
) -> Result<Vec<u8>, Fault> {
    let request = in_utf8(request)?;
    let document = parse(&request)?;
    let range = question(&document)?.source_range().ok_or_else(no_place)?;
    let mut w = Writer::new();
    w.start(
        &format!("xroad:{operation}Response"),
        &[("xmlns:xroad", HEADER_NS), ("xmlns:id", IDENTIFIER_NS)],
    );
    for service in services {
        let client = service.client();
        w.start("xroad:service", &[("id:objectType", "SERVICE")]);
        w.element("id:xRoadInstance", &[], client.instance());
        w.element("id:memberClass", &[], client.member().class());
        w.element("id:memberCode", &[], client.member().code());
        if let Some(subsystem) = client.subsystem_code() {
            w.element("id:subsystemCode", &[], subsystem);
        }
        w.element("id:serviceCode", &[], service.code());
        if let Some(version) = service.version() {
            w.element("id:serviceVersion", &[], version);
        }
        w.end();
    }
    let list = w.finish();
    let text = without_mark(&request);
    Ok([&text[..range.start], list.as_bytes(), &text[range.end..]].concat())
}

/// The answer to `getWsdl`: the request's envelope, whose question has become `getWsdlResponse`.
/// The WSDL goes with it as an attachment ([`wsdl_content_id`]).
///
/// # Errors
/// As [`method_list`].
pub fn wsdl_answer(request: &[u8]) -> Result<Vec<u8>, Fault> {
    let request = in_utf8(request)?;
    let document = parse(&request)?;
    let question = question(&document)?;
    let range = question.source_range().ok_or_else(no_place)?;
    let text = without_mark(&request);
    let written = text.get(range.clone()).ok_or_else(no_place)?;
    let old = question.qualified_name();
    let new = match question.prefix() {
        Some(prefix) => format!("{prefix}:{}Response", crate::GET_WSDL),
        None => format!("{}Response", crate::GET_WSDL),
    };
    // `<name …>…</name>` or `<name …/>`.
    let inner = written.get(1 + old.len()..).ok_or_else(no_place)?;
    let mut out = Vec::with_capacity(text.len() + 32);
    out.extend_from_slice(&text[..range.start + 1]);
    out.extend_from_slice(new.as_bytes());
    if inner.ends_with(b"/>") {
        out.extend_from_slice(inner);
    } else {
        let end = inner.windows(2).rposition(|pair| pair == b"</").ok_or_else(no_place)?;
        out.extend_from_slice(&inner[..end + 2]);
        out.extend_from_slice(new.as_bytes());
        out.extend_from_slice(inner.get(end + 2 + old.len()..).ok_or_else(no_place)?);
    }
    out.extend_from_slice(&text[range.end..]);
    Ok(out)
}

/// The `Content-ID` of the attachment with the WSDL, made of a UUID.
pub fn wsdl_content_id(uuid: impl std::fmt::Display) -> String {
    format!("<wsdl={uuid}@x-road.eu>")
}

fn parse(request: &[u8]) -> Result<Document<'_>, Fault> {
    let document = Document::parse(request, &Limits::default()).map_err(|e| match e {
        XmlError::Malformed(_) | XmlError::NotUtf8 => {
            Fault::new(codes::INVALID_SOAP, e.to_string())
        }
        _ => Fault::new(codes::INVALID_XML, e.to_string()),
    })?;
    if !document.root().is(ENVELOPE_NS, "Envelope") {
        return Err(Fault::new(codes::INVALID_SOAP, "The message is not a SOAP 1.1 envelope"));
    }
    Ok(document)
}

/// The one element of the body.
fn question<'d>(document: &'d Document<'_>) -> Result<Element<'d>, Fault> {
    let body = document.root().child_ns(ENVELOPE_NS, "Body");
    let question = body.and_then(|body| body.children().next());
    question.ok_or_else(|| Fault::new(codes::INVALID_BODY, "The SOAP body has no element"))
}

fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

fn no_place() -> Fault {
    Fault::new(codes::INTERNAL_ERROR, "The body of the request is not where the parser saw it")
}
