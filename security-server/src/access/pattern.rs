//! Path patterns of access rights, with X-Road's meaning (`PathGlob`).

use std::fmt;

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 2048;

/// A pattern for the path below a service.
///
/// `*` takes the rest of a path segment, `**` takes anything, `\*` and `\\` stand for the
/// characters themselves; all else stands for itself. `*` takes all that it can and gives nothing
/// back, as in X-Road, so only a slash, `**` or the end can follow it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    written: String,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Token {
    /// These bytes.
    Literal(Vec<u8>),
    /// Everything up to the next slash or the end.
    Segment,
    /// Anything.
    Anything,
}

/// Why a text is not a path pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Paths begin with a slash, so that the pattern could never match.
    #[error("does not begin with '/'; write such as \"/pets/*\", or \"**\" for any path")]
    NoSlash,
    /// Something other than `/` or `**` follows `*`, so that the pattern could never match.
    #[error(
        "can never match: '*' takes the whole rest of a path segment, so only '/' or '**' may follow it"
    )]
    AfterStar,
    /// Longer than 2048 bytes.
    #[error("is longer than {MAX_PATTERN} bytes")]
    TooLong,
    /// A percent sign that begins an encoded character.
    #[error("has a percent-encoded character; write the character itself, since paths are decoded")]
    Encoded,
    /// A question mark or number sign, which end a path.
    #[error("has a query or fragment; rights look at the path alone")]
    QueryOrFragment,
    /// A segment that no path has once dots and double slashes are refused or resolved.
    #[error("has an empty, '.' or '..' segment, which no allowed path has")]
    UnreachableSegment,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it could never match a path that [`normalized_service_path`](super::normalized_service_path) gives.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        if pattern.len() > MAX_PATTERN {
            return Err(PatternError::TooLong);
        }
        let parsed = Self::compile(pattern);
        if !pattern.starts_with('/') && !matches!(parsed.tokens.first(), Some(Token::Anything)) {
            return Err(PatternError::NoSlash);
        }
        let dead = |pair: &[Token]| match pair {
            [Token::Segment, Token::Literal(next)] => next.first() != Some(&b'/'),
            _ => false,
        };
        if parsed.tokens.windows(2).any(dead) {
            return Err(PatternError::AfterStar);
        }
        if pattern.contains(['?', '#']) {
            return Err(PatternError::QueryOrFragment);
        }
        if has_percent_sequence(pattern) {
            return Err(PatternError::Encoded);
        }
        let segments: Vec<&str> = pattern.split('/').skip(1).collect();
        let inner = segments.split_last().map_or(&[][..], |(_, inner)| inner);
        if inner.contains(&"") || segments.iter().any(|s| matches!(*s, "." | "..")) {
            return Err(PatternError::UnreachableSegment);
        }
        Ok(parsed)
    }

    /// The pattern `**`, for any path.
    pub fn everything() -> Self {
        Self { written: "**".to_owned(), tokens: vec![Token::Anything] }
    }

    /// Whether it matches every path.
    pub fn is_everything(&self) -> bool {
        self.tokens == [Token::Anything]
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Splits a pattern into tokens; every text is a pattern to this.
    pub(super) fn compile(pattern: &str) -> Self {
        let mut tokens = Vec::new();
        let mut bytes = pattern.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let literal = match byte {
                b'*' => {
                    let mut token = Token::Segment;
                    while bytes.next_if_eq(&b'*').is_some() {
                        token = Token::Anything;
                    }
                    tokens.push(token);
                    continue;
                }
                b'\\' => bytes.next_if(|b| matches!(b, b'*' | b'\\')).unwrap_or(b'\\'),
                other => other,
            };
            match tokens.last_mut() {
                Some(Token::Literal(text)) => text.push(literal),
                _ => tokens.push(Token::Literal(vec![literal])),
            }
        }
        Self { written: pattern.to_owned(), tokens }
    }

    /// Whether the pattern matches the whole of a path, in time proportional to the product of
    /// their lengths at most.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.as_bytes();
        let (mut token, mut at) = (0, 0);
        // Where the last `**` stands and from where on it may still take more. Between two of them
        // everything matches in one way only, and an earlier start never ends later, so going back
        // to the last one is enough.
        let mut anything: Option<(usize, usize)> = None;
        loop {
            let step = match self.tokens.get(token) {
                None if at == path.len() => return true,
                None => None,
                Some(Token::Anything) if token + 1 == self.tokens.len() => return true,
                Some(Token::Anything) => {
                    anything = Some((token, at));
                    Some(0)
                }
                Some(Token::Segment) => {
                    Some(path[at..].iter().take_while(|byte| **byte != b'/').count())
                }
                Some(Token::Literal(text)) => path[at..].starts_with(text).then_some(text.len()),
            };
            match (step, &mut anything) {
                (Some(length), _) => (token, at) = (token + 1, at + length),
                (None, Some((star, start))) if *start < path.len() => {
                    *start += 1;
                    (token, at) = (*star + 1, *start);
                }
                (None, _) => return false,
            }
        }
    }
}

/// Whether a text has `%` and two hexadecimal digits.
pub(super) fn has_percent_sequence(text: &str) -> bool {
    text.as_bytes()
        .windows(3)
        .any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit())
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathPattern({:?})", self.written)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// A matcher that follows the definition and nothing else.
    fn naive(pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', rest @ ..] => {
                let rest = &rest[rest.iter().take_while(|b| **b == b'*').count()..];
                (0..=path.len()).any(|n| naive(rest, &path[n..]))
            }
            [b'*', rest @ ..] => {
                let segment = path.iter().take_while(|b| **b != b'/').count();
                naive(rest, &path[segment..])
            }
            [b'\\', c @ (b'*' | b'\\'), rest @ ..] | [c, rest @ ..] => {
                path.first() == Some(c) && naive(rest, &path[1..])
            }
        }
    }

    #[test]
    fn what_patterns_match() {
        for (pattern, path, expected) in [
            ("**", "", true),
            ("**", "/a/b", true),
            ("***", "/a/b", true),
            ("/", "", false),
            ("/", "/", true),
            ("/pets", "/pets", true),
            ("/pets", "/pets/", false),
            ("/pets", "/PETS", false),
            ("/pets/*", "/pets/1", true),
            ("/pets/*", "/pets/", true),
            ("/pets/*", "/pets/1/photo", false),
            ("/pets/*/photo", "/pets/1/photo", true),
            ("/pets/*/photo", "/pets/1/2/photo", false),
            ("/pets/**", "/pets/1/2/photo", true),
            ("/pets/**", "/pets", false),
            ("/pets**", "/pets", true),
            ("/**/photo", "/a/b/photo", true),
            ("/**/photo", "/photo", false),
            ("**/a/*/b", "/a/x/a/y/b", true),
            ("**/a/*/b", "/a/x/y/b", false),
            ("/a.c", "/abc", false),
            ("/a[b]{c}(d)|e^$+", "/a[b]{c}(d)|e^$+", true),
            (r"/a\*", "/a*", true),
            (r"/a\*", "/ab", false),
            (r"/a\\b", r"/a\b", true),
            (r"/a\b", r"/a\b", true),
            ("/b/***", "/b/c/d", true),
        ] {
            assert_eq!(PathPattern::compile(pattern).matches(path), expected, "{pattern} {path}");
            assert_eq!(naive(pattern.as_bytes(), path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_star_gives_nothing_back() {
        // X-Road's `[^/]*+` is possessive, so the file name's end is never found.
        assert!(!PathPattern::compile("/*.json").matches("/a.json"));
        assert_eq!(PathPattern::parse("/*.json"), Err(PatternError::AfterStar));
        assert!(PathPattern::parse("/**.json").unwrap().matches("/a.json"));
        assert!(PathPattern::parse("/a*/b").unwrap().matches("/abc/b"));
    }

    #[test]
    fn patterns_that_could_never_match_are_refused() {
        for (pattern, error) in [
            ("", PatternError::NoSlash),
            ("pets", PatternError::NoSlash),
            ("*", PatternError::NoSlash),
            ("*/pets", PatternError::NoSlash),
            ("/a%20b", PatternError::Encoded),
            ("/a?x=1", PatternError::QueryOrFragment),
            ("/a//b", PatternError::UnreachableSegment),
            ("/a/../b", PatternError::UnreachableSegment),
        ] {
            assert_eq!(PathPattern::parse(pattern), Err(error), "{pattern}");
        }
        for good in ["/", "/pets/", "/a b", "/100%", "**", "**/a", r"/\*x", "/Sở"] {
            assert_eq!(PathPattern::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(PathPattern::parse(&"/".repeat(3000)), Err(PatternError::TooLong));
        assert!(PathPattern::parse("***").unwrap().is_everything());
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let pattern = PathPattern::compile(&"**/a".repeat(400));
        assert!(!pattern.matches(&"/a".repeat(399).repeat(8).replace("/a/a", "/a/b")));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            pattern in r"[/ab*\\]{0,12}",
            path in r"[/ab*\\]{0,12}",
        ) {
            prop_assert_eq!(
                PathPattern::compile(&pattern).matches(&path),
                naive(pattern.as_bytes(), path.as_bytes())
            );
        }

        #[test]
        fn never_panics(pattern in "\\PC*", path in "\\PC*") {
            let _ = PathPattern::parse(&pattern);
            let _ = PathPattern::compile(&pattern).matches(&path);
        }
    }
}
