//! A SOAP message as an information system gets it: the envelope alone, or a
//! multipart with the boundary that the other information system chose (X-Road
//! `ProxyMessage.writeSoapContent`).

use bytes::Bytes;
use causeway_message::{Fault, codes, soap};
use causeway_transport::{Encoder, PartHeaders, media};
use hyper::header::HeaderValue;

use crate::body::{Reader, join};
use crate::http::Body;
use crate::message::{related_boundary, unwritable};
use crate::writer::pairs;

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
    let Some(boundary) = related_boundary(original_content_type)? else {
        if !attachments.is_empty() {
            let text = "The message has attachments, but its original content type is not multipart/related";
            return Err(Fault::new(codes::INVALID_MESSAGE, text));
        }
        let content_type = header_value(&soap::content_type_of(&envelope)?)?;
        return Ok((content_type, join(vec![Reader::Memory(envelope)])));
    };
    let mut encoder = Encoder::new(boundary);
    let mut pieces = Vec::with_capacity(attachments.len() * 2 + 3);
    let header =
        encoder.part_header(part.content_type().unwrap_or(media::TEXT_XML_UTF8), &pairs(part));
    pieces.push(Reader::Memory(header.map_err(|e| unwritable(&e))?));
    pieces.push(Reader::Memory(envelope));
    for (headers, reader) in attachments {
        let content_type = headers.content_type().unwrap_or("application/octet-stream");
        let header = encoder.part_header(content_type, &pairs(&headers));
        pieces.push(Reader::Memory(header.map_err(|e| unwritable(&e))?));
        pieces.push(reader);
    }
    pieces.push(Reader::Memory(encoder.end()));
    Ok((header_value(original_content_type)?, join(pieces)))
}

fn header_value(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_bytes(&causeway_message::rest::header_bytes(text)).map_err(|_| {
        Fault::new(codes::INVALID_CONTENT_TYPE, "The content type cannot be a header's value")
    })
}
