//! The global configuration of the trust network: who is a member, which servers and certification
//! authorities are trusted, and for how long, as every security server downloads it.
//!
//! The formats are those of X-Road's `pr-gconf`, versions 2 to 6 (`protocol reference` 7 in the
//! project's notes):
//!
//! - [`SharedParameters`], [`PrivateParameters`] and the optional parts ([`MonitoringParameters`],
//!   [`FetchInterval`], [`NextUpdate`]): XML documents, read and written, the same type for all versions;
//! - [`Anchor`]: where trust in an instance begins;
//! - [`directory`]: the signed directory of a download, verified and made;
//! - [`location`]: which addresses to try, and in which order;
//! - [`PartMetadata`] and [`file_name`]: the layout on disk, the same as that of X-Road's client;
//! - [`GlobalConf`]: an immutable snapshot of all instances, indexed for look-ups while messages flow.
//!
//! Nothing here does I/O or reads a clock: bytes and moments come in, values go out.

mod anchor;
pub mod directory;
mod encoded;
mod error;
pub mod file_name;
mod instant;
pub mod location;
mod metadata;
mod multipart;
mod optional;
mod private;
pub mod shared;
mod snapshot;
mod structure;
mod version;

pub use anchor::{Anchor, AnchorSource};
pub use encoded::{AuthCertificateHash, EncodedCertificate};
pub use error::GlobalConfError;
pub use metadata::PartMetadata;
pub use optional::{FetchInterval, MonitoringParameters, NextUpdate};
pub use private::{ManagementService, PrivateParameters};
pub use shared::{SecurityServer, SharedParameters};
pub use snapshot::{
    ApprovedCaEntry, ApprovedTsa, CostPriority, GlobalConf, InstanceConfiguration,
    OcspResponderEntry,
};
pub use version::Version;
