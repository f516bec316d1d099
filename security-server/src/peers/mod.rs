//! Connections to other security servers: which server to take, kept and
//! reused connections, failover (X-Road message transport protocol 2; W-R 3.10).

mod choose;
mod connect;
mod pool;
mod share;

pub use choose::{Candidate, candidates};
pub use connect::{ConnectError, Dialer};
pub use pool::{Peer, PeerPool, SendError};
pub use share::{Share, Shares};
