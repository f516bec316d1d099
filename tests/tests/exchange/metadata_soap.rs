//! What members can find out about each other's SOAP services, and a call by what was found.

use causeway_message::soap::{self, SoapMessage};
use causeway_metadata::wsdl::{HIDDEN_ADDRESS, Wsdl, hide_addresses};
use sandbox::Ecosystem;

use crate::metadata::validate;
use crate::provider::{Provider, Seen, response};
use crate::scene::{self, POPULATION, PORTAL, TAX, container, portal};
use crate::wire::{Answer, ask};

/// Two services, `hello.v1` and `bye`, at an address.
fn wsdl(address: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<w:definitions targetNamespace="urn:t" xmlns:t="urn:t" xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xrd="http://x-road.eu/xsd/xroad.xsd">
  <!-- Greetings -->
  <w:portType name="T"><w:operation name="hello"/><w:operation name="bye"/></w:portType>
  <w:binding name="B" type="t:T"><s:binding transport="http://schemas.xmlsoap.org/soap/http"/>
    <w:operation name="hello"><xrd:version>v1</xrd:version></w:operation><w:operation name="bye"/>
  </w:binding>
  <w:service name="S"><w:port name="P" binding="t:B"><s:address location="{address}"/></w:port></w:service>
</w:definitions>
"#
    )
}

/// An envelope from the portal to a service of the population register.
fn envelope(client: &str, id: &str, code: &str, version: Option<&str>, body: &str) -> String {
    let parts = |short: &str| {
        let names = ["xRoadInstance", "memberClass", "memberCode", "subsystemCode"];
        let parts = names.iter().zip(short.split('/'));
        parts.map(|(name, part)| format!("<id:{name}>{part}</id:{name}>")).collect::<String>()
    };
    let version = version.map(|v| format!("<id:serviceVersion>{v}</id:serviceVersion>"));
    format!(
        r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:x="http://x-road.eu/xsd/xroad.xsd" xmlns:id="http://x-road.eu/xsd/identifiers"><e:Header>
<x:client id:objectType="SUBSYSTEM">{}</x:client>
<x:service id:objectType="SERVICE">{}<id:serviceCode>{code}</id:serviceCode>{}</x:service>
<x:id>{id}</x:id><x:protocolVersion>4.0</x:protocolVersion></e:Header><e:Body>{body}</e:Body></e:Envelope>"#,
        parts(client),
        parts(POPULATION),
        version.unwrap_or_default(),
    )
}

fn post(envelope: &str) -> String {
    let length = envelope.len();
    format!(
        "POST / HTTP/1.1\r\nHost: ss\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{envelope}"
    )
}

/// Asks as the portal: a metadata service, with this body.
async fn question(ecosystem: &Ecosystem, id: &str, code: &str, body: &str) -> Answer {
    let envelope = envelope(PORTAL, id, code, None, body);
    let answer = portal(ecosystem, post(&envelope)).await;
    if !answer.text().contains("Fault>") {
        // It belongs to the request.
        let text = answer.text();
        let start = text.find("<e:Envelope").unwrap();
        let end = text.find("</e:Envelope>").unwrap() + "</e:Envelope>".len();
        let read = SoapMessage::parse(&text.as_bytes()[start..end]).unwrap();
        let asked = SoapMessage::parse(envelope.as_bytes()).unwrap();
        read.check_answers(&asked, &soap::request_hash(envelope.as_bytes())).unwrap();
    }
    answer
}

/// The services of a list, as `code` or `code.version`; the list keeps to the schema.
fn listed(answer: &Answer, operation: &str) -> Vec<String> {
    let text = answer.text();
    assert!(answer.header("content-type").unwrap().starts_with("text/xml"), "{answer:?}");
    let start = text.find(&format!("<xroad:{operation}Response")).unwrap();
    let close = format!("</xroad:{operation}Response>");
    let end = text.find(&close).unwrap() + close.len();
    validate(&text[start..end]);
    let services = text[start..end].split("<xroad:service ").skip(1).map(|service| {
        let part = |name: &str| {
            let (_, behind) = service.split_once(&format!("<id:{name}>"))?;
            Some(behind.split_once('<').unwrap().0.to_owned())
        };
        let code = part("serviceCode").unwrap();
        part("serviceVersion").map(|version| format!("{code}.{version}")).unwrap_or(code)
    });
    services.collect()
}

/// What the information system says: the request with another body.
fn greeting(seen: &Seen) -> Vec<u8> {
    let request = String::from_utf8(seen.body.clone()).unwrap();
    let answer = request.replace("<t:hello/>", "<t:helloResponse>Hi</t:helloResponse>");
    response("200 OK", "Content-Type: text/xml; charset=utf-8\r\n", answer.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn soap_services_are_found_described_and_called() {
    let provider = Provider::start(greeting).await;
    let address = provider.url("/soap");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("greetings.wsdl");
    std::fs::write(&file, wsdl(&address)).unwrap();
    let location = file.display().to_string();
    let ecosystem = scene::start(move |name, table| {
        if name == "ss2" {
            let added: toml::Table = format!(
                "type = \"wsdl\"\nlocation = \"{location}\"\n[[services]]\ncode = \"hello\"\nversion = \"v1\"\nallow = [\"{PORTAL}\"]\n"
            )
            .parse()
            .unwrap();
            let list = scene::client(table, POPULATION).get_mut("descriptions").unwrap();
            list.as_array_mut().unwrap().push(added.into());
        }
    })
    .await;

    let all = question(&ecosystem, "list", "listMethods", "<x:listMethods/>").await;
    assert_eq!(listed(&all, "listMethods"), ["bye", "hello.v1", "measureSoap"]);
    let allowed = question(&ecosystem, "a", "allowedMethods", "<x:allowedMethods/>").await;
    assert_eq!(listed(&allowed, "allowedMethods"), ["hello.v1", "measureSoap"]);
    // Whoever is registered may ask.
    let from_tax =
        envelope(TAX, "t", "allowedMethods", None, "<x:allowedMethods></x:allowedMethods>");
    let none = ask(ecosystem.server("ss2").unwrap().addresses().http, post(&from_tax)).await;
    assert!(listed(&none, "allowedMethods").is_empty());

    let body = "<x:getWsdl><x:serviceCode>hello</x:serviceCode><x:serviceVersion>v1</x:serviceVersion></x:getWsdl>";
    let described = question(&ecosystem, "wsdl", "getWsdl", body).await;
    let content_type = described.header("content-type").unwrap();
    assert!(content_type.starts_with("multipart/related"), "{content_type}");
    assert!(content_type.contains("type=\"text/xml\""), "{content_type}");
    let text = described.text();
    assert!(text.contains("<x:getWsdlResponse><x:serviceCode>hello</x:serviceCode>"), "{text}");
    let published = hide_addresses(wsdl(&address).as_bytes()).unwrap();
    let published = String::from_utf8(published).unwrap();
    assert!(text.contains(&published) && published.contains("<!-- Greetings -->"), "{text}");
    let attachment = text[..text.find(&published).unwrap()].to_ascii_lowercase();
    let attachment = attachment.rsplit("--").next().unwrap();
    assert!(
        attachment.contains("content-type:text/xml")
            || attachment.contains("content-type: text/xml"),
        "{attachment}"
    );
    assert!(text.contains("<wsdl=") && text.contains("@x-road.eu>"), "{text}");
    assert!(!text.contains(&address));
    for (server, owner) in [("ss1", PORTAL), ("ss2", POPULATION)] {
        let kept = container(ecosystem.server(server).unwrap(), owner, "wsdl", true).await;
        assert_eq!(kept.attachments[0].content().unwrap().as_ref(), published.as_bytes());
    }

    // By the description, with the server in place of the address.
    let read = Wsdl::read(published.as_bytes()).unwrap();
    let hello = &read.operations[0];
    assert_eq!((hello.code.as_str(), hello.address.as_deref()), ("hello", Some(HIDDEN_ADDRESS)));
    let body = "<t:hello xmlns:t=\"urn:t\"/>".replace(" xmlns:t=\"urn:t\"", "");
    let call = envelope(PORTAL, "call", "hello", hello.version.as_deref(), &body)
        .replace("<e:Envelope ", "<e:Envelope xmlns:t=\"urn:t\" ");
    let said = portal(&ecosystem, post(&call)).await;
    assert!(said.text().contains("<t:helloResponse>Hi</t:helloResponse>"), "{}", said.text());
    assert_eq!(provider.last().target(), "POST /soap");

    for (body, code) in [
        ("<x:getWsdl/>", "server.serverproxy.invalid_request"),
        (
            "<x:getWsdl><x:serviceCode>none</x:serviceCode></x:getWsdl>",
            "server.serverproxy.unknown_service",
        ),
        // It has a version.
        (
            "<x:getWsdl><x:serviceCode>hello</x:serviceCode></x:getWsdl>",
            "server.serverproxy.unknown_service",
        ),
        (
            "<x:getWsdl><x:serviceCode>persons</x:serviceCode></x:getWsdl>",
            "server.serverproxy.service_type",
        ),
    ] {
        let refused = question(&ecosystem, "no", "getWsdl", body).await;
        assert!(
            refused.text().contains(&format!("<faultcode>{code}</faultcode>")),
            "{}",
            refused.text()
        );
    }
    ecosystem.stop().await;
}
