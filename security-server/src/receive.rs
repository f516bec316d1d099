//! Reading a message that another security server sends: its parts in order,
//! attachments into memory or spool files, everything bounded.

use std::time::Duration;

use bytes::Bytes;
use causeway_message::{Fault, codes};
use causeway_pki::DigestAlgorithm;
use causeway_signature::hashchain::{DigestValue, PartDigest};
use causeway_signature::verify::{Content, Part};
use causeway_signature::{MESSAGE, attachment_name};
use causeway_transport::{
    Boundary, BoundaryWatch, Decoder, Event, MessageKind, PartHeaders, TransportError,
};

use crate::body::{BodyError, Source, Taken};
use crate::parts::{Piece, Takings};
use crate::related::Attachment;
use crate::server::Server;

/// A message with its evidence, read and not yet judged.
#[derive(Debug)]
pub(crate) struct Received {
    /// OCSP responses for the sender's TLS certificates (requests only).
    pub(crate) ocsp: Vec<Bytes>,
    /// The REST header block or the SOAP envelope.
    pub(crate) message: Bytes,
    /// The headers of the SOAP envelope's part.
    pub(crate) part: Option<PartHeaders>,
    /// The attachments, or the REST body where there is a body part.
    pub(crate) attachments: Vec<Taken>,
    /// The headers of the SOAP attachments, one for each.
    pub(crate) attachment_headers: Vec<PartHeaders>,
    /// Chain result and chain of a batch signature.
    pub(crate) chain: Option<(Bytes, Bytes)>,
    /// The signature document.
    pub(crate) signature: Bytes,
}

impl Received {
    /// Calls `with` with the parts that the signature must cover.
    pub(crate) fn with_parts<T>(&self, with: impl FnOnce(&[Part<'_>]) -> T) -> T {
        let named: Vec<(String, DigestValue)> = self
            .attachments
            .iter()
            .zip(1..)
            .map(|(taken, number)| {
                let value = taken.digest.clone();
                let digest = DigestValue { algorithm: DigestAlgorithm::Sha512, value };
                (attachment_name(number), digest)
            })
            .collect();
        let message = Part { name: MESSAGE, content: Content::Bytes(&self.message) };
        let attachments = named.iter().map(|(name, d)| Part { name, content: Content::Digest(d) });
        with(&std::iter::once(message).chain(attachments).collect::<Vec<_>>())
    }

    /// The SOAP attachments for an information system.
    pub(crate) fn readers(&self) -> Vec<Attachment> {
        let readers = self.attachments.iter().map(Taken::reader);
        self.attachment_headers.iter().cloned().zip(readers).collect()
    }
}

/// The digests of a message's parts, for signing it.
pub(crate) fn part_digests(message: &[u8], attachments: &[Taken]) -> Vec<PartDigest> {
    let message =
        PartDigest { name: MESSAGE.into(), digest: DigestAlgorithm::Sha512.digest(message) };
    let attachments = attachments.iter().zip(1..).map(|(taken, number)| PartDigest {
        name: attachment_name(number),
        digest: taken.digest.clone(),
    });
    std::iter::once(message).chain(attachments).collect()
}

/// The fault of a body that could not be taken in.
pub(crate) fn body_fault(error: &BodyError) -> Fault {
    match error {
        BodyError::Read(_) => Fault::new(codes::IO_ERROR, error.to_string()),
        BodyError::TooLong(limit) => Fault::new(
            codes::LOGGING_FAILED,
            format!(
                "The message body is longer than the {limit} bytes that this security server takes or logs (its limits.max_body, or log.max_loggable_body)"
            ),
        ),
        BodyError::Spool(_) => Fault::new(codes::LOGGING_FAILED, error.to_string()),
    }
}

/// The fault of a multipart that does not follow the protocol.
pub(crate) fn transport_fault(error: &TransportError) -> Fault {
    Fault::new(error.code(), error.to_string())
}

/// The message's own part, as it comes in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arrived<'m> {
    /// A REST header block.
    Rest(&'m Bytes),
    /// A SOAP envelope, and the headers of its part.
    Soap(&'m PartHeaders, &'m Bytes),
}

/// What is expected of another server.
pub(crate) struct Expected {
    /// Which kind of message.
    pub(crate) kind: MessageKind,
    /// Whether it may be a fault instead.
    pub(crate) fault: bool,
    /// A boundary of the information system's that must not stand in what is signed.
    pub(crate) boundary: Option<Boundary>,
    /// How long the sender may send nothing.
    pub(crate) idle: Duration,
}

/// What may follow a message's own part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Bodies and attachments, within the server's bounds.
    Everything,
    /// Nothing: who asks the server itself needs no right for it, and must not fill its log.
    Nothing,
}

impl Allowed {
    fn judge(self, bytes: &[u8]) -> Result<(), Fault> {
        if self == Self::Nothing && !bytes.is_empty() {
            let text =
                "A question that the security server answers itself has no body and no attachments";
            return Err(Fault::new(codes::INVALID_MESSAGE, text));
        }
        Ok(())
    }
}

/// Reads a message to its end. `on_message` sees OCSP responses and the message's own part as soon
/// as they are there, so that a message that must not pass is refused before its attachments are read.
///
/// # Errors
/// The decoder's codes; `io_error` when the sender stops, or sends nothing for a while; what
/// `on_message` says; and the sender's own fault when it may send one instead.
pub(crate) async fn receive(
    server: &Server,
    incoming: &mut Source,
    mut decoder: Decoder,
    expected: Expected,
    mut on_message: impl FnMut(&[Bytes], Arrived<'_>) -> Result<Allowed, Fault>,
) -> Result<Received, Fault> {
    let missing = || match expected.kind {
        MessageKind::Rest => Fault::new(codes::MISSING_REST, "The message has no REST part"),
        MessageKind::Soap => Fault::new(codes::MISSING_SOAP, "The message has no SOAP part"),
    };
    let mut watch = expected.boundary.as_ref().map(BoundaryWatch::new);
    let mut watched = |data: &Bytes, begins: bool| match &mut watch {
        None => Ok(()),
        Some(watch) => {
            if begins {
                watch.begin_part();
            }
            if watch.sees_boundary(data) {
                let text =
                    "The boundary of the original content type stands in a part of the message";
                return Err(Fault::new(codes::INVALID_MESSAGE, text));
            }
            Ok(())
        }
    };
    let mut ocsp = Vec::new();
    let (mut message, mut part) = (None, None);
    let mut takings = Takings::new(server, true);
    let mut allowed = Allowed::Everything;
    let mut in_body = false;
    let mut headers_of = Vec::new();
    let (mut result, mut chain, mut signature) = (None, None, None);
    loop {
        while let Some(event) = decoder.next_event().map_err(|e| transport_fault(&e))? {
            match event {
                Event::OcspResponse(der) => ocsp.push(der),
                Event::RestMessage(bytes) if expected.kind == MessageKind::Rest => {
                    allowed = on_message(&ocsp, Arrived::Rest(&bytes))?;
                    message = Some(bytes);
                }
                Event::SoapMessage { headers, bytes } if expected.kind == MessageKind::Soap => {
                    watched(&bytes, true)?;
                    allowed = on_message(&ocsp, Arrived::Soap(&headers, &bytes))?;
                    (message, part) = (Some(bytes), Some(headers));
                }
                Event::RestMessage(_) => return Err(missing()),
                Event::SoapMessage { .. } => {
                    let text = "A SOAP message was sent as a REST message";
                    return Err(Fault::new(codes::INVALID_MESSAGE, text));
                }
                Event::BodyChunk(bytes) => {
                    allowed.judge(&bytes)?;
                    if !std::mem::replace(&mut in_body, true) {
                        takings.take(&Piece::Begin(None))?;
                    }
                    takings.take(&Piece::Data(bytes))?;
                }
                Event::BodyEnd => {
                    if !std::mem::take(&mut in_body) {
                        takings.take(&Piece::Begin(None))?;
                    }
                    takings.take(&Piece::End)?;
                }
                Event::AttachmentStart(headers) => {
                    allowed.judge(b"an attachment")?;
                    watched(&Bytes::new(), true)?;
                    headers_of.push(headers);
                    takings.take(&Piece::Begin(None))?;
                }
                Event::AttachmentChunk(bytes) => {
                    watched(&bytes, false)?;
                    takings.take(&Piece::Data(bytes))?;
                }
                Event::AttachmentEnd => takings.take(&Piece::End)?,
                Event::HashChainResult(bytes) => result = Some(bytes),
                Event::HashChain(bytes) => chain = Some(bytes),
                Event::Signature(bytes) => signature = Some(bytes),
                Event::Fault(bytes) if expected.fault => {
                    return Err(causeway_message::soap::read_fault(&bytes).unwrap_or_else(|e| e));
                }
                Event::Fault(_) => return Err(missing()),
                Event::End => {
                    decoder.require_complete(expected.kind).map_err(|e| transport_fault(&e))?;
                    let (Some(message), Some(signature)) = (message, signature) else {
                        return Err(missing());
                    };
                    return Ok(Received {
                        ocsp,
                        message,
                        part,
                        attachments: takings.finish(),
                        attachment_headers: headers_of,
                        chain: result.zip(chain),
                        signature,
                    });
                }
                _ => {}
            }
        }
        match tokio::time::timeout(expected.idle, incoming.next()).await {
            Ok(Ok(Some(bytes))) => decoder.push(bytes),
            Ok(Ok(None)) => decoder.end_of_input(),
            Ok(Err(error)) => return Err(body_fault(&error)),
            Err(_) => {
                return Err(Fault::new(
                    codes::IO_ERROR,
                    "The other security server stopped sending",
                ));
            }
        }
    }
}
