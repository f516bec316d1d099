//! `auditor archive`.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use causeway_archive::openpgp::SecretKeys;
use causeway_archive::set::Known;
use causeway_console::say;
use causeway_globalconf::GlobalConf;
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{ALL_VALID, NOT_VALID, complain, limits, parse_time};
use crate::Judging;
use crate::archives::{
    Event, Language, Options, Progress, SetReport, SetVerdict, audit, find, page, render,
    render_archive, render_finding,
};

/// The largest file of keys, or of a password, that is read, in bytes.
const MAX_KEY_BYTES: u64 = 4 << 20;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The archives, or folders with archives.
    #[arg(required = true, value_name = "FILE_OR_FOLDER")]
    paths: Vec<PathBuf>,
    /// The global configuration: a folder or ZIP archive, as GET /verificationconf gives.
    #[arg(long, value_name = "FOLDER_OR_ZIP")]
    pub(super) conf: PathBuf,
    /// Judge certificates at this time (RFC 3339) in place of the timestamps'.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<OffsetDateTime>,
    /// A last digest that archives may continue although its archive is not given; as often as needed.
    #[arg(long, value_name = "DIGEST")]
    after: Vec<String>,
    /// A last digest that was kept elsewhere: its archive must be there; as often as needed.
    #[arg(long, value_name = "DIGEST")]
    until: Vec<String>,
    /// Secret OpenPGP keys that open encrypted archives, as `gpg --export-secret-keys` gives them.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A file with the password of these keys.
    #[arg(long, value_name = "FILE", requires = "key")]
    key_password_file: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Write a page for people (HTML).
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The language of the page: en or vi.
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = parse_language)]
    language: Language,
    /// Count a container as not valid when something that was signed is not in it.
    #[arg(long)]
    complete: bool,
    /// Allow attachments of more than 1 GiB, and more than 32 MiB of what compresses better than 200:1.
    #[arg(long)]
    large: bool,
    /// How many containers to judge at once; as many as there are cores, unless told.
    #[arg(long, value_name = "COUNT")]
    jobs: Option<NonZero<u16>>,
    /// Say nothing about how far the work is.
    #[arg(long)]
    quiet: bool,
}

fn parse_language(code: &str) -> Result<Language, String> {
    Language::from_code(code).ok_or_else(|| "not a language of the page: en, vi".to_owned())
}

/// The JSON document: the report, and how long it took.
#[derive(Serialize)]
struct Document<'d> {
    #[serde(flatten)]
    report: &'d SetReport,
    seconds: f64,
    containers_per_second: f64,
}

pub(super) fn run(arguments: &Arguments, conf: &GlobalConf) -> u8 {
    let keys = match keys(arguments) {
        Ok(keys) => keys,
        Err(text) => return complain(&text),
    };
    let files = match find(&arguments.paths) {
        Ok(files) if files.is_empty() => return complain("there are no archives (.zip, .zip.gpg)"),
        Ok(files) => files,
        Err(error) => return complain(&error.to_string()),
    };
    let lower = |digests: &[String]| digests.iter().map(|d| d.to_ascii_lowercase()).collect();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let options = Options {
        known: Known { before: lower(&arguments.after), until: lower(&arguments.until) },
        limits: limits(arguments.large),
        complete: arguments.complete,
        keys,
        workers: arguments.jobs.map_or(cores, |jobs| usize::from(jobs.get())),
    };
    if !arguments.json {
        for problem in conf.problems() {
            complain(&format!("in the configuration: {problem}"));
        }
    }
    let judging = Judging::new(conf, arguments.at);
    let began = Instant::now();
    let mut telling = Telling { arguments, began, last: began };
    let report = audit(&files, &judging, &options, &mut |event| telling.hear(&event));
    let seconds = began.elapsed().as_secs_f64().max(0.001);
    let per_second = report.totals.containers as f64 / seconds;
    if arguments.json {
        let document = Document { report: &report, seconds, containers_per_second: per_second };
        match serde_json::to_string_pretty(&document) {
            Ok(text) => say(text),
            Err(error) => return complain(&error.to_string()),
        }
    } else {
        say(format_args!(
            "\n{}  {:<14} {seconds:.1} s, {per_second:.0} containers a second",
            render(&report),
            "took"
        ));
    }
    if let Some(path) = &arguments.report {
        let page = page(&report, arguments.language, OffsetDateTime::now_utc());
        if let Err(error) = std::fs::write(path, page) {
            return complain(&format!("cannot write {}: {error}", path.display()));
        }
    }
    match report.verdict {
        SetVerdict::Valid => ALL_VALID,
        SetVerdict::Invalid => NOT_VALID,
        SetVerdict::NotJudged => super::NOT_JUDGED,
    }
}

/// Tells what happens while it happens.
struct Telling<'a> {
    arguments: &'a Arguments,
    began: Instant,
    last: Instant,
}

impl Telling<'_> {
    fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Container(finding) if !self.arguments.json => say(render_finding(finding)),
            Event::Archive(archive) if !self.arguments.json => {
                say(render_archive(archive).trim_end())
            }
            Event::Progress(progress)
                if !self.arguments.quiet && self.last.elapsed() >= PROGRESS_EVERY =>
            {
                self.last = Instant::now();
                self.progress(progress);
            }
            _ => {}
        }
    }

    fn progress(&self, progress: &Progress) {
        let rate = progress.containers as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        causeway_console::complain(format_args!(
            "{} of {} archives, {} containers, {rate:.0} a second",
            progress.archives, progress.of_archives, progress.containers
        ));
    }
}

fn keys(arguments: &Arguments) -> Result<Option<SecretKeys>, String> {
    let Some(path) = &arguments.key else { return Ok(None) };
    let password = match &arguments.key_password_file {
        Some(path) => read(path)?,
        None => Zeroizing::new(Vec::new()),
    };
    let password = std::str::from_utf8(&password)
        .map_err(|_| "the password of the key is not UTF-8".to_owned())?;
    let keys = SecretKeys::read(&read(path)?, password.trim_end_matches(['\r', '\n']));
    keys.map(Some).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    use std::io::Read as _;
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut bytes = Zeroizing::new(Vec::new());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_KEY_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_KEY_BYTES {
        return Err(format!("{} is larger than {MAX_KEY_BYTES} bytes", path.display()));
    }
    Ok(bytes)
}
