//! Decrypts hostile records: as they come, and such that decrypt to what the fuzzer chose, with or without a good
//! MAC. Nothing panics, and the outcome is that of code written plainly from RFC 5246.
#![no_main]

use std::sync::LazyLock;

use aes::cipher::{BlockEncryptMut, KeyIvInit};
use causeway_tls_cbc::{is_cbc, provider_with_cbc};
use libfuzzer_sys::fuzz_target;
use ring::hmac;
use rustls::crypto::cipher::{AeadKey, InboundOpaqueMessage};
use rustls::{ContentType, Error, ProtocolVersion, SupportedCipherSuite, Tls12CipherSuite};

const KEY: [u8; 32] = [1; 32];
const MAC_KEY: [u8; 48] = [2; 48];

static SUITE: LazyLock<&Tls12CipherSuite> = LazyLock::new(|| {
    let provider = provider_with_cbc(rustls::crypto::ring::default_provider());
    let found = provider.cipher_suites.iter().find(|suite| is_cbc(suite.suite()));
    let Some(SupportedCipherSuite::Tls12(suite)) = found else { unreachable!("it was added") };
    suite
});

fn open(seq: u64, record: &[u8]) -> Result<Vec<u8>, Error> {
    let mut record = record.to_vec();
    let message = InboundOpaqueMessage::new(
        ContentType::ApplicationData,
        ProtocolVersion::TLSv1_2,
        &mut record,
    );
    let mut decrypter = SUITE.aead_alg.decrypter(AeadKey::from(KEY), &MAC_KEY);
    decrypter.decrypt(message, seq).map(|plain| plain.payload.to_vec())
}

fn mac(seq: u64, data: &[u8]) -> hmac::Tag {
    let mut context =
        hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA384, MAC_KEY.as_slice()));
    context.update(&seq.to_be_bytes());
    context.update(&[23, 3, 3]);
    context.update(&(data.len() as u16).to_be_bytes());
    context.update(data);
    context.sign()
}

/// Octets of data, if there is room for the MAC and the padding that the last octet announces.
fn data_len(plain: &[u8]) -> Option<usize> {
    plain.len().checked_sub(usize::from(*plain.last()?) + 1 + 48)
}

fn opened_plainly(seq: u64, plain: &[u8]) -> Option<Vec<u8>> {
    let (data, rest) = plain.split_at(data_len(plain)?);
    let (found, padding) = rest.split_at(48);
    let good = found == mac(seq, data).as_ref()
        && padding.iter().all(|octet| Some(octet) == plain.last())
        && data.len() <= 1 << 14
        && plain.len() + 16 <= (1 << 14) + 2048;
    good.then(|| data.to_vec())
}

/// Encrypts `plain`, whole blocks, and opens it again.
fn check(seq: u64, plain: &[u8]) {
    let iv = [3; 16];
    let mut blocks: Vec<aes::Block> =
        plain.chunks_exact(16).map(aes::Block::clone_from_slice).collect();
    cbc::Encryptor::<aes::Aes256>::new(&KEY.into(), &iv.into()).encrypt_blocks_mut(&mut blocks);
    let record: Vec<u8> = iv.into_iter().chain(blocks.into_iter().flatten()).collect();
    assert_eq!(open(seq, &record), opened_plainly(seq, plain).ok_or(Error::DecryptError));
}

/// Sequence number, padding, an octet to change (counted from the end) and how, octets.
type Input<'a> = (u64, u8, Option<(u16, u8)>, &'a [u8]);

fuzz_target!(|input: Input<'_>| {
    let (seq, padding, change, octets) = input;
    assert_eq!(open(seq, octets), Err(Error::DecryptError));
    check(seq, &octets[..octets.len() / 16 * 16]);

    // Less data, so that it ends with a block.
    let excess = (octets.len() + 48 + usize::from(padding) + 1) % 16;
    let data = &octets[..octets.len().saturating_sub(excess)];
    let mut plain = [data, mac(seq, data).as_ref()].concat();
    plain.resize(plain.len() + usize::from(padding) + 1, padding);
    if let Some((at, how)) = change {
        let at = plain.len() - 1 - usize::from(at) % plain.len();
        plain[at] ^= how;
    }
    plain.truncate(plain.len() / 16 * 16);
    check(seq, &plain);
});
