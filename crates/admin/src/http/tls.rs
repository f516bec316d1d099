//! The key and certificate that the edge shows: made at the first start, for the operator to replace.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

/// How long a certificate made here holds: ten years, since clients pin it.
const VALIDITY: Duration = Duration::days(10 * 365);
/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The files of the edge's certificate and key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with its chain if it has one.
    pub certificate: PathBuf,
    /// The private key, for its owner alone (mode 0600).
    pub key: PathBuf,
}

/// Why the edge has no certificate to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("the admin interface's TLS: '{}': {source}", path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Key or certificate is there without the other.
    #[error("the admin interface's TLS: '{}' is missing, while the other file is there; restore it, or remove both so that they are made anew", .0.display())]
    Half(PathBuf),
    /// Others than the owner may read the key.
    #[error("the admin interface's TLS: others may read '{}'; make it its owner's alone: chmod 600", .0.display())]
    Exposed(PathBuf),
    /// A file does not hold what it should.
    #[error("the admin interface's TLS: '{}': {why}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Reads the certificate and key; when neither is there, makes them for `names` (host names and
/// addresses), `localhost` and its addresses.
///
/// # Errors
/// [`TlsError`].
pub fn ensure(
    files: &TlsFiles,
    names: &[String],
    now: OffsetDateTime,
) -> Result<Arc<ServerConfig>, TlsError> {
    match (files.certificate.exists(), files.key.exists()) {
        (true, true) => {}
        (false, false) => make(files, names, now)?,
        (true, false) => return Err(TlsError::Half(files.key.clone())),
        (false, true) => return Err(TlsError::Half(files.certificate.clone())),
    }
    let mode = std::fs::metadata(&files.key).map_err(at(&files.key))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(TlsError::Exposed(files.key.clone()));
    }
    let unusable = |path: &Path, why: String| TlsError::Unusable { path: path.to_owned(), why };
    let chain = CertificateDer::pem_slice_iter(&read(&files.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unusable(&files.certificate, e.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&zeroize::Zeroizing::new(read(&files.key)?))
        .map_err(|e| unusable(&files.key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|e| unusable(&files.certificate, e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| unusable(&files.certificate, e.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn make(files: &TlsFiles, names: &[String], now: OffsetDateTime) -> Result<(), TlsError> {
    let cannot = |e: rcgen::Error| TlsError::Unusable {
        path: files.certificate.clone(),
        why: format!("cannot be made: {e}"),
    };
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(cannot)?;
    let mut params = CertificateParams::default();
    let usual = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    for name in names.iter().chain(&usual) {
        let name = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(Ia5String::try_from(name.as_str()).map_err(cannot)?),
        };
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    params.distinguished_name = DistinguishedName::new();
    let first = names.first().map_or("localhost", String::as_str);
    params.distinguished_name.push(DnType::CommonName, first);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A day back, for clients whose clocks are behind.
    (params.not_before, params.not_after) = (now - Duration::DAY, now + VALIDITY);
    let certificate = params.self_signed(&pair).map_err(cannot)?;
    let key = zeroize::Zeroizing::new(pair.serialize_pem());
    write(&files.key, key.as_bytes(), 0o600)?;
    if let Err(e) = write(&files.certificate, certificate.pem().as_bytes(), 0o644) {
        // A key alone would stop the next start.
        let _ = std::fs::remove_file(&files.key);
        return Err(e);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(at(path))?;
    file.take(LONGEST).read_to_end(&mut bytes).map_err(at(path))?;
    Ok(bytes)
}

/// Writes a new file and brings it to disk.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Disk { path, source }
}
