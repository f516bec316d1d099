use std::io;
use std::path::PathBuf;

use causeway_globalconf::GlobalConfError;

use crate::outgoing::OutgoingError;

/// Why the global configuration could not be refreshed, or only in part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The anchor cannot be read.
    #[error("the configuration anchor {} cannot be read: {source}", path.display())]
    Anchor {
        /// The anchor's file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// What was downloaded, or the anchor, is not what it must be.
    #[error(transparent)]
    Configuration(#[from] GlobalConfError),
    /// An address could not be called.
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    /// An address answered with a status other than 200.
    #[error("{url}: status {status}")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
    },
    /// No source of an instance gave a configuration.
    #[error("no source of the global configuration of {instance} could be used: {}", tries.join("; "))]
    NoSource {
        /// The instance.
        instance: String,
        /// Each address that was tried, with what went wrong.
        tries: Vec<String>,
    },
    /// The configuration is in use, but could not be saved.
    #[error("the global configuration could not be saved: {0}")]
    Save(#[source] io::Error),
    /// The own instance's configuration is in use, that of some partners could not be refreshed.
    #[error("{}", .0.join("; "))]
    Partners(Vec<String>),
    /// An address, or a partner's registry, did not give what was asked in the time that it has.
    #[error("{0}: it took too long")]
    TookTooLong(String),
    /// Not asked yet.
    #[error("not asked yet")]
    Pending,
    /// The work was cut off.
    #[error("the refresh was interrupted")]
    Interrupted,
}

impl RefreshError {
    /// The error code of X-Road 7.8.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Configuration(error) => error.code(),
            Self::Outgoing(_)
            | Self::NoSource { .. }
            | Self::Partners(_)
            | Self::TookTooLong(_) => "global_conf_download_url_connection_failure",
            Self::Status { .. } => "global_conf_part_download_failure",
            Self::Save(_) => "global_conf_part_file_save_failure",
            Self::Anchor { .. } | Self::Interrupted | Self::Pending => "internal_error",
        }
    }
}
