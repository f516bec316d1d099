#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// RFC 6962 section 2.1, word for word.
fn mth(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => leaf_hash(one),
        many => {
            let k = many.len().next_power_of_two() / 2;
            node_hash(&mth(&many[..k]), &mth(&many[k..]))
        }
    }
}

/// RFC 6962 section 2.1.1.
fn path(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (inner, beside) = if m < k {
        (path(m, &leaves[..k]), mth(&leaves[k..]))
    } else {
        (path(m - k, &leaves[k..]), mth(&leaves[..k]))
    };
    [inner, vec![beside]].concat()
}

/// RFC 6962 section 2.1.2.
fn subproof(m: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (inner, beside) = if m <= k {
        (subproof(m, &leaves[..k], whole), mth(&leaves[k..]))
    } else {
        (subproof(m - k, &leaves[k..], false), mth(&leaves[..k]))
    };
    [inner, vec![beside]].concat()
}

#[derive(Default)]
struct Kept(BTreeMap<(u32, u64), Hash>);

impl Nodes for Kept {
    type Error = Infallible;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        Ok(*self.0.get(&(level, index)).expect("a node that does not exist"))
    }
}

fn grow(leaves: &[Vec<u8>]) -> (Frontier, Kept) {
    let (mut tree, mut kept) = (Frontier::default(), Kept::default());
    let mut complete = Vec::new();
    for leaf in leaves {
        tree.append(leaf, &mut complete);
    }
    for node in complete {
        assert!(kept.0.insert((node.level, node.index), node.hash).is_none(), "{node:?} twice");
    }
    (tree, kept)
}

fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count as u64).map(|n| n.to_le_bytes().to_vec()).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

/// The vectors of the reference implementation of RFC 6962.
#[test]
fn known_trees_have_known_roots() {
    let leaves: Vec<Vec<u8>> = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    .map(hex)
    .to_vec();
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (size, root) in roots.iter().enumerate() {
        let (tree, _) = grow(&leaves[..size]);
        assert_eq!(tree.root().to_vec(), hex(root), "{size} leaves");
    }
}

#[test]
fn all_proofs_of_small_trees_are_those_of_the_definition() {
    let leaves = numbered(40);
    let roots: Vec<Hash> = (0..=leaves.len()).map(|size| mth(&leaves[..size])).collect();
    let (_, kept) = grow(&leaves);
    for size in 0..=leaves.len() {
        let Ok(tree) = Frontier::load(&kept, size as u64);
        assert_eq!((tree.root(), tree.size()), (roots[size], size as u64));
        assert_eq!(tree, grow(&leaves[..size]).0);
        for index in 0..size {
            let Ok(proof) = inclusion_proof(&kept, index as u64, size as u64);
            let proof = proof.unwrap();
            assert_eq!(proof, path(index, &leaves[..size]), "{index} of {size}");
            let hash = leaf_hash(&leaves[index]);
            let judge = |index: usize, size: usize, proof: &[Hash], root| {
                verify_inclusion(&hash, index as u64, size as u64, proof, root)
            };
            judge(index, size, &proof, &roots[size]).unwrap();
            for other in (0..size).filter(|other| *other != index) {
                judge(other, size, &proof, &roots[size]).unwrap_err();
            }
            let longer = [&proof[..], &[[7; 32]]].concat();
            judge(index, size, &longer, &roots[size]).unwrap_err();
            if let Some((_, shorter)) = proof.split_last() {
                judge(index, size, shorter, &roots[size]).unwrap_err();
            }
        }
        let Ok(none) = inclusion_proof(&kept, size as u64, size as u64);
        assert_eq!(none, None);
        for older in 1..=size {
            let Ok(proof) = consistency_proof(&kept, older as u64, size as u64);
            let proof = proof.unwrap();
            assert_eq!(proof, subproof(older, &leaves[..size], true), "{older} of {size}");
            let judge = |older: usize, proof: &[Hash], root: &Hash| {
                verify_consistency(older as u64, root, size as u64, &roots[size], proof)
            };
            judge(older, &proof, &roots[older]).unwrap();
            for other in (0..size).filter(|other| *other != older) {
                judge(older, &proof, &roots[other]).unwrap_err();
                let nothing = other == 0 && proof.is_empty();
                assert_eq!(judge(other, &proof, &roots[other]).is_ok(), nothing, "{older}");
            }
            judge(older, &[&proof[..], &[[7; 32]]].concat(), &roots[older]).unwrap_err();
        }
        for (older, smaller) in [(0, size), (size + 1, size)] {
            let Ok(none) = consistency_proof(&kept, older as u64, smaller as u64);
            assert_eq!(none, None);
        }
        verify_consistency(0, &empty_root(), size as u64, &roots[size], &[]).unwrap();
        let larger = size as u64 + 1;
        verify_consistency(larger, &roots[size], size as u64, &roots[size], &[]).unwrap_err();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_tree_is_that_of_the_definition(size in 1usize..3000, seed: u64) {
        let leaves = numbered(size);
        let (tree, kept) = grow(&leaves);
        prop_assert_eq!(tree.root(), mth(&leaves));
        let (index, older) = (seed as usize % size, 1 + (seed >> 20) as usize % size);
        let Ok(proof) = inclusion_proof(&kept, index as u64, size as u64);
        let mut proof = proof.unwrap();
        prop_assert_eq!(&proof, &path(index, &leaves));
        let Ok(consistent) = consistency_proof(&kept, older as u64, size as u64);
        let mut consistent = consistent.unwrap();
        prop_assert_eq!(&consistent, &subproof(older, &leaves, true));
        let old_root = mth(&leaves[..older]);
        let (own, root) = (leaf_hash(&leaves[index]), tree.root());
        let (index, older, size) = (index as u64, older as u64, size as u64);
        prop_assert!(verify_inclusion(&own, index, size, &proof, &root).is_ok());
        prop_assert!(verify_consistency(older, &old_root, size, &root, &consistent).is_ok());
        for (hashes, inclusion) in [(&mut proof, true), (&mut consistent, false)] {
            if hashes.is_empty() { continue; }
            let at = seed as usize % hashes.len();
            hashes[at][(seed >> 40) as usize % 32] ^= 1 << (seed >> 50 & 7);
            let refused = if inclusion {
                verify_inclusion(&own, index, size, hashes, &root).is_err()
            } else {
                verify_consistency(older, &old_root, size, &root, hashes).is_err()
            };
            prop_assert!(refused);
        }
    }

    #[test]
    fn hostile_proofs_never_panic(
        numbers: (u64, u64), proof: Vec<[u8; 32]>, root: [u8; 32], shift in 0u32..64,
    ) {
        let (a, b) = (numbers.0 >> shift, numbers.1 >> shift);
        prop_assert!(verify_inclusion(&root, a, b, &proof, &root).is_err() || b == 1);
        let _ = verify_consistency(a, &root, b, &root, &proof);
    }

    #[test]
    fn tiles_hold_all_that_proofs_need(sizes in proptest::collection::btree_set(1u64..70_000, 1..4), seed: u64) {
        let last = *sizes.last().unwrap();
        let leaves = numbered(last as usize);
        let (mut tree, mut kept) = (Frontier::default(), Kept::default());
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut written = 0;
        for size in sizes {
            let mut complete = Vec::new();
            for leaf in &leaves[tree.size() as usize..size as usize] {
                tree.append(leaf, &mut complete);
            }
            kept.0.extend(complete.iter().map(|node| ((node.level, node.index), node.hash)));
            for tile in tiles_of(written, size) {
                let Ok(bytes) = tile.bytes(&kept);
                let before = files.insert(tile.to_string(), bytes);
                prop_assert!(before.is_none(), "{} is written again", tile);
            }
            written = size;
            let asked = RefCell::new(BTreeSet::new());
            let tiled = TiledNodes::new(size, |tile: &Tile| {
                asked.borrow_mut().insert(*tile);
                files.get(&tile.to_string()).cloned().ok_or(())
            });
            prop_assert_eq!(&Frontier::load(&tiled, size).unwrap(), &tree);
            asked.borrow_mut().clear();
            let index = seed % size;
            let proof = inclusion_proof(&tiled, index, size).unwrap().unwrap();
            let own = leaf_hash(&leaves[index as usize]);
            verify_inclusion(&own, index, size, &proof, &tree.root()).unwrap();
            prop_assert!(asked.borrow().len() <= 6, "{:?}", asked.borrow());
            prop_assert!(tiled.node(0, size).is_err());
            prop_assert!(tiled.node(1, size / 2).is_err());
        }
    }
}

#[test]
fn tiles_have_the_names_of_the_specification() {
    let name = |level, index, width| Tile { level, index, width }.to_string();
    assert_eq!(name(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(name(3, 0, 256), "tile/3/000");
    assert_eq!(name(1, 999, 17), "tile/1/999.p/17");
    assert_eq!(name(0, 1000, 1), "tile/0/x001/000.p/1");
    // The specification's own example: a tree of 70,000 leaves.
    let all: Vec<Tile> = tiles_of(0, 70_000);
    let full = |level| all.iter().filter(|t| t.level == level && t.width == 256).count();
    assert_eq!((full(0), full(1), all.len()), (273, 1, 273 + 1 + 1 + 1 + 1));
    let partial: Vec<String> = all.iter().filter(|t| t.width < 256).map(Tile::to_string).collect();
    assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    assert_eq!(tiles_of(70_000, 70_000), []);
    assert_eq!(tiles_of(5, 6), [Tile { level: 0, index: 0, width: 6 }]);
    assert_eq!(Tile::holding(8, 0, u64::MAX), None);
}
