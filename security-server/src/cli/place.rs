//! Where the token is and where its PIN comes from, as the command line and the configuration say.

use std::path::{Path, PathBuf};

use causeway_console::{Program, quote};
use causeway_globalconf::GlobalConf;
use causeway_keys::{KeysError, Pin, PinPolicy, PinSource, Pkcs11Token, SoftwareToken, Token};

use super::Refusal;
use crate::globalconf_client::read_folder;
use crate::settings::{ModuleSettings, Settings};

/// Which token.
#[derive(Debug, clap::Args)]
pub(super) struct TokenPlace {
    /// The server's configuration, which names the token and its PIN.
    #[arg(long, short, global = true, env = "CAUSEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The token's folder, in place of a configuration.
    #[arg(long, global = true, value_name = "FOLDER")]
    token: Option<PathBuf>,
    /// The configuration's module of that name, in place of the software token.
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "token")]
    module: Option<String>,
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
    /// The token's folder; of a module, where it keeps what the module does not.
    pub(super) folder: PathBuf,
    module: Option<ModuleSettings>,
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
        let module = self.module(settings.as_ref())?;
        let configured = match &module {
            Some(module) => Some(module.pin.clone()),
            None => settings.as_ref().map(|settings| settings.token.pin.clone()),
        };
        let pin = self.pin.source().or(configured);
        let folder = match (&module, &self.token, &settings) {
            (Some(module), ..) => module.dir.clone(),
            (None, Some(folder), _) => folder.clone(),
            (None, None, Some(settings)) => settings.token.dir.clone(),
            (None, None, None) => {
                return Err(Refusal::because(
                    "which token? Say --config FILE, or --token FOLDER for one without a configuration",
                ));
            }
        };
        let config = self.config.as_deref().map(|file| format!("--config {}", quote(file)));
        let token = self.token.as_deref().map(|folder| format!("--token {}", quote(folder)));
        let named = self.module.as_deref().map(|name| format!("--module {}", quote(name.as_ref())));
        let options: Vec<String> =
            [config, token, named, self.pin.option()].into_iter().flatten().collect();
        let program = program(&options.join(" "));
        Ok(Found { folder, module, settings, program, pin })
    }

    /// The module that is meant, if one is.
    fn module(&self, settings: Option<&Settings>) -> Result<Option<ModuleSettings>, Refusal> {
        let Some(name) = &self.module else { return Ok(None) };
        let settings = settings.ok_or_else(|| {
            Refusal::because("a module is named in a configuration; say --config FILE too")
        })?;
        let modules = &settings.token.modules;
        if let Some(module) = modules.iter().find(|module| module.name == *name) {
            return Ok(Some(module.clone()));
        }
        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        Err(Refusal::because(if names.is_empty() {
            "the configuration names no module; add one under [[token.modules]]".to_owned()
        } else {
            format!("the configuration has no module '{name}', but: {}", names.join(", "))
        }))
    }
}

/// This program, for commands that end with options.
pub(super) fn program(options: &str) -> Program {
    Program::of_process("security-server", options)
}

impl Found {
    /// Opens the token, locked.
    pub(super) fn open(&self) -> Result<Box<dyn Token>, Refusal> {
        if self.module.is_some() {
            return Ok(Box::new(self.open_module()?));
        }
        let opened = SoftwareToken::open(&self.folder);
        opened.map(|token| Box::new(token) as Box<dyn Token>).map_err(|error| match error {
            KeysError::NoToken(_) => Refusal::because(format!(
                "{error}; make one with {}",
                self.program.command("keys init")
            )),
            other => Refusal::because(other),
        })
    }

    /// Opens the token and unlocks it.
    pub(super) fn unlock(&self) -> Result<Box<dyn Token>, Refusal> {
        let token = self.open()?;
        token.unlock(&self.pin()?).map_err(Refusal::because)?;
        Ok(token)
    }

    /// Whether the token is behind a PKCS#11 library.
    pub(super) fn is_module(&self) -> bool {
        self.module.is_some()
    }

    /// Opens the module, locked.
    pub(super) fn open_module(&self) -> Result<Pkcs11Token, Refusal> {
        let module = self.module.as_ref().ok_or_else(|| {
            Refusal::because("which module? Say --module NAME, as the configuration calls it")
        })?;
        module.open().map_err(Refusal::because)
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
