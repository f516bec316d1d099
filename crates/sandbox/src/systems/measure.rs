//! Answers of any size, made and thrown away as they pass: `GET` or `POST /measure/BYTES`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::{Body, full, problem};

/// A piece of a long answer. A multiple of the pattern's length, so that the pattern goes on.
const PIECE: usize = 64 << 10;
const PATTERN: &[u8; 64] = b"Causeway carries these bytes for measurement, sixty-four a line\n";
static PIECES: [u8; PIECE] = pieces();

/// How many bytes the request's body had, as the answer says it.
pub const RECEIVED: HeaderName = HeaderName::from_static("measure-received");

/// Reads the request's body to its end, keeping nothing, and answers with `amount` bytes.
pub async fn handle(amount: &str, request: Request<Incoming>) -> Response<Body> {
    let Ok(amount) = amount.parse::<u64>() else {
        return problem(StatusCode::BAD_REQUEST, "say how many bytes: /measure/1024");
    };
    let mut body = request.into_body();
    let mut received: u64 = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                received += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Err(_) => return problem(StatusCode::BAD_REQUEST, "the body broke off"),
        }
    }
    let mut response = Response::new(pattern(amount));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(RECEIVED, HeaderValue::from(received));
    response
}

/// A body of so many bytes that takes no memory.
pub fn pattern(bytes: u64) -> Body {
    match usize::try_from(bytes) {
        Ok(few) if few <= PIECE => full(Bytes::from_static(PIECES.get(..few).unwrap_or(&PIECES))),
        _ => Pattern { left: bytes }.boxed_unsync(),
    }
}

/// A body of so many bytes between others.
pub fn framed(before: Bytes, bytes: u64, after: Bytes) -> Body {
    Framed { before: Some(before), pattern: Pattern { left: bytes }, after: Some(after) }
        .boxed_unsync()
}

struct Framed {
    before: Option<Bytes>,
    pattern: Pattern,
    after: Option<Bytes>,
}

impl HttpBody for Framed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(before) = self.before.take() {
            return Poll::Ready(Some(Ok(Frame::data(before))));
        }
        if self.pattern.left > 0 {
            return Pin::new(&mut self.pattern).poll_frame(cx);
        }
        Poll::Ready(self.after.take().map(|after| Ok(Frame::data(after))))
    }

    fn size_hint(&self) -> SizeHint {
        let around = [&self.before, &self.after].into_iter().flatten().map(|b| b.len() as u64);
        SizeHint::with_exact(self.pattern.left + around.sum::<u64>())
    }
}

struct Pattern {
    left: u64,
}

impl HttpBody for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let most = PIECE as u64;
        let length = usize::try_from(self.left.min(most)).unwrap_or(PIECE);
        self.left -= length as u64;
        let piece = Bytes::from_static(PIECES.get(..length).unwrap_or(&PIECES));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

const fn pieces() -> [u8; PIECE] {
    let mut bytes = [0; PIECE];
    let mut at = 0;
    while at < PIECE {
        bytes[at] = PATTERN[at % PATTERN.len()];
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn amounts_are_exact() {
        for amount in [0, 1, 64, 1024, 65_536, 65_537, 1_000_000] {
            let body = pattern(amount);
            assert_eq!(body.size_hint().exact(), Some(amount));
            let bytes = body.collect().await.unwrap().to_bytes();
            assert_eq!(bytes.len() as u64, amount);
            assert!(bytes.chunks(64).all(|line| PATTERN.starts_with(line)));
        }
    }
}
