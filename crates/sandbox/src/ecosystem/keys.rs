//! The members' keys: made in parallel, since RSA keys take their time, put into each server's
//! token, and certified by the ecosystem's authority for requests as an operator would make them.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use causeway_identifiers::MemberId;
use causeway_keys::{KeyKind, KeyPair, SoftwareToken, Usage};
use causeway_pki::Certificate;
use causeway_pki::issue::{RequestTemplate, SubjectAltName};
use causeway_trust_services::Purpose;

use super::authorities::{Authorities, PROFILE};
use super::registry::make_token;
use crate::SandboxError;
use crate::options::Options;
use crate::world::{Party, ServerPlan};

/// How many keys some servers need: one for authentication each, and one to sign with for each member.
pub(crate) fn needed(servers: &[ServerPlan]) -> usize {
    servers.iter().map(|server| 1 + server.parties.len()).sum()
}

/// Makes so many keys, as many at once as there are cores, and says after each how many there are.
///
/// On threads of their own: a runtime waits for its blocking tasks when it ends, and nobody who ends the
/// program meanwhile wants to wait for keys.
pub(crate) async fn make(
    count: usize,
    kind: KeyKind,
    told: impl Fn(usize),
) -> Result<Vec<KeyPair>, SandboxError> {
    let threads = std::thread::available_parallelism().map_or(2, NonZero::get).min(count);
    let (send, mut made) = tokio::sync::mpsc::unbounded_channel();
    let left = Arc::new(AtomicUsize::new(count));
    for _ in 0..threads {
        let (send, left) = (send.clone(), Arc::clone(&left));
        let one_more = move || {
            let take = |left: usize| left.checked_sub(1);
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
        };
        let work = move || {
            while !send.is_closed() && one_more() {
                // An error means that nobody waits any more.
                let _ = send.send(KeyPair::generate(kind));
            }
        };
        std::thread::Builder::new()
            .name("keys".to_owned())
            .spawn(work)
            .map_err(SandboxError::part("keys"))?;
    }
    drop(send);
    let mut keys = Vec::with_capacity(count);
    while let Some(key) = made.recv().await {
        keys.push(key.map_err(SandboxError::part("keys"))?);
        told(keys.len());
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
