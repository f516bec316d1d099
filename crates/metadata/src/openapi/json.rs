//! JSON into a tree that knows where its nodes are written, within bounds.

use serde::de::IgnoredAny;

use super::tree::{Builder, MAX_DEPTH, Scalar, Tree, Value};
use crate::description::DescriptionError;

/// Reads a JSON text.
pub(super) fn parse(text: &str) -> Result<Tree, DescriptionError> {
    let mut reader = Reader { text, at: 0, builder: Builder::default() };
    let root = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.wrong("there is more behind the JSON document"));
    }
    Ok(reader.builder.finish(root))
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    builder: Builder,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> DescriptionError {
        let before = self.text.as_bytes().get(..self.at).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        DescriptionError::Syntax { text: what.to_owned(), line }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes the byte that must be next.
    fn take(&mut self, byte: u8) -> Result<(), DescriptionError> {
        self.skip_space();
        if self.peek() != Some(byte) {
            return Err(self.wrong(&format!("'{}' is missing", char::from(byte))));
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a value; `depth` collections are open around it.
    fn value(&mut self, depth: usize) -> Result<usize, DescriptionError> {
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => {
                Err(DescriptionError::TooMuch("levels", MAX_DEPTH))
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string(),
            Some(_) => self.literal(),
            None => Err(self.wrong("the JSON document ends too early")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<usize, DescriptionError> {
        let start = self.at;
        self.at += 1;
        let mut entries = Vec::new();
        self.skip_space();
        if self.peek() != Some(b'}') {
            loop {
                self.skip_space();
                if self.peek() != Some(b'"') {
                    return Err(self.wrong("a key in quotes is missing"));
                }
                let key = self.string()?;
                self.take(b':')?;
                entries.push((key, self.value(depth + 1)?));
                self.skip_space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.take(b'}')?;
        self.builder.add(Value::Mapping(entries), start..self.at)
    }

    fn array(&mut self, depth: usize) -> Result<usize, DescriptionError> {
        let start = self.at;
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() != Some(b']') {
            loop {
                items.push(self.value(depth + 1)?);
                self.skip_space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.take(b']')?;
        self.builder.add(Value::Sequence(items), start..self.at)
    }

    fn string(&mut self) -> Result<usize, DescriptionError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                // What is escaped is judged below; here it only must not end the string.
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.wrong("a string is not closed")),
            }
        }
        self.at += 1;
        let written = self.text.get(start..self.at).unwrap_or_default();
        let text = serde_json::from_str(written)
            .map_err(|_| self.wrong("a string has a character or escape that JSON has not"))?;
        self.builder.add(Value::Scalar(Scalar { text, is_string: true }), start..self.at)
    }

    fn literal(&mut self) -> Result<usize, DescriptionError> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        {
            self.at += 1;
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        if serde_json::from_str::<IgnoredAny>(written).is_err() {
            return Err(self.wrong("this is no JSON value"));
        }
        let scalar = Scalar { text: written.to_owned(), is_string: false };
        self.builder.add(Value::Scalar(scalar), start..self.at)
    }
}
