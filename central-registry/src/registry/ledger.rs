//! The records with the store that keeps them.

use std::path::Path;

use causeway_globalconf::Anchor;
use time::OffsetDateTime;

use super::RegistryError;
use crate::config::Config;
use crate::edit::{Edit, EditError, plan};
use crate::listing::Listing;
use crate::parameters;
use crate::records::{ConfigurationKind, Key, Settings, State};
use crate::store::{Change, SledStore, Store};

/// The records with their store: what the command line needs while no registry runs.
pub struct Records {
    store: Box<dyn Store>,
    pub(super) state: State,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({})", self.state.settings.instance)
    }
}

impl Records {
    /// Opens the records of a storage folder, or makes them.
    ///
    /// # Errors
    /// When the store cannot be opened or read, or holds another instance's records.
    pub fn open(config: &Config) -> Result<Self, RegistryError> {
        let folder = config.store_folder();
        create_private(&config.storage)?;
        Self::with_store(Box::new(SledStore::open(&folder)?), &config.instance)
    }

    /// Takes the records of a store.
    ///
    /// # Errors
    /// As [`Records::open`].
    pub fn with_store(store: Box<dyn Store>, instance: &str) -> Result<Self, RegistryError> {
        let mut state = State::new(instance);
        let mut fresh = true;
        for (key, value) in store.rows()? {
            let name = || key.escape_ascii().to_string();
            let key = Key::parse(&key).ok_or_else(|| RegistryError::Corrupt(name()))?;
            fresh &= key != Key::Settings;
            state
                .put(key.clone(), &value)
                .map_err(|e| RegistryError::Corrupt(format!("{key:?}: {e}")))?;
        }
        let mut records = Self { store, state };
        if fresh {
            let settings = serde_json::to_vec(&Settings::new(instance))
                .map_err(|e| RegistryError::Corrupt(e.to_string()))?;
            records.commit(vec![Change::Put(Key::Settings.to_bytes(), settings)])?;
        }
        let found = &records.state.settings.instance;
        if found != instance {
            let (expected, found) = (instance.to_owned(), found.clone());
            return Err(RegistryError::OtherInstance { expected, found });
        }
        Ok(records)
    }

    /// Makes a change; it is on disk when this returns.
    ///
    /// # Errors
    /// When a rule forbids it, or the store fails: nothing has changed then.
    pub fn edit(&mut self, edit: Edit) -> Result<(), EditError> {
        let changes = plan(&self.state, edit)?;
        self.commit(changes).map_err(refused)
    }

    /// Makes several changes in one transaction: all of them or none.
    ///
    /// # Errors
    /// As [`Records::edit`], for the first change that is refused.
    pub fn edit_all(&mut self, edits: impl IntoIterator<Item = Edit>) -> Result<(), EditError> {
        let mut state = self.state.clone();
        let mut changes = Vec::new();
        for edit in edits {
            for change in plan(&state, edit)? {
                apply(&mut state, &change).map_err(refused)?;
                changes.push(change);
            }
        }
        self.store.commit(&changes)?;
        self.state = state;
        Ok(())
    }

    /// All records, for people and programs.
    pub fn listing(&self) -> Listing {
        Listing::of(&self.state)
    }

    /// The anchor that leads to one of the two configurations.
    ///
    /// # Errors
    /// [`RegistryError::NotReady`] while there is no signing key.
    pub fn anchor(
        &self,
        config: &Config,
        kind: ConfigurationKind,
        generated_at: OffsetDateTime,
    ) -> Result<Anchor, RegistryError> {
        let anchor = parameters::anchor(&self.state, &config.public_addresses, kind, generated_at);
        if anchor.sources.iter().any(|source| source.certificates.is_empty()) {
            let why = format!("there is no {} signing key yet", kind.name());
            return Err(RegistryError::NotReady(
                why,
                "make the keys: `central-registry init`".into(),
            ));
        }
        Ok(anchor)
    }

    pub(super) fn commit(&mut self, changes: Vec<Change>) -> Result<(), RegistryError> {
        self.store.commit(&changes)?;
        changes.iter().try_for_each(|change| apply(&mut self.state, change))
    }
}

/// Takes a change of a row into the state.
pub(crate) fn apply(state: &mut State, change: &Change) -> Result<(), RegistryError> {
    let (key, value) = match change {
        Change::Put(key, value) => (key, Some(value)),
        Change::Delete(key) => (key, None),
    };
    let key = Key::parse(key).ok_or_else(|| RegistryError::Corrupt("a key".into()))?;
    match value {
        Some(value) => {
            state.put(key, value).map_err(|e| RegistryError::Corrupt(e.to_string()))?;
        }
        None => state.delete(key),
    }
    Ok(())
}

fn refused(e: RegistryError) -> EditError {
    match e {
        RegistryError::Store(e) => EditError::Store(e),
        e => EditError::Invalid(e.to_string(), e.next_step().to_owned()),
    }
}

/// Makes the storage folder, for its owner alone.
fn create_private(folder: &Path) -> Result<(), RegistryError> {
    use std::os::unix::fs::DirBuilderExt as _;
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| RegistryError::disk(folder, &e))
}
