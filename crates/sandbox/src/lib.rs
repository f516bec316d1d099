//! A whole X-Road compatible ecosystem in one process: a central registry, a certification
//! authority with OCSP responder, a timestamping authority, three members with their security
//! servers, and the members' information systems.
//!
//! [`Ecosystem`] is what tests and the binary `sandbox` start: nothing in it is a mock, all parts
//! talk over sockets of the loopback interface and are configured through files as an operator
//! writes them. Who is in it is in [`world`], what the registers know in [`records`]. [`story`]
//! lets the portal decide about a child benefit and has every exchange judged by the auditor;
//! [`mod@load`] drives exchanges as fast as they go and measures them. All texts for people are in
//! [`texts`], in English and Vietnamese.
//!
//! ```no_run
//! # async fn example() -> Result<(), sandbox::SandboxError> {
//! use sandbox::{Ecosystem, Options};
//!
//! let ecosystem = Ecosystem::start(Options::for_tests()).await?;
//! let world = ecosystem.world();
//! let exchange =
//!     ecosystem.call(&world.portal.subsystem, &world.persons, "/099321000417").await?;
//! assert_eq!(exchange.error(), None);
//!
//! ecosystem.authorities().ocsp_faults().set_available(false);
//! ecosystem.systems().population.set_available(false).await;
//! ecosystem.stop().await;
//! # Ok(())
//! # }
//! ```

mod addresses;
pub mod cli;
pub mod consumer;
mod ecosystem;
mod error;
pub mod evidence;
pub mod load;
mod options;
mod progress;
pub mod records;
pub mod story;
pub mod systems;
mod table;
pub mod texts;
pub mod world;

pub use addresses::{Addresses, DEFAULT_BASE, Ports, ServerAddresses};
pub use consumer::{Call, Consumer, Exchange};
pub use ecosystem::{Authorities, Ecosystem, SecurityServer, Systems};
pub use error::SandboxError;
pub use options::{Adjust, Options, Progress, Step, StepState};
