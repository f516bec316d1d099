//! The report as text for people.

use std::fmt::Write as _;

use causeway_console::time;

use crate::judge::moment;
use crate::report::{CertificateFacts, Report};

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
    if let Some(claimed) = report.signing_time {
        page.line("signing time", &format!("{} (claimed by the signer)", time(claimed)));
    }
    if let Some(timestamp) = &report.timestamp {
        let over =
            if timestamp.batch { "over a batch of signatures" } else { "over this signature" };
        let established = match &timestamp.authority {
            Some(_) => over.to_owned(),
            None => format!("{over}; not established"),
        };
        page.line("timestamp", &format!("{} ({established})", time(timestamp.time)));
        if let Some(authority) = &timestamp.authority {
            page.line("", &format!("by {}", authority.subject));
        }
    }
    if let Some(moment) = moment(report) {
        page.line("judged at", &moment);
    }
    for ocsp in &report.ocsp {
        let by = ocsp.responder.as_deref().unwrap_or("a responder of its authority");
        page.line("OCSP", &format!("good at {}, said by {by}", time(ocsp.this_update)));
        page.line("", &format!("of {}", ocsp.certificate));
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
        self.line("", &format!("certificate {}", certificate.subject));
        let issuer = &certificate.issuer;
        self.line("", &format!("issued by {issuer}, serial {}", certificate.serial));
        let (from, until) = (time(certificate.not_before), time(certificate.not_after));
        self.line("", &format!("valid {from} to {until}"));
    }
}

/// A text without characters that a terminal would act upon.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_pass() {
        assert_eq!(clean("a\u{1b}[31mb\nc"), "a\u{fffd}[31mb\u{fffd}c");
    }
}
