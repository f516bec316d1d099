//! Changes by name, for programs; each is an [`Edit`].

use causeway_globalconf::EncodedCertificate;
use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_pki::Certificate;

use super::Registry;
use crate::edit::{Edit, EditError};
use crate::records::{CaRecord, CertificateRecord, TsaRecord};

impl Registry {
    /// Adds a class of members.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_member_class(&self, code: &str, description: &str) -> Result<(), EditError> {
        self.edit(Edit::MemberClassAdd { code: code.into(), description: description.into() })
    }

    /// Adds a member.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_member(&self, id: &MemberId, name: &str) -> Result<(), EditError> {
        self.edit(Edit::MemberAdd { id: id.clone(), name: name.into() })
    }

    /// Adds a subsystem.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_subsystem(&self, id: &ClientId, name: Option<&str>) -> Result<(), EditError> {
        self.edit(Edit::SubsystemAdd { id: id.clone(), name: name.map(str::to_owned) })
    }

    /// Adds a security server.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_server(&self, id: &SecurityServerId, address: &str) -> Result<(), EditError> {
        self.edit(Edit::ServerAdd { id: id.clone(), address: address.into() })
    }

    /// Registers an authentication certificate.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_auth_certificate(
        &self,
        server: &SecurityServerId,
        certificate: &Certificate,
    ) -> Result<(), EditError> {
        let certificate = CertificateRecord(EncodedCertificate::from(certificate));
        self.edit(Edit::AuthCertificateAdd { server: server.clone(), certificate })
    }

    /// Registers a client at a security server.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_client(
        &self,
        server: &SecurityServerId,
        client: &ClientId,
    ) -> Result<(), EditError> {
        self.edit(Edit::ClientAdd { server: server.clone(), client: client.clone() })
    }

    /// Adds a group of clients.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_group(&self, code: &str, description: &str) -> Result<(), EditError> {
        self.edit(Edit::GroupAdd { code: code.into(), description: description.into() })
    }

    /// Adds a client to a group.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_group_member(&self, group: &str, client: &ClientId) -> Result<(), EditError> {
        self.edit(Edit::GroupMemberAdd { group: group.into(), client: client.clone() })
    }

    /// Approves a certification service.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_ca(&self, name: &str, ca: CaRecord) -> Result<(), EditError> {
        self.edit(Edit::CaAdd { name: name.into(), ca: Box::new(ca) })
    }

    /// Approves a timestamping authority.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_tsa(&self, name: &str, tsa: TsaRecord) -> Result<(), EditError> {
        self.edit(Edit::TsaAdd { name: name.into(), tsa })
    }

    /// Federates with the instance to which an anchor leads.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_federation(&self, anchor: &str) -> Result<(), EditError> {
        self.edit(Edit::FederationAdd { anchor: anchor.into() })
    }

    /// Says who provides the management services.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn set_management_provider(&self, provider: &ClientId) -> Result<(), EditError> {
        let (registration_url, registration_certificate) = (None, None);
        let provider = provider.clone();
        self.edit(Edit::ManagementSet { provider, registration_url, registration_certificate })
    }
}
