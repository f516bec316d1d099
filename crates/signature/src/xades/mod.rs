//! The signature document: XAdES 1.3.2 in X-Road 7.8's profile (`SignatureXmlBuilder`).

mod compose;
mod mould;
mod read;

pub use compose::{Composer, Reference, ToBeSigned};
pub use mould::Mould;
pub use read::{Binding, CertificateReference, SignatureDocument, SignedReference, Transform};

pub(crate) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
pub(crate) const XADES: &str = "http://uri.etsi.org/01903/v1.3.2#";
pub(crate) const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
pub(crate) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
pub(crate) const SIGNED_PROPERTIES_TYPE: &str = "http://uri.etsi.org/01903#SignedProperties";
