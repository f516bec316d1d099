//! Messages between information systems, and the errors that they meet.
//!
//! [`rest`] holds the REST header blocks of message protocol v1: the bytes
//! that are signed, sent between security servers and stored as `message.xml`
//! (`pr-rest`; X-Road 7.8 `RestRequest`, `RestResponse`). [`soap`] reads the
//! header of SOAP messages (`pr-mess` 4.0) and reads and writes faults.
//! [`codes`] is the one table of error codes, [`Fault`] the error that a
//! client program sees. Nothing here does I/O.

pub mod codes;
mod fault;
pub mod rest;
pub mod soap;

pub use fault::{CodeStyle, Fault, wants_xml};

/// The party that a signed message speaks for, and which way it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Who must have signed: the client of a request, the provider of a response.
    pub client: causeway_identifiers::ClientId,
    /// Whether the message is a response.
    pub response: bool,
    /// The message id (`X-Road-Id`, or the SOAP header `id`).
    pub message_id: String,
    /// The service that the message calls, or answers for.
    pub service: Option<causeway_identifiers::ServiceId>,
}

/// Tells who must have signed a stored message: tried as SOAP first, then as
/// REST, where a first byte `1` to `9` means a response (X-Road
/// `AsicContainerVerifier.getSigner`, `RestMessage.of`).
///
/// # Errors
/// A [`Fault`] with the parser's code when the bytes are neither.
pub fn sender_of(message: &[u8]) -> Result<Sender, Fault> {
    match soap::SoapMessage::parse(message) {
        Ok(message) => Ok(message.sender()),
        Err(fault) if fault.code() == codes::INVALID_SOAP || fault.code() == codes::INVALID_XML => {
            rest::sender_of(message)
        }
        Err(fault) => Err(fault),
    }
}
