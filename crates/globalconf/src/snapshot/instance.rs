//! The index over one instance's configuration.

use std::collections::{HashMap, HashSet};

use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_pki::profile::CertificateProfile;
use causeway_pki::{Certificate, DigestAlgorithm, name};

use super::{ApprovedCaEntry, ApprovedTsa, InstanceConfiguration, OcspResponderEntry};
use crate::shared::{ApprovedCa, CaInfo, GlobalGroup, Member, SecurityServer, Subsystem};
use crate::{AuthCertificateHash, EncodedCertificate, Version};

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) configuration: InstanceConfiguration,
    pub(super) cas: Vec<ApprovedCaEntry>,
    pub(super) tsas: Vec<ApprovedTsa>,
    pub(super) problems: Vec<String>,
    /// By canonical subject: names that differ in letter case or string type are the same name.
    cas_by_subject: HashMap<String, Vec<usize>>,
    members: HashMap<MemberId, usize>,
    subsystems: HashMap<ClientId, (usize, usize)>,
    servers: HashMap<SecurityServerId, usize>,
    servers_by_hash: HashMap<Vec<u8>, usize>,
    servers_by_client: HashMap<ClientId, Vec<usize>>,
    groups: HashMap<String, (usize, HashSet<ClientId>)>,
}

impl Instance {
    pub(super) fn new(configuration: InstanceConfiguration) -> Self {
        let mut instance = Self {
            cas: Vec::new(),
            tsas: Vec::new(),
            problems: Vec::new(),
            cas_by_subject: HashMap::new(),
            members: HashMap::new(),
            subsystems: HashMap::new(),
            servers: HashMap::new(),
            servers_by_hash: HashMap::new(),
            servers_by_client: HashMap::new(),
            groups: HashMap::new(),
            configuration,
        };
        instance.index_trust_services();
        instance.index_members();
        instance.index_servers();
        let groups = instance.configuration.shared.global_groups.iter().enumerate();
        instance.groups = groups
            .map(|(at, g)| (g.code.clone(), (at, g.members.iter().cloned().collect())))
            .collect();
        instance
    }

    pub(super) fn id(&self) -> &str {
        &self.configuration.shared.instance
    }

    pub(super) fn version(&self) -> Version {
        self.configuration.version
    }

    pub(super) fn cas_by_subject(&self, name_der: &[u8]) -> impl Iterator<Item = &ApprovedCaEntry> {
        let found = self.cas_by_subject.get(&name::canonical(name_der));
        found.into_iter().flatten().map(|at| &self.cas[*at])
    }

    pub(super) fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id).map(|at| &self.configuration.shared.members[*at])
    }

    pub(super) fn subsystem(&self, id: &ClientId) -> Option<&Subsystem> {
        let (member, at) = self.subsystems.get(id)?;
        Some(&self.configuration.shared.members[*member].subsystems[*at])
    }

    pub(super) fn server(&self, id: &SecurityServerId) -> Option<&SecurityServer> {
        self.servers.get(id).map(|at| &self.configuration.shared.security_servers[*at])
    }

    pub(super) fn server_by_hash(&self, hashes: &Hashes) -> Option<&SecurityServer> {
        let at = self.servers_by_hash.get(hashes.of_version(self.version()))?;
        Some(&self.configuration.shared.security_servers[*at])
    }

    pub(super) fn servers_of(&self, client: &ClientId) -> impl Iterator<Item = &SecurityServer> {
        let found = self.servers_by_client.get(client);
        found.into_iter().flatten().map(|at| &self.configuration.shared.security_servers[*at])
    }

    pub(super) fn group(&self, code: &str) -> Option<&GlobalGroup> {
        let (at, _) = self.groups.get(code)?;
        Some(&self.configuration.shared.global_groups[*at])
    }

    pub(super) fn group_contains(&self, code: &str, client: &ClientId) -> bool {
        self.groups.get(code).is_some_and(|(_, members)| members.contains(client))
    }

    fn index_trust_services(&mut self) {
        let shared = &self.configuration.shared;
        let (cas, tsas) = (shared.approved_cas.clone(), shared.approved_tsas.clone());
        for ca in &cas {
            let Some(top) = self.read(&ca.top.certificate, &ca.name) else { continue };
            self.add_ca(ca, &ca.top, top.clone(), &top);
            for info in &ca.intermediates {
                if let Some(certificate) = self.read(&info.certificate, &ca.name) {
                    self.add_ca(ca, info, certificate, &top);
                }
            }
        }
        for tsa in tsas {
            if let Some(certificate) = self.read(&tsa.certificate, &tsa.name) {
                let (name, url, cost) = (tsa.name, tsa.url, tsa.cost);
                self.tsas.push(ApprovedTsa { name, url, certificate, cost });
            }
        }
    }

    fn add_ca(
        &mut self,
        ca: &ApprovedCa,
        info: &CaInfo,
        certificate: Certificate,
        top: &Certificate,
    ) {
        let ocsp_responders = info
            .ocsp
            .iter()
            .filter_map(|responder| self.read(responder.certificate.as_ref()?, &ca.name))
            .collect();
        let subject = name::canonical(certificate.subject_der());
        self.cas_by_subject.entry(subject).or_default().push(self.cas.len());
        self.cas.push(ApprovedCaEntry {
            is_top: std::ptr::eq(info, &ca.top),
            certificate,
            name: ca.name.clone(),
            profile_class: ca.certificate_profile.clone(),
            profile: CertificateProfile::from_class_name(&ca.certificate_profile),
            ocsp_urls: info.ocsp.iter().map(|r| r.url.clone()).filter(|u| !u.is_empty()).collect(),
            ocsp: info
                .ocsp
                .iter()
                .map(|r| OcspResponderEntry { url: r.url.clone(), cost: r.cost })
                .collect(),
            ocsp_responders,
            authentication_only: ca.authentication_only,
            top: top.clone(),
            csr_format: ca.csr_format,
            acme: ca.acme.clone(),
        });
    }

    /// Reads a certificate; one that cannot be read is trusted for nothing, and told of.
    fn read(&mut self, encoded: &EncodedCertificate, of: &str) -> Option<Certificate> {
        match encoded.read() {
            Ok(certificate) => Some(certificate),
            Err(e) => {
                let instance = self.id();
                let problem = format!("{instance}: a certificate of '{of}' is passed over: {e}");
                self.problems.push(problem);
                None
            }
        }
    }

    fn index_members(&mut self) {
        for (at, member) in self.configuration.shared.members.iter().enumerate() {
            self.members.insert(member.id.clone(), at);
            for (place, subsystem) in member.subsystems.iter().enumerate() {
                if let Ok(id) = member.id.subsystem(&subsystem.code) {
                    self.subsystems.insert(id, (at, place));
                }
            }
        }
    }

    fn index_servers(&mut self) {
        let version = self.version();
        for (at, server) in self.configuration.shared.security_servers.iter().enumerate() {
            self.servers.insert(server.id.clone(), at);
            for hash in server.auth_cert_hashes.iter().filter_map(|h| h.for_document(version)) {
                // Of two servers with the same certificate the last one counts, as at X-Road.
                self.servers_by_hash.insert(hash.to_vec(), at);
            }
            let owner = server.owner().as_client();
            for client in std::iter::once(&owner).chain(&server.clients) {
                let servers = self.servers_by_client.entry(client.clone()).or_default();
                if servers.last() != Some(&at) {
                    servers.push(at);
                }
            }
        }
    }
}

/// The digests of a certificate under which it may be registered.
pub(super) struct Hashes {
    sha1: [u8; 20],
    sha256: [u8; 32],
}

impl Hashes {
    pub(super) fn of(certificate: &Certificate) -> Self {
        Self { sha1: certificate.sha1(), sha256: certificate.sha256() }
    }

    fn of_version(&self, version: Version) -> &[u8] {
        match version.auth_certificate_digest() {
            DigestAlgorithm::Sha1 => &self.sha1,
            _ => &self.sha256,
        }
    }

    pub(super) fn matches(&self, version: Version, hash: &AuthCertificateHash) -> bool {
        hash.for_document(version) == Some(self.of_version(version))
    }
}
