//! A request as it is kept.

use causeway_identifiers::{ClientId, SecurityServerId};
use causeway_management::{Kind, Request};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Origin, RequestStatus};
use crate::records::CertificateRecord;
use crate::short;

/// A request with its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Row", into = "Row")]
pub struct RequestRecord {
    /// What it asks for.
    pub request: Request,
    /// Who asked.
    pub origin: Origin,
    /// When it was taken.
    pub received: OffsetDateTime,
    /// Where it stands.
    pub status: RequestStatus,
    /// When it was approved, declined or taken back.
    pub decided: Option<OffsetDateTime>,
    /// The other half, when both sides have asked for the same: they stand and fall together.
    pub partner: Option<u64>,
    /// What it has changed, or what the operator says of it.
    pub comments: Option<String>,
}

/// The row of the store: flat, so that other programs can read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    kind: String,
    #[serde(with = "short")]
    server: SecurityServerId,
    #[serde(default, with = "short::optional", skip_serializing_if = "Option::is_none")]
    client: Option<ClientId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subsystem_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<CertificateRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    origin: Origin,
    received_unix: i64,
    status: RequestStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decided_unix: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partner: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comments: Option<String>,
}

impl From<RequestRecord> for Row {
    fn from(record: RequestRecord) -> Self {
        let request = record.request;
        let mut row = Self {
            kind: request.kind().service_code().to_owned(),
            server: request.server().clone(),
            client: request.client().cloned(),
            subsystem_name: None,
            address: None,
            certificate: None,
            message: None,
            origin: record.origin,
            received_unix: record.received.unix_timestamp(),
            status: record.status,
            decided_unix: record.decided.map(OffsetDateTime::unix_timestamp),
            partner: record.partner,
            comments: record.comments,
        };
        match request {
            Request::AuthCertReg { address, certificate, .. } => {
                row.address = address;
                row.certificate = Some(CertificateRecord(certificate.into()));
            }
            Request::AuthCertDeletion { certificate, .. } => {
                row.certificate = Some(CertificateRecord(certificate.into()));
            }
            Request::ClientReg { subsystem_name, .. } => row.subsystem_name = subsystem_name,
            Request::ClientRename { subsystem_name, .. } => {
                row.subsystem_name = Some(subsystem_name);
            }
            Request::AddressChange { address, .. } => row.address = Some(address),
            Request::MaintenanceModeEnable { message, .. } => row.message = message,
            Request::ClientDeletion { .. }
            | Request::OwnerChange { .. }
            | Request::ClientDisable { .. }
            | Request::ClientEnable { .. }
            | Request::MaintenanceModeDisable { .. } => {}
        }
        row
    }
}

impl TryFrom<Row> for RequestRecord {
    type Error = String;

    fn try_from(row: Row) -> Result<Self, String> {
        let kind = Kind::from_service_code(&row.kind)
            .ok_or_else(|| format!("no kind of request is called '{}'", row.kind))?;
        let server = row.server;
        let client = row.client.ok_or_else(|| format!("a request {} names no client", row.kind));
        let certificate = row.certificate.map(|c| c.0.bytes().to_vec());
        let certificate =
            certificate.ok_or_else(|| format!("a request {} has no certificate", row.kind));
        let moment = |unix: i64| {
            OffsetDateTime::from_unix_timestamp(unix).map_err(|e| format!("a moment: {e}"))
        };
        let request = match kind {
            Kind::AuthCertReg => Request::AuthCertReg {
                server,
                address: row.address,
                certificate: certificate?,
                dry_run: false,
            },
            Kind::AuthCertDeletion => {
                Request::AuthCertDeletion { server, certificate: certificate? }
            }
            Kind::ClientReg => {
                Request::ClientReg { server, client: client?, subsystem_name: row.subsystem_name }
            }
            Kind::ClientDeletion => Request::ClientDeletion { server, client: client? },
            Kind::OwnerChange => Request::OwnerChange { server, client: client? },
            Kind::ClientDisable => Request::ClientDisable { server, client: client? },
            Kind::ClientEnable => Request::ClientEnable { server, client: client? },
            Kind::ClientRename => Request::ClientRename {
                server,
                client: client?,
                subsystem_name: row.subsystem_name.unwrap_or_default(),
            },
            Kind::AddressChange => {
                Request::AddressChange { server, address: row.address.unwrap_or_default() }
            }
            Kind::MaintenanceModeEnable => {
                Request::MaintenanceModeEnable { server, message: row.message }
            }
            Kind::MaintenanceModeDisable => Request::MaintenanceModeDisable { server },
        };
        Ok(Self {
            request,
            origin: row.origin,
            received: moment(row.received_unix)?,
            status: row.status,
            decided: row.decided_unix.map(moment).transpose()?,
            partner: row.partner,
            comments: row.comments,
        })
    }
}
