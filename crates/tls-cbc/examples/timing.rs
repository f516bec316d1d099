//! Does the time that a record takes tell what is wrong with it?
//!
//! ```text
//! cargo run --release -p causeway-tls-cbc --example timing [measurements for each comparison]
//! ```
//!
//! In the manner of dudect: records of two classes, all of one length, are
//! decrypted in random order; Welch's t-test says whether the two means
//! differ by more than chance, over all measurements and over those below
//! several percentiles, as interruptions make the slow ones meaningless.
//! |t| above 4.5 asks for a closer look, above 10 it is a leak. The last
//! comparison, with code that takes no care, shows what a leak looks like.
//!
//! With `instructions CLASS` it decrypts records of this class alone, to be
//! counted by `valgrind --tool=callgrind --toggle-collect='*Decrypter*decrypt*'`:
//! the counts of the classes should be equal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::time::Instant;

use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use causeway_tls_cbc::{is_cbc, provider_with_cbc};
use ring::hmac;
use rustls::crypto::cipher::{AeadKey, InboundOpaqueMessage, MessageDecrypter};
use rustls::{ContentType, ProtocolVersion, SupportedCipherSuite};

const KEY: [u8; 32] = [1; 32];
const MAC_KEY: [u8; 48] = [2; 48];

/// Records of each class, so that none is known by heart.
const POOL: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    /// One octet of padding, all good.
    ShortGood,
    /// The same, with a wrong MAC.
    ShortBadMac,
    /// 256 octets of padding, all good.
    LongGood,
    /// The same, with a wrong MAC.
    LongBadMac,
    /// 256 octets of padding, the first of them wrong.
    LongBadPadding,
    /// Nothing but random octets.
    Random,
}

const CLASSES: [Class; 6] = [
    Class::ShortGood,
    Class::ShortBadMac,
    Class::LongGood,
    Class::LongBadMac,
    Class::LongBadPadding,
    Class::Random,
];

struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 24) as u8).collect()
    }
}

fn mac(data: &[u8]) -> hmac::Tag {
    let mut context =
        hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA384, MAC_KEY.as_slice()));
    context.update(&[0, 0, 0, 0, 0, 0, 0, 0, 23, 3, 3]);
    context.update(&(data.len() as u16).to_be_bytes());
    context.update(data);
    context.sign()
}

/// A record with `fragment` octets behind its IV.
fn record(class: Class, fragment: usize, random: &mut Xorshift) -> Vec<u8> {
    let padding = match class {
        Class::ShortGood | Class::ShortBadMac | Class::Random => 0,
        Class::LongGood | Class::LongBadMac | Class::LongBadPadding => 255,
    };
    let len = fragment - 48 - 1 - padding;
    let mut plain = random.octets(len);
    plain.extend(mac(&plain).as_ref());
    plain.resize(fragment, padding as u8);
    match class {
        Class::ShortGood | Class::LongGood => {}
        Class::ShortBadMac | Class::LongBadMac => plain[len] ^= 1,
        Class::LongBadPadding => plain[len + 48] ^= 1,
        Class::Random => plain = random.octets(fragment),
    }
    let iv: [u8; 16] = random.octets(16).try_into().unwrap();
    let mut blocks: Vec<aes::Block> =
        plain.chunks_exact(16).map(aes::Block::clone_from_slice).collect();
    cbc::Encryptor::<aes::Aes256>::new(&KEY.into(), &iv.into()).encrypt_blocks_mut(&mut blocks);
    iv.into_iter().chain(blocks.into_iter().flatten()).collect()
}

fn decrypter() -> Box<dyn MessageDecrypter> {
    let provider = provider_with_cbc(rustls::crypto::ring::default_provider());
    let found = provider.cipher_suites.iter().find(|suite| is_cbc(suite.suite()));
    let Some(SupportedCipherSuite::Tls12(suite)) = found else { panic!("no suite") };
    suite.aead_alg.decrypter(AeadKey::from(KEY), &MAC_KEY)
}

/// As Causeway does it.
fn careful(decrypter: &mut dyn MessageDecrypter, record: &mut [u8]) -> bool {
    let message =
        InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, record);
    decrypter.decrypt(message, 0).is_ok()
}

/// As one would write it from RFC 5246.
fn careless(_: &mut dyn MessageDecrypter, record: &mut [u8]) -> bool {
    let (iv, fragment) = record.split_at_mut(16);
    let iv: [u8; 16] = (&*iv).try_into().unwrap();
    let mut cipher = cbc::Decryptor::<aes::Aes256>::new(&KEY.into(), &iv.into());
    for block in fragment.chunks_exact_mut(16) {
        cipher.decrypt_block_mut(aes::Block::from_mut_slice(block));
    }
    let padding = usize::from(fragment[fragment.len() - 1]);
    let Some(len) = fragment.len().checked_sub(padding + 1 + 48) else { return false };
    fragment[len + 48..].iter().all(|octet| usize::from(*octet) == padding)
        && mac(&fragment[..len]).as_ref() == &fragment[len..len + 48]
}

type Open = fn(&mut dyn MessageDecrypter, &mut [u8]) -> bool;

/// Nanoseconds of each measurement, by class.
fn measure(open: Open, classes: [Class; 2], fragment: usize, count: usize) -> [Vec<f64>; 2] {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let pools = classes
        .map(|class| (0..POOL).map(|_| record(class, fragment, &mut random)).collect::<Vec<_>>());
    let mut decrypter = decrypter();
    let mut times = [Vec::with_capacity(count), Vec::with_capacity(count)];
    let mut buffer = vec![0; fragment + 16];
    for _ in 0..count {
        let choice = random.next() >> 16;
        let class = (choice & 1) as usize;
        buffer.copy_from_slice(&pools[class][(choice >> 1) as usize % POOL]);
        let start = Instant::now();
        let opened = open(&mut *decrypter, black_box(&mut buffer));
        let time = start.elapsed();
        assert_eq!(opened, matches!(classes[class], Class::ShortGood | Class::LongGood));
        times[class].push(time.as_nanos() as f64);
    }
    times
}

fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    (mean, squares / (count - 1.0))
}

/// Welch's t and both means.
fn welch(times: &[Vec<f64>; 2]) -> (f64, [f64; 2]) {
    let [a, b] = [&times[0], &times[1]].map(|times| mean_and_variance(times));
    let error = (a.1 / times[0].len() as f64 + b.1 / times[1].len() as f64).sqrt();
    ((a.0 - b.0) / error, [a.0, b.0])
}

fn compare(open: Open, classes: [Class; 2], fragment: usize, count: usize) {
    let times = measure(open, classes, fragment, count);
    let mut all = times.concat();
    all.sort_by(f64::total_cmp);
    println!("{:?} and {:?}, {fragment} octets:", classes[0], classes[1]);
    for percentile in [100, 99, 95, 90, 75, 50] {
        let limit = all[(all.len() - 1) * percentile / 100];
        let cropped = [&times[0], &times[1]]
            .map(|times| times.iter().copied().filter(|time| *time <= limit).collect());
        let (t, means) = welch(&cropped);
        println!(
            "  up to percentile {percentile:3}: t {t:8.2}, {:.1} ns and {:.1} ns",
            means[0], means[1]
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, class] = &arguments[..] {
        assert_eq!(word, "instructions");
        let class = CLASSES.into_iter().find(|known| format!("{known:?}") == *class).unwrap();
        let mut random = Xorshift(1);
        let mut decrypter = decrypter();
        for fragment in (320..2000).step_by(16) {
            black_box(careful(&mut *decrypter, &mut record(class, fragment, &mut random)));
        }
        return;
    }
    let count = arguments.first().map_or(1_000_000, |count| count.parse().unwrap());
    for fragment in [320, 1024] {
        compare(careful, [Class::ShortGood, Class::LongBadMac], fragment, count);
        compare(careful, [Class::ShortGood, Class::LongGood], fragment, count);
        compare(careful, [Class::ShortBadMac, Class::LongBadMac], fragment, count);
        compare(careful, [Class::ShortBadMac, Class::LongBadPadding], fragment, count);
        compare(careful, [Class::ShortBadMac, Class::Random], fragment, count);
    }
    println!("For comparison, without care:");
    compare(careless, [Class::ShortBadMac, Class::LongBadMac], 320, count.min(100_000));
}
