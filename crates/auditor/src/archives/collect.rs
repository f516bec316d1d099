//! From what is found of each container to the report on the set.

use std::collections::BTreeMap;
use std::path::Path;

use causeway_archive::ArchiveError;
use causeway_archive::name::ArchiveName;
use causeway_archive::read::{Comparison, Problem};
use causeway_archive::set::{Facts, judge};
use causeway_asic::{AsicError, container_name};
use time::{Date, OffsetDateTime};

use super::pool::{Begun, Judged, Step};
use super::report::{
    ArchiveReport, ChainReport, ContainerFinding, Finding, SetReport, SetVerdict, Totals, Volume,
};
use super::{Event, FoundFile, Options, Progress, file_name};
use crate::{Judging, Report};

/// The most containers, and problems of an archive, that are told of one by one.
const MOST_TOLD: usize = 1000;
/// The most different days, signers, notes that are counted apart.
const MOST_KINDS: usize = 20_000;
/// After how many containers progress is told.
const PROGRESS_EVERY: u64 = 256;

/// An archive that is being looked at.
struct Current {
    report: ArchiveReport,
    comparison: Option<Comparison>,
    not_judged: bool,
    broken: bool,
}

pub(super) struct Collector<'o> {
    options: &'o Options,
    files: &'o [FoundFile],
    report: SetReport,
    days: BTreeMap<Date, Volume>,
    facts: Vec<Facts>,
    current: Option<Current>,
    broken: bool,
    not_judged: bool,
}

impl<'o> Collector<'o> {
    pub(super) fn new(judging: &Judging<'_>, options: &'o Options, files: &'o [FoundFile]) -> Self {
        let conf = judging.configuration();
        let report = SetReport {
            verdict: SetVerdict::NotJudged,
            instance: conf.instance().to_owned(),
            configuration_problems: conf.problems().to_vec(),
            totals: Totals::default(),
            problems: Vec::new(),
            chains: Vec::new(),
            archives: Vec::new(),
            containers: Vec::new(),
            more_containers: 0,
            codes: BTreeMap::new(),
            not_covered: BTreeMap::new(),
            notes: BTreeMap::new(),
            volumes: Vec::new(),
            signers: BTreeMap::new(),
        };
        Self {
            options,
            files,
            report,
            days: BTreeMap::new(),
            facts: Vec::new(),
            current: None,
            broken: false,
            not_judged: false,
        }
    }

    pub(super) fn take(&mut self, step: Step, told: &mut dyn FnMut(Event<'_>)) {
        match step {
            Step::Begin(begun) => self.begin(begun),
            Step::Container(judged) => self.container(judged, told),
            Step::End => self.end(told),
        }
        let done = self.report.totals.containers;
        if self.current.is_none() || done.is_multiple_of(PROGRESS_EVERY) {
            told(Event::Progress(Progress {
                archives: self.report.archives.len(),
                of_archives: self.files.len(),
                containers: done,
            }));
        }
    }

    /// The archive that is being looked at.
    fn path(&self) -> Option<&'o Path> {
        self.files.get(self.report.archives.len()).map(|file| file.path.as_path())
    }

    fn begin(&mut self, begun: Result<Begun, ArchiveError>) {
        let mut report = ArchiveReport {
            file: self.path().map(|path| path.display().to_string()).unwrap_or_default(),
            bytes: 0,
            encrypted: false,
            error: None,
            algorithm: None,
            previous: None,
            digest: None,
            linking_holds: false,
            problems: Vec::new(),
            more_problems: 0,
            containers: 0,
            valid: 0,
            incomplete: 0,
            first: None,
            last: None,
        };
        let (mut comparison, mut not_judged, mut broken) = (None, false, false);
        match begun {
            Ok(begun) => {
                report.bytes = begun.bytes;
                report.encrypted = begun.encrypted;
                comparison = Some(begun.comparison);
            }
            Err(error) => {
                // What cannot be read may be whole; what can be read and is no archive is not one.
                not_judged =
                    matches!(error, ArchiveError::File(AsicError::Io(_)) | ArchiveError::NoKey(_));
                broken = !not_judged;
                report.error = Some(error.to_string());
            }
        }
        self.current = Some(Current { report, comparison, not_judged, broken });
    }

    fn container(&mut self, judged: Judged, told: &mut dyn FnMut(Event<'_>)) {
        let Some(current) = &mut self.current else { return };
        if let Some(comparison) = &mut current.comparison {
            comparison.container(&judged.name, judged.digest.as_deref().map_err(Clone::clone));
        }
        let archive = &mut current.report;
        let archive_file = archive.file.clone();
        archive.containers += 1;
        self.report.totals.containers += 1;
        self.report.totals.bytes += judged.bytes;
        let mut findings = Vec::new();
        let mut found = |code: Option<&str>, message: String, stricter_rule: Option<String>| {
            findings.push(ContainerFinding {
                archive: archive_file.clone(),
                container: judged.name.clone(),
                code: code.map(str::to_owned),
                message,
                stricter_rule,
            });
        };
        match &judged.report {
            Err(error) => {
                current.not_judged = true;
                self.report.totals.not_judged += 1;
                found(Some(error.code()), error.to_string(), None);
            }
            Ok(report) => {
                let at = report.timestamp.as_ref().map(|timestamp| timestamp.time);
                if report.is_valid() {
                    archive.valid += 1;
                    self.report.totals.valid += 1;
                } else {
                    current.broken = true;
                    self.report.totals.invalid += 1;
                }
                if let Some(failure) = &report.failure {
                    let (message, rule) = (failure.message.clone(), failure.stricter_rule.clone());
                    found(Some(&failure.code), message, rule);
                    count(&mut self.report.codes, &failure.code);
                } else if !report.complete {
                    archive.incomplete += 1;
                    self.report.totals.incomplete += 1;
                    current.broken |= self.options.complete;
                    let lacks = report.not_covered.iter().filter(|n| n.signed_digest.is_some());
                    let lacks: Vec<&str> = lacks.map(|n| n.name.as_str()).collect();
                    found(
                        None,
                        format!("signed, but not in the container: {}", lacks.join(", ")),
                        None,
                    );
                }
                if !is_named_for(&judged.name, report) {
                    current.broken = true;
                    let text = "its name is that of another message: the name was changed, which no \
                        signature and no digest shows";
                    found(Some("wrong_name"), text.into(), None);
                    count(&mut self.report.codes, "wrong_name");
                }
                note(&mut self.report, report);
                if let Some(at) = at {
                    span(&mut archive.first, &mut archive.last, at);
                    let totals = &mut self.report.totals;
                    span(&mut totals.first, &mut totals.last, at);
                    let day = at.to_offset(time::UtcOffset::UTC).date();
                    if self.days.len() < MOST_KINDS || self.days.contains_key(&day) {
                        let empty = Volume { day, containers: 0, invalid: 0, bytes: 0 };
                        let volume = self.days.entry(day).or_insert(empty);
                        volume.containers += 1;
                        volume.bytes += judged.bytes;
                        volume.invalid += u64::from(!report.is_valid());
                    }
                }
            }
        }
        for finding in findings {
            told(Event::Container(&finding));
            if self.report.containers.len() < MOST_TOLD {
                self.report.containers.push(finding);
            } else {
                self.report.more_containers += 1;
            }
        }
    }

    fn end(&mut self, told: &mut dyn FnMut(Event<'_>)) {
        let Some(Current { mut report, comparison, not_judged, broken }) = self.current.take()
        else {
            return;
        };
        let file = self.path().map(file_name).unwrap_or_default();
        let mut facts = Facts { file, previous: None, last: None, holds: false };
        if let Some(inspected) = comparison.map(Comparison::finish) {
            report.linking_holds = inspected.holds();
            facts.holds = inspected.holds();
            self.broken |= !inspected.holds();
            for problem in inspected.problems.iter().take(MOST_TOLD) {
                report.problems.push(finding(problem));
            }
            report.more_problems = inspected.problems.len().saturating_sub(MOST_TOLD) as u64;
            if let Some(info) = inspected.info {
                report.algorithm = Some(info.algorithm.name());
                report.previous = info.previous.as_ref().map(|link| link.archive.clone());
                facts.last = (!info.containers.is_empty()).then(|| info.last_digest().to_owned());
                report.digest.clone_from(&facts.last);
                facts.previous = info.previous;
            }
        }
        self.report.totals.archives += 1;
        self.report.totals.archives_not_judged += u64::from(report.error.is_some());
        self.not_judged |= not_judged;
        self.broken |= broken;
        self.facts.push(facts);
        told(Event::Archive(&report));
        self.report.archives.push(report);
    }

    pub(super) fn finish(mut self) -> SetReport {
        let judged = judge(&self.facts, &self.options.known);
        let findings = judged.problems.iter().map(|problem| Finding {
            kind: problem.kind(),
            breaks: problem.breaks(),
            text: problem.text(&self.facts),
        });
        self.report.problems = findings.collect();
        let name = |place: &usize| self.facts.get(*place).map(|facts| facts.file.clone());
        let chains = judged.chains.iter().map(|chain| ChainReport {
            group: chain
                .archives
                .first()
                .and_then(name)
                .and_then(|name| ArchiveName::parse(&name))
                .and_then(|name| name.group),
            archives: chain.archives.iter().filter_map(name).collect(),
            continues: chain.continues.as_ref().map(|link| link.archive.clone()),
            continues_digest: chain.continues.as_ref().map(|link| link.digest.clone()),
            digest: chain.digest.clone(),
            end_is_known: chain.end_is_known,
        });
        self.report.chains = chains.collect();
        self.report.volumes = self.days.into_values().collect();
        // Archives that cannot be opened leave a gap that is no proof of anything.
        self.report.verdict = if self.not_judged {
            SetVerdict::NotJudged
        } else if self.broken || !judged.holds() {
            SetVerdict::Invalid
        } else {
            SetVerdict::Valid
        };
        self.report
    }
}

/// Whether a container's name is the one that its message gives it: message id and kind; the record's number
/// is not in the message.
fn is_named_for(name: &str, report: &Report) -> bool {
    let Some(message) = &report.message else { return true };
    let own = container_name(&message.id, message.response, 0);
    own.strip_suffix("0.asice").is_none_or(|own| name.starts_with(own))
}

fn finding(problem: &Problem) -> Finding {
    Finding { kind: problem.kind(), breaks: problem.breaks(), text: problem.to_string() }
}

fn count(counts: &mut BTreeMap<String, u64>, what: &str) {
    if let Some(count) = counts.get_mut(what) {
        *count += 1;
    } else if counts.len() < MOST_KINDS {
        counts.insert(what.to_owned(), 1);
    }
}

fn note(set: &mut SetReport, report: &Report) {
    for gap in &report.not_covered {
        count(&mut set.not_covered, &gap.why);
    }
    for note in &report.notes {
        count(&mut set.notes, note);
    }
    if !report.is_valid() {
        return;
    }
    if let Some(message) = &report.message {
        set.totals.responses += u64::from(message.response);
        set.totals.requests += u64::from(!message.response);
    }
    if let Some(member) = report.signer.as_ref().and_then(|signer| signer.member.as_ref()) {
        count(&mut set.signers, member);
    }
}

fn span(first: &mut Option<OffsetDateTime>, last: &mut Option<OffsetDateTime>, at: OffsetDateTime) {
    *first = Some(first.map_or(at, |first| first.min(at)));
    *last = Some(last.map_or(at, |last| last.max(at)));
}
