//! A YAML or JSON document as a tree that knows where its nodes are written.

use std::ops::Range;

use crate::description::DescriptionError;

/// The deepest nesting.
pub(super) const MAX_DEPTH: usize = 128;
/// The most nodes.
const MAX_NODES: usize = 500_000;

/// A document. An alias shares the node that it names.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Data>,
    root: usize,
}

#[derive(Debug)]
struct Data {
    value: Value,
    span: Range<usize>,
}

/// What a node is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A scalar.
    Scalar(Scalar),
    /// A sequence, by the numbers of its nodes.
    Sequence(Vec<usize>),
    /// A mapping: keys and values.
    Mapping(Vec<(usize, usize)>),
}

/// A scalar: its text, with escapes resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    /// The text.
    pub(super) text: String,
    /// Whether it is a string rather than a number, true, false or null.
    pub(super) is_string: bool,
}

/// Grows a tree from its leaves.
#[derive(Debug, Default)]
pub(super) struct Builder {
    nodes: Vec<Data>,
}

impl Builder {
    /// Adds a node, and gives its number.
    pub(super) fn add(
        &mut self,
        value: Value,
        span: Range<usize>,
    ) -> Result<usize, DescriptionError> {
        if self.nodes.len() == MAX_NODES {
            return Err(DescriptionError::TooMuch("nodes", MAX_NODES));
        }
        self.nodes.push(Data { value, span });
        Ok(self.nodes.len() - 1)
    }

    /// The tree under a node that was added.
    pub(super) fn finish(self, root: usize) -> Tree {
        Tree { nodes: self.nodes, root }
    }
}

impl Tree {
    /// The node at the top.
    pub(super) fn root(&self) -> Node<'_> {
        Node { tree: self, at: self.root }
    }

    /// The node of a number that another gave.
    pub(super) fn node(&self, number: usize) -> Node<'_> {
        Node { tree: self, at: number }
    }

    /// Whether two trees are the same but for the texts of some scalars, which are as told:
    /// node number and text, in the order of numbers.
    pub(super) fn is_but_for(&self, other: &Self, texts: &[(usize, String)]) -> bool {
        if self.nodes.len() != other.nodes.len() || self.root != other.root {
            return false;
        }
        let mut texts = texts.iter().peekable();
        self.nodes.iter().zip(&other.nodes).enumerate().all(|(at, (mine, theirs))| {
            match texts.next_if(|(changed, _)| *changed == at) {
                None => mine.value == theirs.value,
                Some((_, text)) => matches!(
                    &theirs.value,
                    Value::Scalar(scalar) if scalar.text == *text && scalar.is_string
                ),
            }
        })
    }
}

/// A node of a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'t> {
    tree: &'t Tree,
    at: usize,
}

impl<'t> Node<'t> {
    fn data(self) -> Option<&'t Data> {
        self.tree.nodes.get(self.at)
    }

    /// Its number in the tree.
    pub(super) fn number(self) -> usize {
        self.at
    }

    /// Where it is written, in bytes.
    pub(super) fn span(self) -> Range<usize> {
        self.data().map(|data| data.span.clone()).unwrap_or_default()
    }

    /// Whether it is a mapping.
    pub(super) fn is_mapping(self) -> bool {
        matches!(self.data(), Some(Data { value: Value::Mapping(_), .. }))
    }

    /// The text of a scalar, whatever its type; the null of YAML and JSON has none.
    pub(super) fn text(self) -> Option<&'t str> {
        match &self.data()?.value {
            Value::Scalar(Scalar { text, is_string: false })
                if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") =>
            {
                None
            }
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The text of a string.
    pub(super) fn string(self) -> Option<&'t str> {
        match &self.data()?.value {
            Value::Scalar(scalar) if scalar.is_string => Some(&scalar.text),
            _ => None,
        }
    }

    /// The nodes of a sequence; none of anything else.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        let items = match self.data() {
            Some(Data { value: Value::Sequence(items), .. }) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(move |at| Node { tree: self.tree, at: *at })
    }

    /// The keys and values of a mapping; none of anything else.
    pub(super) fn entries(self) -> impl DoubleEndedIterator<Item = (Self, Self)> {
        let entries = match self.data() {
            Some(Data { value: Value::Mapping(entries), .. }) => entries.as_slice(),
            _ => &[],
        };
        let node = move |at: &usize| Node { tree: self.tree, at: *at };
        entries.iter().map(move |(key, value)| (node(key), node(value)))
    }

    /// The value of a key; the last one, where the key is repeated.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        self.all(key).next_back()
    }

    /// All values of a key, where it is repeated.
    pub(super) fn all(self, key: &str) -> impl DoubleEndedIterator<Item = Self> {
        self.entries().filter(move |(k, _)| k.text() == Some(key)).map(|(_, value)| value)
    }
}
