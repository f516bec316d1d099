//! Trusted anchors: the instances with which this one is federated.

use causeway_admin::http::{Accepts, Answer, Call, Problem, Route};
use causeway_globalconf::Anchor;
use causeway_pki::DigestAlgorithm;
use http::Method;
use serde_json::{Value, json};
use time::macros::format_description;

use super::edits::{Codes, edit};
use super::form::Form;
use super::{certificate, route};
use crate::edit::Edit;
use crate::registry::Registry;

const ANCHORS: &str = "/api/v1/trusted-anchors";
const CODES: Codes = Codes::of("trusted_anchor_not_found", "trusted_anchor_exists");

pub(super) fn routes(registry: &Registry) -> Vec<Route> {
    let at = |method, path, operation, permission, work| {
        route(registry, method, path, operation, permission, work)
            .described("trusted-anchors", what(operation))
    };
    vec![
        at(Method::GET, ANCHORS, "getTrustedAnchors", "VIEW_TRUSTED_ANCHORS", all)
            .answers(200, Some("[]TrustedAnchor")),
        at(Method::POST, ANCHORS, "uploadTrustedAnchor", "UPLOAD_TRUSTED_ANCHOR", upload)
            .accepts(Accepts::Multipart("TrustedAnchorFile"))
            .answers(201, Some("TrustedAnchor"))
            .event("Add trusted anchor"),
        at(
            Method::POST,
            "/api/v1/trusted-anchors/preview",
            "previewTrustedAnchor",
            "UPLOAD_TRUSTED_ANCHOR",
            preview,
        )
        .accepts(Accepts::Multipart("TrustedAnchorFile"))
        .answers(200, Some("TrustedAnchor"))
        .reading(),
        at(
            Method::DELETE,
            "/api/v1/trusted-anchors/{hash}",
            "deleteTrustedAnchor",
            "DELETE_TRUSTED_ANCHOR",
            remove,
        )
        .answers(204, None)
        .event("Delete trusted anchor"),
        at(
            Method::GET,
            "/api/v1/trusted-anchors/{hash}/download",
            "downloadTrustedAnchor",
            "DOWNLOAD_TRUSTED_ANCHOR",
            download,
        ),
    ]
}

fn what(operation: &str) -> &'static str {
    match operation {
        "getTrustedAnchors" => "get the anchors of the instances that are federated",
        "uploadTrustedAnchor" => "federate with the instance to which an anchor leads",
        "previewTrustedAnchor" => "see what an anchor says, without taking it",
        "deleteTrustedAnchor" => "end the federation with the instance of an anchor",
        _ => "get an anchor's file",
    }
}

/// The hash by which X-Road knows an anchor: SHA-224 of its file.
fn hash(xml: &str) -> String {
    certificate::colons(&hex::encode(DigestAlgorithm::Sha224.digest(xml.as_bytes())))
}

fn read(xml: &str) -> Result<Anchor, Problem> {
    Anchor::parse(xml.as_bytes()).map_err(|e| Problem::bad("malformed_anchor", e.to_string()))
}

fn json(xml: &str) -> Result<Value, Problem> {
    let anchor = read(xml)?;
    let mut json = json!({ "instance_identifier": anchor.instance, "hash": hash(xml) });
    if let Some(at) = anchor.generated_at {
        json["generated_at"] = certificate::time(at).into();
    }
    Ok(json)
}

fn texts(registry: &Registry) -> Vec<String> {
    registry.read(|state| state.federations.values().map(|f| f.anchor.clone()).collect())
}

/// The anchor of the path's hash.
fn known(registry: &Registry, call: &Call) -> Result<String, Problem> {
    let wanted = call.parameter("hash");
    let found = texts(registry).into_iter().find(|xml| hash(xml).eq_ignore_ascii_case(wanted));
    found.ok_or_else(|| {
        Problem::missing(CODES.missing, "there is no anchor with this hash").about(wanted)
    })
}

fn uploaded(call: &Call) -> Result<String, Problem> {
    Form::of(call)?.required("anchor")
}

fn note(call: &Call, xml: &str) -> Result<Anchor, Problem> {
    let anchor = read(xml)?;
    call.note("instanceIdentifier", anchor.instance.as_str());
    call.note("anchorFileHash", hash(xml));
    call.note("anchorFileHashAlgorithm", "SHA-224");
    call.note("anchorUrls", anchor.sources.iter().map(|s| s.url.clone()).collect::<Vec<_>>());
    Ok(anchor)
}

fn all(registry: &Registry, _call: &Call) -> Result<Answer, Problem> {
    let all = texts(registry);
    Answer::json(&all.iter().map(|xml| json(xml)).collect::<Result<Vec<_>, _>>()?)
}

fn preview(_registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&json(&uploaded(call)?)?)
}

fn upload(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let anchor = uploaded(call)?;
    let instance = note(call, &anchor)?.instance;
    let told = json(&anchor)?;
    edit(registry, Edit::FederationAdd { anchor }, CODES, &instance)?;
    Answer::created(&told)
}

fn remove(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let instance = note(call, &known(registry, call)?)?.instance;
    edit(registry, Edit::FederationRemove { instance: instance.clone() }, CODES, &instance)?;
    Ok(Answer::nothing())
}

fn download(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let xml = known(registry, call)?;
    let anchor = read(&xml)?;
    let form = format_description!("[year]-[month]-[day]_[hour]_[minute]_[second]");
    let at = anchor.generated_at.and_then(|at| at.format(&form).ok()).unwrap_or_default();
    let name = format!("configuration_anchor_{}_EXTERNAL_{at}.xml", anchor.instance);
    Ok(Answer::file("application/xml", Some(name), xml))
}
