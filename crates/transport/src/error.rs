/// Why a message was refused, or could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The message is neither `multipart/mixed` nor, in a response, `text/xml`.
    #[error("content type {0:?} is not that of a message between security servers")]
    ContentType(String),
    /// A multipart without a boundary parameter, or with one that RFC 2046 does not allow.
    #[error("content type {0:?} has no usable boundary")]
    Boundary(String),
    /// A part of an information system's message that does not say what it is.
    #[error("a part has no content type")]
    NoContentType,
    /// A part of this type has no place here.
    #[error("expected {expected}, found a part of type {found:?}")]
    UnexpectedPart {
        /// What could have stood here.
        expected: &'static str,
        /// The part's media type, shortened.
        found: String,
    },
    /// A `text/xml` part in place of the signature that is not a SOAP fault.
    #[error("expected a signature or a fault, found other XML")]
    NeitherSignatureNorFault,
    /// A part after the signature.
    #[error("extra part of type {0:?} after the signature")]
    ExtraPart(String),
    /// Bytes after the closing boundary.
    #[error("content after the closing boundary")]
    TrailingContent,
    /// A `text/xml` response that is a SOAP message but no fault.
    #[error("expected a SOAP fault, found a regular SOAP message")]
    NotAFault,
    /// A `text/xml` response that is not a SOAP envelope.
    #[error("expected a SOAP fault, found no SOAP envelope")]
    NotSoap,
    /// A `text/xml` response whose SOAP envelope has no body.
    #[error("expected a SOAP fault, found an envelope without a body")]
    NoSoapBody,
    /// A hash chain without its result, or a result without its chain.
    #[error("a hash chain and its result come together or not at all")]
    UnpairedHashChain,
    /// A part longer than its limit.
    #[error("{part} is longer than {limit} bytes")]
    TooLarge {
        /// The part.
        part: &'static str,
        /// The limit of [`crate::Limits`], in bytes.
        limit: usize,
    },
    /// More parts of a kind than the limit.
    #[error("more than {limit} {parts}")]
    TooMany {
        /// The kind of parts.
        parts: &'static str,
        /// The limit of [`crate::Limits`].
        limit: usize,
    },
    /// Headers of a part beyond [`crate::Limits`].
    #[error("the headers of a part exceed the limit on {0}")]
    HeadersTooLarge(&'static str),
    /// A header of a part that RFC 5322 does not allow, or that occurs twice where one is allowed.
    #[error("malformed header in a part: {0}")]
    MalformedHeader(String),
    /// A line that begins as a boundary and goes on as something else.
    #[error("malformed boundary line")]
    MalformedBoundaryLine,
    /// A boundary where it may not stand: the outer inside the nested multipart,
    /// the nested after its end, or a nested boundary that resembles the outer.
    #[error("boundaries of the outer and the nested multipart cross")]
    CrossedBoundaries,
    /// Text before the first or after the last part of a multipart.
    #[error("text between the parts")]
    TextBetweenParts,
    /// The message ends before its closing boundary.
    #[error("the message ends before its closing boundary")]
    Truncated,
    /// An OCSP response that is not one DER SEQUENCE.
    #[error("OCSP response is not DER: {0}")]
    OcspResponse(&'static str),
    /// The message ended without its REST header block.
    #[error("the message has no REST part")]
    MissingRest,
    /// The message ended without its SOAP envelope.
    #[error("the message has no SOAP part")]
    MissingSoap,
    /// The message ended without a signature.
    #[error("the message has no signature")]
    MissingSignature,
    /// Encoder: a content type or header that cannot be written safely.
    #[error("cannot write header {0:?} of a part: {1}")]
    UnwritableHeader(String, &'static str),
    /// Encoder: attachments that were begun twice, ended unbegun, or with the outer boundary.
    #[error("attachments {0}")]
    Attachments(&'static str),
}

impl TransportError {
    /// The X-Road 7.8 error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ContentType(_)
            | Self::Boundary(_)
            | Self::NoContentType
            | Self::UnexpectedPart { .. }
            | Self::NeitherSignatureNorFault => "invalid_content_type",
            Self::ExtraPart(_)
            | Self::TrailingContent
            | Self::NotAFault
            | Self::UnpairedHashChain
            | Self::TooLarge { .. }
            | Self::TooMany { .. } => "invalid_message",
            Self::NotSoap => "invalid_soap",
            Self::NoSoapBody => "missing_body",
            Self::HeadersTooLarge(_)
            | Self::MalformedHeader(_)
            | Self::MalformedBoundaryLine
            | Self::CrossedBoundaries
            | Self::TextBetweenParts => "mime_parsing_failed",
            Self::Truncated | Self::OcspResponse(_) => "io_error",
            Self::MissingRest => "missing_rest",
            Self::MissingSoap => "missing_soap",
            Self::MissingSignature => "missing_signature",
            Self::UnwritableHeader(..) | Self::Attachments(_) => "internal_error",
        }
    }
}

/// A peer's text, short enough for a log line.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 100;
    text.chars().take(MOST).collect()
}
