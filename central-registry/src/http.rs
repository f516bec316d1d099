//! Serving what is published, and the loop that keeps it fresh.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::admin;
use crate::api::Api;
use crate::doors::Doors;
use crate::publication::Publication;
use crate::registry::{Registry, RegistryError};

/// The most connections at a time; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one connection may last, however slow its client reads.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// How long open connections get to finish at shutdown.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// How long changes are gathered before they are published together.
const GATHER: Duration = Duration::from_millis(50);

impl Registry {
    /// Serves the published configuration on `listener` until `shutdown` comes, publishes at every
    /// change and whenever the renewal period has passed, and takes changes at the socket in the
    /// storage folder, and management requests where the configuration says so. It publishes once before it begins; when something is missing for that, it
    /// serves 404 until it is there.
    ///
    /// # Errors
    /// When the socket or a door for requests cannot be made. Errors of single connections are logged.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), RegistryError> {
        let doors = Doors::open(self.config()).await?;
        let api = match &self.config().admin {
            Some(settings) => Some(Api::open(self, settings).await?),
            None => None,
        };
        let identity = api.as_ref().map(|api| Arc::clone(&api.identity));
        let admin = admin::bind(self.config())?;
        // What is amiss is in the log, and in the answer of the health endpoint.
        let _ = self.publish_in_background().await;
        let (stop, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().keep_fresh(stopped.clone()));
        tasks.spawn(admin::serve(self.clone(), identity, admin, stopped.clone()));
        if let Some(doors) = doors {
            if !self.names_certificate(doors.certificate()) {
                warn!(
                    next = "publish it: `central-registry management set --provider CLIENT --registration-cert FILE`",
                    "the global configuration does not name the TLS certificate of the registration service: security servers will not talk to it"
                );
            }
            let (registry, mut stopped) = (self.clone(), stopped.clone());
            tasks.spawn(async move {
                let shutdown = async move { drop(stopped.changed().await) };
                registry.serve_doors(doors, shutdown).await;
            });
        }
        if let Some(api) = api {
            tasks.spawn(api.serve(stopped.clone()));
        }
        tasks.spawn(self.clone().accept(listener, stopped));
        shutdown.await;
        admin::unbind(self.config());
        // Each of them brings to an end what it has begun.
        drop(stop);
        while let Some(ended) = tasks.join_next().await {
            if let Err(e) = ended {
                warn!(error = %e, "a task broke off");
            }
        }
        Ok(())
    }

    async fn keep_fresh(self, mut stopped: watch::Receiver<()>) {
        loop {
            let renewal = self.config().renewal;
            tokio::select! {
                () = tokio::time::sleep(renewal) => {}
                () = self.changed() => tokio::time::sleep(GATHER).await,
                _ = stopped.changed() => return,
            }
            let _ = self.publish_in_background().await;
        }
    }

    /// Publishes off the asynchronous threads, since signing and flushing take their time.
    pub(crate) async fn publish_in_background(&self) -> Result<Arc<Publication>, RegistryError> {
        let registry = self.clone();
        let publish = move || registry.publish(OffsetDateTime::now_utc());
        let result = match tokio::task::spawn_blocking(publish).await {
            Ok(result) => result,
            Err(e) => Err(RegistryError::Corrupt(format!("publishing broke off: {e}"))),
        };
        match &result {
            Ok(publication) => {
                debug!(expires = %publication.expires(), "published");
                if let Some(problem) = publication.disk_problem() {
                    warn!(problem, "published from memory, but not written to disk");
                }
            }
            Err(e) => warn!(error = %e, next = e.next_step(), "not published"),
        }
        result
    }

    /// Takes connections until the other end of `stopped` is dropped; then gives the open ones
    /// [`GRACE`] to finish.
    async fn accept(self, listener: TcpListener, mut stopped: watch::Receiver<()>) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        if let Ok(address) = listener.local_addr() {
            info!(%address, "serving the global configuration");
        }
        loop {
            while connections.try_join_next().is_some() {}
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                listener.accept().await.map(|(stream, _)| (stream, slot))
            };
            let accepted = tokio::select! {
                accepted = next => accepted,
                _ = stopped.changed() => break,
            };
            let (stream, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    warn!(error = %e, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let registry = self.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(&registry, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            let connection = graceful.watch(connection);
            connections.spawn(async move {
                match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
                    Ok(Ok(())) => {}
                    Ok(Err(e)) => debug!(error = %e, "a connection ended"),
                    Err(_) => debug!("a connection lasted too long"),
                }
                drop(slot);
            });
        }
        drop(listener);
        if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
            debug!("connections were cut off");
        }
    }
}

/// Answers a request from memory. The body of a request is not read.
fn answer(registry: &Registry, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response =
            text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD alone are served here\n");
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path().trim_start_matches('/');
    if path == "health" {
        return health(registry);
    }
    let path = match path {
        "internalconf" | "externalconf" => {
            format!("V{}/{path}", version(request.uri().query().unwrap_or_default()))
        }
        _ => path.to_owned(),
    };
    let file = registry.publication().and_then(|publication| publication.file(&path));
    let Some(file) = file else {
        return text(StatusCode::NOT_FOUND, "there is no such file here\n");
    };
    let mut response = Response::new(Full::new(file));
    let kind = if path.ends_with(".xml") { "text/xml" } else { "application/octet-stream" };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    response
}

/// The version that a query asks for: the digits of `version`, else 2, as at X-Road.
fn version(query: &str) -> &str {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("version="));
    match value {
        Some(v) if !v.is_empty() && v.len() <= 4 && v.bytes().all(|b| b.is_ascii_digit()) => v,
        _ => "2",
    }
}

fn health(registry: &Registry) -> Response<Full<Bytes>> {
    let now = OffsetDateTime::now_utc();
    let (status, state, expires) = match registry.publication() {
        None => (StatusCode::SERVICE_UNAVAILABLE, "nothing is published", None),
        Some(p) if p.expires() <= now => {
            (StatusCode::SERVICE_UNAVAILABLE, "the configuration has expired", Some(p.expires()))
        }
        Some(p) if p.disk_problem().is_some() => {
            (StatusCode::OK, "published from memory, but not written to disk", Some(p.expires()))
        }
        Some(p) => (StatusCode::OK, "ok", Some(p.expires())),
    };
    let expires = expires.map(OffsetDateTime::unix_timestamp);
    let body = serde_json::json!({ "status": state, "expires_unix": expires }).to_string();
    let mut response = text(status, body);
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_version_of_a_query() {
        for (query, expected) in [
            ("", "2"),
            ("version=6", "6"),
            ("a=b&version=3", "3"),
            ("version=", "2"),
            ("version=../3", "2"),
            ("version=99999", "2"),
        ] {
            assert_eq!(version(query), expected, "{query}");
        }
    }
}
