//! Identifiers as X-Road's API writes them: parts joined by colons.

use causeway_admin::http::Problem;
use causeway_identifiers::{
    ClientId, MAX_PART_BYTES, MemberId, SecurityServerId, has_illegal_characters,
};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// Reads `INSTANCE:CLASS:CODE`.
pub(super) fn member(text: &str) -> Result<MemberId, Problem> {
    match text.split(':').collect::<Vec<_>>()[..] {
        [instance, class, code] => MemberId::new(instance, class, code).ok(),
        _ => None,
    }
    .ok_or_else(|| bad("invalid_member_id", text))
}

/// Reads `INSTANCE:CLASS:CODE:SUBSYSTEM`.
pub(super) fn subsystem(text: &str) -> Result<ClientId, Problem> {
    client_of(text)
        .filter(|id| id.subsystem_code().is_some())
        .ok_or_else(|| bad("invalid_subsystem_id", text))
}

/// Reads a member's or a subsystem's identifier.
pub(super) fn client(text: &str) -> Result<ClientId, Problem> {
    client_of(text).ok_or_else(|| bad("invalid_client_identifier", text))
}

/// Reads `INSTANCE:CLASS:CODE:SERVER`.
pub(super) fn server(text: &str) -> Result<SecurityServerId, Problem> {
    match text.split(':').collect::<Vec<_>>()[..] {
        [instance, class, owner, code] => MemberId::new(instance, class, owner)
            .and_then(|owner| SecurityServerId::new(owner, code))
            .ok(),
        _ => None,
    }
    .ok_or_else(|| bad("invalid_encoded_id", text))
}

fn client_of(text: &str) -> Option<ClientId> {
    match text.split(':').collect::<Vec<_>>()[..] {
        [instance, class, code] => Some(MemberId::new(instance, class, code).ok()?.as_client()),
        [instance, class, code, subsystem] => {
            MemberId::new(instance, class, code).ok()?.subsystem(subsystem).ok()
        }
        _ => None,
    }
}

/// Whether a new code has characters that none may have; `field` is X-Road's name of its place.
pub(super) fn legal(field: &str, code: &str) -> Result<(), Problem> {
    if code.is_empty() || code.len() > MAX_PART_BYTES {
        return Err(Problem::invalid_field(field, "Size"));
    }
    match has_illegal_characters(code) {
        true => Err(Problem::invalid_field(field, "IdentifierChars")),
        false => Ok(()),
    }
}

fn bad(code: &'static str, text: &str) -> Problem {
    Problem::bad(code, "the identifier is not one").about(text)
}

/// The form in paths.
pub(super) fn encoded(short: &str) -> String {
    // No part of an identifier has a slash in it.
    short.replace('/', ":")
}

/// A client's identifier as an object.
pub(super) fn client_json(id: &ClientId) -> Value {
    let member = id.member();
    let mut json = json!({
        "instance_id": member.instance(),
        "type": if id.subsystem_code().is_some() { "SUBSYSTEM" } else { "MEMBER" },
        "member_class": member.class(),
        "member_code": member.code(),
        "encoded_id": encoded(&id.to_short()),
    });
    if let Some(code) = id.subsystem_code() {
        json["subsystem_code"] = code.into();
    }
    json
}

/// A server's identifier as an object.
pub(super) fn server_json(id: &SecurityServerId) -> Value {
    json!({
        "instance_id": id.owner().instance(),
        "type": "SERVER",
        "member_class": id.owner().class(),
        "member_code": id.owner().code(),
        "server_code": id.code(),
        "encoded_id": encoded(&id.to_short()),
    })
}

/// The number by which a record without one is known at the API: 31 bits of the SHA-256 of its kind and
/// name. It stays as long as the record does, over restarts and restores.
pub(super) fn number(kind: &str, name: &str) -> u32 {
    let hash = digest(&SHA256, format!("{kind}\0{name}").as_bytes());
    let first = hash.as_ref().iter().take(4).fold(0, |n: u32, byte| n << 8 | u32::from(*byte));
    (first & 0x7fff_ffff).max(1)
}

/// The one among records that has a number, which is given as text.
pub(super) fn by_number<'n, T>(
    records: impl Iterator<Item = (&'n str, T)>,
    kind: &str,
    text: &str,
    code: &'static str,
) -> Result<(&'n str, T), Problem> {
    let wanted: u32 = text.parse().map_err(|_| Problem::invalid_field("id", "is not a number"))?;
    let mut found = records.filter(|(name, _)| number(kind, name) == wanted);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Problem::missing(code, format!("there is no {kind} {wanted}"))),
        (Some(_), Some(_)) => Err(Problem::conflict(
            "ambiguous_id",
            format!("two {kind}s have the number {wanted}; work with the command line"),
        )),
    }
}
