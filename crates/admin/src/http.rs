//! The HTTPS edge: a table of [`Route`]s, and what stands before each of them.
//!
//! A [`Gate`] admits a request by its head alone (host, rate, credentials, the page's token, permission),
//! tells how much of a body may follow, and performs it: the handler of its route, with an event in the
//! audit log on disk before the answer leaves. [`serve`] is the thin part with sockets and TLS.

mod answer;
mod call;
mod credentials;
mod form;
mod gate;
mod json;
pub mod multipart;
mod networks;
mod openapi;
mod own;
mod problem;
mod route;
mod serve;
mod throttle;
mod tls;

pub use answer::{Answer, Body};
pub use call::Call;
pub use credentials::{Presented, SESSION_COOKIE, presented};
pub use form::{decode, read_pairs};
pub use gate::{Admitted, EdgeSettings, Gate};
pub use json::{MAX_DEPTH, is_bounded};
pub use networks::Networks;
pub use openapi::{Document, to_yaml};
pub use problem::{Problem, Warning};
pub use route::{Accepts, Access, Handler, Parameter, Route, RouteError, Routes};
pub use serve::{ServeError, Serving, serve};
pub use throttle::{Rates, Throttle};
pub use tls::{TlsError, TlsFiles, ensure};
