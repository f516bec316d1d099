//! The registry itself: records, keys and what is published, behind one handle.

mod ledger;
mod named;
mod requests;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use causeway_globalconf::GlobalConfError;
use causeway_keys::{KeysError, SoftwareToken};
use causeway_pki::PkiError;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::config::Config;
use crate::edit::{Edit, EditError};
use crate::listing::Listing;
use crate::publication::{Disk, Publication, Publisher};
use crate::records::{ConfigurationKind, Key, State};
use crate::signing::{self, Signers};
use crate::store::{Change, Store, StoreError};

pub use ledger::Records;
pub(crate) use ledger::apply;
pub use requests::Door;

/// What can go wrong with a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The records are not what this program writes.
    #[error("the records are damaged: {0}")]
    Corrupt(String),
    /// The store holds another instance's records.
    #[error("the store holds the records of instance {found}, not of {expected}")]
    OtherInstance {
        /// The instance of the configuration file.
        expected: String,
        /// The instance of the store.
        found: String,
    },
    /// Something must be recorded before anything can be published: what, and how.
    #[error("nothing can be published: {0}")]
    NotReady(String, String),
    /// A document could not be made.
    #[error(transparent)]
    Document(#[from] GlobalConfError),
    /// The token failed.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A certificate could not be made or read.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A file or folder could not be used.
    #[error("{0}")]
    Disk(String),
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// The admin interface cannot be opened.
    #[error("the admin interface: {0}")]
    Admin(String),
}

impl RegistryError {
    pub(crate) fn disk(path: &Path, error: &std::io::Error) -> Self {
        Self::Disk(format!("{}: {error}", path.display()))
    }

    /// What the operator can do next.
    pub fn next_step(&self) -> &str {
        match self {
            Self::Store(StoreError::InUse) => "stop the registry that uses the storage folder",
            Self::Store(_) | Self::Disk(_) => {
                "look at the disk and the permissions of the storage folder"
            }
            Self::Corrupt(_) => "restore the storage folder from a backup",
            Self::OtherInstance { .. } => {
                "correct 'instance' or 'storage' in the configuration file"
            }
            Self::NotReady(_, next) => next,
            Self::Keys(KeysError::PinSource { .. }) => {
                "set pin_file or pin_environment in the configuration file, or run at a terminal"
            }
            Self::Keys(KeysError::PinPolicy(_)) => "choose a PIN of ten characters of three kinds",
            Self::Keys(_) => "look at the token folder inside the storage folder, and at the PIN",
            Self::Document(_) | Self::Pki(_) => "look at the records: `central-registry list`",
            Self::Randomness => "look at the system's log",
            Self::Admin(_) => {
                "look at [admin] in the configuration file, and at the folder 'admin' in the storage folder"
            }
        }
    }
}

/// A central registry. Clones are handles to the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    config: Config,
    records: Mutex<Records>,
    signers: Mutex<Signers>,
    token: Option<SoftwareToken>,
    publisher: Mutex<Publisher>,
    publication: ArcSwapOption<Publication>,
    changed: Notify,
    /// Something has changed since the records were last read for publishing.
    unpublished: AtomicBool,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({})", self.0.config.instance)
    }
}

impl Registry {
    /// Opens the registry of a storage folder. On first use it makes the store, the token, and a
    /// signing key for each of the two configurations.
    ///
    /// # Errors
    /// When the store or token cannot be opened, or the PIN cannot be had or is wrong.
    pub fn open(config: Config) -> Result<Self, RegistryError> {
        let now = OffsetDateTime::now_utc();
        let mut records = Records::open(&config)?;
        let token = signing::open_token(&config)?;
        for kind in ConfigurationKind::ALL {
            if !records.state.signing_keys.values().any(|key| key.kind == kind && key.active) {
                let (id, signer) = signing::generate(&token, &config, kind, now)?;
                records.commit(vec![signing::record(
                    id.as_str(),
                    kind,
                    &signer.certificate,
                    true,
                )?])?;
            }
        }
        let signers = signing::active(&records.state, &token)?;
        let disk = Some(Disk::new(config.public_folder()));
        Ok(Self::new(config, records, signers, Some(token), Publisher::new(disk, now)))
    }

    /// A registry with a store and keys of the caller's, which publishes from memory alone: for tests
    /// and trials.
    ///
    /// # Errors
    /// When the store cannot be read or holds another instance's records.
    pub fn with_parts(
        config: Config,
        store: Box<dyn Store>,
        signers: Signers,
    ) -> Result<Self, RegistryError> {
        let mut records = Records::with_store(store, &config.instance)?;
        let changes = signing::adopt(&records.state, &signers)?;
        records.commit(changes)?;
        let publisher = Publisher::new(None, OffsetDateTime::UNIX_EPOCH);
        Ok(Self::new(config, records, signers, None, publisher))
    }

    fn new(
        config: Config,
        records: Records,
        signers: Signers,
        token: Option<SoftwareToken>,
        publisher: Publisher,
    ) -> Self {
        Self(Arc::new(Inner {
            config,
            records: records.into(),
            signers: signers.into(),
            token,
            publisher: publisher.into(),
            publication: ArcSwapOption::empty(),
            changed: Notify::new(),
            unpublished: AtomicBool::new(true),
        }))
    }

    /// The configuration with which it was opened.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Makes a change. It is on disk when this returns, and published at the next
    /// [`Registry::publish`]; a serving registry publishes by itself.
    ///
    /// # Errors
    /// When a rule forbids it, or the store fails: nothing has changed then.
    pub fn edit(&self, edit: Edit) -> Result<(), EditError> {
        lock(&self.0.records).edit(edit)?;
        self.notify();
        Ok(())
    }

    /// Makes several changes in one transaction: all of them or none.
    ///
    /// # Errors
    /// As [`Registry::edit`], for the first change that is refused.
    pub fn edit_all(&self, edits: impl IntoIterator<Item = Edit>) -> Result<(), EditError> {
        lock(&self.0.records).edit_all(edits)?;
        self.notify();
        Ok(())
    }

    /// All records, for people and programs.
    pub fn listing(&self) -> Listing {
        lock(&self.0.records).listing()
    }

    /// Makes the changes that are planned on the records as they are; nothing changes between.
    pub(crate) fn edit_with<T, E: From<EditError>>(
        &self,
        plan: impl FnOnce(&State) -> Result<(Vec<Edit>, T), E>,
    ) -> Result<T, E> {
        let mut records = lock(&self.0.records);
        let (edits, planned) = plan(&records.state)?;
        records.edit_all(edits)?;
        drop(records);
        self.notify();
        Ok(planned)
    }

    /// Looks at the records; nothing changes meanwhile.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&lock(&self.0.records).state)
    }

    /// Publishes all records as of now: signs every version, writes the files to disk, and swaps what
    /// is served, all at once.
    ///
    /// # Errors
    /// When something is missing ([`RegistryError::NotReady`]) or cannot be signed; what was served
    /// before stays.
    pub fn publish(&self, now: OffsetDateTime) -> Result<Arc<Publication>, RegistryError> {
        let mut publisher = lock(&self.0.publisher);
        self.0.unpublished.store(false, Ordering::Release);
        let state = lock(&self.0.records).state.clone();
        let signers = lock(&self.0.signers).clone();
        let publication = Arc::new(publisher.publish(&state, &signers, &self.0.config, now)?);
        self.0.publication.store(Some(Arc::clone(&publication)));
        Ok(publication)
    }

    /// What is served now; `None` before the first [`Registry::publish`].
    pub fn publication(&self) -> Option<Arc<Publication>> {
        self.0.publication.load_full()
    }

    /// The anchor file that leads to one of the two configurations.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn anchor(&self, kind: ConfigurationKind) -> Result<Vec<u8>, RegistryError> {
        let now = OffsetDateTime::now_utc();
        let anchor = lock(&self.0.records).anchor(&self.0.config, kind, now)?;
        Ok(anchor.to_xml()?)
    }

    /// Makes another signing key for one of the configurations. Its certificate is published from now
    /// on, so that every security server knows it before it signs; see
    /// [`Registry::activate_signing_key`]. Gives the key's identifier.
    ///
    /// # Errors
    /// When the registry has no token of its own, or the key cannot be made.
    pub fn add_signing_key(&self, kind: ConfigurationKind) -> Result<String, RegistryError> {
        let token = self.token()?;
        let (id, signer) =
            signing::generate(token, &self.0.config, kind, OffsetDateTime::now_utc())?;
        let change = signing::record(id.as_str(), kind, &signer.certificate, false)?;
        lock(&self.0.records).commit(vec![change])?;
        self.notify();
        Ok(id.to_string())
    }

    /// Lets a key sign from now on. Do this when anchors with its certificate have been handed out, or
    /// all security servers have downloaded it; the old key's certificate stays published.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn activate_signing_key(&self, id: &str) -> Result<(), RegistryError> {
        let token = self.token()?;
        let mut records = lock(&self.0.records);
        let kind = signing_key(&records.state, id)?.kind;
        let mut changes = Vec::new();
        for (known, record) in records.state.signing_keys.iter().filter(|(_, r)| r.kind == kind) {
            let certificate = record.certificate.0.read()?;
            changes.push(signing::record(known, kind, &certificate, known == id)?);
        }
        records.commit(changes)?;
        *lock(&self.0.signers) = signing::active(&records.state, token)?;
        self.notify();
        Ok(())
    }

    /// Forgets a key that does not sign, with its certificate.
    ///
    /// # Errors
    /// When there is no such key, or it signs.
    pub fn remove_signing_key(&self, id: &str) -> Result<(), RegistryError> {
        let token = self.token()?;
        let mut records = lock(&self.0.records);
        if signing_key(&records.state, id)?.active {
            let why = format!("{id} is the key that signs");
            return Err(RegistryError::NotReady(why, "activate another key first".into()));
        }
        records.commit(vec![Change::Delete(Key::Signer(id.to_owned()).to_bytes())])?;
        token.delete_key(&id.parse()?)?;
        self.notify();
        Ok(())
    }

    fn token(&self) -> Result<&SoftwareToken, RegistryError> {
        self.0.token.as_ref().ok_or_else(|| {
            let next = "open the registry with its token".to_owned();
            RegistryError::NotReady("the keys of this registry are not its own".into(), next)
        })
    }

    /// Waits for a change that is not published yet.
    pub(crate) async fn changed(&self) {
        loop {
            self.0.changed.notified().await;
            if self.0.unpublished.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn notify(&self) {
        self.0.unpublished.store(true, Ordering::Release);
        self.0.changed.notify_one();
    }
}

fn signing_key<'s>(
    state: &'s State,
    id: &str,
) -> Result<&'s crate::records::SigningKeyRecord, RegistryError> {
    state.signing_keys.get(id).ok_or_else(|| {
        let next = "see the keys there are: `central-registry list signing-keys`".to_owned();
        RegistryError::NotReady(format!("there is no signing key {id}"), next)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard changes in single steps, so a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
