//! The extensions that decisions hang on.

use x509_parser::extensions::{GeneralName, ParsedExtension};

use crate::PkiError;

/// Most extensions, alternative names or URLs taken from one certificate.
const MAX_ENTRIES: usize = 64;

const OCSP_ACCESS: &str = "1.3.6.1.5.5.7.48.1";
pub(super) const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
pub(super) const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

/// The key usage bits (RFC 5280 4.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeyUsage {
    bits: u16,
}

impl KeyUsage {
    /// `digitalSignature`, bit 0.
    pub const DIGITAL_SIGNATURE: Self = Self { bits: 1 };
    /// `nonRepudiation` (contentCommitment), bit 1: what makes a signing certificate.
    pub const NON_REPUDIATION: Self = Self { bits: 1 << 1 };
    /// `keyEncipherment`, bit 2.
    pub const KEY_ENCIPHERMENT: Self = Self { bits: 1 << 2 };
    /// `dataEncipherment`, bit 3.
    pub const DATA_ENCIPHERMENT: Self = Self { bits: 1 << 3 };
    /// `keyAgreement`, bit 4.
    pub const KEY_AGREEMENT: Self = Self { bits: 1 << 4 };
    /// `keyCertSign`, bit 5.
    pub const KEY_CERT_SIGN: Self = Self { bits: 1 << 5 };
    /// `cRLSign`, bit 6.
    pub const CRL_SIGN: Self = Self { bits: 1 << 6 };

    /// From the bits, `digitalSignature` being the lowest.
    pub const fn from_bits(bits: u16) -> Self {
        Self { bits }
    }

    /// The bits, `digitalSignature` being the lowest.
    pub const fn bits(self) -> u16 {
        self.bits
    }

    /// Both usages together.
    pub const fn with(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits }
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.bits & other.bits == other.bits
    }

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.bits & other.bits != 0
    }
}

/// Basic constraints (RFC 5280 4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the subject may issue certificates.
    pub ca: bool,
    /// How many intermediate authorities may follow below.
    pub path_len: Option<u32>,
}

#[derive(Default)]
pub(super) struct Extensions {
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) extended_key_usage: Option<Vec<String>>,
    pub(super) basic_constraints: Option<BasicConstraints>,
    pub(super) subject_key_id: Option<Vec<u8>>,
    pub(super) ocsp_urls: Vec<String>,
    pub(super) dns_names: Vec<String>,
    pub(super) critical: Vec<String>,
    pub(super) name_constraints: bool,
}

impl Extensions {
    pub(super) fn read(
        parsed: &[x509_parser::extensions::X509Extension<'_>],
    ) -> Result<Self, PkiError> {
        if parsed.len() > MAX_ENTRIES {
            return Err(PkiError::TooLarge { what: "certificate extensions", limit: MAX_ENTRIES });
        }
        let mut found = Self::default();
        let mut seen: Vec<String> = Vec::with_capacity(parsed.len());
        for extension in parsed {
            let oid = extension.oid.to_id_string();
            if seen.contains(&oid) {
                return Err(PkiError::malformed("certificate", format!("extension {oid} twice")));
            }
            if extension.critical {
                found.critical.push(oid.clone());
            }
            found.take(&oid, extension.parsed_extension())?;
            seen.push(oid);
        }
        Ok(found)
    }

    fn take(&mut self, oid: &str, extension: &ParsedExtension<'_>) -> Result<(), PkiError> {
        match extension {
            ParsedExtension::KeyUsage(usage) => {
                self.key_usage = Some(KeyUsage::from_bits(usage.flags));
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let named = [
                    (usage.any, "2.5.29.37.0"),
                    (usage.server_auth, "1.3.6.1.5.5.7.3.1"),
                    (usage.client_auth, CLIENT_AUTH),
                    (usage.code_signing, "1.3.6.1.5.5.7.3.3"),
                    (usage.email_protection, "1.3.6.1.5.5.7.3.4"),
                    (usage.time_stamping, "1.3.6.1.5.5.7.3.8"),
                    (usage.ocsp_signing, OCSP_SIGNING),
                ];
                let known = named.iter().filter(|(set, _)| *set).map(|(_, oid)| (*oid).to_owned());
                let other = usage.other.iter().take(MAX_ENTRIES).map(|oid| oid.to_id_string());
                self.extended_key_usage = Some(known.chain(other).collect());
            }
            ParsedExtension::BasicConstraints(constraints) => {
                self.basic_constraints = Some(BasicConstraints {
                    ca: constraints.ca,
                    path_len: constraints.path_len_constraint,
                });
            }
            ParsedExtension::SubjectKeyIdentifier(id) => {
                self.subject_key_id = Some(id.0.to_vec());
            }
            ParsedExtension::NameConstraints(_) => self.name_constraints = true,
            ParsedExtension::AuthorityInfoAccess(access) => {
                self.ocsp_urls = access
                    .accessdescs
                    .iter()
                    .filter(|access| access.access_method.to_id_string() == OCSP_ACCESS)
                    .filter_map(|access| match access.access_location {
                        GeneralName::URI(url) => Some(url.to_owned()),
                        _ => None,
                    })
                    .take(MAX_ENTRIES)
                    .collect();
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                self.dns_names = names
                    .general_names
                    .iter()
                    .filter_map(|name| match name {
                        GeneralName::DNSName(dns) => Some((*dns).to_owned()),
                        _ => None,
                    })
                    .take(MAX_ENTRIES)
                    .collect();
            }
            // decisions hang on these; a certificate whose usage cannot be read has none to rely on
            ParsedExtension::ParseError { error }
                if ["2.5.29.15", "2.5.29.19", "2.5.29.37", "2.5.29.30"].contains(&oid) =>
            {
                return Err(PkiError::malformed(
                    "certificate",
                    format!("extension {oid}: {error}"),
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
