//! What is published: the documents of every version, their signed directories, and the generations
//! before that clients may still be reading (protocol reference 7.1 and 7.2).

mod disk;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use causeway_globalconf::directory::{
    Boundaries, FETCH_INTERVAL, MONITORING, NEXT_UPDATE, NewPart, PRIVATE_PARAMETERS,
    SHARED_PARAMETERS, build,
};
use causeway_globalconf::{Version, file_name};
use ring::rand::{SecureRandom as _, SystemRandom};
use time::{Duration, OffsetDateTime, UtcOffset};

use crate::config::Config;
use crate::parameters;
use crate::records::{ConfigurationKind, State};
use crate::registry::RegistryError;
use crate::signing::Signers;

pub(crate) use disk::Disk;

/// How long the files of a generation stay after the next one has come.
pub const RETENTION: std::time::Duration = std::time::Duration::from_secs(600);

/// What a registry serves at a moment: every path with its content. It never changes; a new one takes
/// its place.
#[derive(Debug, Clone)]
pub struct Publication {
    files: HashMap<String, Bytes>,
    created: OffsetDateTime,
    expires: OffsetDateTime,
    versions: Vec<Version>,
    disk_problem: Option<String>,
}

impl Publication {
    /// The file at a path, without the slash at its beginning, e.g. `V6/internalconf`.
    pub fn file(&self, path: &str) -> Option<Bytes> {
        self.files.get(path).cloned()
    }

    /// When it was made.
    pub fn created(&self) -> OffsetDateTime {
        self.created
    }

    /// When it stops counting.
    pub fn expires(&self) -> OffsetDateTime {
        self.expires
    }

    /// The versions in it, oldest first.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Why its copy on disk could not be written, if so. It is served from memory all the same.
    pub fn disk_problem(&self) -> Option<&str> {
        self.disk_problem.as_deref()
    }
}

/// The files of one version that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    /// The name of the folder: the moment at which it was made.
    pub(crate) stamp: String,
    /// The files by name.
    pub(crate) files: BTreeMap<String, Bytes>,
}

impl Folder {
    fn paths(&self, version: Version) -> impl Iterator<Item = (String, Bytes)> {
        let stamp = &self.stamp;
        self.files
            .iter()
            .map(move |(name, file)| (format!("V{version}/{stamp}/{name}"), file.clone()))
    }
}

/// Makes publications, one after another.
#[derive(Debug)]
pub(crate) struct Publisher {
    disk: Option<Disk>,
    current: BTreeMap<Version, Arc<Folder>>,
    retired: Vec<(Version, Arc<Folder>, OffsetDateTime)>,
    last_stamp: String,
}

impl Publisher {
    /// A publisher that goes on where the one before stopped: what lies on disk stays for a while.
    pub(crate) fn new(disk: Option<Disk>, now: OffsetDateTime) -> Self {
        let mut publisher =
            Self { disk, current: BTreeMap::new(), retired: Vec::new(), last_stamp: String::new() };
        for version in Version::ALL {
            let found =
                publisher.disk.as_ref().map(|disk| disk.folders(version)).unwrap_or_default();
            for folder in found {
                publisher.last_stamp = publisher.last_stamp.clone().max(folder.stamp.clone());
                if let Some(older) = publisher.current.insert(version, Arc::new(folder)) {
                    publisher.retired.push((version, older, now + RETENTION));
                }
            }
        }
        publisher
    }

    /// Makes the next publication, on disk too. Files that did not change stay where they are, so that
    /// clients need not fetch them again.
    pub(crate) fn publish(
        &mut self,
        state: &State,
        signers: &Signers,
        config: &Config,
        now: OffsetDateTime,
    ) -> Result<Publication, RegistryError> {
        let expires = now + config.validity;
        let versions: Vec<Version> =
            Version::ALL.into_iter().filter(|v| *v >= config.minimum_version).collect();
        let shared = parameters::shared(state, &config.public_addresses);
        let others = other_files(state, config)?;

        let (mut next, mut directories) = (BTreeMap::new(), Vec::new());
        for version in &versions {
            let mut files = others.clone();
            let xml = shared.to_xml(*version)?;
            files.insert(file_name::SHARED_PARAMETERS.to_owned(), xml.into());
            let folder = match self.current.get(version) {
                Some(current) if current.files == files => Arc::clone(current),
                _ => Arc::new(Folder { stamp: self.next_stamp(now), files }),
            };
            for kind in ConfigurationKind::ALL {
                let directory = sign(&folder, *version, kind, &config.instance, signers, expires)?;
                directories.push((*version, kind, Bytes::from(directory)));
            }
            next.insert(*version, folder);
        }
        self.retire(next, now);
        let disk_problem = self.write(&directories).err().map(|e| e.to_string());

        let mut files = HashMap::new();
        for (version, folder, _) in &self.retired {
            files.extend(folder.paths(*version));
        }
        for (version, folder) in &self.current {
            files.extend(folder.paths(*version));
        }
        for (version, kind, directory) in directories {
            files.insert(format!("V{version}/{}", kind.path()), directory);
        }
        Ok(Publication { files, created: now, expires, versions, disk_problem })
    }

    /// Puts new folders in the place of the old ones, which stay for [`RETENTION`].
    fn retire(&mut self, next: BTreeMap<Version, Arc<Folder>>, now: OffsetDateTime) {
        let old = std::mem::replace(&mut self.current, next);
        for (version, folder) in old {
            if self.current.get(&version).is_none_or(|new| new.stamp != folder.stamp) {
                self.retired.push((version, folder, now + RETENTION));
            }
        }
        self.retired.retain(|(_, _, until)| *until > now);
    }

    fn write(&self, directories: &[(Version, ConfigurationKind, Bytes)]) -> std::io::Result<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        for (version, folder) in &self.current {
            disk.write_folder(*version, folder)?;
        }
        for (version, kind, directory) in directories {
            disk.replace_directory(*version, *kind, directory)?;
        }
        let kept: Vec<(Version, &str)> = (self.current.iter().map(|(v, f)| (*v, f.stamp.as_str())))
            .chain(self.retired.iter().map(|(v, f, _)| (*v, f.stamp.as_str())))
            .collect();
        disk.clean(&kept, &self.current.keys().copied().collect::<Vec<_>>())
    }

    /// `yyyyMMddHHmmssnnnnnnnnn`, later than any before.
    fn next_stamp(&mut self, now: OffsetDateTime) -> String {
        let mut at = now.to_offset(UtcOffset::UTC);
        loop {
            let stamp = stamp(at);
            if stamp > self.last_stamp {
                self.last_stamp = stamp.clone();
                return stamp;
            }
            // The clock stood still or went back: go on from the last stamp.
            at = parse_stamp(&self.last_stamp).unwrap_or(at).max(at) + Duration::nanoseconds(1);
        }
    }
}

fn stamp(at: OffsetDateTime) -> String {
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}{:09}",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.nanosecond()
    )
}

fn parse_stamp(stamp: &str) -> Option<OffsetDateTime> {
    let number = |range: std::ops::Range<usize>| stamp.get(range)?.parse::<u32>().ok();
    let small = |range| number(range).and_then(|n| u8::try_from(n).ok());
    let year = i32::try_from(number(0..4)?).ok()?;
    let month = time::Month::try_from(small(4..6)?).ok()?;
    let date = time::Date::from_calendar_date(year, month, small(6..8)?).ok()?;
    let time = date.with_hms_nano(small(8..10)?, small(10..12)?, small(12..14)?, number(14..23)?);
    Some(time.ok()?.assume_utc())
}

/// The files beside the shared parameters; they are the same in all versions.
fn other_files(state: &State, config: &Config) -> Result<BTreeMap<String, Bytes>, RegistryError> {
    let private = parameters::private(state, &config.public_addresses).ok_or_else(|| {
        RegistryError::NotReady(
            "nobody provides the management services yet".into(),
            "name a registered client: `central-registry management set --provider CLIENT`".into(),
        )
    })?;
    let mut files = BTreeMap::new();
    let mut add = |name: &str, xml: Option<Vec<u8>>| {
        if let Some(xml) = xml {
            files.insert(name.to_owned(), Bytes::from(xml));
        }
    };
    add(file_name::PRIVATE_PARAMETERS, Some(private.to_xml()?));
    add(file_name::MONITORING, parameters::monitoring(state).map(|p| p.to_xml()));
    add(file_name::FETCH_INTERVAL, parameters::fetch_interval(state).map(|p| p.to_xml()));
    add(file_name::NEXT_UPDATE, parameters::next_update(state).map(|p| p.to_xml()));
    Ok(files)
}

fn sign(
    folder: &Folder,
    version: Version,
    kind: ConfigurationKind,
    instance: &str,
    signers: &Signers,
    expires: OffsetDateTime,
) -> Result<Vec<u8>, RegistryError> {
    let named: [(&str, &str); 5] = [
        (SHARED_PARAMETERS, file_name::SHARED_PARAMETERS),
        (PRIVATE_PARAMETERS, file_name::PRIVATE_PARAMETERS),
        (MONITORING, file_name::MONITORING),
        (FETCH_INTERVAL, file_name::FETCH_INTERVAL),
        (NEXT_UPDATE, file_name::NEXT_UPDATE),
    ];
    let of_kind = |identifier: &str| match kind {
        ConfigurationKind::Internal => true,
        ConfigurationKind::External => identifier == SHARED_PARAMETERS,
    };
    let files: Vec<(&str, String, &Bytes)> = named
        .into_iter()
        .filter(|(identifier, _)| of_kind(identifier))
        .filter_map(|(identifier, name)| {
            let location = format!("/V{version}/{}/{name}", folder.stamp);
            Some((identifier, location, folder.files.get(name)?))
        })
        .collect();
    let parts: Vec<NewPart<'_>> = files
        .iter()
        .map(|(identifier, location, content)| NewPart { identifier, location, content })
        .collect();
    let mut random = [0; 38];
    SystemRandom::new().fill(&mut random).map_err(|_| RegistryError::Randomness)?;
    let boundaries = Boundaries::from_random(&random);
    let signer = signers.of(kind);
    let (key, certificate) = (&*signer.key, &signer.certificate);
    Ok(build(&parts, expires, version, instance, key, certificate, &boundaries)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn stamps_never_go_back() {
        let mut publisher = Publisher::new(None, OffsetDateTime::UNIX_EPOCH);
        let now = OffsetDateTime::from_unix_timestamp_nanos(1_763_089_540_012_345_678).unwrap();
        let stamps = [now, now, now - Duration::days(1), now + Duration::seconds(1)]
            .map(|at| publisher.next_stamp(at));
        assert_eq!(
            stamps,
            [
                "20251114030540012345678",
                "20251114030540012345679",
                "20251114030540012345680",
                "20251114030541012345678"
            ]
        );
        assert_eq!(parse_stamp(&stamps[0]), Some(now));
    }
}
