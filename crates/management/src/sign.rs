//! Making requests: the SOAP message, and the signed multiparts (X-Road `ManagementRequestBuilder`,
//! `GenericClientRequest`, `AuthCertRegRequest`).

use causeway_identifiers::ClientId;
use causeway_pki::{Certificate, DigestAlgorithm, PkiError, SignatureAlgorithm, SigningKey};
use causeway_transport::Boundary;
use causeway_xml::Writer;

use crate::message::ALGORITHM_HEADER;
use crate::request::Request;
use crate::{body, envelope};

const TEXT_XML_UTF8: &str = "text/xml; charset=UTF-8";
const BINARY: &str = "application/octet-stream";

/// A member that signs: its key, the certificate, and what says that the certificate is good.
#[derive(Clone, Copy)]
pub struct Signatory<'a> {
    /// The key.
    pub key: &'a dyn SigningKey,
    /// Its signing certificate.
    pub certificate: &'a Certificate,
    /// An OCSP response for the certificate, DER.
    pub ocsp: &'a [u8],
}

impl std::fmt::Debug for Signatory<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signatory({})", self.certificate.subject_rfc2253())
    }
}

/// A multipart, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    /// Value of the `Content-Type` header.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Writes a request as a SOAP message. `sender` is the owner of the server, `provider` who provides the
/// management services, `id` the message id.
pub fn soap(request: &Request, sender: &ClientId, provider: &ClientId, id: &str) -> Vec<u8> {
    let mut w = Writer::new();
    envelope::begin(&mut w, sender, provider, request.kind().service_code(), id);
    body::write(&mut w, request);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", w.finish()).into_bytes()
}

/// Signs a request, for all kinds but the registration of a certificate: the client's member signs in
/// the kinds that have a client, the server's owner in the others.
///
/// # Errors
/// When the key refuses to sign.
pub fn signed(
    soap: &[u8],
    signatory: &Signatory<'_>,
    boundary: &Boundary,
) -> Result<Multipart, PkiError> {
    let mut parts = Parts::new(boundary);
    parts.add(TEXT_XML_UTF8, &[], soap);
    parts.add_signature(signatory.key, soap)?;
    parts.add(BINARY, &[], signatory.certificate.der());
    parts.add(BINARY, &[], signatory.ocsp);
    Ok(parts.finish())
}

/// Signs the registration of a certificate with the key that is to be registered and with the owner's.
///
/// # Errors
/// When a key refuses to sign.
pub fn registration(
    soap: &[u8],
    auth_key: &dyn SigningKey,
    auth_certificate: &Certificate,
    owner: &Signatory<'_>,
    boundary: &Boundary,
) -> Result<Multipart, PkiError> {
    let mut parts = Parts::new(boundary);
    parts.add(TEXT_XML_UTF8, &[], soap);
    parts.add_signature(auth_key, soap)?;
    parts.add_signature(owner.key, soap)?;
    parts.add(BINARY, &[], auth_certificate.der());
    parts.add(BINARY, &[], owner.certificate.der());
    parts.add(BINARY, &[], owner.ocsp);
    Ok(parts.finish())
}

/// With SHA-512, as X-Road does by default, or the key's own digest where it knows no other.
fn sign(key: &dyn SigningKey, message: &[u8]) -> Result<(SignatureAlgorithm, Vec<u8>), PkiError> {
    match key.sign_with(DigestAlgorithm::Sha512, message) {
        Ok(value) => Ok((key.algorithm().with_digest(DigestAlgorithm::Sha512), value)),
        Err(PkiError::UnsupportedAlgorithm(_)) => Ok((key.algorithm(), key.sign(message)?)),
        Err(e) => Err(e),
    }
}

struct Parts<'b> {
    boundary: &'b Boundary,
    body: Vec<u8>,
}

impl<'b> Parts<'b> {
    fn new(boundary: &'b Boundary) -> Self {
        Self { boundary, body: Vec::new() }
    }

    fn add(&mut self, content_type: &str, headers: &[(&str, &str)], content: &[u8]) {
        let mut head = format!("--{}\r\nContent-Type: {content_type}\r\n", self.boundary);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(content);
        self.body.extend_from_slice(b"\r\n");
    }

    fn add_signature(&mut self, key: &dyn SigningKey, message: &[u8]) -> Result<(), PkiError> {
        let (algorithm, value) = sign(key, message)?;
        self.add(BINARY, &[(ALGORITHM_HEADER, algorithm.jca_name())], &value);
        Ok(())
    }

    fn finish(mut self) -> Multipart {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        let content_type = format!(
            "multipart/related; type=\"{BINARY}\"; charset=UTF-8; boundary={}",
            self.boundary
        );
        Multipart { content_type, body: self.body }
    }
}
