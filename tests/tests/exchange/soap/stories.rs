//! Large attachments stream, and the evidence holds what passed.

use std::process::Command;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Request;
use sandbox::evidence;
use sandbox::systems::soap;

use super::{Message, answered, envelope, outcome, post, send};
use crate::provider::{Provider, response};
use crate::scene::{self, POPULATION, PORTAL, add_service, container, for_portal, set};

const RELATED: &str = "multipart/related; type=\"text/xml\"; boundary=story";

/// A multipart of an envelope and attachments.
fn related(envelope: &[u8], attachments: &[&[u8]]) -> Vec<u8> {
    let mut out =
        b"--story\r\nContent-Type: text/xml; charset=UTF-8\r\nContent-ID: <root>\r\n\r\n".to_vec();
    out.extend_from_slice(envelope);
    for (index, attachment) in attachments.iter().enumerate() {
        let header = format!(
            "\r\n--story\r\nContent-Type: application/octet-stream\r\nContent-ID: <a{index}>\r\n\r\n"
        );
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(attachment);
    }
    out.extend_from_slice(b"\r\n--story--\r\n");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn the_evidence_of_soap_exchanges() {
    let provider = Provider::start(|seen| {
        let content_type = seen.header("content-type").unwrap();
        let message = Message::read(content_type, &seen.body).unwrap();
        let envelope = answered(&message.envelope, "ask");
        let all: Vec<&[u8]> =
            message.attachments.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        match message.part {
            None => response("200 OK", "Content-Type: text/xml\r\n", &envelope),
            Some(_) => {
                let header = format!("Content-Type: {RELATED}\r\n");
                response("200 OK", &header, &related(&envelope, &all))
            }
        }
    })
    .await;
    let url = provider.url("/ask");
    let ecosystem = scene::start(move |name, table| {
        if name == "ss2" {
            let soap = format!("kind = \"soap\"\nversion = \"v1\"\n{}", for_portal());
            add_service(table, POPULATION, "ask", &url, &soap);
        }
    })
    .await;
    let at = ecosystem.server("ss1").unwrap().addresses().http;
    let ask = |id: &str| {
        let version = "<i:serviceCode>ask</i:serviceCode><i:serviceVersion>v1</i:serviceVersion>";
        envelope("ask", id, "?").replace("<i:serviceCode>ask</i:serviceCode>", version)
    };
    // What stays in memory, and what goes to files.
    let large: Vec<u8> =
        (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let attachments: Vec<(&str, Vec<&[u8]>)> = vec![
        ("plain", vec![]),
        ("one", vec![b"small"]),
        ("several", vec![b"", b"small", &large, b"\r\n--stor\r\n", b"last"]),
    ];
    for (id, attached) in &attachments {
        let request = ask(id);
        let http = if attached.is_empty() {
            post("text/xml", "SOAPAction: \"urn:ask\"\r\n", request.as_bytes())
        } else {
            post(RELATED, "", &related(request.as_bytes(), attached))
        };
        let answer = send(at, &http).await;
        assert_eq!(outcome(&answer), "ok", "{id}: {}", answer.text());
        let read = Message::read(answer.header("content-type").unwrap(), &answer.body).unwrap();
        let got: Vec<&[u8]> = read.attachments.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        assert_eq!(got, *attached, "{id}");
    }
    // Another version is another service.
    let other = ask("other").replace(">v1<", ">v2<");
    let answer = send(at, &post("text/xml", "", other.as_bytes())).await;
    assert_eq!(outcome(&answer), "server.serverproxy.unknown_service");

    ecosystem.stamp_now().await.unwrap();
    let (_, conf) = evidence::configuration(&ecosystem).await.unwrap();
    for (server, owner) in [("ss1", PORTAL), ("ss2", POPULATION)] {
        let server = ecosystem.server(server).unwrap();
        for (id, attached) in &attachments {
            for response in [false, true] {
                let kept = container(server, owner, id, response).await;
                let report = auditor::judge(&kept, &conf, None);
                assert!(report.is_valid() && report.complete, "{id}: {report:?}");
                let bytes: Vec<&[u8]> =
                    kept.attachments.iter().map(|a| &a.content().unwrap()[..]).collect();
                assert_eq!(bytes, *attached, "{id}");
                if !response {
                    assert_eq!(kept.message, ask(id).as_bytes());
                }
            }
        }
    }
    ecosystem.stop().await;
}

const LARGE: u64 = 192 << 20;
/// An attachment that fills the buffers on its way.
const LONG: u64 = 32 << 20;
/// What a process may take more at its peak while two large attachments pass, in KiB.
const MAY_GROW: u64 = 64 << 10;

const ALONE: &str = "CAUSEWAY_TEST_ALONE";

#[test]
fn large_attachments_pass_through() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(pass_through());
    }
    // In a process of its own: what other tests hold in memory is not to be measured.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["soap::stories::large_attachments_pass_through", "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

/// Sends an attachment of so many bytes through both servers, and gets as many back.
async fn pass(ecosystem: &sandbox::Ecosystem, size: u64, id: &str) {
    let envelope = soap::envelope(
        &["DEV", "GOV", "1003", "portal"],
        &["DEV", "GOV", "1001", "population"],
        id,
        10,
    );
    let server = ecosystem.server("ss1").unwrap();
    let request = Request::post(server.consumer().base())
        .header("Content-Type", soap::content_type(true))
        .body(soap::related(&envelope, size))
        .unwrap();
    let answer = server.consumer().stream(request).await.unwrap();
    let content_type = answer.headers()["content-type"].clone();
    let (mut body, mut got) = (answer.into_body(), 0);
    let mut beginning = Vec::new();
    while let Some(frame) = body.frame().await {
        let data: Bytes = frame.unwrap().into_data().unwrap_or_default();
        got += data.len() as u64;
        if beginning.len() < 10_000 {
            beginning.extend_from_slice(&data);
        }
    }
    let beginning = String::from_utf8_lossy(&beginning);
    let content_type = content_type.to_str().unwrap();
    assert!(
        content_type.starts_with("multipart/related; type=\"text/xml\"; boundary="),
        "{content_type}"
    );
    assert!(beginning.contains("requestHash") && got > size, "{got} of {size}: {beginning}");
}

async fn pass_through() {
    let ecosystem = scene::start(|_, table| {
        set(table, "log.over_limit", "omit");
        set(table, "log.max_loggable_body", "1 MiB");
    })
    .await;
    pass(&ecosystem, LONG, "long").await;
    let before = crate::large_bodies::peak();
    pass(&ecosystem, LARGE, "large").await;
    let grown = crate::large_bodies::peak() - before;
    assert!(grown < MAY_GROW, "{grown} KiB more than {before} KiB");

    ecosystem.stamp_now().await.unwrap();
    let (_, conf) = evidence::configuration(&ecosystem).await.unwrap();
    for (server, owner) in [("ss1", PORTAL), ("ss2", POPULATION)] {
        let server = ecosystem.server(server).unwrap();
        for response in [false, true] {
            let kept = container(server, owner, "large", response).await;
            let report = auditor::judge(&kept, &conf, None);
            assert!(report.is_valid() && !report.complete, "{report:?}");
        }
    }
    ecosystem.stop().await;
}
