//! The report as text for people.

use std::fmt::Write as _;

use crate::judge::moment;
use crate::report::{CertificateFacts, Report, shown};

/// The report on a file, as text of several lines. Control characters, which names of files and
/// certificates could bring, do not pass.
pub fn render(file: &str, report: &Report) -> String {
    let mut page = Page(String::new());
    let verdict = match &report.failure {
        None if report.complete => "VALID".to_owned(),
        None => "VALID, BUT NOT ALL THAT WAS SIGNED IS HERE".to_owned(),
        Some(failure) => format!("INVALID ({})", failure.code),
    };
    page.title(&format!("{file}: {verdict}"));
    if let Some(failure) = &report.failure {
        page.line("because", &failure.message);
        if let Some(rule) = &failure.stricter_rule {
            page.line("", &format!("X-Road does not ask this: {rule}"));
        }
        page.line("next step", &failure.next_step);
    }
    if let Some(message) = &report.message {
        let kind = if message.response { "response" } else { "request" };
        page.line("message", &format!("{kind} {}", message.id));
        page.line("sender", &message.sender);
        if let Some(service) = &message.service {
            page.line("service", service);
        }
    }
    if let Some(signer) = &report.signer {
        match &signer.member {
            Some(member) => page.line("signed by", member),
            None => {
                page.line("signed by", "not established; the signature brings this certificate:")
            }
        }
        page.certificate(&signer.certificate);
    }
    if let Some(time) = report.signing_time {
        page.line("signing time", &format!("{} (claimed by the signer)", shown(time)));
    }
    if let Some(timestamp) = &report.timestamp {
        let over =
            if timestamp.batch { "over a batch of signatures" } else { "over this signature" };
        let established = match &timestamp.authority {
            Some(_) => over.to_owned(),
            None => format!("{over}; not established"),
        };
        page.line("timestamp", &format!("{} ({established})", shown(timestamp.time)));
        if let Some(authority) = &timestamp.authority {
            page.line("", &format!("by {}", readable(&authority.subject)));
        }
    }
    if let Some(moment) = moment(report) {
        page.line("judged at", &moment);
    }
    for ocsp in &report.ocsp {
        let by = ocsp.responder.as_deref().map_or("a responder of its authority".into(), readable);
        page.line("OCSP", &format!("good at {}, said by {by}", shown(ocsp.this_update)));
        page.line("", &format!("of {}", readable(&ocsp.certificate)));
    }
    let passed: Vec<&str> = report.checks.iter().filter(|c| c.passed).map(|c| c.name).collect();
    page.line("passed", &passed.join(", "));
    if let Some(failed) = report.checks.iter().find(|check| !check.passed) {
        page.line("failed", failed.name);
    }
    page.line("covered", &report.covered.join(", "));
    for gap in &report.not_covered {
        page.line("NOT covered", &format!("{}: {}", gap.name, gap.why));
        if let Some(digest) = &gap.signed_digest {
            page.line("", &format!("what was signed had the digest {digest}"));
        }
    }
    for note in &report.notes {
        page.line("note", note);
    }
    page.0
}

struct Page(String);

impl Page {
    fn title(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{}", clean(text));
    }

    fn line(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            let _ = writeln!(self.0, "  {label:<12} {}", clean(text));
        }
    }

    fn certificate(&mut self, certificate: &CertificateFacts) {
        self.line("", &format!("certificate {}", readable(&certificate.subject)));
        let issuer = readable(&certificate.issuer);
        self.line("", &format!("issued by {issuer}, serial {}", certificate.serial));
        let (from, until) = (shown(certificate.not_before), shown(certificate.not_after));
        self.line("", &format!("valid {from} to {until}"));
    }
}

/// A name in which attributes that RFC 2253 has no keyword for, and Java writes as hexadecimal DER,
/// stand as text.
fn readable(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut escaped = false;
    let mut start = 0;
    for (at, c) in name.char_indices() {
        if matches!(c, ',' | '+') && !escaped {
            out.push_str(&readable_attribute(&name[start..at]));
            out.push(c);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    out.push_str(&readable_attribute(&name[start..]));
    out
}

fn readable_attribute(attribute: &str) -> String {
    let text = || {
        let (kind, value) = attribute.split_once("=#")?;
        if !kind.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return None;
        }
        let der = hex::decode(value).ok()?;
        let (&[tag, length], text) = der.split_first_chunk()?;
        if !matches!(tag, 0x0c | 0x13 | 0x16) || usize::from(length) != text.len() || length > 127 {
            return None;
        }
        let kind = match kind {
            "2.5.4.5" => "serialNumber",
            "2.5.4.15" => "businessCategory",
            "2.5.4.97" => "organizationIdentifier",
            "1.2.840.113549.1.9.1" => "emailAddress",
            other => other,
        };
        let text = std::str::from_utf8(text).ok()?;
        let plain =
            !text.chars().any(|c| c.is_control() || matches!(c, ',' | '+' | '=' | '\\' | '"'));
        plain.then(|| format!("{kind}={text}"))
    };
    text().unwrap_or_else(|| attribute.to_owned())
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_where_that_is_safe() {
        let name = "2.5.4.5=#130b4445562f7373322f434f4d,CN=4321,O=a\\,2.5.4.5=#13017a";
        assert_eq!(readable(name), "serialNumber=DEV/ss2/COM,CN=4321,O=a\\,2.5.4.5=#13017a");
        for kept in
            ["2.5.4.5=#1303612c62", "2.5.4.5=#13ff61", "2.5.4.5=#0201", "1.2=#zz", "", "CN=é"]
        {
            assert_eq!(readable(kept), kept);
        }
        assert_eq!(readable("1.2.3=#0c0161"), "1.2.3=a");
    }

    #[test]
    fn control_characters_do_not_pass() {
        assert_eq!(clean("a\u{1b}[31mb\nc"), "a\u{fffd}[31mb\u{fffd}c");
    }
}
