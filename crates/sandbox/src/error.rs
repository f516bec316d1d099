use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the sandbox cannot go on.
///
/// `Display` is English; the binary shows those that its user can do something about in the
/// user's language ([`crate::texts`]).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A port is busy.
    #[error("{address} is in use; choose other ports with --port-base")]
    PortInUse {
        /// Which.
        address: SocketAddr,
    },
    /// A loopback address cannot be used.
    #[error("cannot listen on {address}: {error}")]
    NoAddress {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The first port is out of range.
    #[error("the port base {base} is not between 1024 and {most}")]
    BadPortBase {
        /// What was asked for.
        base: u16,
        /// The largest that would do.
        most: u16,
    },
    /// The data folder holds something else, or an ecosystem that was never completed.
    #[error("{} is neither empty nor a finished sandbox", .0.display())]
    NotASandbox(PathBuf),
    /// Another sandbox is setting itself up in the data folder.
    #[error("another sandbox is setting itself up in {}", .0.display())]
    BeingMade(PathBuf),
    /// A kept ecosystem was made with other options.
    #[error("{} was made with {option} {was}, not {asked}", folder.display())]
    MadeOtherwise {
        /// The data folder.
        folder: PathBuf,
        /// The option.
        option: &'static str,
        /// Its value then.
        was: String,
        /// Its value now.
        asked: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A part of the ecosystem refused.
    #[error("{part}: {why}")]
    Part {
        /// Which.
        part: String,
        /// What it said.
        why: String,
    },
    /// An HTTP request got no answer.
    #[error("{url}: {why}")]
    NoAnswer {
        /// Where it went.
        url: String,
        /// Why.
        why: String,
    },
}

impl SandboxError {
    /// Names the path in an I/O error.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// Names the part in another crate's error.
    pub(crate) fn part<E: std::fmt::Display>(part: impl Into<String>) -> impl FnOnce(E) -> Self {
        let part = part.into();
        move |why| Self::Part { part, why: why.to_string() }
    }
}
