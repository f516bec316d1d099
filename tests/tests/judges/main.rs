//! Our evidence before judges that we did not write: `unzip`, `xmlsec1`, `openssl`, and the library
//! behind Estonia's signing programs; and forged evidence before our own auditor.
//!
//! [`samples`] runs an ecosystem for each kind of key and keeps what it left: containers of every
//! shape, OCSP responses from port 5577, the published configurations. [`page`] takes the commands
//! from `docs/verify-by-hand.md`, so that the page stays true, and runs them in [`desk`]s, folders
//! of their own. Where a tool is missing, that is said and the test passed over; in continuous
//! integration (`CI=true`) it is an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod by_hand;
mod captured;
mod configuration;
mod desk;
mod digidoc;
mod flips;
mod forged;
mod ocsp;
mod page;
mod samples;
mod tools;
mod tricks;
