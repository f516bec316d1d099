//! Archives of the message log: ZIP files of signed containers, each tied to the one before it by a
//! chain of digests, as X-Road 7.8 writes and checks them (`LogArchiveWriter`, `LinkingInfoBuilder`,
//! `ArchiveHashChainVerifier`; UG-SYSPAR `message-log`).
//!
//! - [`name`]: what archives are called, and which records share one.
//! - [`linking`]: the entry `linkinginfo` and the chain in it.
//! - [`mod@write`]: one archive, written to anything that takes bytes; containers come one by one.
//! - [`read`]: one archive, read as a stranger's: what its linking information proves of it, and what not.
//! - [`set`]: many archives: their order, and what is missing, doubled or forked among them.
//! - [`openpgp`]: archives encrypted for their recipients.
//! - [`folder`]: the edge. Archives appear in a folder whole, verified and under their name, or not at all.
//!
//! All but `folder` is free of files and clocks. A chain of digests alone signs nothing: who can write all
//! archives can make a chain that holds. What it shows, and what only a digest kept elsewhere shows, is
//! said at [`set::judge`].

mod error;
pub mod folder;
pub mod linking;
pub mod name;
pub mod openpgp;
pub mod read;
pub mod set;
pub mod write;

pub use error::ArchiveError;
