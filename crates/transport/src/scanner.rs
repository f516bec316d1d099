//! Finds boundary delimiters in bytes that arrive in any cut.
//!
//! A delimiter is `LF "--" boundary`, with a CR before the LF taken as part of
//! it (RFC 2046 section 5.1.1). Data is handed out as slices of what came in;
//! only the start of a possible delimiter at the end of a piece waits for the
//! next piece.

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::Boundary;

/// What the scanner found next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Bytes that belong to no delimiter; never empty.
    Data(Bytes),
    /// A delimiter of this needle; the rest of its line comes next in the input.
    Delimiter(usize),
    /// The input is used up.
    NeedMore,
}

/// Searches for the delimiters of several boundaries at once.
#[derive(Debug)]
pub(crate) struct Scanner {
    needles: Vec<Finder<'static>>,
    longest: usize,
    /// A proper prefix of a delimiter at the end of the input seen so far.
    held: Bytes,
    /// The held line feed stands for the line end before this data: it is not part of it.
    borrowed_line_end: bool,
}

impl Scanner {
    pub(crate) fn new(boundary: &Boundary) -> Self {
        let mut scanner =
            Self { needles: Vec::new(), longest: 0, held: Bytes::new(), borrowed_line_end: false };
        scanner.add(boundary);
        scanner
    }

    /// Searches for one more boundary.
    pub(crate) fn add(&mut self, boundary: &Boundary) {
        let needle = format!("--{boundary}");
        self.longest = self.longest.max(needle.len());
        self.needles.push(Finder::new(needle.as_bytes()).into_owned());
    }

    /// No longer searches for the boundary added last.
    pub(crate) fn remove_last(&mut self) {
        self.needles.pop();
    }

    /// Begins at the start of a line, so that a delimiter may stand there at once.
    pub(crate) fn start_of_line(&mut self) {
        self.held = Bytes::from_static(b"\n");
        self.borrowed_line_end = true;
    }

    /// What waited for the next piece, when there is none: it is data.
    pub(crate) fn take_held(&mut self) -> Bytes {
        let skip = usize::from(std::mem::take(&mut self.borrowed_line_end));
        let held = std::mem::take(&mut self.held);
        held.slice(skip.min(held.len())..)
    }

    /// Takes what can be told from the front of the input.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Scan {
        if input.is_empty() {
            return Scan::NeedMore;
        }
        if !self.held.is_empty()
            && let Some(scan) = self.resolve_held(input)
        {
            return scan;
        }
        match self.find(input) {
            Some((at, needle)) => {
                // `at` is the needle's; the line feed before it is at hand.
                let mut end = at.saturating_sub(1);
                if end > 0 && input.get(end - 1) == Some(&b'\r') {
                    end -= 1;
                }
                if end > 0 {
                    return Scan::Data(input.split_to(end));
                }
                let length = at.saturating_add(self.needle_length(needle));
                let _ = input.split_to(length.min(input.len()));
                Scan::Delimiter(needle)
            }
            None => {
                let end = input.len() - self.undecided(input);
                self.held = input.split_off(end);
                let data = std::mem::take(input);
                if data.is_empty() { Scan::NeedMore } else { Scan::Data(data) }
            }
        }
    }

    fn needle_length(&self, index: usize) -> usize {
        self.needles.get(index).map_or(0, |n| n.needle().len())
    }

    /// Decides on held bytes with the help of the input; `None` when they are
    /// settled and the input goes on by itself.
    fn resolve_held(&mut self, input: &mut Bytes) -> Option<Scan> {
        let more = input.len().min(self.longest.saturating_add(2));
        let mut joined = Vec::with_capacity(self.held.len().saturating_add(more));
        joined.extend_from_slice(&self.held);
        joined.extend_from_slice(input.get(..more)?);
        for (index, needle) in self.needles.iter().enumerate() {
            let Some(after) = after_line_end(&joined) else { break };
            if after.starts_with(needle.needle()) {
                let used = joined.len() - after.len() + needle.needle().len();
                let _ = input.split_to(used.saturating_sub(self.held.len()).min(input.len()));
                self.held = Bytes::new();
                self.borrowed_line_end = false;
                return Some(Scan::Delimiter(index));
            }
        }
        if self.may_become_delimiter(&joined) {
            // Only when `more` was all of the input.
            *input = Bytes::new();
            self.held = Bytes::from(joined);
            return Some(Scan::NeedMore);
        }
        let skip = usize::from(std::mem::take(&mut self.borrowed_line_end));
        let data = std::mem::take(&mut self.held).slice(skip..);
        (!data.is_empty()).then_some(Scan::Data(data))
    }

    /// The first needle that stands at the start of a line, not counting the start of the input.
    fn find(&self, input: &[u8]) -> Option<(usize, usize)> {
        let mut best: Option<(usize, usize)> = None;
        // The inner boundary first: it is the one that comes often, and what it
        // finds is all that the search for the outer one has to look at.
        for (index, needle) in self.needles.iter().enumerate().rev() {
            let window = best.map_or(input.len(), |(at, _)| at);
            let mut from = 0;
            while let Some(found) = needle.find(input.get(from..window)?) {
                let at = from + found;
                if at > 0 && input.get(at - 1) == Some(&b'\n') {
                    best = Some((at, index));
                    break;
                }
                // A delimiter cannot begin inside: the needle has no line feed.
                from = at + needle.needle().len();
            }
        }
        best
    }

    /// How many bytes at the end of the input may be the start of a delimiter.
    fn undecided(&self, input: &[u8]) -> usize {
        let tail = input.get(input.len().saturating_sub(self.longest + 1)..).unwrap_or(input);
        if let Some(at) = memchr::memrchr(b'\n', tail) {
            let length = tail.len() - at;
            let after = tail.get(at + 1..).unwrap_or_default();
            if self.needles.iter().any(|n| n.needle().starts_with(after)) {
                let before = input.len() - length;
                let carriage_return = before > 0 && input.get(before - 1) == Some(&b'\r');
                return length + usize::from(carriage_return);
            }
        }
        usize::from(input.last() == Some(&b'\r'))
    }

    fn may_become_delimiter(&self, bytes: &[u8]) -> bool {
        match after_line_end(bytes) {
            Some(after) => self.needles.iter().any(|n| n.needle().starts_with(after)),
            None => bytes == b"\r",
        }
    }
}

/// What follows a line end at the very start.
fn after_line_end(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(b"\r\n").or_else(|| bytes.strip_prefix(b"\n"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    /// Scans pieces; data joined, delimiters as `<index>`.
    fn scan(boundaries: &[&str], pieces: &[&[u8]], start_of_line: bool) -> String {
        let mut names = boundaries.iter().map(|b| Boundary::parse(b).unwrap());
        let mut scanner = Scanner::new(&names.next().unwrap());
        names.for_each(|b| scanner.add(&b));
        if start_of_line {
            scanner.start_of_line();
        }
        let mut out = String::new();
        for piece in pieces {
            let mut input = Bytes::copy_from_slice(piece);
            loop {
                match scanner.next(&mut input) {
                    Scan::Data(d) => {
                        assert!(!d.is_empty());
                        out.push_str(std::str::from_utf8(&d).unwrap());
                    }
                    Scan::Delimiter(i) => out.push_str(&format!("<{i}>")),
                    Scan::NeedMore => break,
                }
            }
            assert!(input.is_empty());
        }
        out
    }

    fn scan_every_cut(boundaries: &[&str], text: &str, start_of_line: bool) -> String {
        let whole = scan(boundaries, &[text.as_bytes()], start_of_line);
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(scan(boundaries, &single, start_of_line), whole);
        for cut in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(cut);
            assert_eq!(scan(boundaries, &[a, b], start_of_line), whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn delimiters_stand_at_the_start_of_a_line() {
        assert_eq!(scan_every_cut(&["ab"], "one\r\n--ab rest", false), "one<0> rest");
        assert_eq!(scan_every_cut(&["ab"], "one\n--ab rest", false), "one<0> rest");
        assert_eq!(scan_every_cut(&["ab"], "\n--ab rest", false), "<0> rest");
        assert_eq!(scan_every_cut(&["ab"], "one--ab--ab\r--ab.", false), "one--ab--ab\r--ab.");
        assert_eq!(scan_every_cut(&["ab"], "--ab\n", true), "<0>\n".trim_end());
        assert_eq!(scan_every_cut(&["ab"], "--a\n--ab.", true), "--a<0>.");
        assert_eq!(scan_every_cut(&["ab"], "\r\n--ab.", true), "<0>.");
        assert_eq!(scan_every_cut(&["ab"], "\r\r\r\n\r\n--ab.", false), "\r\r\r\n<0>.");
        assert_eq!(scan_every_cut(&["a"], "\n-\n--\n---a\n--a.", false), "\n-\n--\n---a<0>.");
    }

    #[test]
    fn two_boundaries_are_found_in_their_order() {
        let text = "x\r\n--in.y\r\n--out.z\n--in.--out";
        assert_eq!(scan_every_cut(&["out", "in"], text, false), "x<1>.y<0>.z<1>.--out");
        assert_eq!(scan_every_cut(&["in", "out"], text, false), "x<0>.y<1>.z<0>.--out");
    }

    #[test]
    fn data_is_not_copied() {
        let whole = Bytes::from(vec![b'x'; 100_000]);
        let range = whole.as_ptr() as usize..whole.as_ptr() as usize + whole.len();
        let mut scanner = Scanner::new(&Boundary::parse("ab").unwrap());
        let mut input = whole.clone();
        let Scan::Data(data) = scanner.next(&mut input) else { panic!("no data") };
        assert_eq!(data.len(), whole.len());
        assert!(range.contains(&(data.as_ptr() as usize)));
    }
}
