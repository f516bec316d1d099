//! REST header blocks: the signed form of a request line or status line and
//! the headers that pass (`pr-rest` 4; X-Road 7.8 `RestMessage`, `RestRequest`,
//! `RestResponse`).
//!
//! ```text
//! request :  VERB CRLF path[?query] CRLF (Name:value CRLF)*
//! response:  status CRLF reason CRLF     (Name:value CRLF)*
//! ```
//! No space after the colon, original case and order of the names, nothing
//! after the last header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::borrow::Cow;

use bytes::Bytes;
use causeway_identifiers::{ClientId, SecurityServerId, ServiceId, rest as encoding};
use ring::digest::{SHA512, digest};

use crate::{Fault, Sender, codes};

/// The longest header block, in bytes, that is read or made.
pub const MAX_BLOCK_BYTES: usize = 256 << 10;

/// The most headers that a block may have.
pub const MAX_HEADERS: usize = 1000;

/// `X-Road-Client`, lower case.
pub const CLIENT: &str = "x-road-client";
/// `X-Road-Service`, lower case.
pub const SERVICE: &str = "x-road-service";
/// `X-Road-Id`, lower case.
pub const MESSAGE_ID: &str = "x-road-id";
/// `X-Road-Request-Id`, lower case.
pub const REQUEST_ID: &str = "x-road-request-id";
/// `X-Road-Request-Hash`, lower case.
pub const REQUEST_HASH: &str = "x-road-request-hash";
/// `X-Road-Security-Server`, lower case.
pub const SECURITY_SERVER: &str = "x-road-security-server";
/// `X-Road-Represented-Party`, lower case.
pub const REPRESENTED_PARTY: &str = "x-road-represented-party";
/// `X-Road-Error`, lower case.
pub const ERROR: &str = "x-road-error";

/// Headers that never pass from one information system to the other.
const DROPPED: [&str; 13] = [
    "transfer-encoding",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
    "connection",
    "user-agent",
    "host",
    "content-length",
    "server",
    "expect",
];

const VERBS: [&str; 8] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// A header as it stands in a block.
pub type Header = (String, String);

/// A REST request, ready to be signed and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestRequest {
    /// The HTTP method.
    pub verb: String,
    /// The path as the client sent it, `/r1/…`.
    pub path: String,
    /// The query as the client sent it, without `?`.
    pub query: Option<String>,
    /// The headers that pass, in order.
    pub headers: Vec<Header>,
    /// The service that the path names.
    pub service: ServiceId,
    /// The client that the headers name.
    pub client: ClientId,
    /// `X-Road-Id`.
    pub message_id: String,
    /// `x-road-request-id`.
    pub request_id: String,
    /// `X-Road-Security-Server`.
    pub target: Option<SecurityServerId>,
    /// The path behind the service code: empty, or from its `/` on.
    pub service_path: String,
}

/// A REST response, ready to be signed and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestResponse {
    /// The HTTP status.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: String,
    /// The headers that pass, in order, with the X-Road headers last.
    pub headers: Vec<Header>,
    /// `x-road-client`.
    pub client: ClientId,
    /// `x-road-service`.
    pub service: ServiceId,
    /// `x-road-id`.
    pub message_id: String,
    /// `x-road-request-id`.
    pub request_id: String,
    /// `x-road-request-hash`, base64.
    pub request_hash: String,
}

fn unreadable(message: impl Into<String>) -> Fault {
    Fault::new(codes::INTERNAL_ERROR, message)
}

fn is_dropped(name: &str) -> bool {
    DROPPED.iter().any(|d| name.eq_ignore_ascii_case(d))
}

/// A header value as text: each byte is the character of that number (ISO
/// 8859-1), whatever the program meant by it. That is how X-Road's servers
/// read headers, so both ends of an exchange see the same block.
pub fn header_text(value: &[u8]) -> String {
    value.iter().map(|b| char::from(*b)).collect()
}

/// The bytes of a header value that [`header_text`] read, the same as they
/// were. A character beyond ISO 8859-1, which no HTTP header can have become,
/// is a question mark, as X-Road's servers write it.
pub fn header_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

impl RestRequest {
    /// Makes the request that a client program sent by HTTP: drops what does
    /// not pass, appends `x-road-request-id`, and then `x-road-id` when the
    /// client gave none.
    ///
    /// # Errors
    /// `internal_error` for a path, identifier or method that cannot be read
    /// (X-Road's answer), `invalid_client_identifier` without a client,
    /// `client.duplicate_header_field` when a header that names a party, a
    /// server or the message is repeated: which of them counts would differ
    /// from reader to reader.
    pub fn from_http(
        verb: &str,
        path: &str,
        query: Option<&str>,
        headers: impl IntoIterator<Item = Header>,
        request_id: &str,
        generated_id: impl FnOnce() -> String,
    ) -> Result<Self, Fault> {
        let mut kept: Vec<Header> = headers
            .into_iter()
            .filter(|(name, _)| {
                !is_dropped(name)
                    && !name.eq_ignore_ascii_case(REQUEST_ID)
                    && !name.eq_ignore_ascii_case(REQUEST_HASH)
            })
            .collect();
        refuse_repeated(&kept).map_err(|fault| fault.with_prefix(codes::CLIENT))?;
        kept.push((REQUEST_ID.into(), request_id.into()));
        if !kept.iter().any(|(n, v)| n.eq_ignore_ascii_case(MESSAGE_ID) && !v.is_empty()) {
            kept.retain(|(n, _)| !n.eq_ignore_ascii_case(MESSAGE_ID));
            kept.push((MESSAGE_ID.into(), generated_id()));
        }
        Self::assemble(verb, path, query, kept)
    }

    /// Reads a header block that a peer sent or a log kept.
    ///
    /// # Errors
    /// `internal_error` for a block that does not follow the form,
    /// `invalid_client_identifier` without a client.
    pub fn parse(block: &[u8]) -> Result<Self, Fault> {
        let mut lines = lines_of(block)?;
        let verb = lines.next().ok_or_else(|| unreadable("Empty REST message"))?;
        let target =
            lines.next().ok_or_else(|| unreadable("REST message without a request line"))?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Self::assemble(verb, path, query, parse_headers(lines)?)
    }

    fn assemble(
        verb: &str,
        path: &str,
        query: Option<&str>,
        headers: Vec<Header>,
    ) -> Result<Self, Fault> {
        if !VERBS.contains(&verb) {
            return Err(unreadable(format!("The HTTP method '{}' is not supported", short(verb))));
        }
        let (path, query) = (ascii(path), query.map(ascii));
        if !is_plain_path(&path) || !query.as_deref().is_none_or(is_plain_query) {
            return Err(unreadable(
                "The request path or query has a character that is not allowed there",
            ));
        }
        let (service, service_path) = split_path(&path)?;
        let service_path = service_path.to_owned();
        let mut client = None;
        let mut message_id = None;
        let mut request_id = None;
        let mut target = None;
        for (name, value) in &headers {
            check_value(name, value)?;
            if name.eq_ignore_ascii_case(CLIENT) {
                client =
                    Some(encoding::decode_client(value).map_err(|e| unreadable(e.to_string()))?);
            } else if name.eq_ignore_ascii_case(MESSAGE_ID) {
                message_id = Some(value.clone());
            } else if name == REQUEST_ID {
                request_id = Some(value.clone());
            } else if name.eq_ignore_ascii_case(SECURITY_SERVER) {
                target =
                    Some(encoding::decode_server(value).map_err(|e| unreadable(e.to_string()))?);
            } else if name.eq_ignore_ascii_case(REPRESENTED_PARTY) {
                check_represented_party(value)?;
            }
        }
        let missing =
            || Fault::new(codes::INVALID_CLIENT_IDENTIFIER, "The header X-Road-Client is missing");
        Ok(Self {
            verb: verb.to_owned(),
            path: path.into_owned(),
            query: query.map(Cow::into_owned),
            service,
            service_path,
            client: client.ok_or_else(missing)?,
            message_id: message_id
                .filter(|id| !id.is_empty())
                .ok_or_else(|| unreadable("The header x-road-id is missing"))?,
            request_id: request_id.unwrap_or_default(),
            target,
            headers,
        })
    }

    /// Refuses a peer's request in which a header that names a party, a server
    /// or the message is repeated: rights are judged for one of them, and the
    /// service may look at another. Reading alone allows it, as old evidence may have it.
    ///
    /// # Errors
    /// `duplicate_header_field`.
    pub fn refuse_repeated_identity(&self) -> Result<(), Fault> {
        refuse_repeated(&self.headers)
    }

    /// The bytes that are signed, sent and stored.
    pub fn to_block(&self) -> Bytes {
        let target_length = self.path.len() + self.query.as_ref().map_or(0, |q| q.len() + 1);
        let mut out = String::with_capacity(64 + target_length + headers_length(&self.headers));
        out.push_str(&self.verb);
        out.push_str("\r\n");
        out.push_str(&self.path);
        if let Some(query) = &self.query {
            out.push('?');
            out.push_str(query);
        }
        out.push_str("\r\n");
        write_headers(&self.headers, &mut out);
        Bytes::from(out)
    }

    /// The first value of a header, by name without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }
}

impl RestResponse {
    /// Makes the response that a service gave by HTTP: drops what does not
    /// pass and appends the X-Road headers in their order.
    pub fn from_http(
        status: u16,
        reason: &str,
        headers: impl IntoIterator<Item = Header>,
        request: &RestRequest,
        request_hash: &str,
    ) -> Self {
        const OURS: [&str; 5] = [MESSAGE_ID, REQUEST_HASH, CLIENT, REQUEST_ID, SERVICE];
        let mut kept: Vec<Header> = headers
            .into_iter()
            .filter(|(name, value)| {
                !is_dropped(name)
                    && !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
                    && check_value(name, value).is_ok()
            })
            .collect();
        kept.push((MESSAGE_ID.into(), request.message_id.clone()));
        kept.push((CLIENT.into(), encoding::encode_client(&request.client)));
        kept.push((SERVICE.into(), encoding::encode_service(&request.service)));
        kept.push((REQUEST_ID.into(), request.request_id.clone()));
        kept.push((REQUEST_HASH.into(), request_hash.to_owned()));
        Self {
            status,
            reason: reason.chars().filter(|c| !c.is_control()).collect(),
            headers: kept,
            client: request.client.clone(),
            service: request.service.clone(),
            message_id: request.message_id.clone(),
            request_id: request.request_id.clone(),
            request_hash: request_hash.to_owned(),
        }
    }

    /// Reads a header block that a peer sent or a log kept.
    ///
    /// # Errors
    /// `internal_error` for a block that does not follow the form, or lacks
    /// `x-road-client`, `x-road-service`, `x-road-id` or `x-road-request-hash`.
    pub fn parse(block: &[u8]) -> Result<Self, Fault> {
        let mut lines = lines_of(block)?;
        let status = lines
            .next()
            .and_then(|line| line.parse::<u16>().ok())
            .filter(|status| (100..1000).contains(status))
            .ok_or_else(|| unreadable("REST response without a status"))?;
        let reason =
            lines.next().ok_or_else(|| unreadable("REST response without a status line"))?;
        let headers = parse_headers(lines)?;
        let mut client = None;
        let mut service = None;
        // The last one counts, as X-Road reads them: a provider may have sent its own before.
        for (name, value) in &headers {
            check_value(name, value)?;
            if name.eq_ignore_ascii_case(CLIENT) {
                client =
                    Some(encoding::decode_client(value).map_err(|e| unreadable(e.to_string()))?);
            } else if name.eq_ignore_ascii_case(SERVICE) {
                service =
                    Some(encoding::decode_service(value).map_err(|e| unreadable(e.to_string()))?);
            }
        }
        let last = |name: &str| {
            let found = headers.iter().rev().find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, v)| v.clone()).filter(|v| !v.is_empty())
        };
        let missing =
            |name: &str| unreadable(format!("The header {name} is missing in the response"));
        Ok(Self {
            status,
            reason: reason.to_owned(),
            client: client.ok_or_else(|| missing(CLIENT))?,
            service: service.ok_or_else(|| missing(SERVICE))?,
            message_id: last(MESSAGE_ID).ok_or_else(|| missing(MESSAGE_ID))?,
            request_id: last(REQUEST_ID).unwrap_or_default(),
            request_hash: last(REQUEST_HASH).ok_or_else(|| missing(REQUEST_HASH))?,
            headers,
        })
    }

    /// The bytes that are signed, sent and stored.
    pub fn to_block(&self) -> Bytes {
        let mut out = String::with_capacity(32 + self.reason.len() + headers_length(&self.headers));
        out.push_str(&self.status.to_string());
        out.push_str("\r\n");
        out.push_str(&self.reason);
        out.push_str("\r\n");
        write_headers(&self.headers, &mut out);
        Bytes::from(out)
    }

    /// Refuses a response that does not belong to the request.
    ///
    /// # Errors
    /// `inconsistent_response`, naming the first thing that differs.
    pub fn check_answers(&self, request: &RestRequest, request_hash: &str) -> Result<(), Fault> {
        let differs = if self.client != request.client {
            "client identifier"
        } else if self.message_id != request.message_id {
            "message id"
        } else if self.service != request.service {
            "service identifier"
        } else if self.request_id != request.request_id {
            "request id"
        } else if self.request_hash != request_hash {
            "request hash"
        } else {
            return Ok(());
        };
        let text = format!("The response does not belong to the request: the {differs} differs");
        Err(Fault::new(codes::INCONSISTENT_RESPONSE, text))
    }

    /// The first value of a header, by name without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }
}

/// The request hash of a response: base64 of SHA-512 over the request's block
/// alone, or over the two raw digests when the request had a body part.
pub fn request_hash(block: &[u8], body_sha512: Option<&[u8]>) -> String {
    let of_block = digest(&SHA512, block);
    match body_sha512 {
        None => BASE64.encode(of_block),
        Some(of_body) => {
            let mut both = of_block.as_ref().to_vec();
            both.extend_from_slice(of_body);
            BASE64.encode(digest(&SHA512, &both))
        }
    }
}

/// Tells who must have signed a REST block; a first byte `1` to `9` means a response.
///
/// # Errors
/// As [`RestRequest::parse`] and [`RestResponse::parse`].
pub fn sender_of(block: &[u8]) -> Result<Sender, Fault> {
    if block.first().is_some_and(|b| (b'1'..=b'9').contains(b)) {
        let response = RestResponse::parse(block)?;
        Ok(Sender {
            client: response.service.client().clone(),
            response: true,
            message_id: response.message_id,
            service: Some(response.service),
        })
    } else {
        let request = RestRequest::parse(block)?;
        Ok(Sender {
            client: request.client,
            response: false,
            message_id: request.message_id,
            service: Some(request.service),
        })
    }
}

/// Names that differ in `-` and `_` alone are the same name to many services.
fn refuse_repeated(headers: &[Header]) -> Result<(), Fault> {
    let same = |a: &str, b: &str| a.replace('_', "-").eq_ignore_ascii_case(b);
    for name in [CLIENT, MESSAGE_ID, SECURITY_SERVER, REPRESENTED_PARTY] {
        if headers.iter().filter(|(n, _)| same(n, name)).count() > 1 {
            let text = format!("The header {name} may be given once only");
            return Err(Fault::new(codes::DUPLICATE_HEADER_FIELD, text));
        }
    }
    Ok(())
}

fn find_header<'h>(headers: &'h [Header], name: &str) -> Option<&'h str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
}

/// Splits `/r1/I/C/M/S/service[/rest]` on the raw path; percent sequences are decoded after the split.
fn split_path(path: &str) -> Result<(ServiceId, &str), Fault> {
    let mut pieces = path.splitn(8, '/');
    let invalid =
        || unreadable("The request path must be /r1/INSTANCE/CLASS/MEMBER/SUBSYSTEM/SERVICE[/…]");
    if pieces.next() != Some("") {
        return Err(invalid());
    }
    match pieces.next() {
        Some("r1") => {}
        Some(version) => {
            return Err(unreadable(format!(
                "Protocol version '{}' is not supported",
                short(version)
            )));
        }
        None => return Err(invalid()),
    }
    let mut segment = || {
        let piece = pieces.next().ok_or_else(invalid)?;
        encoding::decode_segment(piece).map_err(|e| unreadable(e.to_string()))
    };
    let (instance, class, member, subsystem, code) =
        (segment()?, segment()?, segment()?, segment()?, segment()?);
    let service = ClientId::new(&instance, &class, &member, Some(&subsystem))
        .and_then(|client| client.service(&code, None))
        .map_err(|e| unreadable(e.to_string()))?;
    let service_path = match pieces.next() {
        Some(rest) => &path[path.len() - rest.len() - 1..],
        None => "",
    };
    Ok((service, service_path))
}

/// Whether a path has only what RFC 3986 allows there (square brackets aside):
/// rights are judged by it, and a backslash is a slash to some services and a
/// letter to others. X-Road's reader refuses the rest too.
fn is_plain_path(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&b))
}

/// Whether a query has visible ASCII only, without what would end it. Programs
/// send braces and bars there, and no right depends on them. (A provider's
/// X-Road server refuses what RFC 3986 does not allow.)
fn is_plain_query(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// Percent-encodes what is not ASCII (RFC 3986 2.1, the bytes of UTF-8): some
/// programs send such characters as they are, and no service expects them so.
fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(out)
}

/// A represented party is a member code, or a member class and code (`pr-rest` 4.3).
fn check_represented_party(value: &str) -> Result<(), Fault> {
    let mut pieces = value.splitn(3, '/');
    let legal = |piece: &str| encoding::decode_segment(piece).is_ok_and(|text| !text.is_empty());
    if pieces.by_ref().take(2).all(legal) && pieces.next().is_none() {
        return Ok(());
    }
    Err(unreadable("The header X-Road-Represented-Party must be CODE or CLASS/CODE"))
}

fn check_value(name: &str, value: &str) -> Result<(), Fault> {
    if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return Err(unreadable(format!(
            "The header {} has a line break in its value",
            short(name)
        )));
    }
    Ok(())
}

fn lines_of(block: &[u8]) -> Result<impl Iterator<Item = &str>, Fault> {
    if block.len() > MAX_BLOCK_BYTES {
        return Err(unreadable(format!("The REST message is longer than {MAX_BLOCK_BYTES} bytes")));
    }
    let text =
        std::str::from_utf8(block).map_err(|_| unreadable("The REST message is not UTF-8"))?;
    let text = text
        .strip_suffix("\r\n")
        .ok_or_else(|| unreadable("The REST message does not end in a line break"))?;
    Ok(text.split("\r\n"))
}

fn parse_headers<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Header>, Fault> {
    lines
        .enumerate()
        .map(|(count, line)| {
            if count == MAX_HEADERS {
                return Err(unreadable(format!(
                    "The REST message has more than {MAX_HEADERS} headers"
                )));
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let legal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
            if !legal || is_dropped(name) {
                return Err(unreadable(format!("Invalid header: {}", short(name))));
            }
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

fn headers_length(headers: &[Header]) -> usize {
    headers.iter().map(|(n, v)| n.len() + v.len() + 3).sum()
}

fn write_headers(headers: &[Header], out: &mut String) {
    for (name, value) in headers {
        out.push_str(name);
        out.push(':');
        out.push_str(value);
        out.push_str("\r\n");
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
#[path = "rest_tests.rs"]
mod tests;
