//! Each byte of each part of each valid container changed, one at a time.

use std::ops::Range;

use auditor::{Report, judge};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use causeway_asic::{Attachment, Container};

use super::case;

/// The parts of a container whose bytes are changed.
const PARTS: [&str; 9] = [
    "message",
    "signatures",
    "sig result",
    "sig chain",
    "ts result",
    "ts chain",
    "timestamp",
    "attachment1",
    "attachment2",
];

fn part<'c>(container: &'c Container, name: &str) -> Option<&'c Bytes> {
    match name {
        "message" => Some(&container.message),
        "signatures" => Some(&container.signatures),
        "sig result" => container.sig_hash_chain_result.as_ref(),
        "sig chain" => container.sig_hash_chain.as_ref(),
        "ts result" => container.ts_hash_chain_result.as_ref(),
        "ts chain" => container.ts_hash_chain.as_ref(),
        "timestamp" => container.timestamp.as_ref(),
        "attachment1" => container.attachments.first().and_then(Attachment::content),
        _ => container.attachments.get(1).and_then(Attachment::content),
    }
}

fn with_part(container: &Container, name: &str, bytes: Bytes) -> Container {
    let mut changed = container.clone();
    match name {
        "message" => changed.message = bytes,
        "signatures" => changed.signatures = bytes,
        "sig result" => changed.sig_hash_chain_result = Some(bytes),
        "sig chain" => changed.sig_hash_chain = Some(bytes),
        "ts result" => changed.ts_hash_chain_result = Some(bytes),
        "ts chain" => changed.ts_hash_chain = Some(bytes),
        "timestamp" => changed.timestamp = Some(bytes),
        "attachment1" => changed.attachments[0] = Attachment::new(1, bytes),
        _ => changed.attachments[1] = Attachment::new(2, bytes),
    }
    changed
}

/// Changes each byte of each part. Every change must give a refusal with a code, except where
/// [`may_change`] says why the byte proves nothing; then the report must stay the same to the letter.
///
/// The signature documents, the longest parts, are sampled (every seventh byte) unless all are asked
/// for with `CAUSEWAY_FLIPS=all`, as continuous integration does.
fn flip_everything(file: &str) {
    let Some((conf, container)) = case(file) else { return };
    let original = judge(&container, &conf, None);
    assert!(original.is_valid());
    let thorough = std::env::var("CAUSEWAY_FLIPS").as_deref() == Ok("all");
    for name in PARTS {
        let Some(bytes) = part(&container, name) else { continue };
        let step = if name == "signatures" && !thorough { 7 } else { 1 };
        let free = may_change(&container, name);
        for at in (0..bytes.len()).step_by(step) {
            // The lowest bit; now and then another one, which turns white space into text.
            let mask = if at % 17 == 0 { 0x20 } else { 0x01 };
            let mut changed = bytes.to_vec();
            changed[at] ^= mask;
            let report = judge(&with_part(&container, name, changed.into()), &conf, None);
            let place = format!("{file}, {name}, byte {at} ^ {mask:#04x}");
            match &report.failure {
                Some(failure) => {
                    assert!(!failure.code.is_empty() && !report.is_valid(), "{place}");
                }
                None => {
                    assert!(free.iter().any(|range| range.contains(&at)), "{place} is accepted");
                    if name == "sig chain" && !original.complete {
                        assert_eq!(unnamed(report), unnamed(original.clone()), "{place}");
                    } else {
                        assert_eq!(report, original, "{place} changes the report");
                    }
                }
            }
        }
    }
}

/// A report without the names of files that are not in the container.
fn unnamed(mut report: Report) -> Report {
    for gap in report.not_covered.iter_mut().filter(|gap| gap.signed_digest.is_some()) {
        gap.name.clear();
    }
    report
}

#[test]
fn a_request_with_its_own_timestamp() {
    flip_everything("valid-signed-message.asice");
}

#[test]
fn a_batch_signature_with_its_own_timestamp() {
    flip_everything("valid-signed-hashchain.asice");
}

#[test]
fn a_request_in_a_batch_timestamp() {
    flip_everything("valid-batch-ts.asice");
}

#[test]
fn a_rest_response_in_a_batch_timestamp() {
    flip_everything("valid-non-batch-rest.asice");
}

#[test]
fn attachments_in_a_batch_timestamp() {
    flip_everything("valid-non-batch-soap-attachments.asice");
}

/// The bytes of a part that no signature covers, each with the reason why that is no loss. Message,
/// attachments and the results of hash chains have none; nor has a signature document under a batch
/// timestamp, which covers it to the last byte.
fn may_change(container: &Container, name: &str) -> Vec<Range<usize>> {
    match name {
        "sig chain" | "ts chain" => {
            let chain = part(container, name).expect("there");
            let mut free = vec![xml_declaration(chain)];
            // A chain proves by its digests and references. What stands between its elements
            // is not hashed: white space here, and text in its place changes nothing.
            free.extend(white_space(chain));
            // Nor are the names of what it refers to: a name counts by the file that is found
            // under it. That of a file that is not here is only the word of whoever made the chain.
            if container.attachments.is_empty() && name == "sig chain" {
                free.push(start_tag(chain, "<ns2:DataRef URI=\"/attachment1\""));
            }
            free
        }
        "timestamp" => unsigned_of_token(container.timestamp.as_ref().expect("there")),
        "signatures" if container.ts_hash_chain.is_none() => {
            let document = &container.signatures;
            // An own timestamp covers the signature value, and the value SignedInfo; these cover
            // the signed properties, the message, and by a digest the signing certificate.
            let mut free = vec![xml_declaration(document)];
            // Ids and targets of elements that are found by their place, not by these names.
            for tag in ["<ds:Signature ", "<ds:SignatureValue ", "<xades:QualifyingProperties "] {
                free.push(start_tag(document, tag));
            }
            free.extend(white_space(document));
            // OCSP responses and timestamps are signed by their authorities, in part.
            for (tag, unsigned) in [
                (
                    "<xades:EncapsulatedOCSPValue ",
                    unsigned_of_ocsp as fn(&[u8]) -> Vec<Range<usize>>,
                ),
                ("<xades:EncapsulatedTimeStamp>", unsigned_of_token),
            ] {
                let start = start_tag(document, tag);
                let content = start.end..start.end + find(&document[start.end..], b"<");
                let der = BASE64.decode(&document[content.clone()]).unwrap();
                free.extend(unsigned(&der).into_iter().map(|bytes| {
                    // Four characters carry three bytes.
                    content.start + bytes.start / 3 * 4..content.start + bytes.end.div_ceil(3) * 4
                }));
                free.push(start);
            }
            free
        }
        _ => Vec::new(),
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes.windows(pattern.len()).position(|window| window == pattern).expect("pattern")
}

fn xml_declaration(document: &[u8]) -> Range<usize> {
    0..find(document, b"?>") + 2
}

fn start_tag(document: &[u8], tag: &str) -> Range<usize> {
    let start = find(document, tag.as_bytes());
    start..start + find(&document[start..], b">") + 1
}

/// White space between elements.
fn white_space(document: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = document[at..].iter().position(|b| *b == b'>') {
        let start = at + offset + 1;
        let spaces = document[start..].iter().take_while(|b| b.is_ascii_whitespace()).count();
        if document.get(start + spaces).is_none_or(|b| *b == b'<') {
            found.push(start..start + spaces);
        }
        at = start;
    }
    found
}

/// The elements in a stretch of DER: each with the range of all of it, and of its content.
fn elements(der: &[u8], within: Range<usize>) -> Vec<(Range<usize>, Range<usize>)> {
    let mut out = Vec::new();
    let mut at = within.start;
    while at < within.end {
        let first = usize::from(der[at + 1]);
        let (header, length) = if first < 0x80 {
            (2, first)
        } else {
            let bytes = first & 0x7f;
            let digits = &der[at + 2..at + 2 + bytes];
            (2 + bytes, digits.iter().fold(0, |length, b| length << 8 | usize::from(*b)))
        };
        out.push((at..at + header + length, at + header..at + header + length));
        at += header + length;
    }
    out
}

/// Of a timestamp token (RFC 5652 5.1): the signature is over the signed attributes, and these hold the
/// digest of the content, the authority's certificate and the type. Versions, the list of digest
/// algorithms, and parameters of the signature algorithm repeat what is known; the certificates that
/// came along are not looked at, since the global configuration has the authority's own.
fn unsigned_of_token(der: &[u8]) -> Vec<Range<usize>> {
    let content_info = &elements(der, 0..der.len())[0];
    let explicit = &elements(der, content_info.1.clone())[1];
    let signed_data = &elements(der, explicit.1.clone())[0];
    let fields = elements(der, signed_data.1.clone());
    let [version, digests, _content, certificates, signers] = fields.as_slice() else {
        panic!("a token of five fields")
    };
    let signer = &elements(der, signers.1.clone())[0];
    let signer = elements(der, signer.1.clone());
    let parameters = &elements(der, signer[4].1.clone())[1];
    [version, digests, certificates, &signer[0], parameters].map(|field| field.0.clone()).to_vec()
}

/// Of an OCSP response (RFC 6960 4.2.1): the signature is over the response data. The responder's
/// certificate that came along is not needed, since the global configuration has it.
fn unsigned_of_ocsp(der: &[u8]) -> Vec<Range<usize>> {
    let response = &elements(der, 0..der.len())[0];
    let explicit = &elements(der, response.1.clone())[1];
    let typed = &elements(der, explicit.1.clone())[0];
    let octets = &elements(der, typed.1.clone())[1];
    let basic = &elements(der, octets.1.clone())[0];
    let fields = elements(der, basic.1.clone());
    let [_data, algorithm, _signature, certificates] = fields.as_slice() else {
        panic!("a response of four fields")
    };
    let parameters = &elements(der, algorithm.1.clone())[1];
    vec![parameters.0.clone(), certificates.0.clone()]
}
