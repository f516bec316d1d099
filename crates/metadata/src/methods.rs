//! `listMethods` and `allowedMethods` of REST, with endpoints, and the question of `getOpenAPI`
//! (`pr-mrest` 4 and 5; X-Road `RestMetadataServiceHandlerImpl`).

use causeway_identifiers::ServiceId;
use causeway_message::{Fault, codes};
use serde::Serialize;

use crate::description::Endpoint;

/// The content type of the lists.
pub const JSON: &str = "application/json";

/// Whether a REST service has a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum RestServiceType {
    /// It has none.
    #[serde(rename = "REST")]
    Rest,
    /// It has an OpenAPI description, which `getOpenAPI` gives.
    #[serde(rename = "OPENAPI")]
    OpenApi,
}

/// A REST service with the endpoints that are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestService<'s> {
    /// Which service.
    pub id: &'s ServiceId,
    /// Whether it has a description.
    pub service_type: RestServiceType,
    /// Its endpoints; the whole service is none of them.
    pub endpoints: Vec<Endpoint>,
}

/// A list of services, as JSON.
pub fn to_json(services: &[RestService<'_>]) -> String {
    let service = services.iter().map(|service| {
        let client = service.id.client();
        Details {
            member_class: client.member().class(),
            member_code: client.member().code(),
            object_type: "SERVICE",
            service_code: service.id.code(),
            service_type: service.service_type,
            subsystem_code: client.subsystem_code(),
            xroad_instance: client.instance(),
            endpoint_list: service
                .endpoints
                .iter()
                .map(|endpoint| Listed { method: &endpoint.method, path: &endpoint.path })
                .collect(),
        }
    });
    serde_json::to_string(&List { service: service.collect() }).unwrap_or_default()
}

#[derive(Serialize)]
struct List<'s> {
    service: Vec<Details<'s>>,
}

#[derive(Serialize)]
struct Details<'s> {
    member_class: &'s str,
    member_code: &'s str,
    object_type: &'static str,
    service_code: &'s str,
    service_type: RestServiceType,
    #[serde(skip_serializing_if = "Option::is_none")]
    subsystem_code: Option<&'s str>,
    xroad_instance: &'s str,
    endpoint_list: Vec<Listed<'s>>,
}

#[derive(Serialize)]
struct Listed<'s> {
    method: &'s str,
    path: &'s str,
}

/// The service whose description `getOpenAPI` is asked for: the parameter `serviceCode` of the
/// query, in whatever case; the last one, where it is repeated.
///
/// # Errors
/// `invalid_request` when there is none, or an empty one.
pub fn described_service(query: Option<&str>) -> Result<String, Fault> {
    let parameters = query.unwrap_or_default().split(['&', ';']).rev();
    let named = parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
    let code = named
        .map(|(name, value)| (decoded(name), value))
        .find(|(name, _)| name.eq_ignore_ascii_case("serviceCode"))
        .map(|(_, value)| decoded(value));
    code.filter(|code| !code.is_empty()).ok_or_else(|| {
        let text = "The parameter serviceCode is missing: ask with getOpenAPI?serviceCode=…";
        Fault::new(codes::INVALID_REQUEST, text)
    })
}

/// Decodes a part of a query: `+` is a space, `%` begins a byte.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = |digits: &[u8]| {
            std::str::from_utf8(digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok())
        };
        let (byte, after) = match (*first, after) {
            (b'+', after) => (b' ', after),
            (b'%', [high, low, behind @ ..]) if high.is_ascii_hexdigit() => {
                match hex(&[*high, *low]) {
                    Some(byte) => (byte, behind),
                    None => (b'%', after),
                }
            }
            (byte, after) => (byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn which_description_is_asked_for() {
        let asked = |query| described_service(Some(query)).ok();
        assert_eq!(asked("serviceCode=pets").as_deref(), Some("pets"));
        assert_eq!(asked("a=b&SERVICECODE=pets&x").as_deref(), Some("pets"));
        assert_eq!(asked("serviceCode=a&serviceCode=b").as_deref(), Some("b"));
        assert_eq!(asked("serviceCode=p%C3%A4ts+1%2").as_deref(), Some("päts 1%2"));
        assert_eq!(asked("serviceCode=%+f"), Some("% f".to_owned()));
        for none in ["", "serviceCode", "serviceCode=", "service=pets"] {
            assert_eq!(described_service(Some(none)).unwrap_err().code(), codes::INVALID_REQUEST);
        }
        assert!(described_service(None).is_err());
    }
}
