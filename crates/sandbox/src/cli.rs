//! The command line of the binary `sandbox`.

mod run;
mod show;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use causeway_console::complain;
use causeway_keys::KeyKind;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::addresses::{DEFAULT_BASE, Ports};
use crate::load::Kind;
use crate::options::Options;
use crate::texts::Language;

/// Kinds of keys that are offered.
const KEYS: [&str; 3] = ["rsa2048", "rsa3072", "p256"];

/// Exit code when something could not be done at all.
const FAILURE: u8 = 2;

/// What the command line asks for.
#[derive(Debug)]
struct Asked {
    language: Language,
    options: Options,
    task: Task,
}

#[derive(Debug, Clone)]
enum Task {
    Story { once: bool, evidence: Option<PathBuf> },
    Load(Load),
}

#[derive(Debug, Clone)]
struct Load {
    duration: Duration,
    warm_up: Duration,
    connections: usize,
    /// As asked for.
    body: Option<u64>,
    kind: Kind,
    post: bool,
    target: Option<String>,
    json: bool,
}

/// Runs the program with the process's own arguments.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let language = language(&arguments);
    let asked = match command(language).try_get_matches_from(arguments) {
        Ok(matches) => Asked::read(&matches, language),
        Err(error) => {
            // Help that cannot be printed is no reason to fail in another way.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(run::run(&asked));
            // What a start that was broken off is still doing is short; what it was to do is not wanted.
            runtime.shutdown_timeout(Duration::from_secs(2));
            done
        }
        Err(error) => Err(crate::SandboxError::part("tokio")(error)),
    };
    run::clean_up();
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(asked.language.failed(&asked.language.error(&error)));
            ExitCode::from(FAILURE)
        }
    }
}

/// The language is needed before the arguments are read: their help is in it.
fn language(arguments: &[OsString]) -> Language {
    let texts: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let told =
        texts.iter().enumerate().find_map(|(at, text)| match text.strip_prefix("--language") {
            Some("") => texts.get(at + 1).copied(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        });
    told.and_then(Language::from_code).unwrap_or_else(Language::from_environment)
}

fn command(language: Language) -> Command {
    let flag = |name: &'static str, help: String| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let value = |name: &'static str, value: &'static str, help: String| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let common = [
        value("data", "DIR", language.help_data()).value_parser(value_parser!(PathBuf)),
        value("port-base", "N", language.help_port_base(DEFAULT_BASE))
            .value_parser(value_parser!(u16)),
        value("key", "KIND", language.help_key())
            .value_parser(PossibleValuesParser::new(KEYS))
            .default_value(KEYS[0]),
        value("language", "CODE", language.help_language())
            .value_parser(PossibleValuesParser::new(Language::CODES)),
        Arg::new("help").short('h').long("help").action(ArgAction::Help).help(language.help_help()),
    ];
    let load = Command::new("load")
        .about(language.load_about())
        .arg(
            value("seconds", "S", language.help_seconds())
                .value_parser(value_parser!(u64).range(1..=86_400))
                .default_value("10"),
        )
        .arg(
            value("warm-up", "S", language.help_warm_up())
                .value_parser(value_parser!(u64).range(0..=3600))
                .default_value("1"),
        )
        .arg(
            value("connections", "C", language.help_connections())
                .value_parser(value_parser!(u16).range(1..=10_000))
                .default_value("32"),
        )
        .arg(value("body", "BYTES", language.help_body()).value_parser(value_parser!(u64)))
        .arg(
            value("kind", "KIND", language.help_kind())
                .value_parser(PossibleValuesParser::new(Kind::NAMES))
                .default_value(Kind::NAMES[0]),
        )
        .arg(flag("post", language.help_post()))
        .arg(
            value("target", "URL", language.help_target())
                .conflicts_with_all(["body", "kind", "post", "data"]),
        )
        .arg(flag("json", language.help_json()))
        .args(common.clone())
        .disable_help_flag(true);
    Command::new("sandbox")
        .about(language.about())
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .args_conflicts_with_subcommands(true)
        .arg(flag("once", language.help_once()))
        .arg(
            value("evidence", "DIR", language.help_evidence()).value_parser(value_parser!(PathBuf)),
        )
        .args(common)
        .arg(
            Arg::new("version")
                .short('V')
                .long("version")
                .action(ArgAction::Version)
                .help(language.help_version()),
        )
        .subcommand(load)
}

impl Asked {
    fn read(matches: &ArgMatches, language: Language) -> Self {
        match matches.subcommand() {
            Some((_, load)) => Self {
                language,
                options: options(load),
                task: Task::Load(Load {
                    duration: seconds(load, "seconds"),
                    warm_up: seconds(load, "warm-up"),
                    connections: load.get_one::<u16>("connections").copied().unwrap_or(1).into(),
                    body: load.get_one("body").copied(),
                    kind: load
                        .get_one::<String>("kind")
                        .map_or_else(Kind::default, |k| Kind::of(k)),
                    post: load.get_flag("post"),
                    target: load.get_one("target").cloned(),
                    json: load.get_flag("json"),
                }),
            },
            None => Self {
                language,
                options: options(matches),
                task: Task::Story {
                    once: matches.get_flag("once"),
                    evidence: matches.get_one("evidence").cloned(),
                },
            },
        }
    }
}

fn options(matches: &ArgMatches) -> Options {
    let key = matches.get_one::<String>("key").and_then(|key| key.parse().ok());
    Options {
        data: matches.get_one("data").cloned(),
        ports: matches.get_one("port-base").copied().map_or(Ports::default(), Ports::From),
        key: key.unwrap_or(KeyKind::Rsa2048),
        ..Options::default()
    }
}

fn seconds(matches: &ArgMatches, name: &str) -> Duration {
    Duration::from_secs(matches.get_one(name).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn asked(line: &str) -> Asked {
        let words = line.split(' ');
        Asked::read(
            &command(Language::English).try_get_matches_from(words).unwrap(),
            Language::English,
        )
    }

    #[test]
    fn command_lines_are_understood() {
        command(Language::English).debug_assert();
        command(Language::Vietnamese).debug_assert();
        let Task::Story { once, evidence } = asked("sandbox --once --evidence e --key p256").task
        else {
            panic!("not the story")
        };
        assert_eq!((once, evidence), (true, Some("e".into())));
        let asked = asked(
            "sandbox load --seconds 3 --connections 8 --body 10 --key p256 --port-base 20000",
        );
        assert_eq!(
            (asked.options.key, asked.options.ports),
            (KeyKind::EcP256, Ports::From(20_000))
        );
        let Task::Load(load) = asked.task else { panic!("not the load") };
        assert_eq!((load.duration.as_secs(), load.connections, load.body), (3, 8, Some(10)));
        for bad in ["sandbox --key dsa", "sandbox load --seconds 0", "sandbox --once load"] {
            assert!(
                command(Language::English).try_get_matches_from(bad.split(' ')).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_language_is_found_first() {
        let find = |line: &str| language(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(find("sandbox --once --language vi"), Language::Vietnamese);
        assert_eq!(find("sandbox --language=vi"), Language::Vietnamese);
        assert_eq!(find("sandbox --language=en"), Language::English);
        let help = command(Language::Vietnamese).render_long_help().to_string();
        assert!(help.contains("Loại khóa"));
    }
}
