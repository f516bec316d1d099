//! Certificates, OCSP responses and tokens that X-Road made.

use causeway_pki::ocsp::{self, OcspPolicy, OcspResponse, OcspTrust};
use causeway_pki::tsp::TimestampToken;
use causeway_pki::{Certificate, EcdsaForm, SignatureAlgorithm};

use crate::support::{
    base64_elements, configured_certificates, containers, files, text_elements, vectors,
};

#[test]
fn every_certificate_of_the_vectors_is_read() {
    let Some(folder) = vectors() else { return };
    let mut count = 0;
    for path in files(&folder) {
        let bytes = std::fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "pem") {
            let certificate = Certificate::from_der_or_pem(&bytes)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(certificate.public_key().is_ok());
            let again = Certificate::from_der_or_pem(certificate.to_pem().as_bytes()).unwrap();
            assert_eq!(again, certificate);
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
    let configured = configured_certificates(&folder);
    assert!(configured.len() > 10, "{}", configured.len());
    let card = std::fs::read(folder.join("certs/test-esteid.txt")).unwrap();
    Certificate::from_der_or_pem(&card).unwrap();
}

#[test]
fn names_and_serials_are_written_as_java_wrote_them() {
    let Some(folder) = vectors() else { return };
    let mut compared = 0;
    for container in containers(&folder) {
        let Some(der) = base64_elements(&container.signatures, "X509Certificate").pop() else {
            continue;
        };
        let certificate = Certificate::from_der(&der).unwrap();
        let issuers = text_elements(&container.signatures, "X509IssuerName");
        if issuers.is_empty() {
            continue; // an older layout
        }
        let serials = text_elements(&container.signatures, "X509SerialNumber");
        assert!(issuers.contains(&certificate.issuer_rfc2253()), "{issuers:?} {certificate:?}");
        assert!(serials.contains(&certificate.serial_decimal()), "{serials:?} {certificate:?}");
        compared += 1;
    }
    assert!(compared >= 10, "{compared}");
}

#[test]
fn ocsp_responses_of_containers_are_judged_good_at_their_time() {
    let Some(folder) = vectors() else { return };
    let configured = configured_certificates(&folder);
    let mut judged = 0;
    for container in containers(&folder) {
        let certificate = base64_elements(&container.signatures, "X509Certificate").pop().unwrap();
        let certificate = Certificate::from_der(&certificate).unwrap();
        let issuer = configured.iter().find(|ca| certificate.is_issued_by(ca));
        let issuer = issuer.unwrap_or_else(|| panic!("{}: issuer unknown", container.name));
        let response = base64_elements(&container.signatures, "EncapsulatedOCSPValue").remove(0);
        let response = OcspResponse::parse(&response).unwrap();
        let trust = OcspTrust {
            responders_of_issuer: &configured,
            all_responders: &configured,
            all_cas: &configured,
        };
        let policy = OcspPolicy::default();
        let at = response.this_update();
        ocsp::judge(&response, &certificate, issuer, &trust, &policy, at)
            .unwrap_or_else(|error| panic!("{}: {error}", container.name));
        let late = at + policy.freshness + std::time::Duration::from_secs(1);
        let error =
            ocsp::judge(&response, &certificate, issuer, &trust, &policy, late).unwrap_err();
        assert_eq!(error.code(), "incorrect_validation_info");
        judged += 1;
    }
    assert!(judged >= 10, "{judged}");
}

#[test]
fn batch_and_single_timestamps_of_containers_verify() {
    let Some(folder) = vectors() else { return };
    let configured = configured_certificates(&folder);
    let (mut batches, mut singles) = (0, 0);
    for container in containers(&folder) {
        if let Some((token, stamped)) = &container.batch
            && !container.name.starts_with("invalid-ts")
        {
            let token = TimestampToken::parse(token).unwrap();
            let tsa = token.verify(stamped, &configured).unwrap();
            assert!(token.certificates().contains(&tsa), "{}", container.name);
            batches += 1;
        }
        if container.name == "attachments.asice" {
            continue; // made for a test of extraction; its single timestamp is of another signature
        }
        let value = base64_elements(&container.signatures, "SignatureValue").remove(0);
        for token in base64_elements(&container.signatures, "EncapsulatedTimeStamp") {
            let token = TimestampToken::parse(&token).unwrap();
            token.verify(&value, &configured).unwrap_or_else(|e| panic!("{}: {e}", container.name));
            let error = token.verify(b"other", &configured).unwrap_err();
            assert_eq!(error.code(), "malformed_signature");
            singles += 1;
        }
    }
    assert!(batches >= 2 && singles >= 2, "{batches} {singles}");
}

#[test]
fn timestamp_fixtures_get_x_roads_verdicts() {
    let Some(folder) = vectors() else { return };
    let params = folder.join("globalconf/globalconf_good_v2/EE/shared-params.xml");
    let xml = std::fs::read_to_string(params).unwrap();
    let stamped = std::fs::read(folder.join("timestamps/stamped-data")).unwrap();
    let token = std::fs::read(folder.join("timestamps/valid")).unwrap();
    let token = TimestampToken::parse(&token).unwrap();
    let known: Vec<Certificate> = base64_elements(&xml, "cert")
        .iter()
        .map(|der| Certificate::from_der_or_pem(der).unwrap())
        .collect();

    let tsa = token.verify(&stamped, &known).unwrap();
    let stored = TimestampToken::parse(&token.with_signer_certificate(&tsa)).unwrap();
    assert_eq!(stored.verify(&stamped, &known).unwrap(), tsa);
    assert_eq!(stored.certificates(), std::slice::from_ref(&tsa));
    assert_eq!(stored.with_signer_certificate(&tsa), stored.der());

    let mut changed = stamped.clone();
    changed[42] = 1;
    assert_eq!(token.verify(&changed, &known).unwrap_err().code(), "malformed_signature");
    let others: Vec<_> = known.iter().filter(|c| **c != tsa).cloned().collect();
    assert_eq!(
        token.verify(&stamped, &others).unwrap_err().code(),
        "mlog.tsp_certificate_not_found"
    );
    assert_eq!(
        token.verify(&stamped, &[]).unwrap_err().code(),
        "mlog.no_timestamping_provider_found"
    );
    let broken = std::fs::read(folder.join("timestamps/invalid-signature")).unwrap();
    let broken = TimestampToken::parse(&broken).unwrap();
    assert_eq!(
        broken.verify(&stamped, &known).unwrap_err().code(),
        "mlog.timestamp_signer_verification_failed"
    );
}

#[test]
fn timestamp_answer_of_an_authority_is_read() {
    let Some(folder) = vectors() else { return };
    let bytes = std::fs::read(folder.join("messagelog/tsp.response")).unwrap();
    let response = causeway_pki::tsp::TimestampResponse::parse(&bytes).unwrap();
    assert!(response.is_granted());
    assert_eq!(response.status_texts(), ["Operation Okay"]);
    let token = response.token().unwrap();
    assert_eq!(token.policy(), "1.2.3");
    assert_eq!(token.serial(), hex::decode("6C134551E07FE8FA").unwrap());
    assert_eq!(token.gen_time().unix_timestamp(), 1_399_364_929);
    let tsa = std::fs::read(folder.join("certs/tsp.pem")).unwrap();
    let tsa = Certificate::from_der_or_pem(&tsa).unwrap();
    token.verify_signature(&[tsa]).unwrap();
}

#[test]
fn key_usage_decides_what_a_certificate_is_for() {
    let Some(folder) = vectors() else { return };
    let read = |name: &str| {
        let bytes = std::fs::read(folder.join("certs").join(name)).unwrap();
        Certificate::from_der_or_pem(&bytes).unwrap()
    };
    let root = read("root-ca.pem");
    assert!(root.is_self_signed() && root.is_ca());
    assert!(root.is_issued_by(&root));
    let consumer = read("consumer.pem");
    assert!(consumer.is_issued_by(&root));
    assert!(!root.is_issued_by(&consumer));
    let ntree = read("NTREE.pem");
    assert!(ntree.subject_attribute("2.5.4.97").unwrap().starts_with("NTREE-"));
    let key = consumer.public_key().unwrap();
    let algorithm = SignatureAlgorithm::RsaPkcs1(causeway_pki::DigestAlgorithm::Sha256);
    assert!(key.verify(algorithm, EcdsaForm::Der, b"x", &[0; 256]).is_err());
}
