//! Log lines that stay lines.
//!
//! What a stranger sends stands in log lines: identifiers, headers, faults of
//! other servers. A line feed in it would begin a line that the server never
//! wrote, an escape sequence would speak to the reader's terminal.

use std::io::{self, Write};

/// Writes events with each control character but the last line feed escaped, as `\u{…}`.
#[derive(Debug)]
pub struct PlainLines<W>(pub W);

impl<W: Write> Write for PlainLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let (line, end) = match text.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (&*text, ""),
        };
        if line.contains(is_escaped) {
            let mut plain = String::with_capacity(line.len() + 16);
            for c in line.chars() {
                if is_escaped(c) {
                    plain.extend(c.escape_unicode());
                } else {
                    plain.push(c);
                }
            }
            self.0.write_all(plain.as_bytes())?;
        } else {
            self.0.write_all(line.as_bytes())?;
        }
        self.0.write_all(end.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Control characters, line and paragraph separators, and what turns the direction of text.
fn is_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_event_is_one_line() {
        let mut out = Vec::new();
        let event = "WARN x\n2026 INFO forged\0 \u{1b}[31m red \u{202e}\u{2028}\u{85} café\n";
        PlainLines(&mut out).write_all(event.as_bytes()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "WARN x\\u{a}2026 INFO forged\\u{0} \\u{1b}[31m red \\u{202e}\\u{2028}\\u{85} café\n"
        );
    }
}
