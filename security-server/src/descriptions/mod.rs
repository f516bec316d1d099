//! Service descriptions of this server's clients: the copies that the server keeps, so that it can
//! start and answer `getWsdl` and `getOpenAPI` while a provider is away, and fetching newer ones.
//!
//! A description takes effect when an operator takes it over (`security-server services refresh`):
//! what a provider publishes changes what consumers may see, so it does not change by itself. Each
//! copy is one file in `data_dir/descriptions`: a line of JSON that tells where it is from, then the
//! document's bytes.

mod fetch;
mod refresh;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use causeway_identifiers::ClientId;
use causeway_metadata::{
    Description, DescriptionError, DescriptionType, MAX_DESCRIPTION_BYTES, openapi, wsdl,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use fetch::{FetchError, Fetched, fetch};
pub use refresh::{Compared, News, compare, judge, take_over};

/// The longest first line of a copy, in bytes.
const MAX_LINE: usize = 16 << 10;

/// Where a description comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A file, by its path from the root or from where the program runs.
    File(PathBuf),
    /// An `http` or `https` address.
    Url(url::Url),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url.as_str()),
        }
    }
}

/// A description that was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The document, as it was published.
    pub bytes: Bytes,
    /// The document as consumers get it: without addresses of information systems.
    pub hidden: Bytes,
    /// The content type that the provider gave it.
    pub content_type: Option<String>,
    /// What it says.
    pub reading: Description,
}

impl Kept {
    /// Reads a document that was fetched.
    ///
    /// # Errors
    /// [`DescriptionError`] when it is no description of its kind, or could not be given to
    /// consumers without telling addresses.
    pub fn read(kind: DescriptionType, fetched: Fetched) -> Result<Self, DescriptionError> {
        let Fetched { bytes, content_type } = fetched;
        let reading = Description::read(kind, &bytes)?;
        let hidden = match kind {
            DescriptionType::Wsdl => wsdl::hide_addresses(&bytes)?,
            DescriptionType::OpenApi3 => openapi::hide_servers(&bytes)?,
        };
        let hidden = if hidden == bytes { bytes.clone() } else { Bytes::from(hidden) };
        Ok(Self { bytes, hidden, content_type, reading })
    }
}

/// The first line of a copy.
#[derive(Debug, Serialize, Deserialize)]
struct Origin {
    client: String,
    location: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    taken: String,
}

/// The copies in a folder, some perhaps about to be replaced by newer ones.
#[derive(Debug, Clone, Default)]
pub struct Copies {
    folder: PathBuf,
    newer: HashMap<String, Arc<Kept>>,
}

impl Copies {
    /// The copies of a server with this data folder.
    pub fn of(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("descriptions"), newer: HashMap::new() }
    }

    /// As if the copies told were in the folder already: their names, as [`Copies::name`] gives them.
    #[must_use]
    pub fn with(mut self, newer: HashMap<String, Arc<Kept>>) -> Self {
        self.newer = newer;
        self
    }

    /// The name of the copy of a client's description: 32 hexadecimal digits.
    pub fn name(client: &ClientId, kind: DescriptionType, location: &Location) -> String {
        let of = format!("{client}\n{}\n{location}", kind.name());
        let digest = ring::digest::digest(&ring::digest::SHA256, of.as_bytes());
        hex::encode(&digest.as_ref()[..16])
    }

    /// The copy of that name; `None` when nothing was taken over yet.
    ///
    /// # Errors
    /// A text, when the file cannot be read or does not hold what it should.
    pub fn get(&self, name: &str, kind: DescriptionType) -> Result<Option<Arc<Kept>>, String> {
        if let Some(newer) = self.newer.get(name) {
            return Ok(Some(Arc::clone(newer)));
        }
        let path = self.path(name);
        let wrong = |why: &dyn fmt::Display| {
            format!("its copy '{}' {why}; take the description over again", path.display())
        };
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&format_args!("cannot be read: {error}"))),
        };
        let mut bytes = Vec::new();
        file.take((MAX_DESCRIPTION_BYTES + MAX_LINE) as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| wrong(&format_args!("cannot be read: {error}")))?;
        let end = bytes.iter().take(MAX_LINE).position(|b| *b == b'\n');
        let origin: Origin = end
            .and_then(|end| serde_json::from_slice(&bytes[..end]).ok())
            .ok_or_else(|| wrong(&"does not tell where it is from"))?;
        let document = Bytes::from(bytes).slice(end.map_or(0, |end| end + 1)..);
        let fetched = Fetched { bytes: document, content_type: origin.content_type };
        let kept = Kept::read(kind, fetched)
            .map_err(|error| wrong(&format_args!("is damaged: {error}")))?;
        Ok(Some(Arc::new(kept)))
    }

    /// Keeps a copy; when this returns `Ok`, it is on disk, whole.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn put(
        &self,
        client: &ClientId,
        kind: DescriptionType,
        location: &Location,
        kept: &Kept,
        now: OffsetDateTime,
    ) -> io::Result<()> {
        let origin = Origin {
            client: client.to_string(),
            location: location.to_string(),
            kind: kind.name().to_owned(),
            content_type: kept.content_type.clone(),
            taken: now.format(&Rfc3339).unwrap_or_default(),
        };
        std::fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer(&mut file, &origin)?;
        file.write_all(b"\n")?;
        file.write_all(&kept.bytes)?;
        for_everybody_to_read(file.as_file())?;
        file.as_file().sync_all()?;
        let path = self.path(&Self::name(client, kind, location));
        file.persist(path).map_err(|e| e.error)?;
        std::fs::File::open(&self.folder)?.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.description"))
    }
}

/// Makes a copy readable for the server, whoever took it over.
#[cfg(unix)]
fn for_everybody_to_read(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn for_everybody_to_read(_file: &std::fs::File) -> io::Result<()> {
    Ok(())
}
