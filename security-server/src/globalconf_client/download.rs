//! Downloading one instance's configuration from one location.

use std::time::Duration;

use bytes::Bytes;
use causeway_globalconf::directory::{
    self, Directory, FETCH_INTERVAL, MAX_DIRECTORY_BYTES, MONITORING, NEXT_UPDATE,
    PRIVATE_PARAMETERS, Part, SHARED_PARAMETERS, SignedDirectory,
};
use causeway_globalconf::location::{Location, version_requests};
use causeway_globalconf::{
    FetchInterval, GlobalConfError, InstanceConfiguration, MonitoringParameters, NextUpdate,
    PartMetadata, PrivateParameters, SharedParameters, Version, file_name,
};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use super::error::RefreshError;
use super::store::Store;
use crate::outgoing::Outgoing;

/// The longest shared parameters, in bytes; ten times what the largest networks have.
const MAX_SHARED: usize = 128 << 20;
/// The longest shared parameters of a partner, in bytes: its registry decides how much memory they take here.
const MAX_PARTNER_SHARED: usize = 32 << 20;
/// One configuration is read at a time: reading takes several times its length in memory.
static READING: Semaphore = Semaphore::const_new(1);
/// The longest other part, in bytes.
const MAX_PART: usize = 10 << 20;

/// How long a location may take to give its directory, whichever versions it has: a source that
/// drips must not keep the next from being asked.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to give a part: a large network's, over a slow link.
const PART_TIMEOUT: Duration = Duration::from_secs(600);

/// The parts that are of use, with the names of their files.
const KNOWN_PARTS: [(&str, &str); 5] = [
    (SHARED_PARAMETERS, file_name::SHARED_PARAMETERS),
    (PRIVATE_PARAMETERS, file_name::PRIVATE_PARAMETERS),
    (MONITORING, file_name::MONITORING),
    (FETCH_INTERVAL, file_name::FETCH_INTERVAL),
    (NEXT_UPDATE, file_name::NEXT_UPDATE),
];

/// Whose configuration is downloaded, and what of it counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The instance of the anchor that led here.
    pub(super) instance: &'a str,
    /// The own instance: all known parts count. Of others the shared parameters alone.
    pub(super) own: bool,
    /// What is known already, when it is what the files on disk say.
    pub(super) held: Option<&'a InstanceConfiguration>,
}

/// A configuration as downloaded.
#[derive(Debug, Clone)]
pub(super) struct Downloaded {
    /// What it says.
    pub(super) configuration: InstanceConfiguration,
    /// Its files.
    pub(super) files: Vec<PartFile>,
}

/// A part of a configuration, to be kept on disk.
#[derive(Debug, Clone)]
pub(super) struct PartFile {
    pub(super) name: &'static str,
    /// The bytes; `None` when those on disk are the same.
    pub(super) content: Option<Bytes>,
    pub(super) metadata: PartMetadata,
}

/// Downloads from a location: the directory in the newest version that it has, then the parts whose
/// digests differ from those of the files on disk.
pub(super) async fn download(
    outgoing: &Outgoing,
    store: &Store,
    location: &Location,
    wanted: Wanted<'_>,
    now: OffsetDateTime,
) -> Result<Downloaded, RefreshError> {
    let fetch = fetch_directory(outgoing, &location.url);
    let (url, bytes) = in_time(DIRECTORY_TIMEOUT, &location.url, fetch).await?;
    let signed = SignedDirectory::parse(&bytes)?;
    let directory = signed.verify(&location.verification_certificates(), now)?;
    let mut files = Vec::new();
    let mut documents = Vec::new();
    for (name, part) in parts(&directory, wanted.instance, wanted.own)? {
        let metadata = directory.metadata(part);
        let path = format!("{}/{name}", file_name::instance_folder(wanted.instance));
        let local = read_local(store.clone(), path).await?;
        match local.filter(|bytes| part.check(bytes).is_ok()) {
            Some(bytes) => {
                documents.push((name, bytes.into()));
                files.push(PartFile { name, content: None, metadata });
            }
            None => {
                let fetch = fetch_part(outgoing, &url, part, wanted.own);
                let bytes = in_time(PART_TIMEOUT, &url, fetch).await?;
                documents.push((name, bytes.clone()));
                files.push(PartFile { name, content: Some(bytes), metadata });
            }
        }
    }
    let unchanged = files.iter().all(|file| file.content.is_none());
    let configuration = match wanted.held {
        Some(held) if unchanged && is_same(held, &directory, &files) => {
            InstanceConfiguration { expires: Some(directory.expires), ..held.clone() }
        }
        _ => {
            let instance = wanted.instance.to_owned();
            let (version, expires) = (directory.version, directory.expires);
            let read = move || read(&instance, version, expires, &documents);
            let _turn = READING.acquire().await;
            tokio::task::spawn_blocking(read).await.map_err(|_| RefreshError::Interrupted)??
        }
    };
    Ok(Downloaded { configuration, files })
}

/// Whether what is held has the version and the parts of the directory, so that it need not be read
/// again when no file has changed.
fn is_same(held: &InstanceConfiguration, directory: &Directory, files: &[PartFile]) -> bool {
    let there = |name: &str| files.iter().any(|file| file.name == name);
    held.version == directory.version
        && held.private.is_some() == there(file_name::PRIVATE_PARAMETERS)
        && held.monitoring.is_some() == there(file_name::MONITORING)
        && held.fetch_interval.is_some() == there(file_name::FETCH_INTERVAL)
        && held.next_update.is_some() == there(file_name::NEXT_UPDATE)
}

/// The parts of a directory that count, with the names of their files.
///
/// An anchor speaks for its own instance alone: parts of other instances are passed over, so that a
/// partner cannot describe our members.
pub(super) fn parts<'d>(
    directory: &'d Directory,
    instance: &str,
    own: bool,
) -> Result<Vec<(&'static str, &'d Part)>, GlobalConfError> {
    let counts = |part: &&Part| part.instance.as_deref().is_none_or(|i| i == instance);
    let found: Vec<_> = KNOWN_PARTS
        .into_iter()
        .filter(|(identifier, _)| own || *identifier == SHARED_PARAMETERS)
        .filter_map(|(identifier, name)| {
            let mut parts = directory.parts.iter().filter(|part| part.identifier == identifier);
            parts.find(counts).map(|part| (name, part))
        })
        .collect();
    if found.first().is_none_or(|(name, _)| *name != file_name::SHARED_PARAMETERS) {
        let why = format!("it has no shared parameters of {instance}");
        return Err(GlobalConfError::MalformedDirectory(why));
    }
    Ok(found)
}

/// The directory in the newest version that the location has, with the address that gave it.
async fn fetch_directory(
    outgoing: &Outgoing,
    location: &str,
) -> Result<(String, Bytes), RefreshError> {
    for request in version_requests(location, Version::V2)? {
        let answer = outgoing.get(&request.url, MAX_DIRECTORY_BYTES).await?;
        match answer.status.as_u16() {
            200 => return Ok((request.url, answer.body)),
            404 if request.may_be_missing => {}
            status => return Err(RefreshError::Status { url: request.url, status }),
        }
    }
    Err(RefreshError::Status { url: location.to_owned(), status: 404 })
}

async fn in_time<T>(
    limit: Duration,
    url: &str,
    fetch: impl Future<Output = Result<T, RefreshError>>,
) -> Result<T, RefreshError> {
    let fetched = tokio::time::timeout(limit, fetch).await;
    fetched.unwrap_or_else(|_| Err(RefreshError::TookTooLong(url.to_owned())))
}

async fn fetch_part(
    outgoing: &Outgoing,
    directory_url: &str,
    part: &Part,
    own: bool,
) -> Result<Bytes, RefreshError> {
    let url = part.url(directory_url)?;
    let limit = match (part.identifier == directory::SHARED_PARAMETERS, own) {
        (true, true) => MAX_SHARED,
        (true, false) => MAX_PARTNER_SHARED,
        (false, _) => MAX_PART,
    };
    let answer = outgoing.get(&url, limit).await?;
    if answer.status != 200 {
        return Err(RefreshError::Status { url, status: answer.status.as_u16() });
    }
    part.check(&answer.body)?;
    Ok(answer.body)
}

async fn read_local(store: Store, path: String) -> Result<Option<Vec<u8>>, RefreshError> {
    tokio::task::spawn_blocking(move || store.file(&path))
        .await
        .map_err(|_| RefreshError::Interrupted)
}

fn read(
    instance: &str,
    version: Version,
    expires: OffsetDateTime,
    documents: &[(&'static str, Bytes)],
) -> Result<InstanceConfiguration, GlobalConfError> {
    let document =
        |name: &str| documents.iter().find(|(n, _)| *n == name).map(|(_, bytes)| &bytes[..]);
    let shared = document(file_name::SHARED_PARAMETERS).unwrap_or_default();
    let shared = SharedParameters::parse(shared, version)?;
    let private =
        document(file_name::PRIVATE_PARAMETERS).map(PrivateParameters::parse).transpose()?;
    for found in [Some(&shared.instance), private.as_ref().map(|p| &p.instance)] {
        if let Some(found) = found.filter(|found| *found != instance) {
            let (expected, found) = (instance.to_owned(), found.clone());
            return Err(GlobalConfError::InstanceMismatch { expected, found });
        }
    }
    Ok(InstanceConfiguration {
        private,
        monitoring: document(file_name::MONITORING).map(MonitoringParameters::parse).transpose()?,
        fetch_interval: document(file_name::FETCH_INTERVAL)
            .map(FetchInterval::parse)
            .transpose()?,
        next_update: document(file_name::NEXT_UPDATE).map(NextUpdate::parse).transpose()?,
        ..InstanceConfiguration::new(shared, version, Some(expires))
    })
}
