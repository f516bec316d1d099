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
    if let Ok(request) = TimestampRequest::parse(bytes) {
        assert_eq!(TimestampRequest::parse(&request.to_der()).unwrap(), request);
    }
    let _ = TimestampResponse::parse(bytes);
    if let Ok(token) = TimestampToken::parse(bytes) {
        assert_eq!(TimestampToken::parse(token.der()).unwrap(), token);
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

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..0x80 => vec![tag, u8::try_from(length).unwrap()],
        0x80..0x100 => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => [&[tag, 0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
    };
    [head, content.to_vec()].concat()
}

/// A certificate around hostile pieces: a subject, key parameters and one extension.
fn around(subject: &[u8], parameters: &[u8], oid: &[u8], value: &[u8]) -> Vec<u8> {
    let algorithm = hex::decode("300a06082a8648ce3d040302").unwrap();
    let name = hex::decode("300c310a300806035504030c0178").unwrap();
    let validity = tlv(0x30, &[tlv(0x17, b"200101000000Z"), tlv(0x17, b"400101000000Z")].concat());
    let key_algorithm = [tlv(0x06, &hex::decode("2a8648ce3d0201").unwrap()), parameters.to_vec()];
    let key = tlv(0x30, &[tlv(0x30, &key_algorithm.concat()), tlv(0x03, &[0, 4, 1, 1])].concat());
    let extension = tlv(0x30, &[tlv(0x06, oid), tlv(0x04, value)].concat());
    let parts = [
        tlv(0xa0, &[2, 1, 2]),
        vec![2, 1, 1],
        algorithm.clone(),
        name,
        validity,
        subject.to_vec(),
        key,
        tlv(0xa3, &tlv(0x30, &extension)),
    ];
    tlv(0x30, &[tlv(0x30, &parts.concat()), algorithm, tlv(0x03, &[0, 1])].concat())
}

#[test]
fn deep_nesting_inside_certificates() {
    let plain = hex::decode("300c310a300806035504030c0178").unwrap();
    let curve = hex::decode("06082a8648ce3d030107").unwrap();
    let harmless = around(&plain, &curve, &[0x55, 0x1d, 0x0f], &[3, 2, 6, 0x40]);
    assert!(Certificate::from_der(&harmless).unwrap().is_signing_certificate());

    let mut nests = Vec::new();
    for tags in [&[0x30][..], &[0xa0], &[0xa4, 0x30], &[0x31, 0x30], &[0x24], &[0xa1, 0xa0, 0xa0]] {
        let open: Vec<u8> = tags.iter().flat_map(|tag| [*tag, 0x80]).collect();
        nests.push(open.repeat(25_000 / open.len()));
        let mut definite = vec![5, 0];
        for tag in tags.iter().cycle().take(6_000) {
            definite = tlv(*tag, &definite);
        }
        nests.push(definite);
    }
    let extensions: Vec<Vec<u8>> = (1..=60u8)
        .map(|last| vec![0x55, 0x1d, last])
        .chain(
            ["2b06010505070101", "2b0601050507010b", "2b06010401d679020402", "6086480186f8420101"]
                .map(|oid| hex::decode(oid).unwrap()),
        )
        .collect();
    for nest in &nests {
        for oid in &extensions {
            read_all(&around(&plain, &curve, oid, nest));
            read_all(&around(&plain, &curve, oid, &tlv(0x30, nest)));
        }
        read_all(&around(nest, &curve, &[0x55, 0x1d, 0x0f], &[3, 2, 6, 0x40]));
        read_all(&around(&plain, nest, &[0x55, 0x1d, 0x0f], &[3, 2, 6, 0x40]));
        let attribute = tlv(0x30, &[&[6, 3, 0x55, 4, 3][..], nest].concat());
        let name = tlv(0x30, &tlv(0x31, &attribute));
        read_all(&around(&name, &curve, &[0x55, 0x1d, 0x0f], &[3, 2, 6, 0x40]));
    }
}

#[test]
fn odd_certificates_are_read_or_refused_for_a_reason() {
    let plain = hex::decode("300c310a300806035504030c0178").unwrap();
    let curve = hex::decode("06082a8648ce3d030107").unwrap();
    // an empty key usage says nothing; one that cannot be read refuses the certificate
    let empty = around(&plain, &curve, &[0x55, 0x1d, 0x0f], &[3, 1, 0]);
    assert!(!Certificate::from_der(&empty).unwrap().is_signing_certificate());
    let broken = around(&plain, &curve, &[0x55, 0x1d, 0x0f], &[4, 1, 0]);
    assert!(Certificate::from_der(&broken).is_err());
    // an access description that cannot be read is no reason to refuse
    let odd = around(&plain, &curve, &hex::decode("2b06010505070101").unwrap(), &[5, 0]);
    assert!(Certificate::from_der(&odd).unwrap().ocsp_urls().is_empty());
    // an empty subject
    let nameless = around(&[0x30, 0], &curve, &[0x55, 0x1d, 0x0f], &[3, 2, 6, 0x40]);
    assert_eq!(Certificate::from_der(&nameless).unwrap().subject_rfc2253(), "");
    // data after the certificate
    let trailing =
        [around(&plain, &curve, &[0x55, 0x1d, 0x0f], &[3, 2, 6, 0x40]), vec![0]].concat();
    assert!(Certificate::from_der(&trailing).is_err());
    assert!(Certificate::from_der_or_pem(&trailing).is_ok());
}
