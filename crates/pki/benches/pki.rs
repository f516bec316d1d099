//! What one exchange costs here: reading a certificate, judging an OCSP response, verifying a timestamp,
//! finding a path. `cargo bench -p causeway-pki`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;

use causeway_pki::issue::CertificateTemplate;
use causeway_pki::ocsp::{self, CertId, CertStatus, OcspPolicy, OcspResponse, OcspTrust};
use causeway_pki::tsp::{self, TimestampRequest, TimestampResponse, TimestampToken};
use causeway_pki::{
    BasicConstraints, Certificate, DigestAlgorithm, KeyUsage, PkiError, SignatureAlgorithm,
    SigningKey, chain, name,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use time::{Duration, OffsetDateTime};

struct Key {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let mut spki = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        spki.extend_from_slice(pair.public_key().as_ref());
        Self { pair, spki }
    }
}

impl SigningKey for Key {
    fn certificate_public_key(&self) -> &[u8] {
        &self.spki
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha256)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        Ok(self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec())
    }

    fn sign_with(&self, _: DigestAlgorithm, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        self.sign(message)
    }
}

fn template(cn: &str, key: &Key, serial: u8, now: OffsetDateTime) -> CertificateTemplate {
    let subject = name::encode(&[("C", "EE"), ("O", "Causeway benches"), ("CN", cn)]).unwrap();
    let day = Duration::days(1);
    CertificateTemplate::new(subject, &key.spki, &[serial], now - day, now + day)
}

fn benches(criterion: &mut Criterion) {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    let root_key = Key::new();
    let mut root = template("root", &root_key, 1, now);
    root.basic_constraints = Some(BasicConstraints { ca: true, path_len: None });
    let root = root.self_sign(&root_key).unwrap();
    let key = Key::new();
    let mut leaf = template("leaf", &key, 2, now);
    leaf.key_usage = Some(KeyUsage::NON_REPUDIATION);
    leaf.ocsp_url = Some("http://ca.example.org/ocsp".into());
    let leaf = leaf.issue(&root_key, &root).unwrap();

    criterion.bench_function("certificate/parse", |b| {
        b.iter(|| Certificate::from_der(black_box(leaf.der())).unwrap());
    });
    criterion.bench_function("certificate/issuer as text", |b| {
        b.iter(|| black_box(&leaf).issuer_rfc2253());
    });
    criterion.bench_function("chain/one step, P-256", |b| {
        b.iter(|| chain::judge(black_box(&leaf), &[], &root, now).unwrap());
    });

    let response = ocsp::ResponseBuilder::new(now)
        .single(&CertId::of(&leaf, &root), CertStatus::Good, now, None)
        .sign(&root_key, &root)
        .unwrap();
    criterion.bench_function("ocsp/parse", |b| {
        b.iter(|| OcspResponse::parse(black_box(&response)).unwrap());
    });
    let parsed = OcspResponse::parse(&response).unwrap();
    let others: Vec<Certificate> = (3..103)
        .map(|serial| template(&format!("ca {serial}"), &key, serial, now).self_sign(&key).unwrap())
        .collect();
    let trust = OcspTrust { responders_of_issuer: &[], all_responders: &[], all_cas: &others };
    let policy = OcspPolicy::default();
    criterion.bench_function("ocsp/judge among 100 authorities, P-256", |b| {
        b.iter(|| ocsp::judge(black_box(&parsed), &leaf, &root, &trust, &policy, now).unwrap());
    });
    criterion.bench_function("ocsp/judge time alone", |b| {
        b.iter(|| ocsp::judge_time(black_box(&parsed), &policy, now).unwrap());
    });

    let request =
        TimestampRequest::new(DigestAlgorithm::Sha512, &DigestAlgorithm::Sha512.digest(b"stamped"));
    let answer = tsp::ResponseBuilder::new("1.2.3.4", &[1], now).unwrap();
    let answer = answer.grant(&request, &key, &leaf).unwrap();
    let answer = TimestampResponse::parse(&answer).unwrap();
    let token = answer.token().unwrap();
    criterion.bench_function("timestamp/parse", |b| {
        b.iter(|| TimestampToken::parse(black_box(token.der())).unwrap());
    });
    let authorities = [leaf.clone()];
    criterion.bench_function("timestamp/verify, P-256", |b| {
        b.iter(|| token.verify(black_box(b"stamped"), &authorities).unwrap());
    });

    let mut group = criterion.benchmark_group("digest");
    let data = vec![7u8; 64 * 1024];
    group.throughput(Throughput::Bytes(data.len() as u64));
    for algorithm in DigestAlgorithm::ALL {
        group.bench_function(algorithm.name(), |b| b.iter(|| algorithm.digest(black_box(&data))));
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
