//! ASiC-E containers: a signed message with all that proves it, in one ZIP
//! file (ETSI TS 102 918 in the profile of X-Road 7.8, `AsicContainer`).
//!
//! - [`Container`]: message, signature, hash chains, timestamp and attachments, read and written.
//! - [`archive`]: the ZIP archive below, with bounds before anything is inflated, and no
//!   file that two readers would understand differently.
//! - [`container_name`]: the file name that X-Road gives a container.
//!
//! This crate reads structure alone; whether a signature holds is for the auditor to judge.
//! Bytes, or a reader that can seek, come in; values go out. Time is a parameter.

pub mod archive;
mod container;
mod error;
mod limits;
mod manifest;
mod name;

pub use container::{Attachment, Container, ExtraEntry, Source, entry};
pub use error::AsicError;
pub use limits::Limits;
pub use name::container_name;

/// The media type of a container, and the content of its entry `mimetype`.
pub const MIME_TYPE: &str = "application/vnd.etsi.asic-e+zip";
