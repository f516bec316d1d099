//! What the authority has issued and revoked.

use std::collections::HashMap;

use causeway_pki::Certificate;
use causeway_pki::ocsp::CertStatus;
use time::OffsetDateTime;

use crate::{Level, Purpose};

/// A certificate that the authority has issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// Which of the two authorities issued it.
    pub level: Level,
    /// What it is for.
    pub purpose: Purpose,
    /// When it was revoked, if it was.
    pub revoked: Option<OffsetDateTime>,
}

/// Issued certificates by level and serial number (content octets).
#[derive(Debug, Default)]
pub(crate) struct Register {
    issued: HashMap<(Level, Vec<u8>), Issued>,
}

impl Register {
    pub(crate) fn add(&mut self, issued: Issued) {
        let key = (issued.level, issued.certificate.serial_bytes().to_vec());
        self.issued.insert(key, issued);
    }

    pub(crate) fn find(&self, level: Level, serial: &[u8]) -> Option<&Issued> {
        self.issued.get(&(level, serial.to_vec()))
    }

    /// Marks as revoked; the first revocation stays.
    pub(crate) fn revoke(&mut self, level: Level, serial: &[u8], at: OffsetDateTime) -> bool {
        match self.issued.get_mut(&(level, serial.to_vec())) {
            Some(issued) => {
                issued.revoked.get_or_insert(at);
                true
            }
            None => false,
        }
    }

    pub(crate) fn status(&self, level: Level, serial: &[u8]) -> CertStatus {
        match self.find(level, serial) {
            Some(Issued { revoked: Some(at), .. }) => CertStatus::Revoked { at: *at },
            Some(_) => CertStatus::Good,
            None => CertStatus::Unknown,
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Issued> {
        self.issued.values()
    }
}
