//! A SOAP message as an information system gets it: the envelope alone, or a
//! multipart. Content types and boundary are ours, not those of the other information
//! system: they are not signed, and with them the same bytes could be read as
//! another envelope than the one that was judged (`start`, character sets, a second boundary).

use bytes::Bytes;
use causeway_message::{Fault, codes, soap};
use causeway_transport::{Boundary, BoundaryUse, ContentType, Encoder, PartHeaders, media};
use hyper::header::HeaderValue;

use crate::body::{Reader, join};
use crate::http::Body;
use crate::message::{related_boundary, unwritable};
use crate::writer::{pairs, random};

/// An attachment that was taken in: its headers, and the way to its bytes.
pub type Attachment = (PartHeaders, Reader);

/// Content type and body of a message for an information system.
///
/// # Errors
/// `invalid_message` for attachments beside a content type that has none; `invalid_content_type`
/// for a multipart without a boundary.
pub(crate) fn for_information_system(
    envelope: Bytes,
    part: &PartHeaders,
    attachments: Vec<Attachment>,
    original_content_type: &str,
) -> Result<(HeaderValue, Body), Fault> {
    if related_boundary(original_content_type)?.is_none() {
        if !attachments.is_empty() {
            let text = "The message has attachments, but its original content type is not multipart/related";
            return Err(Fault::new(codes::INVALID_MESSAGE, text));
        }
        let content_type = header_value(&soap::content_type_of(&envelope)?)?;
        return Ok((content_type, join(vec![Reader::Memory(envelope)])));
    }
    let boundary = Boundary::random(BoundaryUse::Attachments, &random()?);
    let is_xop =
        ContentType::parse(part.content_type().unwrap_or_default()).base() == media::XOP_XML;
    let (kind, root, more) = if is_xop {
        let root = "application/xop+xml; charset=UTF-8; type=\"text/xml\"".to_owned();
        (media::XOP_XML, root, "; start-info=\"text/xml\"")
    } else {
        (media::TEXT_XML, soap::content_type_of(&envelope)?, "")
    };
    let whole = format!("{}; type=\"{kind}\"{more}; boundary={boundary}", media::MULTIPART_RELATED);
    let mut encoder = Encoder::new(boundary);
    let mut pieces = Vec::with_capacity(attachments.len() * 2 + 3);
    let header = encoder.part_header(&root, &pairs(part));
    pieces.push(Reader::Memory(header.map_err(|e| unwritable(&e))?));
    pieces.push(Reader::Memory(envelope));
    for (headers, reader) in attachments {
        let content_type = headers.content_type().unwrap_or("application/octet-stream");
        let header = encoder.part_header(content_type, &pairs(&headers));
        pieces.push(Reader::Memory(header.map_err(|e| unwritable(&e))?));
        pieces.push(reader);
    }
    pieces.push(Reader::Memory(encoder.end()));
    Ok((header_value(&whole)?, join(pieces)))
}

fn header_value(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_bytes(&causeway_message::rest::header_bytes(text)).map_err(|_| {
        Fault::new(codes::INVALID_CONTENT_TYPE, "The content type cannot be a header's value")
    })
}
