//! The tree over the records of one batch timestamp, and the chain document of
//! any one of them.
//!
//! A chain is some 5 KB and a leaf 64 bytes, so the log keeps the leaves alone
//! and makes a chain when a record's container is asked for. The documents are
//! byte for byte those of [`causeway_signature::hashchain::build`], which makes
//! the chains of a whole batch at once; a test holds the two together.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_pki::DigestAlgorithm;
use causeway_signature::hashchain::{DigestValue, NAMESPACE, digest_list};
use causeway_signature::{SIGNATURES, TIMESTAMP_CHAIN};

use crate::codec::sha512;
use crate::record::Sha512;

/// The digest algorithm of the chains: that of the digests that the log keeps.
pub(crate) const ALGORITHM: DigestAlgorithm = DigestAlgorithm::Sha512;

const DS: &str = "http://www.w3.org/2000/09/xmldsig#";

/// A tree, level by level from the leaves up. Pairs are combined, an odd last
/// node moves up as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    levels: Vec<Vec<Sha512>>,
}

impl Tree {
    /// The tree over these leaves; `None` for fewer than two.
    pub(crate) fn new(leaves: Vec<Sha512>) -> Option<Self> {
        if leaves.len() < 2 {
            return None;
        }
        let mut step = Step::new()?;
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let mut above = Vec::with_capacity(below.len().div_ceil(2));
            for pair in below.chunks(2) {
                match pair {
                    [left, right] => above.push(step.digest(left, right)),
                    odd => above.extend_from_slice(odd),
                }
            }
            levels.push(above);
        }
        Some(Self { levels })
    }

    /// The result document, whose exact bytes are stamped.
    pub(crate) fn result(&self) -> String {
        let root = self.levels.last().and_then(|level| level.first());
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
             <HashChainResult URI=\"{TIMESTAMP_CHAIN}#STEP0\" xmlns=\"{NAMESPACE}\" xmlns:ds=\"{DS}\">\n    \
             <ds:DigestMethod Algorithm=\"{}\"/>\n    <ds:DigestValue>{}</ds:DigestValue>\n\
             </HashChainResult>\n",
            ALGORITHM.uri(),
            BASE64.encode(root.map_or(&[][..], |root| root)),
        )
    }

    /// The chain document from the result to one leaf; `None` when there is no
    /// such leaf.
    pub(crate) fn chain(&self, leaf: usize) -> Option<String> {
        let own = self.levels.first()?.get(leaf)?;
        // From the leaf up; the document goes from the root down.
        let mut path = Vec::with_capacity(self.levels.len());
        let mut at = leaf;
        for level in &self.levels {
            let (sibling, is_left) = if at % 2 == 1 { (at - 1, true) } else { (at + 1, false) };
            path.extend(level.get(sibling).map(|digest| (digest, is_left)));
            at /= 2;
        }
        let mut out = String::with_capacity(400 + path.len() * 320);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n");
        out.push_str(&format!("<HashChain xmlns=\"{NAMESPACE}\" xmlns:ds=\"{DS}\">\n"));
        out.push_str(&format!("    <DefaultDigestMethod Algorithm=\"{}\"/>\n", ALGORITHM.uri()));
        let last = path.len().saturating_sub(1);
        for (step, (digest, is_left)) in path.into_iter().rev().enumerate() {
            let below = if step == last {
                format!(
                    "        <DataRef URI=\"{SIGNATURES}\">\n            \
                     <ds:DigestValue>{}</ds:DigestValue>\n        </DataRef>\n",
                    BASE64.encode(own)
                )
            } else {
                format!("        <StepRef URI=\"#STEP{}\"/>\n", step + 1)
            };
            let beside = format!(
                "        <HashValue>\n            <ds:DigestValue>{}</ds:DigestValue>\n        </HashValue>\n",
                BASE64.encode(digest)
            );
            let [first, second] = if is_left { [beside, below] } else { [below, beside] };
            out.push_str(&format!(
                "    <HashStep id=\"STEP{step}\">\n{first}{second}    </HashStep>\n"
            ));
        }
        out.push_str("</HashChain>\n");
        Some(out)
    }
}

/// What a step of two digests hashes: always the same bytes but for the digests.
struct Step {
    bytes: Vec<u8>,
    left: usize,
    right: usize,
}

impl Step {
    fn new() -> Option<Self> {
        let marks = [[0xa5; 64], [0x5a; 64]];
        let item = |mark: &Sha512| DigestValue { algorithm: ALGORITHM, value: mark.to_vec() };
        let bytes = digest_list(&marks.each_ref().map(item));
        let place = |mark: &Sha512| bytes.windows(mark.len()).position(|window| window == mark);
        let [left, right] = marks.each_ref().map(place);
        let (left, right) = (left?, right?);
        Some(Self { bytes, left, right })
    }

    fn digest(&mut self, left: &Sha512, right: &Sha512) -> Sha512 {
        crate::frame::put(&mut self.bytes, self.left, left);
        crate::frame::put(&mut self.bytes, self.right, right);
        sha512(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use causeway_signature::hashchain::{PartDigest, build};

    #[test]
    fn the_documents_are_those_of_the_batch_composer() {
        for count in (2..70).chain([127, 128, 129, 1000]) {
            let leaves: Vec<Sha512> = (0..count).map(|n: u32| sha512(&n.to_le_bytes())).collect();
            let part = |digest: &Sha512| {
                vec![PartDigest { name: SIGNATURES.into(), digest: digest.to_vec() }]
            };
            let parts: Vec<_> = leaves.iter().map(part).collect();
            let built = build(ALGORITHM, &parts, TIMESTAMP_CHAIN).unwrap();
            let tree = Tree::new(leaves).unwrap();
            assert_eq!(tree.result(), built.result, "{count} leaves");
            for (leaf, chain) in built.chains.iter().enumerate() {
                assert_eq!(tree.chain(leaf).as_ref(), Some(chain), "leaf {leaf} of {count}");
            }
            assert_eq!(tree.chain(count as usize), None);
        }
        assert_eq!(Tree::new(vec![[1; 64]]), None);
    }
}
