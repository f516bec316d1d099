//! HTTP headers around the multipart (X-Road message transport protocol,
//! sections 3.1 and 3.2). Names are in lower case, as HTTP compares them.

/// Name of the digest algorithm of the parts, such as `SHA-512`; mandatory
/// beside every multipart, absent beside an early `text/xml` fault.
pub const HASH_ALGORITHM: &str = "x-hash-algorithm";
/// Version of the sending server as `X.Y.Z`; some peers refuse what is not a
/// semantic version.
pub const PROXY_VERSION: &str = "x-proxy-version";
/// The information system's `Content-Type`, verbatim; may be empty.
pub const ORIGINAL_CONTENT_TYPE: &str = "x-original-content-type";
/// The information system's `SOAPAction`, verbatim with its quotes.
pub const ORIGINAL_SOAP_ACTION: &str = "x-original-soapaction";
/// UUID of the request, made by the consumer's server.
pub const REQUEST_ID: &str = "x-road-request-id";
/// [`MESSAGE_TYPE_REST`] for REST, absent for SOAP.
pub const MESSAGE_TYPE: &str = "x-road-message-type";
/// The one value of [`MESSAGE_TYPE`]; compared with case.
pub const MESSAGE_TYPE_REST: &str = "REST";
