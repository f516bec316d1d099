//! The body of a request, written and read (X-Road `request.xsd`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_message::soap::HEADER_NS;
use causeway_message::{Fault, codes};
use causeway_xml::{Element, Writer, decode_base64};

use crate::envelope;
use crate::request::{Kind, Request};

/// Writes the body element.
pub(crate) fn write(w: &mut Writer, request: &Request) {
    w.start(&format!("xroad:{}", request.kind().service_code()), &[]);
    envelope::server(w, "xroad:server", request.server());
    if let Some(client) = request.client() {
        envelope::client(w, "xroad:client", client);
    }
    let mut field = |name: &str, text: &str| {
        w.element(&format!("xroad:{name}"), &[], text);
    };
    match request {
        Request::AuthCertReg { address, certificate, dry_run, .. } => {
            if let Some(address) = address {
                field("address", address);
            }
            field("authCert", &STANDARD.encode(certificate));
            field("dryRun", if *dry_run { "true" } else { "false" });
        }
        Request::AuthCertDeletion { certificate, .. } => {
            field("authCert", &STANDARD.encode(certificate));
        }
        Request::ClientReg { subsystem_name: Some(name), .. } => field("subsystemName", name),
        Request::ClientRename { subsystem_name, .. } => field("subsystemName", subsystem_name),
        Request::AddressChange { address, .. } => field("address", address),
        Request::MaintenanceModeEnable { message: Some(message), .. } => field("message", message),
        Request::ClientReg { .. }
        | Request::ClientDeletion { .. }
        | Request::OwnerChange { .. }
        | Request::ClientDisable { .. }
        | Request::ClientEnable { .. }
        | Request::MaintenanceModeEnable { .. }
        | Request::MaintenanceModeDisable { .. } => {}
    }
    w.end();
}

/// Reads the body element of a kind. Fields that are not known here are passed over, as X-Road does;
/// one that is there twice is refused, where X-Road takes the last.
pub(crate) fn read(element: Element<'_>, kind: Kind) -> Result<Request, Fault> {
    if !element.is(HEADER_NS, kind.service_code()) {
        let text = format!("Unexpected content: {}", element.name());
        return Err(Fault::new(codes::INVALID_SOAP, text));
    }
    let fields = Fields(element);
    let server = envelope::read_server(fields.required("server")?)?;
    let client = || envelope::read_client(fields.required("client")?);
    Ok(match kind {
        Kind::AuthCertReg => Request::AuthCertReg {
            server,
            address: fields.text("address")?,
            certificate: fields.bytes("authCert")?,
            dry_run: fields.boolean("dryRun")?,
        },
        Kind::AuthCertDeletion => {
            Request::AuthCertDeletion { server, certificate: fields.bytes("authCert")? }
        }
        Kind::ClientReg => {
            // An empty name is no name.
            let subsystem_name = fields.text("subsystemName")?.filter(|name| !name.is_empty());
            Request::ClientReg { server, client: client()?, subsystem_name }
        }
        Kind::ClientDeletion => Request::ClientDeletion { server, client: client()? },
        Kind::OwnerChange => Request::OwnerChange { server, client: client()? },
        Kind::ClientDisable => Request::ClientDisable { server, client: client()? },
        Kind::ClientEnable => Request::ClientEnable { server, client: client()? },
        Kind::ClientRename => {
            let subsystem_name = fields.text("subsystemName")?.unwrap_or_default();
            Request::ClientRename { server, client: client()?, subsystem_name }
        }
        Kind::AddressChange => {
            let address = fields.text("address")?.unwrap_or_default();
            Request::AddressChange { server, address }
        }
        Kind::MaintenanceModeEnable => {
            let message = fields.text("message")?.filter(|message| !message.is_empty());
            Request::MaintenanceModeEnable { server, message }
        }
        Kind::MaintenanceModeDisable => Request::MaintenanceModeDisable { server },
    })
}

struct Fields<'d>(Element<'d>);

impl<'d> Fields<'d> {
    fn optional(&self, name: &str) -> Result<Option<Element<'d>>, Fault> {
        let mut found = self.0.children().filter(|c| c.is(HEADER_NS, name));
        let first = found.next();
        match found.next() {
            None => Ok(first),
            Some(_) => Err(self.invalid(name, "is repeated")),
        }
    }

    fn required(&self, name: &str) -> Result<Element<'d>, Fault> {
        self.optional(name)?.ok_or_else(|| self.invalid(name, "is missing"))
    }

    fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        let Some(element) = self.optional(name)? else { return Ok(None) };
        if element.children().next().is_some() {
            return Err(self.invalid(name, "has elements in it"));
        }
        Ok(Some(element.text()))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let text = self.required(name).and(self.text(name))?.unwrap_or_default();
        decode_base64(&text).ok_or_else(|| self.invalid(name, "is not base64"))
    }

    fn boolean(&self, name: &str) -> Result<bool, Fault> {
        match self.text(name)?.as_deref().map(str::trim) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(self.invalid(name, "is neither true nor false")),
        }
    }

    fn invalid(&self, name: &str, why: &str) -> Fault {
        let text = format!("In {}: the field {name} {why}", self.0.name());
        Fault::new(codes::INVALID_REQUEST, text)
    }
}
