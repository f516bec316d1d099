//! Hash chains of a container: that of the timestamp judged, that of the signature read.

use std::borrow::Cow;

use causeway_asic::{Container, entry};
use causeway_pki::DigestAlgorithm;
use causeway_signature::hashchain::{self, DigestValue, Input, Resolve};
use causeway_signature::verify::ChainDocuments;
use causeway_signature::xades::SignatureDocument;
use causeway_signature::{SIGNATURE_CHAIN_RESULT, SIGNATURES, SignatureError};
use causeway_xml::{Document, Limits};

use crate::rules;

/// The files that hash chains may refer to.
struct Entries<'c>(&'c Container);

impl Entries<'_> {
    fn find(&self, uri: &str) -> Option<&[u8]> {
        let container = self.0;
        let document = match uri.strip_prefix('/').unwrap_or(uri) {
            entry::MESSAGE => Some(&container.message),
            entry::SIGNATURES => Some(&container.signatures),
            entry::SIGNATURE_CHAIN => container.sig_hash_chain.as_ref(),
            entry::SIGNATURE_CHAIN_RESULT => container.sig_hash_chain_result.as_ref(),
            entry::TIMESTAMP_CHAIN => container.ts_hash_chain.as_ref(),
            entry::TIMESTAMP_CHAIN_RESULT => container.ts_hash_chain_result.as_ref(),
            _ => None,
        };
        document.map(|bytes| &bytes[..])
    }
}

impl Resolve for Entries<'_> {
    fn resolve(&self, uri: &str) -> Option<Cow<'_, [u8]>> {
        self.find(uri).map(Cow::Borrowed)
    }

    fn must_resolve(&self, uri: &str) -> bool {
        self.find(uri).is_some()
    }
}

/// Judges the hash chain from the signature document to what the timestamp stamps. Returns the text of
/// what is wrong, and the rule where X-Road does not have it.
pub(crate) fn judge_timestamp_chain(
    container: &Container,
    result: &[u8],
) -> Result<(), (String, Option<&'static str>)> {
    let inputs = [Input { name: SIGNATURES, digest: None }];
    hashchain::verify(result, &inputs, &Entries(container)).map(|_| ()).map_err(|error| {
        let text = format!("The timestamp's hash chain does not hold: {error}");
        (text, rules::stricter(&SignatureError::HashChain(error)))
    })
}

/// A resolver that compares nothing: for reading what a chain states that was found to hold.
struct Stated<'c>(&'c [u8]);

impl Resolve for Stated<'_> {
    fn resolve(&self, _uri: &str) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self.0))
    }

    fn must_resolve(&self, _uri: &str) -> bool {
        false
    }
}

/// The digests that the signature, or its chain, states of files.
pub(crate) fn stated_digests(
    document: &SignatureDocument,
    chain: Option<ChainDocuments<'_>>,
) -> Vec<(String, DigestValue)> {
    let mut stated: Vec<(String, DigestValue)> =
        document.references().iter().map(|r| (r.uri.clone(), r.digest.clone())).collect();
    if let Some(chain) = chain.filter(|_| document.reference(SIGNATURE_CHAIN_RESULT).is_some()) {
        let covered =
            hashchain::verify(chain.result, &[], &Stated(chain.chain)).unwrap_or_default();
        stated.extend(covered.into_iter().map(|covered| (covered.uri, covered.stated)));
    }
    stated
}

/// Whether a document may name SHA-1 or SHA-224: their identifiers are in it, or something that could stand for their
/// letters. Reading a whole document once more, only to find that, takes longer than all digests in it.
fn may_name_weak(document: &[u8]) -> bool {
    document.iter().any(|byte| matches!(byte, b'&' | 0))
        || [&b"#sha1"[..], b"#sha224"]
            .iter()
            .any(|name| document.windows(name.len()).any(|word| word == *name))
}

/// The digest algorithms that a chain document, or a chain's result, names where one of them may be weak; of one that
/// cannot be read, none. Whether it holds is judged elsewhere.
pub(crate) fn stated_algorithms(document: &[u8]) -> Vec<DigestAlgorithm> {
    if !may_name_weak(document) {
        return Vec::new();
    }
    let limits = Limits { max_bytes: 8 << 20, ..Limits::default() };
    let Ok(document) = Document::parse(document, &limits) else { return Vec::new() };
    let mut found = Vec::new();
    for element in document.root().descendants() {
        let algorithm = match element.name() {
            "DigestMethod" | "DefaultDigestMethod" => element.attribute("Algorithm"),
            _ => None,
        };
        if let Some(algorithm) = algorithm.and_then(DigestAlgorithm::from_uri)
            && !found.contains(&algorithm)
        {
            found.push(algorithm);
        }
    }
    found
}
