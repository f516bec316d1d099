//! Roles of a small trade, and stores of both kinds.

use std::collections::BTreeSet;

use causeway_admin::SystemRandomness;
use causeway_admin::identity::{Cost, Identity, Permissions, Role, Settings};
use causeway_admin::store::{EmbeddedStore, MemoryStore, Store};

pub(crate) const PERMISSIONS: Permissions = Permissions::new(&[
    ("VIEW_THINGS", &[Role::RegistrationOfficer, Role::Observer]),
    ("ADD_THING", &[Role::RegistrationOfficer]),
    ("CREATE_API_KEY", &[Role::SystemAdministrator]),
    ("VIEW_API_KEYS", &[Role::SystemAdministrator]),
    ("UPDATE_API_KEY", &[Role::SystemAdministrator]),
    ("REVOKE_API_KEY", &[Role::SystemAdministrator]),
]);

pub(crate) const PASSWORD: &str = "Correct-horse-7";

pub(crate) fn settings() -> Settings {
    Settings { cost: Cost::LEAST, ..Settings::new(PERMISSIONS) }
}

pub(crate) fn open(store: Box<dyn Store>) -> Identity {
    Identity::open(settings(), store, Box::<SystemRandomness>::default()).unwrap()
}

pub(crate) fn in_memory() -> Identity {
    open(Box::<MemoryStore>::default())
}

pub(crate) fn roles<const N: usize>(roles: [Role; N]) -> BTreeSet<Role> {
    roles.into()
}

pub(crate) fn everything() -> BTreeSet<Role> {
    Role::ALL.into()
}

/// Runs a story over both kinds of stores.
pub(crate) fn over_both_stores(story: impl Fn(&dyn Fn() -> Box<dyn Store>)) {
    let memory = std::sync::Arc::new(MemoryStore::default());
    story(&|| Box::new(Shared(std::sync::Arc::clone(&memory))));
    let folder = tempfile::tempdir().unwrap();
    story(&|| Box::new(EmbeddedStore::open(&folder.path().join("store")).unwrap()));
}

/// A memory store that outlives the one who opened it, as a folder does.
struct Shared(std::sync::Arc<MemoryStore>);

impl Store for Shared {
    fn rows(
        &self,
        prefix: &[u8],
    ) -> Result<Vec<causeway_admin::store::Row>, causeway_admin::store::StoreError> {
        self.0.rows(prefix)
    }

    fn commit(
        &self,
        changes: &[causeway_admin::store::Change],
    ) -> Result<(), causeway_admin::store::StoreError> {
        self.0.commit(changes)
    }
}
