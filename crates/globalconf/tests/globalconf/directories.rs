//! Signed directories: X-Road's, the configuration proxy's, and ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_globalconf::directory::{
    Boundaries, Directory, NewPart, PRIVATE_PARAMETERS, SHARED_PARAMETERS, SignedDirectory, build,
};
use causeway_globalconf::{GlobalConfError, SharedParameters, Version};
use causeway_pki::{Certificate, DigestAlgorithm, SigningKey};
use proptest::prelude::*;

use crate::keys::{TestKey, openssl};
use crate::{at, read, vector};

const LONG_AGO: &str = "2014-01-01T00:00:00Z";

fn certificate(name: &str) -> Certificate {
    Certificate::from_der_or_pem(&read(vector(&format!("certs/{name}")).unwrap())).unwrap()
}

fn judge(file: &str, signer: &str, now: &str) -> Result<Directory, GlobalConfError> {
    let bytes = read(vector(&format!("configuration-client/{file}")).unwrap());
    SignedDirectory::parse(&bytes)?.verify(&[certificate(signer)], at(now))
}

#[test]
fn downloads_are_judged_as_xroad_judges_them() {
    if vector("").is_none() {
        return;
    }
    let simple = judge("test-conf-simple.txt", "consumer.pem", LONG_AGO).unwrap();
    assert_eq!(simple.expires, at("2026-05-20T17:42:55Z"));
    assert_eq!(simple.version, Version::V2);
    let locations: Vec<_> = simple.parts.iter().map(|part| part.location.as_str()).collect();
    assert_eq!(locations, ["/private-params.xml", "/shared-params.xml", "/foo.xml"]);
    for part in &simple.parts {
        let (folder, name) = part.local_path().unwrap();
        let file = read(
            vector(&format!("configuration-client/test-conf-simple/{folder}/{name}")).unwrap(),
        );
        part.check(&file).unwrap();
        let error = part.check(b"other").unwrap_err();
        assert_eq!(error.code(), "global_conf_part_downloaded_file_integrity_failure");
    }

    for (file, signer, now, code) in [
        ("test-conf-simple.txt", "consumer.pem", "2026-05-20T17:42:56Z", "global_conf_outdated"),
        ("test-conf-simple.txt", "producer.pem", LONG_AGO, "global_conf_missing_verification_cert"),
        (
            "test-conf-malformed.txt",
            "consumer.pem",
            LONG_AGO,
            "global_conf_missing_signed_data_expiration_date",
        ),
        (
            "test-conf-missing-date.txt",
            "consumer.pem",
            LONG_AGO,
            "global_conf_header_field_missing",
        ),
        (
            "test-conf-missing-signature.txt",
            "consumer.pem",
            LONG_AGO,
            "global_conf_signature_verification_failure",
        ),
        (
            "test-conf-invalid-signature.txt",
            "consumer.pem",
            LONG_AGO,
            "global_conf_signature_verification_failure",
        ),
        ("conf1.txt", "consumer.pem", LONG_AGO, "global_conf_header_field_missing"),
    ] {
        let error = judge(file, signer, now).expect_err(file);
        assert_eq!(error.code(), code, "{file} with {signer}: {error}");
    }
    let detached = judge("test-conf-detached.txt", "consumer.pem", LONG_AGO).unwrap();
    assert_eq!(detached.parts.len(), 1);
}

/// Everything that a central server of version 7.8 published: signature, digests, documents.
#[test]
fn what_a_central_server_published_holds() {
    if vector("").is_none() {
        return;
    }
    for version in [Version::V3, Version::V4, Version::V5, Version::V6] {
        let root = vector(&format!("globalconf-signed/V{version}")).unwrap();
        let folder = std::fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.is_dir())
            .unwrap();
        let shared =
            SharedParameters::parse(&read(folder.join("shared-params.xml")), version).unwrap();
        let signers = |internal: bool| -> Vec<Certificate> {
            let certificates = shared.sources.iter().flat_map(|source| match internal {
                true => &source.internal_certificates,
                false => &source.external_certificates,
            });
            certificates.map(|c| c.read().unwrap()).collect()
        };
        for (file, internal, parts) in [("internalconf", true, 2), ("externalconf", false, 1)] {
            let signed = SignedDirectory::parse(&read(root.join(file))).unwrap();
            let directory = match signed.verify(&signers(internal), at("2026-01-01T00:00:00Z")) {
                // This one was signed by a key whose certificate is nowhere in the tree.
                Err(GlobalConfError::MissingVerificationCertificate(_))
                    if (version, file) == (Version::V6, "internalconf") =>
                {
                    continue;
                }
                other => other.unwrap_or_else(|e| panic!("V{version}/{file}: {e}")),
            };
            assert_eq!(directory.version, version);
            assert_eq!(directory.parts.len(), parts);
            // The files of version 6 were edited after they had been published.
            for part in directory.parts.iter().filter(|_| version < Version::V6) {
                let path = part.location.trim_start_matches('/').to_owned();
                let file = vector("globalconf-signed").unwrap().join(path);
                part.check(&read(&file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            }
        }
    }
}

fn sample() -> [NewPart<'static>; 2] {
    [
        NewPart {
            identifier: SHARED_PARAMETERS,
            location: "/V6/1/shared-params.xml",
            content: b"s",
        },
        NewPart {
            identifier: PRIVATE_PARAMETERS,
            location: "/V6/1/private-params.xml",
            content: b"p",
        },
    ]
}

fn signed(key: &dyn SigningKey, certificate: &Certificate) -> Vec<u8> {
    let boundaries = Boundaries::from_random(&[7; 38]);
    let expires = at("2026-02-03T04:05:06.789Z");
    build(&sample(), expires, Version::V6, "DE V", key, certificate, &boundaries).unwrap()
}

#[test]
fn our_directory_is_read_back() {
    for (key, certificate) in [TestKey::ec(), TestKey::rsa()] {
        let bytes = signed(&key, &certificate);
        let directory = SignedDirectory::parse(&bytes)
            .unwrap()
            .verify(&[certificate], at("2026-02-03T04:05:06Z"))
            .unwrap();
        assert_eq!(directory.expires, at("2026-02-03T04:05:06Z"));
        let shared = directory.part(SHARED_PARAMETERS, "DE V").unwrap();
        shared.check(b"s").unwrap();
        assert_eq!(shared.local_path().unwrap(), ("DE+V".into(), "shared-params.xml".into()));
        assert_eq!(
            shared.url("http://cs.example/internalconf?version=6").unwrap(),
            "http://cs.example/V6/1/shared-params.xml"
        );
        let private = directory.part(PRIVATE_PARAMETERS, "DE V").unwrap();
        let metadata = String::from_utf8(directory.metadata(private).to_json()).unwrap();
        assert_eq!(
            metadata,
            r#"{"contentIdentifier":"PRIVATE-PARAMETERS","instanceIdentifier":"DE V","expirationDate":"2026-02-03T04:05:06Z","contentLocation":"/V6/1/private-params.xml","configurationVersion":"6"}"#
        );
    }
}

/// The bytes of our directory, line by line, against the form that X-Road's central server writes.
#[test]
fn our_directory_has_the_form_of_xroads() {
    let (key, certificate) = TestKey::rsa();
    let text = String::from_utf8(signed(&key, &certificate)).unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    let outer = lines[0].split("boundary=").nth(1).unwrap();
    let inner = lines[3].split("boundary=").nth(1).unwrap();
    assert_eq!((outer.len(), inner.len()), (20, 20));
    let hash = STANDARD.encode(certificate.digest(DigestAlgorithm::Sha512));
    let digest = |bytes: &[u8]| STANDARD.encode(DigestAlgorithm::Sha512.digest(bytes));
    let part = |id: &str, file: &str, digest: String| {
        [
            format!("--{inner}"),
            "Content-type: application/octet-stream".into(),
            "Content-transfer-encoding: base64".into(),
            format!("Content-identifier: {id}; instance='DE V'"),
            format!("Content-location: /V6/1/{file}"),
            "Hash-algorithm-id: http://www.w3.org/2001/04/xmlenc#sha512".into(),
            String::new(),
            digest,
        ]
    };
    let mut expected = vec![
        format!("Content-Type: multipart/related; charset=UTF-8; boundary={outer}"),
        String::new(),
        format!("--{outer}"),
        format!("Content-Type: multipart/mixed; charset=UTF-8; boundary={inner}"),
        String::new(),
        format!("--{inner}"),
        "Expire-date: 2026-02-03T04:05:06Z".into(),
        "Version: 6".into(),
        String::new(),
    ];
    expected.extend(part("SHARED-PARAMETERS", "shared-params.xml", digest(b"s")));
    expected.extend(part("PRIVATE-PARAMETERS", "private-params.xml", digest(b"p")));
    expected.extend([
        format!("--{inner}--"),
        String::new(),
        format!("--{outer}"),
        "Content-Type: application/octet-stream".into(),
        "Content-Transfer-Encoding: base64".into(),
        "Signature-Algorithm-Id: http://www.w3.org/2001/04/xmldsig-more#rsa-sha512".into(),
        format!(
            "Verification-certificate-hash: {hash}; hash-algorithm-id=\"http://www.w3.org/2001/04/xmlenc#sha512\""
        ),
        String::new(),
    ]);
    assert_eq!(lines[..expected.len()], expected);
    assert_eq!(lines[expected.len() + 1..], [format!("--{outer}--"), String::new()]);
}

/// Verification that shares nothing with ours: the slice is cut by text, openssl checks it.
#[test]
fn openssl_verifies_what_we_sign() {
    for ((key, certificate), digest) in [(TestKey::ec(), "-sha256"), (TestKey::rsa(), "-sha512")] {
        let text = String::from_utf8(signed(&key, &certificate)).unwrap();
        let inner = text.lines().nth(3).unwrap().split("boundary=").nth(1).unwrap();
        let start = text.find(&format!("--{inner}\r\n")).unwrap();
        let close = format!("--{inner}--\r\n");
        let end = text.find(&close).unwrap() + close.len();
        let signature = text.lines().rev().nth(1).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(file("slice"), &text[start..end]).unwrap();
        std::fs::write(file("signature"), STANDARD.decode(signature).unwrap()).unwrap();
        std::fs::write(file("cert.pem"), certificate.to_pem()).unwrap();
        openssl(&["x509", "-in", &file("cert.pem"), "-pubkey", "-noout", "-out", &file("key.pem")]);
        openssl(&[
            "dgst",
            digest,
            "-verify",
            &file("key.pem"),
            "-signature",
            &file("signature"),
            &file("slice"),
        ]);
    }
}

/// The notation of the configuration proxy: lower case, LF LF after the envelope's header, double
/// quotes, no quotes, milliseconds.
#[test]
fn the_proxys_notation_is_read() {
    let (key, certificate) = TestKey::rsa();
    let digest = STANDARD.encode(DigestAlgorithm::Sha512.digest(b"file"));
    let content = format!(
        "--in\r\nexpire-date: 2026-02-03T04:05:06.789Z\r\nversion: 3\r\n\r\n\r\n\
         --in\r\ncontent-type: application/octet-stream\r\ncontent-transfer-encoding: base64\r\n\
         content-identifier: SHARED-PARAMETERS; instance=\"DEV\"\r\n\
         content-location: /PROXY/1763/DEV/V3/2025/shared-params.xml\r\n\
         hash-algorithm-id: http://www.w3.org/2001/04/xmlenc#sha512\r\n\r\n{digest}\r\n--in--\r\n"
    );
    let directory = format!(
        "content-type: multipart/related; type=\"multipart/mixed\"; charset=UTF-8; boundary=out\n\n\
         --out\r\ncontent-type: multipart/mixed; charset=UTF-8; boundary=in\r\n\r\n{content}\r\n\
         --out\r\ncontent-type: application/octet-stream\r\ncontent-transfer-encoding: base64\r\n\
         signature-algorithm-id: http://www.w3.org/2001/04/xmldsig-more#rsa-sha512\r\n\
         verification-certificate-hash: {}; hash-algorithm-id=http://www.w3.org/2001/04/xmlenc#sha512\r\n\r\n{}\r\n--out--\r\n",
        STANDARD.encode(certificate.digest(DigestAlgorithm::Sha512)),
        STANDARD.encode(key.sign(content.as_bytes()).unwrap()),
    );
    let directory = SignedDirectory::parse(directory.as_bytes())
        .unwrap()
        .verify(&[certificate], at("2026-02-03T04:05:06.789Z"))
        .unwrap();
    assert_eq!(directory.version, Version::V3);
    directory.part(SHARED_PARAMETERS, "DEV").unwrap().check(b"file").unwrap();
}

#[test]
fn one_changed_byte_breaks_the_signature() {
    let (key, certificate) = TestKey::ec();
    let bytes = signed(&key, &certificate);
    let text = String::from_utf8(bytes.clone()).unwrap();
    for place in ["2026-02", "V6/1/shared", "Version: 6"] {
        let mut changed = bytes.clone();
        changed[text.find(place).unwrap() + place.len() - 1] ^= 1;
        let error = SignedDirectory::parse(&changed)
            .unwrap()
            .verify(std::slice::from_ref(&certificate), at(LONG_AGO))
            .unwrap_err();
        assert_eq!(error.code(), "global_conf_signature_verification_failure", "{place}");
    }
}

#[test]
fn unsafe_file_names_have_no_local_path() {
    let (key, certificate) = TestKey::ec();
    for (location, name) in [
        ("/V6/1/..", None),
        ("/V6/1/", None),
        ("/V6/1/.bashrc", None),
        ("/V6/1/a%2fb", None),
        ("/V6/../../x.xml", Some("x.xml")),
        ("C:\\x.xml", Some("x.xml")),
    ] {
        let part = NewPart { identifier: "OTHER", location, content: b"" };
        let boundaries = Boundaries::from_random(&[1; 38]);
        let expires = at("2026-02-03T04:05:06Z");
        let bytes =
            build(&[part], expires, Version::V6, "..", &key, &certificate, &boundaries).unwrap();
        let directory = SignedDirectory::parse(&bytes)
            .unwrap()
            .verify(std::slice::from_ref(&certificate), at(LONG_AGO))
            .unwrap();
        let path = directory.parts[0].local_path();
        assert_eq!(path, name.map(|name| ("%2E%2E".into(), name.into())), "{location}");
    }
}

#[test]
fn what_cannot_stand_in_a_header_is_not_signed() {
    let (key, certificate) = TestKey::ec();
    let boundaries = Boundaries::from_random(&[1; 38]);
    for location in ["/a\r\nVersion: 2", "", "/a;b", "/a\"b"] {
        let part = NewPart { identifier: "OTHER", location, content: b"" };
        let expires = at("2026-02-03T04:05:06Z");
        build(&[part], expires, Version::V6, "DEV", &key, &certificate, &boundaries).unwrap_err();
    }
    let (_, other) = TestKey::ec();
    build(&[], at(LONG_AGO), Version::V6, "DEV", &key, &other, &boundaries).unwrap_err();
}

proptest! {
    #[test]
    fn reading_a_directory_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = SignedDirectory::parse(&bytes);
    }

    #[test]
    fn reading_a_broken_directory_never_panics(
        cut in 0_usize..2000, place in 0_usize..2000, byte in any::<u8>(), header in "[ -~]{0,40}"
    ) {
        let (key, certificate) = cached();
        let mut bytes = signed(key, certificate);
        let end = bytes.len().min(cut.max(1));
        let place = place % end;
        bytes[place] = byte;
        let _ = SignedDirectory::parse(&bytes[..end]);
        // The inner part, reached only behind a good signature: sign broken content.
        let digest = STANDARD.encode(certificate.digest(DigestAlgorithm::Sha512));
        let content = format!("--in\n{header}\n\n--in\nContent-type: {header}\n\n{header}\n--in--\n");
        let directory = format!(
            "Content-Type: multipart/related; boundary=out\n\n--out\nContent-Type: multipart/mixed; boundary=in\n\n{content}\n--out\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\nSignature-Algorithm-Id: http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256\nVerification-certificate-hash: {digest}; hash-algorithm-id=http://www.w3.org/2001/04/xmlenc#sha512\n\n{}\n--out--",
            STANDARD.encode(key.sign(content.as_bytes()).unwrap()),
        );
        let parsed = SignedDirectory::parse(directory.as_bytes()).unwrap();
        let _ = parsed.verify(std::slice::from_ref(certificate), at(LONG_AGO));
    }
}

fn cached() -> (&'static TestKey, &'static Certificate) {
    static KEY: std::sync::OnceLock<(TestKey, Certificate)> = std::sync::OnceLock::new();
    let (key, certificate) = KEY.get_or_init(TestKey::ec);
    (key, certificate)
}
