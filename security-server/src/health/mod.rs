//! The health port: whether this server can relay messages, for load balancers
//! and monitoring (X-Road 7.8 `HealthChecks`), and its metrics.
//!
//! Any path answers 200 with an empty body, 500 with the first reason why messages
//! cannot be relayed, or 503 while the operator has switched the answer to
//! maintenance. `/metrics` is the exception. All checks look at state that is
//! there already, so that asking costs next to nothing and nothing is cached.
//!
//! [`work`] is what the loops beside the messages have in common.

pub mod work;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use causeway_globalconf::GlobalConf;
use causeway_message::Fault;
use causeway_messagelog::Counters;
use causeway_pki::ocsp::{CertStatus, OcspPolicy, OcspResponse, judge_status, judge_time};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use time::OffsetDateTime;

use crate::globalconf_client::Published;
use crate::http::{Body, empty, full};
use crate::metrics::{self, Metrics, OcspState};
use crate::ocsp_client::OcspCache;
use crate::server::Server;
use crate::timestamper::Timestamping;

/// What a load balancer is told while the operator has the server in maintenance.
const MAINTENANCE: &str = "Health check interface is in maintenance mode.";

/// What the server's health is judged by.
pub struct Health {
    conf: Published,
    ocsp: Arc<OcspCache>,
    timestamping: Arc<Timestamping>,
    maintenance: AtomicBool,
}

/// The answer to a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Messages can be relayed.
    Healthy,
    /// They cannot, for this reason.
    Unhealthy(String),
    /// The operator wants no messages to come here.
    Maintenance,
}

impl Health {
    /// Health by these; not in maintenance.
    pub fn new(conf: Published, ocsp: Arc<OcspCache>, timestamping: Arc<Timestamping>) -> Self {
        Self { conf, ocsp, timestamping, maintenance: AtomicBool::new(false) }
    }

    /// Switches the answer to maintenance, or back. Messages that come are relayed all the same.
    pub fn set_maintenance(&self, maintenance: bool) {
        self.maintenance.store(maintenance, Ordering::Relaxed);
    }

    /// Whether messages can be relayed now, given what the server has at hand: the OCSP responses
    /// (DER) for its authentication certificate, and the message log's state.
    pub fn judge(
        &self,
        authentication: Result<Vec<OcspResponse>, Fault>,
        log: Result<&Counters, String>,
        now: OffsetDateTime,
    ) -> Verdict {
        if self.maintenance.load(Ordering::Relaxed) {
            return Verdict::Maintenance;
        }
        let verdict = judge_conf(self.conf.load().as_deref(), now)
            .and_then(|policy| judge_authentication(authentication, &policy, now))
            .and_then(|()| judge_log(log))
            .and_then(|()| self.timestamping.gate(now).map_err(|e| e.message().to_owned()));
        match verdict {
            Ok(()) => Verdict::Healthy,
            Err(reason) => Verdict::Unhealthy(reason),
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("maintenance", &self.maintenance).finish_non_exhaustive()
    }
}

/// Answers a request to the health port.
pub async fn handle(server: Arc<Server>, request: Request<Incoming>) -> Response<Body> {
    let now = OffsetDateTime::now_utc();
    let log = counters(&server).await;
    if request.uri().path() == "/metrics" {
        note_states(&server, log.as_ref().ok(), now);
        return answer(StatusCode::OK, metrics::CONTENT_TYPE, server.metrics.render());
    }
    let authentication = server.authentication_ocsp().and_then(|responses| {
        let parse = |der: &bytes::Bytes| {
            OcspResponse::parse(der).map_err(|e| Fault::new(e.code(), e.to_string()))
        };
        responses.iter().map(parse).collect()
    });
    let authentication = server.require_authentication_certificate().and(authentication);
    let log = log.as_ref().map_err(Clone::clone);
    respond(match server.health().judge(authentication, log, now) {
        Verdict::Healthy => server.token_trouble().map_or(Verdict::Healthy, Verdict::Unhealthy),
        other => other,
    })
}

fn respond(verdict: Verdict) -> Response<Body> {
    let (status, text) = match verdict {
        Verdict::Healthy => return Response::new(empty()),
        Verdict::Unhealthy(reason) => (StatusCode::INTERNAL_SERVER_ERROR, reason),
        Verdict::Maintenance => (StatusCode::SERVICE_UNAVAILABLE, MAINTENANCE.to_owned()),
    };
    answer(status, "text/plain; charset=utf-8", text)
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

async fn counters(server: &Server) -> Result<Counters, String> {
    let log = server.log_store();
    match tokio::task::spawn_blocking(move || log.counters()).await {
        Ok(counters) => counters.map_err(|e| e.to_string()),
        Err(_) => Err("message log: the look at it was interrupted".to_owned()),
    }
}

fn judge_conf(conf: Option<&GlobalConf>, now: OffsetDateTime) -> Result<OcspPolicy, String> {
    let conf = conf.ok_or("There is no global configuration")?;
    conf.valid_at(now).map_err(|e| e.to_string())?;
    Ok(conf.ocsp_policy())
}

fn judge_authentication(
    responses: Result<Vec<OcspResponse>, Fault>,
    policy: &OcspPolicy,
    now: OffsetDateTime,
) -> Result<(), String> {
    let responses = responses.map_err(|fault| fault.message().to_owned())?;
    let judge = |r| judge_time(r, policy, now).and_then(|()| judge_status(r));
    responses
        .iter()
        .try_for_each(judge)
        .map_err(|e| format!("The authentication certificate cannot be used: {e}"))
}

fn judge_log(log: Result<&Counters, String>) -> Result<(), String> {
    if log?.failing {
        return Err("The message log cannot be written".to_owned());
    }
    Ok(())
}

/// Sets the metrics that are states.
fn note_states(server: &Server, log: Option<&Counters>, now: OffsetDateTime) {
    let (health, metrics) = (server.health(), &server.metrics);
    let conf = health.conf.load_full();
    metrics.set_global_conf_valid(judge_conf(conf.as_deref(), now).is_ok());
    if let Some(log) = log {
        metrics.set_untimestamped(log.untimestamped, log.oldest_untimestamped, now);
    }
    metrics.set_idle_peer_connections(server.peers.idle_connections());
    metrics.set_timestamping_failing_since(health.timestamping.failing_since());
    let policy = conf.map(|conf| conf.ocsp_policy()).unwrap_or_default();
    note_certificates(server, &health.ocsp, metrics, &policy, now);
}

/// The state of each member's signing certificate, and of the server's own for authentication.
fn note_certificates(
    server: &Server,
    cache: &OcspCache,
    metrics: &Metrics,
    policy: &OcspPolicy,
    now: OffsetDateTime,
) {
    let members = server.signers.members();
    let mut states: Vec<(String, OcspState)> = members
        .iter()
        .filter_map(|member| {
            let signer = server.signers.of(member).ok()?;
            let held = cache.get(signer.certificate());
            Some((format!("signing {member}"), ocsp_state(held.as_ref(), policy, now)))
        })
        .collect();
    let authentication = server
        .authentication_ocsp()
        .ok()
        .and_then(|responses| responses.first().and_then(|der| OcspResponse::parse(der).ok()));
    let state = ocsp_state(authentication.as_ref(), policy, now);
    states.push(("authentication".to_owned(), state));
    metrics.set_ocsp(states.iter().map(|(name, state)| (name.as_str(), *state)));
}

fn ocsp_state(held: Option<&OcspResponse>, policy: &OcspPolicy, now: OffsetDateTime) -> OcspState {
    match held {
        Some(response) if response.status() != CertStatus::Good => OcspState::Bad,
        Some(response) if judge_time(response, policy, now).is_ok() => OcspState::Good,
        _ => OcspState::Missing,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use causeway_globalconf::{InstanceConfiguration, Version};
    use causeway_pki::ocsp::{CertId, ResponseBuilder};
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::outgoing::fake::{TestCa, TestKey, shared_parameters};

    fn response(status: CertStatus, this_update: OffsetDateTime) -> OcspResponse {
        let ca = TestCa::new("CA");
        let certificate = ca.issue("server", &TestKey::generate());
        let id = CertId::of(&certificate, &ca.certificate);
        let der = ResponseBuilder::new(this_update)
            .single(&id, status, this_update, None)
            .sign(&ca.key, &ca.certificate)
            .unwrap();
        OcspResponse::parse(&der).unwrap()
    }

    #[test]
    fn what_is_missing_is_told() {
        let now = OffsetDateTime::now_utc();
        assert!(judge_conf(None, now).unwrap_err().contains("no global configuration"));
        let conf = |expires| {
            let shared = shared_parameters("AA");
            let instance = InstanceConfiguration::new(shared, Version::V6, Some(expires));
            GlobalConf::new("AA", vec![instance]).unwrap()
        };
        let hour = time::Duration::hours(1);
        assert!(judge_conf(Some(&conf(now - hour)), now).unwrap_err().contains("expired"));
        let policy = judge_conf(Some(&conf(now + hour)), now).unwrap();

        let judge = |responses| judge_authentication(responses, &policy, now);
        judge(Ok(vec![response(CertStatus::Good, now)])).unwrap();
        let fault = Fault::new("x", "no certificate");
        assert_eq!(judge(Err(fault)).unwrap_err(), "no certificate");
        let old = response(CertStatus::Good, now - 2 * hour);
        assert!(judge(Ok(vec![old])).unwrap_err().contains("too old"));
        let revoked = response(CertStatus::Revoked { at: now }, now);
        assert!(judge(Ok(vec![revoked])).unwrap_err().contains("REVOKED"));

        judge_log(Ok(&Counters::default())).unwrap();
        let failing = Counters { failing: true, ..Counters::default() };
        assert!(judge_log(Ok(&failing)).unwrap_err().contains("cannot be written"));
        assert_eq!(judge_log(Err("broken".to_owned())).unwrap_err(), "broken");
    }

    #[test]
    fn states_of_certificates() {
        let (policy, now) = (OcspPolicy::default(), OffsetDateTime::now_utc());
        let state = |held: Option<OcspResponse>| ocsp_state(held.as_ref(), &policy, now);
        assert_eq!(state(None), OcspState::Missing);
        assert_eq!(state(Some(response(CertStatus::Good, now))), OcspState::Good);
        let old = now - time::Duration::hours(2);
        assert_eq!(state(Some(response(CertStatus::Good, old))), OcspState::Missing);
        assert_eq!(state(Some(response(CertStatus::Unknown, now))), OcspState::Bad);
    }

    #[tokio::test]
    async fn answers_are_as_of_x_road() {
        for (verdict, status, text) in [
            (Verdict::Healthy, 200, ""),
            (Verdict::Unhealthy("reason".to_owned()), 500, "reason"),
            (Verdict::Maintenance, 503, "Health check interface is in maintenance mode."),
        ] {
            let response = respond(verdict);
            assert_eq!(response.status(), status);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, text);
        }
    }
}
