//! The signed directory of a configuration: which parts there are, their digests, how long they
//! count, and a signature over all that (protocol reference 7.2 to 7.4).
//!
//! [`SignedDirectory::parse`] looks at the envelope alone; nothing inside is read before
//! [`SignedDirectory::verify`] has found the signature good. [`build`] makes a directory in the form
//! of X-Road's central server.

mod build;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_pki::{Certificate, DigestAlgorithm, EcdsaForm, SignatureAlgorithm};
use causeway_xml::decode_base64;
use time::OffsetDateTime;

pub use build::{Boundaries, NewPart, build};

use crate::multipart::{Headers, Value, boundary, parts, split_headers};
use crate::{GlobalConfError, PartMetadata, Version, file_name, instant};

/// The longest directory, in bytes.
pub const MAX_DIRECTORY_BYTES: usize = 4 << 20;

/// Identifier of the part with the shared parameters.
pub const SHARED_PARAMETERS: &str = "SHARED-PARAMETERS";
/// Identifier of the part with the private parameters.
pub const PRIVATE_PARAMETERS: &str = "PRIVATE-PARAMETERS";
/// Identifier of the part that tells who may ask for monitoring data.
pub const MONITORING: &str = "MONITORING";
/// Identifier of the part with the OCSP fetch interval.
pub const FETCH_INTERVAL: &str = "FETCHINTERVAL";
/// Identifier of the part that tells whether `nextUpdate` counts.
pub const NEXT_UPDATE: &str = "NEXTUPDATE";

/// A directory as it was downloaded, its signature not yet verified.
#[derive(Debug, Clone)]
pub struct SignedDirectory {
    boundary: String,
    signed: Vec<u8>,
    signature: Vec<u8>,
    algorithm: SignatureAlgorithm,
    certificate_digest: (DigestAlgorithm, Vec<u8>),
}

impl SignedDirectory {
    /// Reads the envelope of a directory of at most [`MAX_DIRECTORY_BYTES`]: the body of the HTTP
    /// answer, which itself begins with the MIME header.
    ///
    /// # Errors
    /// The variants of [`GlobalConfError`] for directories, headers and signatures.
    pub fn parse(bytes: &[u8]) -> Result<Self, GlobalConfError> {
        if bytes.len() > MAX_DIRECTORY_BYTES {
            let why = format!("longer than {MAX_DIRECTORY_BYTES} bytes");
            return Err(GlobalConfError::directory(why));
        }
        let (headers, body) = split_headers(bytes)?;
        let outer = parts(body, boundary(headers.required("Content-Type")?)?)?;
        let (signed_part, signature_part) = match outer[..] {
            [] => return Err(GlobalConfError::MissingSignedData),
            [_] => return Err(GlobalConfError::MissingSignature),
            [signed, signature] => (signed, signature),
            _ => return Err(GlobalConfError::directory("more than a signed part and a signature")),
        };
        let (headers, signed) = split_headers(signed_part)?;
        let inner_boundary = boundary(headers.required("Content-Type")?)?.to_owned();
        let (headers, signature) = split_headers(signature_part)?;
        demand_binary(&headers)?;
        Ok(Self {
            boundary: inner_boundary,
            signed: signed.to_vec(),
            algorithm: signature_algorithm(&headers)?,
            certificate_digest: certificate_digest(&headers)?,
            signature: std::str::from_utf8(signature)
                .ok()
                .and_then(decode_base64)
                .ok_or(GlobalConfError::UndecodableSignature)?,
        })
    }

    /// The bytes that are signed: the inner multipart body, first delimiter to the line break after
    /// the last one.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The signature; ECDSA in DER form.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The signature algorithm.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Verifies the signature, then reads what it covers, then checks that it has not expired.
    ///
    /// `certificates` are the verification certificates of the location from which this directory
    /// came, and of no other: one location's certificate must not vouch for another's directory.
    /// Their validity periods do not count; trust in them came with the anchor.
    ///
    /// # Errors
    /// [`GlobalConfError::MissingVerificationCertificate`], [`GlobalConfError::InvalidSignature`],
    /// [`GlobalConfError::Outdated`] when `now` is after the expiry date, and the variants for
    /// headers.
    pub fn verify(
        &self,
        certificates: &[Certificate],
        now: OffsetDateTime,
    ) -> Result<Directory, GlobalConfError> {
        let (algorithm, digest) = &self.certificate_digest;
        let certificate =
            certificates.iter().find(|c| c.digest(*algorithm) == *digest).ok_or_else(|| {
                GlobalConfError::MissingVerificationCertificate(STANDARD.encode(digest))
            })?;
        certificate
            .public_key()
            .and_then(|key| {
                key.verify(self.algorithm, EcdsaForm::Der, &self.signed, &self.signature)
            })
            .map_err(|e| GlobalConfError::InvalidSignature(e.to_string()))?;
        let directory = Directory::parse(&self.signed, &self.boundary)?;
        if directory.expires < now {
            let instance = directory.parts.iter().find_map(|p| p.instance.clone());
            return Err(GlobalConfError::Outdated {
                instance: instance.unwrap_or_default(),
                expired: directory.expires,
            });
        }
        Ok(directory)
    }
}

fn signature_algorithm(headers: &Headers) -> Result<SignatureAlgorithm, GlobalConfError> {
    let uri = headers.required("Signature-Algorithm-Id")?;
    SignatureAlgorithm::from_uri(uri)
        .ok_or_else(|| GlobalConfError::wrong_value("Signature-Algorithm-Id", uri))
}

fn certificate_digest(headers: &Headers) -> Result<(DigestAlgorithm, Vec<u8>), GlobalConfError> {
    const HEADER: &str = "Verification-certificate-hash";
    const PARAMETER: &str = "hash-algorithm-id";
    let value = Value::parse(headers.required(HEADER)?);
    // The proxy's notation leaves the URI bare, and hand-made directories forget the closing quote.
    let uri = value
        .parameter(PARAMETER)
        .map(|uri| uri.trim_matches('"'))
        .ok_or(GlobalConfError::MissingParameter { header: HEADER, parameter: PARAMETER })?;
    let algorithm =
        DigestAlgorithm::from_uri(uri).ok_or_else(|| GlobalConfError::wrong_value(HEADER, uri))?;
    let digest = decode_base64(value.text)
        .ok_or_else(|| GlobalConfError::wrong_value(HEADER, value.text))?;
    Ok((algorithm, digest))
}

fn demand_binary(headers: &Headers) -> Result<(), GlobalConfError> {
    headers.demand("Content-type", "application/octet-stream")?;
    headers.demand("Content-transfer-encoding", "base64")
}

/// What a directory says, its signature verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// When the configuration stops counting.
    pub expires: OffsetDateTime,
    /// The version of the parts.
    pub version: Version,
    /// The parts, in the order of the directory.
    pub parts: Vec<Part>,
}

/// One file of a configuration, as the directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The identifier, e.g. [`SHARED_PARAMETERS`]; empty when the directory names none.
    pub identifier: String,
    /// The instance; always there for shared and private parameters.
    pub instance: Option<String>,
    /// Where the file is, absolute or relative to the directory's address.
    pub location: String,
    /// The name that the file should have locally.
    pub file_name: Option<String>,
    /// The digest algorithm.
    pub algorithm: DigestAlgorithm,
    /// The digest of the file.
    pub digest: Vec<u8>,
}

impl Directory {
    fn parse(signed: &[u8], boundary: &str) -> Result<Self, GlobalConfError> {
        let inner = parts(signed, boundary)?;
        let (first, files) = inner.split_first().ok_or(GlobalConfError::MissingSignedData)?;
        let (headers, _) = split_headers(first)?;
        let expires = headers.required("Expire-date")?;
        let expires = instant::parse(expires)
            .ok_or_else(|| GlobalConfError::wrong_value("Expire-date", expires))?;
        let version = match headers.get("Version") {
            Some(version) => version.parse()?,
            None => Version::default(),
        };
        let parts = files.iter().map(|part| Part::parse(part)).collect::<Result<_, _>>()?;
        Ok(Self { expires, version, parts })
    }

    /// The part of this identifier and instance.
    pub fn part(&self, identifier: &str, instance: &str) -> Option<&Part> {
        self.parts
            .iter()
            .find(|p| p.identifier == identifier && p.instance.as_deref() == Some(instance))
    }

    /// The metadata to keep beside the file of a part.
    pub fn metadata(&self, part: &Part) -> PartMetadata {
        PartMetadata {
            content_identifier: Some(part.identifier.clone()),
            instance: part.instance.clone(),
            expires: Some(self.expires),
            content_file_name: part.file_name.clone(),
            content_location: Some(part.location.clone()),
            version: Some(self.version),
        }
    }
}

impl Part {
    fn parse(bytes: &[u8]) -> Result<Self, GlobalConfError> {
        let (headers, body) = split_headers(bytes)?;
        demand_binary(&headers)?;
        let location = headers.required("Content-location")?.to_owned();
        let uri = headers.required("Hash-algorithm-id")?;
        let algorithm = DigestAlgorithm::from_uri(uri)
            .ok_or_else(|| GlobalConfError::wrong_value("Hash-algorithm-id", uri))?;
        let identifier = Value::parse(headers.get("Content-identifier").unwrap_or_default());
        let instance = identifier.parameter("instance").map(str::to_owned);
        if instance.is_none() && [SHARED_PARAMETERS, PRIVATE_PARAMETERS].contains(&identifier.text)
        {
            let (header, parameter) = ("Content-identifier", "instance");
            return Err(GlobalConfError::MissingParameter { header, parameter });
        }
        let digest = std::str::from_utf8(body)
            .ok()
            .and_then(decode_base64)
            .ok_or_else(|| GlobalConfError::directory(format!("the digest of {location}")))?;
        Ok(Self {
            identifier: identifier.text.to_owned(),
            instance,
            file_name: headers
                .get("Content-file-name")
                .filter(|n| !n.is_empty())
                .map(str::to_owned),
            location,
            algorithm,
            digest,
        })
    }

    /// Checks a file against the digest.
    ///
    /// # Errors
    /// [`GlobalConfError::PartDigest`].
    pub fn check(&self, file: &[u8]) -> Result<(), GlobalConfError> {
        if self.algorithm.digest(file) == self.digest {
            return Ok(());
        }
        Err(GlobalConfError::PartDigest(self.location.clone()))
    }

    /// Where the file is kept locally, relative to the configuration's folder: the instance's folder
    /// and a file name. `None` when there is no instance or no name that is safe to use as a file's.
    pub fn local_path(&self) -> Option<(String, String)> {
        let folder = file_name::instance_folder(self.instance.as_deref()?);
        let name = match self.identifier.as_str() {
            SHARED_PARAMETERS => file_name::SHARED_PARAMETERS.to_owned(),
            PRIVATE_PARAMETERS => file_name::PRIVATE_PARAMETERS.to_owned(),
            _ => {
                let path = self.file_name.as_deref().unwrap_or(&self.location);
                let name = path.rsplit(['/', '\\']).next()?;
                let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                if name.starts_with('.') || name.len() > 100 || !name.chars().all(safe) {
                    return None;
                }
                name.to_owned()
            }
        };
        (!name.is_empty()).then_some((folder, name))
    }

    /// The address of the file, given that of the directory.
    ///
    /// # Errors
    /// [`GlobalConfError::InvalidAddress`].
    pub fn url(&self, directory_url: &str) -> Result<String, GlobalConfError> {
        url::Url::parse(directory_url)
            .and_then(|base| base.join(&self.location))
            .map(String::from)
            .map_err(|_| GlobalConfError::InvalidAddress(self.location.clone()))
    }
}
