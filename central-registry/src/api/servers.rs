//! Security servers, their certificates and clients.

use causeway_admin::http::{Accepts, Answer, Call, Parameter, Problem, Route};
use causeway_identifiers::{ClientId, SecurityServerId};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::edits::{Codes, edit};
use super::{certificate, ids, members, paging, route};
use crate::edit::Edit;
use crate::records::{ServerRecord, State};
use crate::registry::Registry;

const SERVER: &str = "/api/v1/security-servers/{server_id}";
const CERTIFICATE: &str = "certificate";
const CODES: Codes = Codes {
    missing: "security_server_not_found",
    exists: "security_server_exists",
    in_use: (StatusCode::CONFLICT, "security_server_is_in_use"),
};

const FIND: [Parameter; 5] = {
    let [sort, desc, limit, offset] = paging::PARAMETERS;
    let q = Parameter { name: "q", description: "text in codes and the owner", kind: "string" };
    [q, sort, desc, limit, offset]
};

pub(super) fn routes(registry: &Registry) -> Vec<Route> {
    let at = |method, path, operation, permission, work| {
        route(registry, method, path, operation, permission, work)
    };
    let details = "VIEW_SECURITY_SERVER_DETAILS";
    let of = |route: Route, what| route.described("security-servers", what);
    vec![
        of(
            at(
                Method::GET,
                "/api/v1/security-servers",
                "findSecurityServers",
                "VIEW_SECURITY_SERVERS",
                find,
            ),
            "find security servers",
        )
        .query(&FIND)
        .answers(200, Some("PagedSecurityServers")),
        of(at(Method::GET, SERVER, "getSecurityServer", details, get), "get a security server")
            .answers(200, Some("SecurityServer")),
        of(
            at(
                Method::PATCH,
                SERVER,
                "updateSecurityServerAddress",
                "EDIT_SECURITY_SERVER_ADDRESS",
                readdress,
            ),
            "give a security server another address",
        )
        .accepts(Accepts::Json("SecurityServerAddress"))
        .answers(200, Some("SecurityServer"))
        .event("Edit security server address"),
        of(
            at(Method::DELETE, SERVER, "deleteSecurityServer", "DELETE_SECURITY_SERVER", remove),
            "delete a security server with its certificates and registrations",
        )
        .answers(204, None)
        .event("Delete security server"),
        of(
            at(
                Method::GET,
                "/api/v1/security-servers/{server_id}/clients",
                "getSecurityServerClients",
                details,
                clients,
            ),
            "get a security server's clients beside its owner",
        )
        .answers(200, Some("[]Client")),
        of(
            at(
                Method::GET,
                "/api/v1/security-servers/{server_id}/authentication-certificates",
                "getSecurityServerAuthCerts",
                details,
                certificates,
            ),
            "get a security server's authentication certificates",
        )
        .answers(200, Some("[]CertificateDetails")),
        of(
            at(
                Method::DELETE,
                "/api/v1/security-servers/{server_id}/authentication-certificates/{certificate_id}",
                "deleteSecurityServerAuthCert",
                "DELETE_SECURITY_SERVER_AUTH_CERT",
                remove_certificate,
            ),
            "take an authentication certificate's registration back",
        )
        .answers(204, None)
        .event("Delete authentication certificate of security server"),
    ]
}

#[derive(Deserialize)]
struct Address {
    server_address: String,
}

/// A security server.
pub(super) fn json(state: &State, id: &SecurityServerId, record: &ServerRecord) -> Value {
    let mut json = json!({
        "server_id": ids::server_json(id),
        "owner_name": state.members.get(id.owner()).map(|member| member.name.as_str()),
        "server_address": record.address.as_deref().unwrap_or_default(),
        "in_maintenance_mode": record.maintenance.is_some(),
    });
    if let Some(message) = record.maintenance.as_ref().filter(|message| !message.is_empty()) {
        json["maintenance_mode_message"] = message.as_str().into();
    }
    json
}

fn note(call: &Call, id: &SecurityServerId) {
    call.note("serverCode", id.code());
    call.note("ownerCode", id.owner().code());
    call.note("ownerClass", id.owner().class());
}

fn one(state: &State, id: &SecurityServerId) -> Result<Value, Problem> {
    match state.servers.get(id) {
        Some(record) => Ok(json(state, id, record)),
        None => {
            let reason = format!("there is no security server {id}");
            Err(Problem::missing(CODES.missing, reason).about(ids::encoded(&id.to_short())))
        }
    }
}

/// Reads the path's server, which must be there.
fn known(registry: &Registry, call: &Call) -> Result<SecurityServerId, Problem> {
    let id = ids::server(call.parameter("server_id"))?;
    registry.read(|state| one(state, &id))?;
    Ok(id)
}

fn find(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let query = call.query("q");
    let found = registry.read(|state| {
        let fits = |id: &SecurityServerId| {
            let name = state.members.get(id.owner()).map(|member| member.name.as_str());
            let owner = id.owner();
            let all = [id.code(), owner.class(), owner.code(), name.unwrap_or_default()];
            paging::matches(query, &all)
        };
        let of = state.servers.iter().filter(|(id, _)| fits(id));
        of.map(|(id, record)| json(state, id, record)).collect::<Vec<_>>()
    });
    let (items, metadata) = paging::page(call, found, |server, sort| {
        let place = match sort {
            "xroad_id.server_code" => "/server_id/server_code",
            "owner_name" => "/owner_name",
            "xroad_id.member_class" => "/server_id/member_class",
            "xroad_id.member_code" => "/server_id/member_code",
            _ => return None,
        };
        Some(server.pointer(place)?.as_str().unwrap_or_default().to_owned())
    })?;
    Answer::json(&json!({ "items": items, "paging_metadata": metadata }))
}

fn get(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = ids::server(call.parameter("server_id"))?;
    Answer::json(&registry.read(|state| one(state, &id))?)
}

fn readdress(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let Address { server_address: address } = call.json()?;
    let id = ids::server(call.parameter("server_id"))?;
    note(call, &id);
    call.note("address", address.as_str());
    let about = id.to_short();
    edit(registry, Edit::ServerAddress { id: id.clone(), address }, CODES, &about)?;
    Answer::json(&registry.read(|state| one(state, &id))?)
}

fn remove(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = ids::server(call.parameter("server_id"))?;
    note(call, &id);
    let about = id.to_short();
    edit(registry, Edit::ServerRemove { id }, CODES, &about)?;
    Ok(Answer::nothing())
}

fn clients(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = known(registry, call)?;
    let all = |state: &State| -> Vec<Value> {
        let of = state.clients.keys().filter(|(server, _)| *server == id);
        of.map(|(_, client)| members::client_of(state, client)).collect()
    };
    Answer::json(&registry.read(all))
}

fn certificates(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = known(registry, call)?;
    let of = registry.read(|state| {
        let of = state.auth_certificates.iter().filter(|((server, _), _)| *server == id);
        of.map(|((_, hash), record)| (hash.clone(), record.clone())).collect::<Vec<_>>()
    });
    let details = of.iter().map(|(hash, record)| {
        let mut details = certificate::details(&record.certificate)?;
        details["id"] = ids::number(CERTIFICATE, hash).into();
        Ok(details)
    });
    Answer::json(&details.collect::<Result<Vec<_>, Problem>>()?)
}

fn remove_certificate(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let server = known(registry, call)?;
    note(call, &server);
    let hashes = registry.read(|state| {
        let of = state.auth_certificates.keys().filter(|(of, _)| *of == server);
        of.map(|(_, hash)| hash.clone()).collect::<Vec<_>>()
    });
    let numbered = hashes.iter().map(|hash| (hash.as_str(), ()));
    let missing = "ss_auth_certificate_not_found";
    let found = ids::by_number(numbered, CERTIFICATE, call.parameter("certificate_id"), missing);
    let sha256 = found?.0.to_owned();
    call.note("certHash", certificate::colons(&sha256));
    call.note("certHashAlgorithm", "SHA-256");
    let codes = Codes { missing, ..CODES };
    let about = sha256.clone();
    edit(registry, Edit::AuthCertificateRemove { server, sha256 }, codes, &about)?;
    Ok(Answer::nothing())
}

/// Takes a client's registration at the path's server back.
pub(super) fn unregister(
    registry: &Registry,
    call: &Call,
    client: ClientId,
    missing: &'static str,
) -> Result<Answer, Problem> {
    let server = known(registry, call)?;
    note(call, &server);
    call.note("clientIdentifier", ids::client_json(&client));
    let codes = Codes { missing, ..CODES };
    let about = client.to_short();
    edit(registry, Edit::ClientRemove { server, client }, codes, &about)?;
    Ok(Answer::nothing())
}
