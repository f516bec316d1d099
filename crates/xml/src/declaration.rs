//! The XML declaration (XML 1.0, 2.8): the parser passes over it, so that a
//! text could claim any encoding and any version.

use crate::XmlError;

/// Refuses a text that begins with a processing instruction other than a well-formed XML
/// declaration of version 1.0 or 1.1 and, where it says an encoding, UTF-8.
pub(crate) fn check(text: &str) -> Result<(), XmlError> {
    read(text, |encoding| encoding.eq_ignore_ascii_case("UTF-8"))
}

/// As [`check`], for a text that was decoded from whatever encoding it says.
pub(crate) fn check_decoded(text: &str) -> Result<(), XmlError> {
    read(text, |_| true)
}

fn read(text: &str, is_taken: impl Fn(&str) -> bool) -> Result<(), XmlError> {
    let Some(rest) = text.strip_prefix("<?") else { return Ok(()) };
    let malformed = || XmlError::Malformed("the XML declaration cannot be read".to_owned());
    let (content, _) = rest.split_once("?>").ok_or_else(malformed)?;
    let mut rest = content.strip_prefix("xml").ok_or_else(malformed)?;
    let version = pseudo_attribute(&mut rest, "version");
    if !version.is_some_and(|version| matches!(version, "1.0" | "1.1")) {
        return Err(malformed());
    }
    if let Some(encoding) = pseudo_attribute(&mut rest, "encoding")
        && !is_taken(encoding)
    {
        return Err(XmlError::NotUtf8);
    }
    let standalone = pseudo_attribute(&mut rest, "standalone");
    if standalone.is_none_or(|s| matches!(s, "yes" | "no")) && rest.trim_ascii().is_empty() {
        return Ok(());
    }
    Err(malformed())
}

/// Takes `NAME = "VALUE"` with white space before it off the text; nothing when it does not stand there.
fn pseudo_attribute<'t>(text: &mut &'t str, name: &str) -> Option<&'t str> {
    let trimmed = text.trim_ascii_start();
    if trimmed.len() == text.len() {
        return None;
    }
    let rest = trimmed.strip_prefix(name)?.trim_ascii_start().strip_prefix('=')?;
    let rest = rest.trim_ascii_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, behind) = rest.get(1..)?.split_once(quote)?;
    *text = behind;
    Some(value)
}
