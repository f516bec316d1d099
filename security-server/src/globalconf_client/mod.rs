//! The client of the global configuration: it downloads what the registry
//! publishes, verifies it, keeps the last good one on disk and publishes it as a
//! snapshot (X-Road 7.8 `configuration-client`; protocol reference 7.5, 7.6).
//!
//! Trust begins with the anchor file. From it, and from the configuration that is
//! held already, come the locations to try; whatever a location gives counts only
//! when it is signed with one of that location's certificates and has not
//! expired. Partner instances come in through anchors in the own instance's
//! private parameters, as far as the operator allows them.
//!
//! A failing source never takes away what is held. Once that expires,
//! [`GlobalConf::valid_at`] says so to every message.

mod download;
mod error;
mod plan;
mod store;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use causeway_globalconf::location::candidates;
use causeway_globalconf::{Anchor, GlobalConf, GlobalConfError, InstanceConfiguration, file_name};
use futures_util::StreamExt as _;
use time::OffsetDateTime;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;

pub use error::RefreshError;
pub use store::read_folder;

use crate::health::work::{Diagnosis, Ledger, Wake, after, pause, stopped, until};
use crate::outgoing::{Outgoing, Timeouts};
use crate::settings::GlobalConfSettings;
use download::{Downloaded, Wanted, download};
use plan::{next_partner_expiry, next_refresh, partner_anchors, says_the_same, usable};
use store::{Content, Files, Store};

/// How many partners are asked at once.
const PARTNERS_AT_ONCE: usize = 8;
/// How long the partners' registries may take, all together: the own configuration is renewed after that.
const PARTNERS_TIMEOUT: Duration = Duration::from_secs(90);

/// The current snapshot, shared with everybody who looks things up.
pub type Published = Arc<ArcSwapOption<GlobalConf>>;

/// Downloads the global configuration, again and again.
#[derive(Debug)]
pub struct GlobalConfClient {
    settings: GlobalConfSettings,
    outgoing: Outgoing,
    store: Store,
    published: Published,
    changed: watch::Sender<u64>,
    ledger: Ledger,
    asked: Notify,
    memory: Mutex<Memory>,
}

/// What one refresh leaves to the next.
#[derive(Debug, Default)]
struct Memory {
    /// The address that answered last, by instance.
    last_successful: HashMap<String, String>,
    /// The published configuration is the one on disk.
    saved: bool,
}

/// A download of one instance: what came of it.
struct Attempt {
    anchor: Anchor,
    result: Result<(String, Downloaded), RefreshError>,
}

impl GlobalConfClient {
    /// A client that keeps its files in `folder` and publishes to `published`. Publishes the last
    /// good configuration of the anchor's instance, if it is there, expired or not.
    pub fn open(settings: GlobalConfSettings, folder: PathBuf, published: Published) -> Self {
        let timeouts = Timeouts { connect: settings.connect_timeout, read: settings.read_timeout };
        Self::with_outgoing(settings, folder, published, Outgoing::new(timeouts))
    }

    /// As [`GlobalConfClient::open`], with the means to call sources.
    pub fn with_outgoing(
        settings: GlobalConfSettings,
        folder: PathBuf,
        published: Published,
        outgoing: Outgoing,
    ) -> Self {
        let store = Store::new(folder);
        let saved = match load(&settings, &store) {
            Ok(Some(conf)) => {
                tracing::info!(instance = conf.instance(), "global configuration loaded from disk");
                published.store(Some(Arc::new(conf)));
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, "the global configuration on disk cannot be used");
                false
            }
        };
        Self {
            settings,
            outgoing,
            store,
            published,
            changed: watch::Sender::new(0),
            ledger: Ledger::new(OffsetDateTime::now_utc()),
            asked: Notify::new(),
            memory: Mutex::new(Memory { saved, ..Memory::default() }),
        }
    }

    /// The current snapshot.
    pub fn current(&self) -> Option<Arc<GlobalConf>> {
        self.published.load_full()
    }

    /// A counter that moves when the configuration says something new, not when only its expiry
    /// moves on.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How the downloads stand.
    pub fn diagnosis(&self) -> Diagnosis {
        self.ledger.read()
    }

    /// Asks the loop to refresh now.
    pub fn refresh_soon(&self) {
        self.asked.notify_one();
    }

    /// Refreshes every [`GlobalConfSettings::refresh`], more often while there is no configuration
    /// that counts, until `stop` turns true.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let started = OffsetDateTime::now_utc();
            let result = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                result = self.refresh_once(started) => result,
            };
            let now = OffsetDateTime::now_utc();
            let counts = self.current().is_some_and(|conf| conf.valid_at(now).is_ok());
            let wait = next_refresh(self.settings.refresh, counts);
            match result {
                Ok(()) => self.ledger.succeeded(now, after(now, wait)),
                Err(error) => {
                    tracing::warn!(%error, code = error.code(), "global configuration not refreshed");
                    self.ledger.failed(now, &error.to_string(), after(now, wait));
                }
            }
            if self.rest(wait, &mut stop).await == Wake::Stop {
                return;
            }
        }
    }

    /// Waits, and takes out partners as they expire meanwhile.
    async fn rest(&self, wait: Duration, stop: &mut watch::Receiver<bool>) -> Wake {
        let end = Instant::now() + wait;
        loop {
            let now = OffsetDateTime::now_utc();
            let expiry = self.current().and_then(|conf| next_partner_expiry(&conf, now));
            // They count up to and with the moment at which they expire.
            let expired = expiry.map(|at| until(now, at) + Duration::from_millis(1));
            let left = end.saturating_duration_since(Instant::now());
            let nap = expired.unwrap_or(left).min(left);
            match pause(nap, &self.asked, stop).await {
                Wake::Due if Instant::now() < end => {
                    self.take_out_expired(OffsetDateTime::now_utc());
                }
                wake => return wake,
            }
        }
    }

    fn take_out_expired(&self, now: OffsetDateTime) {
        let Some(rest) = self.current().and_then(|conf| conf.without_expired_partners(now)) else {
            return;
        };
        self.published.store(Some(Arc::new(rest)));
        self.changed.send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    /// Downloads, verifies, saves and publishes once. What could be had is published even when this
    /// is an error; what could not stays as it was.
    ///
    /// # Errors
    /// See [`RefreshError`].
    pub async fn refresh_once(&self, now: OffsetDateTime) -> Result<(), RefreshError> {
        let mut memory = self.memory.lock().await;
        let anchor = self.read_anchor().await?;
        let held = self.current().filter(|conf| conf.instance() == anchor.instance);
        let own = self.attempt(anchor, true, held.as_deref(), &memory, now).await;
        let private = match &own.result {
            Ok((_, downloaded)) => downloaded.configuration.private.as_ref(),
            Err(_) => held.as_deref().and_then(GlobalConf::private),
        };
        let allowed = &self.settings.allowed_federations;
        let anchors = partner_anchors(&own.anchor.instance, private, allowed);
        if anchors.is_empty() {
            return self.conclude(own, Vec::new(), held, &mut memory, now).await;
        }
        if let Ok(downloaded) = &own.result {
            // Counts before partners are asked: how long their registries take is not ours to say.
            let own = Attempt { anchor: own.anchor.clone(), result: Ok(downloaded.clone()) };
            let pending = |anchor: &Anchor| Attempt {
                anchor: anchor.clone(),
                result: Err(RefreshError::Pending),
            };
            let pending = anchors.iter().map(pending).collect();
            // An error comes again at the end.
            let _ = self.conclude(own, pending, held, &mut memory, now).await;
        }
        let held = self.current().filter(|conf| conf.instance() == own.anchor.instance);
        let partners = self.attempt_partners(anchors, held.as_deref(), &memory, now).await;
        self.conclude(own, partners, held, &mut memory, now).await
    }

    /// Asks the partners' registries, for a bounded time.
    async fn attempt_partners(
        &self,
        anchors: Vec<Anchor>,
        held: Option<&GlobalConf>,
        memory: &Memory,
        now: OffsetDateTime,
    ) -> Vec<Attempt> {
        let end = tokio::time::Instant::now() + PARTNERS_TIMEOUT;
        futures_util::stream::iter(anchors)
            .map(|anchor| async move {
                let attempt = self.attempt(anchor.clone(), false, held, memory, now);
                tokio::time::timeout_at(end, attempt).await.unwrap_or_else(|_| {
                    let result = Err(RefreshError::TookTooLong(anchor.instance.clone()));
                    Attempt { anchor, result }
                })
            })
            .buffered(PARTNERS_AT_ONCE)
            .collect()
            .await
    }

    async fn read_anchor(&self) -> Result<Anchor, RefreshError> {
        let path = &self.settings.anchor;
        let bytes = tokio::fs::read(path)
            .await
            .map_err(|source| RefreshError::Anchor { path: path.clone(), source })?;
        Ok(Anchor::parse(&bytes)?)
    }

    /// Tries the locations of an instance, one after the other.
    async fn attempt(
        &self,
        anchor: Anchor,
        own: bool,
        held: Option<&GlobalConf>,
        memory: &Memory,
        now: OffsetDateTime,
    ) -> Attempt {
        let held = held.and_then(|conf| conf.configuration(&anchor.instance));
        let wanted =
            Wanted { instance: &anchor.instance, own, held: held.filter(|_| memory.saved) };
        let sources = held.map_or(&[][..], |held| &held.shared.sources);
        let last = memory.last_successful.get(&anchor.instance).map(String::as_str);
        let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
        let locations = match candidates(&anchor, sources, last, seed) {
            Ok(locations) => usable(locations, self.outgoing.speaks_https()),
            Err(error) => return Attempt { anchor, result: Err(error.into()) },
        };
        let mut tries = Vec::new();
        for location in locations {
            match download(&self.outgoing, &self.store, &location, wanted, now).await {
                Ok(downloaded) => {
                    return Attempt { anchor, result: Ok((location.url, downloaded)) };
                }
                Err(error) => {
                    tracing::info!(location = location.url, %error, "configuration source failed");
                    tries.push(describe(&location.url, &error));
                }
            }
        }
        let instance = anchor.instance.clone();
        Attempt { anchor, result: Err(RefreshError::NoSource { instance, tries }) }
    }

    /// Puts together what was downloaded and what is held, publishes and saves it.
    async fn conclude(
        &self,
        own: Attempt,
        partners: Vec<Attempt>,
        held: Option<Arc<GlobalConf>>,
        memory: &mut Memory,
        now: OffsetDateTime,
    ) -> Result<(), RefreshError> {
        let instance = own.anchor.instance.clone();
        let (mut configurations, mut files) = (Vec::new(), Files::new());
        let (mut failures, mut own_failure, mut any_downloaded) = (Vec::new(), None, false);
        let name = Bytes::copy_from_slice(instance.as_bytes());
        files.insert(file_name::INSTANCE_IDENTIFIER.to_owned(), Content::New(name));
        for attempt in std::iter::once(own).chain(partners) {
            let id = attempt.anchor.instance;
            let folder = file_name::instance_folder(&id);
            match attempt.result {
                Ok((url, downloaded)) => {
                    any_downloaded = true;
                    memory.last_successful.insert(id, url);
                    add_files(&mut files, &folder, &downloaded);
                    configurations.push(downloaded.configuration);
                }
                Err(error) => {
                    if !matches!(error, RefreshError::Pending) {
                        memory.last_successful.remove(&id);
                    }
                    let kept = held.as_ref().and_then(|conf| conf.configuration(&id)).cloned();
                    configurations.extend(kept);
                    let names = self.store.names(&folder);
                    let same = names.into_iter().map(|name| format!("{folder}/{name}"));
                    files.extend(same.map(|path| (path, Content::Same)));
                    if matches!(error, RefreshError::Pending) {
                        continue;
                    }
                    if id == instance {
                        own_failure = Some(error);
                    } else {
                        failures.push(error.to_string());
                    }
                }
            }
        }
        if configurations.iter().any(|c| c.shared.instance == instance) {
            let (conf, changed) = build(&instance, configurations, held, now).await?;
            // Saved first: what messages were judged by is there after a crash. A full disk takes
            // nothing away from those that come now.
            let mut saved = Ok(());
            if any_downloaded {
                saved = self.save(files).await;
                memory.saved = saved.is_ok();
            }
            self.publish(conf, changed);
            saved?;
        }
        match own_failure {
            Some(error) => Err(error),
            None if failures.is_empty() => Ok(()),
            None => Err(RefreshError::Partners(failures)),
        }
    }

    fn publish(&self, conf: GlobalConf, changed: bool) {
        for problem in conf.problems().iter().filter(|_| changed) {
            tracing::warn!(problem, "global configuration");
        }
        self.published.store(Some(Arc::new(conf)));
        if changed {
            self.changed.send_modify(|generation| *generation = generation.wrapping_add(1));
        }
    }

    async fn save(&self, files: Files) -> Result<(), RefreshError> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.replace(&files))
            .await
            .map_err(|_| RefreshError::Interrupted)?
            .map_err(RefreshError::Save)
    }
}

/// Makes a snapshot, and tells whether it says anything that the one before did not.
async fn build(
    instance: &str,
    configurations: Vec<InstanceConfiguration>,
    held: Option<Arc<GlobalConf>>,
    now: OffsetDateTime,
) -> Result<(GlobalConf, bool), RefreshError> {
    let own = instance.to_owned();
    let build = move || -> Result<(GlobalConf, bool), GlobalConfError> {
        let conf = GlobalConf::new(&own, configurations)?;
        let conf = conf.without_expired_partners(now).unwrap_or(conf);
        let changed = held.is_none_or(|held| !says_the_same(&held, &conf));
        Ok((conf, changed))
    };
    Ok(tokio::task::spawn_blocking(build).await.map_err(|_| RefreshError::Interrupted)??)
}

fn add_files(files: &mut Files, folder: &str, downloaded: &Downloaded) {
    for file in &downloaded.files {
        let content = file.content.clone().map_or(Content::Same, Content::New);
        files.insert(format!("{folder}/{}", file.name), content);
        let path = format!("{folder}/{}{}", file.name, file_name::METADATA_SUFFIX);
        files.insert(path, Content::New(file.metadata.to_json().into()));
    }
}

fn describe(url: &str, error: &RefreshError) -> String {
    let text = error.to_string();
    if text.contains(url) { text } else { format!("{url}: {text}") }
}

/// The configuration on disk, when it is the anchor's instance's.
fn load(settings: &GlobalConfSettings, store: &Store) -> Result<Option<GlobalConf>, RefreshError> {
    let path = &settings.anchor;
    let anchor = std::fs::read(path)
        .map_err(|source| RefreshError::Anchor { path: path.clone(), source })?;
    let anchor = Anchor::parse(&anchor)?;
    let files = store.read().map_err(RefreshError::Save)?;
    if files.is_empty() {
        return Ok(None);
    }
    let conf = GlobalConf::from_directory_files(files)?;
    let allowed = |id: &str| id == anchor.instance || settings.allowed_federations.allows(id);
    let configurations =
        conf.instances().filter(|id| allowed(id)).filter_map(|id| conf.configuration(id).cloned());
    if conf.instance() != anchor.instance {
        return Ok(None);
    }
    let conf = GlobalConf::new(&anchor.instance, configurations.collect())?;
    Ok(Some(conf.without_expired_partners(OffsetDateTime::now_utc()).unwrap_or(conf)))
}
