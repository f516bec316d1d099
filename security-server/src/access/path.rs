//! The path of a request below a service, in the form that rights are tested against; and what
//! makes a path doubtful.

use super::pattern::has_percent_sequence;

/// Why a path cannot be judged: a provider might read it in another way than this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathDoubt {
    /// It has no slash in front.
    #[error("does not begin with '/'")]
    NoSlash,
    /// A character that must be percent-encoded in a path (RFC 3986 3.3).
    #[error("has a character that must be percent-encoded")]
    IllegalCharacter,
    /// `%` without two hexadecimal digits.
    #[error("has a broken percent-encoding")]
    BrokenEncoding,
    /// Percent-encoded bytes that are not UTF-8.
    #[error("is not UTF-8 once decoded")]
    NotUtf8,
    /// `%2F` or `%5C`.
    #[error("has an encoded slash or backslash, so its segments are ambiguous")]
    EncodedSeparator,
    /// `%25` and two hexadecimal digits.
    #[error("is percent-encoded more than once")]
    EncodedTwice,
    /// `%3F` or `%23`.
    #[error("has an encoded '?' or '#', which a provider may take for the path's end")]
    EncodedEnd,
    /// A control character or line separator.
    #[error("has an encoded control character")]
    ControlCharacter,
    /// `//`, or a segment that begins with `;`.
    #[error("has an empty segment")]
    EmptySegment,
    /// `%2E`, or parameters behind the dots, in a segment of dots.
    #[error("has a disguised '.' or '..' segment")]
    DisguisedDots,
    /// `..` that leads out of the service.
    #[error("leads out of the service with '..'")]
    LeavesService,
}

/// The path that rights are tested against: percent-decoded once, dot segments resolved (RFC 3986
/// 5.2.4). The empty path stays empty.
///
/// # Errors
/// When the path has a second reading; see [`PathDoubt`].
pub fn normalized_service_path(raw: &str) -> Result<String, PathDoubt> {
    let decoded = decode(raw)?;
    if decoded.is_empty() {
        return Ok(decoded);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_dots = false;
    for segment in decoded.split('/').skip(1) {
        ends_in_dots = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop().ok_or(PathDoubt::LeavesService)?),
            other => kept.push(other),
        }
    }
    if ends_in_dots {
        kept.push("");
    }
    Ok(format!("/{}", kept.join("/")))
}

/// All that a provider may take a path for: with dot segments resolved, and, if there are any,
/// with them as they stand.
pub(super) fn readings(raw: &str) -> Result<Vec<String>, PathDoubt> {
    let normalized = normalized_service_path(raw)?;
    let decoded = decode(raw)?;
    Ok(if decoded == normalized { vec![normalized] } else { vec![normalized, decoded] })
}

/// Decodes once, and refuses what is ambiguous but for dot segments.
fn decode(raw: &str) -> Result<String, PathDoubt> {
    if raw.is_empty() {
        return Ok(String::new());
    }
    if !raw.starts_with('/') {
        return Err(PathDoubt::NoSlash);
    }
    if !raw.bytes().all(|b| is_path_character(b) || b == b'/' || b == b'%') {
        return Err(PathDoubt::IllegalCharacter);
    }
    let segments: Vec<&str> = raw.split('/').skip(1).collect();
    let mut decoded = Vec::with_capacity(segments.len());
    for (i, segment) in segments.iter().enumerate() {
        let text = decode_segment(segment)?;
        let before_parameters = text.split(';').next().unwrap_or_default();
        let is_last = i + 1 == segments.len();
        if before_parameters.is_empty() && !(is_last && text.is_empty()) {
            return Err(PathDoubt::EmptySegment);
        }
        let is_dots = matches!(before_parameters.trim(), "." | "..");
        if is_dots && !matches!(*segment, "." | "..") {
            return Err(PathDoubt::DisguisedDots);
        }
        decoded.push(text);
    }
    Ok(format!("/{}", decoded.join("/")))
}

fn decode_segment(segment: &str) -> Result<String, PathDoubt> {
    if !segment.contains('%') {
        return Ok(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let value = match byte {
            b'%' => {
                let digits = rest.next().zip(rest.next());
                let value = digits.and_then(|(high, low)| Some(hex(high)? << 4 | hex(low)?));
                value.ok_or(PathDoubt::BrokenEncoding)?
            }
            other => other,
        };
        bytes.push(value);
    }
    let text = String::from_utf8(bytes).map_err(|_| PathDoubt::NotUtf8)?;
    if text.contains(['/', '\\']) {
        return Err(PathDoubt::EncodedSeparator);
    }
    if text.contains(['?', '#']) {
        return Err(PathDoubt::EncodedEnd);
    }
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(PathDoubt::ControlCharacter);
    }
    if has_percent_sequence(&text) {
        return Err(PathDoubt::EncodedTwice);
    }
    Ok(text)
}

/// RFC 3986 `pchar` without percent-encoding.
fn is_path_character(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// How often a path is decoded in search of a way out.
const DECODINGS: usize = 4;

/// Refuses a path that some reading takes out of the service: decoded any number of times, with
/// backslashes as slashes, without parameters, with double slashes merged. All other paths may
/// pass where the whole service is allowed, encoded slashes too, which X-Road lets through and some
/// APIs need.
///
/// # Errors
/// [`PathDoubt::LeavesService`], [`PathDoubt::EncodedTwice`] when decoding finds no end, or
/// [`PathDoubt::NoSlash`].
pub fn leaves_service(raw: &str) -> Result<(), PathDoubt> {
    if !raw.is_empty() && !raw.starts_with('/') {
        return Err(PathDoubt::NoSlash);
    }
    let mut path = raw.as_bytes().to_vec();
    for _ in 0..DECODINGS {
        let mut depth = 0_usize;
        for segment in path.split(|b| matches!(b, b'/' | b'\\')) {
            let before_parameters = segment.split(|b| *b == b';').next().unwrap_or_default();
            match before_parameters.trim_ascii() {
                b"" | b"." => {}
                b".." => depth = depth.checked_sub(1).ok_or(PathDoubt::LeavesService)?,
                _ => depth += 1,
            }
        }
        let decoded = decode_leniently(&path);
        if decoded == path {
            return Ok(());
        }
        path = decoded;
    }
    Err(PathDoubt::EncodedTwice)
}

/// Decodes what can be decoded and leaves the rest.
fn decode_leniently(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        let digits = path.get(at + 1).zip(path.get(at + 2));
        let value = digits.and_then(|(high, low)| Some(hex(*high)? << 4 | hex(*low)?));
        match value {
            Some(value) if *byte == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_with_one_reading() {
        for (raw, path) in [
            ("", ""),
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/a%20b", "/a b"),
            ("/%5Bx%5D", "/[x]"),
            ("/S%E1%BB%9F", "/Sở"),
            ("/100%25", "/100%"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a..b/.c", "/a..b/.c"),
            ("/...", "/..."),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/a:b@c", "/a:b@c"),
            ("/%41", "/A"),
        ] {
            assert_eq!(normalized_service_path(raw).as_deref(), Ok(path), "{raw}");
        }
    }

    #[test]
    fn paths_with_a_second_reading_are_refused() {
        use PathDoubt::*;
        for (raw, doubt) in [
            ("a/b", NoSlash),
            ("/a b", IllegalCharacter),
            ("/a\\b", IllegalCharacter),
            ("/a?b", IllegalCharacter),
            ("/ở", IllegalCharacter),
            ("/%", BrokenEncoding),
            ("/%2", BrokenEncoding),
            ("/%zz", BrokenEncoding),
            ("/%+1", BrokenEncoding),
            ("/%ff", NotUtf8),
            ("/%c0%af", NotUtf8),
            ("/a%2Fb", EncodedSeparator),
            ("/a%2fb", EncodedSeparator),
            ("/a%5Cb", EncodedSeparator),
            ("/a%252Fb", EncodedTwice),
            ("/a%25%32%46b", EncodedTwice),
            ("/a%3Fb", EncodedEnd),
            ("/a%23b", EncodedEnd),
            ("/a%00b", ControlCharacter),
            ("/a%0Ab", ControlCharacter),
            ("/a%C2%85b", ControlCharacter),
            ("/a%E2%80%A8b", ControlCharacter),
            ("//a/b", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a//", EmptySegment),
            ("/;x/b", EmptySegment),
            ("/a/;", EmptySegment),
            ("/a/%2e%2e/b", DisguisedDots),
            ("/a/.%2E/b", DisguisedDots),
            ("/a/%2e", DisguisedDots),
            ("/a/..;/b", DisguisedDots),
            ("/a/..;x=1/b", DisguisedDots),
            ("/a/..%20/b", DisguisedDots),
            ("/..", LeavesService),
            ("/../a", LeavesService),
            ("/a/../../b", LeavesService),
        ] {
            assert_eq!(normalized_service_path(raw), Err(doubt), "{raw}");
        }
    }

    #[test]
    fn a_way_out_is_found_behind_every_disguise() {
        for out in [
            "/..",
            "/a/../../b",
            "/a//../../b",
            "/%2e%2e/b",
            "/..%2fb",
            "/..%5cb",
            "/a%2f..%2f..%2fb",
            "/%252e%252e/b",
            "/..;x/b",
            "/..%3bx/b",
            "/a;/;b/../../c",
            "/%25252e%25252e/b",
        ] {
            assert_eq!(leaves_service(out), Err(PathDoubt::LeavesService), "{out}");
        }
        for inside in [
            "",
            "/",
            "/a/../b",
            "/group%2Fproject",
            "/a%2f..%2fb",
            "/%ff",
            "/a%",
            "/a..b",
            "//a",
            "/a%3Fb",
        ] {
            assert_eq!(leaves_service(inside), Ok(()), "{inside}");
        }
        assert_eq!(leaves_service("/%252525252541"), Err(PathDoubt::EncodedTwice));
        assert_eq!(leaves_service("a"), Err(PathDoubt::NoSlash));
    }

    proptest! {
        #[test]
        fn normalizing_never_panics(raw in "\\PC*", odd in r"[/.;%25fFeE\\a]{0,20}") {
            for raw in [raw, format!("/{odd}")] {
                let _ = leaves_service(&raw);
                if let Ok(path) = normalized_service_path(&raw) {
                    prop_assert!(path.is_empty() || path.starts_with('/'));
                    prop_assert!(!path.split('/').any(|s| matches!(s, "." | "..")));
                    prop_assert!(!path.contains("//"));
                    prop_assert_eq!(leaves_service(&raw), Ok(()));
                }
            }
        }

        #[test]
        fn encoding_letters_changes_nothing(text in "[a-z]{1,8}") {
            let encoded: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
            let plain = normalized_service_path(&format!("/{text}"));
            prop_assert_eq!(normalized_service_path(&format!("/{encoded}")), plain);
        }
    }
}
