//! The sample messages of X-Road's protocol description (`pr-mserv`, annex A), where they are among the
//! vectors: `management/KIND.request` and `KIND.response`.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use causeway_management::{Kind, Message, request_id};
use causeway_message::soap::SoapMessage;

fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    let folder = root.join("management");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no sample messages at {}", folder.display());
    None
}

/// The SOAP message of a sample: around it stands the multipart with words in place of bytes.
fn soap(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    let start = text.find("<?xml").or(text.find("<SOAP-ENV:Envelope")).unwrap();
    let end = "</SOAP-ENV:Envelope>";
    text.as_bytes()[start..text.find(end).unwrap() + end.len()].to_vec()
}

#[test]
fn xroads_samples_are_read() {
    let Some(folder) = folder() else { return };
    for kind in Kind::ALL {
        let name = kind.service_code();
        let request = soap(&folder.join(format!("{name}.request")));
        let parts = match kind {
            Kind::AuthCertReg => 5,
            kind if kind.is_signed() => 3,
            _ => 0,
        };
        let mut body = b"--b\r\nContent-Type: text/xml; charset=UTF-8\r\n\r\n".to_vec();
        body.extend_from_slice(&request);
        for _ in 0..parts {
            body.extend_from_slice(b"\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\nx");
        }
        body.extend_from_slice(b"\r\n--b--\r\n");
        let read = Message::read(Some("multipart/related; boundary=b"), Bytes::from(body));
        if kind == Kind::AuthCertReg {
            // The base64 of this sample lacks a character.
            assert!(read.unwrap_err().message().ends_with("authCert is not base64"));
            continue;
        }
        let message = read.unwrap();
        assert_eq!(message.request.kind(), kind);
        assert_eq!(message.request.server().owner().as_client(), message.header.client, "{name}");
        let answer = soap(&folder.join(format!("{name}.response")));
        let header = SoapMessage::parse(&answer).unwrap();
        let id = request_id(&answer, &header).unwrap();
        assert!(id.is_some(), "{name}");
    }
}
