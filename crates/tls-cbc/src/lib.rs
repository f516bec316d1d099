//! Two TLS 1.2 suites that rustls leaves out on purpose, for peers that offer nothing else.
//!
//! # Why this exists
//! Security servers of version 7 offer each other TLS 1.2 with
//! `TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384` and its kin, unless their operator
//! sets other suites (`xroad-tls-ciphers`). rustls has AEAD suites alone. A
//! member whose partners have not changed their settings yet cannot reach
//! them, nor be reached, without these:
//!
//! - `TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384` (`0xC024`, RFC 5289),
//! - `TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384` (`0xC028`, RFC 5289).
//!
//! [`provider_with_cbc`] adds both to a provider of rustls, client and server
//! alike. **Nothing uses them unless an operator switches them on, for one
//! instance at a time**: the way out is GCM at the peer, and
//! [`is_cbc`] lets diagnostics say which connections still need this.
//!
//! # The risk
//! These suites compute the MAC first and encrypt then (RFC 5246, 6.2.3.2;
//! rustls does not negotiate RFC 7366), so a receiver decrypts and removes
//! padding before it knows that a record is genuine. Whoever can tell bad
//! padding from a bad MAC, by an alert or by a clock, learns plaintext: the
//! attacks of Vaudenay, and Lucky Thirteen with all its descendants. Against
//! this stand here:
//!
//! - one error for all that can be wrong, [`rustls::Error::DecryptError`],
//!   thus one alert, `bad_record_mac`, after which the connection is dead;
//! - padding, MAC and the place of the MAC are found with masks (`subtle`);
//!   the number of SHA-512 compressions and the addresses read follow from
//!   the record's length, which everybody sees, never from its padding;
//! - an initialization vector per record from the system's generator, so that
//!   none can be foreseen (BEAST);
//! - AES from the `aes` crate: the processor's instructions where it has
//!   them, else bit-sliced code in constant time; no tables.
//!
//! What remains: constant time is a property of machine code, and no
//! compiler promises it. `examples/timing.rs` measures it; run it on the
//! machine in question. A suite with GCM, or TLS 1.3, has none of these
//! problems, and is preferred wherever both sides have it. For a server this
//! takes [`rustls::ServerConfig::ignore_client_order`], as otherwise the
//! client's order counts.
//!
//! # Keys
//! What this crate holds of keys is overwritten when dropped. rustls' own
//! copy of the key block, made once in each handshake, is not. Secrets cannot
//! be extracted for the kernel's TLS. When the system's generator fails,
//! encryption fails, and rustls panics on it; on systems that run this it
//! does not fail once it has answered.
//!
//! ```
//! use std::sync::Arc;
//!
//! let provider = causeway_tls_cbc::provider_with_cbc(rustls::crypto::ring::default_provider());
//! let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
//!     .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
//! # assert!(config.is_ok());
//! ```

mod mac;
mod record;
mod suite;

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

/// `base` with the two CBC suites behind all that it has, so that a client offers them last.
///
/// A server prefers the others only with [`rustls::ServerConfig::ignore_client_order`].
/// The suites' key exchange and signatures are those of `base`; hash and
/// pseudorandom function are *ring*'s.
pub fn provider_with_cbc(mut base: CryptoProvider) -> CryptoProvider {
    base.cipher_suites.retain(|suite| !is_cbc(suite.suite()));
    base.cipher_suites.extend(suite::SUITES);
    base
}

/// Whether a connection with this suite is one of those that [`provider_with_cbc`] allows, worth a warning.
pub fn is_cbc(suite: CipherSuite) -> bool {
    suite::SUITES.iter().any(|ours| ours.suite() == suite)
}
