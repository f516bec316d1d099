//! Certificates, requests, OCSP and timestamps: reading never panics, and what is read gives its bytes back.
#![no_main]

use causeway_pki::Certificate;
use causeway_pki::issue::CertificateRequest;
use causeway_pki::ocsp::{OcspRequest, OcspResponse};
use causeway_pki::tsp::{TimestampRequest, TimestampResponse, TimestampToken};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificate) = Certificate::from_der(bytes) {
        assert_eq!(certificate.der(), bytes);
        let _ = (certificate.subject_rfc2253(), certificate.issuer_rfc2253(), certificate.serial_decimal());
        let _ = (certificate.ocsp_urls(), certificate.is_self_signed(), certificate.key_kind());
    }
    let _ = Certificate::from_der_or_pem(bytes);
    let _ = CertificateRequest::parse(bytes);
    let _ = OcspRequest::parse(bytes);
    if let Ok(response) = OcspResponse::parse(bytes) {
        assert_eq!(response.der(), bytes);
    }
    let _ = TimestampRequest::parse(bytes);
    let _ = TimestampResponse::parse(bytes);
    if let Ok(token) = TimestampToken::parse(bytes) {
        let _ = token.verify(b"stamped", &[]);
    }
});
