use crate::error::shorten;
use crate::{Limits, TransportError};

/// The headers of a part (RFC 5322 section 2.2, RFC 2045 section 3).
///
/// Values are as the peer wrote them, unfolded and without surrounding white
/// space; encoded words (RFC 2047) stay encoded. Bytes outside ASCII are read
/// as ISO-8859-1, which is how X-Road writes them, so they survive a hop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartHeaders {
    content_type: Option<String>,
    others: Vec<(String, String)>,
}

impl PartHeaders {
    /// The headers of a part that has a content type and nothing else.
    pub fn of_content_type(value: &str) -> Self {
        Self { content_type: Some(value.to_owned()), others: Vec::new() }
    }

    /// The same headers with another content type.
    #[must_use]
    pub fn with_content_type(mut self, value: &str) -> Self {
        self.content_type = Some(value.to_owned());
        self
    }

    /// The same headers with one more, behind the others.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.others.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How many bytes names and values have together.
    pub fn length(&self) -> usize {
        let others = self.others.iter().map(|(name, value)| name.len() + value.len());
        self.content_type.as_ref().map_or(0, String::len) + others.sum::<usize>()
    }

    /// The `Content-Type`, verbatim.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// All other headers in their order, with names as written.
    pub fn others(&self) -> &[(String, String)] {
        &self.others
    }

    /// The first other header of this name, compared without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// Collects header lines until the blank one.
#[derive(Debug, Default)]
pub(crate) struct HeaderBlock {
    fields: Vec<(String, String)>,
    bytes: usize,
}

impl HeaderBlock {
    /// Takes one line without its line end; `true` at the blank line that ends the block.
    pub(crate) fn line(&mut self, line: &[u8], limits: &Limits) -> Result<bool, TransportError> {
        self.bytes = self.bytes.saturating_add(line.len()).saturating_add(2);
        if self.bytes > limits.header_block {
            return Err(TransportError::HeadersTooLarge("their total length"));
        }
        if line.is_empty() {
            return Ok(true);
        }
        // A carriage return or NUL that gets through here could become a header
        // of its own when another hop writes the value out again.
        if line.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
            return Err(malformed("control character", line));
        }
        if let [b' ' | b'\t', ..] = line {
            let Some((_, value)) = self.fields.last_mut() else {
                return Err(malformed("continuation of nothing", line));
            };
            value.push(' ');
            value.push_str(latin1(line).trim_matches([' ', '\t']));
            return Ok(false);
        }
        let Some((name, value)) = split_field(line) else {
            return Err(malformed("no name and colon", line));
        };
        if self.fields.len() >= limits.header_count {
            return Err(TransportError::HeadersTooLarge("their count"));
        }
        self.fields.push((name, value));
        Ok(false)
    }

    pub(crate) fn finish(self) -> Result<PartHeaders, TransportError> {
        let mut headers = PartHeaders::default();
        for (name, value) in self.fields {
            if !name.eq_ignore_ascii_case("content-type") {
                headers.others.push((name, value.trim_end_matches([' ', '\t']).to_owned()));
            } else if headers.content_type.replace(value.trim().to_owned()).is_some() {
                return Err(TransportError::MalformedHeader("two content types".into()));
            }
        }
        Ok(headers)
    }
}

fn malformed(what: &str, line: &[u8]) -> TransportError {
    TransportError::MalformedHeader(format!("{what} in {:?}", shorten(&latin1(line))))
}

fn split_field(line: &[u8]) -> Option<(String, String)> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    is_field_name(name).then(|| (latin1(name), latin1(value).trim_matches([' ', '\t']).to_owned()))
}

/// Visible ASCII without the colon (RFC 5322 `ftext`).
pub(crate) fn is_field_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() && *b != b':')
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(lines: &[&[u8]]) -> Result<PartHeaders, TransportError> {
        let mut block = HeaderBlock::default();
        for line in lines {
            assert!(!block.line(line, &Limits::default())?);
        }
        assert!(block.line(b"", &Limits::default())?);
        block.finish()
    }

    #[test]
    fn names_compare_without_case_and_folded_lines_join() {
        let headers =
            read(&[b"Content-TYPE:text/xml", b"X-A: one", b"\t two ", b"x-b:", b"X-C: \xe9"])
                .unwrap();
        assert_eq!(headers.content_type(), Some("text/xml"));
        assert_eq!(headers.get("x-a"), Some("one two"));
        assert_eq!(headers.get("X-B"), Some(""));
        assert_eq!(headers.get("x-c"), Some("é"));
        assert_eq!(headers.others()[0].0, "X-A");
        assert_eq!(headers.get("content-type"), None);
    }

    #[test]
    fn injection_and_malformed_lines_are_refused() {
        for lines in [
            &[b"X-A: one\rX-B: two".as_slice()][..],
            &[b"X-A: \0"],
            &[b"X-A : one"],
            &[b": one"],
            &[b"no colon"],
            &[b" folded first"],
            &[b"Content-Type: a/b", b"content-type: a/b"],
        ] {
            assert_eq!(read(lines).unwrap_err().code(), "mime_parsing_failed", "{lines:?}");
        }
    }

    #[test]
    fn count_and_total_length_are_bounded() {
        let limits = Limits { header_count: 2, header_block: 12, ..Limits::default() };
        let mut block = HeaderBlock::default();
        assert!(!block.line(b"a:1", &limits).unwrap());
        assert!(!block.line(b"b:2", &limits).unwrap());
        let err = TransportError::HeadersTooLarge("their total length");
        assert_eq!(block.line(b"c:3", &limits).unwrap_err(), err);
        let roomy = Limits { header_count: 2, ..Limits::default() };
        let mut block = HeaderBlock::default();
        assert!(!block.line(b"a:1", &roomy).unwrap());
        assert!(!block.line(b"b:2", &roomy).unwrap());
        assert!(block.line(b"c:3", &roomy).is_err());
    }
}
