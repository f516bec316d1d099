//! Subsystems.

use causeway_admin::http::{Accepts, Answer, Call, Problem, Route};
use causeway_identifiers::{ClientId, MemberId};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::edits::{Codes, edit};
use super::{ids, members, route, servers};
use crate::edit::Edit;
use crate::records::{State, SubsystemRecord};
use crate::registry::Registry;

const SUBSYSTEM: &str = "/api/v1/subsystems/{subsystem_id}";
const CODES: Codes = Codes {
    missing: "subsystem_not_found",
    exists: "subsystem_exists",
    in_use: (StatusCode::BAD_REQUEST, "subsystem_registered_and_cannot_be_deleted"),
};

pub(super) fn routes(registry: &Registry) -> Vec<Route> {
    let at = |method, path, operation, permission, work| {
        route(registry, method, path, operation, permission, work)
    };
    vec![
        at(Method::POST, "/api/v1/subsystems", "addSubsystem", "ADD_MEMBER_SUBSYSTEM", add)
            .described("subsystems", "add a subsystem")
            .accepts(Accepts::Json("SubsystemAdd"))
            .answers(201, Some("Client"))
            .event("Add subsystem"),
        at(Method::PATCH, SUBSYSTEM, "updateSubsystemName", "EDIT_MEMBER_SUBSYSTEM", rename)
            .described("subsystems", "give a subsystem another name")
            .accepts(Accepts::Json("SubsystemName"))
            .answers(200, Some("Client"))
            .event("Edit subsystem"),
        at(Method::DELETE, SUBSYSTEM, "deleteSubsystem", "REMOVE_MEMBER_SUBSYSTEM", remove)
            .described("subsystems", "delete a subsystem that is no server's client")
            .answers(204, None)
            .event("Delete subsystem"),
        at(
            Method::DELETE,
            "/api/v1/subsystems/{subsystem_id}/servers/{server_id}",
            "unregisterSubsystem",
            "UNREGISTER_SUBSYSTEM",
            unregister,
        )
        .described("subsystems", "take a subsystem's registration at a security server back")
        .answers(204, None)
        .event("Unregister subsystem as security server client"),
    ]
}

#[derive(Deserialize)]
struct New {
    subsystem_id: NewId,
    subsystem_name: Option<String>,
}

#[derive(Deserialize)]
struct NewId {
    member_class: String,
    member_code: String,
    subsystem_code: String,
}

#[derive(Deserialize)]
struct Name {
    subsystem_name: Option<String>,
}

/// A subsystem with the servers at which it is a client.
pub(super) fn json(state: &State, id: &ClientId, record: &SubsystemRecord) -> Value {
    let used = state.clients.keys().filter(|(_, client)| client == id);
    let used = used.map(|(server, _)| {
        let owner = state.members.get(server.owner()).map(|member| member.name.as_str());
        json!({
            "encoded_id": ids::encoded(&server.to_short()),
            "server_code": server.code(),
            "server_owner": owner,
            "status": "APPROVED",
        })
    });
    let mut json = json!({
        "subsystem_id": ids::client_json(id),
        "used_security_servers": used.collect::<Vec<_>>(),
    });
    if let Some(name) = &record.name {
        json["subsystem_name"] = name.as_str().into();
    }
    json
}

fn note(call: &Call, id: &ClientId) {
    members::note_member(call, id.member());
    call.note("memberSubsystemCode", id.subsystem_code());
}

fn add(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let New { subsystem_id, subsystem_name: name } = call.json()?;
    let NewId { member_class, member_code, subsystem_code } = subsystem_id;
    ids::legal("subsystemAddDto.subsystemId.subsystemCode", &subsystem_code)?;
    let invalid = |e: causeway_identifiers::IdentifierError| {
        Problem::invalid_field("subsystemAddDto.subsystemId", &e.to_string())
    };
    let member = MemberId::new(&registry.config().instance, &member_class, &member_code);
    let member = member.map_err(invalid)?;
    let id = member.subsystem(&subsystem_code).map_err(invalid)?;
    note(call, &id);
    call.note("memberSubsystemName", name.as_deref());
    // What can be missing here is the member.
    let codes = Codes { missing: "member_not_found", ..CODES };
    let about = id.to_short();
    edit(registry, Edit::SubsystemAdd { id: id.clone(), name: filled(name) }, codes, &about)?;
    Answer::created(&registry.read(|state| members::client_of(state, &id)))
}

fn rename(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let Name { subsystem_name: name } = call.json()?;
    let id = ids::subsystem(call.parameter("subsystem_id"))?;
    note(call, &id);
    call.note("memberSubsystemName", name.as_deref());
    let about = id.to_short();
    edit(registry, Edit::SubsystemRename { id: id.clone(), name: filled(name) }, CODES, &about)?;
    Answer::json(&registry.read(|state| members::client_of(state, &id)))
}

fn remove(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = ids::subsystem(call.parameter("subsystem_id"))?;
    note(call, &id);
    let about = id.to_short();
    edit(registry, Edit::SubsystemRemove { id }, CODES, &about)?;
    Ok(Answer::nothing())
}

fn unregister(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = ids::subsystem(call.parameter("subsystem_id"))?;
    if !registry.read(|state| state.subsystems.contains_key(&id)) {
        return Err(Problem::missing("subsystem_not_found", format!("there is no subsystem {id}")));
    }
    servers::unregister(registry, call, id, "subsystem_not_registered_to_security_server")
}

/// An empty name is none.
fn filled(name: Option<String>) -> Option<String> {
    name.filter(|name| !name.is_empty())
}
