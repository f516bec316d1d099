//! The line to a token: sessions that are logged in, opened again when they are lost.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::context::{Function, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::form::{self, Shown};
use super::module::{self, Module, TokenChoice};
use crate::record::KeyRecord;
use crate::token::TokenState;
use crate::{KeyId, KeyKind, KeysError, Pin};

/// How long after a failed attempt to reach the token the next one is made: what waits fails at once meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
/// The most keys of a module that are looked at.
const MOST_OBJECTS: usize = 10_000;
/// The most idle sessions that are kept. Each signs one thing at a time.
const MOST_IDLE: usize = 16;

/// A private key that the module shows.
pub(super) struct Found {
    pub(super) shown: Shown,
    pub(super) cka_id: Vec<u8>,
    pub(super) label: String,
}

pub(super) struct Line {
    module: Arc<Module>,
    choice: TokenChoice,
    wire: Mutex<Wire>,
}

/// Locks are taken in one order: the wire, then the module; whoever works in a session holds the module alone.
///
/// Sessions are closed only by whoever holds the module at their own epoch: after it was initialized anew, their
/// numbers may be those of others.
#[derive(Default)]
struct Wire {
    /// The PIN that was right; present while the token is unlocked.
    pin: Option<Pin>,
    /// Wrong PINs in a row.
    failed: u32,
    open: Option<Open>,
    /// Why it cannot be reached, and when that was tried last.
    lost: Option<(String, Instant)>,
}

/// Where sessions of one login find keys.
type Handles = Arc<Mutex<BTreeMap<KeyId, ObjectHandle>>>;

struct Open {
    epoch: u64,
    slot: Slot,
    /// Keeps the login: it ends with the last session.
    login: Session,
    idle: Vec<Session>,
    handles: Handles,
}

impl Line {
    pub(super) fn new(module: Arc<Module>, choice: TokenChoice) -> Self {
        Self { module, choice, wire: Mutex::default() }
    }

    pub(super) fn choice(&self) -> &TokenChoice {
        &self.choice
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> TokenState {
        let wire = self.wire();
        match (&wire.pin, &wire.lost) {
            (None, _) => TokenState::Locked,
            (Some(_), Some((why, _))) => TokenState::Absent(why.clone()),
            (Some(_), None) => TokenState::Unlocked,
        }
    }

    pub(super) fn unlock(&self, pin: &Pin) -> Result<(), KeysError> {
        let mut wire = self.wire();
        self.shut(&mut wire);
        self.reach(&mut wire, pin)?;
        wire.pin = Some(pin.clone());
        Ok(())
    }

    pub(super) fn lock(&self) {
        let mut wire = self.wire();
        wire.pin = None;
        wire.lost = None;
        self.shut(&mut wire);
    }

    pub(super) fn change_pin(&self, present: &Pin, new: &Pin) -> Result<(), KeysError> {
        self.with_session(true, |session, _| session.set_pin(&secret(present), &secret(new)))?;
        self.wire().pin = Some(new.clone());
        Ok(())
    }

    pub(super) fn sign(
        &self,
        record: &KeyRecord<String>,
        mechanism: &Mechanism<'_>,
        input: &[u8],
    ) -> Result<Vec<u8>, KeysError> {
        self.with_session(false, |session, handles| {
            let handle = handle(session, handles, record)?;
            session.sign(mechanism, handle, input)
        })
    }

    /// Makes a key, and gives its public half.
    pub(super) fn generate(
        &self,
        kind: KeyKind,
        cka_id: &[u8],
        label: &str,
    ) -> Result<Shown, KeysError> {
        let refused = |why: &str| KeysError::Generation(why.to_owned());
        let (mechanism, public, private) = form::generation(kind, cka_id, label)
            .ok_or_else(|| refused("the kind of key cannot be asked of a module"))?;
        let shown = self.with_session(true, |session, _| {
            let (public, _) = session.generate_key_pair(&mechanism, &public, &private)?;
            form::public_key(session, public)
        })?;
        shown.ok_or_else(|| refused("the module made a key of another kind"))
    }

    /// Destroys both halves of a key.
    pub(super) fn destroy(&self, record: &KeyRecord<String>) -> Result<(), KeysError> {
        self.with_session(true, |session, _| {
            let id = Attribute::Id(hex::decode(&record.private_key).unwrap_or_default());
            for object in session.find_objects(&[id])? {
                let class = session.get_attributes(object, &[AttributeType::Class])?;
                let is_key = class.iter().any(|attribute| {
                    matches!(attribute, Attribute::Class(class)
                        if [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY].contains(class))
                });
                if is_key {
                    session.destroy_object(object)?;
                }
            }
            Ok(())
        })?;
        if let Some(open) = &self.wire().open {
            lock(&open.handles).remove(&record.id);
        }
        Ok(())
    }

    /// All private keys that can sign and whose public half the module shows.
    pub(super) fn private_keys(&self) -> Result<Vec<Found>, KeysError> {
        self.with_session(false, |session, _| {
            let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Sign(true)];
            let mut found = Vec::new();
            for object in session.find_objects(&wanted)?.into_iter().take(MOST_OBJECTS) {
                found.extend(describe(session, object)?);
            }
            Ok(found)
        })
    }

    /// Does something in a session. When the token turns out to be lost, it is opened again and the thing done once
    /// more; sessions and their handles from before are not used any more.
    fn with_session<T>(
        &self,
        writing: bool,
        mut work: impl FnMut(&Session, &Handles) -> Result<T, Error>,
    ) -> Result<T, KeysError> {
        let mut again = true;
        loop {
            let (epoch, session, handles) = self.session(writing)?;
            let held = self.module.hold();
            if held.epoch() != epoch {
                // Somebody initialized the module anew meanwhile.
                drop(held);
                if std::mem::take(&mut again) {
                    self.drop_line(epoch);
                    continue;
                }
                return Err(self.absent("the module is being restarted"));
            }
            match work(&session, &handles) {
                Ok(done) => {
                    drop(held);
                    self.keep(session, writing, epoch);
                    return Ok(done);
                }
                Err(error) => {
                    let _ = session.close();
                    drop(held);
                    if !is_lost(&error) {
                        return Err(self.failed(&error));
                    }
                    self.drop_line(epoch);
                    if !std::mem::take(&mut again) {
                        return Err(self.absent(&error.to_string()));
                    }
                }
            }
        }
    }

    /// A session of an open line, which is opened when it is not.
    fn session(&self, writing: bool) -> Result<(u64, Session, Handles), KeysError> {
        let mut wire = self.wire();
        let pin = wire.pin.clone().ok_or(KeysError::Locked)?;
        if wire.open.as_ref().is_some_and(|open| open.epoch != self.module.hold().epoch()) {
            wire.open = None;
        }
        if wire.open.is_none() {
            if let Some((why, when)) = &wire.lost
                && when.elapsed() < PAUSE
            {
                return Err(self.absent(why));
            }
            self.reach_again(&mut wire, &pin)?;
        }
        let Some(open) = &mut wire.open else { return Err(self.absent("not reached")) };
        if !writing && let Some(session) = open.idle.pop() {
            return Ok((open.epoch, session, Arc::clone(&open.handles)));
        }
        match self.new_session(open, writing) {
            Err(error) if is_lost(&error) => {
                wire.open = None;
                self.reach_again(&mut wire, &pin)?;
                let Some(open) = &wire.open else { return Err(self.absent("not reached")) };
                self.new_session(open, writing)
            }
            opened => opened,
        }
        .map_err(|e| self.failed(&e))
    }

    fn new_session(&self, open: &Open, writing: bool) -> Result<(u64, Session, Handles), Error> {
        let held = self.module.hold();
        let context = held.context()?;
        let session = if writing {
            context.open_rw_session_no_drop(open.slot)
        } else {
            context.open_ro_session_no_drop(open.slot)
        };
        Ok((held.epoch(), session?, Arc::clone(&open.handles)))
    }

    /// Keeps a session for the next one who needs it.
    fn keep(&self, session: Session, writing: bool, epoch: u64) {
        let mut wire = self.wire();
        if let Some(open) = &mut wire.open
            && open.epoch == epoch
            && !writing
            && open.idle.len() < MOST_IDLE
        {
            open.idle.push(session);
        } else if self.module.hold().epoch() == epoch {
            let _ = session.close();
        }
    }

    /// Forgets the sessions of a line that failed.
    fn drop_line(&self, epoch: u64) {
        let mut wire = self.wire();
        if wire.open.as_ref().is_some_and(|open| open.epoch == epoch) {
            self.shut(&mut wire);
        }
    }

    /// Closes all sessions.
    fn shut(&self, wire: &mut Wire) {
        let Some(open) = wire.open.take() else { return };
        let held = self.module.hold();
        if held.epoch() == open.epoch {
            for session in open.idle.into_iter().chain([open.login]) {
                let _ = session.close();
            }
        }
    }

    /// Opens the line with the PIN that was right before.
    fn reach_again(&self, wire: &mut Wire, pin: &Pin) -> Result<(), KeysError> {
        match self.reach(wire, pin) {
            Ok(()) => {
                wire.lost = None;
                Ok(())
            }
            Err(error @ (KeysError::PinIncorrect { .. } | KeysError::PinLocked)) => {
                // It was right once; another try could lock the token for good.
                wire.pin = None;
                wire.lost = None;
                Err(error)
            }
            Err(error) => {
                let why = match &error {
                    KeysError::TokenAbsent { why, .. } => why.clone(),
                    error => error.to_string(),
                };
                wire.lost = Some((why, Instant::now()));
                Err(error)
            }
        }
    }

    /// Opens the line: finds the token, if need be by initializing the library anew, and logs in.
    fn reach(&self, wire: &mut Wire, pin: &Pin) -> Result<(), KeysError> {
        let epoch = {
            let held = self.module.hold();
            let found = held.context().map_err(|e| self.failed(&e)).and_then(|context| {
                module::find(context, &self.choice).map(|slot| (context, slot))
            });
            match found.and_then(|(context, slot)| self.log_in(wire, context, slot, pin)) {
                Ok(login) => {
                    wire.open = Some(login.at(held.epoch()));
                    return Ok(());
                }
                Err(KeysError::TokenAbsent { .. } | KeysError::Module { .. }) => held.epoch(),
                Err(error) => return Err(error),
            }
        };
        self.module.start_anew(epoch)?;
        let held = self.module.hold();
        let context = held.context().map_err(|e| self.failed(&e))?;
        let slot = module::find(context, &self.choice)?;
        let login = self.log_in(wire, context, slot, pin)?;
        wire.open = Some(login.at(held.epoch()));
        Ok(())
    }

    fn log_in(
        &self,
        wire: &mut Wire,
        context: &Pkcs11,
        slot: Slot,
        pin: &Pin,
    ) -> Result<LoggedIn, KeysError> {
        let session = context.open_rw_session_no_drop(slot).map_err(|e| self.failed(&e))?;
        match session.login(UserType::User, Some(&secret(pin))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                wire.failed = 0;
                Ok(LoggedIn { slot, session })
            }
            Err(error) => {
                let _ = session.close();
                Err(match &error {
                    Error::Pkcs11(
                        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                        _,
                    ) => {
                        wire.failed = wire.failed.saturating_add(1);
                        KeysError::PinIncorrect { failed: wire.failed }
                    }
                    Error::Pkcs11(RvError::PinLocked, _) => KeysError::PinLocked,
                    error => self.failed(error),
                })
            }
        }
    }

    fn absent(&self, why: &str) -> KeysError {
        KeysError::TokenAbsent { choice: self.choice.to_string(), why: why.to_owned() }
    }

    fn failed(&self, error: &Error) -> KeysError {
        match error {
            Error::Pkcs11(RvError::PinIncorrect, _) => {
                KeysError::PinIncorrect { failed: self.wire.try_lock().map_or(1, |w| w.failed + 1) }
            }
            Error::Pkcs11(RvError::PinLocked, _) => KeysError::PinLocked,
            Error::Pkcs11(RvError::PinLenRange | RvError::PinInvalid | RvError::PinTooWeak, _) => {
                KeysError::PinPolicy("is not one that the module takes")
            }
            error => KeysError::module(self.module.library(), error.to_string()),
        }
    }
}

struct LoggedIn {
    slot: Slot,
    session: Session,
}

impl LoggedIn {
    fn at(self, epoch: u64) -> Open {
        let (slot, login) = (self.slot, self.session);
        Open { epoch, slot, login, idle: Vec::new(), handles: Handles::default() }
    }
}

fn secret(pin: &Pin) -> AuthPin {
    // Wiped when dropped, as the PIN itself is. A PIN is UTF-8 by its type.
    AuthPin::from(pin.as_str())
}

fn lock(handles: &Handles) -> MutexGuard<'_, BTreeMap<KeyId, ObjectHandle>> {
    handles.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the session finds the key.
fn handle(
    session: &Session,
    handles: &Handles,
    record: &KeyRecord<String>,
) -> Result<ObjectHandle, Error> {
    if let Some(handle) = lock(handles).get(&record.id) {
        return Ok(*handle);
    }
    let id = hex::decode(&record.private_key).unwrap_or_default();
    let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(id)];
    let found = session.find_objects(&wanted)?.into_iter().next();
    let missing = Error::Pkcs11(RvError::KeyHandleInvalid, Function::FindObjects);
    let object = found.ok_or(missing)?;
    lock(handles).insert(record.id.clone(), object);
    Ok(object)
}

/// Whether the token, or the session with it, is gone.
fn is_lost(error: &Error) -> bool {
    use RvError as E;
    let Error::Pkcs11(code, _) = error else { return false };
    matches!(
        code,
        E::DeviceError
            | E::DeviceRemoved
            | E::DeviceMemory
            | E::GeneralError
            | E::FunctionFailed
            | E::TokenNotPresent
            | E::TokenNotRecognized
            | E::SlotIdInvalid
            | E::SessionClosed
            | E::SessionHandleInvalid
            | E::UserNotLoggedIn
            | E::CryptokiNotInitialized
            | E::KeyHandleInvalid
            | E::ObjectHandleInvalid
    )
}

/// A private key with what the module shows of its public half.
fn describe(session: &Session, private: ObjectHandle) -> Result<Option<Found>, Error> {
    let (mut kind, mut cka_id, mut label) = Default::default();
    let wanted = [AttributeType::KeyType, AttributeType::Id, AttributeType::Label];
    for attribute in session.get_attributes(private, &wanted)? {
        match attribute {
            Attribute::KeyType(found) => kind = Some(found),
            Attribute::Id(bytes) => cka_id = bytes,
            Attribute::Label(bytes) => label = String::from_utf8_lossy(&bytes).into_owned(),
            _ => {}
        }
    }
    if ![Some(KeyType::RSA), Some(KeyType::EC)].contains(&kind) || cka_id.is_empty() {
        return Ok(None);
    }
    let wanted = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(cka_id.clone())];
    let public = session.find_objects(&wanted)?.into_iter().next().unwrap_or(private);
    let shown = form::public_key(session, public)?;
    Ok(shown.map(|shown| Found { shown, cka_id, label }))
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.choice, self.module.library().display())
    }
}
