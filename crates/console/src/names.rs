//! Distinguished names for people.

/// A name (RFC 2253) in which attributes that have no keyword there, and so stand as hexadecimal DER
/// (`2.5.4.5=#0c0b…`), stand as text where that is safe.
pub fn name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut escaped = false;
    let mut start = 0;
    for (at, c) in name.char_indices() {
        if matches!(c, ',' | '+') && !escaped {
            out.push_str(&attribute(&name[start..at]));
            out.push(c);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    out.push_str(&attribute(&name[start..]));
    out
}

/// A text of our own that has names in it, with each as [`name`] writes it.
pub fn names_in(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("=#") {
        let oid = rest[..at].bytes().rev().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let hex = rest[at + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let end = at + 2 + hex;
        out.push_str(&rest[..at - oid]);
        // An escaped comma before it belongs to a value: so does what follows.
        let found = &rest[at - oid..end];
        let within = rest[..at - oid].ends_with("\\,") || rest[..at - oid].ends_with("\\+");
        out.push_str(&if within { found.to_owned() } else { attribute(found) });
        rest = &rest[end..];
    }
    out + rest
}

fn attribute(attribute: &str) -> String {
    text(attribute).unwrap_or_else(|| attribute.to_owned())
}

fn text(attribute: &str) -> Option<String> {
    let (kind, value) = attribute.split_once("=#")?;
    if !kind.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let der = hex::decode(value).ok()?;
    let (&[tag, length], text) = der.split_first_chunk()?;
    if !matches!(tag, 0x0c | 0x13 | 0x16) || usize::from(length) != text.len() || length > 127 {
        return None;
    }
    let kind = match kind {
        "2.5.4.4" => "surname",
        "2.5.4.5" => "serialNumber",
        "2.5.4.15" => "businessCategory",
        "2.5.4.42" => "givenName",
        "2.5.4.97" => "organizationIdentifier",
        "1.2.840.113549.1.9.1" => "emailAddress",
        other => other,
    };
    let text = std::str::from_utf8(text).ok()?;
    let special =
        |c: char| c.is_control() || matches!(c, ',' | '+' | '=' | '\\' | '"' | '<' | '>' | ';');
    (!text.chars().any(special)).then(|| format!("{kind}={text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_where_that_is_safe() {
        let raw = "2.5.4.5=#130b4445562f7373322f434f4d,CN=4321,O=a\\,2.5.4.5=#13017a";
        let shown = "serialNumber=DEV/ss2/COM,CN=4321,O=a\\,2.5.4.5=#13017a";
        assert_eq!(name(raw), shown);
        assert_eq!(names_in(raw), shown);
        for kept in
            ["2.5.4.5=#1303612c62", "2.5.4.5=#13ff61", "2.5.4.5=#0201", "1.2=#zz", "", "CN=é", "=#"]
        {
            assert_eq!(name(kept), kept);
            assert_eq!(names_in(kept), kept);
        }
        assert_eq!(name("1.2.3=#0c0161"), "1.2.3=a");
    }

    #[test]
    fn names_in_texts_are_found() {
        let text = "OCSP of 2.5.4.5=#0c0161: é, and 'CN=b,2.5.4.5=#130162' twice; a=#1";
        let shown = "OCSP of serialNumber=a: é, and 'CN=b,serialNumber=b' twice; a=#1";
        assert_eq!(names_in(text), shown);
    }
}
