//! Every container of X-Road's verifier tests, with its verdict.

use auditor::{Report, judge};
use causeway_asic::{Container, Limits};
use time::macros::datetime;

use super::{case, code, configuration, folder};

fn report(name: &str) -> Option<Report> {
    let (conf, container) = case(name)?;
    Some(judge(&container, &conf, None))
}

#[test]
fn verdicts_are_xroads() {
    for (name, expected) in [
        ("valid-signed-message", ""),
        ("valid-non-batch-rest", ""),
        ("valid-non-batch-soap-attachments", ""),
        ("valid-signed-hashchain", ""),
        ("valid-batch-ts", ""),
        ("wrong-message", "invalid_signature_value"),
        ("invalid-digest", "invalid_signature_value"),
        ("invalid-signed-hashchain", "malformed_signature.invalid_hash_chain_ref"),
        ("invalid-hashchain-modified-message", "malformed_signature.hashchain_unused_inputs"),
        ("invalid-not-signed-hashchain", ""),
        ("invalid-incorrect-references", "malformed_signature"),
        ("invalid-ts-hashchainresult", "malformed_signature"),
    ] {
        let Some(report) = report(&format!("{name}.asice")) else { return };
        assert_eq!(code(&report), expected, "{name}: {report:?}");
        assert_eq!(report.is_valid(), expected.is_empty());
        assert!(
            report.failure.is_none_or(|f| f.stricter_rule.is_none()),
            "{name}: X-Road's own rule"
        );
    }
}

#[test]
fn facts_of_a_request_with_its_own_timestamp() {
    let Some(report) = report("valid-signed-message.asice") else { return };
    let message = report.message.unwrap();
    assert!(!message.response);
    assert_eq!(message.sender, "SUBSYSTEM:DEV/COM/4321/TestClient");
    assert_eq!(message.service.unwrap(), "SERVICE:DEV/COM/1234/TestService/getRandom/v1");
    let signer = report.signer.unwrap();
    assert_eq!(signer.member.unwrap(), "MEMBER:DEV/COM/4321");
    assert_eq!(signer.certificate.issuer, "CN=Test CA,O=Test");
    assert_eq!(report.signing_time, Some(datetime!(2024-12-05 13:16:11.661 UTC)));
    let timestamp = report.timestamp.unwrap();
    assert_eq!(timestamp.time, datetime!(2024-12-05 13:16:35 UTC));
    assert!(!timestamp.batch);
    assert_eq!(timestamp.authority.unwrap().subject, "CN=Test TSA,O=Test");
    assert_eq!(report.judged_at, Some(timestamp.time));
    let [ocsp] = report.ocsp.as_slice() else { panic!() };
    assert_eq!(ocsp.responder.as_deref(), Some("CN=Test OCSP,O=Test"));
    assert_eq!(report.covered, ["message.xml"]);
    let [note] = report.notes.as_slice() else { panic!("{:?}", report.notes) };
    assert!(report.complete && note.contains("media type is not the archive's first entry"));
}

#[test]
fn facts_of_a_rest_response_in_a_batch() {
    let Some(report) = report("valid-non-batch-rest.asice") else { return };
    let message = report.message.unwrap();
    assert!(message.response);
    assert_eq!(message.sender, "SUBSYSTEM:DEV/COM/1234/TestService");
    assert!(report.timestamp.unwrap().batch);
    assert_eq!(report.covered, ["message.xml", "attachment1"]);
    let gaps: Vec<&str> = report.not_covered.iter().map(|gap| gap.name.as_str()).collect();
    assert_eq!(gaps, ["META-INF/manifest.xml", "META-INF/ASiCManifest.xml"]);
}

#[test]
fn an_absent_attachment_is_told_of_with_its_digest() {
    let Some(report) = report("valid-signed-hashchain.asice") else { return };
    assert!(report.is_valid() && !report.complete);
    let gap = &report.not_covered[0];
    assert_eq!(gap.name, "attachment1");
    assert!(gap.signed_digest.as_ref().unwrap().starts_with("SHA-512:628676e9a0422ee1"));
}

#[test]
fn a_hash_chain_that_is_not_referred_to_is_no_evidence() {
    let Some(report) = report("invalid-not-signed-hashchain.asice") else { return };
    let gaps: Vec<&str> = report.not_covered.iter().map(|gap| gap.name.as_str()).collect();
    for name in ["sig-hashchain.xml", "sig-hashchainresult.xml", "hashchain.xml"] {
        assert!(gaps.contains(&name), "{gaps:?}");
    }
}

#[test]
fn a_container_of_an_older_generation_is_named_as_such() {
    let Some(folder) = folder() else { return };
    let file = std::fs::File::open(folder.join("asic/attachments.asice")).unwrap();
    let container = Container::read_unchecked(file, &Limits::default()).unwrap();
    let report = judge(&container, &configuration().unwrap(), None);
    assert_eq!(code(&report), "asic_message_not_found");
    assert!(report.failure.unwrap().message.contains("before X-Road 6"));
}

#[test]
fn the_time_of_judgement_matters() {
    let Some((conf, container)) = case("valid-signed-message.asice") else { return };
    let at = |time| judge(&container, &conf, Some(time));
    assert!(at(datetime!(2024-12-05 13:20 UTC)).is_valid());
    let late = at(datetime!(2024-12-06 13:20 UTC));
    assert_eq!(code(&late), "invalid_cert_path.incorrect_validation_info");
    assert!(late.failure.unwrap().stricter_rule.is_none());
    let early = at(datetime!(2024-12-05 13:00 UTC));
    assert_eq!(code(&early), "invalid_cert_path.incorrect_validation_info");
    assert!(early.failure.unwrap().stricter_rule.is_some());
    let before_the_certificate = at(datetime!(2024-01-01 00:00 UTC));
    assert_eq!(code(&before_the_certificate), "cannot_create_cert_path");
}

#[test]
fn without_a_timestamp_only_a_given_time_helps() {
    let Some((conf, mut container)) = case("valid-batch-ts.asice") else { return };
    container.timestamp = None;
    container.ts_hash_chain = None;
    container.ts_hash_chain_result = None;
    assert_eq!(code(&judge(&container, &conf, None)), "malformed_signature");
    let report = judge(&container, &conf, Some(datetime!(2024-12-05 07:35 UTC)));
    assert!(report.is_valid(), "{report:?}");
    assert!(report.notes[0].contains("There is no timestamp") && report.timestamp.is_none());
}

#[test]
fn strangers_are_not_trusted() {
    let Some((_, container)) = case("valid-batch-ts.asice") else { return };
    let other =
        auditor::configuration::read(&folder().unwrap().join("globalconf/globalconf_good_v3"))
            .unwrap();
    assert_eq!(code(&judge(&container, &other, None)), "mlog.tsp_certificate_not_found");
}

#[test]
fn another_members_message_does_not_pass() {
    let Some((conf, mut container)) = case("valid-signed-message.asice") else { return };
    let text = String::from_utf8(container.message.to_vec()).unwrap();
    container.message = text.replace(">4321<", ">1234<").into();
    assert_eq!(code(&judge(&container, &conf, None)), "incorrect_certificate");
    container.message = text.replace(">DEV<", ">XXX<").into();
    assert_eq!(code(&judge(&container, &conf, None)), "cannot_create_cert_path");
}

#[test]
fn a_message_that_cannot_be_read_is_no_message() {
    let Some((conf, mut container)) = case("valid-signed-message.asice") else { return };
    container.message = bytes::Bytes::from_static(b"neither SOAP nor REST");
    let report = judge(&container, &conf, None);
    assert_eq!(code(&report), "invalid_signature_value");
    assert!(report.message.is_none());
}
