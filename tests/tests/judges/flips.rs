//! Changed bytes in our containers, before our auditor. (The auditor's own tests change each byte of
//! X-Road's containers.)

use std::ops::Range;

use auditor::{Report, judge};
use bytes::Bytes;
use causeway_asic::{Attachment, Container};
use sandbox::evidence;

use crate::samples::{Sample, Samples, Signed, find};

/// How many bytes of a stretch are changed, at most; all of them when `CAUSEWAY_FLIPS=all`.
const MOST: usize = 12;

/// Replaces a part of a container.
type Put = fn(&mut Container, Bytes);

/// The stretches of a container that are signed or stamped, or sign and stamp: what is changed there
/// must be noticed.
fn signed_stretches(container: &Container) -> Vec<(&'static str, Bytes, Put, Range<usize>)> {
    let mut all: Vec<(&'static str, Bytes, Put, Range<usize>)> = Vec::new();
    let whole = |bytes: &Bytes| 0..bytes.len();
    let message = container.message.clone();
    all.push(("message", message.clone(), |c, bytes| c.message = bytes, whole(&message)));
    for body in container.attachments.iter().filter_map(Attachment::content) {
        let put: Put = |c, bytes| c.attachments[0] = Attachment::new(1, bytes);
        all.push(("body", body.clone(), put, whole(body)));
    }
    if let Some(result) = &container.sig_hash_chain_result {
        let put: Put = |c, bytes| c.sig_hash_chain_result = Some(bytes);
        all.push(("signature's chain result", result.clone(), put, whole(result)));
    }
    if let Some(result) = &container.ts_hash_chain_result {
        let put: Put = |c, bytes| c.ts_hash_chain_result = Some(bytes);
        all.push(("timestamp's chain result", result.clone(), put, whole(result)));
    }
    for (name, chain, put) in [
        (
            "signature's chain",
            &container.sig_hash_chain,
            (|c, b| c.sig_hash_chain = Some(b)) as Put,
        ),
        ("timestamp's chain", &container.ts_hash_chain, |c, b| c.ts_hash_chain = Some(b)),
    ] {
        if let Some(chain) = chain {
            all.push((name, chain.clone(), put, whole(chain)));
        }
    }
    let document = &container.signatures;
    let put: Put = |c, bytes| c.signatures = bytes;
    if container.ts_hash_chain.is_some() {
        all.push(("signature document", document.clone(), put, whole(document)));
    } else {
        for (from, to) in [
            ("<ds:SignedInfo>", "</ds:SignedInfo>"),
            ("<xades:SignedProperties", "</xades:SignedProperties>"),
        ] {
            for stretch in between(document, from.as_bytes(), to.as_bytes()) {
                all.push(("signature document", document.clone(), put, stretch));
            }
        }
        for tag in ["<ds:SignatureValue", "<ds:X509Certificate"] {
            for start in between(document, tag.as_bytes(), b"</") {
                let content = start.start + find(&document[start.clone()], b">").unwrap() + 1;
                all.push((
                    "signature document",
                    document.clone(),
                    put,
                    content..start.end.saturating_sub(4),
                ));
            }
        }
    }
    all
}

/// The stretches from behind one pattern up to another.
fn between(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = find(&bytes[at..], from) {
        let start = at + offset + from.len();
        let Some(length) = find(&bytes[start..], to) else { break };
        // Behind a closing tag there is only white space.
        if bytes[at + offset - 1] != b'/'
            && !bytes[start..start + length].iter().all(u8::is_ascii_whitespace)
        {
            found.push(start..start + length);
        }
        at = start + length;
    }
    found
}

fn refused(report: &Report) -> bool {
    !report.is_valid() && report.failure.as_ref().is_some_and(|failure| !failure.code.is_empty())
}

fn flip(samples: &Samples, sample: &Sample) -> usize {
    let all = std::env::var("CAUSEWAY_FLIPS").as_deref() == Ok("all");
    let mut changed = 0;
    for (name, part, put, stretch) in signed_stretches(&sample.container) {
        let step = if all { 1 } else { stretch.len().div_ceil(MOST).max(1) };
        for at in stretch.clone().step_by(step) {
            let bit = 1 << (at % 7);
            let mut bytes = part.to_vec();
            bytes[at] ^= bit;
            if is_same_text(part[at], bytes[at]) {
                continue;
            }
            let mut container = sample.container.clone();
            put(&mut container, bytes.into());
            let report = judge(&container, &samples.conf, None);
            assert!(
                refused(&report),
                "{} {:?}: {name}, byte {at} ^ {bit:#04x}",
                samples.key,
                sample.shape
            );
            changed += 1;
        }
    }
    changed
}

/// A line's end in base64 that becomes another white space says the same.
fn is_same_text(before: u8, after: u8) -> bool {
    before.is_ascii_whitespace() && after.is_ascii_whitespace()
}

#[test]
fn a_changed_byte_in_what_is_signed_is_refused() {
    for samples in Samples::all() {
        let mut changed = 0;
        for sample in &samples.containers {
            changed += flip(&samples, sample);
        }
        assert!(changed > 1000, "{changed}");
        eprintln!("{}: {changed} changed bytes refused", samples.key);
    }
}

#[test]
fn a_changed_byte_of_the_file_never_changes_what_is_proven() {
    for samples in Samples::all() {
        let (mut refusals, mut unchanged) = (0, 0);
        for (signed, body, batch_timestamp) in [
            (Signed::Message, false, false),
            (Signed::Parts, true, true),
            (Signed::Batch, true, true),
        ] {
            let sample = samples.find(signed, body, batch_timestamp);
            let proven = (&sample.container.message, bodies(&sample.container));
            for at in (0..sample.bytes.len()).step_by(29) {
                let mut bytes = sample.bytes.to_vec();
                bytes[at] ^= 1 << (at % 8);
                let report = evidence::judge(&bytes, &samples.conf);
                if report.is_valid() {
                    let limits = causeway_asic::Limits::default();
                    let read = Container::read(&bytes, &limits).unwrap();
                    assert_eq!(
                        (&read.message, bodies(&read)),
                        proven,
                        "{:?} byte {at}",
                        sample.shape
                    );
                    assert_eq!(
                        report.covered, sample.report.covered,
                        "{:?} byte {at}",
                        sample.shape
                    );
                    unchanged += 1;
                } else {
                    assert!(refused(&report), "{:?} byte {at}", sample.shape);
                    refusals += 1;
                }
            }
        }
        eprintln!("{}: {refusals} changed files refused, {unchanged} prove the same", samples.key);
        assert!(refusals > 10 * unchanged, "{refusals} {unchanged}");
    }
}

fn bodies(container: &Container) -> Vec<&[u8]> {
    container.attachments.iter().map(Attachment::sha512).collect()
}
