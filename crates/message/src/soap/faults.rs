//! SOAP faults, written and read (`SoapFault`).

use bytes::Bytes;
use causeway_xml::Writer;

use super::encoding;
use super::reader::{self, FaultText, Read};
use super::{ENVELOPE_NS, declared_utf8};
use crate::{CodeStyle, Fault, codes};

/// Writes a fault as SOAP, on one line, as X-Road does. A fault that came as an envelope is that envelope.
pub fn write_fault(fault: &Fault) -> String {
    write_fault_as(fault, CodeStyle::Snake)
}

/// As [`write_fault`], with the code in the generation that the operator chose for client programs.
pub fn write_fault_as(fault: &Fault, style: CodeStyle) -> String {
    if let Some(envelope) = fault.envelope() {
        return String::from_utf8_lossy(envelope).into_owned();
    }
    let mut w = Writer::new();
    w.start("SOAP-ENV:Envelope", &[("xmlns:SOAP-ENV", ENVELOPE_NS)]);
    w.start("SOAP-ENV:Body", &[]);
    w.start("SOAP-ENV:Fault", &[]);
    w.element("faultcode", &[], &fault.styled_code(style));
    w.element("faultstring", &[], fault.message());
    w.element("faultactor", &[], "");
    w.start("detail", &[]);
    w.element("faultDetail", &[("xmlns", "")], fault.detail());
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", w.finish())
}

/// Reads a SOAP fault; what is read keeps the envelope.
///
/// # Errors
/// `invalid_soap` for what is not an envelope, `missing_body` without a body,
/// `invalid_message` for a message that is not a fault.
pub fn read_fault(bytes: &[u8]) -> Result<Fault, Fault> {
    let text = encoding::decode(bytes)?;
    match reader::read(&text.text)? {
        Read::Fault(read) => Ok(from_text(&read, &text)),
        Read::Message(..) => {
            Err(Fault::new(codes::INVALID_MESSAGE, "The SOAP answer is not a fault"))
        }
    }
}

/// The fault that an envelope holds.
pub(super) fn from_text(read: &FaultText, text: &encoding::Text<'_>) -> Fault {
    // They go to the log and to the client program: one line each, and no more than people read.
    let plain = |text: &str, most: usize| -> String {
        text.trim().chars().filter(|c| !c.is_control()).take(most).collect()
    };
    let code = plain(&read.code, 500);
    let code = if code.is_empty() { codes::INTERNAL_ERROR.to_owned() } else { code };
    Fault::new(code, plain(&read.string, 2000))
        .with_detail(plain(&read.detail, 500))
        .with_envelope(Bytes::from(declared_utf8(text).into_owned().into_bytes()))
}
