//! The multipart in which an information system sends a SOAP message with
//! attachments (SOAP with attachments; MTOM, XOP).

use bytes::Bytes;

use crate::scanner::{Scan, Scanner};
use crate::splitter::{Manners, Splitter, Token};
use crate::{Boundary, ContentType, Limits, PartHeaders, TransportError};

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelatedEvent {
    /// A part begins: the first is the SOAP message, all others are attachments.
    Part(PartHeaders),
    /// Bytes of the part, as they are between its headers and the boundary; never empty.
    Data(Bytes),
    /// The part is complete.
    PartEnd,
    /// The message is complete and the input is used up.
    End,
}

/// Decodes a `multipart/related` as its bytes arrive.
///
/// As X-Road does: the first part is the SOAP message, whatever a `start`
/// parameter says; the parts of multiparts in it count as parts of the
/// message; contents are not decoded. Text around the parts is passed over
/// within bounds, and the last boundary may be missing.
///
/// ```
/// use causeway_transport::{Boundary, Limits, RelatedDecoder, RelatedEvent};
/// let boundary = Boundary::parse("b").unwrap();
/// let mut decoder = RelatedDecoder::new(&boundary, Limits::default());
/// decoder.push("--b\r\nContent-Type: text/xml\r\n\r\n<a/>\r\n--b--".into());
/// decoder.end_of_input();
/// assert!(matches!(decoder.next_event()?, Some(RelatedEvent::Part(_))));
/// assert_eq!(decoder.next_event()?, Some(RelatedEvent::Data("<a/>".into())));
/// assert_eq!(decoder.next_event()?, Some(RelatedEvent::PartEnd));
/// assert_eq!(decoder.next_event()?, Some(RelatedEvent::End));
/// # Ok::<(), causeway_transport::TransportError>(())
/// ```
#[derive(Debug)]
pub struct RelatedDecoder {
    splitter: Splitter,
    limits: Limits,
    /// Parts that have begun.
    parts: usize,
    /// Whether the part that was begun last has bytes of its own; a multipart has not.
    in_part: bool,
    failed: Option<TransportError>,
}

impl RelatedDecoder {
    /// A decoder for a message with this boundary. Of the limits, those on
    /// headers, on filler and on the count of attachments hold; the caller
    /// bounds the length of the parts.
    pub fn new(boundary: &Boundary, limits: Limits) -> Self {
        let splitter = Splitter::new(boundary, Manners::Lenient);
        Self { splitter, limits, parts: 0, in_part: false, failed: None }
    }

    /// Takes the next bytes of the message.
    pub fn push(&mut self, data: Bytes) {
        self.splitter.push(data);
    }

    /// The sender has sent all it had to send, and the HTTP body ended in order.
    pub fn end_of_input(&mut self) {
        self.splitter.end_of_input();
    }

    /// The next event; `None` when more input is needed, or after [`RelatedEvent::End`].
    ///
    /// # Errors
    /// `mime_parsing_failed` for headers and boundaries that are malformed,
    /// too long, or contradict each other; `invalid_content_type` for a part without a content
    /// type; `invalid_message` for more attachments than the limit.
    pub fn next_event(&mut self) -> Result<Option<RelatedEvent>, TransportError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    fn advance(&mut self) -> Result<Option<RelatedEvent>, TransportError> {
        loop {
            let Some(token) = self.splitter.next(&self.limits)? else { return Ok(None) };
            match token {
                Token::Part(headers) => {
                    let Some(value) = headers.content_type() else {
                        return Err(TransportError::NoContentType);
                    };
                    let content_type = ContentType::parse(value);
                    if let (true, Some(boundary)) =
                        (content_type.base().starts_with("multipart/"), content_type.boundary())
                    {
                        self.splitter.enter_nested(boundary)?;
                        continue;
                    }
                    self.parts += 1;
                    if self.parts > self.limits.attachments.saturating_add(1) {
                        let limit = self.limits.attachments;
                        return Err(TransportError::TooMany { parts: "attachments", limit });
                    }
                    self.in_part = true;
                    return Ok(Some(RelatedEvent::Part(headers)));
                }
                Token::Data(data) => return Ok(Some(RelatedEvent::Data(data))),
                // A multipart ends as well, which is nobody's concern.
                Token::PartEnd if std::mem::take(&mut self.in_part) => {
                    return Ok(Some(RelatedEvent::PartEnd));
                }
                Token::PartEnd | Token::NestedEnd => {}
                Token::End => return Ok(Some(RelatedEvent::End)),
            }
        }
    }
}

/// Watches the contents of parts for a boundary that somebody else has chosen.
///
/// A message is written for an information system with the boundary that the
/// other one used. A peer that names a boundary which stands in an attachment would make
/// the information system see other parts than those that were signed.
#[derive(Debug)]
pub struct BoundaryWatch(Scanner);

impl BoundaryWatch {
    /// Watches for this boundary.
    pub fn new(boundary: &Boundary) -> Self {
        let mut scanner = Scanner::new(boundary);
        scanner.start_of_line();
        Self(scanner)
    }

    /// The next part begins.
    pub fn begin_part(&mut self) {
        self.0.start_of_line();
    }

    /// Takes the next bytes of a part; `true` when the boundary stands in them.
    pub fn sees_boundary(&mut self, data: &Bytes) -> bool {
        let mut input = data.clone();
        loop {
            match self.0.next(&mut input) {
                Scan::Delimiter(_) => return true,
                Scan::Data(_) if !input.is_empty() => {}
                Scan::Data(_) | Scan::NeedMore => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// `header|content` of each part.
    fn parts(text: &[u8], cut: usize) -> Result<Vec<(String, Vec<u8>)>, TransportError> {
        let limits = Limits { attachments: 5, ..Limits::default() };
        let mut decoder = RelatedDecoder::new(&Boundary::parse("b").unwrap(), limits);
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut pieces = text.chunks(cut.max(1));
        loop {
            while let Some(event) = decoder.next_event()? {
                match event {
                    RelatedEvent::Part(headers) => {
                        found.push((headers.content_type().unwrap().to_owned(), Vec::new()));
                    }
                    RelatedEvent::Data(data) => {
                        found.last_mut().unwrap().1.extend_from_slice(&data)
                    }
                    RelatedEvent::PartEnd => {}
                    RelatedEvent::End => return Ok(found),
                }
            }
            match pieces.next() {
                Some(piece) => decoder.push(Bytes::copy_from_slice(piece)),
                None => decoder.end_of_input(),
            }
        }
    }

    fn names(text: &str) -> Vec<String> {
        let whole = parts(text.as_bytes(), usize::MAX).unwrap();
        assert_eq!(parts(text.as_bytes(), 1).unwrap(), whole);
        whole.into_iter().map(|(t, c)| format!("{t}={}", String::from_utf8(c).unwrap())).collect()
    }

    #[test]
    fn nested_parts_are_parts_and_the_last_boundary_may_be_missing() {
        let text = "hello\n--b\nContent-Type: a/a\nX: y\n\none\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n\
             --c\nContent-Type: a/b\n\ntwo\n--c\nContent-Type: multipart/x; boundary=d\n\n--d\nContent-Type: a/c\n\n\
             three\n--d--\n--c--\n\n--b\nContent-Type: multipart/none\n\nfour";
        assert_eq!(
            names(&format!("{text}\n--b--\nbye")),
            ["a/a=one\n", "a/b=two", "a/c=three", "multipart/none=four"]
        );
        assert_eq!(names(text).last().unwrap(), "multipart/none=four");
        assert_eq!(names(&format!("{text}\r\n--b")).last().unwrap(), "multipart/none=four");
        assert_eq!(names(&format!("{text}\r\n-")).last().unwrap(), "multipart/none=four\r\n-");
        assert!(names("").is_empty());
        assert!(names("no boundary at all").is_empty());
    }

    #[test]
    fn attacks_are_refused() {
        let code = |text: &str| parts(text.as_bytes(), 7).unwrap_err().code();
        assert_eq!(code("--b\nX: y\n\none\n--b--"), "invalid_content_type");
        for text in [
            "--b\nContent-Type: a/b\rX-Injected: 1\n\none\n--b--",
            "--b\nContent-Type: a/b\nContent-Type: a/c\n\none\n--b--",
            "--b\nContent-Type: a/b\nno colon\n\none\n--b--",
            "--bc\nContent-Type: a/b\n\none\n--b--",
            // A nested boundary that could be the outer one's, and one that crosses it.
            "--b\nContent-Type: multipart/x; boundary=bb\n\n--bb\n\n--b--",
            "--b\nContent-Type: multipart/x; boundary=c\n\n--c\nContent-Type: a/b\n\none\n--b--",
        ] {
            assert_eq!(code(text), "mime_parsing_failed", "{text}");
        }
        let cut = "--b\nContent-Type: multipart/x; boundary=c\n\n--c\nContent-Type: a/b\n\none";
        assert_eq!(code(cut), "io_error");
        let long = format!("--b\nContent-Type: {}\n\n", "x".repeat(1000));
        assert_eq!(code(&long), "mime_parsing_failed");
        let deep: String = (0..20)
            .map(|i| {
                format!(
                    "--{}\nContent-Type: multipart/x; boundary=c{i:02}\n\n",
                    if i == 0 { "b".into() } else { format!("c{:02}", i - 1) }
                )
            })
            .collect();
        assert_eq!(code(&deep), "mime_parsing_failed");
        let many = "--b\nContent-Type: a/b\n\none\n".repeat(7);
        assert_eq!(code(&many), "invalid_message");
        let filler = "x".repeat(70_000);
        assert_eq!(code(&filler), "mime_parsing_failed");
    }

    #[test]
    fn a_boundary_in_a_part_is_seen() {
        let watch = |pieces: &[&str]| {
            let mut watch = BoundaryWatch::new(&Boundary::parse("b").unwrap());
            pieces.iter().any(|p| watch.sees_boundary(&Bytes::copy_from_slice(p.as_bytes())))
        };
        assert!(watch(&["--b"]));
        assert!(watch(&["x\r\n--", "b--"]));
        assert!(watch(&["x\n", "-", "-b"]));
        assert!(!watch(&["x--b", "\n-", "b"]));
    }

    proptest! {
        #[test]
        fn the_cut_does_not_matter(
            text in "(--b|--c|--|\r\n|\n|Content-Type: a/b|Content-Type: multipart/x; boundary=c|x|: ){0,25}", cut in 1_usize..9,
        ) {
            prop_assert_eq!(parts(text.as_bytes(), cut), parts(text.as_bytes(), usize::MAX));
        }
    }
}
