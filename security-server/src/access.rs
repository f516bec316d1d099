//! Who may call which service: path patterns, the form of a request's path that they are tested
//! against, and the decision (X-Road's access rights, protocol reference 9.4 in the project's
//! notes).
//!
//! Nothing is allowed that no right allows. A right for any path lets every path through
//! that stays below the service. A right for some paths is tested against the path decoded
//! once; a path that a provider might read in another way than this server does is denied, because
//! the provider gets the path as the consumer wrote it. X-Road decodes twice here and forwards the
//! raw path, so what it checks and what it calls can differ.

mod path;
mod pattern;

use std::sync::Arc;

use causeway_globalconf::GlobalConf;
use causeway_identifiers::ClientId;
use causeway_message::{Fault, codes};
use causeway_metadata::Endpoint;

pub use path::{PathDoubt, leaves_service, normalized_service_path};
pub use pattern::{PathPattern, PatternError};

use crate::settings::{Client, Right, Service, ServiceKind, Subject};

/// Decides whether a client may make a REST call, and of which service.
///
/// `raw_service_path` is the path behind the service code as the client wrote it: empty, or with a
/// slash in front; without a query.
///
/// # Errors
/// In this order: `unknown_service`; `service_type` when it is a SOAP service; `access_denied`,
/// whose message says when the path is at fault; `service_disabled` with the operator's notice.
pub fn judge(
    client: &ClientId,
    provider: &Client,
    service_code: &str,
    method: &str,
    raw_service_path: &str,
    conf: &GlobalConf,
) -> Result<Arc<Service>, Fault> {
    let service = find(provider, service_code, None)?;
    if !service.kind.is_rest() {
        let message = format!("{} is a SOAP service and was called as REST", service.id);
        return Err(Fault::new(codes::SERVICE_TYPE, message));
    }
    let rights: Vec<&Right> = rights_of(client, provider, &service, conf)
        .into_iter()
        .filter(|r| r.method.as_ref().is_none_or(|m| m.eq_ignore_ascii_case(method)))
        .collect();
    if rights.is_empty() {
        return Err(denied(&service, None));
    }
    let doubtful = |doubt| denied(&service, Some(doubt));
    if rights.iter().any(|right| right.path.is_everything()) {
        leaves_service(raw_service_path).map_err(doubtful)?;
    } else {
        let paths = path::readings(raw_service_path).map_err(doubtful)?;
        if !paths.iter().all(|path| rights.iter().any(|right| right.path.matches(path))) {
            return Err(denied(&service, None));
        }
    }
    enabled(service)
}

/// Decides whether a client may make a SOAP call, and of which service.
///
/// # Errors
/// As [`judge`]; only rights for the whole service count.
pub fn judge_soap(
    client: &ClientId,
    provider: &Client,
    service_code: &str,
    service_version: Option<&str>,
    conf: &GlobalConf,
) -> Result<Arc<Service>, Fault> {
    let service = find(provider, service_code, service_version)?;
    if service.kind != ServiceKind::Soap {
        let message = format!("{} is a REST service and was called as SOAP", service.id);
        return Err(Fault::new(codes::SERVICE_TYPE, message));
    }
    if !rights_of(client, provider, &service, conf).iter().any(|right| right.is_whole_service()) {
        return Err(denied(&service, None));
    }
    enabled(service)
}

/// Whether a client may call a service at all, or a part of it (`allowedMethods`).
pub fn may_call_some(
    client: &ClientId,
    provider: &Client,
    service: &Service,
    conf: &GlobalConf,
) -> bool {
    !rights_of(client, provider, service, conf).is_empty()
}

/// The endpoints that a client is told it may call of a REST service; `None` when it may call
/// nothing of it (X-Road `getAllowedRestServices`). They are patterns, so the rights may allow more.
pub fn allowed_endpoints(
    client: &ClientId,
    provider: &Client,
    service: &Service,
    conf: &GlobalConf,
) -> Option<Vec<Endpoint>> {
    let rights = rights_of(client, provider, service, conf);
    if rights.is_empty() {
        return None;
    }
    let allowed = |endpoint: &Endpoint| {
        rights.iter().any(|right| {
            let method = right.method.as_ref();
            method.is_none_or(|m| m.eq_ignore_ascii_case(&endpoint.method))
                && right.path.matches(&endpoint.path)
        })
    };
    Some(service.listed_endpoints().into_iter().filter(allowed).collect())
}

fn find(provider: &Client, code: &str, version: Option<&str>) -> Result<Arc<Service>, Fault> {
    provider.service(code, version).cloned().ok_or_else(|| {
        let version = version.map(|v| format!("/{v}")).unwrap_or_default();
        let id = format!("SERVICE:{}/{code}{version}", provider.id.to_short());
        Fault::new(codes::UNKNOWN_SERVICE, format!("Unknown service: {id}"))
    })
}

/// The rights whose subject is, or holds, the client.
fn rights_of<'s>(
    client: &ClientId,
    provider: &Client,
    service: &'s Service,
    conf: &GlobalConf,
) -> Vec<&'s Right> {
    let permits = |right: &&Right| match &right.subject {
        Subject::Client(id) => id == client,
        Subject::GlobalGroup(id) => conf.global_group_contains(id, client),
        Subject::LocalGroup(id) => {
            provider.local_groups.get(id.code()).is_some_and(|members| members.contains(client))
        }
    };
    service.rights.iter().filter(permits).collect()
}

fn denied(service: &Service, doubt: Option<PathDoubt>) -> Fault {
    let why = doubt.map(|doubt| format!("; the path {doubt}")).unwrap_or_default();
    Fault::new(codes::ACCESS_DENIED, format!("Request is not allowed: {}{why}", service.id))
}

fn enabled(service: Arc<Service>) -> Result<Arc<Service>, Fault> {
    match &service.disabled {
        None => Ok(service),
        Some(notice) => {
            let message = format!("Service {} is disabled: {notice}", service.id);
            Err(Fault::new(codes::SERVICE_DISABLED, message))
        }
    }
}

#[cfg(test)]
mod tests;
