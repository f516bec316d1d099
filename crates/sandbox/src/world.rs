//! Who is in the ecosystem: members with their subsystems and services, and security servers.

use std::net::{IpAddr, Ipv4Addr};

use causeway_identifiers::{ClientId, IdentifierError, MemberId, SecurityServerId, ServiceId};

/// The instance identifier.
pub const INSTANCE: &str = "DEV";
/// The members' class.
pub const CLASS: &str = "GOV";
/// The class's description.
pub const CLASS_NAME: &str = "Government agency";

/// A member with its one subsystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The member.
    pub member: MemberId,
    /// Its name.
    pub name: &'static str,
    /// Its subsystem.
    pub subsystem: ClientId,
}

impl Party {
    fn new(code: &str, name: &'static str, subsystem: &str) -> Result<Self, IdentifierError> {
        let member = MemberId::new(INSTANCE, CLASS, code)?;
        let subsystem = member.subsystem(subsystem)?;
        Ok(Self { member, name, subsystem })
    }
}

/// How many security servers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Topology {
    /// Two: the portal's, and one that serves both providers.
    #[default]
    Two,
    /// A third that serves both providers too, so that one of theirs may fail.
    Failover,
}

/// A security server to be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPlan {
    /// Its identifier.
    pub id: SecurityServerId,
    /// Its address.
    pub address: IpAddr,
    /// Which parties it serves, its owner first.
    pub parties: Vec<Party>,
}

impl ServerPlan {
    /// The server's code in lower case; names its folder and, in tests, the server.
    pub fn name(&self) -> String {
        self.id.code().to_ascii_lowercase()
    }
}

/// The members and services of the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// The public service portal, a consumer.
    pub portal: Party,
    /// The population register, a provider.
    pub population: Party,
    /// The tax authority, a provider.
    pub tax: Party,
    /// Persons and their parents, of the population register.
    pub persons: ServiceId,
    /// Yearly income, of the tax authority.
    pub income: ServiceId,
    /// Any amount of bytes, of the population register: for measurements.
    pub measure: ServiceId,
    /// The same by SOAP, with attachments of any size.
    pub measure_soap: ServiceId,
    /// A service of the population register that is disabled.
    pub archive: ServiceId,
    /// A service of the tax authority that the portal may not use.
    pub audits: ServiceId,
}

impl World {
    /// Names everybody.
    ///
    /// # Errors
    /// None that happens: the identifiers are constants.
    pub fn new() -> Result<Self, IdentifierError> {
        let population = Party::new("1001", "Population Register", "population")?;
        let tax = Party::new("1002", "Tax Authority", "tax")?;
        let portal = Party::new("1003", "Public Service Portal", "portal")?;
        Ok(Self {
            persons: population.subsystem.service("persons", None)?,
            measure: population.subsystem.service("measure", None)?,
            measure_soap: population.subsystem.service(crate::systems::soap::CODE, None)?,
            archive: population.subsystem.service("archive", None)?,
            income: tax.subsystem.service("income", None)?,
            audits: tax.subsystem.service("audits", None)?,
            portal,
            population,
            tax,
        })
    }

    /// The members with their subsystems.
    pub fn parties(&self) -> [&Party; 3] {
        [&self.population, &self.tax, &self.portal]
    }

    /// A member's or subsystem's name, or its identifier for a stranger.
    pub fn name_of(&self, client: &ClientId) -> String {
        let party = self.parties().into_iter().find(|party| party.member == *client.member());
        party.map_or_else(|| client.to_short(), |party| party.name.to_owned())
    }

    /// The security servers of a topology.
    ///
    /// # Errors
    /// None that happens: the identifiers are constants.
    pub fn servers(&self, topology: Topology) -> Result<Vec<ServerPlan>, IdentifierError> {
        let plan = |number: u8, parties: &[&Party]| {
            let parties: Vec<Party> = parties.iter().map(|party| (*party).clone()).collect();
            let owner = parties.first().map_or(&self.portal, |owner| owner).member.clone();
            let id = SecurityServerId::new(owner, &format!("SS{number}"))?;
            Ok(ServerPlan { id, address: IpAddr::from(Ipv4Addr::new(127, 0, 0, number)), parties })
        };
        let mut servers = vec![plan(1, &[&self.portal])?, plan(2, &[&self.population, &self.tax])?];
        if topology == Topology::Failover {
            servers.push(plan(3, &[&self.tax, &self.population])?);
        }
        Ok(servers)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn servers_serve_their_owners() {
        let world = World::new().unwrap();
        for topology in [Topology::Two, Topology::Failover] {
            for server in world.servers(topology).unwrap() {
                assert_eq!(*server.id.owner(), server.parties[0].member);
            }
        }
        assert_eq!(world.servers(Topology::Failover).unwrap()[2].name(), "ss3");
        assert_eq!(world.name_of(&world.tax.subsystem), "Tax Authority");
    }
}
