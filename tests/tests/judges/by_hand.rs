//! Containers checked as the page says.

use std::collections::HashSet;

use crate::desk::Desk;
use crate::page;
use crate::samples::{Samples, Shape, Signed};
use crate::tools;

const TOOLS: [&str; 3] = ["unzip", "xmlsec1", "openssl"];

/// Checks a container with all steps that apply, and says what went wrong.
pub(crate) fn check(desk: &Desk, signed: Signed, batch_timestamp: bool) -> Result<(), String> {
    let steps: &[&str] = match signed {
        Signed::Message => &["signature-message"],
        Signed::Parts | Signed::Batch => &["signature-chain", "signature-hash-chain"],
    };
    let timestamp = if batch_timestamp { "timestamp-batch" } else { "timestamp-single" };
    for step in steps.iter().chain(&[timestamp, "signer", "ocsp"]) {
        let said = desk.step(step).map_err(|said| format!("{step}: {said}"))?;
        if step.starts_with("signature-") && !step.ends_with("hash-chain") {
            assert!(said.contains("SignedInfo References (ok/all): 2/2"), "{said}");
        }
    }
    Ok(())
}

/// All containers of an ecosystem, and that there is one of each shape.
fn check_all(samples: &Samples) {
    let mut seen = HashSet::new();
    for sample in &samples.containers {
        let Shape { signed, body, batch_timestamp, response, .. } = sample.shape;
        let desk = Desk::new(&sample.bytes, &samples.verification);
        let checked = check(&desk, signed, batch_timestamp);
        assert_eq!(checked, Ok(()), "{} {:?}", samples.key, sample.shape);
        let sender = desk.step("sender").unwrap();
        assert!(sender.contains("x-road-client:DEV/GOV/1003/portal"), "{sender}");
        let references = desk.step("references").unwrap();
        let wanted =
            if signed == Signed::Message { "message.xml" } else { "sig-hashchainresult.xml" };
        assert_eq!(references.lines().count(), 2, "{references}");
        assert!(references.contains(&format!("URI=\"/{wanted}\"")), "{references}");
        seen.extend([
            (signed, body, batch_timestamp, None),
            (signed, body, batch_timestamp, Some(response)),
        ]);
    }
    for batch_timestamp in [false, true] {
        assert!(seen.contains(&(Signed::Message, false, batch_timestamp, Some(false))), "{seen:?}");
        for response in [false, true] {
            assert!(
                seen.contains(&(Signed::Parts, true, batch_timestamp, Some(response))),
                "{seen:?}"
            );
        }
    }
    for body in [false, true] {
        assert!(seen.contains(&(Signed::Batch, body, true, None)), "{seen:?}");
    }
    eprintln!("{}: {} containers checked by hand", samples.key, samples.containers.len());
}

#[test]
fn our_containers_with_elliptic_curve_keys_hold() {
    if tools::have(&TOOLS) {
        check_all(&Samples::of(causeway_keys::KeyKind::EcP256));
    }
}

#[test]
fn our_containers_with_rsa_keys_hold() {
    if tools::have(&TOOLS) {
        check_all(&Samples::of(causeway_keys::KeyKind::Rsa2048));
    }
}

/// The configuration of X-Road's containers, packed as a security server packs it.
pub(crate) fn xroads_configuration(folder: &std::path::Path) -> Vec<u8> {
    let file = folder.join("globalconf/globalconf_good2_v3/DEV/shared-params.xml");
    let mut zip =
        causeway_asic::archive::ArchiveWriter::new(Vec::new(), time::OffsetDateTime::UNIX_EPOCH);
    zip.deflate("verificationconf/DEV/shared-params.xml", &std::fs::read(file).unwrap()).unwrap();
    zip.finish("").unwrap()
}

#[test]
fn xroads_own_containers_hold_by_the_same_commands() {
    let Some(folder) = tools::vectors().filter(|_| tools::have(&TOOLS)) else { return };
    let configuration = xroads_configuration(&folder);
    let desk = |name: &str| {
        Desk::new(&std::fs::read(folder.join("asic").join(name)).unwrap(), &configuration)
    };
    for (name, signed, batch_timestamp) in [
        ("valid-signed-message.asice", Signed::Message, false),
        ("valid-signed-hashchain.asice", Signed::Parts, false),
        ("valid-batch-ts.asice", Signed::Message, true),
    ] {
        assert_eq!(check(&desk(name), signed, batch_timestamp), Ok(()), "{name}");
    }
    for name in ["valid-non-batch-rest.asice", "valid-non-batch-soap-attachments.asice"] {
        let desk = desk(name);
        for step in ["signature-parts", "timestamp-batch", "signer", "ocsp"] {
            desk.step(step).unwrap_or_else(|said| panic!("{name}: {step}: {said}"));
        }
    }
    for (name, signed, batch_timestamp, step) in [
        ("wrong-message.asice", Signed::Message, false, "signature-message"),
        ("invalid-digest.asice", Signed::Message, false, "signature-message"),
        ("invalid-signed-hashchain.asice", Signed::Parts, false, "signature-hash-chain"),
        ("invalid-hashchain-modified-message.asice", Signed::Parts, false, "signature-chain"),
        // Of an older authority, which this configuration does not have.
        ("invalid-ts-hashchainresult.asice", Signed::Message, true, "signature-message"),
    ] {
        let said = check(&desk(name), signed, batch_timestamp).unwrap_err();
        assert!(said.starts_with(step), "{name}: {said}");
    }
}

#[test]
fn every_step_of_the_page_is_run() {
    let sources = concat!(
        include_str!("by_hand.rs"),
        include_str!("configuration.rs"),
        include_str!("desk.rs")
    );
    for step in page::steps() {
        assert!(sources.contains(&format!("\"{step}\"")), "no test takes the step {step}");
    }
}
