use der::asn1::ObjectIdentifier;
use time::OffsetDateTime;

use super::request::NONCE;
use super::{CertId, CertStatus};
use crate::asn1::{self, tag};
use crate::{Certificate, PkiError, SigningKey};

const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// How a responder is to name itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponderIdForm {
    /// By SHA-1 of its key: never ambiguous.
    #[default]
    Key,
    /// By its subject name.
    Name,
}

/// Makes a signed basic OCSP response.
#[derive(Debug, Clone)]
pub struct ResponseBuilder {
    produced_at: OffsetDateTime,
    singles: Vec<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    form: ResponderIdForm,
    embed: bool,
}

impl ResponseBuilder {
    /// A response that is signed at `produced_at`, names the responder by key and embeds its certificate.
    pub fn new(produced_at: OffsetDateTime) -> Self {
        Self {
            produced_at,
            singles: Vec::new(),
            nonce: None,
            form: ResponderIdForm::Key,
            embed: true,
        }
    }

    /// Adds the statement about one certificate. Times are cut to whole seconds.
    pub fn single(
        mut self,
        cert_id: &CertId,
        status: CertStatus,
        this_update: OffsetDateTime,
        next_update: Option<OffsetDateTime>,
    ) -> Self {
        let status = match status {
            CertStatus::Good => asn1::element::<&[u8]>(tag::context(0), &[]),
            CertStatus::Revoked { at } => {
                asn1::element(tag::context_constructed(1), &[asn1::generalized_time(at)])
            }
            CertStatus::Unknown => asn1::element::<&[u8]>(tag::context(2), &[]),
        };
        let mut parts = vec![cert_id.write(), status, asn1::generalized_time(this_update)];
        if let Some(next) = next_update {
            parts.push(asn1::element(tag::context_constructed(0), &[asn1::generalized_time(next)]));
        }
        self.singles.push(asn1::sequence(&parts));
        self
    }

    /// Echoes the content of the request's nonce extension.
    pub fn nonce(mut self, nonce: Option<&[u8]>) -> Self {
        self.nonce = nonce.map(<[u8]>::to_vec);
        self
    }

    /// Chooses how the responder names itself.
    pub fn responder_id(mut self, form: ResponderIdForm) -> Self {
        self.form = form;
        self
    }

    /// Whether the responder's certificate goes into the response.
    pub fn embed_certificate(mut self, embed: bool) -> Self {
        self.embed = embed;
        self
    }

    /// Signs and gives the DER OCSPResponse.
    ///
    /// # Errors
    /// When there is no statement in it, or the key refuses.
    pub fn sign(self, key: &dyn SigningKey, responder: &Certificate) -> Result<Vec<u8>, PkiError> {
        if self.singles.is_empty() {
            return Err(PkiError::cannot_encode("OCSP response", "no certificate to speak about"));
        }
        let responder_id = match self.form {
            ResponderIdForm::Name => {
                asn1::element(tag::context_constructed(1), &[responder.subject_der()])
            }
            ResponderIdForm::Key => {
                let hash = asn1::octets(responder.key_sha1());
                asn1::element(tag::context_constructed(2), &[hash])
            }
        };
        let mut data = vec![
            responder_id,
            asn1::generalized_time(self.produced_at),
            asn1::sequence(&self.singles),
        ];
        if let Some(nonce) = &self.nonce {
            let extension = asn1::sequence(&[asn1::oid(&NONCE), asn1::octets(nonce)]);
            let extensions = asn1::sequence(&[extension]);
            data.push(asn1::element(tag::context_constructed(1), &[extensions]));
        }
        let tbs = asn1::sequence(&data);
        let signature = key.sign(&tbs)?;
        let mut basic = vec![tbs, key.algorithm().to_identifier(), asn1::bits(&signature)];
        if self.embed {
            let certificates = asn1::sequence(&[responder.der()]);
            basic.push(asn1::element(tag::context_constructed(0), &[certificates]));
        }
        let bytes = asn1::sequence(&[asn1::oid(&BASIC), asn1::octets(&asn1::sequence(&basic))]);
        let status = asn1::element(tag::ENUMERATED, &[&[0u8]]);
        Ok(asn1::sequence(&[status, asn1::element(tag::context_constructed(0), &[bytes])]))
    }
}

/// An unsigned answer with an error status of RFC 6960 4.2.1: 1 malformedRequest, 2 internalError,
/// 3 tryLater, 5 sigRequired, 6 unauthorized.
pub fn error_response(status: u8) -> Vec<u8> {
    asn1::sequence(&[asn1::element(tag::ENUMERATED, &[&[status]])])
}
