//! Where the token is and where its PIN comes from, as the command line and the configuration say.

use std::path::{Path, PathBuf};

use causeway_console::{Program, quote};
use causeway_globalconf::GlobalConf;
use causeway_keys::{Pin, PinPolicy, PinSource, SoftwareToken};

use super::Refusal;
use crate::globalconf_client::read_folder;
use crate::settings::Settings;

/// Which token.
#[derive(Debug, clap::Args)]
pub(super) struct TokenPlace {
    /// The server's configuration, which names the token and its PIN.
    #[arg(long, short, global = true, env = "CAUSEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The token's folder, in place of a configuration.
    #[arg(long, global = true, value_name = "FOLDER")]
    token: Option<PathBuf>,
    #[command(flatten)]
    pin: PinArguments,
}

/// Where the PIN comes from, if not from where the configuration says.
#[derive(Debug, clap::Args)]
pub(super) struct PinArguments {
    /// Read the PIN from a file.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "pin_env")]
    pin_file: Option<PathBuf>,
    /// Read the PIN from an environment variable.
    #[arg(long, global = true, value_name = "NAME")]
    pin_env: Option<String>,
}

/// Where a new PIN comes from.
#[derive(Debug, clap::Args)]
pub(super) struct NewPinArguments {
    /// Read the new PIN from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "new_pin_env")]
    new_pin_file: Option<PathBuf>,
    /// Read the new PIN from an environment variable.
    #[arg(long, value_name = "NAME")]
    new_pin_env: Option<String>,
}

impl PinArguments {
    fn source(&self) -> Option<PinSource> {
        source(self.pin_file.as_deref(), self.pin_env.as_deref())
    }

    /// How a further command says the same.
    fn option(&self) -> Option<String> {
        let file = self.pin_file.as_deref().map(|file| format!("--pin-file {}", quote(file)));
        file.or_else(|| {
            let name = self.pin_env.as_deref()?;
            Some(format!("--pin-env {}", quote(name.as_ref())))
        })
    }
}

impl NewPinArguments {
    pub(super) fn source(&self) -> Option<PinSource> {
        source(self.new_pin_file.as_deref(), self.new_pin_env.as_deref())
    }
}

fn source(file: Option<&Path>, variable: Option<&str>) -> Option<PinSource> {
    let from_file = file.map(|path| PinSource::File(path.to_path_buf()));
    from_file.or_else(|| variable.map(|name| PinSource::Environment(name.to_owned())))
}

/// A token's place, found.
#[derive(Debug)]
pub(super) struct Found {
    /// The token's folder.
    pub(super) folder: PathBuf,
    /// The configuration, when one was named.
    pub(super) settings: Option<Settings>,
    /// How further commands are to be typed: for this token, with the PIN from the same place.
    pub(super) program: Program,
    pin: Option<PinSource>,
}

impl TokenPlace {
    /// Finds the token's folder, by the configuration unless it is named outright.
    pub(super) fn find(&self) -> Result<Found, Refusal> {
        let settings = self.config.as_deref().map(Settings::load).transpose()?;
        let pin = self.pin.source().or_else(|| Some(settings.as_ref()?.token.pin.clone()));
        let folder = match (&self.token, &settings) {
            (Some(folder), _) => folder.clone(),
            (None, Some(settings)) => settings.token.dir.clone(),
            (None, None) => {
                return Err(Refusal::because(
                    "which token? Say --config FILE, or --token FOLDER for one without a configuration",
                ));
            }
        };
        let config = self.config.as_deref().map(|file| format!("--config {}", quote(file)));
        let token = self.token.as_deref().map(|folder| format!("--token {}", quote(folder)));
        let options: Vec<String> =
            [config, token, self.pin.option()].into_iter().flatten().collect();
        let program = program(&options.join(" "));
        Ok(Found { folder, settings, program, pin })
    }
}

/// This program, for commands that end with options.
pub(super) fn program(options: &str) -> Program {
    Program::of_process("security-server", options)
}

impl Found {
    /// Opens the token, locked.
    pub(super) fn open(&self) -> Result<SoftwareToken, Refusal> {
        SoftwareToken::open(&self.folder).map_err(|error| match error {
            causeway_keys::KeysError::NoToken(_) => Refusal::because(format!(
                "{error}; make one with {}",
                self.program.command("keys init")
            )),
            other => Refusal::because(other),
        })
    }

    /// Opens the token and unlocks it.
    pub(super) fn unlock(&self) -> Result<SoftwareToken, Refusal> {
        let token = self.open()?;
        token.unlock(&self.pin()?).map_err(Refusal::because)?;
        Ok(token)
    }

    /// The present PIN.
    pub(super) fn pin(&self) -> Result<Pin, Refusal> {
        let ask = || PinSource::Prompt("PIN of the token: ".to_owned());
        Pin::read(&self.pin.clone().unwrap_or_else(ask)).map_err(Refusal::because)
    }

    /// A PIN for a token that is about to be made: from where later starts will have it.
    pub(super) fn first_pin(&self, allow_weak: bool) -> Result<Pin, Refusal> {
        new_pin(self.pin.as_ref(), allow_weak)
    }
}

/// Reads a new PIN, twice when it is typed, and judges it.
pub(super) fn new_pin(source: Option<&PinSource>, allow_weak: bool) -> Result<Pin, Refusal> {
    let pin = match source {
        Some(source @ (PinSource::File(_) | PinSource::Environment(_))) => {
            Pin::read(source).map_err(Refusal::because)?
        }
        _ => typed_twice()?,
    };
    if !allow_weak {
        PinPolicy::default().check(&pin).map_err(|error| {
            Refusal::because(format!(
                "{error}; take ten characters or more of three kinds (digits, upper case, lower \
                 case, others), or say --allow-weak-pin"
            ))
        })?;
    }
    Ok(pin)
}

fn typed_twice() -> Result<Pin, Refusal> {
    use zeroize::Zeroizing;
    let ask = |question: &str| {
        rpassword::prompt_password(question).map(Zeroizing::new).map_err(|e| {
            Refusal::because(format!("cannot ask for the PIN ({e}); say --pin-file or --pin-env"))
        })
    };
    let first = ask("New PIN: ")?;
    if *first != *ask("New PIN again: ")? {
        return Err(Refusal::because("the two PINs differ; nothing was changed"));
    }
    Pin::new(first.as_str()).map_err(Refusal::because)
}

/// The global configuration that the server keeps, if it has one yet.
pub(super) fn saved_global_conf(settings: &Settings) -> Option<GlobalConf> {
    let files = read_folder(&settings.global_conf_folder()).ok()?;
    GlobalConf::from_directory_files(files).ok()
}
