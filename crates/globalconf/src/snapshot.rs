//! The snapshot of all instances' configurations that answers look-ups.

mod entries;
mod instance;
mod load;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_identifiers::{ClientId, GlobalGroupId, MemberId, SecurityServerId};
use causeway_pki::Certificate;
use causeway_pki::ocsp::{OcspPolicy, OcspTrust};
use time::OffsetDateTime;

use crate::shared::{SecurityServer, SharedParameters};
use crate::{GlobalConfError, ManagementService, PrivateParameters};
use instance::Instance;

pub use entries::{
    ApprovedCaEntry, ApprovedTsa, CostPriority, InstanceConfiguration, OcspResponderEntry,
};

/// The longest path of CAs that [`GlobalConf::issuer_path`] follows.
const MAX_PATH: usize = 10;

/// An immutable snapshot of the configurations of the own and of federated instances, indexed so that
/// every look-up takes the same time whatever the size of the network.
///
/// Look-ups do not regard expiry. Before a message is processed, ask [`GlobalConf::valid_at`]; expired
/// partner instances are to be taken out with [`GlobalConf::without_expired_partners`]. Clones share
/// all data.
#[derive(Debug, Clone)]
pub struct GlobalConf {
    /// The own instance first, then the others by identifier.
    instances: Vec<Arc<Instance>>,
    places: HashMap<String, usize>,
    all_cas: Vec<Certificate>,
    all_ocsp_responders: Vec<Certificate>,
    tsa_certificates: Vec<Certificate>,
    problems: Vec<String>,
}

impl GlobalConf {
    /// Indexes the configurations of the instance `own` and of its partners.
    ///
    /// # Errors
    /// [`GlobalConfError::Malformed`] when the own instance is not among them, or one is there twice.
    pub fn new(own: &str, instances: Vec<InstanceConfiguration>) -> Result<Self, GlobalConfError> {
        Self::of(own, instances.into_iter().map(|i| Arc::new(Instance::new(i))).collect())
    }

    fn of(own: &str, mut instances: Vec<Arc<Instance>>) -> Result<Self, GlobalConfError> {
        let malformed = |why: String| Err(GlobalConfError::malformed("global configuration", why));
        instances.sort_by(|a, b| (a.id() != own, a.id()).cmp(&(b.id() != own, b.id())));
        if instances.first().is_none_or(|first| first.id() != own) {
            return malformed(format!("nothing is known of the own instance {own}"));
        }
        let mut places = HashMap::new();
        for (place, instance) in instances.iter().enumerate() {
            if places.insert(instance.id().to_owned(), place).is_some() {
                return malformed(format!("the instance {} is there twice", instance.id()));
            }
        }
        let certificates = |of: fn(&Instance) -> Vec<Certificate>| {
            let mut all: Vec<Certificate> = Vec::new();
            for certificate in instances.iter().flat_map(|i| of(i)) {
                if !all.iter().any(|c| c.der() == certificate.der()) {
                    all.push(certificate);
                }
            }
            all
        };
        Ok(Self {
            places,
            all_cas: certificates(|i| i.cas.iter().map(|ca| ca.certificate.clone()).collect()),
            all_ocsp_responders: certificates(|i| {
                i.cas.iter().flat_map(|ca| ca.ocsp_responders.iter().cloned()).collect()
            }),
            tsa_certificates: certificates(|i| {
                i.tsas.iter().map(|tsa| tsa.certificate.clone()).collect()
            }),
            problems: instances.iter().flat_map(|i| i.problems.iter().cloned()).collect(),
            instances,
        })
    }

    // Instances

    /// The identifier of the own instance.
    pub fn instance(&self) -> &str {
        self.own().id()
    }

    /// The identifiers of all instances, the own first.
    pub fn instances(&self) -> impl Iterator<Item = &str> {
        self.instances.iter().map(|instance| instance.id())
    }

    /// The configuration of an instance.
    pub fn configuration(&self, instance: &str) -> Option<&InstanceConfiguration> {
        self.find(instance).map(|instance| &instance.configuration)
    }

    /// The shared parameters of an instance.
    pub fn shared(&self, instance: &str) -> Option<&SharedParameters> {
        self.configuration(instance).map(|configuration| &configuration.shared)
    }

    /// The private parameters of the own instance.
    pub fn private(&self) -> Option<&PrivateParameters> {
        self.own().configuration.private.as_ref()
    }

    /// Whether the own instance's configuration still counts. When it does not, no message may be
    /// processed.
    ///
    /// # Errors
    /// [`GlobalConfError::Outdated`].
    pub fn valid_at(&self, now: OffsetDateTime) -> Result<(), GlobalConfError> {
        self.own().configuration.valid_at(now)
    }

    /// The snapshot without partner instances that have expired: they count as unknown. `None` when
    /// there are none, so that the snapshot can stay as it is.
    pub fn without_expired_partners(&self, now: OffsetDateTime) -> Option<Self> {
        let (own, partners) = self.instances.split_first()?;
        let counts = |i: &&Arc<Instance>| i.configuration.valid_at(now).is_ok();
        if partners.iter().all(|i| counts(&i)) {
            return None;
        }
        let kept = std::iter::once(own).chain(partners.iter().filter(counts)).cloned().collect();
        Self::of(own.id(), kept).ok()
    }

    /// What could not be used of the documents, for an operator's eyes: certificates that cannot be
    /// read, partner instances whose documents are malformed.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    // Certification authorities

    /// The CA of an instance by its subject. Where several have the same subject, the last of the
    /// document counts, as at X-Road; [`GlobalConf::issuer_of`] tells them apart.
    pub fn ca_by_subject(&self, instance: &str, name_der: &[u8]) -> Option<&ApprovedCaEntry> {
        self.find(instance)?.cas_by_subject(name_der).last()
    }

    /// The CA of an instance that issued a certificate. Its signature is looked at only where several
    /// CAs have the issuer's name: finding a CA is not yet to trust the certificate.
    pub fn issuer_of(&self, instance: &str, certificate: &Certificate) -> Option<&ApprovedCaEntry> {
        let cas: Vec<_> = self.find(instance)?.cas_by_subject(certificate.issuer_der()).collect();
        match cas[..] {
            [] => None,
            [ca] => Some(ca),
            [.., last] => {
                let found = cas.into_iter().find(|ca| certificate.is_issued_by(&ca.certificate));
                Some(found.unwrap_or(last))
            }
        }
    }

    /// As [`GlobalConf::issuer_of`], in any instance, the own first.
    pub fn issuer_in_any_instance(&self, certificate: &Certificate) -> Option<&ApprovedCaEntry> {
        self.instances.iter().find_map(|i| self.issuer_of(i.id(), certificate))
    }

    /// The CAs of an instance that lead from a certificate upwards, as far as they are known: its
    /// issuer first, at most ten. Judging the path is the caller's.
    pub fn issuer_path(&self, instance: &str, certificate: &Certificate) -> Vec<&ApprovedCaEntry> {
        let mut path: Vec<&ApprovedCaEntry> = Vec::new();
        let mut at = certificate;
        while let Some(ca) = self.issuer_of(instance, at) {
            if path.len() == MAX_PATH
                || path.iter().any(|c| c.certificate.der() == ca.certificate.der())
            {
                break;
            }
            path.push(ca);
            at = &ca.certificate;
        }
        path
    }

    /// The CAs of an instance, in the order of its document.
    pub fn approved_cas(&self, instance: &str) -> &[ApprovedCaEntry] {
        self.find(instance).map_or(&[], |i| &i.cas)
    }

    /// The certificates of all CAs of all instances.
    pub fn all_cas(&self) -> &[Certificate] {
        &self.all_cas
    }

    /// The certificates of all OCSP responders of all instances.
    pub fn all_ocsp_responders(&self) -> &[Certificate] {
        &self.all_ocsp_responders
    }

    /// Whose signatures on OCSP responses count for certificates of the given CA.
    pub fn ocsp_trust<'a>(&'a self, issuer: &'a ApprovedCaEntry) -> OcspTrust<'a> {
        OcspTrust {
            responders_of_issuer: &issuer.ocsp_responders,
            all_responders: &self.all_ocsp_responders,
            all_cas: &self.all_cas,
        }
    }

    /// Where to ask for the status of a certificate: the responders of its CA (of any instance, the
    /// own first) in the given order, then those that the certificate itself names.
    pub fn ocsp_urls_of(&self, certificate: &Certificate, priority: CostPriority) -> Vec<String> {
        let responders = self.issuer_in_any_instance(certificate).map(|ca| ca.ocsp.clone());
        let mut urls: Vec<String> = Vec::new();
        let configured = priority.order(responders.unwrap_or_default(), |r| r.cost);
        for url in configured.into_iter().map(|r| r.url).chain(certificate.ocsp_urls()) {
            if !url.is_empty() && !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }

    // Timestamping

    /// The timestamping authorities of an instance.
    pub fn approved_tsas(&self, instance: &str) -> &[ApprovedTsa] {
        self.find(instance).map_or(&[], |i| &i.tsas)
    }

    /// The certificates of the timestamping authorities of all instances: whoever is approved
    /// anywhere is believed.
    pub fn tsa_certificates(&self) -> &[Certificate] {
        &self.tsa_certificates
    }

    /// How long a record of the message log may wait for its timestamp. 60 seconds where there are no
    /// private parameters.
    pub fn timestamping_interval(&self) -> Duration {
        let seconds = self.private().map_or(60, |p| p.timestamping_interval_seconds);
        Duration::from_secs(seconds.into())
    }

    // Policy of the own instance

    /// How old OCSP responses may be, and whether their `nextUpdate` counts.
    pub fn ocsp_policy(&self) -> OcspPolicy {
        let own = &self.own().configuration;
        OcspPolicy {
            freshness: Duration::from_secs(own.shared.settings.ocsp_freshness_seconds.into()),
            verify_next_update: own.next_update.unwrap_or_default().verify,
        }
    }

    /// How often OCSP responses are fetched.
    pub fn ocsp_fetch_interval(&self) -> Duration {
        self.own().configuration.fetch_interval.unwrap_or_default().duration()
    }

    /// Where management requests go.
    pub fn management_service(&self) -> Option<&ManagementService> {
        self.private().map(|private| &private.management)
    }

    /// Who may ask all security servers for monitoring data.
    pub fn monitoring_client(&self) -> Option<&ClientId> {
        self.own().configuration.monitoring.as_ref()?.client.as_ref()
    }

    // Security servers

    /// The server that has registered this authentication certificate, in any instance; the own
    /// instance's word counts first.
    pub fn server_by_auth_certificate(&self, certificate: &Certificate) -> Option<&SecurityServer> {
        let hashes = instance::Hashes::of(certificate);
        self.instances.iter().find_map(|i| i.server_by_hash(&hashes))
    }

    /// Whether this is an authentication certificate of a server that serves the client (as owner or
    /// registered client).
    pub fn auth_certificate_matches(&self, certificate: &Certificate, client: &ClientId) -> bool {
        let Some(instance) = self.find(client.instance()) else { return false };
        let hashes = instance::Hashes::of(certificate);
        let registered = |server: &&SecurityServer| {
            server.auth_cert_hashes.iter().any(|hash| hashes.matches(instance.version(), hash))
        };
        instance.servers_of(client).any(|server| registered(&server))
    }

    /// The servers that serve a client, as owner or registered client.
    pub fn servers_of(&self, client: &ClientId) -> Vec<&SecurityServer> {
        self.find(client.instance()).map_or_else(Vec::new, |i| i.servers_of(client).collect())
    }

    /// The server of that identifier.
    pub fn server(&self, id: &SecurityServerId) -> Option<&SecurityServer> {
        self.find(id.owner().instance())?.server(id)
    }

    /// The servers of an instance.
    pub fn servers(&self, instance: &str) -> &[SecurityServer] {
        self.shared(instance).map_or(&[], |shared| &shared.security_servers)
    }

    /// Whether a server serves a client, as owner or registered client.
    pub fn is_registered_client(&self, server: &SecurityServerId, client: &ClientId) -> bool {
        self.find(client.instance())
            .is_some_and(|i| i.servers_of(client).any(|found| found.id == *server))
    }

    // Members and groups

    /// Whether the member is registered.
    pub fn has_member(&self, member: &MemberId) -> bool {
        self.member_name(member).is_some()
    }

    /// Whether the client, a member or a subsystem, is registered.
    pub fn has_client(&self, client: &ClientId) -> bool {
        match client.subsystem_code() {
            Some(_) => self.has_subsystem(client),
            None => self.has_member(client.member()),
        }
    }

    /// Whether the client is a registered subsystem.
    pub fn has_subsystem(&self, client: &ClientId) -> bool {
        self.find(client.instance()).is_some_and(|i| i.subsystem(client).is_some())
    }

    /// The name of a member.
    pub fn member_name(&self, member: &MemberId) -> Option<&str> {
        self.find(member.instance())?.member(member).map(|m| m.name.as_str())
    }

    /// The name of a subsystem, if it has one.
    pub fn subsystem_name(&self, client: &ClientId) -> Option<&str> {
        self.find(client.instance())?.subsystem(client)?.name.as_deref()
    }

    /// Whether a client is in a group. A member in a group does not bring its subsystems in.
    pub fn global_group_contains(&self, group: &GlobalGroupId, client: &ClientId) -> bool {
        self.find(group.instance()).is_some_and(|i| i.group_contains(group.code(), client))
    }

    /// The description of a group.
    pub fn global_group_description(&self, group: &GlobalGroupId) -> Option<&str> {
        self.find(group.instance())?.group(group.code()).map(|g| g.description.as_str())
    }

    fn own(&self) -> &Instance {
        // The constructor refuses an empty list.
        &self.instances[0]
    }

    fn find(&self, instance: &str) -> Option<&Instance> {
        self.places.get(instance).map(|place| &*self.instances[*place])
    }
}
