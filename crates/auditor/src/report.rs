//! What the auditor has to say of a container.

use causeway_console::name;
use causeway_pki::Certificate;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Whether the evidence holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Signature and timestamp hold.
    Valid,
    /// They do not, or the container is none.
    Invalid,
}

/// The judgement of a container. Serializes to JSON with times in RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the evidence holds.
    pub verdict: Verdict,
    /// Why not.
    pub failure: Option<Failure>,
    /// The moment for which certificates and OCSP responses were judged: that of the timestamp,
    /// unless another was asked for.
    #[serde(serialize_with = "time_or_null")]
    pub judged_at: Option<OffsetDateTime>,
    /// What the message says of itself.
    pub message: Option<MessageFacts>,
    /// Whose certificate the signature brings; proven when the verdict is valid.
    pub signer: Option<SignerFacts>,
    /// The time that the signer claims.
    #[serde(serialize_with = "time_or_null")]
    pub signing_time: Option<OffsetDateTime>,
    /// The timestamp; proven when its check passed.
    pub timestamp: Option<TimestampFacts>,
    /// The OCSP responses that vouched for the certificates, the signer's first.
    pub ocsp: Vec<OcspFacts>,
    /// The checks in the order in which they were made; the last one may have failed.
    pub checks: Vec<Check>,
    /// The files whose content is as it was signed.
    pub covered: Vec<String>,
    /// Whether everything that the signature or its hash chain names is in the container.
    ///
    /// A hash chain shows of other files in its batch no more than digests, and the names in it are
    /// not signed: that a message once had an attachment cannot be proved by a chain from which
    /// somebody took its name.
    pub complete: bool,
    /// What no signature vouches for.
    pub not_covered: Vec<NotCovered>,
    /// What a careful reader should know beside.
    pub notes: Vec<String>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            verdict: Verdict::Invalid,
            failure: None,
            judged_at: None,
            message: None,
            signer: None,
            signing_time: None,
            timestamp: None,
            ocsp: Vec::new(),
            checks: Vec::new(),
            covered: Vec::new(),
            complete: false,
            not_covered: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whether the evidence holds.
    pub fn is_valid(&self) -> bool {
        self.verdict == Verdict::Valid
    }
}

/// Why the evidence does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// X-Road's error code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The rule that X-Road does not have, when it is such a rule that spoke.
    pub stricter_rule: Option<String>,
    /// What to do about it.
    pub next_step: String,
}

/// A check that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// How it went.
    pub passed: bool,
}

/// What the message says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageFacts {
    /// A response; else a request.
    pub response: bool,
    /// The message id.
    pub id: String,
    /// Who must have signed: the client of a request, the provider of a response.
    pub sender: String,
    /// The service that is called, or answers.
    pub service: Option<String>,
}

/// A certificate in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateFacts {
    /// The subject (RFC 2253, with attributes that it has no keyword for as [`name`] writes them).
    pub subject: String,
    /// The issuer, likewise.
    pub issuer: String,
    /// The serial number, decimal.
    pub serial: String,
    /// From when it is valid.
    #[serde(serialize_with = "time")]
    pub not_before: OffsetDateTime,
    /// Until when it is valid.
    #[serde(serialize_with = "time")]
    pub not_after: OffsetDateTime,
    /// SHA-256 of its DER, hexadecimal.
    pub sha256: String,
}

impl From<&Certificate> for CertificateFacts {
    fn from(certificate: &Certificate) -> Self {
        Self {
            subject: name(&certificate.subject_rfc2253()),
            issuer: name(&certificate.issuer_rfc2253()),
            serial: certificate.serial_decimal(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            sha256: hex::encode(certificate.sha256()),
        }
    }
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignerFacts {
    /// The signing certificate.
    pub certificate: CertificateFacts,
    /// The member that the certificate names, once that is established.
    pub member: Option<String>,
    /// The signature algorithm (its XML Signature identifier).
    pub algorithm: &'static str,
}

/// The timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimestampFacts {
    /// The moment that the authority attests.
    #[serde(serialize_with = "time")]
    pub time: OffsetDateTime,
    /// Over a batch of signatures; else over this one alone.
    pub batch: bool,
    /// The authority's certificate, once the timestamp is established.
    pub authority: Option<CertificateFacts>,
    /// The token's serial number, hexadecimal.
    pub serial: String,
}

/// An OCSP response that vouched for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OcspFacts {
    /// The subject of the certificate that it is about.
    pub certificate: String,
    /// When the responder signed.
    #[serde(serialize_with = "time")]
    pub produced_at: OffsetDateTime,
    /// When the status was known to be good.
    #[serde(serialize_with = "time")]
    pub this_update: OffsetDateTime,
    /// The subject of the responder's certificate.
    pub responder: Option<String>,
}

/// Something that no signature vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCovered {
    /// The file.
    pub name: String,
    /// Why it is not covered.
    pub why: String,
    /// For a file that was signed but is not here: the digest that was signed, `SHA-512:<hexadecimal>`.
    pub signed_digest: Option<String>,
}

/// Times as programs have them: with all that the authority attests.
fn shown(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

fn time<S: Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(*time))
}

fn time_or_null<S: Serializer>(
    time: &Option<OffsetDateTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(shown).serialize(serializer)
}
