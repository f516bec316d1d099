//! Making certificates (RFC 5280) and certificate requests (PKCS#10, RFC 2986).

mod csr;
mod template;

pub use csr::{CertificateRequest, MAX_CSR, RequestTemplate};
pub use template::{CertificateTemplate, SubjectAltName, eku};
