//! The answer on its way back: taken from the service, signed, logged and
//! sent, whole when it is short, else piece by piece while it arrives.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use causeway_message::rest::{self, RestResponse};
use causeway_message::soap::{self, Answer as SoapAnswer};
use causeway_message::{Fault, codes};
use causeway_messagelog::{NewRecord, Side};
use causeway_signature::batch::MessageSignature;
use causeway_transport::{Boundary, BoundaryUse, PartHeaders, envelope, media};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::own::Made;
use super::{finished, message};
use crate::body::{self, Source, Taken};
use crate::http::case::{self, Spelling};
use crate::http::{Body, full};
use crate::message::{Asked, Kind, Label, read_soap_body};
use crate::parts::{Parts, Piece, Start, Takings};
use crate::receive::part_digests;
use crate::server::Server;
use crate::settings::Service;
use crate::told::Told;
use crate::writer::{MessageWriter, random, room_for};

/// How many pieces of a streamed answer wait for the network.
const STREAM_DEPTH: usize = 4;

/// A request that was accepted and logged, and waits for its answer.
pub(super) struct Answering {
    pub(super) server: Arc<Server>,
    pub(super) request: Asked,
    pub(super) request_hash: String,
    pub(super) peer: Option<String>,
    pub(super) told: Told,
}

/// An answer, ready to be signed.
pub(super) struct Answer {
    /// What is signed as the message.
    bytes: Bytes,
    /// The headers of a SOAP envelope's part; none for REST.
    part: Option<PartHeaders>,
    /// The content type that the service gave a SOAP answer.
    content_type: Option<HeaderValue>,
    attachments: Start,
    /// How long the service may send nothing.
    idle: Duration,
}

impl Answering {
    /// The fault of a service: X-Road says `service_failed` for SOAP.
    pub(super) fn of_service(&self, fault: Fault) -> Fault {
        match self.request.kind {
            Kind::Rest(_) => fault,
            Kind::Soap(_) => fault.with_prefix(codes::SERVICE_FAILED),
        }
    }

    /// Takes over what the service answers, up to the end of what fits into memory.
    ///
    /// # Errors
    /// A SOAP service's own fault, which keeps its envelope; what makes an answer unusable.
    pub(super) async fn read(
        &self,
        answer: Response<Incoming>,
        service: &Service,
    ) -> Result<Answer, Fault> {
        let reading = async {
            match &self.request.kind {
                Kind::Rest(_) => self.read_rest(answer, service).await,
                Kind::Soap(_) => self.read_soap(answer, service).await,
            }
        };
        tokio::time::timeout(service.timeout, reading).await.map_err(|_| {
            let text = format!("The service {} stopped sending its answer", service.id);
            Fault::new(codes::IO_ERROR, text)
        })?
    }

    async fn read_rest(
        &self,
        answer: Response<Incoming>,
        service: &Service,
    ) -> Result<Answer, Fault> {
        let (head, incoming) = answer.into_parts();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), rest::header_text(value.as_bytes())));
        let headers =
            case::restore_answer(head.extensions.get::<Spelling>(), head.status.as_u16(), headers);
        let reason = head
            .extensions
            .get::<hyper::ext::ReasonPhrase>()
            .map(|r| rest::header_text(r.as_bytes()))
            .unwrap_or_else(|| head.status.canonical_reason().unwrap_or_default().to_owned());
        let bytes = self.rest_block(head.status.as_u16(), &reason, headers)?;
        let has_entity = !matches!(&self.request.kind, Kind::Rest(r) if r.verb == "HEAD")
            && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            && !head.status.is_informational();
        let body = Parts::body(Source::of_answer(incoming), service.timeout);
        let mut attachments = body.start(self.server.settings().limits.inline_body).await?;
        if let Start::Whole(pieces) = &mut attachments
            && pieces.is_empty()
            && has_entity
        {
            pieces.extend([Piece::Begin(None), Piece::End]);
        }
        let idle = service.timeout;
        Ok(Answer { bytes, part: None, content_type: None, attachments, idle })
    }

    /// The header block of a REST answer.
    fn rest_block(
        &self,
        status: u16,
        reason: &str,
        headers: impl IntoIterator<Item = rest::Header>,
    ) -> Result<Bytes, Fault> {
        let Kind::Rest(request) = &self.request.kind else {
            return Err(Fault::new(codes::INTERNAL_ERROR, "A SOAP request got a REST answer"));
        };
        Ok(RestResponse::from_http(status, reason, headers, request, &self.request_hash).to_block())
    }

    async fn read_soap(
        &self,
        answer: Response<Incoming>,
        service: &Service,
    ) -> Result<Answer, Fault> {
        let (head, incoming) = answer.into_parts();
        // A fault comes with 500 (WS-I Basic Profile R1126).
        if !matches!(head.status, StatusCode::OK | StatusCode::INTERNAL_SERVER_ERROR) {
            let text =
                format!("The service {} answered with HTTP status {}", service.id, head.status);
            return Err(Fault::new(codes::HTTP_ERROR, text));
        }
        let content_type = head.headers.get(CONTENT_TYPE).cloned().ok_or_else(|| {
            let text = format!("The answer of the service {} has no content type", service.id);
            Fault::new(codes::INVALID_CONTENT_TYPE, text)
        })?;
        let text = rest::header_text(content_type.as_bytes());
        let body = read_soap_body(&text, Source::of_answer(incoming), service.timeout).await;
        let body = body.map_err(|fault| match fault.code() {
            // As X-Road tells a service's multipart without parts.
            codes::MISSING_SOAP => Fault::new(codes::INVALID_MESSAGE, fault.message().to_owned()),
            _ => fault,
        })?;
        let bytes = match soap::read_answer(&body.bytes, &self.request_hash)? {
            SoapAnswer::Message(_, bytes) => bytes,
            SoapAnswer::Fault(fault) => return Err(fault),
        };
        let inline = self.server.settings().limits.inline_body;
        let attachments = body.attachments.with_prefix(codes::SERVICE_FAILED).start(inline).await?;
        let part = in_utf8(body.part);
        let idle = service.timeout;
        Ok(Answer { bytes, part: Some(part), content_type: Some(content_type), attachments, idle })
    }

    /// Takes over an answer that this server made itself.
    ///
    /// # Errors
    /// For an answer of the other kind, and an envelope that is no SOAP response.
    pub(super) fn take_over(&self, made: Made) -> Result<Answer, Fault> {
        let whole = |bytes: Bytes| (!bytes.is_empty()).then_some(Piece::Data(bytes));
        let idle = Duration::ZERO;
        match made {
            Made::Rest(status, headers, body) => {
                self.told.observed.http_status(status);
                let bytes = self.rest_block(status, "", headers)?;
                let pieces =
                    [Some(Piece::Begin(None)), whole(body), Some(Piece::End)].into_iter().flatten();
                let attachments = Start::Whole(pieces.collect());
                Ok(Answer { bytes, part: None, content_type: None, attachments, idle })
            }
            Made::Soap(envelope, attachments) => {
                let bytes = match soap::read_answer(&envelope, &self.request_hash)? {
                    SoapAnswer::Message(_, bytes) => bytes,
                    SoapAnswer::Fault(fault) => return Err(fault),
                };
                let content_type = if attachments.is_empty() {
                    media::TEXT_XML_UTF8.to_owned()
                } else {
                    let boundary = Boundary::random(BoundaryUse::Attachments, &random()?);
                    format!(
                        "{}; type=\"text/xml\"; charset=UTF-8; boundary={boundary}",
                        media::MULTIPART_RELATED
                    )
                };
                let content_type = HeaderValue::from_str(&content_type).map_err(|_| {
                    Fault::new(codes::INTERNAL_ERROR, "A boundary cannot be a header value")
                })?;
                let pieces = attachments.into_iter().flat_map(|(headers, bytes)| {
                    [Some(Piece::Begin(Some(headers))), whole(bytes), Some(Piece::End)]
                });
                Ok(Answer {
                    bytes,
                    part: Some(PartHeaders::of_content_type(media::TEXT_XML_UTF8)),
                    content_type: Some(content_type),
                    attachments: Start::Whole(pieces.flatten().collect()),
                    idle,
                })
            }
        }
    }

    /// Sends the answer back.
    pub(super) async fn send_back(self, answer: Answer) -> Result<Response<Body>, Fault> {
        let content_type = answer.content_type.clone();
        let mut response = match answer.attachments {
            Start::Whole(_) => self.send_whole(answer).await?,
            Start::More(..) => self.send_streamed(answer)?,
        };
        if let Some(content_type) = content_type {
            response.headers_mut().insert(envelope::ORIGINAL_CONTENT_TYPE, content_type);
        }
        Ok(response)
    }

    async fn send_whole(self, answer: Answer) -> Result<Response<Body>, Fault> {
        let Start::Whole(pieces) = &answer.attachments else {
            return Err(Fault::new(codes::INTERNAL_ERROR, "The answer is not complete"));
        };
        let mut takings = Takings::new(&self.server, false);
        for piece in pieces {
            takings.take(piece)?;
        }
        let taken = takings.finish();
        let length: u64 = taken.iter().map(|t| t.length).sum();
        let signature = self.sign_and_log(&answer.bytes, taken).await?;
        let mut writer = MessageWriter::new()?;
        let content_type = writer.content_type();
        let body = answer.bytes.len() + usize::try_from(length).unwrap_or_default();
        let mut out = room_for(body, &signature, &[]);
        writer.message(answer.label(), &answer.bytes, &mut out)?;
        for piece in pieces {
            match piece {
                Piece::Begin(headers) => out.extend_from_slice(&writer.begin(headers.as_ref())?),
                Piece::Data(data) => out.extend_from_slice(data),
                Piece::End => {}
            }
        }
        writer.signature(&signature, &mut out)?;
        out.extend_from_slice(&writer.end());
        tracing::debug!(message_id = %self.told.message_id, service = %self.told.service, "request answered");
        message(&content_type, full(out.freeze()))
    }

    fn send_streamed(self, answer: Answer) -> Result<Response<Body>, Fault> {
        let mut writer = MessageWriter::new()?;
        let content_type = writer.content_type();
        let mut opening = BytesMut::new();
        writer.message(answer.label(), &answer.bytes, &mut opening)?;
        let Start::More(pieces, rest) = answer.attachments else {
            return Err(Fault::new(codes::INTERNAL_ERROR, "The answer is complete already"));
        };
        let (bytes, idle) = (answer.bytes, answer.idle);
        let (to_peer, body) = body::channel(STREAM_DEPTH, None);
        // Runs on its own so that the answer can begin; it ends with the connection, at the latest.
        tokio::spawn(async move {
            let pumping = Pumping { bytes, pieces, rest, idle, to_peer: &to_peer };
            let closing = match self.pump(&mut writer, opening.freeze(), pumping).await {
                Ok(evidence) => evidence,
                Err(Stop::Failed(fault)) => {
                    writer.fault(&soap::write_fault(&finished(&self.server, fault, &self.told)))
                }
                Err(Stop::Gone) => {
                    tracing::info!(message_id = %self.told.message_id, "the other security server went away before the answer was complete");
                    return;
                }
            };
            for piece in [closing, writer.end()] {
                if body::send(&to_peer, piece, idle).await.is_err() {
                    tracing::info!(message_id = %self.told.message_id, "the other security server went away before the end of the answer");
                    return body::break_off(&to_peer, "the answer is not complete".into()).await;
                }
            }
        });
        message(&content_type, body)
    }

    async fn pump(
        &self,
        writer: &mut MessageWriter,
        opening: Bytes,
        pumping: Pumping<'_>,
    ) -> Result<Bytes, Stop> {
        let Pumping { bytes, pieces, mut rest, idle, to_peer } = pumping;
        body::send(to_peer, opening, idle).await.map_err(|_| Stop::Gone)?;
        let mut takings = Takings::new(&self.server, false);
        let mut waiting = pieces.into_iter();
        loop {
            let piece = match waiting.next() {
                Some(piece) => piece,
                None => match rest.next().await? {
                    Some(piece) => piece,
                    None => break,
                },
            };
            takings.take(&piece)?;
            let out = match piece {
                Piece::Begin(headers) => writer.begin(headers.as_ref())?,
                Piece::Data(data) => data,
                Piece::End => continue,
            };
            body::send(to_peer, out, idle).await.map_err(|_| Stop::Gone)?;
        }
        let signature = self.sign_and_log(&bytes, takings.finish()).await?;
        let mut closing = BytesMut::new();
        writer.signature(&signature, &mut closing)?;
        Ok(closing.freeze())
    }

    /// Signs, and keeps the record: no answer leaves with a signature that the log does not hold.
    async fn sign_and_log(
        &self,
        bytes: &Bytes,
        taken: Vec<Taken>,
    ) -> Result<MessageSignature, Fault> {
        self.told.observed.response_size(bytes.len(), &taken);
        let provider = self.request.service.client();
        let signer = self.server.signers.of(provider.member())?;
        let signature = signer.sign(part_digests(bytes, &taken)).await?;
        let record = NewRecord {
            time: OffsetDateTime::now_utc(),
            message_id: self.request.message_id.clone(),
            request_id: Some(self.request.request_id.clone()),
            response: true,
            side: Side::Provider,
            owner: provider.clone(),
            service: self.request.service.to_short(),
            peer: self.peer.clone(),
            message: bytes.clone(),
            signature: signature.signature.clone(),
            hash_chain_result: signature.hash_chain_result.clone(),
            hash_chain: signature.hash_chain.clone(),
            attachments: self.server.attachments(taken),
        };
        self.server.log(record).await?;
        self.told.observed.answered();
        Ok(signature)
    }
}

impl Answer {
    fn label(&self) -> Label<'_> {
        self.part.as_ref().map_or(Label::Rest(media::REST_RESPONSE), Label::Soap)
    }
}

/// What is pumped to the other server, and how.
struct Pumping<'p> {
    bytes: Bytes,
    pieces: Vec<Piece>,
    rest: Parts,
    idle: Duration,
    to_peer: &'p mpsc::Sender<Result<Bytes, std::io::Error>>,
}

/// Why a streamed answer ended early.
enum Stop {
    /// It failed here: the other server is told.
    Failed(Fault),
    /// The other server went away.
    Gone,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// The headers of a part whose envelope is UTF-8 now, whatever it was.
fn in_utf8(part: PartHeaders) -> PartHeaders {
    let value = part.content_type().unwrap_or_default().to_owned();
    let mut parameters = value.split(';');
    let base = parameters.next().unwrap_or_default().trim().to_owned();
    let is_charset =
        |p: &&str| p.trim_start().get(..8).is_some_and(|n| n.eq_ignore_ascii_case("charset="));
    let (charsets, others): (Vec<&str>, Vec<&str>) = parameters.partition(is_charset);
    let says_utf8 = |p: &&str| {
        let (_, name) = p.split_once('=').unwrap_or_default();
        name.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    if charsets.iter().all(says_utf8) {
        return part;
    }
    let others: String = others.iter().map(|p| format!(";{p}")).collect();
    part.with_content_type(&format!("{base}{others}; charset=UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_that_became_utf8_says_so() {
        let of = |value: &str| {
            in_utf8(PartHeaders::of_content_type(value)).content_type().map(str::to_owned)
        };
        assert_eq!(of("text/xml").as_deref(), Some("text/xml"));
        assert_eq!(
            of("text/xml; charset=\"utf-8\"").as_deref(),
            Some("text/xml; charset=\"utf-8\"")
        );
        assert_eq!(
            of("application/xop+xml; Charset=ISO-8859-1; type=\"text/xml\"").as_deref(),
            Some("application/xop+xml; type=\"text/xml\"; charset=UTF-8")
        );
    }
}
