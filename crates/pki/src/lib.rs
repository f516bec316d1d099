//! Certificates and what goes with them: digests, signature algorithms, X.509 certificates (RFC 5280),
//! OCSP requests and responses (RFC 6960), timestamp tokens (RFC 3161 in CMS, RFC 5652), certificate
//! paths, certificate profiles, certificate requests (RFC 2986), and the making of all of them.
//!
//! Everything here is a pure function of bytes and a given time: no sockets, no files, no clock. Bytes
//! come in from peers and authorities and are taken to be hostile; sizes and counts are bounded before
//! anything is allocated, and nothing recurses over input. Signatures are verified with *ring*, save for
//! ECDSA with SHA-512, which it lacks.
//! X.509 certificates are read with *x509-parser*, which tolerates what members' PKIs really issue.
//!
//! Where the judgement of X-Road 7.8 matters for interoperation (which OCSP response counts, who may
//! sign it, which timestamp is accepted), the functions follow it and say where they are stricter.

mod algorithm;
mod asn1;
mod certificate;
pub mod chain;
mod digest;
mod ecdsa_sha512;
mod error;
pub mod issue;
mod key;
pub mod name;
pub mod ocsp;
mod pem;
pub mod profile;
pub mod tsp;

pub use algorithm::{EcdsaForm, SignatureAlgorithm, ecdsa_der_to_raw, ecdsa_raw_to_der};
pub use certificate::{BasicConstraints, Certificate, KeyUsage, MAX_CERTIFICATE};
pub use digest::{DigestAlgorithm, Digester};
pub use error::PkiError;
pub use key::{KeyKind, PublicKey, SigningKey};
