//! The tokens whose keys this server uses: the software token, and those behind PKCS#11 libraries.
//!
//! A module that is not there does not hinder the server: members whose keys it has cannot sign until it is back, and
//! everybody else can. A module is tried again from time to time until it is unlocked; from then on it finds its way
//! back by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_keys::{
    Credential, KeysError, Pin, Pkcs11Token, SoftwareToken, Token, TokenState, Usage,
};
use time::OffsetDateTime;

use crate::settings::{ModuleSettings, Settings};

/// All tokens of a server.
#[derive(Debug)]
pub(super) struct Tokens {
    software: SoftwareToken,
    modules: Vec<Module>,
}

/// A token behind a library, reached or not.
#[derive(Debug)]
struct Module {
    settings: ModuleSettings,
    reach: Mutex<Reach>,
}

#[derive(Debug)]
enum Reach {
    /// Not unlocked yet; the text is why the last try failed.
    NotYet {
        pin: Pin,
        why: String,
    },
    /// Its PIN was refused: another try could lock it for good.
    Refused(String),
    Unlocked(Pkcs11Token),
}

impl Module {
    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries to unlock it, unless that was done or is hopeless. Logs a failure once, until it is another one.
    fn try_to_unlock(&self) {
        let name = &self.settings.name;
        let mut reach = self.reach();
        let Reach::NotYet { pin, why } = &mut *reach else { return };
        match self.settings.open().and_then(|token| token.unlock(pin).map(|()| token)) {
            Ok(token) => {
                tracing::info!(token = name, "the token is unlocked");
                *reach = Reach::Unlocked(token);
            }
            Err(error @ (KeysError::PinIncorrect { .. } | KeysError::PinLocked)) => {
                tracing::error!(
                    token = name,
                    code = error.code(),
                    "the token cannot be unlocked: {error}. Put the right PIN where the configuration says, and restart the server"
                );
                *reach = Reach::Refused(error.to_string());
            }
            Err(error) => {
                let text = error.to_string();
                if *why != text {
                    tracing::error!(
                        token = name,
                        code = error.code(),
                        "the token cannot be reached: {error}. It is tried again; its members cannot sign meanwhile"
                    );
                    *why = text;
                }
            }
        }
    }

    /// What is wrong with it.
    fn trouble(&self) -> Option<String> {
        let why = match &*self.reach() {
            Reach::NotYet { why, .. } | Reach::Refused(why) => why.clone(),
            Reach::Unlocked(token) => match token.state() {
                TokenState::Unlocked => return None,
                TokenState::Locked => "its PIN was refused when it was reached again".to_owned(),
                TokenState::Absent(why) => why,
            },
        };
        Some(format!("the token '{}' cannot be used: {why}", self.settings.name))
    }
}

impl Tokens {
    /// Opens and unlocks the tokens. A `pin` is the software token's; without, it is read from where the settings say.
    ///
    /// # Errors
    /// When the software token cannot be used, or a PIN cannot be read.
    pub(super) fn open(settings: &Settings, pin: Option<Pin>) -> Result<Self, KeysError> {
        let software = SoftwareToken::open(&settings.token.dir)?;
        let pin = match pin {
            Some(pin) => pin,
            None => Pin::read(&settings.token.pin)?,
        };
        software.unlock(&pin)?;
        let mut modules = Vec::new();
        for module in &settings.token.modules {
            let pin = Pin::read(&module.pin)?;
            let reach = Reach::NotYet { pin, why: String::new() }.into();
            modules.push(Module { settings: module.clone(), reach });
        }
        let tokens = Self { software, modules };
        tokens.try_to_unlock();
        Ok(tokens)
    }

    /// Tries those that could not be unlocked yet.
    pub(super) fn try_to_unlock(&self) {
        for module in &self.modules {
            module.try_to_unlock();
        }
    }

    /// The software token: keys that TLS shows are there.
    pub(super) fn software(&self) -> &SoftwareToken {
        &self.software
    }

    /// The active certificates for a usage that are valid at the given time, with their keys, of all tokens that were
    /// unlocked.
    ///
    /// # Errors
    /// When the software token refuses.
    pub(super) fn credentials(
        &self,
        usage: Usage,
        at: OffsetDateTime,
    ) -> Result<Vec<Credential>, KeysError> {
        let mut all = self.software.credentials(usage, at)?;
        if usage == Usage::Signing {
            for module in &self.modules {
                if let Reach::Unlocked(token) = &*module.reach()
                    && token.state() != TokenState::Locked
                {
                    all.extend(Token::credentials(token, usage, at)?);
                }
            }
        }
        Ok(all)
    }

    /// What is wrong with tokens, for people.
    pub(super) fn troubles(&self) -> Vec<String> {
        self.modules.iter().filter_map(Module::trouble).collect()
    }
}

/// Shared by the server's parts.
pub(super) type SharedTokens = Arc<Tokens>;
