//! SOAP messages: who speaks to which service, what the other information
//! system gets, and faults (`pr-mess` 4.0 and its extensions for target
//! servers, represented parties and security tokens; X-Road 7.8
//! `SaxSoapParserImpl`, `SoapHeader`, `SoapUtils`, `SoapFault`).
//!
//! A request passes as the bytes that came. A response gets the request's hash
//! into its header before it is signed ([`read_answer`]). Faults also carry
//! REST errors between security servers.

mod encoding;
mod faults;
mod reader;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use causeway_identifiers::{ClientId, SecurityServerId, ServiceId};
use causeway_xml::Writer;
use ring::digest::{SHA512, digest};

pub use faults::{read_fault, write_fault, write_fault_as};

use crate::{Fault, Sender, codes};
use encoding::Text;
use reader::{Marks, Read};

/// Namespace of SOAP 1.1 envelopes.
pub const ENVELOPE_NS: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// The encoding style of RPC messages.
pub const ENCODING_NS: &str = "http://schemas.xmlsoap.org/soap/encoding/";
/// Namespace of the header fields.
pub const HEADER_NS: &str = "http://x-road.eu/xsd/xroad.xsd";
/// Namespace of identifiers.
pub const IDENTIFIER_NS: &str = "http://x-road.eu/xsd/identifiers";
/// Namespace of the extension for represented parties.
pub const REPRESENTATION_NS: &str = "http://x-road.eu/xsd/representation.xsd";

/// The longest SOAP envelope, in bytes: it is held in memory as a whole. Attachments are not.
pub const MAX_BYTES: usize = 10 << 20;

/// The digest algorithm of request hashes, as responses name it.
const HASH_ALGORITHM: &str = "http://www.w3.org/2001/04/xmlenc#sha512";

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
    /// The party in whose name the client asks.
    pub represented_party: Option<RepresentedParty>,
    /// `4.0`, or another text that begins with `4.`.
    pub protocol_version: String,
    /// What a response says of its request.
    pub request_hash: Option<RequestHash>,
    /// The local name of the body's element.
    pub operation: String,
    /// Whether that name ends in `Response`.
    pub response: bool,
    /// Whether the body is encoded as RPC; else document/literal.
    pub rpc: bool,
}

/// A party that a client represents (`pr-third_party_representation`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepresentedParty {
    /// The class of its code, if one is given.
    pub class: Option<String>,
    /// Its code.
    pub code: Option<String>,
}

/// The hash of a request, in the header of its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHash {
    /// The digest algorithm's identifier.
    pub algorithm: Option<String>,
    /// The hash, base64.
    pub value: String,
}

/// What an envelope is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Soap {
    /// A request or response.
    Message(Box<SoapMessage>),
    /// A fault in place of one; it keeps its envelope.
    Fault(Fault),
}

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A response, as it is to be signed and sent: in UTF-8, with the request's hash.
    Message(Box<SoapMessage>, Bytes),
    /// A fault; it keeps its envelope.
    Fault(Fault),
}

impl Soap {
    /// Reads an envelope: a message or a fault.
    ///
    /// # Errors
    /// X-Road's codes, in its order: `invalid_soap` and `invalid_xml`, `duplicate_header_field`,
    /// `invalid_protocol_version` and `invalid_body` where they come up, then `missing_header`,
    /// `missing_header_field`, `missing_body`, `invalid_body`, `inconsistent_headers`.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let text = decode(bytes)?;
        Ok(match reader::read(&text.text)? {
            Read::Message(message, _) => Self::Message(message),
            Read::Fault(read) => Self::Fault(faults::from_text(&read, &text)),
        })
    }
}

impl SoapMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// As [`Soap::read`]; a fault in place of a message is `invalid_message`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        match Soap::read(bytes)? {
            Soap::Message(message) => Ok(*message),
            Soap::Fault(fault) => {
                let text = format!("The SOAP message is a fault: {}", fault.message());
                Err(Fault::new(codes::INVALID_MESSAGE, text))
            }
        }
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

    /// Checks that this response belongs to the request (`SoapUtils.checkConsistency`, then the hash).
    ///
    /// # Errors
    /// `service_failed.inconsistent_response` when client, service, user, issue, represented party
    /// or id differ; `inconsistent_response` when the request hash is missing or is another.
    pub fn check_answers(&self, request: &Self, hash: &str) -> Result<(), Fault> {
        let differs = [
            ("client", self.client != request.client),
            ("service", self.service != request.service),
            ("userId", self.user_id != request.user_id),
            ("representedParty", self.represented_party != request.represented_party),
            ("issue", self.issue != request.issue),
            ("id", self.message_id != request.message_id),
        ]
        .into_iter()
        .find(|(_, differs)| *differs);
        if let Some((field, _)) = differs {
            let text = format!(
                "The response is not consistent with the request: the header field {field} differs"
            );
            return Err(
                Fault::new(codes::INCONSISTENT_RESPONSE, text).with_prefix(codes::SERVICE_FAILED)
            );
        }
        let inconsistent = |text: &str| Err(Fault::new(codes::INCONSISTENT_RESPONSE, text));
        let Some(given) = &self.request_hash else {
            return inconsistent("The response has no hash of the request");
        };
        let given = causeway_xml::decode_base64(&given.value);
        if given.is_none() || given != causeway_xml::decode_base64(hash) {
            return inconsistent("The hash of the request in the response is another");
        }
        Ok(())
    }
}

/// The hash of a request: base64 of SHA-512 over the envelope as it came.
pub fn request_hash(request: &[u8]) -> String {
    BASE64.encode(digest(&SHA512, request))
}

/// Reads what a service answered, and puts the request's hash into the header: behind the field
/// `id`, indented as the header's fields are, in place of one that the service wrote. Everything else stays
/// as it is; what is not UTF-8 becomes so.
///
/// # Errors
/// As [`Soap::read`].
pub fn read_answer(bytes: &[u8], request_hash: &str) -> Result<Answer, Fault> {
    let text = decode(bytes)?;
    Ok(match reader::read(&text.text)? {
        Read::Fault(read) => Answer::Fault(faults::from_text(&read, &text)),
        Read::Message(mut message, marks) => {
            let written = with_hash(&text, &marks, request_hash);
            message.request_hash = Some(RequestHash {
                algorithm: Some(HASH_ALGORITHM.to_owned()),
                value: request_hash.to_owned(),
            });
            Answer::Message(message, written.into())
        }
    })
}

fn with_hash(text: &Text<'_>, marks: &Marks, hash: &str) -> String {
    let mut writer = Writer::new();
    let mut attributes: Vec<(&str, &str)> =
        marks.attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    attributes.push(("algorithmId", HASH_ALGORITHM));
    writer.element(&format!("{}requestHash", marks.prefix), &attributes, hash);
    let element =
        format!("{}{}", marks.indentation.as_deref().unwrap_or_default(), writer.finish());

    let all: &str = &text.text;
    let mut out = String::with_capacity(all.len() + element.len() + 64);
    let mut at = 0;
    let edits = marks.hashes.iter().map(|range| (range.clone(), ""));
    let mut edits: Vec<_> =
        edits.chain([(marks.after_id..marks.after_id, element.as_str())]).collect();
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    for (range, new) in edits {
        out.push_str(all.get(at..range.start).unwrap_or_default());
        out.push_str(new);
        at = range.end;
    }
    out.push_str(all.get(at..).unwrap_or_default());
    match text.foreign {
        None => out,
        foreign => declared_utf8(&Text { text: out.into(), foreign }).into_owned(),
    }
}

fn decode(bytes: &[u8]) -> Result<Text<'_>, Fault> {
    if bytes.len() > MAX_BYTES {
        let text = format!("The SOAP envelope is longer than {MAX_BYTES} bytes");
        return Err(Fault::new(codes::INVALID_SOAP, text));
    }
    encoding::decode(bytes)
}

/// The text, which is to be written as UTF-8, with a declaration that says so.
fn declared_utf8<'t>(text: &'t Text<'_>) -> Cow<'t, str> {
    let declaration = text.text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    match (text.foreign, declaration) {
        (None, _) | (_, None) => Cow::Borrowed(&text.text),
        (Some(_), Some((_, rest))) => {
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{rest}").into()
        }
    }
}

/// What an envelope without attachments is sent to a service as: `text/xml` in the encoding that it has.
///
/// # Errors
/// `invalid_soap` when it has none that is known.
pub fn content_type_of(envelope: &[u8]) -> Result<String, Fault> {
    let charset = decode(envelope)?.foreign.unwrap_or("UTF-8");
    Ok(format!("text/xml; charset={charset}"))
}

/// Checks a `SOAPAction` header (SOAP 1.1, 6.1.1): absent, empty, or a URI in quotes.
///
/// # Errors
/// `invalid_soap_action`.
pub fn check_soap_action(value: Option<&str>) -> Result<(), Fault> {
    let Some(value) = value.filter(|v| !v.is_empty() && *v != "\"\"") else { return Ok(()) };
    let uri = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    if uri.is_some_and(|uri| !uri.is_empty() && is_uri_reference(uri)) {
        return Ok(());
    }
    Err(Fault::new(
        codes::INVALID_SOAP_ACTION,
        "Malformed SOAPAction header: it is a URI in quotes",
    ))
}

/// Whether a text has the characters of a URI reference (RFC 3986), with complete percent sequences.
/// `java.net.URI`, which X-Road asks, also takes letters beyond ASCII.
fn is_uri_reference(text: &str) -> bool {
    let mut digits_due = 0;
    for c in text.chars() {
        let allowed = match c {
            _ if digits_due > 0 => c.is_ascii_hexdigit(),
            '%' => true,
            _ if c.is_ascii() => c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=".contains(c),
            _ => !c.is_whitespace() && !c.is_control(),
        };
        if !allowed {
            return false;
        }
        digits_due = if c == '%' { 2_usize } else { digits_due.saturating_sub(1) };
    }
    digits_due == 0 && text.matches('#').count() <= 1
}

#[cfg(test)]
mod tests;
