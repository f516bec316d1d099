//! Containers that X-Road accepts, or looks at less closely: each is refused, and the report says
//! that the rule is ours.

use auditor::{Report, judge};
use bytes::Bytes;
use causeway_asic::{Attachment, Container};

use super::{case, code};

/// Judges a container after a change to its signature document.
fn with_signature(name: &str, change: impl Fn(String) -> String) -> Option<Report> {
    let (conf, mut container) = case(name)?;
    let text = String::from_utf8(container.signatures.to_vec()).unwrap();
    let changed = change(text.clone());
    assert_ne!(changed, text, "the change must change something");
    container.signatures = changed.into();
    Some(judge(&container, &conf, None))
}

fn rule(report: &Report) -> &str {
    let failure = report.failure.as_ref().expect("must be refused");
    failure.stricter_rule.as_deref().unwrap_or_else(|| panic!("no rule: {failure:?}"))
}

const ALONE: &str = "valid-signed-message.asice";

#[test]
fn an_attachment_that_differs_or_that_nobody_signed() {
    let Some((conf, container)) = case("valid-signed-hashchain.asice") else { return };
    let with = |number| {
        let mut container: Container = container.clone();
        container.attachments = vec![Attachment::new(number, Bytes::from_static(b"forged"))];
        judge(&container, &conf, None)
    };
    let differs = with(1);
    assert_eq!(code(&differs), "malformed_signature.invalid_hash_chain_ref");
    assert!(rule(&differs).contains("attachment"));
    let unsigned = with(2);
    assert_eq!(code(&unsigned), "malformed_signature.hashchain_unused_inputs");
    assert!(rule(&unsigned).contains("attachment"));

    // Beside a plain reference to the message alone.
    let (_, mut plain) = case(ALONE).unwrap();
    plain.attachments = vec![Attachment::new(1, Bytes::from_static(b"forged"))];
    let report = judge(&plain, &conf, None);
    assert_eq!(code(&report), "malformed_signature");
    assert!(rule(&report).contains("attachment"));
}

/// Plain references to attachments are compared by X-Road too.
#[test]
fn a_plain_reference_is_xroads_rule() {
    let Some((conf, mut container)) = case("valid-non-batch-rest.asice") else { return };
    container.attachments = vec![Attachment::new(1, Bytes::from_static(b"forged"))];
    let report = judge(&container, &conf, None);
    assert_eq!(code(&report), "invalid_signature_value");
    assert_eq!(report.failure.unwrap().stricter_rule, None);

    container.attachments.clear();
    let report = judge(&container, &conf, None);
    assert!(report.is_valid() && !report.complete);
    assert!(report.notes[0].contains("X-Road refuses"), "{:?}", report.notes);
}

#[test]
fn an_id_that_occurs_twice() {
    for id in ["signed-properties", "signature", "signature-value"] {
        let Some(report) = with_signature(ALONE, |text| {
            let spot = "<xades:UnsignedSignatureProperties>";
            text.replace(spot, &format!("{spot}<xades:Other Id=\"{id}\"/>"))
        }) else {
            return;
        };
        assert_eq!(code(&report), "malformed_signature");
        assert!(rule(&report).contains("unique"));
    }
}

#[test]
fn a_second_signature() {
    let Some(report) = with_signature(ALONE, |text| {
        let end = "</asic:XAdESSignatures>";
        text.replace(end, &format!("<ds:Signature Id=\"other\"/>{end}"))
    }) else {
        return;
    };
    assert_eq!(code(&report), "malformed_signature");
    assert!(rule(&report).contains("one signature"));
}

/// The classic of wrapping: the signed properties that the signature covers are moved aside, and
/// others take their place.
#[test]
fn signed_properties_that_were_moved_aside() {
    let wrap = |text: String, new_id: &str| {
        let start = text.find("<xades:SignedProperties").unwrap();
        let end =
            text.find("</xades:SignedProperties>").unwrap() + "</xades:SignedProperties>".len();
        let signed = text[start..end].to_owned();
        let forged = signed
            .replace("Id=\"signed-properties\"", &format!("Id=\"{new_id}\""))
            .replacen("2024-", "2023-", 1);
        let spot = "<xades:UnsignedSignatureProperties>";
        text.replace(&signed, &forged)
            .replace(spot, &format!("{spot}<xades:Other>{signed}</xades:Other>"))
    };
    let Some(report) = with_signature(ALONE, |text| wrap(text, "forged")) else { return };
    assert_eq!(code(&report), "malformed_signature");
    assert!(rule(&report).contains("refer to nothing else"), "{report:?}");
    let report = with_signature(ALONE, |text| wrap(text, "signed-properties")).unwrap();
    assert_eq!(code(&report), "malformed_signature");
    assert!(rule(&report).contains("unique"));
}

/// A whole signature inside of a forged one.
#[test]
fn a_signature_inside_a_signature() {
    let Some(report) = with_signature(ALONE, |text| {
        let start = text.find("<ds:Signature ").unwrap();
        let end = text.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
        let inner = &text[start..end];
        let outer = inner
            .replace("<ds:Object>", &format!("<ds:Object>{}", inner.replace("Id=\"", "Id=\"x-")));
        text.replace(inner, &outer)
    }) else {
        return;
    };
    assert_eq!(code(&report), "malformed_signature");
    assert!(rule(&report).contains("one signature"));
}

#[test]
fn document_types_and_entities() {
    for part in ["signatures", "chain", "message"] {
        let Some((conf, mut container)) = case("valid-signed-hashchain.asice") else { return };
        let with_type = |bytes: &Bytes| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let at = text.find("?>").map_or(0, |at| at + 2);
            let (head, tail) = text.split_at(at);
            let declared = format!(
                "{head}<!DOCTYPE x [<!ENTITY e \"e\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]>{tail}"
            );
            Bytes::from(declared)
        };
        match part {
            "signatures" => container.signatures = with_type(&container.signatures),
            "chain" => {
                container.sig_hash_chain = container.sig_hash_chain.as_ref().map(with_type);
            }
            _ => container.message = with_type(&container.message),
        }
        let report = judge(&container, &conf, None);
        match part {
            "signatures" => assert_eq!(code(&report), "invalid_xml"),
            "chain" => assert_eq!(code(&report), "malformed_signature.malformed_hash_chain"),
            _ => assert_eq!(code(&report), "malformed_signature.invalid_hash_chain_ref"),
        }
        if part != "message" {
            assert!(rule(&report).contains("document type"), "{report:?}");
        }
    }
}

#[test]
fn hash_chains_that_never_end() {
    let Some((conf, container)) = case("valid-signed-hashchain.asice") else { return };
    let step = |body: &str| {
        format!(
            "<HashChain xmlns=\"http://cyber.ee/hashchain\" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">\
             <DefaultDigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha512\"/>{body}</HashChain>"
        )
    };
    let circle = step("<HashStep id=\"STEP0\"><StepRef URI=\"#STEP0\"/></HashStep>");
    let abroad =
        step("<HashStep id=\"STEP0\"><StepRef URI=\"/sig-hashchain.xml#STEP0\"/></HashStep>");
    let many: String = (0..70)
        .map(|n| format!("<HashStep id=\"STEP{n}\"><StepRef URI=\"#STEP{}\"/></HashStep>", n + 1))
        .collect();
    for chain in [circle, abroad, step(&many)] {
        let mut container = container.clone();
        container.sig_hash_chain = Some(chain.into());
        let report = judge(&container, &conf, None);
        assert_eq!(code(&report), "malformed_signature.malformed_hash_chain", "{report:?}");
    }
}

#[test]
fn floods_of_markup() {
    let Some(report) = with_signature(ALONE, |text| {
        let spot = "<xades:UnsignedSignatureProperties>";
        text.replace(spot, &format!("{spot}{}", "<a/>".repeat(50_000)))
    }) else {
        return;
    };
    assert_eq!(code(&report), "invalid_xml");
    assert!(rule(&report).contains("bounds"), "{report:?}");
    let report = with_signature(ALONE, |text| {
        let spot = "<xades:UnsignedSignatureProperties>";
        text.replace(spot, &format!("{spot}{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000)))
    })
    .unwrap();
    assert_eq!(code(&report), "invalid_xml");
}

#[test]
fn digests_that_are_no_longer_strong_are_told() {
    let noted = |report: &Report, algorithm: &str, place: &str| {
        report.notes.iter().any(|note| note.starts_with(algorithm) && note.contains(place))
    };
    let Some((conf, container)) = case("valid-batch-ts.asice") else { return };
    let report = judge(&container, &conf, None);
    assert!(report.is_valid() && !noted(&report, "SHA-", "is used in"), "{:?}", report.notes);
    let (sha512, sha1) =
        ("http://www.w3.org/2001/04/xmlenc#sha512", "http://www.w3.org/2000/09/xmldsig#sha1");
    let sha224 = "http://www.w3.org/2001/04/xmldsig-more#sha224";
    let weakened = |bytes: &Bytes, weak: &str| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(sha512));
        Bytes::from(text.replacen(sha512, weak, 1))
    };
    let report = with_signature(ALONE, |text| text.replace(sha512, sha1)).unwrap();
    assert!(noted(&report, "SHA-1", "the signature's references"), "{:?}", report.notes);

    let mut changed = container.clone();
    changed.ts_hash_chain = changed.ts_hash_chain.map(|chain| weakened(&chain, sha224));
    let report = judge(&changed, &conf, None);
    assert!(noted(&report, "SHA-224", "the timestamp's hash chain"), "{:?}", report.notes);

    let (conf, mut changed) = case("valid-signed-hashchain.asice").unwrap();
    let result = changed.sig_hash_chain_result.map(|result| weakened(&result, sha1));
    changed.sig_hash_chain_result = result;
    let report = judge(&changed, &conf, None);
    assert!(noted(&report, "SHA-1", "the signature's hash chain"), "{:?}", report.notes);
}
