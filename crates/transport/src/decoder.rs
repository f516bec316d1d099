use bytes::Bytes;

use crate::collector::Collector;
use crate::fault;
use crate::order::{Slot, Stage};
use crate::splitter::{Manners, Splitter, Token};
use crate::{ContentType, Limits, PartHeaders, TransportError, media};

/// Which half of an exchange is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// What the provider's server receives.
    Request,
    /// What the consumer's server receives; it may be a fault and nothing else.
    Response,
}

/// The two kinds of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A REST header block with or without a body.
    Rest,
    /// A SOAP envelope with or without attachments.
    Soap,
}

/// What the decoder found. The bytes of [`Event::RestMessage`],
/// [`Event::SoapMessage`], the REST body and each attachment are those that
/// the signature covers; chunks of a body are to be hashed in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An OCSP response for a certificate of the sender's TLS chain, leaf
    /// first; one DER SEQUENCE, not looked into.
    OcspResponse(Bytes),
    /// The REST header block.
    RestMessage(Bytes),
    /// The SOAP envelope, not looked into but for being no fault.
    SoapMessage {
        /// Headers of the part, with its content type.
        headers: PartHeaders,
        /// The envelope.
        bytes: Bytes,
    },
    /// Bytes of the REST body; never empty.
    BodyChunk(Bytes),
    /// The REST body is complete. A message without this event has no body,
    /// which is not the same as an empty one.
    BodyEnd,
    /// A SOAP attachment begins.
    AttachmentStart(PartHeaders),
    /// Bytes of the attachment; never empty.
    AttachmentChunk(Bytes),
    /// The attachment is complete.
    AttachmentEnd,
    /// The hash chain's result; the chain follows.
    HashChainResult(Bytes),
    /// The hash chain.
    HashChain(Bytes),
    /// The XAdES signature.
    Signature(Bytes),
    /// A SOAP fault: the whole answer, in place of the message, or in place of the signature.
    Fault(Bytes),
    /// The message is complete and the input is used up. See [`Decoder::require_complete`].
    End,
}

/// Decodes one message as its bytes arrive.
///
/// ```
/// use causeway_transport::{Decoder, Event, Expect, Limits};
/// let mut decoder = Decoder::new("multipart/mixed; boundary=b", Expect::Request, Limits::default())?;
/// decoder.push("--b\r\ncontent-type: application/x-road-rest-request\r\n\r\nGET".into());
/// assert_eq!(decoder.next_event()?, None);
/// decoder.push(" /\r\n\r\n--b--\r\n".into());
/// decoder.end_of_input();
/// assert_eq!(decoder.next_event()?, Some(Event::RestMessage("GET /\r\n".into())));
/// assert_eq!(decoder.next_event()?, Some(Event::End));
/// # Ok::<(), causeway_transport::TransportError>(())
/// ```
///
/// Push a piece, take events until there is none, push the next: the decoder
/// queues what it is given and does not bound the queue. After an error the
/// same error comes again and the rest of the message is worthless.
#[derive(Debug)]
pub struct Decoder {
    source: Source,
    expect: Expect,
    limits: Limits,
    stage: Stage,
    part: Part,
    kind: Option<MessageKind>,
    ocsp_responses: usize,
    attachments: usize,
    signed: bool,
    failed: Option<TransportError>,
}

#[derive(Debug)]
enum Source {
    Multipart(Box<Splitter>),
    /// A response that is a fault and nothing else.
    Fault {
        text: Collector,
        ended: bool,
    },
    /// All was told but the end.
    Closing,
    Over,
}

/// The part that is being read.
#[derive(Debug)]
enum Part {
    None,
    Whole {
        slot: Slot,
        headers: PartHeaders,
        bytes: Collector,
    },
    RestBody,
    /// Between attachments.
    Attachments,
    Attachment,
}

impl Decoder {
    /// A decoder for a message with this `Content-Type` header.
    ///
    /// # Errors
    /// `invalid_content_type` unless it is `multipart/mixed` with a boundary
    /// or, for a response, `text/xml`.
    pub fn new(content_type: &str, expect: Expect, limits: Limits) -> Result<Self, TransportError> {
        let parsed = ContentType::parse(content_type);
        let shortened = || crate::error::shorten(content_type);
        let source = match (parsed.base(), expect) {
            (media::MULTIPART_MIXED, _) => {
                let boundary =
                    parsed.boundary().ok_or_else(|| TransportError::Boundary(shortened()))?;
                Source::Multipart(Box::new(Splitter::new(boundary, Manners::Strict)))
            }
            (media::TEXT_XML, Expect::Response) => {
                Source::Fault { text: Collector::new("the fault", limits.fault), ended: false }
            }
            _ => return Err(TransportError::ContentType(shortened())),
        };
        Ok(Self {
            source,
            expect,
            limits,
            stage: Stage::OcspOrMessage,
            part: Part::None,
            kind: None,
            ocsp_responses: 0,
            attachments: 0,
            signed: false,
            failed: None,
        })
    }

    /// Takes the next bytes of the message.
    pub fn push(&mut self, data: Bytes) {
        let result = match &mut self.source {
            Source::Multipart(splitter) => {
                splitter.push(data);
                Ok(())
            }
            Source::Fault { text, .. } => text.push(data),
            Source::Closing | Source::Over if data.is_empty() => Ok(()),
            Source::Closing | Source::Over => Err(TransportError::TrailingContent),
        };
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    /// The peer has sent all it had to send, and the HTTP body ended in order.
    pub fn end_of_input(&mut self) {
        match &mut self.source {
            Source::Multipart(splitter) => splitter.end_of_input(),
            Source::Fault { ended, .. } => *ended = true,
            Source::Closing | Source::Over => {}
        }
    }

    /// The next event; `None` when more input is needed, or after [`Event::End`].
    ///
    /// # Errors
    /// See [`TransportError`]; `code` is the one that X-Road gives in the same case.
    pub fn next_event(&mut self) -> Result<Option<Event>, TransportError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// The kind of the message, once its message part has been read and was no fault.
    pub fn kind(&self) -> Option<MessageKind> {
        self.kind
    }

    /// Checks, after [`Event::End`] and when no fault came, that the message
    /// part and the signature were there.
    ///
    /// # Errors
    /// `missing_rest` or `missing_soap`, then `missing_signature`.
    pub fn require_complete(&self, expected: MessageKind) -> Result<(), TransportError> {
        if self.kind != Some(expected) {
            return Err(match expected {
                MessageKind::Rest => TransportError::MissingRest,
                MessageKind::Soap => TransportError::MissingSoap,
            });
        }
        if self.signed { Ok(()) } else { Err(TransportError::MissingSignature) }
    }

    fn advance(&mut self) -> Result<Option<Event>, TransportError> {
        loop {
            let splitter = match &mut self.source {
                Source::Multipart(splitter) => splitter,
                Source::Fault { .. } => return self.whole_fault(),
                Source::Closing => {
                    self.source = Source::Over;
                    return Ok(Some(Event::End));
                }
                Source::Over => return Ok(None),
            };
            let Some(token) = splitter.next(&self.limits)? else { return Ok(None) };
            let event = match token {
                Token::Part(headers) => self.begin_part(headers)?,
                Token::Data(data) => self.data(data)?,
                Token::PartEnd => self.end_part()?,
                Token::NestedEnd => None,
                Token::End => {
                    self.source = Source::Over;
                    Some(Event::End)
                }
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn whole_fault(&mut self) -> Result<Option<Event>, TransportError> {
        if !matches!(self.source, Source::Fault { ended: true, .. }) {
            return Ok(None);
        }
        let source = std::mem::replace(&mut self.source, Source::Closing);
        let Source::Fault { text, .. } = source else { return Ok(None) };
        let text = text.finish();
        fault::require_fault(&text)?;
        Ok(Some(Event::Fault(text)))
    }

    fn begin_part(&mut self, headers: PartHeaders) -> Result<Option<Event>, TransportError> {
        if matches!(self.part, Part::Attachments) {
            self.attachments = self.attachments.saturating_add(1);
            if self.attachments > self.limits.attachments {
                let limit = self.limits.attachments;
                return Err(TransportError::TooMany { parts: "attachments", limit });
            }
            self.part = Part::Attachment;
            return Ok(Some(Event::AttachmentStart(headers)));
        }
        let content_type = ContentType::parse(headers.content_type().unwrap_or_default());
        let (slot, stage) = self.stage.place(self.expect, content_type.base())?;
        self.stage = stage;
        let limits = &self.limits;
        let (name, limit) = match slot {
            Slot::RestBody => {
                self.part = Part::RestBody;
                return Ok(None);
            }
            Slot::Attachments => return self.begin_attachments(&content_type, &headers),
            Slot::Ocsp => {
                self.ocsp_responses = self.ocsp_responses.saturating_add(1);
                if self.ocsp_responses > limits.ocsp_responses {
                    let limit = limits.ocsp_responses;
                    return Err(TransportError::TooMany { parts: "OCSP responses", limit });
                }
                ("an OCSP response", limits.ocsp_response)
            }
            Slot::Rest | Slot::Soap => ("the message part", limits.message),
            Slot::HashChainResult => ("the hash chain result", limits.hash_chain_result),
            Slot::HashChain => ("the hash chain", limits.hash_chain),
            Slot::Signature => ("the signature", limits.signature),
            Slot::ClosingFault => ("the fault", limits.fault),
        };
        self.part = Part::Whole { slot, headers, bytes: Collector::new(name, limit) };
        Ok(None)
    }

    fn begin_attachments(
        &mut self,
        content_type: &ContentType,
        headers: &PartHeaders,
    ) -> Result<Option<Event>, TransportError> {
        let boundary = content_type.boundary().ok_or_else(|| {
            let text = headers.content_type().unwrap_or_default();
            TransportError::Boundary(crate::error::shorten(text))
        })?;
        if let Source::Multipart(splitter) = &mut self.source {
            splitter.enter_nested(boundary)?;
        }
        self.part = Part::Attachments;
        Ok(None)
    }

    fn data(&mut self, data: Bytes) -> Result<Option<Event>, TransportError> {
        Ok(match &mut self.part {
            Part::RestBody => Some(Event::BodyChunk(data)),
            Part::Attachment => Some(Event::AttachmentChunk(data)),
            Part::Whole { bytes, .. } => {
                bytes.push(data)?;
                None
            }
            Part::None | Part::Attachments => None,
        })
    }

    fn end_part(&mut self) -> Result<Option<Event>, TransportError> {
        match std::mem::replace(&mut self.part, Part::None) {
            Part::Whole { slot, headers, bytes } => {
                self.end_whole(slot, headers, bytes.finish()).map(Some)
            }
            Part::RestBody => Ok(Some(Event::BodyEnd)),
            Part::Attachment => {
                self.part = Part::Attachments;
                Ok(Some(Event::AttachmentEnd))
            }
            Part::None | Part::Attachments => Ok(None),
        }
    }

    fn end_whole(
        &mut self,
        slot: Slot,
        headers: PartHeaders,
        bytes: Bytes,
    ) -> Result<Event, TransportError> {
        Ok(match slot {
            Slot::Ocsp => {
                require_der_sequence(&bytes)?;
                Event::OcspResponse(bytes)
            }
            // Of these only the REST block is read whole and comes here.
            Slot::Rest | Slot::RestBody | Slot::Attachments => {
                self.kind = Some(MessageKind::Rest);
                Event::RestMessage(bytes)
            }
            Slot::Soap if fault::is_fault(&bytes) => Event::Fault(bytes),
            Slot::Soap => {
                self.kind = Some(MessageKind::Soap);
                Event::SoapMessage { headers, bytes }
            }
            Slot::HashChainResult => Event::HashChainResult(bytes),
            Slot::HashChain => Event::HashChain(bytes),
            Slot::Signature => {
                self.signed = true;
                Event::Signature(bytes)
            }
            Slot::ClosingFault if fault::is_fault(&bytes) => Event::Fault(bytes),
            Slot::ClosingFault => return Err(TransportError::NeitherSignatureNorFault),
        })
    }
}

/// Checks the outermost tag and length (X.690 section 8.1.3); what is inside is for the caller.
fn require_der_sequence(bytes: &[u8]) -> Result<(), TransportError> {
    let refuse = |why| Err(TransportError::OcspResponse(why));
    let [0x30, first, rest @ ..] = bytes else { return refuse("not a SEQUENCE") };
    let (length, content) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let Some((octets, content)) = rest.split_at_checked(usize::from(long & 0x7f)) else {
                return refuse("cut off in its length");
            };
            let length = octets.iter().fold(0, |sum: usize, b| (sum << 8) | usize::from(*b));
            (length, content)
        }
        _ => return refuse("length of unknown form"),
    };
    if length == content.len() { Ok(()) } else { refuse("length does not match the part") }
}
