//! What values of records may be.

use causeway_globalconf::shared::CostType;
use causeway_identifiers::has_illegal_characters;
use causeway_pki::Certificate;

use super::EditError;
use crate::records::CertificateRecord;

/// The longest text of a name or description, in bytes.
const MAX_TEXT: usize = 1000;

pub(super) fn legal(what: &str, code: &str) -> Result<(), EditError> {
    if !has_illegal_characters(code)
        && !code.trim().is_empty()
        && code.trim() == code
        && code.len() <= 255
    {
        return Ok(());
    }
    let why = format!("the {what} '{}' is not allowed", code.escape_debug());
    let next = "leave out control characters, % : ; / \\ and white space at the ends, and keep to 255 bytes";
    Err(EditError::Invalid(why, next.into()))
}

pub(super) fn text(what: &str, value: &str) -> Result<(), EditError> {
    if value.len() <= MAX_TEXT && !value.contains(char::is_control) {
        return Ok(());
    }
    let next = format!("keep to {MAX_TEXT} bytes without control characters");
    Err(EditError::Invalid(format!("the {what} is not allowed"), next))
}

/// The name of a trust service, by which it is found again.
pub(super) fn label(name: &str) -> Result<(), EditError> {
    text("name", name)?;
    if name.trim().is_empty() {
        return Err(EditError::Invalid("the name is empty".into(), "give it a name".into()));
    }
    Ok(())
}

pub(super) fn host(address: &str) -> Result<(), EditError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if !address.is_empty() && address.len() <= 255 && address.chars().all(good) {
        return Ok(());
    }
    let why = format!("'{}' is not a host name or address", address.escape_debug());
    Err(EditError::Invalid(why, "give it without a scheme and path, e.g. ss1.example.org".into()))
}

pub(super) fn url(address: &str) -> Result<(), EditError> {
    let rest = address.strip_prefix("http://").or(address.strip_prefix("https://"));
    let good = |c: char| c.is_ascii_graphic();
    if rest.is_some_and(|rest| !rest.is_empty() && address.len() <= 1000 && rest.chars().all(good))
    {
        return Ok(());
    }
    let why = format!("'{}' is not an http or https URL", address.escape_debug());
    Err(EditError::Invalid(why, "give it in full, e.g. http://ocsp.example.org".into()))
}

pub(super) fn readable(record: &CertificateRecord) -> Result<Certificate, EditError> {
    record.0.read().map_err(|e| {
        EditError::Invalid(e.to_string(), "give a certificate file in PEM or DER form".into())
    })
}

pub(super) fn check_cost(cost: Option<&str>) -> Result<(), EditError> {
    match cost.map(CostType::from_name) {
        Some(None) => Err(choose("the cost", "FREE, PAID or UNDEFINED")),
        _ => Ok(()),
    }
}

pub(super) fn choose(what: &str, choices: &str) -> EditError {
    EditError::Invalid(format!("{what} must be {choices}"), format!("choose {choices}"))
}

pub(super) fn seconds(value: Option<u32>) -> Result<Option<u32>, EditError> {
    match value {
        Some(seconds) if !(1..=31_536_000).contains(&seconds) => {
            let why = format!("{seconds} s is not a sensible time");
            Err(EditError::Invalid(why, "give 1 to 31536000 seconds".into()))
        }
        _ => Ok(value),
    }
}
