//! Reading one archive, as a stranger's (`MessageArchiveExtractor`, `ArchiveHashChainVerifier`).
//!
//! X-Road's checker follows the chain from container to container and stops at the first digest that
//! differs. Here each container is held against the digests *stated* before and after it, so that one
//! container that was changed is one finding; an archive that has no finding is one that X-Road's
//! checker accepts, and the other way round but for what [`causeway_asic::archive`] refuses.

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Seek, Write};

use causeway_asic::archive::{Archive, Entry};
use causeway_asic::{AsicError, Limits};
use causeway_pki::Digester;

use crate::ArchiveError;
use crate::linking::{LINKING_INFO, LinkingInfo, MAX_LINKING_INFO_BYTES, shown, step};

/// What the names of containers end with.
const CONTAINER_SUFFIX: &str = ".asice";

/// What is wrong inside of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// There is no linking information, or none that can be used.
    LinkingInfo(ArchiveError),
    /// There is no container.
    NoContainers,
    /// The container is not the one that was archived, or not in its place.
    Changed(String),
    /// The container is in another place than where it was archived.
    Moved(String),
    /// The container is in the archive, but not in its linking information.
    NotListed(String),
    /// The container is in the linking information, but not in the archive.
    Missing(String),
    /// The content of the container cannot be read.
    Unreadable(String, AsicError),
    /// An entry that is neither a container nor the linking information; nothing vouches for it.
    Stranger(String),
}

impl Problem {
    /// A word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::LinkingInfo(_) => "linking_info",
            Self::NoContainers => "no_containers",
            Self::Changed(_) => "changed",
            Self::Moved(_) => "moved",
            Self::NotListed(_) => "not_listed",
            Self::Missing(_) => "missing",
            Self::Unreadable(..) => "unreadable",
            Self::Stranger(_) => "stranger",
        }
    }

    /// Whether the linking information does not hold; else there is something beside it that a reader should know.
    pub fn breaks(&self) -> bool {
        !matches!(self, Self::Stranger(_))
    }

    /// The container, or entry, at fault.
    pub fn entry(&self) -> Option<&str> {
        match self {
            Self::LinkingInfo(_) | Self::NoContainers => None,
            Self::Changed(name)
            | Self::Moved(name)
            | Self::NotListed(name)
            | Self::Missing(name)
            | Self::Unreadable(name, _)
            | Self::Stranger(name) => Some(name),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkingInfo(error) => write!(f, "{error}"),
            Self::NoContainers => f.write_str("the archive has no containers"),
            Self::Changed(name) => write!(
                f,
                "'{}' is not what was archived under that name, or what was archived before it is gone",
                shown(name)
            ),
            Self::Moved(name) => {
                write!(f, "'{}' is not in the place where it was archived", shown(name))
            }
            Self::NotListed(name) => write!(
                f,
                "'{}' is in the archive, but not in its linking information: it was added",
                shown(name)
            ),
            Self::Missing(name) => write!(
                f,
                "'{}' was archived, but is not in the archive: it was removed or renamed",
                shown(name)
            ),
            Self::Unreadable(name, error) => write!(f, "'{}': {error}", shown(name)),
            Self::Stranger(name) => write!(
                f,
                "'{}' is no container and not part of the format; nothing vouches for it",
                shown(name)
            ),
        }
    }
}

/// An archive whose structure was found sound.
pub struct OpenArchive<R> {
    zip: Archive<R>,
    info: Result<LinkingInfo, ArchiveError>,
    containers: Vec<Entry>,
    strangers: Vec<String>,
}

impl<R> fmt::Debug for OpenArchive<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenArchive")
            .field("containers", &self.containers.len())
            .finish_non_exhaustive()
    }
}

impl<R: Read + Seek> OpenArchive<R> {
    /// Reads the structure of an archive and its linking information; containers are not looked at yet.
    ///
    /// # Errors
    /// As [`Archive::open`], with the bounds of [`Limits::for_message_log_archive`].
    pub fn open(reader: R) -> Result<Self, AsicError> {
        let mut zip = Archive::open(reader, &Limits::for_message_log_archive())?;
        let info = match zip.find(LINKING_INFO).cloned() {
            Some(entry) => {
                let text = zip.read(&entry, MAX_LINKING_INFO_BYTES);
                text.map_err(ArchiveError::from).and_then(|text| LinkingInfo::parse(&text))
            }
            None => Err(ArchiveError::NoLinkingInfo),
        };
        let (mut containers, mut strangers) = (Vec::new(), Vec::new());
        for entry in zip.entries() {
            if entry.name().ends_with(CONTAINER_SUFFIX) {
                containers.push(entry.clone());
            } else if entry.name() != LINKING_INFO {
                strangers.push(entry.name().to_owned());
            }
        }
        Ok(Self { zip, info, containers, strangers })
    }

    /// The containers, in the order of the archive's directory.
    pub fn containers(&self) -> &[Entry] {
        &self.containers
    }

    /// The linking information.
    ///
    /// # Errors
    /// Why there is none.
    pub fn linking_info(&self) -> Result<&LinkingInfo, &ArchiveError> {
        self.info.as_ref()
    }

    /// Writes the content of the container at this place to `out`; bounded as the archive is.
    ///
    /// # Errors
    /// As [`Archive::copy`].
    pub fn copy(&mut self, place: usize, out: &mut dyn Write) -> Result<u64, AsicError> {
        let entry =
            self.containers.get(place).cloned().ok_or_else(|| {
                AsicError::Damaged(format!("there is no container at place {place}"))
            })?;
        self.zip.copy(&entry, out)
    }

    /// Begins to compare the containers with the linking information.
    pub fn comparison(&self) -> Comparison {
        let mut problems = Vec::new();
        let info = match &self.info {
            Ok(info) => Some(info.clone()),
            Err(error) => {
                problems.push(Problem::LinkingInfo(error.clone()));
                None
            }
        };
        if self.containers.is_empty() {
            problems.push(Problem::NoContainers);
        }
        problems.extend(self.strangers.iter().cloned().map(Problem::Stranger));
        let places = info.iter().flat_map(|info| info.containers.iter().enumerate());
        let places = places.map(|(place, linked)| (linked.container.clone(), place)).collect();
        let seen = vec![false; info.as_ref().map_or(0, |info| info.containers.len())];
        Comparison { info, places, seen, next: 0, problems }
    }
}

/// Compares containers with linking information, one after the other in the order of the archive.
#[derive(Debug)]
pub struct Comparison {
    info: Option<LinkingInfo>,
    places: HashMap<String, usize>,
    seen: Vec<bool>,
    next: usize,
    problems: Vec<Problem>,
}

impl Comparison {
    /// What digests are made with; none where there is no linking information to compare with.
    pub fn digester(&self) -> Option<Digester> {
        self.info.as_ref().map(|info| Digester::new(info.algorithm))
    }

    /// Takes the next container: its name, and the digest of its content, or why there is none.
    /// Gives what is wrong with it.
    pub fn container(&mut self, name: &str, digest: Result<&[u8], AsicError>) -> Option<&Problem> {
        let before = self.problems.len();
        if let Err(error) = &digest {
            self.problems.push(Problem::Unreadable(name.to_owned(), error.clone()));
        }
        if let Some(info) = &self.info {
            match self.places.get(name).copied() {
                None => self.problems.push(Problem::NotListed(name.to_owned())),
                Some(place) => {
                    if let Some(seen) = self.seen.get_mut(place) {
                        *seen = true;
                    }
                    let stated = |place: usize| info.containers.get(place).map(|l| &l.digest[..]);
                    let previous = match place.checked_sub(1) {
                        Some(before) => stated(before).unwrap_or_default(),
                        None => info.previous_digest(),
                    };
                    if let Ok(digest) = digest {
                        let found = step(info.algorithm, previous, digest);
                        if stated(place) != Some(&found[..]) {
                            self.problems.push(Problem::Changed(name.to_owned()));
                        } else if place < self.next {
                            self.problems.push(Problem::Moved(name.to_owned()));
                        }
                    }
                    self.next = self.next.max(place + 1);
                }
            }
        }
        self.problems.get(before)
    }

    /// What was found, once all containers were taken.
    pub fn finish(mut self) -> Inspected {
        if let Some(info) = &self.info {
            let unseen = info.containers.iter().zip(&self.seen).filter(|(_, seen)| !**seen);
            self.problems.extend(unseen.map(|(l, _)| Problem::Missing(l.container.clone())));
        }
        Inspected { info: self.info, problems: self.problems }
    }
}

/// What an archive's linking information says, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The linking information.
    pub info: Option<LinkingInfo>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Inspected {
    /// Whether the linking information holds.
    pub fn holds(&self) -> bool {
        !self.problems.iter().any(Problem::breaks)
    }
}

/// Compares a whole archive with its linking information; the containers themselves are not judged.
///
/// # Errors
/// As [`OpenArchive::open`].
pub fn inspect<R: Read + Seek>(reader: R) -> Result<Inspected, AsicError> {
    let mut archive = OpenArchive::open(reader)?;
    let mut comparison = archive.comparison();
    for place in 0..archive.containers().len() {
        let Some(digester) = comparison.digester() else { break };
        let name = archive.containers()[place].name().to_owned();
        let mut sink = Sink(digester);
        let digest = archive.copy(place, &mut sink).map(|_| sink.0.finish());
        comparison.container(&name, digest.as_deref().map_err(Clone::clone));
    }
    Ok(comparison.finish())
}

/// Digests what is written to it.
pub(crate) struct Sink(pub(crate) Digester);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
