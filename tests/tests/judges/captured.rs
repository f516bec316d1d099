//! What X-Road 7.8.0 said and accepted when it was at the other end, so that
//! it is held to without it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use causeway_asic::Container;
use causeway_globalconf::GlobalConf;
use causeway_identifiers::ClientId;
use causeway_message::rest::{self, RestRequest, RestResponse};
use causeway_message::soap;
use causeway_pki::ocsp::OcspResponse;
use causeway_pki::{DigestAlgorithm, Digester};
use causeway_signature::hashchain::DigestValue;
use causeway_signature::verify::{Absent, ChainDocuments, Content, Part, verify};
use causeway_signature::xades::SignatureDocument;
use causeway_transport::{Boundary, Decoder, Encoder, Event, Expect, Limits, MessageKind, media};
use time::OffsetDateTime;
use time::macros::datetime;

const AT: OffsetDateTime = datetime!(2026-11-25 13:04:51 UTC);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captured/xroad-7.8.0")
}

fn configuration() -> GlobalConf {
    auditor::configuration::read(&folder().join("verificationconf.zip")).unwrap()
}

/// A message between two security servers.
struct Message {
    content_type: String,
    body: Bytes,
    ocsp: Vec<Bytes>,
    block: Bytes,
    rest_body: Option<Bytes>,
    chain: Option<(Bytes, Bytes)>,
    signature: Bytes,
}

fn http(name: &str) -> (String, Bytes) {
    let bytes = std::fs::read(folder().join(format!("{name}.http"))).unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(bytes[..end].to_vec()).unwrap(), Bytes::from(bytes).slice(end..))
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.clone().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).unwrap()
}

fn message(name: &str, expect: Expect) -> Message {
    let (head, body) = http(name);
    assert_eq!(header(&head, "x-hash-algorithm"), "SHA-512");
    let content_type = header(&head, "content-type").to_owned();
    let mut decoder =
        Decoder::new(&content_type, expect, Limits::for_rest(rest::MAX_BLOCK_BYTES)).unwrap();
    decoder.push(body.clone());
    decoder.end_of_input();
    let mut found = Message {
        content_type,
        body,
        ocsp: Vec::new(),
        block: Bytes::new(),
        rest_body: None,
        chain: None,
        signature: Bytes::new(),
    };
    let (mut result, mut chain) = (None, None);
    loop {
        match decoder.next_event().unwrap().expect("the message ends") {
            Event::OcspResponse(der) => found.ocsp.push(der),
            Event::RestMessage(block) => found.block = block,
            Event::BodyChunk(chunk) => {
                let so_far = found.rest_body.take().unwrap_or_default();
                found.rest_body = Some([so_far, chunk].concat().into());
            }
            Event::BodyEnd => found.rest_body = Some(found.rest_body.take().unwrap_or_default()),
            Event::HashChainResult(bytes) => result = Some(bytes),
            Event::HashChain(bytes) => chain = Some(bytes),
            Event::Signature(bytes) => found.signature = bytes,
            Event::End => break,
            other => panic!("{name}: {other:?}"),
        }
    }
    decoder.require_complete(MessageKind::Rest).unwrap();
    found.chain = result.zip(chain);
    found
}

fn body_digest(message: &Message) -> Option<Vec<u8>> {
    message.rest_body.as_ref().map(|body| {
        let mut digester = Digester::new(DigestAlgorithm::Sha512);
        digester.update(body);
        digester.finish()
    })
}

/// The signature holds, is the sender's, and covers everything.
fn holds(message: &Message, sender: &ClientId, conf: &GlobalConf) {
    let digest =
        body_digest(message).map(|value| DigestValue { algorithm: DigestAlgorithm::Sha512, value });
    let mut parts = vec![Part { name: "/message.xml", content: Content::Bytes(&message.block) }];
    parts.extend(
        digest.as_ref().map(|d| Part { name: "/attachment1", content: Content::Digest(d) }),
    );
    let document = SignatureDocument::parse(&message.signature).unwrap();
    let chain = message.chain.as_ref();
    let chain = chain.map(|(result, chain)| ChainDocuments { result, chain });
    verify(&document, chain, &parts, Absent::Refused, sender, AT, conf).unwrap();
}

#[test]
fn both_sides_messages_are_read_and_hold() {
    let conf = configuration();
    for exchange in ["x2c-get", "c2x-get", "x2c-post", "c2x-post"] {
        let asked = message(&format!("{exchange}.request"), Expect::Request);
        let request = RestRequest::parse(&asked.block).unwrap();
        assert_eq!(request.message_id, exchange);
        assert_eq!(asked.rest_body.is_some(), exchange.ends_with("post"));
        assert_eq!(request.to_block(), asked.block, "{exchange}");
        holds(&asked, &request.client, &conf);
        for der in &asked.ocsp {
            OcspResponse::parse(der).unwrap();
        }
        assert!(!asked.ocsp.is_empty());

        let answered = message(&format!("{exchange}.response"), Expect::Response);
        let response = RestResponse::parse(&answered.block).unwrap();
        holds(&answered, request.service.client(), &conf);
        let hash = rest::request_hash(&asked.block, body_digest(&asked).as_deref());
        response.check_answers(&request, &hash).unwrap();
        assert_eq!(response.status, 200);
    }
}

/// Writes a message again from its parts, with the same boundary.
fn written_again(message: &Message, kind: &str) -> Vec<u8> {
    let boundary = message.content_type.split("boundary=").nth(1).unwrap().trim_matches('"');
    let mut encoder = Encoder::new(Boundary::parse(boundary).unwrap());
    let mut out = Vec::new();
    let mut part = |kind: &str, content: &Bytes| {
        out.extend_from_slice(&encoder.part_header(kind, &[]).unwrap());
        out.extend_from_slice(content);
    };
    for response in &message.ocsp {
        part(media::OCSP_RESPONSE, response);
    }
    part(kind, &message.block);
    if let Some(body) = &message.rest_body {
        part(media::REST_BODY, body);
    }
    if let Some((result, chain)) = &message.chain {
        part(media::HASH_CHAIN_RESULT, result);
        part(media::HASH_CHAIN, chain);
    }
    part(media::SIGNATURE, &message.signature);
    out.extend_from_slice(&encoder.end());
    out
}

#[test]
fn we_write_as_when_it_was_accepted_and_as_x_road_writes() {
    for exchange in ["x2c-get", "c2x-get", "x2c-post", "c2x-post"] {
        let asked = message(&format!("{exchange}.request"), Expect::Request);
        let answered = message(&format!("{exchange}.response"), Expect::Response);
        for (message, kind) in [(asked, media::REST_REQUEST), (answered, media::REST_RESPONSE)] {
            let again = written_again(&message, kind);
            let (ours, theirs) = (again.escape_ascii(), message.body.escape_ascii());
            assert_eq!(ours.to_string(), theirs.to_string(), "{exchange}");
        }
    }
}

#[test]
fn refusals_are_the_same_to_the_byte() {
    let mut forms = BTreeMap::new();
    for exchange in ["x2c-denied", "c2x-denied"] {
        let (head, body) = http(&format!("{exchange}.response"));
        assert!(head.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(header(&head, "content-type"), "text/xml;charset=utf-8");
        let fault = soap::read_fault(&body).unwrap();
        assert_eq!(fault.code(), "server.serverproxy.access_denied");
        fault.detail().parse::<uuid::Uuid>().unwrap();
        assert_eq!(soap::write_fault(&fault).as_bytes(), body, "{exchange}");
        let text = String::from_utf8(body.to_vec()).unwrap();
        let text = text
            .replace(fault.detail(), "UUID")
            .replace("DEV/COM/2001/xprovider", "PROVIDER")
            .replace("DEV/GOV/1001/cprovider", "PROVIDER");
        forms.insert(text, exchange);
    }
    assert_eq!(forms.len(), 1, "{forms:?}");
}

#[test]
fn the_evidence_of_both_logs_holds() {
    let conf = configuration();
    let mut judged = 0;
    for entry in std::fs::read_dir(folder().join("containers")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let container = Container::read(&bytes, &causeway_asic::Limits::default()).unwrap();
        let report = auditor::judge(&container, &conf, None);
        assert!(report.is_valid() && report.complete, "{}: {report:?}", path.display());
        judged += 1;
    }
    assert_eq!(judged, 16);
}

#[test]
fn both_logs_keep_the_same_message() {
    let read = |name: String| {
        let bytes = std::fs::read(folder().join("containers").join(name)).unwrap();
        Container::read(&bytes, &causeway_asic::Limits::default()).unwrap()
    };
    for exchange in ["x2c-get", "c2x-get", "x2c-post", "c2x-post"] {
        for kind in ["request", "response"] {
            let theirs = read(format!("{exchange}-{kind}-xroad.asice"));
            let ours = read(format!("{exchange}-{kind}-causeway.asice"));
            assert_eq!(theirs.message, ours.message, "{exchange} {kind}");
            assert_eq!(theirs.attachments, ours.attachments, "{exchange} {kind}");
            assert_eq!(theirs.sig_hash_chain, ours.sig_hash_chain, "{exchange} {kind}");
        }
    }
}
