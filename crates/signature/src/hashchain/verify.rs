//! Judging a hash chain.
//!
//! Stricter than X-Road's verifier where no honest chain is hurt: depth and
//! number of steps are bounded, a step is visited once, and the digest that a
//! `DataRef` states must be the true one even where the true one is known.

use std::borrow::Cow;
use std::collections::HashSet;

use causeway_pki::DigestAlgorithm;
use causeway_xml::{Canonicalization, Document, Limits, Node, Plain, decode_base64};

use super::{DS, DigestValue, NAMESPACE, step_digest};
use crate::HashChainError;

/// Deepest chain: a batch of 2³¹ messages has 31 levels, and one step for the parts.
const MAX_DEPTH: usize = 33;
/// Most steps in one chain document.
const MAX_STEPS: usize = 64;
/// Most values in one step (a message with this many attachments).
const MAX_VALUES: usize = 10_000;
/// Most chain documents that lead into each other.
const MAX_DOCUMENTS: usize = 8;

const LIMITS: Limits = Limits {
    max_bytes: 8 << 20,
    max_depth: 12,
    max_elements: 60_000,
    max_attributes: 16,
    max_scope: 1_000_000,
};

/// Something that the chain must cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input<'a> {
    /// The name by which the chain refers to it.
    pub name: &'a str,
    /// Its digest where that is known already; else the resolved bytes are hashed.
    pub digest: Option<&'a DigestValue>,
}

/// Gives the files that a chain refers to.
pub trait Resolve {
    /// The bytes of a file; `None` when it is not there.
    fn resolve(&self, uri: &str) -> Option<Cow<'_, [u8]>>;

    /// Whether a referred file must be read and compared. When not, the
    /// digest that the chain states is taken, and reported as not compared.
    fn must_resolve(&self, _uri: &str) -> bool {
        true
    }

    /// Whether a digest algorithm may be used in the chain.
    fn accepts(&self, _algorithm: DigestAlgorithm) -> bool {
        true
    }
}

/// A reference that the chain covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// The name in the chain.
    pub uri: String,
    /// The digest that the chain states.
    pub stated: DigestValue,
    /// Whether that digest was compared with the content.
    pub compared: bool,
}

/// Judges whether the result document's digest is that of the chain, and
/// whether the chain covers all inputs. Returns what the chain covers.
///
/// # Errors
/// See [`HashChainError`].
pub fn verify(
    result: &[u8],
    inputs: &[Input<'_>],
    resolver: &dyn Resolve,
) -> Result<Vec<Covered>, HashChainError> {
    let (expected, file, step) = match Plain::read(result, &LIMITS) {
        Some(plain) => read_result(plain.root())?,
        None => read_result(parse(result)?.root())?,
    };

    let mut walk = Walk {
        inputs,
        resolver,
        used: HashSet::new(),
        covered: Vec::new(),
        visited: Vec::new(),
        documents: 0,
    };
    let items = walk.document(&file, &step, 0)?;
    if !resolver.accepts(expected.algorithm) {
        return Err(weak(expected.algorithm));
    }
    if step_digest(expected.algorithm, &items) != expected.value {
        return Err(HashChainError::ResultDiffers);
    }
    if let Some((covered, _)) =
        walk.covered.iter().find(|(c, substituted)| *substituted && walk.differs(c))
    {
        return Err(HashChainError::DigestDiffers(covered.uri.clone()));
    }
    if let Some(input) = inputs.iter().find(|i| !walk.used.contains(i.name)) {
        return Err(HashChainError::UnusedInput(input.name.to_owned()));
    }
    Ok(walk.covered.into_iter().map(|(covered, _)| covered).collect())
}

/// The digest that the result states, the chain document that it names, and the step in it.
fn read_result<'d>(root: impl Node<'d>) -> Result<(DigestValue, String, String), HashChainError> {
    if !root.is(NAMESPACE, "HashChainResult") {
        return Err(malformed("the result is not a HashChainResult"));
    }
    let expected = DigestValue {
        algorithm: method(root)?.ok_or_else(|| malformed("the result has no DigestMethod"))?,
        value: digest_value(root)?.ok_or_else(|| malformed("the result has no DigestValue"))?,
    };
    for child in root.children() {
        if !child.is(DS, "DigestMethod") && !child.is(DS, "DigestValue") {
            return Err(malformed("the result has an element that does not belong there"));
        }
    }
    no_text(root)?;
    let uri = root.attribute("URI").ok_or_else(|| malformed("the result has no URI"))?;
    let (file, step) = split_uri(uri)?;
    let file = file.ok_or_else(|| malformed("the result names no chain document"))?;
    Ok((expected, file.to_owned(), step.to_owned()))
}

fn malformed(text: impl Into<String>) -> HashChainError {
    HashChainError::Malformed(text.into())
}

fn weak(algorithm: DigestAlgorithm) -> HashChainError {
    malformed(format!("{} is not accepted any more", algorithm.name()))
}

fn parse(bytes: &[u8]) -> Result<Document<'_>, HashChainError> {
    Document::parse(bytes, &LIMITS).map_err(|e| malformed(e.to_string()))
}

fn split_uri(uri: &str) -> Result<(Option<&str>, &str), HashChainError> {
    match uri.split_once('#') {
        Some((file, step)) if !step.is_empty() => Ok((Some(file).filter(|f| !f.is_empty()), step)),
        _ => Err(malformed(format!("the reference '{}' names no step", crate::short(uri)))),
    }
}

/// The algorithm of the element's own `DigestMethod`, if it has one.
fn method<'d>(element: impl Node<'d>) -> Result<Option<DigestAlgorithm>, HashChainError> {
    element
        .child_ns(DS, "DigestMethod")
        .map(|m| {
            m.attribute("Algorithm")
                .and_then(DigestAlgorithm::from_uri)
                .ok_or_else(|| malformed("a digest method that is not supported"))
        })
        .transpose()
}

fn digest_value<'d>(element: impl Node<'d>) -> Result<Option<Vec<u8>>, HashChainError> {
    element
        .child_ns(DS, "DigestValue")
        .map(|v| {
            decode_base64(&v.text()).ok_or_else(|| malformed("a digest value that is not base64"))
        })
        .transpose()
}

struct Walk<'w> {
    inputs: &'w [Input<'w>],
    resolver: &'w dyn Resolve,
    used: HashSet<&'w str>,
    /// What is covered, and whether the known digest stood in for the stated one.
    covered: Vec<(Covered, bool)>,
    /// Chain document and step.
    visited: Vec<(String, String)>,
    documents: usize,
}

impl Walk<'_> {
    fn differs(&self, covered: &Covered) -> bool {
        self.inputs.iter().filter(|i| i.name == covered.uri).filter_map(|i| i.digest).any(|known| {
            known.algorithm == covered.stated.algorithm && known.value != covered.stated.value
        })
    }

    /// Reads a chain document and gives the values of one of its steps.
    fn document(
        &mut self,
        file: &str,
        step: &str,
        depth: usize,
    ) -> Result<Vec<DigestValue>, HashChainError> {
        self.documents += 1;
        if self.documents > MAX_DOCUMENTS {
            return Err(malformed("too many chain documents"));
        }
        let resolver = self.resolver;
        let bytes = resolver
            .resolve(file)
            .ok_or_else(|| HashChainError::InvalidReference(file.to_owned()))?;
        match Plain::read(&bytes, &LIMITS) {
            Some(plain) => self.chain(file, plain.root(), step, depth),
            None => self.chain(file, parse(&bytes)?.root(), step, depth),
        }
    }

    fn chain<'d>(
        &mut self,
        file: &str,
        chain: impl Node<'d>,
        step: &str,
        depth: usize,
    ) -> Result<Vec<DigestValue>, HashChainError> {
        if !chain.is(NAMESPACE, "HashChain") {
            return Err(malformed("the chain document is not a HashChain"));
        }
        no_text(chain)?;
        let mut steps = chain.children();
        let default = steps
            .next()
            .filter(|c| c.is(NAMESPACE, "DefaultDigestMethod"))
            .and_then(|c| c.attribute("Algorithm"))
            .and_then(DigestAlgorithm::from_uri)
            .ok_or_else(|| malformed("no DefaultDigestMethod that is supported"))?;
        let steps: Vec<_> = steps.take(MAX_STEPS + 1).collect();
        if steps.is_empty()
            || steps.len() > MAX_STEPS
            || steps.iter().any(|s| !s.is(NAMESPACE, "HashStep"))
        {
            return Err(malformed(
                "the chain must have 1 to 64 HashStep elements and nothing else",
            ));
        }
        let mut ids = Vec::with_capacity(steps.len());
        for step in &steps {
            match step.attribute("id") {
                Some(id) if !ids.contains(&id) => ids.push(id),
                _ => return Err(malformed("each step must have an id of its own")),
            }
        }
        self.step(file, default, &steps, step, depth)
    }

    fn step<'d>(
        &mut self,
        file: &str,
        default: DigestAlgorithm,
        steps: &[impl Node<'d>],
        id: &str,
        depth: usize,
    ) -> Result<Vec<DigestValue>, HashChainError> {
        if depth > MAX_DEPTH {
            return Err(malformed("the chain is too deep"));
        }
        // A handful of documents with a handful of steps each.
        if self.visited.iter().any(|(f, s)| f == file && s == id) {
            return Err(malformed(format!("the step '{}' is referred to twice", crate::short(id))));
        }
        self.visited.push((file.to_owned(), id.to_owned()));
        let step = steps
            .iter()
            .find(|s| s.attribute("id") == Some(id))
            .ok_or_else(|| malformed(format!("there is no step '{}'", crate::short(id))))?;
        no_text(*step)?;
        let mut items = Vec::new();
        for value in step.children() {
            if items.len() == MAX_VALUES {
                return Err(malformed("a step has too many values"));
            }
            check_children(value)?;
            let algorithm = method(value)?.unwrap_or(default);
            if !self.resolver.accepts(algorithm) {
                return Err(weak(algorithm));
            }
            let item = if value.is(NAMESPACE, "HashValue") {
                digest_value(value)?.ok_or_else(|| malformed("a HashValue without a digest"))?
            } else if value.is(NAMESPACE, "StepRef") {
                let uri =
                    value.attribute("URI").ok_or_else(|| malformed("a StepRef without URI"))?;
                let inner = match split_uri(uri)? {
                    (None, id) => self.step(file, default, steps, id, depth + 1)?,
                    (Some(other), id) => self.document(other, id, depth + 1)?,
                };
                step_digest(algorithm, &inner)
            } else if value.is(NAMESPACE, "DataRef") {
                self.data(value, algorithm)?
            } else {
                return Err(malformed("a step has an element that does not belong there"));
            };
            items.push(DigestValue { algorithm, value: item });
        }
        if items.is_empty() {
            return Err(malformed("a step without values"));
        }
        Ok(items)
    }

    fn data<'d>(
        &mut self,
        value: impl Node<'d>,
        algorithm: DigestAlgorithm,
    ) -> Result<Vec<u8>, HashChainError> {
        let uri = value.attribute("URI").ok_or_else(|| malformed("a DataRef without URI"))?;
        let stated = digest_value(value)?.ok_or_else(|| malformed("a DataRef without a digest"))?;
        if self.covered.iter().any(|(c, _)| c.uri == uri) {
            return Err(malformed(format!("'{}' is referred to twice", crate::short(uri))));
        }
        let known = self.inputs.iter().find(|i| i.name == uri);
        self.used.extend(known.map(|input| input.name));
        let substitute = known.and_then(|i| i.digest).filter(|d| d.algorithm == algorithm);
        let mut covered = Covered {
            uri: uri.to_owned(),
            stated: DigestValue { algorithm, value: stated },
            compared: true,
        };
        if let Some(known) = substitute {
            // A known digest is that of the bytes as they are. With transforms, it would be accepted here and
            // refused by whoever has the bytes.
            if value.child_ns(DS, "Transforms").is_some_and(|t| t.children().next().is_some()) {
                return Err(malformed("transforms of a part that is not XML"));
            }
            self.covered.push((covered, true));
            return Ok(known.value.clone());
        }
        if self.resolver.must_resolve(uri) {
            let bytes = self
                .resolver
                .resolve(uri)
                .ok_or_else(|| HashChainError::InvalidReference(uri.to_owned()))?;
            let bytes = transformed(value, bytes)?;
            if algorithm.digest(&bytes) != covered.stated.value {
                return Err(HashChainError::DigestDiffers(uri.to_owned()));
            }
        } else {
            covered.compared = false;
        }
        let digest = covered.stated.value.clone();
        self.covered.push((covered, false));
        Ok(digest)
    }
}

/// An element that has elements has no text beside them (the schema's, and so X-Road's rule).
fn no_text<'d>(element: impl Node<'d>) -> Result<(), HashChainError> {
    if element.own_text_is_blank() {
        return Ok(());
    }
    Err(malformed(format!("text inside '{}'", element.name())))
}

fn check_children<'d>(value: impl Node<'d>) -> Result<(), HashChainError> {
    no_text(value)?;
    for child in value.children() {
        if child.namespace() != Some(DS)
            || !["DigestMethod", "Transforms", "DigestValue"].contains(&child.name())
        {
            return Err(malformed("a value has an element that does not belong there"));
        }
    }
    Ok(())
}

/// Applies the transforms of a `DataRef`; canonicalization is the only one that is known.
fn transformed<'b, 'd>(
    value: impl Node<'d>,
    bytes: Cow<'b, [u8]>,
) -> Result<Cow<'b, [u8]>, HashChainError> {
    let Some(transforms) = value.child_ns(DS, "Transforms") else { return Ok(bytes) };
    let mut bytes = bytes;
    for (count, transform) in transforms.children().enumerate() {
        let method = transform
            .attribute("Algorithm")
            .and_then(Canonicalization::from_uri)
            .filter(|_| count < 5)
            .ok_or_else(|| malformed("a transform that is not supported"))?;
        let canonical = Document::parse(&bytes, &Limits::default())
            .and_then(|doc| doc.canonicalize(method))
            .map_err(|e| malformed(e.to_string()))?;
        bytes = Cow::Owned(canonical);
    }
    Ok(bytes)
}
