//! A connection that does not wait for ever until the other end reads.
//!
//! The HTTP library bounds how long a head may take to arrive. Nothing bounds
//! how long what was written may wait to be taken: whoever asks and never
//! reads would hold a connection's place, and a message with its files.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_util::io::poll_read_buf;

/// How much is read ahead: more than a TLS record, which most messages fit into.
const AHEAD: usize = 20 << 10;

/// A TCP connection that fails when nothing of what is to be written is taken for a while.
#[derive(Debug)]
pub struct Patient {
    stream: TcpStream,
    limit: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What was read and not yet asked for, where it reads ahead.
    ahead: Option<BytesMut>,
}

impl Patient {
    /// Fails when the other end takes nothing for `limit`.
    pub fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, stalled: None, ahead: None }
    }

    /// Reads much at once, for a reader that asks for little: TLS takes 4 KiB
    /// at a time, and each read of the system costs more than copying all that is there.
    pub fn reading_ahead(self) -> Self {
        Self { ahead: Some(BytesMut::new()), ..self }
    }

    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the other end stopped reading")))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, ahead, .. } = &mut *self;
        let Some(ahead) = ahead.as_mut().filter(|a| !a.is_empty() || buf.remaining() < AHEAD)
        else {
            return Pin::new(stream).poll_read(cx, buf);
        };
        if ahead.is_empty() {
            ahead.reserve(AHEAD);
            let read = poll_read_buf(Pin::new(stream), cx, ahead);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                // A connection that waits holds no memory.
                *ahead = BytesMut::new();
                return read.map_ok(|_| ());
            }
        }
        let length = ahead.len().min(buf.remaining());
        buf.put_slice(&ahead.split_to(length));
        if ahead.is_empty() {
            *ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bounded(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.bounded(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.bounded(cx, shut)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bounded(cx, written)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn pair(limit: Duration) -> (Patient, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Patient::new(near, limit), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn who_never_reads_is_given_up() {
        let (mut near, _far) = pair(Duration::from_millis(200)).await;
        let error = near.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn reading_ahead_loses_nothing() {
        let (near, mut far) = pair(Duration::from_secs(5)).await;
        let mut near = near.reading_ahead();
        let sent: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        let copy = sent.clone();
        let writing = tokio::spawn(async move {
            for chunk in copy.chunks(7_001) {
                far.write_all(chunk).await.unwrap();
            }
        });
        let (mut read, mut size) = (Vec::new(), 1);
        loop {
            let mut piece = vec![0; size];
            match near.read(&mut piece).await.unwrap() {
                0 => break,
                length => read.extend_from_slice(&piece[..length]),
            }
            size = size * 3 % 50_000 + 1;
        }
        writing.await.unwrap();
        assert!(read == sent && near.ahead.is_some_and(|a| a.capacity() == 0));
    }

    #[tokio::test]
    async fn who_reads_slowly_is_not() {
        let (mut near, mut far) = pair(Duration::from_secs(2)).await;
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 20];
            let mut total = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                match far.read(&mut buffer).await.unwrap() {
                    0 => return total,
                    read => total += read,
                }
            }
        });
        near.write_all(&vec![0; 24 << 20]).await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(reading.await.unwrap(), 24 << 20);
    }
}
