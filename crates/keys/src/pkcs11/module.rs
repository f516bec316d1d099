//! A PKCS#11 library in this process, and the slots that it shows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::slot::Slot;

use crate::KeysError;

/// Which of the tokens that a library shows is meant. What is not said does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenChoice {
    /// `CKA_LABEL` of the token, without the blanks that pad it.
    pub label: Option<String>,
    /// Its serial number, without the blanks that pad it.
    pub serial: Option<String>,
    /// The slot's number. Some libraries give another one after each restart: a label or a serial number is better.
    pub slot: Option<u64>,
}

impl fmt::Display for TokenChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = false;
        let parts = [
            ("label", self.label.clone()),
            ("serial number", self.serial.clone()),
            ("slot", self.slot.map(|slot| slot.to_string())),
        ];
        for (name, value) in parts {
            if let Some(value) = value {
                let comma = if std::mem::replace(&mut said, true) { ", " } else { "" };
                write!(f, "{comma}{name} {value:?}")?;
            }
        }
        if said { Ok(()) } else { f.write_str("any") }
    }
}

/// A library, loaded once for all the tokens in it: the standard lets a process initialize it only once.
pub(crate) struct Module {
    library: PathBuf,
    /// Whoever calls the library holds it for reading; initializing it anew needs it alone, since the standard leaves
    /// open what becomes of calls that run meanwhile.
    loaded: RwLock<Loaded>,
}

struct Loaded {
    context: Option<Pkcs11>,
    /// Grows each time the library is initialized: sessions of an earlier time are worth nothing.
    epoch: u64,
}

/// The library, while it is held.
pub(crate) struct Held<'m>(RwLockReadGuard<'m, Loaded>);

impl Held<'_> {
    /// How often the library was initialized.
    pub(crate) fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// The library's functions.
    pub(crate) fn context(&self) -> Result<&Pkcs11, Error> {
        self.0.context.as_ref().ok_or(Error::Pkcs11(
            RvError::CryptokiNotInitialized,
            cryptoki::context::Function::Initialize,
        ))
    }
}

static MODULES: Mutex<BTreeMap<PathBuf, Weak<Module>>> = Mutex::new(BTreeMap::new());

impl Module {
    /// Loads a library, or gives the one that is loaded already.
    ///
    /// # Errors
    /// [`KeysError::Module`] when it cannot be loaded or initialized.
    pub(crate) fn load(library: &Path) -> Result<Arc<Self>, KeysError> {
        let library = std::fs::canonicalize(library)
            .map_err(|e| KeysError::module(library, format!("cannot be found: {e}")))?;
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&library).and_then(Weak::upgrade) {
            return Ok(module);
        }
        let loaded = Loaded { context: Some(initialize(&library)?), epoch: 0 };
        let module = Arc::new(Self { library: library.clone(), loaded: RwLock::new(loaded) });
        modules.insert(library, Arc::downgrade(&module));
        Ok(module)
    }

    /// The library's file.
    pub(crate) fn library(&self) -> &Path {
        &self.library
    }

    /// Holds the library for calls.
    pub(crate) fn hold(&self) -> Held<'_> {
        Held(self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Initializes the library anew, unless somebody has done so since the given epoch: some notice tokens that come
    /// back only then. All sessions in it end.
    ///
    /// # Errors
    /// [`KeysError::Module`].
    pub(crate) fn start_anew(&self, since: u64) -> Result<(), KeysError> {
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        if loaded.context.is_some() && loaded.epoch != since {
            return Ok(());
        }
        if let Some(context) = loaded.context.take() {
            // One that cannot be ended cannot be started either, which says more.
            let _ = context.finalize();
        }
        loaded.epoch = loaded.epoch.saturating_add(1);
        loaded.context = Some(initialize(&self.library)?);
        Ok(())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let loaded = self.loaded.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = loaded.context.take() {
            let _ = context.finalize();
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Module").field(&self.library).finish()
    }
}

fn initialize(library: &Path) -> Result<Pkcs11, KeysError> {
    let failed = |why: String| KeysError::module(library, why);
    let context = Pkcs11::new(library).map_err(|e| failed(format!("cannot be loaded: {e}")))?;
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Something else in this process uses it too.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(context),
        Err(error) => Err(failed(format!("cannot be initialized: {error}"))),
    }
}

/// The slot with the token that is meant.
///
/// # Errors
/// [`KeysError::TokenAbsent`] when there is none, or several.
pub(crate) fn find(context: &Pkcs11, choice: &TokenChoice) -> Result<Slot, KeysError> {
    let absent = |why: String| KeysError::TokenAbsent { choice: choice.to_string(), why };
    let slots = context.get_slots_with_token().map_err(|e| absent(e.to_string()))?;
    let mut found = Vec::new();
    let mut others = Vec::new();
    for slot in slots {
        // One that is being pulled out right now is not there.
        let Ok(info) = context.get_token_info(slot) else { continue };
        if !info.token_initialized() {
            continue;
        }
        let (label, serial) = (info.label().trim_end(), info.serial_number().trim_end());
        let fits = choice.label.as_ref().is_none_or(|wanted| wanted == label)
            && choice.serial.as_ref().is_none_or(|wanted| wanted == serial)
            && choice.slot.is_none_or(|wanted| wanted == slot.id());
        if fits {
            found.push(slot);
        } else {
            others.push(format!("label {label:?}, serial number {serial:?}, slot {}", slot.id()));
        }
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        [] if others.is_empty() => Err(absent("the library shows no token".to_owned())),
        [] => Err(absent(format!("the library shows only: {}", others.join("; ")))),
        several => Err(absent(format!(
            "{} tokens are like that; say the serial number too",
            several.len()
        ))),
    }
}
