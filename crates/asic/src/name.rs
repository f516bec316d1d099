use std::fmt::Write as _;

/// The longest encoded message id in a file name, in characters.
const MAX_QUERY_ID: usize = 226;

/// The file name of a container: `<message id>-<request|response>-<record id>.asice`, the message
/// id form-encoded and cut to 226 characters, the record id in base 32 (digits `0` to `v`)
/// (X-Road 7.8 `AsicContainerNameGenerator`). At most 255 characters, ASCII only.
pub fn container_name(query_id: &str, response: bool, record_id: u64) -> String {
    let kind = if response { "response" } else { "request" };
    let mut name = form_encode(query_id);
    name.truncate(MAX_QUERY_ID);
    format!("{name}-{kind}-{}.asice", base32(record_id))
}

/// Java's form encoding: letters, digits and `.-*_` stay, a space becomes `+`, the rest is percent-encoded UTF-8.
fn form_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn base32(mut value: u64) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut digits = Vec::new();
    loop {
        digits.push(DIGITS[usize::from((value % 32) as u8)]);
        value /= 32;
        if value == 0 {
            break;
        }
    }
    digits.iter().rev().map(|d| char::from(*d)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_xroad_gives_them() {
        assert_eq!(container_name("a b/c*é", false, 0), "a+b%2Fc*%C3%A9-request-0.asice");
        assert_eq!(container_name("id", true, 1023), "id-response-vv.asice");
        assert_eq!(container_name("id", true, u64::MAX), "id-response-fvvvvvvvvvvvv.asice");
        let long = container_name(&"é".repeat(200), true, u64::MAX);
        assert_eq!(long.len(), 226 + "-response-".len() + 13 + ".asice".len());
        assert!(long.is_ascii());
    }
}
