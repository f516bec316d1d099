use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::KeysError;

/// The longest PIN, in bytes of UTF-8.
const LONGEST: usize = 256;

/// The secret that unlocks a token. It is wiped when dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct Pin(Zeroizing<String>);

/// Where a PIN comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinSource {
    /// Asked for on the terminal, without echo; the text is the question.
    Prompt(String),
    /// The content of a file, less one line end at its end.
    File(PathBuf),
    /// An environment variable. Other processes of the same user can read it: a file is better.
    Environment(String),
}

impl Pin {
    /// Takes a PIN.
    ///
    /// # Errors
    /// [`KeysError::PinPolicy`] when it is empty, or longer than 256 bytes.
    pub fn new(pin: impl Into<String>) -> Result<Self, KeysError> {
        let pin = Zeroizing::new(pin.into());
        if pin.is_empty() {
            return Err(KeysError::PinPolicy("is empty"));
        }
        if pin.len() > LONGEST {
            return Err(KeysError::PinPolicy("is longer than 256 bytes"));
        }
        Ok(Self(pin))
    }

    /// Obtains a PIN from outside.
    ///
    /// # Errors
    /// [`KeysError::PinSource`] when the source cannot be read, [`KeysError::PinPolicy`] as for [`Self::new`].
    pub fn read(source: &PinSource) -> Result<Self, KeysError> {
        let text = match source {
            PinSource::Prompt(question) => rpassword::prompt_password(question)
                .map_err(|e| unreadable("the terminal", &e.to_string()))?,
            PinSource::File(path) => {
                let name = path.display().to_string();
                let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 4));
                std::fs::File::open(path)
                    .and_then(|f| f.take(LONGEST as u64 + 3).read_to_end(&mut bytes))
                    .map_err(|e| unreadable(&name, &e.to_string()))?;
                let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                match std::str::from_utf8(line) {
                    Ok(text) => text.to_owned(),
                    Err(_) => return Err(unreadable(&name, "it is not UTF-8")),
                }
            }
            PinSource::Environment(name) => std::env::var(name)
                // The error of a value that is not Unicode would show it.
                .map_err(|_| unreadable(name, "the variable is not set, or not UTF-8"))?,
        };
        Self::new(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

fn unreadable(source: &str, why: &str) -> KeysError {
    KeysError::PinSource { source_name: source.to_owned(), why: why.to_owned() }
}

/// What a new PIN must be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinPolicy {
    /// The least number of characters.
    pub minimum_length: usize,
    /// Of how many classes (digits, upper case, lower case, others) it must have characters.
    pub minimum_classes: usize,
}

impl Default for PinPolicy {
    /// X-Road's: ten characters of three classes.
    fn default() -> Self {
        Self { minimum_length: 10, minimum_classes: 3 }
    }
}

impl PinPolicy {
    /// Judges a PIN that is about to be set. Only printable ASCII passes, so
    /// that it can be typed on any keyboard and compares the same everywhere.
    ///
    /// # Errors
    /// [`KeysError::PinPolicy`] says what is amiss.
    pub fn check(&self, pin: &Pin) -> Result<(), KeysError> {
        let bytes = pin.as_bytes();
        if !bytes.iter().all(|b| (b' '..=b'~').contains(b)) {
            return Err(KeysError::PinPolicy("has characters other than printable ASCII"));
        }
        if bytes.len() < self.minimum_length {
            return Err(KeysError::PinPolicy("is too short"));
        }
        let classes: [fn(&u8) -> bool; 4] =
            [u8::is_ascii_digit, u8::is_ascii_uppercase, u8::is_ascii_lowercase, |b| {
                !b.is_ascii_alphanumeric()
            }];
        let found = classes.iter().filter(|class| bytes.iter().any(class)).count();
        if found < self.minimum_classes {
            return Err(KeysError::PinPolicy(
                "has too few kinds of characters (digits, upper case, lower case, others)",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_policy_is_x_roads() {
        let check = |text: &str| PinPolicy::default().check(&Pin::new(text).unwrap());
        assert!(check("Secret1234").is_ok());
        assert!(check("secret 123!").is_ok());
        for bad in ["Secret123", "secret1234", "SECRETSECRET", "Secret1234ä", "Secret1234\t"] {
            assert_eq!(check(bad).unwrap_err().code(), "token_pin_policy_failure", "{bad}");
        }
    }

    #[test]
    fn pins_come_from_files_and_do_not_show() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        for text in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            std::fs::write(&path, text).unwrap();
            let pin = Pin::read(&PinSource::File(path.clone())).unwrap();
            assert_eq!(pin.as_bytes(), b"s3cret");
            assert!(!format!("{pin:?}").contains("s3"));
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(Pin::read(&PinSource::File(path.clone())).is_err());
        std::fs::write(&path, "x".repeat(257)).unwrap();
        assert!(Pin::read(&PinSource::File(path)).is_err());
        assert!(Pin::read(&PinSource::File(folder.path().join("none"))).is_err());
        assert!(Pin::read(&PinSource::Environment("CAUSEWAY_NO_SUCH_PIN".into())).is_err());
        // Any variable that is sure to be set while tests run.
        assert!(Pin::read(&PinSource::Environment("CARGO_PKG_NAME".into())).is_ok());
    }
}
