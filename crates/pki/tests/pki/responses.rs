//! OCSP: what is made is read back, and judged by every rule.

use std::time::Duration as StdDuration;

use causeway_pki::ocsp::{
    self, CertId, CertStatus, OcspError, OcspPolicy, OcspRequest, OcspResponse, OcspTrust,
    ResponderIdForm, ResponseBuilder,
};
use causeway_pki::{Certificate, issue::eku};
use time::{Duration, OffsetDateTime};

use crate::support::{Authority, TestKey, noon, template};

struct World {
    root: Authority,
    leaf: Certificate,
    responder_key: TestKey,
    responder: Certificate,
    plain_key: TestKey,
    plain: Certificate,
}

fn world() -> World {
    let root = Authority::root("root", TestKey::p256());
    let leaf = root.issue(&template("leaf", &TestKey::p256(), 0x80));
    let responder_key = TestKey::p384();
    let mut responder = template("ocsp", &responder_key, 3);
    responder.extended_key_usage = vec![eku::OCSP_SIGNING.into()];
    responder.ocsp_no_check = true;
    let responder = root.issue(&responder);
    let plain_key = TestKey::p256();
    let plain = root.issue(&template("plain", &plain_key, 4));
    World { root, leaf, responder_key, responder, plain_key, plain }
}

fn response(world: &World, status: CertStatus, at: OffsetDateTime) -> OcspResponse {
    let id = CertId::of(&world.leaf, &world.root.certificate);
    let der = ResponseBuilder::new(at)
        .single(&id, status, at, Some(at + Duration::hours(1)))
        .sign(&world.responder_key, &world.responder)
        .unwrap();
    OcspResponse::parse(&der).unwrap()
}

const ISSUER_ONLY: OcspTrust<'static> = OcspTrust::issuer_only();

fn judge(world: &World, response: &OcspResponse, at: OffsetDateTime) -> Result<(), OcspError> {
    let policy = OcspPolicy::default();
    ocsp::judge(response, &world.leaf, &world.root.certificate, &ISSUER_ONLY, &policy, at)
}

#[test]
fn requests_lead_back() {
    let world = world();
    let der = ocsp::request(&world.leaf, &world.root.certificate);
    let request = OcspRequest::parse(&der).unwrap();
    assert_eq!(request.cert_ids(), [CertId::of(&world.leaf, &world.root.certificate)]);
    assert_eq!(request.nonce(), None);
    // an independent decoder agrees
    use der::Decode as _;
    let other = x509_ocsp::OcspRequest::from_der(&der).unwrap();
    assert_eq!(other.tbs_request.request_list.len(), 1);
}

#[test]
fn good_at_its_time_only() {
    let world = world();
    let now = noon();
    let response = response(&world, CertStatus::Good, now);
    assert_eq!(response.status(), CertStatus::Good);
    assert_eq!(response.this_update(), now);
    assert_eq!(response.certificates(), std::slice::from_ref(&world.responder));
    judge(&world, &response, now).unwrap();
    judge(&world, &response, now + Duration::hours(1)).unwrap();
    judge(&world, &response, now - Duration::seconds(60)).unwrap();
    let late = judge(&world, &response, now + Duration::seconds(3601)).unwrap_err();
    assert_eq!(late, OcspError::TooOld(now));
    let early = judge(&world, &response, now - Duration::seconds(61)).unwrap_err();
    assert_eq!(early, OcspError::FromTheFuture(now));

    let patient = OcspPolicy { freshness: StdDuration::from_secs(7200), verify_next_update: true };
    let after = now + Duration::minutes(90);
    let expired = ocsp::judge_time(&response, &patient, after).unwrap_err();
    assert!(matches!(expired, OcspError::Expired { .. }));
    let lenient = OcspPolicy { verify_next_update: false, ..patient };
    ocsp::judge_time(&response, &lenient, after).unwrap();
}

#[test]
fn revoked_and_unknown() {
    let world = world();
    let now = noon();
    let revoked = CertStatus::Revoked { at: now - Duration::days(1) };
    let error = judge(&world, &response(&world, revoked, now), now).unwrap_err();
    assert_eq!(error, OcspError::Revoked(now - Duration::days(1)));
    assert_eq!(error.code(), "cert_validation");
    let error = judge(&world, &response(&world, CertStatus::Unknown, now), now).unwrap_err();
    assert_eq!(error.code(), "cert_validation");
}

#[test]
fn who_may_speak() {
    let world = world();
    let now = noon();
    let id = CertId::of(&world.leaf, &world.root.certificate);
    let build = || ResponseBuilder::new(now).single(&id, CertStatus::Good, now, None);
    let verify = |der: &[u8], trust: &OcspTrust<'_>| {
        let response = OcspResponse::parse(der).unwrap();
        ocsp::verify_signature(&response, &world.leaf, &world.root.certificate, trust)
    };
    // the authority itself, by key and by name, embedded or not
    for form in [ResponderIdForm::Key, ResponderIdForm::Name] {
        for embed in [true, false] {
            let builder = build().responder_id(form).embed_certificate(embed);
            let der = builder.sign(&world.root.key, &world.root.certificate).unwrap();
            assert_eq!(verify(&der, &ISSUER_ONLY).unwrap(), world.root.certificate);
        }
    }
    // certified by the authority, but not for OCSP
    let der = build().sign(&world.plain_key, &world.plain).unwrap();
    assert_eq!(verify(&der, &ISSUER_ONLY).unwrap_err(), OcspError::NotAuthorized);
    // unless the configuration says so
    let configured = [world.plain.clone()];
    let trust = OcspTrust { responders_of_issuer: &configured, ..ISSUER_ONLY };
    assert_eq!(verify(&der, &trust).unwrap(), world.plain);
    // configured for another authority is not enough
    let trust = OcspTrust { all_responders: &configured, ..ISSUER_ONLY };
    assert_eq!(verify(&der, &trust).unwrap_err(), OcspError::NotAuthorized);
    // not embedded and not known
    let der =
        build().embed_certificate(false).sign(&world.responder_key, &world.responder).unwrap();
    assert_eq!(verify(&der, &ISSUER_ONLY).unwrap_err(), OcspError::ResponderNotFound);
    // an authority of the same name elsewhere does not get in the way
    let namesake = Authority::root("root", TestKey::p256());
    let cas = [namesake.certificate.clone(), world.root.certificate.clone()];
    let trust = OcspTrust { all_cas: &cas, ..ISSUER_ONLY };
    let builder = build().responder_id(ResponderIdForm::Name);
    let der = builder.sign(&world.root.key, &world.root.certificate).unwrap();
    assert_eq!(verify(&der, &trust).unwrap(), world.root.certificate);
    // and cannot speak itself
    let builder = build().responder_id(ResponderIdForm::Name);
    let der = builder.sign(&namesake.key, &namesake.certificate).unwrap();
    assert_eq!(verify(&der, &trust).unwrap_err(), OcspError::NotAuthorized);
}

#[test]
fn another_certificate_and_a_broken_signature() {
    let world = world();
    let now = noon();
    let response = response(&world, CertStatus::Good, now);
    let root = &world.root.certificate;
    let error = ocsp::verify_signature(&response, &world.plain, root, &ISSUER_ONLY).unwrap_err();
    assert!(matches!(error, OcspError::OtherCertificate(_)));

    // flip one bit of the status: good becomes unknown, the signature no longer holds
    let mut der = response.der().to_vec();
    let good = der.windows(4).position(|w| w == [0x80, 0x00, 0x18, 0x0f]).unwrap();
    der[good] = 0x82;
    let changed = OcspResponse::parse(&der).unwrap();
    assert_eq!(changed.status(), CertStatus::Unknown);
    assert_eq!(judge(&world, &changed, now).unwrap_err(), OcspError::BadSignature);
}

#[test]
fn error_statuses() {
    assert_eq!(OcspResponse::parse(&ocsp::error_response(3)), Err(OcspError::Unsuccessful(3)));
}

#[test]
fn serial_with_high_bit_and_many_singles() {
    let world = world();
    let now = noon();
    let root = &world.root.certificate;
    let builder = ResponseBuilder::new(now)
        .single(&CertId::of(&world.plain, root), CertStatus::Good, now, None)
        .single(&CertId::of(&world.leaf, root), CertStatus::Unknown, now, None);
    let der = builder.sign(&world.root.key, root).unwrap();
    let response = OcspResponse::parse(&der).unwrap();
    assert_eq!(response.singles().count(), 2);
    assert!(response.matches(&world.plain, root));
    assert!(!response.matches(&world.leaf, root), "only the first counts");
    use der::Decode as _;
    let other = x509_ocsp::OcspResponse::from_der(&der).unwrap();
    assert_eq!(other.response_status, x509_ocsp::OcspResponseStatus::Successful);
}
