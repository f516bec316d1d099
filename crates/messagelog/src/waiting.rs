//! What the timestamper asks of records without a timestamp, in memory: known
//! when a record is written, it need not be read again.
//!
//! Memory is bounded: while an authority is away and more records wait than are
//! remembered, the oldest stay, for they are stamped first; the others are read
//! from the segments, in pages, when their turn comes.

use std::collections::VecDeque;

use crate::pending::Pending;
use crate::record::Sha512;

/// The most records that are remembered: some 5 MB.
const REMEMBERED: usize = 65_536;

/// A record that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) id: u64,
    /// When it was logged, milliseconds since 1970.
    pub(crate) time: i64,
    /// The digest of its signature document.
    pub(crate) signature_hash: Sha512,
}

/// Records in order, some of which may have a timestamp by now.
#[derive(Debug, Default)]
pub(crate) struct Waiting(VecDeque<Remembered>);

impl Waiting {
    /// Remembers a record that was written just now, if there is room.
    pub(crate) fn push(&mut self, record: Remembered) {
        let follows = self.0.back().is_none_or(|last| last.id < record.id);
        if self.0.len() < REMEMBERED && follows {
            self.0.push_back(record);
        }
    }

    /// Forgets the oldest records that do not wait any more.
    pub(crate) fn trim(&mut self, pending: &Pending) {
        while self.0.front().is_some_and(|record| !pending.contains(record.id)) {
            self.0.pop_front();
        }
    }

    /// Waiting records from a number on, at most `limit`, in order, each with
    /// what is remembered of it.
    pub(crate) fn page(
        &self,
        pending: &Pending,
        from: u64,
        limit: usize,
    ) -> Vec<(u64, Option<Remembered>)> {
        let begin = self.0.partition_point(|record| record.id < from);
        let mut known = self.0.range(begin..).peekable();
        let mut with_memory = |id: u64| {
            while known.next_if(|record| record.id < id).is_some() {}
            (id, known.next_if(|record| record.id == id).copied())
        };
        pending.iter_from(from).take(limit).map(&mut with_memory).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(id: u64) -> Remembered {
        Remembered { id, time: id.cast_signed(), signature_hash: [id as u8; 64] }
    }

    #[test]
    fn the_oldest_are_remembered_and_none_is_taken_for_another() {
        let (mut waiting, mut pending) = (Waiting::default(), Pending::default());
        let more = REMEMBERED as u64 + 1000;
        for id in 1..=more {
            pending.insert(id);
            waiting.push(remembered(id));
        }
        for id in (1..=500).chain([503, 505]) {
            pending.remove(id);
        }
        waiting.trim(&pending);
        // There is room again: what comes now is remembered, what came between is not.
        for id in more + 1..more + 10 {
            pending.insert(id);
            waiting.push(remembered(id));
        }
        let page = waiting.page(&pending, 0, usize::MAX);
        assert_eq!(page.len() as u64, pending.len());
        assert!(page.iter().map(|(id, _)| *id).eq(pending.iter_from(0)));
        for (id, known) in page {
            let expected = id <= REMEMBERED as u64 || id > more;
            assert_eq!(known, expected.then(|| remembered(id)), "{id}");
        }
        let few = waiting.page(&pending, 502, 3);
        assert!(few.iter().map(|(id, _)| *id).eq([502, 504, 506]));
        assert!(few.iter().all(|(_, known)| known.is_some()));
    }
}
