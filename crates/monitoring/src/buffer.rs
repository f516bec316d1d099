//! Records that wait for the store: a bounded queue that drops the oldest.

use std::collections::VecDeque;

use crate::Record;

/// Records that wait. When it is full, the oldest gives way, and is counted.
#[derive(Debug)]
pub(crate) struct Buffer {
    waiting: VecDeque<Record>,
    most: usize,
    dropped: u64,
}

impl Buffer {
    /// A buffer for at most so many records, at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: VecDeque::new(), most: most.max(1), dropped: 0 }
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: Record) {
        if self.waiting.len() >= self.most {
            self.waiting.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.waiting.push_back(record);
    }

    /// Takes the oldest records, at most so many.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Record> {
        let count = self.waiting.len().min(most);
        self.waiting.drain(..count).collect()
    }

    /// Puts records back that could not be stored, before all others; what has no room is dropped, oldest first.
    pub(crate) fn put_back(&mut self, records: Vec<Record>) {
        let room = self.most.saturating_sub(self.waiting.len());
        let lost = records.len().saturating_sub(room);
        self.dropped = self.dropped.saturating_add(lost as u64);
        for record in records.into_iter().skip(lost).rev() {
            self.waiting.push_front(record);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many were dropped since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServerType;

    fn times(records: &[Record]) -> Vec<u64> {
        records.iter().map(|r| r.request_in_ts).collect()
    }

    #[test]
    fn the_oldest_gives_way_and_is_counted() {
        let mut buffer = Buffer::new(3);
        for i in 0..5 {
            buffer.push(Record::begin(ServerType::Client, i));
        }
        assert_eq!(buffer.take_dropped(), 2);
        assert_eq!(buffer.take_dropped(), 0);
        let taken = buffer.take(2);
        assert_eq!(times(&taken), [2, 3]);
        buffer.push(Record::begin(ServerType::Client, 5));
        buffer.put_back(taken);
        assert_eq!(buffer.take_dropped(), 1);
        assert_eq!(times(&buffer.take(9)), [3, 4, 5]);
    }
}
