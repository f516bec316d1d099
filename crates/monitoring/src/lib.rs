//! Operational and environmental monitoring (X-Road's `pr-opmon` and its monitoring messages).
//!
//! Each exchange leaves one [`Record`] on each server that took part: who asked whom for what, when
//! it passed, how large it was, and how it ended. [`Recorder`] takes the records off the message's
//! path, keeps them in a [`Store`] for some days, and counts them per service ([`Health`]).
//! Operators and national collectors ask for them by SOAP: [`request`] reads what they send,
//! [`response`] writes the answers, and [`view`] says whose records a client may see.
//! [`environment`] is the other half: what a server says of its machine.
//!
//! All but [`Store`] and [`Recorder`] are functions of bytes and values; time is a parameter.

mod buffer;
pub mod environment;
mod field;
mod health;
mod record;
mod recorder;
pub mod request;
pub mod response;
mod store;
pub mod view;

pub use field::{Field, Fields, Shown};
pub use health::{Health, MAX_SERVICES, SLICES, ServiceHealth, Spread};
pub use record::{MAX_FAULT_CHARS, MAX_TEXT_CHARS, Record, ServerType};
pub use recorder::{Recorder, RecorderSettings};
pub use store::{Found, Removed, Search, Searcher, Store, StoreError, StoreSettings};
