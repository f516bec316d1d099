//! The optional parts of a configuration (protocol reference 7.9). Their schemas leave no room for
//! other elements, so unknown ones are refused here.

use std::time::Duration;

use causeway_identifiers::ClientId;
use causeway_xml::Limits;

use crate::GlobalConfError;
use crate::shared::write::{client_id, start};
use crate::structure::Structure;

/// Who may ask all security servers for monitoring data (`MONITORING`, `monitoring-params.xml`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MonitoringParameters {
    /// The client that may; `None` when nobody may.
    pub client: Option<ClientId>,
}

impl MonitoringParameters {
    /// Reads the document.
    ///
    /// # Errors
    /// [`GlobalConfError::Malformed`].
    pub fn parse(xml: &[u8]) -> Result<Self, GlobalConfError> {
        let s = Structure::new("monitoring parameters");
        let document = s.document(xml, &Limits::default(), "conf")?;
        s.only(document.root(), &["monitoringClient"])?;
        let client = s.one(document.root(), "monitoringClient")?;
        s.only(client, &["monitoringClientId"])?;
        let id = s.at_most_one(client, "monitoringClientId")?;
        Ok(Self { client: id.map(|e| s.client_id(e)).transpose()? })
    }

    /// Writes the document.
    pub fn to_xml(&self) -> Vec<u8> {
        let mut w = start("conf");
        w.start("monitoringClient", &[]);
        if let Some(client) = &self.client {
            client_id(&mut w, "monitoringClientId", client);
        }
        w.finish().into_bytes()
    }
}

/// How often OCSP responses are fetched (`FETCHINTERVAL`, `fetchinterval-params.xml`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchInterval {
    /// The interval in seconds, as the document says it; see [`FetchInterval::duration`].
    pub seconds: u32,
}

impl FetchInterval {
    /// The shortest interval, in seconds.
    pub const MINIMUM: u32 = 60;

    /// The interval to keep: what the document says, but not below [`FetchInterval::MINIMUM`].
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds.max(Self::MINIMUM).into())
    }

    /// Reads the document.
    ///
    /// # Errors
    /// [`GlobalConfError::Malformed`].
    pub fn parse(xml: &[u8]) -> Result<Self, GlobalConfError> {
        let s = Structure::new("OCSP fetch interval");
        let document = s.document(xml, &Limits::default(), "conf")?;
        s.only(document.root(), &["ocspFetchInterval"])?;
        Ok(Self { seconds: s.number(document.root(), "ocspFetchInterval")? })
    }

    /// Writes the document.
    pub fn to_xml(&self) -> Vec<u8> {
        let mut w = start("conf");
        w.element("ocspFetchInterval", &[], &self.seconds.to_string());
        w.finish().into_bytes()
    }
}

impl Default for FetchInterval {
    /// 1200 seconds.
    fn default() -> Self {
        Self { seconds: 1200 }
    }
}

/// Whether an OCSP response's `nextUpdate` counts (`NEXTUPDATE`, `nextupdate-params.xml`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextUpdate {
    /// A response whose `nextUpdate` has passed is refused.
    pub verify: bool,
}

impl NextUpdate {
    /// Reads the document.
    ///
    /// # Errors
    /// [`GlobalConfError::Malformed`].
    pub fn parse(xml: &[u8]) -> Result<Self, GlobalConfError> {
        let s = Structure::new("OCSP next update rule");
        let document = s.document(xml, &Limits::default(), "conf")?;
        s.only(document.root(), &["verifyNextUpdate"])?;
        Ok(Self { verify: s.boolean(s.one(document.root(), "verifyNextUpdate")?)? })
    }

    /// Writes the document.
    pub fn to_xml(&self) -> Vec<u8> {
        let mut w = start("conf");
        w.element("verifyNextUpdate", &[], if self.verify { "true" } else { "false" });
        w.finish().into_bytes()
    }
}

impl Default for NextUpdate {
    /// It counts.
    fn default() -> Self {
        Self { verify: true }
    }
}
