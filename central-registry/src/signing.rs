//! The keys that sign the configuration, and their self-signed certificates.

use std::fmt;
use std::sync::Arc;

use causeway_keys::{KeyId, KeysError, Pin, PinPolicy, PinSource, SoftwareToken, Usage};
use causeway_pki::issue::CertificateTemplate;
use causeway_pki::{Certificate, KeyUsage, PkiError, SigningKey, name};
use ring::rand::{SecureRandom as _, SystemRandom};
use time::{Duration, OffsetDateTime};

use crate::config::Config;
use crate::records::{CertificateRecord, ConfigurationKind, Key, SigningKeyRecord, State};
use crate::registry::RegistryError;
use crate::store::Change;

/// How long a signing certificate is valid. Nobody judges it: trust comes with the anchor.
const CERTIFICATE_YEARS: i64 = 20;

/// A key that signs, with the certificate by which others verify.
#[derive(Clone)]
pub struct Signer {
    /// The key.
    pub key: Arc<dyn SigningKey>,
    /// Its certificate.
    pub certificate: Certificate,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.certificate.subject_rfc2253())
    }
}

impl Signer {
    /// Gives a key a self-signed certificate.
    ///
    /// # Errors
    /// When the key refuses to sign.
    pub fn self_signed(
        key: Arc<dyn SigningKey>,
        subject: &str,
        now: OffsetDateTime,
    ) -> Result<Self, PkiError> {
        let mut serial = [0; 16];
        SystemRandom::new()
            .fill(&mut serial)
            .map_err(|_| PkiError::SigningFailed("no randomness".into()))?;
        serial[0] &= 0x7f;
        let subject = name::encode(&[("CN", subject)])?;
        let mut template = CertificateTemplate::new(
            subject,
            key.certificate_public_key(),
            &serial,
            now - Duration::days(1),
            now + Duration::days(365 * CERTIFICATE_YEARS),
        );
        template.key_usage = Some(KeyUsage::DIGITAL_SIGNATURE);
        let certificate = template.self_sign(&*key)?;
        Ok(Self { key, certificate })
    }
}

/// The active key of each kind.
#[derive(Debug, Clone)]
pub struct Signers {
    /// Signs the internal configuration.
    pub internal: Signer,
    /// Signs the external configuration.
    pub external: Signer,
}

impl Signers {
    /// The signer of a kind.
    pub fn of(&self, kind: ConfigurationKind) -> &Signer {
        match kind {
            ConfigurationKind::Internal => &self.internal,
            ConfigurationKind::External => &self.external,
        }
    }
}

/// Opens the token of a configuration, or makes it.
pub(crate) fn open_token(config: &Config) -> Result<SoftwareToken, RegistryError> {
    let folder = config.token_folder();
    match SoftwareToken::open(&folder) {
        Ok(token) => {
            token.unlock(&Pin::read(&config.pin)?)?;
            Ok(token)
        }
        Err(KeysError::NoToken(_)) => {
            let pin = Pin::read(&config.pin)?;
            PinPolicy::default().check(&pin)?;
            let token = SoftwareToken::create(&folder, &pin)?;
            if matches!(config.pin, PinSource::Prompt(_)) {
                // A mistyped PIN would lock the new keys away for ever.
                token.lock();
                let again = Pin::read(&PinSource::Prompt("The same PIN again: ".into()));
                if let Err(e) = again.and_then(|again| token.unlock(&again)) {
                    std::fs::remove_dir_all(&folder)
                        .map_err(|io| RegistryError::disk(&folder, &io))?;
                    return Err(e.into());
                }
            }
            Ok(token)
        }
        Err(e) => Err(e.into()),
    }
}

/// The changes that bring in signers from outside, in place of all others.
pub(crate) fn adopt(state: &State, signers: &Signers) -> Result<Vec<Change>, RegistryError> {
    let mut changes: Vec<Change> = state
        .signing_keys
        .keys()
        .map(|id| Change::Delete(Key::Signer(id.clone()).to_bytes()))
        .collect();
    for kind in ConfigurationKind::ALL {
        let certificate = &signers.of(kind).certificate;
        let id = hex::encode(certificate.sha256());
        changes.push(record(&id, kind, certificate, true)?);
    }
    Ok(changes)
}

/// The change that records a key of the token.
pub(crate) fn record(
    id: &str,
    kind: ConfigurationKind,
    certificate: &Certificate,
    active: bool,
) -> Result<Change, RegistryError> {
    let certificate = CertificateRecord(certificate.into());
    let value = serde_json::to_vec(&SigningKeyRecord { kind, certificate, active })
        .map_err(|e| RegistryError::Corrupt(e.to_string()))?;
    Ok(Change::Put(Key::Signer(id.to_owned()).to_bytes(), value))
}

/// Makes a key of the configured kind in the token, with its certificate.
pub(crate) fn generate(
    token: &SoftwareToken,
    config: &Config,
    kind: ConfigurationKind,
    now: OffsetDateTime,
) -> Result<(KeyId, Signer), RegistryError> {
    let label = format!("{} configuration of {}", kind.name(), config.instance);
    let id = token.generate_key(config.key_kind, &label, Usage::Signing)?;
    let subject = format!("{} configuration signing key", kind.name());
    let signer = Signer::self_signed(Arc::new(token.key(&id)?), &subject, now)?;
    Ok((id, signer))
}

/// The active signers that the records name, from the token.
pub(crate) fn active(state: &State, token: &SoftwareToken) -> Result<Signers, RegistryError> {
    let of = |kind: ConfigurationKind| -> Result<Signer, RegistryError> {
        let (id, record) = state
            .signing_keys
            .iter()
            .find(|(_, record)| record.kind == kind && record.active)
            .ok_or_else(|| {
                RegistryError::Corrupt(format!("no active {} signing key", kind.name()))
            })?;
        let id: KeyId = id.parse()?;
        let key = Arc::new(token.key(&id)?);
        Ok(Signer { key, certificate: record.certificate.0.read()? })
    };
    Ok(Signers {
        internal: of(ConfigurationKind::Internal)?,
        external: of(ConfigurationKind::External)?,
    })
}
