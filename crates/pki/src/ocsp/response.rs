use std::ops::Range;
use std::sync::Arc;

use der::asn1::ObjectIdentifier;
use time::OffsetDateTime;

use super::{CertId, OcspError};
use crate::asn1::{Reader, span_of, tag};
use crate::{Certificate, PkiError, SignatureAlgorithm};

/// Largest response that is read, bytes.
pub const MAX_RESPONSE: usize = 256 * 1024;

/// Most single responses in one response.
const MAX_SINGLES: usize = 256;

/// Most certificates embedded in one response.
const MAX_CERTIFICATES: usize = 16;

const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// What a responder says about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertStatus {
    /// Not revoked.
    Good,
    /// Revoked, or put on hold.
    Revoked {
        /// When.
        at: OffsetDateTime,
    },
    /// The responder does not know the certificate.
    Unknown,
}

/// How the responder names itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResponderId {
    /// DER of its certificate's subject.
    ByName(Vec<u8>),
    /// SHA-1 of its subjectPublicKey bits.
    ByKey(Vec<u8>),
}

/// The statement about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleResponse {
    /// The certificate it is about.
    pub cert_id: CertId,
    /// Its status.
    pub status: CertStatus,
    /// When the status was known to be right.
    pub this_update: OffsetDateTime,
    /// When newer information will be there.
    pub next_update: Option<OffsetDateTime>,
}

struct Inner {
    der: Vec<u8>,
    tbs: Range<usize>,
    signature: Range<usize>,
    algorithm: SignatureAlgorithm,
    responder_id: ResponderId,
    produced_at: OffsetDateTime,
    first: SingleResponse,
    others: Vec<SingleResponse>,
    certificates: Vec<Certificate>,
}

/// A successful basic OCSP response (RFC 6960 4.2), parsed once and cheap to clone.
///
/// As in X-Road, only the first single response counts.
#[derive(Clone)]
pub struct OcspResponse(Arc<Inner>);

impl OcspResponse {
    /// Reads a DER OCSPResponse of at most 256 KiB.
    ///
    /// # Errors
    /// [`OcspError::Unsuccessful`] for an error status, else [`OcspError::Malformed`]: also for responses
    /// that are not basic ones, hold no single response, or are signed with an unknown algorithm.
    pub fn parse(der: &[u8]) -> Result<Self, OcspError> {
        let what = "OCSP response";
        if der.len() > MAX_RESPONSE {
            return Err(
                PkiError::TooLarge { what: "OCSP response, bytes", limit: MAX_RESPONSE }.into()
            );
        }
        let der = der.to_vec();
        let lost = || PkiError::malformed(what, "inconsistent lengths");

        let mut outer = Reader::single(&der, tag::SEQUENCE, what)?.reader(what);
        match outer.expect(tag::ENUMERATED)?.value {
            [0] => {}
            [status] => return Err(OcspError::Unsuccessful(*status)),
            _ => return Err(PkiError::malformed(what, "bad status").into()),
        }
        let mut bytes = outer.expect(tag::context_constructed(0))?.reader(what).sequence()?;
        outer.finish()?;
        if bytes.oid()? != BASIC {
            return Err(PkiError::malformed(what, "not a basic response").into());
        }
        let basic = bytes.octets()?;
        bytes.finish()?;

        let mut basic = Reader::single(basic, tag::SEQUENCE, what)?.reader(what);
        let tbs = basic.expect(tag::SEQUENCE)?;
        let algorithm = SignatureAlgorithm::from_identifier(basic.expect(tag::SEQUENCE)?.raw)?;
        let signature = basic.bit_octets()?;
        let certificates = match basic.optional(tag::context_constructed(0))? {
            Some(certificates) => read_certificates(certificates.reader(what).sequence()?)?,
            None => Vec::new(),
        };
        basic.finish()?;

        let mut data = tbs.reader(what);
        data.optional(tag::context_constructed(0))?;
        let responder_id = read_responder_id(&mut data)?;
        let produced_at = data.generalized_time()?;
        let mut singles = data.sequence()?;
        data.optional(tag::context_constructed(1))?;
        data.finish()?;
        let first = read_single(singles.sequence()?)?;
        let mut others = Vec::new();
        while !singles.is_empty() {
            if others.len() + 1 == MAX_SINGLES {
                let what = "single OCSP responses";
                return Err(PkiError::TooLarge { what, limit: MAX_SINGLES }.into());
            }
            others.push(read_single(singles.sequence()?)?);
        }
        Ok(Self(Arc::new(Inner {
            tbs: span_of(&der, tbs.raw).ok_or_else(lost)?,
            signature: span_of(&der, signature).ok_or_else(lost)?,
            algorithm,
            responder_id,
            produced_at,
            first,
            others,
            certificates,
            der,
        })))
    }

    /// The response's DER.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// When the responder signed.
    pub fn produced_at(&self) -> OffsetDateTime {
        self.0.produced_at
    }

    /// thisUpdate of the first single response.
    pub fn this_update(&self) -> OffsetDateTime {
        self.0.first.this_update
    }

    /// nextUpdate of the first single response.
    pub fn next_update(&self) -> Option<OffsetDateTime> {
        self.0.first.next_update
    }

    /// Status of the first single response.
    pub fn status(&self) -> CertStatus {
        self.0.first.status
    }

    /// The certificate that the first single response is about.
    pub fn cert_id(&self) -> &CertId {
        &self.0.first.cert_id
    }

    /// All single responses, the first one included.
    pub fn singles(&self) -> impl Iterator<Item = &SingleResponse> {
        std::iter::once(&self.0.first).chain(&self.0.others)
    }

    /// How the responder names itself.
    pub fn responder_id(&self) -> &ResponderId {
        &self.0.responder_id
    }

    /// Certificates that came with the response.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0.certificates
    }

    /// Whether the first single response is about `cert`, issued by `issuer`.
    pub fn matches(&self, cert: &Certificate, issuer: &Certificate) -> bool {
        *self.cert_id() == CertId::of(cert, issuer)
    }

    pub(super) fn tbs(&self) -> &[u8] {
        self.0.der.get(self.0.tbs.clone()).unwrap_or_default()
    }

    pub(super) fn signature(&self) -> &[u8] {
        self.0.der.get(self.0.signature.clone()).unwrap_or_default()
    }

    /// The algorithm of the response's signature.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm
    }
}

impl PartialEq for OcspResponse {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for OcspResponse {}

impl std::fmt::Debug for OcspResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OcspResponse")
            .field("status", &self.status())
            .field("this_update", &self.this_update())
            .finish_non_exhaustive()
    }
}

fn read_certificates(mut list: Reader<'_>) -> Result<Vec<Certificate>, PkiError> {
    let mut certificates = Vec::new();
    while !list.is_empty() {
        if certificates.len() == MAX_CERTIFICATES {
            let what = "certificates of an OCSP response";
            return Err(PkiError::TooLarge { what, limit: MAX_CERTIFICATES });
        }
        certificates.push(Certificate::from_der(list.next()?.raw)?);
    }
    Ok(certificates)
}

fn read_responder_id(data: &mut Reader<'_>) -> Result<ResponderId, PkiError> {
    let what = "OCSP responder id";
    let tlv = data.next()?;
    let mut inner = tlv.reader(what);
    let id = match tlv.tag {
        0xa1 => ResponderId::ByName(inner.expect(tag::SEQUENCE)?.raw.to_vec()),
        0xa2 => ResponderId::ByKey(inner.octets()?.to_vec()),
        _ => return Err(PkiError::malformed(what, "neither name nor key")),
    };
    inner.finish()?;
    Ok(id)
}

fn read_single(mut single: Reader<'_>) -> Result<SingleResponse, PkiError> {
    let what = "single OCSP response";
    let cert_id = CertId::read(single.sequence()?)?;
    let status = single.next()?;
    let status = match status.tag {
        0x80 if status.value.is_empty() => CertStatus::Good,
        0xa1 => CertStatus::Revoked { at: status.reader(what).generalized_time()? },
        0x82 if status.value.is_empty() => CertStatus::Unknown,
        _ => return Err(PkiError::malformed(what, "bad status")),
    };
    let this_update = single.generalized_time()?;
    let next_update = match single.optional(tag::context_constructed(0))? {
        Some(next) => Some(next.reader(what).generalized_time()?),
        None => None,
    };
    single.optional(tag::context_constructed(1))?;
    single.finish()?;
    Ok(SingleResponse { cert_id, status, this_update, next_update })
}
