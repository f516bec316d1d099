//! Signatures: X-Road's vectors, our own made and judged, and what must not pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod vectors;

use std::path::Path;

use causeway_globalconf::GlobalConf;
use causeway_identifiers::{ClientId, MemberId};
use causeway_pki::ocsp::{OcspError, OcspPolicy, OcspResponse, OcspTrust, judge};
use causeway_pki::{Certificate, DigestAlgorithm};
use causeway_signature::hashchain::DigestValue;
use causeway_signature::verify::{Absent, ChainDocuments, Content, Part, Trust, verify};
use causeway_signature::xades::SignatureDocument;
use time::OffsetDateTime;
use time::macros::datetime;

/// X-Road's test configuration: one authority, and the common name as member code.
struct TestTrust {
    ca: Certificate,
    others: Vec<Certificate>,
}

impl Trust for TestTrust {
    fn issuer_of(&self, _instance: &str, _certificate: &Certificate) -> Option<Certificate> {
        Some(self.ca.clone())
    }
    fn member_of(
        &self,
        certificate: &Certificate,
        _expected: &ClientId,
    ) -> Result<MemberId, String> {
        let code = certificate.subject_attribute("2.5.4.3").ok_or("no common name")?;
        MemberId::new("EE", "BUSINESS", &code).map_err(|e| e.to_string())
    }
    fn judge_ocsp(
        &self,
        response: &OcspResponse,
        certificate: &Certificate,
        issuer: &Certificate,
        at: OffsetDateTime,
    ) -> Result<(), OcspError> {
        let trust = OcspTrust {
            responders_of_issuer: &self.others,
            all_responders: &self.others,
            all_cas: std::slice::from_ref(&self.ca),
        };
        // X-Road's own test looks at signature and status; the responses are from another day.
        let policy = OcspPolicy {
            freshness: std::time::Duration::from_secs(20 * 365 * 86_400),
            verify_next_update: false,
        };
        judge(response, certificate, issuer, &trust, &policy, at.max(response.this_update()))
    }
}

fn test_trust(vectors: &Path) -> TestTrust {
    // OpenSSL's "trusted certificate": trust settings follow the certificate.
    let read = |name: &str| {
        let text = std::fs::read_to_string(vectors.join("../certs").join(name)).unwrap();
        let body: String = text.lines().filter(|l| !l.starts_with("---")).collect();
        let der = causeway_xml::decode_base64(&body).unwrap();
        let length = 4 + usize::from(der[2]) * 256 + usize::from(der[3]);
        Certificate::from_der(&der[..length]).unwrap()
    };
    TestTrust { ca: read("root-ca.pem"), others: vec![ocsp_signer(vectors)] }
}

/// The certificate in `ocspsigner.p12`, which openssl takes out.
fn ocsp_signer(vectors: &Path) -> Certificate {
    let out = std::process::Command::new("openssl")
        .args(["pkcs12", "-legacy", "-nokeys", "-clcerts", "-passin", "pass:test", "-in"])
        .arg(vectors.join("../certs/ocspsigner.p12"))
        .output()
        .expect("openssl is needed to read a PKCS#12 file");
    Certificate::all_from_pem(&out.stdout).unwrap().remove(0)
}

fn client(code: &str) -> ClientId {
    ClientId::new("EE", "BUSINESS", code, None).unwrap()
}

fn outcome(
    trust: &dyn Trust,
    signature: &[u8],
    chain: Option<(&[u8], &[u8])>,
    parts: &[Part<'_>],
    signer: &ClientId,
    at: OffsetDateTime,
) -> String {
    let document = match SignatureDocument::parse(signature) {
        Ok(document) => document,
        Err(error) => return error.code(),
    };
    let chain = chain.map(|(result, chain)| ChainDocuments { result, chain });
    match verify(&document, chain, parts, Absent::Refused, signer, at, trust) {
        Ok(_) => "valid".into(),
        Err(error) => {
            eprintln!("{error}");
            error.code()
        }
    }
}

const CORRECT: OffsetDateTime = datetime!(2014-10-30 00:00 UTC);

#[test]
fn xroads_signatures() {
    let Some(dir) = vectors::folder("signatures") else { return };
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let trust = test_trust(&dir);
    let message = read("message-0.xml");
    let parts = [Part { name: "/message.xml", content: Content::Bytes(&message) }];
    let of =
        |name: &str, who: &str| outcome(&trust, &read(name), None, &parts, &client(who), CORRECT);

    assert_eq!(of("sign-0.xml", "consumer"), "valid");
    assert_eq!(of("sign-0-old-format.xml", "consumer"), "valid");
    assert_eq!(of("sign-0.xml", "FOORBAR"), "incorrect_certificate");
    let other = [Part { name: "/message.xml", content: Content::Bytes(b"foo") }];
    assert_eq!(
        outcome(&trust, &read("sign-0.xml"), None, &other, &client("consumer"), CORRECT),
        "invalid_signature_value"
    );

    for (name, code) in [
        ("empty.xml", "invalid_xml"),
        ("sign-0-malformed-xml.xml", "invalid_xml"),
        ("sign-0-no-signature.xml", "malformed_signature"),
        ("sign-0-no-objectcontainer.xml", "malformed_signature"),
        ("sign-0-schema-fail.xml", "malformed_signature"),
        ("sign-0-no-signing-cert.xml", "malformed_signature"),
        ("sign-0-ocsp-no-responses.xml", "malformed_signature"),
        ("sign-0-invalid-signature-value.xml", "invalid_signature_value"),
    ] {
        assert_eq!(of(&format!("verifier/{name}"), "consumer"), code, "{name}");
    }
    for name in [
        "extra-certs-missing-id.xml",
        "extra-certs-missing-cert.xml",
        "extra-certs-digest-invalid.xml",
    ] {
        assert_eq!(of(&format!("verifier/{name}"), "Test Org"), "malformed_signature", "{name}");
    }
}

#[test]
fn xroads_batch_signature() {
    let Some(dir) = vectors::folder("signatures") else { return };
    let read = |name: &str| std::fs::read(dir.join("verifier").join(name)).unwrap();
    let trust = test_trust(&dir);
    let (message, attachment) = (read("message-1.xml"), b"blaah".to_vec());
    let parts = [
        Part { name: "/message.xml", content: Content::Bytes(&message) },
        Part { name: "/attachment1", content: Content::Bytes(&attachment) },
    ];
    let (signature, result) = (read("batch-sig.xml"), read("hash-chain-result.xml"));
    let judge = |chain: &str, parts: &[Part<'_>]| {
        outcome(
            &trust,
            &signature,
            Some((&result, &read(chain))),
            parts,
            &client("consumer"),
            CORRECT,
        )
    };
    assert_eq!(judge("hash-chain-1.xml", &parts), "valid");
    // The other chain belongs to another message of the batch.
    assert_eq!(judge("hash-chain-2.xml", &parts), "malformed_signature.invalid_hash_chain_ref");
    assert_eq!(judge("hash-chain-1.xml", &parts[..1]), "malformed_signature.invalid_reference");
    let tampered = [Part { name: "/message.xml", content: Content::Bytes(b"other") }, parts[1]];
    assert_eq!(judge("hash-chain-1.xml", &tampered), "malformed_signature.invalid_hash_chain_ref");
}

#[test]
fn xroads_signature_over_several_references() {
    let (Some(dir), Some(conf)) =
        (vectors::folder("signatures"), vectors::folder("globalconf/globalconf_good2_v3"))
    else {
        return;
    };
    let read = |name: &str| std::fs::read(dir.join("verifier/non-batch-sig").join(name)).unwrap();
    let conf = vectors::global_conf(&conf);
    let (message, attachment) = (read("message.xml"), read("attachment1"));
    // X-Road's test judges at midnight, seven hours before the OCSP response was made, and its verifier does
    // not mind; ours refuses a response from the future.
    let at = datetime!(2024-07-09 08:00 UTC);
    let signer = ClientId::new("DEV", "COM", "4321", None).unwrap();
    let judge = |attachment: &[u8]| {
        let digest = DigestValue {
            algorithm: DigestAlgorithm::Sha512,
            value: DigestAlgorithm::Sha512.digest(attachment),
        };
        let parts = [
            Part { name: "/message.xml", content: Content::Bytes(&message) },
            Part { name: "/attachment1", content: Content::Digest(&digest) },
        ];
        outcome(&conf as &GlobalConf, &read("signatures.xml"), None, &parts, &signer, at)
    };
    assert_eq!(judge(&attachment), "valid");
    assert_eq!(judge(&[1]), "invalid_signature_value");
    // A part that arrived and that nothing signs is refused, where X-Road's verifier would not look.
    let parts = [
        Part { name: "/message.xml", content: Content::Bytes(&message) },
        Part { name: "/attachment1", content: Content::Bytes(&attachment) },
        Part { name: "/attachment2", content: Content::Bytes(&attachment) },
    ];
    assert_eq!(
        outcome(&conf, &read("signatures.xml"), None, &parts, &signer, at),
        "malformed_signature"
    );
}

#[test]
fn xroads_documents_are_read_by_moulds() {
    let Some(dir) = vectors::folder("signatures") else { return };
    for name in ["sign-0.xml", "verifier/batch-sig.xml"] {
        let source = std::fs::read(dir.join(name)).unwrap();
        let (document, mould) = SignatureDocument::parse_with_mould(&source).unwrap();
        let read = mould.expect(name).read(&source).unwrap();
        assert_eq!(format!("{read:?}"), format!("{document:?}"), "{name}");
    }
}
