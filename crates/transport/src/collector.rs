use bytes::{Bytes, BytesMut};

use crate::TransportError;

/// Gathers a part that is handed out whole. A part that came in one piece stays where it is.
#[derive(Debug)]
pub(crate) struct Collector {
    part: &'static str,
    limit: usize,
    first: Bytes,
    joined: BytesMut,
}

impl Collector {
    pub(crate) fn new(part: &'static str, limit: usize) -> Self {
        Self { part, limit, first: Bytes::new(), joined: BytesMut::new() }
    }

    pub(crate) fn push(&mut self, data: Bytes) -> Result<(), TransportError> {
        let have = self.first.len().saturating_add(self.joined.len());
        if data.len() > self.limit.saturating_sub(have) {
            return Err(TransportError::TooLarge { part: self.part, limit: self.limit });
        }
        if have == 0 {
            self.first = data;
            return Ok(());
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&data);
        Ok(())
    }

    pub(crate) fn finish(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}
