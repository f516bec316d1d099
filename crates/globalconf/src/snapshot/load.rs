//! Reading a snapshot from the files of a configuration folder (protocol reference 7.6), as X-Road's
//! configuration client leaves it, or as a security server hands it out for verification.

use std::collections::{BTreeSet, HashMap};

use super::{GlobalConf, InstanceConfiguration};
use crate::file_name::{
    FETCH_INTERVAL, INSTANCE_IDENTIFIER, METADATA_SUFFIX, MONITORING, NEXT_UPDATE,
    PRIVATE_PARAMETERS, SHARED_PARAMETERS, instance_folder,
};
use crate::{
    FetchInterval, GlobalConfError, MonitoringParameters, NextUpdate, PartMetadata,
    PrivateParameters, SharedParameters,
};

const WHAT: &str = "global configuration";
/// The most files of a configuration folder.
const MAX_FILES: usize = 10_000;

type Files<'a> = HashMap<&'a str, &'a [u8]>;

impl GlobalConf {
    /// Reads the files of a configuration folder: relative paths with `/`, and contents. Folders above
    /// the one that holds `instance-identifier` are passed over, so that an unpacked or zipped
    /// `verificationconf/` serves as it is; so are files that are not part of a configuration.
    ///
    /// A partner instance that cannot be read is left out and told of in [`GlobalConf::problems`].
    ///
    /// # Errors
    /// [`GlobalConfError::Malformed`] when `instance-identifier` or the own instance's shared
    /// parameters are missing or malformed, or there are more than 10,000 files.
    pub fn from_directory_files(files: Vec<(String, Vec<u8>)>) -> Result<Self, GlobalConfError> {
        if files.len() > MAX_FILES {
            let why = format!("more than {MAX_FILES} files");
            return Err(GlobalConfError::malformed(WHAT, why));
        }
        let files: Files<'_> =
            files.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
        let (top, own) = own_instance(&files)?;
        let within: Files<'_> = files
            .iter()
            .filter_map(|(path, bytes)| Some((path.strip_prefix(top)?, *bytes)))
            .collect();
        let folders: BTreeSet<&str> = within
            .keys()
            .filter_map(|path| path.strip_suffix(SHARED_PARAMETERS)?.strip_suffix('/'))
            .filter(|folder| !folder.is_empty() && !folder.contains('/'))
            .collect();
        let own_folder = instance_folder(&own);
        let is_own = |folder: &str| folder == own || folder == own_folder;
        let (mut instances, mut problems) = (Vec::new(), Vec::new());
        for folder in folders {
            match read_instance(&within, folder, is_own(folder)) {
                Ok(instance) => instances.push(instance),
                Err(e) if is_own(folder) => return Err(e),
                Err(e) => {
                    problems.push(format!("the instance in folder {folder} is left out: {e}"))
                }
            }
        }
        let mut conf = Self::new(&own, instances)?;
        conf.problems.append(&mut problems);
        Ok(conf)
    }
}

/// The folder of the configuration (empty, or with a final slash) and the own instance.
fn own_instance<'a>(files: &Files<'a>) -> Result<(&'a str, String), GlobalConfError> {
    let top = files
        .keys()
        .filter_map(|path| path.strip_suffix(INSTANCE_IDENTIFIER))
        .filter(|top| top.is_empty() || top.ends_with('/'))
        .min_by_key(|top| (top.len(), *top))
        .ok_or_else(|| {
            GlobalConfError::malformed(WHAT, format!("no file {INSTANCE_IDENTIFIER}"))
        })?;
    let content = files.get(format!("{top}{INSTANCE_IDENTIFIER}").as_str()).copied();
    let own = std::str::from_utf8(content.unwrap_or_default()).unwrap_or_default().trim();
    if own.is_empty() || own.len() > causeway_identifiers::MAX_PART_BYTES {
        let why = format!("{INSTANCE_IDENTIFIER} does not hold an instance identifier");
        return Err(GlobalConfError::malformed(WHAT, why));
    }
    Ok((top, own.to_owned()))
}

fn read_instance(
    files: &Files<'_>,
    folder: &str,
    own: bool,
) -> Result<InstanceConfiguration, GlobalConfError> {
    let file = |name: &str| files.get(format!("{folder}/{name}").as_str()).copied();
    let metadata = |name: &str| match file(&format!("{name}{METADATA_SUFFIX}")) {
        Some(json) => PartMetadata::parse(json),
        None => Ok(PartMetadata::default()),
    };
    let shared_metadata = metadata(SHARED_PARAMETERS)?;
    let version = shared_metadata.version.unwrap_or_default();
    let shared = SharedParameters::parse(file(SHARED_PARAMETERS).unwrap_or_default(), version)?;
    in_its_folder(&shared.instance, folder)?;

    let mut instance = InstanceConfiguration::new(shared, version, shared_metadata.expires);
    if !own {
        return Ok(instance);
    }
    if let Some(xml) = file(PRIVATE_PARAMETERS) {
        let private = PrivateParameters::parse(xml)?;
        in_its_folder(&private.instance, folder)?;
        instance.private = Some(private);
        let expires = metadata(PRIVATE_PARAMETERS)?.expires;
        instance.expires = instance.expires.into_iter().chain(expires).min();
    }
    instance.monitoring = file(MONITORING).map(MonitoringParameters::parse).transpose()?;
    instance.fetch_interval = file(FETCH_INTERVAL).map(FetchInterval::parse).transpose()?;
    instance.next_update = file(NEXT_UPDATE).map(NextUpdate::parse).transpose()?;
    Ok(instance)
}

fn in_its_folder(instance: &str, folder: &str) -> Result<(), GlobalConfError> {
    // X-Road's verification archive names folders by the identifier as it is.
    if instance == folder || instance_folder(instance) == folder {
        return Ok(());
    }
    let why = format!("folder {folder} holds the parameters of {instance}");
    Err(GlobalConfError::malformed(WHAT, why))
}
