//! The server as a whole: what a message needs on its way, and how it is
//! started, reloaded and stopped ([`start`], [`run`]).
//!
//! State that changes while messages flow (settings, global configuration,
//! keys, OCSP responses) is a snapshot behind an atomic pointer: a message
//! takes one and keeps it.

mod credentials;
mod start;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use causeway_console::name;
use causeway_globalconf::GlobalConf;
use causeway_identifiers::ClientId;
use causeway_message::{Fault, codes};
use causeway_messagelog::{Log, MessageStore, NewAttachment, NewRecord, Side};
use causeway_pki::Certificate;
use causeway_pki::ocsp::{OcspResponse, judge_status, judge_time};
use hyper::Response;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::body::{Intake, Taken};
use crate::client_side::judge_caller;
use crate::globalconf_client::GlobalConfClient;
use crate::health::Health;
use crate::http::Body;
use crate::http::serve::Caller;
use crate::message::Asked;
use crate::metrics::Metrics;
use crate::monitoring::Monitoring;
use crate::ocsp_client::OcspCache;
use crate::ocsp_exchange::PeerOcsp;
use crate::peers::{Peer, PeerPool, Shares};
use crate::provider_side::OwnService;
use crate::service_call::ServiceCaller;
use crate::settings::Settings;
use crate::signing::Signers;
use crate::timestamper::Timestamping;
use crate::tls::Identity;
use crate::verification::Verification;

pub use credentials::CredentialsError;
pub(crate) use start::internal_identity;
pub use start::{Addresses, Running, StartError, run, start};

/// Everything that a message needs on its way.
pub struct Server {
    settings: ArcSwap<Settings>,
    conf: Arc<ArcSwapOption<GlobalConf>>,
    conf_client: Arc<GlobalConfClient>,
    log: Arc<Log>,
    authentication: ArcSwapOption<Identity>,
    internal: Option<Certificate>,
    ocsp: Arc<OcspCache>,
    peer_ocsp: Arc<PeerOcsp>,
    pub(crate) shares: Arc<Shares>,
    timestamping: Arc<Timestamping>,
    health: Health,
    tokens: tokens::SharedTokens,
    stop: watch::Sender<bool>,
    /// Signs for the members of this server.
    pub signers: Signers,
    /// Services that the server answers itself.
    own_services: Vec<Arc<dyn OwnService>>,
    /// Connections to other security servers.
    pub peers: PeerPool,
    /// Calls the services of this server's clients.
    pub services: ServiceCaller,
    /// Judges what other security servers send.
    pub verification: Verification,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What monitoring keeps of exchanges.
    pub monitoring: Arc<Monitoring>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("id", &self.settings().server).finish_non_exhaustive()
    }
}

impl Server {
    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// The global configuration held, valid or not.
    pub fn global_conf(&self) -> Option<Arc<GlobalConf>> {
        self.conf.load_full()
    }

    /// The message log.
    pub fn log_store(&self) -> Arc<Log> {
        Arc::clone(&self.log)
    }

    /// Timestamps what waits, at once.
    ///
    /// # Errors
    /// `timestamping_failed` when no authority stamps it.
    pub async fn stamp_now(&self) -> Result<(), Fault> {
        self.timestamping.stamp_now().await
    }

    /// The global configuration, if it is valid at this moment.
    ///
    /// # Errors
    /// `global_conf_outdated`.
    pub fn valid_global_conf(&self, now: OffsetDateTime) -> Result<Arc<GlobalConf>, Fault> {
        let conf = self.conf.load_full().ok_or_else(|| {
            let text = "There is no global configuration yet; the registry could not be reached since this server was set up";
            Fault::new(codes::GLOBAL_CONF_OUTDATED, text)
        })?;
        conf.valid_at(now).map_err(|e| Fault::new(codes::GLOBAL_CONF_OUTDATED, e.to_string()))?;
        Ok(conf)
    }

    /// Refuses to relay while other security servers could not know this one.
    pub(crate) fn require_authentication_certificate(&self) -> Result<(), Fault> {
        if self.authentication.load().is_some() {
            return Ok(());
        }
        let text = "Security server has no valid authentication certificate";
        Err(Fault::new(codes::SSL_AUTHENTICATION_FAILED, text))
    }

    /// The certificate by which other security servers know this one.
    pub(crate) fn authentication_certificate(&self) -> Option<Certificate> {
        self.authentication.load().as_ref().and_then(|identity| identity.chain.first().cloned())
    }

    /// The OCSP responses for this server's TLS certificates, leaf first.
    pub(crate) fn authentication_ocsp(&self) -> Result<Vec<Bytes>, Fault> {
        let identity = self.authentication.load_full();
        let chain = identity.as_deref().map(|i| i.chain.as_slice()).unwrap_or_default();
        chain
            .iter()
            .map(|certificate| {
                let response = self.ocsp.get(certificate).ok_or_else(|| {
                    let text = format!(
                        "There is no OCSP response for the authentication certificate {}",
                        name(&certificate.subject_rfc2253())
                    );
                    Fault::new(codes::SSL_AUTHENTICATION_FAILED, text)
                })?;
                Ok(Bytes::copy_from_slice(response.der()))
            })
            .collect()
    }

    /// As [`Self::authentication_ocsp`], refused when one is too old or not good:
    /// the other side would refuse it, and here is where it can be mended.
    pub(crate) fn good_authentication_ocsp(
        &self,
        conf: &GlobalConf,
        now: OffsetDateTime,
    ) -> Result<Vec<Bytes>, Fault> {
        let identity = self.authentication.load_full();
        let chain = identity.as_deref().map(|i| i.chain.as_slice()).unwrap_or_default();
        for certificate in chain {
            let Some(response) = self.ocsp.get(certificate) else { continue };
            judge_time(&response, &conf.ocsp_policy(), now)
                .and_then(|()| judge_status(&response))
                .map_err(|e| {
                    let text = format!(
                        "The authentication certificate {} is not good: {e}",
                        name(&certificate.subject_rfc2253())
                    );
                    Fault::new(codes::SSL_AUTHENTICATION_FAILED, text)
                })?;
        }
        self.authentication_ocsp()
    }

    /// Refuses to log what could not be timestamped for too long.
    pub(crate) fn timestamping_gate(&self, now: OffsetDateTime) -> Result<(), Fault> {
        self.timestamping.gate(now)
    }

    /// The internal TLS certificate, with which the server's own tools may call.
    pub(crate) fn internal_certificate(&self) -> Option<&Certificate> {
        self.internal.as_ref()
    }

    /// Whether a server at the other end may speak for a provider: registered, and good by OCSP.
    pub(crate) async fn judge_provider(
        &self,
        peer: &Peer,
        provider: &ClientId,
        conf: &Arc<GlobalConf>,
    ) -> Result<(), Fault> {
        let now = OffsetDateTime::now_utc();
        let certificates = peer.certificates.as_slice();
        let port = self.settings.load().peers.ocsp_port;
        let policy = conf.ocsp_policy();
        let responses = self
            .peer_ocsp
            .responses(&peer.server.address, port, certificates, &policy, now)
            .await?;
        let ocsp: Vec<&[u8]> = responses.iter().map(OcspResponse::der).collect();
        let judged = self.verification.judge_peer(certificates, &ocsp, provider, now, conf);
        if judged.is_err() {
            // They came over plain HTTP, where anybody can change them: asked for anew the next time.
            self.peer_ocsp.forget(certificates);
        }
        judged
    }

    /// Gives a connection back to be used again.
    pub(crate) fn give_back(&self, peer: Peer) {
        self.peers.give_back(peer);
    }

    pub(crate) fn store(&self) -> Arc<dyn MessageStore> {
        Arc::clone(&self.log) as Arc<dyn MessageStore>
    }

    /// The service of this server's own that a request is for.
    pub(crate) fn own_service(&self, request: &Asked) -> Option<Arc<dyn OwnService>> {
        self.own_services.iter().find(|own| own.is_asked(request)).cloned()
    }

    /// An intake for the next attachment of a message that has so many bytes of attachments
    /// already; beyond a few bytes in a file, at once when `in_memory` is not set.
    pub(crate) fn intake(&self, length: u64, in_memory: bool) -> Intake {
        let settings = self.settings.load();
        let inline = if in_memory { settings.limits.inline_body } else { 0 };
        Intake::new(self.store(), settings.body_limit(), inline).after(length)
    }

    /// Attachments as the log keeps them: the bytes of all, or of none.
    pub(crate) fn attachments(&self, taken: Vec<Taken>) -> Vec<NewAttachment> {
        let store = self.settings.load().stores_body(taken.iter().map(|t| t.length).sum());
        taken.into_iter().zip(1..).map(|(t, number)| t.into_attachment(number, store)).collect()
    }

    /// Keeps a record; when this returns `Ok`, it is on disk.
    pub(crate) async fn log(&self, record: NewRecord) -> Result<(), Fault> {
        let bytes = record
            .attachments
            .iter()
            .map(|a| a.length)
            .sum::<u64>()
            .saturating_add(record.message.len() as u64);
        let side = if record.side == Side::Consumer { "consumer" } else { "provider" };
        match record.response {
            true => self.metrics.transferred(side, 0, bytes),
            false => self.metrics.transferred(side, bytes, 0),
        }
        let started = std::time::Instant::now();
        let kept = self.log.append(record).await;
        self.metrics.log_append(started.elapsed());
        kept.map(|_| ()).map_err(|e| Fault::new(e.code(), e.to_string()))
    }

    /// `GET /asic`.
    pub(crate) async fn asic(&self, caller: &Caller, query: &str) -> Response<Body> {
        let settings = self.settings();
        let authenticate = |id: &ClientId| {
            let client = settings.clients.get(id).filter(|c| c.registered).ok_or_else(|| {
                Fault::new(codes::UNKNOWN_MEMBER, format!("Client '{id}' not found"))
            })?;
            let dates = settings.caller_dates(OffsetDateTime::now_utc());
            judge_caller(client, caller, self.internal_certificate(), dates)
        };
        let stamp = || async { self.timestamping.stamp_now().await };
        crate::download::asic(&self.log, stamp, query, authenticate).await
    }

    /// `GET /verificationconf`.
    pub(crate) async fn verification_configuration(&self) -> Response<Body> {
        crate::download::verification_configuration(&self.settings.load().global_conf_folder())
            .await
    }

    /// The state of what the server depends on.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// What is wrong with the tokens that keep keys.
    pub(crate) fn token_trouble(&self) -> Option<String> {
        let troubles = self.tokens.troubles();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}

impl Settings {
    /// Whether the log keeps the bytes of a body of this length; its digest is always kept.
    pub(crate) fn stores_body(&self, length: u64) -> bool {
        self.log.body_logging && length <= self.log.max_loggable_body
    }
}

/// How often a server that waits to become ready looks again.
const READY_STEP: Duration = Duration::from_millis(20);
