//! A request of either kind, REST or SOAP: what its road needs to know of it.
//!
//! There is one road for both. Where the kinds differ, it asks here: what is
//! signed, how the parts are labelled, what the request's hash is.

use bytes::{Bytes, BytesMut};
use causeway_identifiers::{ClientId, SecurityServerId, ServiceId};
use causeway_message::rest::{self, RestRequest};
use causeway_message::soap::{self, Soap, SoapMessage};
use causeway_message::{Fault, codes};
use causeway_transport::{
    Boundary, ContentType, Limits, MessageKind, PartHeaders, RelatedDecoder, envelope, media,
};
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts as Head;

use crate::body::Source;
use crate::parts::{Parts, Piece};
use crate::random;
use crate::receive::transport_fault;

/// `SOAPAction` (SOAP 1.1, 6.1.1).
pub(crate) const SOAP_ACTION: &str = "soapaction";
/// The most attachments of a message: each may take a file while it is on its way.
pub(crate) const MAX_ATTACHMENTS: usize = 256;

/// A request, and what is asked of whom.
#[derive(Debug)]
pub struct Asked {
    /// The client that asks.
    pub client: ClientId,
    /// The service that it asks.
    pub service: ServiceId,
    /// The client's own id of the message.
    pub message_id: String,
    /// The id that the client's server gave the exchange; empty when it gave none.
    pub request_id: String,
    /// The server that the client asks for, if any.
    pub target: Option<SecurityServerId>,
    /// What is signed as the message: the REST header block, the SOAP envelope as it came.
    pub bytes: Bytes,
    /// Which kind it is, and what that kind has of its own.
    pub kind: Kind,
}

/// What the kinds of message have of their own.
#[derive(Debug)]
pub enum Kind {
    /// A REST request.
    Rest(Box<RestRequest>),
    /// A SOAP request.
    Soap(Box<SoapCall>),
}

/// What a SOAP request has beside its envelope.
#[derive(Debug)]
pub struct SoapCall {
    /// The header of the envelope.
    pub message: Box<SoapMessage>,
    /// The headers of the envelope's part.
    pub part: PartHeaders,
    /// `SOAPAction` as the client program sent it.
    pub action: Option<HeaderValue>,
    /// `Content-Type` as the client program sent it.
    pub content_type: String,
}

impl Asked {
    /// A SOAP request whose body is named as a response would be taken for the provider's when it is evidence.
    ///
    /// # Errors
    /// `inconsistent_headers` for such a one.
    pub(crate) fn judge_direction(&self) -> Result<(), Fault> {
        match &self.kind {
            Kind::Soap(call) if call.message.response => {
                let operation = &call.message.operation;
                let text = format!("The body of a request is named as a response: {operation}");
                Err(Fault::new(codes::INCONSISTENT_HEADERS, text))
            }
            _ => Ok(()),
        }
    }

    /// The request that a REST client program sent.
    pub(crate) fn of_rest(request: RestRequest) -> Self {
        Self::from_rest(request.to_block(), request)
    }

    /// The request of a header block, which stays as it is.
    pub(crate) fn from_rest(bytes: Bytes, request: RestRequest) -> Self {
        Self {
            client: request.client.clone(),
            service: request.service.clone(),
            message_id: request.message_id.clone(),
            request_id: request.request_id.clone(),
            target: request.target.clone(),
            bytes,
            kind: Kind::Rest(Box::new(request)),
        }
    }

    /// The request of an envelope.
    pub(crate) fn from_soap(bytes: Bytes, request_id: String, call: SoapCall) -> Self {
        Self {
            client: call.message.client.clone(),
            service: call.message.service.clone(),
            message_id: call.message.message_id.clone(),
            request_id,
            target: call.message.security_server.clone(),
            bytes,
            kind: Kind::Soap(Box::new(call)),
        }
    }

    /// Which kind it is.
    pub(crate) fn message_kind(&self) -> MessageKind {
        match self.kind {
            Kind::Rest(_) => MessageKind::Rest,
            Kind::Soap(_) => MessageKind::Soap,
        }
    }

    /// The hash of the request that its response has to bear; `digests` are those of the attachments.
    pub(crate) fn hash(&self, digests: &[Vec<u8>]) -> String {
        match self.kind {
            Kind::Rest(_) => rest::request_hash(&self.bytes, digests.first().map(Vec::as_slice)),
            Kind::Soap(_) => soap::request_hash(&self.bytes),
        }
    }

    /// The label of the message's part.
    pub(crate) fn label(&self) -> Label<'_> {
        match &self.kind {
            Kind::Rest(_) => Label::Rest(media::REST_REQUEST),
            Kind::Soap(call) => Label::Soap(&call.part),
        }
    }

    /// The HTTP headers that tell the other server what kind of message it is, beside those that all have.
    pub(crate) fn envelope_headers(&self, headers: &mut HeaderMap) {
        match &self.kind {
            Kind::Rest(_) => {
                let rest = HeaderValue::from_static(envelope::MESSAGE_TYPE_REST);
                headers.insert(envelope::MESSAGE_TYPE, rest);
            }
            Kind::Soap(call) => {
                if let Some(action) = &call.action {
                    headers.insert(envelope::ORIGINAL_SOAP_ACTION, action.clone());
                }
            }
        }
    }
}

/// How the part of a message is labelled between servers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Label<'m> {
    /// A REST header block of this media type.
    Rest(&'static str),
    /// A SOAP envelope, with the headers that its part had.
    Soap(&'m PartHeaders),
}

/// Limits on a message from another server.
pub(crate) fn limits(kind: MessageKind) -> Limits {
    let mut limits = Limits::for_rest(match kind {
        MessageKind::Rest => rest::MAX_BLOCK_BYTES,
        MessageKind::Soap => soap::MAX_BYTES,
    });
    limits.attachments = MAX_ATTACHMENTS;
    limits
}

/// What a SOAP client program, or a service, sent: the envelope, and the attachments that follow.
pub(crate) struct SoapBody {
    pub(crate) bytes: Bytes,
    pub(crate) part: PartHeaders,
    pub(crate) attachments: Parts,
}

/// Reads the SOAP part of an information system's message.
///
/// # Errors
/// X-Road's codes: `invalid_content_type`, `missing_soap` for a multipart without parts,
/// `mime_parsing_failed`, `io_error`, `invalid_soap` for an envelope that is too long.
pub(crate) async fn read_soap_body(
    content_type: &str,
    source: Source,
    idle: std::time::Duration,
) -> Result<SoapBody, Fault> {
    let parsed = ContentType::parse(content_type);
    match parsed.base() {
        media::TEXT_XML | media::XOP_XML => {
            let mut parts = Parts::body(source, idle);
            let bytes = read_envelope(&mut parts).await?;
            let part = PartHeaders::of_content_type(content_type);
            Ok(SoapBody { bytes, part, attachments: Parts::none() })
        }
        media::MULTIPART_RELATED => {
            let boundary = parsed.boundary().ok_or_else(|| {
                let text = "The multipart has no usable boundary in its content type";
                Fault::new(codes::INVALID_CONTENT_TYPE, text)
            })?;
            let mut limits = Limits::default();
            limits.attachments = MAX_ATTACHMENTS;
            let mut parts = Parts::related(source, RelatedDecoder::new(boundary, limits), idle);
            let Some(Piece::Begin(Some(part))) = parts.next().await? else {
                let text = "The message does not contain a SOAP message";
                return Err(Fault::new(codes::MISSING_SOAP, text));
            };
            judge_transfer_encoding(&part)?;
            let base = ContentType::parse(part.content_type().unwrap_or_default());
            if !matches!(base.base(), media::TEXT_XML | media::XOP_XML) {
                return Err(invalid_content_type(base.base()));
            }
            let bytes = read_envelope(&mut parts).await?;
            Ok(SoapBody { bytes, part, attachments: parts })
        }
        other => Err(invalid_content_type(other)),
    }
}

/// The envelope is signed and judged as its bytes are: nobody may decode it into something else.
fn judge_transfer_encoding(part: &PartHeaders) -> Result<(), Fault> {
    let encodings = part
        .others()
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-transfer-encoding"));
    for (_, value) in encodings {
        let value = value.trim();
        if !["7bit", "8bit", "binary"].iter().any(|known| value.eq_ignore_ascii_case(known)) {
            let value: String = value.chars().take(40).collect();
            let text = format!(
                "The SOAP message is encoded for transfer as '{value}'; it has to be sent as it is"
            );
            return Err(Fault::new(codes::INVALID_CONTENT_TYPE, text));
        }
    }
    Ok(())
}

fn invalid_content_type(base: &str) -> Fault {
    let base: String = base.chars().take(100).collect();
    let text = format!(
        "Invalid content type '{base}': SOAP is text/xml, application/xop+xml or multipart/related"
    );
    Fault::new(codes::INVALID_CONTENT_TYPE, text)
}

/// The bytes of the part that has begun, or of the body.
async fn read_envelope(parts: &mut Parts) -> Result<Bytes, Fault> {
    let mut bytes = BytesMut::new();
    loop {
        match parts.next().await? {
            Some(Piece::Data(data)) => {
                if bytes.len() + data.len() > soap::MAX_BYTES {
                    let text = format!(
                        "The SOAP envelope is longer than {} bytes; large data are sent as attachments",
                        soap::MAX_BYTES
                    );
                    return Err(Fault::new(codes::INVALID_SOAP, text));
                }
                bytes.extend_from_slice(&data);
            }
            Some(Piece::Begin(_)) => {}
            Some(Piece::End) | None => return Ok(bytes.freeze()),
        }
    }
}

/// The request that a SOAP client program sent, and the attachments that follow.
///
/// # Errors
/// X-Road's codes, with the prefix `client`: the request is at fault.
pub(crate) async fn read_soap_request(
    head: &Head,
    source: Source,
    idle: std::time::Duration,
) -> Result<(Asked, Parts), Fault> {
    let read = async {
        let action = head.headers.get(SOAP_ACTION).cloned();
        let text = action.as_ref().map(|value| rest::header_text(value.as_bytes()));
        soap::check_soap_action(text.as_deref())?;
        let content_type = head.headers.get(CONTENT_TYPE).ok_or_else(|| {
            Fault::new(codes::INVALID_REQUEST, "Could not get content type from request")
        })?;
        let content_type = rest::header_text(content_type.as_bytes());
        let body = read_soap_body(&content_type, source, idle).await?;
        let message = match Soap::read(&body.bytes)? {
            Soap::Message(message) => message,
            Soap::Fault(fault) => {
                // A fault is no request. It is answered as one of ours with its code, in our letters.
                let text = format!("The request is a SOAP fault: {}", fault.message());
                return Err(Fault::new(fault.code().to_ascii_lowercase(), text));
            }
        };
        let call = SoapCall { message, part: body.part, action, content_type };
        let asked = Asked::from_soap(body.bytes, random::id().to_string(), call);
        Ok((asked, body.attachments.with_prefix(codes::CLIENT)))
    };
    read.await.map_err(|fault| fault.with_prefix(codes::CLIENT))
}

/// Whether a content type is that of SOAP with attachments; its boundary then.
///
/// # Errors
/// `invalid_content_type` when it has no usable boundary.
pub(crate) fn related_boundary(content_type: &str) -> Result<Option<Boundary>, Fault> {
    let parsed = ContentType::parse(content_type);
    if parsed.base() != media::MULTIPART_RELATED {
        return Ok(None);
    }
    match parsed.boundary() {
        Some(boundary) => Ok(Some(boundary.clone())),
        None => {
            let text = "The original content type is a multipart and has no usable boundary";
            Err(Fault::new(codes::INVALID_CONTENT_TYPE, text))
        }
    }
}

/// Reads the envelope of a request that another server sent.
///
/// # Errors
/// X-Road's codes; `missing_soap` for a fault, which is no request.
pub(crate) fn parse_soap_request(
    part: &PartHeaders,
    bytes: &Bytes,
    headers: &HeaderMap,
) -> Result<Asked, Fault> {
    let Soap::Message(message) = Soap::read(bytes)? else {
        return Err(Fault::new(codes::MISSING_SOAP, "Request does not have SOAP message"));
    };
    judge_transfer_encoding(part)?;
    let content_type = headers.get(envelope::ORIGINAL_CONTENT_TYPE);
    let request_id = headers.get(envelope::REQUEST_ID).and_then(|id| id.to_str().ok());
    let request_id: String = request_id.unwrap_or_default().chars().take(255).collect();
    let call = SoapCall {
        message,
        part: part.clone(),
        action: headers.get(envelope::ORIGINAL_SOAP_ACTION).cloned(),
        content_type: content_type.map(|v| rest::header_text(v.as_bytes())).unwrap_or_default(),
    };
    Ok(Asked::from_soap(bytes.clone(), request_id, call))
}

/// The fault of a part that cannot be labelled.
pub(crate) fn unwritable(error: &causeway_transport::TransportError) -> Fault {
    transport_fault(error)
}
