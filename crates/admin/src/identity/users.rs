use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::password::Derived;
use super::{IdentityError, Role};
use crate::store::Change;

/// The most local users there may be.
pub const MAX_USERS: usize = 1000;
const LONGEST_NAME: usize = 64;
pub(super) const PREFIX: &[u8] = b"user\0";
pub(super) const ATTEMPTS: &[u8] = b"attempts\0";

/// A user as they are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// Their roles, at least one.
    pub roles: BTreeSet<Role>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) roles: Vec<String>,
    pub(super) password: Derived,
}

/// What is kept of a user.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) roles: BTreeSet<Role>,
    pub(super) password: Derived,
}

/// Failed sign-ins of a user, kept across restarts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Failed {
    pub(super) failed: u32,
    /// Seconds since 1970 of the last.
    pub(super) last: i64,
}

/// Whether this may be a user's name. Names that the audit log has for others are nobody's.
pub(super) fn check_name(name: &str) -> Result<(), IdentityError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    let taken = name.starts_with("api-key-") || matches!(name, "system" | "xroad");
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(good) || taken {
        return Err(IdentityError::InvalidUserName);
    }
    Ok(())
}

pub(super) fn put(name: &str, entry: &Entry) -> Result<Change, IdentityError> {
    let record = Record {
        roles: entry.roles.iter().map(|role| role.name().to_owned()).collect(),
        password: entry.password.clone(),
    };
    let value = serde_json::to_vec(&record).map_err(|e| IdentityError::Damaged(e.to_string()))?;
    Ok(Change::Put(row_key(PREFIX, name), value))
}

pub(super) fn read(value: &[u8]) -> Option<Entry> {
    let record: Record = serde_json::from_slice(value).ok()?;
    let roles = Role::read_all(record.roles.iter().map(String::as_str)).ok()?;
    Some(Entry { roles, password: record.password })
}

pub(super) fn row_key(prefix: &[u8], name: &str) -> Vec<u8> {
    [prefix, name.as_bytes()].concat()
}
