//! The members' information systems: ordinary small HTTP services that know nothing of signatures,
//! with switches that make them fail as real ones do.

pub mod measure;
pub mod population;
pub mod portal;
pub mod soap;
pub mod tax;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::SandboxError;

/// A response's body.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// How often a listener that could not be opened is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// An information system that runs.
#[derive(Debug)]
pub struct InformationSystem {
    address: SocketAddr,
    delay: Arc<AtomicU64>,
    wanted: watch::Sender<bool>,
    listening: watch::Receiver<bool>,
    served: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl InformationSystem {
    /// Starts one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start<H, F>(address: SocketAddr, handler: H) -> Result<Self, SandboxError>
    where
        H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| SandboxError::NoAddress { address, error })?;
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        let delay = Arc::new(AtomicU64::new(0));
        let served = Arc::new(AtomicU64::new(0));
        let (wanted, wants) = watch::channel(true);
        let (says, listening) = watch::channel(true);
        let desk = Desk { handler, delay: Arc::clone(&delay), served: Arc::clone(&served) };
        let task = tokio::spawn(run(address, listener, desk, wants, says));
        Ok(Self { address, delay, wanted, listening, served, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it has answered.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Makes every answer wait; zero for none.
    pub fn set_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.delay.store(millis, Ordering::Relaxed);
    }

    /// Takes the system down, with its connections, or brings it back; returns when that is done.
    pub async fn set_available(&self, available: bool) {
        // Fails when the task has ended, and then nothing is available any more.
        let _ = self.wanted.send(available);
        let _ = self.listening.clone().wait_for(|now| *now == available).await;
    }

    /// Ends it; its address is free when this returns.
    pub async fn stop(&mut self) {
        self.task.abort();
        // It was told to break off.
        let _ = (&mut self.task).await;
    }
}

impl Drop for InformationSystem {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Desk {
    handler: Handler,
    delay: Arc<AtomicU64>,
    served: Arc<AtomicU64>,
}

async fn run(
    address: SocketAddr,
    first: TcpListener,
    desk: Desk,
    mut wants: watch::Receiver<bool>,
    says: watch::Sender<bool>,
) {
    let mut listener = Some(first);
    loop {
        if let Some(listener) = listener.take() {
            let mut connections = JoinSet::new();
            says.send_replace(true);
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => { connections.spawn(serve(stream, desk.clone())); }
                        Err(_) => tokio::time::sleep(RETRY).await,
                    },
                    Some(_) = connections.join_next() => {}
                    gone = changed_to(&mut wants, false) => {
                        if gone { return }
                        break;
                    }
                }
            }
            drop(listener);
            connections.shutdown().await;
            says.send_replace(false);
        }
        if changed_to(&mut wants, true).await {
            return;
        }
        match TcpListener::bind(address).await {
            Ok(again) => listener = Some(again),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Waits for a value; `true` when nobody can send it any more.
async fn changed_to(wants: &mut watch::Receiver<bool>, value: bool) -> bool {
    wants.wait_for(|wanted| *wanted == value).await.is_err()
}

async fn serve(stream: TcpStream, desk: Desk) {
    // Small answers must not wait for more.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let desk = desk.clone();
        async move {
            let answer = (desk.handler)(request).await;
            let delay = desk.delay.load(Ordering::Relaxed);
            if delay > 0 {
                tokio::time::sleep(Duration::from_millis(delay)).await;
            }
            desk.served.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    // A connection that breaks off is the other side's affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// An answer in JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// An answer that there is nothing, or something else amiss.
pub(crate) fn problem(status: StatusCode, message: &str) -> Response<Body> {
    json(status, &serde_json::json!({ "message": message }))
}

/// A body in one piece.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// The non-empty segments of a request's path.
pub(crate) fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}
