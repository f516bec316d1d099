//! HTTP/1.1 by hand: what an information system sends and gets, byte for byte.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A response as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The code of an error that a security server found.
    pub(crate) fn code(&self) -> Option<&str> {
        self.header("x-road-error")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// A connection that is kept.
pub(crate) struct Wire<S> {
    stream: S,
    unread: Vec<u8>,
}

impl Wire<TcpStream> {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Sends a whole request as it stands, and reads the response.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        let request = request.as_ref();
        // A server that refuses early may close before it has read everything.
        self.send(request).await;
        let head = self.head().await.expect("an answer");
        let (line, headers) = parse_head(&head);
        let status: u16 = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, headers, body: Vec::new() };
        if !request.starts_with(b"HEAD ") && !matches!(status, 204 | 304) {
            answer.body = self.body(&answer.headers, true).await;
        }
        answer
    }

    /// Sends bytes, and waits for nothing; that the other side has gone is no matter.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Reads a head up to its empty line, each byte as a character; `None` when the other side has closed.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Some(head[..end].iter().map(|b| char::from(*b)).collect());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads a body; `to_end` is what the lack of any length means.
    pub(crate) async fn body(&mut self, headers: &[(String, String)], to_end: bool) -> Vec<u8> {
        let header = |name: &str| {
            headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
        };
        if let Some(length) = header("content-length") {
            return self.take(length.parse().unwrap()).await;
        }
        if header("transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let line = self.line().await;
                let size = usize::from_str_radix(line.trim(), 16).unwrap();
                body.extend(self.take(size).await);
                self.line().await;
                if size == 0 {
                    return body;
                }
            }
        }
        if to_end {
            while self.more().await {}
            return std::mem::take(&mut self.unread);
        }
        Vec::new()
    }

    async fn take(&mut self, size: usize) -> Vec<u8> {
        while self.unread.len() < size {
            assert!(self.more().await, "the body broke off");
        }
        self.unread.drain(..size).collect()
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return String::from_utf8(line).unwrap();
            }
            assert!(self.more().await, "the body broke off");
        }
    }

    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 << 10];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.unread.extend_from_slice(&buffer[..read]);
                true
            }
        }
    }
}

/// The first line of a head, and its headers in their order, values without the space before them.
pub(crate) fn parse_head(head: &str) -> (String, Vec<(String, String)>) {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_owned(), value.trim().to_owned())
    });
    (first, headers.collect())
}

/// Sends one request over a connection of its own.
pub(crate) async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    Wire::connect(address).await.ask(request).await
}
