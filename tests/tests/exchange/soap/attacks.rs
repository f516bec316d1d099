//! What must not pass, and says why.

use super::{envelope, outcome, post, send};
use crate::provider::{Provider, response};
use crate::scene::{self, POPULATION, add_service, for_portal};

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_refused() {
    let provider = Provider::start(|_| response("200 OK", "", b"never")).await;
    let url = provider.url("/");
    let ecosystem = scene::start(move |name, table| {
        if name == "ss2" {
            let soap = format!("kind = \"soap\"\n{}", for_portal());
            add_service(table, POPULATION, "ask", &url, &soap);
        }
    })
    .await;
    let at = ecosystem.server("ss1").unwrap().addresses().http;
    let good = envelope("ask", "m", "");
    let xml = "text/xml; charset=UTF-8";
    let related = "multipart/related; boundary=b";
    let part = |headers: &str, body: &str| format!("--b\r\n{headers}\r\n\r\n{body}\r\n");
    let first = part("Content-Type: text/xml", &good);
    let doctype =
        good.replace("?>\n", "?>\n<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>\n");
    let entity = good.replace("<x:ask>", "<x:ask>&e;");
    let deep = envelope("ask", "m", &format!("{}{}", "<a>".repeat(5000), "</a>".repeat(5000)));
    let attributes: String = (0..5000).map(|i| format!(" a{i}='1'")).collect();
    let long = envelope("ask", "m", &"x".repeat(11 << 20));
    let two_bodies = good.replace("</s:Body>", "</s:Body><s:Body><x:ask/></s:Body>");
    let many = part("Content-Type: a/b", "x").repeat(300);
    for (what, content_type, body, code) in [
        ("a document type", xml, doctype, "client.invalid_soap"),
        ("an entity", xml, entity, "client.invalid_soap"),
        ("depth", xml, deep, "client.invalid_soap"),
        (
            "attributes",
            xml,
            envelope("ask", "m", &format!("<a{attributes}/>")),
            "client.invalid_xml",
        ),
        ("a long envelope", xml, long, "client.invalid_soap"),
        ("two bodies", xml, two_bodies, "client.invalid_body"),
        (
            "no UTF-8",
            "text/xml; charset=ISO-8859-1",
            good.replace("m<", "\u{0}<"),
            "client.invalid_soap",
        ),
        ("no boundary", "multipart/related", first.clone(), "client.invalid_content_type"),
        (
            "two boundaries",
            "multipart/related; boundary=b; boundary=c",
            first.clone(),
            "client.invalid_content_type",
        ),
        (
            "a header in a header",
            related,
            format!("{first}{}", part("Content-Type: a/b\rX-Evil: 1", "x")),
            "client.mime_parsing_failed",
        ),
        (
            "two content types",
            related,
            format!("{first}{}", part("Content-Type: a/b\r\nContent-Type: a/c", "x")),
            "client.mime_parsing_failed",
        ),
        (
            "a nested boundary like the outer one",
            related,
            format!("{first}{}", part("Content-Type: multipart/mixed; boundary=bb", "--bb")),
            "client.mime_parsing_failed",
        ),
        (
            "a nested boundary that is crossed",
            related,
            format!(
                "{first}{}{}--b--",
                part(
                    "Content-Type: multipart/mixed; boundary=c",
                    "--c\r\nContent-Type: a/b\r\n\r\nx"
                ),
                ""
            ),
            "client.mime_parsing_failed",
        ),
        (
            "long headers",
            related,
            format!(
                "{first}{}",
                part(&format!("Content-Type: a/b\r\nX: {}", "x".repeat(2000)), "x")
            ),
            "client.mime_parsing_failed",
        ),
        ("many parts", related, format!("{first}{many}--b--"), "client.invalid_message"),
        (
            "a part without a type",
            related,
            format!("{first}{}", part("X: y", "x")),
            "client.invalid_content_type",
        ),
    ] {
        let answer = send(at, &post(content_type, "", body.as_bytes())).await;
        assert_eq!(outcome(&answer), code, "{what}: {}", answer.text());
    }
    // A REST service does not speak SOAP, nor the other way round.
    let rest = send(at, &post(xml, "", envelope("measure", "m", "").as_bytes())).await;
    assert_eq!(outcome(&rest), "server.serverproxy.service_type");
    let path = "/r1/DEV/GOV/1001/population/ask";
    assert_eq!(
        scene::portal(&ecosystem, scene::get(path, "")).await.code(),
        Some("server.serverproxy.service_type")
    );
    assert_eq!(provider.count(), 0);
    ecosystem.stop().await;
}
