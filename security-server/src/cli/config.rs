//! `config check`: everything that is wrong with a configuration, and what is still missing.

use std::path::{Path, PathBuf};

use causeway_console::{Program, quote};
use causeway_keys::{PinSource, SoftwareToken, Token as _, Usage};
use serde_json::{Value, json};

use super::Refusal;
use super::console::Console;
use super::place::{program, saved_global_conf};
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// Print everything that is wrong with a configuration, with lines; exit with 1 if anything is.
    Check {
        /// The server's configuration.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn execute(
    arguments: &ConfigArguments,
    console: &mut Console<'_>,
) -> Result<(), Refusal> {
    let ConfigCommand::Check { file, json } = &arguments.command;
    check(file, *json, console)
}

/// Checks a configuration and says what is wrong, or what it holds.
pub(super) fn check(file: &Path, as_json: bool, console: &mut Console<'_>) -> Result<(), Refusal> {
    let settings = match Settings::load(file) {
        Ok(settings) => settings,
        Err(errors) if as_json => {
            let errors: Vec<Value> = errors
                .iter()
                .map(
                    |e| json!({"file": e.file, "line": e.line, "key": e.key, "message": e.message}),
                )
                .collect();
            console.json(&json!({ "errors": errors, "missing": [], "doubts": [] }))?;
            return Err(Refusal::Said);
        }
        Err(errors) => return Err(errors.into()),
    };
    let program = program(&format!("--config {}", quote(file)));
    let missing = missing(&settings, &program);
    let doubts =
        saved_global_conf(&settings).map(|conf| settings.doubts(&conf)).unwrap_or_default();
    if as_json {
        return console.json(&json!({ "errors": [], "missing": missing, "doubts": doubts }));
    }
    let services: usize = settings.clients.iter().map(|client| client.services.len()).sum();
    console.line(format_args!(
        "{}: no errors. Server {}, clients: {}, services: {services}",
        file.display(),
        settings.server.to_short(),
        settings.clients.len(),
    ))?;
    for what in missing {
        console.line(format_args!("Still missing: {what}"))?;
    }
    for doubt in doubts {
        console.line(format_args!("Doubtful: {doubt}"))?;
    }
    Ok(())
}

/// What the server needs besides its configuration before it can relay messages.
fn missing(settings: &Settings, program: &Program) -> Vec<String> {
    let mut missing = Vec::new();
    for client in settings.clients.iter() {
        for source in client.descriptions.iter().filter(|source| source.kept.is_none()) {
            missing.push(format!(
                "the {} description of {} from {} is not taken over, so its services are not there; see {}",
                source.kind,
                client.id,
                source.location,
                program.command("services refresh")
            ));
        }
    }
    if let PinSource::Environment(name) = &settings.token.pin
        && std::env::var_os(name).is_none()
    {
        missing.push(format!("the environment variable {name} with the PIN is not set here"));
    }
    let token = match SoftwareToken::open(&settings.token.dir) {
        Ok(token) => token,
        Err(error) => {
            missing.push(format!("{error}; make one with {}", program.command("keys init")));
            return missing;
        }
    };
    let mut keys = token.keys();
    for module in &settings.token.modules {
        match module.open() {
            Ok(token) => keys.extend(token.keys()),
            Err(error) => missing.push(format!("the token '{}': {error}", module.name)),
        }
    }
    let active = |usage| {
        let keys = keys.iter().filter(move |key| key.usage == usage);
        keys.flat_map(|key| &key.certificates).filter(|info| info.active)
    };
    if active(Usage::Authentication).next().is_none() {
        missing.push(format!(
            "no active authentication certificate; see {}",
            program.command("keys list")
        ));
    }
    let mut members: Vec<_> = settings.clients.iter().map(|client| client.id.member()).collect();
    members.sort();
    members.dedup();
    for member in members {
        if !active(Usage::Signing).any(|info| info.member.as_ref() == Some(member)) {
            missing.push(format!(
                "no active signing certificate for {member}; see {}",
                program.command("keys list")
            ));
        }
    }
    missing
}
