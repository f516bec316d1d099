use der::asn1::ObjectIdentifier;

use super::CertId;
use crate::asn1::{self, Reader, tag};
use crate::{Certificate, PkiError};

/// Largest request that is read, bytes.
pub const MAX_REQUEST: usize = 16 * 1024;

/// Most certificates that one request may ask about.
const MAX_CERT_IDS: usize = 32;

/// Longest nonce that is echoed, bytes (RFC 9654 sets 128).
const MAX_NONCE: usize = 128;

pub(super) const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");

/// A request about one certificate, as X-Road peers send it: SHA-1 certificate id, no nonce, unsigned.
pub fn request(cert: &Certificate, issuer: &Certificate) -> Vec<u8> {
    request_for(&[CertId::of(cert, issuer)])
}

/// A request about any certificates, without nonce or signature.
pub fn request_for(cert_ids: &[CertId]) -> Vec<u8> {
    let requests: Vec<Vec<u8>> = cert_ids.iter().map(|id| asn1::sequence(&[id.write()])).collect();
    asn1::sequence(&[asn1::sequence(&[asn1::sequence(&requests)])])
}

/// A parsed OCSP request; a signature on it is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspRequest {
    cert_ids: Vec<CertId>,
    nonce: Option<Vec<u8>>,
}

impl OcspRequest {
    /// Reads a DER OCSPRequest of at most 16 KiB with at most 32 certificate ids.
    ///
    /// # Errors
    /// When it is malformed or exceeds the limits.
    pub fn parse(der: &[u8]) -> Result<Self, PkiError> {
        let what = "OCSP request";
        if der.len() > MAX_REQUEST {
            return Err(PkiError::TooLarge { what: "OCSP request, bytes", limit: MAX_REQUEST });
        }
        let mut outer = Reader::single(der, tag::SEQUENCE, what)?.reader(what);
        let mut tbs = outer.sequence()?;
        outer.optional(tag::context_constructed(0))?;
        outer.finish()?;
        tbs.optional(tag::context_constructed(0))?;
        tbs.optional(tag::context_constructed(1))?;
        let mut list = tbs.sequence()?;
        let mut cert_ids = Vec::new();
        while !list.is_empty() {
            if cert_ids.len() == MAX_CERT_IDS {
                return Err(PkiError::TooLarge {
                    what: "OCSP certificate ids",
                    limit: MAX_CERT_IDS,
                });
            }
            let mut single = list.sequence()?;
            cert_ids.push(CertId::read(single.sequence()?)?);
        }
        if cert_ids.is_empty() {
            return Err(PkiError::malformed(what, "asks about no certificate"));
        }
        let nonce = match tbs.optional(tag::context_constructed(2))? {
            Some(extensions) => find_nonce(extensions.reader(what).sequence()?)?,
            None => None,
        };
        tbs.finish()?;
        Ok(Self { cert_ids, nonce })
    }

    /// The certificates asked about; never empty.
    pub fn cert_ids(&self) -> &[CertId] {
        &self.cert_ids
    }

    /// Content of the nonce extension (the DER inside its OCTET STRING), to be echoed as it is.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}

fn find_nonce(mut extensions: Reader<'_>) -> Result<Option<Vec<u8>>, PkiError> {
    while !extensions.is_empty() {
        let mut extension = extensions.sequence()?;
        let oid = extension.oid()?;
        extension.optional(tag::BOOLEAN)?;
        let value = extension.octets()?;
        if oid == NONCE {
            if value.len() > MAX_NONCE + 2 {
                return Err(PkiError::TooLarge { what: "OCSP nonce, bytes", limit: MAX_NONCE });
            }
            return Ok(Some(value.to_vec()));
        }
    }
    Ok(None)
}
