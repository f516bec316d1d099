//! Media types of the parts and of the whole.

/// The whole message and the nested attachments, without parameters.
pub const MULTIPART_MIXED: &str = "multipart/mixed";
/// A DER `OCSPResponse` (RFC 6960) for a certificate of the sender's TLS chain.
pub const OCSP_RESPONSE: &str = "application/ocsp-response";
/// The header block of a REST request.
pub const REST_REQUEST: &str = "application/x-road-rest-request";
/// The header block of a REST response.
pub const REST_RESPONSE: &str = "application/x-road-rest-response";
/// The body of a REST request or response.
pub const REST_BODY: &str = "application/x-road-rest-body";
/// A SOAP envelope, or a SOAP fault.
pub const TEXT_XML: &str = "text/xml";
/// A SOAP fault as X-Road's encoder labels it.
pub const TEXT_XML_UTF8: &str = "text/xml; charset=UTF-8";
/// A SOAP envelope whose attachments are optimized (XOP, MTOM).
pub const XOP_XML: &str = "application/xop+xml";
/// The result of the hash chain that a batch signature signs.
pub const HASH_CHAIN_RESULT: &str = "application/hash-chain-result";
/// The hash chain from the parts of this message to the result.
pub const HASH_CHAIN: &str = "application/hash-chain";
/// The XAdES signature.
pub const SIGNATURE: &str = "signature/bdoc-1.0/ts";
/// A SOAP message with attachments, as information systems send it (SwA, MTOM).
pub const MULTIPART_RELATED: &str = "multipart/related";
