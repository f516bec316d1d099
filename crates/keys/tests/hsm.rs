//! Keys in a PKCS#11 module, told with SoftHSM2 (Debian's `softhsm2`), which keeps them in a folder.
//!
//! SoftHSM2 learns from an environment variable where that folder is; each story therefore runs in a process of its
//! own, which this program starts from itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use causeway_identifiers::MemberId;
use causeway_keys::{
    KeyKind, KeyPair, KeysError, Pin, Pkcs11Token, Token, TokenChoice, TokenState, Usage,
};
use causeway_pki::issue::{CertificateRequest, CertificateTemplate, RequestTemplate};
use causeway_pki::{DigestAlgorithm, EcdsaForm, KeyUsage, PublicKey, SigningKey, name};
use time::{Duration, OffsetDateTime};

const PLACE: &str = "CAUSEWAY_TEST_SOFTHSM";

fn library() -> Option<PathBuf> {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    let util = Command::new("softhsm2-util").arg("--version").output().is_ok();
    if found.is_some() && util {
        return found;
    }
    let why = "SoftHSM2 is not installed (Debian: apt install softhsm2)";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("SKIPPED: {why}");
    None
}

/// Runs a story in a process of its own with new, initialized tokens named `one` and `two`.
fn story(name: &str, tell: impl FnOnce(&Path, &Path)) {
    let Some(library) = library() else { return };
    if let Some(place) = std::env::var_os(PLACE) {
        return tell(&library, Path::new(&place));
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tokens")).unwrap();
    let conf = folder.path().join("softhsm2.conf");
    let tokens = folder.path().join("tokens");
    std::fs::write(&conf, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    for label in ["one", "two"] {
        let made = Command::new("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--label",
                label,
                "--so-pin",
                "officer",
                "--pin",
                "right pin",
            ])
            .env("SOFTHSM2_CONF", &conf)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let told = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("SOFTHSM2_CONF", &conf)
        .env(PLACE, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&told.stdout) + String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && text.contains("1 passed"), "{text}");
}

fn pin(text: &str) -> Pin {
    Pin::new(text).unwrap()
}

fn choice(label: &str) -> TokenChoice {
    TokenChoice { label: Some(label.to_owned()), ..TokenChoice::default() }
}

fn open(library: &Path, place: &Path) -> Pkcs11Token {
    Pkcs11Token::open(library, choice("one"), place.join("catalog")).unwrap()
}

fn verifies(key: &dyn SigningKey, digest: DigestAlgorithm, signature: &[u8]) -> bool {
    let public = PublicKey::from_spki(key.certificate_public_key()).unwrap();
    let algorithm = key.algorithm().with_digest(digest);
    public.verify(algorithm, EcdsaForm::Der, b"message", signature).is_ok()
}

#[test]
fn every_kind_of_key_is_made_and_signs() {
    story("every_kind_of_key_is_made_and_signs", |library, place| {
        let token = open(library, place);
        assert_eq!(token.state(), TokenState::Locked);
        let refused = token.generate_key(KeyKind::EcP256, "k", Usage::Signing);
        assert!(matches!(refused, Err(KeysError::Locked)));
        token.unlock(&pin("right pin")).unwrap();
        for kind in KeyKind::ALL {
            let id = token.generate_key(kind, &format!("my {kind}"), Usage::Signing).unwrap();
            let key = token.signing_key(&id).unwrap();
            for digest in
                [DigestAlgorithm::Sha256, DigestAlgorithm::Sha384, DigestAlgorithm::Sha512]
            {
                match key.sign_with(digest, b"message") {
                    Ok(signature) => assert!(verifies(&key, digest, &signature), "{kind}"),
                    Err(_) => assert_eq!(kind, KeyKind::EcP256),
                }
            }
            // Signatures of P-256 have leading zeros now and then.
            for _ in 0..if kind == KeyKind::EcP256 { 600 } else { 3 } {
                let signature = key.sign(b"message").unwrap();
                assert!(verifies(&key, key.algorithm().digest(), &signature));
            }
        }
        // Another process finds the same keys.
        let again = open(library, place);
        assert_eq!(again.keys().len(), KeyKind::ALL.len());
        again.unlock(&pin("right pin")).unwrap();
        let key = again.signing_key(&again.keys()[0].id).unwrap();
        assert!(verifies(&key, key.algorithm().digest(), &key.sign(b"message").unwrap()));
    });
}

#[test]
fn certificates_make_credentials_and_deleted_keys_are_gone() {
    story("certificates_make_credentials_and_deleted_keys_are_gone", |library, place| {
        let token = open(library, place);
        token.unlock(&pin("right pin")).unwrap();
        let id = token.generate_key(KeyKind::EcP256, "seal", Usage::Signing).unwrap();
        let member = MemberId::new("DEV", "GOV", "1").unwrap();
        let template = RequestTemplate::new(&[("CN", "member")]).unwrap();
        let der = token.certificate_request(&id, &template, Some(member.clone())).unwrap();
        let request = CertificateRequest::parse(&der).unwrap();

        let now = OffsetDateTime::now_utc();
        let key = KeyPair::generate(KeyKind::EcP256).unwrap();
        let certify = |subject: &str, public: &[u8], serial: u8| {
            let subject = name::encode(&[("CN", subject)]).unwrap();
            let (from, to) = (now - Duration::hours(1), now + Duration::hours(1));
            CertificateTemplate::new(subject, public, &[serial], from, to)
        };
        let authority = certify("CA", key.public_key(), 1).self_sign(&key).unwrap();
        let mut asked = certify("member", request.public_key().spki(), 2);
        asked.key_usage = Some(KeyUsage::NON_REPUDIATION);
        let certificate = asked.issue(&key, &authority).unwrap();
        assert_eq!(token.import_certificate(certificate.clone()).unwrap(), id);
        let credentials = token.credentials(Usage::Signing, now).unwrap();
        let [credential] = credentials.as_slice() else { panic!("{credentials:?}") };
        assert_eq!(credential.member, Some(member));
        let key = token.signing_key(&id).unwrap();
        token.set_active(&certificate.sha256(), false).unwrap();
        assert!(token.credentials(Usage::Signing, now).unwrap().is_empty());

        token.delete_key(&id).unwrap();
        assert!(key.sign(b"message").is_err());
        assert!(token.keys().is_empty());
        assert!(token.unknown_keys().unwrap().is_empty(), "the module has it still");
    });
}

#[test]
fn keys_made_elsewhere_are_adopted() {
    story("keys_made_elsewhere_are_adopted", |library, place| {
        let elsewhere = Pkcs11Token::open(library, choice("one"), place.join("elsewhere")).unwrap();
        elsewhere.unlock(&pin("right pin")).unwrap();
        let made = [KeyKind::Rsa2048, KeyKind::EcP256]
            .map(|kind| elsewhere.generate_key(kind, "old", Usage::Signing).unwrap());
        let token = open(library, place);
        token.unlock(&pin("right pin")).unwrap();
        let mut unknown: Vec<_> = token.unknown_keys().unwrap().into_iter().map(|k| k.id).collect();
        unknown.sort();
        let mut wanted = made.to_vec();
        wanted.sort();
        assert_eq!(unknown, wanted);
        for id in &made {
            token.adopt_key(id, "taken over", Usage::Signing).unwrap();
            let key = token.signing_key(id).unwrap();
            assert!(verifies(&key, key.algorithm().digest(), &key.sign(b"message").unwrap()));
            assert!(token.adopt_key(id, "again", Usage::Signing).is_err());
        }
        assert!(token.unknown_keys().unwrap().is_empty());
    });
}

#[test]
fn pins_are_judged_by_the_module() {
    story("pins_are_judged_by_the_module", |library, place| {
        let token = open(library, place);
        for failed in 1..3 {
            let refused = token.unlock(&pin("wrong pin")).unwrap_err();
            assert!(matches!(refused, KeysError::PinIncorrect { failed: f } if f == failed));
            assert_eq!(token.state(), TokenState::Locked);
        }
        token.unlock(&pin("right pin")).unwrap();
        assert!(token.change_pin(&pin("wrong pin"), &pin("another pin")).is_err());
        token.change_pin(&pin("right pin"), &pin("another pin")).unwrap();
        let id = token.generate_key(KeyKind::EcP256, "k", Usage::Signing).unwrap();
        let key = token.signing_key(&id).unwrap();
        key.sign(b"message").unwrap();
        token.lock();
        assert!(key.sign(b"message").is_err(), "a key of a locked token signed");
        assert!(token.unlock(&pin("right pin")).is_err());
        token.unlock(&pin("another pin")).unwrap();
        assert!(key.sign(b"message").is_err(), "handed out before the token was locked");
        token.signing_key(&id).unwrap().sign(b"message").unwrap();
    });
}

#[test]
fn a_token_that_vanishes_and_returns_signs_again() {
    story("a_token_that_vanishes_and_returns_signs_again", |library, place| {
        let token = open(library, place);
        token.unlock(&pin("right pin")).unwrap();
        let id = token.generate_key(KeyKind::EcP256, "k", Usage::Signing).unwrap();
        let key = token.signing_key(&id).unwrap();
        key.sign(b"message").unwrap();

        let (there, away) = (place.join("tokens"), place.join("away"));
        std::fs::rename(&there, &away).unwrap();
        std::fs::create_dir(&there).unwrap();
        let refused = key.sign(b"message").unwrap_err().to_string();
        assert!(refused.contains("no token"), "{refused}");
        assert!(matches!(token.state(), TokenState::Absent(_)), "{:?}", token.state());

        std::fs::remove_dir(&there).unwrap();
        std::fs::rename(&away, &there).unwrap();
        let again = (0..100).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            key.sign(b"message").ok()
        });
        assert!(verifies(&key, key.algorithm().digest(), &again.expect("never signed again")));
        assert_eq!(token.state(), TokenState::Unlocked);
    });
}

#[test]
fn two_tokens_of_one_library_do_not_hinder_each_other() {
    story("two_tokens_of_one_library_do_not_hinder_each_other", |library, place| {
        let one = open(library, place);
        let two = Pkcs11Token::open(library, choice("two"), place.join("second")).unwrap();
        let none = Pkcs11Token::open(library, choice("three"), place.join("third")).unwrap();
        let keys = [&one, &two].map(|token| {
            token.unlock(&pin("right pin")).unwrap();
            let id = token.generate_key(KeyKind::EcP256, "k", Usage::Signing).unwrap();
            token.signing_key(&id).unwrap()
        });
        std::thread::scope(|scope| {
            for key in &keys {
                for _ in 0..3 {
                    scope.spawn(move || {
                        for _ in 0..100 {
                            let signature = key.sign(b"message").unwrap();
                            assert!(verifies(key, key.algorithm().digest(), &signature));
                        }
                    });
                }
            }
            // Looking for one that is not there starts the library anew under the others' feet.
            for _ in 0..5 {
                let refused = none.unlock(&pin("right pin")).unwrap_err();
                assert!(matches!(refused, KeysError::TokenAbsent { .. }), "{refused}");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
    });
}

#[test]
fn what_is_no_library_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("library.so");
    std::fs::write(&file, "not one").unwrap();
    for path in [file, folder.path().join("none.so")] {
        let refused = Pkcs11Token::open(&path, TokenChoice::default(), folder.path()).unwrap_err();
        assert_eq!(refused.code(), "token_not_available", "{refused}");
    }
}
