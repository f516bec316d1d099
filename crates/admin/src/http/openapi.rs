//! The OpenAPI text (3.0), made of the table that dispatches.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Accepts, Access, Route, RouteError};

/// What an OpenAPI text says beside its routes.
#[derive(Debug, Clone)]
pub struct Document {
    /// The title.
    pub title: String,
    /// The API's version.
    pub version: String,
    /// The schemas of the trade, by name. Those that every server has (`ErrorInfo`, `ApiKey`, …) are added.
    pub schemas: Map<String, Value>,
}

impl Document {
    /// Describes a table.
    pub(super) fn describe(&self, routes: &[Route], own: &Value) -> Result<Value, RouteError> {
        let mut schemas = self.schemas.clone();
        for (name, schema) in own.as_object().into_iter().flatten() {
            schemas.insert(name.clone(), schema.clone());
        }
        let mut paths = Map::new();
        for route in routes {
            let described = describe(route, &schemas)?;
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            path[route.method.as_str().to_lowercase()] = described;
        }
        Ok(json!({
            "openapi": "3.0.3",
            "info": { "title": self.title, "version": self.version },
            "servers": [{ "url": "/" }],
            "security": [{ "ApiKeyAuth": [] }, { "SessionAuth": [] }],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "ApiKeyAuth": {
                        "type": "apiKey",
                        "in": "header",
                        "name": "Authorization",
                        "description": "X-Road-ApiKey token=<api key>",
                    },
                    "SessionAuth": {
                        "type": "apiKey",
                        "in": "cookie",
                        "name": super::SESSION_COOKIE,
                        "description": "with XSRF-TOKEN as a cookie and in the header X-XSRF-TOKEN",
                    },
                    "BasicAuth": { "type": "http", "scheme": "basic" },
                },
            },
        }))
    }
}

fn describe(route: &Route, schemas: &Map<String, Value>) -> Result<Value, RouteError> {
    let schema = |name: &str| -> Result<Value, RouteError> {
        let (list, name) = match name.strip_prefix("[]") {
            Some(name) => (true, name),
            None => (false, name),
        };
        if !schemas.contains_key(name) {
            let what = format!("there is no schema {name}");
            return Err(RouteError { route: format!("{route:?}"), what });
        }
        let one = json!({ "$ref": format!("#/components/schemas/{name}") });
        Ok(if list { json!({ "type": "array", "items": one }) } else { one })
    };
    let in_path = route.parameters().map(|name| {
        json!({ "in": "path", "name": name, "required": true, "schema": { "type": "string" } })
    });
    let in_query = route.query.iter().map(|p| {
        let (name, description) = (p.name, p.description);
        json!({ "in": "query", "name": name, "description": description, "schema": { "type": p.kind } })
    });
    let mut success = json!({ "description": "success" });
    if let Some(name) = route.answers {
        success["content"] = json!({ "application/json": { "schema": schema(name)? } });
    }
    let error = json!({
        "description": "refused",
        "content": { "application/json": { "schema": schema("ErrorInfo")? } },
    });
    let mut described = json!({
        "tags": [route.tag],
        "summary": route.summary,
        "operationId": route.operation,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": { route.status.to_string(): success, "default": error },
    });
    let body = match route.accepts {
        Accepts::Nothing => None,
        Accepts::Json(name) => Some(("application/json", name)),
        Accepts::Form(name) => Some(("application/x-www-form-urlencoded", name)),
        Accepts::Multipart(name) => Some(("multipart/form-data", name)),
    };
    if let Some((media_type, name)) = body {
        described["requestBody"] =
            json!({ "required": true, "content": { media_type: { "schema": schema(name)? } } });
    }
    match route.access {
        Access::Open => described["security"] = json!([]),
        Access::SignedIn => {}
        Access::Permission(permission) => described["x-permission"] = permission.into(),
        Access::KeyManagement(permission) => {
            described["x-permission"] = permission.into();
            described["security"] = json!([{ "BasicAuth": [] }, { "SessionAuth": [] }]);
        }
    }
    Ok(described)
}

/// Writes JSON as YAML 1.2: blocks for objects and arrays, JSON's own form for all else.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn write(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let nested = |out: &mut String, value: &Value| match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            write(out, value, depth + 1);
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            write(out, value, depth + 1);
        }
        // Empty ones and scalars are YAML in JSON's form.
        other => {
            let _ = writeln!(out, " {other}");
        }
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                let _ = write!(out, "{indent}{}:", Value::String(name.clone()));
                nested(out, value);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                let _ = write!(out, "{indent}-");
                nested(out, value);
            }
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}
