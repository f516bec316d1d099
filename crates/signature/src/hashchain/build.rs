//! Building the tree over a batch, and the chain of each leaf.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_pki::DigestAlgorithm;

use super::{DS, DigestValue, NAMESPACE, step_digest};

/// A part of a message: its name in the container, and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartDigest {
    /// `/message.xml`, `/attachment1`, … or `/META-INF/signatures.xml`.
    pub name: String,
    /// The digest, by the algorithm of the whole chain.
    pub digest: Vec<u8>,
}

/// What a batch becomes: one result that is signed or stamped, and a chain for each leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chains {
    /// The `HashChainResult` document; its exact bytes are signed or stamped.
    pub result: String,
    /// The `HashChain` document of each leaf, in the order given.
    pub chains: Vec<String>,
}

/// Builds the chains of a batch. A leaf with one part is that part's digest; a
/// leaf with several is a step of its own over them. `file` is the name under
/// which the chain document will be found, `/sig-hashchain.xml` or
/// `/ts-hashchain.xml`.
///
/// Returns `None` for an empty batch, for a leaf without parts, and for a
/// single leaf with a single part: that needs no chain.
pub fn build(algorithm: DigestAlgorithm, leaves: &[Vec<PartDigest>], file: &str) -> Option<Chains> {
    let needs_chain = leaves.len() > 1 || leaves.first().is_some_and(|parts| parts.len() > 1);
    if !needs_chain || leaves.iter().any(Vec::is_empty) {
        return None;
    }
    let levels = levels(algorithm, leaves);
    let root = levels.last().and_then(|level| level.first())?;
    let chains = (0..leaves.len()).map(|leaf| chain_of(algorithm, leaves, &levels, leaf)).collect();
    let result = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
         <HashChainResult URI=\"{file}#STEP0\" xmlns=\"{NAMESPACE}\" xmlns:ds=\"{DS}\">\n    \
         <ds:DigestMethod Algorithm=\"{}\"/>\n    <ds:DigestValue>{}</ds:DigestValue>\n</HashChainResult>\n",
        algorithm.uri(),
        BASE64.encode(root)
    );
    Some(Chains { result, chains })
}

fn with_algorithm(algorithm: DigestAlgorithm, value: &[u8]) -> DigestValue {
    DigestValue { algorithm, value: value.to_vec() }
}

/// The tree from the leaves up to the root: pairs are combined, an odd last node moves up unchanged.
fn levels(algorithm: DigestAlgorithm, leaves: &[Vec<PartDigest>]) -> Vec<Vec<Vec<u8>>> {
    let bottom = leaves.iter().map(|parts| match parts.as_slice() {
        [only] => only.digest.clone(),
        several => {
            let items: Vec<_> =
                several.iter().map(|p| with_algorithm(algorithm, &p.digest)).collect();
            step_digest(algorithm, &items)
        }
    });
    let mut levels: Vec<Vec<Vec<u8>>> = vec![bottom.collect()];
    while let Some(below) = levels.last().filter(|level| level.len() > 1) {
        let above = below
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => step_digest(
                    algorithm,
                    &[with_algorithm(algorithm, left), with_algorithm(algorithm, right)],
                ),
                odd => odd.concat(),
            })
            .collect();
        levels.push(above);
    }
    levels
}

/// Which side of a step the way to the leaf takes, with the digest on the other side.
enum Sibling<'t> {
    Left(&'t [u8]),
    Right(&'t [u8]),
}

fn chain_of(
    algorithm: DigestAlgorithm,
    leaves: &[Vec<PartDigest>],
    levels: &[Vec<Vec<u8>>],
    leaf: usize,
) -> String {
    let mut path = Vec::with_capacity(levels.len());
    let mut at = leaf;
    for level in levels {
        let sibling = if at % 2 == 1 {
            level.get(at - 1).map(|d| Sibling::Left(d))
        } else {
            level.get(at + 1).map(|d| Sibling::Right(d))
        };
        path.extend(sibling);
        at /= 2;
    }
    path.reverse();

    let parts = leaves.get(leaf).map_or(&[][..], Vec::as_slice);
    let single = match parts {
        [only] => Some(only),
        _ => None,
    };
    let mut out = String::with_capacity(400 + path.len() * 320 + parts.len() * 220);
    for piece in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<HashChain xmlns=\"",
        NAMESPACE,
        "\" xmlns:ds=\"",
        DS,
        "\">\n    <DefaultDigestMethod Algorithm=\"",
        algorithm.uri(),
        "\"/>\n",
    ] {
        out.push_str(piece);
    }
    let last = path.len().saturating_sub(1);
    for (step, sibling) in path.iter().enumerate() {
        start_step(step, &mut out);
        if let Sibling::Left(digest) = sibling {
            hash_value(digest, &mut out);
        }
        match single {
            Some(part) if step == last => data_ref(part, &mut out),
            _ => {
                out.push_str("        <StepRef URI=\"#STEP");
                out.push_str(&(step + 1).to_string());
                out.push_str("\"/>\n");
            }
        }
        if let Sibling::Right(digest) = sibling {
            hash_value(digest, &mut out);
        }
        out.push_str("    </HashStep>\n");
    }
    if single.is_none() {
        start_step(path.len(), &mut out);
        for part in parts {
            data_ref(part, &mut out);
        }
        out.push_str("    </HashStep>\n");
    }
    out.push_str("</HashChain>\n");
    out
}

fn start_step(step: usize, out: &mut String) {
    out.push_str("    <HashStep id=\"STEP");
    out.push_str(&step.to_string());
    out.push_str("\">\n");
}

fn digest_value(digest: &[u8], out: &mut String) {
    out.push_str("            <ds:DigestValue>");
    BASE64.encode_string(digest, out);
    out.push_str("</ds:DigestValue>\n");
}

fn hash_value(digest: &[u8], out: &mut String) {
    out.push_str("        <HashValue>\n");
    digest_value(digest, out);
    out.push_str("        </HashValue>\n");
}

/// Names are the container's own (`/message.xml`, `/attachment7`): nothing in them needs escaping.
fn data_ref(part: &PartDigest, out: &mut String) {
    out.push_str("        <DataRef URI=\"");
    out.push_str(&part.name);
    out.push_str("\">\n");
    digest_value(&part.digest, out);
    out.push_str("        </DataRef>\n");
}
