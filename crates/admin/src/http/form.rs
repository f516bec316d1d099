//! Percent-encoding: parts of paths, queries and forms.

/// The most pairs of a query or form.
const MOST_PAIRS: usize = 64;

/// Decodes percent-encoding, and with `plus` also `+` as a space. `None` when a sequence is broken or
/// the result is not UTF-8.
pub fn decode(text: &str, plus: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                out.push(u8::try_from(high << 4 | low).ok()?);
            }
            b'+' if plus => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

/// Reads `name=value` pairs joined by `&` (`application/x-www-form-urlencoded`). `None` when there are
/// more than 64, or one cannot be decoded.
pub fn read_pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pairs: Vec<&str> = text.split('&').filter(|p| !p.is_empty()).take(MOST_PAIRS + 1).collect();
    if pairs.len() > MOST_PAIRS {
        return None;
    }
    let read = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name, true)?, decode(value, true)?))
    };
    pairs.into_iter().map(read).collect()
}
