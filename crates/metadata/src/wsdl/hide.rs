//! A WSDL as consumers get it: without the addresses of the information systems.

use std::ops::Range;

use causeway_xml::{Document, Element};

use super::{is_address, limits, parse};
use crate::description::DescriptionError;

/// What stands in place of an address (`pr-meta` 4).
pub const HIDDEN_ADDRESS: &str = "http://example.org/xroad-endpoint";

/// Replaces the location of every SOAP address by [`HIDDEN_ADDRESS`]; all other bytes stay.
///
/// X-Road hides the addresses of SOAP 1.1 only and writes the whole document anew; here those of
/// SOAP 1.2 are hidden too, since they tell the same.
///
/// # Errors
/// When it is no WSDL, or when an address could not be found in the text.
pub fn hide_addresses(bytes: &[u8]) -> Result<Vec<u8>, DescriptionError> {
    let mark = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let document = parse(bytes)?;
    let mut out = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for address in addresses(&document) {
        let Some(value) = location(address, &bytes[mark..]) else { continue };
        let value = value.start + mark..value.end + mark;
        out.extend_from_slice(&bytes[copied..value.start]);
        out.extend_from_slice(HIDDEN_ADDRESS.as_bytes());
        copied = value.end;
    }
    out.extend_from_slice(&bytes[copied..]);
    // Judged by the parser again: what the scan below overlooked must not leave the house.
    let hidden = Document::parse(&out, &limits())?;
    let told = addresses(&hidden)
        .filter_map(|address| address.attribute("location"))
        .any(|location| location != HIDDEN_ADDRESS);
    if told {
        return Err(DescriptionError::CannotHide("an address is still there".to_owned()));
    }
    Ok(out)
}

fn addresses<'d>(document: &'d Document<'_>) -> impl Iterator<Item = Element<'d>> {
    document.root().descendants().filter(is_address)
}

/// Where the value of the attribute `location` is in the text, between its quotes.
fn location(element: Element<'_>, text: &[u8]) -> Option<Range<usize>> {
    let range = element.source_range()?;
    let tag = text.get(range.clone())?;
    // The name of the element, then attributes: NAME white space? = white space? quoted value.
    let mut at = 1 + tag.iter().skip(1).position(|b| ends_name(*b))?;
    loop {
        at += tag.get(at..)?.iter().position(|b| !b.is_ascii_whitespace())?;
        if matches!(tag.get(at)?, b'>' | b'/') {
            return None;
        }
        let name = at..at + tag.get(at..)?.iter().position(|b| ends_name(*b))?;
        at = name.end + tag.get(name.end..)?.iter().position(|b| matches!(b, b'"' | b'\''))?;
        let quote = *tag.get(at)?;
        let start = at + 1;
        let end = start + tag.get(start..)?.iter().position(|b| *b == quote)?;
        if &tag[name] == b"location" {
            return Some(range.start + start..range.start + end);
        }
        at = end + 1;
    }
}

fn ends_name(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'=' | b'>' | b'/')
}
