//! Deciding on a request that waits.

use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_management::Request;
use time::OffsetDateTime;

use super::add::new_server_id;
use super::draft::Draft;
use super::error::reason;
use super::{Origin, RequestError, RequestStatus};
use crate::edit::Edit;
use crate::records::{CertificateRecord, ClientRecord, Key, State};
use crate::store::Change;

/// The rows that approving a request writes.
pub(crate) fn approve(
    state: &State,
    number: u64,
    now: OffsetDateTime,
) -> Result<Vec<Change>, RequestError> {
    let mut draft = Draft::new(state);
    carry_out(&mut draft, number, now)?;
    Ok(draft.into_changes())
}

/// The rows that declining a request writes. What the operator alone has asked for is taken back
/// instead, as at X-Road.
pub(crate) fn decline(
    state: &State,
    number: u64,
    now: OffsetDateTime,
) -> Result<Vec<Change>, RequestError> {
    let mut draft = Draft::new(state);
    let record = pending(&draft, number)?;
    let status = match (record.origin, record.partner) {
        (Origin::Registry, None) => RequestStatus::Revoked,
        _ => RequestStatus::Declined,
    };
    draft.set_status(number, status, now)?;
    Ok(draft.into_changes())
}

/// The rows that taking back a request of the operator writes.
pub(crate) fn revoke(
    state: &State,
    number: u64,
    now: OffsetDateTime,
) -> Result<Vec<Change>, RequestError> {
    let record = pending(&Draft::new(state), number)?;
    if record.origin == Origin::Registry && record.partner.is_none() {
        return decline(state, number, now);
    }
    let text = format!("request {number} is not the registry's alone");
    let next = format!("decline it: `central-registry requests decline {number}`");
    Err(RequestError::new(reason::NOT_PENDING, text, next))
}

fn pending(draft: &Draft, number: u64) -> Result<super::RequestRecord, RequestError> {
    let record = draft.request(number)?;
    match record.request {
        Request::AuthCertReg { .. } | Request::ClientReg { .. } | Request::OwnerChange { .. } => {}
        _ => {
            let text = format!("request {number} took effect when it came");
            let next = "change the records instead";
            return Err(RequestError::new(reason::NOT_SUPPORTED, text, next));
        }
    }
    if record.status.is_pending() {
        return Ok(super::RequestRecord::clone(record));
    }
    let text = format!("request {number} is {} already", record.status.name());
    Err(RequestError::new(reason::NOT_PENDING, text, "nothing"))
}

/// Makes a request that waits take effect.
pub(super) fn carry_out(
    draft: &mut Draft,
    number: u64,
    now: OffsetDateTime,
) -> Result<(), RequestError> {
    let record = std::sync::Arc::clone(draft.request(number)?);
    if !record.status.is_pending() {
        let text = format!("request {number} is {} already", record.status.name());
        return Err(RequestError::new(reason::NOT_APPROVABLE, text, "nothing"));
    }
    let other = match record.partner {
        Some(partner) => Some(draft.request(partner)?.request.clone()),
        None => None,
    };
    match &record.request {
        Request::AuthCertReg { server, address, certificate, .. } => {
            let address = address.clone().or(match other {
                Some(Request::AuthCertReg { address, .. }) => address,
                _ => None,
            });
            register_certificate(draft, server, address, certificate)?;
        }
        Request::ClientReg { server, client, subsystem_name } => {
            let name = subsystem_name.clone().or(match other {
                Some(Request::ClientReg { subsystem_name, .. }) => subsystem_name,
                _ => None,
            });
            register_client(draft, server, client, name)?;
        }
        Request::OwnerChange { server, client } => hand_over(draft, server, client)?,
        // The others take effect when they come, and never wait.
        _ => {}
    }
    draft.set_status(number, RequestStatus::Approved, now)
}

/// The server is made if need be, with its owner; the group of owners follows by itself.
fn register_certificate(
    draft: &mut Draft,
    server: &SecurityServerId,
    address: Option<String>,
    der: &[u8],
) -> Result<(), RequestError> {
    let hash = hex::encode(causeway_pki::DigestAlgorithm::Sha256.digest(der));
    if let Some((holder, _)) = draft.state().auth_certificates.keys().find(|(_, h)| *h == hash) {
        let text = format!("the certificate is registered already, for {holder}");
        let next = "decline the request";
        return Err(RequestError::new(reason::CERTIFICATE_EXISTS, text, next));
    }
    let Some(address) = address else {
        let text = format!("the request names no address of {server}");
        let next = "decline it, and let it be sent with an address";
        return Err(RequestError::new(reason::BAD_ADDRESS, text, next));
    };
    ensure_member(draft, server.owner())?;
    let id = server.clone();
    match draft.state().servers.contains_key(server) {
        true => draft.edit(Edit::ServerAddress { id, address })?,
        false => draft.edit(Edit::ServerAdd { id, address })?,
    }
    let certificate = CertificateRecord(der.to_vec().into());
    draft.edit(Edit::AuthCertificateAdd { server: server.clone(), certificate })
}

fn register_client(
    draft: &mut Draft,
    server: &SecurityServerId,
    client: &ClientId,
    name: Option<String>,
) -> Result<(), RequestError> {
    draft.server(server, reason::NO_SERVER_FOR_CLIENT)?;
    if draft.state().clients.contains_key(&(server.clone(), client.clone())) {
        let text = format!("{client} is a client of {server} already");
        return Err(RequestError::new(reason::CLIENT_EXISTS, text, "decline the request"));
    }
    ensure_member(draft, client.member())?;
    if client.subsystem_code().is_some() {
        let known = draft.state().subsystems.get(client).map(|subsystem| subsystem.name.clone());
        let id = client.clone();
        match known {
            None => draft.edit(Edit::SubsystemAdd { id, name })?,
            Some(old) if name.is_some() && name != old => {
                draft.edit(Edit::SubsystemRename { id, name })?;
            }
            Some(_) => {}
        }
    }
    draft.edit(Edit::ClientAdd { server: server.clone(), client: client.clone() })
}

/// A member that nobody has added gets its code for a name, as at X-Road, until the operator renames it.
fn ensure_member(draft: &mut Draft, id: &MemberId) -> Result<(), RequestError> {
    if draft.state().members.contains_key(id) {
        return Ok(());
    }
    if !draft.state().classes.contains_key(id.class()) {
        let text = format!("there is no member class {}", id.class());
        let next = format!(
            "add it: `central-registry member-class add {} --description DESCRIPTION`",
            id.class()
        );
        return Err(RequestError::new(reason::NO_CLASS, text, next));
    }
    draft.edit(Edit::MemberAdd { id: id.clone(), name: id.code().to_owned() })
}

/// Everything that is registered for the server goes over to its new identifier; the old owner becomes a
/// client, the new one needs no registration any more.
fn hand_over(
    draft: &mut Draft,
    server: &SecurityServerId,
    owner: &ClientId,
) -> Result<(), RequestError> {
    let record = draft.server(server, reason::NO_SERVER_NOW)?;
    if !draft.state().members.contains_key(owner.member()) {
        let text = format!("there is no member {owner}");
        return Err(RequestError::new(reason::NO_MEMBER, text, "decline the request"));
    }
    let id = new_server_id(draft.state(), server, owner)?;
    draft.put(Key::Server(id.clone()), &record)?;
    let certificates: Vec<_> = (draft.state().auth_certificates.iter())
        .filter(|((holder, _), _)| holder == server)
        .map(|((_, hash), record)| (hash.clone(), record.clone()))
        .collect();
    for (hash, record) in certificates {
        draft.put(Key::AuthCertificate(id.clone(), hash.clone()), &record)?;
        draft.delete(Key::AuthCertificate(server.clone(), hash))?;
    }
    let clients: Vec<_> = (draft.state().clients.iter())
        .filter(|((of, _), _)| of == server)
        .map(|((_, client), record)| (client.clone(), record.clone()))
        .collect();
    for (client, record) in clients {
        if client != *owner {
            draft.put(Key::Client(id.clone(), client.clone()), &record)?;
        }
        draft.delete(Key::Client(server.clone(), client))?;
    }
    draft.put(Key::Client(id, server.owner().as_client()), &ClientRecord::default())?;
    draft.delete(Key::Server(server.clone()))
}
