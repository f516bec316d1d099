//! Services that this server answers itself, in place of an information system: the metadata and
//! monitoring services. Each is an [`OwnService`]; the server has a list of them.
//!
//! Their road is that of every message: the sender's server is judged, the signature is verified and
//! the request logged before one is asked; the answer is signed, logged and sent back. Who may ask, an own service
//! decides itself.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use causeway_globalconf::GlobalConf;
use causeway_message::Fault;
use causeway_message::rest::Header;
use causeway_transport::PartHeaders;

use crate::message::Asked;
use crate::server::Server;
use crate::service_call::Attachments;
use crate::settings::Client;

/// What an own service gives.
pub type MadeAnswer<'a> = Pin<Box<dyn Future<Output = Result<Made, Fault>> + Send + 'a>>;

/// A service that this server answers itself.
pub trait OwnService: fmt::Debug + Send + Sync {
    /// Whether the request is for it. It sees the request as the client signed it, not yet verified.
    fn is_asked(&self, request: &Asked) -> bool;

    /// Answers a request that was verified and logged; `provider` is the registered client that it asks.
    ///
    /// # Errors
    /// Faults with X-Road's codes, without the prefix of this server.
    fn answer<'a>(
        &'a self,
        server: &'a Arc<Server>,
        provider: &'a Client,
        request: &'a Asked,
        attachments: &'a Attachments,
        conf: &'a GlobalConf,
    ) -> MadeAnswer<'a>;
}

/// An answer that this server made.
#[derive(Debug)]
pub enum Made {
    /// To a REST request: status, headers as an information system would send them, body.
    Rest(u16, Vec<Header>, Bytes),
    /// To a SOAP request: the envelope, which gets the request's hash, and the attachments.
    Soap(Bytes, Vec<(PartHeaders, Bytes)>),
}
