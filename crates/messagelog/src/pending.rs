//! The set of records without a timestamp, as bitmaps of 1024 record numbers:
//! records get their timestamps in order, so that a million waiting ones are a
//! thousand small values.

use std::collections::{BTreeMap, BTreeSet};

/// Record numbers in one block.
const BLOCK: u64 = 1024;
/// Bytes of one block.
pub(crate) const BLOCK_BYTES: usize = 128;

type Bits = [u64; 16];

/// A set of record numbers that knows which blocks have changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending {
    blocks: BTreeMap<u64, Bits>,
    count: u64,
    changed: BTreeSet<u64>,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.blocks == other.blocks
    }
}

impl Pending {
    pub(crate) fn insert(&mut self, id: u64) {
        let (block, word, bit) = split(id);
        let bits = self.blocks.entry(block).or_default();
        if let Some(word) = bits.get_mut(word)
            && *word & bit == 0
        {
            *word |= bit;
            self.count += 1;
            self.changed.insert(block);
        }
    }

    pub(crate) fn remove(&mut self, id: u64) {
        let (block, word, bit) = split(id);
        let Some(bits) = self.blocks.get_mut(&block) else { return };
        if let Some(word) = bits.get_mut(word)
            && *word & bit != 0
        {
            *word &= !bit;
            self.count = self.count.saturating_sub(1);
            self.changed.insert(block);
        }
        if bits.iter().all(|word| *word == 0) {
            self.blocks.remove(&block);
        }
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        let (block, word, bit) = split(id);
        let word = self.blocks.get(&block).and_then(|bits| bits.get(word));
        word.is_some_and(|word| word & bit != 0)
    }

    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    /// The numbers in order, from one on.
    pub(crate) fn iter_from(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let blocks = self.blocks.range(from / BLOCK..);
        let ids = blocks.flat_map(|(block, bits)| {
            let words = bits.iter().enumerate().filter(|(_, word)| **word != 0);
            words.flat_map(move |(index, word)| {
                (0..64u64)
                    .filter(move |bit| word & (1 << bit) != 0)
                    .map(move |bit| block * BLOCK + index as u64 * 64 + bit)
            })
        });
        ids.skip_while(move |id| *id < from)
    }

    /// The blocks that changed since this was last asked, with their bytes;
    /// `None` for a block that is empty now.
    pub(crate) fn take_changed(&mut self) -> Vec<(u64, Option<[u8; BLOCK_BYTES]>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|block| (block, self.blocks.get(&block).map(encode))).collect()
    }

    /// Says that blocks are still to be written.
    pub(crate) fn mark_changed(&mut self, blocks: impl IntoIterator<Item = u64>) {
        self.changed.extend(blocks);
    }

    /// The blocks that are not empty.
    pub(crate) fn blocks(&self) -> Vec<u64> {
        self.blocks.keys().copied().collect()
    }

    /// Puts in a block as it was written.
    pub(crate) fn load(&mut self, block: u64, bytes: &[u8]) -> Option<()> {
        if bytes.len() != BLOCK_BYTES || block > u64::MAX / BLOCK {
            return None;
        }
        let mut bits = Bits::default();
        for (word, bytes) in bits.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().ok()?);
            self.count += u64::from(word.count_ones());
        }
        if bits.iter().any(|word| *word != 0) {
            self.blocks.insert(block, bits);
        }
        Some(())
    }
}

fn split(id: u64) -> (u64, usize, u64) {
    (id / BLOCK, (id % BLOCK / 64) as usize, 1 << (id % 64))
}

fn encode(bits: &Bits) -> [u8; BLOCK_BYTES] {
    let mut out = [0; BLOCK_BYTES];
    for (place, word) in out.chunks_exact_mut(8).zip(bits) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0u64..5000), 0..300)) {
            let mut pending = Pending::default();
            let mut set = BTreeSet::new();
            let mut written = Pending::default();
            for (insert, id) in steps {
                if insert { pending.insert(id); set.insert(id); } else { pending.remove(id); set.remove(&id); }
            }
            prop_assert_eq!(pending.len(), set.len() as u64);
            prop_assert!(pending.iter_from(0).eq(set.iter().copied()));
            prop_assert!(pending.iter_from(2049).eq(set.range(2049..).copied()));
            for (block, bytes) in pending.take_changed() {
                if let Some(bytes) = bytes { written.load(block, &bytes).unwrap(); }
            }
            prop_assert_eq!(written.len(), pending.len());
            prop_assert!(written == pending);
            prop_assert!(pending.take_changed().is_empty());
        }
    }
}
