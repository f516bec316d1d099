//! Shared parameters: what all instances of a federation may know (protocol reference 7.7).

mod read;
pub(crate) mod write;

use causeway_identifiers::{ClientId, MemberId, SecurityServerId};

use crate::{AuthCertificateHash, EncodedCertificate, GlobalConfError, Version};

/// The shared parameters of an instance, the same for all versions of the document.
///
/// What a version cannot say is absent after reading it and left out when writing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedParameters {
    /// The instance identifier.
    pub instance: String,
    /// Where the configuration can be downloaded (version 3 and newer; there at least one).
    pub sources: Vec<ConfigurationSource>,
    /// The approved certification authorities.
    pub approved_cas: Vec<ApprovedCa>,
    /// The approved timestamping authorities.
    pub approved_tsas: Vec<ApprovedTsa>,
    /// The members.
    pub members: Vec<Member>,
    /// The security servers.
    pub security_servers: Vec<SecurityServer>,
    /// The groups kept by the registry.
    pub global_groups: Vec<GlobalGroup>,
    /// Member classes and security policy.
    pub settings: GlobalSettings,
}

impl SharedParameters {
    /// Reads a document of the given version.
    ///
    /// Unknown elements are passed over. At most 256 MiB and 5,000,000 elements.
    ///
    /// # Errors
    /// [`GlobalConfError::Malformed`] when the XML is refused, a required element is missing or
    /// repeated, a value has the wrong form, or a reference leads nowhere.
    pub fn parse(xml: &[u8], version: Version) -> Result<Self, GlobalConfError> {
        read::read(xml, version)
    }

    /// Writes a document of the given version, in the order of its schema.
    ///
    /// # Errors
    /// [`GlobalConfError::CannotWrite`] when a server names a member or client that is not among the
    /// members, or a version that needs a configuration source has none.
    pub fn to_xml(&self, version: Version) -> Result<Vec<u8>, GlobalConfError> {
        write::write(self, version)
    }
}

/// A place from which the configuration can be downloaded, with the certificates that verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationSource {
    /// Host name or address.
    pub address: String,
    /// Certificates that verify the internal configuration.
    pub internal_certificates: Vec<EncodedCertificate>,
    /// Certificates that verify the external configuration.
    pub external_certificates: Vec<EncodedCertificate>,
}

/// A certification service: a top CA with its intermediate CAs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedCa {
    /// Name shown to people.
    pub name: String,
    /// Its certificates are for TLS authentication alone, not for signing.
    pub authentication_only: bool,
    /// The topmost CA.
    pub top: CaInfo,
    /// The CAs below it.
    pub intermediates: Vec<CaInfo>,
    /// The certificate profile: a Java class name.
    pub certificate_profile: String,
    /// The form in which certificate requests are to be made (version 6).
    pub csr_format: Option<CsrFormat>,
    /// Its ACME server (version 3 and newer).
    pub acme: Option<AcmeServer>,
}

/// One CA of a certification service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaInfo {
    /// The CA's certificate.
    pub certificate: EncodedCertificate,
    /// The OCSP responders for what it issues.
    pub ocsp: Vec<OcspResponder>,
}

/// An OCSP responder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspResponder {
    /// Where it answers.
    pub url: String,
    /// The certificate with which it signs, when it is not the CA's own or a delegated one.
    pub certificate: Option<EncodedCertificate>,
    /// What it costs (version 6).
    pub cost: Option<CostType>,
}

/// An ACME server of a certification service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeServer {
    /// The directory URL (RFC 8555 7.1.1).
    pub directory_url: String,
    /// Its addresses, comma-separated, for firewall rules.
    pub ip_address: Option<String>,
    /// The profile for authentication certificates (version 4).
    pub authentication_profile: Option<String>,
    /// The profile for signing certificates (version 4).
    pub signing_profile: Option<String>,
}

/// A timestamping authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedTsa {
    /// Name shown to people.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// The certificate with which it signs.
    pub certificate: EncodedCertificate,
    /// What it costs (version 6).
    pub cost: Option<CostType>,
}

/// Whether a service is free of charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CostType {
    /// Free of charge.
    Free,
    /// Paid for.
    Paid,
    /// Not told.
    Undefined,
}

impl CostType {
    /// The value in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "FREE",
            Self::Paid => "PAID",
            Self::Undefined => "UNDEFINED",
        }
    }

    /// The cost type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Free, Self::Paid, Self::Undefined].into_iter().find(|cost| cost.name() == name)
    }
}

/// The form of a certificate request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CsrFormat {
    /// PEM text.
    Pem,
    /// DER.
    Der,
}

impl CsrFormat {
    /// The value in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pem => "PEM",
            Self::Der => "DER",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pem, Self::Der].into_iter().find(|format| format.name() == name)
    }
}

/// A member with its subsystems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The identifier; its instance is that of the parameters.
    pub id: MemberId,
    /// The description of its member class.
    pub class_description: String,
    /// The official name.
    pub name: String,
    /// Its subsystems.
    pub subsystems: Vec<Subsystem>,
}

/// A subsystem of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsystem {
    /// The subsystem code.
    pub code: String,
    /// The name (version 5 and newer).
    pub name: Option<String>,
}

/// A security server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityServer {
    /// The identifier; the owner is in it.
    pub id: SecurityServerId,
    /// Host name or address at which other servers reach it.
    pub address: Option<String>,
    /// Its registered authentication certificates.
    pub auth_cert_hashes: Vec<AuthCertificateHash>,
    /// Its registered clients; the owner is one without being listed.
    pub clients: Vec<ClientId>,
    /// Set while the server is out of service (version 5 and newer).
    pub maintenance: Option<Maintenance>,
}

impl SecurityServer {
    /// The member that owns the server.
    pub fn owner(&self) -> &MemberId {
        self.id.owner()
    }
}

/// A security server's being out of service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maintenance {
    /// What consumers are told.
    pub message: Option<String>,
}

/// A group of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalGroup {
    /// The group code, unique in the instance.
    pub code: String,
    /// What the group is for.
    pub description: String,
    /// The clients in it, of any instance.
    pub members: Vec<ClientId>,
}

/// Member classes and security policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalSettings {
    /// The member classes in use.
    pub member_classes: Vec<MemberClass>,
    /// How old an OCSP response may be, in seconds.
    pub ocsp_freshness_seconds: u32,
}

/// A class of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberClass {
    /// The code, e.g. `GOV`.
    pub code: String,
    /// What it means.
    pub description: String,
}
