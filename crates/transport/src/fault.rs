//! Tells a SOAP fault from a SOAP message; what the fault says is for the message crate.

use causeway_xml::{Document, Limits};

use crate::TransportError;

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// Whether this is a SOAP 1.1 envelope whose body is a fault. Text that is no
/// XML is no fault.
pub(crate) fn is_fault(xml: &[u8]) -> bool {
    // Most messages are told from a fault by a search, without building a tree.
    // Only UTF-8 is parsed, so an element name is there as it stands.
    memchr::memmem::find(xml, b"Fault").is_some() && require_fault(xml).is_ok()
}

/// Demands a fault, and says what was found in its place.
pub(crate) fn require_fault(xml: &[u8]) -> Result<(), TransportError> {
    let document = Document::parse(xml, &Limits::default()).map_err(|_| TransportError::NotSoap)?;
    let root = document.root();
    if !root.is(SOAP, "Envelope") {
        return Err(TransportError::NotSoap);
    }
    let body = root.child_ns(SOAP, "Body").ok_or(TransportError::NoSoapBody)?;
    let mut children = body.children();
    match (children.next(), children.next()) {
        // Alone: what came along with it would be passed on without a signature.
        (Some(first), None) if first.is(SOAP, "Fault") => Ok(()),
        _ => Err(TransportError::NotAFault),
    }
}
