//! What is written is read back; what is not a request is refused.

use bytes::Bytes;
use causeway_identifiers::{ClientId, SecurityServerId};
use causeway_management::{Kind, Message, Request, request_id, response, soap};
use causeway_message::soap::write_fault;
use causeway_message::{Fault, codes};
use proptest::prelude::*;

use crate::world::{WORLD, boundary, provider};

/// Any kind, by its place.
fn kind() -> impl Strategy<Value = Kind> {
    (0..Kind::ALL.len()).prop_map(|at| Kind::ALL[at])
}

fn code() -> impl Strategy<Value = String> {
    "[^\\p{C}\\p{Z}%:;/\\\\\u{200b}\u{feff} ]{1,12}"
}

fn text() -> impl Strategy<Value = String> {
    "[^\\p{Cc}\\p{Cn}\\p{Co}]{0,20}"
}

prop_compose! {
    fn any_request()(
        kind in kind(), member in (code(), code(), code()), server in code(), sub in code(),
        has_sub in any::<bool>(), name in text(), flag in any::<bool>(),
        certificate in proptest::collection::vec(any::<u8>(), 0..50),
    ) -> Request {
        let (instance, class, code) = &member;
        let subsystem = has_sub.then_some(sub.as_str());
        let client = ClientId::new(instance, class, code, subsystem).unwrap();
        let server = SecurityServerId::new(client.member().clone(), &server).unwrap();
        let maybe = (!name.is_empty()).then(|| name.clone());
        match kind {
            Kind::AuthCertReg => Request::AuthCertReg {
                server, address: flag.then(|| name.clone()), certificate, dry_run: flag,
            },
            Kind::AuthCertDeletion => Request::AuthCertDeletion { server, certificate },
            Kind::ClientReg => Request::ClientReg { server, client, subsystem_name: maybe },
            Kind::ClientDeletion => Request::ClientDeletion { server, client },
            Kind::OwnerChange => Request::OwnerChange { server, client },
            Kind::ClientDisable => Request::ClientDisable { server, client },
            Kind::ClientEnable => Request::ClientEnable { server, client },
            Kind::ClientRename => Request::ClientRename { server, client, subsystem_name: name },
            Kind::AddressChange => Request::AddressChange { server, address: name },
            Kind::MaintenanceModeEnable => Request::MaintenanceModeEnable { server, message: maybe },
            Kind::MaintenanceModeDisable => Request::MaintenanceModeDisable { server },
        }
    }
}

proptest! {
    #[test]
    fn written_is_read_back_and_answered(request in any_request()) {
        let sender = request.server().owner().as_client();
        let text = soap(&request, &sender, &provider(), "id-1");
        let (content_type, body) = WORLD.message_of(&request, &text);
        let message = Message::read(Some(&content_type), body.into()).unwrap();
        prop_assert_eq!(&message.request, &request);
        prop_assert_eq!(&message.header.client, &sender);
        prop_assert_eq!(&message.header.message_id, "id-1");
        prop_assert_eq!(&message.soap[..], &text[..]);
        let answer = response(&message, 4711).unwrap();
        prop_assert_eq!(request_id(&answer, &message.header).unwrap(), Some(4711));
    }

    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::read(Some("multipart/related; boundary=b"), bytes.clone().into());
        let _ = Message::read(Some("text/xml"), bytes.into());
    }
}

#[test]
fn the_form_is_that_of_xroad() {
    let (content_type, body) = WORLD.message(&WORLD.sample(Kind::AuthCertReg));
    let boundary = boundary();
    assert_eq!(
        content_type,
        format!(
            "multipart/related; type=\"application/octet-stream\"; charset=UTF-8; boundary={boundary}"
        )
    );
    let heads: Vec<String> = String::from_utf8_lossy(&body)
        .split(&format!("--{boundary}"))
        .map(|part| part.split("\r\n\r\n").next().unwrap_or_default().trim().to_owned())
        .collect();
    let signature =
        "Content-Type: application/octet-stream\r\nsignature-algorithm-id: SHA256withECDSA";
    let binary = "Content-Type: application/octet-stream";
    let soap = "Content-Type: text/xml; charset=UTF-8";
    assert_eq!(heads, ["", soap, signature, signature, binary, binary, binary, "--"]);
}

/// A SOAP message with one change of its text.
fn changed(kind: Kind, from: &str, to: &str) -> (String, Vec<u8>) {
    let request = WORLD.sample(kind);
    let text = soap(&request, &request.server().owner().as_client(), &provider(), "id-1");
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    WORLD.message_of(&request, text.replacen(from, to, 1).as_bytes())
}

#[test]
fn malformed_requests_are_refused_with_xroads_codes() {
    let refused = |(content_type, body): (String, Vec<u8>), code: &str, text: &str| {
        let fault = Message::read(Some(&content_type), body.into()).unwrap_err();
        assert_eq!(fault.code(), code, "{fault}");
        assert!(fault.message().contains(text), "{fault}");
    };
    let kind = Kind::ClientDeletion;
    let twice = "</xroad:server><xroad:server/>";
    refused(changed(kind, "</xroad:server>", twice), codes::INVALID_REQUEST, "server is repeated");
    let fields = "<xroad:clientDeletion><xroad:server";
    refused(changed(kind, fields, "<xroad:clientDeletion><xroad:servant"), codes::INVALID_SOAP, "");
    let object = "xroad:server id:objectType=\"SERVER\"";
    let other = "xroad:server id:objectType=\"MEMBER\"";
    refused(changed(kind, object, other), codes::INVALID_CLIENT_IDENTIFIER, "objectType");
    let code = "<id:serverCode>SS1</id:serverCode>";
    refused(changed(kind, code, ""), codes::INVALID_CLIENT_IDENTIFIER, "server");
    refused(
        changed(kind, code, &code.repeat(2)),
        codes::INVALID_CLIENT_IDENTIFIER,
        "more than one",
    );
    let service = "<id:serviceCode>clientDeletion<";
    refused(
        changed(kind, service, "<id:serviceCode>client<"),
        codes::INVALID_REQUEST,
        "Unknown service code 'client'",
    );
    refused(changed(kind, service, "<id:serviceCode>x<"), codes::INCONSISTENT_HEADERS, "");
    refused(
        changed(kind, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<!DOCTYPE a []>"),
        codes::INVALID_SOAP,
        "",
    );
    let certificate = "<xroad:authCert>";
    refused(
        changed(Kind::AuthCertReg, certificate, "<xroad:authCert>*"),
        codes::INVALID_REQUEST,
        "base64",
    );
    refused(changed(Kind::AuthCertReg, ">false<", ">perhaps<"), codes::INVALID_REQUEST, "dryRun");
}

#[test]
fn parts_are_told_that_are_missing_or_too_many() {
    let (content_type, body) = WORLD.message(&WORLD.sample(Kind::AuthCertReg));
    let delimiter = format!("--{}", boundary()).into_bytes();
    let at: Vec<usize> = (0..body.len()).filter(|at| body[*at..].starts_with(&delimiter)).collect();
    let first = |parts: usize| [&body[..at[parts]], &delimiter, b"--\r\n"].concat();
    let told = |body: Vec<u8>| {
        let fault = Message::read(Some(&content_type), body.into()).unwrap_err();
        (fault.code().to_owned(), fault.message().to_owned())
    };
    for (parts, text) in [
        (0, "Request contains no SOAP message"),
        (1, "Auth signature is missing"),
        (2, "Owner signature is missing"),
        (3, "Auth certificate is missing"),
        (4, "Owner certificate is missing"),
        (5, "Owner certificate OCSP is missing"),
    ] {
        assert_eq!(told(first(parts)), (codes::INVALID_REQUEST.into(), text.into()));
    }
    let last = &body[at[5]..at[6]];
    for more in [1, 10] {
        let many = [&body[..at[6]], &last.repeat(more), &body[at[6]..]].concat();
        let text = "Unexpected content in multipart";
        assert_eq!(told(many), (codes::INTERNAL_ERROR.into(), text.into()));
    }
    let cut = body[..body.len() - 10].to_vec();
    assert_eq!(told(cut).0, codes::IO_ERROR);
    // The trial by which a security server looks whether the registry answers.
    let trial = WORLD.sample(Kind::AuthCertReg);
    let Request::AuthCertReg { server, .. } = trial else { panic!() };
    let trial = Request::AuthCertReg { server, address: None, certificate: vec![], dry_run: true };
    let text = soap(&trial, &trial.server().owner().as_client(), &provider(), "id-1");
    let head = [&delimiter[..], b"\r\nContent-Type:text/xml; charset=UTF-8\r\n\r\n"].concat();
    let body = [&head[..], &text, b"\r\n", &delimiter, b"--\r\n"].concat();
    assert_eq!(told(body), (codes::INVALID_REQUEST.into(), "Auth signature is missing".into()));
}

#[test]
fn other_content_is_refused() {
    let told = |content_type: Option<&str>, body: &[u8]| {
        Message::read(content_type, Bytes::copy_from_slice(body)).unwrap_err().code().to_owned()
    };
    assert_eq!(told(None, b""), codes::INVALID_REQUEST);
    assert_eq!(told(Some("application/json"), b"{}"), codes::INVALID_CONTENT_TYPE);
    assert_eq!(told(Some("multipart/related"), b""), codes::MIME_PARSING_FAILED);
    assert_eq!(told(Some("text/xml"), b"no XML"), codes::INVALID_SOAP);
    assert_eq!(told(Some("text/xml"), &vec![b' '; 100_001]), codes::INVALID_REQUEST);
    let untyped = b"--b\r\nX: y\r\n\r\n\r\n--b--";
    assert_eq!(told(Some("multipart/related; boundary=b"), untyped), codes::INVALID_CONTENT_TYPE);
    let binary = b"--b\r\nContent-Type: image/png\r\n\r\n\r\n--b--";
    assert_eq!(told(Some("multipart/related; boundary=b"), binary), codes::INVALID_CONTENT_TYPE);
}

#[test]
fn answers_to_something_else_are_refused() {
    let (content_type, body) = WORLD.message(&WORLD.sample(Kind::ClientReg));
    let message = Message::read(Some(&content_type), body.into()).unwrap();
    let answer = String::from_utf8(response(&message, 3).unwrap()).unwrap();
    let id = |text: &str| request_id(text.as_bytes(), &message.header);
    assert_eq!(id(&answer), Ok(Some(3)));
    let other = answer.replace("a-b-c", "x-y-z");
    assert_eq!(id(&other).unwrap_err().code(), codes::INCONSISTENT_HEADERS);
    assert_eq!(id(&answer.replace(">3<", "><")), Ok(None));
    let fault = Fault::new("internal_error", "management_request_exists with statusCode 409");
    let told = id(&write_fault(&fault)).unwrap_err();
    assert_eq!((told.code(), told.message()), (fault.code(), fault.message()));
    let echo = String::from_utf8(message.soap.to_vec()).unwrap();
    assert_eq!(id(&echo).unwrap_err().message(), "Expected response message");
    assert!(answer.contains("A &lt;name&gt;"));
}
