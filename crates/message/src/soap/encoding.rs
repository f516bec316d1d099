//! Which characters a message's bytes are.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::{Fault, codes};

/// How much of a message is searched for its XML declaration, in bytes.
const DECLARATION_BYTES: usize = 300;

/// The text of a message, and the encoding that it was in.
pub(super) struct Text<'b> {
    /// The characters, without a byte order mark.
    pub(super) text: Cow<'b, str>,
    /// Where the bytes are not UTF-8: how they are to be called.
    pub(super) foreign: Option<&'static str>,
}

/// Decodes by the byte order mark, else by the XML declaration, else as UTF-8: as an XML parser that
/// is given nothing but bytes (XML 1.0, appendix F; so does X-Road). What HTTP or MIME says of
/// the character set does not count, since the signature does not cover it.
pub(super) fn decode(bytes: &[u8]) -> Result<Text<'_>, Fault> {
    let (encoding, rest) = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => {
            let said = declared(rest)?;
            if said != UTF_8 {
                let text = format!(
                    "The SOAP message has the byte order mark of UTF-8, and says that it is {}",
                    said.name()
                );
                return Err(Fault::new(codes::INVALID_SOAP, text));
            }
            (UTF_8, rest)
        }
        [0xfe, 0xff, rest @ ..] => (UTF_16BE, rest),
        [0xff, 0xfe, rest @ ..] => (UTF_16LE, rest),
        [0, b'<', 0, b'?', ..] => (UTF_16BE, bytes),
        [b'<', 0, b'?', 0, ..] => (UTF_16LE, bytes),
        _ => (declared(bytes)?, bytes),
    };
    if encoding == UTF_8 {
        let text = std::str::from_utf8(rest)
            .map_err(|_| Fault::new(codes::INVALID_SOAP, "The SOAP message is not UTF-8"))?;
        return Ok(Text { text: Cow::Borrowed(text), foreign: None });
    }
    let text = encoding.decode_without_bom_handling_and_without_replacement(rest);
    let text = text.ok_or_else(|| {
        let text = format!("The SOAP message is not {}, as it says", encoding.name());
        Fault::new(codes::INVALID_SOAP, text)
    })?;
    Ok(Text { text, foreign: Some(encoding.name()) })
}

/// The encoding that the XML declaration names; UTF-8 without one.
fn declared(bytes: &[u8]) -> Result<&'static Encoding, Fault> {
    let head = bytes.get(..DECLARATION_BYTES).unwrap_or(bytes);
    let head: String = head.iter().copied().map(char::from).collect();
    let Some(declaration) =
        head.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map(|(d, _)| d)
    else {
        return Ok(UTF_8);
    };
    let label = declaration.split_once("encoding").and_then(|(_, rest)| {
        let rest = rest.trim_start().strip_prefix('=')?.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        rest.get(1..)?.split_once(quote).map(|(label, _)| label)
    });
    let Some(label) = label else { return Ok(UTF_8) };
    // The encodings of the web hold some in which the same bytes can be tags to one reader and text to
    // another; those of one byte a character keep ASCII where it is.
    Encoding::for_label(label.as_bytes())
        .filter(|e| *e == UTF_8 || (e.is_single_byte() && e.is_ascii_compatible()))
        .ok_or_else(|| {
            let label: String = label.chars().take(40).collect();
            Fault::new(codes::INVALID_SOAP, format!("The encoding '{label}' is not supported"))
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_tell_their_encoding() {
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe4</a>";
        let text = decode(latin).unwrap();
        assert!(text.text.ends_with("<a>ä</a>"));
        assert_eq!(text.foreign, Some("windows-1252"));
        assert_eq!(decode(b"\xef\xbb\xbf<a/>").unwrap().text, "<a/>");
        let wide: Vec<u8> = "\u{feff}<a>ä</a>".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(decode(&wide).unwrap().text, "<a>ä</a>");
        for refused in [
            b"<a>\xe4</a>".as_slice(),
            b"<?xml version='1.0' encoding='UTF-16'?><a/>",
            b"<?xml version='1.0' encoding='UTF-7'?><a/>",
            b"<?xml version='1.0' encoding='iso-2022-jp'?><a/>",
            b"<?xml version='1.0' encoding='Shift_JIS'?><a/>",
        ] {
            assert_eq!(decode(refused).err().unwrap().code(), "invalid_soap");
        }
    }
}
