//! Timestamps: what is made is read back, and judged by every rule.

use causeway_pki::issue::eku;
use causeway_pki::tsp::{
    self, FailureInfo, ResponseBuilder, TimestampRequest, TimestampResponse, TspError,
};
use causeway_pki::{Certificate, DigestAlgorithm};
use time::{Duration, OffsetDateTime};

use crate::support::{Authority, TestKey, noon, template};

fn authority() -> (Authority, TestKey, Certificate) {
    let root = Authority::root("root", TestKey::p256());
    let key = TestKey::p384();
    let mut template = template("tsa", &key, 7);
    template.extended_key_usage = vec![eku::TIME_STAMPING.into()];
    template.extended_key_usage_critical = true;
    let certificate = root.issue(&template);
    (root, key, certificate)
}

fn grant(
    request: &TimestampRequest,
    key: &TestKey,
    certificate: &Certificate,
    at: OffsetDateTime,
) -> TimestampResponse {
    let builder = ResponseBuilder::new("1.2.3.4", &[0xff, 1], at).unwrap().accuracy_seconds(1);
    TimestampResponse::parse(&builder.grant(request, key, certificate).unwrap()).unwrap()
}

#[test]
fn requests_have_x_roads_form_and_lead_back() {
    let imprint = DigestAlgorithm::Sha512.digest(b"data");
    let der = tsp::request(DigestAlgorithm::Sha512, &imprint);
    let expected = format!("3054020101304f300b06096086480165030402030440{}", hex::encode(&imprint));
    assert_eq!(hex::encode(&der), expected);
    let request = TimestampRequest::parse(&der).unwrap();
    assert_eq!((request.algorithm(), request.imprint()), (DigestAlgorithm::Sha512, &imprint[..]));
    assert!(!request.certificate_wanted() && request.nonce().is_none());
    let full = request.with_nonce(&[0x80, 1]).with_certificate();
    assert_eq!(TimestampRequest::parse(&full.to_der()).unwrap(), full);
    assert_eq!(full.nonce(), Some(&[0, 0x80, 1][..]));
}

#[test]
fn granted_tokens_verify() {
    let (_, key, certificate) = authority();
    let at = noon();
    for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha384, DigestAlgorithm::Sha512] {
        let request = TimestampRequest::new(algorithm, &algorithm.digest(b"stamped"));
        let response = grant(&request, &key, &certificate, at);
        let token = tsp::check_response(&request, &response).unwrap();
        assert!(token.certificates().is_empty());
        assert_eq!(token.gen_time(), at);
        assert_eq!(token.policy(), "1.2.3.4");
        let known = [certificate.clone()];
        assert_eq!(token.verify(b"stamped", &known).unwrap(), certificate);
        assert_eq!(token.verify(b"other", &known).unwrap_err(), TspError::ImprintMismatch);
        let stored = token.with_signer_certificate(&certificate);
        let stored = tsp::TimestampToken::parse(&stored).unwrap();
        assert_eq!(stored.certificates(), std::slice::from_ref(&certificate));
        assert_eq!(stored.verify(b"stamped", &known).unwrap(), certificate);

        // an independent decoder agrees
        use der::{Decode as _, Encode as _};
        let info = cms::content_info::ContentInfo::from_der(stored.der()).unwrap();
        let data = info.content.to_der().unwrap();
        let data = cms::signed_data::SignedData::from_der(&data).unwrap();
        let content = data.encap_content_info.econtent.unwrap();
        let info = x509_tsp::TstInfo::from_der(content.value()).unwrap();
        assert_eq!(info.message_imprint.hashed_message.as_bytes(), algorithm.digest(b"stamped"));
        assert_eq!(data.certificates.unwrap().0.len(), 1);
    }
}

#[test]
fn nonce_and_certificate_on_request() {
    let (_, key, certificate) = authority();
    let imprint = DigestAlgorithm::Sha256.digest(b"x");
    let plain = TimestampRequest::new(DigestAlgorithm::Sha256, &imprint);
    let wanting = plain.clone().with_nonce(&[9, 9]).with_certificate();
    let response = grant(&wanting, &key, &certificate, noon());
    let token = tsp::check_response(&wanting, &response).unwrap();
    assert_eq!(token.nonce(), Some(&[9, 9][..]));
    assert_eq!(token.certificates(), std::slice::from_ref(&certificate));

    let other_nonce = plain.clone().with_nonce(&[8]);
    let error = tsp::check_response(&other_nonce, &response).unwrap_err();
    assert_eq!(error.code(), "mlog.timestamp_response_validation_failed");
    let other_data = TimestampRequest::new(DigestAlgorithm::Sha256, &[7; 32]);
    assert!(tsp::check_response(&other_data, &response).is_err());
}

#[test]
fn refusals() {
    let response = TimestampResponse::parse(&tsp::refusal(FailureInfo::BadAlgorithm, "no SHA-1"));
    let response = response.unwrap();
    let request = TimestampRequest::new(DigestAlgorithm::Sha256, &[0; 32]);
    let error = tsp::check_response(&request, &response).unwrap_err();
    assert_eq!(error, TspError::NotGranted { status: 2, text: "no SHA-1".into() });
    assert_eq!(error.code(), "mlog.timestamp_non_granted_response");
}

#[test]
fn wrong_authorities() {
    let (root, key, certificate) = authority();
    let request = TimestampRequest::new(DigestAlgorithm::Sha256, &[0; 32]);
    let response = grant(&request, &key, &certificate, noon());
    let token = response.token().unwrap();
    assert_eq!(token.verify_signature(&[]).unwrap_err(), TspError::NoProvider);
    assert_eq!(
        token.verify_signature(std::slice::from_ref(&root.certificate)).unwrap_err(),
        TspError::CertificateNotFound
    );
    // same issuer and serial number, another key
    let double = root.issue(&template("tsa", &TestKey::p256(), 7));
    let error = token.verify_signature(std::slice::from_ref(&double)).unwrap_err();
    assert_eq!(error.code(), "mlog.timestamp_signer_verification_failed");
    // the double in front does not hide the right one
    assert!(token.verify_signature(&[double, certificate.clone()]).is_ok());
    // same key, another certificate of the same serial: the signing certificate attribute tells
    let mut renewed = template("tsa", &key, 7);
    renewed.not_after += Duration::days(1);
    let error = token.verify_signature(&[root.issue(&renewed)]).unwrap_err();
    assert!(error.to_string().contains("another certificate"), "{error}");
    // signed when the certificate was not valid
    let late = grant(&request, &key, &certificate, noon() + Duration::days(30));
    let error = late.token().unwrap().verify_signature(&[certificate]).unwrap_err();
    assert!(error.to_string().contains("not valid"), "{error}");
}

#[test]
fn indefinite_lengths_are_read() {
    let (_, key, certificate) = authority();
    let request =
        TimestampRequest::new(DigestAlgorithm::Sha256, &DigestAlgorithm::Sha256.digest(b"x"));
    let response = grant(&request, &key, &certificate, noon());
    let der = response.token().unwrap().der();
    // ContentInfo and its content with indefinite lengths
    let oid = &der[4..15];
    let content = &der[19..];
    let ber = [&[0x30, 0x80], oid, &[0xa0, 0x80], content, &[0, 0, 0, 0]].concat();
    let token = tsp::TimestampToken::parse(&ber).unwrap();
    assert_eq!(token.der(), der);
    token.verify(b"x", &[certificate]).unwrap();
}
