//! Keys that sign and authenticate, and the tokens that keep them.
//!
//! A [`KeyPair`] is a private key in memory: RSA or ECDSA on P-256, signing
//! through *ring*. A [`Token`] is where such keys live at rest, beside their
//! certificates and certificate requests, locked by a [`Pin`].
//! [`SoftwareToken`] is the token on disk: one file, in which every private
//! key (PKCS#8, RFC 5208) is sealed with AES-256-GCM under a key that
//! argon2id (RFC 9106) makes from the PIN. [`Pkcs11Token`] is
//! one in a module that never lets its keys out, reached through its
//! manufacturer's library.
//!
//! Secrets are wiped from memory when they are dropped, as far as *ring*,
//! which keeps its own copy of a key in use, lets us; no `Debug` prints them.
//! This crate reads and writes files and, for prompts, the terminal; it knows
//! no network and, but for slowing down the guessing of PINs, no clock.

mod attempts;
mod catalog;
mod error;
mod kind;
mod pair;
mod pin;
mod pkcs11;
mod record;
mod seal;
mod software;
mod store;
mod token;

pub use error::KeysError;
pub use kind::KeyKind;
pub use pair::{KeyId, KeyPair};
pub use pin::{Pin, PinPolicy, PinSource};
pub use pkcs11::{Pkcs11Token, TokenChoice, UnknownKey};
pub use seal::Cost;
pub use software::SoftwareToken;
pub use token::{
    CertificateInfo, Credential, Fingerprint, KeyInfo, RequestInfo, Token, TokenState, Usage,
};
