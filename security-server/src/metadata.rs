//! The metadata services: who is in the network (`listClients`, asked of one's own server), and
//! what a provider offers (`listMethods`, `allowedMethods`, `getOpenAPI`, `getWsdl`, asked of the
//! provider's server in ordinary messages, which it signs and logs). Every registered client may
//! ask (`pr-meta`, `pr-mrest`; X-Road's add-on `metaservice`).

use std::sync::Arc;

use bytes::Bytes;
use causeway_globalconf::GlobalConf;
use causeway_message::rest::RestRequest;
use causeway_message::{Fault, codes};
use causeway_metadata::clients::{self, ListedClient};
use causeway_metadata::methods::{self, RestService, RestServiceType};
use causeway_metadata::soap::{self, WsdlQuestion};
use causeway_metadata::{ALLOWED_METHODS, Description, GET_OPENAPI, GET_WSDL, LIST_METHODS};
use causeway_transport::PartHeaders;
use hyper::Response;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::access;
use crate::http::{Body, full};
use crate::message::{Asked, Kind};
use crate::provider_side::{Made, MadeAnswer, OwnService};
use crate::server::Server;
use crate::service_call::Attachments;
use crate::settings::{Client, Service, ServiceKind};

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

/// What members may ask of a provider's server, in REST and in SOAP.
#[derive(Debug, Clone, Copy)]
pub struct MetadataServices;

impl OwnService for MetadataServices {
    /// Of REST, only `GET` asks: with another method the code names a service like any other, which
    /// nobody can have.
    fn is_asked(&self, request: &Asked) -> bool {
        let code = request.service.code();
        match &request.kind {
            Kind::Rest(rest) => {
                rest.verb == "GET" && [LIST_METHODS, ALLOWED_METHODS, GET_OPENAPI].contains(&code)
            }
            Kind::Soap(_) => [LIST_METHODS, ALLOWED_METHODS, GET_WSDL].contains(&code),
        }
    }

    fn answer<'a>(
        &'a self,
        _server: &'a Arc<Server>,
        provider: &'a Client,
        request: &'a Asked,
        _attachments: &'a Attachments,
        conf: &'a GlobalConf,
    ) -> MadeAnswer<'a> {
        let made = match (&request.kind, request.service.code()) {
            (Kind::Rest(rest), GET_OPENAPI) => open_api(provider, rest),
            (Kind::Rest(_), _) => Ok(rest_services(provider, request, conf)),
            (Kind::Soap(_), GET_WSDL) => wsdl(provider, request),
            (Kind::Soap(_), _) => soap_services(provider, request, conf),
        };
        Box::pin(std::future::ready(made))
    }
}

/// `listMethods` and `allowedMethods` of REST.
fn rest_services(provider: &Client, request: &Asked, conf: &GlobalConf) -> Made {
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
    rest_answer(methods::JSON, methods::to_json(&services).into())
}

fn rest_answer(content_type: &str, body: Bytes) -> Made {
    Made::Rest(200, vec![(CONTENT_TYPE.as_str().to_owned(), content_type.to_owned())], body)
}

/// `listMethods` and `allowedMethods` of SOAP.
fn soap_services(provider: &Client, request: &Asked, conf: &GlobalConf) -> Result<Made, Fault> {
    let operation = request.service.code();
    let listed = sorted_services(provider).into_iter().filter(|service| {
        service.kind == ServiceKind::Soap
            && (operation != ALLOWED_METHODS
                || access::may_call_some(&request.client, provider, service, conf))
    });
    let envelope = soap::method_list(&request.bytes, operation, listed.map(|s| &s.id))?;
    Ok(Made::Soap(envelope.into(), Vec::new()))
}

/// `getWsdl`: the WSDL goes along as an attachment.
fn wsdl(provider: &Client, request: &Asked) -> Result<Made, Fault> {
    let WsdlQuestion { code, version } = WsdlQuestion::read(&request.bytes)?;
    let unknown = || {
        let version = version.iter().map(|version| format!("/{version}")).collect::<String>();
        let of = format!("{}/{code}{version}", provider.id);
        let text =
            format!("There is no WSDL of the service {}", of.chars().take(500).collect::<String>());
        Fault::new(codes::UNKNOWN_SERVICE, text)
    };
    let service = provider.service(&code, version.as_deref()).ok_or_else(unknown)?;
    if service.kind != ServiceKind::Soap {
        let text = format!("{} is a REST service and does not have a WSDL", service.id);
        return Err(Fault::new(codes::SERVICE_TYPE, text));
    }
    let kept = service.description.as_ref().ok_or_else(unknown)?;
    let part = PartHeaders::of_content_type(soap::WSDL_MEDIA_TYPE)
        .with("Content-Transfer-Encoding", "binary")
        .with("Content-ID", &soap::wsdl_content_id(Uuid::new_v4()));
    let envelope = soap::wsdl_answer(&request.bytes)?;
    Ok(Made::Soap(envelope.into(), vec![(part, kept.hidden.clone())]))
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
        Some((kept, Description::OpenApi(reading))) => {
            let told = kept.content_type.as_deref();
            let content_type = told.unwrap_or_else(|| reading.format.media_type());
            Ok(rest_answer(content_type, kept.hidden.clone()))
        }
        _ => wrong(format!("The provider has published no description of {}", service.id)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::globalconf_client::read_folder;

    /// X-Road's own configuration of an instance and of those that it is federated with.
    #[test]
    fn clients_of_the_own_and_of_federated_instances_are_listed() {
        let vectors = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
            || {
                std::path::PathBuf::from(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/../../shared/vectors"
                ))
            },
            std::path::PathBuf::from,
        );
        let folder = vectors.join("globalconf/globalconf_good_v6");
        if !folder.is_dir() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "{} is missing",
                folder.display()
            );
            eprintln!("SKIPPED: {} is missing", folder.display());
            return;
        }
        let conf = GlobalConf::from_directory_files(read_folder(&folder).unwrap()).unwrap();
        assert!(conf.instances().count() > 1);
        for instance in conf.instances() {
            let listed: Vec<_> = listed_clients(&conf, instance).unwrap().collect();
            let members = &conf.shared(instance).unwrap().members;
            let subsystems: usize = members.iter().map(|member| member.subsystems.len()).sum();
            assert_eq!(listed.len(), members.len() + subsystems, "{instance}");
            assert!(listed.iter().all(|client| client.id.member().instance() == instance));
        }
        let own: Vec<_> = listed_clients(&conf, conf.instance()).unwrap().collect();
        assert!(!own.is_empty() && own.iter().any(|client| client.id.subsystem_code().is_some()));
        let stranger = listed_clients(&conf, "ELSEWHERE").err().unwrap();
        assert!(stranger.message().contains(conf.instance()), "{}", stranger.message());
    }
}
