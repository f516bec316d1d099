//! What a snapshot is made of, and what its look-ups answer.

use causeway_pki::Certificate;
use causeway_pki::profile::CertificateProfile;
use time::OffsetDateTime;

use crate::shared::{AcmeServer, CostType, CsrFormat, SharedParameters};
use crate::{
    FetchInterval, GlobalConfError, MonitoringParameters, NextUpdate, PrivateParameters, Version,
};

/// All that is known of one instance: its documents and how long they count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceConfiguration {
    /// The shared parameters.
    pub shared: SharedParameters,
    /// The private parameters; only those of the own instance count.
    pub private: Option<PrivateParameters>,
    /// The version of the documents.
    pub version: Version,
    /// When they stop counting; `None`: never.
    pub expires: Option<OffsetDateTime>,
    /// Who may ask for monitoring data.
    pub monitoring: Option<MonitoringParameters>,
    /// How often OCSP responses are fetched.
    pub fetch_interval: Option<FetchInterval>,
    /// Whether `nextUpdate` of OCSP responses counts.
    pub next_update: Option<NextUpdate>,
}

impl InstanceConfiguration {
    /// A configuration of shared parameters alone, as of a federated instance.
    pub fn new(
        shared: SharedParameters,
        version: Version,
        expires: Option<OffsetDateTime>,
    ) -> Self {
        Self {
            shared,
            private: None,
            version,
            expires,
            monitoring: None,
            fetch_interval: None,
            next_update: None,
        }
    }

    pub(super) fn valid_at(&self, now: OffsetDateTime) -> Result<(), GlobalConfError> {
        match self.expires {
            Some(expired) if expired < now => {
                Err(GlobalConfError::Outdated { instance: self.shared.instance.clone(), expired })
            }
            _ => Ok(()),
        }
    }
}

/// A certification authority, top or intermediate, of an approved certification service.
#[derive(Debug, Clone)]
pub struct ApprovedCaEntry {
    /// The CA's certificate.
    pub certificate: Certificate,
    /// The name of the certification service.
    pub name: String,
    /// The Java class name of the certificate profile.
    pub profile_class: String,
    /// The certificate profile; `None` for a class that is not known here.
    pub profile: Option<CertificateProfile>,
    /// Where the responders for its certificates answer.
    pub ocsp_urls: Vec<String>,
    /// The responders with what they cost, in the order of the document.
    pub ocsp: Vec<OcspResponderEntry>,
    /// The certificates with which its responders sign.
    pub ocsp_responders: Vec<Certificate>,
    /// Its certificates are for TLS authentication alone.
    pub authentication_only: bool,
    /// It is the topmost CA of its service.
    pub is_top: bool,
    /// The topmost CA of its service; itself when [`ApprovedCaEntry::is_top`].
    pub top: Certificate,
    /// The form in which certificate requests are to be made.
    pub csr_format: Option<CsrFormat>,
    /// The service's ACME server.
    pub acme: Option<AcmeServer>,
}

/// An OCSP responder of a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspResponderEntry {
    /// Where it answers.
    pub url: String,
    /// What it costs.
    pub cost: Option<CostType>,
}

/// An approved timestamping authority.
#[derive(Debug, Clone)]
pub struct ApprovedTsa {
    /// Name shown to people.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// The certificate with which it signs.
    pub certificate: Certificate,
    /// What it costs.
    pub cost: Option<CostType>,
}

/// In which order services are used that cost something or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CostPriority {
    /// In the order of the configuration.
    #[default]
    AsListed,
    /// Free ones first, then paid, then those of unknown cost.
    FreeFirst,
    /// Paid ones first, then free, then those of unknown cost.
    PaidFirst,
    /// Free ones alone.
    OnlyFree,
    /// Paid ones alone.
    OnlyPaid,
}

impl CostPriority {
    /// The items in this order; items of equal standing keep theirs.
    pub fn order<T>(self, items: Vec<T>, cost: impl Fn(&T) -> Option<CostType>) -> Vec<T> {
        let mut ranked: Vec<(u8, T)> = items
            .into_iter()
            .filter_map(|item| self.rank(cost(&item)).map(|rank| (rank, item)))
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, item)| item).collect()
    }

    fn rank(self, cost: Option<CostType>) -> Option<u8> {
        let (free, paid) = (cost == Some(CostType::Free), cost == Some(CostType::Paid));
        match self {
            Self::AsListed => Some(0),
            Self::FreeFirst => Some(if free {
                0
            } else if paid {
                1
            } else {
                2
            }),
            Self::PaidFirst => Some(if paid {
                0
            } else if free {
                1
            } else {
                2
            }),
            Self::OnlyFree => free.then_some(0),
            Self::OnlyPaid => paid.then_some(0),
        }
    }
}
