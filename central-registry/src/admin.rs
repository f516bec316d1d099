//! How the command line speaks to a running registry: HTTP with JSON over a Unix socket in the storage
//! folder, which only the registry's own user may open.
//!
//! `POST /edit` takes an [`Edit`], `POST /publish` nothing, `GET /listing` gives a [`Listing`],
//! `GET /anchor/internal` and `/anchor/external` an anchor file, `POST /signing-keys/…` work on the
//! keys, `/requests` and `/requests/…` on management requests, `GET /users` and `POST /users` on who may use
//! the API over HTTPS. A refusal is an [`AdminRefusal`]. Anchors are given here, by the command line, and to
//! security officers over HTTPS: they are where trust begins, so they must not be fetched over an unprotected
//! network.

mod client;
mod users;

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_admin::identity::Identity;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::config::Config;
use crate::edit::{Edit, EditError};
use crate::http::GRACE;
use crate::listing::Listing;
use crate::records::ConfigurationKind;
use crate::registry::{Registry, RegistryError};
use crate::requests::{OperatorRequest, Origin, Outcome, RequestError};

pub use client::{AdminClient, AdminError};
pub use users::{UserEdit, UserListing};
pub(crate) use users::{list as list_users, next_step as users_next_step};

/// The longest body of a request, in bytes: a certification service with some dozens of certificates.
const MAX_BODY: usize = 4 << 20;
/// How long a connection may last.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a running registry answers to a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminAnswer {
    /// The change is published already.
    pub published: bool,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do for it to be published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The identifier of what was made, where the registry chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What a running registry answers when it refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminRefusal {
    /// What is wrong.
    pub error: String,
    /// What to do next.
    pub next: String,
}

/// Makes the socket, in the place of one that a crash left behind.
pub(crate) fn bind(config: &Config) -> Result<UnixListener, RegistryError> {
    let path = config.admin_socket();
    let failed = |e: std::io::Error| RegistryError::disk(&path, &e);
    std::fs::create_dir_all(&config.storage).map_err(failed)?;
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let owner_only = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, owner_only).map_err(failed)?;
    Ok(listener)
}

/// Removes the socket.
pub(crate) fn unbind(config: &Config) {
    // It may be gone already; one that stays is replaced at the next start.
    let _ = std::fs::remove_file(config.admin_socket());
}

/// Takes connections until the other end of `stopped` is dropped; then gives the open ones [`GRACE`]
/// to finish.
pub(crate) async fn serve(
    registry: Registry,
    identity: Option<Arc<Identity>>,
    listener: UnixListener,
    mut stopped: watch::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                warn!(error = %e, "cannot accept a connection at the admin socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (registry, identity) = (registry.clone(), identity.clone());
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (registry, identity) = (registry.clone(), identity.clone());
                async move { Ok::<_, Infallible>(answer(&registry, identity, request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(e)) = tokio::time::timeout(TIMEOUT, connection).await {
                debug!(error = %e, "a connection at the admin socket ended");
            }
        });
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        debug!("connections at the admin socket were cut off");
    }
}

async fn answer(
    registry: &Registry,
    identity: Option<Arc<Identity>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) => return refuse(StatusCode::BAD_REQUEST, &e.to_string(), "send less"),
    };
    let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    match (&head.method, &path[..]) {
        (&Method::GET, ["listing"]) => json(&Listing::clone(&registry.listing())),
        (&Method::GET, ["requests"]) => json(&registry.requests()),
        (&Method::POST, ["requests"]) => match serde_json::from_slice::<OperatorRequest>(&body) {
            Ok(asked) => ask(registry, asked).await,
            Err(e) => refuse(StatusCode::BAD_REQUEST, &e.to_string(), "send a request"),
        },
        (&Method::POST, ["requests", verb, number]) => match (Decision::of(verb), number.parse()) {
            (Some(decision), Ok(number)) => decide(registry, decision, number).await,
            _ => unknown(),
        },
        (&Method::GET, ["anchor", kind]) => match kind_of(kind).map(|kind| registry.anchor(kind)) {
            Some(Ok(xml)) => Response::new(Full::new(xml.into())),
            Some(Err(e)) => refuse(StatusCode::CONFLICT, &e.to_string(), e.next_step()),
            None => unknown(),
        },
        (method, ["users"]) => match identity {
            Some(identity) => on_users(identity, method, body).await,
            None => refuse(
                StatusCode::CONFLICT,
                "the running registry has no admin interface",
                "switch it on: 'listen' under [admin] in the configuration file; or stop the registry first",
            ),
        },
        (&Method::POST, ["publish"]) => json(&published(registry, None).await),
        (&Method::POST, ["edit"]) => match serde_json::from_slice::<Edit>(&body) {
            Ok(edit) => {
                let change = move |registry: &Registry| registry.edit(edit).map(|()| None);
                changed(registry, change, |e: &EditError| e.next_step().to_owned()).await
            }
            Err(e) => refuse(StatusCode::BAD_REQUEST, &e.to_string(), "send an edit"),
        },
        (&Method::POST, ["signing-keys", "add", kind]) => match kind_of(kind) {
            Some(kind) => {
                let change = move |registry: &Registry| registry.add_signing_key(kind).map(Some);
                changed(registry, change, |e: &RegistryError| e.next_step().to_owned()).await
            }
            None => unknown(),
        },
        (&Method::POST, ["signing-keys", verb @ ("activate" | "remove"), id]) => {
            let (activate, id) = (*verb == "activate", (*id).to_owned());
            let change = move |registry: &Registry| {
                let done = match activate {
                    true => registry.activate_signing_key(&id),
                    false => registry.remove_signing_key(&id),
                };
                done.map(|()| None)
            };
            changed(registry, change, |e: &RegistryError| e.next_step().to_owned()).await
        }
        _ => unknown(),
    }
}

/// What an operator does with a request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is to take effect.
    Approve,
    /// It is not.
    Decline,
    /// The operator's own is taken back.
    Revoke,
}

impl Decision {
    /// `approve`, `decline` or `revoke`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Decline => "decline",
            Self::Revoke => "revoke",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Approve, Self::Decline, Self::Revoke].into_iter().find(|d| d.name() == name)
    }
}

/// Takes a request of the operator, off the asynchronous threads.
async fn ask(registry: &Registry, asked: OperatorRequest) -> Response<Full<Bytes>> {
    let handle = registry.clone();
    let submit = move || {
        let request = asked.to_request()?;
        handle.submit_request(&request, Origin::Registry, None, OffsetDateTime::now_utc())
    };
    told(tokio::task::spawn_blocking(submit).await)
}

fn told(
    result: Result<Result<Outcome, RequestError>, tokio::task::JoinError>,
) -> Response<Full<Bytes>> {
    match result {
        Ok(Ok(outcome)) => json(&outcome),
        Ok(Err(e)) => refuse(StatusCode::CONFLICT, &e.to_string(), e.next_step()),
        Err(e) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string(), "look at the registry's log")
        }
    }
}

/// Work on users, off the asynchronous threads: passwords are derived, and changes flushed.
async fn on_users(identity: Arc<Identity>, method: &Method, body: Bytes) -> Response<Full<Bytes>> {
    if method == Method::GET {
        return json(&list_users(&identity));
    }
    let edit = match serde_json::from_slice::<UserEdit>(&body) {
        Ok(edit) if method == Method::POST => edit,
        _ => return refuse(StatusCode::BAD_REQUEST, "no change of users", "send one"),
    };
    let work = Arc::clone(&identity);
    match tokio::task::spawn_blocking(move || edit.make(&work)).await {
        Ok(Ok(())) => json(&list_users(&identity)),
        Ok(Err(e)) => refuse(StatusCode::CONFLICT, &e.to_string(), users_next_step(&e)),
        Err(e) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string(), "look at the registry's log")
        }
    }
}

/// Decides on a request, off the asynchronous threads. What was approved is published.
async fn decide(registry: &Registry, decision: Decision, number: u64) -> Response<Full<Bytes>> {
    let now = OffsetDateTime::now_utc();
    if decision == Decision::Approve {
        let approve =
            move |registry: &Registry| registry.approve_request(number, now).map(|_| None);
        return changed(registry, approve, |e: &RequestError| e.next_step().to_owned()).await;
    }
    let handle = registry.clone();
    let decide = move || {
        let status = match decision {
            Decision::Revoke => handle.revoke_request(number, now),
            _ => handle.decline_request(number, now),
        };
        status.map(|status| Outcome { number, status })
    };
    told(tokio::task::spawn_blocking(decide).await)
}

fn kind_of(name: &str) -> Option<ConfigurationKind> {
    ConfigurationKind::ALL.into_iter().find(|kind| kind.name() == name)
}

/// Makes a change off the asynchronous threads, then publishes it.
async fn changed<E: std::error::Error + Send + 'static>(
    registry: &Registry,
    change: impl FnOnce(&Registry) -> Result<Option<String>, E> + Send + 'static,
    next_step: impl Fn(&E) -> String,
) -> Response<Full<Bytes>> {
    let handle = registry.clone();
    match tokio::task::spawn_blocking(move || change(&handle)).await {
        Ok(Ok(id)) => json(&published(registry, id).await),
        Ok(Err(e)) => refuse(StatusCode::CONFLICT, &e.to_string(), &next_step(&e)),
        Err(e) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string(), "look at the registry's log")
        }
    }
}

async fn published(registry: &Registry, id: Option<String>) -> AdminAnswer {
    match registry.publish_in_background().await {
        Ok(publication) => {
            let published = publication.expires() > OffsetDateTime::now_utc();
            AdminAnswer { published, reason: None, next: None, id }
        }
        Err(e) => AdminAnswer {
            published: false,
            reason: Some(e.to_string()),
            next: Some(e.next_step().to_owned()),
            id,
        },
    }
}

fn json<T: Serialize>(value: &T) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => Response::new(Full::new(body.into())),
        Err(e) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string(), "report this"),
    }
}

fn unknown() -> Response<Full<Bytes>> {
    refuse(
        StatusCode::NOT_FOUND,
        "the registry does not know this request",
        "use a command line of its version",
    )
}

fn refuse(status: StatusCode, error: &str, next: &str) -> Response<Full<Bytes>> {
    let refusal = AdminRefusal { error: error.to_owned(), next: next.to_owned() };
    let mut response =
        Response::new(Full::new(serde_json::to_vec(&refusal).unwrap_or_default().into()));
    *response.status_mut() = status;
    response
}
