//! The provider's side: another security server brings a request, the
//! provider's information system answers it, and the answer goes back.
//!
//! `exchange` reads top to bottom in the order in which things happen, as
//! `client_side` does for the other
//! direction. A request that fails before its answer has begun is answered by
//! a SOAP fault alone; one that fails later, by a fault in place of the
//! signature (X-Road message transport protocol 3).

mod answering;
mod own;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use causeway_globalconf::GlobalConf;
use causeway_identifiers::ServiceId;
use causeway_message::rest::{self, RestRequest};
use causeway_message::{Fault, codes, soap};
use causeway_messagelog::{NewRecord, Side};
use causeway_monitoring::ServerType;
use causeway_pki::Certificate;
use causeway_transport::{Decoder, Expect, MessageKind, envelope};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::access;
use crate::body::{Source, Taken};
use crate::http::serve::Caller;
use crate::http::{Body, full};
use crate::message::{self, Asked, Kind};
use crate::monitoring::Observed;
use crate::parts::digests;
use crate::receive::{Allowed, Arrived, Expected, Received, receive, transport_fault};
use crate::server::Server;
use crate::service_call::Attachments;
use crate::settings::{Client, Service, Settings};
use crate::told::Told;

use answering::Answering;
pub use own::{Made, MadeAnswer, OwnService};

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
    let (expected, decoder) = open_message(server, &head.headers)?;

    let settings = server.settings();
    let mut parsed = None;
    let on_message = |ocsp: &[Bytes], arrived: Arrived<'_>| {
        let request = read_request(arrived, &head.headers)?;
        told.learn(&request);
        // What has no right does not get its body taken in.
        judge_sender(server, &request, sender_identity, ocsp, now, &conf)?;
        let allowed = match judge_target(server, &settings, &request, &conf)? {
            Target::Own(..) => Allowed::Nothing,
            Target::Service(..) => Allowed::Everything,
        };
        server.timestamping_gate(now)?;
        parsed = Some(request);
        Ok(allowed)
    };
    let received = receive(server, &mut incoming, decoder, expected, on_message).await?;
    let mut request = parsed
        .ok_or_else(|| Fault::new(codes::MISSING_REST, "Request does not have REST message"))?;
    adopt_request_id(&mut request, &head.headers)?;
    told.observed.request_id(&request.request_id);
    told.observed.request_size(received.message.len(), &received.attachments);
    // A body may have taken its time: what holds now counts, not what held when it began.
    let now = OffsetDateTime::now_utc();
    let conf = server.valid_global_conf(now)?;
    judge_sender(server, &request, sender_identity, &received.ocsp, now, &conf)?;

    let settings = server.settings();
    let target = judge_target(server, &settings, &request, &conf)?;
    judge_signature(server, &request, &received, now, &conf)?;
    request.judge_direction()?;
    server.timestamping_gate(now)?;
    let server_of_sender =
        sender_identity.first().and_then(|c| conf.server_by_auth_certificate(c)).map(|s| {
            told.observed.other_server(s.address.as_deref());
            s.id.to_short()
        });
    let (request_hash, attachments) =
        log_request(server, &request, server_of_sender.clone(), received).await?;

    let answering = Answering {
        server: Arc::clone(server),
        request,
        request_hash,
        peer: server_of_sender,
        told: told.clone(),
    };
    told.observed.request_out();
    let answer = match target {
        Target::Service(provider, service) => {
            let call = server.services.call(provider, &service, &answering.request, attachments);
            let came = call.await.map_err(|fault| answering.of_service(fault))?;
            told.observed.response_in();
            told.observed.http_status(came.status().as_u16());
            answering.read(came, &service).await.map_err(|fault| answering.of_service(fault))?
        }
        Target::Own(own, provider) => {
            let made = own.answer(server, provider, &answering.request, &attachments, &conf);
            let made = made.await?;
            told.observed.response_in();
            answering.take_over(made)?
        }
    };
    answering.send_back(answer).await
}

/// Who answers a request.
enum Target<'s> {
    /// An information system of the provider.
    Service(&'s Client, Arc<Service>),
    /// This server itself.
    Own(Arc<dyn OwnService>, &'s Client),
}

/// Reads the message's own part.
fn read_request(arrived: Arrived<'_>, headers: &HeaderMap) -> Result<Asked, Fault> {
    match arrived {
        Arrived::Rest(block) => {
            let request = RestRequest::parse(block)?;
            request.refuse_repeated_identity()?;
            Ok(Asked::from_rest(block.clone(), request))
        }
        Arrived::Soap(part, envelope) => message::parse_soap_request(part, envelope, headers)
            .map_err(|fault| match fault.code() {
                codes::MISSING_SOAP => fault,
                _ => fault.with_prefix(codes::SERVICE_FAILED),
            }),
    }
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
fn open_message(server: &Server, headers: &HeaderMap) -> Result<(Expected, Decoder), Fault> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(least) = &server.settings().peers.min_supported_version {
        judge_version(header(envelope::PROXY_VERSION), least)?;
    }
    let latin = |name: &str| headers.get(name).map(|v| rest::header_text(v.as_bytes()));
    // What does not say that it is REST is SOAP.
    let kind = match header(envelope::MESSAGE_TYPE) {
        Some(envelope::MESSAGE_TYPE_REST) => MessageKind::Rest,
        _ => MessageKind::Soap,
    };
    let boundary = match kind {
        MessageKind::Rest => None,
        MessageKind::Soap => {
            soap::check_soap_action(latin(envelope::ORIGINAL_SOAP_ACTION).as_deref())?;
            let original = latin(envelope::ORIGINAL_CONTENT_TYPE).unwrap_or_default();
            message::related_boundary(&original)
                .map_err(|fault| fault.with_prefix(codes::SERVICE_FAILED))?
        }
    };
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
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let decoder = Decoder::new(content_type, Expect::Request, message::limits(kind))
        .map_err(|e| transport_fault(&e).with_prefix(codes::SERVICE_FAILED))?;
    let idle = server.settings().limits.request_timeout;
    Ok((Expected { kind, fault: false, boundary, idle }, decoder))
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

/// Who is to answer: a service, when the client may use it so, or this server itself.
fn judge_target<'s>(
    server: &Server,
    settings: &'s Settings,
    request: &Asked,
    conf: &GlobalConf,
) -> Result<Target<'s>, Fault> {
    let id = request.service.client();
    let provider = settings
        .clients
        .get(id)
        .filter(|c| c.registered)
        .ok_or_else(|| Fault::new(codes::UNKNOWN_MEMBER, format!("Client '{id}' not found")))?;
    if let Some(own) = server.own_service(request) {
        return Ok(Target::Own(own, provider));
    }
    let (client, service) = (&request.client, &request.service);
    let service = match &request.kind {
        Kind::Rest(rest) => {
            access::judge(client, provider, service.code(), &rest.verb, &rest.service_path, conf)?
        }
        Kind::Soap(call) => {
            judge_operation(provider, service, &call.message.operation)?;
            access::judge_soap(client, provider, service.code(), service.version(), conf)?
        }
    };
    Ok(Target::Service(provider, service))
}

/// The body's element begins with the service code. Where it is that of another service of the provider, a right to
/// `get` would be one to `getSecret`.
fn judge_operation(provider: &Client, asked: &ServiceId, operation: &str) -> Result<(), Fault> {
    let longer = |other: &&Arc<Service>| {
        let code = other.id.code();
        code.len() > asked.code().len() && operation.starts_with(code)
    };
    match provider.services.values().find(longer) {
        Some(other) => {
            let text = format!("The body asks for {}, the header for {asked}", other.id);
            Err(Fault::new(codes::ACCESS_DENIED, text))
        }
        None => Ok(()),
    }
}

/// The checks that need no more than the message's own part: the provider is a
/// client of this server, and the sender's TLS certificate may speak for the client.
fn judge_sender(
    server: &Server,
    request: &Asked,
    shown: &[Certificate],
    ocsp: &[Bytes],
    now: OffsetDateTime,
    conf: &Arc<GlobalConf>,
) -> Result<(), Fault> {
    match request.kind {
        Kind::Rest(_) => judge_sender_of(server, request, shown, ocsp, now, conf),
        // X-Road makes these checks while it reads a SOAP message, and tells them as such.
        Kind::Soap(_) => judge_target_server(server, request)
            .and_then(|()| judge_sender_of(server, request, shown, ocsp, now, conf))
            .map_err(|fault| fault.with_prefix(codes::SERVICE_FAILED)),
    }
}

/// When the client asked for a certain server, another one must not answer in its place.
fn judge_target_server(server: &Server, request: &Asked) -> Result<(), Fault> {
    let settings = server.settings();
    match &request.target {
        Some(target) if *target != settings.server => {
            let text = format!(
                "Invalid security server identifier '{target}' expected '{}'",
                settings.server
            );
            Err(Fault::new(codes::INVALID_SECURITY_SERVER, text))
        }
        _ => Ok(()),
    }
}

fn judge_sender_of(
    server: &Server,
    request: &Asked,
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
fn adopt_request_id(request: &mut Asked, headers: &HeaderMap) -> Result<(), Fault> {
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
    request: &Asked,
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

/// Keeps the record of the request; gives the request hash, and the attachments for the service.
async fn log_request(
    server: &Arc<Server>,
    request: &Asked,
    peer: Option<String>,
    received: Received,
) -> Result<(String, Attachments), Fault> {
    let hash = request.hash(&digests(&received.attachments));
    let attachments = match request.kind {
        Kind::Rest(_) => Attachments::Body(received.attachments.first().map(Taken::reader)),
        Kind::Soap(_) => Attachments::Parts(received.readers()),
    };
    let record = NewRecord {
        time: OffsetDateTime::now_utc(),
        message_id: request.message_id.clone(),
        request_id: Some(request.request_id.clone()),
        response: false,
        side: Side::Provider,
        owner: request.service.client().clone(),
        service: request.service.to_short(),
        peer,
        message: received.message,
        signature: received.signature,
        hash_chain_result: received.chain.as_ref().map(|(result, _)| result.clone()),
        hash_chain: received.chain.map(|(_, chain)| chain),
        attachments: server.attachments(received.attachments),
    };
    server.log(record).await?;
    Ok((hash, attachments))
}

fn message(content_type: &str, body: Body) -> Result<Response<Body>, Fault> {
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_str(content_type)
        .map_err(|_| Fault::new(codes::INTERNAL_ERROR, "A boundary cannot be a header value"))?;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(envelope::HASH_ALGORITHM, HeaderValue::from_static("SHA-512"));
    Ok(response)
}
