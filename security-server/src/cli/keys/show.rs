//! `keys list`: what is in a token.

use causeway_console::name;
use causeway_identifiers::MemberId;
use causeway_keys::{CertificateInfo, KeyInfo};
use causeway_pki::Certificate;
use causeway_pki::issue::CertificateRequest;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Refusal;
use crate::cli::console::{Console, day, timestamp};
use crate::cli::place::Found;

/// How many digits of an identifier people see.
const SHOWN: usize = 12;

/// Shows all keys with their certificates and requests.
pub(super) fn list(found: &Found, as_json: bool, console: &mut Console<'_>) -> Result<(), Refusal> {
    let token = found.open()?;
    let keys = token.keys();
    if as_json {
        let keys: Vec<Value> = keys.iter().map(key).collect();
        return console
            .json(&json!({ "token": found.folder, "label": token.label(), "keys": keys }));
    }
    if keys.is_empty() {
        return console.line(format_args!(
            "The token has no keys.\nNext: {}",
            found.program.command("keys generate --usage signing")
        ));
    }
    let now = OffsetDateTime::now_utc();
    let rows: Vec<_> = keys.iter().flat_map(|key| rows(key, now)).collect();
    console.table(
        ["KEY", "USAGE", "KIND", "LABEL", "CERTIFICATE", "STATE", "UNTIL", "FOR", "SUBJECT"],
        &rows,
    )
}

fn rows(key: &KeyInfo, now: OffsetDateTime) -> Vec<[String; 9]> {
    let row =
        |certificate: String, state: &str, until: String, member: Option<&MemberId>, subject| {
            [
                key.id.as_str().chars().take(SHOWN).collect(),
                key.usage.to_string(),
                key.kind.to_string(),
                key.label.clone(),
                certificate,
                state.to_owned(),
                until,
                member.map(MemberId::to_short).unwrap_or_default(),
                subject,
            ]
        };
    let certificates = key.certificates.iter().map(|info| {
        let c = &info.certificate;
        let short = hex::encode(c.sha256()).chars().take(SHOWN).collect();
        row(
            short,
            state(info, now),
            day(c.not_after()),
            info.member.as_ref(),
            name(&c.subject_rfc2253()),
        )
    });
    let requests = key.requests.iter().map(|request| {
        let subject = request_subject(&request.der);
        row(String::new(), "requested", String::new(), request.member.as_ref(), subject)
    });
    let rows: Vec<_> = certificates.chain(requests).collect();
    if rows.is_empty() {
        return vec![row(String::new(), "no certificate", String::new(), None, String::new())];
    }
    rows
}

fn state(info: &CertificateInfo, now: OffsetDateTime) -> &'static str {
    if info.certificate.not_after() < now {
        "expired"
    } else if info.certificate.not_before() > now {
        "not yet valid"
    } else if info.active {
        "active"
    } else {
        "not active"
    }
}

fn request_subject(der: &[u8]) -> String {
    CertificateRequest::parse(der)
        .map(|request| name(&request.subject_rfc2253()))
        .unwrap_or_default()
}

fn key(key: &KeyInfo) -> Value {
    let certificates: Vec<Value> = key
        .certificates
        .iter()
        .map(|info| {
            let mut value = certificate(&info.certificate);
            value["member"] = info.member.as_ref().map(MemberId::to_short).into();
            value["active"] = info.active.into();
            value
        })
        .collect();
    let requests: Vec<Value> = key
        .requests
        .iter()
        .map(|request| {
            json!({
                "subject": request_subject(&request.der),
                "member": request.member.as_ref().map(MemberId::to_short),
            })
        })
        .collect();
    json!({
        "id": key.id.as_str(),
        "usage": key.usage.to_string(),
        "kind": key.kind.name(),
        "label": key.label,
        "certificates": certificates,
        "requests": requests,
    })
}

/// A certificate for programs.
pub(super) fn certificate(certificate: &Certificate) -> Value {
    json!({
        "sha256": hex::encode(certificate.sha256()),
        "subject": name(&certificate.subject_rfc2253()),
        "issuer": name(&certificate.issuer_rfc2253()),
        "serial": certificate.serial_decimal(),
        "notBefore": timestamp(certificate.not_before()),
        "notAfter": timestamp(certificate.not_after()),
    })
}
