//! Which key, which certificate: by label, or by the beginning of what `list` shows.

use causeway_console::Program;
use causeway_keys::{CertificateInfo, KeyInfo, Token};

use super::Refusal;

/// How many digits a beginning must have.
const LEAST: usize = 4;

/// The key of a label, or of an identifier that begins so.
pub(super) fn key(token: &dyn Token, named: &str, program: &Program) -> Result<KeyInfo, Refusal> {
    let keys = token.keys();
    let by_label: Vec<&KeyInfo> =
        keys.iter().filter(|key| !key.label.is_empty() && key.label == named).collect();
    if let [key] = by_label[..] {
        return Ok(key.clone());
    }
    if by_label.len() > 1 {
        return Err(Refusal::because(format!(
            "{} keys are called '{named}'; say the beginning of an identifier",
            by_label.len()
        )));
    }
    let matching = keys.iter().filter(|key| begins(key.id.as_str(), named));
    one(matching, "key", named, program).cloned()
}

/// The certificate whose SHA-256 fingerprint begins so, with its key.
pub(super) fn certificate(
    token: &dyn Token,
    named: &str,
    program: &Program,
) -> Result<(KeyInfo, CertificateInfo), Refusal> {
    let keys = token.keys();
    let all = keys.iter().flat_map(|key| key.certificates.iter().map(move |info| (key, info)));
    let matching = all.filter(|(_, info)| begins(&hex::encode(info.certificate.sha256()), named));
    one(matching, "certificate", named, program).map(|(key, info)| (key.clone(), info.clone()))
}

/// Whether a name is the beginning of an identifier, long enough to mean it.
pub(super) fn begins(whole: &str, beginning: &str) -> bool {
    let beginning = beginning.replace(':', "").to_ascii_lowercase();
    beginning.len() >= LEAST && whole.starts_with(&beginning)
}

/// The one that matches.
pub(super) fn one<T>(
    mut matching: impl Iterator<Item = T>,
    what: &str,
    named: &str,
    program: &Program,
) -> Result<T, Refusal> {
    match (matching.next(), matching.next()) {
        (Some(found), None) => Ok(found),
        (None, _) => Err(Refusal::because(format!(
            "no {what} is called '{named}' or begins so (at least {LEAST} digits); see {}",
            program.command("keys list")
        ))),
        (Some(_), Some(_)) => {
            Err(Refusal::because(format!("several {what}s begin with '{named}'; say more digits")))
        }
    }
}
