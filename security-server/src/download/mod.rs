//! What client programs download as evidence: signed and timestamped messages
//! from the message log (`GET /asic`), and the global configuration by which
//! they can be verified (`GET /verificationconf`); X-Road 7.8
//! `AsicContainerClientRequestProcessor`.
//!
//! Errors are plain text with a status of their own, unlike those of messages.

mod archive;
mod query;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use causeway_globalconf::PartMetadata;
use causeway_identifiers::ClientId;
use causeway_message::Fault;
use causeway_messagelog::{Log, LogError, Query, RecordId};
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use tokio::sync::Semaphore;

use crate::globalconf_client::read_folder;
use crate::http::{Body, full};
use archive::{Containers, Made, container, zipped};
use query::{Parameters, Wanted};

/// How many files are made at once: each keeps a thread and a disk busy.
const AT_ONCE: usize = 4;
/// The most records of one message id that are downloaded; no honest client uses an id so often.
const MAX_RECORDS: usize = 10_000;
const ZIP: &str = "application/zip";
const SHARED_PARAMETERS: &str = "shared-params.xml";
const METADATA: &str = "shared-params.xml.metadata";
const INSTANCE_IDENTIFIER: &str = "instance-identifier";

static MAKING: Semaphore = Semaphore::const_new(AT_ONCE);

/// Why there is nothing to download: the status and the text.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad_request(text: String) -> Self {
        Self(StatusCode::BAD_REQUEST, text)
    }

    fn internal(text: impl Into<String>) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, text.into())
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::internal(error.to_string())
    }
}

/// `GET /asic`: the containers of a client's messages with one id.
///
/// `authenticate` says whether the caller may act for the client; `stamp` timestamps what waits in
/// the log, for callers that do not want to wait for it. Whatever goes wrong is in the answer:
/// 400 for parameters, 401 for the caller, 404 when there is no such message, 500 otherwise.
pub async fn asic<S, F>(
    log: &Arc<Log>,
    stamp: S,
    query: &str,
    authenticate: impl Fn(&ClientId) -> Result<(), Fault>,
) -> Response<Body>
where
    S: FnOnce() -> F,
    F: Future<Output = Result<(), Fault>>,
{
    asic_or_refusal(log, stamp, query, authenticate).await.unwrap_or_else(refused)
}

/// `GET /verificationconf`: the shared parameters of all instances, from the folder where the
/// global configuration is kept. Whether they have expired does not matter to a verifier.
pub async fn verification_configuration(folder: &Path) -> Response<Body> {
    let kept = folder.to_owned();
    let made = making(move || {
        let files = verification_files(read_folder(&kept)?)
            .ok_or_else(|| Refusal::internal("There is no global configuration yet"))?;
        Ok(zipped(&files, kept.parent().unwrap_or(&kept))?)
    });
    match made.await {
        Ok(made) => file(made, ZIP, "filename=\"verificationconf.zip\""),
        Err(refusal) => refused(refusal),
    }
}

async fn asic_or_refusal<S, F>(
    log: &Arc<Log>,
    stamp: S,
    query: &str,
    authenticate: impl Fn(&ClientId) -> Result<(), Fault>,
) -> Result<Response<Body>, Refusal>
where
    S: FnOnce() -> F,
    F: Future<Output = Result<(), Fault>>,
{
    // Whoever may not ask learns nothing else, so the order matters.
    let parameters = Parameters::parse(query).map_err(Refusal::bad_request)?;
    let client = parameters.client().map_err(Refusal::bad_request)?;
    authenticate(&client)
        .map_err(|fault| Refusal(StatusCode::UNAUTHORIZED, fault.message().to_owned()))?;
    let wanted = parameters.wanted().map_err(Refusal::bad_request)?;

    let search = records_of(&client, &wanted);
    let (ids, mut complete) = in_log(log, move |log| look_up(log, &search)).await?;
    if !complete {
        if !parameters.force() {
            return Err(Refusal::internal("Message signature has not been timestamped yet!"));
        }
        stamp().await.map_err(|fault| Refusal::internal(fault.message()))?;
        let ids = ids.clone();
        complete = in_log(log, move |log| Ok(are_timestamped(log, &ids)?)).await?;
    }
    if !complete {
        return Err(Refusal::internal("Could not create missing timestamp!"));
    }
    if parameters.unique(wanted.response).map_err(Refusal::bad_request)? {
        let (made, name) = in_log(log, move |log| first_of(log, &ids)).await?;
        return Ok(file(made, causeway_asic::MIME_TYPE, &attachment(&name)));
    }
    let made = in_log(log, move |log| all_of(log, &ids)).await?;
    Ok(file(made, ZIP, &attachment(&zip_name(&wanted))))
}

fn records_of(client: &ClientId, wanted: &Wanted) -> Query {
    Query {
        message_id: wanted.message_id.clone(),
        member_class: client.member().class().to_owned(),
        member_code: client.member().code().to_owned(),
        subsystem_code: client.subsystem_code().map(str::to_owned),
        response: wanted.response,
        limit: MAX_RECORDS + 1,
    }
}

/// The records, of which there is at least one, and whether all are timestamped.
fn look_up(log: &Log, search: &Query) -> Result<(Vec<RecordId>, bool), Refusal> {
    let ids = log.find(search)?;
    if ids.is_empty() {
        return Err(Refusal(StatusCode::NOT_FOUND, "No signed documents found".into()));
    }
    if ids.len() > MAX_RECORDS {
        let text = format!("More than {MAX_RECORDS} signed documents have this query id");
        return Err(Refusal::internal(text));
    }
    let complete = are_timestamped(log, &ids)?;
    Ok((ids, complete))
}

fn are_timestamped(log: &Log, ids: &[RecordId]) -> Result<bool, LogError> {
    for id in ids {
        if log.record(*id)?.is_some_and(|record| record.timestamp.is_none()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn first_of(log: &Log, ids: &[RecordId]) -> Result<(Made, String), Refusal> {
    let record = match ids.first() {
        Some(id) => log.record(*id)?,
        None => None,
    };
    let record = record.ok_or_else(|| Refusal::internal("The message log lost a record"))?;
    Ok((container(&record, log.spool_folder())?, causeway_messagelog::evidence::file_name(&record)))
}

fn all_of(log: &Log, ids: &[RecordId]) -> Result<Made, Refusal> {
    let mut containers = Containers::new(log.spool_folder());
    for id in ids {
        if let Some(record) = log.record(*id)? {
            containers.add(&record)?;
        }
    }
    Ok(containers.finish()?)
}

/// What of the kept files a verifier needs, in X-Road's layout; `None` when nothing is kept.
fn verification_files(mut kept: Vec<(String, Vec<u8>)>) -> Option<Vec<(String, Vec<u8>)>> {
    kept.sort();
    let own = kept.iter().find(|(path, _)| path == INSTANCE_IDENTIFIER)?.1.clone();
    let mut files = Vec::new();
    for (path, content) in &kept {
        let Some((instance, SHARED_PARAMETERS)) = path.split_once('/') else { continue };
        let beside = format!("{instance}/{METADATA}");
        let version = kept
            .iter()
            .find(|(path, _)| *path == beside)
            .and_then(|(_, json)| PartMetadata::parse(json).ok())
            .and_then(|metadata| metadata.version);
        // The version alone: without a date of expiry it counts for ever.
        let metadata = PartMetadata { version, ..PartMetadata::default() };
        files.push((format!("verificationconf/{path}"), content.clone()));
        files.push((format!("verificationconf/{instance}/{METADATA}"), metadata.to_json()));
    }
    files.push((format!("verificationconf/{INSTANCE_IDENTIFIER}"), own));
    Some(files)
}

async fn in_log<T: Send + 'static>(
    log: &Arc<Log>,
    work: impl FnOnce(&Log) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let log = Arc::clone(log);
    making(move || work(&log)).await
}

/// Runs what blocks on files where it keeps nobody waiting, not too much of it at once.
async fn making<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let permit = MAKING.acquire().await.map_err(|e| Refusal::internal(e.to_string()))?;
    let work = move || {
        // Held by the work rather than by who waits for it, who may go away.
        let _permit = permit;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|e| Refusal::internal(e.to_string()))?
}

fn zip_name(wanted: &Wanted) -> String {
    let id: String = url::form_urlencoded::byte_serialize(wanted.message_id.as_bytes()).collect();
    let kind = match wanted.response {
        None => "",
        Some(true) => "-response",
        Some(false) => "-request",
    };
    format!("{id}{kind}.zip")
}

fn attachment(name: &str) -> String {
    format!("attachment; filename=\"{name}\"")
}

fn file(made: Made, content_type: &'static str, disposition: &str) -> Response<Body> {
    let length = made.length();
    let mut response = Response::new(made.into_body());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if let Ok(disposition) = HeaderValue::from_str(disposition) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

fn refused(Refusal(status, text): Refusal) -> Response<Body> {
    if status.is_server_error() {
        tracing::error!(status = status.as_u16(), "download refused: {text}");
    } else {
        tracing::info!(status = status.as_u16(), "download refused: {text}");
    }
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain;charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
