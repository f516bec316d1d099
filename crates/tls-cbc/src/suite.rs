//! The two suites as rustls wants them: its AEAD interface with a MAC key where the nonce would be.
//!
//! rustls cuts the key block for AEAD suites (`tls12::make_cipher_pair`):
//!
//! ```text
//! client key, server key, client nonce, server nonce      rustls
//! client MAC, server MAC, client key, server key          RFC 5246, 6.3
//! ```
//!
//! It has no place for MAC keys, but the nonce may be of any length and the
//! key block comes from the suite's own pseudorandom function, which is told
//! what it is for. [`Reordered`] computes the 160 octets of the RFC and
//! swaps their halves; each direction then gets its key as key and its MAC
//! key as nonce.

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, KeyBlockShape, MessageDecrypter,
    MessageEncrypter, OutboundOpaqueMessage, OutboundPlainMessage, Tls12AeadAlgorithm,
    UnsupportedOperationError,
};
use rustls::crypto::ring::cipher_suite;
use rustls::crypto::tls12::Prf;
use rustls::crypto::{ActiveKeyExchange, KeyExchangeAlgorithm};
use rustls::{
    CipherSuite, CipherSuiteCommon, ConnectionTrafficSecrets, Error, SupportedCipherSuite,
    Tls12CipherSuite,
};
use zeroize::Zeroizing;

use crate::mac::MAC_LEN;
use crate::record::{Decrypter, Encrypter, KEY_LEN};

/// In the order in which they are offered.
pub(crate) static SUITES: [SupportedCipherSuite; 2] = [
    SupportedCipherSuite::Tls12(&ECDHE_ECDSA_AES256_SHA384),
    SupportedCipherSuite::Tls12(&ECDHE_RSA_AES256_SHA384),
];

static ECDHE_ECDSA_AES256_SHA384: Tls12CipherSuite = suite(
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384,
    gcm(&cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
);

static ECDHE_RSA_AES256_SHA384: Tls12CipherSuite = suite(
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384,
    gcm(&cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
);

/// 2^23 full records are 2^33 blocks under one key: two of them are alike with a probability of 2^-62.
const MAX_RECORDS: u64 = 1 << 23;

/// Everything but the cipher and the name is as in the suite with GCM.
const fn suite(name: CipherSuite, gcm: &Tls12CipherSuite) -> Tls12CipherSuite {
    Tls12CipherSuite {
        common: CipherSuiteCommon {
            suite: name,
            hash_provider: gcm.common.hash_provider,
            confidentiality_limit: MAX_RECORDS,
        },
        kx: KeyExchangeAlgorithm::ECDHE,
        sign: gcm.sign,
        aead_alg: &AesCbcHmac,
        prf_provider: &Reordered,
    }
}

/// Evaluated at compile time only.
const fn gcm(suite: &SupportedCipherSuite) -> &'static Tls12CipherSuite {
    match suite {
        SupportedCipherSuite::Tls12(suite) => suite,
        SupportedCipherSuite::Tls13(_) => unreachable!(),
    }
}

/// The pseudorandom function with SHA-384 whose key block has its halves swapped.
struct Reordered;

static PRF_SHA384: &Tls12CipherSuite = gcm(&cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384);

impl Prf for Reordered {
    fn for_key_exchange(
        &self,
        output: &mut [u8; 48],
        kx: Box<dyn ActiveKeyExchange>,
        peer_pub_key: &[u8],
        label: &[u8],
        seed: &[u8],
    ) -> Result<(), Error> {
        PRF_SHA384.prf_provider.for_key_exchange(output, kx, peer_pub_key, label, seed)
    }

    fn for_secret(&self, output: &mut [u8], secret: &[u8], label: &[u8], seed: &[u8]) {
        let prf = PRF_SHA384.prf_provider;
        if label != b"key expansion" || output.len() != 2 * (MAC_LEN + KEY_LEN) {
            return prf.for_secret(output, secret, label, seed);
        }
        let mut key_block = Zeroizing::new([0; 2 * (MAC_LEN + KEY_LEN)]);
        prf.for_secret(&mut *key_block, secret, label, seed);
        let (mac_keys, keys) = key_block.split_at(2 * MAC_LEN);
        let (keys_out, mac_keys_out) = output.split_at_mut(2 * KEY_LEN);
        keys_out.copy_from_slice(keys);
        mac_keys_out.copy_from_slice(mac_keys);
    }
}

/// AES-256-CBC and HMAC-SHA384, the MAC key where an AEAD has its fixed nonce.
struct AesCbcHmac;

impl Tls12AeadAlgorithm for AesCbcHmac {
    fn encrypter(&self, key: AeadKey, iv: &[u8], _: &[u8]) -> Box<dyn MessageEncrypter> {
        match keys(&key, iv) {
            Some((key, mac_key)) => Box::new(Encrypter::new(key, mac_key)),
            None => Box::new(Unusable),
        }
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        match keys(&key, iv) {
            Some((key, mac_key)) => Box::new(Decrypter::new(key, mac_key)),
            None => Box::new(Unusable),
        }
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        KeyBlockShape { enc_key_len: KEY_LEN, fixed_iv_len: MAC_LEN, explicit_nonce_len: 0 }
    }

    fn extract_keys(
        &self,
        _: AeadKey,
        _: &[u8],
        _: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

fn keys<'a>(key: &'a AeadKey, iv: &'a [u8]) -> Option<(&'a [u8; KEY_LEN], &'a [u8; MAC_LEN])> {
    Some((key.as_ref().try_into().ok()?, iv.try_into().ok()?))
}

/// Stands where keys are not of the length that [`Tls12AeadAlgorithm::key_block_shape`] asks for.
struct Unusable;

impl MessageEncrypter for Unusable {
    fn encrypt(
        &mut self,
        _: OutboundPlainMessage<'_>,
        _: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        Err(Error::EncryptError)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len
    }
}

impl MessageDecrypter for Unusable {
    fn decrypt<'a>(
        &mut self,
        _: InboundOpaqueMessage<'a>,
        _: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        Err(Error::DecryptError)
    }
}
