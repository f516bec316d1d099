//! Load: exchanges as fast as they go over a number of kept connections, and what they cost.
//!
//! The driver is closed: each connection sends the next request when the last answer is complete.
//! It runs on a thread of its own, so that its processor time can be told apart, and measures an
//! ecosystem in the same process or any URL.

mod driver;
mod histogram;
pub mod process;
mod report;

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Uri};

pub use driver::{Outcome, drive};
pub use histogram::Histogram;
pub use report::Report;

use crate::consumer::{CLIENT, rest_path};
use crate::{Ecosystem, SandboxError};

/// What to send, how often.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to.
    pub target: Uri,
    /// With which method.
    pub method: Method,
    /// With which headers.
    pub headers: HeaderMap,
    /// With how many bytes of body.
    pub body: u64,
    /// As SOAP messages with an id of their own each; `body` is then what the envelope has in its
    /// body, or the attachment.
    pub soap: Option<Soap>,
    /// Over how many connections at once.
    pub connections: usize,
    /// For how long before it counts.
    pub warm_up: Duration,
    /// For how long it counts.
    pub duration: Duration,
}

/// What kind of messages a load has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// REST messages.
    #[default]
    Rest,
    /// SOAP messages without attachments.
    Soap,
    /// SOAP messages with an attachment.
    SoapAttachment,
}

impl Kind {
    /// The names on the command line.
    pub const NAMES: [&str; 3] = ["rest", "soap", "soap-attachment"];

    /// The kind of a name; REST for any other.
    pub fn of(name: &str) -> Self {
        match name {
            "soap" => Self::Soap,
            "soap-attachment" => Self::SoapAttachment,
            _ => Self::Rest,
        }
    }

    /// The bytes of a body, or attachment, when none are asked for.
    pub fn usual_body(self) -> u64 {
        if self == Self::SoapAttachment { 100 << 10 } else { 1024 }
    }
}

/// SOAP messages of a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soap {
    /// Whether they have an attachment.
    pub attachment: bool,
    /// The parties: instance, class, member and subsystem of the client and of the service.
    pub parties: [[String; 4]; 2],
}

impl Plan {
    /// GET requests to any URL.
    ///
    /// # Errors
    /// When it is not an `http` URL with a host.
    pub fn for_url(url: &str) -> Result<Self, SandboxError> {
        let target: Uri = url.parse().map_err(SandboxError::part(url))?;
        if target.scheme_str() != Some("http") || target.host().is_none() {
            return Err(SandboxError::part(url)("is not a URL such as http://127.0.0.1:8080/x"));
        }
        Ok(Self {
            target,
            method: Method::GET,
            headers: HeaderMap::new(),
            body: 0,
            soap: None,
            connections: 32,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(10),
        })
    }

    /// Requests from the portal to the population register, answered with `bytes` each; with
    /// `post`, the requests have as many.
    ///
    /// # Errors
    /// None that happens: the URL is the ecosystem's own.
    pub fn for_ecosystem(
        ecosystem: &Ecosystem,
        bytes: u64,
        post: bool,
        kind: Kind,
    ) -> Result<Self, SandboxError> {
        let world = ecosystem.world();
        if kind != Kind::Rest {
            let mut plan = Self::for_url(&format!("{}/", ecosystem.consumer_url()))?;
            let party = |id: &causeway_identifiers::ClientId| {
                let member = id.member();
                let subsystem = id.subsystem_code().unwrap_or_default();
                [member.instance(), member.class(), member.code(), subsystem].map(str::to_owned)
            };
            plan.soap = Some(Soap {
                attachment: kind == Kind::SoapAttachment,
                parties: [party(&world.portal.subsystem), party(world.measure_soap.client())],
            });
            (plan.method, plan.body) = (Method::POST, bytes);
            return Ok(plan);
        }
        let path = rest_path(&world.measure, &format!("/{bytes}"));
        let mut plan = Self::for_url(&format!("{}{path}", ecosystem.consumer_url()))?;
        let client = world.portal.subsystem.to_short();
        let client = HeaderValue::from_str(&client).map_err(SandboxError::part("X-Road-Client"))?;
        plan.headers.insert(CLIENT, client);
        if post {
            plan.method = Method::POST;
            plan.body = bytes;
        }
        Ok(plan)
    }
}
