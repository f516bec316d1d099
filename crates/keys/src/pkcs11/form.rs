//! What goes into a PKCS#11 library and comes out of it, in the forms that the rest of the world uses.

use causeway_pki::DigestAlgorithm;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use cryptoki::session::Session;
use der::Encode as _;
use der::asn1::{AnyRef, OctetStringRef, UintRef};
use der::{Decode as _, Sequence};
use rsa::pkcs1::RsaPublicKey;

use crate::pair::{EC, P256, RSA, spki_of};
use crate::{KeyId, KeyKind};

/// DER of `DigestInfo` up to the digest (RFC 8017 9.2, note 1).
fn digest_info(digest: DigestAlgorithm) -> Option<&'static [u8]> {
    const HEAD: &[[u8; 19]] = &[
        [
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x05, 0x00, 0x04, 0x20,
        ],
        [
            0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x02, 0x05, 0x00, 0x04, 0x30,
        ],
        [
            0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x03, 0x05, 0x00, 0x04, 0x40,
        ],
    ];
    let which = match digest {
        DigestAlgorithm::Sha256 => 0,
        DigestAlgorithm::Sha384 => 1,
        DigestAlgorithm::Sha512 => 2,
        _ => return None,
    };
    HEAD.get(which).map(|head| head.as_slice())
}

/// The mechanism and the bytes to sign a message with: the digest is made here, since every library has these
/// mechanisms and not every one has those that digest. `None`: the key cannot sign with that digest.
pub(crate) fn to_sign(
    kind: KeyKind,
    digest: DigestAlgorithm,
    message: &[u8],
) -> Option<(Mechanism<'static>, Vec<u8>)> {
    let digested = digest.digest(message);
    if kind.modulus_bits().is_some() {
        let mut input = digest_info(digest)?.to_vec();
        input.extend_from_slice(&digested);
        return Some((Mechanism::RsaPkcs, input));
    }
    // As the software token: P-256 goes with SHA-256.
    (digest == DigestAlgorithm::Sha256).then_some((Mechanism::Ecdsa, digested))
}

#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// A signature as the library gives it, in the form that X.509 and TLS use: ECDSA as DER (RFC 3279 2.2.3).
pub(crate) fn signature(kind: KeyKind, raw: Vec<u8>) -> Option<Vec<u8>> {
    if kind.modulus_bits().is_some() {
        return Some(raw);
    }
    if raw.len() != 64 {
        return None;
    }
    let (r, s) = raw.split_at(32);
    EcdsaSignature { r: UintRef::new(r).ok()?, s: UintRef::new(s).ok()? }.to_der().ok()
}

/// A public key that a library shows.
pub(crate) struct Shown {
    pub(crate) kind: KeyKind,
    pub(crate) id: KeyId,
    pub(crate) spki: Vec<u8>,
}

/// The public half, read from a public key object (or an RSA private one, which has it too). `None`: of a kind that is
/// not used here.
pub(crate) fn public_key(
    session: &Session,
    object: ObjectHandle,
) -> Result<Option<Shown>, cryptoki::error::Error> {
    let wanted = [
        AttributeType::KeyType,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
        AttributeType::EcParams,
        AttributeType::EcPoint,
    ];
    let (mut kind, mut modulus, mut exponent, mut curve, mut point) = Default::default();
    for attribute in session.get_attributes(object, &wanted)? {
        match attribute {
            Attribute::KeyType(found) => kind = Some(found),
            Attribute::Modulus(bytes) => modulus = Some(bytes),
            Attribute::PublicExponent(bytes) => exponent = Some(bytes),
            Attribute::EcParams(bytes) => curve = Some(bytes),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            _ => {}
        }
    }
    Ok(match (kind, modulus, exponent, curve, point) {
        (Some(KeyType::RSA), Some(modulus), Some(exponent), ..) => rsa(&modulus, &exponent),
        (Some(KeyType::EC), _, _, Some(curve), Some(point)) => p256(&curve, &point),
        _ => None,
    })
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Shown> {
    let key = RsaPublicKey {
        modulus: UintRef::new(modulus).ok()?,
        public_exponent: UintRef::new(exponent).ok()?,
    };
    let bits = key.modulus.as_bytes().len().checked_mul(8)?;
    let kind = KeyKind::ALL.into_iter().find(|kind| kind.modulus_bits() == Some(bits))?;
    let der = key.to_der().ok()?;
    Some(Shown { kind, id: KeyId::of(&der), spki: spki_of(RSA, AnyRef::NULL, &der).ok()? })
}

fn p256(curve: &[u8], point: &[u8]) -> Option<Shown> {
    if der::asn1::ObjectIdentifier::from_der(curve) != Ok(P256) {
        return None;
    }
    // The standard wraps the point in an OCTET STRING; some libraries do not.
    let bits = match OctetStringRef::from_der(point) {
        Ok(wrapped) => wrapped.as_bytes(),
        Err(_) => point,
    };
    if bits.len() != 65 || bits.first() != Some(&4) {
        return None;
    }
    let spki = spki_of(EC, AnyRef::from(&P256), bits).ok()?;
    Some(Shown { kind: KeyKind::EcP256, id: KeyId::of(bits), spki })
}

/// The templates and the mechanism that make a key: public, then private.
pub(crate) fn generation(
    kind: KeyKind,
    cka_id: &[u8],
    label: &str,
) -> Option<(Mechanism<'static>, Vec<Attribute>, Vec<Attribute>)> {
    let name = || [Attribute::Id(cka_id.to_vec()), Attribute::Label(label.as_bytes().to_vec())];
    let mut public =
        vec![Attribute::Token(true), Attribute::Private(false), Attribute::Verify(true)];
    let mut private = vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ];
    public.extend(name());
    private.extend(name());
    let mechanism = match kind.modulus_bits() {
        Some(bits) => {
            public.push(Attribute::ModulusBits(u64::try_from(bits).ok()?.into()));
            public.push(Attribute::PublicExponent(vec![1, 0, 1]));
            Mechanism::RsaPkcsKeyPairGen
        }
        None => {
            public.push(Attribute::EcParams(P256.to_der().ok()?));
            Mechanism::EccKeyPairGen
        }
    };
    Some((mechanism, public, private))
}
