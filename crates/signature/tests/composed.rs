//! Signatures that we make: what is signed is the canonical form that a reader computes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::issue::CertificateTemplate;
use causeway_pki::{Certificate, DigestAlgorithm, SigningKey, name};
use causeway_signature::batch::sign;
use causeway_signature::hashchain::PartDigest;
use causeway_signature::verify::{Absent, ChainDocuments, Content, Part, judge_coverage};
use causeway_signature::xades::{Composer, SignatureDocument};
use proptest::prelude::*;
use time::macros::datetime;

fn signer(common_name: &str) -> (KeyPair, Certificate) {
    let key = KeyPair::generate(KeyKind::EcP256).unwrap();
    let subject =
        name::encode(&[("C", "EE"), ("O", "Tax & <Customs> \"Board\""), ("CN", common_name)])
            .unwrap();
    let (from, to) = (datetime!(2026-01-01 0:00 UTC), datetime!(2036-01-01 0:00 UTC));
    let template = CertificateTemplate::new(subject, key.public_key(), &[7, 9], from, to);
    let certificate = template.self_sign(&key).unwrap();
    (key, certificate)
}

fn parts(content: &[(&str, &[u8])]) -> Vec<PartDigest> {
    content
        .iter()
        .map(|(n, c)| PartDigest {
            name: (*n).to_owned(),
            digest: DigestAlgorithm::Sha512.digest(c),
        })
        .collect()
}

#[test]
fn the_canonical_form_is_written_at_once() {
    let (key, certificate) = signer("Ü, +quoted; = <&>");
    let composer = Composer::new(&certificate, std::slice::from_ref(&certificate), key.algorithm());
    for at in [datetime!(2026-11-24 10:20:30.045 UTC), datetime!(2026-11-24 10:20:30 +7)] {
        let signed = sign(&[parts(&[("/message.xml", b"m")])], &composer, &key, &[], at).unwrap();
        let document = SignatureDocument::parse(&signed[0].signature).unwrap();
        document.judge_value().unwrap();
        assert_eq!(document.certificate(), Some(&certificate));
        assert_eq!(document.extra().len(), 1);
        assert_eq!(document.signing_time(), Some(at));
        assert!(signed[0].chain().is_none());
        let part = Part { name: "/message.xml", content: Content::Bytes(b"m") };
        judge_coverage(&document, None, &[part], Absent::Refused).unwrap();
        let other = Part { name: "/message.xml", content: Content::Bytes(b"n") };
        let refused = judge_coverage(&document, None, &[other], Absent::Refused).unwrap_err();
        assert_eq!(refused.code(), "invalid_signature_value");
        let swapped = Part { name: "/attachment1", ..part };
        assert!(judge_coverage(&document, None, &[part, swapped], Absent::Refused).is_err());
    }
}

#[test]
fn a_batch_has_one_signature_and_each_message_its_chain() {
    let (key, certificate) = signer("batch");
    let composer = Composer::new(&certificate, &[], key.algorithm());
    let messages: Vec<Vec<(&str, &[u8])>> = vec![
        vec![("/message.xml", b"a")],
        vec![("/message.xml", b"b"), ("/attachment1", b"c")],
        vec![("/message.xml", b"d")],
    ];
    let digests: Vec<_> = messages.iter().map(|m| parts(m)).collect();
    let signed = sign(&digests, &composer, &key, &[], datetime!(2026-11-24 10:20 UTC)).unwrap();
    let document = SignatureDocument::parse(&signed[0].signature).unwrap();
    document.judge_value().unwrap();
    for (message, signature) in messages.iter().zip(&signed) {
        assert_eq!(signature.signature, signed[0].signature);
        let (result, chain) = signature.chain().unwrap();
        let chain = ChainDocuments { result, chain };
        let given: Vec<_> =
            message.iter().map(|(name, c)| Part { name, content: Content::Bytes(c) }).collect();
        judge_coverage(&document, Some(chain), &given, Absent::Refused).unwrap();
        let other: Vec<_> = message
            .iter()
            .map(|(name, _)| Part { name, content: Content::Bytes(b"other") })
            .collect();
        assert_eq!(
            judge_coverage(&document, Some(chain), &other, Absent::Refused).unwrap_err().code(),
            "malformed_signature.invalid_hash_chain_ref"
        );
        // Without its chain the signature covers nothing of the message.
        assert!(judge_coverage(&document, None, &given, Absent::Refused).is_err());
    }
    let crossed = ChainDocuments {
        result: signed[0].chain().unwrap().0,
        chain: signed[2].chain().unwrap().1,
    };
    let first = [Part { name: "/message.xml", content: Content::Bytes(b"a") }];
    assert!(judge_coverage(&document, Some(crossed), &first, Absent::Refused).is_err());
}

#[test]
fn nothing_can_be_wrapped_in() {
    let (key, certificate) = signer("wrap");
    let composer = Composer::new(&certificate, &[], key.algorithm());
    let signed = sign(
        &[parts(&[("/message.xml", b"m")])],
        &composer,
        &key,
        &[],
        datetime!(2026-11-24 10:20 UTC),
    )
    .unwrap();
    let text = std::str::from_utf8(&signed[0].signature).unwrap();
    let refused = |text: &str| {
        let error = SignatureDocument::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), "malformed_signature", "{error}");
    };
    // A second signature, a second element with the id, properties elsewhere, and a signature that is moved.
    let signature =
        &text[text.find("<ds:Signature ").unwrap()..text.find("</asic:XAdESSignatures>").unwrap()];
    refused(
        &text.replace("</asic:XAdESSignatures>", &format!("{signature}</asic:XAdESSignatures>")),
    );
    refused(&text.replace(
        "</asic:XAdESSignatures>",
        "<x Id=\"signed-properties\"/></asic:XAdESSignatures>",
    ));
    refused(
        &text
            .replace("<ds:Object>", "<ds:Object Id=\"other\">")
            .replace("URI=\"#signed-properties\"", "URI=\"#other\""),
    );
    refused(
        &text
            .replacen("<ds:Signature ", "<wrapper><ds:Signature ", 1)
            .replace("</ds:Signature><", "</ds:Signature></wrapper><"),
    );
    refused(&text.replace(
        "Type=\"http://uri.etsi.org/01903#SignedProperties\" URI=\"#signed-properties\"",
        "URI=\"/other.xml\"",
    ));
    let dtd = text.replace("?><asic", "?><!DOCTYPE a [<!ENTITY e \"x\">]><asic");
    assert_eq!(SignatureDocument::parse(dtd.as_bytes()).unwrap_err().code(), "invalid_xml");
}

#[test]
fn what_would_take_long_to_canonicalize_is_refused() {
    let (key, certificate) = signer("slow");
    let composer = Composer::new(&certificate, &[], key.algorithm());
    let at = datetime!(2026-11-24 10:20 UTC);
    let signed = sign(&[parts(&[("/message.xml", b"m")])], &composer, &key, &[], at).unwrap();
    let text = String::from_utf8(signed[0].signature.to_vec()).unwrap();
    let refused = |text: String| SignatureDocument::parse(text.as_bytes()).unwrap_err().to_string();

    let method = "<ds:CanonicalizationMethod Algorithm=\"";
    let start = text.find(method).unwrap() + method.len();
    let end = start + text[start..].find('"').unwrap();
    let rest = text[end..].split_once('>').unwrap().1;
    let rest = rest.strip_prefix("</ds:CanonicalizationMethod>").unwrap_or(rest);
    let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
    let listing = |count: usize| {
        let list: String = (0..count).map(|i| format!("p{i} ")).collect();
        format!(
            "{}{exclusive}\"><ec:InclusiveNamespaces xmlns:ec=\"{exclusive}\" PrefixList=\"{list}\"/>\
             </ds:CanonicalizationMethod>{rest}",
            &text[..start]
        )
    };
    SignatureDocument::parse(listing(32).as_bytes()).unwrap();
    assert!(refused(listing(33)).contains("too many prefixes"));

    let declared: String = (0..60).map(|i| format!(" xmlns:p{i}=\"u{i}\"")).collect();
    let (open, close) = (format!("<a{declared}>").repeat(30), "</a>".repeat(30));
    let inside = "</ds:SignedInfo>";
    let nested = format!("{open}{}{close}{inside}", "<a/>".repeat(4000));
    assert!(refused(text.replacen(inside, &nested, 1)).contains("namespaces in scope"));
}

#[test]
fn every_flipped_byte_of_what_is_signed_is_noticed() {
    let (key, certificate) = signer("flip");
    let composer = Composer::new(&certificate, &[], key.algorithm());
    let signed = sign(
        &[parts(&[("/message.xml", b"m")])],
        &composer,
        &key,
        &[],
        datetime!(2026-11-24 10:20 UTC),
    )
    .unwrap();
    let good = signed[0].signature.to_vec();
    let text = std::str::from_utf8(&good).unwrap();
    let part = [Part { name: "/message.xml", content: Content::Bytes(b"m") }];
    let range = |from: &str, to: &str| text.find(from).unwrap()..text.find(to).unwrap() + to.len();
    let ranges = [
        range("<ds:SignedInfo", "</ds:SignedInfo>"),
        range("<xades:SignedProperties", "</xades:SignedProperties>"),
    ];
    for at in ranges.into_iter().flatten() {
        for bit in [0, 3, 5] {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let judged = SignatureDocument::parse(&bad).and_then(|d| {
                d.judge_value().and_then(|()| judge_coverage(&d, None, &part, Absent::Refused))
            });
            assert!(
                judged.is_err(),
                "byte {at} bit {bit}: {}",
                String::from_utf8_lossy(&bad[at - 20..at + 20])
            );
        }
    }
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = SignatureDocument::parse(&bytes);
    }

    #[test]
    fn any_name_can_sign(common_name in "[^\\p{Cc}\\p{Cn}\\p{Co}]{1,30}") {
        let (key, certificate) = signer(&common_name);
        let composer = Composer::new(&certificate, &[], key.algorithm());
        let signed = sign(&[parts(&[("/message.xml", b"m")])], &composer, &key, &[], datetime!(2026-11-24 10:20 UTC)).unwrap();
        SignatureDocument::parse(&signed[0].signature).unwrap().judge_value().unwrap();
    }
}
