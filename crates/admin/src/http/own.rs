//! The routes that every server has.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::credentials::{begin_cookies, end_cookies};
use super::{Accepts, Access, Answer, Call, Document, Problem, Route, RouteError, form, openapi};
use crate::audit::event;
use crate::identity::{ApiKey, Identity, Role, Scheme};

const KEYS: &str = "/api/v1/api-keys";
const KEY: &str = "/api/v1/api-keys/{id}";

/// Signing in and out, who one is, API keys.
pub(super) fn routes(identity: &Arc<Identity>) -> Vec<Route> {
    let with = |handler: fn(&Identity, &Call) -> Result<Answer, Problem>| {
        let identity = Arc::clone(identity);
        move |call: &Call| handler(&identity, call)
    };
    let get = Method::GET;
    vec![
        Route::new(Method::POST, "/login", "login", Access::Open, with(sign_in))
            .described("session", "sign in with user name and password")
            .accepts(Accepts::Form("Login"))
            .event(event::FORM_LOGIN),
        Route::new(Method::POST, "/logout", "logout", Access::SignedIn, with(sign_out))
            .described("session", "sign out")
            .event(event::FORM_LOGOUT),
        Route {
            extends_session: false,
            ..Route::new(
                get.clone(),
                "/api/v1/notifications/session-status",
                "isSessionAlive",
                Access::SignedIn,
                session_status,
            )
        }
        .described("session", "whether the session is alive, without keeping it alive")
        .answers(200, Some("SessionStatus")),
        Route::new(get.clone(), "/api/v1/user", "getUser", Access::SignedIn, with(user))
            .described("user", "get user data for the logged user")
            .answers(200, Some("User")),
        Route::new(get.clone(), "/api/v1/user/roles", "getRoles", Access::SignedIn, |call| {
            Answer::json(&authorities(call))
        })
        .described("user", "get the roles of the logged user")
        .answers(200, Some("[]Name")),
        Route::new(
            get.clone(),
            "/api/v1/user/permissions",
            "getPermissions",
            Access::SignedIn,
            with(|identity, call| Answer::json(&identity.permissions().of(&call.roles()))),
        )
        .described("user", "get the permissions of the logged user")
        .answers(200, Some("[]Name")),
        Route::new(get.clone(), KEYS, "listApiKeys", keys("VIEW_API_KEYS"), with(list_keys))
            .described("api-keys", "list the API keys")
            .answers(200, Some("[]ApiKey")),
        Route::new(Method::POST, KEYS, "createApiKey", keys("CREATE_API_KEY"), with(create_key))
            .described("api-keys", "create an API key; it is shown in this answer alone")
            .accepts(Accepts::Json("RoleNames"))
            .answers(200, Some("ApiKey"))
            .event(event::API_KEY_CREATE),
        Route::new(get, KEY, "getApiKey", keys("VIEW_API_KEYS"), with(get_key))
            .described("api-keys", "get an API key's roles")
            .answers(200, Some("ApiKey")),
        Route::new(Method::PUT, KEY, "updateApiKey", keys("UPDATE_API_KEY"), with(update_key))
            .described("api-keys", "give an API key other roles")
            .accepts(Accepts::Json("RoleNames"))
            .answers(200, Some("ApiKey"))
            .event(event::API_KEY_UPDATE),
        Route::new(Method::DELETE, KEY, "revokeApiKey", keys("REVOKE_API_KEY"), with(revoke_key))
            .described("api-keys", "revoke an API key")
            .event(event::API_KEY_REMOVE),
    ]
}

/// The OpenAPI text of a table, and its own routes with it.
pub(super) fn openapi(document: &Document, routes: &[Route]) -> Result<Vec<Route>, RouteError> {
    let serving = |path, operation, media_type: &'static str, text: Arc<str>| {
        Route::new(Method::GET, path, operation, Access::Open, move |_| {
            Ok(Answer::file(media_type, None, text.as_bytes().to_vec()))
        })
        .described("openapi", "get the OpenAPI description of this API")
    };
    let both = |yaml: &str, json: &str| {
        [
            serving("/api/v1/openapi.yaml", "downloadOpenApi", "text/yaml", yaml.into()),
            serving("/api/v1/openapi.json", "downloadOpenApiJson", "application/json", json.into()),
        ]
    };
    // The text speaks of its own routes, too; so it is made with them, and then put into them.
    let all: Vec<Route> = routes.iter().cloned().chain(both("", "")).collect();
    let value = document.describe(&all, &schemas())?;
    Ok(both(&openapi::to_yaml(&value), &value.to_string()).into())
}

fn keys(permission: &'static str) -> Access {
    Access::KeyManagement(permission)
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": text });
    let coded = json!({ "$ref": "#/components/schemas/CodeWithDetails" });
    json!({
        "Name": text,
        "RoleNames": { "type": "array", "minItems": 1, "items": {
            "type": "string", "enum": Role::ALL.map(Role::name),
        } },
        "ApiKey": {
            "type": "object",
            "required": ["id", "roles"],
            "properties": {
                "id": { "type": "integer", "format": "int64" },
                "key": { "type": "string", "description": "the key itself, when it is created" },
                "roles": { "$ref": "#/components/schemas/RoleNames" },
            },
        },
        "User": {
            "type": "object",
            "required": ["username", "roles", "permissions"],
            "properties": { "username": text, "roles": texts, "permissions": texts },
        },
        "SessionStatus": {
            "type": "object", "required": ["valid"], "properties": { "valid": { "type": "boolean" } },
        },
        "Login": {
            "type": "object",
            "required": ["username", "password"],
            "properties": { "username": text, "password": { "type": "string", "format": "password" } },
        },
        "CodeWithDetails": {
            "type": "object",
            "required": ["code"],
            "properties": {
                "code": text,
                "metadata": texts,
                "validation_errors": { "type": "object", "additionalProperties": texts },
            },
        },
        "ErrorInfo": {
            "type": "object",
            "required": ["status"],
            "properties": {
                "status": { "type": "integer", "format": "int32" },
                "error": coded,
                "warnings": { "type": "array", "items": coded },
            },
        },
    })
}

fn sign_in(identity: &Identity, call: &Call) -> Result<Answer, Problem> {
    let bad = || Problem::bare(StatusCode::UNAUTHORIZED, "no user name and password");
    let text = std::str::from_utf8(call.body()).map_err(|_| bad())?;
    let pairs = form::read_pairs(text).ok_or_else(bad)?;
    let value = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let (user, password) = value("username").zip(value("password")).ok_or_else(bad)?;
    call.note_user(user);
    let now = call.now.unix_timestamp();
    let principal = identity.by_password(user, password, call.address, now)?;
    let session = identity.begin_session(&principal, call.session.as_deref(), now)?;
    // X-Road's pages read this word, as JSON by its type.
    let mut answer = Answer::file("application/json;charset=UTF-8", None, "OK\n");
    answer.cookies = begin_cookies(&session.cookie, &session.csrf);
    Ok(answer)
}

fn sign_out(identity: &Identity, call: &Call) -> Result<Answer, Problem> {
    if let Some(session) = &call.session {
        identity.end_session(session);
    }
    Ok(Answer { cookies: end_cookies(), ..Answer::done() })
}

fn session_status(call: &Call) -> Result<Answer, Problem> {
    let valid = call.principal.as_ref().is_some_and(|p| p.scheme == Scheme::Session);
    Answer::json(&json!({ "valid": valid }))
}

fn user(identity: &Identity, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&json!({
        "username": call.principal.as_ref().map(|p| p.name.as_str()),
        "roles": authorities(call),
        "permissions": identity.permissions().of(&call.roles()),
    }))
}

fn authorities(call: &Call) -> Vec<String> {
    call.roles().into_iter().map(Role::authority).collect()
}

fn list_keys(identity: &Identity, _call: &Call) -> Result<Answer, Problem> {
    Answer::json(&identity.api_keys().iter().map(shown).collect::<Vec<_>>())
}

fn get_key(identity: &Identity, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&shown(&identity.api_key(id(call)?)?))
}

fn create_key(identity: &Identity, call: &Call) -> Result<Answer, Problem> {
    let roles = role_names(call)?;
    let new = identity.create_api_key(roles, &call.roles())?;
    noted(call, &new.key);
    let mut body = shown(&new.key);
    body["key"] = new.secret.as_str().into();
    Answer::json(&body)
}

fn update_key(identity: &Identity, call: &Call) -> Result<Answer, Problem> {
    let id = id(call)?;
    call.note("apiKeyId", id);
    let roles = role_names(call)?;
    let key = identity.update_api_key(id, roles, &call.roles())?;
    noted(call, &key);
    Answer::json(&shown(&key))
}

fn revoke_key(identity: &Identity, call: &Call) -> Result<Answer, Problem> {
    let id = id(call)?;
    call.note("apiKeyId", id);
    noted(call, &identity.revoke_api_key(id)?);
    Ok(Answer::done())
}

fn role_names(call: &Call) -> Result<BTreeSet<Role>, Problem> {
    let names: Vec<String> = call.json()?;
    Ok(Role::read_all(names.iter().map(String::as_str))?)
}

fn id(call: &Call) -> Result<u64, Problem> {
    let text = call.parameter("id");
    text.parse().map_err(|_| Problem::invalid_field("id", "is not a number"))
}

fn shown(key: &ApiKey) -> Value {
    json!({ "id": key.id, "roles": names(&key.roles) })
}

fn noted(call: &Call, key: &ApiKey) {
    call.note("apiKeyId", key.id);
    call.note("apiKeyRoles", names(&key.roles));
}

fn names(roles: &BTreeSet<Role>) -> Vec<&'static str> {
    roles.iter().map(|role| role.name()).collect()
}
