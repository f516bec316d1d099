//! Management requests at the command line.

use std::path::PathBuf;

use causeway_console::time;
use causeway_identifiers::{ClientId, SecurityServerId};
use clap::Subcommand;
use serde_json::json;
use time::OffsetDateTime;

use super::Failure;
use super::act::{Answer, Backend, changed, not_running};
use super::edits::certificate;
use super::show::draw;
use crate::admin::Decision;
use crate::config::Config;
use crate::requests::{OperatorRequest, Origin, Outcome, RequestListing, RequestStatus};

#[derive(Debug, Subcommand)]
pub(super) enum Requests {
    /// Show the requests, the newest first.
    List {
        /// Those alone that wait for a decision.
        #[arg(long)]
        pending: bool,
    },
    /// Show one request in full.
    Show {
        /// Its number.
        number: u64,
    },
    /// Let a request take effect.
    Approve {
        /// Its number.
        number: u64,
    },
    /// Decline a request.
    Decline {
        /// Its number.
        number: u64,
    },
    /// Take back a request that the registry itself has made.
    Revoke {
        /// Its number.
        number: u64,
    },
    /// Ask for a certificate's registration yourself: that of the server then needs no approval.
    AddAuthCert {
        /// INSTANCE/CLASS/CODE/SERVER
        #[arg(value_parser = SecurityServerId::parse)]
        server: SecurityServerId,
        /// Host name or address at which other servers reach it.
        #[arg(long)]
        address: String,
        /// The certificate, PEM or DER.
        #[arg(long)]
        cert: PathBuf,
    },
    /// Ask for a client's registration yourself: that of the server then needs no approval.
    AddClient {
        /// INSTANCE/CLASS/CODE/SERVER
        #[arg(value_parser = SecurityServerId::parse)]
        server: SecurityServerId,
        /// INSTANCE/CLASS/CODE[/SUBSYSTEM]
        #[arg(value_parser = ClientId::parse)]
        client: ClientId,
        /// A name for the subsystem.
        #[arg(long)]
        name: Option<String>,
    },
}

pub(super) fn act(config: &Config, command: Requests) -> Result<Answer, Failure> {
    let mut backend = Backend::open(config)?;
    match command {
        Requests::AddAuthCert { server, address, cert } => {
            let certificate = certificate(&cert)?;
            let asked = OperatorRequest::AuthCertificate { server, address, certificate };
            ask(&mut backend, config, &asked)
        }
        Requests::AddClient { server, client, name } => {
            ask(&mut backend, config, &OperatorRequest::Client { server, client, name })
        }
        Requests::List { pending } => {
            let mut requests = all(&backend)?;
            if pending {
                requests.retain(|request| request.status.is_pending());
            }
            Ok(Answer::Told(table(&requests), json!(requests)))
        }
        Requests::Show { number } => {
            let found = all(&backend)?.into_iter().find(|request| request.number == number);
            let Some(request) = found else {
                return Err(Failure::new(
                    format!("there is no request {number}"),
                    "see the requests there are: `central-registry requests list`",
                ));
            };
            Ok(Answer::Told(in_full(&request), json!(request)))
        }
        Requests::Approve { number } => {
            let answer = match &mut backend {
                Backend::Running(client) => client.approve(number)?,
                Backend::Idle(records) => {
                    records.approve_request(number, OffsetDateTime::now_utc())?;
                    not_running(None)
                }
            };
            Ok(changed(&format!("request {number} approved"), &answer))
        }
        Requests::Decline { number } => refuse(&mut backend, Decision::Decline, number),
        Requests::Revoke { number } => refuse(&mut backend, Decision::Revoke, number),
    }
}

fn ask(backend: &mut Backend, config: &Config, asked: &OperatorRequest) -> Result<Answer, Failure> {
    let outcome = match backend {
        Backend::Running(client) => client.ask(asked)?,
        Backend::Idle(records) => {
            let (by, now) = (Origin::Registry, OffsetDateTime::now_utc());
            records.submit_request(&asked.to_request()?, by, None, &config.approval, now)?
        }
    };
    let Outcome { number, status } = outcome;
    let next = match status.is_pending() {
        true if status == RequestStatus::Waiting => {
            "let the security server ask for it too: it then takes effect".to_owned()
        }
        true => format!("both have asked: `central-registry requests approve {number}`"),
        false => "nothing".to_owned(),
    };
    let text = format!("request {number} {}\nnext: {next}", status.name());
    Ok(Answer::Told(text, json!({ "number": number, "status": status, "next": next })))
}

fn refuse(backend: &mut Backend, decision: Decision, number: u64) -> Result<Answer, Failure> {
    let now = OffsetDateTime::now_utc();
    let status = match (backend, decision) {
        (Backend::Running(client), _) => client.refuse(decision, number)?.status,
        (Backend::Idle(records), Decision::Revoke) => records.revoke_request(number, now)?,
        (Backend::Idle(records), _) => records.decline_request(number, now)?,
    };
    let text = format!("request {number} {}", status.name());
    Ok(Answer::Told(text, json!(Outcome { number, status })))
}

fn all(backend: &Backend) -> Result<Vec<RequestListing>, Failure> {
    match backend {
        Backend::Running(client) => Ok(client.requests()?),
        Backend::Idle(records) => Ok(records.requests()),
    }
}

fn table(requests: &[RequestListing]) -> String {
    let rows = requests.iter().map(|r| {
        vec![
            r.number.to_string(),
            r.kind.clone(),
            r.status.name().to_owned(),
            r.origin.name().to_owned(),
            r.server.clone(),
            r.client.clone().unwrap_or_default(),
            moment(r.received_unix),
        ]
    });
    let heads = ["NUMBER", "REQUEST", "STATUS", "FROM", "SECURITY SERVER", "CLIENT", "RECEIVED"];
    let mut text = draw(&heads, rows.collect());
    if let Some(first) = requests.iter().rfind(|request| request.status.is_pending()) {
        let number = first.number;
        text.push_str(&format!(
            "next: look at one that waits, `central-registry requests show {number}`, and decide: \
             `central-registry requests approve {number}` or `central-registry requests decline {number}`\n"
        ));
    }
    text
}

fn in_full(r: &RequestListing) -> String {
    let certificate = r.certificate.as_ref();
    let partner = r.partner.map(|number| format!("request {number}"));
    let fields = [
        ("number", Some(r.number.to_string())),
        ("request", Some(r.kind.clone())),
        ("status", Some(r.status.name().to_owned())),
        ("from", Some(r.origin.name().to_owned())),
        ("received", Some(moment(r.received_unix))),
        ("decided", r.decided_unix.map(moment)),
        ("security server", Some(r.server.clone())),
        ("client", r.client.clone()),
        ("name", r.subsystem_name.clone()),
        ("address", r.address.clone()),
        ("certificate SHA-256", certificate.map(|c| c.sha256.clone())),
        ("certificate subject", certificate.map(|c| c.subject.clone())),
        ("certificate valid until", certificate.map(|c| c.not_after.clone())),
        ("message", r.message.clone()),
        ("other half", partner),
        ("comments", r.comments.clone()),
    ];
    let rows = fields.into_iter().filter_map(|(name, value)| Some(vec![name.to_owned(), value?]));
    let mut text = draw(&["FIELD", "VALUE"], rows.collect());
    if r.status.is_pending() {
        let number = r.number;
        text.push_str(&format!(
            "next: `central-registry requests approve {number}` or `central-registry requests decline {number}`\n"
        ));
    }
    text
}

fn moment(unix: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix).map(time).unwrap_or_default()
}
