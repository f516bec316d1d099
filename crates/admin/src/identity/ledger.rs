//! Users, keys and sessions behind one handle: plans, commits, takes in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::password::{self, Cost, Derived, PasswordPolicy};
use super::users::{self, Entry, Failed};
use super::{
    ApiKey, ApiKeys, Attempts, IdentityError, MAX_USERS, NewApiKey, NewSession, Permissions,
    Principal, Role, Scheme, SessionLimits, SessionView, Sessions, Subject, User,
};
use crate::random::Randomness;
use crate::store::{Change, Store};

/// How an [`Identity`] judges.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Which roles have which permissions.
    pub permissions: Permissions,
    /// What new passwords must be like.
    pub policy: PasswordPolicy,
    /// What a guess of a password costs.
    pub cost: Cost,
    /// How long sessions last.
    pub sessions: SessionLimits,
}

impl Settings {
    /// The defaults with a server's permissions.
    pub fn new(permissions: Permissions) -> Self {
        Self {
            permissions,
            policy: PasswordPolicy::default(),
            cost: Cost::default(),
            sessions: SessionLimits::default(),
        }
    }
}

struct State {
    users: BTreeMap<String, Entry>,
    keys: ApiKeys,
    sessions: Sessions,
    attempts: Attempts,
}

/// Who may do what on one server. Times are seconds since 1970. A change is on disk when its method
/// returns, and counts from then on.
pub struct Identity {
    settings: Settings,
    store: Box<dyn Store>,
    random: Box<dyn Randomness>,
    state: Mutex<State>,
    /// One derivation at a time: however many sign in at once, they take one derivation's memory.
    deriving: Mutex<()>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// Takes up what a store holds.
    ///
    /// # Errors
    /// When it cannot be read, or is not what this program writes.
    pub fn open(
        settings: Settings,
        store: Box<dyn Store>,
        random: Box<dyn Randomness>,
    ) -> Result<Self, IdentityError> {
        let rows = store.rows(b"api-key")?;
        let (keys, made) = ApiKeys::read(&rows, &*random)?;
        if let Some(change) = made {
            store.commit(&[change])?;
        }
        let named = |prefix: &[u8]| -> Result<Vec<(String, Vec<u8>)>, IdentityError> {
            let rows = store.rows(prefix)?.into_iter();
            let name = |key: &[u8]| String::from_utf8(key[prefix.len()..].to_vec());
            rows.map(|(key, value)| match name(&key) {
                Ok(name) => Ok((name, value)),
                Err(_) => Err(IdentityError::Damaged("the name of a user".into())),
            })
            .collect()
        };
        let mut users = BTreeMap::new();
        for (name, value) in named(users::PREFIX)? {
            let entry = users::read(&value)
                .ok_or_else(|| IdentityError::Damaged(format!("the record of user '{name}'")))?;
            users.insert(name, entry);
        }
        let mut attempts = Attempts::default();
        for (name, value) in named(users::ATTEMPTS)? {
            // Whoever can damage this can also delete it; it must not lock anybody out.
            if let Ok(Failed { failed, last }) = serde_json::from_slice(&value) {
                attempts.restore(Subject::User(name), failed, last);
            }
        }
        let sessions = Sessions::new(settings.sessions);
        let state = Mutex::new(State { users, keys, sessions, attempts });
        Ok(Self { settings, store, random, state, deriving: Mutex::new(()) })
    }

    /// Which roles have which permissions.
    pub fn permissions(&self) -> Permissions {
        self.settings.permissions
    }

    /// Whose API key this is.
    pub fn by_api_key(&self, key: &str) -> Option<Principal> {
        self.state().keys.find(key)
    }

    /// Judges a user name and password that came from `address`. It takes as long for a user that does
    /// not exist; failures are counted, see [`Attempts`].
    ///
    /// # Errors
    /// [`IdentityError::TooSoon`], [`IdentityError::WrongPassword`], or what went wrong inside.
    pub fn by_password(
        &self,
        name: &str,
        password: &str,
        address: IpAddr,
        now: i64,
    ) -> Result<Principal, IdentityError> {
        if users::check_name(name).is_err() || password.len() > password::LONGEST {
            return Err(IdentityError::WrongPassword);
        }
        let subjects = Subject::all(name, address);
        let (entry, failed) = {
            let mut state = self.state();
            let [_, failed, _] = state
                .attempts
                .begin(&subjects, now)
                .map_err(|seconds| IdentityError::TooSoon { seconds })?;
            (state.users.get(name).cloned(), failed)
        };
        let row = users::row_key(users::ATTEMPTS, name);
        if entry.is_some() {
            let failed = serde_json::to_vec(&Failed { failed, last: now })
                .map_err(|e| IdentityError::Damaged(e.to_string()))?;
            self.store.commit(&[Change::Put(row.clone(), failed)])?;
        }
        let right = {
            let _one = self.deriving.lock().unwrap_or_else(PoisonError::into_inner);
            match &entry {
                Some(entry) => entry.password.is(password)?,
                None => {
                    Derived::for_nobody(password, self.settings.cost)?;
                    false
                }
            }
        };
        let (true, Some(entry)) = (right, entry) else { return Err(IdentityError::WrongPassword) };
        self.state().attempts.succeeded(&subjects);
        self.store.commit(&[Change::Delete(row)])?;
        Ok(Principal { name: name.to_owned(), roles: entry.roles, scheme: Scheme::Basic })
    }

    /// Begins a session for who has just proved who they are, and ends the one that the browser brought.
    ///
    /// # Errors
    /// Without randomness.
    pub fn begin_session(
        &self,
        principal: &Principal,
        brought: Option<&str>,
        now: i64,
    ) -> Result<NewSession, IdentityError> {
        let mut state = self.state();
        if let Some(cookie) = brought {
            state.sessions.end(cookie);
        }
        state.sessions.begin(&principal.name, principal.roles.clone(), now, &*self.random)
    }

    /// The session of a cookie's value, if it lives; see [`Sessions::find`].
    pub fn session(&self, cookie: &str, now: i64, extends: bool) -> Option<SessionView> {
        self.state().sessions.find(cookie, now, extends)
    }

    /// Ends a session.
    pub fn end_session(&self, cookie: &str) {
        self.state().sessions.end(cookie);
    }

    /// All API keys.
    pub fn api_keys(&self) -> Vec<ApiKey> {
        self.state().keys.list()
    }

    /// One API key.
    ///
    /// # Errors
    /// [`IdentityError::NoSuchKey`].
    pub fn api_key(&self, id: u64) -> Result<ApiKey, IdentityError> {
        self.state().keys.get(id)
    }

    /// Makes an API key with roles that `held` may give.
    ///
    /// # Errors
    /// As [`ApiKeys::create`]; when the store fails.
    pub fn create_api_key(
        &self,
        roles: BTreeSet<Role>,
        held: &BTreeSet<Role>,
    ) -> Result<NewApiKey, IdentityError> {
        self.keys(|keys| keys.create(roles, held, &*self.random))
    }

    /// Gives an API key other roles.
    ///
    /// # Errors
    /// As [`ApiKeys::update`]; when the store fails.
    pub fn update_api_key(
        &self,
        id: u64,
        roles: BTreeSet<Role>,
        held: &BTreeSet<Role>,
    ) -> Result<ApiKey, IdentityError> {
        self.keys(|keys| keys.update(id, roles, held))
    }

    /// Ends an API key; from then on it opens nothing.
    ///
    /// # Errors
    /// [`IdentityError::NoSuchKey`]; when the store fails.
    pub fn revoke_api_key(&self, id: u64) -> Result<ApiKey, IdentityError> {
        self.keys(|keys| keys.revoke(id))
    }

    /// All users.
    pub fn users(&self) -> Vec<User> {
        let listed = |(name, entry): (&String, &Entry)| User {
            name: name.clone(),
            roles: entry.roles.clone(),
        };
        self.state().users.iter().map(listed).collect()
    }

    /// Adds a user. For whoever runs the server: nothing is asked of roles held.
    ///
    /// # Errors
    /// When the name, the password or the roles are not allowed, or there is such a user.
    pub fn add_user(
        &self,
        name: &str,
        password: &str,
        roles: BTreeSet<Role>,
    ) -> Result<(), IdentityError> {
        users::check_name(name)?;
        if roles.is_empty() {
            return Err(IdentityError::InvalidRole("missing roles".to_owned()));
        }
        self.settings.policy.check(name, password)?;
        let derived = Derived::new(password, self.settings.cost, &*self.random)?;
        let mut state = self.state();
        if state.users.contains_key(name) {
            return Err(IdentityError::UserExists(name.to_owned()));
        }
        if state.users.len() >= MAX_USERS {
            return Err(IdentityError::TooMany(MAX_USERS, "users"));
        }
        let entry = Entry { roles, password: derived };
        self.store.commit(&[users::put(name, &entry)?])?;
        state.users.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Gives a user another password, other roles, or both; their sessions end.
    ///
    /// # Errors
    /// As [`Identity::add_user`]; when there is no such user.
    pub fn change_user(
        &self,
        name: &str,
        password: Option<&str>,
        roles: Option<BTreeSet<Role>>,
    ) -> Result<(), IdentityError> {
        let derived = match password {
            Some(password) => {
                self.settings.policy.check(name, password)?;
                Some(Derived::new(password, self.settings.cost, &*self.random)?)
            }
            None => None,
        };
        if roles.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(IdentityError::InvalidRole("missing roles".to_owned()));
        }
        let mut state = self.state();
        let no_such = || IdentityError::NoSuchUser(name.to_owned());
        let old = state.users.get(name).ok_or_else(no_such)?.clone();
        let entry =
            Entry { roles: roles.unwrap_or(old.roles), password: derived.unwrap_or(old.password) };
        self.store.commit(&[users::put(name, &entry)?])?;
        state.users.insert(name.to_owned(), entry);
        state.sessions.end_all_of(name);
        Ok(())
    }

    /// Removes a user; their sessions end.
    ///
    /// # Errors
    /// [`IdentityError::NoSuchUser`]; when the store fails.
    pub fn remove_user(&self, name: &str) -> Result<(), IdentityError> {
        let mut state = self.state();
        if !state.users.contains_key(name) {
            return Err(IdentityError::NoSuchUser(name.to_owned()));
        }
        let row = |prefix| Change::Delete(users::row_key(prefix, name));
        self.store.commit(&[row(users::PREFIX), row(users::ATTEMPTS)])?;
        state.users.remove(name);
        state.sessions.end_all_of(name);
        Ok(())
    }

    /// Plans a change of keys, brings it to disk, takes it in.
    fn keys<T>(
        &self,
        plan: impl FnOnce(&ApiKeys) -> Result<(T, Vec<Change>), IdentityError>,
    ) -> Result<T, IdentityError> {
        let mut state = self.state();
        let (planned, changes) = plan(&state.keys)?;
        self.store.commit(&changes)?;
        state.keys.apply(&changes)?;
        Ok(planned)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What it guards changes in single steps, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
