//! Identifiers in REST paths and headers: percent-encoded segments joined by
//! `/` (`pr-rest` 4.2, 4.3, 4.8).

use crate::{ClientId, IdentifierError, SecurityServerId, ServiceId};

/// Decodes one path segment: RFC 3986 `pchar` and `%XX` of UTF-8.
///
/// # Errors
/// [`IdentifierError::IllegalEncoding`] for any other character, a broken
/// percent sequence, or bytes that are not UTF-8.
pub fn decode_segment(segment: &str) -> Result<String, IdentifierError> {
    let illegal = || IdentifierError::IllegalEncoding(segment.chars().take(80).collect());
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let high = bytes.next().and_then(hex_value).ok_or_else(illegal)?;
            let low = bytes.next().and_then(hex_value).ok_or_else(illegal)?;
            out.push(high << 4 | low);
        } else if is_raw(b) {
            out.push(b);
        } else {
            return Err(illegal());
        }
    }
    String::from_utf8(out).map_err(|_| illegal())
}

/// Encodes one path segment: `pchar` stays, everything else becomes `%XX` of
/// its UTF-8 bytes with upper-case digits.
pub fn encode_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if is_raw(b) {
            out.push(char::from(b));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(HEX[usize::from(b >> 4)]));
            out.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
    out
}

fn is_raw(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b)
}

fn hex_value(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Splits at `/` and decodes each segment; `max` bounds the count.
fn segments(text: &str, max: usize) -> Result<Vec<String>, IdentifierError> {
    text.splitn(max + 1, '/').map(decode_segment).collect()
}

/// Reads the value of `X-Road-Client`: 3 or 4 encoded segments.
///
/// # Errors
/// When the count is wrong, a segment is blank, or an encoding is illegal.
pub fn decode_client(value: &str) -> Result<ClientId, IdentifierError> {
    match segments(value, 4)?.as_slice() {
        [i, c, m] => ClientId::new(i, c, m, None),
        [i, c, m, s] => ClientId::new(i, c, m, Some(s)),
        parts => Err(crate::wrong_count(value, parts.len(), "3 or 4")),
    }
}

/// Reads the value of `X-Road-Service`: exactly 5 encoded segments.
///
/// # Errors
/// As [`decode_client`].
pub fn decode_service(value: &str) -> Result<ServiceId, IdentifierError> {
    match segments(value, 5)?.as_slice() {
        [i, c, m, s, service] => ClientId::new(i, c, m, Some(s))?.service(service, None),
        parts => Err(crate::wrong_count(value, parts.len(), "5")),
    }
}

/// Reads the value of `X-Road-Security-Server`: exactly 4 encoded segments.
///
/// # Errors
/// As [`decode_client`].
pub fn decode_server(value: &str) -> Result<SecurityServerId, IdentifierError> {
    match segments(value, 4)?.as_slice() {
        [i, c, m, s] => SecurityServerId::new(crate::MemberId::new(i, c, m)?, s),
        parts => Err(crate::wrong_count(value, parts.len(), "4")),
    }
}

/// Writes a client for `X-Road-Client`.
pub fn encode_client(id: &ClientId) -> String {
    let member = id.member();
    let parts = [member.instance(), member.class(), member.code()];
    join(parts.into_iter().chain(id.subsystem_code()))
}

/// Writes a service for `X-Road-Service`. A version has no place in this form.
pub fn encode_service(id: &ServiceId) -> String {
    format!("{}/{}", encode_client(id.client()), encode_segment(id.code()))
}

/// Writes a server for `X-Road-Security-Server`.
pub fn encode_server(id: &SecurityServerId) -> String {
    format!("{}/{}", encode_client(&id.owner().as_client()), encode_segment(id.code()))
}

fn join<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.map(encode_segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_encoded_slash_is_part_of_a_code() {
        let id = decode_client("DEV/COM/a%2Fb/S%20%C3%B5").unwrap();
        assert_eq!(id.member().code(), "a/b");
        assert_eq!(id.subsystem_code(), Some("S õ"));
        assert_eq!(encode_client(&id), "DEV/COM/a%2Fb/S%20%C3%B5");
    }

    #[test]
    fn what_is_not_a_segment_is_refused() {
        for bad in [
            "DEV/COM/a b/S",
            "DEV/COM/%2/S",
            "DEV/COM/%ff/S",
            "DEV/COM/õ/S",
            "DEV/COM",
            "DEV/COM/1/S/x",
            "DEV//1/S",
        ] {
            assert!(decode_client(bad).is_err(), "{bad}");
        }
        assert!(decode_service("DEV/COM/1/S").is_err());
    }

    proptest! {
        #[test]
        fn segments_round_trip(text in "\\PC{1,40}") {
            prop_assert_eq!(decode_segment(&encode_segment(&text)).unwrap(), text);
        }

        #[test]
        fn decoding_never_panics(text in "\\PC*") {
            let _ = decode_client(&text);
            let _ = decode_service(&text);
            let _ = decode_server(&text);
        }
    }
}
