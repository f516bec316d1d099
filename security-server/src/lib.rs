//! The agency's security server: it signs, timestamps and logs every message
//! that it relays between its own information systems and other members'
//! security servers (X-Road message transport protocol, REST protocol v1).
//!
//! A message's way reads top to bottom in [`client_side`] (a consumer's
//! request) and [`provider_side`] (a provider's answer). What they stand on:
//! [`settings`] and [`access`] (what is allowed), [`signing`] and
//! [`verification`] (evidence), [`peers`] and [`tls`] (other servers),
//! [`service_call`] (the provider's information system).
//! What members may ask of their services: [`metadata`], [`descriptions`]. What runs beside
//! them: [`globalconf_client`], [`ocsp_client`], [`ocsp_exchange`],
//! [`timestamper`], [`health`]. [`server`] ties it together.

pub mod access;
pub mod body;
pub mod cli;
pub mod client_side;
pub mod descriptions;
pub mod download;
pub mod globalconf_client;
pub mod health;
pub mod http;
pub mod message;
pub mod metadata;
pub mod metrics;
pub mod monitoring;
pub mod ocsp_client;
pub mod ocsp_exchange;
pub mod outgoing;
mod parts;
pub mod peers;
pub mod plain_lines;
pub mod provider_side;
mod random;
pub mod receive;
pub mod related;
pub mod server;
pub mod service_call;
pub mod settings;
pub mod signing;
pub mod timestamper;
pub mod tls;
mod told;
pub mod verification;
mod writer;

/// The version that other security servers are told: the generation of X-Road
/// whose protocols are spoken, as a semantic version (some refuse what is not one).
pub const PROTOCOL_VERSION: &str = "7.8.0";
