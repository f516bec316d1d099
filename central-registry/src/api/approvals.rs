//! Approving certification services and timestamping authorities, and changing what is known of them.

use causeway_admin::http::{Accepts, Answer, Call, Problem, Route};
use causeway_pki::Certificate;
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::edits::{Codes, edit, edit_with};
use super::form::Form;
use super::trust::{
    CA, CA_CODES, CA_PATH, TSA, TSA_CODES, TSA_PATH, ca_json, intermediate_json, responder_json,
    tsa_json,
};
use super::{certificate, ids, route};
use crate::edit::Edit;
use crate::records::{
    CaCertificateRecord, CaRecord, CertificateRecord, OcspRecord, State, TsaRecord,
};
use crate::registry::Registry;

const COMMON_NAME: &str = "2.5.4.3";

pub(super) fn routes(registry: &Registry) -> Vec<Route> {
    let at = |method, path, operation, permission, work| {
        route(registry, method, path, operation, permission, work)
    };
    let (cas, tsas) = ("certification-services", "timestamping-services");
    vec![
        at(
            Method::POST,
            "/api/v1/certification-services",
            "addCertificationService",
            "ADD_APPROVED_CA",
            add_ca,
        )
        .described(cas, "approve a certification service")
        .accepts(Accepts::Multipart("CertificationServiceFileAndSettings"))
        .answers(201, Some("ApprovedCertificationService"))
        .event("Add certification service"),
        at(Method::PATCH, CA_PATH, "updateCertificationService", "EDIT_APPROVED_CA", change_ca)
            .described(cas, "change the settings of a certification service")
            .accepts(Accepts::Json("CertificationServiceSettings"))
            .answers(200, Some("ApprovedCertificationService"))
            .event("Edit certification service settings"),
        at(
            Method::POST,
            "/api/v1/certification-services/{certification_service_id}/intermediate-cas",
            "addCertificationServiceIntermediateCa",
            "ADD_APPROVED_CA",
            add_intermediate,
        )
        .described(cas, "add an authority below the topmost one")
        .accepts(Accepts::Multipart("CertificateFile"))
        .answers(201, Some("CertificateAuthority"))
        .event("Add intermediate CA"),
        at(
            Method::POST,
            "/api/v1/certification-services/{certification_service_id}/ocsp-responders",
            "addCertificationServiceOcspResponder",
            "ADD_APPROVED_CA",
            add_responder,
        )
        .described(cas, "add an OCSP responder of the topmost authority")
        .accepts(Accepts::Multipart("OcspResponderFile"))
        .answers(201, Some("OcspResponder"))
        .event("Add OCSP responder of certification service"),
        at(
            Method::POST,
            "/api/v1/timestamping-services",
            "addTimestampingService",
            "ADD_APPROVED_TSA",
            add_tsa,
        )
        .described(tsas, "approve a timestamping authority")
        .accepts(Accepts::Multipart("TimestampingServiceFile"))
        .answers(201, Some("TimestampingService"))
        .event("Add timestamping service"),
        at(Method::PATCH, TSA_PATH, "updateTimestampingService", "EDIT_APPROVED_TSA", change_tsa)
            .described(tsas, "change what is known of a timestamping authority")
            .accepts(Accepts::Multipart("TimestampingServiceChange"))
            .answers(200, Some("TimestampingService"))
            .event("Edit timestamping service"),
    ]
}

/// The name of a trust service is that in its certificate, as at X-Road.
fn name_in(certificate: &Certificate) -> String {
    let name = certificate.subject_attribute(COMMON_NAME);
    name.unwrap_or_else(|| certificate.subject_rfc2253())
}

fn record(certificate: &Certificate) -> CertificateRecord {
    CertificateRecord(certificate.into())
}

fn note_hash(call: &Call, prefix: &str, certificate: &Certificate) {
    let hash = certificate::colons(&hex::encode(certificate.sha256()));
    call.note(&format!("{prefix}Hash"), hash);
    call.note(&format!("{prefix}HashAlgorithm"), "SHA-256");
}

fn add_ca(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let form = Form::of(call)?;
    let certificate = form.required_certificate()?;
    let name = name_in(&certificate);
    let ca = CaRecord {
        authentication_only: form.text("tls_auth")?.as_deref() == Some("true"),
        profile: form.required("certificate_profile_info")?,
        top: CaCertificateRecord { certificate: record(&certificate), ocsp: Vec::new() },
        intermediates: Vec::new(),
        acme_url: form.text("acme_server_directory_url")?,
        acme_addresses: form.text("acme_server_ip_address")?,
        csr_format: form.text("default_csr_format")?,
    };
    call.note("caId", ids::number(CA, &name));
    note_hash(call, "caCert", &certificate);
    call.note("authenticationOnly", ca.authentication_only);
    call.note("certificateProfileInfo", ca.profile.as_str());
    let add = Edit::CaAdd { name: name.clone(), ca: Box::new(ca) };
    edit(registry, add, CA_CODES, &name)?;
    // As it was stored: the profile by its full name.
    let body = registry.read(|state| state.cas.get(&name).map(|ca| ca_json(&name, ca)));
    Answer::created(&body.transpose()?.unwrap_or(Value::Null))
}

/// Changes the certification service of the path, and gives what is told of it.
fn with_ca(
    registry: &Registry,
    call: &Call,
    change: impl FnOnce(&str, &mut CaRecord) -> Result<Value, Problem>,
) -> Result<Value, Problem> {
    let id = call.parameter("certification_service_id");
    edit_with(registry, CA_CODES, id, |state| {
        let named = state.cas.iter().map(|(name, ca)| (name.as_str(), ca));
        let (name, ca) = ids::by_number(named, CA, id, CA_CODES.missing)?;
        call.note("caId", ids::number(CA, name));
        let mut ca = ca.clone();
        let told = change(name, &mut ca)?;
        let name = name.to_owned();
        let edits =
            vec![Edit::CaRemove { name: name.clone() }, Edit::CaAdd { name, ca: Box::new(ca) }];
        Ok((edits, told))
    })
}

/// What may be changed of a certification service; what is missing stays.
#[derive(Deserialize)]
struct Settings {
    certificate_profile_info: Option<String>,
    /// X-Road's text says a string, its answers a boolean.
    tls_auth: Option<Value>,
    default_csr_format: Option<String>,
    acme_server_directory_url: Option<String>,
    acme_server_ip_address: Option<String>,
}

fn change_ca(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let settings: Settings = call.json()?;
    let told = with_ca(registry, call, |name, ca| {
        if let Some(profile) = settings.certificate_profile_info {
            ca.profile = profile;
        }
        match settings.tls_auth {
            None | Some(Value::Null) => {}
            Some(Value::Bool(flag)) => ca.authentication_only = flag,
            Some(Value::String(text)) => ca.authentication_only = text == "true",
            Some(_) => return Err(Problem::invalid_field("tls_auth", "is not true or false")),
        }
        for (value, place) in [
            (settings.default_csr_format, &mut ca.csr_format),
            (settings.acme_server_directory_url, &mut ca.acme_url),
            (settings.acme_server_ip_address, &mut ca.acme_addresses),
        ] {
            if let Some(value) = value {
                // An empty text takes the value away.
                *place = Some(value).filter(|value| !value.is_empty());
            }
        }
        call.note("authenticationOnly", ca.authentication_only);
        call.note("certificateProfileInfo", ca.profile.as_str());
        ca_json(name, ca)
    })?;
    Answer::json(&told)
}

fn add_intermediate(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let certificate = Form::of(call)?.required_certificate()?;
    note_hash(call, "intermediateCaCert", &certificate);
    let told = with_ca(registry, call, |name, ca| {
        let below = CaCertificateRecord { certificate: record(&certificate), ocsp: Vec::new() };
        if ca.intermediates.iter().any(|known| known.certificate == below.certificate) {
            return Err(Problem::conflict("certificate_already_exists", "it is there already"));
        }
        let told = intermediate_json(name, &below)?;
        ca.intermediates.push(below);
        Ok(told)
    })?;
    Answer::created(&told)
}

fn add_responder(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let form = Form::of(call)?;
    let certificate = form.certificate()?;
    let responder = OcspRecord {
        url: form.required("url")?,
        certificate: certificate.as_ref().map(record),
        cost: form.text("cost_type")?,
    };
    call.note("ocspUrl", responder.url.as_str());
    call.note("ocspCostType", responder.cost.as_deref());
    if let Some(certificate) = &certificate {
        note_hash(call, "ocspCert", certificate);
    }
    let told = with_ca(registry, call, |name, ca| {
        if ca.top.ocsp.iter().any(|known| known.url == responder.url) {
            return Err(Problem::conflict("ocsp_responder_exists", "it is there already"));
        }
        let told = responder_json(name, &responder);
        ca.top.ocsp.push(responder);
        Ok(told)
    })?;
    Answer::created(&told)
}

fn note_tsa(call: &Call, name: &str, tsa: &TsaRecord) -> Result<(), Problem> {
    call.note("tsaId", ids::number(TSA, name));
    call.note("tsaName", name);
    call.note("tsaUrl", tsa.url.as_str());
    call.note("tsaCostType", tsa.cost.as_deref());
    note_hash(call, "tsaCert", &certificate::read(&tsa.certificate)?);
    Ok(())
}

fn add_tsa(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let form = Form::of(call)?;
    let certificate = form.required_certificate()?;
    let name = name_in(&certificate);
    let tsa = TsaRecord {
        url: form.required("url")?,
        certificate: record(&certificate),
        cost: form.text("cost_type")?,
    };
    note_tsa(call, &name, &tsa)?;
    let interval = registry.read(interval);
    let told = tsa_json(&name, &tsa, interval)?;
    edit(registry, Edit::TsaAdd { name: name.clone(), tsa }, TSA_CODES, &name)?;
    Answer::created(&told)
}

fn change_tsa(registry: &Registry, call: &Call) -> Result<Answer, Problem> {
    let form = Form::of(call)?;
    let (url, cost) = (form.text("url")?, form.text("cost_type")?);
    let certificate = form.certificate()?;
    let id = call.parameter("timestamping_service_id");
    let codes = Codes { missing: "timestamping_authority_not_found", ..TSA_CODES };
    let told = edit_with(registry, codes, id, |state| {
        let named = state.tsas.iter().map(|(name, tsa)| (name.as_str(), tsa));
        let (name, old) = ids::by_number(named, TSA, id, codes.missing)?;
        let tsa = TsaRecord {
            url: url.unwrap_or_else(|| old.url.clone()),
            cost: cost.or_else(|| old.cost.clone()),
            certificate: certificate.as_ref().map_or_else(|| old.certificate.clone(), record),
        };
        note_tsa(call, name, &tsa)?;
        let told = tsa_json(name, &tsa, interval(state))?;
        let name = name.to_owned();
        Ok((vec![Edit::TsaRemove { name: name.clone() }, Edit::TsaAdd { name, tsa }], told))
    })?;
    Answer::json(&told)
}

fn interval(state: &State) -> u32 {
    state.settings.timestamping_interval_seconds
}
