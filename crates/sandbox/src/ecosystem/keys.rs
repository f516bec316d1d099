//! The members' keys: made in parallel, since RSA keys take their time, put into each server's
//! token, and certified by the ecosystem's authority for requests as an operator would make them.

use std::path::Path;

use causeway_identifiers::MemberId;
use causeway_keys::{KeyKind, KeyPair, SoftwareToken, Usage};
use causeway_pki::Certificate;
use causeway_pki::issue::{RequestTemplate, SubjectAltName};
use causeway_trust_services::Purpose;
use tokio::task::JoinSet;

use super::authorities::{Authorities, PROFILE};
use super::registry::make_token;
use crate::SandboxError;
use crate::options::Options;
use crate::world::{Party, ServerPlan};

/// How many keys some servers need: one for authentication each, and one to sign with for each member.
pub(crate) fn needed(servers: &[ServerPlan]) -> usize {
    servers.iter().map(|server| 1 + server.parties.len()).sum()
}

/// Makes so many keys.
pub(crate) async fn make(count: usize, kind: KeyKind) -> Result<Vec<KeyPair>, SandboxError> {
    let mut making = JoinSet::new();
    for _ in 0..count {
        making.spawn_blocking(move || KeyPair::generate(kind));
    }
    let mut keys = Vec::with_capacity(count);
    while let Some(made) = making.join_next().await {
        let made = made.map_err(SandboxError::part("keys"))?;
        keys.push(made.map_err(SandboxError::part("keys"))?);
    }
    Ok(keys)
}

/// Gives a server its token with certified keys, taken from `keys`. Gives the authentication
/// certificate.
pub(crate) fn equip(
    plan: &ServerPlan,
    folder: &Path,
    keys: &mut Vec<KeyPair>,
    authorities: &Authorities,
    options: &Options,
) -> Result<Certificate, SandboxError> {
    let token = make_token(&folder.join("data").join("token"), &folder.join("pin"), options)?;
    let mut next = || keys.pop().ok_or_else(|| SandboxError::part("keys")("too few were made"));
    for party in &plan.parties {
        let subject = PROFILE.sign_subject(&plan.id, &party.member, party.name);
        let request = template(&subject)?;
        let member = Some(party.member.clone());
        certify(&token, &next()?, Usage::Signing, &request, member, authorities)?;
    }
    let owner = plan.parties.first().map_or("", |party: &Party| party.name);
    let host = plan.address.to_string();
    let subject = PROFILE.auth_subject(&plan.id, owner, &host);
    let request = template(&subject)?.alt_names([SubjectAltName::from_host(&host)]);
    let certificate =
        certify(&token, &next()?, Usage::Authentication, &request, None, authorities)?;
    token.activate(&certificate.sha256()).map_err(SandboxError::part(plan.name()))?;
    Ok(certificate)
}

fn template(subject: &[(&'static str, String)]) -> Result<RequestTemplate, SandboxError> {
    RequestTemplate::new(subject).map_err(SandboxError::part("certificate request"))
}

fn certify(
    token: &SoftwareToken,
    key: &KeyPair,
    usage: Usage,
    request: &RequestTemplate,
    member: Option<MemberId>,
    authorities: &Authorities,
) -> Result<Certificate, SandboxError> {
    let (label, purpose) = match usage {
        Usage::Signing => ("signing", Purpose::Signing),
        Usage::Authentication => ("authentication", Purpose::Authentication),
    };
    let failed = |error: causeway_keys::KeysError| SandboxError::part("token")(error);
    let id = token.import_key(key, label, usage).map_err(failed)?;
    let request = token.certificate_request(&id, request, member).map_err(failed)?;
    let certificate = authorities.issue(&request, purpose)?;
    token.import_certificate(certificate.clone()).map_err(failed)?;
    Ok(certificate)
}
