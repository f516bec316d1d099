//! Appending: of a tree with *n* leaves only the roots of its complete
//! subtrees matter, one for each bit of *n*.

use super::{Hash, Nodes, empty_root, leaf_hash, node_hash};

/// A node with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its level, 0 for leaves.
    pub level: u32,
    /// Its number within the level.
    pub index: u64,
    /// Its hash.
    pub hash: Hash,
}

/// The right edge of a tree: all that appending needs, at most 64 hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// The roots of the complete subtrees, the largest first.
    roots: Vec<Hash>,
}

impl Frontier {
    /// Reads the right edge of a tree with `size` leaves.
    ///
    /// # Errors
    /// When a node cannot be read.
    pub fn load<N: Nodes>(nodes: &N, size: u64) -> Result<Self, N::Error> {
        let mut roots = Vec::with_capacity(size.count_ones() as usize);
        for level in (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1) {
            // Behind all larger subtrees, which an even number of its own size fits into.
            let index = (size >> level) - 1;
            roots.push(nodes.node(level, index)?);
        }
        Ok(Self { size, roots })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its bytes; see [`Frontier::append_hash`].
    pub fn append(&mut self, bytes: &[u8], complete: &mut Vec<Node>) {
        self.append_hash(leaf_hash(bytes), complete);
    }

    /// Appends a leaf by its hash. The nodes that exist from now on are added to
    /// `complete`: the leaf, and one more for each subtree that it completes.
    /// A tree of 2⁶⁴−1 leaves takes no more; the call is then ignored.
    pub fn append_hash(&mut self, leaf: Hash, complete: &mut Vec<Node>) {
        let Some(size) = self.size.checked_add(1) else { return };
        let (mut hash, mut level, mut index) = (leaf, 0, self.size);
        complete.push(Node { level, index, hash });
        while index & 1 == 1 {
            let Some(left) = self.roots.pop() else { break };
            hash = node_hash(&left, &hash);
            (level, index) = (level + 1, index / 2);
            complete.push(Node { level, index, hash });
        }
        self.roots.push(hash);
        self.size = size;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return empty_root() };
        roots.fold(*last, |right, left| node_hash(left, &right))
    }
}
