//! A request on its way to the provider's security server: signed, logged,
//! and sent, whole when it is short, else piece by piece while it arrives.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use causeway_globalconf::GlobalConf;
use causeway_message::{Fault, codes};
use causeway_messagelog::{NewRecord, Side};
use causeway_signature::batch::MessageSignature;
use causeway_transport::{envelope, media};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};
use time::OffsetDateTime;

use super::{connect_fault, judge_target, read_answer};
use crate::body::{self, Taken};
use crate::http::{Body, full};
use crate::message::Asked;
use crate::monitoring::Observed;
use crate::parts::{Parts, Piece, Takings, digests};
use crate::peers::{Candidate, Peer, SendError};
use crate::receive::part_digests;
use crate::server::Server;
use crate::writer::{MessageWriter, room_for};

/// How many pieces of a streamed body wait for the network.
const STREAM_DEPTH: usize = 4;
/// How long is waited for the answer of a peer that stopped reading.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(5);

/// What was sent, as far as the answer depends on it.
pub(super) struct Sent {
    /// The digests of the attachments.
    pub(super) digests: Vec<Vec<u8>>,
    /// The server that it was sent to.
    pub(super) server: String,
}

/// A request on its way out.
pub(super) struct Sending<'s> {
    server: &'s Arc<Server>,
    request: &'s Asked,
    ocsp: Vec<Bytes>,
    original_content_type: HeaderValue,
    observed: Observed,
}

impl<'s> Sending<'s> {
    pub(super) fn new(
        server: &'s Arc<Server>,
        request: &'s Asked,
        headers: &HeaderMap,
        conf: &GlobalConf,
    ) -> Result<Self, Fault> {
        let original = headers.get(CONTENT_TYPE).cloned();
        Ok(Self {
            server,
            request,
            ocsp: server.good_authentication_ocsp(conf, OffsetDateTime::now_utc())?,
            original_content_type: original.unwrap_or_else(|| HeaderValue::from_static("")),
            observed: Observed::default(),
        })
    }

    /// Notes in the exchange's operational data record what only the sending knows.
    pub(super) fn observed_by(self, observed: &Observed) -> Self {
        Self { observed: observed.clone(), ..self }
    }

    /// Sends a message that is in memory. A connection that turns out to be
    /// closed before anything was sent is replaced by a new one.
    pub(super) async fn send_whole(
        &self,
        peer: &mut Peer,
        pieces: Vec<Piece>,
        candidates: &[Candidate],
        conf: &Arc<GlobalConf>,
    ) -> Result<(Response<Incoming>, Sent), Fault> {
        let mut takings = Takings::new(self.server, false);
        for piece in &pieces {
            takings.take(piece)?;
        }
        let taken = takings.finish();
        let digests = digests(&taken);
        let whom = peer.server.id.to_short();
        let length: u64 = taken.iter().map(|t| t.length).sum();
        let signature = self.sign_and_log(taken, &whom).await?;

        let mut writer = MessageWriter::new()?;
        let content_type = writer.content_type();
        let body = self.request.bytes.len() + usize::try_from(length).unwrap_or_default();
        let mut out = room_for(body, &signature, &self.ocsp);
        self.write_opening(&mut writer, &mut out)?;
        for piece in pieces {
            match piece {
                Piece::Begin(headers) => {
                    out.extend_from_slice(&writer.begin(headers.as_ref())?);
                }
                Piece::Data(data) => out.extend_from_slice(&data),
                Piece::End => {}
            }
        }
        writer.signature(&signature, &mut out)?;
        out.extend_from_slice(&writer.end());

        let mut request = self.http_request(&content_type, full(out.freeze()))?;
        loop {
            match self.within_time(peer.send(request)).await? {
                Ok(response) => return Ok((response, Sent { digests, server: whom })),
                Err(SendError::NotSent(unsent)) if peer.reused => {
                    let provider = self.request.service.client();
                    *peer =
                        self.server.peers.open(candidates).await.map_err(|e| connect_fault(&e))?;
                    self.server.judge_provider(peer, provider, conf).await?;
                    judge_target(self.request, peer, conf)?;
                    request = *unsent;
                }
                Err(error) => return Err(send_fault(&error)),
            }
        }
    }

    /// Sends long attachments on while they arrive; the signature follows them.
    pub(super) async fn send_streamed(
        &self,
        peer: &mut Peer,
        pieces: Vec<Piece>,
        rest: Parts,
    ) -> Result<(Response<Incoming>, Sent), Fault> {
        let mut writer = MessageWriter::new()?;
        let content_type = writer.content_type();
        let mut opening = BytesMut::new();
        self.write_opening(&mut writer, &mut opening)?;
        let (to_peer, body) = body::channel(STREAM_DEPTH, None);
        let request = self.http_request(&content_type, body)?;
        let whom = peer.server.id.to_short();
        let pump = async {
            let pumped = self.pump(writer, opening, pieces, rest, &to_peer, &whom).await;
            if let Err(fault) = &pumped {
                // Breaks the request off, so that the peer cannot take it for complete.
                body::break_off(&to_peer, fault.to_string()).await;
            }
            drop(to_peer);
            pumped
        };
        // No deadline for the answer while the body is still on its way.
        let send = peer.send(request);
        tokio::pin!(pump, send);
        let digests = tokio::select! {
            pumped = &mut pump => match pumped {
                Ok(digests) => digests,
                Err(fault) if fault.code() == codes::NETWORK_ERROR => {
                    // It may have said why before it stopped reading.
                    if let Ok(Ok(response)) = tokio::time::timeout(LAST_WORD_TIMEOUT, &mut send).await
                        && let Err(theirs) = read_answer(self.server, self.request, response).await
                    {
                        return Err(theirs);
                    }
                    return Err(fault);
                }
                Err(fault) => return Err(fault),
            },
            early = &mut send => {
                // It answered before it had everything: that can only be a fault, which tells more than ours
                // would. Anything else answers a request that was never signed.
                let response = early.map_err(|e| send_fault(&e))?;
                return match read_answer(self.server, self.request, response).await {
                    Err(fault) => Err(fault),
                    Ok(_) => {
                        let text = "The provider's security server answered before it had the whole request";
                        Err(Fault::new(codes::INCONSISTENT_RESPONSE, text))
                    }
                };
            }
        };
        let response = self.within_time(send).await?.map_err(|e| send_fault(&e))?;
        Ok((response, Sent { digests, server: whom.clone() }))
    }

    async fn pump(
        &self,
        mut writer: MessageWriter,
        opening: BytesMut,
        pieces: Vec<Piece>,
        mut rest: Parts,
        to_peer: &tokio::sync::mpsc::Sender<Result<Bytes, std::io::Error>>,
        whom: &str,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        let gone = |e: body::BodyError| {
            Fault::new(codes::NETWORK_ERROR, format!("The other security server: {e}"))
        };
        let idle = self.server.settings().limits.request_timeout;
        let mut takings = Takings::new(self.server, false);
        // What stands before bytes goes with them: what is too long is refused before much was sent.
        let mut before = opening;
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
            match piece {
                Piece::Begin(headers) => {
                    before.extend_from_slice(&writer.begin(headers.as_ref())?);
                }
                Piece::Data(data) => {
                    if !before.is_empty() {
                        let before = before.split().freeze();
                        body::send(to_peer, before, idle).await.map_err(gone)?;
                    }
                    body::send(to_peer, data, idle).await.map_err(gone)?;
                }
                Piece::End => {}
            }
        }
        let taken = takings.finish();
        let digests = digests(&taken);
        let signature = self.sign_and_log(taken, whom).await?;
        let mut closing = before;
        writer.signature(&signature, &mut closing)?;
        closing.extend_from_slice(&writer.end());
        body::send(to_peer, closing.freeze(), idle).await.map_err(gone)?;
        Ok(digests)
    }

    /// Signs, and keeps the record: nothing is sent with a signature that the log does not hold.
    async fn sign_and_log(&self, taken: Vec<Taken>, whom: &str) -> Result<MessageSignature, Fault> {
        self.observed.request_size(self.request.bytes.len(), &taken);
        let signer = self.server.signers.of(self.request.client.member())?;
        let parts = part_digests(&self.request.bytes, &taken);
        let signature = signer.sign(parts).await?;
        let record = NewRecord {
            time: OffsetDateTime::now_utc(),
            message_id: self.request.message_id.clone(),
            request_id: Some(self.request.request_id.clone()),
            response: false,
            side: Side::Consumer,
            owner: self.request.client.clone(),
            service: self.request.service.to_short(),
            peer: Some(whom.to_owned()),
            message: self.request.bytes.clone(),
            signature: signature.signature.clone(),
            hash_chain_result: signature.hash_chain_result.clone(),
            hash_chain: signature.hash_chain.clone(),
            attachments: self.server.attachments(taken),
        };
        self.server.log(record).await?;
        Ok(signature)
    }

    /// OCSP responses and the message's own part.
    fn write_opening(&self, writer: &mut MessageWriter, out: &mut BytesMut) -> Result<(), Fault> {
        for response in &self.ocsp {
            writer.part(media::OCSP_RESPONSE, response, out)?;
        }
        writer.message(self.request.label(), &self.request.bytes, out)
    }

    fn http_request(&self, content_type: &str, body: Body) -> Result<Request<Body>, Fault> {
        let unusable =
            |_| Fault::new(codes::INTERNAL_ERROR, "The request id cannot be a header value");
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        // The server at the other end does not look at it, as several may be tried.
        headers.insert(hyper::header::HOST, HeaderValue::from_static("localhost"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).map_err(unusable)?);
        headers.insert(envelope::HASH_ALGORITHM, HeaderValue::from_static("SHA-512"));
        headers.insert(envelope::PROXY_VERSION, HeaderValue::from_static(crate::PROTOCOL_VERSION));
        headers.insert(envelope::ORIGINAL_CONTENT_TYPE, self.original_content_type.clone());
        self.request.envelope_headers(headers);
        let id = HeaderValue::from_str(&self.request.request_id).map_err(unusable)?;
        headers.insert(envelope::REQUEST_ID, id);
        Ok(request)
    }

    async fn within_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Fault> {
        let limit = self.server.settings().peers.response_timeout;
        tokio::time::timeout(limit, answer).await.map_err(|_| {
            let text = format!(
                "The provider's security server did not answer within {} s",
                limit.as_secs()
            );
            Fault::new(codes::NETWORK_ERROR, text)
        })
    }
}

fn send_fault(error: &SendError) -> Fault {
    let text = match error {
        SendError::NotSent(_) => "The provider's security server closed the connection".to_owned(),
        SendError::Failed(text) => format!("The provider's security server did not answer: {text}"),
    };
    Fault::new(codes::NETWORK_ERROR, text)
}
