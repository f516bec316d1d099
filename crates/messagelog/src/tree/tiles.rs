//! Tiles: the hashes of a tree in files of up to 256, as C2SP `tlog-tiles` has
//! them. A tile of level *L* holds nodes of tree level 8·*L*; those between are
//! computed from it. Full tiles never change. The last tile of each level is
//! partial and is replaced by a wider one, under another name, as the tree grows.

use std::fmt;

use super::{Hash, Nodes, node_hash};

/// How many tree levels a tile spans.
pub const TILE_HEIGHT: u32 = 8;
/// How many hashes a full tile holds.
pub const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;
/// Tile levels of a tree with less than 2⁶⁴ leaves.
const LEVELS: u32 = u64::BITS / TILE_HEIGHT;

/// A tile by its place. [`fmt::Display`] gives its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// The tile level, 0 to 7.
    pub level: u32,
    /// Its number within the level.
    pub index: u64,
    /// How many hashes it holds, 1 to [`TILE_WIDTH`].
    pub width: u64,
}

impl Tile {
    /// The tile that holds node `index` of tree level 8·`level`, as wide as it is
    /// in a tree of `size` leaves; `None` when the node does not exist there.
    pub fn holding(level: u32, index: u64, size: u64) -> Option<Self> {
        let count = size.checked_shr(level.checked_mul(TILE_HEIGHT)?)?;
        let tile = index >> TILE_HEIGHT;
        let begin = tile << TILE_HEIGHT;
        let width = count.saturating_sub(begin).min(TILE_WIDTH);
        (index < count).then_some(Self { level, index: tile, width })
    }

    /// The bytes of the tile's file, 32 for each hash.
    ///
    /// # Errors
    /// When a node cannot be read.
    pub fn bytes<N: Nodes>(&self, nodes: &N) -> Result<Vec<u8>, N::Error> {
        let mut out = Vec::with_capacity(self.width as usize * 32);
        let begin = self.index << TILE_HEIGHT;
        for index in (begin..).take(self.width as usize) {
            out.extend_from_slice(&nodes.node(self.level * TILE_HEIGHT, index)?);
        }
        Ok(out)
    }
}

impl fmt::Display for Tile {
    /// `tile/<level>/<index>`, the index in groups of three digits of which all
    /// but the last begin with `x`; `.p/<width>` behind that of a partial tile.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        f.write_str(&groups.join("/"))?;
        if self.width < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// The tiles of a tree with `size` leaves that one with `older` leaves does not
/// have: what is to be written when it has grown.
pub fn tiles_of(older: u64, size: u64) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for level in 0..LEVELS {
        let shift = level * TILE_HEIGHT;
        let (before, now) = (older >> shift, size >> shift);
        if now <= before {
            break;
        }
        // The last tile of before is there anew if it was partial.
        for index in before >> TILE_HEIGHT..=(now - 1) >> TILE_HEIGHT {
            tiles.extend(Tile::holding(level, index << TILE_HEIGHT, size));
        }
    }
    tiles
}

/// The nodes of a tree whose tiles are kept.
#[derive(Debug, Clone)]
pub struct TiledNodes<F> {
    size: u64,
    read: F,
}

/// Why a node cannot be had from tiles.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TileError<E> {
    /// A tile cannot be read.
    #[error("{tile} cannot be read: {source}")]
    Read {
        /// The tile.
        tile: Tile,
        /// Why.
        source: E,
    },
    /// A tile's file has another length than its name says.
    #[error("{0} has the wrong length")]
    Length(Tile),
    /// The tree has no such node.
    #[error("the tree has no node {index} of level {level}")]
    Missing {
        /// The node's level.
        level: u32,
        /// Its number within the level.
        index: u64,
    },
}

impl<E, F: Fn(&Tile) -> Result<Vec<u8>, E>> TiledNodes<F> {
    /// The nodes of a tree with `size` leaves; `read` gives a tile's file.
    pub fn new(size: u64, read: F) -> Self {
        Self { size, read }
    }
}

impl<E, F: Fn(&Tile) -> Result<Vec<u8>, E>> Nodes for TiledNodes<F> {
    type Error = TileError<E>;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        let missing = || TileError::Missing { level, index };
        let above = level % TILE_HEIGHT;
        let count = 1u64 << above;
        let first = index.checked_mul(count).ok_or_else(missing)?;
        let last = first.checked_add(count - 1).ok_or_else(missing)?;
        let tile = Tile::holding(level / TILE_HEIGHT, last, self.size).ok_or_else(missing)?;
        let bytes = (self.read)(&tile).map_err(|source| TileError::Read { tile, source })?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() as u64 != tile.width || !rest.is_empty() {
            return Err(TileError::Length(tile));
        }
        let begin = (first % TILE_WIDTH) as usize;
        let mut row = hashes.get(begin..begin + count as usize).unwrap_or_default().to_vec();
        while row.len() > 1 {
            let (pairs, _) = row.as_chunks::<2>();
            row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        row.first().copied().ok_or_else(missing)
    }
}
