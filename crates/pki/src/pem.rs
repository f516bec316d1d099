//! PEM (RFC 7468), read loosely: text around the block, any line length.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::PkiError;

/// Most blocks read from one file.
const MAX_BLOCKS: usize = 64;

/// The DER of every block with this label.
pub(crate) fn decode_all(
    text: &[u8],
    label: &'static str,
    limit: usize,
) -> Result<Vec<Vec<u8>>, PkiError> {
    let text = std::str::from_utf8(text).map_err(|_| PkiError::malformed("PEM", "not text"))?;
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, after) = after
            .split_once(&end)
            .ok_or_else(|| PkiError::malformed("PEM", format!("no END {label}")))?;
        if blocks.len() == MAX_BLOCKS {
            return Err(PkiError::TooLarge { what: "number of PEM blocks", limit: MAX_BLOCKS });
        }
        blocks.push(decode_base64(body, limit)?);
        rest = after;
    }
    Ok(blocks)
}

/// Base64 with white space anywhere.
pub(crate) fn decode_base64(text: &str, limit: usize) -> Result<Vec<u8>, PkiError> {
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if compact.len() / 4 > limit / 3 + 1 {
        return Err(PkiError::TooLarge { what: "base64 data, bytes", limit });
    }
    STANDARD.decode(compact).map_err(|error| PkiError::malformed("base64", error.to_string()))
}

/// One block with lines of 64 characters.
pub(crate) fn encode(der: &[u8], label: &str) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
