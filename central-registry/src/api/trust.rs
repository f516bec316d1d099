//! Approved certification services and timestamping authorities: what is told of them, and the end of an
//! approval. [`super::approvals`] has how they are approved and changed.

use causeway_admin::http::{Answer, Call, Problem, Route};
use http::Method;
use serde_json::{Value, json};

use super::edits::{Codes, edit};
use super::{certificate, ids, route};
use crate::edit::Edit;
use crate::records::{CaCertificateRecord, CaRecord, OcspRecord, TsaRecord};
use crate::registry::Registry;

pub(super) const CA: &str = "certification service";
const INTERMEDIATE: &str = "intermediate CA";
const OCSP: &str = "OCSP responder";
pub(super) const TSA: &str = "timestamping service";
pub(super) const CA_PATH: &str = "/api/v1/certification-services/{certification_service_id}";
pub(super) const TSA_PATH: &str = "/api/v1/timestamping-services/{timestamping_service_id}";

pub(super) const CA_CODES: Codes =
    Codes::of("certification_service_not_found", "certification_service_exists");
pub(super) const TSA_CODES: Codes =
    Codes::of("timestamping_authority_not_found", "timestamping_authority_exists");

pub(super) fn routes(registry: &Registry) -> Vec<Route> {
    let get = |path, operation, permission, work| {
        route(registry, Method::GET, path, operation, permission, work)
    };
    let (cas, details) = ("certification-services", "VIEW_APPROVED_CA_DETAILS");
    vec![
        get(
            "/api/v1/certification-services",
            "getCertificationServices",
            "VIEW_APPROVED_CAS",
            all_cas,
        )
        .described(cas, "get the certification services")
        .answers(200, Some("[]ApprovedCertificationServiceListItem")),
        get(CA_PATH, "getCertificationService", details, one_ca)
            .described(cas, "get a certification service")
            .answers(200, Some("ApprovedCertificationService")),
        get(
            "/api/v1/certification-services/{certification_service_id}/certificate",
            "getCertificationServiceCertificate",
            details,
            ca_certificate,
        )
        .described(cas, "get the certificate of a certification service's topmost authority")
        .answers(200, Some("CertificateDetails")),
        get(
            "/api/v1/certification-services/{certification_service_id}/intermediate-cas",
            "getCertificationServiceIntermediateCas",
            details,
            intermediates,
        )
        .described(cas, "get the authorities below the topmost one")
        .answers(200, Some("[]CertificateAuthority")),
        get(
            "/api/v1/certification-services/{certification_service_id}/ocsp-responders",
            "getCertificationServiceOcspResponders",
            details,
            responders,
        )
        .described(cas, "get the OCSP responders of the topmost authority")
        .answers(200, Some("[]OcspResponder")),
        route(
            registry,
            Method::DELETE,
            CA_PATH,
            "deleteCertificationService",
            "DELETE_APPROVED_CA",
            remove_ca,
        )
        .described(cas, "take the approval of a certification service back")
        .answers(204, None)
        .event("Delete certification service"),
        get(
            "/api/v1/timestamping-services",
            "getTimestampingServices",
            "VIEW_APPROVED_TSAS",
            all_tsas,
        )
        .described("timestamping-services", "get the timestamping authorities")
        .answers(200, Some("[]TimestampingService")),
        get(TSA_PATH, "getTimestampingService", "VIEW_APPROVED_TSAS", one_tsa)
            .described("timestamping-services", "get a timestamping authority")
            .answers(200, Some("TimestampingService")),
        route(
            registry,
            Method::DELETE,
            TSA_PATH,
            "deleteTimestampingService",
            "DELETE_APPROVED_TSA",
            remove_tsa,
        )
        .described("timestamping-services", "take the approval of a timestamping authority back")
        .answers(204, None)
        .event("Delete timestamping service"),
    ]
}

fn ca(registry: &Registry, call: &Call) -> Result<(String, CaRecord), Problem> {
    let cas = registry.read(|state| state.cas.clone());
    let named = cas.iter().map(|(name, ca)| (name.as_str(), ca));
    let id = call.parameter("certification_service_id");
    let (name, ca) = ids::by_number(named, CA, id, "certification_service_not_found")?;
    Ok((name.to_owned(), ca.clone()))
}

fn all_cas(registry: &Registry, _call: &Call) -> Result<Answer, Problem> {
    let cas = registry.read(|state| state.cas.clone());
    let item = |(name, ca): (&String, &CaRecord)| -> Result<Value, Problem> {
        let top = certificate::read(&ca.top.certificate)?;
        Ok(json!({
            "id": ids::number(CA, name),
            "name": name,
            "not_before": certificate::time(top.not_before()),
            "not_after": certificate::time(top.not_after()),
        }))
    };
    Answer::json(&cas.iter().map(item).collect::<Result<Vec<_>, _>>()?)
}

fn one_ca(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let (name, ca) = ca(registry, call)?;
    Answer::json(&ca_json(&name, &ca)?)
}

/// A certification service.
pub(super) fn ca_json(name: &str, ca: &CaRecord) -> Result<Value, Problem> {
    let top = certificate::read(&ca.top.certificate)?;
    let mut json = json!({
        "id": ids::number(CA, name),
        "name": name,
        "subject_distinguished_name": top.subject_rfc2253(),
        "issuer_distinguished_name": top.issuer_rfc2253(),
        "not_before": certificate::time(top.not_before()),
        "not_after": certificate::time(top.not_after()),
        "certificate_profile_info": ca.profile,
        "tls_auth": ca.authentication_only,
    });
    for (name, value) in [
        ("default_csr_format", &ca.csr_format),
        ("acme_server_directory_url", &ca.acme_url),
        ("acme_server_ip_address", &ca.acme_addresses),
    ] {
        if let Some(value) = value {
            json[name] = value.as_str().into();
        }
    }
    Ok(json)
}

fn ca_certificate(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    Answer::json(&certificate::details(&ca(registry, call)?.1.top.certificate)?)
}

fn intermediates(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let (name, ca) = ca(registry, call)?;
    let all = ca.intermediates.iter().map(|below| intermediate_json(&name, below));
    Answer::json(&all.collect::<Result<Vec<_>, _>>()?)
}

/// An authority below the topmost one of a certification service.
pub(super) fn intermediate_json(name: &str, below: &CaCertificateRecord) -> Result<Value, Problem> {
    let hash = hex::encode(certificate::read(&below.certificate)?.sha256());
    Ok(json!({
        "id": ids::number(INTERMEDIATE, &format!("{name}\0{hash}")),
        "ca_certificate": certificate::details(&below.certificate)?,
    }))
}

fn responders(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let (name, ca) = ca(registry, call)?;
    let all = ca.top.ocsp.iter().map(|responder| responder_json(&name, responder));
    Answer::json(&all.collect::<Vec<_>>())
}

/// An OCSP responder of a certification service.
pub(super) fn responder_json(name: &str, responder: &OcspRecord) -> Value {
    json!({
        "id": ids::number(OCSP, &format!("{name}\0{}", responder.url)),
        "url": responder.url,
        "cost_type": responder.cost.as_deref().unwrap_or("UNDEFINED"),
        "has_certificate": responder.certificate.is_some(),
    })
}

fn remove_ca(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let (name, ca) = ca(registry, call)?;
    call.note("caId", ids::number(CA, &name));
    let hash = hex::encode(certificate::read(&ca.top.certificate)?.sha256());
    call.note("caCertHash", certificate::colons(&hash));
    call.note("caCertHashAlgorithm", "SHA-256");
    edit(registry, Edit::CaRemove { name: name.clone() }, CA_CODES, &name)?;
    Ok(Answer::nothing())
}

/// A timestamping authority.
pub(super) fn tsa_json(name: &str, tsa: &TsaRecord, interval: u32) -> Result<Value, Problem> {
    Ok(json!({
        "id": ids::number(TSA, name),
        "url": tsa.url,
        "cost_type": tsa.cost.as_deref().unwrap_or("UNDEFINED"),
        "certificate": certificate::details(&tsa.certificate)?,
        "timestamping_interval": interval,
    }))
}

fn tsa(registry: &Registry, call: &Call) -> Result<(String, TsaRecord, u32), Problem> {
    let interval = |state: &crate::records::State| state.settings.timestamping_interval_seconds;
    let (tsas, interval) = registry.read(|state| (state.tsas.clone(), interval(state)));
    let named = tsas.iter().map(|(name, tsa)| (name.as_str(), tsa));
    let id = call.parameter("timestamping_service_id");
    let (name, tsa) = ids::by_number(named, TSA, id, "timestamping_authority_not_found")?;
    Ok((name.to_owned(), tsa.clone(), interval))
}

fn all_tsas(registry: &Registry, _call: &Call) -> Result<Answer, Problem> {
    let (tsas, interval) =
        registry.read(|state| (state.tsas.clone(), state.settings.timestamping_interval_seconds));
    let all = tsas.iter().map(|(name, tsa)| tsa_json(name, tsa, interval));
    Answer::json(&all.collect::<Result<Vec<_>, _>>()?)
}

fn one_tsa(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let (name, tsa, interval) = tsa(registry, call)?;
    Answer::json(&tsa_json(&name, &tsa, interval)?)
}

fn remove_tsa(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let (name, tsa, _) = tsa(registry, call)?;
    let hash = hex::encode(certificate::read(&tsa.certificate)?.sha256());
    call.note("tsaId", ids::number(TSA, &name));
    call.note("tsaName", name.as_str());
    call.note("tsaUrl", tsa.url.as_str());
    call.note("tsaCertHash", certificate::colons(&hash));
    call.note("tsaCertHashAlgorithm", "SHA-256");
    edit(registry, Edit::TsaRemove { name: name.clone() }, TSA_CODES, &name)?;
    Ok(Answer::nothing())
}
