//! Who may use the API over HTTPS, as the command line works on it.

use causeway_admin::identity::{Identity, IdentityError, Role};
use serde::{Deserialize, Serialize};

/// A user as they are listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserListing {
    /// The name.
    pub name: String,
    /// The names of their roles.
    pub roles: Vec<String>,
}

/// A change of users.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum UserEdit {
    /// Adds a user.
    Add {
        /// The name.
        name: String,
        /// The password.
        password: String,
        /// The names of their roles.
        roles: Vec<String>,
    },
    /// Gives a user another password, other roles, or both.
    Change {
        /// The name.
        name: String,
        /// The new password.
        password: Option<String>,
        /// The names of the new roles; none leaves them.
        roles: Vec<String>,
    },
    /// Removes a user.
    Remove {
        /// The name.
        name: String,
    },
}

impl std::fmt::Debug for UserEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No passwords.
        f.write_str("UserEdit")
    }
}

impl UserEdit {
    /// Makes the change.
    ///
    /// # Errors
    /// When the rules forbid it, or the store fails.
    pub fn make(self, identity: &Identity) -> Result<(), IdentityError> {
        let read = |names: &[String]| Role::read_all(names.iter().map(String::as_str));
        match self {
            Self::Add { name, password, roles } => {
                identity.add_user(&name, &password, read(&roles)?)
            }
            Self::Change { name, password, roles } => {
                let roles = if roles.is_empty() { None } else { Some(read(&roles)?) };
                identity.change_user(&name, password.as_deref(), roles)
            }
            Self::Remove { name } => identity.remove_user(&name),
        }
    }
}

/// All users.
pub(crate) fn list(identity: &Identity) -> Vec<UserListing> {
    let listed = |user: causeway_admin::identity::User| UserListing {
        name: user.name,
        roles: user.roles.iter().map(|role| role.name().to_owned()).collect(),
    };
    identity.users().into_iter().map(listed).collect()
}

/// What to do after a refusal.
pub(crate) fn next_step(error: &IdentityError) -> &'static str {
    match error {
        IdentityError::InvalidRole(_) => {
            "name a role, e.g. XROAD_SYSTEM_ADMINISTRATOR: `central-registry user add --help`"
        }
        IdentityError::WeakPassword(_) => {
            "choose a password of ten characters of three kinds, without the user name in it"
        }
        IdentityError::UserExists(_) => "change it: `central-registry user change NAME`",
        IdentityError::NoSuchUser(_) => "see who there is: `central-registry user list`",
        IdentityError::InvalidUserName => "choose another name",
        _ => "look at the folder 'admin' in the storage folder, and at the registry's log",
    }
}
