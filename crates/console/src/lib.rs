//! How our programs speak to people, in one way for all of them: names of certificates ([`name`]) and
//! times ([`time()`]) as they can be read, commands as they can be pasted ([`Program`]), and output that
//! may find nobody there ([`say`], [`complain`]).

mod names;
mod output;
mod paste;
mod times;

pub use names::{name, names_in};
pub use output::{complain, say};
pub use paste::{Program, quote};
pub use times::{time, times_in};

/// A text from elsewhere with the names ([`names_in`]) and times ([`times_in`]) in it readable.
pub fn readable(text: &str) -> String {
    times_in(&names_in(text))
}
