//! The kinds of request, and what each says.

use causeway_identifiers::{ClientId, SecurityServerId};

/// A kind of request: the service that it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Registers an authentication certificate, and with the first one the security server.
    AuthCertReg,
    /// Takes an authentication certificate's registration back.
    AuthCertDeletion,
    /// Registers a client at a security server.
    ClientReg,
    /// Takes a client's registration back.
    ClientDeletion,
    /// Gives a security server another owner.
    OwnerChange,
    /// Stops the traffic of a client for a while.
    ClientDisable,
    /// Lets the traffic of a client go on.
    ClientEnable,
    /// Gives a subsystem another name.
    ClientRename,
    /// Gives a security server another address.
    AddressChange,
    /// Puts a security server out of service.
    MaintenanceModeEnable,
    /// Puts a security server back into service.
    MaintenanceModeDisable,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::AuthCertReg,
        Self::AuthCertDeletion,
        Self::ClientReg,
        Self::ClientDeletion,
        Self::OwnerChange,
        Self::ClientDisable,
        Self::ClientEnable,
        Self::ClientRename,
        Self::AddressChange,
        Self::MaintenanceModeEnable,
        Self::MaintenanceModeDisable,
    ];

    /// The service code, which is the name of the body element too (`ManagementRequestType`).
    pub fn service_code(self) -> &'static str {
        match self {
            Self::AuthCertReg => "authCertReg",
            Self::AuthCertDeletion => "authCertDeletion",
            Self::ClientReg => "clientReg",
            Self::ClientDeletion => "clientDeletion",
            Self::OwnerChange => "ownerChange",
            Self::ClientDisable => "clientDisable",
            Self::ClientEnable => "clientEnable",
            Self::ClientRename => "clientRename",
            Self::AddressChange => "addressChange",
            Self::MaintenanceModeEnable => "maintenanceModeEnable",
            Self::MaintenanceModeDisable => "maintenanceModeDisable",
        }
    }

    /// The kind that a service code names, in any case of letters, as X-Road compares it.
    pub fn from_service_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.service_code().eq_ignore_ascii_case(code))
    }

    /// Whether X-Road 7.8 sends and takes it as a signed multipart. The two others rest on the
    /// signature of the message exchange alone.
    pub fn is_signed(self) -> bool {
        !matches!(self, Self::AuthCertDeletion | Self::ClientDeletion)
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// [`Kind::AuthCertReg`].
    AuthCertReg {
        /// The server that is to authenticate with the certificate.
        server: SecurityServerId,
        /// Host name or address at which other servers reach it.
        address: Option<String>,
        /// The certificate, DER. Empty in a trial of the connection.
        certificate: Vec<u8>,
        /// The request is to be judged, and nothing done.
        dry_run: bool,
    },
    /// [`Kind::AuthCertDeletion`].
    AuthCertDeletion {
        /// The server that authenticates with the certificate.
        server: SecurityServerId,
        /// The certificate, DER.
        certificate: Vec<u8>,
    },
    /// [`Kind::ClientReg`].
    ClientReg {
        /// The server.
        server: SecurityServerId,
        /// The client.
        client: ClientId,
        /// A name for the subsystem; none leaves it as it is.
        subsystem_name: Option<String>,
    },
    /// [`Kind::ClientDeletion`].
    ClientDeletion {
        /// The server.
        server: SecurityServerId,
        /// The client.
        client: ClientId,
    },
    /// [`Kind::OwnerChange`].
    OwnerChange {
        /// The server, by its present identifier.
        server: SecurityServerId,
        /// The new owner.
        client: ClientId,
    },
    /// [`Kind::ClientDisable`].
    ClientDisable {
        /// The server.
        server: SecurityServerId,
        /// The client.
        client: ClientId,
    },
    /// [`Kind::ClientEnable`].
    ClientEnable {
        /// The server.
        server: SecurityServerId,
        /// The client.
        client: ClientId,
    },
    /// [`Kind::ClientRename`].
    ClientRename {
        /// The server.
        server: SecurityServerId,
        /// The subsystem.
        client: ClientId,
        /// Its new name.
        subsystem_name: String,
    },
    /// [`Kind::AddressChange`].
    AddressChange {
        /// The server.
        server: SecurityServerId,
        /// The new host name or address.
        address: String,
    },
    /// [`Kind::MaintenanceModeEnable`].
    MaintenanceModeEnable {
        /// The server.
        server: SecurityServerId,
        /// What those who call it are told.
        message: Option<String>,
    },
    /// [`Kind::MaintenanceModeDisable`].
    MaintenanceModeDisable {
        /// The server.
        server: SecurityServerId,
    },
}

impl Request {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::AuthCertReg { .. } => Kind::AuthCertReg,
            Self::AuthCertDeletion { .. } => Kind::AuthCertDeletion,
            Self::ClientReg { .. } => Kind::ClientReg,
            Self::ClientDeletion { .. } => Kind::ClientDeletion,
            Self::OwnerChange { .. } => Kind::OwnerChange,
            Self::ClientDisable { .. } => Kind::ClientDisable,
            Self::ClientEnable { .. } => Kind::ClientEnable,
            Self::ClientRename { .. } => Kind::ClientRename,
            Self::AddressChange { .. } => Kind::AddressChange,
            Self::MaintenanceModeEnable { .. } => Kind::MaintenanceModeEnable,
            Self::MaintenanceModeDisable { .. } => Kind::MaintenanceModeDisable,
        }
    }

    /// The security server that it is about, which sends it.
    pub fn server(&self) -> &SecurityServerId {
        match self {
            Self::AuthCertReg { server, .. }
            | Self::AuthCertDeletion { server, .. }
            | Self::ClientReg { server, .. }
            | Self::ClientDeletion { server, .. }
            | Self::OwnerChange { server, .. }
            | Self::ClientDisable { server, .. }
            | Self::ClientEnable { server, .. }
            | Self::ClientRename { server, .. }
            | Self::AddressChange { server, .. }
            | Self::MaintenanceModeEnable { server, .. }
            | Self::MaintenanceModeDisable { server } => server,
        }
    }

    /// The client that it is about, in the kinds that have one.
    pub fn client(&self) -> Option<&ClientId> {
        match self {
            Self::ClientReg { client, .. }
            | Self::ClientDeletion { client, .. }
            | Self::OwnerChange { client, .. }
            | Self::ClientDisable { client, .. }
            | Self::ClientEnable { client, .. }
            | Self::ClientRename { client, .. } => Some(client),
            Self::AuthCertReg { .. }
            | Self::AuthCertDeletion { .. }
            | Self::AddressChange { .. }
            | Self::MaintenanceModeEnable { .. }
            | Self::MaintenanceModeDisable { .. } => None,
        }
    }
}
