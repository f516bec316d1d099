//! Certificates as X-Road's API shows them (`CertificateDetails`).

use causeway_admin::http::Problem;
use causeway_pki::{Certificate, KeyKind, KeyUsage};
use der::Decode as _;
use der::asn1::{AnyRef, BitStringRef, UintRef};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::records::CertificateRecord;

const COMMON_NAME: &str = "2.5.4.3";

const USAGES: [(KeyUsage, &str); 7] = [
    (KeyUsage::DIGITAL_SIGNATURE, "DIGITAL_SIGNATURE"),
    (KeyUsage::NON_REPUDIATION, "NON_REPUDIATION"),
    (KeyUsage::KEY_ENCIPHERMENT, "KEY_ENCIPHERMENT"),
    (KeyUsage::DATA_ENCIPHERMENT, "DATA_ENCIPHERMENT"),
    (KeyUsage::KEY_AGREEMENT, "KEY_AGREEMENT"),
    (KeyUsage::KEY_CERT_SIGN, "KEY_CERT_SIGN"),
    (KeyUsage::CRL_SIGN, "CRL_SIGN"),
];

/// Reads a record's certificate.
pub(super) fn read(record: &CertificateRecord) -> Result<Certificate, Problem> {
    record.0.read().map_err(|e| Problem::internal(&format!("a certificate in the records: {e}")))
}

/// All that is told of a certificate.
pub(super) fn details(record: &CertificateRecord) -> Result<Value, Problem> {
    let certificate = read(record)?;
    let unreadable =
        |e: der::Error| Problem::internal(&format!("a certificate in the records: {e}"));
    let whole = Whole::from_der(certificate.der()).map_err(unreadable)?;
    let usage = certificate.key_usage().unwrap_or(KeyUsage::from_bits(0));
    let usages: Vec<&str> =
        (USAGES.iter()).filter(|(one, _)| usage.contains(*one)).map(|(_, name)| *name).collect();
    let common_name = |name: &[u8]| causeway_pki::name::attribute(name, COMMON_NAME);
    let names = certificate.dns_names().iter().map(|name| format!("DNS:{name}"));
    let mut json = json!({
        "hash": hex::encode_upper(certificate.sha256()),
        "version": 3,
        "serial": certificate.serial_decimal(),
        "issuer_distinguished_name": certificate.issuer_rfc2253(),
        "issuer_common_name": common_name(certificate.issuer_der()).unwrap_or_default(),
        "subject_distinguished_name": certificate.subject_rfc2253(),
        "subject_common_name": common_name(certificate.subject_der()).unwrap_or_default(),
        "not_before": time(certificate.not_before()),
        "not_after": time(certificate.not_after()),
        "key_usages": usages,
        "subject_alternative_names": names.collect::<Vec<_>>().join(", "),
        "signature": hex::encode(whole.signature.raw_bytes()),
        "signature_algorithm":
            certificate.signature_algorithm().map(|a| a.jca_name()).unwrap_or_default(),
    });
    let bits = certificate.subject_public_key_bits();
    match certificate.key_kind() {
        KeyKind::Rsa { .. } => {
            let key = RsaKey::from_der(bits).map_err(unreadable)?;
            json["public_key_algorithm"] = "RSA".into();
            let modulus = hex::encode(key.modulus.as_bytes());
            json["rsa_public_key_modulus"] = modulus.trim_start_matches('0').into();
            let exponent = key.exponent.as_bytes().iter();
            json["rsa_public_key_exponent"] =
                exponent.fold(0_u64, |n, byte| n.wrapping_shl(8) | u64::from(*byte)).into();
        }
        kind => {
            json["public_key_algorithm"] = "EC".into();
            json["ec_public_key_point"] = hex::encode(bits).into();
            let curve = match kind {
                KeyKind::EcP256 => "secp256r1 (1.2.840.10045.3.1.7)",
                KeyKind::EcP384 => "secp384r1 (1.3.132.0.34)",
                _ => "",
            };
            if !curve.is_empty() {
                json["ec_public_parameters"] = curve.into();
            }
        }
    }
    Ok(json)
}

/// Certificate (RFC 5280 4.1), its first two parts unread.
#[derive(der::Sequence)]
struct Whole<'c> {
    tbs: AnyRef<'c>,
    algorithm: AnyRef<'c>,
    signature: BitStringRef<'c>,
}

/// RSAPublicKey (RFC 8017 A.1.1).
#[derive(der::Sequence)]
struct RsaKey<'k> {
    modulus: UintRef<'k>,
    exponent: UintRef<'k>,
}

/// A time as JSON.
pub(super) fn time(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

/// A hash in hexadecimal as the audit log has it: `63:0B:…`.
pub(super) fn colons(hash: &str) -> String {
    let upper = hash.to_uppercase();
    let pairs = upper.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair));
    pairs.collect::<Vec<_>>().join(":")
}
