use crate::Boundary;

/// The parts of a `Content-Type` value that the transport decides by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType {
    base: String,
    boundary: Option<Boundary>,
}

impl ContentType {
    /// Reads a `Content-Type` value (RFC 2045 section 5.1). Any text gives a
    /// base type, be it one that nobody knows; a boundary that is missing, is
    /// given twice, or is not allowed by RFC 2046 is [`None`].
    pub fn parse(value: &str) -> Self {
        let (base, parameters) = value.split_once(';').unwrap_or((value, ""));
        Self { base: base.trim().to_ascii_lowercase(), boundary: find_boundary(parameters) }
    }

    /// Type and subtype in lower case, without parameters: `text/xml`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The boundary parameter.
    pub fn boundary(&self) -> Option<&Boundary> {
        self.boundary.as_ref()
    }
}

fn find_boundary(mut rest: &str) -> Option<Boundary> {
    let mut found: Option<String> = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            return Boundary::parse(&found?);
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = parameter_value(after.trim_start())?;
        if name.trim().eq_ignore_ascii_case("boundary") && found.replace(value).is_some() {
            return None;
        }
        rest = after;
    }
}

/// A parameter's value, a token or a quoted string, and what follows it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        let value = value.trim_end();
        return (!value.contains([' ', '\t', '"'])).then(|| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => {
                let rest = quoted.get(at + 1..)?.trim_start();
                return (rest.is_empty() || rest.starts_with(';')).then_some((value, rest));
            }
            '\\' => value.push(characters.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn boundary(value: &str) -> Option<String> {
        ContentType::parse(value).boundary().map(|b| b.as_str().to_owned())
    }

    #[test]
    fn base_and_boundary_are_found() {
        let parsed = ContentType::parse("Multipart/MIXED ; charset=UTF-8; Boundary=xtopA");
        assert_eq!(parsed.base(), "multipart/mixed");
        assert_eq!(parsed.boundary().unwrap().as_str(), "xtopA");
        assert_eq!(boundary("a/b; boundary=\"x y\"; z=1"), Some("x y".into()));
        assert_eq!(boundary("a/b; boundary=\"x\\'y\""), Some("x'y".into()));
        assert_eq!(boundary("a/b;boundary=x;"), Some("x".into()));
        assert_eq!(boundary("a/b;q=\"; boundary=z\";boundary=x"), Some("x".into()));
    }

    #[test]
    fn doubtful_boundaries_are_none() {
        for value in [
            "a/b",
            "",
            "a/b; boundary=",
            "a/b; boundary=x; boundary=y",
            "a/b; boundary=x; BOUNDARY=x",
            "a/b; boundary=\"x",
            "a/b; boundary=x y",
            "a/b; boundary=\"x\"y",
            "a/b; boundary",
            "a/b; boundary=x\ry",
        ] {
            assert_eq!(boundary(value), None, "{value:?}");
        }
    }
}
