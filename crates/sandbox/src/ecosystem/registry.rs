//! The central registry of the ecosystem: everybody recorded, and the global configuration served.

use std::path::Path;

use causeway_globalconf::EncodedCertificate;
use causeway_identifiers::SecurityServerId;
use causeway_keys::{Cost, KeyKind, Pin, PinSource, SoftwareToken};
use causeway_pki::Certificate;
use central_registry::{
    CaCertificateRecord, CaRecord, CertificateRecord, Config, ConfigurationKind, Edit, EditError,
    OcspRecord, Registry, RegistryError, TsaRecord,
};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::authorities::{Authorities, CA_NAME, PROFILE, TSA_NAME};
use super::folder;
use crate::SandboxError;
use crate::addresses::Addresses;
use crate::options::Options;
use crate::world::{CLASS, CLASS_NAME, INSTANCE, ServerPlan, World};

const PART: &str = "central registry";

/// The group that some rights are given to.
pub(crate) const GROUP: &str = "public-services";

/// The registry, served while `serving`.
#[derive(Debug)]
pub(crate) struct RegistryService {
    registry: Registry,
    address: std::net::SocketAddr,
    serving: Option<Serving>,
}

#[derive(Debug)]
struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RegistryError>>,
}

impl RegistryService {
    /// Opens the registry of a folder; makes it when there is none. It is not served yet.
    pub(crate) fn open(
        folder: &Path,
        addresses: Addresses,
        options: &Options,
    ) -> Result<Self, SandboxError> {
        let address = addresses.registry();
        let mut config = Config::new(INSTANCE, folder.join("registry"), &address.to_string());
        config.listen = address;
        config.key_kind = KeyKind::EcP256;
        config.validity = options.configuration_validity;
        config.renewal = options.configuration_validity / 10;
        let pin = folder.join("registry.pin");
        if !pin.exists() {
            make_token(&config.storage.join("token"), &pin, options)?;
        }
        config.pin = PinSource::File(pin);
        let registry = Registry::open(config).map_err(SandboxError::part(PART))?;
        Ok(Self { registry, address, serving: None })
    }

    /// Records everybody, and gives the anchor file.
    pub(crate) fn record(
        &self,
        world: &World,
        servers: &[(ServerPlan, Certificate)],
        authorities: &Authorities,
    ) -> Result<Vec<u8>, SandboxError> {
        self.record_trust(authorities)
            .and_then(|()| self.record_members(world, servers))
            .map_err(SandboxError::part(PART))?;
        self.registry.publish(OffsetDateTime::now_utc()).map_err(SandboxError::part(PART))?;
        self.registry.anchor(ConfigurationKind::Internal).map_err(SandboxError::part(PART))
    }

    fn record_trust(&self, authorities: &Authorities) -> Result<(), EditError> {
        let encoded =
            |certificate: &Certificate| CertificateRecord(EncodedCertificate::from(certificate));
        let responder = OcspRecord {
            url: authorities.ocsp_url().to_owned(),
            certificate: Some(encoded(authorities.ocsp_certificate())),
            cost: None,
        };
        let top = CaCertificateRecord {
            certificate: encoded(authorities.ca().certificate()),
            ocsp: vec![responder],
        };
        let ca = CaRecord {
            authentication_only: false,
            profile: PROFILE.class_name(),
            top,
            intermediates: Vec::new(),
            acme_url: None,
            acme_addresses: None,
            csr_format: None,
        };
        let tsa = TsaRecord {
            url: authorities.tsa_url().to_owned(),
            certificate: encoded(authorities.tsa_certificate()),
            cost: None,
        };
        self.registry.add_ca(CA_NAME, ca)?;
        self.registry.add_tsa(TSA_NAME, tsa)
    }

    fn record_members(
        &self,
        world: &World,
        servers: &[(ServerPlan, Certificate)],
    ) -> Result<(), EditError> {
        let registry = &self.registry;
        registry.add_member_class(CLASS, CLASS_NAME)?;
        for party in world.parties() {
            registry.add_member(&party.member, party.name)?;
            registry.add_subsystem(&party.subsystem, None)?;
        }
        for (plan, certificate) in servers {
            registry.add_server(&plan.id, &plan.address.to_string())?;
            registry.add_auth_certificate(&plan.id, certificate)?;
            for party in &plan.parties {
                registry.add_client(&plan.id, &party.subsystem)?;
            }
        }
        registry.add_group(GROUP, "Portals that serve the public")?;
        registry.add_group_member(GROUP, &world.portal.subsystem)?;
        registry.set_management_provider(&world.portal.subsystem)
    }

    /// Begins to serve the global configuration.
    pub(crate) async fn serve(&mut self) -> Result<(), SandboxError> {
        if self.serving.is_some() {
            return Ok(());
        }
        let address = self.address;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| SandboxError::NoAddress { address, error })?;
        let (stop, stopped) = oneshot::channel();
        let registry = self.registry.clone();
        let stopped = async move {
            // An error means that the ecosystem is gone.
            let _ = stopped.await;
        };
        let task = tokio::spawn(async move { registry.serve(listener, stopped).await });
        self.serving = Some(Serving { stop, task });
        Ok(())
    }

    /// Ends serving; the records stay.
    pub(crate) async fn stop(&mut self) {
        if let Some(Serving { stop, task }) = self.serving.take() {
            let _ = stop.send(());
            if let Ok(Err(error)) = task.await {
                tracing::error!(%error, "the registry ended");
            }
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Puts a server out of service in the global configuration, or back.
    pub(crate) fn maintenance(&self, id: &SecurityServerId, on: bool) -> Result<(), SandboxError> {
        let edit = Edit::ServerMaintenance { id: id.clone(), on, message: None };
        self.registry.edit(edit).map_err(SandboxError::part(PART))
    }
}

/// Makes a software token with a fresh PIN in a file beside it.
///
/// What protects a temporary folder's keys is that it goes; there the PIN may be cheap to guess.
pub(crate) fn make_token(
    folder: &Path,
    pin_file: &Path,
    options: &Options,
) -> Result<SoftwareToken, SandboxError> {
    let part = || pin_file.display().to_string();
    let text = format!("Sandbox-{}", Uuid::new_v4().simple());
    let pin = Pin::new(text.as_str()).map_err(SandboxError::part(part()))?;
    if let Some(parent) = pin_file.parent() {
        folder::make(parent)?;
    }
    folder::write_secret(pin_file, text.as_bytes())?;
    let cost = if options.data.is_none() { Cost::LEAST } else { Cost::default() };
    SoftwareToken::create_with(folder, &pin, "software token", cost)
        .map_err(SandboxError::part(folder.display().to_string()))
}
