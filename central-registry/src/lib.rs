//! The central registry of an instance: who is a member, which security servers, clients and trust
//! services there are, published as the global configuration that every security server downloads.
//!
//! The records lie in a store ([`store`]), one transaction a change ([`Edit`], with its rules). A
//! [`Registry`] signs them as global configurations of the versions 2 to 6 and serves them in the
//! layout of X-Road's central server (protocol reference 7.1 and 7.2), renewed at every change and
//! before they expire. Operators work with the command line ([`cli`]), which speaks to a running
//! registry over a socket in its storage folder ([`admin`]), or opens the store itself; where it is switched on, they
//! and their automation also work over HTTPS, with the paths of X-Road's central server. Security servers
//! send management requests ([`Doors`]), which wait for the operator or change the records at once.
//!
//! Formats and signatures are made by `causeway_globalconf`; nothing here knows XML.

pub mod admin;
mod api;
pub mod cli;
mod config;
mod doors;
mod edit;
mod http;
mod listing;
mod parameters;
mod publication;
mod records;
mod registry;
mod requests;
mod short;
mod signing;
pub mod store;

pub use config::{AdminConfig, Config, ConfigErrors, Doorway, Mistake};
pub use doors::Doors;
pub use edit::{Edit, EditError, SERVER_OWNERS};
pub use listing::{
    CaListing, CertificateListing, Described, GroupListing, Listing, Named, ServerListing,
    SigningKeyListing, TsaListing,
};
pub use publication::{Publication, RETENTION};
pub use records::{
    CaCertificateRecord, CaRecord, CertificateRecord, ConfigurationKind, OcspRecord, Settings,
    TsaRecord,
};
pub use registry::{Door, Records, Registry, RegistryError};
pub use requests::{
    Approval, OperatorRequest, Origin, Outcome, RequestError, RequestListing, RequestRecord,
    RequestStatus,
};
pub use signing::{Signer, Signers};
