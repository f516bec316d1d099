//! Groups of clients.

use causeway_admin::http::{Accepts, Answer, Call, Problem, Route};
use causeway_identifiers::ClientId;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::edits::{Codes, edit, edit_all};
use super::members::Description;
use super::{ids, route};
use crate::edit::{Edit, SERVER_OWNERS};
use crate::listing::GroupListing;
use crate::registry::Registry;

const GROUPS: &str = "/api/v1/global-groups";
const GROUP: &str = "/api/v1/global-groups/{group_code}";
const CODES: Codes = Codes {
    missing: "global_group_not_found",
    exists: "global_group_exists",
    in_use: (StatusCode::CONFLICT, "global_group_is_in_use"),
};

pub(super) fn routes(registry: &Registry) -> Vec<Route> {
    let at = |method, path, operation, permission, work| {
        route(registry, method, path, operation, permission, work)
    };
    let editing = "ADD_AND_REMOVE_GROUP_MEMBERS";
    vec![
        at(Method::GET, GROUPS, "findGlobalGroups", "VIEW_GLOBAL_GROUPS", all)
            .described("global-groups", "get the groups")
            .answers(200, Some("[]GlobalGroupResource")),
        at(Method::POST, GROUPS, "addGlobalGroup", "ADD_GLOBAL_GROUP", add)
            .described("global-groups", "add a group")
            .accepts(Accepts::Json("GlobalGroupCodeAndDescription"))
            .answers(201, Some("GlobalGroupResource"))
            .event("Add global group"),
        at(Method::GET, GROUP, "getGlobalGroup", "VIEW_GROUP_DETAILS", get)
            .described("global-groups", "get a group")
            .answers(200, Some("GlobalGroupResource")),
        at(
            Method::PATCH,
            GROUP,
            "updateGlobalGroupDescription",
            "EDIT_GROUP_DESCRIPTION",
            describe,
        )
        .described("global-groups", "give a group another description")
        .accepts(Accepts::Json("GlobalGroupDescription"))
        .answers(200, Some("GlobalGroupResource"))
        .event("Edit global group description"),
        at(Method::DELETE, GROUP, "deleteGlobalGroup", "DELETE_GROUP", remove)
            .described("global-groups", "delete a group")
            .answers(204, None)
            .event("Delete global group"),
        at(
            Method::POST,
            "/api/v1/global-groups/{group_code}/members/add",
            "addGlobalGroupMembers",
            editing,
            add_members,
        )
        .described("global-groups", "put clients into a group")
        .accepts(Accepts::Json("Members"))
        .answers(201, Some("Members"))
        .event("Add members to global group"),
        at(
            Method::DELETE,
            "/api/v1/global-groups/{group_code}/members/{client_id}",
            "deleteGlobalGroupMember",
            editing,
            remove_member,
        )
        .described("global-groups", "take a client out of a group")
        .answers(204, None)
        .event("Remove members from global group"),
    ]
}

#[derive(Deserialize)]
struct New {
    code: String,
    description: String,
}

#[derive(Deserialize)]
struct Members {
    items: Vec<String>,
}

fn json(group: &GroupListing) -> Value {
    json!({
        "code": group.code,
        "description": group.description,
        "member_count": group.members.len(),
    })
}

fn find(registry: &Registry, code: &str) -> Result<GroupListing, Problem> {
    let mut groups = registry.listing().groups.into_iter();
    groups.find(|group| group.code == code).ok_or_else(|| {
        Problem::missing(CODES.missing, format!("there is no group {code}")).about(code)
    })
}

/// The group of the path, which must be there, and not the one that the registry keeps by itself.
fn editable(registry: &Registry, call: &Call, otherwise: &'static str) -> Result<String, Problem> {
    let group = find(registry, call.parameter("group_code"))?;
    call.note("code", group.code.as_str());
    call.note("description", group.description);
    if group.code == SERVER_OWNERS {
        return Err(Problem::bad(otherwise, format!("{SERVER_OWNERS} is kept by the registry")));
    }
    Ok(group.code)
}

fn all(registry: &Registry, _call: &Call) -> Result<Answer, Problem> {
    Answer::json(&registry.listing().groups.iter().map(json).collect::<Vec<_>>())
}

fn get(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&json(&find(registry, call.parameter("group_code"))?))
}

fn add(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let New { code, description } = call.json()?;
    call.note("code", code.as_str());
    call.note("description", description.as_str());
    ids::legal("globalGroupCodeAndDescriptionDto.code", &code)?;
    if code == SERVER_OWNERS {
        return Err(Problem::conflict(CODES.exists, "it is kept by the registry").about(code));
    }
    edit(registry, Edit::GroupAdd { code: code.clone(), description }, CODES, &code)?;
    Answer::created(&json(&find(registry, &code)?))
}

fn describe(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let Description { description } = call.json()?;
    let code = editable(registry, call, "owners_global_group_cannot_be_edited")?;
    call.note("description", description.as_str());
    edit(registry, Edit::GroupDescribe { code: code.clone(), description }, CODES, &code)?;
    Answer::json(&json(&find(registry, &code)?))
}

fn remove(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let code = editable(registry, call, "owners_global_group_cannot_be_deleted")?;
    edit(registry, Edit::GroupRemove { code: code.clone() }, CODES, &code)?;
    Ok(Answer::nothing())
}

fn add_members(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let Members { items } = call.json()?;
    call.note("memberIdentifiers", items.clone());
    let group = editable(registry, call, "cannot_add_member_to_owners_group")?;
    let present = find(registry, &group)?.members;
    let clients = items.iter().map(|item| ids::client(item)).collect::<Result<Vec<_>, _>>()?;
    // Those that are in it already are passed over, as X-Road does; so are repetitions.
    let mut new: Vec<ClientId> = Vec::new();
    for client in clients {
        if !present.contains(&client.to_short()) && !new.contains(&client) {
            new.push(client);
        }
    }
    let added: Vec<String> = new.iter().map(|client| ids::encoded(&client.to_short())).collect();
    let subsystem = new.iter().any(|client| client.subsystem_code().is_some());
    let missing = if subsystem { "subsystem_not_found" } else { "member_not_found" };
    let edits = new.into_iter().map(|client| Edit::GroupMemberAdd { group: group.clone(), client });
    edit_all(registry, edits.collect(), Codes { missing, ..CODES }, &group)?;
    Answer::created(&json!({ "items": added }))
}

fn remove_member(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let client = ids::client(call.parameter("client_id"))?;
    let group = editable(registry, call, "owners_global_group_member_cannot_be_deleted")?;
    let about = ids::encoded(&client.to_short());
    call.note("memberIdentifiers", vec![about.clone()]);
    let codes = Codes { missing: "member_not_found", ..CODES };
    edit(registry, Edit::GroupMemberRemove { group, client }, codes, &about)?;
    Ok(Answer::nothing())
}
