//! What is new in a newer reading of a description.

use std::collections::BTreeSet;

use crate::description::Description;
use crate::wsdl::Operation;

/// What taking a newer reading over adds, removes and changes; each in the words of its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Services (`getRandom.v1`) or endpoints (`GET /pets/*`) that come.
    pub added: Vec<String>,
    /// Services or endpoints that go.
    pub removed: Vec<String>,
    /// What else changes, in a sentence: addresses.
    pub changed: Vec<String>,
}

impl Difference {
    /// Compares a reading with the one before it; without one, all is new.
    pub fn between(older: Option<&Description>, newer: &Description) -> Self {
        let before = older.map(names).unwrap_or_default();
        let after = names(newer);
        let mut changed = Vec::new();
        match (older, newer) {
            (Some(Description::Wsdl(older)), Description::Wsdl(newer)) => {
                for operation in &newer.operations {
                    let same = |o: &&Operation| o.name() == operation.name();
                    let Some(was) = older.operations.iter().find(same) else { continue };
                    moved(&operation.name(), was.address.as_deref(), operation.address.as_deref())
                        .into_iter()
                        .for_each(|sentence| changed.push(sentence));
                }
            }
            (Some(Description::OpenApi(older)), Description::OpenApi(newer)) => {
                changed.extend(moved("the service", older.base(), newer.base()));
            }
            _ => {}
        }
        Self {
            added: after.difference(&before).cloned().collect(),
            removed: before.difference(&after).cloned().collect(),
            changed,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

fn names(description: &Description) -> BTreeSet<String> {
    match description {
        Description::Wsdl(wsdl) => wsdl.operations.iter().map(Operation::name).collect(),
        Description::OpenApi(openapi) => {
            openapi.endpoints.iter().map(ToString::to_string).collect()
        }
    }
}

fn moved(what: &str, from: Option<&str>, to: Option<&str>) -> Option<String> {
    let word = |address: Option<&str>| address.unwrap_or("no address").to_owned();
    (from != to).then(|| format!("{what} moves from {} to {}", word(from), word(to)))
}
