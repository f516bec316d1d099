//! Proofs, made from nodes that are kept and judged without any: RFC 9162
//! sections 2.1.3 and 2.1.4.

use super::{Hash, Nodes, empty_root, node_hash};

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The tree has no such leaf, or the older tree is the larger one.
    #[error("there is no such place in the tree")]
    Place,
    /// The proof has more or fewer hashes than the place needs.
    #[error("the proof has the wrong length")]
    Length,
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The hash over the leaves from `begin` to `end`, where no complete subtree
/// that begins at `begin` is cut.
fn range<N: Nodes>(nodes: &N, begin: u64, end: u64) -> Result<Hash, N::Error> {
    let count = end.saturating_sub(begin);
    if count == 0 {
        return Ok(empty_root());
    }
    let mut at = begin;
    let mut roots = Vec::with_capacity(count.count_ones() as usize);
    for level in (0..u64::BITS).rev().filter(|level| count >> level & 1 == 1) {
        roots.push(nodes.node(level, at >> level)?);
        at = at.saturating_add(1 << level);
    }
    let mut roots = roots.into_iter().rev();
    let last = roots.next().unwrap_or_else(empty_root);
    Ok(roots.fold(last, |right, left| node_hash(&left, &right)))
}

/// The largest power of two below a number of at least two.
fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - count.saturating_sub(1).leading_zeros().min(u64::BITS - 1))
}

/// The proof that leaf `index` is in the tree of the first `size` leaves, from
/// the leaf up. `None` when the tree has no such leaf.
///
/// # Errors
/// When a node cannot be read.
pub fn inclusion_proof<N: Nodes>(
    nodes: &N,
    index: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, N::Error> {
    if index >= size {
        return Ok(None);
    }
    let mut proof = Vec::new();
    let (mut begin, mut end) = (0, size);
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            proof.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range(nodes, begin, middle)?);
            begin = middle;
        }
    }
    proof.reverse();
    Ok(Some(proof))
}

/// The proof that the tree of the first `older` leaves is the beginning of that
/// of the first `size`. Empty when they are the same tree; `None` when the
/// older one is empty or larger.
///
/// # Errors
/// When a node cannot be read.
pub fn consistency_proof<N: Nodes>(
    nodes: &N,
    older: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, N::Error> {
    if older == 0 || older > size {
        return Ok(None);
    }
    let mut proof = Vec::new();
    let (mut begin, mut end) = (0, size);
    while end > older {
        let middle = begin + split(end - begin);
        if older <= middle {
            proof.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range(nodes, begin, middle)?);
            begin = middle;
        }
    }
    // The verifier has the older root already, which this is when nothing is before it.
    if begin > 0 {
        proof.push(range(nodes, begin, older)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Judges that a leaf, by its hash, is number `index` of the tree with this
/// size and root.
///
/// # Errors
/// When the proof does not show it.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Place);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for beside in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(beside, &hash);
            // On the right edge levels without a neighbour are passed over.
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, beside);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Judges that the tree with `older` leaves and its root is the beginning of
/// the one with `size` leaves and its root. An empty tree is the beginning of
/// every tree; then the proof is empty.
///
/// # Errors
/// When the proof does not show it.
pub fn verify_consistency(
    older: u64,
    older_root: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if older > size {
        return Err(ProofError::Place);
    }
    if older == 0 || older == size {
        let expected = if older == 0 { empty_root() } else { *root };
        return match (proof.is_empty(), *older_root == expected) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    let (mut node, mut last) = (older - 1, size - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    // A complete older tree is itself where the proof begins.
    let (first, rest) = match proof.split_first() {
        _ if older.is_power_of_two() => (older_root, proof),
        Some(parts) => parts,
        None => return Err(ProofError::Length),
    };
    let (mut older_hash, mut hash) = (*first, *first);
    for beside in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            older_hash = node_hash(beside, &older_hash);
            hash = node_hash(beside, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, beside);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if older_hash == *older_root && hash == *root { Ok(()) } else { Err(ProofError::Root) }
}
