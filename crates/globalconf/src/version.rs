use std::fmt;
use std::str::FromStr;

use causeway_pki::DigestAlgorithm;

use crate::GlobalConfError;

/// A version of the global configuration's formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// X-Road 6 and 7.0–7.3; the meaning of a directory or metadata without a version.
    V2,
    /// Adds configuration sources, basic ACME data, SHA-256 digests of authentication certificates.
    V3,
    /// Adds ACME profile ids.
    V4,
    /// Adds names of subsystems and the maintenance mode.
    V5,
    /// Adds cost types and the default format of certificate requests.
    V6,
}

impl Version {
    /// All versions that are read and written, oldest first.
    pub const ALL: [Self; 5] = [Self::V2, Self::V3, Self::V4, Self::V5, Self::V6];
    /// The newest version.
    pub const LATEST: Self = Self::V6;

    /// The number, 2 to 6.
    pub fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
            Self::V5 => 5,
            Self::V6 => 6,
        }
    }

    /// The version of that number; `None` when it is not supported.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|version| u64::from(version.number()) == number)
    }

    /// The digest by which `authCertHash` names authentication certificates: SHA-1 in version 2,
    /// SHA-256 from version 3. The document itself does not tell.
    pub fn auth_certificate_digest(self) -> DigestAlgorithm {
        match self {
            Self::V2 => DigestAlgorithm::Sha1,
            _ => DigestAlgorithm::Sha256,
        }
    }
}

impl Default for Version {
    /// Version 2: what a directory or metadata means that names none.
    fn default() -> Self {
        Self::V2
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

impl FromStr for Version {
    type Err = GlobalConfError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim()
            .parse()
            .ok()
            .and_then(Self::from_number)
            .ok_or_else(|| GlobalConfError::wrong_value("Version", text))
    }
}
