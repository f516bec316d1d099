//! Bodies of messages on their way through: hashed as they pass, small ones
//! kept in memory, large ones in a spool file of the message log, never held whole.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use causeway_messagelog::{MessageStore, NewAttachment, SpoolFile, SpooledBody};
use causeway_pki::{DigestAlgorithm, Digester};
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::EXPECT;
use tokio::sync::mpsc;

use crate::http::{Body, full};

/// How much is read from a spool file at once.
const READ_BYTES: usize = 256 << 10;
/// How much is collected before it is written to one.
const WRITE_BYTES: usize = 256 << 10;
/// The most bytes of a refused request that are still taken off its connection.
const LINGER_BYTES: usize = 256 << 20;
/// How long that may last.
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long telling the reader of a body that it is broken off may take.
const BREAK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the reader of a spooled body may take nothing.
const READER_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a body could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Whoever sends it stopped.
    #[error("the body could not be read: {0}")]
    Read(String),
    /// It is longer than the server's limit, in bytes.
    #[error("the body is longer than {0} bytes")]
    TooLong(u64),
    /// It could not be spooled.
    #[error("the body could not be spooled: {0}")]
    Spool(io::Error),
}

/// A body on its way in.
#[derive(Debug)]
pub struct Source {
    incoming: Option<Incoming>,
    lingers: bool,
}

impl Source {
    /// The body of a request. When it is not read to its end, because the
    /// request is refused, the rest is still taken off the connection, up to a
    /// bound: a sender that only reads when it has sent everything would never
    /// see why, just a connection that breaks. Whoever asked with `Expect`
    /// whether to send at all is answered before it does.
    pub fn of_request(incoming: Incoming, headers: &HeaderMap) -> Self {
        Self { incoming: Some(incoming), lingers: !headers.contains_key(EXPECT) }
    }

    /// The body of an answer. When it is not wanted to its end, the connection is closed.
    pub fn of_answer(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), lingers: false }
    }

    /// How long it is, where the sender says so.
    pub fn known_length(&self) -> Option<u64> {
        self.incoming.as_ref().and_then(|incoming| incoming.size_hint().exact())
    }

    /// The next bytes; `None` at the end. Empty chunks and trailers are passed over.
    ///
    /// # Errors
    /// [`BodyError::Read`] when the sender stops in the middle.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(incoming) = &mut self.incoming else { return Ok(None) };
        next_chunk(incoming).await
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let unread = self.incoming.take().filter(|i| self.lingers && !i.is_end_stream());
        if let (Some(mut incoming), Ok(runtime)) = (unread, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(LINGER_TIMEOUT, async move {
                let mut left = LINGER_BYTES;
                while let Ok(Some(bytes)) = next_chunk(&mut incoming).await {
                    left = left.saturating_sub(bytes.len());
                    if left == 0 {
                        break;
                    }
                }
            }));
        }
    }
}

async fn next_chunk(incoming: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|e| BodyError::Read(e.to_string()))?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Takes a body in: digest, length, and the bytes in memory or in a spool file.
pub struct Intake {
    digester: Digester,
    length: u64,
    /// Bytes that came before, in other attachments of the message.
    before: u64,
    limit: u64,
    inline: usize,
    memory: BytesMut,
    file: Option<SpoolFile>,
    store: Arc<dyn MessageStore>,
    keep: bool,
}

/// A body that was taken in.
#[derive(Debug)]
pub struct Taken {
    /// SHA-512 of it.
    pub digest: Vec<u8>,
    /// Its length in bytes.
    pub length: u64,
    body: Option<SpooledBody>,
    reader: Reader,
}

/// A second look at a body, while or after the log keeps it.
#[derive(Debug, Clone)]
pub enum Reader {
    /// In memory.
    Memory(Bytes),
    /// In a file of this length, read by position; the file may be renamed meanwhile.
    File(Arc<File>, u64),
    /// Not kept.
    Nothing,
}

impl Intake {
    /// Starts taking a body in. Beyond `limit` bytes it is refused, beyond
    /// `inline` bytes it goes to a file.
    pub fn new(store: Arc<dyn MessageStore>, limit: u64, inline: usize) -> Self {
        Self {
            digester: Digester::new(DigestAlgorithm::Sha512),
            length: 0,
            before: 0,
            limit,
            inline,
            memory: BytesMut::new(),
            file: None,
            store,
            keep: true,
        }
    }

    /// Counts so many bytes of other attachments towards the limit.
    #[must_use]
    pub fn after(mut self, before: u64) -> Self {
        self.before = before;
        self
    }

    /// Hashes and counts, and keeps nothing from here on.
    pub fn forget(&mut self) {
        self.keep = false;
        self.memory.clear();
        self.file = None;
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`BodyError::TooLong`] and [`BodyError::Spool`].
    pub fn push(&mut self, chunk: &Bytes) -> Result<(), BodyError> {
        self.length = self.length.saturating_add(chunk.len() as u64);
        if self.length.saturating_add(self.before) > self.limit {
            return Err(BodyError::TooLong(self.limit));
        }
        self.digester.update(chunk);
        if !self.keep {
            return Ok(());
        }
        if self.file.is_none() && self.memory.len() + chunk.len() > self.inline {
            let file =
                self.store.spool_file().map_err(|e| BodyError::Spool(io::Error::other(e)))?;
            self.file = Some(file);
        }
        self.memory.extend_from_slice(chunk);
        if self.file.is_some() && self.memory.len() >= WRITE_BYTES {
            self.spool()?;
        }
        Ok(())
    }

    /// Writes what waits to the file.
    fn spool(&mut self) -> Result<(), BodyError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        // The page cache takes it; a slow disk must not stall other messages. Each time, another thread
        // has to take over what this one was to do: so not for every chunk.
        tokio::task::block_in_place(|| file.write_all(&self.memory)).map_err(BodyError::Spool)?;
        self.memory.clear();
        Ok(())
    }

    /// The body is complete.
    ///
    /// # Errors
    /// [`BodyError::Spool`].
    pub fn finish(mut self) -> Result<Taken, BodyError> {
        self.spool()?;
        let (body, reader) = match self.file {
            _ if !self.keep => (None, Reader::Nothing),
            Some(file) => {
                let handle = file.file().try_clone().map_err(BodyError::Spool)?;
                (Some(SpooledBody::File(file)), Reader::File(Arc::new(handle), self.length))
            }
            None => {
                let bytes = self.memory.freeze();
                (Some(SpooledBody::Memory(bytes.clone())), Reader::Memory(bytes))
            }
        };
        Ok(Taken { digest: self.digester.finish(), length: self.length, body, reader })
    }
}

impl Taken {
    /// A body that is in memory already.
    pub fn of_bytes(bytes: Bytes) -> Self {
        Self {
            digest: DigestAlgorithm::Sha512.digest(&bytes),
            length: bytes.len() as u64,
            body: Some(SpooledBody::Memory(bytes.clone())),
            reader: Reader::Memory(bytes),
        }
    }

    /// A way to read it (again).
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Gives the body to the log as the attachment of this number; without its bytes when `store_bytes` is false.
    pub fn into_attachment(self, number: u32, store_bytes: bool) -> NewAttachment {
        let mut digest = [0; 64];
        for (to, from) in digest.iter_mut().zip(&self.digest) {
            *to = *from;
        }
        NewAttachment {
            number,
            digest,
            length: self.length,
            body: self.body.filter(|_| store_bytes),
        }
    }
}

impl Reader {
    /// The body's length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
            Self::Nothing => 0,
        }
    }

    /// The body as HTTP sends it, with its length known.
    pub fn into_body(self) -> Body {
        match self {
            Self::Memory(bytes) => full(bytes),
            Self::File(file, length) => {
                let (sender, body) = channel(2, Some(length));
                tokio::spawn(async move { send_file(file, length, sender).await });
                body
            }
            Self::Nothing => crate::http::empty(),
        }
    }
}

/// Several bodies, one behind the other, as HTTP sends them, with their length known.
pub fn join(readers: Vec<Reader>) -> Body {
    let length = readers.iter().map(Reader::length).sum();
    let in_memory = |reader: &Reader| matches!(reader, Reader::Memory(_) | Reader::Nothing);
    if readers.iter().all(in_memory) {
        let mut all = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
        for reader in readers {
            if let Reader::Memory(bytes) = reader {
                all.extend_from_slice(&bytes);
            }
        }
        return full(all.freeze());
    }
    let (sender, body) = channel(2, Some(length));
    tokio::spawn(async move {
        for reader in readers {
            let sent = match reader {
                Reader::Memory(bytes) if bytes.is_empty() => true,
                Reader::Memory(bytes) => send(&sender, bytes, READER_TIMEOUT).await.is_ok(),
                Reader::File(file, length) => send_file(file, length, sender.clone()).await,
                Reader::Nothing => true,
            };
            if !sent {
                return;
            }
        }
    });
    body
}

/// Reads a file piece by piece as the reader at the other end takes it; one
/// who takes nothing for a while is left alone, so that nobody holds files and tasks for ever. `true` when all was taken.
async fn send_file(
    file: Arc<File>,
    length: u64,
    to: mpsc::Sender<Result<Bytes, io::Error>>,
) -> bool {
    let mut at = 0;
    while at < length {
        let left = usize::try_from(length - at).unwrap_or(READ_BYTES);
        let mut buffer = vec![0; READ_BYTES.min(left)];
        let read = tokio::task::block_in_place(|| file.read_exact_at(&mut buffer, at));
        let read = read.map(|()| Bytes::from(buffer));
        let failed = read.is_err();
        at += READ_BYTES as u64;
        let taken = tokio::time::timeout(READER_TIMEOUT, to.send(read)).await;
        // Whoever wanted the body has gone, or will see the error: nothing more to do in either case.
        if failed || !matches!(taken, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

/// Sends the next piece of a body, unless the other end takes nothing for `idle`.
///
/// # Errors
/// When the other end has gone, or takes nothing.
pub async fn send(
    to: &mpsc::Sender<Result<Bytes, io::Error>>,
    piece: Bytes,
    idle: Duration,
) -> Result<(), BodyError> {
    match tokio::time::timeout(idle, to.send(Ok(piece))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(BodyError::Read("the receiver closed the connection".into())),
        Err(_) => Err(BodyError::Read("the receiver stopped reading".into())),
    }
}

/// Breaks a body off, so that nobody takes it for complete. Where the other end takes nothing,
/// its connection is ended by others.
pub async fn break_off(to: &mpsc::Sender<Result<Bytes, io::Error>>, why: String) {
    let _ = tokio::time::timeout(BREAK_TIMEOUT, to.send(Err(io::Error::other(why)))).await;
}

/// A body that is fed piece by piece; `length` when it is known beforehand.
/// Sending an error breaks the connection off, so that nobody takes it for complete.
pub fn channel(
    depth: usize,
    length: Option<u64>,
) -> (mpsc::Sender<Result<Bytes, io::Error>>, Body) {
    let (sender, receiver) = mpsc::channel(depth);
    (sender, ChannelBody { receiver, left: length }.boxed())
}

struct ChannelBody {
    receiver: mpsc::Receiver<Result<Bytes, io::Error>>,
    left: Option<u64>,
}

impl hyper::body::Body for ChannelBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = self.receiver.poll_recv(cx);
        next.map(|item| {
            item.map(|result| {
                result.map(|bytes| {
                    self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
                    Frame::data(bytes)
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.left.map_or_else(hyper::body::SizeHint::default, hyper::body::SizeHint::with_exact)
    }
}
