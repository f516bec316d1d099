use proptest::prelude::*;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, OutboundChunks, OutboundPlainMessage, Tls12AeadAlgorithm,
};
use rustls::{ContentType, Error, ProtocolVersion};

use crate::support::{
    counted, data, decrypter, enciphered, encrypter, mac, open, paddings, plain, rsa_suite, sealed,
};

/// Everything that can be wrong gives this.
const REFUSED: Result<Vec<u8>, Error> = Err(Error::DecryptError);

/// Sequence number, content type, octets of data (`data`), and the record behind its IV
/// `f0f1...ff`. Made with
///
/// ```text
/// printf header | cat - data | openssl dgst -sha384 -mac HMAC -macopt hexkey:40..6f -binary > mac
/// openssl enc -aes-256-cbc -nopad -K 00..1f -iv f0..ff    of data, mac and padding
/// ```
const VECTORS: [(u64, ContentType, usize, &str); 4] = [
    (
        0,
        ContentType::Handshake,
        0,
        "d9bae2ecd89caa5c7de0a2d9607698d89b8057e50526f194f5d91a9bcc627425\
         e4b9e80d2253ede1b0e999d7f04413537f5dcc74592d8f1caaecbd711896a261",
    ),
    (
        1,
        ContentType::ApplicationData,
        1,
        "5a53426454daa6b63b40f22a1190f16492ca8fbcc0cb05af278da1eeb8820863\
         a6004c1d8fee9c374b987c631a5f1dcf2963483a1a45b0c9a803be838af878d6\
         7306d7c83df87b7422cc5551200408e91789b1fb98c550124636366a4eb146f1\
         ebec64f9656aca512a52047e752108ed1d6d061979706c205e29f8643953898f\
         5c97ede8d99f4cc5c12cd9ad62082041f95c7f29370a76b39e3f2a4b95bdc768\
         717d2f3dda0b634eabb8f5717c9265bc0493d59390f2dc7a9d13c04b012fa23f\
         2f060382de5930bb46edc9c1c768ad6206c05a27bfe9e1954131c6482290c9ec\
         2332793762908990611285f9de9fd19b73ddc08c0afa561296e205f86d0f58be\
         91ee3995ff8a2f7b5cb22f8e01602e3719bb7e01f1ffbd238acf38d7a1c94706\
         72503245f3f1bb7b9f7cf110621dad0f",
    ),
    (
        2,
        ContentType::ApplicationData,
        16,
        "9bc5af02a51b5fc458a4423e83c18f18c590e2c8f55e7b3ac0a63b971006d49d\
         1dcb8c50957360fa54ef2c8185347b9646eea809ec65cae479a63a2590d1d42e\
         6686079939aabbdc8b855a749e326732a7c39453fce801218ff19d2b3f0ca0d6\
         d48506a5c4fe46cb6eb9da78e82fd6e581d1c952bf4baceae628f20029af58dd",
    ),
    (
        258,
        ContentType::Alert,
        64,
        "9bc5af02a51b5fc458a4423e83c18f184d25a5d1ab658c4bec672003e50ddf04\
         bc044be903c64a63693769470dd482b73736e60ae57832f9f2d38d35071585b6\
         085a4a8d0eca1d265f5b6a27e4dea21520c416634ce65dd19a682bbd9a2a10e8\
         bd8fdd971171c6d5ecff5f4b14dcd0b246b9e195efb25829cba759d60310cbae",
    ),
];

#[test]
fn records_made_with_the_openssl_command_open() {
    for (seq, typ, len, record) in VECTORS {
        let iv: [u8; 16] = std::array::from_fn(|at| 0xf0 + at as u8);
        let mut payload = [&iv[..], &hex::decode(record).unwrap()].concat();
        let message = InboundOpaqueMessage::new(typ, ProtocolVersion::TLSv1_2, &mut payload);
        let plain = decrypter().decrypt(message, seq).unwrap();
        assert_eq!((plain.typ, plain.payload), (typ, &data(len)[..]));
    }
}

#[test]
fn the_key_block_is_that_of_the_openssl_command_with_its_halves_swapped() {
    // openssl kdf -keylen 160 -kdfopt digest:SHA384 -kdfopt hexsecret:00..2f
    //     -kdfopt hexseed:('key expansion' 64..a3) TLS1-PRF
    let key_block = hex::decode(
        "1EF6CB01527C4D5A83D5DC42AFA62A9C27B940128AB240DA3008C18B191D6CB9\
         11854353158B4B09047F65222A9E79E2A9484D3FC2388FCEC5CD7A5CF1323E93\
         599425A430EC6306B0D1EECD182873C98062CD0234258245FB5E21A3A99809F7\
         A863F4F67FD12016B917EA76B72B0468F1F6DD8E2D1B45F35A87953C5BC76CE8\
         62BCCF1BC80138B3924D36444CD0B67C2B84606A3E307E86429332E00BC61DC1",
    )
    .unwrap();
    let shape = rsa_suite().aead_alg.key_block_shape();
    assert_eq!((shape.enc_key_len, shape.fixed_iv_len, shape.explicit_nonce_len), (32, 48, 0));
    let mut given = [0; 160];
    let (secret, seed) = (counted::<48>(0), counted::<64>(100));
    rsa_suite().prf_provider.for_secret(&mut given, &secret, b"key expansion", &seed);
    assert_eq!(given[..64], key_block[96..], "client key, server key");
    assert_eq!(given[64..], key_block[..96], "client MAC, server MAC");
}

#[test]
fn what_is_written_opens_and_is_as_long_as_announced() {
    for len in (0..600).chain(16300..=16384) {
        let record = sealed(9, &data(len));
        assert_eq!(record.len(), encrypter().encrypted_payload_len(len));
        assert_eq!(open(9, &record), Ok(data(len)));
    }
}

#[test]
fn data_in_chunks_is_data() {
    let chunks: [&[u8]; 4] = [b"", b"data ", b"in ", b"chunks"];
    let message = OutboundPlainMessage {
        typ: ContentType::ApplicationData,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::new(&chunks),
    };
    let record = encrypter().encrypt(message, 3).unwrap();
    assert_eq!(open(3, record.payload.as_ref()), Ok(b"data in chunks".to_vec()));
}

#[test]
fn each_record_has_an_iv_of_its_own() {
    let mut ivs: Vec<_> = (0..1000).map(|_| sealed(0, b"same")[..16].to_vec()).collect();
    ivs.sort();
    ivs.dedup();
    assert_eq!(ivs.len(), 1000);
}

#[test]
fn every_padding_that_fits_is_good() {
    for len in (0..70).chain([200, 255, 256, 300, 16383, 16384]) {
        for padding in paddings(len) {
            let record = enciphered(&plain(5, &data(len), padding));
            assert_eq!(open(5, &record), Ok(data(len)), "{len} octets, padding {padding}");
        }
    }
}

#[test]
fn a_tampered_octet_anywhere_is_refused() {
    for (len, padding) in [(0, 15), (1, 14), (1, 254), (15, 0), (16, 255), (100, 11), (300, 3)] {
        let record = enciphered(&plain(1, &data(len), padding));
        assert_eq!(open(1, &record), Ok(data(len)));
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut tampered = record.clone();
                tampered[at] ^= 1 << bit;
                assert_eq!(open(1, &tampered), REFUSED, "{len} octets, octet {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn a_wrong_octet_of_padding_is_refused_though_the_mac_is_right() {
    for len in [0, 1, 15, 16, 200, 300] {
        for padding in paddings(len) {
            let good = plain(1, &data(len), padding);
            for at in len + 48..good.len() - 1 {
                for wrong in [good[at] ^ 1, good[at] ^ 0x80, 0, 255] {
                    let mut bad = good.clone();
                    bad[at] = wrong;
                    let expected = if bad == good { Ok(data(len)) } else { REFUSED };
                    assert_eq!(open(1, &enciphered(&bad)), expected, "{len}, {padding}, {at}");
                }
            }
        }
    }
}

#[test]
fn every_wrong_length_of_padding_is_refused() {
    for len in [0, 1, 15, 16, 47, 48, 255, 256, 300] {
        for padding in paddings(len) {
            let good = plain(1, &data(len), padding);
            for wrong in (0..=255).filter(|wrong| *wrong != padding) {
                // The length alone, then with as many octets that agree with it.
                let mut bad = good.clone();
                *bad.last_mut().unwrap() = wrong;
                assert_eq!(open(1, &enciphered(&bad)), REFUSED, "{len}, {padding}, {wrong}");
                let from = bad.len().saturating_sub(usize::from(wrong) + 1);
                bad[from..].fill(wrong);
                assert_eq!(open(1, &enciphered(&bad)), REFUSED, "{len}, {padding}, {wrong}");
            }
        }
    }
}

#[test]
fn a_wrong_mac_is_refused_though_the_padding_is_right() {
    for len in [0, 1, 16, 100, 300] {
        for padding in paddings(len) {
            let good = plain(1, &data(len), padding);
            for at in len..len + 48 {
                let mut bad = good.clone();
                bad[at] ^= 1;
                assert_eq!(open(1, &enciphered(&bad)), REFUSED, "{len}, {padding}, {at}");
            }
        }
    }
}

#[test]
fn short_odd_and_long_records_are_refused() {
    for len in 0..200 {
        assert_eq!(open(0, &vec![15; len]), REFUSED);
        // Blocks that are all padding, and too much of it.
        if len % 16 == 0 {
            for value in 0..=255 {
                assert_eq!(open(0, &enciphered(&vec![value; len])), REFUSED);
            }
        }
    }
    let record = sealed(0, &data(100));
    for cut in 1..record.len() {
        assert_eq!(open(0, &record[..record.len() - cut]), REFUSED);
        assert_eq!(open(0, &record[cut..]), REFUSED);
    }
    // Padding that is right, but in no block.
    let without_padding = enciphered(&[data(16), mac(0, &data(16))].concat());
    for padding in 0..15 {
        let tail = vec![padding; usize::from(padding) + 1];
        assert_eq!(open(0, &[&without_padding[..], &tail].concat()), REFUSED);
    }
    for len in [16384 + 2048 - 1, 16384 + 2048, 16384 + 2048 + 16, 65536] {
        assert_eq!(open(0, &vec![0; len]), REFUSED);
    }
}

#[test]
fn more_data_than_a_record_may_carry_is_refused_and_not_written() {
    for len in [16385, 16400, 16640, 18300] {
        let padding = paddings(len).next().unwrap();
        assert_eq!(open(0, &enciphered(&plain(0, &data(len), padding))), REFUSED, "{len}");
        let data = data(len);
        let message = OutboundPlainMessage {
            typ: ContentType::ApplicationData,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::from(&data[..]),
        };
        assert_eq!(encrypter().encrypt(message, 0).unwrap_err(), Error::EncryptError);
    }
}

#[test]
fn another_place_type_version_or_key_is_refused() {
    let record = sealed(7, b"data");
    let opened = |seq, typ, version, key, mac_key: &[u8]| {
        let mut payload = record.clone();
        let message = InboundOpaqueMessage::new(typ, version, &mut payload);
        let algorithm: &dyn Tls12AeadAlgorithm = rsa_suite().aead_alg;
        let mut decrypter = algorithm.decrypter(AeadKey::from(key), mac_key);
        decrypter.decrypt(message, seq).map(|plain| plain.payload.to_vec())
    };
    let (key, mac_key) = (counted(0), counted::<48>(64));
    let (typ, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
    assert_eq!(opened(7, typ, version, key, &mac_key), Ok(b"data".to_vec()));
    assert_eq!(opened(6, typ, version, key, &mac_key), REFUSED);
    assert_eq!(opened(u64::MAX, typ, version, key, &mac_key), REFUSED);
    assert_eq!(opened(7, ContentType::Handshake, version, key, &mac_key), REFUSED);
    assert_eq!(opened(7, typ, ProtocolVersion::TLSv1_1, key, &mac_key), REFUSED);
    assert_eq!(opened(7, typ, version, counted(1), &mac_key), REFUSED);
    assert_eq!(opened(7, typ, version, key, &counted::<48>(65)), REFUSED);
    assert_eq!(opened(7, typ, version, key, &counted::<12>(64)), REFUSED, "no such MAC key");
}

/// What RFC 5246 says, without a thought for clocks.
fn opened_plainly(seq: u64, plain: &[u8]) -> Result<Vec<u8>, Error> {
    let padding = usize::from(*plain.last().ok_or(Error::DecryptError)?);
    let len = plain.len().checked_sub(padding + 1 + 48).ok_or(Error::DecryptError)?;
    let (data, rest) = plain.split_at(len);
    let good = rest[..48] == mac(seq, data)[..]
        && rest[48..].iter().all(|octet| usize::from(*octet) == padding)
        && len <= 16384;
    if good { Ok(data.to_vec()) } else { REFUSED }
}

proptest! {
    #[test]
    fn what_is_written_opens(seq: u64, data in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(open(seq, &sealed(seq, &data)), Ok(data));
    }

    #[test]
    fn what_is_opened_is_what_the_rfc_says(
        seq: u64,
        data in prop::collection::vec(any::<u8>(), 0..600),
        padding: u8,
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut plain = plain(seq, &data, padding);
        plain.truncate(plain.len() / 16 * 16);
        if let Some((at, value)) = change {
            let at = at.index(plain.len());
            plain[at] = value;
        }
        prop_assert_eq!(open(seq, &enciphered(&plain)), opened_plainly(seq, &plain));
    }

    #[test]
    fn anything_else_is_refused(seq: u64, record in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(open(seq, &record), REFUSED);
    }
}
