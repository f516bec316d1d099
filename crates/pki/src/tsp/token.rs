use std::sync::Arc;

use time::OffsetDateTime;

use super::request::read_imprint;
use super::response::MAX_RESPONSE;
use super::{TspError, oid};
use crate::asn1::{self, Reader, definite, parse_generalized_time, parse_utc_time, tag};
use crate::ocsp::shortest;
use crate::{Certificate, DigestAlgorithm, EcdsaForm, PkiError, SignatureAlgorithm, name};

/// Most certificates and most signed attributes in one token.
const MAX_ENTRIES: usize = 32;

const WHAT: &str = "timestamp token";

/// How a token names its signer (CMS SignerIdentifier).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SignerId {
    /// By the issuer and serial number of its certificate.
    IssuerAndSerial {
        /// DER of the issuer's name.
        issuer: Vec<u8>,
        /// Content octets of the serial number.
        serial: Vec<u8>,
    },
    /// By the subject key identifier of its certificate.
    SubjectKeyId(Vec<u8>),
}

impl SignerId {
    /// Whether the certificate is the one named.
    pub fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial { issuer, serial } => {
                shortest(serial) == shortest(certificate.serial_bytes())
                    && name::same(issuer, certificate.issuer_der())
            }
            Self::SubjectKeyId(id) => match certificate.subject_key_id() {
                Some(own) => own == id,
                None => certificate.key_sha1() == id,
            },
        }
    }
}

struct Inner {
    der: Vec<u8>,
    algorithm: DigestAlgorithm,
    imprint: Vec<u8>,
    policy: String,
    serial: Vec<u8>,
    gen_time: OffsetDateTime,
    nonce: Option<Vec<u8>>,
    content_digest: Vec<u8>,
    signer: Signer,
    certificates: Vec<Certificate>,
}

struct Signer {
    id: SignerId,
    digest: DigestAlgorithm,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    /// The signed attributes as they are signed: a SET OF in DER order.
    signed: Vec<u8>,
    message_digest: Vec<u8>,
    signing_time: Option<OffsetDateTime>,
    certificate_hashes: Vec<(DigestAlgorithm, Vec<u8>)>,
}

/// A timestamp token, parsed once and cheap to clone.
#[derive(Clone)]
pub struct TimestampToken(Arc<Inner>);

impl TimestampToken {
    /// Reads a token of at most 256 KiB. BER (indefinite lengths, which some authorities produce) is
    /// turned into DER; [`Self::der`] then gives that.
    ///
    /// # Errors
    /// [`TspError::MalformedToken`]: among others when it is not a TSTInfo, has not exactly one signer, or
    /// lacks one of the signed attributes contentType, messageDigest and signingCertificate (v1 or v2).
    pub fn parse(bytes: &[u8]) -> Result<Self, TspError> {
        if bytes.len() > MAX_RESPONSE {
            let what = "timestamp token, bytes";
            return Err(TspError::MalformedToken(PkiError::TooLarge { what, limit: MAX_RESPONSE }));
        }
        let read = Inner::read(bytes).or_else(|error| match definite(bytes, WHAT) {
            Ok(der) if der != bytes => Inner::read(&der),
            _ => Err(error),
        });
        read.map(|inner| Self(Arc::new(inner))).map_err(TspError::MalformedToken)
    }

    /// The token's DER (a CMS ContentInfo).
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The moment that the authority attests.
    pub fn gen_time(&self) -> OffsetDateTime {
        self.0.gen_time
    }

    /// What was stamped: the digest and its algorithm.
    pub fn imprint(&self) -> (DigestAlgorithm, &[u8]) {
        (self.0.algorithm, &self.0.imprint)
    }

    /// Content octets of the token's serial number.
    pub fn serial(&self) -> &[u8] {
        &self.0.serial
    }

    /// The authority's policy, dotted.
    pub fn policy(&self) -> &str {
        &self.0.policy
    }

    /// Content octets of the nonce.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.0.nonce.as_deref()
    }

    /// How the token names its signer.
    pub fn signer_id(&self) -> &SignerId {
        &self.0.signer.id
    }

    /// The embedded certificates that can be read.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0.certificates
    }

    /// Finds the signer among known authorities.
    pub fn signer_among<'a>(&self, authorities: &'a [Certificate]) -> Option<&'a Certificate> {
        authorities.iter().find(|authority| self.signer_id().names(authority))
    }

    /// Verifies that the token stamps `stamped` and was signed by one of the given authorities, and gives
    /// that authority's certificate. Certificates in the token do not count.
    ///
    /// As in X-Road 7.8 the listing of an authority is the trust: its extended key usage, chain and
    /// revocation are not looked at; if the token has a signing time, the certificate must be valid then.
    /// Stricter: the signing certificate attribute must name the authority's certificate.
    ///
    /// # Errors
    /// [`TspError::ImprintMismatch`], [`TspError::NoProvider`], [`TspError::CertificateNotFound`] or
    /// [`TspError::SignatureInvalid`].
    pub fn verify(
        &self,
        stamped: &[u8],
        authorities: &[Certificate],
    ) -> Result<Certificate, TspError> {
        if self.0.algorithm.digest(stamped) != self.0.imprint {
            return Err(TspError::ImprintMismatch);
        }
        self.verify_signature(authorities)
    }

    /// The part of [`Self::verify`] that does not need the stamped data.
    ///
    /// # Errors
    /// As [`Self::verify`], without the imprint.
    pub fn verify_signature(&self, authorities: &[Certificate]) -> Result<Certificate, TspError> {
        if authorities.is_empty() {
            return Err(TspError::NoProvider);
        }
        let mut failure = TspError::CertificateNotFound;
        for authority in authorities.iter().filter(|a| self.signer_id().names(a)) {
            match self.is_signed_by(authority) {
                Ok(()) => return Ok(authority.clone()),
                Err(why) => failure = TspError::SignatureInvalid(why),
            }
        }
        Err(failure)
    }

    fn is_signed_by(&self, authority: &Certificate) -> Result<(), String> {
        let signer = &self.0.signer;
        if self.0.content_digest != signer.message_digest {
            return Err("messageDigest differs from the content's digest".into());
        }
        for (algorithm, hash) in &signer.certificate_hashes {
            if authority.digest(*algorithm) != *hash {
                return Err("signing certificate attribute names another certificate".into());
            }
        }
        if signer.signing_time.is_some_and(|time| !authority.is_valid_at(time)) {
            return Err("certificate was not valid at the signing time".into());
        }
        let key = authority.public_key().map_err(|error| error.to_string())?;
        key.verify_legacy(signer.algorithm, EcdsaForm::Der, &signer.signed, &signer.signature)
            .map_err(|error| error.to_string())
    }

    /// The token with the authority's certificate added to its certificates, in DER: what is stored and
    /// put into containers. The signature is not affected.
    pub fn with_signer_certificate(&self, certificate: &Certificate) -> Vec<u8> {
        // the token was parsed from these very bytes, so the failure cannot happen
        add_certificate(&self.0.der, certificate.der()).unwrap_or_else(|_| self.0.der.clone())
    }
}

impl PartialEq for TimestampToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for TimestampToken {}

impl std::fmt::Debug for TimestampToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimestampToken")
            .field("gen_time", &self.gen_time())
            .field("signer", self.signer_id())
            .finish_non_exhaustive()
    }
}

/// The SignedData inside a ContentInfo.
fn signed_data(der: &[u8]) -> Result<Reader<'_>, PkiError> {
    let mut outer = Reader::single(der, tag::SEQUENCE, WHAT)?.reader(WHAT);
    if outer.oid()? != oid::SIGNED_DATA {
        return Err(PkiError::malformed(WHAT, "not signed data"));
    }
    let content = outer.expect(tag::context_constructed(0))?;
    outer.finish()?;
    Ok(Reader::new(Reader::single(content.value, tag::SEQUENCE, WHAT)?.value, WHAT))
}

fn add_certificate(der: &[u8], certificate: &[u8]) -> Result<Vec<u8>, PkiError> {
    let mut data = signed_data(der)?;
    let (version, digests, content) = (data.next()?, data.next()?, data.next()?);
    let mut certificates = vec![certificate];
    if let Some(set) = data.optional(tag::context_constructed(0))? {
        let mut set = set.reader(WHAT);
        while !set.is_empty() {
            let next = set.next()?.raw;
            if next != certificate {
                certificates.push(next);
            }
        }
    }
    certificates.sort_unstable();
    let set = asn1::element(tag::context_constructed(0), &certificates);
    let mut parts = vec![version.raw, digests.raw, content.raw, &set];
    while !data.is_empty() {
        parts.push(data.next()?.raw);
    }
    let data = asn1::sequence(&parts);
    let content = asn1::element(tag::context_constructed(0), &[data]);
    Ok(asn1::sequence(&[asn1::oid(&oid::SIGNED_DATA), content]))
}

impl Inner {
    fn read(der: &[u8]) -> Result<Self, PkiError> {
        let mut data = signed_data(der)?;
        data.integer()?;
        data.expect(tag::SET)?;
        let mut encapsulated = data.sequence()?;
        if encapsulated.oid()? != oid::TST_INFO {
            return Err(PkiError::malformed(WHAT, "content is not a TSTInfo"));
        }
        let content = encapsulated.expect(tag::context_constructed(0))?;
        let content = Reader::single(content.value, tag::OCTET_STRING, WHAT)?.value;
        encapsulated.finish()?;
        let certificates = match data.optional(tag::context_constructed(0))? {
            Some(set) => read_certificates(set.reader(WHAT))?,
            None => Vec::new(),
        };
        data.optional(tag::context_constructed(1))?;
        let mut signers = data.expect(tag::SET)?.reader(WHAT);
        data.finish()?;
        let signer = Signer::read(signers.sequence()?)?;
        if !signers.is_empty() {
            return Err(PkiError::malformed(WHAT, "more than one signer"));
        }

        let mut info = Reader::single(content, tag::SEQUENCE, WHAT)?.reader(WHAT);
        if info.integer()? != [1] {
            return Err(PkiError::malformed(WHAT, "version is not 1"));
        }
        let policy = info.oid()?.to_string();
        let (algorithm, imprint) = read_imprint(info.sequence()?)?;
        let serial = info.integer()?.to_vec();
        let gen_time = info.generalized_time()?;
        info.optional(tag::SEQUENCE)?; // accuracy
        info.optional(tag::BOOLEAN)?; // ordering
        let nonce = info.optional(tag::INTEGER)?.map(|nonce| nonce.value.to_vec());
        info.optional(tag::context_constructed(0))?; // tsa
        info.optional(tag::context_constructed(1))?; // extensions
        info.finish()?;
        Ok(Self {
            der: der.to_vec(),
            algorithm,
            imprint: imprint.to_vec(),
            policy,
            serial,
            gen_time,
            nonce,
            content_digest: signer.digest.digest(content),
            signer,
            certificates,
        })
    }
}

fn read_certificates(mut set: Reader<'_>) -> Result<Vec<Certificate>, PkiError> {
    let mut certificates = Vec::new();
    let mut count = 0usize;
    while !set.is_empty() {
        count += 1;
        if count > MAX_ENTRIES {
            return Err(PkiError::TooLarge { what: "certificates of a token", limit: MAX_ENTRIES });
        }
        // nothing is decided by these: one that cannot be read is no reason to refuse the token
        certificates.extend(Certificate::from_der(set.next()?.raw).ok());
    }
    Ok(certificates)
}

impl Signer {
    fn read(mut reader: Reader<'_>) -> Result<Self, PkiError> {
        reader.integer()?;
        let id = reader.next()?;
        let id = match id.tag {
            tag::SEQUENCE => {
                let mut pair = id.reader(WHAT);
                let issuer = pair.expect(tag::SEQUENCE)?.raw.to_vec();
                SignerId::IssuerAndSerial { issuer, serial: pair.integer()?.to_vec() }
            }
            0x80 => SignerId::SubjectKeyId(id.value.to_vec()),
            _ => return Err(PkiError::malformed(WHAT, "bad signer identifier")),
        };
        let digest = DigestAlgorithm::read_identifier(reader.sequence()?)?;
        let attributes = reader.expect(tag::context_constructed(0))?;
        let algorithm = reader.expect(tag::SEQUENCE)?.raw;
        let algorithm = SignatureAlgorithm::from_identifier_with(algorithm, Some(digest))?;
        let signature = reader.octets()?.to_vec();
        reader.optional(tag::context_constructed(1))?;
        reader.finish()?;

        let attributes = Attributes::read(attributes.reader(WHAT))?;
        let missing = |name: &str| PkiError::malformed(WHAT, format!("no attribute {name}"));
        if !attributes.has_content_type {
            return Err(missing("contentType"));
        }
        if attributes.certificate_hashes.is_empty() {
            return Err(missing("signingCertificate"));
        }
        Ok(Self {
            id,
            digest,
            algorithm,
            signature,
            signed: asn1::set_of(attributes.raw),
            message_digest: attributes.message_digest.ok_or_else(|| missing("messageDigest"))?,
            signing_time: attributes.signing_time,
            certificate_hashes: attributes.certificate_hashes,
        })
    }
}

#[derive(Default)]
struct Attributes {
    raw: Vec<Vec<u8>>,
    has_content_type: bool,
    message_digest: Option<Vec<u8>>,
    signing_time: Option<OffsetDateTime>,
    certificate_hashes: Vec<(DigestAlgorithm, Vec<u8>)>,
}

impl Attributes {
    fn read(mut reader: Reader<'_>) -> Result<Self, PkiError> {
        let mut found = Self::default();
        let mut seen = Vec::new();
        while !reader.is_empty() {
            if seen.len() == MAX_ENTRIES {
                let what = "signed attributes of a token";
                return Err(PkiError::TooLarge { what, limit: MAX_ENTRIES });
            }
            let attribute = reader.expect(tag::SEQUENCE)?;
            found.raw.push(attribute.raw.to_vec());
            let mut parts = attribute.reader(WHAT);
            let kind = parts.oid()?;
            let values = parts.expect(tag::SET)?.reader(WHAT);
            parts.finish()?;
            if seen.contains(&kind) {
                return Err(PkiError::malformed(WHAT, format!("attribute {kind} twice")));
            }
            seen.push(kind);
            found.take(kind, values)?;
        }
        Ok(found)
    }

    fn take(&mut self, kind: asn1::Oid<'_>, mut values: Reader<'_>) -> Result<(), PkiError> {
        if kind == oid::CONTENT_TYPE {
            if values.oid()? != oid::TST_INFO {
                return Err(PkiError::malformed(WHAT, "contentType is not TSTInfo"));
            }
            self.has_content_type = true;
        } else if kind == oid::MESSAGE_DIGEST {
            self.message_digest = Some(values.octets()?.to_vec());
        } else if kind == oid::SIGNING_TIME {
            let value = values.next()?;
            let time = match value.tag {
                tag::UTC_TIME => parse_utc_time(value.value),
                tag::GENERALIZED_TIME => parse_generalized_time(value.value),
                _ => None,
            };
            let bad = || PkiError::malformed(WHAT, "bad signingTime");
            self.signing_time = Some(time.ok_or_else(bad)?);
        } else if kind == oid::SIGNING_CERTIFICATE {
            let mut first = values.sequence()?.sequence()?.sequence()?;
            self.certificate_hashes.push((DigestAlgorithm::Sha1, first.octets()?.to_vec()));
        } else if kind == oid::SIGNING_CERTIFICATE_V2 {
            let mut first = values.sequence()?.sequence()?.sequence()?;
            let algorithm = match first.peek() {
                Some(tag::SEQUENCE) => DigestAlgorithm::read_identifier(first.sequence()?)?,
                _ => DigestAlgorithm::Sha256,
            };
            self.certificate_hashes.push((algorithm, first.octets()?.to_vec()));
        } else {
            return Ok(());
        }
        values.finish()
    }
}
