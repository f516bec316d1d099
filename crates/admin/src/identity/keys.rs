//! API keys: made at random, shown once, kept as a keyed hash.
//!
//! A key has 192 bits of randomness, so its hash need not be slow. It is keyed (HMAC-SHA-256) under a
//! secret of the store, and compared with every key that there is, in constant time and without an early
//! end: how long a look-up takes tells neither of a key's bytes nor which key it is.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use serde::{Deserialize, Serialize};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::{IdentityError, Principal, Role, Scheme};
use crate::random::{self, Randomness};
use crate::store::{Change, Row};

/// The most API keys there may be; a look-up compares with all of them.
pub const MAX_API_KEYS: usize = 1000;
/// The longest text that is looked at as a key, in bytes.
const LONGEST: usize = 128;
const RANDOM: usize = 24;
const PREFIX: &[u8] = b"api-key\0";
const SECRET: &[u8] = b"api-key-secret";
const LAST: &[u8] = b"api-key-last";

/// An API key as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its identifier: from 1, never given twice.
    pub id: u64,
    /// Its roles, at least one.
    pub roles: BTreeSet<Role>,
}

/// An API key that has just been made.
pub struct NewApiKey {
    /// What is listed from now on.
    pub key: ApiKey,
    /// The key itself; it cannot be had again.
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewApiKey({})", self.key.id)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    hash: String,
    roles: Vec<String>,
}

#[derive(Debug, Clone)]
struct Entry {
    hash: [u8; 32],
    roles: BTreeSet<Role>,
}

/// All API keys. A change is planned first, as rows for the store; when these are on disk it is taken in
/// with [`ApiKeys::apply`].
#[derive(Debug)]
pub struct ApiKeys {
    secret: hmac::Key,
    last: u64,
    entries: BTreeMap<u64, Entry>,
}

impl ApiKeys {
    /// Reads the rows of a store. When there is no secret yet, one is made: its row is the second value.
    ///
    /// # Errors
    /// [`IdentityError::Damaged`] when a row cannot be read; without randomness.
    pub fn read(
        rows: &[Row],
        random: &dyn Randomness,
    ) -> Result<(Self, Option<Change>), IdentityError> {
        let damaged = |what: &str| IdentityError::Damaged(format!("the record of {what}"));
        let value = |key: &[u8]| rows.iter().find(|(k, _)| k == key).map(|(_, value)| value);
        let (secret, made) = match value(SECRET) {
            Some(secret) if secret.len() == 32 => (hmac::Key::new(hmac::HMAC_SHA256, secret), None),
            Some(_) => return Err(damaged("the API keys' secret")),
            None => {
                let fresh = random::bytes::<32>(random)?;
                let change = Change::Put(SECRET.to_vec(), fresh.to_vec());
                (hmac::Key::new(hmac::HMAC_SHA256, &fresh), Some(change))
            }
        };
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
        let last = match value(LAST) {
            Some(bytes) => number(bytes).ok_or_else(|| damaged("the last API key"))?,
            None => 0,
        };
        let mut keys = Self { secret, last, entries: BTreeMap::new() };
        for (key, value) in rows {
            let Some(id) = key.strip_prefix(PREFIX) else { continue };
            let read = || -> Option<(u64, Entry)> {
                let id = number(id)?;
                let record: Record = serde_json::from_slice(value).ok()?;
                let hash = hex::decode(record.hash).ok()?.try_into().ok()?;
                let roles = Role::read_all(record.roles.iter().map(String::as_str)).ok()?;
                Some((id, Entry { hash, roles }))
            };
            let (id, entry) = read().ok_or_else(|| damaged("an API key"))?;
            keys.last = keys.last.max(id);
            keys.entries.insert(id, entry);
        }
        Ok((keys, made))
    }

    /// Plans a new key with roles that `held` may give.
    ///
    /// # Errors
    /// When a role may not be given, there are too many keys, or without randomness.
    pub fn create(
        &self,
        roles: BTreeSet<Role>,
        held: &BTreeSet<Role>,
        random: &dyn Randomness,
    ) -> Result<(NewApiKey, Vec<Change>), IdentityError> {
        may_give(roles.iter(), held)?;
        if self.entries.len() >= MAX_API_KEYS {
            return Err(IdentityError::TooMany(MAX_API_KEYS, "API keys"));
        }
        let bytes = Zeroizing::new(random::bytes::<RANDOM>(random)?);
        let secret = Zeroizing::new(BASE64.encode(*bytes));
        let id = self.last.saturating_add(1);
        let changes = vec![
            Change::Put(LAST.to_vec(), id.to_be_bytes().to_vec()),
            self.row(id, &self.hash(&secret), &roles)?,
        ];
        Ok((NewApiKey { key: ApiKey { id, roles }, secret }, changes))
    }

    /// Plans other roles for a key. Roles that it has already may stay, whoever asks.
    ///
    /// # Errors
    /// When there is no such key, or a role may not be given.
    pub fn update(
        &self,
        id: u64,
        roles: BTreeSet<Role>,
        held: &BTreeSet<Role>,
    ) -> Result<(ApiKey, Vec<Change>), IdentityError> {
        let entry = self.entries.get(&id).ok_or(IdentityError::NoSuchKey(id))?;
        may_give(roles.difference(&entry.roles), held)?;
        let change = self.row(id, &entry.hash, &roles)?;
        Ok((ApiKey { id, roles }, vec![change]))
    }

    /// Plans the end of a key. Gives what it was.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn revoke(&self, id: u64) -> Result<(ApiKey, Vec<Change>), IdentityError> {
        let key = self.get(id)?;
        Ok((key, vec![Change::Delete(row_key(id))]))
    }

    /// One key.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn get(&self, id: u64) -> Result<ApiKey, IdentityError> {
        let entry = self.entries.get(&id).ok_or(IdentityError::NoSuchKey(id))?;
        Ok(ApiKey { id, roles: entry.roles.clone() })
    }

    /// All keys, in the order in which they were made.
    pub fn list(&self) -> Vec<ApiKey> {
        let listed = |(id, entry): (&u64, &Entry)| ApiKey { id: *id, roles: entry.roles.clone() };
        self.entries.iter().map(listed).collect()
    }

    /// Whose key this is; `None` when it is nobody's.
    pub fn find(&self, text: &str) -> Option<Principal> {
        if text.is_empty() || text.len() > LONGEST {
            return None;
        }
        let hash = self.hash(text);
        // No identifier is 0.
        let mut found = 0_u64;
        for (id, entry) in &self.entries {
            found.conditional_assign(id, entry.hash.ct_eq(&hash));
        }
        let entry = self.entries.get(&found)?;
        Some(Principal {
            name: format!("api-key-{found}"),
            roles: entry.roles.clone(),
            scheme: Scheme::ApiKey,
        })
    }

    /// Takes in changes that are on disk.
    ///
    /// # Errors
    /// [`IdentityError::Damaged`] when they are not of this type's making.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), IdentityError> {
        let foreign = || IdentityError::Damaged("a change of API keys".into());
        for change in changes {
            let (key, value) = match change {
                Change::Put(key, value) => (key, Some(value)),
                Change::Delete(key) => (key, None),
            };
            let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
            match (key.strip_prefix(PREFIX), value) {
                (Some(id), Some(value)) => {
                    let record: Record = serde_json::from_slice(value).map_err(|_| foreign())?;
                    let hash = hex::decode(record.hash).ok().and_then(|h| h.try_into().ok());
                    let roles = Role::read_all(record.roles.iter().map(String::as_str))?;
                    let entry = Entry { hash: hash.ok_or_else(foreign)?, roles };
                    self.entries.insert(number(id).ok_or_else(foreign)?, entry);
                }
                (Some(id), None) => {
                    self.entries.remove(&number(id).ok_or_else(foreign)?);
                }
                (None, Some(value)) if key == LAST => {
                    self.last = number(value).ok_or_else(foreign)?;
                }
                _ => return Err(foreign()),
            }
        }
        Ok(())
    }

    fn hash(&self, text: &str) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&self.secret, text.as_bytes()).as_ref());
        out
    }

    fn row(
        &self,
        id: u64,
        hash: &[u8; 32],
        roles: &BTreeSet<Role>,
    ) -> Result<Change, IdentityError> {
        let roles = roles.iter().map(|role| role.name().to_owned()).collect();
        let record = Record { hash: hex::encode(hash), roles };
        let value =
            serde_json::to_vec(&record).map_err(|e| IdentityError::Damaged(e.to_string()))?;
        Ok(Change::Put(row_key(id), value))
    }
}

fn row_key(id: u64) -> Vec<u8> {
    [PREFIX, &id.to_be_bytes()].concat()
}

fn may_give<'r>(
    mut roles: impl Iterator<Item = &'r Role>,
    held: &BTreeSet<Role>,
) -> Result<(), IdentityError> {
    match roles.find(|role| !role.may_be_given_by(held)) {
        Some(role) => Err(IdentityError::RoleNotHeld(*role)),
        None => Ok(()),
    }
}
