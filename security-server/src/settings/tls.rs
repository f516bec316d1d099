//! The internal TLS certificate: what information systems see on the HTTPS port, and what this
//! server shows to providers' information systems. It is self-signed, since information systems
//! are configured with the certificate itself (X-Road's `internal.crt` likewise).

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use causeway_pki::{Certificate, PkiError};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, string::Ia5String,
};
use time::{Duration, OffsetDateTime};

use super::TlsSettings;

/// How long the certificate holds: 20 years, as X-Road's. Information systems pin it.
const VALIDITY: Duration = Duration::days(20 * 365);

/// Why the internal TLS certificate cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InternalTlsError {
    /// A file or folder cannot be read or written.
    #[error("internal TLS: '{}': {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a certificate, but its key is gone.
    #[error(
        "internal TLS: '{}' is there, but its key '{}' is not; restore the key, or remove the \
         certificate so that a new pair is made",
        certificate.display(), key.display()
    )]
    KeyMissing {
        /// The certificate's file.
        certificate: PathBuf,
        /// Where the key should be.
        key: PathBuf,
    },
    /// The pair is there and was to be made.
    #[error("internal TLS: '{}' is there already; to replace it and its key, say --renew", .0.display())]
    Exists(PathBuf),
    /// The certificate's file holds no certificate.
    #[error("internal TLS: '{}' is not a certificate: {source}", path.display())]
    NotACertificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: PkiError,
    },
    /// The key or certificate cannot be made.
    #[error("internal TLS: cannot make a certificate with key '{}': {source}", path.display())]
    CannotMake {
        /// The key's file.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
}

/// The internal TLS certificate, present on disk with its key.
#[derive(Debug, Clone)]
pub struct InternalCertificate {
    /// The certificate.
    pub certificate: Certificate,
    /// Whether it was made just now.
    pub made: bool,
}

/// Makes sure that the internal TLS certificate and key exist: makes both when neither is there,
/// and the certificate when only the key is. The certificate names this host and `localhost`.
///
/// # Errors
/// [`InternalTlsError`]; among others when there is a certificate without a key.
pub fn ensure_internal_certificate(
    tls: &TlsSettings,
) -> Result<InternalCertificate, InternalTlsError> {
    let (certificate, key) = (&tls.internal_certificate, &tls.internal_key);
    match (certificate.exists(), key.exists()) {
        (true, true) => {
            let bytes = std::fs::read(certificate).map_err(at(certificate))?;
            let parsed = Certificate::from_der_or_pem(&bytes).map_err(|source| {
                InternalTlsError::NotACertificate { path: certificate.clone(), source }
            })?;
            Ok(InternalCertificate { certificate: parsed, made: false })
        }
        (true, false) => {
            Err(InternalTlsError::KeyMissing { certificate: certificate.clone(), key: key.clone() })
        }
        (false, true) => {
            let pem = std::fs::read_to_string(key).map_err(at(key))?;
            let pair = KeyPair::from_pem(&pem).map_err(cannot_make(key))?;
            make(tls, &pair, &default_names())
        }
        (false, false) => make_internal_certificate(tls, &[], false),
    }
}

/// Makes a new internal TLS certificate and key (ECDSA P-256) for the given host names and IP
/// addresses; without any, for this host and `localhost`.
///
/// # Errors
/// [`InternalTlsError::Exists`] when one of the two files is there and `replace` is false;
/// otherwise what goes wrong.
pub fn make_internal_certificate(
    tls: &TlsSettings,
    names: &[String],
    replace: bool,
) -> Result<InternalCertificate, InternalTlsError> {
    if !replace {
        for path in [&tls.internal_certificate, &tls.internal_key] {
            if path.exists() {
                return Err(InternalTlsError::Exists(path.clone()));
            }
        }
    }
    let pair =
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(cannot_make(&tls.internal_key))?;
    let names = if names.is_empty() { default_names() } else { names.to_vec() };
    // The key first: a key alone is completed at the next start, a certificate alone is not.
    if replace {
        remove(&tls.internal_certificate)?;
    }
    write(&tls.internal_key, pair.serialize_pem().as_bytes(), 0o600)?;
    make(tls, &pair, &names)
}

fn make(
    tls: &TlsSettings,
    pair: &KeyPair,
    names: &[String],
) -> Result<InternalCertificate, InternalTlsError> {
    let made = self_signed(pair, names).map_err(cannot_make(&tls.internal_key))?;
    let path = &tls.internal_certificate;
    let certificate = Certificate::from_der(made.der())
        .map_err(|source| InternalTlsError::NotACertificate { path: path.clone(), source })?;
    write(path, made.pem().as_bytes(), 0o644)?;
    Ok(InternalCertificate { certificate, made: true })
}

fn self_signed(pair: &KeyPair, names: &[String]) -> Result<rcgen::Certificate, rcgen::Error> {
    let mut params = CertificateParams::default();
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(Ia5String::try_from(name.as_str())?),
        });
    }
    params.distinguished_name = DistinguishedName::new();
    let first = names.first().map_or("localhost", String::as_str);
    params.distinguished_name.push(DnType::CommonName, first);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    // A day back, for information systems whose clocks are behind.
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::DAY;
    params.not_after = now + VALIDITY;
    params.self_signed(pair)
}

/// This host's name, if the system tells it, and `localhost`.
fn default_names() -> Vec<String> {
    let told = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    let host = told.map(|name| name.trim().to_owned());
    let is_host_name = |name: &String| {
        !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
    };
    let host = host.filter(is_host_name).filter(|name| name != "localhost");
    host.into_iter().chain(["localhost".to_owned()]).collect()
}

/// Writes a file so that it is there whole or not at all.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), InternalTlsError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(at(folder))?;
    file.write_all(bytes).map_err(at(path))?;
    set_mode(file.as_file(), mode).map_err(at(path))?;
    file.as_file().sync_all().map_err(at(path))?;
    file.persist(path).map_err(|e| at(path)(e.error))?;
    std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(at(folder))
}

#[cfg(unix)]
fn set_mode(file: &std::fs::File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_file: &std::fs::File, _mode: u32) -> io::Result<()> {
    Ok(())
}

fn remove(path: &Path) -> Result<(), InternalTlsError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(at(path)(source)),
        _ => Ok(()),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> InternalTlsError {
    let path = path.to_path_buf();
    move |source| InternalTlsError::Io { path, source }
}

fn cannot_make(path: &Path) -> impl FnOnce(rcgen::Error) -> InternalTlsError {
    let path = path.to_path_buf();
    move |source| InternalTlsError::CannotMake { path, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings(folder: &Path) -> TlsSettings {
        TlsSettings {
            internal_certificate: folder.join("tls/internal.crt"),
            internal_key: folder.join("tls/internal.key"),
            check_client_dates: false,
        }
    }

    #[test]
    fn a_pair_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let tls = settings(folder.path());
        let first = ensure_internal_certificate(&tls).unwrap();
        assert!(first.made);
        assert!(first.certificate.is_valid_at(OffsetDateTime::now_utc()));
        assert!(first.certificate.dns_names().contains(&"localhost".to_owned()));
        assert!(first.certificate.is_authentication_certificate());
        let second = ensure_internal_certificate(&tls).unwrap();
        assert!(!second.made);
        assert_eq!(second.certificate, first.certificate);
        assert!(matches!(
            make_internal_certificate(&tls, &[], false),
            Err(InternalTlsError::Exists(_))
        ));
        let names = ["ss1.example".to_owned(), "10.0.0.1".to_owned()];
        let third = make_internal_certificate(&tls, &names, true).unwrap();
        assert_ne!(third.certificate, first.certificate);
        assert_eq!(third.certificate.dns_names(), ["ss1.example"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_the_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let tls = settings(folder.path());
        ensure_internal_certificate(&tls).unwrap();
        let mode = std::fs::metadata(&tls.internal_key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn half_a_pair() {
        let folder = tempfile::tempdir().unwrap();
        let tls = settings(folder.path());
        let first = ensure_internal_certificate(&tls).unwrap().certificate;
        std::fs::remove_file(&tls.internal_certificate).unwrap();
        let again = ensure_internal_certificate(&tls).unwrap();
        assert!(again.made);
        assert_eq!(
            again.certificate.subject_public_key_info(),
            first.subject_public_key_info(),
            "the key was kept"
        );
        std::fs::remove_file(&tls.internal_key).unwrap();
        assert!(matches!(
            ensure_internal_certificate(&tls),
            Err(InternalTlsError::KeyMissing { .. })
        ));
    }
}
