//! Trust services for a closed environment, a sandbox or a test: a small certification authority (a root,
//! with an intermediate authority if wanted), an OCSP responder (RFC 6960) and a timestamping authority
//! (RFC 3161), all real ones: what they issue verifies with any tool.
//!
//! The services themselves are pure: [`OcspResponder::answer`] and [`TimestampingAuthority::answer`] turn
//! request bytes and a time into answer bytes. [`serve`] is the one edge that talks HTTP (RFC 6960
//! appendix A, RFC 3161 3.4), with bounded bodies, connections and times.
//!
//! Every service can be made to fail ([`FaultSwitch`], [`ListenSwitch`]), for tests and demonstrations of
//! what a security server does when the world around it is not there.
//!
//! Keys of the authority lie unencrypted in its folder, readable by its owner alone. For a production
//! authority use one with hardware-kept keys.

mod authority;
mod error;
mod fault;
mod http;
mod ocsp;
mod register;
mod store;
mod tsa;

pub use authority::{AuthorityOptions, CertificationAuthority, Level, Order, Purpose};
pub use error::TrustServicesError;
pub use fault::{Fault, FaultSwitch, ListenSwitch};
pub use http::{Services, serve};
pub use ocsp::OcspResponder;
pub use register::Issued;
pub use tsa::TimestampingAuthority;
