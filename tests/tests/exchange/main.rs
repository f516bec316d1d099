//! Exchanges through a whole ecosystem as its users meet them: an information system that asks, one
//! that answers, and an operator who changes things meanwhile. Each module is a story.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod connections;
mod large_bodies;
mod monitoring;
mod outages;
mod passage;
mod provider;
mod refusals;
mod reload_and_stop;
mod rights;
mod scene;
mod several_servers;
mod soap;
mod stalls;
mod starting;
mod wire;
