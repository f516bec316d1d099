//! One TLS record in and out: MAC, then padding, then CBC (RFC 5246, 6.2.3.2).

use std::ops::Range;

use aes::cipher::inout::InOutBuf;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, InnerIvInit, KeyInit};
use aes::{Aes256Dec, Aes256Enc, Block};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::Error;
use rustls::crypto::cipher::{
    InboundOpaqueMessage, InboundPlainMessage, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, make_tls12_aad,
};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};

use crate::mac::{HEADER_LEN, MAC_LEN, MacKey};

/// Octets of a key for AES-256.
pub(crate) const KEY_LEN: usize = 32;

/// Octets of an AES block, and of the initialization vector before each record.
const BLOCK: usize = 16;

/// Octets of data that one record may carry (RFC 5246, 6.2.1).
const MAX_DATA: usize = 1 << 14;

/// Octets of a record as it is on the wire, without its header (RFC 5246, 6.2.3).
const MAX_CIPHERTEXT: usize = MAX_DATA + 2048;

/// Octets of padding behind the MAC at most, without the octet that says how many.
const MAX_PADDING: usize = 255;

/// Writes the records of one direction.
pub(crate) struct Encrypter {
    cipher: Aes256Enc,
    mac: MacKey,
    random: SystemRandom,
}

impl Encrypter {
    pub(crate) fn new(key: &[u8; KEY_LEN], mac_key: &[u8; MAC_LEN]) -> Self {
        Self {
            cipher: Aes256Enc::new(key.into()),
            mac: MacKey::new(mac_key),
            random: SystemRandom::new(),
        }
    }
}

impl MessageEncrypter for Encrypter {
    fn encrypt(
        &mut self,
        msg: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let len = msg.payload.len();
        if len > MAX_DATA {
            return Err(Error::EncryptError);
        }
        let mut iv = [0; BLOCK];
        self.random.fill(&mut iv).map_err(|_| Error::EncryptError)?;

        let mut payload = PrefixedPayload::with_capacity(self.encrypted_payload_len(len));
        payload.extend_from_slice(&iv);
        payload.extend_from_chunks(&msg.payload);
        let header = make_tls12_aad(seq, msg.typ, msg.version, len);
        let mac = self.mac.sign(&header, &payload.as_ref()[BLOCK..], len, len as u32);
        payload.extend_from_slice(&mac);
        let padding = padding_len(len);
        payload.extend_from_slice(&[padding as u8; BLOCK][..=padding]);

        let (blocks, _) = InOutBuf::from(&mut payload.as_mut()[BLOCK..]).into_chunks();
        cbc::Encryptor::inner_iv_init(&self.cipher, &iv.into()).encrypt_blocks_inout_mut(blocks);
        Ok(OutboundOpaqueMessage::new(msg.typ, msg.version, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        BLOCK + payload_len + MAC_LEN + padding_len(payload_len) + 1
    }
}

/// The least padding for `len` octets of data, 0 to 15, without the octet that says how many.
fn padding_len(len: usize) -> usize {
    BLOCK - 1 - (len + MAC_LEN) % BLOCK
}

/// Reads the records of one direction.
///
/// Whatever is wrong with a record, the error is [`Error::DecryptError`],
/// which rustls sends as `bad_record_mac`, and the way to it is the same for
/// all records of one length.
pub(crate) struct Decrypter {
    cipher: Aes256Dec,
    mac: MacKey,
}

impl Decrypter {
    pub(crate) fn new(key: &[u8; KEY_LEN], mac_key: &[u8; MAC_LEN]) -> Self {
        Self { cipher: Aes256Dec::new(key.into()), mac: MacKey::new(mac_key) }
    }

    /// Decrypts in place. Says where the data is, when record and MAC are good.
    fn open(
        &self,
        payload: &mut [u8],
        header: impl Fn(u32) -> [u8; HEADER_LEN],
    ) -> Option<Range<usize>> {
        if payload.len() > MAX_CIPHERTEXT || !payload.len().is_multiple_of(BLOCK) {
            return None;
        }
        let (iv, fragment) = payload.split_at_mut_checked(BLOCK)?;
        // At least the MAC and one octet of padding. From here on nothing but the record's length decides the way.
        let most = fragment.len().checked_sub(MAC_LEN + 1)?;
        let (blocks, _) = InOutBuf::from(&mut *fragment).into_chunks();
        cbc::Decryptor::inner_iv_init(&self.cipher, Block::from_slice(iv))
            .decrypt_blocks_inout_mut(blocks);

        let (padding, padding_is_good) = padding(fragment);
        let len = most as u32 - padding;
        let expected =
            self.mac.sign(&header(len), &fragment[..most], most.saturating_sub(MAX_PADDING), len);
        let mac_is_good = mac_at(fragment, len).ct_eq(&expected);

        // The only branch on a secret, and the last: this much the peer learns from the alert.
        let len = bool::from(padding_is_good & mac_is_good).then_some(len as usize)?;
        (len <= MAX_DATA).then_some(BLOCK..BLOCK + len)
    }
}

impl MessageDecrypter for Decrypter {
    fn decrypt<'a>(
        &mut self,
        mut msg: InboundOpaqueMessage<'a>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let (typ, version) = (msg.typ, msg.version);
        let header = |len| make_tls12_aad(seq, typ, version, len as usize);
        let data = self.open(&mut msg.payload, header).ok_or(Error::DecryptError)?;
        Ok(msg.into_plain_message_range(data))
    }
}

/// How many octets of padding stand before the last octet of `fragment`,
/// which says it, and whether all of them say the same. Bad padding counts as
/// none, so that there is data for the MAC to be wrong about.
///
/// `fragment` is at least a MAC and one octet long.
fn padding(fragment: &[u8]) -> (u32, Choice) {
    let padding = fragment.last().copied().unwrap_or_default();
    let room = (fragment.len() - MAC_LEN - 1) as u32;
    let mut good = !u32::from(padding).ct_gt(&room);
    let mut inside = Choice::from(1);
    for (at, byte) in fragment.iter().rev().take(1 + MAX_PADDING).enumerate() {
        good &= byte.ct_eq(&padding) | !inside;
        inside &= !(at as u8).ct_eq(&padding);
    }
    (u32::conditional_select(&0, &padding.into(), good), good)
}

/// The MAC that begins `len` octets into `fragment`; `len` is secret.
///
/// It is at most [`MAX_PADDING`] octets from the end of `fragment`. All of
/// what could be MAC is read; its octets end up in a ring, turned by an offset
/// that is as secret as `len` and is turned back bit by bit.
fn mac_at(fragment: &[u8], len: u32) -> [u8; MAC_LEN] {
    let first = fragment.len().saturating_sub(MAC_LEN + 1 + MAX_PADDING);
    let mut ring = [0; MAC_LEN];
    let mut turned = 0;
    let mut started = Choice::from(0);
    let mut ended = Choice::from(0);
    for (chunk_at, chunk) in fragment[first..].chunks(MAC_LEN).enumerate() {
        for (slot, (kept, byte)) in ring.iter_mut().zip(chunk).enumerate() {
            let at = (first + chunk_at * MAC_LEN + slot) as u32;
            let starts = at.ct_eq(&len);
            started |= starts;
            ended |= at.ct_eq(&(len + MAC_LEN as u32));
            *kept |= u8::conditional_select(&0, byte, started & !ended);
            turned.conditional_assign(&(slot as u8), starts);
        }
    }
    for bit in 0..6 {
        let whole: [u8; MAC_LEN] = ring;
        let turn = Choice::from(turned >> bit & 1);
        for (at, byte) in ring.iter_mut().enumerate() {
            byte.conditional_assign(&whole[(at + (1 << bit)) % MAC_LEN], turn);
        }
    }
    ring
}
