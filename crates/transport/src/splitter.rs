//! Splits a multipart, and multiparts nested in it, into headers and data.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::headers::HeaderBlock;
use crate::scanner::{Scan, Scanner};
use crate::{Boundary, Limits, PartHeaders, TransportError};

/// What comes next in the multipart.
#[derive(Debug)]
pub(crate) enum Token {
    /// A part begins.
    Part(PartHeaders),
    /// Bytes of the part.
    Data(Bytes),
    /// The part is over.
    PartEnd,
    /// A nested multipart's closing boundary.
    NestedEnd,
    /// The message is over, and so is the input.
    End,
}

/// Depth of the outer multipart, and its place among the scanner's needles; nested ones follow.
const OUTER: usize = 0;

/// How much is asked of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Another security server, whose encoder we know: one nested multipart, nothing between
    /// parts, a closing boundary.
    Strict,
    /// An information system: some write text around the parts, some forget the last boundary
    /// (X-Road reads them). Multiparts may be nested up to [`DEEPEST`].
    Lenient,
}

/// How deep the multiparts of an information system may be nested.
const DEEPEST: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first boundary.
    Preamble,
    /// After `--boundary`, up to the end of its line.
    BoundaryLine,
    Headers,
    Body,
    /// After the nested multipart's closing boundary.
    NestedEpilogue,
    /// After the outer multipart's closing boundary.
    Epilogue,
    Over,
}

#[derive(Debug)]
pub(crate) struct Splitter {
    manners: Manners,
    /// The boundaries of the multiparts that are open, the outermost first.
    open: Vec<Boundary>,
    scanner: Scanner,
    input: Bytes,
    queue: VecDeque<Bytes>,
    ended: bool,
    place: Place,
    depth: usize,
    line: Vec<u8>,
    headers: HeaderBlock,
    filler: usize,
    filler_is_blank: bool,
}

impl Splitter {
    pub(crate) fn new(boundary: &Boundary, manners: Manners) -> Self {
        let mut scanner = Scanner::new(boundary);
        scanner.start_of_line();
        Self {
            manners,
            open: vec![boundary.clone()],
            scanner,
            input: Bytes::new(),
            queue: VecDeque::new(),
            ended: false,
            place: Place::Preamble,
            depth: OUTER,
            line: Vec::new(),
            headers: HeaderBlock::default(),
            filler: 0,
            filler_is_blank: true,
        }
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.queue.push_back(data);
        }
    }

    pub(crate) fn end_of_input(&mut self) {
        self.ended = true;
    }

    /// Reads the part that has just begun as a multipart of its own.
    pub(crate) fn enter_nested(&mut self, boundary: &Boundary) -> Result<(), TransportError> {
        let deepest = if self.manners == Manners::Strict { 1 } else { DEEPEST };
        if self.depth >= deepest || self.open.iter().any(|open| open.resembles(boundary)) {
            return Err(TransportError::CrossedBoundaries);
        }
        self.scanner.add(boundary);
        self.open.push(boundary.clone());
        self.depth += 1;
        self.start_scan(Place::Preamble);
        Ok(())
    }

    /// The next token; `None` when more input is needed.
    pub(crate) fn next(&mut self, limits: &Limits) -> Result<Option<Token>, TransportError> {
        loop {
            if self.input.is_empty() {
                match self.queue.pop_front() {
                    Some(data) => self.input = data,
                    None if self.ended => return self.at_end_of_input(),
                    None => return Ok(None),
                }
            }
            let token = match self.place {
                Place::Preamble | Place::Body | Place::NestedEpilogue => self.scan(limits)?,
                Place::BoundaryLine => self.boundary_line(limits)?,
                Place::Headers => self.header_line(limits)?,
                Place::Epilogue | Place::Over => self.epilogue(limits)?,
            };
            if token.is_some() {
                return Ok(token);
            }
        }
    }

    fn scan(&mut self, limits: &Limits) -> Result<Option<Token>, TransportError> {
        match self.scanner.next(&mut self.input) {
            Scan::NeedMore => Ok(None),
            Scan::Data(data) if self.place == Place::Body => Ok(Some(Token::Data(data))),
            Scan::Data(data) => self.skip_filler(&data, limits).map(|()| None),
            Scan::Delimiter(depth) => self.delimiter(depth),
        }
    }

    fn delimiter(&mut self, depth: usize) -> Result<Option<Token>, TransportError> {
        let came_from = std::mem::replace(&mut self.place, Place::BoundaryLine);
        if came_from == Place::NestedEpilogue {
            if depth + 1 != self.depth {
                return Err(TransportError::CrossedBoundaries);
            }
            self.depth = depth;
            self.open.pop();
            self.scanner.remove_last();
        } else if depth != self.depth {
            return Err(TransportError::CrossedBoundaries);
        }
        if came_from != Place::Body && !self.filler_is_blank && self.manners == Manners::Strict {
            return Err(TransportError::TextBetweenParts);
        }
        Ok((came_from != Place::Preamble).then_some(Token::PartEnd))
    }

    /// The rest of a boundary's line: `--` if it closes, then blanks.
    fn boundary_line(&mut self, limits: &Limits) -> Result<Option<Token>, TransportError> {
        if !self.take_line(limits.header_line, TransportError::MalformedBoundaryLine)? {
            return Ok(None);
        }
        let closes = self.boundary_line_closes()?;
        self.line.clear();
        if !closes {
            self.headers = HeaderBlock::default();
            self.place = Place::Headers;
            return Ok(None);
        }
        if self.depth > OUTER {
            self.start_scan(Place::NestedEpilogue);
            return Ok(Some(Token::NestedEnd));
        }
        self.place = Place::Epilogue;
        self.filler = 0;
        Ok(None)
    }

    fn boundary_line_closes(&self) -> Result<bool, TransportError> {
        let rest = self.line.strip_prefix(b"--");
        let blanks = rest.unwrap_or(&self.line);
        if blanks.iter().all(|b| matches!(b, b' ' | b'\t')) {
            Ok(rest.is_some())
        } else {
            Err(TransportError::MalformedBoundaryLine)
        }
    }

    fn header_line(&mut self, limits: &Limits) -> Result<Option<Token>, TransportError> {
        if !self.take_line(limits.header_line, TransportError::HeadersTooLarge("one line"))? {
            return Ok(None);
        }
        let over = self.headers.line(&self.line, limits)?;
        self.line.clear();
        if !over {
            return Ok(None);
        }
        let headers = std::mem::take(&mut self.headers).finish()?;
        self.start_scan(Place::Body);
        Ok(Some(Token::Part(headers)))
    }

    /// Moves input into `line` up to a line end, which is dropped; `true` when it was found.
    fn take_line(
        &mut self,
        limit: usize,
        too_long: TransportError,
    ) -> Result<bool, TransportError> {
        let end = memchr::memchr(b'\n', &self.input);
        let length = end.map_or(self.input.len(), |at| at.saturating_add(1));
        if length > limit.saturating_sub(self.line.len()) {
            return Err(too_long);
        }
        self.line.extend_from_slice(&self.input.split_to(length));
        if end.is_none() {
            return Ok(false);
        }
        self.line.pop();
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(true)
    }

    fn epilogue(&mut self, limits: &Limits) -> Result<Option<Token>, TransportError> {
        let data = std::mem::take(&mut self.input);
        self.filler_is_blank = true;
        self.skip_filler(&data, limits)?;
        if self.filler_is_blank || self.manners == Manners::Lenient {
            Ok(None)
        } else {
            Err(TransportError::TrailingContent)
        }
    }

    fn skip_filler(&mut self, data: &[u8], limits: &Limits) -> Result<(), TransportError> {
        self.filler = self.filler.saturating_add(data.len());
        self.filler_is_blank &= data.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
        if self.filler > limits.filler {
            return Err(TransportError::TextBetweenParts);
        }
        Ok(())
    }

    fn start_scan(&mut self, place: Place) {
        self.place = place;
        self.filler = 0;
        self.filler_is_blank = true;
        self.scanner.start_of_line();
    }

    fn at_end_of_input(&mut self) -> Result<Option<Token>, TransportError> {
        match self.place {
            Place::Over => return Ok(None),
            Place::Epilogue => {}
            // A closing boundary need not have a line end.
            Place::BoundaryLine if self.depth == OUTER => {
                if self.line.last() == Some(&b'\r') {
                    self.line.pop();
                }
                // A lenient reader has all parts, whether or not another was announced.
                match (self.boundary_line_closes(), self.manners) {
                    (Ok(true), _) | (Ok(false), Manners::Lenient) => {}
                    (Err(error), Manners::Lenient) => return Err(error),
                    (_, Manners::Strict) => return Err(TransportError::Truncated),
                }
            }
            // HTTP says that this is all of it: the last boundary was forgotten.
            Place::Body if self.depth == OUTER && self.manners == Manners::Lenient => {
                let rest = self.scanner.take_held();
                if !rest.is_empty() {
                    return Ok(Some(Token::Data(rest)));
                }
                self.place = Place::Epilogue;
                return Ok(Some(Token::PartEnd));
            }
            // No boundary at all: an empty message, as X-Road reads it; what
            // it lacks is told by its absence.
            Place::Preamble if self.depth == OUTER => {}
            _ => return Err(TransportError::Truncated),
        }
        self.place = Place::Over;
        Ok(Some(Token::End))
    }
}
