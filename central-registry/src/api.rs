//! The administration's API over HTTPS: the registry's records under the paths, bodies and codes of
//! X-Road's central server (`/api/v1`), so that its automation works here. What all servers have in common
//! is in `causeway_admin`; here are the routes, the permissions and the forms of this trade.
//!
//! The records have no numbers and no times of their own: where X-Road answers a number, it is made of the
//! record's name ([`ids::number`]), and `created_at` and `updated_at` are left out.

mod anchors;
mod approvals;
mod certificate;
mod edits;
mod form;
mod groups;
mod ids;
mod members;
mod paging;
mod permissions;
mod schemas;
mod servers;
mod subsystems;
mod system;
mod trust;

use std::sync::Arc;

use causeway_admin::SystemRandomness;
use causeway_admin::audit::AuditLog;
use causeway_admin::http::{
    Access, Answer, Call, Document, Gate, Problem, Route, Serving, TlsFiles, ensure, serve,
};
use causeway_admin::identity::{Identity, Settings};
use causeway_admin::store::EmbeddedStore;
use http::Method;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{AdminConfig, Config};
use crate::registry::{Registry, RegistryError};

/// When a file of the audit log is closed and another begun, in bytes.
const ROTATE_AUDIT_AT: u64 = 64 << 20;

/// Who may administer a registry: opened by a running registry, or by the command line without one.
///
/// # Errors
/// When the store cannot be opened or read.
pub(crate) fn open_identity(config: &Config) -> Result<Identity, RegistryError> {
    let failed = |e: &dyn std::fmt::Display| RegistryError::Admin(e.to_string());
    let store = EmbeddedStore::open(&config.identity_folder()).map_err(|e| failed(&e))?;
    let settings = Settings::new(permissions::PERMISSIONS);
    let random = Box::<SystemRandomness>::default();
    Identity::open(settings, Box::new(store), random).map_err(|e| failed(&e))
}

/// The API of a running registry, ready to be served.
pub(crate) struct Api {
    pub(crate) identity: Arc<Identity>,
    gate: Arc<Gate>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
}

impl Api {
    /// Opens users, keys and the audit log, makes the certificate when there is none, and binds.
    pub(crate) async fn open(
        registry: &Registry,
        admin: &AdminConfig,
    ) -> Result<Self, RegistryError> {
        let failed = |e: &dyn std::fmt::Display| RegistryError::Admin(e.to_string());
        let config = registry.config();
        let now = OffsetDateTime::now_utc();
        let identity = Arc::new(open_identity(config)?);
        let (audit, recovery) =
            AuditLog::open(&config.audit_folder(), ROTATE_AUDIT_AT, now).map_err(|e| failed(&e))?;
        if recovery.torn_bytes > 0 {
            tracing::warn!(
                bytes = recovery.torn_bytes,
                "the audit log ended with an unfinished line"
            );
        }
        let files = TlsFiles {
            certificate: config.admin_folder().join("tls/admin.crt"),
            key: config.admin_folder().join("tls/admin.key"),
        };
        let names: Vec<String> = config
            .public_addresses
            .iter()
            .map(|address| address.split(':').next().unwrap_or_default().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        let tls = ensure(&files, &names, now).map_err(|e| failed(&e))?;
        let gate = gate(registry, Arc::clone(&identity), Arc::new(audit), admin)?;
        let listener = TcpListener::bind(admin.listen)
            .await
            .map_err(|e| RegistryError::Admin(format!("cannot listen at {}: {e}", admin.listen)))?;
        Ok(Self { identity, gate: Arc::new(gate), listener, tls })
    }

    /// Serves until the other end of `stopped` is dropped.
    pub(crate) async fn serve(self, mut stopped: watch::Receiver<()>) {
        let until = async { drop(stopped.changed().await) };
        serve(self.gate, self.listener, self.tls, Serving::default(), until).await;
    }
}

/// What stands before the routes of a registry.
pub(crate) fn gate(
    registry: &Registry,
    identity: Arc<Identity>,
    audit: Arc<AuditLog>,
    admin: &AdminConfig,
) -> Result<Gate, RegistryError> {
    let document = Document {
        title: "Central registry".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        schemas: schemas::all(),
    };
    let random = Box::<SystemRandomness>::default();
    Gate::new(identity, audit, random, routes(registry), &document, admin.edge.clone())
        .map_err(|e| RegistryError::Admin(e.to_string()))
}

fn routes(registry: &Registry) -> Vec<Route> {
    let mut routes = Vec::new();
    for part in [
        members::routes,
        subsystems::routes,
        servers::routes,
        groups::routes,
        trust::routes,
        approvals::routes,
        anchors::routes,
        system::routes,
    ] {
        routes.extend(part(registry));
    }
    routes
}

type Work = fn(&Registry, &Call) -> Result<Answer, Problem>;

/// A route of the registry for whoever has a permission.
fn route(
    registry: &Registry,
    method: Method,
    path: &'static str,
    operation: &'static str,
    permission: &'static str,
    work: Work,
) -> Route {
    let registry = registry.clone();
    let access = Access::Permission(permission);
    Route::new(method, path, operation, access, move |call| work(&registry, call))
}
