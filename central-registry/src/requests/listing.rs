//! Requests as they are shown.

use causeway_management::Request;
use causeway_pki::Certificate;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Origin, RequestRecord, RequestStatus};
use crate::listing::CertificateListing;
use crate::records::State;

/// A request. Identifiers are in their short form, moments in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestListing {
    /// Its number.
    pub number: u64,
    /// Its kind, by the service code: `authCertReg`, `clientReg`, ….
    pub kind: String,
    /// Who asked.
    pub origin: Origin,
    /// Where it stands.
    pub status: RequestStatus,
    /// When it was taken.
    pub received_unix: i64,
    /// When it was decided.
    pub decided_unix: Option<i64>,
    /// The server that it is about.
    pub server: String,
    /// The client that it is about.
    pub client: Option<String>,
    /// A subsystem's name.
    pub subsystem_name: Option<String>,
    /// A server's address.
    pub address: Option<String>,
    /// An authentication certificate.
    pub certificate: Option<CertificateListing>,
    /// What callers are told in maintenance.
    pub message: Option<String>,
    /// The number of the other half, when both sides have asked.
    pub partner: Option<u64>,
    /// What it has changed, or what was said of it.
    pub comments: Option<String>,
}

impl RequestListing {
    /// All requests, the newest first.
    pub(crate) fn all(state: &State) -> Vec<Self> {
        state.requests.iter().rev().map(|(number, record)| Self::of(*number, record)).collect()
    }

    fn of(number: u64, record: &RequestRecord) -> Self {
        let request = &record.request;
        let (mut subsystem_name, mut address, mut certificate, mut message) =
            (None, None, None, None);
        match request {
            Request::AuthCertReg { address: a, certificate: c, .. } => {
                address.clone_from(a);
                certificate = Some(c);
            }
            Request::AuthCertDeletion { certificate: c, .. } => certificate = Some(c),
            Request::ClientReg { subsystem_name: name, .. } => subsystem_name.clone_from(name),
            Request::ClientRename { subsystem_name: name, .. } => {
                subsystem_name = Some(name.clone());
            }
            Request::AddressChange { address: a, .. } => address = Some(a.clone()),
            Request::MaintenanceModeEnable { message: m, .. } => message.clone_from(m),
            _ => {}
        }
        Self {
            number,
            kind: request.kind().service_code().to_owned(),
            origin: record.origin,
            status: record.status,
            received_unix: record.received.unix_timestamp(),
            decided_unix: record.decided.map(OffsetDateTime::unix_timestamp),
            server: request.server().to_short(),
            client: request.client().map(causeway_identifiers::ClientId::to_short),
            subsystem_name,
            address,
            certificate: certificate
                .and_then(|der| Certificate::from_der(der).ok())
                .map(|certificate| CertificateListing::of(&certificate)),
            message,
            partner: record.partner,
            comments: record.comments.clone(),
        }
    }
}
