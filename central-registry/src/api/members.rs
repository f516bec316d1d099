//! Member classes and members.

use causeway_admin::http::{Accepts, Answer, Call, Parameter, Problem, Route};
use causeway_identifiers::{ClientId, MemberId};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::edits::{Codes, edit};
use super::{ids, paging, route, servers, subsystems};
use crate::edit::Edit;
use crate::records::State;
use crate::registry::Registry;

const CLASSES: &str = "/api/v1/member-classes";
const CLASS: &str = "/api/v1/member-classes/{code}";
const MEMBERS: &str = "/api/v1/members";
const MEMBER: &str = "/api/v1/members/{member_id}";

const CLASS_CODES: Codes = Codes {
    missing: "member_class_not_found",
    exists: "member_class_exists",
    in_use: (StatusCode::CONFLICT, "member_class_is_in_use"),
};
const MEMBER_CODES: Codes = Codes {
    missing: "member_not_found",
    exists: "member_exists",
    in_use: (StatusCode::CONFLICT, "member_is_in_use"),
};

const FIND: [Parameter; 11] = {
    let [sort, desc, limit, offset] = paging::PARAMETERS;
    [
        Parameter { name: "q", description: "text in names, classes and codes", kind: "string" },
        Parameter { name: "name", description: "text in the name", kind: "string" },
        Parameter { name: "instance", description: "text in the instance", kind: "string" },
        Parameter { name: "member_class", description: "text in the class", kind: "string" },
        Parameter { name: "member_code", description: "text in the code", kind: "string" },
        Parameter { name: "subsystem_code", description: "text in the code", kind: "string" },
        Parameter { name: "client_type", description: "MEMBER or SUBSYSTEM", kind: "string" },
        sort,
        desc,
        limit,
        offset,
    ]
};

pub(super) fn routes(registry: &Registry) -> Vec<Route> {
    let at = |method, path, operation, permission, work| {
        route(registry, method, path, operation, permission, work)
    };
    let sub = |path, operation, work| at(Method::GET, path, operation, "VIEW_MEMBER_DETAILS", work);
    vec![
        at(Method::GET, CLASSES, "getMemberClasses", "VIEW_MEMBER_CLASSES", classes)
            .described("member-classes", "get the member classes")
            .answers(200, Some("[]MemberClass")),
        at(Method::POST, CLASSES, "addMemberClass", "ADD_MEMBER_CLASS", add_class)
            .described("member-classes", "add a member class")
            .accepts(Accepts::Json("MemberClass"))
            .answers(201, Some("MemberClass"))
            .event("Add member class"),
        at(Method::PATCH, CLASS, "updateMemberClass", "EDIT_MEMBER_CLASS", describe_class)
            .described("member-classes", "give a member class another description")
            .accepts(Accepts::Json("MemberClassDescription"))
            .answers(200, Some("MemberClass"))
            .event("Edit member class description"),
        at(Method::DELETE, CLASS, "deleteMemberClass", "DELETE_MEMBER_CLASS", remove_class)
            .described("member-classes", "delete a member class without members")
            .answers(204, None)
            .event("Delete member class"),
        at(Method::POST, MEMBERS, "addMember", "ADD_NEW_MEMBER", add)
            .described("members", "add a member")
            .accepts(Accepts::Json("MemberAdd"))
            .answers(201, Some("Client"))
            .event("Add member"),
        sub(MEMBER, "getMember", get)
            .described("members", "get a member")
            .answers(200, Some("Client")),
        at(Method::PATCH, MEMBER, "updateMemberName", "EDIT_MEMBER_NAME", rename)
            .described("members", "give a member another name")
            .accepts(Accepts::Json("MemberName"))
            .answers(200, Some("Client"))
            .event("Edit member name"),
        at(Method::DELETE, MEMBER, "deleteMember", "DELETE_MEMBER", remove)
            .described("members", "delete a member without subsystems and servers")
            .answers(204, None)
            .event("Delete member"),
        sub("/api/v1/members/{member_id}/subsystems", "getSubsystems", subsystems_of)
            .described("members", "get a member's subsystems")
            .answers(200, Some("[]Subsystem")),
        sub("/api/v1/members/{member_id}/global-groups", "getMemberGlobalGroups", groups_of)
            .described("members", "get the groups in which a member or its subsystems are")
            .answers(200, Some("[]MemberGlobalGroup")),
        sub("/api/v1/members/{member_id}/owned-servers", "getOwnedServers", owned_servers)
            .described("members", "get the security servers that a member owns")
            .answers(200, Some("[]SecurityServer")),
        sub("/api/v1/members/{member_id}/used-servers", "getUsedServers", used_servers)
            .described("members", "get the security servers at which a member is a client")
            .answers(200, Some("[]SecurityServer")),
        at(
            Method::DELETE,
            "/api/v1/members/{member_id}/servers/{server_id}",
            "unregisterMember",
            "UNREGISTER_MEMBER",
            unregister,
        )
        .described("members", "take a member's registration at a security server back")
        .answers(204, None)
        .event("Unregister member as security server client"),
        at(Method::GET, "/api/v1/clients", "findClients", "SEARCH_MEMBERS", find)
            .described("clients", "find members and subsystems")
            .query(&FIND)
            .answers(200, Some("PagedClients")),
    ]
}

#[derive(Deserialize)]
struct Class {
    code: String,
    description: String,
}

#[derive(Deserialize)]
pub(super) struct Description {
    pub(super) description: String,
}

#[derive(Deserialize)]
struct NewMember {
    member_name: String,
    member_id: NewMemberId,
}

#[derive(Deserialize)]
struct NewMemberId {
    member_class: String,
    member_code: String,
}

#[derive(Deserialize)]
struct Name {
    member_name: String,
}

fn class_json(code: &str, description: &str) -> Value {
    json!({ "code": code, "description": description })
}

fn classes(registry: &Registry, _call: &Call) -> Result<Answer, Problem> {
    let all = |state: &State| -> Vec<Value> {
        state.classes.iter().map(|(code, class)| class_json(code, &class.description)).collect()
    };
    Answer::json(&registry.read(all))
}

fn add_class(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let Class { code, description } = call.json()?;
    call.note("code", code.as_str());
    call.note("description", description.as_str());
    ids::legal("memberClassDto.code", &code)?;
    let body = class_json(&code, &description);
    let about = code.clone();
    edit(registry, Edit::MemberClassAdd { code, description }, CLASS_CODES, &about)?;
    Answer::created(&body)
}

fn describe_class(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let Description { description } = call.json()?;
    let code = call.parameter("code").to_owned();
    call.note("code", code.as_str());
    call.note("description", description.as_str());
    let body = class_json(&code, &description);
    let about = code.clone();
    edit(registry, Edit::MemberClassDescribe { code, description }, CLASS_CODES, &about)?;
    Answer::json(&body)
}

fn remove_class(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let code = call.parameter("code").to_owned();
    call.note("code", code.as_str());
    let about = code.clone();
    edit(registry, Edit::MemberClassRemove { code }, CLASS_CODES, &about)?;
    Ok(Answer::nothing())
}

pub(super) fn note_member(call: &Call, id: &MemberId) {
    call.note("memberClass", id.class());
    call.note("memberCode", id.code());
}

fn member_json(state: &State, id: &MemberId) -> Result<Value, Problem> {
    match state.members.get(id) {
        Some(member) => Ok(client_json(&id.as_client(), &member.name)),
        None => Err(no_member(id)),
    }
}

fn no_member(id: &MemberId) -> Problem {
    Problem::missing("member_not_found", format!("there is no member {id}"))
}

fn client_json(id: &ClientId, name: &str) -> Value {
    json!({ "client_id": ids::client_json(id), "member_name": name })
}

/// A client with its member's name.
pub(super) fn client_of(state: &State, id: &ClientId) -> Value {
    let name = state.members.get(id.member()).map(|member| member.name.as_str());
    client_json(id, name.unwrap_or_default())
}

fn known(registry: &Registry, call: &Call) -> Result<MemberId, Problem> {
    let id = ids::member(call.parameter("member_id"))?;
    registry.read(|state| member_json(state, &id))?;
    Ok(id)
}

fn add(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let NewMember { member_name: name, member_id } = call.json()?;
    let NewMemberId { member_class: class, member_code: code } = member_id;
    call.note("memberName", name.as_str());
    call.note("memberClass", class.as_str());
    call.note("memberCode", code.as_str());
    ids::legal("memberAddDto.memberId.memberCode", &code)?;
    let instance = &registry.config().instance;
    let id = MemberId::new(instance, &class, &code)
        .map_err(|e| Problem::invalid_field("memberAddDto.memberId", &e.to_string()))?;
    if !registry.read(|state| state.classes.contains_key(&class)) {
        let reason = format!("there is no member class {class}");
        return Err(Problem::missing("member_class_not_found", reason).about("code").about(class));
    }
    let about = id.to_short();
    edit(registry, Edit::MemberAdd { id: id.clone(), name: name.clone() }, MEMBER_CODES, &about)?;
    Answer::created(&client_json(&id.as_client(), &name))
}

fn get(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = ids::member(call.parameter("member_id"))?;
    Answer::json(&registry.read(|state| member_json(state, &id))?)
}

fn rename(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let Name { member_name: name } = call.json()?;
    let id = ids::member(call.parameter("member_id"))?;
    call.note("memberName", name.as_str());
    note_member(call, &id);
    let about = id.to_short();
    let body = client_json(&id.as_client(), &name);
    edit(registry, Edit::MemberRename { id, name }, MEMBER_CODES, &about)?;
    Answer::json(&body)
}

fn remove(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = ids::member(call.parameter("member_id"))?;
    note_member(call, &id);
    let about = id.to_short();
    edit(registry, Edit::MemberRemove { id }, MEMBER_CODES, &about)?;
    Ok(Answer::nothing())
}

fn subsystems_of(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = known(registry, call)?;
    let all = |state: &State| -> Vec<Value> {
        let of = state.subsystems.iter().filter(|(subsystem, _)| *subsystem.member() == id);
        of.map(|(subsystem, record)| subsystems::json(state, subsystem, record)).collect()
    };
    Answer::json(&registry.read(all))
}

fn groups_of(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = known(registry, call)?;
    let all = |state: &State| -> Vec<Value> {
        let of = state.group_members.iter().filter(|(_, client)| *client.member() == id);
        of.map(|(code, client)| {
            json!({ "group_code": code, "subsystem": client.subsystem_code().unwrap_or_default() })
        })
        .collect()
    };
    Answer::json(&registry.read(all))
}

fn owned_servers(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = known(registry, call)?;
    let all = |state: &State| -> Vec<Value> {
        let of = state.servers.iter().filter(|(server, _)| *server.owner() == id);
        of.map(|(server, record)| servers::json(state, server, record)).collect()
    };
    Answer::json(&registry.read(all))
}

fn used_servers(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let id = known(registry, call)?.as_client();
    let all = |state: &State| -> Vec<Value> {
        let of = state.clients.keys().filter(|(_, client)| *client == id);
        of.filter_map(|(server, _)| {
            state.servers.get(server).map(|record| servers::json(state, server, record))
        })
        .collect()
    };
    Answer::json(&registry.read(all))
}

fn unregister(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let client = known(registry, call)?.as_client();
    servers::unregister(registry, call, client, "member_not_registered_to_security_server")
}

fn find(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let wanted = |name| call.query(name);
    let fits = |id: &ClientId, name: &str| {
        let (member, subsystem) = (id.member(), id.subsystem_code().unwrap_or_default());
        let kind = if id.subsystem_code().is_some() { "SUBSYSTEM" } else { "MEMBER" };
        let all = [name, member.class(), member.code(), subsystem];
        paging::matches(wanted("q"), &all)
            && paging::matches(wanted("name"), &[name])
            && paging::matches(wanted("instance"), &[member.instance()])
            && paging::matches(wanted("member_class"), &[member.class()])
            && paging::matches(wanted("member_code"), &[member.code()])
            && paging::matches(wanted("subsystem_code"), &[subsystem])
            && wanted("client_type").is_none_or(|k| k.is_empty() || k == kind)
    };
    let found = registry.read(|state| {
        let members = state.members.keys().map(MemberId::as_client);
        let clients = members.chain(state.subsystems.keys().cloned());
        let named = clients.map(|id| {
            let name = state.members.get(id.member()).map(|member| member.name.clone());
            (id, name.unwrap_or_default())
        });
        named.filter(|(id, name)| fits(id, name)).collect::<Vec<_>>()
    });
    let (clients, metadata) = paging::page(call, found, |(id, name), sort| {
        Some(match sort {
            "id" => ids::encoded(&id.to_short()),
            "member_name" => name.clone(),
            "xroad_id.instance_id" => id.instance().to_owned(),
            "xroad_id.member_class" => id.member().class().to_owned(),
            "xroad_id.member_code" => id.member().code().to_owned(),
            "client_type" => id.subsystem_code().is_some().to_string(),
            _ => return None,
        })
    })?;
    let clients: Vec<Value> = clients.iter().map(|(id, name)| client_json(id, name)).collect();
    Answer::json(&json!({ "clients": clients, "paging_metadata": metadata }))
}
