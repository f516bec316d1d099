//! Names of files and folders of a configuration on disk (protocol reference 7.6).

/// The file that names the own instance.
pub const INSTANCE_IDENTIFIER: &str = "instance-identifier";
/// The file with the shared parameters.
pub const SHARED_PARAMETERS: &str = "shared-params.xml";
/// The file with the private parameters.
pub const PRIVATE_PARAMETERS: &str = "private-params.xml";
/// The file with the monitoring parameters.
pub const MONITORING: &str = "monitoring-params.xml";
/// The file with the OCSP fetch interval.
pub const FETCH_INTERVAL: &str = "fetchinterval-params.xml";
/// The file that tells whether `nextUpdate` counts.
pub const NEXT_UPDATE: &str = "nextupdate-params.xml";
/// What is appended to a file's name for its metadata.
pub const METADATA_SUFFIX: &str = ".metadata";

/// The folder of an instance: its identifier as HTML forms encode it. `.` and `..`, which that
/// encoding leaves as they are, are encoded too, since the name comes from the network.
pub fn instance_folder(instance: &str) -> String {
    if instance.bytes().all(|b| b == b'.') {
        return "%2E".repeat(instance.len());
    }
    url::form_urlencoded::byte_serialize(instance.as_bytes()).collect()
}
