//! MIME multipart as configuration directories use it (RFC 2046 5.1), read over borrowed bytes.
//!
//! The central server ends lines with CRLF, the configuration proxy ends one header with LF LF, and
//! hand-made directories use LF throughout and leave out the last delimiter: all are read. Bytes of a
//! part are kept as they are, since signatures are over them.

use std::collections::HashMap;

use crate::GlobalConfError;

/// The longest block of headers, in bytes.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// The longest boundary, in bytes; RFC 2046 allows 70.
const MAX_BOUNDARY_BYTES: usize = 200;
/// The most parts of one multipart body.
pub(crate) const MAX_PARTS: usize = 2_000;

/// Header fields by lower-case name. Of a repeated field the last counts, as at X-Road.
#[derive(Debug, Default)]
pub(crate) struct Headers(HashMap<String, String>);

impl Headers {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    pub(crate) fn required(&self, name: &'static str) -> Result<&str, GlobalConfError> {
        self.get(name).filter(|v| !v.is_empty()).ok_or(GlobalConfError::MissingHeader(name))
    }

    /// Demands a field and its value, in any case of letters and without parameters.
    pub(crate) fn demand(&self, name: &'static str, value: &str) -> Result<(), GlobalConfError> {
        let found = self.required(name)?;
        if Value::parse(found).text.eq_ignore_ascii_case(value) {
            return Ok(());
        }
        Err(GlobalConfError::wrong_value(name, found))
    }
}

/// A header value with parameters: `text; name=value; name="value"; name='value'`.
#[derive(Debug)]
pub(crate) struct Value<'a> {
    pub(crate) text: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Value<'a> {
    pub(crate) fn parse(value: &'a str) -> Self {
        let mut pieces = split_outside_quotes(value).into_iter();
        let text = pieces.next().unwrap_or_default().trim();
        let parameters = pieces
            .filter_map(|piece| piece.split_once('='))
            .map(|(name, value)| (name.trim(), unwrap(value.trim())))
            .collect();
        Self { text, parameters }
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        let found = self.parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value).filter(|value| !value.trim().is_empty())
    }
}

fn split_outside_quotes(value: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, c) in value.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ';' if !quoted => {
                pieces.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&value[start..]);
    pieces
}

fn unwrap(value: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

/// The boundary that a `multipart/*` content type names.
pub(crate) fn boundary(content_type: &str) -> Result<&str, GlobalConfError> {
    let value = Value::parse(content_type);
    let multipart = value.text.get(..10).is_some_and(|t| t.eq_ignore_ascii_case("multipart/"));
    let boundary = value.parameter("boundary").filter(|b| b.len() <= MAX_BOUNDARY_BYTES);
    match boundary {
        Some(boundary) if multipart => Ok(boundary),
        _ => Err(GlobalConfError::directory(format!(
            "'{}' is not a multipart content type with a boundary",
            content_type.chars().take(100).collect::<String>()
        ))),
    }
}

/// Splits a header block from what follows its blank line. Without a blank line all is header.
pub(crate) fn split_headers(bytes: &[u8]) -> Result<(Headers, &[u8]), GlobalConfError> {
    let mut headers = Headers::default();
    let mut last: Option<String> = None;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (line, after) = next_line(rest);
        if bytes.len() - after.len() > MAX_HEADER_BYTES {
            let why = format!("headers of more than {MAX_HEADER_BYTES} bytes");
            return Err(GlobalConfError::directory(why));
        }
        rest = after;
        if line.is_empty() {
            break;
        }
        let line = std::str::from_utf8(line)
            .map_err(|_| GlobalConfError::directory("a header is not UTF-8"))?;
        match (line.strip_prefix([' ', '\t']), &last) {
            (Some(folded), Some(name)) => {
                if let Some(value) = headers.0.get_mut(name) {
                    value.push(' ');
                    value.push_str(folded.trim());
                }
            }
            _ => {
                let (name, value) = line
                    .split_once(':')
                    .ok_or_else(|| GlobalConfError::directory("a header line has no colon"))?;
                let name = name.trim().to_ascii_lowercase();
                headers.0.insert(name.clone(), value.trim().to_owned());
                last = Some(name);
            }
        }
    }
    Ok((headers, rest))
}

/// The parts between the delimiters, each with its headers, without the line break before the next
/// delimiter. What comes before the first and after the last delimiter is passed over.
pub(crate) fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<&'a [u8]>, GlobalConfError> {
    let mut parts = Vec::new();
    let mut open: Option<usize> = None;
    let mut at = 0;
    while at < body.len() {
        let (line, after) = next_line(&body[at..]);
        let next = body.len() - after.len();
        if let Some(last) = delimiter(line, boundary) {
            if let Some(start) = open {
                parts.push(before_line_break(&body[start..at]));
            }
            if parts.len() > MAX_PARTS {
                return Err(GlobalConfError::directory(format!("more than {MAX_PARTS} parts")));
            }
            if last {
                return Ok(parts);
            }
            open = Some(next);
        }
        at = next;
    }
    if let Some(start) = open {
        parts.push(&body[start..]);
    }
    Ok(parts)
}

/// Whether a line is a delimiter, and if so whether it is the last one.
fn delimiter(line: &[u8], boundary: &str) -> Option<bool> {
    let tail = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
    let tail = tail.trim_ascii_end();
    match tail {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

fn next_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(end) = bytes.iter().position(|b| *b == b'\n') else { return (bytes, &[]) };
    let line = &bytes[..end];
    (line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..])
}

fn before_line_break(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parameters_in_all_three_notations() {
        let instance = |text| Value::parse(text).parameter("instance").map(str::to_owned);
        assert_eq!(instance("ID; instance='DEV'").as_deref(), Some("DEV"));
        assert_eq!(instance("ID;INSTANCE=\"a;b\"").as_deref(), Some("a;b"));
        assert_eq!(instance("ID; instance=DEV").as_deref(), Some("DEV"));
        assert_eq!(instance("ID; instance='O'Brien'").as_deref(), Some("O'Brien"));
        assert_eq!(instance("ID; instance=''"), None);
        assert_eq!(instance("ID"), None);
    }

    #[test]
    fn a_part_ends_before_the_line_break_of_its_delimiter() {
        let body =
            b"preamble\r\n--b\r\nx: 1\r\n\r\none\r\n\r\n--b\r\ntwo\n--b--\r\n--b\r\nepilogue";
        let parts = parts(body, "b").unwrap();
        assert_eq!(parts, [&b"x: 1\r\n\r\none\r\n"[..], b"two"]);
        let (headers, rest) = split_headers(parts[0]).unwrap();
        assert_eq!(headers.get("X"), Some("1"));
        assert_eq!(rest, b"one\r\n");
    }

    #[test]
    fn an_empty_body_shares_its_line_break_with_the_delimiter() {
        let parts = parts(b"--b\r\nx: 1\r\n\r\n--b--\r\n", "b").unwrap();
        assert_eq!(parts, [&b"x: 1\r\n"[..]]);
    }

    #[test]
    fn a_longer_boundary_is_not_a_delimiter() {
        assert_eq!(parts(b"--b\none\n--bb\ntwo\n--b--", "b").unwrap(), [&b"one\n--bb\ntwo"[..]]);
    }
}
