//! TLS at the server's edges.
//!
//! - Between security servers: mutual, TLS 1.3 or 1.2 with AEAD suites (and,
//!   for instances that the operator names, CBC suites). The
//!   handshake proves possession of keys and that the client's certificate is
//!   registered for some security server; whether it is the right one, and
//!   good by OCSP, is judged with each message ([`crate::verification`]),
//!   when it is known for whom the peer speaks.
//! - Towards information systems: the server shows its internal certificate
//!   and asks for the client's, which is compared with those that the member
//!   has configured.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use causeway_globalconf::GlobalConf;
use causeway_pki::Certificate;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig,
    SignatureScheme,
};

/// A TLS configuration that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsError(String);

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self(error.to_string())
    }
}

/// A certificate with its chain and private key, to be shown to TLS peers.
pub struct Identity {
    /// Leaf first, without the root.
    pub chain: Vec<Certificate>,
    /// PKCS#8.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Identity {
    fn der_chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn peer_provider(cbc: bool) -> Arc<CryptoProvider> {
    let base = rustls::crypto::ring::default_provider();
    Arc::new(if cbc { causeway_tls_cbc::provider_with_cbc(base) } else { base })
}

/// Who may use a CBC suite towards this server: the servers of some instances.
#[derive(Debug, Clone)]
pub struct CbcGate {
    /// Tells whose a certificate is.
    pub conf: Arc<ArcSwapOption<GlobalConf>>,
    /// The instances.
    pub instances: Vec<String>,
}

impl CbcGate {
    /// Whether the server that showed these certificates may.
    pub fn admits(&self, shown: &[Certificate]) -> bool {
        let conf = self.conf.load();
        let server = shown.first().zip(conf.as_deref());
        let server = server.and_then(|(leaf, conf)| conf.server_by_auth_certificate(leaf));
        server
            .is_some_and(|server| self.instances.iter().any(|i| i == server.id.owner().instance()))
    }
}

/// What connections to other security servers are opened with.
#[derive(Debug)]
pub struct OutgoingTls {
    usual: Arc<ClientConfig>,
    /// With CBC suites, for the servers of some instances.
    lenient: Option<(Vec<String>, Arc<ClientConfig>)>,
}

impl OutgoingTls {
    /// With CBC suites for these instances alone.
    ///
    /// # Errors
    /// When key and certificate do not fit together.
    pub fn new(identity: &Identity, cbc_instances: &[String]) -> Result<Self, TlsError> {
        let usual = Arc::new(for_outgoing_peers(identity, false)?);
        let lenient = match cbc_instances {
            [] => None,
            some => Some((some.to_vec(), Arc::new(for_outgoing_peers(identity, true)?))),
        };
        Ok(Self { usual, lenient })
    }

    /// For the servers of this instance.
    pub fn towards(&self, instance: &str) -> &Arc<ClientConfig> {
        match &self.lenient {
            Some((instances, config)) if instances.iter().any(|i| i == instance) => config,
            _ => &self.usual,
        }
    }
}

/// For the listener on which other security servers send their messages; with `cbc`, the suites of
/// servers left at their default are taken where there is nothing better.
///
/// # Errors
/// When key and certificate do not fit together.
pub fn for_incoming_peers(
    identity: &Identity,
    conf: Arc<ArcSwapOption<GlobalConf>>,
    cbc: bool,
) -> Result<ServerConfig, TlsError> {
    let provider = peer_provider(cbc);
    let verifier =
        Arc::new(RegisteredServer { conf, algorithms: provider.signature_verification_algorithms });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.der_chain(), identity.key.clone_key())?;
    config.send_tls13_tickets = 1;
    // Else a client that names a CBC suite first would get it.
    config.ignore_client_order = true;
    Ok(config)
}

fn for_outgoing_peers(identity: &Identity, cbc: bool) -> Result<ClientConfig, TlsError> {
    let provider = peer_provider(cbc);
    let verifier = Arc::new(JudgedLater(provider.signature_verification_algorithms));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(identity.der_chain(), identity.key.clone_key())?;
    Ok(config)
}

/// For the HTTPS listener towards information systems: any client certificate, or none, passes the handshake.
///
/// # Errors
/// When key and certificate do not fit together.
pub fn for_information_systems(identity: &Identity) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let verifier = Arc::new(AnyClient(provider.signature_verification_algorithms));
    Ok(ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.der_chain(), identity.key.clone_key())?)
}

/// For calls to a provider's information system over HTTPS. With `pinned`,
/// its certificate must be one of these; without, any certificate passes, as
/// the operator chose for that service.
///
/// # Errors
/// When the internal key and certificate do not fit together.
pub fn for_services(
    identity: Option<&Identity>,
    pinned: Option<Vec<Certificate>>,
) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let verifier: Arc<dyn ServerCertVerifier> = match pinned {
        Some(certificates) => Arc::new(Pinned { certificates, algorithms }),
        None => Arc::new(JudgedLater(algorithms)),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match identity {
        Some(identity) => {
            builder.with_client_auth_cert(identity.der_chain(), identity.key.clone_key())?
        }
        None => builder.with_no_client_auth(),
    })
}

/// The certificates that a TLS peer showed, leaf first; those that cannot be read end the list.
pub fn shown(certificates: Option<&[CertificateDer<'_>]>) -> Vec<Certificate> {
    certificates
        .unwrap_or_default()
        .iter()
        .take(10)
        .map_while(|der| Certificate::from_der(der).ok())
        .collect()
}

macro_rules! proves_possession {
    ($($algorithms:tt)+) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls12_signature(message, cert, dss, &self.$($algorithms)+)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, cert, dss, &self.$($algorithms)+)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$($algorithms)+.supported_schemes()
        }
    };
}

/// Passes clients whose certificate is registered for a security server (X-Road `AuthTrustManager`).
struct RegisteredServer {
    conf: Arc<ArcSwapOption<GlobalConf>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for RegisteredServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegisteredServer")
    }
}

impl ClientCertVerifier for RegisteredServer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let certificate = Certificate::from_der(end_entity)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let registered = self
            .conf
            .load()
            .as_ref()
            .is_some_and(|conf| conf.server_by_auth_certificate(&certificate).is_some());
        if registered {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    proves_possession!(algorithms);
}

/// Passes every server that proves possession of its key; its certificate is judged by the caller.
#[derive(Debug)]
struct JudgedLater(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for JudgedLater {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    proves_possession!(0);
}

/// Passes the servers whose certificate is one of those configured, byte for byte.
#[derive(Debug)]
struct Pinned {
    certificates: Vec<Certificate>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.iter().any(|c| c.der() == end_entity.as_ref()) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    proves_possession!(algorithms);
}

/// Passes every client, with a certificate or without.
#[derive(Debug)]
struct AnyClient(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    proves_possession!(0);
}
