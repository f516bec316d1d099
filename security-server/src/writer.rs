//! Writing a message for another security server, part by part.

use bytes::{Bytes, BytesMut};
use causeway_message::{Fault, codes};
use causeway_signature::batch::MessageSignature;
use causeway_transport::{Boundary, BoundaryUse, Encoder, PartHeaders, media};
use ring::rand::SecureRandom as _;

use crate::message::Label;
use crate::receive::transport_fault;

/// The multipart between two servers, as it is written: OCSP responses, message, attachments, evidence.
#[derive(Debug)]
pub(crate) struct MessageWriter {
    encoder: Encoder,
    /// For the nested multipart, until it is opened.
    attachments: Option<Boundary>,
}

impl MessageWriter {
    /// A writer with boundaries that nobody can guess.
    pub(crate) fn new() -> Result<Self, Fault> {
        let random = random()?;
        Ok(Self {
            encoder: Encoder::new(Boundary::random(BoundaryUse::Message, &random)),
            attachments: Some(Boundary::random(BoundaryUse::Attachments, &random)),
        })
    }

    /// Value of the HTTP `Content-Type` header.
    pub(crate) fn content_type(&self) -> String {
        self.encoder.content_type()
    }

    /// A whole part.
    pub(crate) fn part(
        &mut self,
        kind: &str,
        bytes: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), Fault> {
        let header = self.encoder.part_header(kind, &[]);
        out.extend_from_slice(&header.map_err(|e| transport_fault(&e))?);
        out.extend_from_slice(bytes);
        Ok(())
    }

    /// The message's own part.
    pub(crate) fn message(
        &mut self,
        label: Label<'_>,
        bytes: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), Fault> {
        match label {
            Label::Rest(kind) => self.part(kind, bytes, out),
            Label::Soap(headers) => {
                let others = pairs(headers);
                let content_type = headers.content_type().unwrap_or(media::TEXT_XML_UTF8);
                let header = self.encoder.part_header(content_type, &others);
                out.extend_from_slice(&header.map_err(|e| transport_fault(&e))?);
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// What stands before an attachment; one without headers is the body of a REST message.
    pub(crate) fn begin(&mut self, headers: Option<&PartHeaders>) -> Result<Bytes, Fault> {
        let Some(headers) = headers else {
            return self
                .encoder
                .part_header(media::REST_BODY, &[])
                .map_err(|e| transport_fault(&e));
        };
        let mut out = BytesMut::new();
        if let Some(boundary) = self.attachments.take() {
            let opening = self.encoder.start_attachments(boundary);
            out.extend_from_slice(&opening.map_err(|e| transport_fault(&e))?);
        }
        let header = self.encoder.attachment_header(headers.content_type(), &pairs(headers));
        out.extend_from_slice(&header.map_err(|e| transport_fault(&e))?);
        Ok(out.freeze())
    }

    /// The evidence parts: chain result and chain where there are some, then the signature.
    pub(crate) fn signature(
        &mut self,
        signature: &MessageSignature,
        out: &mut BytesMut,
    ) -> Result<(), Fault> {
        out.extend_from_slice(&self.encoder.end_attachments());
        if let Some((result, chain)) = signature.chain() {
            self.part(media::HASH_CHAIN_RESULT, result, out)?;
            self.part(media::HASH_CHAIN, chain, out)?;
        }
        self.part(media::SIGNATURE, &signature.signature, out)
    }

    /// A fault in place of what was to follow.
    pub(crate) fn fault(&mut self, xml: &str) -> Bytes {
        self.encoder.fault(xml)
    }

    /// The end.
    pub(crate) fn end(self) -> Bytes {
        self.encoder.end()
    }
}

/// Bytes for a boundary that nobody can guess.
pub(crate) fn random() -> Result<[u8; 30], Fault> {
    let mut random = [0; 30];
    ring::rand::SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| Fault::new(codes::INTERNAL_ERROR, "The system gives no random numbers"))?;
    Ok(random)
}

/// Headers as the encoder takes them.
pub(crate) fn pairs(headers: &PartHeaders) -> Vec<(&str, &str)> {
    headers.others().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
