//! The consumer's side: an information system's request goes to the
//! provider's security server, and the answer comes back.
//!
//! `relay` reads top to bottom in the order in which things happen. What
//! fails has a code and a text, reaches the log once with the message id, and
//! the information system as X-Road answers it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_globalconf::GlobalConf;
use causeway_message::rest::{self, RestRequest, RestResponse};
use causeway_message::soap::{self, Soap, SoapMessage};
use causeway_message::{CodeStyle, Fault, codes, wants_xml};
use causeway_messagelog::{NewRecord, Side};
use causeway_monitoring::ServerType;
use causeway_transport::{Decoder, Expect, MessageKind, envelope};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::body::{self, Source, Taken};
use crate::http::serve::Caller;
use crate::http::{Body, full};
use crate::message::{self, Asked, Kind, SOAP_ACTION};
use crate::metadata;
use crate::monitoring::Observed;
use crate::parts::{self, Start};
use crate::peers::{self, Candidate, ConnectError, Peer, Share};
use crate::random;
use crate::receive::{Allowed, Expected, Received, receive, transport_fault};
use crate::related;
use crate::server::Server;
use crate::settings::{Client, ConnectionType};
use crate::told::Told;

mod sending;
mod wsdl;

use sending::Sending;

/// Answers a request of an information system.
pub async fn handle(
    server: Arc<Server>,
    caller: Caller,
    request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path();
    if path.starts_with("/r") && path.as_bytes().get(2).is_some_and(u8::is_ascii_digit) {
        handle_message(&server, &caller, request, MessageKind::Rest).await
    } else if request.method() == Method::GET && path == "/asic" {
        server.asic(&caller, request.uri().query().unwrap_or_default()).await
    } else if request.method() == Method::GET && path == "/verificationconf" {
        server.verification_configuration().await
    } else if request.method() == Method::GET && path == "/listClients" {
        let query = request.uri().query();
        metadata::list_clients(&server, request.headers(), query)
            .unwrap_or_else(|fault| refused(&server, fault, &Told::default(), soap_fault))
    } else if request.method() == Method::GET && path == "/wsdl" {
        let query = request.uri().query().unwrap_or_default();
        let mut told =
            Told { observed: Observed::begin(&server, ServerType::Client), ..Told::default() };
        match wsdl::wsdl(&server, &caller, request.headers(), query, &mut told).await {
            Ok(wsdl) => {
                told.observed.answered();
                wsdl
            }
            Err(fault) => refused(&server, fault, &told, soap_fault),
        }
    } else {
        handle_message(&server, &caller, request, MessageKind::Soap).await
    }
}

async fn handle_message(
    server: &Arc<Server>,
    caller: &Caller,
    request: Request<Incoming>,
    kind: MessageKind,
) -> Response<Body> {
    let started = Instant::now();
    let (head, incoming) = request.into_parts();
    let accept =
        head.headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let mut told =
        Told { observed: Observed::begin(server, ServerType::Client), ..Told::default() };
    if let Some(id) = head.headers.get(rest::MESSAGE_ID) {
        told.message_id = rest::header_text(id.as_bytes());
    }
    match relay(server, caller, kind, head, incoming, &mut told).await {
        Ok(response) => {
            told.observed.answered();
            server.metrics.exchange("consumer", started.elapsed());
            response
        }
        Err(fault) => refused(server, fault, &told, |fault, style| match kind {
            MessageKind::Rest => error_response(fault, &accept, style),
            MessageKind::Soap => soap_fault(fault, style),
        }),
    }
}

/// Gives a fault its prefix and detail, logs it, and answers with it.
fn refused(
    server: &Server,
    fault: Fault,
    told: &Told,
    write: impl FnOnce(&Fault, CodeStyle) -> Response<Body>,
) -> Response<Body> {
    let trace = Uuid::new_v4().to_string();
    let fault = fault.with_prefix(codes::CLIENT_PROXY);
    let fault = if fault.detail().is_empty() { fault.with_detail(trace) } else { fault };
    told.log_failure(Side::Consumer, &fault);
    server.metrics.fault("consumer", fault.code());
    write(&fault, server.settings().errors)
}

/// The answer to a SOAP client program whose request failed: X-Road says it with status 200.
fn soap_fault(fault: &Fault, style: CodeStyle) -> Response<Body> {
    let mut response = Response::new(full(soap::write_fault_as(fault, style)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml;charset=utf-8"));
    headers.insert(SOAP_ACTION, HeaderValue::from_static(""));
    response
}

/// The answer to an information system whose request failed (`pr-rest` 4.6).
fn error_response(fault: &Fault, accept: &str, style: CodeStyle) -> Response<Body> {
    let (content_type, body) = match wants_xml(accept) {
        Some("text/xml") => ("text/xml;charset=utf-8", fault.to_xml(style)),
        Some(_) => ("application/xml;charset=utf-8", fault.to_xml(style)),
        None => ("application/json;charset=utf-8", fault.to_json(style)),
    };
    let mut response = Response::new(full(body));
    *response.status_mut() =
        StatusCode::from_u16(fault.rest_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(code) = HeaderValue::from_str(&fault.styled_code(style)) {
        response.headers_mut().insert(HeaderName::from_static(rest::ERROR), code);
    }
    response
}

/// One message's way: from the information system to the provider and back.
async fn relay(
    server: &Arc<Server>,
    caller: &Caller,
    kind: MessageKind,
    head: Parts,
    incoming: Incoming,
    told: &mut Told,
) -> Result<Response<Body>, Fault> {
    let incoming = Source::of_request(incoming, &head.headers);
    let idle = server.settings().limits.request_timeout;
    let (request, attachments) = match kind {
        MessageKind::Rest => {
            let request = read_request(&head, server.settings().server.owner().instance())?;
            (Asked::of_rest(request), parts::Parts::body(incoming, idle))
        }
        MessageKind::Soap => read_soap(&head, incoming, idle).await?,
    };
    told.learn(&request);
    carry(server, caller, &head.headers, request, attachments, told).await
}

/// The way of a message that was read: to the provider's server and back.
async fn carry(
    server: &Arc<Server>,
    caller: &Caller,
    headers: &HeaderMap,
    request: Asked,
    attachments: parts::Parts,
    told: &Told,
) -> Result<Response<Body>, Fault> {
    let settings = server.settings();
    let now = OffsetDateTime::now_utc();
    server.require_authentication_certificate()?;
    let conf = server.valid_global_conf(now)?;
    let client =
        settings.clients.get(&request.client).filter(|c| c.registered).ok_or_else(|| {
            Fault::new(codes::UNKNOWN_MEMBER, format!("Client '{}' not found", request.client))
        })?;
    judge_caller(client, caller, server.internal_certificate(), settings.caller_dates(now))?;
    server.timestamping_gate(now)?;
    let candidates = peers::candidates(&conf, request.service.client(), request.target.as_ref())?;
    let _share = take_share(server, &request)?;
    attachments.judge_length(settings.body_limit())?;
    let start = attachments.start(settings.limits.inline_body).await?;
    request.judge_direction().map_err(|fault| fault.with_prefix(codes::CLIENT))?;
    let mut peer = connect(server, &candidates, &request, &conf).await?;

    let observed = &told.observed;
    observed.other_server(Some(&peer.server.address));
    let sending = Sending::new(server, &request, headers, &conf)?.observed_by(observed);
    observed.request_out();
    let (answer, sent) = match start {
        Start::Whole(pieces) => sending.send_whole(&mut peer, pieces, &candidates, &conf).await?,
        Start::More(pieces, rest) => sending.send_streamed(&mut peer, pieces, rest).await?,
    };
    observed.response_in();
    let request_hash = request.hash(&sent.digests);
    let answer = read_answer(server, &request, answer).await?;
    observed.response_size(answer.received.message.len(), &answer.received.attachments);
    server.give_back(peer);
    // The answer may have taken its time: what holds now counts.
    let conf = server.valid_global_conf(OffsetDateTime::now_utc())?;
    let response = judge_answer(server, &conf, &request, &request_hash, &answer.received)?;
    if let Answer::Rest(response, _) = &response {
        observed.status(response.status);
    }
    log_answer(server, &request, &sent.server, answer, response).await
}

/// The request of a SOAP client program, which sends it by `POST`.
async fn read_soap(
    head: &Parts,
    incoming: Source,
    idle: Duration,
) -> Result<(Asked, parts::Parts), Fault> {
    if head.method != Method::POST {
        let text = format!(
            "Must use POST request method instead of {} (SOAP), or a path that begins with /r1/ (REST)",
            head.method
        );
        return Err(Fault::new(codes::INVALID_HTTP_METHOD, text).with_prefix(codes::CLIENT));
    }
    message::read_soap_request(head, incoming, idle).await
}

fn read_request(head: &Parts, instance: &str) -> Result<RestRequest, Fault> {
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), rest::header_text(value.as_bytes())));
    RestRequest::from_http(
        head.method.as_str(),
        head.uri.path(),
        head.uri.query(),
        crate::http::case::restore(head, headers),
        &random::id().to_string(),
        || format!("{instance}-{}", random::id()),
    )
}

/// Whether the caller may speak for the client, by the connection type that the client has chosen. With `dates`, the
/// certificate that it shows must be valid then.
pub(crate) fn judge_caller(
    client: &Client,
    caller: &Caller,
    internal: Option<&causeway_pki::Certificate>,
    dates: Option<OffsetDateTime>,
) -> Result<(), Fault> {
    let refused = |text: String| Err(Fault::new(codes::SSL_AUTHENTICATION_FAILED, text));
    match (client.connection, caller) {
        (ConnectionType::Http, _) | (ConnectionType::Https, Caller::Tls(_)) => Ok(()),
        (_, Caller::Plain) => refused(format!("Client '{}' must connect by HTTPS", client.id)),
        (ConnectionType::HttpsWithCertificate, Caller::Tls(shown)) => {
            let Some(leaf) = shown.first() else {
                return refused(format!(
                    "Client '{}' must show its TLS certificate, and showed none",
                    client.id
                ));
            };
            if client.certificates.is_empty() && Some(leaf) != internal {
                return refused(format!(
                    "Client '{}' has no TLS certificates configured",
                    client.id
                ));
            }
            if client.certificates.contains(leaf) || Some(leaf) == internal {
                return match dates {
                    Some(now) if !leaf.is_valid_at(now) => refused(format!(
                        "The TLS certificate of client '{}' is valid from {} until {} only",
                        client.id,
                        leaf.not_before(),
                        leaf.not_after()
                    )),
                    _ => Ok(()),
                };
            }
            refused(format!(
                "The TLS certificate shown is not one of those configured for client '{}'",
                client.id
            ))
        }
    }
}

/// The message's part in what may be in flight to its provider.
fn take_share(server: &Server, request: &Asked) -> Result<Share, Fault> {
    let provider = request.service.client();
    server.shares.take(provider).ok_or_else(|| {
        let text = format!(
            "{} messages to '{provider}' are in flight already, which does not answer as fast as it is asked; try again later",
            server.shares.most()
        );
        Fault::new(codes::NETWORK_ERROR, text)
    })
}

/// A connection to a server that may speak for the provider.
async fn connect(
    server: &Server,
    candidates: &[Candidate],
    request: &Asked,
    conf: &Arc<GlobalConf>,
) -> Result<Peer, Fault> {
    let provider = request.service.client();
    let mut left = candidates.to_vec();
    loop {
        let peer = server.peers.take(&left).await.map_err(|e| connect_fault(&e))?;
        let judged = server.judge_provider(&peer, provider, conf).await;
        match judged.and_then(|()| judge_target(request, &peer, conf)) {
            Ok(()) => return Ok(peer),
            Err(fault) => {
                // Another server of the provider may be in order.
                server.peers.distrust(candidates);
                tracing::warn!(server = %peer.server.id, code = fault.code(), "a provider's server is refused: {}", fault.message());
                left.retain(|c| *c != peer.server);
                if left.is_empty() {
                    return Err(fault);
                }
            }
        }
    }
}

/// The fault of a provider whose servers cannot be reached (X-Road tells TLS that fails from no connection).
fn connect_fault(error: &ConnectError) -> Fault {
    let code = if error.tls { codes::SSL_AUTHENTICATION_FAILED } else { codes::NETWORK_ERROR };
    Fault::new(code, error.to_string())
}

/// When the client asked for a certain server, another one of the same provider must not answer in its place.
fn judge_target(request: &Asked, peer: &Peer, conf: &GlobalConf) -> Result<(), Fault> {
    let Some(target) = &request.target else { return Ok(()) };
    let shown = peer.certificates.first().and_then(|c| conf.server_by_auth_certificate(c));
    if shown.is_some_and(|server| server.id == *target) {
        return Ok(());
    }
    let text =
        format!("The server at {} is not the security server \"{target}\"", peer.server.address);
    Err(Fault::new(codes::SSL_AUTHENTICATION_FAILED, text))
}

/// What the provider's security server answered.
struct Answered {
    received: Received,
    /// The service's own content type, for a SOAP answer.
    content_type: String,
}

/// A message that answers a request, with the request that it answers.
enum Answer<'r> {
    Rest(Box<RestResponse>, &'r RestRequest),
    Soap(Box<SoapMessage>, &'r SoapMessage),
}

/// Reads the provider's answer to its end; a fault in it becomes ours.
async fn read_answer(
    server: &Arc<Server>,
    request: &Asked,
    answer: Response<Incoming>,
) -> Result<Answered, Fault> {
    let (head, incoming) = answer.into_parts();
    if head.status != StatusCode::OK {
        let text = format!(
            "The provider's security server answered with HTTP status {}",
            head.status.as_u16()
        );
        return Err(Fault::new(codes::HTTP_ERROR, text));
    }
    let content_type =
        head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let broken = |fault: Fault| fault.with_prefix(codes::SERVICE_FAILED);
    let kind = request.message_kind();
    let decoder = Decoder::new(content_type, Expect::Response, message::limits(kind))
        .map_err(|e| broken(transport_fault(&e)))?;
    let original = head.headers.get(envelope::ORIGINAL_CONTENT_TYPE);
    let original = original.map(|v| rest::header_text(v.as_bytes())).unwrap_or_default();
    let boundary = match kind {
        MessageKind::Rest => None,
        MessageKind::Soap => message::related_boundary(&original).map_err(broken)?,
    };
    let expected =
        Expected { kind, fault: true, boundary, idle: server.settings().peers.response_timeout };
    let mut incoming = Source::of_answer(incoming);
    let received =
        receive(server, &mut incoming, decoder, expected, |_, _| Ok(Allowed::Everything)).await;
    // A fault that the peer sent has its prefix already, and keeps it; a part that is not there is not broken.
    let received = received.map_err(|fault| {
        let theirs = fault.code().to_ascii_lowercase().starts_with("server.");
        let missing = [codes::MISSING_SIGNATURE, codes::MISSING_SOAP, codes::MISSING_REST];
        if theirs || missing.contains(&fault.code()) { fault } else { broken(fault) }
    })?;
    let algorithm = head.headers.get(envelope::HASH_ALGORITHM).and_then(|v| v.to_str().ok());
    if !algorithm.is_some_and(|name| name.eq_ignore_ascii_case("SHA-512")) {
        let text = "The provider's security server does not say that it digests with SHA-512";
        return Err(Fault::new(codes::INTERNAL_ERROR, text));
    }
    Ok(Answered { received, content_type: original })
}

/// Whether the answer is the provider's, and belongs to the request.
fn judge_answer<'r>(
    server: &Server,
    conf: &Arc<GlobalConf>,
    request: &'r Asked,
    request_hash: &str,
    received: &Received,
) -> Result<Answer<'r>, Fault> {
    let answer = match &request.kind {
        Kind::Rest(asked) => Answer::Rest(Box::new(RestResponse::parse(&received.message)?), asked),
        Kind::Soap(call) => match Soap::read(&received.message) {
            Ok(Soap::Message(response)) => Answer::Soap(response, &call.message),
            Ok(Soap::Fault(fault)) => return Err(fault),
            Err(fault) => return Err(fault.with_prefix(codes::SERVICE_FAILED)),
        },
    };
    let chain = received.chain.as_ref().map(|(result, chain)| (result, chain));
    received.with_parts(|parts| {
        let provider = request.service.client();
        server.verification.judge_message(
            &received.signature,
            chain,
            parts,
            provider,
            OffsetDateTime::now_utc(),
            conf,
        )
    })?;
    match &answer {
        Answer::Rest(response, asked) => response.check_answers(asked, request_hash)?,
        Answer::Soap(response, asked) => response.check_answers(asked, request_hash)?,
    }
    Ok(answer)
}

/// Keeps the record of the answer, and then answers.
async fn log_answer(
    server: &Arc<Server>,
    request: &Asked,
    whom: &str,
    answer: Answered,
    response: Answer<'_>,
) -> Result<Response<Body>, Fault> {
    let Answered { received, content_type } = answer;
    let out = match response {
        Answer::Rest(response, _) => {
            let body = received.attachments.first().map(Taken::reader);
            rest_answer(&response, body.map_or_else(crate::http::empty, body::Reader::into_body))?
        }
        Answer::Soap(..) => {
            let readers = received.readers();
            let part = received.part.clone().unwrap_or_default();
            let message = received.message.clone();
            let (content_type, body) =
                related::for_information_system(message, &part, readers, &content_type)?;
            let mut out = Response::new(body);
            out.headers_mut().insert(CONTENT_TYPE, content_type);
            out
        }
    };
    let record = NewRecord {
        time: OffsetDateTime::now_utc(),
        message_id: request.message_id.clone(),
        request_id: Some(request.request_id.clone()),
        response: true,
        side: Side::Consumer,
        owner: request.client.clone(),
        service: request.service.to_short(),
        peer: Some(whom.to_owned()),
        message: received.message,
        signature: received.signature,
        hash_chain_result: received.chain.as_ref().map(|(result, _)| result.clone()),
        hash_chain: received.chain.map(|(_, chain)| chain),
        attachments: server.attachments(received.attachments),
    };
    server.log(record).await?;
    tracing::debug!(message_id = %request.message_id, service = %request.service, status = %out.status(), "request relayed");
    Ok(out)
}

/// The provider's status, headers and body, as the information system gets them.
fn rest_answer(response: &RestResponse, body: Body) -> Result<Response<Body>, Fault> {
    let mut out = Response::new(body);
    *out.status_mut() = StatusCode::from_u16(response.status)
        .map_err(|_| Fault::new(codes::INCONSISTENT_RESPONSE, "The response has no HTTP status"))?;
    for (name, value) in &response.headers {
        // What HTTP cannot carry on was signed and logged all the same.
        if let (Ok(name), Ok(value)) =
            (name.parse::<HeaderName>(), HeaderValue::from_bytes(&rest::header_bytes(value)))
        {
            // More headers than a message can have were refused with the block.
            let _ = out.headers_mut().try_append(name, value);
        }
    }
    Ok(out)
}
