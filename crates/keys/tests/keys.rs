//! Keys and the software token, as an operator would tell it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use causeway_identifiers::MemberId;
use causeway_keys::{Cost, KeyId, KeyKind, KeyPair, KeysError, Pin, SoftwareToken, Token, Usage};
use causeway_pki::issue::{CertificateRequest, CertificateTemplate, RequestTemplate};
use causeway_pki::{
    Certificate, DigestAlgorithm, EcdsaForm, KeyUsage, PublicKey, SignatureAlgorithm, SigningKey,
    name,
};
use proptest::prelude::*;
use time::{Duration, OffsetDateTime};

/// An RSA key that is made once and then read from `target/tmp`.
fn cached(kind: KeyKind) -> KeyPair {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("test-key-{kind}.p8"));
    if let Some(pair) = std::fs::read(&path).ok().and_then(|p| KeyPair::from_pkcs8(&p).ok()) {
        return pair;
    }
    let pair = KeyPair::generate(kind).unwrap();
    std::fs::write(&path, &*pair.to_pkcs8()).unwrap();
    pair
}

fn pin(text: &str) -> Pin {
    Pin::new(text).unwrap()
}

fn new_token(folder: &tempfile::TempDir) -> SoftwareToken {
    SoftwareToken::create_with(folder.path(), &pin("right"), "test", Cost::LEAST).unwrap()
}

fn verify(key: &KeyPair, algorithm: SignatureAlgorithm, signature: &[u8]) -> bool {
    PublicKey::from_spki(key.certificate_public_key())
        .unwrap()
        .verify(algorithm, EcdsaForm::Der, b"message", signature)
        .is_ok()
}

#[test]
fn every_kind_of_key_signs_and_survives_pkcs8() {
    for kind in KeyKind::ALL {
        let key =
            if kind == KeyKind::EcP256 { KeyPair::generate(kind).unwrap() } else { cached(kind) };
        assert_eq!(key.kind(), kind);
        assert_eq!(kind.name().to_uppercase().parse::<KeyKind>().unwrap(), kind);
        let signature = key.sign(b"message").unwrap();
        assert!(verify(&key, key.algorithm(), &signature), "{kind}");
        let again = KeyPair::from_pkcs8(&key.to_pkcs8()).unwrap();
        assert_eq!(again.id(), key.id());
        assert_eq!(again.public_key(), key.public_key());
        for digest in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha384, DigestAlgorithm::Sha512] {
            match key.sign_with(digest, b"message") {
                Ok(signature) => {
                    assert!(verify(&key, key.algorithm().with_digest(digest), &signature));
                }
                Err(error) => {
                    assert!(
                        kind == KeyKind::EcP256 && digest != DigestAlgorithm::Sha256,
                        "{error}"
                    );
                }
            }
        }
        assert!(key.sign_with(DigestAlgorithm::Sha1, b"message").is_err());
        let shown = format!("{key:?}");
        assert_eq!(shown, format!("KeyPair({kind} {})", key.id()));
    }
    let key = cached(KeyKind::Rsa2048);
    let bits = PublicKey::from_spki(key.public_key()).unwrap();
    let digest = DigestAlgorithm::Sha1.digest(bits.bits());
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(key.id(), hex);
    assert_eq!(&hex.to_uppercase().parse::<KeyId>().unwrap(), key.key_id());
    assert!("../../etc/passwd".parse::<KeyId>().is_err());
}

#[test]
fn a_new_rsa_key_is_taken_by_ring() {
    // Made anew each time, unlike the cached ones: the order of its primes varies.
    let key = KeyPair::generate(KeyKind::Rsa2048).unwrap();
    let signature = key.sign(b"message").unwrap();
    assert!(verify(&key, key.algorithm(), &signature));
}

#[test]
fn malformed_keys_are_refused() {
    let good = KeyPair::generate(KeyKind::EcP256).unwrap().to_pkcs8();
    for length in 0..good.len() {
        assert!(KeyPair::from_pkcs8(&good[..length]).is_err(), "{length}");
    }
    assert!(KeyPair::from_pkcs8(&vec![0x30; 100_000]).is_err());
}

#[test]
fn keys_outlive_the_process_and_open_with_the_pin_alone() {
    let folder = tempfile::tempdir().unwrap();
    let token = new_token(&folder);
    assert!(token.is_unlocked());
    let id = token.generate_key(KeyKind::EcP256, "sign 2026", Usage::Signing).unwrap();
    let key = token.key(&id).unwrap();
    drop(token);

    let token = SoftwareToken::open(folder.path()).unwrap();
    assert!(!token.is_unlocked());
    assert_eq!(token.label(), "test");
    let info = token.keys().remove(0);
    assert_eq!((info.id, info.kind, info.usage), (id.clone(), KeyKind::EcP256, Usage::Signing));
    assert_eq!((info.label.as_str(), info.public_key.as_slice()), ("sign 2026", key.public_key()));
    assert_eq!(token.key(&id).unwrap_err().code(), "token_not_active");
    let generated = token.generate_key(KeyKind::EcP256, "", Usage::Signing);
    assert_eq!(generated.unwrap_err().code(), "token_not_active");
    token.unlock(&pin("right")).unwrap();
    let signature = token.key(&id).unwrap().sign(b"message").unwrap();
    assert!(verify(&key, key.algorithm(), &signature));
    assert!(matches!(
        SoftwareToken::create(folder.path(), &pin("x")).unwrap_err(),
        KeysError::TokenExists(_)
    ));
    assert!(matches!(
        SoftwareToken::open(folder.path().join("none")).unwrap_err(),
        KeysError::NoToken(_)
    ));
}

#[test]
fn a_locked_token_and_a_deleted_key_sign_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let token = new_token(&folder);
    let id = token.generate_key(KeyKind::EcP256, "a", Usage::Signing).unwrap();
    let other = token.generate_key(KeyKind::EcP256, "b", Usage::Authentication).unwrap();
    let (key, other_key) = (token.key(&id).unwrap(), token.key(&other).unwrap());
    assert!(key.sign(b"message").is_ok());
    token.delete_key(&id).unwrap();
    assert_eq!(key.clone().sign(b"message").unwrap_err().code(), "cannot_create_signature");
    assert!(other_key.sign(b"message").is_ok());
    assert_eq!(token.delete_key(&id).unwrap_err().code(), "key_not_found");
    token.lock();
    assert!(other_key.sign(b"message").is_err());
    token.unlock(&pin("right")).unwrap();
    assert!(other_key.sign(b"message").is_err());
    assert!(token.key(&other).unwrap().sign(b"message").is_ok());
    assert_eq!(token.key(&id).unwrap_err().code(), "key_not_found");
}

#[test]
fn wrong_pins_are_counted_and_slowed_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    drop(new_token(&folder));
    let start = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let attempt = |text: &str, seconds| {
        SoftwareToken::open(folder.path())
            .unwrap()
            .unlock_at(&pin(text), start + Duration::seconds(seconds))
    };
    for expected in 1..=3 {
        match attempt("wrong", 0) {
            Err(KeysError::PinIncorrect { failed }) => assert_eq!(failed, expected),
            other => panic!("{other:?}"),
        }
    }
    for seconds in [0, 1] {
        let error = attempt("right", seconds).unwrap_err();
        assert_eq!(error.code(), "login_failed");
    }
    assert_eq!(attempt("wrong", 2).unwrap_err().code(), "pin_incorrect");
    assert_eq!(attempt("right", 5).unwrap_err().code(), "login_failed");
    attempt("right", 6).unwrap();
    assert_eq!(attempt("wrong", 6).unwrap_err().code(), "pin_incorrect");
    attempt("right", 6).unwrap();
}

#[test]
fn a_changed_pin_replaces_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let token = new_token(&folder);
    let id = token.generate_key(KeyKind::EcP256, "a", Usage::Signing).unwrap();
    let wrong = token.change_pin(&pin("wrong"), &pin("new"));
    assert_eq!(wrong.unwrap_err().code(), "pin_incorrect");
    token.change_pin(&pin("right"), &pin("new")).unwrap();
    let second = token.generate_key(KeyKind::EcP256, "b", Usage::Signing).unwrap();
    assert!(token.key(&id).unwrap().sign(b"message").is_ok());
    let token = SoftwareToken::open(folder.path()).unwrap();
    assert_eq!(token.unlock(&pin("right")).unwrap_err().code(), "pin_incorrect");
    assert_eq!(token.change_pin(&pin("new"), &pin("x")).unwrap_err().code(), "token_not_active");
    token.unlock(&pin("new")).unwrap();
    for id in [id, second] {
        assert!(token.key(&id).unwrap().sign(b"message").is_ok());
    }
}

#[test]
fn a_torn_write_leaves_the_old_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = new_token(&folder);
    let id = token.generate_key(KeyKind::EcP256, "a", Usage::Signing).unwrap();
    drop(token);
    // A crash in the midst of writing leaves a part of the new file beside the old.
    let file = folder.path().join("token.json");
    let content = std::fs::read(&file).unwrap();
    std::fs::write(folder.path().join("token.json.new"), &content[..content.len() / 2]).unwrap();
    let token = SoftwareToken::open(folder.path()).unwrap();
    token.unlock(&pin("right")).unwrap();
    assert!(token.key(&id).is_ok());
    token.generate_key(KeyKind::EcP256, "b", Usage::Signing).unwrap();
    assert!(!folder.path().join("token.json.new").exists());
    assert_eq!(SoftwareToken::open(folder.path()).unwrap().keys().len(), 2);
    // A file that was cut off all the same (a disk that lies) is called damaged.
    for length in [0, 1, content.len() / 2, content.len() - 1] {
        std::fs::write(&file, &content[..length]).unwrap();
        let error = SoftwareToken::open(folder.path()).unwrap_err();
        assert!(matches!(error, KeysError::Damaged { .. }), "{error}");
    }
}

#[test]
fn tampering_with_the_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let token = new_token(&folder);
    let first = token.generate_key(KeyKind::EcP256, "a", Usage::Signing).unwrap();
    token.generate_key(KeyKind::EcP256, "b", Usage::Authentication).unwrap();
    drop(token);
    let file = folder.path().join("token.json");
    let good = std::fs::read_to_string(&file).unwrap();
    let json: serde_json::Value = serde_json::from_str(&good).unwrap();
    let tampered = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        std::fs::write(&file, serde_json::to_vec(&json).unwrap()).unwrap();
        SoftwareToken::open(folder.path()).and_then(|t| t.unlock(&pin("right"))).unwrap_err()
    };
    // One key's seal in the place of another's, and a signing key made one for authentication.
    let error = tampered(&|j| j["keys"][0]["private_key"] = j["keys"][1]["private_key"].clone());
    assert!(error.to_string().contains(first.as_str()), "{error}");
    let error = tampered(&|j| j["keys"][0]["usage"] = "authentication".into());
    assert!(matches!(error, KeysError::Damaged { .. }), "{error}");
    let error = tampered(&|j| j["keys"][0]["public_key"] = j["keys"][1]["public_key"].clone());
    assert!(matches!(error, KeysError::Damaged { .. }), "{error}");
    // A derivation that costs nothing, or the whole machine.
    for memory in [8, 64 << 20] {
        let error = tampered(&|j| j["derivation"]["memory_kib"] = memory.into());
        assert!(matches!(error, KeysError::Damaged { .. }), "{error}");
    }
    let error = tampered(&|j| j["format"] = 2.into());
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[test]
fn two_processes_that_change_a_token_do_not_undo_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let token = new_token(&folder);
    let other = SoftwareToken::open(folder.path()).unwrap();
    other.unlock(&pin("right")).unwrap();
    other.generate_key(KeyKind::EcP256, "theirs", Usage::Signing).unwrap();
    let error = token.generate_key(KeyKind::EcP256, "ours", Usage::Signing).unwrap_err();
    assert!(matches!(error, KeysError::ChangedOnDisk(_)), "{error}");
    assert!(token.keys().is_empty());
    assert_eq!(SoftwareToken::open(folder.path()).unwrap().keys()[0].label, "theirs");
}

fn at(day: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap() + Duration::days(day)
}

/// What a certification authority makes of a request: a year from day 0.
fn certify(public_key: &[u8], subject: &str, usage: KeyUsage, serial: u8) -> Certificate {
    let key = KeyPair::generate(KeyKind::EcP256).unwrap();
    let template = |name: &str, public: &[u8], serial: u8| {
        let subject = name::encode(&[("CN", name)]).unwrap();
        CertificateTemplate::new(subject, public, &[serial], at(0), at(365))
    };
    let authority = template("CA", key.public_key(), 1).self_sign(&key).unwrap();
    let mut asked = template(subject, public_key, serial);
    asked.key_usage = Some(usage);
    asked.issue(&key, &authority).unwrap()
}

#[test]
fn a_member_gets_a_signing_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let token = new_token(&folder);
    // A code with a slash, which the short form could not give back.
    let member = MemberId::new("DEV", "COM", "12/34").unwrap();
    let id = token.import_key(&cached(KeyKind::Rsa2048), "sign", Usage::Signing).unwrap();
    let template = RequestTemplate::new(&[("C", "FI"), ("CN", "1234")]).unwrap();
    let der = token.certificate_request(&id, &template, Some(member.clone())).unwrap();
    assert_eq!(token.certificate_request(&id, &template, Some(member.clone())).unwrap(), der);
    assert_eq!(token.keys()[0].requests.len(), 1);
    let other = RequestTemplate::new(&[("CN", "1235")]).unwrap();
    let unwanted = token.certificate_request(&id, &other, None).unwrap();
    token.delete_request(&id, &unwanted).unwrap();
    assert_eq!(token.delete_request(&id, &unwanted).unwrap_err().code(), "csr_not_found");
    let request = CertificateRequest::parse(&der).unwrap();
    assert_eq!(request.public_key().spki(), token.keys()[0].public_key);
    assert_eq!(token.keys()[0].requests[0].member, Some(member.clone()));

    let certificate = certify(request.public_key().spki(), "1234", KeyUsage::NON_REPUDIATION, 7);
    let fingerprint = certificate.sha256();
    // Certificates may come while the token is locked.
    let token = SoftwareToken::open(folder.path()).unwrap();
    assert_eq!(token.import_certificate(certificate.clone()).unwrap(), id);
    let again = token.import_certificate(certificate.clone());
    assert_eq!(again.unwrap_err().code(), "cert_exists");
    let token = SoftwareToken::open(folder.path()).unwrap();
    assert!(token.keys()[0].requests.is_empty());
    let info = token.certificates().remove(0);
    assert_eq!((info.member, info.active), (Some(member.clone()), true));

    assert_eq!(token.credentials(Usage::Signing, at(1)).unwrap_err().code(), "token_not_active");
    token.unlock(&pin("right")).unwrap();
    let found = token.credentials(Usage::Signing, at(1)).unwrap();
    assert_eq!((found.len(), found[0].member.as_ref()), (1, Some(&member)));
    let signature = found[0].key.sign(b"message").unwrap();
    let algorithm = found[0].key.algorithm();
    let public = found[0].certificate.public_key().unwrap();
    assert!(public.verify(algorithm, EcdsaForm::Der, b"message", &signature).is_ok());
    let none = |usage, day| token.credentials(usage, at(day)).unwrap().is_empty();
    assert!(none(Usage::Signing, -1) && none(Usage::Signing, 366));
    assert!(none(Usage::Authentication, 1));
    token.deactivate(&fingerprint).unwrap();
    assert!(none(Usage::Signing, 1));
    token.activate(&fingerprint).unwrap();
    assert!(!none(Usage::Signing, 1));
    token.set_member(&fingerprint, None).unwrap();
    assert_eq!(token.certificates()[0].member, None);
    token.delete_certificate(&fingerprint).unwrap();
    assert_eq!(token.activate(&fingerprint).unwrap_err().code(), "cert_not_found");
    assert!(token.certificates().is_empty());
}

#[test]
fn certificates_are_taken_for_the_right_key_and_usage_alone() {
    let folder = tempfile::tempdir().unwrap();
    let token = new_token(&folder);
    token.generate_key(KeyKind::EcP256, "sign", Usage::Signing).unwrap();
    token.generate_key(KeyKind::EcP256, "auth", Usage::Authentication).unwrap();
    let keys = token.keys();
    let (sign, auth) = (&keys[0].public_key, &keys[1].public_key);
    let (signing, authentication) = (KeyUsage::NON_REPUDIATION, KeyUsage::DIGITAL_SIGNATURE);
    for certificate in [certify(sign, "x", authentication, 2), certify(auth, "x", signing, 3)] {
        let error = token.import_certificate(certificate).unwrap_err();
        assert_eq!(error.code(), "wrong_cert_usage");
    }
    let stranger = KeyPair::generate(KeyKind::EcP256).unwrap();
    let foreign = certify(stranger.public_key(), "x", signing, 4);
    assert_eq!(token.import_certificate(foreign).unwrap_err().code(), "key_not_found");
    // Authentication waits for the server's registration.
    let certificate = certify(auth, "ss1", authentication, 5);
    assert_eq!(token.import_certificate(certificate.clone()).unwrap(), keys[1].id);
    assert!(token.credentials(Usage::Authentication, at(1)).unwrap().is_empty());
    token.activate(&certificate.sha256()).unwrap();
    assert_eq!(token.credentials(Usage::Authentication, at(1)).unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("a/token");
    let token = SoftwareToken::create_with(&inside, &pin("right"), "t", Cost::LEAST).unwrap();
    token.generate_key(KeyKind::EcP256, "a", Usage::Signing).unwrap();
    let token = SoftwareToken::open(&inside).unwrap();
    token.unlock(&pin("right")).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inside), 0o700);
    for entry in std::fs::read_dir(&inside).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let file = inside.join("token.json");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(SoftwareToken::open(&inside).unwrap_err(), KeysError::Exposed(_)));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o660)).unwrap();
    assert!(SoftwareToken::open(&inside).is_ok());
}

#[test]
fn secrets_do_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let token = new_token(&folder);
    let id = token.generate_key(KeyKind::EcP256, "a", Usage::Signing).unwrap();
    let pkcs8 = token.key(&id).unwrap().to_pkcs8();
    let shown = format!("{token:?} {:?} {:?}", token.keys(), token.key(&id));
    assert!(!shown.contains("right") && !shown.contains("derivation"));
    let stored = std::fs::read(folder.path().join("token.json")).unwrap();
    // The last bytes of a PKCS#8 are the public key; the secret scalar is before it.
    let secret = &pkcs8[36..68];
    assert!(!stored.windows(32).any(|w| w == secret));
}

#[test]
fn a_token_is_used_through_the_trait() {
    let folder = tempfile::tempdir().unwrap();
    let token: Box<dyn Token> = Box::new(new_token(&folder));
    let id = token.generate_key(KeyKind::EcP256, "a", Usage::Signing).unwrap();
    assert!(token.signing_key(&id).unwrap().sign(b"message").is_ok());
    let now = OffsetDateTime::now_utc();
    assert!(token.credentials(Usage::Signing, now).unwrap().is_empty());
    token.lock();
    assert!(token.signing_key(&id).is_err());
    token.unlock(&pin("right")).unwrap();
    assert!(token.is_unlocked());
}

proptest! {
    #[test]
    fn arbitrary_keys_and_files_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = KeyPair::from_pkcs8(&bytes);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token.json"), &bytes).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(
            folder.path().join("token.json"),
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        ).unwrap();
        prop_assert!(SoftwareToken::open(folder.path()).is_err());
    }
}
