//! The trust services of the ecosystem: a certification authority with its OCSP responder, and a
//! timestamping authority, each on an address of its own.

use std::path::Path;
use std::sync::Arc;

use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::issue::CertificateRequest;
use causeway_pki::profile::CertificateProfile;
use causeway_pki::{Certificate, SigningKey as _};
use causeway_trust_services::{
    AuthorityOptions, CertificationAuthority, FaultSwitch, ListenSwitch, OcspResponder, Order,
    Purpose, Services, TimestampingAuthority, TrustServicesError, serve,
};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::folder;
use crate::SandboxError;
use crate::addresses::Addresses;

/// How the authority's subjects name members.
pub(crate) const PROFILE: CertificateProfile = CertificateProfile::FiVrk;
/// The authority's name in the registry.
pub(crate) const CA_NAME: &str = "Sandbox CA";
/// The timestamping authority's name in the registry.
pub(crate) const TSA_NAME: &str = "Sandbox TSA";

const PART: &str = "trust services";

/// The trust services, and their switches.
#[derive(Debug)]
pub struct Authorities {
    ca: Arc<CertificationAuthority>,
    ocsp: Arc<OcspResponder>,
    tsa: Arc<TimestampingAuthority>,
    ca_listening: ListenSwitch,
    tsa_listening: ListenSwitch,
    ocsp_url: String,
    tsa_url: String,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Authorities {
    /// Makes the authorities, or reads them from their folder, and starts them.
    pub(crate) async fn start(folder: &Path, addresses: Addresses) -> Result<Self, SandboxError> {
        let Made { ca, ocsp, tsa } = Made::open(folder)?;
        let (stop, _) = watch::channel(false);
        let mut authorities = Self {
            ca,
            ocsp: Arc::new(ocsp),
            tsa: Arc::new(tsa),
            ca_listening: ListenSwitch::new(),
            tsa_listening: ListenSwitch::new(),
            ocsp_url: format!("http://{}/", addresses.ca()),
            tsa_url: format!("http://{}/", addresses.tsa()),
            stop,
            tasks: Vec::new(),
        };
        let services = Services {
            ocsp: Some(Arc::clone(&authorities.ocsp)),
            listening: authorities.ca_listening.clone(),
            ..Services::default()
        };
        authorities.serve(addresses.ca(), services).await?;
        let services = Services {
            tsa: Some(Arc::clone(&authorities.tsa)),
            listening: authorities.tsa_listening.clone(),
            ..Services::default()
        };
        authorities.serve(addresses.tsa(), services).await?;
        Ok(authorities)
    }

    async fn serve(
        &mut self,
        address: std::net::SocketAddr,
        services: Services,
    ) -> Result<(), SandboxError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| SandboxError::NoAddress { address, error })?;
        let mut stop = self.stop.subscribe();
        self.tasks.push(tokio::spawn(async move {
            let stopped = async move {
                // An error means that the ecosystem is gone.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            if let Err(error) = serve(listener, services, stopped).await {
                tracing::error!(%error, "a trust service ended");
            }
        }));
        Ok(())
    }

    /// Issues a certificate for a request.
    pub(crate) fn issue(
        &self,
        request: &[u8],
        purpose: Purpose,
    ) -> Result<Certificate, SandboxError> {
        let request = CertificateRequest::parse(request).map_err(SandboxError::part(CA_NAME))?;
        let order = Order::new(purpose).ocsp_url(&self.ocsp_url);
        let now = OffsetDateTime::now_utc();
        self.ca.issue(&request, &order, now).map_err(SandboxError::part(CA_NAME))
    }

    /// The certification authority: what it issued can be revoked.
    pub fn ca(&self) -> &CertificationAuthority {
        &self.ca
    }

    /// The OCSP responder's certificate.
    pub fn ocsp_certificate(&self) -> &Certificate {
        self.ocsp.certificate()
    }

    /// The timestamping authority's certificate.
    pub fn tsa_certificate(&self) -> &Certificate {
        self.tsa.certificate()
    }

    /// Where the OCSP responder answers.
    pub fn ocsp_url(&self) -> &str {
        &self.ocsp_url
    }

    /// Where the timestamping authority answers.
    pub fn tsa_url(&self) -> &str {
        &self.tsa_url
    }

    /// Makes the OCSP responder misbehave: no answer, nonsense, delay.
    pub fn ocsp_faults(&self) -> &FaultSwitch {
        self.ocsp.faults()
    }

    /// Makes the timestamping authority misbehave: no answer, nonsense, delay.
    pub fn tsa_faults(&self) -> &FaultSwitch {
        self.tsa.faults()
    }

    /// Closes and opens the OCSP responder's socket.
    pub fn ocsp_listening(&self) -> &ListenSwitch {
        &self.ca_listening
    }

    /// Closes and opens the timestamping authority's socket.
    pub fn tsa_listening(&self) -> &ListenSwitch {
        &self.tsa_listening
    }

    pub(crate) async fn stop(&mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }
}

struct Made {
    ca: Arc<CertificationAuthority>,
    ocsp: OcspResponder,
    tsa: TimestampingAuthority,
}

impl Made {
    fn open(folder: &Path) -> Result<Self, SandboxError> {
        let now = OffsetDateTime::now_utc();
        let ca = Arc::new(authority(&folder.join("ca"), now).map_err(SandboxError::part(PART))?);
        let own = |name: &str, file: &str, purpose| own_key(&ca, folder, name, file, purpose, now);
        let (key, certificate) = own("Sandbox OCSP Responder", "ocsp", Purpose::OcspResponder)?;
        let ocsp = OcspResponder::new(Arc::clone(&ca), Arc::new(key), certificate)
            .map_err(SandboxError::part(PART))?;
        let (key, certificate) = own(TSA_NAME, "tsa", Purpose::Timestamping)?;
        let tsa = TimestampingAuthority::new(Arc::new(key), certificate)
            .map_err(SandboxError::part(PART))?;
        Ok(Self { ca, ocsp, tsa })
    }
}

fn authority(
    folder: &Path,
    now: OffsetDateTime,
) -> Result<CertificationAuthority, TrustServicesError> {
    if folder.join("authority.json").exists() {
        return CertificationAuthority::from_state(folder);
    }
    let mut options = AuthorityOptions::new("Sandbox Trust Services", CA_NAME);
    options.profile = Some(PROFILE);
    let ca = CertificationAuthority::create(&options, now)?;
    ca.persist(folder)?;
    Ok(ca)
}

/// The key and certificate of a service, from its files or made.
fn own_key(
    ca: &CertificationAuthority,
    folder: &Path,
    name: &str,
    file: &str,
    purpose: Purpose,
    now: OffsetDateTime,
) -> Result<(KeyPair, Certificate), SandboxError> {
    let (key_file, certificate_file) =
        (folder.join(format!("{file}.pkcs8")), folder.join(format!("{file}.pem")));
    if certificate_file.exists() {
        let key =
            KeyPair::from_pkcs8(&folder::read(&key_file)?).map_err(SandboxError::part(PART))?;
        let certificate = Certificate::from_der_or_pem(&folder::read(&certificate_file)?)
            .map_err(SandboxError::part(PART))?;
        return Ok((key, certificate));
    }
    let key = KeyPair::generate(KeyKind::EcP256).map_err(SandboxError::part(PART))?;
    let certificate = ca
        .issue_to_key(name, key.certificate_public_key(), &Order::new(purpose), now)
        .map_err(SandboxError::part(PART))?;
    folder::make(folder)?;
    folder::write_secret(&key_file, &key.to_pkcs8())?;
    folder::write_secret(&certificate_file, certificate.to_pem().as_bytes())?;
    Ok((key, certificate))
}
