//! What the administration of a security server and of a central registry have in common: who may
//! do what ([`identity`]), the HTTPS edge with its table of routes ([`http`]), and the audit log
//! ([`audit`]). It knows no trade: the two servers give it their roles' permissions, their routes and
//! their events.
//!
//! Compatible with X-Road 7.8 where its automation depends on it: `/api/v1`, `Authorization:
//! X-Road-ApiKey token=…`, the names of roles and permissions, the bodies of errors (`status`,
//! `error.code`, `error.metadata`, `warnings`), `/api/v1/api-keys`, `/api/v1/user`, `/login`, `/logout`,
//! `XSRF-TOKEN`, and the events and fields of the audit log (X-Road's UG-SS 19 and SPEC-AL).
//!
//! Decisions are functions of values: time is a parameter, randomness comes from a [`Randomness`].
//! Everything that arrives is taken as hostile and bounded before it is kept.

pub mod audit;
pub mod http;
pub mod identity;
mod random;
pub mod store;

pub use random::{Randomness, SystemRandomness, Unavailable};
