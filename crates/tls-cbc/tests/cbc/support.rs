use std::sync::{Arc, LazyLock};

use aes::cipher::{BlockEncryptMut, KeyIvInit};
use causeway_tls_cbc::{is_cbc, provider_with_cbc};
use rcgen::{CertificateParams, KeyPair};
use ring::hmac;
use rsa::pkcs8::EncodePrivateKey as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage,
};
use rustls::crypto::{CryptoProvider, ring as ring_provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CipherSuite, ClientConfig, ContentType, DigitallySignedStruct, DistinguishedName, Error,
    ProtocolVersion, ServerConfig, SignatureScheme, SupportedCipherSuite, Tls12CipherSuite,
};

pub(crate) const KEY: [u8; 32] = counted(0);
pub(crate) const MAC_KEY: [u8; 48] = counted(64);

/// Octets that count up from `first`.
pub(crate) const fn counted<const N: usize>(first: u8) -> [u8; N] {
    let mut octets = [0; N];
    let mut at = 0;
    while at < N {
        octets[at] = first + at as u8;
        at += 1;
    }
    octets
}

/// Neither all alike nor secret.
pub(crate) fn data(len: usize) -> Vec<u8> {
    (0..len).map(|at| (7 * at + 3) as u8).collect()
}

pub(crate) fn suite(name: CipherSuite) -> &'static Tls12CipherSuite {
    let provider = provider_with_cbc(ring_provider::default_provider());
    let found = provider.cipher_suites.iter().find(|suite| suite.suite() == name);
    match found {
        Some(SupportedCipherSuite::Tls12(suite)) => suite,
        _ => panic!("{name:?} is not there"),
    }
}

pub(crate) fn rsa_suite() -> &'static Tls12CipherSuite {
    suite(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384)
}

pub(crate) fn decrypter() -> Box<dyn MessageDecrypter> {
    rsa_suite().aead_alg.decrypter(AeadKey::from(KEY), &MAC_KEY)
}

pub(crate) fn encrypter() -> Box<dyn MessageEncrypter> {
    rsa_suite().aead_alg.encrypter(AeadKey::from(KEY), &MAC_KEY, &[])
}

/// Opens what stands in a record of application data.
pub(crate) fn open(seq: u64, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let mut payload = payload.to_vec();
    let message = InboundOpaqueMessage::new(
        ContentType::ApplicationData,
        ProtocolVersion::TLSv1_2,
        &mut payload,
    );
    decrypter().decrypt(message, seq).map(|plain| plain.payload.to_vec())
}

/// What a record with `data` has on the wire behind its header.
pub(crate) fn sealed(seq: u64, data: &[u8]) -> Vec<u8> {
    let message = OutboundPlainMessage {
        typ: ContentType::ApplicationData,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::from(data),
    };
    encrypter().encrypt(message, seq).unwrap().payload.as_ref().to_vec()
}

/// The MAC over application data, by *ring*.
pub(crate) fn mac(seq: u64, data: &[u8]) -> Vec<u8> {
    let mut context =
        hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA384, MAC_KEY.as_slice()));
    context.update(&seq.to_be_bytes());
    context.update(&[23, 3, 3]);
    context.update(&(data.len() as u16).to_be_bytes());
    context.update(data);
    context.sign().as_ref().to_vec()
}

/// `plain`, some whole blocks with whatever in them, encrypted.
pub(crate) fn enciphered(plain: &[u8]) -> Vec<u8> {
    let iv: [u8; 16] = counted(200);
    let mut blocks: Vec<aes::Block> =
        plain.chunks_exact(16).map(aes::Block::clone_from_slice).collect();
    cbc::Encryptor::<aes::Aes256>::new(&KEY.into(), &iv.into()).encrypt_blocks_mut(&mut blocks);
    iv.into_iter().chain(blocks.into_iter().flatten()).collect()
}

/// Every count of padding octets that a record of `len` octets may have, without the octet that says it.
pub(crate) fn paddings(len: usize) -> impl Iterator<Item = u8> {
    (0..=255).filter(move |padding| (len + 48 + usize::from(*padding) + 1).is_multiple_of(16))
}

/// Data, its MAC and so much padding, not yet encrypted.
pub(crate) fn plain(seq: u64, data: &[u8], padding: u8) -> Vec<u8> {
    let mut plain = [data, &mac(seq, data)].concat();
    plain.resize(plain.len() + usize::from(padding) + 1, padding);
    plain
}

pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
    /// The suite of this crate that goes with the key.
    pub(crate) suite: CipherSuite,
    /// The same, named by `openssl`.
    pub(crate) openssl_suite: &'static str,
}

impl Identity {
    fn new(key: &KeyPair, suite: CipherSuite, openssl_suite: &'static str) -> Self {
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            suite,
            openssl_suite,
        }
    }
}

/// One with an RSA and one with an ECDSA key.
pub(crate) static IDENTITIES: LazyLock<[Identity; 2]> = LazyLock::new(|| {
    let rsa = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let rsa = KeyPair::try_from(rsa.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    [
        Identity::new(
            &rsa,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384,
            "ECDHE-RSA-AES256-SHA384",
        ),
        Identity::new(
            &KeyPair::generate().unwrap(),
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384,
            "ECDHE-ECDSA-AES256-SHA384",
        ),
    ]
});

/// The provider as Causeway would use it.
pub(crate) fn with_cbc() -> CryptoProvider {
    provider_with_cbc(ring_provider::default_provider())
}

/// A peer that has the CBC suites alone.
pub(crate) fn cbc_alone() -> CryptoProvider {
    let mut provider = with_cbc();
    provider.cipher_suites.retain(|suite| is_cbc(suite.suite()));
    provider
}

pub(crate) fn client_config(provider: CryptoProvider, identity: &Identity) -> ClientConfig {
    let versions = versions(&provider);
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyPeer))
        .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())
        .unwrap()
}

pub(crate) fn server_config(provider: CryptoProvider, identity: &Identity) -> ServerConfig {
    let versions = versions(&provider);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(Arc::new(AnyPeer))
        .with_single_cert(vec![identity.certificate.clone()], identity.key.clone_key())
        .unwrap();
    config.ignore_client_order = true;
    config
}

static TLS12_ALONE: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

fn versions(provider: &CryptoProvider) -> &'static [&'static rustls::SupportedProtocolVersion] {
    let tls13 = provider.cipher_suites.iter().any(|suite| suite.tls13().is_some());
    if tls13 { rustls::ALL_VERSIONS } else { TLS12_ALONE }
}

/// Any certificate will do, but the peer must have its key.
#[derive(Debug)]
struct AnyPeer;

fn verify(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    tls13: bool,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = ring_provider::default_provider().signature_verification_algorithms;
    if tls13 {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    } else {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }
}

fn schemes() -> Vec<SignatureScheme> {
    ring_provider::default_provider().signature_verification_algorithms.supported_schemes()
}

impl ServerCertVerifier for AnyPeer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, certificate, signature, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, certificate, signature, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ClientCertVerifier for AnyPeer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, certificate, signature, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, certificate, signature, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}
