//! Starting, reloading and stopping a server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use causeway_globalconf::GlobalConf;
use causeway_keys::{KeysError, Pin};
use causeway_messagelog::{Log, LogError};
use causeway_monitoring::StoreError;
use causeway_pki::Certificate;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::credentials::{self, CredentialsError};
use super::tokens::{SharedTokens, Tokens};
use super::{READY_STEP, Server};
use crate::globalconf_client::GlobalConfClient;
use crate::health::{self, Health};
use crate::http::serve::{Listening, serve};
use crate::metadata::MetadataServices;
use crate::metrics::Metrics;
use crate::monitoring::{Monitoring, MonitoringServices};
use crate::ocsp_client::{OcspCache, OcspClient};
use crate::ocsp_exchange::{self, PeerOcsp};
use crate::peers::{Dialer, PeerPool, Shares};
use crate::service_call::ServiceCaller;
use crate::settings::{Settings, SettingsErrors, TlsSettings};
use crate::signing::Signers;
use crate::timestamper::Timestamping;
use crate::tls::{self, CbcGate, Identity, TlsError};
use crate::verification::Verification;
use crate::{client_side, provider_side};

/// How often the keys are looked at again, for certificates that begin, end, or were imported.
const KEYS_AGAIN: Duration = Duration::from_secs(30);

/// Why a server did not start, or a reload was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong.
    #[error("{0}")]
    Settings(#[from] SettingsErrors),
    /// The token or its PIN is wrong.
    #[error(
        "the token cannot be used: {0}. Check the folder and the PIN, or make a token with `security-server keys init`"
    )]
    Keys(#[from] KeysError),
    /// The keys cannot be put to use.
    #[error("the keys cannot be used: {0}")]
    Credentials(#[from] CredentialsError),
    /// The message log cannot be opened.
    #[error("the message log cannot be opened: {0}")]
    Log(#[from] LogError),
    /// The store of operational data cannot be opened.
    #[error(
        "operational data cannot be kept: {0}. Another folder: [monitoring] dir; none: [monitoring] enabled = false"
    )]
    Monitoring(#[from] StoreError),
    /// An address is not free, or not this machine's.
    #[error(
        "cannot listen on {address} ({what}): {error}. Choose another address in the section [listen]"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What it is for.
        what: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// The internal TLS certificate or key is not usable.
    #[error("the internal TLS key cannot be used: {0}")]
    Tls(#[from] TlsError),
    /// Anything else that the operating system refuses.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        error: std::io::Error,
    },
    /// The internal TLS certificate could not be made.
    #[error("{0}")]
    InternalTls(#[from] crate::settings::tls::InternalTlsError),
}

/// Where a running server listens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// For information systems, HTTP.
    pub client_http: Option<SocketAddr>,
    /// For information systems, HTTPS.
    pub client_https: Option<SocketAddr>,
    /// For other security servers.
    pub peers: Option<SocketAddr>,
    /// For OCSP responses.
    pub ocsp: Option<SocketAddr>,
    /// For health and metrics.
    pub health: Option<SocketAddr>,
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    server: Arc<Server>,
    addresses: Addresses,
    tasks: JoinSet<()>,
    /// Unlocked until what is in flight has been signed.
    tokens: SharedTokens,
}

/// Runs a server until it is told to stop: SIGTERM or SIGINT stop it when
/// what is in flight is done, SIGHUP makes it read its configuration again.
///
/// # Errors
/// See [`StartError`].
pub async fn run(config: &Path) -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| StartError::System { what: "waiting for signals".into(), error };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let running = start(Settings::load(config)?, None).await?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => match Settings::load(config).map_err(StartError::from).and_then(|s| running.reload(s)) {
                Ok(()) => tracing::info!("configuration read again"),
                Err(error) => tracing::error!(%error, "configuration not changed"),
            },
        }
    }
    tracing::info!("stopping: no new connections, what is in flight is finished");
    running.stop().await;
    Ok(())
}

/// Starts a server. Without a `pin`, it is read from where the settings say.
///
/// # Errors
/// See [`StartError`].
pub async fn start(settings: Settings, pin: Option<Pin>) -> Result<Running, StartError> {
    std::fs::create_dir_all(&settings.data_dir).map_err(|error| StartError::System {
        what: format!("the data folder {} cannot be made", settings.data_dir.display()),
        error,
    })?;
    let tokens = Arc::new(Tokens::open(&settings, pin)?);
    let log = Arc::new(open_log(&settings)?);
    crate::settings::tls::ensure_internal_certificate(&settings.tls)?;
    let internal = Arc::new(internal_identity(&settings.tls)?);

    let conf: Arc<ArcSwapOption<GlobalConf>> = Arc::default();
    let conf_client = Arc::new(GlobalConfClient::open(
        settings.global_conf.clone(),
        settings.global_conf_folder(),
        Arc::clone(&conf),
    ));
    let metrics = Arc::new(Metrics::new());
    let ocsp = Arc::new(OcspCache::open(settings.ocsp_folder()));
    let timestamping = Arc::new(Timestamping::new(
        settings.timestamping.clone(),
        Arc::clone(&log),
        Arc::clone(&conf),
    ));
    let peers = &settings.peers;
    let dialer = Dialer::new(
        peers.port,
        peers.connect_timeout,
        peers.fastest_cache,
        settings.limits.request_timeout,
        Arc::clone(&metrics),
    );
    let monitoring = Arc::new(Monitoring::open(&settings.monitoring)?);
    let (stop, stopping) = watch::channel(false);
    let server = Arc::new(Server {
        conf: Arc::clone(&conf),
        conf_client: Arc::clone(&conf_client),
        log,
        authentication: ArcSwapOption::empty(),
        internal: internal.chain.first().cloned(),
        ocsp: Arc::clone(&ocsp),
        shares: Shares::of(settings.limits.max_connections),
        peer_ocsp: Arc::new(PeerOcsp::new(peers.connect_timeout)),
        timestamping: Arc::clone(&timestamping),
        tokens: Arc::clone(&tokens),
        health: Health::new(Arc::clone(&conf), Arc::clone(&ocsp), Arc::clone(&timestamping)),
        stop,
        signers: Signers::default(),
        own_services: vec![
            Arc::new(MetadataServices),
            Arc::new(MonitoringServices::new(settings.server.owner().as_client(), &monitoring)),
        ],
        peers: PeerPool::new(dialer, peers.idle_timeout),
        services: ServiceCaller::new(Some(Arc::clone(&internal))),
        verification: Verification::default(),
        metrics,
        monitoring: Arc::clone(&monitoring),
        settings: ArcSwap::from_pointee(settings),
    });

    let (peer_tls, peer_tls_seen) = watch::channel(None);
    let own: OwnCertificates = Arc::default();
    let watched = Arc::clone(&own);
    let certificates = move || watched.load().as_ref().clone();
    let ocsp_client = Arc::new(OcspClient::new(
        server.settings().ocsp.clone(),
        Arc::clone(&ocsp),
        conf,
        certificates,
    ));
    let keys = Keys { tokens: Arc::clone(&tokens), own, ocsp: Arc::clone(&ocsp_client), peer_tls };
    keys.take(&server)?;
    // Only now: whoever connects to a server that restarts is not refused for want of keys.
    let mut tasks = JoinSet::new();
    let addresses = listen(&server, &internal, peer_tls_seen, &stopping, &mut tasks).await?;
    {
        let (client, stop) = (Arc::clone(&conf_client), stopping.clone());
        tasks.spawn(async move { client.run(stop).await });
    }
    {
        let (client, stop) = (Arc::clone(&ocsp_client), stopping.clone());
        tasks.spawn(async move { client.run(stop).await });
    }
    {
        let stop = stopping.clone();
        tasks.spawn(async move { timestamping.run(stop).await });
    }
    {
        let stop = stopping.clone();
        tasks.spawn(async move { monitoring.run(stop).await });
    }
    tasks.spawn(keys.keep(Arc::clone(&server), stopping));
    tracing::info!(server = %server.settings().server, ?addresses, "security server started");
    Ok(Running { server, addresses, tasks, tokens })
}

impl Running {
    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Waits until messages can be relayed.
    ///
    /// # Errors
    /// What is still missing when the time is over.
    pub async fn wait_until_ready(&self, timeout: Duration) -> Result<(), String> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.server.missing() {
                None => return Ok(()),
                Some(missing) if Instant::now() > deadline => return Err(missing),
                Some(_) => tokio::time::sleep(READY_STEP).await,
            }
        }
    }

    /// Puts new settings in force. Connections stay; messages in flight keep the settings they began with.
    ///
    /// # Errors
    /// When something changed that needs a restart; then nothing is changed.
    pub fn reload(&self, settings: Settings) -> Result<(), StartError> {
        let fixed = self.server.settings().needs_restart(&settings);
        if !fixed.is_empty() {
            tracing::warn!(sections = ?fixed, "these sections changed and take effect at the next start; the rest is in force now");
        }
        let mut newer = self.server.settings().as_ref().clone();
        newer.clients = settings.clients;
        newer.tls.check_client_dates = settings.tls.check_client_dates;
        self.server.settings.store(Arc::new(newer));
        self.server.services.reset();
        Ok(())
    }

    /// Stops: no new connections, what is in flight is finished, the log is closed.
    pub async fn stop(mut self) {
        let _ = self.server.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        drop(self.tokens);
        self.server.monitoring.close().await;
        self.server.log.close().await;
    }
}

impl Server {
    /// What is still missing before messages can be relayed; `None` when nothing is.
    fn missing(&self) -> Option<String> {
        let now = OffsetDateTime::now_utc();
        if let Err(fault) = self.valid_global_conf(now) {
            return Some(fault.to_string());
        }
        if self.authentication.load().is_none() {
            return Some("no active authentication certificate".into());
        }
        if let Err(fault) = self.authentication_ocsp() {
            return Some(fault.to_string());
        }
        self.signers
            .members()
            .iter()
            .filter_map(|member| self.signers.of(member).ok())
            .find(|signer| self.ocsp.get(signer.certificate()).is_none())
            .map(|signer| {
                let subject = causeway_console::name(&signer.certificate().subject_rfc2253());
                format!("no OCSP response for {subject}")
            })
    }
}

fn open_log(settings: &Settings) -> Result<Log, LogError> {
    let mut log = causeway_messagelog::LogSettings::new(&settings.log.dir);
    log.segment_bytes = settings.log.segment_bytes;
    Log::open(log)
}

pub(crate) fn internal_identity(tls: &TlsSettings) -> Result<Identity, StartError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| StartError::System {
            what: format!("{} cannot be read", path.display()),
            error,
        })
    };
    let unusable = |path: &Path, why: String| StartError::System {
        what: format!("{} cannot be used", path.display()),
        error: std::io::Error::other(why),
    };
    let chain = Certificate::all_from_pem(&read(&tls.internal_certificate)?)
        .map_err(|e| unusable(&tls.internal_certificate, e.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&tls.internal_key)?)
        .map_err(|e| unusable(&tls.internal_key, e.to_string()))?;
    Ok(Identity { chain, key })
}

async fn bind(
    address: Option<SocketAddr>,
    what: &'static str,
) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) => Err(StartError::Listen { address, what, error }),
    }
}

/// Opens all listeners, or none.
async fn listen(
    server: &Arc<Server>,
    internal: &Identity,
    peer_tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    stopping: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<Addresses, StartError> {
    let settings = server.settings();
    let wanted = &settings.listen;
    let http = bind(wanted.client_http, "information systems, HTTP").await?;
    let https = bind(wanted.client_https, "information systems, HTTPS").await?;
    let peers = bind(wanted.peers, "other security servers").await?;
    let ocsp = bind(wanted.ocsp, "OCSP responses").await?;
    let health = bind(wanted.health, "health and metrics").await?;
    let address = |l: &Option<TcpListener>| l.as_ref().and_then(|l| l.local_addr().ok());
    let addresses = Addresses {
        client_http: address(&http),
        client_https: address(&https),
        peers: address(&peers),
        ocsp: address(&ocsp),
        health: address(&health),
    };

    let listening = |name, tls, connections: &Arc<Semaphore>| Listening {
        name,
        tls,
        connections: Arc::clone(connections),
        header_timeout: settings.limits.header_timeout,
        stall_timeout: settings.limits.request_timeout,
        grace: settings.shutdown_grace,
        spelling: true,
        cbc: None,
        metrics: Arc::clone(&server.metrics),
    };
    // Each side has its own share, so that a flood on one leaves the others served.
    let share =
        || Arc::new(Semaphore::new(settings.limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let clients = share();
    let for_clients = |server: &Arc<Server>| {
        let server = Arc::clone(server);
        move |caller, request| client_side::handle(Arc::clone(&server), caller, request)
    };
    if let Some(listener) = http {
        tasks.spawn(serve(
            listener,
            listening("client-http", None, &clients),
            stopping.clone(),
            for_clients(server),
        ));
    }
    if let Some(listener) = https {
        let (_, tls) = watch::channel(Some(Arc::new(tls::for_information_systems(internal)?)));
        let how = listening("client-https", Some(tls), &clients);
        tasks.spawn(serve(listener, how, stopping.clone(), for_clients(server)));
    }
    if let Some(listener) = peers {
        let server_conf = Arc::clone(&server.conf);
        let server = Arc::clone(server);
        let service =
            move |caller, request| provider_side::handle(Arc::clone(&server), caller, request);
        tasks.spawn(serve(
            listener,
            Listening {
                cbc: Some(CbcGate {
                    conf: Arc::clone(&server_conf),
                    instances: settings.peers.cbc_suites_for.clone(),
                }),
                // What another security server signed is in the message, not in its HTTP headers.
                spelling: false,
                ..listening("peers", Some(peer_tls), &share())
            },
            stopping.clone(),
            service,
        ));
    }
    if let Some(listener) = ocsp {
        let cache = Arc::clone(&server.ocsp);
        let service = move |_, request| ocsp_exchange::handle(Arc::clone(&cache), request);
        tasks.spawn(serve(listener, listening("ocsp", None, &share()), stopping.clone(), service));
    }
    if let Some(listener) = health {
        let server = Arc::clone(server);
        let service = move |_, request| health::handle(Arc::clone(&server), request);
        tasks.spawn(serve(
            listener,
            listening("health", None, &share()),
            stopping.clone(),
            service,
        ));
    }
    Ok(addresses)
}

/// The certificates whose OCSP responses are fetched ahead of need.
type OwnCertificates = Arc<ArcSwap<Vec<Certificate>>>;

/// The token's keys, and what is made of them.
struct Keys {
    tokens: SharedTokens,
    own: OwnCertificates,
    ocsp: Arc<OcspClient>,
    peer_tls: watch::Sender<Option<Arc<ServerConfig>>>,
}

impl Keys {
    /// Puts the keys to use: signers, TLS towards other servers, OCSP responses to fetch.
    fn take(&self, server: &Arc<Server>) -> Result<(), StartError> {
        let now = OffsetDateTime::now_utc();
        let conf = server.global_conf();
        let signers =
            credentials::signers(&self.tokens, &server.conf, &server.ocsp, &server.metrics, now)?;
        let identity = credentials::authentication(&self.tokens, conf.as_deref(), now)?;
        let settings = server.settings();
        let cbc = &settings.peers.cbc_suites_for;
        match &identity {
            Some(identity) => {
                let incoming =
                    tls::for_incoming_peers(identity, Arc::clone(&server.conf), !cbc.is_empty())?;
                self.peer_tls.send_replace(Some(Arc::new(incoming)));
                server.peers.set_config(Some(Arc::new(tls::OutgoingTls::new(identity, cbc)?)));
            }
            None => {
                tracing::warn!(
                    "no active authentication certificate: no messages to or from other security servers"
                );
                self.peer_tls.send_replace(None);
                server.peers.set_config(None);
            }
        }
        self.own.store(Arc::new(credentials::own_certificates(
            &self.tokens,
            conf.as_deref(),
            now,
        )?));
        self.ocsp.refresh_soon();
        server.signers.replace(signers);
        server.authentication.store(identity.map(Arc::new));
        Ok(())
    }

    /// Takes the keys anew when certificates were imported, began or ended, or
    /// when the global configuration tells other authorities above them.
    async fn keep(self, server: Arc<Server>, mut stopping: watch::Receiver<bool>) {
        let mut changed = server.conf_client.subscribe();
        loop {
            let conf = server.global_conf();
            self.tokens.try_to_unlock();
            match credentials::own_certificates(
                &self.tokens,
                conf.as_deref(),
                OffsetDateTime::now_utc(),
            ) {
                Ok(found) if found == **self.own.load() => {}
                Ok(_) => {
                    if let Err(error) = self.take(&server) {
                        tracing::error!(%error, "the keys could not be taken anew");
                    }
                }
                Err(error) => tracing::error!(%error, "the token cannot be read"),
            }
            tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => return,
                news = changed.changed() => match news {
                    // It may tell other OCSP responders, or be the first that tells any.
                    Ok(()) => self.ocsp.refresh_soon(),
                    Err(_) => return,
                },
                () = tokio::time::sleep(KEYS_AGAIN) => {}
            }
        }
    }
}
