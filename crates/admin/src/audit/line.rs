use std::fmt::Write as _;
use std::net::IpAddr;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The longest line, in bytes with its line end. Data that would make it longer is left out, and its
/// digest told in its place.
pub const MAX_LINE: usize = 256 << 10;
/// The longest reason, user or URL, in characters; longer ones are cut.
const MAX_TEXT: usize = 1000;

/// Where a log begins: `previous` of its first line.
pub const GENESIS: Link = Link { seq: 0, hash: [0; 32] };

/// A place in the chain: a line's number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The line's number, from 1 over all files.
    pub seq: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// One event.
#[derive(Debug, Clone)]
pub struct Entry<'e> {
    /// The event's name; a failure's ends with ` failed` in the log.
    pub event: &'e str,
    /// Who; `system` for what the server does by itself, `None` when it is not known.
    pub user: Option<&'e str>,
    /// From where.
    pub address: Option<IpAddr>,
    /// Why it failed; `None` for success.
    pub failure: Option<&'e str>,
    /// It failed since warnings were not confirmed.
    pub warning: bool,
    /// How the user proved who they are ([`crate::identity::Scheme::name`]).
    pub auth: Option<&'e str>,
    /// The path of the request, without its query.
    pub url: Option<&'e str>,
    /// What it was about. Never secrets.
    pub data: &'e Map<String, Value>,
}

impl<'e> Entry<'e> {
    /// Something that the server did by itself.
    pub fn of_system(event: &'e str, data: &'e Map<String, Value>) -> Self {
        let (address, failure, auth, url) = (None, None, None, None);
        Self { event, user: Some("system"), address, failure, warning: false, auth, url, data }
    }

    /// The line that follows `previous`, with its line end, and its place in the chain.
    pub(super) fn line(&self, previous: Link, now: OffsetDateTime) -> (String, Link) {
        let seq = previous.seq.saturating_add(1);
        let mut body = self.body(seq, previous, now, self.data);
        if body.len().saturating_add(80) > MAX_LINE {
            let text = Value::Object(self.data.clone()).to_string();
            let sha256 = hex::encode(digest(&SHA256, text.as_bytes()));
            let omitted = json!({ "omittedBytes": text.len(), "omittedSha256": sha256 });
            body = self.body(seq, previous, now, omitted.as_object().unwrap_or(self.data));
        }
        let hash = hash(body.as_bytes());
        let line = format!("{body},\"hash\":\"{}\"}}\n", hex::encode(hash));
        (line, Link { seq, hash })
    }

    /// The line up to where its hash stands.
    fn body(
        &self,
        seq: u64,
        previous: Link,
        now: OffsetDateTime,
        data: &Map<String, Value>,
    ) -> String {
        let now = now.to_offset(time::UtcOffset::UTC);
        // A year beyond 9999 has no RFC 3339 form; the chain is what orders the lines.
        let timestamp = now.format(&Rfc3339).unwrap_or_default();
        let mut body = String::with_capacity(512);
        let mut member = |name: &str, value: Value| {
            let separator = if body.is_empty() { '{' } else { ',' };
            // Writing to a string cannot fail.
            let _ = write!(body, "{separator}\"{name}\":");
            push_ascii(&mut body, &value.to_string());
        };
        member("timestamp", timestamp.into());
        member("seq", seq.into());
        let suffix = if self.failure.is_some() { " failed" } else { "" };
        member("event", format!("{}{suffix}", self.event).into());
        member("user", self.user.map(cut).into());
        if let Some(address) = self.address {
            member("ipaddress", address.to_canonical().to_string().into());
        }
        if let Some(reason) = self.failure {
            member("reason", cut(reason).into());
            member("warning", self.warning.into());
        }
        if let Some(auth) = self.auth {
            member("auth", auth.into());
        }
        if let Some(url) = self.url {
            member("url", cut(url).into());
        }
        member("data", Value::Object(data.clone()));
        member("previous", hex::encode(previous.hash).into());
        body
    }
}

pub(super) fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// Writes JSON with nothing but ASCII: beyond it there are only characters inside strings.
fn push_ascii(out: &mut String, json: &str) {
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

/// A line that is read back: what the chain needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    /// The place that the line says is its own.
    pub(super) link: Link,
    /// The hash that the line says is that of the one before.
    pub(super) previous: [u8; 32],
    /// Its hash is that of its bytes.
    pub(super) whole: bool,
}

#[derive(Serialize, Deserialize)]
struct Chained {
    seq: u64,
    previous: String,
    hash: String,
}

/// Reads a line without its line end; `None` when it is no line of an audit log.
pub(super) fn read(line: &[u8]) -> Option<Read> {
    if line.len() > MAX_LINE {
        return None;
    }
    let chained: Chained = serde_json::from_slice(line).ok()?;
    let hash_of = |text: &str| -> Option<[u8; 32]> {
        let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        lower.then(|| hex::decode(text).ok()?.try_into().ok())?
    };
    let own = hash_of(&chained.hash)?;
    let body = line.strip_suffix(format!(",\"hash\":\"{}\"}}", chained.hash).as_bytes())?;
    Some(Read {
        link: Link { seq: chained.seq, hash: own },
        previous: hash_of(&chained.previous)?,
        whole: hash(body) == own,
    })
}
