//! YAML 1.2 into a tree, event by event, within bounds.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::tree::{Builder, MAX_DEPTH, Scalar, Tree, Value};
use crate::description::DescriptionError;

/// A collection that is not complete yet.
struct Open {
    anchor: usize,
    start: usize,
    children: Vec<usize>,
    mapping: bool,
}

/// Reads the one document of a text.
pub(super) fn parse(text: &str) -> Result<Tree, DescriptionError> {
    let places = Places::of(text);
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, usize> = HashMap::new();
    let mut root = None;
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| syntax(&e))?;
        let range = places.range(&span);
        let complete = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(at(&span, "it has more than one document"));
                }
                continue;
            }
            Event::Alias(anchor) => Some(
                *anchors
                    .get(&anchor)
                    .ok_or_else(|| at(&span, "an alias is inside of what it names"))?,
            ),
            Event::Scalar(value, style, anchor, tag) => {
                let is_string = is_string(&value, style, tag.as_deref());
                let range = written(text, range, style);
                let scalar = Scalar { text: value.into_owned(), is_string };
                let node = builder.add(Value::Scalar(scalar), range)?;
                anchors.insert(anchor, node);
                Some(node)
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                if open.len() == MAX_DEPTH {
                    return Err(DescriptionError::TooMuch("levels", MAX_DEPTH));
                }
                let mapping = matches!(event, Event::MappingStart(..));
                open.push(Open { anchor, start: range.start, children: Vec::new(), mapping });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(done) = open.pop() else { continue };
                let value = if done.mapping {
                    let pairs = done.children.chunks_exact(2);
                    Value::Mapping(pairs.map(|pair| (pair[0], pair[1])).collect())
                } else {
                    Value::Sequence(done.children)
                };
                let node = builder.add(value, done.start..range.end.max(done.start))?;
                anchors.insert(done.anchor, node);
                Some(node)
            }
            _ => None,
        };
        if let Some(node) = complete {
            match open.last_mut() {
                Some(parent) => parent.children.push(node),
                None => root = Some(node),
            }
        }
    }
    let root = root.ok_or(DescriptionError::NotOpenApi("it is empty"))?;
    Ok(builder.finish(root))
}

/// Where a scalar itself is written: the parser's place for it begins at its anchor or tag, if it
/// has one, else that of a block scalar behind its header.
fn written(text: &str, place: Range<usize>, style: ScalarStyle) -> Range<usize> {
    let mut start = place.start;
    while let Some(rest) = text.get(start..place.end).filter(|rest| rest.starts_with(['&', '!'])) {
        let property = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let space = rest[property..].find(|c: char| !c.is_whitespace()).unwrap_or_default();
        start += property + space.max(usize::from(property == 0));
        if space == 0 {
            break;
        }
    }
    if start == place.start && matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
        let before = text.get(..start).unwrap_or_default();
        let header = before.rmatch_indices(['|', '>']).map(|(at, _)| at).find(|at| {
            let behind = before[at + 1..]
                .trim_start_matches(['-', '+', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
            behind.starts_with(char::is_whitespace)
        });
        start = header.unwrap_or(start);
    }
    start..place.end
}

fn at(span: &Span, text: &str) -> DescriptionError {
    DescriptionError::Syntax { text: text.to_owned(), line: span.start.line() }
}

fn syntax(error: &ScanError) -> DescriptionError {
    DescriptionError::Syntax { text: error.info().to_owned(), line: error.marker().line() }
}

/// Whether a scalar is a string by the core schema (YAML 1.2.2, 10.3.2).
fn is_string(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> bool {
    if let Some(tag) = tag.filter(|tag| tag.is_yaml_core_schema()) {
        return tag.suffix == "str";
    }
    if style != ScalarStyle::Plain {
        return true;
    }
    let special = matches!(
        text,
        "" | "~"
            | "null"
            | "Null"
            | "NULL"
            | "true"
            | "True"
            | "TRUE"
            | "false"
            | "False"
            | "FALSE"
    );
    let digits = text.trim_start_matches(['-', '+']);
    let number = digits.parse::<f64>().is_ok()
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
        || digits
            .strip_prefix("0x")
            .is_some_and(|h| !h.is_empty() && h.bytes().all(|b| b.is_ascii_hexdigit()))
        || digits
            .strip_prefix("0o")
            .is_some_and(|o| !o.is_empty() && o.bytes().all(|b| (b'0'..=b'7').contains(&b)));
    !special && !number
}

/// Turns the parser's places, which count characters, into bytes.
struct Places {
    /// The byte of each character; empty when each character is a byte.
    bytes: Vec<u32>,
    length: usize,
}

impl Places {
    fn of(text: &str) -> Self {
        let bytes = if text.is_ascii() {
            Vec::new()
        } else {
            // The longest text is far below what 32 bits count.
            text.char_indices().map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX)).collect()
        };
        Self { bytes, length: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        if self.bytes.is_empty() {
            return character.min(self.length);
        }
        self.bytes.get(character).map_or(self.length, |at| *at as usize)
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }
}
