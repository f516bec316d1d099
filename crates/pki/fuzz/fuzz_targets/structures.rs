//! Reads any bytes as every structure of the crate: nothing panics, what says it was read can be asked, and
//! what has one form is written back the same.
#![no_main]

use causeway_pki::issue::CertificateRequest;
use causeway_pki::ocsp::{OcspRequest, OcspResponse};
use causeway_pki::tsp::{TimestampRequest, TimestampResponse, TimestampToken};
use causeway_pki::{Certificate, PublicKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificate) = Certificate::from_der(bytes) {
        assert!(certificate.der() == bytes);
    }
    if let Ok(certificate) = Certificate::from_der_or_pem(bytes) {
        let _ = (certificate.issuer_rfc2253(), certificate.ocsp_urls(), certificate.key_kind());
        assert!(Certificate::from_der(certificate.der()).as_ref() == Ok(&certificate));
        let _ = (certificate.subject_rfc2253(), certificate.serial_decimal());
        let _ = (certificate.canonical_subject(), certificate.is_issued_by(&certificate));
    }
    let _ = OcspRequest::parse(bytes);
    if let Ok(response) = OcspResponse::parse(bytes) {
        assert!(response.der() == bytes && response.singles().count() > 0);
    }
    if let Ok(request) = TimestampRequest::parse(bytes) {
        assert!(TimestampRequest::parse(&request.to_der()).as_ref() == Ok(&request));
    }
    let _ = TimestampResponse::parse(bytes);
    if let Ok(token) = TimestampToken::parse(bytes) {
        // what came as BER is DER now, and stays as it is
        assert!(TimestampToken::parse(token.der()).is_ok_and(|again| again == token));
        let _ = token.verify_signature(token.certificates());
        for certificate in token.certificates() {
            let stored = token.with_signer_certificate(certificate);
            assert!(TimestampToken::parse(&stored).is_ok());
        }
    }
    let _ = CertificateRequest::parse(bytes);
    let _ = PublicKey::from_spki(bytes);
});
