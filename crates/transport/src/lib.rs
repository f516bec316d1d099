//! The multipart message between two security servers, without I/O.
//!
//! A request travels from the consumer's server to the provider's as the
//! body of one HTTP POST, its answer as the body of a 200: a
//! `multipart/mixed` whose parts come in a fixed order (X-Road message
//! transport protocol, section 3; RFC 2046 section 5.1 for the multipart):
//!
//! 1. `application/ocsp-response`, one or more, in requests only;
//! 2. the REST header block or the SOAP envelope;
//! 3. the REST body, or a nested multipart with the SOAP attachments;
//! 4. the hash chain result and the hash chain, when the signature is a batch
//!    signature;
//! 5. the signature, or a SOAP fault in its place.
//!
//! [`Encoder`] makes those bytes piece by piece; bodies pass beside it,
//! uncopied. [`Decoder`] takes bytes as they arrive from the network, in any
//! cut, and gives [`Event`]s; what it is given is hostile until it has been
//! counted, bounded and put in order ([`Limits`]). Neither knows sockets,
//! clocks, XML signatures or digests: the caller hashes the bytes of the
//! events, which are exactly the bytes that the peer signed. [`read_parts`] is
//! for multiparts of another order that are in memory already.
//!
//! [`RelatedDecoder`] reads the `multipart/related` in which information systems
//! send SOAP messages with attachments, and [`Encoder`] writes it, too.

mod boundary;
mod collector;
mod content_type;
mod decoder;
mod encoder;
mod error;
mod fault;
mod headers;
mod limits;
mod order;
mod related;
mod scanner;
mod splitter;
mod whole;

pub mod envelope;
pub mod media;

pub use boundary::{Boundary, BoundaryUse};
pub use content_type::ContentType;
pub use decoder::{Decoder, Event, Expect, MessageKind};
pub use encoder::Encoder;
pub use error::TransportError;
pub use headers::PartHeaders;
pub use limits::Limits;
pub use related::{BoundaryWatch, RelatedDecoder, RelatedEvent};
pub use whole::{Part, read_parts};
