//! From a change to the rows that it writes, under the rules.

use causeway_globalconf::Anchor;
use causeway_globalconf::shared::CsrFormat;
use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_pki::profile::CertificateProfile;
use serde::Serialize;

use super::checks::{check_cost, choose, host, label, legal, readable, seconds, text, url};
use super::{Edit, EditError, SERVER_OWNERS};
use crate::records::{
    AuthCertificateRecord, CaCertificateRecord, CaRecord, CertificateRecord, DescriptionRecord,
    FederationRecord, Key, MemberRecord, OcspRecord, ServerRecord, Settings, State,
    SubsystemRecord, TsaRecord,
};
use crate::store::Change;

type Plan = Result<Vec<Change>, EditError>;

/// The rows that a change writes, if the rules allow it.
pub(crate) fn plan(state: &State, edit: Edit) -> Plan {
    match edit {
        Edit::MemberClassAdd { code, description } => {
            new(state.classes.contains_key(&code), || format!("a member class {code}"))?;
            legal("member class", &code)?;
            text("description", &description)?;
            put(Key::MemberClass(code), &DescriptionRecord { description })
        }
        Edit::MemberClassDescribe { code, description } => {
            known(state.classes.contains_key(&code), || format!("member class {code}"))?;
            text("description", &description)?;
            put(Key::MemberClass(code), &DescriptionRecord { description })
        }
        Edit::MemberClassRemove { code } => {
            known(state.classes.contains_key(&code), || format!("member class {code}"))?;
            let user = state.members.keys().find(|id| id.class() == code);
            unused(user, &format!("member class {code}"), "remove its members first")?;
            Ok(vec![delete(Key::MemberClass(code))])
        }
        Edit::MemberAdd { id, name } => add_member(state, id, name),
        Edit::MemberRename { id, name } => {
            member(state, &id)?;
            text("name", &name)?;
            put(Key::Member(id), &MemberRecord { name })
        }
        Edit::MemberRemove { id } => remove_member(state, id),
        Edit::SubsystemAdd { id, name } => add_subsystem(state, id, name),
        Edit::SubsystemRename { id, name } => {
            client(state, &id)?;
            name.iter().try_for_each(|name| text("name", name))?;
            put(Key::Subsystem(id), &SubsystemRecord { name })
        }
        Edit::SubsystemRemove { id } => remove_subsystem(state, id),
        Edit::ServerAdd { id, address } => add_server(state, id, address),
        Edit::ServerAddress { id, address } => {
            host(&address)?;
            let address = Some(address);
            let record = ServerRecord { address, ..server(state, &id)?.clone() };
            put(Key::Server(id), &record)
        }
        Edit::ServerMaintenance { id, on, message } => {
            message.iter().try_for_each(|m| text("message", m))?;
            let maintenance = on.then(|| message.unwrap_or_default());
            let record = ServerRecord { maintenance, ..server(state, &id)?.clone() };
            put(Key::Server(id), &record)
        }
        Edit::ServerRemove { id } => {
            server(state, &id)?;
            let certificates = state.auth_certificates.keys().filter(|(server, _)| *server == id);
            let clients = state.clients.keys().filter(|(server, _)| *server == id);
            let mut changes: Vec<Change> = certificates
                .map(|(server, hash)| delete(Key::AuthCertificate(server.clone(), hash.clone())))
                .chain(clients.map(|(s, client)| delete(Key::Client(s.clone(), client.clone()))))
                .collect();
            changes.push(delete(Key::Server(id)));
            Ok(changes)
        }
        Edit::AuthCertificateAdd { server, certificate } => {
            add_auth_certificate(state, server, certificate)
        }
        Edit::AuthCertificateRemove { server: id, sha256 } => {
            server(state, &id)?;
            let hash = sha256.replace(':', "").to_ascii_lowercase();
            let key = (id.clone(), hash.clone());
            known(state.auth_certificates.contains_key(&key), || {
                format!("authentication certificate {hash} of {id}")
            })?;
            Ok(vec![delete(Key::AuthCertificate(id, hash))])
        }
        Edit::ClientAdd { server: id, client: c } => add_client(state, id, c),
        Edit::ClientRemove { server: id, client: c } => {
            server(state, &id)?;
            known(state.clients.contains_key(&(id.clone(), c.clone())), || {
                format!("client {c} of {id}")
            })?;
            Ok(vec![delete(Key::Client(id, c))])
        }
        Edit::GroupAdd { code, description } => {
            not_reserved(&code)?;
            new(state.groups.contains_key(&code), || format!("a group {code}"))?;
            legal("group code", &code)?;
            text("description", &description)?;
            put(Key::Group(code), &DescriptionRecord { description })
        }
        Edit::GroupDescribe { code, description } => {
            not_reserved(&code)?;
            group(state, &code)?;
            text("description", &description)?;
            put(Key::Group(code), &DescriptionRecord { description })
        }
        Edit::GroupRemove { code } => {
            not_reserved(&code)?;
            group(state, &code)?;
            let members = state.group_members.iter().filter(|(group, _)| *group == code);
            let mut changes: Vec<Change> = members
                .map(|(group, member)| delete(Key::GroupMember(group.clone(), member.clone())))
                .collect();
            changes.push(delete(Key::Group(code)));
            Ok(changes)
        }
        Edit::GroupMemberAdd { group: code, client: c } => {
            not_reserved(&code)?;
            group(state, &code)?;
            if c.instance() == state.settings.instance {
                client(state, &c)?;
            }
            new(state.group_members.contains(&(code.clone(), c.clone())), || {
                format!("{c} in group {code}")
            })?;
            put(Key::GroupMember(code, c), &())
        }
        Edit::GroupMemberRemove { group: code, client: c } => {
            not_reserved(&code)?;
            group(state, &code)?;
            known(state.group_members.contains(&(code.clone(), c.clone())), || {
                format!("{c} in group {code}")
            })?;
            Ok(vec![delete(Key::GroupMember(code, c))])
        }
        Edit::CaAdd { name, ca } => add_ca(state, name, *ca),
        Edit::CaRemove { name } => {
            known(state.cas.contains_key(&name), || format!("certification service '{name}'"))?;
            Ok(vec![delete(Key::Ca(name))])
        }
        Edit::TsaAdd { name, tsa } => add_tsa(state, name, tsa),
        Edit::TsaRemove { name } => {
            known(state.tsas.contains_key(&name), || format!("timestamping authority '{name}'"))?;
            Ok(vec![delete(Key::Tsa(name))])
        }
        Edit::FederationAdd { anchor } => add_federation(state, anchor),
        Edit::FederationRemove { instance } => {
            known(state.federations.contains_key(&instance), || {
                format!("federation with {instance}")
            })?;
            Ok(vec![delete(Key::Federation(instance))])
        }
        Edit::ManagementSet { provider, registration_url, registration_certificate } => {
            own_instance(state, provider.instance())?;
            client(state, &provider)?;
            registration_url.iter().try_for_each(|u| url(u))?;
            registration_certificate.iter().try_for_each(|c| readable(c).map(drop))?;
            let settings = Settings {
                management_provider: Some(provider),
                registration_url,
                registration_certificate,
                ..state.settings.clone()
            };
            put(Key::Settings, &settings)
        }
        Edit::PolicySet {
            ocsp_freshness_seconds,
            timestamping_interval_seconds,
            ocsp_fetch_interval_seconds,
            verify_next_update,
            monitoring_client,
        } => {
            let old = state.settings.clone();
            let settings = Settings {
                ocsp_freshness_seconds: seconds(ocsp_freshness_seconds)?
                    .unwrap_or(old.ocsp_freshness_seconds),
                timestamping_interval_seconds: seconds(timestamping_interval_seconds)?
                    .unwrap_or(old.timestamping_interval_seconds),
                ocsp_fetch_interval_seconds: seconds(ocsp_fetch_interval_seconds)?
                    .or(old.ocsp_fetch_interval_seconds),
                verify_next_update: verify_next_update.or(old.verify_next_update),
                monitoring_client: monitoring_client.or(old.monitoring_client.clone()),
                ..old
            };
            put(Key::Settings, &settings)
        }
    }
}

fn add_member(state: &State, id: MemberId, name: String) -> Plan {
    own_instance(state, id.instance())?;
    if !state.classes.contains_key(id.class()) {
        let next = format!(
            "add it: `central-registry member-class add {} --description DESCRIPTION`",
            id.class()
        );
        return Err(EditError::Missing(format!("member class {}", id.class()), next));
    }
    new(state.members.contains_key(&id), || format!("a member {id}"))?;
    legal("member code", id.code())?;
    text("name", &name)?;
    put(Key::Member(id), &MemberRecord { name })
}

fn remove_member(state: &State, id: MemberId) -> Plan {
    member(state, &id)?;
    let subsystem = state.subsystems.keys().find(|subsystem| *subsystem.member() == id);
    unused(subsystem, &id.to_string(), "remove its subsystems first")?;
    let server = state.servers.keys().find(|server| *server.owner() == id);
    unused(server, &id.to_string(), "remove its security servers first")?;
    let client = id.as_client();
    let mut changes = drop_client(state, &client)?;
    changes.push(delete(Key::Member(id)));
    Ok(changes)
}

fn add_subsystem(state: &State, id: ClientId, name: Option<String>) -> Plan {
    let Some(code) = id.subsystem_code() else {
        let next = "name it INSTANCE/CLASS/CODE/SUBSYSTEM".to_owned();
        return Err(EditError::Invalid(format!("{id} is not a subsystem"), next));
    };
    member(state, id.member())?;
    new(state.subsystems.contains_key(&id), || format!("a subsystem {id}"))?;
    legal("subsystem code", code)?;
    name.iter().try_for_each(|name| text("name", name))?;
    put(Key::Subsystem(id), &SubsystemRecord { name })
}

fn remove_subsystem(state: &State, id: ClientId) -> Plan {
    known(state.subsystems.contains_key(&id), || format!("subsystem {id}"))?;
    let mut changes = drop_client(state, &id)?;
    changes.push(delete(Key::Subsystem(id)));
    Ok(changes)
}

/// What goes with a client that is removed: its places in groups. Registrations must go first.
fn drop_client(state: &State, client: &ClientId) -> Plan {
    let server = state.clients.keys().find(|(_, c)| c == client).map(|(server, _)| server);
    unused(
        server,
        &client.to_string(),
        "remove its registrations first: `central-registry client remove SERVER CLIENT`",
    )?;
    for (user, what) in [
        (&state.settings.management_provider, "the management services"),
        (&state.settings.monitoring_client, "monitoring"),
    ] {
        let user = user.iter().find(|user| *user == client).map(|_| what);
        unused(user, &client.to_string(), "name another client for them first")?;
    }
    let groups = state.group_members.iter().filter(|(_, c)| c == client);
    Ok(groups.map(|(code, c)| delete(Key::GroupMember(code.clone(), c.clone()))).collect())
}

fn add_server(state: &State, id: SecurityServerId, address: String) -> Plan {
    member(state, id.owner())?;
    new(state.servers.contains_key(&id), || format!("a security server {id}"))?;
    legal("server code", id.code())?;
    host(&address)?;
    put(Key::Server(id), &ServerRecord { address: Some(address), maintenance: None })
}

fn add_auth_certificate(state: &State, id: SecurityServerId, record: CertificateRecord) -> Plan {
    server(state, &id)?;
    let certificate = readable(&record)?;
    if !certificate.is_authentication_certificate() {
        let why = format!("{} is not an authentication certificate", certificate.subject_rfc2253());
        let next =
            "take the certificate that was issued for authentication, not the one for signing";
        return Err(EditError::Invalid(why, next.into()));
    }
    let hash = hex::encode(certificate.sha256());
    if let Some((holder, _)) = state.auth_certificates.keys().find(|(_, known)| *known == hash) {
        let what = format!("this certificate, registered for {holder}");
        return Err(EditError::Exists(what, "nothing, if that is the server you mean".into()));
    }
    // Stored as DER, whatever the form in which it came.
    let certificate = CertificateRecord((&certificate).into());
    put(Key::AuthCertificate(id, hash), &AuthCertificateRecord { certificate })
}

fn add_client(state: &State, id: SecurityServerId, c: ClientId) -> Plan {
    server(state, &id)?;
    client(state, &c)?;
    let owner = c == id.owner().as_client();
    new(owner || state.clients.contains_key(&(id.clone(), c.clone())), || {
        format!("{c} as client of {id}{}", if owner { ", since it is the owner" } else { "" })
    })?;
    put(Key::Client(id, c), &())
}

fn add_ca(state: &State, name: String, mut ca: CaRecord) -> Plan {
    new(state.cas.contains_key(&name), || format!("a certification service '{name}'"))?;
    label(&name)?;
    match CertificateProfile::from_class_name(&ca.profile) {
        Some(profile) if !ca.profile.contains('.') => ca.profile = profile.class_name(),
        None if !ca.profile.contains('.') => {
            let next = "take one that X-Road knows, e.g. BasicCertificateProfileInfoProvider, or a full class name";
            let why = format!("the certificate profile '{}' is not known", ca.profile);
            return Err(EditError::Invalid(why, next.into()));
        }
        _ => {}
    }
    for record in std::iter::once(&mut ca.top).chain(&mut ca.intermediates) {
        check_ca(record)?;
    }
    ca.acme_url.iter().try_for_each(|u| url(u))?;
    if ca.csr_format.as_deref().is_some_and(|format| CsrFormat::from_name(format).is_none()) {
        return Err(choose("the request format", "PEM or DER"));
    }
    put(Key::Ca(name), &ca)
}

fn check_ca(record: &mut CaCertificateRecord) -> Result<(), EditError> {
    let certificate = readable(&record.certificate)?;
    if !certificate.is_ca() {
        let why = format!("{} is not a certification authority", certificate.subject_rfc2253());
        let next = "take the certificate that signs the members' certificates".to_owned();
        return Err(EditError::Invalid(why, next));
    }
    record.certificate = CertificateRecord((&certificate).into());
    for OcspRecord { url: address, certificate, cost } in &mut record.ocsp {
        url(address)?;
        check_cost(cost.as_deref())?;
        if let Some(record) = certificate {
            *record = CertificateRecord((&readable(record)?).into());
        }
    }
    Ok(())
}

fn add_tsa(state: &State, name: String, mut tsa: TsaRecord) -> Plan {
    new(state.tsas.contains_key(&name), || format!("a timestamping authority '{name}'"))?;
    label(&name)?;
    url(&tsa.url)?;
    check_cost(tsa.cost.as_deref())?;
    tsa.certificate = CertificateRecord((&readable(&tsa.certificate)?).into());
    put(Key::Tsa(name), &tsa)
}

fn add_federation(state: &State, anchor: String) -> Plan {
    let parsed = Anchor::parse(anchor.as_bytes()).map_err(|e| {
        EditError::Invalid(e.to_string(), "ask the other instance's operator for its anchor".into())
    })?;
    legal("instance identifier", &parsed.instance)?;
    if parsed.instance == state.settings.instance {
        let why = "the anchor is that of this very instance".to_owned();
        return Err(EditError::Invalid(why, "take the other instance's external anchor".into()));
    }
    put(Key::Federation(parsed.instance), &FederationRecord { anchor })
}

// The parts of rules.

fn put<T: Serialize>(key: Key, value: &T) -> Plan {
    let value = serde_json::to_vec(value).map_err(|e| {
        EditError::Invalid(format!("the record cannot be written: {e}"), "report this".into())
    })?;
    Ok(vec![Change::Put(key.to_bytes(), value)])
}

fn delete(key: Key) -> Change {
    Change::Delete(key.to_bytes())
}

fn new(exists: bool, what: impl FnOnce() -> String) -> Result<(), EditError> {
    if exists {
        return Err(EditError::Exists(what(), "nothing, or remove it first to add it anew".into()));
    }
    Ok(())
}

fn known(exists: bool, what: impl FnOnce() -> String) -> Result<(), EditError> {
    if exists {
        return Ok(());
    }
    Err(EditError::Missing(what(), "see what there is: `central-registry list`".into()))
}

fn unused<U: std::fmt::Display>(user: Option<U>, what: &str, next: &str) -> Result<(), EditError> {
    match user {
        None => Ok(()),
        Some(user) => Err(EditError::InUse(format!("{what} is used by {user}"), next.into())),
    }
}

fn member(state: &State, id: &MemberId) -> Result<(), EditError> {
    own_instance(state, id.instance())?;
    if state.members.contains_key(id) {
        return Ok(());
    }
    let next = format!("add it: `central-registry member add {} --name NAME`", id.to_short());
    Err(EditError::Missing(format!("member {id}"), next))
}

fn client(state: &State, id: &ClientId) -> Result<(), EditError> {
    if id.subsystem_code().is_none() {
        return member(state, id.member());
    }
    own_instance(state, id.instance())?;
    if state.knows(id) {
        return Ok(());
    }
    let next = format!("add it: `central-registry subsystem add {}`", id.to_short());
    Err(EditError::Missing(format!("subsystem {id}"), next))
}

fn server<'s>(state: &'s State, id: &SecurityServerId) -> Result<&'s ServerRecord, EditError> {
    state.servers.get(id).ok_or_else(|| {
        let next =
            format!("add it: `central-registry server add {} --address HOST`", id.to_short());
        EditError::Missing(format!("security server {id}"), next)
    })
}

fn group(state: &State, code: &str) -> Result<(), EditError> {
    if state.groups.contains_key(code) {
        return Ok(());
    }
    let next = format!("add it: `central-registry group add {code} --description DESCRIPTION`");
    Err(EditError::Missing(format!("group {code}"), next))
}

fn not_reserved(code: &str) -> Result<(), EditError> {
    if code != SERVER_OWNERS {
        return Ok(());
    }
    let why = format!("the group {SERVER_OWNERS} is kept by the registry itself");
    Err(EditError::Invalid(why, "add or remove security servers instead".into()))
}

fn own_instance(state: &State, instance: &str) -> Result<(), EditError> {
    let own = &state.settings.instance;
    if instance == own {
        return Ok(());
    }
    let why = format!("{instance} is not this registry's instance");
    Err(EditError::Invalid(why, format!("name it {own}/…")))
}
