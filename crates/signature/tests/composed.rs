//! Signatures that we make: what is signed is the canonical form that a reader computes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::issue::CertificateTemplate;
use causeway_pki::{Certificate, DigestAlgorithm, SigningKey, name};
use causeway_signature::batch::sign;
use causeway_signature::hashchain::PartDigest;
use causeway_signature::verify::{Absent, ChainDocuments, Content, Part, judge_coverage};
use causeway_signature::xades::{Composer, Mould, SignatureDocument};
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

/// What a mould reads, the general reader reads the same.
fn assert_read_alike(mould: &Mould, source: &[u8]) -> bool {
    let Some(quick) = mould.read(source) else { return false };
    let general = SignatureDocument::parse(source).unwrap();
    assert_eq!(quick.vouchers(), general.vouchers());
    assert_eq!(format!("{quick:?}"), format!("{general:?}"));
    assert_eq!(quick.judge_value(), general.judge_value());
    true
}

fn documents() -> Vec<Vec<u8>> {
    let (key, certificate) = signer("moulds");
    let composer = Composer::new(&certificate, std::slice::from_ref(&certificate), key.algorithm());
    let made = |content: &[u8], at| {
        let signed = sign(&[parts(&[("/message.xml", content)])], &composer, &key, &[], at);
        signed.unwrap()[0].signature.to_vec()
    };
    vec![
        made(b"a", datetime!(2026-11-24 10:20:30.045 UTC)),
        made(b"b", datetime!(2026-11-25 10:20:30.999 UTC)),
        made(b"c", datetime!(2026-11-25 10:20:30 UTC)),
    ]
}

#[test]
fn documents_of_one_signer_are_read_by_one_mould() {
    let documents = documents();
    let (_, mould) = SignatureDocument::parse_with_mould(&documents[0]).unwrap();
    let mould = mould.unwrap();
    assert!(assert_read_alike(&mould, &documents[0]));
    assert!(assert_read_alike(&mould, &documents[1]));
    mould.read(&documents[1]).unwrap().judge_value().unwrap();
    // Of another length, for a time without milliseconds.
    assert!(mould.read(&documents[2]).is_none());
    let text = String::from_utf8(documents[1].clone()).unwrap();
    for (from, to) in [
        ("Id=\"signature-value\"", "Id=\"signature-volue\""),
        ("2026-11-25T10:20:30.999Z", "2026-11-25T10<20:30.999Z"),
        ("#sha512\"", "#sha256\""),
        ("<ds:SignatureValue", "<ds:SignatureVolue"),
        ("\n</ds:SignatureValue>", " </ds:SignatureValue>"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(mould.read(text.replacen(from, to, 1).as_bytes()).is_none(), "{from}");
    }
}

#[test]
fn a_doubtful_document_makes_no_mould() {
    let text = String::from_utf8(documents().swap_remove(0)).unwrap();
    let at = text.find("<ds:DigestValue>").unwrap() + "<ds:DigestValue>".len();
    let digest = &text[at..at + 88];
    // The digest in other words, and as it should be where it means nothing.
    let referred = format!("&#{};{}", u32::from(digest.as_bytes()[0]), &digest[1..]);
    let elsewhere = format!("<x><ds:DigestValue>{digest}</ds:DigestValue></x></ds:Object>");
    let doubtful = [
        text.replacen(digest, &referred, 1).replacen("</ds:Object>", &elsewhere, 1),
        text.replacen("</ds:DigestValue>", "</ds:DigestValue >", 1).replacen(
            "</ds:Object>",
            &elsewhere,
            1,
        ),
        text.replacen(digest, &format!("<![CDATA[{digest}]]>"), 1).replacen(
            "</ds:Object>",
            &elsewhere,
            1,
        ),
        text.replacen(digest, &format!("<x/>{digest}"), 1).replacen("</ds:Object>", &elsewhere, 1),
        text.replacen("</ds:Object>", &elsewhere, 1),
        text.replacen("</ds:Object>", "<!-- --></ds:Object>", 1),
        text.replacen("?>", "?><!-- -->", 1),
        text.replacen("1.0", "1.1", 1),
        format!("\u{feff}{text}"),
    ];
    for text in doubtful {
        let (_, mould) = SignatureDocument::parse_with_mould(text.as_bytes()).unwrap();
        assert!(mould.is_none(), "{text}");
    }
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
    fn a_mould_reads_only_what_it_reads_alike(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>(), "[A-Za-z0-9+/=:. \\n&;#<>-]"), 0..5),
    ) {
        static SAMPLE: std::sync::LazyLock<(Vec<u8>, Mould)> = std::sync::LazyLock::new(|| {
            let source = documents().swap_remove(0);
            let (_, mould) = SignatureDocument::parse_with_mould(&source).unwrap();
            (source, mould.unwrap())
        });
        let (mut bytes, mould) = (SAMPLE.0.clone(), &SAMPLE.1);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let signed = text.find("<ds:Reference").unwrap()..text.find("<ds:KeyInfo>").unwrap();
        for (at, anywhere, sign) in changes {
            let at = if anywhere { at.index(bytes.len()) } else { signed.start + at.index(signed.len()) };
            bytes[at] = sign.as_bytes()[0];
        }
        assert_read_alike(mould, &bytes);
    }

    #[test]
    fn any_name_can_sign(common_name in "[^\\p{Cc}\\p{Cn}\\p{Co}]{1,30}") {
        let (key, certificate) = signer(&common_name);
        let composer = Composer::new(&certificate, &[], key.algorithm());
        let signed = sign(&[parts(&[("/message.xml", b"m")])], &composer, &key, &[], datetime!(2026-11-24 10:20 UTC)).unwrap();
        SignatureDocument::parse(&signed[0].signature).unwrap().judge_value().unwrap();
    }
}
