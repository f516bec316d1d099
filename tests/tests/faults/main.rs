//! What happens when things fail: a security server dies or its disk is full, services that it
//! needs are away, and two processes want one message log.
//!
//! One security server of an ecosystem runs as a process of its own, from its program and its
//! configuration file; everything else runs in this process. `CAUSEWAY_SECURITY_SERVER=PATH` takes
//! another program, such as an optimized one. `CAUSEWAY_KILLS=N` and `CAUSEWAY_SEED=N` say how
//! often servers are killed and when; `CAUSEWAY_MILLION=1` restarts one with a million records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod away;
mod full_disk;
mod kill;
mod ledger;
mod load;
mod one_log;
mod process;
mod restart;
mod scene;
