//! Which servers can carry a request to its provider.

use causeway_globalconf::GlobalConf;
use causeway_identifiers::{ClientId, SecurityServerId};
use causeway_message::{Fault, codes};

/// A server of the provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The server.
    pub id: SecurityServerId,
    /// Its host name or address.
    pub address: String,
}

/// The servers that serve this provider, narrowed to the one that the client
/// asked for, without those in maintenance.
///
/// # Errors
/// `unknown_member` when no server serves the provider,
/// `invalid_security_server` when the one asked for does not,
/// `maintenance_mode` when all that would do are in maintenance.
pub fn candidates(
    conf: &GlobalConf,
    provider: &ClientId,
    target: Option<&SecurityServerId>,
) -> Result<Vec<Candidate>, Fault> {
    let servers = conf.servers_of(provider);
    if servers.is_empty() {
        let text = format!("Could not find addresses for service provider \"{provider}\"");
        return Err(Fault::new(codes::UNKNOWN_MEMBER, text));
    }
    let wanted: Vec<_> =
        servers.into_iter().filter(|s| target.is_none_or(|t| s.id == *t)).collect();
    if let (Some(target), true) = (target, wanted.is_empty()) {
        let text = format!("The security server \"{target}\" does not serve \"{provider}\"");
        return Err(Fault::new(codes::INVALID_SECURITY_SERVER, text));
    }
    let resting = wanted.iter().find_map(|s| s.maintenance.as_ref()).cloned();
    let found: Vec<Candidate> = wanted
        .into_iter()
        .filter(|s| s.maintenance.is_none())
        .filter_map(|s| s.address.clone().map(|address| Candidate { id: s.id.clone(), address }))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match resting {
        Some(maintenance) => {
            let message = maintenance.message.unwrap_or_default();
            let text =
                format!("The security server of \"{provider}\" is in maintenance mode. {message}");
            Fault::new(codes::MAINTENANCE_MODE, text.trim_end().to_owned())
        }
        None => {
            let text = format!(
                "The security servers of \"{provider}\" have no address in the global configuration"
            );
            Fault::new(codes::UNKNOWN_MEMBER, text)
        }
    })
}
