//! `run`: the server itself, with its log.

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use crate::plain_lines::PlainLines;

use super::console::Console;
use super::{Refusal, config};
use crate::settings::{LogFormat, LoggingSettings, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct RunArguments {
    /// The server's configuration.
    #[arg(long, short, env = "CAUSEWAY_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Only check the configuration: print everything that is wrong and exit with 1 if anything is.
    #[arg(long)]
    check: bool,
    /// How the server's own log is written, whatever the configuration says.
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

pub(super) fn run(arguments: &RunArguments, console: &mut Console<'_>) -> Result<(), Refusal> {
    if arguments.check {
        return config::check(&arguments.config, false, console);
    }
    let logging = Settings::load(&arguments.config)?.logging;
    start_logging(&logging, arguments.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Refusal::because(format!("cannot start threads: {e}")))?;
    runtime.block_on(crate::server::run(&arguments.config)).map_err(Refusal::because)
}

/// Begins to log to standard error. `RUST_LOG` wins over the configuration's filter.
fn start_logging(settings: &LoggingSettings, format: Option<LogFormat>) -> Result<(), Refusal> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        _ => settings.filter.clone(),
    };
    let filter: EnvFilter = filter
        .parse()
        .map_err(|e| Refusal::because(format!("'{filter}' is not a log filter: {e}")))?;
    // That nobody reads the log is no reason to stop: telling so on standard error would panic.
    let subscriber = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(|| PlainLines(std::io::stderr()));
    let started = match format.unwrap_or(settings.format) {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).with_span_list(false).try_init(),
    };
    started.map_err(|e| Refusal::because(format!("cannot log: {e}")))
}
