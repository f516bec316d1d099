//! Forms with files: `multipart/form-data` (RFC 7578), from a body that is here whole.

/// The most fields of a form.
pub const MOST_FIELDS: usize = 16;
/// The longest head of a field, in bytes.
const LONGEST_HEAD: usize = 4 << 10;

/// A field of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'b> {
    /// Its name.
    pub name: &'b str,
    /// The name of the file, when it is one. It says what the sender says: never a path to write to.
    pub file_name: Option<&'b str>,
    /// Its value.
    pub value: &'b [u8],
}

/// The boundary that a `Content-Type` names; `None` when it is not `multipart/form-data`, or names none
/// that RFC 2046 allows.
pub fn boundary(content_type: &str) -> Option<&str> {
    let (media_type, parameters) = content_type.split_once(';')?;
    if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut found = parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"'))
    });
    let boundary = found.next()?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    let good = (1..=70).contains(&boundary.len()) && boundary.bytes().all(legal);
    (good && found.next().is_none()).then_some(boundary)
}

/// Reads a form. `None` when it is not whole, a field has no name or a name comes twice, or there are
/// more than [`MOST_FIELDS`].
pub fn read<'b>(body: &'b [u8], boundary: &str) -> Option<Vec<Field<'b>>> {
    let delimiter = format!("\r\n--{boundary}");
    // What stands before the first delimiter is not ours to read; usually it is nothing.
    let first = delimiter.as_bytes().get(2..)?;
    let mut rest = match body.strip_prefix(first) {
        Some(rest) => rest,
        None => split(body, delimiter.as_bytes())?.1,
    };
    let mut fields: Vec<Field<'b>> = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(fields);
        }
        let (part, after) = split(rest.strip_prefix(b"\r\n")?, delimiter.as_bytes())?;
        let (head, value) = split(part, b"\r\n\r\n")?;
        let field = Field { value, ..disposition(head)? };
        if fields.len() >= MOST_FIELDS || fields.iter().any(|known| known.name == field.name) {
            return None;
        }
        fields.push(field);
        rest = after;
    }
}

/// What a field's head says of it.
fn disposition(head: &[u8]) -> Option<Field<'_>> {
    let head = std::str::from_utf8(head).ok().filter(|head| head.len() <= LONGEST_HEAD)?;
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut values = lines
        .by_ref()
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))
        .map(|(_, value)| value.trim());
    let parameters = values.next()?.strip_prefix("form-data")?;
    if values.next().is_some() {
        return None;
    }
    // Senders write quotes inside names as %22, so none ends a value early.
    let parameter = |wanted: &str| {
        let begin = parameters.find(&format!("; {wanted}=\""))?;
        let value = &parameters[begin + wanted.len() + 4..];
        value.split_once('"').map(|(value, _)| value)
    };
    Some(Field { name: parameter("name")?, file_name: parameter("filename"), value: &[] })
}

fn split<'b>(bytes: &'b [u8], at: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let first = *at.first()?;
    let mut from = 0;
    loop {
        let found = from + bytes.get(from..)?.iter().position(|b| *b == first)?;
        if bytes[found..].starts_with(at) {
            return Some((&bytes[..found], &bytes[found + at.len()..]));
        }
        from = found + 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BODY: &str = "--b0\r\nContent-Disposition: form-data; name=\"url\"\r\n\r\nhttp://a\r\n\
        --b0\r\nContent-Disposition: form-data; name=\"certificate\"; filename=\"a.pem\"\r\n\
        Content-Type: application/x-pem\r\n\r\n--not b0\r\n\r\n--b\r\n--b0--\r\n";

    #[test]
    fn a_form_is_read() {
        let fields = read(BODY.as_bytes(), "b0").unwrap();
        let url = Field { name: "url", file_name: None, value: b"http://a" };
        let file =
            Field { name: "certificate", file_name: Some("a.pem"), value: b"--not b0\r\n\r\n--b" };
        assert_eq!(fields, [url, file]);
        let after_preamble = format!("preamble\r\n{BODY}epilogue");
        assert_eq!(read(after_preamble.as_bytes(), "b0").unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let end = BODY.len() - 4;
        for cut in 0..end {
            assert!(read(&BODY.as_bytes()[..cut], "b0").is_none(), "{cut}");
        }
        assert!(read(BODY.as_bytes(), "b1").is_none());
        let twice = BODY.replace("\"url\"", "\"certificate\"");
        assert!(read(twice.as_bytes(), "b0").is_none());
        let unnamed = BODY.replace("; name=\"url\"", "");
        assert!(read(unnamed.as_bytes(), "b0").is_none());
        let field =
            |n: usize| format!("--b\r\nContent-Disposition: form-data; name=\"{n}\"\r\n\r\n\r\n");
        let form = |n: usize| (0..n).map(field).collect::<String>() + "--b--";
        assert_eq!(read(form(16).as_bytes(), "b").unwrap().len(), 16);
        assert!(read(form(17).as_bytes(), "b").is_none());
    }

    #[test]
    fn boundaries_are_what_the_rfc_allows() {
        let of = |text| boundary(text);
        assert_eq!(of("multipart/form-data; boundary=abc"), Some("abc"));
        assert_eq!(of("Multipart/Form-Data; charset=x; Boundary=\"a b\""), Some("a b"));
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        for bad in [
            "multipart/form-data",
            "multipart/mixed; boundary=a",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; boundary=a\u{7f}",
            &long,
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
