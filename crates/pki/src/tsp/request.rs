use crate::asn1::{self, Reader, tag};
use crate::{DigestAlgorithm, PkiError};

/// Largest request that is read, bytes.
pub const MAX_REQUEST: usize = 16 * 1024;

/// Longest nonce that is read, bytes.
const MAX_NONCE: usize = 64;

/// A request as X-Road peers send it: version 1, imprint algorithm without parameters, no policy, no
/// nonce, certificate not asked for. `imprint` must be as long as the algorithm's digest.
pub fn request(algorithm: DigestAlgorithm, imprint: &[u8]) -> Vec<u8> {
    TimestampRequest::new(algorithm, imprint).to_der()
}

/// A timestamp request (TimeStampReq, RFC 3161 2.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRequest {
    algorithm: DigestAlgorithm,
    imprint: Vec<u8>,
    policy: Option<Policy>,
    nonce: Option<Vec<u8>>,
    certificate_wanted: bool,
}

/// The policy as it is written and as it is encoded (content octets).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Policy {
    dotted: String,
    content: Vec<u8>,
}

impl TimestampRequest {
    /// A request for `imprint`, made with `algorithm`, and nothing more.
    pub fn new(algorithm: DigestAlgorithm, imprint: &[u8]) -> Self {
        Self {
            algorithm,
            imprint: imprint.to_vec(),
            policy: None,
            nonce: None,
            certificate_wanted: false,
        }
    }

    /// Adds a nonce, an unsigned big-endian number.
    pub fn with_nonce(mut self, nonce: &[u8]) -> Self {
        let encoded = asn1::unsigned(nonce);
        self.nonce = encoded.get(2..).map(<[u8]>::to_vec);
        self
    }

    /// Asks for the authority's certificate in the token.
    pub fn with_certificate(mut self) -> Self {
        self.certificate_wanted = true;
        self
    }

    /// Reads a DER TimeStampReq of at most 16 KiB.
    ///
    /// # Errors
    /// When it is malformed, its digest algorithm is unknown, or it has extensions (RFC 3161 demands
    /// that unknown ones be refused).
    pub fn parse(der: &[u8]) -> Result<Self, PkiError> {
        let what = "timestamp request";
        if der.len() > MAX_REQUEST {
            return Err(PkiError::TooLarge {
                what: "timestamp request, bytes",
                limit: MAX_REQUEST,
            });
        }
        let mut reader = Reader::single(der, tag::SEQUENCE, what)?.reader(what);
        if reader.integer()? != [1] {
            return Err(PkiError::malformed(what, "version is not 1"));
        }
        let (algorithm, imprint) = read_imprint(reader.sequence()?)?;
        let policy = match reader.peek() {
            Some(tag::OID) => {
                let policy = reader.oid()?;
                Some(Policy { dotted: policy.to_string(), content: policy.content().to_vec() })
            }
            _ => None,
        };
        let nonce = match reader.peek() {
            Some(tag::INTEGER) => Some(reader.integer()?),
            _ => None,
        };
        if nonce.is_some_and(|nonce| nonce.len() > MAX_NONCE) {
            return Err(PkiError::TooLarge { what: "timestamp nonce, bytes", limit: MAX_NONCE });
        }
        let certificate_wanted =
            reader.optional(tag::BOOLEAN)?.is_some_and(|flag| flag.value == [0xff]);
        if reader.optional(tag::context_constructed(0))?.is_some() {
            return Err(PkiError::UnsupportedAlgorithm("timestamp request extension".into()));
        }
        reader.finish()?;
        Ok(Self {
            algorithm,
            imprint: imprint.to_vec(),
            policy,
            nonce: nonce.map(<[u8]>::to_vec),
            certificate_wanted,
        })
    }

    /// The request's DER.
    pub fn to_der(&self) -> Vec<u8> {
        let mut parts = vec![vec![tag::INTEGER, 1, 1], self.imprint_der(false)];
        if let Some(policy) = &self.policy {
            parts.push(asn1::element(tag::OID, &[&policy.content]));
        }
        if let Some(nonce) = &self.nonce {
            parts.push(asn1::element(tag::INTEGER, &[nonce]));
        }
        if self.certificate_wanted {
            parts.push(asn1::boolean(true));
        }
        asn1::sequence(&parts)
    }

    pub(super) fn imprint_der(&self, with_null: bool) -> Vec<u8> {
        asn1::sequence(&[self.algorithm.identifier(with_null), asn1::octets(&self.imprint)])
    }

    /// The digest algorithm of the imprint.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// The digest to be stamped.
    pub fn imprint(&self) -> &[u8] {
        &self.imprint
    }

    /// The policy asked for, dotted.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_ref().map(|policy| policy.dotted.as_str())
    }

    /// Content octets of the nonce.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// Whether the token is to hold the authority's certificate (certReq).
    pub fn certificate_wanted(&self) -> bool {
        self.certificate_wanted
    }
}

/// MessageImprint: the digest is as long as its algorithm says.
pub(super) fn read_imprint(mut reader: Reader<'_>) -> Result<(DigestAlgorithm, &[u8]), PkiError> {
    let algorithm = DigestAlgorithm::read_identifier(reader.sequence()?)?;
    let imprint = reader.octets()?;
    reader.finish()?;
    if imprint.len() != algorithm.output_len() {
        return Err(PkiError::malformed("message imprint", "length does not fit the algorithm"));
    }
    Ok((algorithm, imprint))
}
