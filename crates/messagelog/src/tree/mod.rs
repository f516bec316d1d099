//! A Merkle tree over all records of a log (RFC 6962 section 2.1, RFC 9162
//! section 2), so that whoever keeps a root can tell that nothing was changed
//! or left out since, and that a record was there.
//!
//! Pure: hashes and numbers in, hashes out. `leaf` says which bytes of a record
//! are hashed, `grow` appends and gives roots from the hashes that matter,
//! `prove` makes proofs and judges them, `tiles` lays the hashes out in files
//! (C2SP `tlog-tiles`), so that a proof reads a few of them and no old one is
//! ever written again.
//!
//! Nodes are named as in `tlog-tiles`: level 0 are the leaves, node *i* of
//! level *l* is over the leaves from *i*·2ˡ to (*i*+1)·2ˡ, and exists once all
//! of these do.

mod grow;
mod leaf;
mod prove;
#[cfg(test)]
mod tests;
mod tiles;

use ring::digest::{Context, SHA256};

pub use grow::{Frontier, Node};
pub use leaf::{record_leaf, stored_leaf};
pub use prove::{
    ProofError, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion,
};
pub use tiles::{TILE_HEIGHT, TILE_WIDTH, Tile, TileError, TiledNodes, tiles_of};

/// A node's hash, SHA-256.
pub type Hash = [u8; 32];

/// Gives the hashes of nodes that exist, from wherever they are kept.
pub trait Nodes {
    /// Why a hash cannot be read.
    type Error;

    /// The hash of node `index` of `level`.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The hash of a leaf: SHA-256 of a zero byte and the leaf's bytes.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    hash(&[&[0], bytes])
}

/// The hash of a node over two others: SHA-256 of a one byte and theirs.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    hash(&[])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    crate::frame::put(&mut out, 0, context.finish().as_ref());
    out
}
