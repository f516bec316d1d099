//! The answer to a request: written by the registry, read by the security server (X-Road
//! `ManagementRequestUtil`, `ManagementRequestSender`).

use causeway_message::soap::{ENVELOPE_NS, HEADER_NS, SoapMessage, read_fault};
use causeway_message::{Fault, codes};
use causeway_xml::{Canonicalization, Document, Element, Limits, XmlError};

use crate::message::{MAX_MESSAGE, Message};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Writes the answer to a request that was taken: its header and fields again, and the request's number
/// in the registry (0 for a trial).
///
/// # Errors
/// `internal_error` when the request's XML cannot be written again.
pub fn response(message: &Message, request_id: u64) -> Result<Vec<u8>, Fault> {
    let limits = Limits { max_bytes: MAX_MESSAGE, ..Limits::default() };
    let document = Document::parse(&message.soap, &limits).map_err(|e| internal(&e))?;
    let envelope = document.root();
    // The canonical form stands by itself: it declares every namespace that it uses.
    let copy = |element: Element<'_>| -> Result<String, Fault> {
        let bytes = element.canonicalize(Canonicalization::Inclusive).map_err(|e| internal(&e))?;
        String::from_utf8(bytes).map_err(|_| internal(&XmlError::NotUtf8))
    };
    let header = envelope.child_ns(ENVELOPE_NS, "Header").map(copy).transpose()?;
    let content = envelope.child_ns(ENVELOPE_NS, "Body").and_then(|body| body.children().next());
    let mut fields = String::new();
    for field in content.iter().flat_map(Element::children) {
        if !field.is(HEADER_NS, "requestId") {
            fields.push_str(&copy(field)?);
        }
    }
    let name = message.request.kind().service_code();
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <SOAP-ENV:Envelope xmlns:SOAP-ENV=\"{ENVELOPE_NS}\">{}<SOAP-ENV:Body>\
         <xroad:{name}Response xmlns:xroad=\"{HEADER_NS}\">{fields}\
         <xroad:requestId>{request_id}</xroad:requestId></xroad:{name}Response>\
         </SOAP-ENV:Body></SOAP-ENV:Envelope>",
        header.unwrap_or_default()
    )
    .into_bytes())
}

/// Reads the answer to a request of the given header: the request's number in the registry; `None` when
/// the answer does not tell it.
///
/// # Errors
/// The registry's fault, or `inconsistent_headers` for an answer to something else, and the codes of
/// SOAP messages.
pub fn request_id(answer: &[u8], asked: &SoapMessage) -> Result<Option<u64>, Fault> {
    if answer.len() > MAX_ANSWER {
        let text = format!("The answer is longer than {MAX_ANSWER} bytes");
        return Err(Fault::new(codes::INVALID_MESSAGE, text));
    }
    match read_fault(answer) {
        Ok(fault) => return Err(fault),
        // A message that is not a fault.
        Err(e) if e.code() == codes::INVALID_MESSAGE => {}
        Err(e) => return Err(e),
    }
    let header = SoapMessage::parse(answer)?;
    if !header.response {
        return Err(Fault::new(codes::INTERNAL_ERROR, "Expected response message"));
    }
    for (field, same) in [
        ("client", header.client == asked.client),
        ("service", header.service == asked.service),
        ("id", header.message_id == asked.message_id),
        ("userId", header.user_id == asked.user_id),
        ("issue", header.issue == asked.issue),
    ] {
        if !same {
            let text = format!("Field '{field}' does not match in request and response");
            return Err(Fault::new(codes::INCONSISTENT_HEADERS, text));
        }
    }
    let limits = Limits { max_bytes: MAX_ANSWER, ..Limits::default() };
    let document = Document::parse(answer, &limits)
        .map_err(|e| Fault::new(codes::INVALID_XML, e.to_string()))?;
    let body = document.root().child_ns(ENVELOPE_NS, "Body");
    let found = body.and_then(|b| b.descendants().find(|e| e.is(HEADER_NS, "requestId")));
    Ok(found.and_then(|e| e.text().trim().parse().ok()))
}

fn internal(error: &XmlError) -> Fault {
    Fault::new(codes::INTERNAL_ERROR, error.to_string())
}
