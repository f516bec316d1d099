use std::fmt;

/// Which of the two multiparts of a message a boundary separates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundaryUse {
    /// The message itself: `xtop…`.
    Message,
    /// The nested multipart with the SOAP attachments: `xatt…`.
    Attachments,
}

/// A multipart boundary: 1 to 70 characters of RFC 2046's `bchars`, the last not a space.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Boundary(String);

impl Boundary {
    /// A boundary as X-Road makes them: a prefix that tells the use, then 30
    /// ASCII letters, here from 30 random bytes (about 170 bits). Whoever
    /// supplies a body must not be able to guess it, so the bytes must come
    /// from a cryptographic generator. The same bytes may serve both uses of one message.
    pub fn random(what_for: BoundaryUse, random: &[u8; 30]) -> Self {
        const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut text = String::with_capacity(34);
        text.push_str(match what_for {
            BoundaryUse::Message => "xtop",
            BoundaryUse::Attachments => "xatt",
        });
        text.extend(random.iter().map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])));
        Self(text)
    }

    /// Takes a boundary as it stands in a content type; `None` when RFC 2046
    /// section 5.1.1 does not allow it.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
        let good =
            (1..=70).contains(&text.len()) && text.bytes().all(allowed) && !text.ends_with(' ');
        good.then(|| Self(text.to_owned()))
    }

    /// The text, without the leading hyphens.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The content type of a multipart with this boundary, as X-Road writes it.
    pub fn content_type(&self) -> String {
        // Quotes are needed only for characters that our own boundaries never have.
        let token = |b: u8| b.is_ascii_alphanumeric() || b"'+_-.".contains(&b);
        if self.0.bytes().all(token) {
            format!("multipart/mixed; charset=UTF-8; boundary={}", self.0)
        } else {
            format!("multipart/mixed; charset=UTF-8; boundary=\"{}\"", self.0)
        }
    }

    /// Whether a line could be taken for a delimiter of either.
    pub(crate) fn resembles(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn random_boundaries_are_letters_after_the_prefix() {
        let mut bytes = [0u8; 30];
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = u8::try_from(i * 8 + 7).unwrap();
        }
        let top = Boundary::random(BoundaryUse::Message, &bytes);
        let nested = Boundary::random(BoundaryUse::Attachments, &bytes);
        assert_eq!(top.as_str().len(), 34);
        assert!(top.as_str()[4..].bytes().all(|b| b.is_ascii_alphabetic()));
        assert_eq!(top.as_str()[4..], nested.as_str()[4..]);
        assert!(!top.resembles(&nested));
        assert_eq!(top.content_type(), format!("multipart/mixed; charset=UTF-8; boundary={top}"));
        assert_eq!(Boundary::parse(top.as_str()), Some(top));
    }

    #[test]
    fn what_rfc_2046_forbids_is_refused() {
        for bad in ["", "a ", "a\r\nb", "a;b", "a\"b", "ä", &"x".repeat(71)] {
            assert_eq!(Boundary::parse(bad), None, "{bad:?}");
        }
        assert!(Boundary::parse(&"x".repeat(70)).is_some());
        assert!(Boundary::parse("a b").unwrap().content_type().ends_with("\"a b\""));
    }
}
