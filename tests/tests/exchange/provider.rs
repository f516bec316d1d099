//! An information system that remembers what it was asked, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::wire::{Wire, parse_head};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Such as `GET /path HTTP/1.1`.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The request line's method and target.
    pub(crate) fn target(&self) -> &str {
        self.line.trim_end_matches(" HTTP/1.1")
    }
}

/// One that runs until it is dropped.
pub(crate) struct Provider {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    answering: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Provider {
    /// Starts one that answers with the bytes that `answer` gives.
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::behind(answer, |stream| std::future::ready(Some(stream))).await
    }

    /// Starts one that answers over TLS.
    pub(crate) async fn start_tls(
        tls: TlsAcceptor,
        answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let accept = move |stream| {
            let tls = tls.clone();
            async move { tls.accept(stream).await.ok() }
        };
        Self::behind(answer, accept).await
    }

    async fn behind<S, F>(
        answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static,
        accept: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (kept, answer) = (Arc::clone(&seen), Arc::new(answer));
        let (answering, may) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer, mut may) = (Arc::clone(&kept), Arc::clone(&answer), may.clone());
                let accepting = accept(stream);
                tokio::spawn(async move {
                    let Some(stream) = accepting.await else { return };
                    let mut wire = Wire::over(stream);
                    while let Some(head) = wire.head().await {
                        let (line, headers) = parse_head(&head);
                        let body = wire.body(&headers, false).await;
                        let request = Seen { line, headers, body };
                        kept.lock().unwrap().push(request.clone());
                        if may.wait_for(|may| *may).await.is_err() {
                            return;
                        }
                        wire.send(&answer(&request)).await;
                    }
                });
            }
        });
        Self { address, seen, answering, task }
    }

    /// A URL of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Lets answers wait, or go.
    pub(crate) fn set_answering(&self, answering: bool) {
        self.answering.send_replace(answering);
    }

    /// What was asked last.
    pub(crate) fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().expect("nothing was asked").clone()
    }

    /// How often it was asked.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A response with a body of known length.
pub(crate) fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len())
        .into_bytes();
    out.extend_from_slice(body);
    out
}
