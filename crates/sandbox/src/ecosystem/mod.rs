//! The ecosystem as a whole: made or read back, started, called, stopped.

pub(crate) mod authorities;
pub(crate) mod folder;
mod keys;
mod registry;
mod server_files;
mod servers;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use causeway_identifiers::{ClientId, ServiceId};
use central_registry::Registry;

pub use self::authorities::Authorities;
pub use self::servers::SecurityServer;

use self::folder::{Folder, State};
use self::registry::RegistryService;
use crate::SandboxError;
use crate::addresses::{Addresses, Ports, Reservation};
use crate::consumer::{Call, Consumer, Exchange};
use crate::options::{Options, Step, StepState};
use crate::systems::{InformationSystem, population, portal, tax};
use crate::world::{ServerPlan, World};

/// A whole ecosystem that runs in this process.
///
/// Dropping it ends it roughly; [`Ecosystem::stop`] lets everything finish.
#[derive(Debug)]
pub struct Ecosystem {
    world: Arc<World>,
    addresses: Addresses,
    authorities: Authorities,
    registry: RegistryService,
    systems: Systems,
    servers: Vec<SecurityServer>,
    folder: Folder,
    _reservation: Reservation,
}

/// The members' information systems.
#[derive(Debug)]
pub struct Systems {
    /// The population register's.
    pub population: InformationSystem,
    /// The tax authority's.
    pub tax: InformationSystem,
    /// The portal's.
    pub portal: InformationSystem,
}

impl Ecosystem {
    /// Makes an ecosystem, or reads it back from its folder, and starts everything. When this
    /// returns, all security servers are ready.
    ///
    /// # Errors
    /// The first thing that cannot be had.
    pub async fn start(options: Options) -> Result<Self, SandboxError> {
        let world = Arc::new(World::new().map_err(SandboxError::part("identifiers"))?);
        let plans = world.servers(options.topology).map_err(SandboxError::part("identifiers"))?;
        let (mut folder, state) = Folder::open(&options)?;
        let ports = state.as_ref().map_or(options.ports, |state| Ports::From(state.port_base));
        let (addresses, reservation) = Addresses::reserve(ports, &plans)?;
        let step = Step::Folder(folder.path().to_owned(), folder.is_temporary());
        options.tell(&step, StepState::Done(std::time::Duration::ZERO));

        let begun = Instant::now();
        let path = folder.path().to_owned();
        let count = keys::needed(&plans);
        let step = Step::Keys(count, options.key);
        let making = match state {
            Some(_) => None,
            None => {
                options.tell(&step, StepState::Begun);
                let (options, step, kind) = (options.clone(), step.clone(), options.key);
                let told = move |made| options.tell(&step, StepState::Reached(made));
                let made = keys::make(count, kind, told);
                Some(AbortOnDrop(tokio::spawn(made)))
            }
        };
        let authorities = Authorities::start(&path.join("trust"), addresses).await?;
        options.tell(&Step::Authorities, StepState::Done(begun.elapsed()));
        let systems = Systems::start(&world, addresses, &plans).await?;
        options.tell(&Step::Systems, StepState::Done(begun.elapsed()));
        let mut registry = {
            let (path, options) = (path.clone(), options.clone());
            let open = move || RegistryService::open(&path, addresses, &options);
            tokio::task::spawn_blocking(open).await.map_err(SandboxError::part("registry"))??
        };
        match making {
            Some(mut making) => {
                let keys = (&mut making.0).await.map_err(SandboxError::part("keys"))??;
                options.tell(&step, StepState::Done(begun.elapsed()));
                let setting = Setting { world: &world, addresses, path: &path, options: &options };
                let anchor = setting.up(&plans, keys, &authorities, &registry)?;
                let anchor_file = path.join("anchor.xml");
                std::fs::write(&anchor_file, anchor).map_err(SandboxError::io(anchor_file))?;
                for plan in &plans {
                    let file = path.join(plan.name()).join(server_files::FILE);
                    server_files::take_descriptions_over(&file).await?;
                }
                folder.finish(&State::new(addresses.base(), options.key, options.topology))?;
            }
            None => options.tell(&Step::Reopened, StepState::Done(begun.elapsed())),
        }
        let registering = Instant::now();
        registry.serve().await?;
        options.tell(&Step::Registry, StepState::Done(registering.elapsed()));

        let servers = plans.into_iter().map(|plan| {
            let file = path.join(plan.name()).join(server_files::FILE);
            let at = addresses.server(plan.address);
            SecurityServer::new(plan, at, file)
        });
        let servers = servers.collect();
        let mut ecosystem = Self {
            world,
            addresses,
            authorities,
            registry,
            systems,
            servers,
            folder,
            _reservation: reservation,
        };
        ecosystem.start_servers(&options).await?;
        Ok(ecosystem)
    }

    /// Starts all servers side by side.
    async fn start_servers(&mut self, options: &Options) -> Result<(), SandboxError> {
        let mut starting = tokio::task::JoinSet::new();
        for (at, mut server) in std::mem::take(&mut self.servers).into_iter().enumerate() {
            let (options, begun) = (options.clone(), Instant::now());
            let wanted = !options.not_started.contains(&server.name());
            starting.spawn(async move {
                let step = Step::Server(server.plan().id.to_short());
                let started = if wanted {
                    options.tell(&step, StepState::Begun);
                    server.start().await
                } else {
                    Ok(())
                };
                if wanted && started.is_ok() {
                    options.tell(&step, StepState::Done(begun.elapsed()));
                }
                (at, server, started)
            });
        }
        let mut servers = Vec::new();
        let mut outcome = Ok(());
        while let Some(joined) = starting.join_next().await {
            let (at, server, started) = joined.map_err(SandboxError::part("security server"))?;
            servers.push((at, server));
            outcome = outcome.and(started);
        }
        servers.sort_by_key(|(at, _)| *at);
        self.servers = servers.into_iter().map(|(_, server)| server).collect();
        outcome
    }

    /// Stops everything: what is in flight is finished, a temporary folder is removed.
    pub async fn stop(mut self) {
        self.systems.portal.stop().await;
        for server in &mut self.servers {
            server.stop().await;
        }
        self.systems.population.stop().await;
        self.systems.tax.stop().await;
        self.registry.stop().await;
        self.authorities.stop().await;
    }

    /// Who is here.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Where everything listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Where everything is kept.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The certification authority, OCSP responder and timestamping authority, with their switches.
    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// The members' information systems, with their switches.
    pub fn systems(&self) -> &Systems {
        &self.systems
    }

    /// The central registry: changes are published at once.
    pub fn registry(&self) -> &Registry {
        self.registry.registry()
    }

    /// Stops serving the global configuration; [`Self::start_registry`] brings it back.
    pub async fn stop_registry(&mut self) {
        self.registry.stop().await;
    }

    /// Serves the global configuration again.
    ///
    /// # Errors
    /// When the address is no longer free.
    pub async fn start_registry(&mut self) -> Result<(), SandboxError> {
        self.registry.serve().await
    }

    /// The security servers, the portal's first.
    pub fn servers(&self) -> &[SecurityServer] {
        &self.servers
    }

    /// A security server by its name, such as `ss2`.
    ///
    /// # Errors
    /// When there is none.
    pub fn server(&self, name: &str) -> Result<&SecurityServer, SandboxError> {
        let found = self.servers.iter().find(|server| server.name() == name);
        found.ok_or_else(|| SandboxError::part(name)("there is no such security server"))
    }

    /// A security server by its name, to be started or stopped.
    ///
    /// # Errors
    /// When there is none.
    pub fn server_mut(&mut self, name: &str) -> Result<&mut SecurityServer, SandboxError> {
        let found = self.servers.iter_mut().find(|server| server.name() == name);
        found.ok_or_else(|| SandboxError::part(name)("there is no such security server"))
    }

    /// The portal's view of its security server.
    ///
    /// # Errors
    /// None that happens: the portal's server is always there.
    pub fn consumer(&self) -> Result<&Consumer, SandboxError> {
        self.server("ss1").map(SecurityServer::consumer)
    }

    /// Where the portal's information system reaches its security server.
    pub fn consumer_url(&self) -> String {
        self.servers.first().map_or_else(String::new, |server| server.consumer().base().to_owned())
    }

    /// Asks a service from the portal's security server, with GET. `path` follows the service's code.
    ///
    /// # Errors
    /// When no HTTP answer comes; see [`Exchange::error`] for what an answer tells.
    pub async fn call(
        &self,
        from: &ClientId,
        service: &ServiceId,
        path: &str,
    ) -> Result<Exchange, SandboxError> {
        self.send(Call::get(from, service, path)).await
    }

    /// Sends a request through the portal's security server.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn send(&self, call: Call) -> Result<Exchange, SandboxError> {
        self.consumer()?.send(call).await
    }

    /// Timestamps what waits in the logs of all servers that run here.
    ///
    /// # Errors
    /// When no timestamping authority answers.
    pub async fn stamp_now(&self) -> Result<(), SandboxError> {
        for server in self.servers.iter().filter(|server| server.server().is_some()) {
            server.stamp_now().await?;
        }
        Ok(())
    }

    /// Puts a security server out of service in the global configuration, or back.
    ///
    /// # Errors
    /// When there is no such server.
    pub fn set_maintenance(&self, name: &str, on: bool) -> Result<(), SandboxError> {
        self.registry.maintenance(&self.server(name)?.plan().id, on)
    }
}

impl Systems {
    async fn start(
        world: &Arc<World>,
        addresses: Addresses,
        plans: &[ServerPlan],
    ) -> Result<Self, SandboxError> {
        let server = plans.iter().find(|plan| plan.parties.contains(&world.portal));
        let server =
            server.ok_or_else(|| SandboxError::part("portal")("has no security server"))?;
        let base = format!("http://{}", addresses.server(server.address).http);
        let (consumer, world) = (Arc::new(Consumer::new(base)), Arc::clone(world));
        let ask = move |request| portal::handle(Arc::clone(&consumer), Arc::clone(&world), request);
        Ok(Self {
            population: InformationSystem::start(addresses.population(), population::handle)
                .await?,
            tax: InformationSystem::start(addresses.tax(), tax::handle).await?,
            portal: InformationSystem::start(addresses.portal(), ask).await?,
        })
    }
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is needed to set a fresh ecosystem up.
struct Setting<'s> {
    world: &'s World,
    addresses: Addresses,
    path: &'s Path,
    options: &'s Options,
}

impl Setting<'_> {
    /// Tokens, certificates, configuration files and records; gives the anchor.
    fn up(
        &self,
        plans: &[ServerPlan],
        mut keys: Vec<causeway_keys::KeyPair>,
        authorities: &Authorities,
        registry: &RegistryService,
    ) -> Result<Vec<u8>, SandboxError> {
        let begun = Instant::now();
        let mut equipped = Vec::new();
        for plan in plans {
            let folder = self.path.join(plan.name());
            let certificate = keys::equip(plan, &folder, &mut keys, authorities, self.options)?;
            server_files::write(plan, &folder, self.world, self.addresses, self.options)?;
            equipped.push((plan.clone(), certificate));
        }
        self.options.tell(&Step::Certificates, StepState::Done(begun.elapsed()));
        registry.record(self.world, &equipped, authorities)
    }
}
