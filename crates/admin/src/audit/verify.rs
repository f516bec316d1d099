//! Looks whether a log is as it was written.

use std::io::{self, BufRead, Read as _};

use super::line::{self, GENESIS, Link, MAX_LINE};

/// The most faults that are told; further ones are counted.
const MOST_FAULTS: usize = 100;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// It is no line of an audit log.
    NotALine,
    /// Its hash is not that of its bytes: it was changed.
    Changed,
    /// It does not follow the line before: lines were removed, added or moved here, or the one before
    /// was changed together with its hash.
    DoesNotFollow,
    /// It has no line end: writing it was broken off, or the rest was cut away.
    Unfinished,
    /// The end that was noted is not there: lines are missing at the end, or all was written anew.
    EndsElsewhere,
}

/// A fault with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1 over all that was read.
    pub line: u64,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many lines were read.
    pub lines: u64,
    /// The number that the first line has; 1 when the log is there from its beginning.
    pub first: Option<u64>,
    /// Where the chain ends; note it elsewhere.
    pub end: Option<Link>,
    /// The faults, at most 100 of them.
    pub faults: Vec<Fault>,
    /// How many there are.
    pub faults_in_all: u64,
}

impl Report {
    /// Nothing is wrong with what was read.
    pub fn is_whole(&self) -> bool {
        self.faults_in_all == 0
    }
}

/// Verifies a log file by file, in their order ([`super::AuditLog::files`]).
#[derive(Debug, Default)]
pub struct Verifier {
    /// Where the next line must follow; `None` before the first of a log whose beginning is not there.
    at: Option<Link>,
    /// An end that was noted earlier, and whether the log has it.
    noted: Option<(Link, bool)>,
    report: Option<Report>,
}

impl Verifier {
    /// Begins. With `start`, the first line must follow it: [`GENESIS`] for a whole log, the end of an
    /// archived part for what comes after it. Without, the first line is believed.
    pub fn new(start: Option<Link>) -> Self {
        Self { at: start, noted: None, report: None }
    }

    /// Expects an end that was noted at an earlier verification: the log must still have it, whatever
    /// came after it. A line missing at the end is found by this alone.
    #[must_use]
    pub fn expecting(mut self, noted: Link) -> Self {
        self.noted = Some((noted, self.at == Some(noted)));
        self
    }

    /// Reads one file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&mut self, mut reader: impl BufRead) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let limit = MAX_LINE as u64 + 1;
            if reader.by_ref().take(limit).read_until(b'\n', &mut bytes)? == 0 {
                return Ok(());
            }
            match bytes.strip_suffix(b"\n") {
                Some(line) => self.line(line),
                None if bytes.len() as u64 == limit => {
                    self.count(Some(FaultKind::NotALine));
                    reader.skip_until(b'\n')?;
                }
                None => self.count(Some(FaultKind::Unfinished)),
            }
        }
    }

    /// Ends, and tells what was found.
    pub fn finish(mut self) -> Report {
        let end = self.at.filter(|_| self.report.is_some());
        if self.noted.is_some_and(|(_, passed)| !passed) {
            self.fault(FaultKind::EndsElsewhere);
        }
        let mut report = self.report.unwrap_or_else(empty);
        report.end = end;
        report
    }

    fn line(&mut self, bytes: &[u8]) {
        let Some(read) = line::read(bytes) else {
            self.count(Some(FaultKind::NotALine));
            return;
        };
        let follows = self
            .at
            .is_none_or(|at| read.previous == at.hash && read.link.seq == at.seq.saturating_add(1));
        let begins = read.link.seq != 1 || read.previous == GENESIS.hash;
        self.count(match (read.whole, follows && begins) {
            (false, _) => Some(FaultKind::Changed),
            (true, false) => Some(FaultKind::DoesNotFollow),
            (true, true) => None,
        });
        if let Some(report) = &mut self.report {
            report.first.get_or_insert(read.link.seq);
        }
        // From here on the line is believed, so that one fault is told once.
        self.at = Some(read.link);
        if let Some((noted, passed)) = &mut self.noted {
            *passed |= *noted == read.link;
        }
    }

    fn count(&mut self, fault: Option<FaultKind>) {
        let report = self.report.get_or_insert_with(empty);
        report.lines = report.lines.saturating_add(1);
        if let Some(kind) = fault {
            self.fault(kind);
        }
    }

    fn fault(&mut self, kind: FaultKind) {
        let report = self.report.get_or_insert_with(empty);
        report.faults_in_all = report.faults_in_all.saturating_add(1);
        if report.faults.len() < MOST_FAULTS {
            report.faults.push(Fault { line: report.lines, kind });
        }
    }
}

/// Verifies one file; see [`Verifier::new`].
///
/// # Errors
/// When it cannot be read.
pub fn verify(reader: impl BufRead, start: Option<Link>) -> io::Result<Report> {
    let mut verifier = Verifier::new(start);
    verifier.read(reader)?;
    Ok(verifier.finish())
}

fn empty() -> Report {
    Report { lines: 0, first: None, end: None, faults: Vec::new(), faults_in_all: 0 }
}
