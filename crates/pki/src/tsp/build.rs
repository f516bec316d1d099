use der::asn1::ObjectIdentifier;
use time::OffsetDateTime;

use super::{TimestampRequest, oid};
use crate::asn1::{self, tag};
use crate::{Certificate, DigestAlgorithm, PkiError, SigningKey};

/// Why an authority refuses (PKIFailureInfo, RFC 3161 2.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureInfo {
    /// The digest algorithm is not accepted.
    BadAlgorithm,
    /// The request is not permitted or not supported.
    BadRequest,
    /// The request is malformed.
    BadDataFormat,
    /// The clock is not available.
    TimeNotAvailable,
    /// The policy asked for is not offered.
    UnacceptedPolicy,
    /// An extension of the request is not supported.
    UnacceptedExtension,
    /// Something failed at the authority's.
    SystemFailure,
}

impl FailureInfo {
    fn bit(self) -> usize {
        match self {
            Self::BadAlgorithm => 0,
            Self::BadRequest => 2,
            Self::BadDataFormat => 5,
            Self::TimeNotAvailable => 14,
            Self::UnacceptedPolicy => 15,
            Self::UnacceptedExtension => 16,
            Self::SystemFailure => 25,
        }
    }
}

/// An answer that refuses (status rejection), with a reason for programs and one for people.
pub fn refusal(failure: FailureInfo, text: &str) -> Vec<u8> {
    let bit = failure.bit();
    let mut octets = vec![0u8; bit / 8 + 1];
    if let Some(last) = octets.last_mut() {
        *last = 0x80 >> (bit % 8);
    }
    let unused = (7 - bit % 8) as u8;
    let info = asn1::sequence(&[
        vec![tag::INTEGER, 1, 2],
        asn1::sequence(&[asn1::element(tag::UTF8_STRING, &[text])]),
        asn1::element(tag::BIT_STRING, &[&[unused][..], &octets]),
    ]);
    asn1::sequence(&[info])
}

/// Makes an authority's granting answer to a request.
#[derive(Debug, Clone)]
pub struct ResponseBuilder {
    policy: ObjectIdentifier,
    serial: Vec<u8>,
    gen_time: OffsetDateTime,
    accuracy_seconds: Option<u8>,
}

impl ResponseBuilder {
    /// A token under `policy` (dotted) with a serial number (unsigned big-endian, unique for the
    /// authority) that attests `gen_time`, cut to whole seconds.
    ///
    /// # Errors
    /// When the policy is not an object identifier.
    pub fn new(policy: &str, serial: &[u8], gen_time: OffsetDateTime) -> Result<Self, PkiError> {
        let policy = ObjectIdentifier::new(policy)
            .map_err(|error| PkiError::cannot_encode("timestamp policy", error.to_string()))?;
        Ok(Self { policy, serial: serial.to_vec(), gen_time, accuracy_seconds: None })
    }

    /// States the accuracy of the clock.
    pub fn accuracy_seconds(mut self, seconds: u8) -> Self {
        self.accuracy_seconds = Some(seconds);
        self
    }

    /// Signs a token for `request` and gives the DER TimeStampResp. The certificate is embedded when the
    /// request asks for it; the nonce is echoed.
    ///
    /// # Errors
    /// When the key refuses.
    pub fn grant(
        &self,
        request: &TimestampRequest,
        key: &dyn SigningKey,
        authority: &Certificate,
    ) -> Result<Vec<u8>, PkiError> {
        let info = self.info(request);
        let digest = key.algorithm().digest();
        let attributes = vec![
            attribute(&oid::CONTENT_TYPE, asn1::oid(&oid::TST_INFO)),
            attribute(&oid::SIGNING_TIME, asn1::x509_time(self.gen_time)),
            attribute(&oid::MESSAGE_DIGEST, asn1::octets(&digest.digest(&info))),
            attribute(&oid::SIGNING_CERTIFICATE_V2, signing_certificate(authority)),
        ];
        let mut attributes = asn1::set_of(attributes);
        let signature = key.sign(&attributes)?;
        if let Some(first) = attributes.first_mut() {
            *first = tag::context_constructed(0);
        }
        let signer = asn1::sequence(&[
            vec![tag::INTEGER, 1, 1],
            issuer_and_serial(authority.issuer_der(), authority),
            digest.identifier(true),
            attributes,
            key.algorithm().to_identifier(),
            asn1::octets(&signature),
        ]);
        let content = asn1::element(tag::context_constructed(0), &[asn1::octets(&info)]);
        let mut data = vec![
            vec![tag::INTEGER, 1, 3],
            asn1::set_of(vec![digest.identifier(true)]),
            asn1::sequence(&[asn1::oid(&oid::TST_INFO), content]),
        ];
        if request.certificate_wanted() {
            data.push(asn1::element(tag::context_constructed(0), &[authority.der()]));
        }
        data.push(asn1::set_of(vec![signer]));
        let token = asn1::sequence(&[
            asn1::oid(&oid::SIGNED_DATA),
            asn1::element(tag::context_constructed(0), &[asn1::sequence(&data)]),
        ]);
        let granted = asn1::sequence(&[[tag::INTEGER, 1, 0]]);
        Ok(asn1::sequence(&[granted, token]))
    }

    fn info(&self, request: &TimestampRequest) -> Vec<u8> {
        let mut parts = vec![
            vec![tag::INTEGER, 1, 1],
            asn1::oid(&self.policy),
            request.imprint_der(false),
            asn1::unsigned(&self.serial),
            asn1::generalized_time(self.gen_time),
        ];
        if let Some(seconds) = self.accuracy_seconds {
            parts.push(asn1::sequence(&[asn1::unsigned(&[seconds])]));
        }
        if let Some(nonce) = request.nonce() {
            parts.push(asn1::element(tag::INTEGER, &[nonce]));
        }
        asn1::sequence(&parts)
    }
}

fn attribute(kind: &ObjectIdentifier, value: Vec<u8>) -> Vec<u8> {
    asn1::sequence(&[asn1::oid(kind), asn1::set_of(vec![value])])
}

fn issuer_and_serial(issuer: &[u8], certificate: &Certificate) -> Vec<u8> {
    let serial = asn1::element(tag::INTEGER, &[certificate.serial_bytes()]);
    asn1::sequence(&[issuer, &serial])
}

/// SigningCertificateV2 with one ESSCertIDv2, SHA-256 (the default, so not written).
fn signing_certificate(certificate: &Certificate) -> Vec<u8> {
    let issuer = asn1::element(tag::context_constructed(4), &[certificate.issuer_der()]);
    let issuer_serial = issuer_and_serial(&asn1::sequence(&[issuer]), certificate);
    let hash = asn1::octets(&certificate.digest(DigestAlgorithm::Sha256));
    let id = asn1::sequence(&[hash, issuer_serial]);
    asn1::sequence(&[asn1::sequence(&[id])])
}
