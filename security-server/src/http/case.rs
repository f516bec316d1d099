//! The case in which a caller wrote header names.
//!
//! HTTP does not tell `X-Custom` from `x-custom`, and the HTTP library gives
//! names in lower case; but the header block that is signed has them as the
//! caller wrote them. So the connection's reader remembers the bytes of the
//! latest request head, and the names are looked up there. It is a look-up of
//! spelling and order only: a name that is not found stays in lower case, and
//! comes last.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use causeway_message::rest::Header;
use hyper::http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest head that is remembered, in bytes.
const LONGEST_HEAD: usize = 64 << 10;
/// How much of what came before is kept when more comes than is remembered.
const KEPT: usize = 16 << 10;

/// The bytes in which the latest head must be; filled by a [`Recorder`].
#[derive(Debug, Clone, Default)]
pub struct Spelling(Arc<Mutex<Vec<u8>>>);

impl Spelling {
    /// The head is read: takes what was recorded, and records afresh from here.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record(&self, bytes: &[u8]) {
        // A long read begins with a head, or is of a body, of which nothing is wanted.
        let new = bytes.get(..LONGEST_HEAD - KEPT).unwrap_or(bytes);
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.len() + new.len() > LONGEST_HEAD {
            // A body is passing by; but the last bytes may be the beginning of the next head.
            let surplus = recorded.len().saturating_sub(KEPT);
            recorded.drain(..surplus);
        }
        recorded.extend_from_slice(new);
    }
}

/// The head of one request, as it came over the wire.
#[derive(Debug, Clone)]
pub struct WrittenHead(pub Arc<Vec<u8>>);

/// Gives the names of the headers the case in which they were written, where that is known.
pub fn restore(head: &Parts, headers: impl Iterator<Item = Header>) -> Vec<Header> {
    let written = head.extensions.get::<WrittenHead>();
    let lines = written.map(|w| last_head(&w.0, head)).unwrap_or_default();
    respell(&lines, headers)
}

fn respell(lines: &[&str], headers: impl Iterator<Item = Header>) -> Vec<Header> {
    let mut used = vec![false; lines.len()];
    let mut placed: Vec<(usize, Header)> = headers
        .map(|(name, value)| {
            let found = lines
                .iter()
                .enumerate()
                .find(|(i, line)| !used[*i] && line.eq_ignore_ascii_case(&name));
            match found {
                Some((i, line)) => {
                    used[i] = true;
                    (i, ((*line).to_owned(), value))
                }
                None => (lines.len(), (name, value)),
            }
        })
        .collect();
    // The HTTP library gives those of one name together, wherever they stood.
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, header)| header).collect()
}

/// As [`restore`], for the head of an answer.
pub fn restore_answer(
    written: Option<&Spelling>,
    status: u16,
    headers: impl Iterator<Item = Header>,
) -> Vec<Header> {
    let recorded = written.map(Spelling::take).unwrap_or_default();
    respell(&names_after(&recorded, &format!("HTTP/1.1 {status}")), headers)
}

/// The header names of the head that begins with this request's line.
fn last_head<'b>(recorded: &'b [u8], head: &Parts) -> Vec<&'b str> {
    let target = head.uri.path_and_query().map_or("/", |t| t.as_str());
    names_after(recorded, &format!("{} {target} HTTP/1.", head.method))
}

fn names_after<'b>(recorded: &'b [u8], line: &str) -> Vec<&'b str> {
    let Some(start) = memchr::memmem::rfind(recorded, line.as_bytes()) else {
        return Vec::new();
    };
    let text = &recorded[start..];
    let end = memchr::memmem::find(text, b"\r\n\r\n").unwrap_or(text.len());
    text[..end]
        .split(|b| *b == b'\n')
        .skip(1)
        .filter_map(|line| std::str::from_utf8(line.split(|b| *b == b':').next()?).ok())
        .map(str::trim)
        .collect()
}

/// Passes bytes through, and records what is read where that is wanted.
#[derive(Debug)]
pub struct Recorder<I> {
    inner: I,
    spelling: Option<Spelling>,
}

impl<I> Recorder<I> {
    /// Records what is read from `inner` into `spelling`, if that is given.
    pub fn new(inner: I, spelling: Option<Spelling>) -> Self {
        Self { inner, spelling }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Recorder<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let (Some(spelling), Some(new)) = (&self.spelling, buf.filled().get(before..))
            && !new.is_empty()
        {
            spelling.record(new);
        }
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Recorder<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_get_their_case_back() {
        let spelling = Spelling::default();
        spelling.record(b"POST /r1/a HTTP/1.1\r\nHost: x\r\n\r\nbody X-cUSTOM: no");
        spelling.record(b"GET /r1/b?c HTTP/1.1\r\nX-Custom: 1\r\nACCEPT: a\r\nx-custom: 2\r\n\r\n");
        let mut request = hyper::Request::get("/r1/b?c").body(()).unwrap();
        request.extensions_mut().insert(WrittenHead(Arc::new(spelling.take())));
        let (head, ()) = request.into_parts();
        let plain = |n: &str| (n.to_owned(), String::new());
        let names: Vec<String> = restore(
            &head,
            [plain("x-custom"), plain("accept"), plain("x-custom"), plain("other")].into_iter(),
        )
        .into_iter()
        .map(|(n, _)| n)
        .collect();
        assert_eq!(names, ["X-Custom", "ACCEPT", "x-custom", "other"]);
        assert!(spelling.take().is_empty());
    }

    #[test]
    fn order_comes_back_too() {
        let header = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let grouped = [header("a", "1"), header("a", "3"), header("new", "4"), header("b", "2")];
        let restored = respell(&["A", "B", "a"], grouped.into_iter());
        let expected = [header("A", "1"), header("B", "2"), header("a", "3"), header("new", "4")];
        assert_eq!(restored, expected);
    }

    #[test]
    fn a_head_is_remembered_between_large_bodies() {
        let body = vec![b'x'; 200 << 10];
        let (first, second) = (b"GET /a HTTP/1.1\r\nX-O".as_slice(), b"ne: 1\r\n\r\n".as_slice());
        for reads in [
            vec![body.clone(), first.to_vec(), [second, &body].concat()],
            vec![body.clone(), [first, second, &body].concat()],
            vec![vec![b'x'; LONGEST_HEAD - KEPT], first.to_vec(), second.to_vec()],
        ] {
            let spelling = Spelling::default();
            reads.iter().for_each(|read| spelling.record(read));
            let recorded = spelling.take();
            assert!(recorded.len() <= LONGEST_HEAD);
            assert_eq!(names_after(&recorded, "GET /a HTTP/1."), ["X-One"]);
        }
    }
}
