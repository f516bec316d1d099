//! The metadata services: who is in the network (`listClients`, asked of one's own server), and
//! what a provider offers (`listMethods`, `allowedMethods`, `getOpenAPI`, asked of the provider's
//! server in ordinary messages, which it signs and logs). Every registered client may ask
//! (`pr-meta`, `pr-mrest`; X-Road's add-on `metaservice`).

use bytes::Bytes;
use causeway_globalconf::GlobalConf;
use causeway_message::rest::RestRequest;
use causeway_message::{Fault, codes};
use causeway_metadata::clients::{self, ListedClient};
use causeway_metadata::methods::{self, RestService, RestServiceType};
use causeway_metadata::{ALLOWED_METHODS, Description, GET_OPENAPI, LIST_METHODS};
use hyper::Response;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use time::OffsetDateTime;

use crate::access;
use crate::http::{Body, full};
use crate::server::Server;
use crate::settings::{Client, Service, ServiceKind};

/// An answer that this server makes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its content type.
    pub content_type: String,
    /// Its body.
    pub body: Bytes,
}

/// `GET /listClients`: the members and subsystems of the own instance, or of the one that the
/// parameter `xRoadInstance` names. Whoever reaches the server may ask.
///
/// # Errors
/// `global_conf_outdated`; `internal_error` for an instance that is not trusted here.
pub(crate) fn list_clients(
    server: &Server,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Response<Body>, Fault> {
    let conf = server.valid_global_conf(OffsetDateTime::now_utc())?;
    let parameters = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let asked = parameters.into_iter().find(|(name, _)| name == "xRoadInstance");
    let asked = asked.map(|(_, instance)| instance).filter(|i| !i.trim().is_empty());
    let instance = asked.as_deref().unwrap_or_else(|| conf.instance());
    let listed = listed_clients(&conf, instance)?;
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (content_type, text) = if clients::accepts_json(accept) {
        (clients::JSON, clients::to_json(listed))
    } else {
        (clients::XML, clients::to_xml(listed))
    };
    let mut response = Response::new(full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// The members of an instance, each followed by its subsystems.
fn listed_clients<'c>(
    conf: &'c GlobalConf,
    instance: &str,
) -> Result<impl Iterator<Item = ListedClient<'c>> + use<'c>, Fault> {
    let shared = conf.shared(instance).ok_or_else(|| {
        let known: Vec<&str> = conf.instances().collect();
        let text = format!(
            "Shared parameters of the instance '{}' are not found; there are those of {}",
            instance.chars().take(100).collect::<String>(),
            known.join(", ")
        );
        Fault::new(codes::INTERNAL_ERROR, text)
    })?;
    Ok(shared.members.iter().flat_map(|member| {
        let name = member.name.as_str();
        let own = ListedClient { id: member.id.as_client(), name, subsystem_name: None };
        let subsystems = member.subsystems.iter().filter_map(move |subsystem| {
            let id = member.id.subsystem(&subsystem.code).ok()?;
            Some(ListedClient { id, name, subsystem_name: subsystem.name.as_deref() })
        });
        std::iter::once(own).chain(subsystems)
    }))
}

/// Whether a request asks this server rather than a service behind it. Another method than `GET`
/// does not: then the code names a service like any other, which nobody can have.
pub fn is_asked_by_rest(request: &RestRequest) -> bool {
    request.verb == "GET"
        && [LIST_METHODS, ALLOWED_METHODS, GET_OPENAPI].contains(&request.service.code())
}

/// Answers a request that [`is_asked_by_rest`].
///
/// # Errors
/// X-Road's: `invalid_request` when `getOpenAPI` does not say of which service, `internal_error`
/// for a service that is not there or has no OpenAPI description.
pub fn answer_rest(
    provider: &Client,
    request: &RestRequest,
    conf: &GlobalConf,
) -> Result<Made, Fault> {
    if request.service.code() == GET_OPENAPI {
        return open_api(provider, request);
    }
    let allowed_only = request.service.code() == ALLOWED_METHODS;
    let services: Vec<RestService<'_>> = sorted_services(provider)
        .into_iter()
        .filter_map(|service| {
            let service_type = match service.kind {
                ServiceKind::Rest => RestServiceType::Rest,
                ServiceKind::OpenApi => RestServiceType::OpenApi,
                ServiceKind::Soap => return None,
            };
            let endpoints = if allowed_only {
                access::allowed_endpoints(&request.client, provider, service, conf)?
            } else {
                service.listed_endpoints()
            };
            Some(RestService { id: &service.id, service_type, endpoints })
        })
        .collect();
    Ok(Made { content_type: methods::JSON.to_owned(), body: methods::to_json(&services).into() })
}

/// A provider's services by code and version, so that the same question has the same answer.
fn sorted_services(provider: &Client) -> Vec<&Service> {
    let mut services: Vec<&Service> = provider.services.values().map(AsRef::as_ref).collect();
    services.sort_by(|a, b| a.id.cmp(&b.id));
    services
}

fn open_api(provider: &Client, request: &RestRequest) -> Result<Made, Fault> {
    let code = methods::described_service(request.query.as_deref())?;
    let short = || code.chars().take(255).collect::<String>();
    let wrong = |text: String| Err(Fault::new(codes::INTERNAL_ERROR, text));
    let Some(service) = provider.service(&code, None) else {
        return wrong(format!("Service not found: {}/{}", provider.id, short()));
    };
    if service.kind != ServiceKind::OpenApi {
        let kind = if service.kind == ServiceKind::Soap { "WSDL" } else { "REST" };
        return wrong(format!(
            "Invalid service type: {kind}; {} has no OpenAPI description",
            service.id
        ));
    }
    match service.description.as_deref().map(|kept| (kept, &kept.reading)) {
        Some((kept, Description::OpenApi(reading))) => Ok(Made {
            content_type: kept
                .content_type
                .clone()
                .unwrap_or_else(|| reading.format.media_type().to_owned()),
            body: kept.hidden.clone(),
        }),
        _ => wrong(format!("The provider has published no description of {}", service.id)),
    }
}
