//! The SOAP envelope around a request, and the identifiers in it, written and read.

use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_message::soap::{ENVELOPE_NS, HEADER_NS, IDENTIFIER_NS};
use causeway_message::{Fault, codes};
use causeway_xml::{Element, Writer};

/// Opens envelope and header, writes the header of a request, and opens the body.
pub(crate) fn begin(w: &mut Writer, sender: &ClientId, provider: &ClientId, code: &str, id: &str) {
    w.start(
        "SOAP-ENV:Envelope",
        &[("xmlns:SOAP-ENV", ENVELOPE_NS), ("xmlns:xroad", HEADER_NS), ("xmlns:id", IDENTIFIER_NS)],
    );
    w.start("SOAP-ENV:Header", &[]);
    client(w, "xroad:client", sender);
    w.start("xroad:service", &[("id:objectType", "SERVICE")]);
    member_parts(w, provider.member());
    subsystem_part(w, provider);
    w.element("id:serviceCode", &[], code).end();
    w.element("xroad:id", &[], id);
    w.element("xroad:protocolVersion", &[], "4.0");
    w.end();
    w.start("SOAP-ENV:Body", &[]);
}

pub(crate) fn client(w: &mut Writer, name: &str, id: &ClientId) {
    let kind = if id.subsystem_code().is_some() { "SUBSYSTEM" } else { "MEMBER" };
    w.start(name, &[("id:objectType", kind)]);
    member_parts(w, id.member());
    subsystem_part(w, id);
    w.end();
}

pub(crate) fn server(w: &mut Writer, name: &str, id: &SecurityServerId) {
    w.start(name, &[("id:objectType", "SERVER")]);
    member_parts(w, id.owner());
    w.element("id:serverCode", &[], id.code());
    w.end();
}

fn member_parts(w: &mut Writer, id: &MemberId) {
    w.element("id:xRoadInstance", &[], id.instance());
    w.element("id:memberClass", &[], id.class());
    w.element("id:memberCode", &[], id.code());
}

fn subsystem_part(w: &mut Writer, id: &ClientId) {
    if let Some(code) = id.subsystem_code() {
        w.element("id:subsystemCode", &[], code);
    }
}

/// Reads a client identifier. Its parts are taken as they are written, white space at their ends too,
/// since that is what is registered.
pub(crate) fn read_client(element: Element<'_>) -> Result<ClientId, Fault> {
    let parts = Parts::of(element, &["MEMBER", "SUBSYSTEM"])?;
    let subsystem = parts.optional("subsystemCode")?;
    if subsystem.is_some() != (parts.kind == "SUBSYSTEM") {
        return Err(parts.invalid("has an objectType that does not fit its parts"));
    }
    let member = parts.member()?;
    match subsystem {
        None => Ok(member.as_client()),
        Some(code) => member.subsystem(&code).map_err(|e| parts.invalid(&e.to_string())),
    }
}

/// Reads a security server's identifier.
pub(crate) fn read_server(element: Element<'_>) -> Result<SecurityServerId, Fault> {
    let parts = Parts::of(element, &["SERVER"])?;
    let code = parts.optional("serverCode")?.unwrap_or_default();
    SecurityServerId::new(parts.member()?, &code).map_err(|e| parts.invalid(&e.to_string()))
}

/// An identifier whose parts are being read.
struct Parts<'d> {
    element: Element<'d>,
    kind: &'d str,
}

impl<'d> Parts<'d> {
    fn of(element: Element<'d>, kinds: &[&str]) -> Result<Self, Fault> {
        let kind = element.attribute_ns(IDENTIFIER_NS, "objectType").unwrap_or_default();
        let parts = Self { element, kind };
        if kinds.contains(&kind) {
            return Ok(parts);
        }
        Err(parts.invalid(&format!("has not an objectType of {}", kinds.join(" or "))))
    }

    fn optional(&self, name: &str) -> Result<Option<String>, Fault> {
        let mut found = self.element.children().filter(|c| c.is(IDENTIFIER_NS, name));
        let first = found.next().map(|c| c.text());
        match found.next() {
            None => Ok(first),
            Some(_) => Err(self.invalid(&format!("has more than one {name}"))),
        }
    }

    fn member(&self) -> Result<MemberId, Fault> {
        let part = |name| self.optional(name).map(Option::unwrap_or_default);
        let (instance, class, code) =
            (part("xRoadInstance")?, part("memberClass")?, part("memberCode")?);
        MemberId::new(&instance, &class, &code).map_err(|e| self.invalid(&e.to_string()))
    }

    fn invalid(&self, why: &str) -> Fault {
        let text = format!("The identifier {} is invalid: {why}", self.element.name());
        Fault::new(codes::INVALID_CLIENT_IDENTIFIER, text)
    }
}
