//! `GET /wsdl`: the WSDL of a service, for client programs that fetch it from their security server by the
//! service's identifier (as those do that were made for X-Road 6 and for servers like it).
//!
//! It is a `getWsdl` message of the server's owner, or of the client that `X-Road-Client` names, to the provider's
//! server: judged, signed and logged like any other. The caller gets the attachment of its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use causeway_identifiers::rest::decode_client;
use causeway_identifiers::{ClientId, ServiceId};
use causeway_message::rest;
use causeway_message::soap::Soap;
use causeway_message::{Fault, codes};
use causeway_metadata::soap;
use causeway_transport::{Limits, PartHeaders, RelatedDecoder, RelatedEvent, media};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::carry;
use crate::http::serve::Caller;
use crate::http::{Body, full};
use crate::message::{Asked, SoapCall, related_boundary};
use crate::parts::Parts;
use crate::random;
use crate::receive::transport_fault;
use crate::server::Server;
use crate::told::Told;

/// The longest answer, in bytes: WSDLs up to 10 MiB are published, and an envelope goes with them.
const LONGEST: usize = 12 << 20;
/// How long the answer may take to be handed over, once it is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// The WSDL of the service that a query names.
///
/// # Errors
/// `invalid_request` for a query that names none; those of any message.
pub(super) async fn wsdl(
    server: &Arc<Server>,
    caller: &Caller,
    headers: &HeaderMap,
    query: &str,
    told: &mut Told,
) -> Result<Response<Body>, Fault> {
    let service = asked_service(query)?;
    let client = match headers.get(rest::CLIENT) {
        Some(named) => decode_client(&rest::header_text(named.as_bytes()))
            .map_err(|e| Fault::new(codes::INVALID_CLIENT_IDENTIFIER, e.to_string()))?,
        None => server.settings().server.owner().as_client(),
    };
    let request = question(&client, &service)?;
    told.learn(&request);
    let answer = carry(server, caller, &HeaderMap::new(), request, Parts::none(), told).await?;
    attachment(answer, &service).await
}

/// The service that a query such as `xRoadInstance=…&memberClass=…&memberCode=…&subsystemCode=…&serviceCode=…&version=…`
/// names.
fn asked_service(query: &str) -> Result<ServiceId, Fault> {
    let wrong = |text: String| Fault::new(codes::INVALID_REQUEST, text);
    let mut found: [Option<String>; 6] = Default::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let place = match name.as_ref() {
            "xRoadInstance" => 0,
            "memberClass" => 1,
            "memberCode" => 2,
            "subsystemCode" => 3,
            "serviceCode" => 4,
            "version" | "serviceVersion" => 5,
            _ => continue,
        };
        if let Some(slot) = found.get_mut(place) {
            if slot.is_some() {
                return Err(wrong(format!("The query has {name} more than once")));
            }
            *slot = Some(value.into_owned());
        }
    }
    let [instance, class, member, subsystem, code, version] = found;
    let required = |value: Option<String>, name: &str| {
        let missing = || {
            wrong(format!(
                "The query lacks {name}; it names a service by xRoadInstance, memberClass, memberCode, subsystemCode, serviceCode and version"
            ))
        };
        value.filter(|value| !value.is_empty()).ok_or_else(missing)
    };
    let provider = ClientId::new(
        &required(instance, "xRoadInstance")?,
        &required(class, "memberClass")?,
        &required(member, "memberCode")?,
        subsystem.as_deref().filter(|code| !code.is_empty()),
    );
    let code = required(code, "serviceCode")?;
    let version = version.filter(|version| !version.is_empty());
    provider
        .and_then(|provider| provider.service(&code, version.as_deref()))
        .map_err(|e| wrong(format!("The query names no service: {e}")))
}

/// The `getWsdl` message.
fn question(client: &ClientId, service: &ServiceId) -> Result<Asked, Fault> {
    let id = random::id().to_string();
    let envelope = Bytes::from(soap::wsdl_question(client, service, &id)?);
    let Soap::Message(message) = Soap::read(&envelope)? else {
        return Err(Fault::new(codes::INTERNAL_ERROR, "The question for the WSDL is a fault"));
    };
    let call = SoapCall {
        message,
        part: PartHeaders::of_content_type(media::TEXT_XML_UTF8),
        action: None,
        content_type: media::TEXT_XML_UTF8.to_owned(),
    };
    Ok(Asked::from_soap(envelope, id, call))
}

/// The first attachment of the answer.
async fn attachment(answer: Response<Body>, service: &ServiceId) -> Result<Response<Body>, Fault> {
    let (head, body) = answer.into_parts();
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let whole = tokio::time::timeout(PATIENCE, Limited::new(body, LONGEST).collect()).await;
    let whole = match whole {
        Ok(Ok(whole)) => whole.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let text = format!("The WSDL of {service} is longer than {LONGEST} bytes");
            return Err(Fault::new(codes::INVALID_MESSAGE, text));
        }
        Ok(Err(error)) => return Err(Fault::new(codes::IO_ERROR, error.to_string())),
        Err(_) => return Err(Fault::new(codes::IO_ERROR, "The answer was not read in time")),
    };
    let none = || {
        let text = format!("The answer of the provider of {service} has no WSDL attached");
        Fault::new(codes::INVALID_MESSAGE, text)
    };
    let boundary = related_boundary(content_type.unwrap_or_default())?.ok_or_else(|| {
        // A fault of the provider's server, or of its information system.
        match Soap::read(&whole) {
            Ok(Soap::Fault(fault)) => fault,
            _ => none(),
        }
    })?;
    let mut decoder = RelatedDecoder::new(&boundary, Limits::default());
    decoder.push(whole);
    decoder.end_of_input();
    let (mut part, mut wsdl) = (0, BytesMut::new());
    while let Some(event) = decoder.next_event().map_err(|e| transport_fault(&e))? {
        match event {
            RelatedEvent::Part(_) => part += 1,
            RelatedEvent::Data(data) if part == 2 => wsdl.extend_from_slice(&data),
            _ => {}
        }
    }
    if part < 2 {
        return Err(none());
    }
    let mut response = Response::new(full(wsdl.freeze()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml;charset=utf-8"));
    Ok(response)
}
