//! The evidence of exchanges, obtained as any information system obtains it (`GET /asic` and
//! `GET /verificationconf` of its security server), and judged by the auditor.

mod folder;

use std::path::{Path, PathBuf};

use auditor::Report;
use bytes::Bytes;
use causeway_asic::{Container, Limits};
use causeway_globalconf::GlobalConf;
use causeway_identifiers::ClientId;
use hyper::StatusCode;

pub use folder::write;

use crate::consumer::{Consumer, Exchange};
use crate::ecosystem::SecurityServer;
use crate::{Ecosystem, SandboxError};

/// A container from a security server's log, judged.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The server's name, such as `ss1`.
    pub server: String,
    /// The response's; else the request's.
    pub response: bool,
    /// The container.
    pub container: Bytes,
    /// What the auditor says.
    pub report: Report,
}

/// An exchange with all its evidence.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The exchange.
    pub exchange: Exchange,
    /// The containers of both servers.
    pub evidence: Vec<Evidence>,
}

impl Judged {
    /// How many containers there must be: request and response, in both servers' logs.
    pub const CONTAINERS: usize = 4;

    /// Whether the provider answered, and all of the evidence is there and holds.
    pub fn is_verified(&self) -> bool {
        self.exchange.error().is_none()
            && self.evidence.len() == Self::CONTAINERS
            && self.evidence.iter().all(|evidence| evidence.report.is_valid())
    }

    /// How many containers hold.
    pub fn valid(&self) -> usize {
        self.evidence.iter().filter(|evidence| evidence.report.is_valid()).count()
    }

    /// The error codes and texts of what does not hold.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.evidence.iter().filter_map(|evidence| {
            let failure = evidence.report.failure.as_ref()?;
            Some(format!("{}: {}: {}", evidence.server, failure.code, failure.message))
        })
    }
}

/// Reads the verification configuration of the portal's security server, and keeps the ZIP in the
/// ecosystem's folder. Gives the file, and what it says.
///
/// # Errors
/// When it cannot be had or read.
pub async fn configuration(ecosystem: &Ecosystem) -> Result<(PathBuf, GlobalConf), SandboxError> {
    let answer = ecosystem.consumer()?.get("/verificationconf").await?;
    if answer.status() != StatusCode::OK {
        let why = format!("{} {}", answer.status(), String::from_utf8_lossy(answer.body()));
        return Err(SandboxError::part("/verificationconf")(why));
    }
    let path = ecosystem.folder().join("verificationconf.zip");
    std::fs::write(&path, answer.body()).map_err(SandboxError::io(&path))?;
    let conf =
        auditor::configuration::read(&path).map_err(SandboxError::part("/verificationconf"))?;
    Ok((path, conf))
}

/// Obtains and judges the containers of an exchange from the logs of both servers. A server that
/// has none is passed over: of several servers of a provider one has answered.
///
/// # Errors
/// When a server does not answer, or refuses.
pub async fn collect(
    ecosystem: &Ecosystem,
    exchange: &Exchange,
    conf: &GlobalConf,
) -> Result<Vec<Evidence>, SandboxError> {
    let mut all = Vec::new();
    for server in ecosystem.servers() {
        for owner in [&exchange.client, exchange.service.client()] {
            if !serves(server, owner) {
                continue;
            }
            for response in [false, true] {
                let found = match download(server.consumer(), owner, &exchange.id, response).await {
                    // A server that does not run here may run as a process of its own, or not at all.
                    Err(SandboxError::NoAnswer { .. }) if server.server().is_none() => continue,
                    found => found?,
                };
                let Some(container) = found else { continue };
                let report = judge(&container, conf);
                all.push(Evidence { server: server.name(), response, container, report });
            }
        }
    }
    Ok(all)
}

fn serves(server: &SecurityServer, client: &ClientId) -> bool {
    server.plan().parties.iter().any(|party| party.subsystem == *client)
}

/// Judges a container as of its timestamp.
pub fn judge(container: &[u8], conf: &GlobalConf) -> Report {
    match Container::read(container, &Limits::default()) {
        Ok(container) => auditor::judge(&container, conf, None),
        Err(error) => auditor::refuse(&error),
    }
}

/// Obtains a container from a security server; `None` when it has none of that message. One that
/// waits for its timestamp is timestamped for it.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn download(
    consumer: &Consumer,
    owner: &ClientId,
    id: &str,
    response: bool,
) -> Result<Option<Bytes>, SandboxError> {
    let path = format!("{}&force", asic_path(owner, id, response));
    let answer = consumer.get(&path).await?;
    match answer.status() {
        StatusCode::OK => Ok(Some(answer.into_body())),
        StatusCode::NOT_FOUND => Ok(None),
        status => {
            let why = format!("{status} {}", String::from_utf8_lossy(answer.body()));
            Err(SandboxError::part(format!("{}{path}", consumer.base()))(why))
        }
    }
}

/// The path under which a security server hands out a message's container.
pub fn asic_path(owner: &ClientId, id: &str, response: bool) -> String {
    let encode = causeway_identifiers::rest::encode_segment;
    let member = owner.member();
    let subsystem = owner
        .subsystem_code()
        .map(|code| format!("&subsystemCode={}", encode(code)))
        .unwrap_or_default();
    format!(
        "/asic?xRoadInstance={}&memberClass={}&memberCode={}{subsystem}&queryId={}&{}&unique",
        encode(member.instance()),
        encode(member.class()),
        encode(member.code()),
        encode(id),
        if response { "responseOnly" } else { "requestOnly" },
    )
}

/// The file name of a piece of evidence: the exchange's number, what it is, and whose log it is from.
fn file_name(number: usize, evidence: &Evidence) -> String {
    let kind = if evidence.response { "response" } else { "request" };
    format!("{number:02}-{kind}-{}.asice", evidence.server)
}

fn write_file(folder: &Path, name: &str, content: &[u8]) -> Result<(), SandboxError> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(SandboxError::io(parent))?;
    }
    std::fs::write(&path, content).map_err(SandboxError::io(path))
}
