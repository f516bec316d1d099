//! The command line: running the server, checking its configuration, and looking after its keys.
//!
//! Exit codes: 0 when it is done, 1 when it is refused or fails, 2 when the command line is wrong.
//! What a command found goes to standard output, as tables or, with `--json`, as one JSON document;
//! what went wrong goes to standard error. After each act the next step is named.

mod config;
mod console;
mod internal_tls;
mod keys;
mod place;
mod serve;
mod services;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::settings::SettingsErrors;
use console::Console;

/// A security server: it signs, timestamps and logs every message between members.
#[derive(Debug, Parser)]
#[command(name = "security-server", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until it is told to stop (SIGTERM, SIGINT); SIGHUP reads clients again.
    Run(serve::RunArguments),
    /// Look after the configuration.
    Config(config::ConfigArguments),
    /// Look after keys, certificate requests and certificates.
    Keys(Box<keys::KeysArguments>),
    /// List services, and take over their descriptions.
    Services(services::ServicesArguments),
    /// Make the self-signed TLS certificate that information systems see.
    InternalTls(internal_tls::InternalTlsArguments),
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// For a reason that the text says.
    #[error("security-server: {0}")]
    Because(String),
    /// The configuration is wrong.
    #[error("{}", all_errors(.0))]
    Settings(#[from] SettingsErrors),
    /// The output could not be written.
    #[error("security-server: cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// All was said already.
    #[error("")]
    Said,
}

fn all_errors(errors: &SettingsErrors) -> String {
    let count = errors.count();
    let noun = if count == 1 { "error" } else { "errors" };
    format!("{errors}\nsecurity-server: the configuration has {count} {noun} to correct")
}

impl Refusal {
    fn because(reason: impl std::fmt::Display) -> Self {
        Self::Because(reason.to_string())
    }
}

/// Does what the program's command line says.
pub fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let mut err = std::io::stderr();
    ExitCode::from(execute(std::env::args_os(), &mut out, &mut err))
}

/// Does what a command line says, and gives the exit code. The first argument is the program's name.
pub fn execute(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let text = error.render().to_string();
            let _ = if error.use_stderr() { write!(err, "{text}") } else { write!(out, "{text}") };
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let mut console = Console::new(out);
    let done = match arguments.command {
        Command::Run(arguments) => serve::run(&arguments, &mut console),
        Command::Config(arguments) => config::execute(&arguments, &mut console),
        Command::Keys(arguments) => keys::execute(&arguments, &mut console),
        Command::Services(arguments) => services::execute(&arguments, &mut console),
        Command::InternalTls(arguments) => internal_tls::execute(&arguments, &mut console),
    };
    match done {
        Ok(()) => 0,
        // Whoever read the output has seen enough.
        Err(Refusal::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(Refusal::Said) => 1,
        Err(refusal) => {
            let _ = writeln!(err, "{}", causeway_console::readable(&refusal.to_string()));
            1
        }
    }
}

#[cfg(test)]
mod tests;
