//! Management requests at the registry: what security servers and the operator ask for, what was decided,
//! and what it changes in the records (X-Road 7.8 central server, `ManagementRequestServiceImpl` and the
//! handlers beside it).
//!
//! Three kinds wait for the operator: registrations of certificates and of clients, and changes of an
//! owner; the others take effect at once. A registration that both the security server and the operator
//! ask for needs no further approval, in whichever order they come, once the server's is there
//! ([`Origin`]). [`Approval`] says which kinds of the security servers are approved by themselves.
//!
//! Everything here is a function of the records, a request and the time, and gives the rows to write: all
//! of them in one transaction, or none.

mod add;
mod decide;
mod draft;
mod error;
mod listing;
mod record;

use causeway_identifiers::{ClientId, SecurityServerId};
use causeway_management::{Request, is_host};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::records::{CertificateRecord, State};
use crate::short;
use crate::store::Change;

pub use error::RequestError;
pub use listing::RequestListing;
pub use record::RequestRecord;

pub(crate) use decide::{approve, decline, revoke};

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The security server that the request is about.
    SecurityServer,
    /// The registry's operator.
    Registry,
}

impl Origin {
    /// `security server` or `registry`.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecurityServer => "security server",
            Self::Registry => "registry",
        }
    }
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestStatus {
    /// One side has asked.
    Waiting,
    /// Both sides have asked; the operator may approve.
    SubmittedForApproval,
    /// It has taken effect.
    Approved,
    /// The operator has declined it.
    Declined,
    /// Whoever asked has taken it back.
    Revoked,
}

impl RequestStatus {
    /// Whether it can still be approved, declined or taken back.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::Waiting | Self::SubmittedForApproval)
    }

    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::SubmittedForApproval => "submitted for approval",
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Revoked => "revoked",
        }
    }
}

/// What security servers ask for that needs no operator, as long as the members are known
/// (X-Road `auto-approve-auth-cert-reg-requests`, `-client-reg-requests`, `-owner-change-requests`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Approval {
    /// Registrations of authentication certificates.
    pub auth_certificates: bool,
    /// Registrations of clients.
    pub clients: bool,
    /// Changes of a server's owner.
    pub owner_changes: bool,
}

/// What the operator asks for, so that the security server's own request needs no approval any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OperatorRequest {
    /// To register an authentication certificate, and the server with it.
    AuthCertificate {
        /// The server.
        #[serde(with = "short")]
        server: SecurityServerId,
        /// Host name or address at which other servers reach it.
        address: String,
        /// The certificate.
        certificate: CertificateRecord,
    },
    /// To register a client at a server.
    Client {
        /// The server.
        #[serde(with = "short")]
        server: SecurityServerId,
        /// The client.
        #[serde(with = "short")]
        client: ClientId,
        /// A name for the subsystem; none leaves it as it is.
        name: Option<String>,
    },
}

impl OperatorRequest {
    /// The same as a security server would ask for it.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub fn to_request(&self) -> Result<Request, RequestError> {
        Ok(match self.clone() {
            Self::AuthCertificate { server, address, certificate } => {
                if !is_host(&address) {
                    let text = format!("'{}' is no host name or address", address.escape_debug());
                    let next = "give it without a scheme and path, e.g. ss1.example.org";
                    return Err(RequestError::new(error::reason::BAD_ADDRESS, text, next));
                }
                let certificate = certificate.0.read().map_err(|e| {
                    let next = "give a certificate file in PEM or DER form";
                    RequestError::new(error::reason::BAD_CERTIFICATE, e.to_string(), next)
                })?;
                let (address, certificate) = (Some(address), certificate.der().to_vec());
                Request::AuthCertReg { server, address, certificate, dry_run: false }
            }
            Self::Client { server, client, name } => {
                Request::ClientReg { server, client, subsystem_name: name }
            }
        })
    }
}

/// What became of a request when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its number.
    pub number: u64,
    /// Where it stands.
    pub status: RequestStatus,
}

/// Takes a request in, and approves it where the policy or its other half says so. Gives the rows to
/// write.
///
/// # Errors
/// When the records forbid it; nothing is to be written then, the request itself neither.
pub(crate) fn submit(
    state: &State,
    request: &Request,
    origin: Origin,
    comments: Option<&str>,
    approval: &Approval,
    now: OffsetDateTime,
) -> Result<(Outcome, Vec<Change>), RequestError> {
    let mut draft = draft::Draft::new(state);
    let number = add::add(&mut draft, request, origin, comments, now)?;
    if add::approves_itself(&draft, number, approval)? {
        decide::carry_out(&mut draft, number, now)?;
    }
    let status = draft.request(number)?.status;
    Ok((Outcome { number, status }, draft.into_changes()))
}
