//! Which address everything listens on, all of it loopback.
//!
//! Security servers have addresses of their own (127.0.0.1, 127.0.0.2, …) and share port numbers,
//! since the global configuration names servers without ports.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::SandboxError;
use crate::world::ServerPlan;

/// Ports that an ecosystem uses, counted from its base.
const SPAN: u16 = 32;
/// The base unless another is asked for.
pub const DEFAULT_BASE: u16 = 17_000;

/// How ports are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// From this number on; an error when one is busy.
    From(u16),
    /// Some that are free: for tests.
    Free,
}

impl Default for Ports {
    fn default() -> Self {
        Self::From(DEFAULT_BASE)
    }
}

/// The addresses of an ecosystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    base: u16,
}

/// Keeps other ecosystems off an ecosystem's ports.
#[derive(Debug)]
pub(crate) struct Reservation {
    _last_port: TcpListener,
}

/// The addresses of one security server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerAddresses {
    /// Information systems, HTTP.
    pub http: SocketAddr,
    /// Information systems, HTTPS.
    pub https: SocketAddr,
    /// Health and metrics.
    pub health: SocketAddr,
    /// Other servers' messages.
    pub peers: SocketAddr,
    /// Other servers' questions for OCSP responses.
    pub ocsp: SocketAddr,
}

impl Addresses {
    /// Chooses addresses that are free at the moment.
    ///
    /// # Errors
    /// [`SandboxError::PortInUse`], [`SandboxError::NoAddress`], [`SandboxError::BadPortBase`].
    pub fn choose(ports: Ports, servers: &[ServerPlan]) -> Result<Self, SandboxError> {
        Self::reserve(ports, servers).map(|(addresses, _)| addresses)
    }

    /// Chooses free addresses and keeps other ecosystems off them while the reservation lives.
    pub(crate) fn reserve(
        ports: Ports,
        servers: &[ServerPlan],
    ) -> Result<(Self, Reservation), SandboxError> {
        match ports {
            Ports::From(base) => {
                if !(1024..=u16::MAX - SPAN).contains(&base) {
                    return Err(SandboxError::BadPortBase { base, most: u16::MAX - SPAN });
                }
                let addresses = Self { base };
                let reservation = addresses.check(servers)?;
                Ok((addresses, reservation))
            }
            Ports::Free => Self::find_free(servers),
        }
    }

    /// Tries bases below the range from which systems take ports for outgoing connections,
    /// beginning at a place that differs from process to process.
    fn find_free(servers: &[ServerPlan]) -> Result<(Self, Reservation), SandboxError> {
        const FIRST: u16 = 20_000;
        const PLACES: u16 = (32_000 - FIRST) / SPAN;
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = u16::try_from(std::process::id() * 7 % u32::from(PLACES)).unwrap_or(0);
        let mut last = SandboxError::BadPortBase { base: FIRST, most: u16::MAX - SPAN };
        for _ in 0..PLACES {
            let place = (start + NEXT.fetch_add(1, Ordering::Relaxed) % PLACES) % PLACES;
            let addresses = Self { base: FIRST + place * SPAN };
            match addresses.check(servers) {
                Ok(reservation) => return Ok((addresses, reservation)),
                Err(error @ SandboxError::PortInUse { .. }) => last = error,
                Err(other) => return Err(other),
            }
        }
        Err(last)
    }

    /// Takes the last port for as long as the ecosystem lives, so that two that choose at the same
    /// time do not choose the same, and checks that everything else can be bound.
    fn check(self, servers: &[ServerPlan]) -> Result<Reservation, SandboxError> {
        let reservation = bind(self.local(SPAN - 1))?;
        let mut wanted = vec![
            self.registry(),
            self.ca(),
            self.tsa(),
            self.population(),
            self.tax(),
            self.portal(),
        ];
        for server in servers {
            let ServerAddresses { http, https, health, peers, ocsp } = self.server(server.address);
            wanted.extend([http, https, health, peers, ocsp]);
        }
        for address in wanted {
            bind(address)?;
        }
        Ok(Reservation { _last_port: reservation })
    }

    /// The first port.
    pub fn base(self) -> u16 {
        self.base
    }

    /// The central registry.
    pub fn registry(self) -> SocketAddr {
        self.local(0)
    }

    /// The certification authority with its OCSP responder.
    pub fn ca(self) -> SocketAddr {
        self.local(1)
    }

    /// The timestamping authority.
    pub fn tsa(self) -> SocketAddr {
        self.local(2)
    }

    /// The population register's information system.
    pub fn population(self) -> SocketAddr {
        self.local(3)
    }

    /// The tax authority's information system.
    pub fn tax(self) -> SocketAddr {
        self.local(4)
    }

    /// The portal's information system.
    pub fn portal(self) -> SocketAddr {
        self.local(5)
    }

    /// A security server's addresses.
    pub fn server(self, address: IpAddr) -> ServerAddresses {
        let at = |offset| SocketAddr::new(address, self.base + offset);
        ServerAddresses { http: at(10), https: at(11), health: at(12), peers: at(20), ocsp: at(21) }
    }

    fn local(self, offset: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.base + offset))
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, SandboxError> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => SandboxError::PortInUse { address },
        _ => SandboxError::NoAddress { address, error },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::world::{Topology, World};

    #[test]
    fn busy_ports_are_told() {
        let servers = World::new().unwrap().servers(Topology::Two).unwrap();
        let free = Addresses::choose(Ports::Free, &servers).unwrap();
        let taken = TcpListener::bind(free.tsa()).unwrap();
        let error = Addresses::choose(Ports::From(free.base()), &servers).unwrap_err();
        assert!(matches!(error, SandboxError::PortInUse { address } if address == free.tsa()));
        drop(taken);
        let (kept, reservation) = Addresses::reserve(Ports::From(free.base()), &servers).unwrap();
        assert_eq!(kept, free);
        assert!(Addresses::choose(Ports::From(free.base()), &servers).is_err());
        drop(reservation);
        assert_ne!(Addresses::choose(Ports::Free, &servers).unwrap().base(), free.base());
        for base in [0, 80, u16::MAX] {
            assert!(Addresses::choose(Ports::From(base), &servers).is_err());
        }
    }
}
