//! Whose records, and which of a server's metrics, a client may see.
//!
//! The owner of the server and the client that the registry has appointed for monitoring see
//! everything; any other client sees the records in which it asks or is asked, without the
//! server's internal address (X-Road's `OperationalDataRequestHandler`, `ProxyMonitorServiceHandlerImpl`).

use causeway_identifiers::{ClientId, SecurityServerId};

use crate::{Field, Fields};

/// What of the records a client sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// All of them.
    Everything,
    /// Those of this client.
    Own(ClientId),
}

impl View {
    /// What a client sees. The owner is taken for it only when the request names the server
    /// (`securityServer`), as in X-Road: a member may own several.
    pub fn of(
        client: &ClientId,
        asked: Option<&SecurityServerId>,
        server: &SecurityServerId,
        appointed: Option<&ClientId>,
    ) -> Self {
        let owner = asked == Some(server) && *client == server.owner().as_client();
        if owner || appointed == Some(client) {
            Self::Everything
        } else {
            Self::Own(client.clone())
        }
    }

    /// The client whose records alone are seen.
    pub fn party(&self) -> Option<&ClientId> {
        match self {
            Self::Everything => None,
            Self::Own(client) => Some(client),
        }
    }

    /// The fields that are given when these are asked for; none asked for means all.
    pub fn fields(&self, asked: Fields) -> Fields {
        let fields = if asked.is_empty() { Fields::all() } else { asked };
        match self {
            Self::Everything => fields,
            Self::Own(_) => fields.without(Field::SecurityServerInternalIp),
        }
    }
}

/// What of the server's metrics a client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsView {
    /// All of them.
    Everything,
    /// Certificates and operating system only.
    Limited,
}

impl MetricsView {
    /// What a client sees; `None`: it may not ask. `limit_remote` is the operator's wish that not even the
    /// appointed client sees what is the owner's business (X-Road's `limit-remote-data-set`).
    pub fn of(
        client: &ClientId,
        server: &SecurityServerId,
        appointed: Option<&ClientId>,
        limit_remote: bool,
    ) -> Option<Self> {
        if *client == server.owner().as_client() {
            return Some(Self::Everything);
        }
        let view = if limit_remote { Self::Limited } else { Self::Everything };
        (appointed == Some(client)).then_some(view)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn who_sees_what() {
        let server = SecurityServerId::parse("DEV/GOV/1/ss1").unwrap();
        let other = SecurityServerId::parse("DEV/GOV/1/ss2").unwrap();
        let id = |short| ClientId::parse(short).unwrap();
        let (owner, center) = (id("DEV/GOV/1"), id("DEV/GOV/9/monitor"));
        let view = |client: &ClientId, asked| View::of(client, asked, &server, Some(&center));
        assert_eq!(view(&owner, Some(&server)), View::Everything);
        assert_eq!(view(&owner, None), View::Own(owner.clone()));
        assert_eq!(view(&owner, Some(&other)), View::Own(owner.clone()));
        assert_eq!(view(&center, None), View::Everything);
        let subsystem = id("DEV/GOV/1/sub");
        assert_eq!(view(&subsystem, Some(&server)), View::Own(subsystem.clone()));

        let own = View::Own(subsystem.clone());
        assert!(!own.fields(Fields::NONE).has(Field::SecurityServerInternalIp));
        assert!(own.fields(Fields::NONE).has(Field::MonitoringDataTs));
        let asked = Fields::NONE.with(Field::SecurityServerInternalIp).with(Field::MessageId);
        assert_eq!(own.fields(asked), Fields::NONE.with(Field::MessageId));
        assert_eq!(View::Everything.fields(asked), asked);

        let metrics = |client, limit| MetricsView::of(client, &server, Some(&center), limit);
        assert_eq!(metrics(&owner, true), Some(MetricsView::Everything));
        assert_eq!(metrics(&center, false), Some(MetricsView::Everything));
        assert_eq!(metrics(&center, true), Some(MetricsView::Limited));
        assert_eq!(metrics(&subsystem, false), None);
    }
}
