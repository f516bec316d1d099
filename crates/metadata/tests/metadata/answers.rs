//! The metadata services' answers.

use std::io::Write as _;
use std::process::{Command, Stdio};

use causeway_identifiers::ClientId;
use causeway_message::soap::SoapMessage;
use causeway_metadata::clients::{self, ListedClient};
use causeway_metadata::methods::{self, RestService, RestServiceType};
use causeway_metadata::soap::{WsdlQuestion, method_list, wsdl_answer};
use causeway_metadata::{Endpoint, LIST_METHODS};
use causeway_xml::{Document, Limits};
use proptest::prelude::*;
use serde_json::json;

use super::vectors;

fn listed() -> Vec<ListedClient<'static>> {
    let id = |text| ClientId::parse(text).unwrap();
    vec![
        ListedClient { id: id("AA/GOV/TS1OWNER"), name: "TS1 <Owner>", subsystem_name: None },
        ListedClient {
            id: id("AA/ENT/CLIENT1/sub"),
            name: "Client One",
            subsystem_name: Some("Client One Sub"),
        },
        ListedClient {
            id: id("AA/ENT/CLIENT1/nameless"),
            name: "Client One",
            subsystem_name: None,
        },
    ]
}

/// Validates against X-Road's schema, where there is a validator; says so where there is none.
fn validate(xml: &str) {
    let Some(schemas) = vectors().map(|v| v.join("schemas")) else { return };
    let child = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema"])
        .arg(schemas.join("service-metainfo.xsd"))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "xmllint is missing");
        return eprintln!("SKIPPED: there is no xmllint to validate with");
    };
    child.stdin.take().unwrap().write_all(xml.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{xml}\n{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_list_of_clients() {
    let xml = clients::to_xml(listed());
    validate(&xml);
    validate(&clients::to_xml([]));
    assert!(xml.contains("<xroad:name>TS1 &lt;Owner&gt;</xroad:name>"));
    let json: serde_json::Value = serde_json::from_str(&clients::to_json(listed())).unwrap();
    assert_eq!(
        json,
        json!({"member": [
            {"id": {"member_class": "GOV", "member_code": "TS1OWNER", "object_type": "MEMBER", "xroad_instance": "AA"},
             "name": "TS1 <Owner>"},
            {"id": {"member_class": "ENT", "member_code": "CLIENT1", "object_type": "SUBSYSTEM",
                    "subsystem_code": "sub", "xroad_instance": "AA"},
             "name": "Client One", "subsystem_name": "Client One Sub"},
            {"id": {"member_class": "ENT", "member_code": "CLIENT1", "object_type": "SUBSYSTEM",
                    "subsystem_code": "nameless", "xroad_instance": "AA"},
             "name": "Client One"},
        ]})
    );
    assert_eq!(clients::to_json([]), r#"{"member":[]}"#);
}

#[test]
fn the_list_of_rest_services() {
    let client = ClientId::parse("I/CLASS2/MEMBER2/SUB2").unwrap();
    let (pets, plain) =
        (client.service("pets", None).unwrap(), client.service("plain", None).unwrap());
    let endpoint = Endpoint { method: "GET".into(), path: "/pet/*".into() };
    let services = [
        RestService {
            id: &pets,
            service_type: RestServiceType::OpenApi,
            endpoints: vec![endpoint],
        },
        RestService { id: &plain, service_type: RestServiceType::Rest, endpoints: vec![] },
    ];
    let json: serde_json::Value = serde_json::from_str(&methods::to_json(&services)).unwrap();
    assert_eq!(
        json,
        json!({"service": [
            {"member_class": "CLASS2", "member_code": "MEMBER2", "object_type": "SERVICE", "service_code": "pets",
             "service_type": "OPENAPI", "subsystem_code": "SUB2", "xroad_instance": "I",
             "endpoint_list": [{"method": "GET", "path": "/pet/*"}]},
            {"member_class": "CLASS2", "member_code": "MEMBER2", "object_type": "SERVICE", "service_code": "plain",
             "service_type": "REST", "subsystem_code": "SUB2", "xroad_instance": "I", "endpoint_list": []},
        ]})
    );
    assert_eq!(methods::to_json(&[]), r#"{"service":[]}"#);
}

#[test]
fn the_list_of_soap_services() {
    let Some(folder) = vectors() else { return };
    for operation in ["listMethods", "allowedMethods"] {
        let request =
            std::fs::read(folder.join(format!("soap/queries/{operation}.query"))).unwrap();
        let asked = SoapMessage::parse(&request).unwrap();
        let provider = asked.service.client();
        let services = [
            provider.service("get<Random>", Some("v1")).unwrap(),
            provider.service("hello", None).unwrap(),
        ];
        let answer = method_list(&request, operation, &services).unwrap();
        let read = SoapMessage::parse(&answer).unwrap();
        assert!(read.response && !asked.response);
        let as_asked = SoapMessage { response: false, operation: asked.operation.clone(), ..read };
        assert_eq!(as_asked, asked);
        let text = String::from_utf8(answer).unwrap();
        let (start, end) = (text.find("<xroad:").unwrap(), text.find("</SOAP-ENV:Body>").unwrap());
        let list = text[..end].rfind(&format!("<xroad:{operation}Response")).unwrap();
        assert!(start < list);
        validate(text[list..end].trim());
        assert!(
            text.contains(
                "<id:serviceCode>get&lt;Random&gt;</id:serviceCode><id:serviceVersion>v1<"
            )
        );
    }
}

fn get_wsdl(body: &str) -> String {
    format!(
        r#"<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:x="http://x-road.eu/xsd/xroad.xsd" xmlns:id="http://x-road.eu/xsd/identifiers"><e:Header>
<x:client id:objectType="MEMBER"><id:xRoadInstance>A</id:xRoadInstance><id:memberClass>B</id:memberClass><id:memberCode>C</id:memberCode></x:client>
<x:service id:objectType="SERVICE"><id:xRoadInstance>A</id:xRoadInstance><id:memberClass>B</id:memberClass><id:memberCode>D</id:memberCode><id:serviceCode>getWsdl</id:serviceCode></x:service>
<x:id>1</x:id><x:protocolVersion>4.0</x:protocolVersion></e:Header><e:Body>{body}</e:Body></e:Envelope>"#
    )
}

#[test]
fn a_question_for_a_wsdl() {
    let body = "\n<x:getWsdl><x:serviceCode> getRandom </x:serviceCode><x:serviceVersion>v1</x:serviceVersion></x:getWsdl >\n";
    let question = WsdlQuestion::read(get_wsdl(body).as_bytes()).unwrap();
    assert_eq!(question, WsdlQuestion { code: "getRandom".into(), version: Some("v1".into()) });
    let answer = String::from_utf8(wsdl_answer(get_wsdl(body).as_bytes()).unwrap()).unwrap();
    assert_eq!(answer, get_wsdl(&body.replace("x:getWsdl", "x:getWsdlResponse")));
    assert!(SoapMessage::parse(answer.as_bytes()).unwrap().response);

    let plain = "<getWsdl xmlns=\"http://x-road.eu/xsd/xroad.xsd\"><serviceCode>a</serviceCode><serviceVersion/><!-- </ --></getWsdl>";
    let question = WsdlQuestion::read(get_wsdl(plain).as_bytes()).unwrap();
    assert_eq!(question, WsdlQuestion { code: "a".into(), version: None });
    let answer = String::from_utf8(wsdl_answer(get_wsdl(plain).as_bytes()).unwrap()).unwrap();
    assert_eq!(answer, get_wsdl(&plain.replace("getWsdl", "getWsdlResponse")));

    for none in ["<x:getWsdl/>", "<x:getWsdl><serviceCode>a</serviceCode></x:getWsdl>"] {
        let fault = WsdlQuestion::read(get_wsdl(none).as_bytes()).unwrap_err();
        assert_eq!(fault.code(), "invalid_request");
    }
    let empty = wsdl_answer(get_wsdl("<x:getWsdl a='b'/>").as_bytes()).unwrap();
    assert_eq!(String::from_utf8(empty).unwrap(), get_wsdl("<x:getWsdlResponse a='b'/>"));
    assert_eq!(WsdlQuestion::read(b"<a/>").unwrap_err().code(), "invalid_soap");
    assert_eq!(wsdl_answer(get_wsdl("").as_bytes()).unwrap_err().code(), "invalid_body");
}

#[test]
fn a_question_in_another_encoding() {
    let body = "<x:getWsdl><x:serviceCode>p\u{e4}ring</x:serviceCode></x:getWsdl>";
    let text = get_wsdl(body).replace("1.0\"?>", "1.0\" encoding=\"ISO-8859-1\"?>");
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    assert_eq!(WsdlQuestion::read(&latin).unwrap().code, "p\u{e4}ring");
    let answer = wsdl_answer(&latin).unwrap();
    assert!(SoapMessage::parse(&answer).unwrap().response);
    let text = String::from_utf8(answer).unwrap();
    assert!(text.contains("encoding=\"UTF-8\"") && text.contains("p\u{e4}ring"), "{text}");
}

proptest! {
    #[test]
    fn answers_are_envelopes(
        content in "[ \n]{0,3}(<!-- x -->)?[a-z]{0,5}", code in "[^\\p{Cc}\\p{Cn}]{1,20}", mark in any::<bool>(),
    ) {
        prop_assume!(!code.trim().is_empty());
        let mark = if mark { "\u{feff}" } else { "" };
        let request = format!("{mark}{}", get_wsdl(&format!("<x:getWsdl>{content}</x:getWsdl>")));
        let answer = wsdl_answer(request.as_bytes()).unwrap();
        let answered = Document::parse(&answer, &Limits::default()).unwrap();
        let body = answered.root().child("Body").unwrap();
        prop_assert_eq!(body.children().next().unwrap().name(), "getWsdlResponse");
        let service = ClientId::parse("A/B/C").unwrap().service(&code, None).unwrap();
        let list = method_list(request.as_bytes(), LIST_METHODS, [&service]).unwrap();
        let listed = Document::parse(&list, &Limits::default()).unwrap();
        let found = listed.root().descendants().filter(|e| e.name() == "serviceCode").last().unwrap();
        prop_assert_eq!(found.text(), code);
    }
}
