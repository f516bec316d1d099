//! HMAC-SHA384 over data whose length is a secret (RFC 2104, FIPS 180-4).
//!
//! After decryption of a CBC record the length of its data follows from the
//! padding, which is not authenticated yet. A MAC that takes one compression
//! more for long data than for short tells the padding to whoever has a clock
//! (Lucky Thirteen). Here the compressions and the bytes that are touched
//! follow from the public bounds of that length alone: every block that could
//! be the last is built and hashed, and the state after the right one is
//! picked with masks.

use sha2::compress512;
use sha2::digest::consts::U128;
use sha2::digest::generic_array::GenericArray;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Octets of the MAC and of its key.
pub(crate) const MAC_LEN: usize = 48;

/// Octets that precede the data under the MAC: sequence number, type, version, length (RFC 5246, 6.2.3.1).
pub(crate) const HEADER_LEN: usize = 13;

/// Octets that one compression takes; 2 to the power of [`BLOCK_BITS`].
const BLOCK: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: usize = 7;

/// Octets of the message's length in bits, the end of the last block.
const LENGTH_LEN: usize = 16;

/// Where SHA-384 begins (FIPS 180-4, 5.3.4).
const INITIAL: [u64; 8] = [
    0xcbbb_9d5d_c105_9ed8,
    0x629a_292a_367c_d507,
    0x9159_015a_3070_dd17,
    0x152f_ecd8_f70e_5939,
    0x6733_2667_ffc0_0b31,
    0x8eb4_4a87_6858_1511,
    0xdb0c_2e0d_64f9_8fa7,
    0x47b5_481d_befa_4fa4,
];

type Block = GenericArray<u8, U128>;

/// A MAC key as the two states that remain of it: after the inner and after the outer key block.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct MacKey {
    inner: [u64; 8],
    outer: [u64; 8],
}

impl MacKey {
    pub(crate) fn new(key: &[u8; MAC_LEN]) -> Self {
        Self { inner: after_key(key, 0x36), outer: after_key(key, 0x5c) }
    }

    /// The MAC of `header` and of the first `len` octets of `data`.
    ///
    /// `len` is secret; that it lies between `least` and `data.len()` is
    /// public, as are these two. Outside of these bounds the result is no MAC
    /// of anything.
    pub(crate) fn sign(
        &self,
        header: &[u8; HEADER_LEN],
        data: &[u8],
        least: usize,
        len: u32,
    ) -> [u8; MAC_LEN] {
        let inner = self.inner_state(header, data, least, len);

        let mut last = Block::default();
        write_digest(&mut last, &inner);
        last[MAC_LEN] = 0x80;
        write_bits(&mut last, (BLOCK + MAC_LEN) as u64);
        let mut outer = self.outer;
        compress(&mut outer, &last);

        let mut mac = [0; MAC_LEN];
        write_digest(&mut mac, &outer);
        mac
    }

    fn inner_state(
        &self,
        header: &[u8; HEADER_LEN],
        data: &[u8],
        least: usize,
        len: u32,
    ) -> [u64; 8] {
        // Up to here the blocks are full of data whatever the secret is.
        let open = (HEADER_LEN + least) >> BLOCK_BITS;
        let mut state = self.inner;
        for index in 0..open {
            compress(&mut state, &block_at(header, data, index));
        }

        let end = HEADER_LEN as u32 + len;
        let last = (end + LENGTH_LEN as u32) >> BLOCK_BITS;
        let mut bits = [0; LENGTH_LEN];
        write_bits(&mut bits, BLOCK as u64 + u64::from(end));

        let mut digest = [0; 8];
        let mut past_end = Choice::from(0);
        for index in open..=(HEADER_LEN + data.len() + LENGTH_LEN) >> BLOCK_BITS {
            let mut block = block_at(header, data, index);
            for (offset, byte) in block.iter_mut().enumerate() {
                let is_end = ((index * BLOCK + offset) as u32).ct_eq(&end);
                byte.conditional_assign(&0, past_end);
                byte.conditional_assign(&0x80, is_end);
                past_end |= is_end;
            }
            let is_last = (index as u32).ct_eq(&last);
            for (byte, length) in block[BLOCK - LENGTH_LEN..].iter_mut().zip(bits) {
                *byte |= u8::conditional_select(&0, &length, is_last);
            }
            compress(&mut state, &block);
            for (kept, now) in digest.iter_mut().zip(&state) {
                u64::conditional_assign(kept, now, is_last);
            }
        }
        digest
    }
}

/// The state after the key, filled up with zeros and xored with `pad`, is hashed.
fn after_key(key: &[u8; MAC_LEN], pad: u8) -> [u64; 8] {
    let mut block = Zeroizing::new([pad; BLOCK]);
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
    let mut state = INITIAL;
    let mut copy = Block::clone_from_slice(&*block);
    compress(&mut state, &copy);
    copy.zeroize();
    state
}

/// The block `index` of header and data, zeros behind their end.
fn block_at(header: &[u8; HEADER_LEN], data: &[u8], index: usize) -> Block {
    let mut block = Block::default();
    let from = index * BLOCK;
    if from == 0 {
        let (head, rest) = block.split_at_mut(HEADER_LEN);
        head.copy_from_slice(header);
        copy_start(rest, data);
    } else {
        copy_start(&mut block, data.get(from - HEADER_LEN..).unwrap_or_default());
    }
    block
}

fn copy_start(to: &mut [u8], from: &[u8]) {
    let len = to.len().min(from.len());
    to[..len].copy_from_slice(&from[..len]);
}

/// The first six words, as much as `to` takes of them.
fn write_digest(to: &mut [u8], state: &[u64; 8]) {
    for (bytes, word) in to[..MAC_LEN].chunks_exact_mut(8).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}

/// The length of a message of so many `octets`, in bits, at the end of `to`.
fn write_bits(to: &mut [u8], octets: u64) {
    let at = to.len() - 8;
    to[at..].copy_from_slice(&(octets << 3).to_be_bytes());
}

fn compress(state: &mut [u64; 8], block: &Block) {
    #[cfg(test)]
    tests::COMPRESSIONS.with(|count| count.set(count.get() + 1));
    compress512(state, std::slice::from_ref(block));
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        pub(super) static COMPRESSIONS: Cell<usize> = const { Cell::new(0) };
    }

    const HEADER: [u8; HEADER_LEN] = *b"header of 13.";

    fn expected(key: &[u8; MAC_LEN], data: &[u8]) -> Vec<u8> {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA384, key);
        let mut context = ring::hmac::Context::with_key(&key);
        context.update(&HEADER);
        context.update(data);
        context.sign().as_ref().to_vec()
    }

    #[test]
    fn every_length_gives_the_mac_that_ring_gives() {
        let key = std::array::from_fn(|at| at as u8 ^ 0xa5);
        let mac = MacKey::new(&key);
        let data: Vec<u8> = (0..700).map(|at| (at * 7) as u8).collect();
        for most in 0..data.len() {
            let least = most.saturating_sub(255);
            // All lengths where blocks begin and end, some elsewhere.
            for len in (least..=most).filter(|len| most % 64 < 2 || len % 37 == 0 || *len == most) {
                assert_eq!(
                    mac.sign(&HEADER, &data[..most], least, len as u32)[..],
                    expected(&key, &data[..len])[..],
                    "{len} of {least} to {most}"
                );
            }
        }
    }

    #[test]
    fn compressions_do_not_tell_the_length() {
        let mac = MacKey::new(&[7; MAC_LEN]);
        let data = vec![1; 16384 + 255];
        for most in [15, 127, 128, 256, 300, 1000, 16384, 16384 + 255] {
            let least = most - most.min(255);
            let mut counts: Vec<usize> = (least..=most)
                .map(|len| {
                    COMPRESSIONS.set(0);
                    mac.sign(&HEADER, &data[..most], least, len as u32);
                    COMPRESSIONS.get()
                })
                .collect();
            counts.dedup();
            assert_eq!(counts.len(), 1, "up to {most}: {counts:?}");
        }
    }
}
