//! WSDL documents.

use causeway_metadata::wsdl::{HIDDEN_ADDRESS, Wsdl, hide_addresses};
use causeway_metadata::{Description, DescriptionError, DescriptionType, Difference};
use proptest::prelude::*;

use super::vector;

/// A WSDL with what stands between the definitions' tags.
fn wsdl(content: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<wsdl:definitions targetNamespace="urn:t" xmlns:tns="urn:t" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"
  xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:soap12="http://schemas.xmlsoap.org/wsdl/soap12/"
  xmlns:xrd="http://x-road.eu/xsd/xroad.xsd">{content}</wsdl:definitions>"#
    )
}

const PORT_TYPE: &str = r#"<wsdl:portType name="T"><wsdl:operation name="hello">
  <wsdl:documentation><xrd:title> Say
  hello </xrd:title></wsdl:documentation></wsdl:operation></wsdl:portType>"#;

/// A binding `B` with operations, and a port for it.
fn bound(operations: &str) -> String {
    wsdl(&format!(
        r#"{PORT_TYPE}<wsdl:binding name="B" type="tns:T">
  <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>{operations}</wsdl:binding>
  <wsdl:service name="S"><wsdl:port name="P" binding="tns:B">
    <soap:address location="http://10.0.0.7/soap"/></wsdl:port></wsdl:service>"#
    ))
}

fn names(text: &str) -> Result<Vec<String>, DescriptionError> {
    Ok(Wsdl::read(text.as_bytes())?.operations.iter().map(|o| o.name()).collect())
}

#[test]
fn xroads_own_files() {
    for (file, expected, address) in [
        (
            "wsdl.wsdl",
            vec!["getRandom.v1", "helloService.v1"],
            "https://172.28.128.2:8084/mocktestServiceBinding",
        ),
        (
            "testservice.wsdl",
            vec!["xroadGetRandom.v1", "bodyMassIndex.v1"],
            "http://xroad-lxd-web.lxd:8088/xroadGetRandom",
        ),
        (
            "warn.wsdl",
            vec!["xroadGetRandom.v1", "bodyMassIndex.v1"],
            "http://xroad-lxd-web.lxd:8088/xroadGetRandom",
        ),
        (
            "warnanderror.wsdl",
            vec!["xroadGetRandom.v1", "bodyMassIndex.v1"],
            "http://xroad-lxd-web.lxd:8088/xroadGetRandom",
        ),
        (
            "error.wsdl",
            vec!["mock.v1", "mockSwaRef.v1", "mockMtom.v1"],
            "http://xroad-lxd-web.lxd:8088/xrd-mock",
        ),
    ] {
        let Some(bytes) = vector(file) else { return };
        let read = Wsdl::read(&bytes).unwrap();
        let names: Vec<String> = read.operations.iter().map(|o| o.name()).collect();
        assert_eq!(names, expected, "{file}");
        assert_eq!(read.operations[0].address.as_deref(), Some(address), "{file}");
        assert!(read.warnings.is_empty(), "{file}: {:?}", read.warnings);
    }
    let bytes = vector("testservice.wsdl").unwrap();
    let read = Wsdl::read(&bytes).unwrap();
    assert_eq!(read.operations[1].title.as_deref(), Some("bodyMassIndex"));
    assert_eq!(
        read.operations[1].address.as_deref(),
        Some("http://xroad-lxd-web.lxd:8088/bodyMassIndex")
    );
}

#[test]
fn addresses_are_hidden_and_nothing_else_changes() {
    for file in ["wsdl.wsdl", "testservice.wsdl", "error.wsdl"] {
        let Some(bytes) = vector(file) else { return };
        let hidden = hide_addresses(&bytes).unwrap();
        let (was, is) = (String::from_utf8(bytes).unwrap(), String::from_utf8(hidden).unwrap());
        let mut expected = was.clone();
        for operation in Wsdl::read(was.as_bytes()).unwrap().operations {
            expected = expected.replace(&operation.address.unwrap(), HIDDEN_ADDRESS);
        }
        assert_eq!(is, expected);
        assert!(!is.contains("lxd:8088") && !is.contains("172.28.128.2"), "{file}");
    }
}

#[test]
fn every_way_to_write_an_address_is_hidden() {
    let text = wsdl(
        r#"<wsdl:service name="S" xmlns:s='http://schemas.xmlsoap.org/wsdl/soap/'>
  <wsdl:port name="A" binding="tns:B"><s:address x='"' location = 'http://a?x="1"&amp;y=2'/></wsdl:port>
  <wsdl:port name="B" binding="tns:B"><soap12:address
     location="http://b"></soap12:address></wsdl:port>
  <!-- <soap:address location="http://comment"/> -->
  <wsdl:port name="C" binding="tns:B"><address xmlns="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:l="u" l:location="kept" location='http://c/ä'/></wsdl:port>
  <wsdl:port name="D" binding="tns:B"><xrd:address location="http://other"/><soap:address/></wsdl:port>
</wsdl:service>"#,
    );
    for text in [text.clone(), format!("\u{feff}{text}")] {
        let hidden = String::from_utf8(hide_addresses(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(hidden.matches(HIDDEN_ADDRESS).count(), 3, "{hidden}");
        assert!(hidden.contains("l:location=\"kept\"") && hidden.contains("http://other"));
        assert!(
            hidden.contains("<s:address x='\"' location = 'http://example.org/xroad-endpoint'/>")
        );
        assert_eq!(hide_addresses(hidden.as_bytes()).unwrap(), hidden.as_bytes());
    }
}

#[test]
fn versions_titles_and_ports() {
    let text = bound(
        r#"<wsdl:operation name="hello"><xrd:version> v1 </xrd:version></wsdl:operation>
<wsdl:operation name="hello"><v:version xmlns:v="urn:any">v2</v:version></wsdl:operation>
<wsdl:operation name="hello"><xrd:version/></wsdl:operation>"#,
    );
    let read = Wsdl::read(text.as_bytes()).unwrap();
    let names: Vec<String> = read.operations.iter().map(|o| o.name()).collect();
    assert_eq!(names, ["hello.v1", "hello.v2", "hello"]);
    assert_eq!(read.operations[0].title.as_deref(), Some("Say hello"));

    // SOAP 1.1 wins over 1.2, HTTP bindings and bindings elsewhere are left out.
    let binding = |name: &str, ns: &str, transport: &str| {
        format!(
            r#"<wsdl:binding name="{name}" type="tns:T"><{ns}:binding transport="{transport}"/>
<wsdl:operation name="hello"/></wsdl:binding>"#
        )
    };
    let http = "http://schemas.xmlsoap.org/soap/http";
    let text = wsdl(&format!(
        r#"{PORT_TYPE}{}{}{}<wsdl:service name="S">
<wsdl:port name="P0" binding="tns:SMTP"><soap:address location="http://p0"/></wsdl:port>
<wsdl:port name="P1" binding="tns:B12"><soap12:address location="http://p1"/></wsdl:port>
<wsdl:port name="P2" binding="tns:B11"><soap:address location="http://p2"/></wsdl:port>
<wsdl:port name="P3" binding="tns:B11"><soap:address location="http://p3"/></wsdl:port>
<wsdl:port name="P4" binding="tns:Elsewhere"/></wsdl:service>"#,
        binding("B11", "soap", http),
        binding("B12", "soap12", http),
        binding("SMTP", "soap", "urn:smtp"),
    ));
    let read = Wsdl::read(text.as_bytes()).unwrap();
    assert_eq!(read.operations.len(), 1);
    assert_eq!(read.operations[0].address.as_deref(), Some("http://p2"));
    assert_eq!(read.warnings.len(), 2);
}

#[test]
fn what_is_refused() {
    let refused = |text: &str| Wsdl::read(text.as_bytes()).unwrap_err();
    let operation = |name: &str, version: &str| {
        bound(&format!(
            "<wsdl:operation name=\"{name}\"><xrd:version>{version}</xrd:version></wsdl:operation>"
        ))
    };
    assert!(matches!(refused("FooBar!"), DescriptionError::Xml(_)));
    assert!(matches!(
        refused("<!DOCTYPE foo [<!ENTITY data SYSTEM \"file:/etc/passwd\">]><a>&data;</a>"),
        DescriptionError::Xml(causeway_xml::XmlError::Doctype)
    ));
    assert_eq!(refused("<fault/>"), DescriptionError::NotWsdl("fault".into()));
    assert!(matches!(
        refused(&operation("xroadGetRandom:aa", "v1")),
        DescriptionError::IllegalIdentifier(_)
    ));
    assert!(matches!(refused(&operation("a", "v1%234")), DescriptionError::IllegalIdentifier(_)));
    assert!(matches!(refused(&operation(" ", "v1")), DescriptionError::IllegalIdentifier(_)));
    assert!(matches!(
        refused(&operation(&"a".repeat(256), "v1")),
        DescriptionError::IllegalIdentifier(_)
    ));
    assert_eq!(refused(&operation("GetWsdl", "v1")), DescriptionError::Reserved("GetWsdl".into()));
    let twice = r#"<wsdl:operation name="a"/><wsdl:operation name="a"/>"#;
    assert!(matches!(refused(&bound(twice)), DescriptionError::InvalidWsdl(_)));
    let overloaded = bound(r#"<wsdl:operation name="hello"/>"#).replace(
        "<wsdl:portType name=\"T\">",
        "<wsdl:portType name=\"T\"><wsdl:operation name=\"hello\"/>",
    );
    assert!(matches!(refused(&overloaded), DescriptionError::InvalidWsdl(_)));
    let ftp = operation("a", "v1").replace("http://10.0.0.7", "ftp://10.0.0.7");
    assert!(matches!(refused(&ftp), DescriptionError::Address(_)));
    let unbound = operation("a", "v1").replace("binding=\"tns:B\"", "");
    assert!(matches!(refused(&unbound), DescriptionError::InvalidWsdl(_)));
    let undeclared = operation("a", "v1").replace("binding=\"tns:B\"", "binding=\"zzz:B\"");
    assert!(matches!(refused(&undeclared), DescriptionError::InvalidWsdl(_)));
    let elsewhere = operation("a", "v1").replace("binding=\"tns:B\"", "binding=\"xrd:B\"");
    assert!(names(&elsewhere).unwrap().is_empty());
    let long = vec![b' '; causeway_metadata::MAX_DESCRIPTION_BYTES + 1];
    assert_eq!(Wsdl::read(&long).unwrap_err(), DescriptionError::TooLong);
    let many: String = (0..10_001).map(|i| format!("<wsdl:operation name=\"o{i}\"/>")).collect();
    assert_eq!(refused(&bound(&many)), DescriptionError::TooMuch("services", 10_000));
}

#[test]
fn what_a_newer_wsdl_changes() {
    let read = |operations: &str, address: &str| {
        let text = bound(operations).replace("http://10.0.0.7/soap", address);
        Description::read(DescriptionType::Wsdl, text.as_bytes()).unwrap()
    };
    let old = read(r#"<wsdl:operation name="a"/><wsdl:operation name="b"/>"#, "http://x");
    let new = read(r#"<wsdl:operation name="b"/><wsdl:operation name="c"/>"#, "http://y");
    let difference = Difference::between(Some(&old), &new);
    assert_eq!(difference.added, ["c"]);
    assert_eq!(difference.removed, ["a"]);
    assert_eq!(difference.changed, ["b moves from http://x to http://y"]);
    assert!(Difference::between(Some(&new), &new).is_empty());
    assert_eq!(Difference::between(None, &new).added, ["b", "c"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn damaged_documents_never_panic_and_never_tell(
        cut in any::<prop::sample::Index>(), length in 0..30_usize, inserted in "[<>/=\"'& a-z:]{0,8}",
    ) {
        let text = bound(r#"<wsdl:operation name="hello"><xrd:version>v1</xrd:version></wsdl:operation>"#);
        let at = cut.index(text.len());
        let damaged = format!("{}{inserted}{}", &text[..at], &text[(at + length).min(text.len())..]);
        let _ = Wsdl::read(damaged.as_bytes());
        if let Ok(hidden) = hide_addresses(damaged.as_bytes()) {
            let operations = Wsdl::read(&hidden).unwrap_or_default().operations;
            let told = operations.iter().filter_map(|o| o.address.as_deref()).any(|a| a != HIDDEN_ADDRESS);
            prop_assert!(!told);
        }
    }
}
