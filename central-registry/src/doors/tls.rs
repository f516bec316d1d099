//! The TLS of the doors.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::registry::RegistryError;

/// TLS 1.3 and 1.2 with one certificate, and that certificate's DER; clients need none.
pub(super) fn config(
    certificate: &Path,
    key: &Path,
) -> Result<(Arc<ServerConfig>, Vec<u8>), RegistryError> {
    let failed = |path: &Path, why: String| {
        RegistryError::Disk(format!("TLS of the management services: {}: {why}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| failed(certificate, e.to_string()))?;
    let first = chain.first().map(|first| first.to_vec());
    let first = first.ok_or_else(|| failed(certificate, "no certificate is in it".into()))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| failed(key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|e| failed(certificate, e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|e| failed(certificate, e.to_string()))?;
    Ok((Arc::new(config), first))
}
