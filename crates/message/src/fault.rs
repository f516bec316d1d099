//! The error that a client program sees.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use crate::codes;

/// An error of the message exchange: a stable code, a text that names the
/// thing at fault, and a detail that finds the same error in the server's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    code: Cow<'static, str>,
    message: String,
    detail: String,
    envelope: Option<Bytes>,
}

/// Which generation of error codes client programs get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CodeStyle {
    /// X-Road 7.8's, `server.clientproxy.unknown_member`.
    #[default]
    Snake,
    /// X-Road 7.7's and older, `Server.ClientProxy.UnknownMember`.
    Camel,
}

impl Fault {
    /// A fault of the given code; see [`codes`].
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), detail: String::new(), envelope: None }
    }

    /// Puts a prefix before the code, unless the code has it already, or
    /// already names one of the two servers or the client (X-Road `translateWithPrefix`). A fault
    /// that came as an envelope stays as it is.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        if self.envelope.is_some() {
            return self;
        }
        let lower = self.code.to_ascii_lowercase();
        let placed = [codes::CLIENT_PROXY, codes::SERVER_PROXY, codes::CLIENT]
            .iter()
            .any(|p| starts_with_code(&lower, p));
        if !placed && !starts_with_code(&lower, prefix) {
            self.code = format!("{prefix}.{}", self.code).into();
        }
        self
    }

    /// Sets the detail, a UUID that is in the server's log too.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Keeps the SOAP envelope, in UTF-8, that brought the fault: a SOAP client program gets it as it came.
    #[must_use]
    pub fn with_envelope(mut self, envelope: Bytes) -> Self {
        self.envelope = Some(envelope);
        self
    }

    /// The fault without the envelope that brought it: one of our own, with the same code.
    #[must_use]
    pub fn without_envelope(mut self) -> Self {
        self.envelope = None;
        self
    }

    /// The SOAP envelope that brought the fault, if one did.
    pub fn envelope(&self) -> Option<&Bytes> {
        self.envelope.as_ref()
    }

    /// The code, with its prefixes.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The detail; empty when none was set.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The code in the generation that the operator chose.
    pub fn styled_code(&self, style: CodeStyle) -> String {
        match style {
            CodeStyle::Snake => self.code.to_string(),
            CodeStyle::Camel => codes::to_camel_case(&self.code),
        }
    }

    /// The HTTP status of a REST error: 500 when a server is at fault, else 400.
    pub fn rest_status(&self) -> u16 {
        if self.code.starts_with("server.") { 500 } else { 400 }
    }

    /// The JSON body of a REST error: exactly `type`, `message` and `detail`.
    pub fn to_json(&self, style: CodeStyle) -> String {
        format!(
            "{{\"type\":{},\"message\":{},\"detail\":{}}}",
            json_string(&self.styled_code(style)),
            json_string(&self.message),
            json_string(&self.detail)
        )
    }

    /// The XML body of a REST error.
    pub fn to_xml(&self, style: CodeStyle) -> String {
        let mut w = causeway_xml::Writer::new();
        w.start("error", &[]);
        w.element("type", &[], &self.styled_code(style));
        w.element("message", &[], &self.message);
        w.element("detail", &[], &self.detail);
        w.finish()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}

fn starts_with_code(code: &str, prefix: &str) -> bool {
    code.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether a client program asks for XML errors, by the value of `Accept`:
/// the media type to answer with, or `None` for JSON (`ClientRestMessageHandler`).
pub fn wants_xml(accept: &str) -> Option<&'static str> {
    accept.split(',').find_map(|range| {
        match range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "text/xml" | "text/*" => Some("text/xml"),
            "application/xml" => Some("application/xml"),
            _ => None,
        }
    })
}

fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_put_once() {
        let fault = Fault::new(codes::UNKNOWN_MEMBER, "no").with_prefix(codes::CLIENT_PROXY);
        assert_eq!(fault.code(), "server.clientproxy.unknown_member");
        assert_eq!(fault.clone().with_prefix(codes::CLIENT_PROXY), fault);
        let far =
            Fault::new("server.serverproxy.access_denied", "no").with_prefix(codes::CLIENT_PROXY);
        assert_eq!(far.code(), "server.serverproxy.access_denied");
        assert_eq!(far.rest_status(), 500);
        let own = Fault::new("client.duplicate_header_field", "").with_prefix(codes::CLIENT_PROXY);
        assert_eq!((own.code(), own.rest_status()), ("client.duplicate_header_field", 400));
        assert_eq!(Fault::new("client.invalid_soap", "").rest_status(), 400);
        let older =
            Fault::new("Server.ServerProxy.AccessDenied", "no").with_prefix(codes::CLIENT_PROXY);
        assert_eq!(older.code(), "Server.ServerProxy.AccessDenied");
    }

    #[test]
    fn bodies_escape_what_they_carry() {
        let fault = Fault::new("client.x", "a \"quote\" <b>\u{1}").with_detail("id");
        assert_eq!(
            fault.to_json(CodeStyle::Snake),
            "{\"type\":\"client.x\",\"message\":\"a \\\"quote\\\" <b>\\u0001\",\"detail\":\"id\"}"
        );
        assert!(fault.to_xml(CodeStyle::Snake).contains("&lt;b&gt;"));
    }

    #[test]
    fn accept_decides_the_form() {
        assert_eq!(wants_xml("application/json, */*"), None);
        assert_eq!(wants_xml("application/json, text/xml;q=0.5"), Some("text/xml"));
        assert_eq!(wants_xml("text/*"), Some("text/xml"));
        assert_eq!(wants_xml("application/xml"), Some("application/xml"));
    }
}
