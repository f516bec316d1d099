use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::IdentityError;

/// A role, by X-Road's names. Which of them mean something is for the server's [`Permissions`] to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Keys, tokens, anchors, policy.
    SecurityOfficer,
    /// Members, subsystems, clients, servers.
    RegistrationOfficer,
    /// Services and their access rights (security server).
    ServiceAdministrator,
    /// Running the system: backups, trust services, API keys.
    SystemAdministrator,
    /// Looks, changes nothing (security server).
    Observer,
    /// The management services' own role (central server).
    ManagementService,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::SecurityOfficer,
        Self::RegistrationOfficer,
        Self::ServiceAdministrator,
        Self::SystemAdministrator,
        Self::Observer,
        Self::ManagementService,
    ];

    /// The name, e.g. `XROAD_SECURITY_OFFICER`.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecurityOfficer => "XROAD_SECURITY_OFFICER",
            Self::RegistrationOfficer => "XROAD_REGISTRATION_OFFICER",
            Self::ServiceAdministrator => "XROAD_SERVICE_ADMINISTRATOR",
            Self::SystemAdministrator => "XROAD_SYSTEM_ADMINISTRATOR",
            Self::Observer => "XROAD_SECURITYSERVER_OBSERVER",
            Self::ManagementService => "XROAD_MANAGEMENT_SERVICE",
        }
    }

    /// The name as `/api/v1/user` gives it, e.g. `ROLE_XROAD_SECURITY_OFFICER`.
    pub fn authority(self) -> String {
        format!("ROLE_{}", self.name())
    }

    /// Reads names; at least one, repetitions count once.
    ///
    /// # Errors
    /// [`IdentityError::InvalidRole`].
    pub fn read_all<'n>(
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<BTreeSet<Self>, IdentityError> {
        let roles = names.into_iter().map(str::parse).collect::<Result<BTreeSet<Self>, _>>()?;
        if roles.is_empty() {
            return Err(IdentityError::InvalidRole("missing roles".to_owned()));
        }
        Ok(roles)
    }

    /// Whether who holds `held` may give this role to another. Duties stay separate: nobody gives what
    /// they do not hold. The role of the management services, which no person holds, is the system
    /// administrators' to give, as at X-Road.
    pub fn may_be_given_by(self, held: &BTreeSet<Self>) -> bool {
        match self {
            Self::ManagementService => held.contains(&Self::SystemAdministrator),
            role => held.contains(&role),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = IdentityError;

    fn from_str(name: &str) -> Result<Self, IdentityError> {
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or_else(|| {
            let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            IdentityError::InvalidRole(format!("Invalid role: {shown}"))
        })
    }
}

/// Which roles have which permissions: the server's table.
#[derive(Debug, Clone, Copy)]
pub struct Permissions(&'static [(&'static str, &'static [Role])]);

impl Permissions {
    /// A table of permissions, each with the roles that have it.
    pub const fn new(table: &'static [(&'static str, &'static [Role])]) -> Self {
        Self(table)
    }

    /// Whether one of the roles has the permission. One that is not in the table nobody has.
    pub fn allow(self, roles: &BTreeSet<Role>, permission: &str) -> bool {
        self.0.iter().any(|(name, of)| *name == permission && of.iter().any(|r| roles.contains(r)))
    }

    /// All permissions of the roles together, in alphabetic order.
    pub fn of(self, roles: &BTreeSet<Role>) -> BTreeSet<&'static str> {
        let has = |(name, of): &(&'static str, &[Role])| {
            of.iter().any(|role| roles.contains(role)).then_some(*name)
        };
        self.0.iter().filter_map(has).collect()
    }

    /// Whether the table has the permission at all; a route that asks for another is a mistake.
    pub fn knows(self, permission: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == permission)
    }
}
