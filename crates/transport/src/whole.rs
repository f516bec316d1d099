//! A multipart that is in memory already: its parts, without an order that they must have.

use bytes::Bytes;

use crate::splitter::{Manners, Splitter, Token};
use crate::{Boundary, Limits, PartHeaders, TransportError};

/// A part of a multipart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its headers.
    pub headers: PartHeaders,
    /// Its content, without the line end before the next boundary.
    pub body: Bytes,
}

/// Splits a whole multipart (RFC 2046 section 5.1) into at most `most` parts. The caller has bounded
/// its length; headers are bounded by the default [`Limits`]. Multiparts inside stay as they are. A
/// text without any boundary has no parts.
///
/// # Errors
/// [`TransportError::TooMany`] for more parts, and what is wrong with boundaries and headers.
pub fn read_parts(
    boundary: &Boundary,
    multipart: Bytes,
    most: usize,
) -> Result<Vec<Part>, TransportError> {
    let limits = Limits::default();
    let mut splitter = Splitter::new(boundary, Manners::Strict);
    splitter.push(multipart);
    splitter.end_of_input();
    let mut parts: Vec<Part> = Vec::new();
    while let Some(token) = splitter.next(&limits)? {
        match token {
            Token::Part(_) if parts.len() == most => {
                return Err(TransportError::TooMany { parts: "parts", limit: most });
            }
            Token::Part(headers) => parts.push(Part { headers, body: Bytes::new() }),
            Token::Data(data) => {
                if let Some(part) = parts.last_mut() {
                    part.body = match part.body.is_empty() {
                        true => data,
                        // A part comes in pieces only where a line looks like a boundary.
                        false => Bytes::from([&part.body[..], &data[..]].concat()),
                    };
                }
            }
            Token::PartEnd | Token::NestedEnd => {}
            Token::End => break,
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bodies(text: &str) -> Result<Vec<String>, TransportError> {
        let parts = read_parts(&Boundary::parse("b").unwrap(), Bytes::from(text.to_owned()), 3)?;
        Ok(parts.iter().map(|p| String::from_utf8(p.body.to_vec()).unwrap()).collect())
    }

    #[test]
    fn parts_are_split_and_counted() {
        let part = |body: &str| format!("--b\r\nContent-Type:a/b\r\nX-Y: z\r\n\r\n{body}\r\n");
        assert_eq!(bodies("").unwrap(), Vec::<String>::new());
        assert_eq!(bodies(&format!("{}--b--\r\n", part("one"))).unwrap(), ["one"]);
        let text = format!("{}{}{}--b--", part("a\r\n-- b\r\n--c"), part(""), part("\r\n"));
        assert_eq!(bodies(&text).unwrap(), ["a\r\n-- b\r\n--c", "", "\r\n"]);
        let four = format!("{}--b--", part("x").repeat(4));
        let limit = TransportError::TooMany { parts: "parts", limit: 3 };
        assert_eq!(bodies(&four), Err(limit));
        assert_eq!(bodies(&part("cut")), Err(TransportError::Truncated));
        let parts = read_parts(&Boundary::parse("b").unwrap(), text.into(), 3).unwrap();
        assert_eq!(parts[0].headers.content_type(), Some("a/b"));
        assert_eq!(parts[0].headers.get("x-y"), Some("z"));
    }
}
