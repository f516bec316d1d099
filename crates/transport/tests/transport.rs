//! The decoder against X-Road's own messages, against our encoder, and
//! against hostile bytes in every cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use bytes::Bytes;
use causeway_transport::{
    Boundary, BoundaryUse, Decoder, Encoder, Event, Expect, Limits, MessageKind, TransportError,
    media,
};
use proptest::prelude::*;

type Decoded = Result<Vec<Event>, TransportError>;

/// Decodes pieces; neighbouring chunks of a body are joined, so that the cut does not show.
fn decode_pieces<'a>(
    content_type: &str,
    expect: Expect,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Result<Decoder, TransportError>) {
    let mut events = Vec::new();
    let mut decoder = match Decoder::new(content_type, expect, limits.clone()) {
        Ok(decoder) => decoder,
        Err(error) => return (events, Err(error)),
    };
    let mut take = |decoder: &mut Decoder| {
        while let Some(event) = decoder.next_event()? {
            match (events.last_mut(), event) {
                (Some(Event::BodyChunk(have)), Event::BodyChunk(more))
                | (Some(Event::AttachmentChunk(have)), Event::AttachmentChunk(more)) => {
                    assert!(!more.is_empty());
                    *have = Bytes::from([&have[..], &more[..]].concat());
                }
                (_, event) => events.push(event),
            }
        }
        Ok(())
    };
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        if let Err(error) = take(&mut decoder) {
            return (events, Err(error));
        }
    }
    decoder.end_of_input();
    let result = take(&mut decoder);
    if let Err(error) = &result {
        assert_eq!(decoder.next_event().as_ref(), Err(error), "errors stay");
    } else {
        assert_eq!(events.last(), Some(&Event::End));
        assert_eq!(decoder.next_event(), Ok(None));
    }
    (events, result.map(|()| decoder))
}

fn decode(content_type: &str, expect: Expect, message: &[u8]) -> Decoded {
    let (events, result) = decode_pieces(content_type, expect, &Limits::default(), [message]);
    result.map(|_| events)
}

fn code(decoded: Decoded) -> &'static str {
    match decoded {
        Ok(events) => panic!("decoded: {events:?}"),
        Err(error) => error.code(),
    }
}

fn b(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Names of the events, chunks left out.
fn names(events: &[Event]) -> Vec<&'static str> {
    events
        .iter()
        .filter_map(|event| {
            Some(match event {
                Event::OcspResponse(_) => "ocsp",
                Event::RestMessage(_) => "rest",
                Event::SoapMessage { .. } => "soap",
                Event::BodyEnd => "body",
                Event::AttachmentEnd => "attachment",
                Event::HashChainResult(_) => "result",
                Event::HashChain(_) => "chain",
                Event::Signature(_) => "signature",
                Event::Fault(_) => "fault",
                Event::End => "end",
                _ => return None,
            })
        })
        .collect()
}

// ---- X-Road's vectors ----

fn vectors() -> Option<PathBuf> {
    let folder = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")),
        PathBuf::from,
    );
    if folder.join("proxy-messages").is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no vectors at {}", folder.display());
    eprintln!("SKIPPED: vectors not found at {}", folder.display());
    None
}

const TOP: &str = "multipart/mixed; charset=UTF-8; boundary=xtop1357783211hcn1yiro";

#[test]
fn proxy_messages_of_x_road_are_judged_as_x_road_judges_them() {
    let Some(folder) = vectors() else { return };
    let with_attachment = "multipart/mixed; charset=UTF-8; boundary=xtop569125687hcu8vfma";
    let response = "multipart/mixed; charset=UTF-8; boundary=xtop1143483536hcn1yj5i";
    let good: &[(&str, &str, Expect, &[&str])] = &[
        ("normal.request", TOP, Expect::Request, &["soap", "signature", "end"]),
        ("normal.response", response, Expect::Response, &["soap", "signature", "end"]),
        (
            "attachment.request",
            with_attachment,
            Expect::Request,
            &["soap", "attachment", "signature", "end"],
        ),
        ("ocsp.request", TOP, Expect::Request, &["ocsp", "soap", "signature", "end"]),
        ("normal-soapfault.request", TOP, Expect::Request, &["fault", "signature", "end"]),
        ("fault-signature.request", TOP, Expect::Request, &["soap", "fault", "end"]),
    ];
    for (file, content_type, expect, expected) in good {
        let message = std::fs::read(folder.join("proxy-messages").join(file)).unwrap();
        let events =
            decode(content_type, *expect, &message).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(&names(&events), expected, "{file}");
        for size in [1, 7, 100] {
            let (cut, result) =
                decode_pieces(content_type, *expect, &Limits::default(), message.chunks(size));
            result.unwrap();
            assert!(cut == events, "{file} in pieces of {size}");
        }
    }
    for (file, expected) in [
        ("extracontent.request", "invalid_message"),
        ("invalid-ocsp.request", "io_error"),
        ("invalid-soap-contenttype.request", "invalid_content_type"),
        ("invalid-contenttype-signature.request", "invalid_content_type"),
    ] {
        let message = std::fs::read(folder.join("proxy-messages").join(file)).unwrap();
        assert_eq!(code(decode(TOP, Expect::Request, &message)), expected, "{file}");
    }
}

#[test]
fn queries_of_x_road_are_judged_as_x_road_judges_them() {
    let Some(folder) = vectors() else { return };
    let read = |file| std::fs::read(folder.join("soap/queries").join(file)).unwrap();
    let response = |content_type: &str, file| decode(content_type, Expect::Response, &read(file));
    // As the whole of a response.
    assert_eq!(names(&response("text/xml", "fault.query").unwrap()), ["fault", "end"]);
    assert_eq!(code(response("text/xml", "simple.query")), "invalid_message");
    assert_eq!(
        code(response("text/xml; charset=\"UTF-8\"; boundary=foobar", "getstate.query")),
        "invalid_message"
    );
    assert_eq!(code(response("text/xml", "empty.query")), "invalid_soap");
    assert_eq!(code(response("text/xml", "missing-body.query")), "missing_body");
    assert_eq!(code(decode("text/xml", Expect::Request, b"")), "invalid_content_type");
    assert_eq!(code(response("multipart/mixed", "attachm-error.query")), "invalid_content_type");
    let jetty = "multipart/mixed; charset=UTF-8; boundary=jetty771207119h3h10dty";
    assert_eq!(code(response(jetty, "attachm-error.query")), "invalid_content_type");
    // No boundary in it at all: an empty message.
    let (events, result) = decode_pieces(
        "multipart/mixed; boundary=foobar",
        Expect::Request,
        &Limits::default(),
        [read("getstate.query").as_slice()],
    );
    assert_eq!(events, [Event::End]);
    let missing = result.unwrap().require_complete(MessageKind::Soap).unwrap_err();
    assert_eq!(missing.code(), "missing_soap");
    // Without a signature.
    let (events, result) = decode_pieces(
        "multipart/mixed; boundary=jetty42534330h7vzfqv2",
        Expect::Response,
        &Limits::default(),
        [read("no-signature.query").as_slice()],
    );
    assert_eq!(names(&events), ["soap", "end"]);
    let missing = result.unwrap().require_complete(MessageKind::Soap).unwrap_err();
    assert_eq!(missing.code(), "missing_signature");
    // The SOAP part's blank line is also the line end before the next boundary.
    let (events, _) = decode_pieces(
        jetty,
        Expect::Request,
        &Limits::default(),
        [read("no-soap.query").as_slice()],
    );
    assert!(matches!(&events[0], Event::SoapMessage { bytes, .. } if bytes.is_empty()));
}

// ---- order and codes ----

const B: &str = "multipart/mixed; boundary=B";
const FAULT: &str = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body>\
    <e:Fault><faultcode>x</faultcode></e:Fault></e:Body></e:Envelope>";

/// A message of parts given as `type|contents`.
fn message(parts: &[&str]) -> Vec<u8> {
    let mut out = String::new();
    for part in parts {
        let (kind, contents) = part.split_once('|').unwrap();
        out.push_str(&format!("--B\r\ncontent-type: {kind}\r\n\r\n{contents}\r\n"));
    }
    out.push_str("--B--\r\n");
    out.into_bytes()
}

const REST: &str = "application/x-road-rest-request|GET";
const REST_ANSWER: &str = "application/x-road-rest-response|200";
const BODY: &str = "application/x-road-rest-body|body";
const SOAP: &str = "text/xml; charset=UTF-8|<soap/>";
const NESTED: &str =
    "multipart/mixed; boundary=N|\r\n--N\r\ncontent-type: a/b\r\n\r\none\r\n--N--\r\n";
const RESULT: &str = "application/hash-chain-result|<r/>";
const CHAIN: &str = "application/hash-chain|<c/>";
const SIGNATURE: &str = "signature/bdoc-1.0/ts|<s/>";
const OCSP: &str = "application/ocsp-response|0\u{1}x";

#[test]
fn parts_come_in_order_and_optional_ones_may_be_missing() {
    use Expect::{Request, Response};
    let closing_fault = format!("text/xml; charset=UTF-8|{FAULT}");
    let good: &[(Expect, &[&str], &[&str])] = &[
        (Request, &[REST, SIGNATURE], &["rest", "signature", "end"]),
        (
            Request,
            &[OCSP, OCSP, REST, BODY, SIGNATURE],
            &["ocsp", "ocsp", "rest", "body", "signature", "end"],
        ),
        (
            Request,
            &[REST, BODY, RESULT, CHAIN, SIGNATURE],
            &["rest", "body", "result", "chain", "signature", "end"],
        ),
        (
            Request,
            &[SOAP, NESTED, RESULT, CHAIN, SIGNATURE],
            &["soap", "attachment", "result", "chain", "signature", "end"],
        ),
        (
            Response,
            &[REST_ANSWER, RESULT, CHAIN, SIGNATURE],
            &["rest", "result", "chain", "signature", "end"],
        ),
        (Response, &[REST_ANSWER, BODY, &closing_fault], &["rest", "body", "fault", "end"]),
        (Response, &[SOAP, NESTED, &closing_fault], &["soap", "attachment", "fault", "end"]),
        (Response, &[SOAP, RESULT, &closing_fault], &["soap", "result", "fault", "end"]),
        (Response, &[&closing_fault], &["fault", "end"]),
        (Response, &[], &["end"]),
        (Request, &["TEXT/XML|<s/>", "Signature/BDOC-1.0/TS|<s/>"], &["soap", "signature", "end"]),
        (
            Request,
            &["application/xop+xml; type=\"text/xml\"|<s/>", SIGNATURE],
            &["soap", "signature", "end"],
        ),
    ];
    for (expect, parts, expected) in good {
        let events = decode(B, *expect, &message(parts)).unwrap();
        assert_eq!(&names(&events), expected, "{parts:?}");
    }
    let bad: &[(Expect, &[&str], &str)] = &[
        (Request, &[REST_ANSWER, SIGNATURE], "invalid_content_type"),
        (Response, &[REST, SIGNATURE], "invalid_content_type"),
        (Response, &[OCSP, REST_ANSWER, SIGNATURE], "invalid_content_type"),
        (Request, &[SIGNATURE], "invalid_content_type"),
        (Request, &[REST, OCSP, SIGNATURE], "invalid_content_type"),
        (Request, &[REST, NESTED, SIGNATURE], "invalid_content_type"),
        (Request, &[SOAP, BODY, SIGNATURE], "invalid_content_type"),
        (Request, &[REST, BODY, BODY, SIGNATURE], "invalid_content_type"),
        (Request, &[SOAP, NESTED, NESTED, SIGNATURE], "invalid_content_type"),
        (Request, &[SOAP, "multipart/mixed|x"], "invalid_content_type"),
        (Request, &[REST, SIGNATURE, SIGNATURE], "invalid_message"),
        (Request, &[REST, SIGNATURE, "text/plain|x"], "invalid_message"),
        (Response, &[REST_ANSWER, &closing_fault, SIGNATURE], "invalid_message"),
        (Request, &[REST, CHAIN, SIGNATURE], "invalid_message"),
        (Request, &[REST, RESULT, SIGNATURE], "invalid_message"),
        (Request, &[REST, CHAIN, RESULT, SIGNATURE], "invalid_message"),
        (Request, &[REST, "text/xml|<a/>"], "invalid_content_type"),
        (Request, &["application/ocsp-response|0\u{2}x", REST], "io_error"),
        (Request, &["application/ocsp-response|", REST], "io_error"),
    ];
    for (expect, parts, expected) in bad {
        assert_eq!(code(decode(B, *expect, &message(parts))), *expected, "{parts:?}");
    }
}

#[test]
fn completeness_is_told_by_kind() {
    let (_, result) =
        decode_pieces(B, Expect::Request, &Limits::default(), [message(&[REST]).as_slice()]);
    let decoder = result.unwrap();
    assert_eq!(decoder.kind(), Some(MessageKind::Rest));
    assert_eq!(
        decoder.require_complete(MessageKind::Rest).unwrap_err().code(),
        "missing_signature"
    );
    assert_eq!(decoder.require_complete(MessageKind::Soap).unwrap_err().code(), "missing_soap");
    let signed = message(&[REST, SIGNATURE]);
    let (_, result) = decode_pieces(B, Expect::Request, &Limits::default(), [signed.as_slice()]);
    assert_eq!(result.unwrap().require_complete(MessageKind::Rest), Ok(()));
    let (_, result) =
        decode_pieces(B, Expect::Request, &Limits::default(), [message(&[]).as_slice()]);
    let missing = result.unwrap().require_complete(MessageKind::Rest).unwrap_err();
    assert_eq!(missing.code(), "missing_rest");
}

// ---- hostile messages ----

#[test]
fn malformed_multiparts_are_refused() {
    let head = "--B\r\ncontent-type: application/x-road-rest-request\r\n\r\nGET\r\n";
    let nested_head = "--B\r\ncontent-type: text/xml\r\n\r\n<s/>\r\n--B\r\ncontent-type: multipart/mixed; boundary=";
    for (text, expected) in [
        (format!("{head}--B-\r\n"), "mime_parsing_failed"),
        (format!("{head}--Bx\r\n"), "mime_parsing_failed"),
        (format!("{head}--B--x\r\n"), "mime_parsing_failed"),
        (format!("{head}--B{}\r\n", " ".repeat(1_000)), "mime_parsing_failed"),
        (format!("{head}--B--\r\ntrailing"), "invalid_message"),
        (format!("{head}--B--\r\n--B\r\n"), "invalid_message"),
        (format!("{head}--B--{}", "\r\n".repeat(40_000)), "mime_parsing_failed"),
        (format!("preamble\r\n{head}--B--"), "mime_parsing_failed"),
        (head.into(), "io_error"),
        (format!("{head}--B"), "io_error"),
        (format!("{head}--B-"), "io_error"),
        (format!("{head}--B\r\n"), "io_error"),
        (format!("{head}--B\r\ncontent-type: a/b"), "io_error"),
        ("--B\r\nx\r\n\r\n".into(), "mime_parsing_failed"),
        ("--B\r\na: b\rc: d\r\n\r\n".into(), "mime_parsing_failed"),
        (
            "--B\r\ncontent-type: text/xml\r\ncontent-type: a/b\r\n\r\n".into(),
            "mime_parsing_failed",
        ),
        (format!("--B\r\na: {}\r\n\r\n", "x".repeat(1_000)), "mime_parsing_failed"),
        (
            format!("--B\r\n{}\r\n", format!("a: {}\r\n", "x".repeat(900)).repeat(12)),
            "mime_parsing_failed",
        ),
        (format!("--B\r\n{}\r\n", "a:\r\n".repeat(1_001)), "mime_parsing_failed"),
        // Boundaries that cross.
        (format!("{nested_head}B\r\n\r\n--B\r\n"), "mime_parsing_failed"),
        (format!("{nested_head}Bx\r\n\r\n--Bx\r\n"), "mime_parsing_failed"),
        (format!("{nested_head}N\r\n\r\n--N\r\n\r\none\r\n--B\r\n"), "mime_parsing_failed"),
        (format!("{nested_head}N\r\n\r\n--B\r\n"), "mime_parsing_failed"),
        (
            format!("{nested_head}N\r\n\r\n--N\r\n\r\none\r\n--N--\r\n--N\r\n"),
            "mime_parsing_failed",
        ),
        (format!("{nested_head}N\r\n\r\ntext\r\n--N\r\n"), "mime_parsing_failed"),
        (
            format!("{nested_head}N\r\n\r\n--N\r\n\r\none\r\n--N--\r\ntext\r\n--B--"),
            "mime_parsing_failed",
        ),
        (format!("{nested_head}N\r\n\r\n--N\r\n\r\none\r\n--N--\r\n"), "io_error"),
    ] {
        let shown: String = text.chars().take(200).collect();
        assert_eq!(code(decode(B, Expect::Request, text.as_bytes())), expected, "{shown:?}");
        let (_, result) =
            decode_pieces(B, Expect::Request, &Limits::default(), text.as_bytes().chunks(1));
        assert_eq!(result.unwrap_err().code(), expected, "byte by byte: {shown:?}");
    }
}

#[test]
fn boundary_in_the_midst_of_a_line_is_content() {
    let text =
        "--B\r\ncontent-type: application/x-road-rest-request\r\n\r\nGET --B\r--B--\r\n--B--";
    let events = decode(B, Expect::Request, text.as_bytes()).unwrap();
    assert_eq!(events, [Event::RestMessage(b("GET --B\r--B--")), Event::End]);
}

#[test]
fn sizes_and_counts_are_bounded() {
    let tight = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    let nested_twice =
        "multipart/mixed; boundary=N|\r\n--N\r\n\r\none\r\n--N\r\n\r\ntwo\r\n--N--\r\n";
    let fault = format!("text/xml|{FAULT}");
    let cases: &[(Limits, &[&str])] = &[
        (tight(|l| l.message = 2), &[REST, SIGNATURE]),
        (tight(|l| l.message = 2), &[SOAP, SIGNATURE]),
        (tight(|l| l.signature = 2), &[REST, SIGNATURE]),
        (tight(|l| l.fault = 2), &[REST, &fault]),
        (tight(|l| l.hash_chain = 2), &[REST, RESULT, CHAIN, SIGNATURE]),
        (tight(|l| l.hash_chain_result = 2), &[REST, RESULT, CHAIN, SIGNATURE]),
        (tight(|l| l.ocsp_response = 2), &[OCSP, REST, SIGNATURE]),
        (tight(|l| l.ocsp_responses = 1), &[OCSP, OCSP, REST, SIGNATURE]),
        (tight(|l| l.attachments = 1), &[SOAP, nested_twice, SIGNATURE]),
    ];
    for (limits, parts) in cases {
        let message = message(parts);
        assert!(decode(B, Expect::Request, &message).is_ok());
        for size in [1, message.len()] {
            let (_, result) = decode_pieces(B, Expect::Request, limits, message.chunks(size));
            assert_eq!(result.unwrap_err().code(), "invalid_message", "{parts:?}");
        }
    }
    let (_, result) =
        decode_pieces("text/xml", Expect::Response, &tight(|l| l.fault = 2), [FAULT.as_bytes()]);
    assert_eq!(result.unwrap_err().code(), "invalid_message");
}

#[test]
fn content_types_of_the_whole_are_checked() {
    for bad in [
        "",
        "tsdfsdfsdf",
        "multipart/related; boundary=B",
        "multipart/mixed",
        "text/xmlx",
        "multipart/mixed; boundary=a; boundary=b",
    ] {
        assert_eq!(code(decode(bad, Expect::Response, b"")), "invalid_content_type", "{bad}");
    }
}

#[test]
fn body_chunks_are_slices_of_what_was_pushed() {
    let body = "x".repeat(200_000);
    let whole =
        Bytes::from(message(&[REST, &format!("application/x-road-rest-body|{body}"), SIGNATURE]));
    let range = whole.as_ptr() as usize..whole.as_ptr() as usize + whole.len();
    let mut decoder = Decoder::new(B, Expect::Request, Limits::default()).unwrap();
    decoder.push(whole.clone());
    let mut length = 0;
    while let Some(event) = decoder.next_event().unwrap() {
        if let Event::BodyChunk(chunk) | Event::RestMessage(chunk) | Event::Signature(chunk) = event
        {
            assert!(range.contains(&(chunk.as_ptr() as usize)));
            length += chunk.len();
        }
    }
    assert_eq!(length, "GET".len() + body.len() + "<s/>".len());
}

// ---- properties ----

/// Contents that look as much like boundaries as contents may.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"--".to_vec()),
        Just(b"--xtop".to_vec()),
        Just(b"\r\n--xtopAAAA".to_vec()),
        Just(b"\r\n--xattAAAA".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn header_value() -> impl Strategy<Value = String> {
    "[!-~\u{a1}-\u{ff}]([ -~\u{a1}-\u{ff}]{0,40}[!-~])?"
}

/// Content type, other headers, contents.
type Attachment = (Option<String>, Vec<(String, String)>, Vec<u8>);

#[derive(Debug, Clone)]
struct Sent {
    ocsp: Vec<Vec<u8>>,
    first: Vec<u8>,
    body: Option<Vec<u8>>,
    attachments: Option<Vec<Attachment>>,
    chain: Option<(Vec<u8>, Vec<u8>)>,
    last: Result<Vec<u8>, ()>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let ocsp = proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..100).prop_map(|inside| {
            let length = u8::try_from(inside.len()).unwrap();
            [&[0x30, length][..], &inside].concat()
        }),
        0..3,
    );
    let headers = proptest::collection::vec(("[A-Za-z][!-9;-~]{0,12}", header_value()), 0..3)
        .prop_map(|mut h| {
            h.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            h
        });
    let attachment = (proptest::option::of(header_value()), headers, contents());
    let attachments = proptest::option::of(proptest::collection::vec(attachment, 1..4));
    (
        ocsp,
        contents(),
        proptest::option::of(contents()),
        attachments,
        proptest::option::of((contents(), contents())),
        prop_oneof![contents().prop_map(Ok), Just(Err(()))],
    )
        .prop_map(|(ocsp, first, body, attachments, chain, last)| Sent {
            ocsp,
            first,
            body,
            attachments,
            chain,
            last,
        })
}

/// Writes a message, REST unless it has attachments, and tells what should be read.
fn write(sent: &Sent) -> (String, Vec<u8>, Vec<Event>) {
    let random = [b'a'; 30];
    let mut e = Encoder::new(Boundary::random(BoundaryUse::Message, &random));
    let content_type = e.content_type();
    let mut out = Vec::new();
    let mut expected = Vec::new();
    let bytes = |data: &[u8]| Bytes::copy_from_slice(data);
    let part = |e: &mut Encoder, out: &mut Vec<u8>, kind: &str, data: &[u8]| {
        out.extend_from_slice(&e.part_header(kind, &[]).unwrap());
        out.extend_from_slice(data);
    };
    for ocsp in &sent.ocsp {
        part(&mut e, &mut out, media::OCSP_RESPONSE, ocsp);
        expected.push(Event::OcspResponse(bytes(ocsp)));
    }
    if let Some(attachments) = &sent.attachments {
        part(&mut e, &mut out, media::XOP_XML, &sent.first);
        expected
            .push(Event::SoapMessage { headers: Default::default(), bytes: bytes(&sent.first) });
        let nested = Boundary::random(BoundaryUse::Attachments, &random);
        out.extend_from_slice(&e.start_attachments(nested).unwrap());
        for (kind, headers, data) in attachments {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            out.extend_from_slice(&e.attachment_header(kind.as_deref(), &headers).unwrap());
            out.extend_from_slice(data);
            expected.push(Event::AttachmentStart(Default::default()));
            if !data.is_empty() {
                expected.push(Event::AttachmentChunk(bytes(data)));
            }
            expected.push(Event::AttachmentEnd);
        }
        if sent.last.is_ok() {
            out.extend_from_slice(&e.end_attachments());
        }
    } else {
        part(&mut e, &mut out, media::REST_REQUEST, &sent.first);
        expected.push(Event::RestMessage(bytes(&sent.first)));
        if let Some(body) = &sent.body {
            part(&mut e, &mut out, media::REST_BODY, body);
            if !body.is_empty() {
                expected.push(Event::BodyChunk(bytes(body)));
            }
            expected.push(Event::BodyEnd);
        }
    }
    match &sent.last {
        Ok(signature) => {
            if let Some((result, chain)) = &sent.chain {
                part(&mut e, &mut out, media::HASH_CHAIN_RESULT, result);
                part(&mut e, &mut out, media::HASH_CHAIN, chain);
                expected.push(Event::HashChainResult(bytes(result)));
                expected.push(Event::HashChain(bytes(chain)));
            }
            part(&mut e, &mut out, media::SIGNATURE, signature);
            expected.push(Event::Signature(bytes(signature)));
        }
        Err(()) => {
            out.extend_from_slice(&e.fault(FAULT));
            expected.push(Event::Fault(b(FAULT)));
        }
    }
    out.extend_from_slice(&e.end());
    expected.push(Event::End);
    (content_type, out, expected)
}

/// Headers of events are compared with what was written, then dropped.
fn check_and_drop_headers(events: &mut [Event], sent: &Sent) {
    let mut attachments = sent.attachments.iter().flatten();
    for event in events {
        match event {
            Event::SoapMessage { headers, .. } => {
                assert_eq!(std::mem::take(headers).content_type(), Some(media::XOP_XML));
            }
            Event::AttachmentStart(headers) => {
                let (kind, others, _) = attachments.next().unwrap();
                let headers = std::mem::take(headers);
                assert_eq!(headers.content_type(), kind.as_deref());
                assert_eq!(headers.others(), others);
            }
            _ => {}
        }
    }
}

/// Cuts a message at the given places (taken modulo what is left).
fn cut<'a>(message: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = message;
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle().take(message.len()) {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_encoded_is_decoded_in_any_cut(
        sent in sent(),
        sizes in proptest::collection::vec(0_usize..60, 1..8),
    ) {
        let (content_type, message, expected) = write(&sent);
        for pieces in [vec![message.as_slice()], cut(&message, &sizes)] {
            let (mut events, result) =
                decode_pieces(&content_type, Expect::Request, &Limits::default(), pieces);
            prop_assert!(result.is_ok(), "{:?}", result.err());
            check_and_drop_headers(&mut events, &sent);
            prop_assert_eq!(&events, &expected);
        }
    }

    #[test]
    fn the_cut_never_matters_and_nothing_panics(
        sent in sent(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 0..6),
        sizes in proptest::collection::vec(0_usize..60, 1..8),
    ) {
        let (content_type, mut message, _) = write(&sent);
        for (at, byte, how) in changes {
            let at = at.index(message.len());
            match how {
                0 => message[at] = byte,
                1 => { message.remove(at); }
                _ => message.insert(at, byte),
            }
        }
        let (whole, result) =
            decode_pieces(&content_type, Expect::Request, &Limits::default(), [message.as_slice()]);
        let (pieces, cut_result) = decode_pieces(
            &content_type, Expect::Request, &Limits::default(), cut(&message, &sizes));
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(result.err(), cut_result.err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        content_type in "(multipart/mixed; boundary=[ -~]{0,3}|[ -~]{0,40})",
        message in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        for expect in [Expect::Request, Expect::Response] {
            let _ = decode_pieces(&content_type, expect, &Limits::default(), [message.as_slice()]);
        }
    }
}
