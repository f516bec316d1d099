//! Who may do what: roles and permissions, API keys, local users with passwords, sessions.
//!
//! The decisions are in the modules below, as functions of values; an [`Identity`] keeps users and API
//! keys in a store ([`crate::store::Store`]), and sessions in memory: a restart signs everybody out.

mod attempts;
mod keys;
mod ledger;
mod password;
mod role;
mod sessions;
mod users;

use std::collections::BTreeSet;

use crate::random::Unavailable;
use crate::store::StoreError;

pub use attempts::{Attempts, Subject, network};
pub use keys::{ApiKey, ApiKeys, MAX_API_KEYS, NewApiKey};
pub use ledger::{Identity, Settings};
pub use password::{Cost, Derived, PasswordPolicy};
pub use role::{Permissions, Role};
pub use sessions::{NewSession, SessionLimits, SessionView, Sessions};
pub use users::{MAX_USERS, User};

/// How somebody proved who they are, by the names of X-Road's audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// An API key.
    ApiKey,
    /// A session that began with a user name and password.
    Session,
    /// User name and password with the request (HTTP Basic).
    Basic,
}

impl Scheme {
    /// The name in the audit log. X-Road's name of the last says PAM, which Causeway does not use; rules
    /// that read audit logs know it by this name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "ApiKey",
            Self::Session => "Session",
            Self::Basic => "HttpBasicPam",
        }
    }
}

/// Somebody who has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user's name, or `api-key-` with the key's identifier.
    pub name: String,
    /// Their roles.
    pub roles: BTreeSet<Role>,
    /// How they proved it.
    pub scheme: Scheme,
}

/// Why somebody is not let in, or a change to users and keys is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Too many failures; the next attempt counts when so many seconds have passed.
    #[error("too many failed attempts; try again in {seconds} s")]
    TooSoon {
        /// At least 1.
        seconds: u64,
    },
    /// The user name or the password is wrong; which of them is not told.
    #[error("user name or password is wrong")]
    WrongPassword,
    /// No such API key.
    #[error("there is no API key {0}")]
    NoSuchKey(u64),
    /// No such user.
    #[error("there is no user '{0}'")]
    NoSuchUser(String),
    /// There is such a user.
    #[error("there is already a user '{0}'")]
    UserExists(String),
    /// Not a role's name, or none given.
    #[error("{0}")]
    InvalidRole(String),
    /// A role that the one who gives it does not hold.
    #[error("only who holds the role {0} may give it")]
    RoleNotHeld(Role),
    /// The user name is not one.
    #[error(
        "a user name has 1 to 64 letters, digits and . _ - @, and does not begin with 'api-key-'"
    )]
    InvalidUserName,
    /// The password is too weak; says why.
    #[error("the password {0}")]
    WeakPassword(&'static str),
    /// There are as many as may be.
    #[error("there are {0} {1} already, the most there may be; remove some first")]
    TooMany(usize, &'static str),
    /// What the store holds is not what this program writes.
    #[error("the store of users and API keys is damaged: {0}; restore it from a backup")]
    Damaged(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] Unavailable),
    /// The password could not be derived, for want of memory.
    #[error("the password cannot be checked: {0}")]
    Derivation(&'static str),
}
