mod certificates;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_identifiers::MemberId;
use causeway_pki::issue::RequestTemplate;
use causeway_pki::{Certificate, SigningKey};
use time::OffsetDateTime;

use crate::attempts::Attempts;
use crate::record::{self, KeyRecord, TokenFile};
use crate::seal::{self, Cost, Derivation, Sealed, SealingKey};
use crate::token::{Credential, Fingerprint, KeyInfo, Token, TokenState, Usage};
use crate::{KeyId, KeyKind, KeyPair, KeysError, Pin, store};

const FILE: &str = "token.json";

/// Keys in a folder on disk, sealed under a PIN.
///
/// The folder has `token.json`, replaced whole at every change, and
/// `attempts.json`, which counts wrong PINs: after three in a row each
/// further attempt must wait, from two seconds up to five minutes. Both are
/// readable by their owner alone. What the file says beside the private keys
/// (labels, certificates, what is active) is not secret, and is as
/// trustworthy as the folder's permissions.
pub struct SoftwareToken {
    folder: PathBuf,
    attempts: Attempts,
    state: Mutex<State>,
}

struct State {
    file: TokenFile,
    unlocked: Option<Unlocked>,
}

struct Unlocked {
    sealing: SealingKey,
    keys: BTreeMap<KeyId, OpenKey>,
}

struct OpenKey {
    pair: KeyPair,
    usable: Arc<AtomicBool>,
}

impl OpenKey {
    fn new(pair: &KeyPair) -> Self {
        let usable = Arc::new(AtomicBool::new(true));
        Self { pair: pair.gated(Arc::clone(&usable)), usable }
    }
}

impl Drop for OpenKey {
    /// Keys handed out stop signing when the token forgets them.
    fn drop(&mut self) {
        self.usable.store(false, Ordering::Release);
    }
}

impl SoftwareToken {
    /// Makes a new token in a folder, which is made too if need be, and leaves it unlocked.
    /// Whether the PIN is good enough is for [`crate::PinPolicy`].
    ///
    /// # Errors
    /// [`KeysError::TokenExists`], or that files cannot be written.
    pub fn create(folder: impl AsRef<Path>, pin: &Pin) -> Result<Self, KeysError> {
        Self::create_with(folder, pin, "software token", Cost::default())
    }

    /// As [`Self::create`], with a name for the token and the cost of a guess.
    ///
    /// # Errors
    /// As [`Self::create`]; also when the label is longer than 255 bytes or the cost out of bounds.
    pub fn create_with(
        folder: impl AsRef<Path>,
        pin: &Pin,
        label: &str,
        cost: Cost,
    ) -> Result<Self, KeysError> {
        let folder = folder.as_ref();
        record::check_label(label)?;
        let path = folder.join(FILE);
        if path.try_exists().map_err(|e| KeysError::io("look for", &path, e))? {
            return Err(KeysError::TokenExists(folder.to_owned()));
        }
        store::create_folder(folder)?;
        let derivation = Derivation::new(cost).map_err(generation)?;
        let sealing = derivation.derive(pin).map_err(generation)?;
        let id = hex::encode(seal::random::<16>().map_err(generation)?);
        let pin_check = sealing.seal(&[], "").map_err(generation)?;
        let mut file = TokenFile {
            format: record::FORMAT,
            generation: 0,
            id,
            label: label.to_owned(),
            derivation,
            pin_check,
            keys: Vec::new(),
        };
        file.pin_check = sealing.seal(&[], &file.pin_context()).map_err(generation)?;
        write(&path, &file)?;
        let unlocked = Some(Unlocked { sealing, keys: BTreeMap::new() });
        let attempts = Attempts::new(folder);
        Ok(Self { folder: folder.to_owned(), attempts, state: State { file, unlocked }.into() })
    }

    /// Opens the token of a folder, locked.
    ///
    /// # Errors
    /// [`KeysError::NoToken`]; [`KeysError::Exposed`] when everyone may read
    /// or write its file; [`KeysError::Damaged`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, KeysError> {
        let folder = folder.as_ref();
        let file = read(folder)?;
        let attempts = Attempts::new(folder);
        let state = State { file, unlocked: None }.into();
        Ok(Self { folder: folder.to_owned(), attempts, state })
    }

    /// The operator's name for the token.
    pub fn label(&self) -> String {
        self.state().file.label.clone()
    }

    /// Whether keys can be used and made.
    pub fn is_unlocked(&self) -> bool {
        self.state().unlocked.is_some()
    }

    /// Unlocks the token. Costs some 100 ms of work on purpose, right or wrong.
    ///
    /// # Errors
    /// [`KeysError::PinIncorrect`]; [`KeysError::PinTooSoon`] after several of
    /// them; [`KeysError::Damaged`] when the PIN is right and a key cannot be opened.
    pub fn unlock(&self, pin: &Pin) -> Result<(), KeysError> {
        self.unlock_at(pin, OffsetDateTime::now_utc())
    }

    /// As [`Self::unlock`], with the time that waits are reckoned by.
    ///
    /// # Errors
    /// As [`Self::unlock`].
    pub fn unlock_at(&self, pin: &Pin, now: OffsetDateTime) -> Result<(), KeysError> {
        // Held throughout: guesses are made one after the other.
        let mut state = self.state();
        let sealing = self.check_pin(&state.file, pin, now)?;
        let mut keys = BTreeMap::new();
        for record in &state.file.keys {
            let pair = self.open_key(&state.file, record, &sealing)?;
            keys.insert(record.id.clone(), OpenKey::new(&pair));
        }
        state.unlocked = Some(Unlocked { sealing, keys });
        Ok(())
    }

    /// Locks the token: private keys are wiped, and keys handed out stop signing.
    pub fn lock(&self) {
        self.state().unlocked = None;
    }

    /// Seals all keys under a new PIN. The token must be unlocked, and stays so.
    ///
    /// # Errors
    /// [`KeysError::Locked`], or as [`Self::unlock`] for the present PIN.
    pub fn change_pin(&self, present: &Pin, new: &Pin) -> Result<(), KeysError> {
        self.change_pin_at(present, new, OffsetDateTime::now_utc())
    }

    /// As [`Self::change_pin`], with the time that waits are reckoned by.
    ///
    /// # Errors
    /// As [`Self::change_pin`].
    pub fn change_pin_at(
        &self,
        present: &Pin,
        new: &Pin,
        now: OffsetDateTime,
    ) -> Result<(), KeysError> {
        let mut guard = self.state();
        let State { file, unlocked } = &mut *guard;
        let unlocked = unlocked.as_mut().ok_or(KeysError::Locked)?;
        self.check_pin(file, present, now)?;
        let mut changed = file.clone();
        changed.derivation = Derivation::new(file.derivation.cost()).map_err(generation)?;
        let sealing = changed.derivation.derive(new).map_err(generation)?;
        changed.pin_check = sealing.seal(&[], &changed.pin_context()).map_err(generation)?;
        let mut sealed = Vec::with_capacity(changed.keys.len());
        for key in &changed.keys {
            let open = unlocked.keys.get(&key.id).ok_or(KeysError::Locked)?;
            let context = changed.key_context(&key.id, key.usage);
            sealed.push(sealing.seal(&open.pair.to_pkcs8(), &context).map_err(generation)?);
        }
        for (key, sealed) in changed.keys.iter_mut().zip(sealed) {
            key.private_key = sealed;
        }
        self.save(file, changed)?;
        unlocked.sealing = sealing;
        Ok(())
    }

    /// All keys with their certificates and requests. The token may be locked.
    pub fn keys(&self) -> Vec<KeyInfo> {
        self.state().file.keys.iter().map(KeyRecord::info).collect()
    }

    /// The private key. It stops signing when the token is locked or the key deleted.
    ///
    /// # Errors
    /// [`KeysError::Locked`], [`KeysError::KeyNotFound`].
    pub fn key(&self, id: &KeyId) -> Result<KeyPair, KeysError> {
        let state = self.state();
        let unlocked = state.unlocked.as_ref().ok_or(KeysError::Locked)?;
        let open = unlocked.keys.get(id).ok_or_else(|| KeysError::KeyNotFound(id.clone()))?;
        Ok(open.pair.clone())
    }

    /// Makes a key in the token.
    ///
    /// # Errors
    /// [`KeysError::Locked`], or that the key cannot be made or stored.
    pub fn generate_key(
        &self,
        kind: KeyKind,
        label: &str,
        usage: Usage,
    ) -> Result<KeyId, KeysError> {
        if !self.is_unlocked() {
            return Err(KeysError::Locked);
        }
        // Takes long: others may use the token meanwhile.
        self.import_key(&KeyPair::generate(kind)?, label, usage)
    }

    /// Takes a key that was made elsewhere.
    ///
    /// # Errors
    /// [`KeysError::Locked`]; [`KeysError::UnsupportedKey`] when it is there already.
    pub fn import_key(
        &self,
        pair: &KeyPair,
        label: &str,
        usage: Usage,
    ) -> Result<KeyId, KeysError> {
        record::check_label(label)?;
        let mut guard = self.state();
        let State { file, unlocked } = &mut *guard;
        let unlocked = unlocked.as_mut().ok_or(KeysError::Locked)?;
        let id = pair.key_id().clone();
        if file.key(&id).is_ok() {
            return Err(KeysError::UnsupportedKey(format!("{id} is in the token already")));
        }
        if file.keys.len() >= record::MOST_KEYS {
            return Err(KeysError::TooMany { what: "keys", limit: record::MOST_KEYS });
        }
        let context = file.key_context(&id, usage);
        let private_key = unlocked.sealing.seal(&pair.to_pkcs8(), &context).map_err(generation)?;
        let mut changed = file.clone();
        changed.keys.push(KeyRecord {
            id: id.clone(),
            kind: pair.kind(),
            label: label.to_owned(),
            usage,
            public_key: pair.public_key().to_vec(),
            private_key,
            certificates: Vec::new(),
            requests: Vec::new(),
        });
        self.save(file, changed)?;
        unlocked.keys.insert(id.clone(), OpenKey::new(pair));
        Ok(id)
    }

    /// Forgets a key with its certificates and requests.
    ///
    /// # Errors
    /// [`KeysError::KeyNotFound`].
    pub fn delete_key(&self, id: &KeyId) -> Result<(), KeysError> {
        let mut state = self.state();
        let mut changed = state.file.clone();
        changed.key(id)?;
        changed.keys.retain(|key| key.id != *id);
        self.save(&mut state.file, changed)?;
        if let Some(unlocked) = &mut state.unlocked {
            unlocked.keys.remove(id);
        }
        Ok(())
    }

    /// The active certificates for a usage that are valid at the given time, with their keys.
    ///
    /// # Errors
    /// [`KeysError::Locked`].
    pub fn credentials(
        &self,
        usage: Usage,
        at: OffsetDateTime,
    ) -> Result<Vec<Credential>, KeysError> {
        Token::credentials(self, usage, at)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state as it was: it is changed in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn check_pin(
        &self,
        file: &TokenFile,
        pin: &Pin,
        now: OffsetDateTime,
    ) -> Result<SealingKey, KeysError> {
        let failed = self.attempts.begin(now.unix_timestamp())?;
        let sealing = file.derivation.derive(pin).map_err(|why| self.damaged(why))?;
        if sealing.open(&file.pin_check, &file.pin_context()).is_none() {
            return Err(KeysError::PinIncorrect { failed });
        }
        self.attempts.succeeded()?;
        Ok(sealing)
    }

    fn open_key(
        &self,
        file: &TokenFile,
        record: &KeyRecord<Sealed>,
        sealing: &SealingKey,
    ) -> Result<KeyPair, KeysError> {
        let context = file.key_context(&record.id, record.usage);
        let pkcs8 = sealing
            .open(&record.private_key, &context)
            .ok_or_else(|| self.damaged(format!("key {} does not open", record.id)))?;
        let pair = KeyPair::from_pkcs8(&pkcs8)?;
        if pair.public_key() != record.public_key || pair.kind() != record.kind {
            return Err(self.damaged(format!("key {} is another one", record.id)));
        }
        Ok(pair)
    }

    fn damaged(&self, why: impl Into<String>) -> KeysError {
        KeysError::damaged(&self.path(), why)
    }

    /// Changes a copy of what the file says, writes it, and only then takes it over.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut TokenFile) -> Result<T, KeysError>,
    ) -> Result<T, KeysError> {
        let mut state = self.state();
        let mut changed = state.file.clone();
        let result = change(&mut changed)?;
        self.save(&mut state.file, changed)?;
        Ok(result)
    }

    fn save(&self, file: &mut TokenFile, mut changed: TokenFile) -> Result<(), KeysError> {
        let path = self.path();
        if read(&self.folder)?.generation != file.generation {
            return Err(KeysError::ChangedOnDisk(path));
        }
        changed.generation = file.generation.saturating_add(1);
        write(&path, &changed)?;
        *file = changed;
        Ok(())
    }
}

fn read(folder: &Path) -> Result<TokenFile, KeysError> {
    let path = folder.join(FILE);
    match store::read(&path, record::LONGEST_FILE) {
        Ok(bytes) => TokenFile::parse(&bytes, &path),
        Err(KeysError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(KeysError::NoToken(folder.to_owned()))
        }
        Err(error) => Err(error),
    }
}

fn write(path: &Path, file: &TokenFile) -> Result<(), KeysError> {
    let bytes = serde_json::to_vec_pretty(file)
        .map_err(|e| KeysError::io("encode", path, std::io::Error::other(e)))?;
    store::replace(path, &bytes)
}

fn generation(why: &'static str) -> KeysError {
    KeysError::Generation(why.to_owned())
}

impl fmt::Debug for SoftwareToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareToken").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Token for SoftwareToken {
    fn label(&self) -> String {
        self.label()
    }

    fn state(&self) -> TokenState {
        if self.is_unlocked() { TokenState::Unlocked } else { TokenState::Locked }
    }

    fn unlock(&self, pin: &Pin) -> Result<(), KeysError> {
        self.unlock(pin)
    }

    fn lock(&self) {
        self.lock();
    }

    fn change_pin(&self, present: &Pin, new: &Pin) -> Result<(), KeysError> {
        self.change_pin(present, new)
    }

    fn keys(&self) -> Vec<KeyInfo> {
        self.keys()
    }

    fn generate_key(&self, kind: KeyKind, label: &str, usage: Usage) -> Result<KeyId, KeysError> {
        self.generate_key(kind, label, usage)
    }

    fn signing_key(&self, id: &KeyId) -> Result<Arc<dyn SigningKey>, KeysError> {
        Ok(Arc::new(self.key(id)?))
    }

    fn certificate_request(
        &self,
        id: &KeyId,
        template: &RequestTemplate,
        member: Option<MemberId>,
    ) -> Result<Vec<u8>, KeysError> {
        self.certificate_request(id, template, member)
    }

    fn delete_request(&self, id: &KeyId, der: &[u8]) -> Result<(), KeysError> {
        self.delete_request(id, der)
    }

    fn import_certificate(&self, certificate: Certificate) -> Result<KeyId, KeysError> {
        self.import_certificate(certificate)
    }

    fn set_member(
        &self,
        certificate: &Fingerprint,
        member: Option<MemberId>,
    ) -> Result<(), KeysError> {
        self.set_member(certificate, member)
    }

    fn delete_certificate(&self, certificate: &Fingerprint) -> Result<(), KeysError> {
        self.delete_certificate(certificate)
    }

    fn delete_key(&self, id: &KeyId) -> Result<(), KeysError> {
        self.delete_key(id)
    }

    fn set_active(&self, certificate: &Fingerprint, active: bool) -> Result<(), KeysError> {
        if active { self.activate(certificate) } else { self.deactivate(certificate) }
    }
}
