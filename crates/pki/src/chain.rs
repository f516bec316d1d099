//! Certificate paths (RFC 5280 section 6) from a certificate to an authority of the global configuration.
//!
//! As in X-Road 7.8 the anchor is the authority that the global configuration lists, even when that is an
//! intermediate one; its own validity is not looked at, revocation is judged apart (see [`crate::ocsp`]).

use thiserror::Error;
use time::OffsetDateTime;

use crate::{Certificate, KeyUsage, PkiError};

/// Longest path, anchor not counted.
const MAX_PATH: usize = 8;

/// Most signature verifications spent on finding a path.
const MAX_VERIFICATIONS: usize = 64;

/// Critical extensions that are understood or that do not narrow what we rely on: basic constraints,
/// key usage, extended key usage, subject alternative name, certificate policies, policy mappings,
/// policy constraints, inhibit any policy.
const UNDERSTOOD: [&str; 8] = [
    "2.5.29.19",
    "2.5.29.15",
    "2.5.29.37",
    "2.5.29.17",
    "2.5.29.32",
    "2.5.29.33",
    "2.5.29.36",
    "2.5.29.54",
];

/// Why there is no path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No chain of issuers leads to the anchor.
    #[error("no certificate path from {subject} to {anchor}")]
    NoPath {
        /// Subject of the certificate.
        subject: String,
        /// Subject of the anchor.
        anchor: String,
    },
    /// A certificate on the way is not valid at the moment of judgement.
    #[error("certificate {subject} is not valid at {at}")]
    NotValid {
        /// Subject of that certificate.
        subject: String,
        /// The moment of judgement.
        at: OffsetDateTime,
    },
    /// A certificate on the way may not be used so.
    #[error("certificate {subject} cannot be part of a path: {why}")]
    Unfit {
        /// Subject of that certificate.
        subject: String,
        /// What is wrong with it.
        why: String,
    },
    /// A signature on the way does not verify, or cannot be verified.
    #[error("certificate {subject}: {error}")]
    Signature {
        /// Subject of that certificate.
        subject: String,
        /// What is wrong with its signature.
        error: PkiError,
    },
    /// The search was given up.
    #[error("too many certificates to choose from")]
    TooMany,
}

impl ChainError {
    /// The error code of the protocol. X-Road builds and judges a path in one step, so all of these are
    /// failures of building; `invalid_cert_path` is what the revocation of a member of the path gives.
    pub fn code(&self) -> &'static str {
        "cannot_create_cert_path"
    }
}

/// Finds a path from `cert` to `anchor`, over `extra` certificates if need be, all of which are valid at
/// the given moment. Gives the path without the anchor, `cert` first.
///
/// # Errors
/// [`ChainError`]; the reason given is that of the last path tried.
pub fn judge(
    cert: &Certificate,
    extra: &[Certificate],
    anchor: &Certificate,
    at: OffsetDateTime,
) -> Result<Vec<Certificate>, ChainError> {
    check(cert, at)?;
    let mut search = Search { extra, anchor, at, verifications: 0, failure: None };
    let mut path = vec![cert.clone()];
    if search.extend(&mut path)? {
        return Ok(path);
    }
    Err(search.failure.unwrap_or_else(|| ChainError::NoPath {
        subject: cert.subject_rfc2253(),
        anchor: anchor.subject_rfc2253(),
    }))
}

fn check(cert: &Certificate, at: OffsetDateTime) -> Result<(), ChainError> {
    let subject = || cert.subject_rfc2253();
    if !cert.is_valid_at(at) {
        return Err(ChainError::NotValid { subject: subject(), at });
    }
    let unknown = cert.critical_extensions().iter().find(|oid| !UNDERSTOOD.contains(&oid.as_str()));
    match unknown {
        Some(oid) => {
            Err(ChainError::Unfit { subject: subject(), why: format!("critical extension {oid}") })
        }
        None => Ok(()),
    }
}

/// Whether `cert` may issue, with `below` authorities between it and the end of the path.
fn check_issuer(cert: &Certificate, below: usize) -> Result<(), ChainError> {
    let why = match (cert.basic_constraints(), cert.key_usage()) {
        (Some(basic), _) if !basic.ca => "not an authority",
        (None, _) => "not an authority",
        (Some(basic), _)
            if basic
                .path_len
                .is_some_and(|most| usize::try_from(most).is_ok_and(|m| below > m)) =>
        {
            "more authorities below than it allows"
        }
        (_, Some(usage)) if !usage.contains(KeyUsage::KEY_CERT_SIGN) => "may not sign certificates",
        _ if cert.has_name_constraints() => "name constraints are not supported",
        _ => return Ok(()),
    };
    Err(ChainError::Unfit { subject: cert.subject_rfc2253(), why: why.into() })
}

struct Search<'a> {
    extra: &'a [Certificate],
    anchor: &'a Certificate,
    at: OffsetDateTime,
    verifications: usize,
    failure: Option<ChainError>,
}

impl Search<'_> {
    /// Depth-first; the recursion is bounded by [`MAX_PATH`], the work by [`MAX_VERIFICATIONS`].
    fn extend(&mut self, path: &mut Vec<Certificate>) -> Result<bool, ChainError> {
        let Some(last) = path.last().cloned() else { return Ok(false) };
        if self.issued(&last, self.anchor)? {
            return Ok(true);
        }
        if path.len() == MAX_PATH {
            return Ok(false);
        }
        for candidate in self.extra {
            if path.contains(candidate)
                || candidate == self.anchor
                || !last.names_as_issuer(candidate)
            {
                continue;
            }
            let fit =
                check(candidate, self.at).and_then(|()| check_issuer(candidate, path.len() - 1));
            if let Err(error) = fit {
                self.failure = Some(error);
                continue;
            }
            if self.issued(&last, candidate)? {
                path.push(candidate.clone());
                if self.extend(path)? {
                    return Ok(true);
                }
                path.pop();
            }
        }
        Ok(false)
    }

    fn issued(&mut self, cert: &Certificate, issuer: &Certificate) -> Result<bool, ChainError> {
        if !cert.names_as_issuer(issuer) {
            return Ok(false);
        }
        self.verifications += 1;
        if self.verifications > MAX_VERIFICATIONS {
            return Err(ChainError::TooMany);
        }
        match cert.verify_signature(issuer) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.failure =
                    Some(ChainError::Signature { subject: cert.subject_rfc2253(), error });
                Ok(false)
            }
        }
    }
}
