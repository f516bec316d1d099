//! The authority's folder: `authority.json`, certificates as PEM, keys as PKCS#8 (readable by the owner
//! alone), and `register.jsonl`, one line for each certificate issued or revoked, synced line by line.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_keys::KeyPair;
use causeway_pki::profile::CertificateProfile;
use causeway_pki::{Certificate, SigningKey as _};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::authority::Signer;
use crate::register::{Issued, Register};
use crate::{Level, Purpose, TrustServicesError};

/// Largest key or certificate file that is read, bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Largest register that is read, bytes: about 200,000 certificates.
const MAX_REGISTER: u64 = 512 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Description {
    version: u32,
    intermediate: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Issued { level: Level, purpose: Purpose, certificate: String },
    Revoked { level: Level, serial: String, at: i64 },
}

/// What a folder holds.
pub(crate) struct Contents {
    pub(crate) root: Signer,
    pub(crate) intermediate: Option<Signer>,
    pub(crate) profile: Option<CertificateProfile>,
    pub(crate) register: Register,
}

pub(crate) struct Store {
    path: PathBuf,
    register: File,
    /// Where the next line begins; a line that failed half-way is written over.
    length: u64,
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> TrustServicesError + '_ {
    move |error| TrustServicesError::File { path: path.display().to_string(), error }
}

fn bad(path: &Path, why: impl Into<String>) -> TrustServicesError {
    TrustServicesError::BadFile { path: path.display().to_string(), why: why.into() }
}

impl Store {
    pub(crate) fn create(
        folder: &Path,
        root: &Signer,
        intermediate: Option<&Signer>,
        profile: Option<CertificateProfile>,
        register: &Register,
    ) -> Result<Self, TrustServicesError> {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        let description = folder.join("authority.json");
        if description.exists() {
            return Err(bad(&description, "there is an authority in this folder already"));
        }
        for (name, signer) in [("root", Some(root)), ("intermediate", intermediate)] {
            let Some(signer) = signer else { continue };
            write_new(&folder.join(format!("{name}.pkcs8")), &signer.key.to_pkcs8(), 0o600)?;
            let pem = signer.certificate.to_pem();
            write_new(&folder.join(format!("{name}.pem")), pem.as_bytes(), 0o644)?;
        }
        let path = folder.join("register.jsonl");
        write_new(&path, b"", 0o600)?;
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(at(&path))?;
        let mut store = Self { path, register: file, length: 0 };
        for issued in register.all() {
            store.record_issued(issued)?;
            if let Some(moment) = issued.revoked {
                store.record_revoked(issued.level, issued.certificate.serial_bytes(), moment)?;
            }
        }
        // the description comes last: a folder without it holds no authority
        let contents = Description {
            version: 1,
            intermediate: intermediate.is_some(),
            profile: profile.map(CertificateProfile::class_name),
        };
        let json = serde_json::to_vec_pretty(&contents)
            .map_err(|error| bad(&description, error.to_string()))?;
        write_new(&description, &json, 0o644)?;
        sync_folder(folder)?;
        Ok(store)
    }

    pub(crate) fn open(folder: &Path) -> Result<(Self, Contents), TrustServicesError> {
        let path = folder.join("authority.json");
        let description: Description = serde_json::from_slice(&read(&path, MAX_FILE)?)
            .map_err(|error| bad(&path, error.to_string()))?;
        if description.version != 1 {
            return Err(bad(&path, format!("version {} is not known", description.version)));
        }
        let profile = match &description.profile {
            None => None,
            Some(class) => Some(
                CertificateProfile::from_class_name(class)
                    .ok_or_else(|| bad(&path, format!("unknown profile {class}")))?,
            ),
        };
        let root = read_signer(folder, "root")?;
        let intermediate = match description.intermediate {
            true => Some(read_signer(folder, "intermediate")?),
            false => None,
        };
        let path = folder.join("register.jsonl");
        let (register, length) = read_register(&path)?;
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(at(&path))?;
        let store = Self { path, register: file, length };
        Ok((store, Contents { root, intermediate, profile, register }))
    }

    pub(crate) fn record_issued(&mut self, issued: &Issued) -> Result<(), TrustServicesError> {
        self.append(&Line::Issued {
            level: issued.level,
            purpose: issued.purpose,
            certificate: STANDARD.encode(issued.certificate.der()),
        })
    }

    pub(crate) fn record_revoked(
        &mut self,
        level: Level,
        serial: &[u8],
        moment: OffsetDateTime,
    ) -> Result<(), TrustServicesError> {
        let serial = hex::encode(serial);
        self.append(&Line::Revoked { level, serial, at: moment.unix_timestamp() })
    }

    fn append(&mut self, line: &Line) -> Result<(), TrustServicesError> {
        let mut bytes =
            serde_json::to_vec(line).map_err(|error| bad(&self.path, error.to_string()))?;
        bytes.push(b'\n');
        let file = &mut self.register;
        file.seek(SeekFrom::Start(self.length))
            .and_then(|_| file.write_all(&bytes))
            .and_then(|()| file.set_len(self.length + bytes.len() as u64))
            .and_then(|()| file.sync_data())
            .map_err(at(&self.path))?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, TrustServicesError> {
    let file = File::open(path).map_err(at(path))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(at(path))?;
    if bytes.len() as u64 > limit {
        return Err(bad(path, format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

fn read_signer(folder: &Path, name: &str) -> Result<Signer, TrustServicesError> {
    let path = folder.join(format!("{name}.pem"));
    let certificate = Certificate::from_der_or_pem(&read(&path, MAX_FILE)?)?;
    let path = folder.join(format!("{name}.pkcs8"));
    let key = KeyPair::from_pkcs8(&read(&path, MAX_FILE)?)?;
    if key.certificate_public_key() != certificate.subject_public_key_info() {
        return Err(bad(&path, "the key is not that of the certificate"));
    }
    Ok(Signer { key, certificate })
}

/// The register and the length of its whole lines; a line that a crash cut off does not count.
fn read_register(path: &Path) -> Result<(Register, u64), TrustServicesError> {
    let bytes = read(path, MAX_REGISTER)?;
    let mut register = Register::default();
    let mut length = 0u64;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(json) = line.strip_suffix(b"\n") else { break };
        let wrong = |why: String| bad(path, format!("line {}: {why}", index + 1));
        match serde_json::from_slice(json).map_err(|error| wrong(error.to_string()))? {
            Line::Issued { level, purpose, certificate } => {
                let der = STANDARD.decode(certificate).map_err(|error| wrong(error.to_string()))?;
                let certificate =
                    Certificate::from_der(&der).map_err(|error| wrong(error.to_string()))?;
                register.add(Issued { certificate, level, purpose, revoked: None });
            }
            Line::Revoked { level, serial, at } => {
                let serial = hex::decode(serial).map_err(|error| wrong(error.to_string()))?;
                let at = OffsetDateTime::from_unix_timestamp(at)
                    .map_err(|error| wrong(error.to_string()))?;
                if !register.revoke(level, &serial, at) {
                    return Err(wrong("revokes what was not issued".into()));
                }
            }
        }
        length += line.len() as u64;
    }
    Ok((register, length))
}

/// Writes a file that must not be there yet, for its owner alone where `mode` says so.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TrustServicesError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))
}

fn sync_folder(folder: &Path) -> Result<(), TrustServicesError> {
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))?;
    }
    Ok(())
}
