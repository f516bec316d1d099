//! The registry's records: the rows of the store, and the state that they make up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_globalconf::EncodedCertificate;
use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::requests::RequestRecord;
use crate::short;

/// The name of a row: what it is about. In the store its parts are separated by NUL, which no
/// identifier may contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    MemberClass(String),
    Member(MemberId),
    Subsystem(ClientId),
    Server(SecurityServerId),
    /// The server, and the SHA-256 of the certificate in hexadecimal.
    AuthCertificate(SecurityServerId, String),
    Client(SecurityServerId, ClientId),
    Group(String),
    GroupMember(String, ClientId),
    Ca(String),
    Tsa(String),
    Federation(String),
    /// The key's identifier in the token.
    Signer(String),
    /// A management request, by its number.
    Request(u64),
    Settings,
}

impl Key {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let parts: Vec<String> = match self {
            Self::MemberClass(code) => vec!["member-class".into(), code.clone()],
            Self::Member(id) => vec!["member".into(), id.to_short()],
            Self::Subsystem(id) => vec!["subsystem".into(), id.to_short()],
            Self::Server(id) => vec!["server".into(), id.to_short()],
            Self::AuthCertificate(server, hash) => {
                vec!["auth-certificate".into(), server.to_short(), hash.clone()]
            }
            Self::Client(server, client) => {
                vec!["client".into(), server.to_short(), client.to_short()]
            }
            Self::Group(code) => vec!["group".into(), code.clone()],
            Self::GroupMember(code, client) => {
                vec!["group-member".into(), code.clone(), client.to_short()]
            }
            Self::Ca(name) => vec!["ca".into(), name.clone()],
            Self::Tsa(name) => vec!["tsa".into(), name.clone()],
            Self::Federation(instance) => vec!["federation".into(), instance.clone()],
            Self::Signer(id) => vec!["signing-key".into(), id.clone()],
            // Twenty digits, so that the rows lie in the order of their numbers.
            Self::Request(number) => vec!["request".into(), format!("{number:020}")],
            Self::Settings => vec!["settings".into()],
        };
        parts.join("\0").into_bytes()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let parts: Vec<&str> = text.split('\0').collect();
        Some(match parts[..] {
            ["member-class", code] => Self::MemberClass(code.into()),
            ["member", id] => Self::Member(MemberId::parse(id).ok()?),
            ["subsystem", id] => Self::Subsystem(ClientId::parse(id).ok()?),
            ["server", id] => Self::Server(SecurityServerId::parse(id).ok()?),
            ["auth-certificate", server, hash] => {
                Self::AuthCertificate(SecurityServerId::parse(server).ok()?, hash.into())
            }
            ["client", server, client] => {
                Self::Client(SecurityServerId::parse(server).ok()?, ClientId::parse(client).ok()?)
            }
            ["group", code] => Self::Group(code.into()),
            ["group-member", code, client] => {
                Self::GroupMember(code.into(), ClientId::parse(client).ok()?)
            }
            ["ca", name] => Self::Ca(name.into()),
            ["tsa", name] => Self::Tsa(name.into()),
            ["federation", instance] => Self::Federation(instance.into()),
            ["signing-key", id] => Self::Signer(id.into()),
            ["request", number] => Self::Request(number.parse().ok()?),
            ["settings"] => Self::Settings,
            _ => return None,
        })
    }
}

/// A certificate in JSON: base64 of its DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRecord(pub EncodedCertificate);

impl Serialize for CertificateRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0.bytes()))
    }
}

impl<'de> Deserialize<'de> for CertificateRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.trim()).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes.into()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DescriptionRecord {
    pub(crate) description: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberRecord {
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubsystemRecord {
    pub(crate) name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerRecord {
    pub(crate) address: Option<String>,
    /// Out of service; the text is for consumers, and may be empty.
    pub(crate) maintenance: Option<String>,
}

/// A client's registration at a server. Rows of older versions say `null`: nothing special.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientRecord {
    /// Its traffic is stopped for a while: it is registered, and not published.
    #[serde(default)]
    pub(crate) disabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthCertificateRecord {
    pub(crate) certificate: CertificateRecord,
}

/// An OCSP responder of a certification authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OcspRecord {
    /// Where it answers.
    pub url: String,
    /// The certificate with which it signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateRecord>,
    /// `FREE`, `PAID` or `UNDEFINED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
}

/// One certification authority of a certification service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaCertificateRecord {
    /// Its certificate.
    pub certificate: CertificateRecord,
    /// Its responders.
    #[serde(default)]
    pub ocsp: Vec<OcspRecord>,
}

/// An approved certification service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaRecord {
    /// Its certificates are for TLS authentication alone.
    #[serde(default)]
    pub authentication_only: bool,
    /// The certificate profile: a Java class name, or its last segment.
    pub profile: String,
    /// The topmost authority.
    pub top: CaCertificateRecord,
    /// The authorities below it.
    #[serde(default)]
    pub intermediates: Vec<CaCertificateRecord>,
    /// The directory of its ACME server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme_url: Option<String>,
    /// The addresses of its ACME server, comma-separated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme_addresses: Option<String>,
    /// `PEM` or `DER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr_format: Option<String>,
}

/// An approved timestamping authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsaRecord {
    /// Where it answers.
    pub url: String,
    /// The certificate with which it signs.
    pub certificate: CertificateRecord,
    /// `FREE`, `PAID` or `UNDEFINED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FederationRecord {
    /// The anchor file of the other instance.
    pub(crate) anchor: String,
}

/// Which of the two configurations a signing key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfigurationKind {
    /// For the instance's own security servers.
    Internal,
    /// For partner instances.
    External,
}

impl ConfigurationKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Internal, Self::External];

    /// `internal` or `external`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
        }
    }

    /// The last segment of the configuration's address.
    pub fn path(self) -> &'static str {
        match self {
            Self::Internal => "internalconf",
            Self::External => "externalconf",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SigningKeyRecord {
    pub(crate) kind: ConfigurationKind,
    pub(crate) certificate: CertificateRecord,
    /// It signs; the others are published so that what they sign later is trusted already.
    pub(crate) active: bool,
}

/// What is there once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The instance whose records these are.
    pub instance: String,
    /// The client that provides the management services.
    #[serde(default, with = "short::optional")]
    pub management_provider: Option<ClientId>,
    /// Where authentication certificates are registered; by default port 4001 of the first public address.
    #[serde(default)]
    pub registration_url: Option<String>,
    /// The TLS certificate of that address.
    #[serde(default)]
    pub registration_certificate: Option<CertificateRecord>,
    /// How old OCSP responses may be, in seconds.
    pub ocsp_freshness_seconds: u32,
    /// How long a record may wait for its timestamp, in seconds.
    pub timestamping_interval_seconds: u32,
    /// How often OCSP responses are fetched, in seconds; not published when absent.
    #[serde(default)]
    pub ocsp_fetch_interval_seconds: Option<u32>,
    /// Whether `nextUpdate` of OCSP responses counts; not published when absent.
    #[serde(default)]
    pub verify_next_update: Option<bool>,
    /// Who may ask all security servers for monitoring data; not published when absent.
    #[serde(default, with = "short::optional")]
    pub monitoring_client: Option<ClientId>,
}

impl Settings {
    pub(crate) fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            management_provider: None,
            registration_url: None,
            registration_certificate: None,
            ocsp_freshness_seconds: 3600,
            timestamping_interval_seconds: 60,
            ocsp_fetch_interval_seconds: None,
            verify_next_update: None,
            monitoring_client: None,
        }
    }
}

/// All records, in memory. It changes by rows alone, those of the store and those of a change alike.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) classes: BTreeMap<String, DescriptionRecord>,
    pub(crate) members: BTreeMap<MemberId, MemberRecord>,
    pub(crate) subsystems: BTreeMap<ClientId, SubsystemRecord>,
    pub(crate) servers: BTreeMap<SecurityServerId, ServerRecord>,
    pub(crate) auth_certificates: BTreeMap<(SecurityServerId, String), AuthCertificateRecord>,
    pub(crate) clients: BTreeMap<(SecurityServerId, ClientId), ClientRecord>,
    pub(crate) groups: BTreeMap<String, DescriptionRecord>,
    pub(crate) group_members: BTreeSet<(String, ClientId)>,
    pub(crate) cas: BTreeMap<String, CaRecord>,
    pub(crate) tsas: BTreeMap<String, TsaRecord>,
    pub(crate) federations: BTreeMap<String, FederationRecord>,
    pub(crate) signing_keys: BTreeMap<String, SigningKeyRecord>,
    /// Shared, since the state is copied for each change, and they are never few.
    pub(crate) requests: BTreeMap<u64, Arc<RequestRecord>>,
}

impl State {
    pub(crate) fn new(instance: &str) -> Self {
        Self {
            settings: Settings::new(instance),
            classes: BTreeMap::new(),
            members: BTreeMap::new(),
            subsystems: BTreeMap::new(),
            servers: BTreeMap::new(),
            auth_certificates: BTreeMap::new(),
            clients: BTreeMap::new(),
            groups: BTreeMap::new(),
            group_members: BTreeSet::new(),
            cas: BTreeMap::new(),
            tsas: BTreeMap::new(),
            federations: BTreeMap::new(),
            signing_keys: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    /// Takes a row in. `Err` when its value cannot be read.
    pub(crate) fn put(&mut self, key: Key, value: &[u8]) -> Result<(), serde_json::Error> {
        fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, serde_json::Error> {
            serde_json::from_slice(value)
        }
        match key {
            Key::MemberClass(code) => drop(self.classes.insert(code, read(value)?)),
            Key::Member(id) => drop(self.members.insert(id, read(value)?)),
            Key::Subsystem(id) => drop(self.subsystems.insert(id, read(value)?)),
            Key::Server(id) => drop(self.servers.insert(id, read(value)?)),
            Key::AuthCertificate(server, hash) => {
                self.auth_certificates.insert((server, hash), read(value)?);
            }
            Key::Client(server, client) => {
                let record = read::<Option<ClientRecord>>(value)?.unwrap_or_default();
                self.clients.insert((server, client), record);
            }
            Key::Group(code) => drop(self.groups.insert(code, read(value)?)),
            Key::GroupMember(code, client) => drop(self.group_members.insert((code, client))),
            Key::Ca(name) => drop(self.cas.insert(name, read(value)?)),
            Key::Tsa(name) => drop(self.tsas.insert(name, read(value)?)),
            Key::Federation(instance) => drop(self.federations.insert(instance, read(value)?)),
            Key::Signer(id) => drop(self.signing_keys.insert(id, read(value)?)),
            Key::Request(number) => drop(self.requests.insert(number, Arc::new(read(value)?))),
            Key::Settings => self.settings = read(value)?,
        }
        Ok(())
    }

    /// Takes a row out. Settings are never taken out.
    pub(crate) fn delete(&mut self, key: Key) {
        match key {
            Key::MemberClass(code) => drop(self.classes.remove(&code)),
            Key::Member(id) => drop(self.members.remove(&id)),
            Key::Subsystem(id) => drop(self.subsystems.remove(&id)),
            Key::Server(id) => drop(self.servers.remove(&id)),
            Key::AuthCertificate(server, hash) => {
                self.auth_certificates.remove(&(server, hash));
            }
            Key::Client(server, client) => drop(self.clients.remove(&(server, client))),
            Key::Group(code) => drop(self.groups.remove(&code)),
            Key::GroupMember(code, client) => drop(self.group_members.remove(&(code, client))),
            Key::Ca(name) => drop(self.cas.remove(&name)),
            Key::Tsa(name) => drop(self.tsas.remove(&name)),
            Key::Federation(instance) => drop(self.federations.remove(&instance)),
            Key::Signer(id) => drop(self.signing_keys.remove(&id)),
            Key::Request(number) => drop(self.requests.remove(&number)),
            Key::Settings => {}
        }
    }

    /// Whether a client is registered here; clients of other instances are taken on trust.
    pub(crate) fn knows(&self, client: &ClientId) -> bool {
        match client.subsystem_code() {
            Some(_) => self.subsystems.contains_key(client),
            None => self.members.contains_key(client.member()),
        }
    }
}
