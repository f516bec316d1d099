//! Hostile bytes: nothing panics, nothing takes long, whatever is flipped, cut, nested or claimed.

use causeway_pki::issue::{CertificateRequest, RequestTemplate};
use causeway_pki::ocsp::{CertId, CertStatus, OcspRequest, OcspResponse, ResponseBuilder};
use causeway_pki::tsp::{self, TimestampRequest, TimestampResponse, TimestampToken};
use causeway_pki::{Certificate, DigestAlgorithm, PublicKey, name};
use proptest::prelude::*;

use crate::support::{Authority, TestKey, noon, template};

fn read_all(bytes: &[u8]) {
    if let Ok(certificate) = Certificate::from_der_or_pem(bytes) {
        let _ = (certificate.subject_rfc2253(), certificate.serial_decimal());
        let _ = (certificate.public_key(), certificate.is_issued_by(&certificate));
        let _ = (certificate.ocsp_urls(), name::canonical(certificate.subject_der()));
    }
    let _ = OcspRequest::parse(bytes);
    let _ = OcspResponse::parse(bytes);
    let _ = TimestampRequest::parse(bytes);
    let _ = TimestampResponse::parse(bytes);
    if let Ok(token) = TimestampToken::parse(bytes) {
        let _ = token.verify(b"x", token.certificates());
    }
    let _ = CertificateRequest::parse(bytes);
    let _ = PublicKey::from_spki(bytes);
}

/// One well-formed specimen of each structure.
fn specimens() -> Vec<Vec<u8>> {
    let key = TestKey::p256();
    let root = Authority::root("root", TestKey::p256());
    let certificate = root.issue(&template("leaf", &key, 5));
    let id = CertId::of(&certificate, &root.certificate);
    let response = ResponseBuilder::new(noon())
        .single(&id, CertStatus::Revoked { at: noon() }, noon(), Some(noon()))
        .sign(&root.key, &root.certificate)
        .unwrap();
    let request = TimestampRequest::new(DigestAlgorithm::Sha256, &[1; 32]).with_certificate();
    let builder = tsp::ResponseBuilder::new("1.2.3", &[1], noon()).unwrap();
    let stamp = builder.grant(&request, &key, &certificate).unwrap();
    let token = TimestampResponse::parse(&stamp).unwrap().token().unwrap().der().to_vec();
    let csr = RequestTemplate::new(&[("CN", "x")]).unwrap().sign(&key).unwrap();
    vec![
        certificate.der().to_vec(),
        certificate.to_pem().into_bytes(),
        causeway_pki::ocsp::request(&certificate, &root.certificate),
        response,
        request.to_der(),
        stamp,
        token,
        csr,
    ]
}

#[test]
fn every_cut_and_every_changed_byte() {
    for specimen in specimens() {
        for end in 0..specimen.len() {
            read_all(&specimen[..end]);
        }
        for at in 0..specimen.len() {
            for value in [0x00, 0x30, 0x80, 0x84, 0xff] {
                let mut changed = specimen.clone();
                changed[at] = value;
                read_all(&changed);
            }
        }
    }
}

#[test]
fn deep_nesting_and_huge_lengths() {
    for (tag, length) in [(0x30, 0x80), (0xa0, 0x80), (0x24, 0x80), (0x31, 0x80)] {
        read_all(&[tag, length].repeat(120_000));
    }
    for opening in [
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..],
        &[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x30, 0x83, 0x03, 0xff, 0xff],
        &[0x30, 0xff],
    ] {
        read_all(opening);
        read_all(&opening.repeat(1000));
    }
    // definite nesting: each level wraps the one inside
    let mut nested = vec![0x30, 0];
    for _ in 0..2_000 {
        let length = u16::try_from(nested.len()).unwrap().to_be_bytes();
        nested = [&[0x30, 0x82][..], &length, &nested].concat();
    }
    read_all(&nested);
}

#[test]
fn many_small_elements_are_refused_quickly() {
    let started = std::time::Instant::now();
    let many = [0x30, 0x00].repeat(100_000);
    let wrapped = |tag: u8, content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84][..], &length, content].concat()
    };
    read_all(&wrapped(0x30, &many));
    read_all(&wrapped(0x30, &wrapped(0x30, &many)));
    assert!(name::rfc2253(&wrapped(0x30, &[0x31, 0x00].repeat(100_000))).len() < 1_000_000);
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_all(&bytes);
    }

    #[test]
    fn arbitrary_elements(parts in prop::collection::vec((prop::sample::select(vec![
        0x02u8, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x17, 0x18, 0x30, 0x31, 0xa0, 0xa1, 0xa3, 0x80,
    ]), prop::collection::vec(any::<u8>(), 0..20)), 0..20)) {
        let mut bytes = Vec::new();
        for (tag, content) in parts.into_iter().rev() {
            let inner = if tag & 0x20 != 0 { [content, bytes.clone()].concat() } else { content };
            if inner.len() < 0x80 {
                bytes.extend([tag, u8::try_from(inner.len()).unwrap()]);
                bytes.extend(inner);
            } else if inner.len() < 0x10000 {
                let length = u16::try_from(inner.len()).unwrap().to_be_bytes();
                bytes = [&[tag, 0x82][..], &length, &inner].concat();
            }
        }
        read_all(&bytes);
    }
}
