//! The members and subsystems that this server speaks for, what they provide, and to whom.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use causeway_identifiers::{ClientId, GlobalGroupId, LocalGroupId, ServiceId};
use causeway_metadata::{DescriptionType, Endpoint};
use causeway_pki::Certificate;

use crate::access::PathPattern;
use crate::descriptions::{Kept, Location};

/// How the information systems of a client connect to this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionType {
    /// Plain HTTP or HTTPS, without a certificate (X-Road: `NOSSL`).
    Http,
    /// HTTPS, whatever certificate (X-Road: `SSLNOAUTH`).
    Https,
    /// HTTPS with one of the client's certificates, or with this server's own internal one
    /// (X-Road: `SSLAUTH`).
    HttpsWithCertificate,
}

/// A member or subsystem that this server speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Who it is.
    pub id: ClientId,
    /// Whether the registry has accepted it here; if not, nothing is relayed for it.
    pub registered: bool,
    /// How its information systems connect.
    pub connection: ConnectionType,
    /// The TLS certificates of its information systems, as consumer and as provider.
    pub certificates: Vec<Certificate>,
    /// What it provides, by [`service_key`]; [`Client::service`] looks one up.
    pub services: HashMap<String, Arc<Service>>,
    /// Its groups of consumers, by group code.
    pub local_groups: HashMap<String, HashSet<ClientId>>,
    /// The descriptions that its services come from, in the configuration's order.
    pub descriptions: Vec<DescriptionSource>,
}

/// A description that services come from, taken over or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescriptionSource {
    /// How it is written.
    pub kind: DescriptionType,
    /// Where it comes from.
    pub location: Location,
    /// How long fetching it may take.
    pub timeout: Duration,
    /// Whether its TLS certificate must be one of the client's [`certificates`](Client::certificates).
    pub verify_tls: bool,
    /// The copy that was taken over.
    pub kept: Option<Arc<Kept>>,
}

impl Client {
    /// The service of a code and version. A REST service has no version.
    pub fn service(&self, code: &str, version: Option<&str>) -> Option<&Arc<Service>> {
        // The key alone could be met by a code that holds a slash, so the parts are compared.
        self.services
            .get(service_key(code, version).as_ref())
            .filter(|s| s.id.code() == code && s.id.version() == version)
    }
}

/// The key of a service in [`Client::services`]: its code, and for a versioned one `code/version`.
pub fn service_key<'a>(code: &'a str, version: Option<&str>) -> std::borrow::Cow<'a, str> {
    match version {
        None => code.into(),
        Some(version) => format!("{code}/{version}").into(),
    }
}

/// What kind of service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceKind {
    /// REST without a description.
    Rest,
    /// REST with an OpenAPI 3 description.
    OpenApi,
    /// SOAP.
    Soap,
}

impl ServiceKind {
    /// Whether it is called by the REST protocol.
    pub fn is_rest(self) -> bool {
        matches!(self, Self::Rest | Self::OpenApi)
    }
}

/// A service of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Which service.
    pub id: ServiceId,
    /// How it is called.
    pub kind: ServiceKind,
    /// Where the information system listens: `http` or `https`; for REST what a request's path is
    /// put behind, with one slash between.
    pub url: String,
    /// How long the information system may take.
    pub timeout: Duration,
    /// The notice that consumers get while the service is switched off.
    pub disabled: Option<String>,
    /// Whether the information system's TLS certificate must be one of the client's
    /// [`certificates`](Client::certificates).
    pub verify_tls: bool,
    /// Who may call it. Nobody else may.
    pub rights: Vec<Right>,
    /// The endpoints of a REST service that its description or the operator tells of.
    pub endpoints: Vec<Endpoint>,
    /// The description that it comes from.
    pub description: Option<Arc<Kept>>,
}

impl Service {
    /// The endpoints that `listMethods` tells: those of the description or the operator, and those
    /// that rights name. The whole service is none of them.
    pub fn listed_endpoints(&self) -> Vec<Endpoint> {
        let mut endpoints = self.endpoints.clone();
        for right in self.rights.iter().filter(|right| !right.is_whole_service()) {
            let method = right.method.clone().unwrap_or_else(|| "*".to_owned());
            let endpoint = Endpoint { method, path: right.path.as_str().to_owned() };
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        endpoints
    }
}

/// Permission to call a service, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Who is permitted.
    pub subject: Subject,
    /// Which HTTP method, in upper case; `None` is any.
    pub method: Option<String>,
    /// Which paths below the service.
    pub path: PathPattern,
}

impl Right {
    /// Whether it permits the whole service: any method, any path. SOAP services know no other.
    pub fn is_whole_service(&self) -> bool {
        self.method.is_none() && self.path.is_everything()
    }
}

/// Whom a right permits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Exactly this member or subsystem; a member's right does not extend to its subsystems.
    Client(ClientId),
    /// The members of a group that the registry keeps.
    GlobalGroup(GlobalGroupId),
    /// The members of a group that the provider keeps.
    LocalGroup(LocalGroupId),
}

/// The clients of this server, by identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTable {
    clients: HashMap<ClientId, Client>,
}

impl ClientTable {
    /// Makes a table. Of two clients with the same identifier the later one stays.
    pub fn new(clients: impl IntoIterator<Item = Client>) -> Self {
        Self { clients: clients.into_iter().map(|c| (c.id.clone(), c)).collect() }
    }

    /// The client of exactly this identifier.
    pub fn get(&self, id: &ClientId) -> Option<&Client> {
        self.clients.get(id)
    }

    /// All clients, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}
