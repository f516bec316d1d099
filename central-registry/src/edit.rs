//! Changes to the records: what can be changed, and the rules that a change must keep.

mod checks;
mod plan;

use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use serde::{Deserialize, Serialize};

use crate::records::{CaRecord, CertificateRecord, TsaRecord};
use crate::short;
use crate::store::StoreError;

pub(crate) use plan::plan;

/// The group of all members that own a security server; the registry keeps it by itself.
pub const SERVER_OWNERS: &str = "security-server-owners";

/// A change of the registry's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Edit {
    /// Adds a class of members.
    MemberClassAdd {
        /// The code, e.g. `GOV`.
        code: String,
        /// What it means.
        description: String,
    },
    /// Gives a class another description.
    MemberClassDescribe {
        /// The code.
        code: String,
        /// The new description.
        description: String,
    },
    /// Removes a class without members.
    MemberClassRemove {
        /// The code.
        code: String,
    },
    /// Adds a member.
    MemberAdd {
        /// Its identifier.
        #[serde(with = "short")]
        id: MemberId,
        /// Its official name.
        name: String,
    },
    /// Gives a member another name.
    MemberRename {
        /// Its identifier.
        #[serde(with = "short")]
        id: MemberId,
        /// The new name.
        name: String,
    },
    /// Removes a member without subsystems and servers.
    MemberRemove {
        /// Its identifier.
        #[serde(with = "short")]
        id: MemberId,
    },
    /// Adds a subsystem.
    SubsystemAdd {
        /// Its identifier.
        #[serde(with = "short")]
        id: ClientId,
        /// Its name.
        name: Option<String>,
    },
    /// Gives a subsystem another name.
    SubsystemRename {
        /// Its identifier.
        #[serde(with = "short")]
        id: ClientId,
        /// The new name.
        name: Option<String>,
    },
    /// Removes a subsystem that is no server's client.
    SubsystemRemove {
        /// Its identifier.
        #[serde(with = "short")]
        id: ClientId,
    },
    /// Adds a security server.
    ServerAdd {
        /// Its identifier; its owner must be a member.
        #[serde(with = "short")]
        id: SecurityServerId,
        /// Host name or address at which other servers reach it.
        address: String,
    },
    /// Gives a security server another address.
    ServerAddress {
        /// Its identifier.
        #[serde(with = "short")]
        id: SecurityServerId,
        /// The new address.
        address: String,
    },
    /// Puts a security server out of service, or back.
    ServerMaintenance {
        /// Its identifier.
        #[serde(with = "short")]
        id: SecurityServerId,
        /// Out of service.
        on: bool,
        /// What consumers are told.
        message: Option<String>,
    },
    /// Removes a security server with its certificates and client registrations.
    ServerRemove {
        /// Its identifier.
        #[serde(with = "short")]
        id: SecurityServerId,
    },
    /// Registers an authentication certificate.
    AuthCertificateAdd {
        /// The server.
        #[serde(with = "short")]
        server: SecurityServerId,
        /// The certificate.
        certificate: CertificateRecord,
    },
    /// Takes an authentication certificate's registration back.
    AuthCertificateRemove {
        /// The server.
        #[serde(with = "short")]
        server: SecurityServerId,
        /// SHA-256 of the certificate, in hexadecimal; colons are passed over.
        sha256: String,
    },
    /// Registers a client at a security server.
    ClientAdd {
        /// The server.
        #[serde(with = "short")]
        server: SecurityServerId,
        /// The client.
        #[serde(with = "short")]
        client: ClientId,
    },
    /// Takes a client's registration back.
    ClientRemove {
        /// The server.
        #[serde(with = "short")]
        server: SecurityServerId,
        /// The client.
        #[serde(with = "short")]
        client: ClientId,
    },
    /// Adds a group of clients.
    GroupAdd {
        /// The code.
        code: String,
        /// What the group is for.
        description: String,
    },
    /// Gives a group another description.
    GroupDescribe {
        /// The code.
        code: String,
        /// The new description.
        description: String,
    },
    /// Removes a group.
    GroupRemove {
        /// The code.
        code: String,
    },
    /// Adds a client, of any instance, to a group.
    GroupMemberAdd {
        /// The group.
        group: String,
        /// The client.
        #[serde(with = "short")]
        client: ClientId,
    },
    /// Takes a client out of a group.
    GroupMemberRemove {
        /// The group.
        group: String,
        /// The client.
        #[serde(with = "short")]
        client: ClientId,
    },
    /// Approves a certification service.
    CaAdd {
        /// Its name.
        name: String,
        /// What is known of it.
        ca: Box<CaRecord>,
    },
    /// Takes the approval of a certification service back.
    CaRemove {
        /// Its name.
        name: String,
    },
    /// Approves a timestamping authority.
    TsaAdd {
        /// Its name.
        name: String,
        /// What is known of it.
        tsa: TsaRecord,
    },
    /// Takes the approval of a timestamping authority back.
    TsaRemove {
        /// Its name.
        name: String,
    },
    /// Federates with the instance to which an anchor leads.
    FederationAdd {
        /// The text of the anchor file.
        anchor: String,
    },
    /// Ends the federation with an instance.
    FederationRemove {
        /// The instance.
        instance: String,
    },
    /// Says who provides the management services, and where certificates are registered.
    ManagementSet {
        /// The client; it must be registered.
        #[serde(with = "short")]
        provider: ClientId,
        /// Where authentication certificates are registered; `None` for the default.
        registration_url: Option<String>,
        /// The TLS certificate of that address.
        registration_certificate: Option<CertificateRecord>,
    },
    /// Changes the security policy; what is `None` stays as it is.
    PolicySet {
        /// How old OCSP responses may be, in seconds.
        ocsp_freshness_seconds: Option<u32>,
        /// How long a record may wait for its timestamp, in seconds.
        timestamping_interval_seconds: Option<u32>,
        /// How often OCSP responses are fetched, in seconds.
        ocsp_fetch_interval_seconds: Option<u32>,
        /// Whether `nextUpdate` of OCSP responses counts.
        verify_next_update: Option<bool>,
        /// Who may ask all security servers for monitoring data.
        #[serde(with = "short::optional")]
        monitoring_client: Option<ClientId>,
    },
}

/// Why a change was not made. Of two texts the first says what is wrong, the second what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// What the change is about does not exist.
    #[error("there is no {0}")]
    Missing(String, String),
    /// What is to be added exists.
    #[error("there is already {0}")]
    Exists(String, String),
    /// What is to be removed is needed by something else.
    #[error("{0}")]
    InUse(String, String),
    /// A value is not allowed.
    #[error("{0}")]
    Invalid(String, String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EditError {
    /// What the operator can do next.
    pub fn next_step(&self) -> &str {
        match self {
            Self::Missing(_, next) | Self::Exists(_, next) => next,
            Self::InUse(_, next) | Self::Invalid(_, next) => next,
            Self::Store(StoreError::InUse) => {
                "stop the other process, or let the running registry make the change"
            }
            Self::Store(_) => "look at the disk and the permissions of the storage folder",
        }
    }
}
