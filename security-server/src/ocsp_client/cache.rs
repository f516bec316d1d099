use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use causeway_pki::Certificate;
use causeway_pki::ocsp::{MAX_RESPONSE, OcspResponse};

const SUFFIX: &str = ".ocsp";
/// How the names of files begin that are being written.
const UNFINISHED: &str = ".tmp";
/// The most files that are read at start.
const MAX_FILES: usize = 1000;

type Sha1 = [u8; 20];

/// The OCSP responses of this server's own certificates and of the authorities between them and
/// their roots, in memory and on disk (`<SHA-1 of the certificate>.ocsp`, as in X-Road).
///
/// A response is here because it was judged when it came; whether it is still fresh enough is for
/// whoever uses it to judge.
#[derive(Debug)]
pub struct OcspCache {
    folder: PathBuf,
    responses: RwLock<HashMap<Sha1, OcspResponse>>,
}

impl OcspCache {
    /// The cache of a folder, with what is there. Files that cannot be read are passed over: the
    /// responses are fetched anew.
    pub fn open(folder: PathBuf) -> Self {
        let responses = match load(&folder) {
            Ok(responses) => responses,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(folder = %folder.display(), %error, "OCSP responses on disk cannot be read");
                }
                HashMap::new()
            }
        };
        Self { folder, responses: RwLock::new(responses) }
    }

    /// The response for a certificate.
    pub fn get(&self, certificate: &Certificate) -> Option<OcspResponse> {
        let response = self.read().get(&certificate.sha1()).cloned();
        response.filter(|r| trimmed(&r.cert_id().serial) == trimmed(certificate.serial_bytes()))
    }

    /// The response for the certificate of this SHA-1 digest, in hexadecimal.
    pub fn get_by_sha1(&self, hex: &str) -> Option<OcspResponse> {
        let mut digest = Sha1::default();
        hex::decode_to_slice(hex, &mut digest).ok()?;
        self.read().get(&digest).cloned()
    }

    /// Puts a response in. It counts even when it cannot be saved, but not before that has been
    /// tried: what messages were sent with is there after a crash. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be saved.
    pub fn put(&self, certificate: &Certificate, response: OcspResponse) -> io::Result<()> {
        let saved = save(&self.folder, &file_name(&certificate.sha1()), response.der());
        self.write().insert(certificate.sha1(), response);
        saved
    }

    /// Forgets the responses of all other certificates. Blocks on the disk.
    pub fn retain(&self, certificates: &[Certificate]) {
        let kept: HashSet<Sha1> = certificates.iter().map(Certificate::sha1).collect();
        let mut gone = Vec::new();
        self.write().retain(|sha1, _| {
            let keep = kept.contains(sha1);
            if !keep {
                gone.push(*sha1);
            }
            keep
        });
        for sha1 in gone {
            let path = self.folder.join(file_name(&sha1));
            if let Err(error) = fs::remove_file(&path) {
                tracing::debug!(path = %path.display(), %error, "an old OCSP response stays on disk");
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Sha1, OcspResponse>> {
        self.responses.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Sha1, OcspResponse>> {
        self.responses.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file_name(sha1: &Sha1) -> String {
    format!("{}{SUFFIX}", hex::encode(sha1))
}

/// A serial number without leading zeros.
fn trimmed(mut serial: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = serial {
        serial = rest;
    }
    serial
}

fn load(folder: &Path) -> io::Result<HashMap<Sha1, OcspResponse>> {
    let mut responses = HashMap::new();
    for entry in fs::read_dir(folder)?.flatten().take(MAX_FILES) {
        let name = entry.file_name();
        let mut sha1 = Sha1::default();
        let digest = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        if digest.is_none_or(|hex| hex::decode_to_slice(hex, &mut sha1).is_err()) {
            if name.to_str().is_some_and(|name| name.starts_with(UNFINISHED)) {
                // Left by a crash. Many of them would crowd out what counts.
                drop(fs::remove_file(entry.path()));
            }
            continue;
        }
        let mut der = Vec::new();
        File::open(entry.path())?.take(MAX_RESPONSE as u64 + 1).read_to_end(&mut der)?;
        match OcspResponse::parse(&der) {
            Ok(response) => drop(responses.insert(sha1, response)),
            Err(error) => {
                tracing::warn!(file = %entry.path().display(), %error, "an OCSP response on disk is passed over");
            }
        }
    }
    Ok(responses)
}

fn save(folder: &Path, name: &str, der: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(der)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name)).map_err(|e| e.error)?;
    File::open(folder)?.sync_all()
}
