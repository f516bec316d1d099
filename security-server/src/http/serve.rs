//! Accepting connections and serving HTTP/1.1 on them, until told to stop;
//! what is in flight then is finished.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use causeway_pki::Certificate;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::Body;
use super::case::{Recorder, Spelling, WrittenHead};
use super::patient::Patient;
use crate::metrics::Metrics;
use crate::tls::CbcGate;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a message may take to come to its end after its caller went away.
const FINISHING_TIMEOUT: Duration = Duration::from_secs(60);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Plain HTTP.
    Plain,
    /// TLS, with the certificates that the caller showed, leaf first; none when it showed none.
    Tls(Arc<Vec<Certificate>>),
}

/// What a listener needs to know.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Named in logs.
    pub name: &'static str,
    /// TLS, read anew for each connection so that certificates can change; `None` inside while there is none.
    pub tls: Option<watch::Receiver<Option<Arc<ServerConfig>>>>,
    /// Bounds the connections open at once, over all listeners that share it.
    pub connections: Arc<Semaphore>,
    /// How long a request's head may take.
    pub header_timeout: Duration,
    /// How long a caller may take nothing of what is written.
    pub stall_timeout: Duration,
    /// How long what is in flight may take once the server stops.
    pub grace: Duration,
    /// Whether requests carry how their headers were spelled, as [`WrittenHead`].
    pub spelling: bool,
    /// Who may use a CBC suite; nobody without it.
    pub cbc: Option<CbcGate>,
    /// Counts the connections.
    pub metrics: Arc<Metrics>,
}

/// What a connection holds: its part in a graceful stop, and its place among those that may be open.
type Held = (Watcher, Arc<OwnedSemaphorePermit>);

/// Serves until `stop` says so, then finishes what is in flight.
pub async fn serve<S, F>(
    listener: TcpListener,
    listening: Listening,
    mut stop: watch::Receiver<bool>,
    service: S,
) where
    S: Fn(Caller, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&listening.connections).acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: let others finish before the next try.
                tracing::warn!(listener = listening.name, %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (watcher, listening, service) =
            (graceful.watcher(), listening.clone(), service.clone());
        tokio::spawn(async move {
            let permit = Arc::new(permit);
            let _counted = listening.metrics.connection();
            connection(stream, &listening, (watcher, permit), service).await;
        });
    }
    drop(listener);
    if tokio::time::timeout(listening.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(listener = listening.name, "stopped with messages still in flight");
    }
}

async fn connection<S, F>(stream: TcpStream, listening: &Listening, held: Held, service: S)
where
    S: Fn(Caller, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, listening.stall_timeout);
    let Some(tls) = &listening.tls else {
        return http(stream, Caller::Plain, listening, held, service).await;
    };
    let Some(config) = tls.borrow().clone() else {
        tracing::debug!(
            listener = listening.name,
            "connection refused: no certificate to show yet"
        );
        return;
    };
    let stream = stream.reading_ahead();
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => {
            let session = stream.get_ref().1;
            let shown = crate::tls::shown(session.peer_certificates());
            if session
                .negotiated_cipher_suite()
                .is_some_and(|s| causeway_tls_cbc::is_cbc(s.suite()))
            {
                let peer = shown.first().map(|c| c.subject_rfc2253()).unwrap_or_default();
                if !listening.cbc.as_ref().is_some_and(|gate| gate.admits(&shown)) {
                    tracing::warn!(
                        listener = listening.name,
                        peer,
                        "connection refused: its instance may not use CBC suites"
                    );
                    return;
                }
                tracing::warn!(
                    listener = listening.name,
                    peer,
                    "a connection uses a CBC suite; ask the server's operator for suites with GCM"
                );
                listening.metrics.cbc_connection("incoming");
            }
            http(stream, Caller::Tls(Arc::new(shown)), listening, held, service).await;
        }
        Ok(Err(error)) => tracing::info!(listener = listening.name, %error, "TLS handshake failed"),
        Err(_) => tracing::info!(listener = listening.name, "TLS handshake took too long"),
    }
}

/// An answer in the making, on its connection's own task. When its caller goes
/// away it has some time left to come to its end, on a task of its own: what the
/// other side answered is still judged and logged, but a provider that does not
/// answer must not keep what nobody waits for.
struct Answering(Option<Pin<Box<dyn Future<Output = Response<Body>> + Send>>>);

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out meanwhile, so that what panics is not tried again.
        let Some(mut answer) = self.0.take() else { return Poll::Pending };
        let polled = answer.as_mut().poll(cx).map(Ok);
        if polled.is_pending() {
            self.0 = Some(answer);
        }
        polled
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let (Some(answer), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move {
                if tokio::time::timeout(FINISHING_TIMEOUT, answer).await.is_err() {
                    tracing::warn!(
                        "a message is given up: its caller went away, and it did not come to its end"
                    );
                }
            });
        }
    }
}

async fn http<I, S, F>(
    stream: I,
    caller: Caller,
    listening: &Listening,
    (watcher, permit): Held,
    service: S,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Caller, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let spelling = listening.spelling.then(Spelling::default);
    let stream = Recorder::new(stream, spelling.clone());
    let serve_one = service_fn(move |mut request: Request<Incoming>| {
        if let Some(spelling) = &spelling {
            request.extensions_mut().insert(WrittenHead(Arc::new(spelling.take())));
        }
        let (answer, permit) = (service(caller.clone(), request), Arc::clone(&permit));
        Answering(Some(Box::pin(async move {
            // It counts as long as it works, so that going away is no way round the bound.
            let _permit = permit;
            answer.await
        })))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(listening.header_timeout)
        .keep_alive(true)
        .max_buf_size(256 << 10)
        .max_headers(super::MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), serve_one);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(listener = listening.name, %error, "connection ended");
    }
}
