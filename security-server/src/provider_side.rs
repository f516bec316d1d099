//! The provider's side: another security server brings a request, the
//! provider's information system answers it, and the answer goes back.
//!
//! `exchange` reads top to bottom in the order in which things happen, as
//! `client_side` does for the other
//! direction. A request that fails before its answer has begun is answered by
//! a SOAP fault alone; one that fails later, by a fault in place of the
//! signature (X-Road message transport protocol 3).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use causeway_globalconf::GlobalConf;
use causeway_message::rest::{self, RestRequest, RestResponse};
use causeway_message::{Fault, codes, soap};
use causeway_messagelog::{NewRecord, Side};
use causeway_monitoring::ServerType;
use causeway_pki::Certificate;
use causeway_signature::batch::MessageSignature;
use causeway_transport::{Decoder, Encoder, Expect, Limits, envelope, media};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::access;
use crate::body::{self, Reader, Source, Start, Taken};
use crate::client_side::{new_encoder, write_part, write_signature};
use crate::http::case::{self, Spelling};
use crate::http::serve::Caller;
use crate::http::{Body, full};
use crate::monitoring::Observed;
use crate::receive::{Received, body_fault, part_digests, receive, transport_fault};
use crate::server::Server;
use crate::settings::{Client, Service, Settings};
use crate::told::Told;

/// How many pieces of a streamed answer wait for the network.
const STREAM_DEPTH: usize = 4;

/// Answers a request of another security server. The HTTP status is always 200, for faults too.
pub async fn handle(
    server: Arc<Server>,
    caller: Caller,
    request: Request<Incoming>,
) -> Response<Body> {
    let started = Instant::now();
    let mut told =
        Told { observed: Observed::begin(&server, ServerType::Producer), ..Told::default() };
    let answer = exchange(&server, &caller, request, &mut told).await;
    match answer {
        Ok(response) => {
            server.metrics.exchange("provider", started.elapsed());
            response
        }
        Err(fault) => {
            told.observed.other_server(address_of(&server, &caller).as_deref());
            let fault = finished(&server, fault, &told);
            let mut response = Response::new(full(soap::write_fault(&fault)));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/xml;charset=utf-8"));
            response
        }
    }
}

/// Gives a fault its prefix and detail, and logs it.
fn finished(server: &Server, fault: Fault, told: &Told) -> Fault {
    let fault = fault.with_prefix(codes::SERVER_PROXY).with_detail(Uuid::new_v4().to_string());
    told.log_failure(Side::Provider, &fault);
    server.metrics.fault("provider", fault.code());
    fault
}

/// One message's way: from the other security server to the service and back.
async fn exchange(
    server: &Arc<Server>,
    caller: &Caller,
    request: Request<Incoming>,
    told: &mut Told,
) -> Result<Response<Body>, Fault> {
    let now = OffsetDateTime::now_utc();
    let (head, incoming) = request.into_parts();
    let mut incoming = Source::of_request(incoming, &head.headers);
    if head.method != Method::POST {
        let text = format!("Must use POST request method instead of {}", head.method);
        return Err(Fault::new(codes::INVALID_HTTP_METHOD, text));
    }
    let conf = server.valid_global_conf(now)?;
    let sender_identity = shown(caller)?;
    let decoder = open_message(server, &head.headers)?;

    let settings = server.settings();
    let mut parsed = None;
    let idle: Duration = server.settings().limits.request_timeout;
    let on_message = |ocsp: &[Bytes], block: &Bytes| {
        let request = RestRequest::parse(block)?;
        told.learn(&request);
        request.refuse_repeated_identity()?;
        // What has no right does not get its body taken in.
        judge_sender(server, &request, sender_identity, ocsp, now, &conf)?;
        judge_access(&settings, &request, &conf)?;
        server.timestamping_gate(now)?;
        parsed = Some(request);
        Ok(())
    };
    let received =
        receive(&mut incoming, decoder, || server.request_intake(), on_message, idle).await?;
    let mut request = parsed
        .ok_or_else(|| Fault::new(codes::MISSING_REST, "Request does not have REST message"))?;
    adopt_request_id(&mut request, &head.headers)?;
    told.observed.request_id(&request.request_id);
    told.observed.rest_request_size(received.block.len(), received.body_length());
    // A body may have taken its time: what holds now counts, not what held when it began.
    let now = OffsetDateTime::now_utc();
    let conf = server.valid_global_conf(now)?;
    judge_sender(server, &request, sender_identity, &received.ocsp, now, &conf)?;

    let settings = server.settings();
    let (provider, service) = judge_access(&settings, &request, &conf)?;
    judge_signature(server, &request, &received, now, &conf)?;
    server.timestamping_gate(now)?;
    let server_of_sender =
        sender_identity.first().and_then(|c| conf.server_by_auth_certificate(c)).map(|s| {
            told.observed.other_server(s.address.as_deref());
            s.id.to_short()
        });
    let (request_hash, body) =
        log_request(server, &request, server_of_sender.clone(), received).await?;

    let answering = Answering {
        server: Arc::clone(server),
        request,
        request_hash,
        peer: server_of_sender,
        told: told.clone(),
    };
    told.observed.request_out();
    let answer = server.services.call(provider, &service, &answering.request, body).await?;
    told.observed.response_in();
    told.observed.status(answer.status().as_u16());
    answering.send_back(answer, &service).await
}

/// The address of the sender's server in the global configuration, if it showed who it is.
fn address_of(server: &Server, caller: &Caller) -> Option<String> {
    let certificate = shown(caller).ok()?.first()?;
    server.global_conf()?.server_by_auth_certificate(certificate)?.address.clone()
}

/// The certificates that the sender's server showed.
fn shown(caller: &Caller) -> Result<&[Certificate], Fault> {
    match caller {
        Caller::Tls(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Fault::new(
            codes::SSL_AUTHENTICATION_FAILED,
            "Client did not provide a TLS certificate",
        )),
    }
}

/// Checks the envelope and prepares to read the parts.
fn open_message(server: &Server, headers: &HeaderMap) -> Result<Decoder, Fault> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(least) = &server.settings().peers.min_supported_version {
        judge_version(header(envelope::PROXY_VERSION), least)?;
    }
    if header(envelope::MESSAGE_TYPE) != Some(envelope::MESSAGE_TYPE_REST) {
        let text = "This security server relays REST messages; the message sent is not one";
        return Err(Fault::new(codes::SERVICE_TYPE, text));
    }
    match header(envelope::HASH_ALGORITHM) {
        Some(name) if name.eq_ignore_ascii_case("SHA-512") => {}
        Some(name) => {
            let text = format!(
                "The hash algorithm '{}' is not supported: SHA-512 is",
                name.chars().take(40).collect::<String>()
            );
            return Err(Fault::new(codes::INTERNAL_ERROR, text));
        }
        None => {
            return Err(Fault::new(
                codes::INTERNAL_ERROR,
                "Could not get hash algorithm identifier from message",
            ));
        }
    }
    Decoder::new(
        header(CONTENT_TYPE.as_str()).unwrap_or_default(),
        Expect::Request,
        Limits::for_rest(rest::MAX_BLOCK_BYTES),
    )
    .map_err(|e| transport_fault(&e).with_prefix(codes::SERVICE_FAILED))
}

/// Whether the sender's version is at least the one that the operator asks for.
fn judge_version(version: Option<&str>, least: &str) -> Result<(), Fault> {
    let number = |text: &str| -> Option<(u32, u32, u32)> {
        let core = text.split(['-', '+']).next()?;
        let mut parts = core.split('.').map(|p| p.parse().ok());
        match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
            (Some(major), Some(minor), Some(patch), None) => Some((major, minor, patch)),
            _ => None,
        }
    };
    let given = version.and_then(number);
    if given.is_some() && given >= number(least) {
        return Ok(());
    }
    let version: String = version.unwrap_or("unknown").chars().take(40).collect();
    let text = format!(
        "The client's security server version {version} is older than {least}, the oldest that is served here"
    );
    Err(Fault::new(codes::CLIENT_PROXY_VERSION_NOT_SUPPORTED, text))
}

/// The service that the request asks for, when the client may use it so.
fn judge_access<'s>(
    settings: &'s Settings,
    request: &RestRequest,
    conf: &GlobalConf,
) -> Result<(&'s Client, Arc<Service>), Fault> {
    let id = request.service.client();
    let provider = settings
        .clients
        .get(id)
        .filter(|c| c.registered)
        .ok_or_else(|| Fault::new(codes::UNKNOWN_MEMBER, format!("Client '{id}' not found")))?;
    let service = access::judge(
        &request.client,
        provider,
        request.service.code(),
        &request.verb,
        &request.service_path,
        conf,
    )?;
    Ok((provider, service))
}

/// The checks that need no more than the header block: the provider is a
/// client of this server, and the sender's TLS certificate may speak for the client.
fn judge_sender(
    server: &Server,
    request: &RestRequest,
    shown: &[Certificate],
    ocsp: &[Bytes],
    now: OffsetDateTime,
    conf: &Arc<GlobalConf>,
) -> Result<(), Fault> {
    let provider = request.service.client();
    if !server.settings().clients.get(provider).is_some_and(|c| c.registered) {
        return Err(Fault::new(codes::UNKNOWN_MEMBER, format!("Client '{provider}' not found")));
    }
    if ocsp.is_empty() {
        let text = "Cannot verify TLS certificate, corresponding OCSP response is missing";
        return Err(Fault::new(codes::SSL_AUTHENTICATION_FAILED, text));
    }
    let ocsp: Vec<&[u8]> = ocsp.iter().map(AsRef::as_ref).collect();
    server.verification.judge_peer(shown, &ocsp, &request.client, now, conf)
}

/// The request id of the envelope is the one that counts, as X-Road takes it
/// from there; it is not signed, so it must not contradict the one that is.
///
/// # Errors
/// `invalid_message` when the two differ.
fn adopt_request_id(request: &mut RestRequest, headers: &HeaderMap) -> Result<(), Fault> {
    let id = headers.get(envelope::REQUEST_ID).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if request.request_id.is_empty() && id.len() <= 255 {
        request.request_id = id.to_owned();
    }
    if id.is_empty() || request.request_id == id {
        return Ok(());
    }
    let text = "The request id of the envelope is not that of the message";
    Err(Fault::new(codes::INVALID_MESSAGE, text))
}

fn judge_signature(
    server: &Server,
    request: &RestRequest,
    received: &Received,
    now: OffsetDateTime,
    conf: &Arc<GlobalConf>,
) -> Result<(), Fault> {
    let chain = received.chain.as_ref().map(|(result, chain)| (result, chain));
    received.with_parts(|parts| {
        server.verification.judge_message(
            &received.signature,
            chain,
            parts,
            &request.client,
            now,
            conf,
        )
    })
}

/// Keeps the record of the request; gives the request hash, and the body for the service.
async fn log_request(
    server: &Arc<Server>,
    request: &RestRequest,
    peer: Option<String>,
    received: Received,
) -> Result<(String, Option<Reader>), Fault> {
    let hash =
        rest::request_hash(&received.block, received.body.as_ref().map(|b| b.digest.as_slice()));
    let body = received.body.as_ref().map(Taken::reader);
    let record = NewRecord {
        time: OffsetDateTime::now_utc(),
        message_id: request.message_id.clone(),
        request_id: Some(request.request_id.clone()),
        response: false,
        side: Side::Provider,
        owner: request.service.client().clone(),
        service: request.service.to_short(),
        peer,
        message: received.block,
        signature: received.signature,
        hash_chain_result: received.chain.as_ref().map(|(result, _)| result.clone()),
        hash_chain: received.chain.map(|(_, chain)| chain),
        attachments: server.attachments(received.body),
    };
    server.log(record).await?;
    Ok((hash, body))
}

/// A request that was accepted and logged, and waits for its answer.
struct Answering {
    server: Arc<Server>,
    request: RestRequest,
    request_hash: String,
    peer: Option<String>,
    told: Told,
}

impl Answering {
    /// Sends the service's answer back: whole when it is short, else piece by piece while it arrives.
    async fn send_back(
        self,
        answer: Response<Incoming>,
        service: &Service,
    ) -> Result<Response<Body>, Fault> {
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
        let response = RestResponse::from_http(
            head.status.as_u16(),
            &reason,
            headers,
            &self.request,
            &self.request_hash,
        );
        let has_entity = self.request.verb != "HEAD"
            && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            && !head.status.is_informational();
        let inline = self.server.settings().limits.inline_body;
        let reading = tokio::time::timeout(
            service.timeout,
            body::start(Source::of_answer(incoming), inline, service.timeout),
        )
        .await;
        let start = reading.map_err(|_| stopped(service))?.map_err(|e| body_fault(&e))?;
        match start {
            Start::Whole(body) => {
                self.send_whole(response, body.or_else(|| has_entity.then(Bytes::new))).await
            }
            Start::More(chunks, rest) => {
                self.send_streamed(response, chunks, rest, service.timeout)
            }
        }
    }

    async fn send_whole(
        self,
        response: RestResponse,
        body: Option<Bytes>,
    ) -> Result<Response<Body>, Fault> {
        let limit = self.server.settings().body_limit();
        if body.as_ref().is_some_and(|b| b.len() as u64 > limit) {
            return Err(body_fault(&body::BodyError::TooLong(limit)));
        }
        let block = response.to_block();
        let signature = self.sign_and_log(&block, body.clone().map(Taken::of_bytes)).await?;
        let mut encoder = new_encoder()?;
        let content_type = encoder.content_type();
        let mut out = BytesMut::with_capacity(
            2048 + signature.signature.len() + body.as_ref().map_or(0, Bytes::len),
        );
        write_part(&mut encoder, media::REST_RESPONSE, &block, &mut out)?;
        if let Some(body) = body {
            write_part(&mut encoder, media::REST_BODY, &body, &mut out)?;
        }
        write_signature(&mut encoder, &signature, &mut out)?;
        out.extend_from_slice(&encoder.end());
        tracing::debug!(message_id = %self.told.message_id, service = %self.told.service, status = response.status, "request answered");
        message(&content_type, full(out.freeze()))
    }

    fn send_streamed(
        self,
        response: RestResponse,
        chunks: Vec<Bytes>,
        rest: Source,
        idle: Duration,
    ) -> Result<Response<Body>, Fault> {
        let mut encoder = new_encoder()?;
        let content_type = encoder.content_type();
        let block = response.to_block();
        let mut opening = BytesMut::new();
        write_part(&mut encoder, media::REST_RESPONSE, &block, &mut opening)?;
        opening.extend_from_slice(
            &encoder.part_header(media::REST_BODY, &[]).map_err(|e| transport_fault(&e))?,
        );
        let (pieces, body) = body::channel(STREAM_DEPTH, None);
        // Runs on its own so that the answer can begin; it ends with the connection, at the latest.
        tokio::spawn(async move {
            let closing = match self
                .pump(&mut encoder, opening.freeze(), &block, chunks, rest, idle, &pieces)
                .await
            {
                Ok(evidence) => evidence,
                Err(Stop::Failed(fault)) => {
                    encoder.fault(&soap::write_fault(&finished(&self.server, fault, &self.told)))
                }
                Err(Stop::Gone) => {
                    tracing::info!(message_id = %self.told.message_id, "the other security server went away before the answer was complete");
                    return;
                }
            };
            for piece in [closing, encoder.end()] {
                if body::send(&pieces, piece, idle).await.is_err() {
                    tracing::info!(message_id = %self.told.message_id, "the other security server went away before the end of the answer");
                    return body::break_off(&pieces, "the answer is not complete".into()).await;
                }
            }
        });
        message(&content_type, body)
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one step of the road, cut out so that its failures have one place"
    )]
    async fn pump(
        &self,
        encoder: &mut Encoder,
        opening: Bytes,
        block: &Bytes,
        chunks: Vec<Bytes>,
        mut rest: Source,
        idle: Duration,
        pieces: &mpsc::Sender<Result<Bytes, std::io::Error>>,
    ) -> Result<Bytes, Stop> {
        body::send(pieces, opening, idle).await.map_err(|_| Stop::Gone)?;
        let mut intake = self.server.request_intake();
        let mut waiting = chunks.into_iter();
        loop {
            let chunk = match waiting.next() {
                Some(chunk) => chunk,
                None => match tokio::time::timeout(idle, rest.next()).await {
                    Ok(Ok(Some(chunk))) => chunk,
                    Ok(Ok(None)) => break,
                    Ok(Err(error)) => return Err(Stop::Failed(body_fault(&error))),
                    Err(_) => {
                        let text = format!(
                            "The service {} stopped sending its answer",
                            self.request.service
                        );
                        return Err(Stop::Failed(Fault::new(codes::IO_ERROR, text)));
                    }
                },
            };
            self.server.take_in(&mut intake, &chunk)?;
            body::send(pieces, chunk, idle).await.map_err(|_| Stop::Gone)?;
        }
        let taken = intake.finish().map_err(|e| body_fault(&e))?;
        let signature = self.sign_and_log(block, Some(taken)).await?;
        let mut closing = BytesMut::new();
        write_signature(encoder, &signature, &mut closing)?;
        Ok(closing.freeze())
    }

    /// Signs, and keeps the record: no answer leaves with a signature that the log does not hold.
    async fn sign_and_log(
        &self,
        block: &Bytes,
        body: Option<Taken>,
    ) -> Result<MessageSignature, Fault> {
        let length = body.as_ref().map_or(0, |body| body.length);
        self.told.observed.rest_response_size(block.len(), length);
        let provider = self.request.service.client();
        let signer = self.server.signers.of(provider.member())?;
        let parts = part_digests(block, body.as_ref().map(|b| b.digest.as_slice()));
        let signature = signer.sign(parts).await?;
        let record = NewRecord {
            time: OffsetDateTime::now_utc(),
            message_id: self.request.message_id.clone(),
            request_id: Some(self.request.request_id.clone()),
            response: true,
            side: Side::Provider,
            owner: provider.clone(),
            service: self.request.service.to_short(),
            peer: self.peer.clone(),
            message: block.clone(),
            signature: signature.signature.clone(),
            hash_chain_result: signature.hash_chain_result.clone(),
            hash_chain: signature.hash_chain.clone(),
            attachments: self.server.attachments(body),
        };
        self.server.log(record).await?;
        self.told.observed.answered();
        Ok(signature)
    }
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

fn stopped(service: &Service) -> Fault {
    let text = format!("The service {} stopped sending its answer", service.id);
    Fault::new(codes::IO_ERROR, text)
}

fn message(content_type: &str, body: Body) -> Result<Response<Body>, Fault> {
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_str(content_type)
        .map_err(|_| Fault::new(codes::INTERNAL_ERROR, "A boundary cannot be a header value"))?;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(envelope::HASH_ALGORITHM, HeaderValue::from_static("SHA-512"));
    Ok(response)
}
