//! A management request as it arrives: the SOAP message, and the evidence behind it.

use bytes::Bytes;
use causeway_message::soap::{ENVELOPE_NS, SoapMessage};
use causeway_message::{Fault, codes};
use causeway_transport::{ContentType, Part, TransportError, read_parts};
use causeway_xml::{Document, Limits};

use crate::body;
use crate::request::{Kind, Request};

/// The longest message that is read, in bytes (X-Road `MAX_REQUEST_SIZE`).
pub const MAX_MESSAGE: usize = 100_000;

/// Header of a signature's part: the algorithm, by its Java name.
pub(crate) const ALGORITHM_HEADER: &str = "signature-algorithm-id";

/// The most parts: those of a certificate registration, and one that shows that there are too many.
const MAX_PARTS: usize = 7;

/// A signature over the SOAP part, with what its part's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The algorithm's name as written, e.g. `SHA512withRSA`.
    pub algorithm: String,
    /// The signature; ECDSA in DER.
    pub value: Bytes,
}

/// What proves a request, beside the exchange in which it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing: the request came as SOAP alone.
    None,
    /// A member's signature: `ManagementRequestCallback`s of clients and servers.
    Signed {
        /// By the client's member, or the server's owner.
        signature: Signature,
        /// The signing certificate.
        certificate: Bytes,
        /// The OCSP response for it.
        ocsp: Bytes,
    },
    /// Two signatures: `AuthCertRegRequestDecoderCallback`.
    TwiceSigned {
        /// By the key that is to be registered.
        auth_signature: Signature,
        /// By the server's owner.
        owner_signature: Signature,
        /// The authentication certificate, once more.
        auth_certificate: Bytes,
        /// The owner's signing certificate.
        owner_certificate: Bytes,
        /// The OCSP response for the owner's certificate.
        owner_ocsp: Bytes,
    },
}

/// A request with its header and evidence. Reading it says nothing yet about its truth: see
/// [`crate::judge()`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The SOAP part, exactly as it was signed.
    pub soap: Bytes,
    /// Its header.
    pub header: SoapMessage,
    /// What it asks for.
    pub request: Request,
    /// What proves it.
    pub evidence: Evidence,
}

impl Message {
    /// Reads a request of at most [`MAX_MESSAGE`] bytes: `text/xml` for SOAP alone, or
    /// `multipart/related`.
    ///
    /// # Errors
    /// X-Road's codes: `invalid_request`, `invalid_content_type`, `mime_parsing_failed`, `io_error`, those
    /// of SOAP messages, and `internal_error` for parts that are too many.
    pub fn read(content_type: Option<&str>, message: Bytes) -> Result<Self, Fault> {
        if message.len() > MAX_MESSAGE {
            let text = format!("The request is longer than {MAX_MESSAGE} bytes");
            return Err(invalid(&text));
        }
        let Some(value) = content_type else {
            return Err(invalid("Could not get content type from request"));
        };
        let content_type = ContentType::parse(value);
        match content_type.base().to_ascii_lowercase().as_str() {
            "text/xml" | "application/xop+xml" => Self::of_parts(message, &[]),
            "multipart/related" => {
                let boundary = content_type.boundary().ok_or_else(|| {
                    Fault::new(codes::MIME_PARSING_FAILED, "The content type has no boundary")
                })?;
                let mut parts = read_parts(boundary, message, MAX_PARTS).map_err(multipart)?;
                if parts.is_empty() {
                    return Err(invalid("Request contains no SOAP message"));
                }
                for part in &parts {
                    if part.headers.content_type().is_none() {
                        let text = "Could not get content type for part";
                        return Err(Fault::new(codes::INVALID_CONTENT_TYPE, text));
                    }
                }
                let soap = parts.remove(0);
                let kind = ContentType::parse(soap.headers.content_type().unwrap_or_default());
                if !["text/xml", "application/xop+xml"]
                    .contains(&kind.base().to_ascii_lowercase().as_str())
                {
                    let text = format!("Invalid content type: {}", shown(kind.base()));
                    return Err(Fault::new(codes::INVALID_CONTENT_TYPE, text));
                }
                Self::of_parts(soap.body, &parts)
            }
            other => {
                let text = format!("Invalid content type: {}", shown(other));
                Err(Fault::new(codes::INVALID_CONTENT_TYPE, text))
            }
        }
    }

    fn of_parts(soap: Bytes, parts: &[Part]) -> Result<Self, Fault> {
        // As X-Road, a byte order mark is not part of the message.
        let soap = match soap.starts_with(b"\xef\xbb\xbf") {
            true => soap.slice(3..),
            false => soap,
        };
        let header = SoapMessage::parse(&soap)?;
        let code = header.service.code();
        let kind = Kind::from_service_code(code)
            .ok_or_else(|| invalid(&format!("Unknown service code '{}'", shown(code))))?;
        let evidence = evidence(kind, parts)?;
        let request = request(&soap, kind)?;
        Ok(Self { soap, header, request, evidence })
    }
}

fn request(soap: &[u8], kind: Kind) -> Result<Request, Fault> {
    let limits =
        Limits { max_bytes: MAX_MESSAGE, max_depth: 16, max_elements: 1_000, ..Limits::default() };
    let document = Document::parse(soap, &limits)
        .map_err(|e| Fault::new(codes::INVALID_XML, e.to_string()))?;
    let content = document
        .root()
        .child_ns(ENVELOPE_NS, "Body")
        .and_then(|body| body.children().next())
        .ok_or_else(|| Fault::new(codes::INVALID_SOAP, "SoapMessage has no content"))?;
    body::read(content, kind)
}

/// What X-Road says of a missing part, in the order of the parts behind the SOAP part.
const MISSING_OF_REGISTRATION: [&str; 5] = [
    "Auth signature is missing",
    "Owner signature is missing",
    "Auth certificate is missing",
    "Owner certificate is missing",
    "Owner certificate OCSP is missing",
];
const MISSING_OF_SIGNED: [&str; 3] = [
    "Client signature is missing",
    "Client certificate is missing",
    "Client certificate OCSP is missing",
];

/// The evidence of a kind, from the parts behind the SOAP part.
fn evidence(kind: Kind, parts: &[Part]) -> Result<Evidence, Fault> {
    let missing: &[&str] = match kind {
        Kind::AuthCertReg => &MISSING_OF_REGISTRATION,
        kind if kind.is_signed() => &MISSING_OF_SIGNED,
        _ => &[],
    };
    if let Some(missing) = missing.get(parts.len()) {
        return Err(invalid(missing));
    }
    match (kind, parts) {
        (Kind::AuthCertReg, [auth, owner, auth_certificate, owner_certificate, ocsp]) => {
            Ok(Evidence::TwiceSigned {
                auth_signature: signature(auth),
                owner_signature: signature(owner),
                auth_certificate: auth_certificate.body.clone(),
                owner_certificate: owner_certificate.body.clone(),
                owner_ocsp: ocsp.body.clone(),
            })
        }
        (kind, [client, certificate, ocsp]) if kind.is_signed() => Ok(Evidence::Signed {
            signature: signature(client),
            certificate: certificate.body.clone(),
            ocsp: ocsp.body.clone(),
        }),
        (kind, []) if !kind.is_signed() => Ok(Evidence::None),
        _ => Err(Fault::new(codes::INTERNAL_ERROR, "Unexpected content in multipart")),
    }
}

fn signature(part: &Part) -> Signature {
    let algorithm = part.headers.get(ALGORITHM_HEADER).unwrap_or_default().to_owned();
    Signature { algorithm, value: part.body.clone() }
}

fn invalid(text: &str) -> Fault {
    Fault::new(codes::INVALID_REQUEST, text)
}

fn multipart(error: TransportError) -> Fault {
    match error {
        TransportError::TooMany { .. } => {
            Fault::new(codes::INTERNAL_ERROR, "Unexpected content in multipart")
        }
        error => Fault::new(error.code(), error.to_string()),
    }
}

/// A stranger's text, short and on one line.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(20).collect()
}
