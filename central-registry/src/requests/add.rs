//! Taking a request in: the checks of each kind in X-Road's order, and what takes effect at once.

use std::sync::Arc;

use causeway_identifiers::{ClientId, SecurityServerId};
use causeway_management::Request;
use causeway_pki::Certificate;
use time::OffsetDateTime;

use super::draft::Draft;
use super::error::reason;
use super::{Approval, Origin, RequestError, RequestRecord, RequestStatus};
use crate::edit::Edit;
use crate::records::{ClientRecord, Key, ServerRecord, State};

/// Who asks for it, and when.
struct Asked<'a> {
    request: &'a Request,
    origin: Origin,
    comments: Option<&'a str>,
    now: OffsetDateTime,
}

impl Asked<'_> {
    fn record(&self, status: RequestStatus, change: Option<String>) -> RequestRecord {
        let comments: Vec<&str> = change.as_deref().into_iter().chain(self.comments).collect();
        RequestRecord {
            request: self.request.clone(),
            origin: self.origin,
            received: self.now,
            status,
            decided: (!status.is_pending()).then_some(self.now),
            partner: None,
            comments: (!comments.is_empty()).then(|| comments.join(" ")),
        }
    }
}

pub(super) fn add(
    draft: &mut Draft,
    request: &Request,
    origin: Origin,
    comments: Option<&str>,
    now: OffsetDateTime,
) -> Result<u64, RequestError> {
    let asked = Asked { request, origin, comments, now };
    match request {
        Request::AuthCertReg { server, certificate, .. } => {
            add_auth_certificate(draft, &asked, server, certificate)
        }
        Request::AuthCertDeletion { server, certificate } => {
            delete_auth_certificate(draft, &asked, server, certificate)
        }
        Request::ClientReg { server, client, subsystem_name } => {
            add_client(draft, &asked, server, client, subsystem_name.as_deref())
        }
        Request::ClientDeletion { server, client } => delete_client(draft, &asked, server, client),
        Request::OwnerChange { server, client } => change_owner(draft, &asked, server, client),
        Request::ClientDisable { server, client } => {
            draft.require_client(server, client)?;
            if draft.state().settings.management_provider.as_ref() == Some(client) {
                let text = format!("{client} provides the management services");
                let next = "let another client provide them first";
                return Err(RequestError::new(reason::PROVIDER_STAYS, text, next));
            }
            switch_client(draft, &asked, server, client, true)
        }
        Request::ClientEnable { server, client } => {
            draft.require_client(server, client)?;
            switch_client(draft, &asked, server, client, false)
        }
        Request::ClientRename { server, client, subsystem_name } => {
            rename(draft, &asked, server, client, subsystem_name)
        }
        Request::AddressChange { server, address } => {
            if address.trim().is_empty() {
                let next = "name the host at which other servers reach it";
                return Err(RequestError::new(reason::BAD_ADDRESS, "the address is empty", next));
            }
            let old = draft.server(server, reason::NO_SERVER)?.address.unwrap_or_default();
            draft.edit(Edit::ServerAddress { id: server.clone(), address: address.clone() })?;
            done(draft, &asked, Some(format!("Changing from '{old}'.")))
        }
        Request::MaintenanceModeEnable { server, message } => {
            begin_maintenance(draft, &asked, server, message.as_deref())
        }
        Request::MaintenanceModeDisable { server } => {
            let record = draft.server(server, reason::NO_SERVER)?;
            if record.maintenance.is_none() {
                let text = format!("{server} is in service");
                return Err(RequestError::new(reason::NOT_IN_MAINTENANCE, text, "nothing"));
            }
            draft
                .put(Key::Server(server.clone()), &ServerRecord { maintenance: None, ..record })?;
            done(draft, &asked, None)
        }
    }
}

/// Whether a request that was taken needs no operator (`canAutoApprove`).
pub(super) fn approves_itself(
    draft: &Draft,
    number: u64,
    approval: &Approval,
) -> Result<bool, RequestError> {
    let record = draft.request(number)?;
    let state = draft.state();
    let by_server = record.origin == Origin::SecurityServer;
    let both = record.status == RequestStatus::SubmittedForApproval;
    let member = |client: &ClientId| state.members.contains_key(client.member());
    Ok(match &record.request {
        Request::AuthCertReg { server, .. } => {
            (approval.auth_certificates || both)
                && by_server
                && state.members.contains_key(server.owner())
        }
        Request::ClientReg { server, client, .. } => {
            (approval.clients || both)
                && by_server
                && state.servers.contains_key(server)
                && member(client)
        }
        Request::OwnerChange { client, .. } => approval.owner_changes && member(client),
        _ => false,
    })
}

/// Keeps a request that has taken effect.
fn done(draft: &mut Draft, asked: &Asked<'_>, change: Option<String>) -> Result<u64, RequestError> {
    draft.keep(&asked.record(RequestStatus::Approved, change))
}

fn add_auth_certificate(
    draft: &mut Draft,
    asked: &Asked<'_>,
    server: &SecurityServerId,
    der: &[u8],
) -> Result<u64, RequestError> {
    if asked.origin == Origin::Registry && !draft.state().members.contains_key(server.owner()) {
        let text = format!("the owner of {server} is not a member");
        return Err(RequestError::new(reason::NO_OWNER, text, "add the member first"));
    }
    let hash = auth_certificate(draft.state(), der, asked.now)?;
    if let Some((holder, _)) = draft.state().auth_certificates.keys().find(|(_, h)| *h == hash) {
        let text = format!("the certificate is registered already, for {holder}");
        return Err(RequestError::new(
            reason::CERTIFICATE_EXISTS,
            text,
            "nothing, if that is meant",
        ));
    }
    let pending = draft.find(|record| {
        record.status.is_pending()
            && matches!(&record.request, Request::AuthCertReg { certificate, .. } if certificate == der)
    });
    pair(draft, asked, pending, |other| other.request.server() == server, None)
}

/// Judges an authentication certificate; gives its SHA-256 in hexadecimal.
fn auth_certificate(
    state: &State,
    der: &[u8],
    now: OffsetDateTime,
) -> Result<String, RequestError> {
    let refuse = |why: String| {
        let next = "ask for a certificate of an approved authority";
        RequestError::new(reason::BAD_CERTIFICATE, why, next)
    };
    let certificate = Certificate::from_der(der).map_err(|e| refuse(e.to_string()))?;
    let subject = certificate.subject_rfc2253();
    if !certificate.is_authentication_certificate() {
        return Err(refuse(format!("{subject} is not an authentication certificate")));
    }
    let approved =
        state.cas.values().flat_map(|ca| std::iter::once(&ca.top).chain(&ca.intermediates));
    let issued = approved
        .filter_map(|ca| ca.certificate.0.read().ok())
        .any(|ca| certificate.is_issued_by(&ca));
    if !issued {
        return Err(refuse(format!("no approved authority has issued {subject}")));
    }
    if !certificate.is_valid_at(now) {
        let (from, to) = (certificate.not_before(), certificate.not_after());
        return Err(refuse(format!("{subject} is valid from {from} to {to}")));
    }
    Ok(hex::encode(certificate.sha256()))
}

/// Keeps a registration: waiting, or together with the one that the other side has sent.
fn pair(
    draft: &mut Draft,
    asked: &Asked<'_>,
    pending: Option<(u64, Arc<RequestRecord>)>,
    same: impl Fn(&RequestRecord) -> bool,
    change: Option<String>,
) -> Result<u64, RequestError> {
    let Some((number, other)) = pending else {
        return draft.keep(&asked.record(RequestStatus::Waiting, change));
    };
    if other.partner.is_some() || other.origin == asked.origin || !same(&other) {
        let text = format!("request {number} asks for it already");
        let next = format!("decide on that one: `central-registry requests show {number}`");
        return Err(RequestError::new(reason::EXISTS, text, next));
    }
    let mut record = asked.record(RequestStatus::SubmittedForApproval, change);
    record.partner = Some(number);
    let own = draft.keep(&record)?;
    let mut other = RequestRecord::clone(&other);
    other.partner = Some(own);
    other.status = RequestStatus::SubmittedForApproval;
    draft.put(Key::Request(number), &other)?;
    Ok(own)
}

fn delete_auth_certificate(
    draft: &mut Draft,
    asked: &Asked<'_>,
    server: &SecurityServerId,
    der: &[u8],
) -> Result<u64, RequestError> {
    let hash = Certificate::from_der(der).map(|c| hex::encode(c.sha256())).unwrap_or_default();
    let holder = draft.state().auth_certificates.keys().find(|(_, h)| *h == hash);
    match holder.map(|(holder, _)| holder.clone()) {
        Some(holder) if holder == *server => draft.delete(Key::AuthCertificate(holder, hash))?,
        Some(_) => {
            let text = format!("the certificate is not registered for {server}");
            return Err(RequestError::new(reason::OTHER_SERVER, text, "name the right server"));
        }
        None => {
            let waiting = draft.find(|record| {
                record.status == RequestStatus::Waiting
                    && matches!(
                        &record.request,
                        Request::AuthCertReg { server: s, certificate, .. }
                            if s == server && certificate == der
                    )
            });
            let Some((number, _)) = waiting else {
                let text = format!("the certificate is not registered for {server}");
                return Err(RequestError::new(reason::NO_CERTIFICATE, text, "nothing"));
            };
            draft.set_status(number, RequestStatus::Revoked, asked.now)?;
        }
    }
    done(draft, asked, None)
}

fn add_client(
    draft: &mut Draft,
    asked: &Asked<'_>,
    server: &SecurityServerId,
    client: &ClientId,
    name: Option<&str>,
) -> Result<u64, RequestError> {
    let state = draft.state();
    if server.owner().as_client() == *client {
        let text = format!("{client} owns {server}, and is its client without registration");
        return Err(RequestError::new(reason::CLIENT_IS_OWNER, text, "nothing"));
    }
    if asked.origin == Origin::Registry {
        draft.server(server, reason::NO_SERVER_NOW)?;
        if !state.members.contains_key(client.member()) {
            let text = format!("there is no member {}", client.member());
            return Err(RequestError::new(reason::NO_MEMBER, text, "add the member first"));
        }
    }
    if state.clients.contains_key(&(server.clone(), client.clone())) {
        let text = format!("{client} is a client of {server} already");
        return Err(RequestError::new(reason::CLIENT_EXISTS, text, "nothing"));
    }
    // What could not be approved is not to wait, nor to be shown.
    if name.is_some_and(|name| name.len() > 1000 || name.contains(char::is_control)) {
        let next = "keep to 1000 bytes without control characters";
        return Err(RequestError::new(reason::INVALID, "the name is not allowed", next));
    }
    let old = state.subsystems.get(client).and_then(|subsystem| subsystem.name.clone());
    let pending = draft.find(|record| {
        record.status.is_pending()
            && matches!(
                &record.request,
                Request::ClientReg { server: s, client: c, .. } if s == server && c == client
            )
    });
    pair(draft, asked, pending, |_| true, renamed(old.as_deref(), name))
}

fn delete_client(
    draft: &mut Draft,
    asked: &Asked<'_>,
    server: &SecurityServerId,
    client: &ClientId,
) -> Result<u64, RequestError> {
    let key = (server.clone(), client.clone());
    if draft.state().clients.contains_key(&key) {
        draft.delete(Key::Client(key.0, key.1))?;
        return done(draft, asked, None);
    }
    let of = |status: RequestStatus| {
        draft.find(|record| {
            record.status == status
                && matches!(
                    &record.request,
                    Request::ClientReg { server: s, client: c, .. } if s == server && c == client
                )
        })
    };
    match (of(RequestStatus::Waiting), of(RequestStatus::Declined)) {
        (Some((number, _)), _) => draft.set_status(number, RequestStatus::Revoked, asked.now)?,
        // The server gives up what was declined.
        (None, Some(_)) => {}
        (None, None) => {
            let text = format!("{client} is not registered at {server}");
            return Err(RequestError::new(reason::NO_REGISTRATION, text, "nothing"));
        }
    }
    done(draft, asked, None)
}

fn change_owner(
    draft: &mut Draft,
    asked: &Asked<'_>,
    server: &SecurityServerId,
    client: &ClientId,
) -> Result<u64, RequestError> {
    let pending = draft.find(|record| {
        record.status.is_pending()
            && matches!(&record.request, Request::OwnerChange { server: s, .. } if s == server)
    });
    if let Some((number, _)) = pending {
        let text = format!("request {number} asks for another owner of {server} already");
        let next = format!("decide on that one: `central-registry requests show {number}`");
        return Err(RequestError::new(reason::EXISTS, text, next));
    }
    if client.subsystem_code().is_some() {
        let text = format!("{client} is a subsystem, and cannot own a server");
        return Err(RequestError::new(reason::OWNER_NOT_MEMBER, text, "name a member"));
    }
    draft.server(server, reason::NO_SERVER_NOW)?;
    // In X-Road's order: the present owner is no client, unless the records say so too.
    if !draft.state().clients.contains_key(&(server.clone(), client.clone())) {
        let text = format!("{client} is not a client of {server}");
        return Err(RequestError::new(reason::OWNER_NOT_CLIENT, text, "register it there first"));
    }
    if server.owner().as_client() == *client {
        let text = format!("{client} owns {server} already");
        return Err(RequestError::new(reason::OWNER_ALREADY, text, "nothing"));
    }
    new_server_id(draft.state(), server, client)?;
    draft.keep(&asked.record(RequestStatus::Waiting, None))
}

/// The identifier of a server under its new owner, when it is free.
pub(super) fn new_server_id(
    state: &State,
    server: &SecurityServerId,
    owner: &ClientId,
) -> Result<SecurityServerId, RequestError> {
    let id = SecurityServerId::new(owner.member().clone(), server.code()).map_err(|e| {
        RequestError::new(reason::INVALID, e.to_string(), "give the server another code")
    })?;
    if state.servers.contains_key(&id) {
        let text = format!("{owner} has a security server {} already", server.code());
        let next = "remove that server, or give one of them another code";
        return Err(RequestError::new(reason::SERVER_CODE_EXISTS, text, next));
    }
    Ok(id)
}

fn switch_client(
    draft: &mut Draft,
    asked: &Asked<'_>,
    server: &SecurityServerId,
    client: &ClientId,
    disabled: bool,
) -> Result<u64, RequestError> {
    draft.put(Key::Client(server.clone(), client.clone()), &ClientRecord { disabled })?;
    done(draft, asked, None)
}

fn rename(
    draft: &mut Draft,
    asked: &Asked<'_>,
    server: &SecurityServerId,
    client: &ClientId,
    name: &str,
) -> Result<u64, RequestError> {
    if client.subsystem_code().is_none() {
        let text = format!("{client} is not a subsystem");
        return Err(RequestError::new(reason::NOT_SUBSYSTEM, text, "name a subsystem"));
    }
    if name.trim().is_empty() {
        return Err(RequestError::new(reason::BAD_NAME, "the name is empty", "give a name"));
    }
    draft.require_client(server, client)?;
    let old = draft.state().subsystems.get(client).and_then(|subsystem| subsystem.name.clone());
    draft.edit(Edit::SubsystemRename { id: client.clone(), name: Some(name.to_owned()) })?;
    done(draft, asked, renamed(old.as_deref(), Some(name)))
}

fn renamed(old: Option<&str>, new: Option<&str>) -> Option<String> {
    match (old.filter(|n| !n.is_empty()), new.filter(|n| !n.is_empty())) {
        (Some(old), Some(new)) if old != new => {
            Some(format!("Changing subsystem name from '{old}' to '{new}'."))
        }
        _ => None,
    }
}

fn begin_maintenance(
    draft: &mut Draft,
    asked: &Asked<'_>,
    server: &SecurityServerId,
    message: Option<&str>,
) -> Result<u64, RequestError> {
    if let Some(provider) = draft.state().settings.management_provider.clone()
        && draft.state().clients.contains_key(&(server.clone(), provider.clone()))
    {
        let text = format!("{server} serves {provider}, which provides the management services");
        let next = "let a client of another server provide them first";
        return Err(RequestError::new(reason::PROVIDER_SERVES, text, next));
    }
    if draft.server(server, reason::NO_SERVER)?.maintenance.is_some() {
        let text = format!("{server} is out of service already");
        return Err(RequestError::new(reason::IN_MAINTENANCE, text, "nothing"));
    }
    // Lines of their own would make entries of their own in the logs of others.
    let message = message.map(|m| m.split(char::is_control).collect::<Vec<_>>().join(" "));
    draft.edit(Edit::ServerMaintenance { id: server.clone(), on: true, message })?;
    done(draft, asked, None)
}
