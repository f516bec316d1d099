use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_identifiers::ClientId;
use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::issue::{CertificateRequest, CertificateTemplate, SubjectAltName, eku};
use causeway_pki::ocsp::CertStatus;
use causeway_pki::profile::CertificateProfile;
use causeway_pki::{BasicConstraints, Certificate, KeyUsage, SigningKey, name};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::TrustServicesError;
use crate::register::{Issued, Register};
use crate::store::Store;

/// Longest validity that is issued.
const MAX_VALIDITY: Duration = Duration::days(40 * 365);

/// Certificates are valid from a little before they are issued: clocks of others may be behind.
const BACKDATE: Duration = Duration::minutes(5);

/// What the certificate authority is to be.
#[derive(Debug, Clone)]
pub struct AuthorityOptions {
    /// Organization in the names of the authority.
    pub organization: String,
    /// Common name of the root; the intermediate authority's has ` Intermediate` added.
    pub common_name: String,
    /// Kind of the keys.
    pub key: KeyKind,
    /// Validity of the root; the intermediate authority's is the same.
    pub validity: Duration,
    /// Whether an intermediate authority issues instead of the root.
    pub intermediate: bool,
    /// The certificate profile that subjects of signing certificates must follow; none: any subject.
    pub profile: Option<CertificateProfile>,
}

impl AuthorityOptions {
    /// A root with a P-256 key for twenty years, without intermediate authority or profile.
    pub fn new(organization: &str, common_name: &str) -> Self {
        Self {
            organization: organization.into(),
            common_name: common_name.into(),
            key: KeyKind::EcP256,
            validity: Duration::days(20 * 365),
            intermediate: false,
            profile: None,
        }
    }
}

/// Which of the authorities: the root, or the intermediate one below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The root.
    Root,
    /// The intermediate authority.
    Intermediate,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A member signs messages: key usage nonRepudiation.
    Signing,
    /// A security server's TLS: key usage digitalSignature, keyEncipherment and dataEncipherment, extended
    /// key usage clientAuth and serverAuth.
    Authentication,
    /// OCSP responses of this authority: extended key usage OCSPSigning, no revocation check.
    OcspResponder,
    /// Timestamps: extended key usage timeStamping, critical.
    Timestamping,
    /// The intermediate authority itself.
    Authority,
}

/// What to issue, beside what the request says.
#[derive(Debug, Clone)]
pub struct Order {
    /// What the certificate is for.
    pub purpose: Purpose,
    /// How long it is valid from now; at most as long as the authority itself.
    pub validity: Duration,
    /// URL of the OCSP responder to be written into the certificate.
    pub ocsp_url: Option<String>,
}

impl Order {
    /// An order for ten years, without OCSP URL.
    pub fn new(purpose: Purpose) -> Self {
        Self { purpose, validity: Duration::days(3650), ocsp_url: None }
    }

    /// Sets the validity.
    pub fn valid_for(mut self, validity: Duration) -> Self {
        self.validity = validity;
        self
    }

    /// Sets the OCSP responder's URL.
    pub fn ocsp_url(mut self, url: &str) -> Self {
        self.ocsp_url = Some(url.into());
        self
    }
}

pub(crate) struct Signer {
    pub(crate) key: KeyPair,
    pub(crate) certificate: Certificate,
}

/// A certification authority: a root, perhaps an intermediate authority below it, and a register of what
/// they have issued. Safe to share; one lock guards the register.
pub struct CertificationAuthority {
    root: Signer,
    intermediate: Option<Signer>,
    profile: Option<CertificateProfile>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    register: Register,
    store: Option<Store>,
}

impl CertificationAuthority {
    /// Makes a new authority, in memory; see [`Self::persist`].
    ///
    /// # Errors
    /// When keys cannot be made or the names cannot be encoded.
    pub fn create(
        options: &AuthorityOptions,
        now: OffsetDateTime,
    ) -> Result<Self, TrustServicesError> {
        let end = now + options.validity.min(MAX_VALIDITY);
        let authority = |key: &KeyPair, common_name: &str, path_len| {
            let subject =
                name::encode(&[("O", options.organization.as_str()), ("CN", common_name)])?;
            let public_key = key.certificate_public_key();
            let serial = random_serial()?;
            let mut template =
                CertificateTemplate::new(subject, public_key, &serial, now - BACKDATE, end);
            template.basic_constraints = Some(BasicConstraints { ca: true, path_len });
            template.key_usage = Some(KeyUsage::KEY_CERT_SIGN.with(KeyUsage::CRL_SIGN));
            Ok::<_, TrustServicesError>(template)
        };
        let key = KeyPair::generate(options.key)?;
        let path_len = if options.intermediate { 1 } else { 0 };
        let template = authority(&key, &options.common_name, Some(path_len))?;
        let root = Signer { certificate: template.self_sign(&key)?, key };
        let mut register = Register::default();
        let mut intermediate = None;
        if options.intermediate {
            let key = KeyPair::generate(options.key)?;
            let common_name = format!("{} Intermediate", options.common_name);
            let template = authority(&key, &common_name, Some(0))?;
            let certificate = template.issue(&root.key, &root.certificate)?;
            register.add(Issued {
                certificate: certificate.clone(),
                level: Level::Root,
                purpose: Purpose::Authority,
                revoked: None,
            });
            intermediate = Some(Signer { key, certificate });
        }
        let state = Mutex::new(State { register, store: None });
        Ok(Self { root, intermediate, profile: options.profile, state })
    }

    /// Reads an authority back from the folder that [`Self::persist`] was given.
    ///
    /// # Errors
    /// When a file is missing or does not hold what it should.
    pub fn from_state(folder: &Path) -> Result<Self, TrustServicesError> {
        let (store, contents) = Store::open(folder)?;
        let state = Mutex::new(State { register: contents.register, store: Some(store) });
        Ok(Self {
            root: contents.root,
            intermediate: contents.intermediate,
            profile: contents.profile,
            state,
        })
    }

    /// Writes the authority into a folder, which it makes if need be and which must not hold an authority
    /// yet; from now on everything issued or revoked is on disk before it is told.
    ///
    /// # Errors
    /// When the folder holds an authority already, or cannot be written.
    pub fn persist(&self, folder: &Path) -> Result<(), TrustServicesError> {
        let mut state = self.lock();
        let intermediate = self.intermediate.as_ref();
        let store = Store::create(folder, &self.root, intermediate, self.profile, &state.register)?;
        state.store = Some(store);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The root's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.root.certificate
    }

    /// The intermediate authority's certificate.
    pub fn intermediate(&self) -> Option<&Certificate> {
        self.intermediate.as_ref().map(|signer| &signer.certificate)
    }

    /// The certificate of the authority that issues to members: the intermediate one if there is one.
    pub fn issuer(&self) -> &Certificate {
        &self.signer(self.issuing_level()).certificate
    }

    /// The authorities, the root first.
    pub fn authorities(&self) -> impl Iterator<Item = (Level, &Certificate)> {
        let intermediate =
            self.intermediate().map(|certificate| (Level::Intermediate, certificate));
        std::iter::once((Level::Root, self.certificate())).chain(intermediate)
    }

    /// The authority that issues to members.
    pub fn issuing_level(&self) -> Level {
        if self.intermediate.is_some() { Level::Intermediate } else { Level::Root }
    }

    /// The authority's own key, for a responder that is the authority itself; the root's if there is no
    /// intermediate authority.
    pub fn key(&self, level: Level) -> Arc<dyn SigningKey> {
        Arc::new(self.signer(level).key.clone())
    }

    fn signer(&self, level: Level) -> &Signer {
        match (level, &self.intermediate) {
            (Level::Intermediate, Some(signer)) => signer,
            _ => &self.root,
        }
    }

    /// The profile that subjects of signing certificates must follow.
    pub fn profile(&self) -> Option<CertificateProfile> {
        self.profile
    }

    /// Issues a certificate for a verified request: subject, key and, for authentication certificates,
    /// alternative names are the request's, all else is the authority's decision.
    ///
    /// # Errors
    /// [`TrustServicesError::Refused`] when the subject does not follow the profile or the order makes no
    /// sense, else what fails.
    pub fn issue(
        &self,
        request: &CertificateRequest,
        order: &Order,
        now: OffsetDateTime,
    ) -> Result<Certificate, TrustServicesError> {
        self.issue_for(
            request.subject_der().to_vec(),
            request.public_key().spki(),
            request.subject_alt_names(),
            order,
            now,
        )
    }

    /// Issues a certificate for a key of which the caller knows that its owner holds it, without a request:
    /// for the services of this crate.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub fn issue_to_key(
        &self,
        common_name: &str,
        public_key: &[u8],
        order: &Order,
        now: OffsetDateTime,
    ) -> Result<Certificate, TrustServicesError> {
        let subject = name::encode(&[("CN", common_name)])?;
        self.issue_for(subject, public_key, &[], order, now)
    }

    fn issue_for(
        &self,
        subject: Vec<u8>,
        public_key: &[u8],
        alt_names: &[SubjectAltName],
        order: &Order,
        now: OffsetDateTime,
    ) -> Result<Certificate, TrustServicesError> {
        let level = self.issuing_level();
        let authority = self.signer(level);
        if order.validity <= Duration::ZERO {
            return Err(TrustServicesError::Refused("validity is not positive".into()));
        }
        let end = (now + order.validity.min(MAX_VALIDITY)).min(authority.certificate.not_after());
        let mut template =
            CertificateTemplate::new(subject, public_key, &random_serial()?, now - BACKDATE, end);
        template.basic_constraints = Some(BasicConstraints { ca: false, path_len: None });
        template.ocsp_url.clone_from(&order.ocsp_url);
        apply(order.purpose, alt_names, &mut template)?;
        let certificate = template.issue(&authority.key, &authority.certificate)?;
        if order.purpose == Purpose::Signing {
            self.check_profile(&certificate)?;
        }
        let issued = Issued {
            certificate: certificate.clone(),
            level,
            purpose: order.purpose,
            revoked: None,
        };
        let mut state = self.lock();
        if let Some(store) = &mut state.store {
            store.record_issued(&issued)?;
        }
        state.register.add(issued);
        Ok(certificate)
    }

    /// A member must be readable from the subject. The instance does not matter here: profiles that do not
    /// write it take it from the one who asks.
    fn check_profile(&self, certificate: &Certificate) -> Result<(), TrustServicesError> {
        let Some(profile) = self.profile else { return Ok(()) };
        let anyone = ClientId::parse("ANY/ANY/ANY")
            .map_err(|error| TrustServicesError::Refused(error.to_string()))?;
        match profile.member(certificate, &anyone) {
            Ok(_) => Ok(()),
            Err(error) => Err(TrustServicesError::Refused(error.to_string())),
        }
    }

    /// Revokes a certificate; a second revocation changes nothing.
    ///
    /// # Errors
    /// [`TrustServicesError::UnknownCertificate`] when the authority has not issued it, else when the
    /// register cannot be written.
    pub fn revoke(
        &self,
        certificate: &Certificate,
        at: OffsetDateTime,
    ) -> Result<(), TrustServicesError> {
        let serial = certificate.serial_bytes();
        let unknown = || TrustServicesError::UnknownCertificate(certificate.serial_decimal());
        let mut state = self.lock();
        let level = self
            .authorities()
            .map(|(level, _)| level)
            .find(|level| {
                let issued = state.register.find(*level, serial);
                issued.is_some_and(|issued| issued.certificate == *certificate)
            })
            .ok_or_else(unknown)?;
        if let Some(store) = &mut state.store {
            store.record_revoked(level, serial, at)?;
        }
        state.register.revoke(level, serial, at);
        Ok(())
    }

    /// What the register says about a serial number (content octets) of one of the authorities.
    pub fn status(&self, level: Level, serial: &[u8]) -> CertStatus {
        self.lock().register.status(level, serial)
    }

    /// All that was issued, in no order.
    pub fn issued(&self) -> Vec<Issued> {
        self.lock().register.all().cloned().collect()
    }
}

impl std::fmt::Debug for CertificationAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificationAuthority")
            .field("root", &self.root.certificate.subject_rfc2253())
            .field("intermediate", &self.intermediate().map(Certificate::subject_rfc2253))
            .finish_non_exhaustive()
    }
}

fn apply(
    purpose: Purpose,
    alt_names: &[SubjectAltName],
    template: &mut CertificateTemplate,
) -> Result<(), TrustServicesError> {
    let (key_usage, usages): (_, &[&str]) = match purpose {
        Purpose::Signing => (KeyUsage::NON_REPUDIATION, &[]),
        Purpose::Authentication => {
            template.subject_alt_names = alt_names.to_vec();
            let usage = KeyUsage::DIGITAL_SIGNATURE
                .with(KeyUsage::KEY_ENCIPHERMENT)
                .with(KeyUsage::DATA_ENCIPHERMENT);
            (usage, &[eku::CLIENT_AUTH, eku::SERVER_AUTH])
        }
        Purpose::OcspResponder => {
            template.ocsp_no_check = true;
            (KeyUsage::DIGITAL_SIGNATURE, &[eku::OCSP_SIGNING])
        }
        Purpose::Timestamping => {
            template.extended_key_usage_critical = true;
            (KeyUsage::DIGITAL_SIGNATURE, &[eku::TIME_STAMPING])
        }
        Purpose::Authority => {
            let why = "authorities are made with the root, not on request";
            return Err(TrustServicesError::Refused(why.into()));
        }
    };
    template.key_usage = Some(key_usage);
    template.extended_key_usage = usages.iter().map(|usage| (*usage).to_owned()).collect();
    Ok(())
}

/// 127 random bits, never zero: unique without counting.
pub(crate) fn random_serial() -> Result<[u8; 16], TrustServicesError> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| TrustServicesError::NoRandomness)?;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(serial)
}
