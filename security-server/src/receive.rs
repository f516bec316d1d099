//! Reading a message that another security server sends: its parts in order,
//! the body into memory or a spool file, everything bounded.

use std::time::Duration;

use bytes::Bytes;
use causeway_message::{Fault, codes};
use causeway_pki::DigestAlgorithm;
use causeway_signature::hashchain::{DigestValue, PartDigest};
use causeway_signature::verify::{Content, Part};
use causeway_signature::{MESSAGE, attachment_name};
use causeway_transport::{Decoder, Event, MessageKind, TransportError};

use crate::body::{BodyError, Intake, Source, Taken};

/// A REST message with its evidence, read and not yet judged.
#[derive(Debug)]
pub struct Received {
    /// OCSP responses for the sender's TLS certificates (requests only).
    pub ocsp: Vec<Bytes>,
    /// The header block.
    pub block: Bytes,
    /// The body, where there is a body part.
    pub body: Option<Taken>,
    /// Chain result and chain of a batch signature.
    pub chain: Option<(Bytes, Bytes)>,
    /// The signature document.
    pub signature: Bytes,
}

impl Received {
    /// How long the REST body is, in bytes.
    pub(crate) fn body_length(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.length)
    }

    /// Calls `with` with the parts that the signature must cover.
    pub fn with_parts<T>(&self, with: impl FnOnce(&[Part<'_>]) -> T) -> T {
        let message = Part { name: MESSAGE, content: Content::Bytes(&self.block) };
        match &self.body {
            None => with(&[message]),
            Some(body) => {
                let digest =
                    DigestValue { algorithm: DigestAlgorithm::Sha512, value: body.digest.clone() };
                let name = attachment_name(1);
                with(&[message, Part { name: &name, content: Content::Digest(&digest) }])
            }
        }
    }
}

/// The digests of a message's parts, for signing it.
pub fn part_digests(block: &[u8], body_digest: Option<&[u8]>) -> Vec<PartDigest> {
    let message =
        PartDigest { name: MESSAGE.into(), digest: DigestAlgorithm::Sha512.digest(block) };
    let body =
        body_digest.map(|digest| PartDigest { name: attachment_name(1), digest: digest.to_vec() });
    std::iter::once(message).chain(body).collect()
}

/// The fault of a body that could not be taken in.
pub fn body_fault(error: &BodyError) -> Fault {
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
pub fn transport_fault(error: &TransportError) -> Fault {
    Fault::new(error.code(), error.to_string())
}

/// Reads a REST message to its end. `on_message` sees OCSP responses and
/// header block as soon as they are there, so that a message that must not
/// pass is refused before its body is read.
///
/// # Errors
/// The decoder's codes; `io_error` when the sender stops, or sends nothing
/// for `idle`; what `on_message` says; and the sender's own fault when it
/// sends one instead.
pub async fn receive(
    incoming: &mut Source,
    mut decoder: Decoder,
    intake: impl Fn() -> Intake,
    mut on_message: impl FnMut(&[Bytes], &Bytes) -> Result<(), Fault>,
    idle: Duration,
) -> Result<Received, Fault> {
    let mut ocsp = Vec::new();
    let mut block = None;
    let mut taking: Option<Intake> = None;
    let mut body = None;
    let (mut result, mut chain, mut signature) = (None, None, None);
    loop {
        while let Some(event) = decoder.next_event().map_err(|e| transport_fault(&e))? {
            match event {
                Event::OcspResponse(der) => ocsp.push(der),
                Event::RestMessage(bytes) => {
                    on_message(&ocsp, &bytes)?;
                    block = Some(bytes);
                }
                Event::BodyChunk(bytes) => {
                    taking.get_or_insert_with(&intake).push(&bytes).map_err(|e| body_fault(&e))?;
                }
                Event::BodyEnd => {
                    let taken = taking.take().unwrap_or_else(&intake);
                    body = Some(taken.finish().map_err(|e| body_fault(&e))?);
                }
                Event::HashChainResult(bytes) => result = Some(bytes),
                Event::HashChain(bytes) => chain = Some(bytes),
                Event::Signature(bytes) => signature = Some(bytes),
                Event::Fault(bytes) => {
                    return Err(causeway_message::soap::read_fault(&bytes).unwrap_or_else(|e| e));
                }
                Event::SoapMessage { .. } => {
                    let text = "A SOAP message was sent as a REST message";
                    return Err(Fault::new(codes::INVALID_MESSAGE, text));
                }
                Event::End => {
                    decoder.require_complete(MessageKind::Rest).map_err(|e| transport_fault(&e))?;
                    let (Some(block), Some(signature)) = (block, signature) else {
                        return Err(Fault::new(codes::MISSING_REST, "The message is not complete"));
                    };
                    return Ok(Received { ocsp, block, body, chain: result.zip(chain), signature });
                }
                _ => {}
            }
        }
        match tokio::time::timeout(idle, incoming.next()).await {
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
