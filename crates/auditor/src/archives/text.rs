//! The report on a set of archives as text for people.

use std::fmt::Write as _;

use causeway_console::time;

use super::report::{ArchiveReport, ContainerFinding, SetReport, SetVerdict};
use crate::text::clean;

/// The most chains, and archives that could not be opened, that are told of one by one.
const MOST: usize = 200;

/// What is to be said of an archive at once.
pub fn render_archive(archive: &ArchiveReport) -> String {
    let mut out = String::new();
    let line = |out: &mut String, text: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", clean(text));
    };
    let verdict = if archive.error.is_some() {
        "NOT OPENED"
    } else if !archive.linking_holds {
        "LINKING INFORMATION DOES NOT HOLD"
    } else if archive.valid < archive.containers {
        "NOT ALL CONTAINERS ARE VALID"
    } else {
        "holds"
    };
    let count = format!("{} of {} containers valid", archive.valid, archive.containers);
    line(&mut out, &format!("{}: {verdict} ({count})", archive.file));
    if let Some(error) = &archive.error {
        line(&mut out, &format!("  {error}"));
    }
    for problem in &archive.problems {
        line(&mut out, &format!("  {}", problem.text));
    }
    if archive.more_problems > 0 {
        line(&mut out, &format!("  and {} more", archive.more_problems));
    }
    out
}

/// A finding of one container.
pub fn render_finding(finding: &ContainerFinding) -> String {
    let what = finding.code.as_deref().unwrap_or("incomplete");
    let rule = finding
        .stricter_rule
        .as_ref()
        .map_or_else(String::new, |rule| format!(" (X-Road does not ask this: {rule})"));
    let at = format!("{}/{}", finding.archive, finding.container);
    clean(&format!("{at}: {what}: {}{rule}", finding.message))
}

/// The report on the whole set, without what was said of each archive.
pub fn render(report: &SetReport) -> String {
    let mut page = String::new();
    let mut line = |label: &str, text: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "  {label:<14} {}", clean(text));
    };
    let totals = &report.totals;
    line("archives", &format!("{} ({} not opened)", totals.archives, totals.archives_not_judged));
    line(
        "containers",
        &format!(
            "{}: {} valid ({} requests, {} responses), {} not valid, {} not judged",
            totals.containers,
            totals.valid,
            totals.requests,
            totals.responses,
            totals.invalid,
            totals.not_judged
        ),
    );
    if totals.incomplete > 0 {
        line(
            "incomplete",
            &format!("{} valid ones lack something that was signed", totals.incomplete),
        );
    }
    if let (Some(first), Some(last)) = (totals.first, totals.last) {
        line("timestamps", &format!("{} to {}", time(first), time(last)));
    }
    for (code, count) in &report.codes {
        line("not valid", &format!("{code}: {count}"));
    }
    for problem in &report.problems {
        line(if problem.breaks { "WRONG" } else { "note" }, &problem.text);
    }
    for chain in report.chains.iter().take(MOST) {
        let group = chain.group.as_ref().map_or_else(String::new, |g| format!(" of group {g}"));
        line("chain", &format!("{} archives{group}", chain.archives.len()));
        if let Some(before) = &chain.continues {
            line("", &format!("continues {before}, which is not in the set"));
        }
        if let Some(digest) = &chain.digest {
            line("", &format!("ends with {digest}"));
            if chain.end_is_known {
                line("", "which was known: nothing is missing up to there");
            } else {
                line(
                    "",
                    "keep it elsewhere: without it, nothing shows that later archives are gone (--until)",
                );
            }
        }
    }
    for (why, count) in &report.not_covered {
        line("NOT covered", &format!("{count} times: {why}"));
    }
    for (note, count) in &report.notes {
        line("note", &format!("{count} times: {note}"));
    }
    let verdict = match report.verdict {
        SetVerdict::Valid => {
            "VALID: every container, and nothing that linking information names is missing"
        }
        SetVerdict::Invalid => "NOT VALID",
        SetVerdict::NotJudged => "NOT JUDGED: something could not be opened or read",
    };
    format!("{verdict}\n{page}")
}
