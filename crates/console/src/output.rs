//! Lines on standard output and standard error. That nobody reads them (`… | head`) is no reason to
//! fail, or to end otherwise than one would have.

use std::fmt::Display;
use std::io::Write as _;

/// Prints a line on standard output.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line on standard error.
pub fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
