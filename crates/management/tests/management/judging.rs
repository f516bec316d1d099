//! Which requests the registry may act on.

use causeway_management::{Kind, Message, Request, judge, signed, soap};
use causeway_message::codes;
use causeway_trust_services::Purpose;
use proptest::prelude::*;
use time::Duration;

use crate::world::{WORLD, boundary, client, conf, provider, server};

fn code(content_type: &str, body: &[u8]) -> String {
    WORLD.verdict(content_type, body).unwrap_err().code().to_owned()
}

#[test]
fn good_requests_of_every_kind_are_taken() {
    for kind in Kind::ALL {
        let request = WORLD.sample(kind);
        let (content_type, body) = WORLD.message(&request);
        let message = WORLD.verdict(&content_type, &body);
        assert_eq!(message.unwrap().request, request, "{kind:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Each byte of the SOAP part and of the signatures counts.
    #[test]
    fn any_change_of_what_is_signed_is_noticed(
        at in any::<prop::sample::Index>(), bit in 0_u8..8, registration in any::<bool>(),
    ) {
        let kind = if registration { Kind::AuthCertReg } else { Kind::ClientReg };
        let (content_type, mut body) = WORLD.message(&WORLD.sample(kind));
        let good = Message::read(Some(&content_type), body.clone().into()).unwrap();
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        if let Ok(message) = WORLD.verdict(&content_type, &body) {
            // Then it was in a header of a part, or in an OCSP response's unsigned shell.
            prop_assert_eq!(message.soap, good.soap);
            prop_assert_eq!(message.request, good.request);
        }
    }
}

#[test]
fn every_byte_of_the_signed_message_counts() {
    let request = WORLD.sample(Kind::AddressChange);
    let (content_type, body) = WORLD.message(&request);
    let text = soap(&request, &client("DEV/GOV/1"), &provider(), "a-b-c");
    let start = body.windows(text.len()).position(|window| window == text).unwrap();
    for at in (start..start + text.len()).step_by(3) {
        let mut changed = body.clone();
        changed[at] ^= 1;
        assert!(WORLD.verdict(&content_type, &changed).is_err(), "byte {at}");
    }
}

#[test]
fn somebody_else_may_not_sign() {
    // The owner of the server signs for another member's client, and the other way round.
    for (kind, signer) in [
        (Kind::ClientReg, &WORLD.owner),
        (Kind::ClientRename, &WORLD.owner),
        (Kind::OwnerChange, &WORLD.owner),
        (Kind::ClientDisable, &WORLD.owner),
        (Kind::AddressChange, &WORLD.other),
        (Kind::MaintenanceModeEnable, &WORLD.other),
        (Kind::MaintenanceModeDisable, &WORLD.other),
    ] {
        let request = WORLD.sample(kind);
        let text = soap(&request, &client("DEV/GOV/1"), &provider(), "id");
        let made = signed(&text, &signer.signatory(), &boundary()).unwrap();
        let fault = WORLD.verdict(&made.content_type, &made.body).unwrap_err();
        assert_eq!(fault.code(), codes::INVALID_REQUEST, "{kind:?}");
        assert!(fault.message().starts_with("Subject identifier (MEMBER:DEV/"), "{fault}");
    }
    // A key that is not that of the certificate.
    let request = WORLD.sample(Kind::ClientReg);
    let text = soap(&request, &client("DEV/GOV/1"), &provider(), "id");
    let mut forged = WORLD.other.signatory();
    forged.key = &WORLD.owner.key;
    let made = signed(&text, &forged, &boundary()).unwrap();
    assert_eq!(code(&made.content_type, &made.body), codes::INVALID_SIGNATURE_VALUE);
}

#[test]
fn the_sender_must_own_the_server_and_ask_the_right_service() {
    for kind in Kind::ALL {
        let request = WORLD.sample(kind);
        let text = soap(&request, &client("DEV/COM/2"), &provider(), "id");
        let (content_type, body) = WORLD.message_of(&request, &text);
        let fault = WORLD.verdict(&content_type, &body).unwrap_err();
        assert_eq!(fault.message(), "Sender does not match server owner.", "{kind:?}");
        assert_eq!(fault.code(), codes::INVALID_REQUEST);
        let text = soap(&request, &client("DEV/GOV/1"), &client("DEV/COM/2/X"), "id");
        let (content_type, body) = WORLD.message_of(&request, &text);
        let fault = WORLD.verdict(&content_type, &body).unwrap_err();
        assert!(fault.message().starts_with("Invalid management service address"), "{fault}");
    }
}

#[test]
fn fields_are_judged() {
    let told = |request: Request| {
        let (content_type, body) = WORLD.message(&request);
        let fault = WORLD.verdict(&content_type, &body).unwrap_err();
        (fault.code().to_owned(), fault.message().to_owned())
    };
    let invalid = |text: &str| (codes::INVALID_REQUEST.to_owned(), text.to_owned());
    let (server, member) = (server(), client("DEV/COM/2"));
    let address = "a b".to_owned();
    assert_eq!(
        told(Request::AddressChange { server: server.clone(), address }),
        invalid("Invalid server address")
    );
    let name = "X".to_owned();
    let only = invalid("Only name of subsystem can be changed");
    let (s, c) = (server.clone(), member.clone());
    assert_eq!(
        told(Request::ClientRename { server: s, client: c, subsystem_name: name.clone() }),
        only
    );
    let (s, c) = (server.clone(), member.clone());
    assert_eq!(told(Request::ClientReg { server: s, client: c, subsystem_name: Some(name) }), only);
    let (s, c) = (server.clone(), client("DEV/COM/2/SUB"));
    assert_eq!(
        told(Request::ClientRename { server: s, client: c, subsystem_name: " ".into() }),
        invalid("Invalid subsystem name")
    );
    let owner = server.owner().clone();
    let bad = causeway_identifiers::SecurityServerId::new(owner, "a:b").unwrap();
    assert_eq!(
        told(Request::MaintenanceModeDisable { server: bad }).0,
        codes::INVALID_CLIENT_IDENTIFIER
    );
    let bad = member.member().subsystem("a%b").unwrap();
    assert_eq!(
        told(Request::ClientDisable { server: server.clone(), client: bad }).0,
        codes::INVALID_CLIENT_IDENTIFIER
    );
    let certificate = WORLD.auth.certificate.der().to_vec();
    let request = Request::AuthCertReg { server, address: None, certificate, dry_run: false };
    assert_eq!(told(request), invalid("Invalid server address"));
}

#[test]
fn registered_is_what_was_proven() {
    let Request::AuthCertReg { server, address, .. } = WORLD.sample(Kind::AuthCertReg) else {
        panic!()
    };
    // The message names another certificate than the part, whose key has signed.
    let certificate = WORLD.issue("DEV/GOV/1", Purpose::Authentication, Duration::days(1));
    let certificate = certificate.certificate.der().to_vec();
    let request = Request::AuthCertReg { server, address, certificate, dry_run: false };
    let (content_type, body) = WORLD.message(&request);
    let fault = WORLD.verdict(&content_type, &body).unwrap_err();
    assert_eq!(fault.code(), codes::CERT_VALIDATION);
    assert_eq!(fault.message(), "Authentication certificates do not match.");
}

#[test]
fn certificates_are_judged_at_their_time() {
    let judged = |kind: Kind, later: Duration| {
        let (content_type, body) = WORLD.message(&WORLD.sample(kind));
        let message = Message::read(Some(&content_type), body.into()).unwrap();
        judge(&message, &WORLD.conf, WORLD.now + later).unwrap_err().code().to_owned()
    };
    assert_eq!(judged(Kind::AuthCertReg, Duration::days(10)), codes::CERT_VALIDATION);
    assert_eq!(judged(Kind::ClientReg, Duration::days(10)), codes::CERT_VALIDATION);
    // The OCSP response is older than the configuration allows.
    assert_eq!(judged(Kind::ClientReg, Duration::hours(2)), codes::INCORRECT_VALIDATION_INFO);
    assert_eq!(judged(Kind::ClientReg, Duration::days(31)), codes::GLOBAL_CONF_OUTDATED);
    assert_eq!(judged(Kind::ClientDeletion, Duration::days(31)), codes::GLOBAL_CONF_OUTDATED);
}

#[test]
fn unfit_certificates_are_refused() {
    let request = WORLD.sample(Kind::ClientReg);
    let text = soap(&request, &client("DEV/GOV/1"), &provider(), "id");
    let told = |party: &crate::world::Party| {
        let made = signed(&text, &party.signatory(), &boundary()).unwrap();
        code(&made.content_type, &made.body)
    };
    // A certificate for TLS.
    let tls = WORLD.issue("DEV/COM/2", Purpose::Authentication, Duration::days(1));
    assert_eq!(told(&tls), codes::CERT_VALIDATION);
    // Another certificate's OCSP response.
    let mut party = WORLD.issue("DEV/COM/2", Purpose::Signing, Duration::days(1));
    party.ocsp = WORLD.owner.ocsp.clone();
    assert_eq!(told(&party), codes::INCORRECT_VALIDATION_INFO);
    // Nobody's authority.
    let options = causeway_trust_services::AuthorityOptions::new("Strange", "Strange CA");
    let strange =
        causeway_trust_services::CertificationAuthority::create(&options, WORLD.now).unwrap();
    let (content_type, body) = WORLD.message(&request);
    let message = Message::read(Some(&content_type), body.into()).unwrap();
    let other = conf(&strange, false, WORLD.now + Duration::days(1));
    assert_eq!(judge(&message, &other, WORLD.now).unwrap_err().code(), codes::INTERNAL_ERROR);
    // An authority for authentication alone.
    let tls_only = conf(&WORLD.authority, true, WORLD.now + Duration::days(1));
    assert_eq!(judge(&message, &tls_only, WORLD.now).unwrap_err().code(), codes::CERT_VALIDATION);
}

#[test]
fn revoked_signers_are_refused() {
    let mut party = WORLD.issue("DEV/COM/2", Purpose::Signing, Duration::days(1));
    WORLD.authority.revoke(&party.certificate, WORLD.now - Duration::minutes(1)).unwrap();
    let question = causeway_pki::ocsp::request(&party.certificate, WORLD.authority.certificate());
    party.ocsp = WORLD.responder.answer(&question, WORLD.now);
    let request = WORLD.sample(Kind::ClientReg);
    let text = soap(&request, &client("DEV/GOV/1"), &provider(), "id");
    let made = signed(&text, &party.signatory(), &boundary()).unwrap();
    assert_eq!(code(&made.content_type, &made.body), codes::CERT_VALIDATION);
}
