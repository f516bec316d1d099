//! The commands of the binary.

mod archive;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use causeway_asic::{AsicError, Container, Limits};
use causeway_console::say;
use causeway_globalconf::GlobalConf;
use clap::{Parser, Subcommand};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::text::clean;
use crate::{Report, configuration, extract, judge, refuse, render};

/// Everything that was judged is valid.
const ALL_VALID: u8 = 0;
/// Something is not valid.
const NOT_VALID: u8 = 1;
/// Something could not be judged.
const NOT_JUDGED: u8 = 2;

/// Judges signed containers (.asice) of security servers, offline.
///
/// Exit status of `verify` and `archive`: 0 when all is valid, 1 when something is not or is missing, 2 when something
/// could not be judged.
#[derive(Debug, Parser)]
#[command(name = "auditor", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell of each container who signed what, when, and what is not covered.
    Verify {
        /// The containers.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The global configuration: a folder or ZIP archive, as GET /verificationconf gives.
        #[arg(long, value_name = "FOLDER_OR_ZIP")]
        conf: PathBuf,
        /// Judge certificates at this time (RFC 3339) in place of the timestamp's.
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        at: Option<OffsetDateTime>,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
        /// Count a container as not valid when something that was signed is not in it.
        #[arg(long)]
        complete: bool,
        /// Allow attachments of more than 1 GiB, and more than 32 MiB of what compresses better than 200:1.
        #[arg(long)]
        large: bool,
    },
    /// Judge archives of the message log (mlog-….zip): every container, the chain of digests that ties them, and what is
    /// missing among them. A folder stands for all archives in it.
    Archive(archive::Arguments),
    /// Take message and attachments out of a container; nothing is verified, nothing overwritten.
    Extract {
        /// The container.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The folder to put them into.
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
        /// Allow attachments of more than 1 GiB, and more than 32 MiB of what compresses better than 200:1.
        #[arg(long)]
        large: bool,
    },
}

fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "not a time such as 2024-12-05T07:34:12Z".to_owned())
}

/// Runs the command that the process's arguments ask for.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help that cannot be printed is no reason to fail in another way.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(NOT_JUDGED));
        }
    };
    ExitCode::from(match arguments.command {
        Command::Verify { files, conf, at, json, complete, large } => {
            let limits = limits(large);
            match configuration::read(&conf) {
                Ok(conf) => verify(&files, &Verify { conf, at, json, complete, limits }),
                Err(error) => complain(&error.to_string()),
            }
        }
        Command::Archive(arguments) => match configuration::read(&arguments.conf) {
            Ok(conf) => archive::run(&arguments, &conf),
            Err(error) => complain(&error.to_string()),
        },
        Command::Extract { file, to, large } => {
            match extract::extract(&file, &to, &limits(large)) {
                Ok(written) => {
                    for path in written {
                        say(path.display());
                    }
                    ALL_VALID
                }
                Err(error) => complain(&error.to_string()),
            }
        }
    })
}

fn limits(large: bool) -> Limits {
    if large { Limits::large() } else { Limits::default() }
}

fn complain(text: &str) -> u8 {
    causeway_console::complain(format_args!("auditor: {text}"));
    NOT_JUDGED
}

struct Verify {
    conf: GlobalConf,
    at: Option<OffsetDateTime>,
    json: bool,
    complete: bool,
    limits: Limits,
}

/// What became of a file.
#[derive(Serialize)]
struct Outcome {
    file: String,
    #[serde(flatten)]
    report: Option<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The JSON document.
#[derive(Serialize)]
struct Document<'d> {
    instance: &'d str,
    configuration_problems: &'d [String],
    files: Vec<Outcome>,
}

fn verify(files: &[PathBuf], options: &Verify) -> u8 {
    let mut status = ALL_VALID;
    let mut outcomes = Vec::new();
    if !options.json {
        for problem in options.conf.problems() {
            complain(&format!("in the configuration: {problem}"));
        }
    }
    for path in files {
        let file = path.display().to_string();
        let outcome = match judge_file(path, options) {
            Ok(report) => {
                if !report.is_valid() || (options.complete && !report.complete) {
                    status = status.max(NOT_VALID);
                }
                Outcome { file, report: Some(report), error: None }
            }
            Err(error) => {
                status = NOT_JUDGED;
                Outcome { file, report: None, error: Some(error.to_string()) }
            }
        };
        if options.json {
            outcomes.push(outcome);
        } else {
            print(&outcome);
        }
    }
    if options.json {
        let document = Document {
            instance: options.conf.instance(),
            configuration_problems: options.conf.problems(),
            files: outcomes,
        };
        match serde_json::to_string_pretty(&document) {
            Ok(text) => say(text),
            Err(error) => return complain(&error.to_string()),
        }
    }
    status
}

fn print(outcome: &Outcome) {
    match (&outcome.report, &outcome.error) {
        (Some(report), _) => say(render(&outcome.file, report)),
        (None, error) => {
            let error = error.as_deref().unwrap_or("cannot be read");
            let file = clean(&outcome.file);
            causeway_console::complain(format_args!("{file}: NOT JUDGED: {error}\n"));
        }
    }
}

fn judge_file(path: &Path, options: &Verify) -> Result<Report, AsicError> {
    // A folder can be opened too, and a pipe would be waited for.
    if !std::fs::metadata(path)?.is_file() {
        let kind = std::io::ErrorKind::InvalidInput;
        return Err(std::io::Error::new(kind, "is not a file").into());
    }
    let file = File::open(path)?;
    match Container::read_unchecked(file, &options.limits) {
        Ok(container) => Ok(judge(&container, &options.conf, options.at)),
        Err(error @ AsicError::Io(_)) => Err(error),
        Err(error) => Ok(refuse(&error)),
    }
}
