use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{GlobalConfError, Version, instant};

const WHAT: &str = "part metadata";
/// The longest metadata file, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// What lies beside each file of a downloaded configuration, as `<file>.metadata`: JSON that tells
/// where the file came from and how long it counts (protocol reference 7.6).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartMetadata {
    /// The part's identifier, e.g. `SHARED-PARAMETERS`.
    pub content_identifier: Option<String>,
    /// The instance of the part.
    pub instance: Option<String>,
    /// When the part expires; without it, never.
    pub expires: Option<OffsetDateTime>,
    /// The file name that the directory asked for.
    pub content_file_name: Option<String>,
    /// The location in the directory.
    pub content_location: Option<String>,
    /// The version of the part; without it, version 2.
    pub version: Option<Version>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_identifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance_identifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiration_date: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_file_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    configuration_version: Option<String>,
}

impl PartMetadata {
    /// Reads a metadata file of at most 64 KiB. Unknown fields are passed over.
    ///
    /// # Errors
    /// [`GlobalConfError::Malformed`] when it is not such JSON, or the date or version cannot be read.
    pub fn parse(json: &[u8]) -> Result<Self, GlobalConfError> {
        if json.len() > MAX_BYTES {
            return Err(GlobalConfError::malformed(WHAT, format!("longer than {MAX_BYTES} bytes")));
        }
        let json: Json = serde_json::from_slice(json)
            .map_err(|e| GlobalConfError::malformed(WHAT, e.to_string()))?;
        let expires = json.expiration_date.map(|text| {
            instant::parse(&text).ok_or_else(|| {
                GlobalConfError::malformed(WHAT, "expirationDate is not a date and time")
            })
        });
        let version = json.configuration_version.map(|text| {
            text.parse::<Version>()
                .map_err(|_| GlobalConfError::malformed(WHAT, "configurationVersion is not 2 to 6"))
        });
        Ok(Self {
            content_identifier: json.content_identifier,
            instance: json.instance_identifier,
            expires: expires.transpose()?,
            content_file_name: json.content_file_name,
            content_location: json.content_location,
            version: version.transpose()?,
        })
    }

    /// Writes a metadata file; what is absent is left out.
    pub fn to_json(&self) -> Vec<u8> {
        let json = Json {
            content_identifier: self.content_identifier.clone(),
            instance_identifier: self.instance.clone(),
            expiration_date: self.expires.and_then(instant::format),
            content_file_name: self.content_file_name.clone(),
            content_location: self.content_location.clone(),
            configuration_version: self.version.map(|version| version.to_string()),
        };
        // Strings in a flat structure: there is nothing that serde_json could refuse.
        serde_json::to_vec(&json).unwrap_or_default()
    }
}
