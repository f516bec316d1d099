//! What the auditor has to say of a set of archives.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

/// Whether a set of archives holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SetVerdict {
    /// Every container is valid, and nothing is missing that linking information names.
    Valid,
    /// Something is not valid, or missing.
    Invalid,
    /// Something could not be judged.
    NotJudged,
}

/// The judgement of a set of archives. Serializes to JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetReport {
    /// Whether the set holds.
    pub verdict: SetVerdict,
    /// The instance whose configuration was used.
    pub instance: String,
    /// What is not as it should be in that configuration.
    pub configuration_problems: Vec<String>,
    /// How much there is.
    pub totals: Totals,
    /// What is wrong among the archives.
    pub problems: Vec<Finding>,
    /// The chains that the archives make.
    pub chains: Vec<ChainReport>,
    /// The archives, in the order in which they were given.
    pub archives: Vec<ArchiveReport>,
    /// Containers that are not as they should be, up to a bound.
    pub containers: Vec<ContainerFinding>,
    /// How many more there are than are listed.
    pub more_containers: u64,
    /// How often containers are not valid, by code.
    pub codes: BTreeMap<String, u64>,
    /// How often something is not covered by a signature, by reason.
    pub not_covered: BTreeMap<String, u64>,
    /// How often a careful reader should know something beside, by what it is.
    pub notes: BTreeMap<String, u64>,
    /// Containers by the day of their timestamps (UTC).
    pub volumes: Vec<Volume>,
    /// Valid containers by who signed them.
    pub signers: BTreeMap<String, u64>,
}

/// How much there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Archives.
    pub archives: u64,
    /// Archives that could not be opened.
    pub archives_not_judged: u64,
    /// Containers.
    pub containers: u64,
    /// Containers that are valid.
    pub valid: u64,
    /// Containers that are not.
    pub invalid: u64,
    /// Containers that could not be judged.
    pub not_judged: u64,
    /// Valid containers that lack something that was signed.
    pub incomplete: u64,
    /// Valid requests.
    pub requests: u64,
    /// Valid responses.
    pub responses: u64,
    /// The containers' sizes together, in bytes.
    pub bytes: u64,
    /// The earliest timestamp.
    #[serde(serialize_with = "time_or_null")]
    pub first: Option<OffsetDateTime>,
    /// The latest timestamp.
    #[serde(serialize_with = "time_or_null")]
    pub last: Option<OffsetDateTime>,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A word for programs.
    pub kind: &'static str,
    /// Whether it makes the set invalid.
    pub breaks: bool,
    /// In words.
    pub text: String,
}

/// A chain of archives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// The group, as file names have it.
    pub group: Option<String>,
    /// The archives, in order.
    pub archives: Vec<String>,
    /// The archive before the first, which is not in the set.
    pub continues: Option<String>,
    /// Its last digest.
    pub continues_digest: Option<String>,
    /// The last digest of the chain.
    pub digest: Option<String>,
    /// Whether that was known from elsewhere; else archives may be gone from the end without a trace.
    pub end_is_known: bool,
}

/// The judgement of one archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchiveReport {
    /// The file.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Why it could not be judged, or is not an archive.
    pub error: Option<String>,
    /// The digest algorithm of its chain.
    pub algorithm: Option<&'static str>,
    /// The archive that it continues.
    pub previous: Option<String>,
    /// Its last digest.
    pub digest: Option<String>,
    /// Whether its linking information holds.
    pub linking_holds: bool,
    /// What is wrong with it.
    pub problems: Vec<Finding>,
    /// How many more there are than are listed.
    pub more_problems: u64,
    /// Containers.
    pub containers: u64,
    /// Containers that are valid.
    pub valid: u64,
    /// Valid containers that lack something that was signed.
    pub incomplete: u64,
    /// The earliest timestamp.
    #[serde(serialize_with = "time_or_null")]
    pub first: Option<OffsetDateTime>,
    /// The latest timestamp.
    #[serde(serialize_with = "time_or_null")]
    pub last: Option<OffsetDateTime>,
}

/// A container that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerFinding {
    /// The archive.
    pub archive: String,
    /// The container's name in it.
    pub container: String,
    /// X-Road's error code; none when it is valid but lacks something.
    pub code: Option<String>,
    /// What is wrong.
    pub message: String,
    /// The rule that X-Road does not have, when it is such a rule that spoke.
    pub stricter_rule: Option<String>,
}

/// What was stamped on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The day (UTC).
    #[serde(serialize_with = "day")]
    pub day: Date,
    /// How many containers.
    pub containers: u64,
    /// How many of them are not valid.
    pub invalid: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
}

fn time_or_null<S: Serializer>(
    time: &Option<OffsetDateTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| time.format(&Rfc3339).unwrap_or_else(|_| time.to_string()))
        .serialize(serializer)
}

fn day<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&day.to_string())
}
