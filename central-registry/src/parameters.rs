//! From the records to the parameters that are published.

use std::collections::{BTreeMap, BTreeSet};

use causeway_globalconf::shared::{
    AcmeServer, ApprovedCa, ApprovedTsa, CaInfo, ConfigurationSource, CostType, CsrFormat,
    GlobalGroup, GlobalSettings, Maintenance, Member, MemberClass, OcspResponder, Subsystem,
};
use causeway_globalconf::{
    Anchor, AnchorSource, AuthCertificateHash, EncodedCertificate, FetchInterval,
    ManagementService, MonitoringParameters, NextUpdate, PrivateParameters, SecurityServer,
    SharedParameters,
};
use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use time::OffsetDateTime;

use crate::edit::SERVER_OWNERS;
use crate::records::{CaCertificateRecord, CaRecord, ConfigurationKind, State};

/// The instance's shared parameters.
pub(crate) fn shared(state: &State, public_addresses: &[String]) -> SharedParameters {
    let certificates = |kind| verification_certificates(state, kind);
    let source = |address: &String| ConfigurationSource {
        address: address.clone(),
        internal_certificates: certificates(ConfigurationKind::Internal),
        external_certificates: certificates(ConfigurationKind::External),
    };
    SharedParameters {
        instance: state.settings.instance.clone(),
        sources: public_addresses.iter().map(source).collect(),
        approved_cas: state.cas.iter().map(|(name, ca)| approved_ca(name, ca)).collect(),
        approved_tsas: state
            .tsas
            .iter()
            .map(|(name, tsa)| ApprovedTsa {
                name: name.clone(),
                url: tsa.url.clone(),
                certificate: tsa.certificate.0.clone(),
                cost: Some(cost(tsa.cost.as_deref())),
            })
            .collect(),
        members: members(state),
        security_servers: servers(state),
        global_groups: groups(state),
        settings: GlobalSettings {
            member_classes: state
                .classes
                .iter()
                .map(|(code, class)| MemberClass {
                    code: code.clone(),
                    description: class.description.clone(),
                })
                .collect(),
            ocsp_freshness_seconds: state.settings.ocsp_freshness_seconds,
        },
    }
}

/// The instance's private parameters; `None` while nobody provides the management services, without
/// which the document cannot be written.
pub(crate) fn private(state: &State, public_addresses: &[String]) -> Option<PrivateParameters> {
    let settings = &state.settings;
    let registration_url = settings.registration_url.clone().or_else(|| {
        let host = public_addresses.first()?;
        let host = host
            .rsplit_once(':')
            .filter(|(name, _)| !name.contains(':'))
            .map_or(&**host, |(name, _)| name);
        Some(format!("https://{host}:4001/managementservice/"))
    })?;
    let anchors = state.federations.values();
    Some(PrivateParameters {
        instance: settings.instance.clone(),
        anchors: anchors.filter_map(|f| Anchor::parse(f.anchor.as_bytes()).ok()).collect(),
        management: ManagementService {
            registration_url,
            registration_certificate: settings.registration_certificate.clone().map(|c| c.0),
            provider: settings.management_provider.clone()?,
        },
        timestamping_interval_seconds: settings.timestamping_interval_seconds,
    })
}

/// Who may ask for monitoring data, when somebody may.
pub(crate) fn monitoring(state: &State) -> Option<MonitoringParameters> {
    let client = state.settings.monitoring_client.clone()?;
    Some(MonitoringParameters { client: Some(client) })
}

/// The OCSP fetch interval, when it was set.
pub(crate) fn fetch_interval(state: &State) -> Option<FetchInterval> {
    state.settings.ocsp_fetch_interval_seconds.map(|seconds| FetchInterval { seconds })
}

/// Whether `nextUpdate` counts, when it was set.
pub(crate) fn next_update(state: &State) -> Option<NextUpdate> {
    state.settings.verify_next_update.map(|verify| NextUpdate { verify })
}

/// The anchor of one of the two configurations: `http` addresses first, then their `https` twins, as
/// X-Road's central server lists them.
pub(crate) fn anchor(
    state: &State,
    public_addresses: &[String],
    kind: ConfigurationKind,
    generated_at: OffsetDateTime,
) -> Anchor {
    let certificates = verification_certificates(state, kind);
    let source = |scheme: &str, address: &String| AnchorSource {
        url: format!("{scheme}://{address}/{}", kind.path()),
        certificates: certificates.clone(),
    };
    let http = public_addresses.iter().map(|address| source("http", address));
    let https = public_addresses.iter().map(|address| source("https", address));
    Anchor {
        generated_at: Some(generated_at),
        instance: state.settings.instance.clone(),
        sources: http.chain(https).collect(),
    }
}

/// The certificates of all keys of a kind, that of the active one first.
fn verification_certificates(state: &State, kind: ConfigurationKind) -> Vec<EncodedCertificate> {
    let mut keys: Vec<_> = state.signing_keys.values().filter(|key| key.kind == kind).collect();
    keys.sort_by_key(|key| !key.active);
    keys.into_iter().map(|key| key.certificate.0.clone()).collect()
}

fn approved_ca(name: &str, ca: &CaRecord) -> ApprovedCa {
    ApprovedCa {
        name: name.to_owned(),
        authentication_only: ca.authentication_only,
        top: ca_info(&ca.top),
        intermediates: ca.intermediates.iter().map(ca_info).collect(),
        certificate_profile: ca.profile.clone(),
        csr_format: ca.csr_format.as_deref().and_then(CsrFormat::from_name),
        acme: ca.acme_url.clone().map(|directory_url| AcmeServer {
            directory_url,
            ip_address: ca.acme_addresses.clone(),
            authentication_profile: None,
            signing_profile: None,
        }),
    }
}

fn ca_info(record: &CaCertificateRecord) -> CaInfo {
    CaInfo {
        certificate: record.certificate.0.clone(),
        ocsp: record
            .ocsp
            .iter()
            .map(|responder| OcspResponder {
                url: responder.url.clone(),
                certificate: responder.certificate.clone().map(|c| c.0),
                cost: Some(cost(responder.cost.as_deref())),
            })
            .collect(),
    }
}

fn cost(name: Option<&str>) -> CostType {
    name.and_then(CostType::from_name).unwrap_or(CostType::Undefined)
}

fn members(state: &State) -> Vec<Member> {
    let mut subsystems: BTreeMap<&MemberId, Vec<Subsystem>> = BTreeMap::new();
    for (id, record) in &state.subsystems {
        let code = id.subsystem_code().unwrap_or_default().to_owned();
        let subsystem = Subsystem { code, name: record.name.clone() };
        subsystems.entry(id.member()).or_default().push(subsystem);
    }
    let description = |class: &str| state.classes.get(class).map(|c| c.description.clone());
    state
        .members
        .iter()
        .map(|(id, member)| Member {
            id: id.clone(),
            class_description: description(id.class()).unwrap_or_default(),
            name: member.name.clone(),
            subsystems: subsystems.remove(id).unwrap_or_default(),
        })
        .collect()
}

fn servers(state: &State) -> Vec<SecurityServer> {
    let mut hashes: BTreeMap<&SecurityServerId, Vec<AuthCertificateHash>> = BTreeMap::new();
    for ((server, _), record) in &state.auth_certificates {
        if let Ok(certificate) = record.certificate.0.read() {
            hashes.entry(server).or_default().push(AuthCertificateHash::of(&certificate));
        }
    }
    let mut clients: BTreeMap<&SecurityServerId, Vec<ClientId>> = BTreeMap::new();
    for ((server, client), _) in state.clients.iter().filter(|(_, record)| !record.disabled) {
        clients.entry(server).or_default().push(client.clone());
    }
    state
        .servers
        .iter()
        .map(|(id, server)| SecurityServer {
            id: id.clone(),
            address: server.address.clone(),
            auth_cert_hashes: hashes.remove(id).unwrap_or_default(),
            clients: clients.remove(id).unwrap_or_default(),
            maintenance: server
                .maintenance
                .as_ref()
                .map(|text| Maintenance { message: Some(text.clone()).filter(|m| !m.is_empty()) }),
        })
        .collect()
}

fn groups(state: &State) -> Vec<GlobalGroup> {
    let owners: BTreeSet<ClientId> =
        state.servers.keys().map(|id| id.owner().as_client()).collect();
    let server_owners = GlobalGroup {
        code: SERVER_OWNERS.to_owned(),
        description: "Security server owners".to_owned(),
        members: owners.into_iter().collect(),
    };
    let kept = state.groups.iter().map(|(code, group)| GlobalGroup {
        code: code.clone(),
        description: group.description.clone(),
        members: state
            .group_members
            .iter()
            .filter(|(of, _)| of == code)
            .map(|(_, client)| client.clone())
            .collect(),
    });
    std::iter::once(server_owners).chain(kept).collect()
}
