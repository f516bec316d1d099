//! The system's state, and the anchors that lead to its configurations.

use causeway_admin::http::{Access, Answer, Call, Problem, Route};
use http::Method;
use serde_json::{Value, json};
use time::macros::format_description;

use super::route;
use crate::records::ConfigurationKind;
use crate::registry::Registry;

pub(super) fn routes(registry: &Registry) -> Vec<Route> {
    let get = |path, operation, permission, work| {
        route(registry, Method::GET, path, operation, permission, work)
    };
    let handle = registry.clone();
    vec![
        get("/api/v1/system/status", "getSystemStatus", "VIEW_VERSION", status)
            .described("system", "get the system's state")
            .answers(200, Some("SystemStatus")),
        get("/api/v1/system/version", "getSystemVersion", "VIEW_VERSION", version)
            .described("system", "get the program's version")
            .answers(200, Some("Version")),
        Route::new(
            Method::GET,
            "/api/v1/initialization/status",
            "getInitializationStatus",
            Access::SignedIn,
            move |_| Answer::json(&initialization(&handle)),
        )
        .described("initialization", "whether the registry is initialized")
        .answers(200, Some("InitializationStatus")),
        get(
            "/api/v1/configuration-sources/{configuration_type}/anchor/download",
            "downloadAnchor",
            "DOWNLOAD_SOURCE_ANCHOR",
            anchor,
        )
        .described("configuration-sources", "get the anchor that leads to a configuration"),
        get(
            "/api/v1/configuration-sources/{configuration_type}/download-url",
            "getDownloadUrl",
            "VIEW_CONFIGURATION_MANAGEMENT",
            download_url,
        )
        .described("configuration-sources", "get where a configuration is served")
        .answers(200, Some("GlobalConfDownloadUrl")),
        get(
            "/api/v1/system/high-availability-cluster/status",
            "getHighAvailabilityClusterStatus",
            "VIEW_VERSION",
            |_, _| {
                let (nodes, ok) = (Vec::<()>::new(), true);
                Answer::json(&json!({
                    "is_ha_configured": false, "all_nodes_ok": ok, "nodes": nodes,
                }))
            },
        )
        .described("system", "get the state of a cluster, which a registry is not")
        .answers(200, Some("HighAvailabilityClusterStatus")),
    ]
}

/// A registry that serves has been initialized: it makes its store and token before it begins.
fn initialization(registry: &Registry) -> Value {
    let config = registry.config();
    json!({
        "instance_identifier": config.instance,
        "central_server_address": config.public_addresses.first(),
        "software_token_init_status": "INITIALIZED",
    })
}

fn status(registry: &Registry, _call: &Call) -> Result<Answer, Problem> {
    Answer::json(&json!({
        "initialization_status": initialization(registry),
        "high_availability_status": { "is_ha_configured": false },
    }))
}

fn version(_registry: &Registry, _call: &Call) -> Result<Answer, Problem> {
    Answer::json(&json!({ "info": concat!("Causeway ", env!("CARGO_PKG_VERSION")) }))
}

fn kind(call: &Call) -> Result<ConfigurationKind, Problem> {
    match call.parameter("configuration_type") {
        "INTERNAL" => Ok(ConfigurationKind::Internal),
        "EXTERNAL" => Ok(ConfigurationKind::External),
        _ => Err(Problem::invalid_field("configuration_type", "is not a type")),
    }
}

fn download_url(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let path = kind(call)?.path();
    let address = registry.config().public_addresses.first();
    let url = format!("http://{}/{path}", address.map_or("", String::as_str));
    Answer::json(&json!({ "url": url }))
}

fn anchor(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let kind = kind(call)?;
    let xml = registry.anchor(kind).map_err(|e| {
        Problem::missing("configuration_not_found", e.to_string()).about(e.next_step())
    })?;
    let form = format_description!("[year]-[month]-[day]_[hour]_[minute]_[second]");
    let now = call.now.format(&form).unwrap_or_default();
    let name = format!("configuration_anchor_UTC_{now}.xml");
    Ok(Answer::file("application/xml", Some(name), xml))
}
