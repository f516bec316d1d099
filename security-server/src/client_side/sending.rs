//! A request on its way to the provider's security server: signed, logged,
//! and sent, whole when it is short, else piece by piece while it arrives.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use causeway_globalconf::GlobalConf;
use causeway_message::rest::RestRequest;
use causeway_message::{Fault, codes};
use causeway_messagelog::{NewRecord, Side};
use causeway_signature::batch::MessageSignature;
use causeway_transport::{Boundary, BoundaryUse, Encoder, envelope, media};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};
use ring::rand::SecureRandom as _;
use time::OffsetDateTime;

use super::{connect_fault, judge_target, read_answer};
use crate::body::{self, Source, Taken};
use crate::http::{Body, full};
use crate::monitoring::Observed;
use crate::peers::{Candidate, Peer, SendError};
use crate::receive::{body_fault, part_digests, transport_fault};
use crate::server::Server;

/// How many pieces of a streamed body wait for the network.
const STREAM_DEPTH: usize = 4;
/// How long is waited for the answer of a peer that stopped reading.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(5);

/// What was sent, as far as the answer depends on it.
pub(super) struct Sent {
    pub(super) block: Bytes,
    pub(super) body_digest: Option<Vec<u8>>,
    pub(super) server: String,
}

/// A request on its way out.
pub(super) struct Sending<'s> {
    server: &'s Arc<Server>,
    request: &'s RestRequest,
    block: Bytes,
    ocsp: Vec<Bytes>,
    original_content_type: HeaderValue,
    observed: Observed,
}

impl<'s> Sending<'s> {
    pub(super) fn new(
        server: &'s Arc<Server>,
        request: &'s RestRequest,
        headers: &HeaderMap,
        conf: &GlobalConf,
    ) -> Result<Self, Fault> {
        let original = headers.get(CONTENT_TYPE).cloned();
        Ok(Self {
            server,
            block: request.to_block(),
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
        body: Option<Bytes>,
        candidates: &[Candidate],
        conf: &Arc<GlobalConf>,
    ) -> Result<(Response<Incoming>, Sent), Fault> {
        let settings = self.server.settings();
        if let Some(body) = &body
            && body.len() as u64 > settings.body_limit()
        {
            return Err(body_fault(&body::BodyError::TooLong(settings.body_limit())));
        }
        let taken = body.clone().map(Taken::of_bytes);
        let body_digest = taken.as_ref().map(|t| t.digest.clone());
        let signature = self.sign_and_log(taken, peer).await?;

        let mut encoder = new_encoder()?;
        let content_type = encoder.content_type();
        let mut out = BytesMut::with_capacity(
            4096 + signature.signature.len() + body.as_ref().map_or(0, Bytes::len),
        );
        self.write_opening(&mut encoder, &mut out)?;
        if let Some(body) = body {
            write_part(&mut encoder, media::REST_BODY, &body, &mut out)?;
        }
        write_signature(&mut encoder, &signature, &mut out)?;
        out.extend_from_slice(&encoder.end());

        let mut request = self.http_request(&content_type, full(out.freeze()))?;
        loop {
            match self.within_time(peer.send(request)).await? {
                Ok(response) => return Ok((response, self.sent(peer, body_digest))),
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

    /// Sends a long body on while it arrives; the signature follows it.
    pub(super) async fn send_streamed(
        &self,
        peer: &mut Peer,
        chunks: Vec<Bytes>,
        rest: Source,
    ) -> Result<(Response<Incoming>, Sent), Fault> {
        let mut encoder = new_encoder()?;
        let content_type = encoder.content_type();
        let mut opening = BytesMut::new();
        self.write_opening(&mut encoder, &mut opening)?;
        opening.extend_from_slice(
            &encoder.part_header(media::REST_BODY, &[]).map_err(|e| transport_fault(&e))?,
        );
        let (pieces, body) = body::channel(STREAM_DEPTH, None);
        let request = self.http_request(&content_type, body)?;
        let whom = peer.server.id.to_short();
        let pump = async {
            let pumped = self.pump(encoder, opening.freeze(), chunks, rest, &pieces, &whom).await;
            if let Err(fault) = &pumped {
                // Breaks the request off, so that the peer cannot take it for complete.
                body::break_off(&pieces, fault.to_string()).await;
            }
            drop(pieces);
            pumped
        };
        // No deadline for the answer while the body is still on its way.
        let send = peer.send(request);
        tokio::pin!(pump, send);
        let digest = tokio::select! {
            pumped = &mut pump => match pumped {
                Ok(digest) => digest,
                Err(fault) if fault.code() == codes::NETWORK_ERROR => {
                    // It may have said why before it stopped reading.
                    if let Ok(Ok(response)) = tokio::time::timeout(LAST_WORD_TIMEOUT, &mut send).await
                        && let Err(theirs) = read_answer(self.server, response).await
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
                return match read_answer(self.server, response).await {
                    Err(fault) => Err(fault),
                    Ok(_) => {
                        let text = "The provider's security server answered before it had the whole request";
                        Err(Fault::new(codes::INCONSISTENT_RESPONSE, text))
                    }
                };
            }
        };
        let response = self.within_time(send).await?.map_err(|e| send_fault(&e))?;
        Ok((
            response,
            Sent { block: self.block.clone(), body_digest: Some(digest), server: whom.clone() },
        ))
    }

    async fn pump(
        &self,
        mut encoder: Encoder,
        opening: Bytes,
        chunks: Vec<Bytes>,
        mut rest: Source,
        pieces: &tokio::sync::mpsc::Sender<Result<Bytes, std::io::Error>>,
        whom: &str,
    ) -> Result<Vec<u8>, Fault> {
        let gone = |e: body::BodyError| {
            Fault::new(codes::NETWORK_ERROR, format!("The other security server: {e}"))
        };
        let idle = self.server.settings().limits.request_timeout;
        let mut intake = self.server.request_intake();
        body::send(pieces, opening, idle).await.map_err(gone)?;
        for chunk in chunks {
            self.server.take_in(&mut intake, &chunk)?;
            body::send(pieces, chunk, idle).await.map_err(gone)?;
        }
        loop {
            match tokio::time::timeout(idle, rest.next()).await {
                Ok(Ok(Some(chunk))) => {
                    self.server.take_in(&mut intake, &chunk)?;
                    body::send(pieces, chunk, idle).await.map_err(gone)?;
                }
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(body_fault(&error)),
                Err(_) => {
                    return Err(Fault::new(
                        codes::IO_ERROR,
                        "The client stopped sending its request",
                    ));
                }
            }
        }
        let taken = intake.finish().map_err(|e| body_fault(&e))?;
        let digest = taken.digest.clone();
        let signature = self.sign_and_log_for(Some(taken), whom).await?;
        let mut closing = BytesMut::new();
        write_signature(&mut encoder, &signature, &mut closing)?;
        closing.extend_from_slice(&encoder.end());
        body::send(pieces, closing.freeze(), idle).await.map_err(gone)?;
        Ok(digest)
    }

    async fn sign_and_log(
        &self,
        body: Option<Taken>,
        peer: &Peer,
    ) -> Result<MessageSignature, Fault> {
        self.sign_and_log_for(body, &peer.server.id.to_short()).await
    }

    /// Signs, and keeps the record: nothing is sent with a signature that the log does not hold.
    async fn sign_and_log_for(
        &self,
        body: Option<Taken>,
        whom: &str,
    ) -> Result<MessageSignature, Fault> {
        let length = body.as_ref().map_or(0, |body| body.length);
        self.observed.rest_request_size(self.block.len(), length);
        let signer = self.server.signers.of(self.request.client.member())?;
        let parts = part_digests(&self.block, body.as_ref().map(|b| b.digest.as_slice()));
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
            message: self.block.clone(),
            signature: signature.signature.clone(),
            hash_chain_result: signature.hash_chain_result.clone(),
            hash_chain: signature.hash_chain.clone(),
            attachments: self.server.attachments(body),
        };
        self.server.log(record).await?;
        Ok(signature)
    }

    /// OCSP responses and header block.
    fn write_opening(&self, encoder: &mut Encoder, out: &mut BytesMut) -> Result<(), Fault> {
        for response in &self.ocsp {
            write_part(encoder, media::OCSP_RESPONSE, response, out)?;
        }
        write_part(encoder, media::REST_REQUEST, &self.block, out)
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
        headers
            .insert(envelope::MESSAGE_TYPE, HeaderValue::from_static(envelope::MESSAGE_TYPE_REST));
        headers.insert(envelope::ORIGINAL_CONTENT_TYPE, self.original_content_type.clone());
        let id = HeaderValue::from_str(&self.request.request_id).map_err(unusable)?;
        headers.insert(envelope::REQUEST_ID, id);
        Ok(request)
    }

    fn sent(&self, peer: &Peer, body_digest: Option<Vec<u8>>) -> Sent {
        Sent { block: self.block.clone(), body_digest, server: peer.server.id.to_short() }
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

/// An encoder with a boundary that nobody can guess.
pub(crate) fn new_encoder() -> Result<Encoder, Fault> {
    let mut random = [0; 30];
    ring::rand::SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| Fault::new(codes::INTERNAL_ERROR, "The system gives no random numbers"))?;
    Ok(Encoder::new(Boundary::random(BoundaryUse::Message, &random)))
}

pub(crate) fn write_part(
    encoder: &mut Encoder,
    kind: &str,
    bytes: &[u8],
    out: &mut BytesMut,
) -> Result<(), Fault> {
    out.extend_from_slice(&encoder.part_header(kind, &[]).map_err(|e| transport_fault(&e))?);
    out.extend_from_slice(bytes);
    Ok(())
}

/// The evidence parts: chain result and chain where there are some, then the signature.
pub(crate) fn write_signature(
    encoder: &mut Encoder,
    signature: &MessageSignature,
    out: &mut BytesMut,
) -> Result<(), Fault> {
    if let Some((result, chain)) = signature.chain() {
        write_part(encoder, media::HASH_CHAIN_RESULT, result, out)?;
        write_part(encoder, media::HASH_CHAIN, chain, out)?;
    }
    write_part(encoder, media::SIGNATURE, &signature.signature, out)
}
