//! A service description of either kind.

use std::fmt;

use crate::openapi::OpenApi;
use crate::wsdl::Wsdl;

/// The longest description that is read, in bytes: 10 MiB, as in X-Road.
pub const MAX_DESCRIPTION_BYTES: usize = 10 << 20;

/// How a service description is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DescriptionType {
    /// WSDL 1.1: SOAP services.
    Wsdl,
    /// OpenAPI 3: a REST service with its endpoints.
    OpenApi3,
}

impl DescriptionType {
    /// The word for it in configurations and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wsdl => "wsdl",
            Self::OpenApi3 => "openapi3",
        }
    }
}

impl fmt::Display for DescriptionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wsdl => "WSDL",
            Self::OpenApi3 => "OpenAPI 3",
        })
    }
}

/// An HTTP method and a path of a REST service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The method in upper case, or `*` for any.
    pub method: String,
    /// The path below the service, with `*` for each path parameter.
    pub path: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Why a description cannot be used. The text says what to change in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// Longer than [`MAX_DESCRIPTION_BYTES`].
    #[error("the description is longer than {} MiB", MAX_DESCRIPTION_BYTES >> 20)]
    TooLong,
    /// It asks for more than is granted: the thing that there is too much of, and how much is granted.
    #[error("the description has more than {1} {0}")]
    TooMuch(&'static str, usize),
    /// Not XML, or XML that is not read here.
    #[error("the WSDL cannot be read: {0}")]
    Xml(#[from] causeway_xml::XmlError),
    /// XML, but no WSDL 1.1.
    #[error("the document is no WSDL 1.1: its root is <{0}>")]
    NotWsdl(String),
    /// A WSDL that contradicts its specification.
    #[error("the WSDL violates its specification: {0}")]
    InvalidWsdl(String),
    /// An operation or version whose name no service code or version can be.
    #[error(
        "'{0}' cannot be a service code or version: it is empty, longer than 255 bytes, or has a control character or one of % : ; / \\"
    )]
    IllegalIdentifier(String),
    /// An operation has the name of a built-in service.
    #[error("'{0}' is the name of a built-in service; rename the operation")]
    Reserved(String),
    /// An address that is neither http nor https.
    #[error("the address '{0}' is neither http nor https")]
    Address(String),
    /// Neither JSON nor YAML: what, and on which line.
    #[error("the OpenAPI description cannot be read: {text} (line {line})")]
    Syntax {
        /// What is wrong.
        text: String,
        /// Where, from 1.
        line: usize,
    },
    /// Readable, but no OpenAPI description.
    #[error("the document is no OpenAPI description: {0}")]
    NotOpenApi(&'static str),
    /// A version of OpenAPI that is not read here.
    #[error("OpenAPI version {0} is not supported: 3.0 and 3.1 are")]
    Version(String),
    /// Hiding the addresses did not give what it should: the document is not given out.
    #[error("the addresses in the description cannot be hidden: {0}")]
    CannotHide(String),
}

/// What a service description promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Description {
    /// SOAP services.
    Wsdl(Wsdl),
    /// A REST service.
    OpenApi(OpenApi),
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// [`DescriptionError`] when it is not one, or exceeds the bounds.
    pub fn read(kind: DescriptionType, bytes: &[u8]) -> Result<Self, DescriptionError> {
        match kind {
            DescriptionType::Wsdl => Wsdl::read(bytes).map(Self::Wsdl),
            DescriptionType::OpenApi3 => OpenApi::read(bytes).map(Self::OpenApi),
        }
    }

    /// What is doubtful in it, each in a sentence.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Wsdl(wsdl) => &wsdl.warnings,
            Self::OpenApi(openapi) => &openapi.warnings,
        }
    }
}
