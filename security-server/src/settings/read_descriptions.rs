//! The descriptions of a client, and the services that come from them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use causeway_identifiers::ClientId;
use causeway_metadata::openapi::OpenApi;
use causeway_metadata::wsdl::Wsdl;
use causeway_metadata::{Description, DescriptionType};
use url::Url;

use super::clients::{DescriptionSource, Right, Service, ServiceKind, service_key};
use super::document::{Item, Section, nearest};
use super::read_clients::{TIMEOUT, rights, service_id, service_url, url};
use crate::descriptions::{Copies, Kept, Location};

type Groups = HashMap<String, HashSet<ClientId>>;

/// What one `[[clients.descriptions]]` table gives.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// The description.
    pub(super) source: Option<DescriptionSource>,
    /// The services that come from it.
    pub(super) services: Vec<Service>,
}

/// What is said of a service, or of all services of a description.
#[derive(Debug, Clone)]
struct Terms {
    url: Option<String>,
    timeout: Duration,
    disabled: Option<String>,
    verify_tls: bool,
    rights: Vec<Right>,
}

/// What is said of one service of a WSDL.
struct OneService<'a> {
    code: Item<'a>,
    name: (String, Option<String>),
    terms: Terms,
}

/// Reads one `[[clients.descriptions]]` table.
pub(super) fn described(
    s: Section<'_>,
    client: &ClientId,
    groups: &Groups,
    copies: &Copies,
    services: &HashMap<String, Arc<Service>>,
    others: &[DescriptionSource],
) -> Described {
    let kind = s
        .required("type", "write \"wsdl\" or \"openapi3\"")
        .and_then(|item| description_type(&item));
    let place = s.required(
        "location",
        "write where the description is, such as \"http://10.0.0.5/openapi.yaml\" or a file",
    );
    let location = place.as_ref().and_then(location);
    let code = s.item("code");
    let rest = kind == Some(DescriptionType::OpenApi3);
    let service_kind = if rest { ServiceKind::OpenApi } else { ServiceKind::Soap };
    let usual =
        Terms { url: None, timeout: TIMEOUT, disabled: None, verify_tls: true, rights: Vec::new() };
    let terms = terms(&s, &usual, service_kind, groups);
    let single: Vec<OneService<'_>> = s
        .sections("services")
        .into_iter()
        .filter_map(|s| one_service(s, client, &terms, groups))
        .collect();
    match (kind, &code) {
        (Some(DescriptionType::OpenApi3), None) => {
            s.problem("has no code; write the service's code, such as code = \"population\"");
        }
        (Some(DescriptionType::Wsdl), Some(item)) => {
            item.problem("a WSDL names its services itself; remove the code");
        }
        _ => {}
    }
    if let Some(first) = single.first().filter(|_| rest) {
        first.code.problem("an OpenAPI description is one service; remove this table");
    }
    s.finish();
    let (Some(kind), Some(place), Some(location)) = (kind, place, location) else {
        return Described::default();
    };
    if others.iter().any(|other| other.kind == kind && other.location == location) {
        place.problem("is there twice for this client; remove one");
        return Described::default();
    }
    let name = Copies::name(client, kind, &location);
    let kept = place.note(copies.get(&name, kind)).flatten();
    let found = match kept.as_ref().map(|kept| (kept, &kept.reading)) {
        None => {
            // The code is judged all the same.
            code.as_ref().filter(|_| rest).and_then(|item| service_id(item, None, Some(client)));
            Vec::new()
        }
        Some((kept, Description::OpenApi(openapi))) => code
            .and_then(|code| rest_service(&code, &place, client, terms.clone(), openapi, &location))
            .map(|service| Service { description: Some(Arc::clone(kept)), ..service })
            .into_iter()
            .collect(),
        Some((kept, Description::Wsdl(wsdl))) => {
            soap_services(&place, client, &terms, single, wsdl, kept)
        }
    };
    let mut new: Vec<Service> = Vec::new();
    for service in found {
        let key = service_key(service.id.code(), service.id.version());
        if services.contains_key(key.as_ref()) {
            place.problem(format!("{} is there twice; remove one", service.id));
        } else {
            new.push(service);
        }
    }
    let (timeout, verify_tls) = (terms.timeout, terms.verify_tls);
    let source = DescriptionSource { kind, location, timeout, verify_tls, kept };
    Described { source: Some(source), services: new }
}

fn description_type(item: &Item<'_>) -> Option<DescriptionType> {
    match item.text()? {
        "wsdl" => Some(DescriptionType::Wsdl),
        "openapi3" => Some(DescriptionType::OpenApi3),
        "rest" => {
            item.problem("a REST service without a description is a table [[clients.services]]");
            None
        }
        other => {
            item.problem(format!("'{other}' is not one of \"wsdl\", \"openapi3\""));
            None
        }
    }
}

fn location(item: &Item<'_>) -> Option<Location> {
    let text = item.text()?;
    if !text.contains("://") {
        return Some(Location::File(item.file().resolve(text)));
    }
    // As the address of a service, but a query may choose the document.
    let checked = item.note(service_url(text, ServiceKind::Soap))?;
    item.note(Url::parse(&checked)).map(Location::Url)
}

fn terms(s: &Section<'_>, usual: &Terms, kind: ServiceKind, groups: &Groups) -> Terms {
    Terms {
        url: s.item("url").and_then(|item| url(&item, kind)).or_else(|| usual.url.clone()),
        timeout: s.duration("timeout", usual.timeout, Duration::from_millis(1)),
        disabled: s.text("disabled").map(str::to_owned).or_else(|| usual.disabled.clone()),
        verify_tls: s.boolean("verify_tls", usual.verify_tls),
        rights: rights(s, kind, groups).unwrap_or_else(|| usual.rights.clone()),
    }
}

fn one_service<'a>(
    s: Section<'a>,
    client: &ClientId,
    usual: &Terms,
    groups: &Groups,
) -> Option<OneService<'a>> {
    let code = s.required("code", "write which of the WSDL's services this is about");
    let version = s.item("version");
    let id = code.as_ref().and_then(|item| service_id(item, version.as_ref(), Some(client)));
    let terms = terms(&s, usual, ServiceKind::Soap, groups);
    s.finish();
    let id = id?;
    let name = (id.code().to_owned(), id.version().map(str::to_owned));
    Some(OneService { code: code?, name, terms })
}

/// The service of an OpenAPI description.
fn rest_service(
    code: &Item<'_>,
    place: &Item<'_>,
    client: &ClientId,
    terms: Terms,
    openapi: &OpenApi,
    location: &Location,
) -> Option<Service> {
    let id = service_id(code, None, Some(client))?;
    let url = match terms.url {
        Some(url) => url,
        None => place.note(
            server_url(openapi.base().unwrap_or("/"), location)
                .map_err(|why| format!("{why}; write url = \"…\" here")),
        )?,
    };
    Some(Service {
        id,
        kind: ServiceKind::OpenApi,
        url,
        timeout: terms.timeout,
        disabled: terms.disabled,
        verify_tls: terms.verify_tls,
        rights: terms.rights,
        endpoints: openapi.endpoints.clone(),
        description: None,
    })
}

/// The address of a description's first server; a relative one is relative to the description
/// (OpenAPI 4.8.5). A description without servers is served where it is.
fn server_url(server: &str, location: &Location) -> Result<String, String> {
    if server.contains('{') {
        return Err(format!("the description's server '{server}' has variables"));
    }
    let absolute = match (Url::parse(server), location) {
        (Ok(url), _) => String::from(url),
        (Err(_), Location::Url(base)) => {
            let joined = base.join(server);
            String::from(joined.map_err(|e| format!("the description's server '{server}': {e}"))?)
        }
        (Err(_), Location::File(_)) => {
            return Err(format!("the description's server '{server}' is not a whole address"));
        }
    };
    service_url(&absolute, ServiceKind::OpenApi)
        .map_err(|why| format!("the description's server {why}"))
}

/// The services of a WSDL.
fn soap_services(
    place: &Item<'_>,
    client: &ClientId,
    usual: &Terms,
    mut single: Vec<OneService<'_>>,
    wsdl: &Wsdl,
    kept: &Arc<Kept>,
) -> Vec<Service> {
    let mut services = Vec::new();
    for operation in &wsdl.operations {
        let mine =
            |one: &OneService<'_>| one.name.0 == operation.code && one.name.1 == operation.version;
        let at = single.iter().position(mine);
        let terms = at.map_or_else(|| usual.clone(), |at| single.swap_remove(at).terms);
        let id = place.note(client.service(&operation.code, operation.version.as_deref()));
        let address = match (terms.url, &operation.address) {
            (Some(url), _) => Some(url),
            (None, Some(address)) => place.note(
                service_url(address, ServiceKind::Soap)
                    .map_err(|why| format!("the address of {} {why}", operation.name())),
            ),
            (None, None) => {
                let name = operation.name();
                place.problem(format!("{name} has no address in the WSDL; write url = \"…\" here"));
                None
            }
        };
        let (Some(id), Some(url)) = (id, address) else { continue };
        services.push(Service {
            id,
            kind: ServiceKind::Soap,
            url,
            timeout: terms.timeout,
            disabled: terms.disabled,
            verify_tls: terms.verify_tls,
            rights: terms.rights,
            endpoints: Vec::new(),
            description: Some(Arc::clone(kept)),
        });
    }
    for one in single {
        let name = match &one.name {
            (code, Some(version)) => format!("{code}.{version}"),
            (code, None) => code.clone(),
        };
        let names: Vec<String> = wsdl.operations.iter().map(|o| o.name()).collect();
        let hint = match nearest(&name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("it has: {}", names.join(", ")),
        };
        one.code.problem(format!(
            "the description that was taken over has no service '{name}', or it is here twice; {hint}"
        ));
    }
    services
}
