//! What commands print: text and tables for people, one JSON document for programs.

use std::fmt::Display;
use std::io::Write;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Refusal;

/// Where the output of a command goes.
pub(super) struct Console<'o> {
    out: &'o mut dyn Write,
}

impl<'o> Console<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Self { out }
    }

    /// Prints a line.
    pub(super) fn line(&mut self, line: impl Display) -> Result<(), Refusal> {
        Ok(writeln!(self.out, "{line}")?)
    }

    /// Prints bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Prints the result of an act and the step that comes next: `value` with the member `next` for
    /// programs, `text` for people.
    pub(super) fn done(
        &mut self,
        json: bool,
        mut value: Value,
        text: impl Display,
        next: &str,
    ) -> Result<(), Refusal> {
        if json {
            if let Value::Object(members) = &mut value {
                members.insert("next".to_owned(), next.into());
            }
            return self.json(&value);
        }
        self.line(text)?;
        if next.is_empty() { Ok(()) } else { self.line(format_args!("Next: {next}")) }
    }

    /// Prints a JSON document.
    pub(super) fn json(&mut self, value: &Value) -> Result<(), Refusal> {
        self.line(format_args!("{value:#}"))
    }

    /// Prints a table with a heading; nothing wraps.
    pub(super) fn table<const N: usize>(
        &mut self,
        heading: [&str; N],
        rows: &[[String; N]],
    ) -> Result<(), Refusal> {
        let mut widths = heading.map(|text| text.chars().count());
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let heading = heading.map(str::to_owned);
        for row in std::iter::once(&heading).chain(rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(&format!("{:width$}  ", printable(cell)));
            }
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// A text without characters that a terminal would act upon: labels and subjects are others' words.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A moment for programs.
pub(super) fn timestamp(moment: OffsetDateTime) -> String {
    moment.format(&Rfc3339).unwrap_or_default()
}

/// A day for people.
pub(super) fn day(moment: OffsetDateTime) -> String {
    moment.date().to_string()
}
