//! A token behind a PKCS#11 library (OASIS PKCS #11 2.40 and later): a hardware module, a smartcard, a remote one.
//!
//! Private keys never leave it. What the library does not keep (the operator's names for keys, what they are for,
//! certificates, certificate requests) lies in `pkcs11.json` in a folder of the server; none of it is secret.

mod file;
mod form;
mod module;
mod session;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_identifiers::MemberId;
use causeway_pki::issue::RequestTemplate;
use causeway_pki::{Certificate, DigestAlgorithm, PkiError, SignatureAlgorithm, SigningKey};

use self::file::ModuleFile;
use self::module::Module;
pub use self::module::TokenChoice;
use self::session::Line;
use crate::pair::unsupported;
use crate::record::KeyRecord;
use crate::token::{Fingerprint, KeyInfo, Token, TokenState, Usage};
use crate::{KeyId, KeyKind, KeysError, Pin, catalog, record, seal};

/// A key that is in the module and not yet in use here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownKey {
    /// Its name.
    pub id: KeyId,
    /// Its kind.
    pub kind: KeyKind,
    /// `CKA_LABEL`, as far as it is text.
    pub label: String,
}

/// Keys in a PKCS#11 module.
///
/// Once unlocked it stays so until it is locked: when the module vanishes (pulled out, restarted, network gone) and
/// comes back, the next signature opens it again with the same PIN, which is kept in memory for that. A PIN that the
/// module refuses then is never tried twice, so that the module does not lock its owner out.
#[derive(Clone)]
pub struct Pkcs11Token(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    line: Line,
    state: Mutex<State>,
}

struct State {
    file: ModuleFile,
    /// Cleared to stop keys that were handed out; there is one for each key in use.
    usable: BTreeMap<KeyId, Arc<AtomicBool>>,
}

impl Pkcs11Token {
    /// Opens the token, locked. The folder, made if need be, keeps what the module does not; whether the module is
    /// there shows when it is unlocked.
    ///
    /// # Errors
    /// [`KeysError::Module`] when the library cannot be loaded, [`KeysError::Damaged`], [`KeysError::Exposed`] or
    /// [`KeysError::Io`] for the folder's file.
    pub fn open(
        library: impl AsRef<Path>,
        choice: TokenChoice,
        folder: impl AsRef<Path>,
    ) -> Result<Self, KeysError> {
        let folder = folder.as_ref();
        let module = Module::load(library.as_ref())?;
        let file = ModuleFile::open(folder)?;
        let state = State { file, usable: BTreeMap::new() }.into();
        Ok(Self(Arc::new(Shared {
            folder: folder.to_owned(),
            line: Line::new(module, choice),
            state,
        })))
    }

    /// Keys that can sign and were not made or adopted here, as those made by the module's own tools.
    ///
    /// # Errors
    /// [`KeysError::Locked`], [`KeysError::TokenAbsent`], [`KeysError::Module`].
    pub fn unknown_keys(&self) -> Result<Vec<UnknownKey>, KeysError> {
        let known: Vec<KeyId> = self.0.state().file.keys.iter().map(|key| key.id.clone()).collect();
        let found = self.0.line.private_keys()?;
        let unknown = found.into_iter().filter(|key| !known.contains(&key.shown.id));
        Ok(unknown
            .map(|key| UnknownKey { id: key.shown.id, kind: key.shown.kind, label: key.label })
            .collect())
    }

    /// Takes a key of the module into use.
    ///
    /// # Errors
    /// As [`Self::unknown_keys`]; [`KeysError::KeyNotFound`] when it is not among them.
    pub fn adopt_key(&self, id: &KeyId, label: &str, usage: Usage) -> Result<(), KeysError> {
        record::check_label(label)?;
        let mut found = self.0.line.private_keys()?.into_iter();
        let key = found
            .find(|key| key.shown.id == *id)
            .ok_or_else(|| KeysError::KeyNotFound(id.clone()))?;
        self.0.change(|keys| {
            if keys.iter().any(|known| known.id == *id) {
                return Err(KeysError::UnsupportedKey(format!("{id} is in use already")));
            }
            add(keys, key.shown, key.cka_id, label, usage).map(|_| ())
        })
    }
}

/// Adds a key to those in use.
fn add(
    keys: &mut Vec<KeyRecord<String>>,
    shown: form::Shown,
    cka_id: Vec<u8>,
    label: &str,
    usage: Usage,
) -> Result<KeyId, KeysError> {
    if keys.len() >= record::MOST_KEYS {
        return Err(KeysError::TooMany { what: "keys", limit: record::MOST_KEYS });
    }
    let id = shown.id;
    keys.push(KeyRecord {
        id: id.clone(),
        kind: shown.kind,
        label: label.to_owned(),
        usage,
        public_key: shown.spki,
        private_key: hex::encode(cka_id),
        certificates: Vec::new(),
        requests: Vec::new(),
    });
    Ok(id)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state as it was: it is changed in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a copy of what the file says, writes it, and only then takes it over.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<KeyRecord<String>>) -> Result<T, KeysError>,
    ) -> Result<T, KeysError> {
        let mut state = self.state();
        let mut changed = state.file.clone();
        let result = change(&mut changed.keys)?;
        state.file = changed.save(&self.folder)?;
        Ok(result)
    }
}

impl fmt::Debug for Pkcs11Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Token").field("line", &self.0.line).finish_non_exhaustive()
    }
}

impl Token for Pkcs11Token {
    fn label(&self) -> String {
        self.0.line.choice().to_string()
    }

    fn state(&self) -> TokenState {
        self.0.line.state()
    }

    fn unlock(&self, pin: &Pin) -> Result<(), KeysError> {
        self.0.line.unlock(pin)
    }

    fn lock(&self) {
        for usable in std::mem::take(&mut self.0.state().usable).into_values() {
            usable.store(false, Ordering::Release);
        }
        self.0.line.lock();
    }

    fn change_pin(&self, present: &Pin, new: &Pin) -> Result<(), KeysError> {
        self.0.line.change_pin(present, new)
    }

    fn keys(&self) -> Vec<KeyInfo> {
        self.0.state().file.keys.iter().map(KeyRecord::info).collect()
    }

    fn generate_key(&self, kind: KeyKind, label: &str, usage: Usage) -> Result<KeyId, KeysError> {
        record::check_label(label)?;
        let cka_id = seal::random::<20>().map_err(|e| KeysError::Generation(e.to_owned()))?;
        let shown = self.0.line.generate(kind, &cka_id, label)?;
        self.0.change(|keys| add(keys, shown, cka_id.to_vec(), label, usage))
    }

    fn signing_key(&self, id: &KeyId) -> Result<Arc<dyn SigningKey>, KeysError> {
        if self.state() == TokenState::Locked {
            return Err(KeysError::Locked);
        }
        let mut state = self.0.state();
        let found = state.file.keys.iter().find(|key| key.id == *id);
        let record = found.ok_or_else(|| KeysError::KeyNotFound(id.clone()))?.clone();
        let new = || Arc::new(AtomicBool::new(true));
        let usable = Arc::clone(state.usable.entry(id.clone()).or_insert_with(new));
        Ok(Arc::new(ModuleKey { token: Arc::clone(&self.0), record, usable }))
    }

    fn certificate_request(
        &self,
        id: &KeyId,
        template: &RequestTemplate,
        member: Option<MemberId>,
    ) -> Result<Vec<u8>, KeysError> {
        let der = template.sign(&self.signing_key(id)?)?;
        self.0.change(|keys| catalog::add_request(keys, id, &der, member))?;
        Ok(der)
    }

    fn delete_request(&self, id: &KeyId, der: &[u8]) -> Result<(), KeysError> {
        self.0.change(|keys| catalog::delete_request(keys, id, der))
    }

    fn import_certificate(&self, certificate: Certificate) -> Result<KeyId, KeysError> {
        self.0.change(|keys| catalog::import_certificate(keys, certificate))
    }

    fn set_active(&self, certificate: &Fingerprint, active: bool) -> Result<(), KeysError> {
        self.0.change(|keys| {
            catalog::change_certificate(keys, certificate, |info| info.active = active)
        })
    }

    fn set_member(
        &self,
        certificate: &Fingerprint,
        member: Option<MemberId>,
    ) -> Result<(), KeysError> {
        self.0.change(|keys| {
            catalog::change_certificate(keys, certificate, |info| info.member = member)
        })
    }

    fn delete_certificate(&self, certificate: &Fingerprint) -> Result<(), KeysError> {
        self.0.change(|keys| catalog::delete_certificate(keys, certificate))
    }

    /// Destroys the key in the module, and forgets it with its certificates and requests.
    fn delete_key(&self, id: &KeyId) -> Result<(), KeysError> {
        let record = {
            let state = self.0.state();
            let found = state.file.keys.iter().find(|key| key.id == *id);
            found.ok_or_else(|| KeysError::KeyNotFound(id.clone()))?.clone()
        };
        self.0.line.destroy(&record)?;
        if let Some(usable) = self.0.state().usable.remove(id) {
            usable.store(false, Ordering::Release);
        }
        self.0.change(|keys| {
            keys.retain(|key| key.id != *id);
            Ok(())
        })
    }
}

/// A key in the module, handed out.
struct ModuleKey {
    token: Arc<Shared>,
    record: KeyRecord<String>,
    usable: Arc<AtomicBool>,
}

impl SigningKey for ModuleKey {
    fn certificate_public_key(&self) -> &[u8] {
        &self.record.public_key
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.record.kind.modulus_bits() {
            Some(_) => SignatureAlgorithm::RsaPkcs1(DigestAlgorithm::Sha512),
            None => SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha256),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        self.sign_with(self.algorithm().digest(), message)
    }

    fn sign_with(&self, digest: DigestAlgorithm, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        let id = &self.record.id;
        if !self.usable.load(Ordering::Acquire) {
            let text = format!("key {id}: its token was locked, or the key deleted");
            return Err(PkiError::SigningFailed(text));
        }
        let (mechanism, input) = form::to_sign(self.record.kind, digest, message)
            .ok_or_else(|| unsupported(self.algorithm().with_digest(digest)))?;
        let signed = self.token.line.sign(&self.record, &mechanism, &input);
        let raw = signed.map_err(|e| PkiError::SigningFailed(format!("key {id}: {e}")))?;
        form::signature(self.record.kind, raw).ok_or_else(|| {
            PkiError::SigningFailed(format!("key {id}: the module gave no ECDSA signature"))
        })
    }
}
