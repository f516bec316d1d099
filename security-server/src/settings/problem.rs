//! What is wrong in a configuration file: all of it at once, each with its line.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One thing that is wrong in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct SettingsError {
    /// The file, as it was named or found.
    pub file: PathBuf,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// The key's path, such as `clients[0].services[2].url`; empty when no key is meant.
    pub key: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything that is wrong in a configuration, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct SettingsErrors(Vec<SettingsError>);

impl SettingsErrors {
    /// The errors; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &SettingsError> {
        self.0.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn lines(errors: &[SettingsError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Collects what is wrong while files are read.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: RefCell<Vec<SettingsError>>,
}

impl Problems {
    /// Notes a problem.
    pub(super) fn add(&self, file: &Path, line: usize, key: &str, message: String) {
        self.found.borrow_mut().push(SettingsError {
            file: file.to_path_buf(),
            line,
            key: key.to_owned(),
            message,
        });
    }

    /// The value, if nothing was wrong.
    pub(super) fn into_result<T>(self, value: Option<T>) -> Result<T, SettingsErrors> {
        let mut found = self.found.into_inner();
        match value {
            Some(value) if found.is_empty() => Ok(value),
            _ => {
                // Files in the order in which they were read, lines in the file's order.
                let mut files: Vec<PathBuf> = Vec::new();
                for error in &found {
                    if !files.contains(&error.file) {
                        files.push(error.file.clone());
                    }
                }
                found.sort_by_key(|e| (files.iter().position(|f| *f == e.file), e.line));
                found.dedup();
                Err(SettingsErrors(found))
            }
        }
    }
}

/// Turns places in a text into line numbers.
#[derive(Debug)]
pub(super) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    /// Finds the lines of a text.
    pub(super) fn of(text: &str) -> Self {
        let after_breaks =
            text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self { starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// The line, from 1, on which a span begins.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.starts.partition_point(|start| *start <= span.start)
    }
}
