//! The attachments of a message on their way through: the parts behind the
//! SOAP envelope, or the one body behind a REST header block.

use std::time::Duration;

use bytes::Bytes;
use causeway_message::{Fault, codes};
use causeway_transport::{PartHeaders, RelatedDecoder, RelatedEvent};

use crate::body::{BodyError, Intake, Source, Taken};
use crate::receive::{body_fault, transport_fault};
use crate::server::Server;

/// How many bytes of all attachments of a message stay in memory; what is beyond goes to files.
const MEMORY_BYTES: u64 = 4 << 20;

/// A piece of what follows a message.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// An attachment begins; a REST body has no headers of its own.
    Begin(Option<PartHeaders>),
    /// Bytes of it; never empty.
    Data(Bytes),
    /// It is complete.
    End,
}

/// What follows a message, as it arrives from an information system.
#[derive(Debug)]
pub(crate) struct Parts {
    source: Option<Source>,
    form: Form,
    idle: Duration,
    prefix: Option<&'static str>,
}

#[derive(Debug)]
enum Form {
    /// One body without headers, or none.
    Body {
        begun: bool,
        waiting: Option<Bytes>,
    },
    Related(Box<RelatedDecoder>),
}

/// The beginning of what follows a message: often all of it.
#[derive(Debug)]
pub(crate) enum Start {
    /// It is complete.
    Whole(Vec<Piece>),
    /// There is more than was to be kept in memory; the rest is still to be read.
    More(Vec<Piece>, Parts),
}

impl Parts {
    /// The body of a REST message, if it has one.
    pub(crate) fn body(source: Source, idle: Duration) -> Self {
        let form = Form::Body { begun: false, waiting: None };
        Self { source: Some(source), form, idle, prefix: None }
    }

    /// The parts of a multipart.
    pub(crate) fn related(source: Source, decoder: RelatedDecoder, idle: Duration) -> Self {
        let form = Form::Related(Box::new(decoder));
        Self { source: Some(source), form, idle, prefix: None }
    }

    /// Nothing.
    pub(crate) fn none() -> Self {
        let form = Form::Body { begun: false, waiting: None };
        Self { source: None, form, idle: Duration::ZERO, prefix: None }
    }

    /// Refuses a body that says itself that it is longer than `limit` bytes, before any of it is sent on.
    ///
    /// # Errors
    /// `logging_failed`, as for a body that turns out to be too long.
    pub(crate) fn judge_length(&self, limit: u64) -> Result<(), Fault> {
        let length = match (&self.form, &self.source) {
            (Form::Body { .. }, Some(source)) => source.known_length(),
            _ => None,
        };
        if length.is_some_and(|length| length > limit) {
            return Err(body_fault(&BodyError::TooLong(limit)));
        }
        Ok(())
    }

    /// What fails from here on gets this prefix.
    pub(crate) fn with_prefix(mut self, prefix: &'static str) -> Self {
        self.prefix = Some(prefix);
        self
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// `io_error` when the sender stops, or sends nothing for a while; the codes of [`RelatedDecoder`].
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, Fault> {
        let piece = match self.form {
            Form::Body { .. } => self.next_of_body().await,
            Form::Related(_) => self.next_of_related().await,
        };
        piece.map_err(|fault| match self.prefix {
            Some(prefix) => fault.with_prefix(prefix),
            None => fault,
        })
    }

    async fn next_of_body(&mut self) -> Result<Option<Piece>, Fault> {
        if let Form::Body { waiting, .. } = &mut self.form
            && let Some(data) = waiting.take()
        {
            return Ok(Some(Piece::Data(data)));
        }
        let chunk = self.chunk().await?;
        let Form::Body { begun, waiting } = &mut self.form else { return Ok(None) };
        match chunk {
            Some(data) if *begun => Ok(Some(Piece::Data(data))),
            Some(data) => {
                (*begun, *waiting) = (true, Some(data));
                Ok(Some(Piece::Begin(None)))
            }
            None => Ok(std::mem::take(begun).then_some(Piece::End)),
        }
    }

    async fn next_of_related(&mut self) -> Result<Option<Piece>, Fault> {
        loop {
            let Form::Related(decoder) = &mut self.form else { return Ok(None) };
            let event = decoder.next_event().map_err(|e| transport_fault(&e))?;
            match event {
                Some(RelatedEvent::Part(headers)) => return Ok(Some(Piece::Begin(Some(headers)))),
                Some(RelatedEvent::Data(data)) => return Ok(Some(Piece::Data(data))),
                Some(RelatedEvent::PartEnd) => return Ok(Some(Piece::End)),
                Some(RelatedEvent::End) => return Ok(None),
                None => {}
            }
            // The decoder had its end when the source has none.
            if self.source.is_none() {
                return Ok(None);
            }
            let chunk = self.chunk().await?;
            let Form::Related(decoder) = &mut self.form else { return Ok(None) };
            match chunk {
                Some(data) => decoder.push(data),
                None => decoder.end_of_input(),
            }
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(source) = &mut self.source else { return Ok(None) };
        let next = tokio::time::timeout(self.idle, source.next()).await;
        let chunk = next
            .map_err(|_| Fault::new(codes::IO_ERROR, "The sender stopped sending"))?
            .map_err(|e| body_fault(&e))?;
        if chunk.is_none() {
            self.source = None;
        }
        Ok(chunk)
    }

    /// Reads up to `inline` bytes, and tells whether that was all.
    ///
    /// # Errors
    /// As [`Parts::next`].
    pub(crate) async fn start(mut self, inline: usize) -> Result<Start, Fault> {
        let mut pieces = Vec::new();
        let mut length = 0;
        while length <= inline {
            let Some(piece) = self.next().await? else { return Ok(Start::Whole(pieces)) };
            length += match &piece {
                Piece::Data(data) => data.len(),
                Piece::Begin(Some(headers)) => headers.length(),
                Piece::Begin(None) | Piece::End => 0,
            };
            pieces.push(piece);
        }
        Ok(Start::More(pieces, self))
    }
}

/// Takes attachments in, one after the other: digest, length, and the bytes in memory or in files.
pub(crate) struct Takings<'s> {
    server: &'s Server,
    /// Whether the bytes are read again here; else what the log will not keep is only hashed.
    read_again: bool,
    current: Option<Intake>,
    taken: Vec<Taken>,
    length: u64,
}

impl<'s> Takings<'s> {
    /// Nothing is taken yet.
    pub(crate) fn new(server: &'s Server, read_again: bool) -> Self {
        Self { server, read_again, current: None, taken: Vec::new(), length: 0 }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// `logging_failed` when all attachments together are longer than the server's limit, or cannot be spooled.
    pub(crate) fn take(&mut self, piece: &Piece) -> Result<(), Fault> {
        match piece {
            Piece::Begin(_) => {
                self.current = Some(self.server.intake(self.length, self.length < MEMORY_BYTES));
            }
            Piece::Data(data) => {
                self.length = self.length.saturating_add(data.len() as u64);
                if let Some(intake) = &mut self.current {
                    if !self.read_again && !self.server.settings().stores_body(self.length) {
                        intake.forget();
                    }
                    intake.push(data).map_err(|e| body_fault(&e))?;
                }
            }
            Piece::End => {
                if let Some(intake) = self.current.take() {
                    self.taken.push(intake.finish().map_err(|e| body_fault(&e))?);
                }
            }
        }
        Ok(())
    }

    /// All that was taken.
    pub(crate) fn finish(self) -> Vec<Taken> {
        self.taken
    }
}

/// The digests of attachments, in their order.
pub(crate) fn digests(taken: &[Taken]) -> Vec<Vec<u8>> {
    taken.iter().map(|t| t.digest.clone()).collect()
}
