use bytes::{Bytes, BytesMut};

use crate::headers::is_field_name;
use crate::{Boundary, TransportError, media};

/// X-Road's parser gives up at lines of 1,000 bytes with their line end, and at blocks of 10,000.
const LONGEST_LINE: usize = 999;
const LONGEST_BLOCK: usize = 10_000;

/// Writes the bytes around the parts of one message.
///
/// The bytes are those of X-Road's own encoder: header names in lower case,
/// no preamble, and an empty line before the first attachment. The parts'
/// contents do not pass through: send what a method returns, then the
/// contents, then what the next method returns.
///
/// ```
/// use causeway_transport::{Boundary, BoundaryUse, Encoder, media};
/// let mut encoder = Encoder::new(Boundary::random(BoundaryUse::Message, &[0; 30]));
/// let b = "xtopAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// assert_eq!(encoder.content_type(), format!("multipart/mixed; charset=UTF-8; boundary={b}"));
/// let header = encoder.part_header(media::REST_REQUEST, &[])?;
/// assert_eq!(header, format!("--{b}\r\ncontent-type: application/x-road-rest-request\r\n\r\n"));
/// // … the header block goes here …
/// assert_eq!(encoder.end(), format!("\r\n--{b}--\r\n"));
/// # Ok::<(), causeway_transport::TransportError>(())
/// ```
#[derive(Debug)]
pub struct Encoder {
    boundary: Boundary,
    attachments: Option<Boundary>,
    in_part: bool,
}

impl Encoder {
    /// An encoder of one message.
    pub fn new(boundary: Boundary) -> Self {
        Self { boundary, attachments: None, in_part: false }
    }

    /// Value of the HTTP `Content-Type` header.
    pub fn content_type(&self) -> String {
        self.boundary.content_type()
    }

    /// What stands before a part's contents. Additional headers follow the
    /// content type in the order given; their names are written as they are.
    ///
    /// # Errors
    /// [`TransportError::UnwritableHeader`] for names and values that would
    /// make lines of their own, that ISO-8859-1 cannot express, or that are
    /// longer than a peer accepts; [`TransportError::Attachments`] while
    /// attachments are open.
    pub fn part_header(
        &mut self,
        content_type: &str,
        additional: &[(&str, &str)],
    ) -> Result<Bytes, TransportError> {
        if self.attachments.is_some() {
            return Err(TransportError::Attachments("are still open"));
        }
        self.any_part_header(Some(content_type), additional)
    }

    /// Writes a whole part with no header but its content type.
    ///
    /// # Errors
    /// As for [`Encoder::part_header`]; then nothing is written.
    pub fn part(
        &mut self,
        content_type: &str,
        contents: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), TransportError> {
        if self.attachments.is_some() {
            return Err(TransportError::Attachments("are still open"));
        }
        let mut header = Vec::with_capacity(64);
        write_header(&mut header, "content-type", content_type)?;
        if std::mem::replace(&mut self.in_part, true) {
            out.extend_from_slice(b"\r\n");
        }
        let boundary = self.boundary.as_str().as_bytes();
        for piece in [b"--".as_slice(), boundary, b"\r\n", &header, b"\r\n", contents] {
            out.extend_from_slice(piece);
        }
        Ok(())
    }

    /// Opens the nested multipart for the SOAP attachments. At least one
    /// [`Encoder::attachment_header`] must follow.
    ///
    /// # Errors
    /// [`TransportError::Attachments`] when it is open already, or the
    /// boundary could be taken for that of the message.
    pub fn start_attachments(&mut self, boundary: Boundary) -> Result<Bytes, TransportError> {
        if self.attachments.is_some() {
            return Err(TransportError::Attachments("are open already"));
        }
        if boundary.resembles(&self.boundary) {
            return Err(TransportError::Attachments("need a boundary of their own"));
        }
        let bytes = self.any_part_header(Some(&boundary.content_type()), &[])?;
        self.attachments = Some(boundary);
        Ok(bytes)
    }

    /// What stands before an attachment's contents.
    ///
    /// # Errors
    /// As for [`Encoder::part_header`]; attachments must be open.
    pub fn attachment_header(
        &mut self,
        content_type: Option<&str>,
        additional: &[(&str, &str)],
    ) -> Result<Bytes, TransportError> {
        if self.attachments.is_none() {
            return Err(TransportError::Attachments("are not open"));
        }
        self.any_part_header(content_type, additional)
    }

    /// Closes the nested multipart; empty when none is open.
    pub fn end_attachments(&mut self) -> Bytes {
        self.attachments.take().map_or_else(Bytes::new, |b| closing(&b))
    }

    /// A whole part with a SOAP fault, in place of what was to follow.
    /// Attachments are closed. Nothing but [`Encoder::end`] may come after it.
    pub fn fault(&mut self, xml: &str) -> Bytes {
        let mut bytes = Vec::from(self.end_attachments());
        bytes.extend_from_slice(&self.delimiter());
        bytes.extend_from_slice(b"content-type: ");
        bytes.extend_from_slice(media::TEXT_XML_UTF8.as_bytes());
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(xml.as_bytes());
        bytes.into()
    }

    /// The end of the message. Attachments are closed.
    pub fn end(mut self) -> Bytes {
        let mut bytes = Vec::from(self.end_attachments());
        bytes.extend_from_slice(&closing(&self.boundary));
        bytes.into()
    }

    fn any_part_header(
        &mut self,
        content_type: Option<&str>,
        additional: &[(&str, &str)],
    ) -> Result<Bytes, TransportError> {
        let mut block = Vec::with_capacity(128);
        for (name, value) in
            content_type.iter().map(|v| ("content-type", *v)).chain(additional.iter().copied())
        {
            write_header(&mut block, name, value)?;
        }
        let mut bytes = self.delimiter();
        bytes.extend_from_slice(&block);
        bytes.extend_from_slice(b"\r\n");
        Ok(bytes.into())
    }

    /// The boundary line before the next part; only the very first has no line end before it.
    fn delimiter(&mut self) -> Vec<u8> {
        let boundary = self.attachments.as_ref().unwrap_or(&self.boundary);
        let line_end = if self.in_part { "\r\n" } else { "" };
        self.in_part = true;
        format!("{line_end}--{boundary}\r\n").into_bytes()
    }
}

fn closing(boundary: &Boundary) -> Bytes {
    format!("\r\n--{boundary}--\r\n").into()
}

fn write_header(block: &mut Vec<u8>, name: &str, value: &str) -> Result<(), TransportError> {
    let refuse = |why| TransportError::UnwritableHeader(crate::error::shorten(name), why);
    let before = block.len();
    if !is_field_name(name.as_bytes()) {
        return Err(refuse("its name is no header name"));
    }
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b": ");
    for c in value.chars() {
        match u8::try_from(c) {
            Ok(b) if b == b'\t' || !b.is_ascii_control() => block.push(b),
            Ok(_) => return Err(refuse("control character in its value")),
            Err(_) => return Err(refuse("its value is not ISO-8859-1")),
        }
    }
    block.extend_from_slice(b"\r\n");
    if block.len().saturating_sub(before) > LONGEST_LINE {
        return Err(refuse("its line is longer than peers accept"));
    }
    if block.len() > LONGEST_BLOCK - 2 {
        return Err(refuse("all headers together are longer than peers accept"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn encoder() -> Encoder {
        Encoder::new(Boundary::parse("xtopB").unwrap())
    }

    #[test]
    fn a_rest_request_is_what_x_road_writes() {
        let mut e = encoder();
        let mut out = Vec::new();
        for (kind, body) in [
            (media::OCSP_RESPONSE, "<DER>"),
            (media::REST_REQUEST, "<bytes>"),
            (media::REST_BODY, "<body>"),
            (media::SIGNATURE, "<xml>"),
        ] {
            out.extend_from_slice(&e.part_header(kind, &[]).unwrap());
            out.extend_from_slice(body.as_bytes());
        }
        out.extend_from_slice(&e.end());
        let expected = "--xtopB\r\ncontent-type: application/ocsp-response\r\n\r\n<DER>\r\n\
            --xtopB\r\ncontent-type: application/x-road-rest-request\r\n\r\n<bytes>\r\n\
            --xtopB\r\ncontent-type: application/x-road-rest-body\r\n\r\n<body>\r\n\
            --xtopB\r\ncontent-type: signature/bdoc-1.0/ts\r\n\r\n<xml>\r\n--xtopB--\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_whole_part_is_its_header_and_its_contents() {
        let (mut whole, mut pieces) = (encoder(), encoder());
        let (mut out, mut expected) = (BytesMut::new(), Vec::new());
        assert!(whole.part("a/b\r\nx: y", b"refused", &mut out).is_err() && out.is_empty());
        for (kind, contents) in [(media::REST_REQUEST, "one"), (media::SIGNATURE, "")] {
            whole.part(kind, contents.as_bytes(), &mut out).unwrap();
            expected.extend_from_slice(&pieces.part_header(kind, &[]).unwrap());
            expected.extend_from_slice(contents.as_bytes());
        }
        assert_eq!(out, expected);
        let _ = whole.start_attachments(Boundary::parse("xattB").unwrap()).unwrap();
        assert!(whole.part("a/b", b"", &mut out).is_err());
    }

    #[test]
    fn attachments_begin_with_an_empty_line_and_a_fault_closes_them() {
        let mut e = encoder();
        let mut out = Vec::from(e.part_header("text/xml", &[("X-A", "é")]).unwrap());
        out.extend_from_slice(b"<soap/>");
        out.extend_from_slice(&e.start_attachments(Boundary::parse("xattB").unwrap()).unwrap());
        out.extend_from_slice(&e.attachment_header(Some("a/b"), &[("content-id", "<1>")]).unwrap());
        out.extend_from_slice(b"one");
        out.extend_from_slice(&e.attachment_header(None, &[]).unwrap());
        assert!(e.part_header("a/b", &[]).is_err());
        out.extend_from_slice(&e.fault("<fault/>"));
        out.extend_from_slice(&e.end());
        let expected = b"--xtopB\r\ncontent-type: text/xml\r\nX-A: \xe9\r\n\r\n<soap/>\r\n\
            --xtopB\r\ncontent-type: multipart/mixed; charset=UTF-8; boundary=xattB\r\n\r\n\r\n\
            --xattB\r\ncontent-type: a/b\r\ncontent-id: <1>\r\n\r\none\r\n\
            --xattB\r\n\r\n\r\n--xattB--\r\n\r\n\
            --xtopB\r\ncontent-type: text/xml; charset=UTF-8\r\n\r\n<fault/>\r\n--xtopB--\r\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn headers_that_would_inject_are_refused() {
        let long = "x".repeat(1_000);
        for (kind, name, value) in [
            ("a/b\r\nx: y", "n", "v"),
            ("a/b", "n\r\nx", "v"),
            ("a/b", "n:", "v"),
            ("a/b", "", "v"),
            ("a/b", "n", "v\nx: y"),
            ("a/b", "n", "v\0"),
            ("a/b", "n", "€"),
            ("a/b", "n", long.as_str()),
        ] {
            let mut e = encoder();
            assert!(e.part_header(kind, &[(name, value)]).is_err(), "{name:?} {value:?}");
            // What was refused leaves no trace.
            assert!(e.part_header("a/b", &[]).unwrap().starts_with(b"--xtopB"));
        }
        let many = vec![("n", &long[..900]); 12];
        assert!(encoder().part_header("a/b", &many).is_err());
        assert!(encoder().start_attachments(Boundary::parse("xtopBx").unwrap()).is_err());
    }
}
