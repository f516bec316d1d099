//! The records as they are shown: JSON for programs, and what tables are made of.

use std::collections::BTreeMap;

use causeway_identifiers::SecurityServerId;
use causeway_pki::Certificate;
use serde::{Deserialize, Serialize};

use crate::edit::SERVER_OWNERS;
use crate::records::{CertificateRecord, ConfigurationKind, State};

/// All records. Identifiers are in their short form, certificates are told by SHA-256, subject and end
/// of validity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The instance.
    pub instance: String,
    /// The member classes.
    pub member_classes: Vec<Described>,
    /// The members.
    pub members: Vec<Named>,
    /// The subsystems.
    pub subsystems: Vec<Named>,
    /// The security servers.
    pub servers: Vec<ServerListing>,
    /// The groups.
    pub groups: Vec<GroupListing>,
    /// The certification services.
    pub cas: Vec<CaListing>,
    /// The timestamping authorities.
    pub tsas: Vec<TsaListing>,
    /// The instances with which this one is federated.
    pub federations: Vec<String>,
    /// The keys that sign the configuration.
    pub signing_keys: Vec<SigningKeyListing>,
    /// Management services and policy.
    pub settings: crate::records::Settings,
}

/// A code and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// The code.
    pub code: String,
    /// What it means.
    pub description: String,
}

/// An identifier and a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The identifier.
    pub id: String,
    /// The name; a subsystem may have none.
    pub name: Option<String>,
}

/// A certificate in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateListing {
    /// SHA-256 of its DER, in hexadecimal.
    pub sha256: String,
    /// Its subject.
    pub subject: String,
    /// When its validity ends.
    pub not_after: String,
}

/// A security server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerListing {
    /// Its identifier.
    pub id: String,
    /// Its address.
    pub address: Option<String>,
    /// Out of service.
    pub maintenance: bool,
    /// Its authentication certificates.
    pub auth_certificates: Vec<CertificateListing>,
    /// Its clients beside the owner.
    pub clients: Vec<String>,
    /// Those of them that are registered, but not published for now.
    #[serde(default)]
    pub disabled_clients: Vec<String>,
}

/// A group of clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupListing {
    /// Its code.
    pub code: String,
    /// What it is for.
    pub description: String,
    /// The clients in it.
    pub members: Vec<String>,
}

/// A certification service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaListing {
    /// Its name.
    pub name: String,
    /// For TLS authentication alone.
    pub authentication_only: bool,
    /// Its certificate profile.
    pub profile: String,
    /// Its authorities, the topmost first.
    pub certificates: Vec<CertificateListing>,
    /// The addresses of its responders.
    pub ocsp_urls: Vec<String>,
}

/// A timestamping authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsaListing {
    /// Its name.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// Its certificate.
    pub certificate: CertificateListing,
}

/// A key that signs the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyListing {
    /// Its identifier in the token.
    pub id: String,
    /// Which configuration it signs.
    pub kind: ConfigurationKind,
    /// It signs now.
    pub active: bool,
    /// Its certificate.
    pub certificate: CertificateListing,
}

impl Listing {
    pub(crate) fn of(state: &State) -> Self {
        Self {
            instance: state.settings.instance.clone(),
            member_classes: (state.classes.iter())
                .map(|(code, c)| Described {
                    code: code.clone(),
                    description: c.description.clone(),
                })
                .collect(),
            members: (state.members.iter())
                .map(|(id, m)| Named { id: id.to_short(), name: Some(m.name.clone()) })
                .collect(),
            subsystems: (state.subsystems.iter())
                .map(|(id, s)| Named { id: id.to_short(), name: s.name.clone() })
                .collect(),
            servers: servers(state),
            groups: groups(state),
            cas: cas(state),
            tsas: (state.tsas.iter())
                .map(|(name, tsa)| TsaListing {
                    name: name.clone(),
                    url: tsa.url.clone(),
                    certificate: certificate(&tsa.certificate),
                })
                .collect(),
            federations: state.federations.keys().cloned().collect(),
            signing_keys: (state.signing_keys.iter())
                .map(|(id, key)| SigningKeyListing {
                    id: id.clone(),
                    kind: key.kind,
                    active: key.active,
                    certificate: certificate(&key.certificate),
                })
                .collect(),
            settings: state.settings.clone(),
        }
    }
}

fn servers(state: &State) -> Vec<ServerListing> {
    let mut clients: BTreeMap<&SecurityServerId, Vec<String>> = BTreeMap::new();
    let mut disabled: BTreeMap<&SecurityServerId, Vec<String>> = BTreeMap::new();
    for ((server, client), record) in &state.clients {
        clients.entry(server).or_default().push(client.to_short());
        if record.disabled {
            disabled.entry(server).or_default().push(client.to_short());
        }
    }
    let mut listed: Vec<ServerListing> = Vec::new();
    for (id, server) in &state.servers {
        let first = (id.clone(), String::new());
        let certificates = state.auth_certificates.range(first..).take_while(|((s, _), _)| s == id);
        listed.push(ServerListing {
            id: id.to_short(),
            address: server.address.clone(),
            maintenance: server.maintenance.is_some(),
            auth_certificates: certificates.map(|(_, r)| certificate(&r.certificate)).collect(),
            clients: clients.remove(id).unwrap_or_default(),
            disabled_clients: disabled.remove(id).unwrap_or_default(),
        });
    }
    listed
}

fn groups(state: &State) -> Vec<GroupListing> {
    let mut owners: Vec<String> = state.servers.keys().map(|id| id.owner().to_short()).collect();
    owners.dedup();
    let own = GroupListing {
        code: SERVER_OWNERS.to_owned(),
        description: "Security server owners (kept by the registry)".to_owned(),
        members: owners,
    };
    let kept = state.groups.iter().map(|(code, group)| GroupListing {
        code: code.clone(),
        description: group.description.clone(),
        members: (state.group_members.iter())
            .filter(|(of, _)| of == code)
            .map(|(_, client)| client.to_short())
            .collect(),
    });
    std::iter::once(own).chain(kept).collect()
}

fn cas(state: &State) -> Vec<CaListing> {
    let listing = |(name, ca): (&String, &crate::records::CaRecord)| {
        let all = || std::iter::once(&ca.top).chain(&ca.intermediates);
        CaListing {
            name: name.clone(),
            authentication_only: ca.authentication_only,
            profile: ca.profile.clone(),
            certificates: all().map(|ca| certificate(&ca.certificate)).collect(),
            ocsp_urls: all().flat_map(|ca| &ca.ocsp).map(|o| o.url.clone()).collect(),
        }
    };
    state.cas.iter().map(listing).collect()
}

impl CertificateListing {
    pub(crate) fn of(certificate: &Certificate) -> Self {
        Self {
            sha256: hex::encode(certificate.sha256()),
            subject: causeway_console::name(&certificate.subject_rfc2253()),
            not_after: certificate.not_after().date().to_string(),
        }
    }
}

fn certificate(record: &CertificateRecord) -> CertificateListing {
    record.0.read().map_or_else(
        |_| CertificateListing {
            sha256: String::new(),
            subject: "cannot be read".into(),
            not_after: String::new(),
        },
        |certificate| CertificateListing::of(&certificate),
    )
}
