//! That the judges of the page are awake: each refuses what is forged where it looks.

use causeway_keys::KeyKind;
use time::OffsetDateTime;

use crate::by_hand::check;
use crate::desk::Desk;
use crate::samples::{Samples, Signed, find};
use crate::tools;

/// Checks a container of which one byte of one file is changed, behind the first place of a pattern.
fn refusal(samples: &Samples, of: (Signed, bool, bool), file: &str, behind: &str) -> String {
    let (signed, body, batch_timestamp) = of;
    let sample = samples.find(signed, body, batch_timestamp);
    let desk = Desk::new(&sample.bytes, &samples.verification);
    let path = desk.part(file);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = if behind.is_empty() { Some(0) } else { find(&bytes, behind.as_bytes()) };
    let at = at.expect(behind) + behind.len() + 4;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(path, bytes).unwrap();
    check(&desk, signed, batch_timestamp).expect_err(behind)
}

#[test]
fn what_is_forged_is_refused_by_the_step_that_looks_there() {
    if !tools::have(&["unzip", "xmlsec1", "openssl"]) {
        return;
    }
    let samples = Samples::of(KeyKind::EcP256);
    let (lone, parts) = ((Signed::Message, false, false), (Signed::Parts, true, true));
    let batch = (Signed::Batch, true, true);
    for (of, file, behind, step) in [
        (lone, "message.xml", "", "signature-message"),
        (lone, "META-INF/signatures.xml", "\"signature-value\">", "signature-message"),
        (lone, "META-INF/signatures.xml", "<xades:SigningTime>", "signature-message"),
        (parts, "sig-hashchainresult.xml", "DigestValue>", "signature-chain"),
        (parts, "message.xml", "", "signature-hash-chain"),
        (parts, "attachment1", "", "signature-hash-chain"),
        (batch, "attachment1", "", "signature-hash-chain"),
        (batch, "sig-hashchain.xml", "DigestValue>", "signature-hash-chain"),
        (parts, "ts-hashchainresult.xml", "DigestValue>", "timestamp-batch"),
        (parts, "ts-hashchain.xml", "DigestValue>", "timestamp-batch"),
        (batch, "META-INF/signatures.xml", "\"ocsp-response-1\">", "timestamp-batch"),
        (lone, "META-INF/signatures.xml", "<xades:EncapsulatedTimeStamp>MII", "timestamp-single"),
    ] {
        let said = refusal(&samples, of, file, behind);
        assert!(said.starts_with(step), "{file} behind {behind}: {said}");
    }
}

#[test]
fn evidence_of_another_ecosystem_is_refused() {
    if !tools::have(&["unzip", "xmlsec1", "openssl"]) {
        return;
    }
    let (ours, theirs) = (Samples::of(KeyKind::EcP256), Samples::of(KeyKind::Rsa2048));
    for batch_timestamp in [false, true] {
        let sample = ours.find(Signed::Message, false, batch_timestamp);
        let desk = Desk::new(&sample.bytes, &theirs.verification);
        desk.step("signer").unwrap();
        let timestamp = if batch_timestamp { "timestamp-batch" } else { "timestamp-single" };
        for step in ["signature-message", timestamp, "ocsp"] {
            desk.step(step).expect_err(step);
        }
    }
}

#[test]
fn evidence_is_judged_as_of_another_moment() {
    if !tools::have(&["unzip", "xmlsec1", "openssl"]) {
        return;
    }
    let samples = Samples::of(KeyKind::EcP256);
    let sample = samples.find(Signed::Message, false, true);
    let desk = Desk::new(&sample.bytes, &samples.verification);
    let then = sample.report.judged_at.unwrap();
    for (at, holds) in [(then, true), (then + time::Duration::days(365 * 60), false)] {
        let said = desk.step_with(
            "signature-message",
            "--trusted-pem",
            &format!("{} --trusted-pem", gmt(at)),
        );
        assert_eq!(said.is_ok(), holds, "{at}: {said:?}");
        let attime = format!("-attime {} -CAfile", at.unix_timestamp());
        let said = desk.step_with("timestamp-batch", "-CAfile", &attime);
        assert_eq!(said.is_ok(), holds, "{at}: {said:?}");
    }
}

fn gmt(at: OffsetDateTime) -> String {
    let (date, (hour, minute, second)) = (at.date(), at.to_hms());
    format!("--verification-gmt-time '{date} {hour:02}:{minute:02}:{second:02}'")
}
