//! Identifiers of the trust network: members, subsystems, services, security
//! servers and groups, as types that are parsed once at the edge.
//!
//! The written forms are those of X-Road 7 (`pr-mess` 2.1, `pr-rest` 4.2 and
//! 4.3): the short form `INSTANCE/CLASS/CODE/…`, the typed form
//! `SUBSYSTEM:INSTANCE/CLASS/…` of logs and faults, and the percent-encoded
//! form of REST paths and headers ([`rest`]). Equality is exact and
//! case-sensitive. Nothing here does I/O.

pub mod rest;

use std::fmt;
use std::sync::Arc;

/// The longest code that an identifier part may have, in bytes.
pub const MAX_PART_BYTES: usize = 255;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// A mandatory part is empty or white space only.
    #[error("{0} is empty")]
    Blank(&'static str),
    /// A part is longer than [`MAX_PART_BYTES`].
    #[error("{0} is longer than {MAX_PART_BYTES} bytes")]
    TooLong(&'static str),
    /// The text has the wrong number of parts.
    #[error("'{text}' has {found} parts where {expected} are needed")]
    WrongPartCount {
        /// The text that was read.
        text: String,
        /// How many parts it has.
        found: usize,
        /// How many parts are needed, in words.
        expected: &'static str,
    },
    /// A character that REST path segments do not allow, or a bad percent sequence.
    #[error("'{0}' has a character or percent sequence that is not allowed here")]
    IllegalEncoding(String),
}

fn part(name: &'static str, value: &str) -> Result<Arc<str>, IdentifierError> {
    if value.trim().is_empty() {
        return Err(IdentifierError::Blank(name));
    }
    if value.len() > MAX_PART_BYTES {
        return Err(IdentifierError::TooLong(name));
    }
    Ok(Arc::from(value))
}

/// Whether a code holds characters that identifiers must not have when they
/// are registered: control characters, `%`, `:`, `;`, `/`, `\`, and the
/// invisible U+200B and U+FEFF (`pr-mess` 2.1, `pr-rest` 4.2).
///
/// A peer's message that carries such a code is still served, as X-Road does;
/// a code is refused where it is first registered or configured.
pub fn has_illegal_characters(code: &str) -> bool {
    code.chars().any(|c| {
        c.is_control() || matches!(c, '%' | ':' | ';' | '/' | '\\' | '\u{200b}' | '\u{feff}')
    })
}

/// A member of an instance: an organisation that may own subsystems and servers.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId {
    instance: Arc<str>,
    class: Arc<str>,
    code: Arc<str>,
}

impl MemberId {
    /// Makes a member identifier.
    ///
    /// # Errors
    /// When a part is blank or too long.
    pub fn new(instance: &str, class: &str, code: &str) -> Result<Self, IdentifierError> {
        Ok(Self {
            instance: part("instance identifier", instance)?,
            class: part("member class", class)?,
            code: part("member code", code)?,
        })
    }

    /// Reads the short form `INSTANCE/CLASS/CODE`.
    ///
    /// # Errors
    /// When it has not three parts, or one is blank.
    pub fn parse(short: &str) -> Result<Self, IdentifierError> {
        match split(short).as_slice() {
            [i, c, m] => Self::new(i, c, m),
            parts => Err(wrong_count(short, parts.len(), "3")),
        }
    }

    /// The instance identifier.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The member class.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The member code, unique within its class.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The member itself as a client (no subsystem).
    pub fn as_client(&self) -> ClientId {
        ClientId { member: self.clone(), subsystem: None }
    }

    /// The member's subsystem of the given code.
    ///
    /// # Errors
    /// When the code is blank or too long.
    pub fn subsystem(&self, code: &str) -> Result<ClientId, IdentifierError> {
        Ok(ClientId { member: self.clone(), subsystem: Some(part("subsystem code", code)?) })
    }

    /// The short form, `INSTANCE/CLASS/CODE`.
    pub fn to_short(&self) -> String {
        [&self.instance, "/", &self.class, "/", &self.code].concat()
    }
}

/// A client of the network: a member, or one of its subsystems.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    member: MemberId,
    subsystem: Option<Arc<str>>,
}

impl ClientId {
    /// Makes a client identifier; without a subsystem code it names the member itself.
    ///
    /// # Errors
    /// When a part is blank or too long.
    pub fn new(
        instance: &str,
        class: &str,
        code: &str,
        subsystem: Option<&str>,
    ) -> Result<Self, IdentifierError> {
        let member = MemberId::new(instance, class, code)?;
        match subsystem {
            Some(s) => member.subsystem(s),
            None => Ok(member.as_client()),
        }
    }

    /// Reads the short form `INSTANCE/CLASS/CODE[/SUBSYSTEM]`.
    ///
    /// # Errors
    /// When it has not three or four parts, or one is blank.
    pub fn parse(short: &str) -> Result<Self, IdentifierError> {
        match split(short).as_slice() {
            [i, c, m] => Self::new(i, c, m, None),
            [i, c, m, s] => Self::new(i, c, m, Some(s)),
            parts => Err(wrong_count(short, parts.len(), "3 or 4")),
        }
    }

    /// The member that this client is, or belongs to.
    pub fn member(&self) -> &MemberId {
        &self.member
    }

    /// The instance identifier.
    pub fn instance(&self) -> &str {
        self.member.instance()
    }

    /// The subsystem code, absent for a member.
    pub fn subsystem_code(&self) -> Option<&str> {
        self.subsystem.as_deref()
    }

    /// A service of this client.
    ///
    /// # Errors
    /// When the code or version is blank or too long.
    pub fn service(&self, code: &str, version: Option<&str>) -> Result<ServiceId, IdentifierError> {
        Ok(ServiceId {
            client: self.clone(),
            code: part("service code", code)?,
            version: version.map(|v| part("service version", v)).transpose()?,
        })
    }

    /// The short form, `INSTANCE/CLASS/CODE[/SUBSYSTEM]`.
    pub fn to_short(&self) -> String {
        match &self.subsystem {
            Some(s) => format!("{}/{s}", self.member.to_short()),
            None => self.member.to_short(),
        }
    }
}

/// A service of a client, with an optional version (SOAP only).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId {
    client: ClientId,
    code: Arc<str>,
    version: Option<Arc<str>>,
}

impl ServiceId {
    /// The client that provides the service.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// The service code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The service version, if one was named.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The short form: the client's, then code and version.
    pub fn to_short(&self) -> String {
        match &self.version {
            Some(v) => format!("{}/{}/{v}", self.client.to_short(), self.code),
            None => format!("{}/{}", self.client.to_short(), self.code),
        }
    }
}

/// A security server: its owner and a code unique among the owner's servers.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecurityServerId {
    owner: MemberId,
    code: Arc<str>,
}

impl SecurityServerId {
    /// Makes a server identifier.
    ///
    /// # Errors
    /// When the server code is blank or too long.
    pub fn new(owner: MemberId, code: &str) -> Result<Self, IdentifierError> {
        Ok(Self { owner, code: part("server code", code)? })
    }

    /// Reads the short form `INSTANCE/CLASS/CODE/SERVER`.
    ///
    /// # Errors
    /// When it has not four parts, or one is blank.
    pub fn parse(short: &str) -> Result<Self, IdentifierError> {
        match split(short).as_slice() {
            [i, c, m, s] => Self::new(MemberId::new(i, c, m)?, s),
            parts => Err(wrong_count(short, parts.len(), "4")),
        }
    }

    /// The member that owns the server.
    pub fn owner(&self) -> &MemberId {
        &self.owner
    }

    /// The server code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The short form, `INSTANCE/CLASS/CODE/SERVER`.
    pub fn to_short(&self) -> String {
        format!("{}/{}", self.owner.to_short(), self.code)
    }
}

/// A group of clients kept by the registry.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GlobalGroupId {
    instance: Arc<str>,
    code: Arc<str>,
}

impl GlobalGroupId {
    /// Makes a global group identifier.
    ///
    /// # Errors
    /// When a part is blank or too long.
    pub fn new(instance: &str, code: &str) -> Result<Self, IdentifierError> {
        Ok(Self {
            instance: part("instance identifier", instance)?,
            code: part("group code", code)?,
        })
    }

    /// The instance whose registry keeps the group.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The group code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The short form, `INSTANCE/GROUP`.
    pub fn to_short(&self) -> String {
        format!("{}/{}", self.instance, self.code)
    }
}

/// A group of clients that a provider keeps on its own security server.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalGroupId {
    code: Arc<str>,
}

impl LocalGroupId {
    /// Makes a local group identifier.
    ///
    /// # Errors
    /// When the code is blank or too long.
    pub fn new(code: &str) -> Result<Self, IdentifierError> {
        Ok(Self { code: part("group code", code)? })
    }

    /// The group code, unique within the provider that keeps it.
    pub fn code(&self) -> &str {
        &self.code
    }
}

fn split(short: &str) -> Vec<&str> {
    short.splitn(8, '/').collect()
}

fn wrong_count(text: &str, found: usize, expected: &'static str) -> IdentifierError {
    let text = text.chars().take(MAX_PART_BYTES).collect();
    IdentifierError::WrongPartCount { text, found, expected }
}

macro_rules! typed_form {
    ($type:ty, $self:ident => $kind:expr, $short:expr) => {
        impl fmt::Display for $type {
            fn fmt(&$self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", $kind, $short)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

typed_form!(MemberId, self => "MEMBER", self.to_short());
typed_form!(ClientId, self => if self.subsystem.is_some() { "SUBSYSTEM" } else { "MEMBER" }, self.to_short());
typed_form!(ServiceId, self => "SERVICE", self.to_short());
typed_form!(SecurityServerId, self => "SERVER", self.to_short());
typed_form!(GlobalGroupId, self => "GLOBALGROUP", self.to_short());
typed_form!(LocalGroupId, self => "LOCALGROUP", self.code);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms_of_a_subsystem() {
        let id = ClientId::parse("DEV/GOV/1234/Portal").unwrap();
        assert_eq!(id.to_string(), "SUBSYSTEM:DEV/GOV/1234/Portal");
        assert_eq!(id.member().to_string(), "MEMBER:DEV/GOV/1234");
        assert_eq!(
            id.service("child", Some("v1")).unwrap().to_string(),
            "SERVICE:DEV/GOV/1234/Portal/child/v1"
        );
    }

    #[test]
    fn blank_and_miscounted_forms_are_refused() {
        assert_eq!(ClientId::parse("DEV/ /1234"), Err(IdentifierError::Blank("member class")));
        assert!(matches!(
            ClientId::parse("DEV/GOV"),
            Err(IdentifierError::WrongPartCount { found: 2, .. })
        ));
        assert!(SecurityServerId::parse("DEV/GOV/1").is_err());
        assert!(ClientId::parse(&format!("DEV/GOV/{}", "x".repeat(256))).is_err());
    }

    #[test]
    fn a_member_is_not_its_subsystem() {
        let member = ClientId::parse("DEV/GOV/1").unwrap();
        let subsystem = ClientId::parse("DEV/GOV/1/S").unwrap();
        assert_ne!(member, subsystem);
        assert_eq!(member.member(), subsystem.member());
    }

    #[test]
    fn illegal_characters() {
        for bad in ["a:b", "a;b", "a/b", "a\\b", "a%b", "a\u{200b}", "\u{feff}a", "a\nb"] {
            assert!(has_illegal_characters(bad), "{bad:?}");
        }
        assert!(!has_illegal_characters("Sở-Tư-pháp 1.0"));
    }
}
