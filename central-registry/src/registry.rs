//! The registry itself: records, keys and what is published, behind one handle.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use causeway_globalconf::{Anchor, EncodedCertificate, GlobalConfError};
use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_keys::{KeysError, SoftwareToken};
use causeway_pki::{Certificate, PkiError};
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::config::Config;
use crate::edit::{Edit, EditError, plan};
use crate::listing::Listing;
use crate::parameters;
use crate::publication::{Disk, Publication, Publisher};
use crate::records::{
    CaRecord, CertificateRecord, ConfigurationKind, Key, Settings, State, TsaRecord,
};
use crate::signing::{self, Signers};
use crate::store::{Change, SledStore, Store, StoreError};

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
            Self::Document(_) | Self::Pki(_) => "look at the records with list",
            Self::Randomness => "look at the system's log",
        }
    }
}

/// The records with their store: what the command line needs while no registry runs.
pub struct Records {
    store: Box<dyn Store>,
    state: State,
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
                "make the keys: central-registry init".into(),
            ));
        }
        Ok(anchor)
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), RegistryError> {
        self.store.commit(&changes)?;
        changes.iter().try_for_each(|change| apply(&mut self.state, change))
    }
}

fn apply(state: &mut State, change: &Change) -> Result<(), RegistryError> {
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

/// Changes by name, for programs; each is an [`Edit`].
impl Registry {
    /// Adds a class of members.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_member_class(&self, code: &str, description: &str) -> Result<(), EditError> {
        self.edit(Edit::MemberClassAdd { code: code.into(), description: description.into() })
    }

    /// Adds a member.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_member(&self, id: &MemberId, name: &str) -> Result<(), EditError> {
        self.edit(Edit::MemberAdd { id: id.clone(), name: name.into() })
    }

    /// Adds a subsystem.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_subsystem(&self, id: &ClientId, name: Option<&str>) -> Result<(), EditError> {
        self.edit(Edit::SubsystemAdd { id: id.clone(), name: name.map(str::to_owned) })
    }

    /// Adds a security server.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_server(&self, id: &SecurityServerId, address: &str) -> Result<(), EditError> {
        self.edit(Edit::ServerAdd { id: id.clone(), address: address.into() })
    }

    /// Registers an authentication certificate.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_auth_certificate(
        &self,
        server: &SecurityServerId,
        certificate: &Certificate,
    ) -> Result<(), EditError> {
        let certificate = CertificateRecord(EncodedCertificate::from(certificate));
        self.edit(Edit::AuthCertificateAdd { server: server.clone(), certificate })
    }

    /// Registers a client at a security server.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_client(
        &self,
        server: &SecurityServerId,
        client: &ClientId,
    ) -> Result<(), EditError> {
        self.edit(Edit::ClientAdd { server: server.clone(), client: client.clone() })
    }

    /// Adds a group of clients.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_group(&self, code: &str, description: &str) -> Result<(), EditError> {
        self.edit(Edit::GroupAdd { code: code.into(), description: description.into() })
    }

    /// Adds a client to a group.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_group_member(&self, group: &str, client: &ClientId) -> Result<(), EditError> {
        self.edit(Edit::GroupMemberAdd { group: group.into(), client: client.clone() })
    }

    /// Approves a certification service.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_ca(&self, name: &str, ca: CaRecord) -> Result<(), EditError> {
        self.edit(Edit::CaAdd { name: name.into(), ca: Box::new(ca) })
    }

    /// Approves a timestamping authority.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_tsa(&self, name: &str, tsa: TsaRecord) -> Result<(), EditError> {
        self.edit(Edit::TsaAdd { name: name.into(), tsa })
    }

    /// Federates with the instance to which an anchor leads.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn add_federation(&self, anchor: &str) -> Result<(), EditError> {
        self.edit(Edit::FederationAdd { anchor: anchor.into() })
    }

    /// Says who provides the management services.
    ///
    /// # Errors
    /// As [`Registry::edit`].
    pub fn set_management_provider(&self, provider: &ClientId) -> Result<(), EditError> {
        let (registration_url, registration_certificate) = (None, None);
        let provider = provider.clone();
        self.edit(Edit::ManagementSet { provider, registration_url, registration_certificate })
    }
}

fn signing_key<'s>(
    state: &'s State,
    id: &str,
) -> Result<&'s crate::records::SigningKeyRecord, RegistryError> {
    state.signing_keys.get(id).ok_or_else(|| {
        let next = "see the keys there are: list signing-keys".to_owned();
        RegistryError::NotReady(format!("there is no signing key {id}"), next)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard changes in single steps, so a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
