//! Judging a signature over a message.
//!
//! The order is X-Road's (`SignatureVerifier`), so that a bad signature has
//! the code that it has there. Beyond X-Road, and without hurting an honest
//! peer, these hold: every part is covered, the signed properties are covered
//! and name the signing certificate, a chain has no circles, an attachment
//! that is present is the one that was signed.

use std::borrow::Cow;

use causeway_identifiers::{ClientId, MemberId};
use causeway_pki::ocsp::{OcspError, OcspResponse};
use causeway_pki::{Certificate, DigestAlgorithm, chain};
use time::OffsetDateTime;

use crate::hashchain::{self, Covered, DigestValue, Input, Resolve};
use crate::xades::SignatureDocument;
use crate::{MESSAGE, SIGNATURE_CHAIN, SIGNATURE_CHAIN_RESULT, SignatureError};

/// Where trust comes from: the global configuration, or a test's own.
pub trait Trust {
    /// The approved certification authority that issued a certificate of this
    /// instance's members, found by issuer name.
    fn issuer_of(&self, instance: &str, certificate: &Certificate) -> Option<Certificate>;

    /// The member that a signing certificate names, by the authority's certificate profile.
    ///
    /// # Errors
    /// A text when the certificate names none, or its authority may not certify signing keys.
    fn member_of(&self, certificate: &Certificate, expected: &ClientId)
    -> Result<MemberId, String>;

    /// Judges an OCSP response for a certificate at a time.
    ///
    /// # Errors
    /// As [`causeway_pki::ocsp::judge`].
    fn judge_ocsp(
        &self,
        response: &OcspResponse,
        certificate: &Certificate,
        issuer: &Certificate,
        at: OffsetDateTime,
    ) -> Result<(), OcspError>;
}

/// What is known of a part: its bytes, or a digest that was made while it streamed by.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// The bytes.
    Bytes(&'a [u8]),
    /// A digest of them.
    Digest(&'a DigestValue),
}

/// A part of a message that the signature must cover.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// `/message.xml`, `/attachment1`, ….
    pub name: &'a str,
    /// Its content.
    pub content: Content<'a>,
}

/// The chain documents that came with a signature.
#[derive(Debug, Clone, Copy)]
pub struct ChainDocuments<'a> {
    /// `sig-hashchainresult.xml`.
    pub result: &'a [u8],
    /// `sig-hashchain.xml`.
    pub chain: &'a [u8],
}

/// Whether parts that the signature names may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Every part must be here, as when a message arrives.
    Refused,
    /// Parts that were not kept are reported, as in a container.
    Reported,
}

/// What the signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Files that were compared with what was signed.
    pub compared: Vec<String>,
    /// Files that the signature names and that are not here.
    pub absent: Vec<String>,
    /// Chain documents came along that the signature does not refer to; they are no evidence.
    pub chain_ignored: bool,
}

/// Who signed, and by what that is known.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The signing certificate.
    pub certificate: Certificate,
    /// The authority that issued it.
    pub issuer: Certificate,
    /// The member that it names.
    pub member: MemberId,
    /// The OCSP responses that vouch for it, the certificate's own first.
    pub ocsp: Vec<OcspResponse>,
    /// The time that the signer claims.
    pub signing_time: Option<OffsetDateTime>,
}

/// A signature that holds.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Who signed.
    pub signer: Signer,
    /// What is covered.
    pub coverage: Coverage,
}

/// All checks, in X-Road's order.
///
/// # Errors
/// See [`SignatureError`]; codes as X-Road's.
pub fn verify(
    document: &SignatureDocument,
    chain: Option<ChainDocuments<'_>>,
    parts: &[Part<'_>],
    absent: Absent,
    signer: &ClientId,
    at: OffsetDateTime,
    trust: &dyn Trust,
) -> Result<Verified, SignatureError> {
    let chain_facts = judge_chain(document, chain, parts, absent)?;
    let (certificate, issuer, member) = judge_certificate(document, signer, trust)?;
    document.judge_value()?;
    let coverage = judge_references(document, chain, parts, absent, chain_facts)?;
    let ocsp = judge_path(document, &certificate, &issuer, signer.instance(), at, trust)?;
    let signing_time = document.signing_time();
    Ok(Verified { signer: Signer { certificate, issuer, member, ocsp, signing_time }, coverage })
}

/// The checks that depend on the message: everything that it consists of is covered.
///
/// # Errors
/// As [`verify`].
pub fn judge_coverage(
    document: &SignatureDocument,
    chain: Option<ChainDocuments<'_>>,
    parts: &[Part<'_>],
    absent: Absent,
) -> Result<Coverage, SignatureError> {
    let chain_facts = judge_chain(document, chain, parts, absent)?;
    judge_references(document, chain, parts, absent, chain_facts)
}

/// The checks that depend on the signature document alone: who signed, and
/// that the value holds. The same document may come with many messages.
///
/// # Errors
/// As [`verify`].
pub fn judge_signer(
    document: &SignatureDocument,
    signer: &ClientId,
    at: OffsetDateTime,
    trust: &dyn Trust,
) -> Result<Signer, SignatureError> {
    let (certificate, issuer, member) = judge_certificate(document, signer, trust)?;
    document.judge_value()?;
    let ocsp = judge_path(document, &certificate, &issuer, signer.instance(), at, trust)?;
    Ok(Signer { certificate, issuer, member, ocsp, signing_time: document.signing_time() })
}

struct Files<'a> {
    chain: &'a [u8],
    parts: &'a [Part<'a>],
    absent: Absent,
}

impl Files<'_> {
    fn part(&self, uri: &str) -> Option<&Part<'_>> {
        self.parts.iter().find(|p| p.name == uri)
    }
}

impl Resolve for Files<'_> {
    fn resolve(&self, uri: &str) -> Option<Cow<'_, [u8]>> {
        if uri == SIGNATURE_CHAIN {
            return Some(Cow::Borrowed(self.chain));
        }
        match self.part(uri)?.content {
            Content::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            Content::Digest(_) => None,
        }
    }

    fn must_resolve(&self, uri: &str) -> bool {
        self.absent == Absent::Refused || self.part(uri).is_some()
    }

    fn accepts(&self, algorithm: DigestAlgorithm) -> bool {
        is_accepted(algorithm, self.absent)
    }
}

/// Whether a message may be digested like that. For messages that arrive,
/// SHA-1 is too weak: who signs could have made a second message of the same
/// digest, to show that one later. Old evidence may have it.
fn is_accepted(algorithm: DigestAlgorithm, absent: Absent) -> bool {
    absent == Absent::Reported || algorithm != DigestAlgorithm::Sha1
}

/// Judges the hash chain when the signature refers to one.
fn judge_chain(
    document: &SignatureDocument,
    chain: Option<ChainDocuments<'_>>,
    parts: &[Part<'_>],
    absent: Absent,
) -> Result<Option<Vec<Covered>>, SignatureError> {
    let Some(documents) = chain.filter(|_| document.reference(SIGNATURE_CHAIN_RESULT).is_some())
    else {
        return Ok(None);
    };
    let direct = |p: &&Part<'_>| document.reference(p.name).is_none();
    let inputs: Vec<Input<'_>> = parts
        .iter()
        .filter(direct)
        .map(|p| Input {
            name: p.name,
            digest: match p.content {
                Content::Digest(digest) => Some(digest),
                Content::Bytes(_) => None,
            },
        })
        .collect();
    let files = Files { chain: documents.chain, parts, absent };
    Ok(Some(hashchain::verify(documents.result, &inputs, &files)?))
}

/// Compares what the signature refers to, and that every part is among it.
fn judge_references(
    document: &SignatureDocument,
    chain: Option<ChainDocuments<'_>>,
    parts: &[Part<'_>],
    absent: Absent,
    chain_facts: Option<Vec<Covered>>,
) -> Result<Coverage, SignatureError> {
    let chain_ignored = chain.is_some() && chain_facts.is_none();
    let mut coverage = Coverage { compared: Vec::new(), absent: Vec::new(), chain_ignored };
    if document.reference(MESSAGE).is_none() && document.reference(SIGNATURE_CHAIN_RESULT).is_none()
    {
        let text =
            format!("The signature refers neither to {MESSAGE} nor to {SIGNATURE_CHAIN_RESULT}");
        return Err(SignatureError::Malformed(text));
    }
    let digests = document.references().iter().map(|r| r.digest.algorithm);
    for algorithm in digests.chain([document.algorithm().digest()]) {
        if !is_accepted(algorithm, absent) {
            let text =
                format!("The signature uses {}, which is not accepted any more", algorithm.name());
            return Err(SignatureError::Malformed(text));
        }
    }
    for reference in document.references() {
        let matches = if reference.uri == SIGNATURE_CHAIN_RESULT {
            chain.map(|documents| reference.matches(documents.result))
        } else {
            parts.iter().find(|p| p.name == reference.uri).map(|part| match part.content {
                Content::Bytes(bytes) => reference.matches(bytes),
                Content::Digest(digest) => {
                    reference.transforms.is_empty() && reference.digest == *digest
                }
            })
        };
        match matches {
            Some(true) => coverage.compared.push(reference.uri.clone()),
            Some(false) => {
                let text = format!(
                    "Signature is not valid: the digest of '{}' differs",
                    crate::short(&reference.uri)
                );
                return Err(SignatureError::InvalidValue(text));
            }
            None if absent == Absent::Reported && reference.uri.starts_with("/attachment") => {
                coverage.absent.push(reference.uri.clone());
            }
            None => {
                let text = format!(
                    "The signature refers to '{}', which is not there",
                    crate::short(&reference.uri)
                );
                return Err(SignatureError::Malformed(text));
            }
        }
    }
    for covered in chain_facts.into_iter().flatten() {
        if covered.compared {
            coverage.compared.push(covered.uri);
        } else {
            coverage.absent.push(covered.uri);
        }
    }
    match parts.iter().find(|p| !coverage.compared.iter().any(|name| name == p.name)) {
        Some(part) => {
            Err(SignatureError::Malformed(format!("The signature does not cover '{}'", part.name)))
        }
        None => Ok(coverage),
    }
}

fn judge_certificate(
    document: &SignatureDocument,
    signer: &ClientId,
    trust: &dyn Trust,
) -> Result<(Certificate, Certificate, MemberId), SignatureError> {
    let certificate = document
        .certificate()
        .ok_or_else(|| SignatureError::malformed("The signature holds no signing certificate"))?;
    if !certificate.is_signing_certificate() {
        let text = format!(
            "The certificate of {} is not for signing messages",
            certificate.subject_rfc2253()
        );
        return Err(SignatureError::Malformed(text));
    }
    let issuer = trust.issuer_of(signer.instance(), certificate).ok_or_else(|| SignatureError::CertificatePath {
        code: "cannot_create_cert_path",
        message: format!(
            "The certificate of {} is not issued by an approved certification service of instance {}",
            certificate.subject_rfc2253(),
            signer.instance()
        ),
    })?;
    let member =
        trust.member_of(certificate, signer).map_err(SignatureError::IncorrectCertificate)?;
    if &member != signer.member() {
        let text = format!("The signing certificate names {member}, and the sender is {signer}");
        return Err(SignatureError::IncorrectCertificate(text));
    }
    Ok((certificate.clone(), issuer, member))
}

/// The path from the certificate to its authority, and a good OCSP response for each certificate on it.
fn judge_path(
    document: &SignatureDocument,
    certificate: &Certificate,
    issuer: &Certificate,
    instance: &str,
    at: OffsetDateTime,
    trust: &dyn Trust,
) -> Result<Vec<OcspResponse>, SignatureError> {
    if document.ocsp_responses().is_empty() {
        return Err(SignatureError::malformed("The signature holds no OCSP response"));
    }
    let extra: Vec<Certificate> = document.extra().iter().map(|e| e.certificate.clone()).collect();
    let path = chain::judge(certificate, &extra, issuer, at)
        .map_err(|e| SignatureError::CertificatePath { code: e.code(), message: e.to_string() })?;
    let mut vouching = Vec::new();
    for subject in path.iter().filter(|c| *c != issuer) {
        let above = if subject.issuer_der() == issuer.subject_der() {
            Some(issuer.clone())
        } else {
            trust.issuer_of(instance, subject)
        };
        let above = above.ok_or_else(|| SignatureError::CertificatePath {
            code: "cannot_create_cert_path",
            message: format!("The authority of {} is not approved", subject.subject_rfc2253()),
        })?;
        let response =
            document.ocsp_responses().iter().find(|r| r.matches(subject, &above)).ok_or_else(
                || SignatureError::CertificatePath {
                    code: "cert_validation",
                    message: format!(
                        "The signature holds no OCSP response for {}",
                        subject.subject_rfc2253()
                    ),
                },
            )?;
        trust.judge_ocsp(response, subject, &above, at).map_err(|e| {
            SignatureError::CertificatePath { code: e.code(), message: e.to_string() }
        })?;
        vouching.push(response.clone());
    }
    Ok(vouching)
}
