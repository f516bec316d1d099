//! The `openssl` command as an independent judge of everything that is made here.

use causeway_pki::issue::{CertificateRequest, RequestTemplate, SubjectAltName, eku};
use causeway_pki::ocsp::{CertId, CertStatus, OcspRequest, ResponseBuilder};
use causeway_pki::tsp::{self, TimestampRequest};
use causeway_pki::{Certificate, DigestAlgorithm, EcdsaForm, KeyUsage, SigningKey};
use time::Duration;

use crate::support::{Authority, TestKey, has_openssl, noon, openssl, template};

fn keys() -> Vec<TestKey> {
    [Some(TestKey::p256()), Some(TestKey::p384()), TestKey::rsa()].into_iter().flatten().collect()
}

#[test]
fn certificates_verify_and_say_what_they_should() {
    if !has_openssl() {
        return;
    }
    for key in keys() {
        let folder = tempfile::tempdir().unwrap();
        let root = Authority::root("root", key);
        let middle = root.below("middle", TestKey::p256(), 2);
        let mut leaf = template("ss1, \"x\"", &TestKey::p256(), 0xf0);
        leaf.key_usage = Some(KeyUsage::NON_REPUDIATION.with(KeyUsage::DIGITAL_SIGNATURE));
        leaf.extended_key_usage = vec![eku::CLIENT_AUTH.into(), eku::SERVER_AUTH.into()];
        leaf.ocsp_url = Some("http://ca.example.org:8888".into());
        leaf.subject_alt_names = vec![
            SubjectAltName::from_host("ss1.example.org"),
            SubjectAltName::from_host("192.0.2.1"),
            SubjectAltName::from_host("2001:db8::1"),
        ];
        let leaf = middle.issue(&leaf);
        let write = |name: &str, certificate: &Certificate| {
            std::fs::write(folder.path().join(name), certificate.to_pem()).unwrap();
        };
        write("root.pem", &root.certificate);
        write("middle.pem", &middle.certificate);
        write("leaf.pem", &leaf);
        let verify = [
            "verify",
            "-x509_strict",
            "-CAfile",
            "root.pem",
            "-untrusted",
            "middle.pem",
            "leaf.pem",
        ];
        let (ok, text) = openssl(folder.path(), &verify);
        assert!(ok, "{text}");
        let (_, text) = openssl(folder.path(), &["x509", "-in", "leaf.pem", "-noout", "-text"]);
        for expected in [
            "Digital Signature, Non Repudiation",
            "TLS Web Client Authentication, TLS Web Server Authentication",
            "OCSP - URI:http://ca.example.org:8888",
            "DNS:ss1.example.org, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1",
            "Serial Number: 240 (0xf0)",
        ] {
            assert!(text.contains(expected), "{expected} not in {text}");
        }
        assert_eq!(leaf.ocsp_urls(), ["http://ca.example.org:8888"]);
        assert_eq!(leaf.dns_names(), ["ss1.example.org"]);
        assert!(leaf.is_signing_certificate() && leaf.is_authentication_certificate());
        let (_, text) = openssl(
            folder.path(),
            &["x509", "-in", "leaf.pem", "-noout", "-subject", "-nameopt", "RFC2253,-dump_unknown"],
        );
        assert!(text.contains(&leaf.subject_rfc2253()), "{text} {}", leaf.subject_rfc2253());
    }
}

#[test]
fn requests_verify_both_ways() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for key in keys() {
        if key.algorithm().digest() == DigestAlgorithm::Sha384 {
            continue; // ring signs with SHA-384 alone on P-384; requests are signed with SHA-256
        }
        let subject =
            [("C", "FI"), ("O", "Väestörekisteri"), ("serialNumber", "a/b/c"), ("CN", "x")];
        let template = RequestTemplate::new(&subject).unwrap();
        let template = template.alt_names([SubjectAltName::from_host("a.example.org")]);
        let pem = template.sign_pem(&key).unwrap();
        std::fs::write(folder.path().join("r.pem"), &pem).unwrap();
        let (ok, text) =
            openssl(folder.path(), &["req", "-in", "r.pem", "-verify", "-noout", "-text"]);
        assert!(ok && text.contains("verify OK"), "{text}");
        assert!(text.contains("DNS:a.example.org"), "{text}");
        let request = CertificateRequest::parse(pem.as_bytes()).unwrap();
        assert_eq!(request.public_key().spki(), key.certificate_public_key());
        assert_eq!(request.subject_alt_names(), [SubjectAltName::Dns("a.example.org".into())]);
        assert_eq!(CertificateRequest::parse(request.der()).unwrap(), request);
        // a changed subject breaks the proof of possession
        let mut der = request.der().to_vec();
        let at = der.windows(3).position(|w| w == b"a/b").unwrap();
        der[at] = b'z';
        assert!(CertificateRequest::parse(&der).is_err());
    }
    let make = [
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "k.pem",
        "-out",
        "o.pem",
        "-subj",
        "/C=EE/O=Org/CN=code",
        "-addext",
        "subjectAltName=DNS:b.example.org,IP:192.0.2.7",
    ];
    let (ok, text) = openssl(folder.path(), &make);
    assert!(ok, "{text}");
    let request = CertificateRequest::parse(&std::fs::read(folder.path().join("o.pem")).unwrap());
    let request = request.unwrap();
    assert_eq!(request.subject_rfc2253(), "CN=code,O=Org,C=EE");
    assert_eq!(request.subject_alt_names().len(), 2);
}

#[test]
fn ocsp_responses_verify_and_requests_are_understood() {
    if !has_openssl() {
        return;
    }
    for key in keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let root = Authority::root("root", TestKey::p256());
        let leaf = root.issue(&template("leaf", &TestKey::p256(), 5));
        let mut responder = template("ocsp", &key, 6);
        responder.extended_key_usage = vec![eku::OCSP_SIGNING.into()];
        let responder = root.issue(&responder);
        std::fs::write(path("root.pem"), root.certificate.to_pem()).unwrap();
        std::fs::write(path("leaf.pem"), leaf.to_pem()).unwrap();
        let ask = ["ocsp", "-issuer", "root.pem", "-cert", "leaf.pem", "-reqout", "request.der"];
        let (ok, text) = openssl(folder.path(), &ask);
        assert!(ok, "{text}");
        let request = OcspRequest::parse(&std::fs::read(path("request.der")).unwrap()).unwrap();
        assert_eq!(request.cert_ids(), [CertId::of(&leaf, &root.certificate)]);
        assert!(request.nonce().is_some());
        for (status, word) in [
            (CertStatus::Good, "good"),
            (CertStatus::Revoked { at: noon() - Duration::days(1) }, "revoked"),
            (CertStatus::Unknown, "unknown"),
        ] {
            let response = ResponseBuilder::new(noon())
                .single(&request.cert_ids()[0], status, noon(), Some(noon() + Duration::hours(1)))
                .nonce(request.nonce())
                .sign(&key, &responder)
                .unwrap();
            std::fs::write(path("response.der"), response).unwrap();
            let check = [
                "ocsp",
                "-no_nonce",
                "-respin",
                "response.der",
                "-reqin",
                "request.der",
                "-issuer",
                "root.pem",
                "-cert",
                "leaf.pem",
                "-CAfile",
                "root.pem",
            ];
            let (ok, text) = openssl(folder.path(), &check);
            assert!(ok && text.contains("Response verify OK"), "{text}");
            assert!(text.contains(&format!("leaf.pem: {word}")), "{text}");
            assert!(!text.contains("Nonce Verify error"), "{text}");
        }
    }
}

#[test]
fn openssl_responder_is_believed() {
    if !has_openssl() {
        return;
    }
    use causeway_pki::ocsp::{self, OcspPolicy, OcspResponse, OcspTrust};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let root = Authority::root("root", TestKey::p256());
    let leaf = root.issue(&template("leaf", &TestKey::p256(), 5));
    let key = TestKey::p256();
    let mut responder = template("ocsp", &key, 6);
    responder.extended_key_usage = vec![eku::OCSP_SIGNING.into()];
    let responder = root.issue(&responder);
    std::fs::write(path("root.pem"), root.certificate.to_pem()).unwrap();
    std::fs::write(path("ocsp.pem"), responder.to_pem()).unwrap();
    std::fs::write(path("key.der"), key.pkcs8()).unwrap();
    assert!(
        openssl(folder.path(), &["pkey", "-inform", "DER", "-in", "key.der", "-out", "key.pem"]).0
    );
    std::fs::write(path("index.txt"), "V\t400101000000Z\t\t05\tunknown\t/CN=leaf\n").unwrap();
    std::fs::write(path("request.der"), ocsp::request(&leaf, &root.certificate)).unwrap();
    let answer = [
        "ocsp",
        "-index",
        "index.txt",
        "-CA",
        "root.pem",
        "-rsigner",
        "ocsp.pem",
        "-rkey",
        "key.pem",
        "-reqin",
        "request.der",
        "-respout",
        "response.der",
        "-ndays",
        "1",
    ];
    let (ok, text) = openssl(folder.path(), &answer);
    assert!(ok, "{text}");
    let response = OcspResponse::parse(&std::fs::read(path("response.der")).unwrap()).unwrap();
    let now = response.this_update();
    let trust = OcspTrust::issuer_only();
    ocsp::judge(&response, &leaf, &root.certificate, &trust, &OcspPolicy::default(), now).unwrap();
}

#[test]
fn timestamps_verify_both_ways() {
    if !has_openssl() {
        return;
    }
    for key in keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let root = Authority::root("root", TestKey::p256());
        let mut tsa = template("tsa", &key, 6);
        tsa.key_usage = Some(KeyUsage::DIGITAL_SIGNATURE);
        tsa.extended_key_usage = vec![eku::TIME_STAMPING.into()];
        tsa.extended_key_usage_critical = true;
        let tsa = root.issue(&tsa);
        std::fs::write(path("root.pem"), root.certificate.to_pem()).unwrap();
        std::fs::write(path("tsa.pem"), tsa.to_pem()).unwrap();
        std::fs::write(path("data"), b"stamped data").unwrap();
        for (digest, cert) in [("-sha256", true), ("-sha512", false)] {
            let mut ask = vec!["ts", "-query", "-data", "data", digest, "-out", "request.tsq"];
            if cert {
                ask.push("-cert");
            }
            let (ok, text) = openssl(folder.path(), &ask);
            assert!(ok, "{text}");
            let request =
                TimestampRequest::parse(&std::fs::read(path("request.tsq")).unwrap()).unwrap();
            assert_eq!(request.certificate_wanted(), cert);
            let response = tsp::ResponseBuilder::new("1.2.3.4.1", &[1, 2, 3], noon())
                .unwrap()
                .grant(&request, &key, &tsa)
                .unwrap();
            std::fs::write(path("response.tsr"), &response).unwrap();
            let check = [
                "ts",
                "-verify",
                "-queryfile",
                "request.tsq",
                "-in",
                "response.tsr",
                "-CAfile",
                "root.pem",
                "-untrusted",
                "tsa.pem",
            ];
            let (ok, text) = openssl(folder.path(), &check);
            assert!(ok && text.contains("Verification: OK"), "{text}");
            // what is stored after the certificate has been added
            let response = tsp::TimestampResponse::parse(&response).unwrap();
            let stored = response.token().unwrap().with_signer_certificate(&tsa);
            std::fs::write(path("token.der"), stored).unwrap();
            let check = [
                "ts",
                "-verify",
                "-data",
                "data",
                "-token_in",
                "-in",
                "token.der",
                "-CAfile",
                "root.pem",
            ];
            let (ok, text) = openssl(folder.path(), &check);
            assert!(ok && text.contains("Verification: OK"), "{text}");
        }
    }
}

#[test]
fn openssl_timestamps_are_believed() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let root = Authority::root("root", TestKey::p256());
    let key = TestKey::p256();
    let mut tsa = template("tsa", &key, 6);
    tsa.extended_key_usage = vec![eku::TIME_STAMPING.into()];
    tsa.extended_key_usage_critical = true;
    let tsa = root.issue(&tsa);
    std::fs::write(path("tsa.pem"), tsa.to_pem()).unwrap();
    std::fs::write(path("key.der"), key.pkcs8()).unwrap();
    assert!(
        openssl(folder.path(), &["pkey", "-inform", "DER", "-in", "key.der", "-out", "key.pem"]).0
    );
    for (ess, fraction) in [("sha1", "0"), ("sha256", "3"), ("sha512", "6")] {
        let config = format!(
            "[tsa]\ndefault_tsa = t\n[t]\nserial = ./serial\nsigner_cert = ./tsa.pem\nsigner_key = ./key.pem\n\
             signer_digest = sha256\ndefault_policy = 1.2.3.4.1\ndigests = sha256, sha512\n\
             accuracy = secs:1, millisecs:500\nclock_precision_digits = {fraction}\nordering = yes\n\
             tsa_name = yes\ness_cert_id_alg = {ess}\n"
        );
        std::fs::write(path("tsa.cnf"), config).unwrap();
        let imprint = DigestAlgorithm::Sha512.digest(b"data");
        let request = TimestampRequest::new(DigestAlgorithm::Sha512, &imprint);
        std::fs::write(path("request.tsq"), request.to_der()).unwrap();
        let answer = [
            "ts",
            "-reply",
            "-config",
            "tsa.cnf",
            "-queryfile",
            "request.tsq",
            "-out",
            "response.tsr",
        ];
        let (ok, text) = openssl(folder.path(), &answer);
        assert!(ok, "{text}");
        let response = std::fs::read(path("response.tsr")).unwrap();
        let response = tsp::TimestampResponse::parse(&response).unwrap();
        let token = tsp::check_response(&request, &response).unwrap();
        token.verify(b"data", std::slice::from_ref(&tsa)).unwrap();
    }
}

#[test]
fn signatures_by_openssl_verify_in_every_scheme() {
    if !has_openssl() {
        return;
    }
    use causeway_pki::SignatureAlgorithm::{RsaPkcs1, RsaPss};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("data"), b"message").unwrap();
    let spki = |name: &str| {
        let export = ["pkey", "-in", name, "-pubout", "-outform", "DER", "-out", "pub.der"];
        assert!(openssl(folder.path(), &export).0);
        causeway_pki::PublicKey::from_spki(&std::fs::read(path("pub.der")).unwrap()).unwrap()
    };
    for bits in ["1024", "2048", "3072"] {
        let option = format!("rsa_keygen_bits:{bits}");
        let make = ["genpkey", "-algorithm", "RSA", "-pkeyopt", &option, "-out", "rsa.pem"];
        assert!(openssl(folder.path(), &make).0);
        let key = spki("rsa.pem");
        assert_eq!(key.kind().to_string(), format!("RSA-{bits}"));
        for digest in [
            DigestAlgorithm::Sha1,
            DigestAlgorithm::Sha256,
            DigestAlgorithm::Sha384,
            DigestAlgorithm::Sha512,
        ] {
            let flag = format!("-{}", digest.name().replace('-', "").to_lowercase());
            let sign = ["dgst", &flag, "-sign", "rsa.pem", "-out", "sig", "data"];
            assert!(openssl(folder.path(), &sign).0);
            let signature = std::fs::read(path("sig")).unwrap();
            let strict = key.verify(RsaPkcs1(digest), EcdsaForm::Raw, b"message", &signature);
            let lenient =
                key.verify_legacy(RsaPkcs1(digest), EcdsaForm::Raw, b"message", &signature);
            let modern = bits != "1024" && digest != DigestAlgorithm::Sha1;
            assert_eq!(strict.is_ok(), modern, "{bits} {digest}");
            let legacy = modern || digest != DigestAlgorithm::Sha384;
            assert_eq!(lenient.is_ok(), legacy, "{bits} {digest}: {lenient:?}");
            assert!(
                key.verify_legacy(RsaPkcs1(digest), EcdsaForm::Raw, b"massage", &signature)
                    .is_err()
            );
            if modern {
                let sign = [
                    "dgst",
                    &flag,
                    "-sigopt",
                    "rsa_padding_mode:pss",
                    "-sigopt",
                    "rsa_pss_saltlen:digest",
                    "-sign",
                    "rsa.pem",
                    "-out",
                    "sig",
                    "data",
                ];
                assert!(openssl(folder.path(), &sign).0);
                let signature = std::fs::read(path("sig")).unwrap();
                key.verify(RsaPss(digest), EcdsaForm::Raw, b"message", &signature).unwrap();
            }
        }
    }
}

#[test]
fn ecdsa_in_both_forms() {
    for key in [TestKey::p256(), TestKey::p384()] {
        let public = causeway_pki::PublicKey::from_spki(key.certificate_public_key()).unwrap();
        let width = if public.kind() == causeway_pki::KeyKind::EcP256 { 32 } else { 48 };
        let der = key.sign(b"message").unwrap();
        let raw = causeway_pki::ecdsa_der_to_raw(&der, width).unwrap();
        assert_eq!(raw.len(), 2 * width);
        public.verify(key.algorithm(), EcdsaForm::Der, b"message", &der).unwrap();
        public.verify(key.algorithm(), EcdsaForm::Raw, b"message", &raw).unwrap();
        assert!(public.verify(key.algorithm(), EcdsaForm::Raw, b"massage", &raw).is_err());
        assert!(public.verify(key.algorithm(), EcdsaForm::Raw, b"message", &raw[1..]).is_err());
    }
}
