#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use proptest::prelude::*;

/// A message whose header is the usual one, with these changes.
fn message(change: impl FnOnce(String) -> String) -> String {
    let id = |kind: &str, name: &str, more: &str| {
        format!(
            "<x:{name} i:objectType=\"{kind}\"><i:xRoadInstance>EE</i:xRoadInstance>\
             <i:memberClass>GOV</i:memberClass><i:memberCode>1</i:memberCode>{more}</x:{name}>"
        )
    };
    let header = format!(
        "{}{}<x:userId>u</x:userId><x:id>m1</x:id><x:protocolVersion>4.0</x:protocolVersion>",
        id("MEMBER", "client", ""),
        id("SERVICE", "service", "<i:serviceCode>ask</i:serviceCode>")
    );
    change(format!(
        "<s:Envelope xmlns:s=\"{ENVELOPE_NS}\" xmlns:x=\"{HEADER_NS}\" xmlns:i=\"{IDENTIFIER_NS}\">\
         <s:Header>{header}</s:Header><s:Body><x:ask/></s:Body></s:Envelope>"
    ))
}

fn code(text: &str) -> String {
    Soap::read(text.as_bytes()).unwrap_err().code().to_owned()
}

#[test]
fn a_header_is_read() {
    let text = message(|t| {
        t.replace(
            "<x:userId>",
            &format!(
                "<r:representedParty xmlns:r=\"{REPRESENTATION_NS}\"><r:partyClass>COM</r:partyClass>\
                 <r:partyCode>7</r:partyCode></r:representedParty><x:securityServer i:objectType=\"SERVER\">\
                 <i:xRoadInstance>EE</i:xRoadInstance><i:memberClass>GOV</i:memberClass>\
                 <i:memberCode>1</i:memberCode><i:serverCode>ss1</i:serverCode></x:securityServer>\
                 <x:issue> a<![CDATA[<]]>&amp;</x:issue><t:token xmlns:t='u:t'>kept</t:token><x:userId>"
            ),
        )
    });
    let read = SoapMessage::parse(text.as_bytes()).unwrap();
    assert_eq!(read.client.to_short(), "EE/GOV/1");
    assert_eq!(read.service.code(), "ask");
    assert_eq!(read.security_server.unwrap().code(), "ss1");
    assert_eq!(read.issue.as_deref(), Some(" a<&"));
    let party = read.represented_party.unwrap();
    assert_eq!((party.class.as_deref(), party.code.as_deref()), (Some("COM"), Some("7")));
    assert!(!read.response && !read.rpc);
}

/// Readers differ in what they take for the value of such a field, and the service is another reader.
#[test]
fn values_that_two_readers_could_read_in_two_ways_are_refused() {
    let member = "<i:memberCode>1</i:memberCode>";
    for (from, to) in [
        (member, "<i:memberCode>1<x>4</x></i:memberCode>"),
        (member, "<i:memberCode><!-- c -->1</i:memberCode>"),
        (member, "<i:memberCode>1<!-- c --></i:memberCode>"),
        (member, "<i:memberCode>1<?p q?>2</i:memberCode>"),
        (member, "<other><i:memberCode>9</i:memberCode></other><i:memberCode>1</i:memberCode>"),
        ("<x:id>m1</x:id>", "<x:id>m<!---->1</x:id>"),
        ("<x:userId>u</x:userId>", "<x:userId>u<b/></x:userId>"),
    ] {
        assert_eq!(code(&message(|t| t.replacen(from, to, 1))), "invalid_soap", "{to}");
    }
    // Beside the values they hurt nobody.
    let text = message(|t| t.replace("<x:userId>", "<!-- who --><x:userId>"));
    SoapMessage::parse(text.as_bytes()).unwrap();
}

#[test]
fn nothing_comes_along_with_a_fault() {
    let fault = "<s:Fault><faultcode>x</faultcode></s:Fault>";
    for body in [format!("<x:ask/>{fault}"), format!("{fault}<x:ask/>"), format!("{fault}{fault}")]
    {
        assert_eq!(code(&message(|t| t.replace("<x:ask/>", &body))), "invalid_body", "{body}");
    }
    let alone = message(|t| t.replace("<x:ask/>", fault));
    assert!(matches!(Soap::read(alone.as_bytes()).unwrap(), Soap::Fault(_)));
}

#[test]
fn a_mark_and_a_declaration_must_agree() {
    let marked = |encoding: &str| {
        let text = message(|t| format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>{t}"));
        Soap::read(&[b"\xef\xbb\xbf", text.as_bytes()].concat()).map(|_| ())
    };
    marked("utf-8").unwrap();
    for other in ["Shift_JIS", "ISO-8859-1", "UTF-16"] {
        assert_eq!(marked(other).unwrap_err().code(), "invalid_soap", "{other}");
    }
}

#[test]
fn names_cost_what_they_take_to_resolve() {
    let declared: String = (0..200).map(|n| format!(" xmlns:p{n}=\"u\"")).collect();
    let attributes: String = (0..200).map(|n| format!(" p0:a{n}=\"\"")).collect();
    let many = format!("<x{attributes}/>").repeat(4000);
    let hostile = message(|t| t.replace("<x:ask/>", &format!("<x:ask{declared}>{many}</x:ask>")));
    assert_eq!(code(&hostile), "invalid_xml");
}

#[test]
fn errors_have_the_codes_of_x_road() {
    let with = |from: &str, to: &str| code(&message(|t| t.replace(from, to)));
    assert_eq!(code(""), "invalid_soap");
    assert_eq!(code("<a/>"), "invalid_soap");
    assert_eq!(code("<!DOCTYPE a><a/>"), "invalid_soap");
    assert_eq!(with("<x:id>m1</x:id>", ""), "missing_header_field");
    assert_eq!(with("<x:id>m1</x:id>", "<x:id>a</x:id><x:id>b</x:id>"), "duplicate_header_field");
    assert_eq!(with("4.0", "3.0"), "invalid_protocol_version");
    assert_eq!(with("<x:ask/>", ""), "invalid_body");
    assert_eq!(with("<x:ask/>", "<x:ask/><x:ask/>"), "invalid_body");
    assert_eq!(with("<x:ask/>", "<x:other/>"), "inconsistent_headers");
    assert_eq!(with("<s:Body><x:ask/></s:Body>", ""), "missing_body");
    assert_eq!(with("s:Header", "x:Header"), "missing_header");
    assert_eq!(with(" i:objectType=\"SERVICE\"", ""), "invalid_xml");
    assert_eq!(with("\"SERVICE\"", "\"MEMBER\""), "invalid_xml");
    assert_eq!(with("<i:memberCode>1</i:memberCode>", ""), "internal_error");
    // Beyond X-Road, where the last body counts.
    assert_eq!(with("</s:Envelope>", "<s:Body><x:ask/></s:Body></s:Envelope>"), "invalid_body");
    // What comes first in the text is told.
    assert_eq!(with("<x:userId>u</x:userId>", "<x:id>a</x:id>"), "duplicate_header_field");
}

#[test]
fn a_hash_is_put_behind_the_id() {
    let hash = request_hash(b"request");
    let element = |attributes: &str| {
        format!(
            "<x:requestHash{attributes} algorithmId=\"{HASH_ALGORITHM}\">{hash}</x:requestHash>"
        )
    };
    let plain = message(|t| t.replace("<x:ask/>", "<x:askResponse/>"));
    let Answer::Message(read, written) = read_answer(plain.as_bytes(), &hash).unwrap() else {
        panic!()
    };
    assert!(read.response);
    assert_eq!(
        written,
        plain.replace("<x:id>m1</x:id>", &format!("<x:id>m1</x:id>{}", element("")))
    );
    // One of the service's own goes; the indentation and what the id declares are taken over.
    let own = message(|t| {
        t.replace("<s:Header>", "<s:Header>\n  ")
            .replace("<x:id>", "<x:requestHash algorithmId='a'>old</x:requestHash>\n  <x:id k='v&quot;' xmlns:q='u:q'>")
    });
    let Answer::Message(_, written) = read_answer(own.as_bytes(), &hash).unwrap() else { panic!() };
    let expected = own.replace("<x:requestHash algorithmId='a'>old</x:requestHash>", "").replace(
        "m1</x:id>",
        &format!("m1</x:id>\n  {}", element(" xmlns:q=\"u:q\" k=\"v&quot;\"")),
    );
    assert_eq!(written, expected);
    let again = SoapMessage::parse(&written).unwrap();
    assert_eq!(again.request_hash.unwrap().value, hash);
}

#[test]
fn an_answer_becomes_utf8() {
    let text = message(|t| t.replace("<x:userId>u", "<x:userId>ä"));
    let latin = format!("<?xml version='1.0' encoding='ISO-8859-1'?>{text}");
    let latin: Vec<u8> = latin.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    assert_eq!(content_type_of(&latin).unwrap(), "text/xml; charset=windows-1252");
    let Answer::Message(read, written) = read_answer(&latin, "aGFzaA==").unwrap() else { panic!() };
    assert_eq!(read.user_id.as_deref(), Some("ä"));
    let written = std::str::from_utf8(&written).unwrap();
    assert!(written.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope"));
    assert!(written.contains("<x:userId>ä"));
}

#[test]
fn an_answer_must_belong_to_its_request() {
    let request = SoapMessage::parse(message(|t| t).as_bytes()).unwrap();
    let hash = request_hash(b"request");
    let answer = |from: &str, to: &str| {
        let text = message(|t| t.replace("<x:ask/>", "<x:askResponse/>").replace(from, to));
        let Answer::Message(read, _) = read_answer(text.as_bytes(), &hash).unwrap() else {
            panic!()
        };
        *read
    };
    answer("", "").check_answers(&request, &hash).unwrap();
    for (from, to) in [(">u<", ">v<"), (">m1<", ">m2<"), ("<x:id>", "<x:issue/><x:id>")] {
        let fault = answer(from, to).check_answers(&request, &hash).unwrap_err();
        assert_eq!(fault.code(), "service_failed.inconsistent_response", "{from}");
    }
    let other = answer("", "").check_answers(&request, &request_hash(b"other")).unwrap_err();
    assert_eq!(other.code(), "inconsistent_response");
    assert_eq!(request.check_answers(&request, &hash).unwrap_err().code(), "inconsistent_response");
}

#[test]
fn a_fault_is_read_back() {
    let made = Fault::new("server.serverproxy.access_denied", "Not <allowed>").with_detail("uuid");
    let text = write_fault(&made);
    assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><SOAP-ENV:Envelope"));
    let read = read_fault(text.as_bytes()).unwrap();
    assert_eq!(read.clone().without_envelope(), made);
    assert_eq!(write_fault(&read), text);
    assert_eq!(read.with_prefix("x").code(), made.code());
    assert!(
        write_fault_as(&made, crate::CodeStyle::Camel).contains("Server.ServerProxy.AccessDenied")
    );
    let theirs = format!(
        "<s:Envelope xmlns:s='{ENVELOPE_NS}'><s:Body><s:Fault><faultcode>s:Server</faultcode>\
         <detail> <e xmlns='u:e'>more</e></detail></s:Fault></s:Body></s:Envelope>"
    );
    let read = read_fault(theirs.as_bytes()).unwrap();
    assert_eq!(read.code(), "s:Server");
    assert_eq!(read.envelope().unwrap(), theirs.as_bytes());
}

#[test]
fn soap_actions() {
    for good in ["", "\"\"", "\"http://a/b#c\"", "\"urn:x:%20\"", "\"ä\""] {
        check_soap_action(Some(good)).unwrap();
    }
    check_soap_action(None).unwrap();
    for bad in ["http://example.org/action", "\"", "\"a b\"", "\"%2\"", "\"a\u{7f}\"", "\"a#b#c\""]
    {
        assert_eq!(
            check_soap_action(Some(bad)).unwrap_err().code(),
            "invalid_soap_action",
            "{bad}"
        );
    }
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Soap::read(&bytes);
        let _ = read_answer(&bytes, "aGFzaA==");
        let _ = read_fault(&bytes);
    }

    /// Whatever the header's white space and order: the hash is there once, and nothing else changes.
    #[test]
    fn a_hash_changes_nothing_else(
        space in "[ \n\t]{0,5}", value in "[a-z<>&\"ä]{0,8}", with_own in any::<bool>(), first in any::<bool>(),
    ) {
        let escaped = value.replace('&', "&amp;").replace('<', "&lt;");
        let own = if with_own { "<x:requestHash>old</x:requestHash>" } else { "" };
        let text = message(|t| {
            let t = t.replace("<x:userId>u", &format!("{space}<x:userId>{escaped}"));
            if first { t.replace("<x:id>", &format!("{own}<x:id>")) } else { t.replace("</x:id>", &format!("</x:id>{own}")) }
        });
        let hash = request_hash(text.as_bytes());
        let Answer::Message(read, written) = read_answer(text.as_bytes(), &hash).unwrap() else { panic!() };
        let again = SoapMessage::parse(&written).unwrap();
        prop_assert_eq!(&again, &*read);
        prop_assert_eq!(again.user_id.unwrap(), value);
        let Answer::Message(_, twice) = read_answer(&written, &hash).unwrap() else { panic!() };
        prop_assert_eq!(SoapMessage::parse(&twice).unwrap(), *read);
    }
}
