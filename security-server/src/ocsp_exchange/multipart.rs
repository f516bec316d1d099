//! A small multipart message (RFC 2046 5.1) that is in memory as a whole.

/// The most parts that are read.
const MAX_PARTS: usize = 64;

/// A part as read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// Type and subtype of its content type, without parameters; empty when it has none.
    pub(super) content_type: &'a str,
    /// Its content.
    pub(super) body: &'a [u8],
}

/// Writes parts of one content type, byte for byte as Jetty's `MultiPartOutputStream`.
pub(super) fn write(parts: &[&[u8]], content_type: &str, boundary: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend(format!("--{boundary}\r\nContent-Type: {content_type}\r\n\r\n").as_bytes());
        out.extend_from_slice(part);
        out.extend(b"\r\n");
    }
    out.extend(format!("--{boundary}--\r\n").as_bytes());
    out
}

/// Reads the parts; `None` when there is no such multipart, it is not closed, or has too many parts.
pub(super) fn read<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<Part<'a>>> {
    let delimiter = format!("\n--{boundary}");
    let delimiter = delimiter.as_bytes();
    // What comes before the first delimiter does not count.
    let mut rest = match body.strip_prefix(&delimiter[1..]) {
        Some(rest) => rest,
        None => &body[find(body, delimiter)? + delimiter.len()..],
    };
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        if parts.len() == MAX_PARTS {
            return None;
        }
        let line = rest.iter().position(|byte| *byte == b'\n')?;
        if !rest[..line].trim_ascii().is_empty() {
            return None;
        }
        // From the line break on, since a part may be empty of headers and of content.
        rest = &rest[line..];
        let end = find(rest, delimiter)?;
        parts.push(part(rest.get(1..end).unwrap_or_default())?);
        rest = &rest[end + delimiter.len()..];
    }
}

fn part(bytes: &[u8]) -> Option<Part<'_>> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let (mut content_type, mut rest) = ("", bytes);
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(&rest[..end]).ok()?.trim_end();
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Some(Part { content_type, body: rest });
        }
        if let Some((name, value)) = line.split_once(':')
            && name.trim_end().eq_ignore_ascii_case("content-type")
        {
            content_type = value.split(';').next().unwrap_or_default().trim();
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn bodies(text: &str) -> Option<Vec<(&str, &str)>> {
        let parts = read(text.as_bytes(), "B")?;
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        Some(parts.iter().map(|p| (p.content_type, text(p.body))).collect())
    }

    #[test]
    fn what_is_written_is_read() {
        let parts: [&[u8]; 3] = [b"one", b"", b"\r\n--Bother\r\n--\x00\xff\n"];
        let bytes = write(&parts, "a/b", "Boundary");
        assert!(bytes.starts_with(b"--Boundary\r\nContent-Type: a/b\r\n\r\none\r\n--Boundary\r\n"));
        assert!(bytes.ends_with(b"\r\n--Boundary--\r\n"));
        let read = read(&bytes, "Boundary").unwrap();
        assert_eq!(read.iter().map(|p| p.body).collect::<Vec<_>>(), parts);
        assert!(read.iter().all(|p| p.content_type == "a/b"));
        assert_eq!(write(&[], "a/b", "B"), b"--B--\r\n");
    }

    #[test]
    fn other_writers_are_understood() {
        assert_eq!(
            bodies("preamble\r\n--B  \r\nX: y\r\ncontent-TYPE : A/b; c=d\r\n\r\nx\r\n--B--")
                .unwrap(),
            [("A/b", "x")]
        );
        assert_eq!(bodies("--B\n\nx\ny\n--B\n\n\n--B--").unwrap(), [("", "x\ny"), ("", "")]);
        assert_eq!(bodies("--B--\r\n").unwrap(), []);
    }

    #[test]
    fn what_is_broken_is_refused() {
        for text in [
            "",
            "--",
            "--B",
            "--B\r\n",
            "--B\r\n\r\nx",
            "--B\r\nno blank line\r\n--B--",
            "--BB\r\n\r\nx\r\n--BB--",
        ] {
            assert_eq!(bodies(text), None, "{text:?}");
        }
        let many = "--B\r\n\r\n\r\n".repeat(65) + "--B--";
        assert_eq!(bodies(&many), None);
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read_or_refused(body: Vec<u8>, boundary in "[A-C-]{1,3}") {
            let _ = read(&body, &boundary);
        }

        #[test]
        fn nearly_a_multipart_is_read_or_refused(text in "(--B|-|\r|\n|B|a: b|--B--){0,12}") {
            let _ = read(text.as_bytes(), "B");
        }

        #[test]
        fn parts_come_back(parts: Vec<Vec<u8>>) {
            let parts: Vec<&[u8]> = parts.iter().take(64).map(Vec::as_slice).collect();
            let bytes = write(&parts, "a/b", "a boundary that is in none of them");
            let read = read(&bytes, "a boundary that is in none of them").unwrap();
            proptest::prop_assert_eq!(read.iter().map(|p| p.body).collect::<Vec<_>>(), parts);
        }
    }
}
