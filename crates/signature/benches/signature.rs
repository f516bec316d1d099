//! Parsing, canonicalization, signing, verifying, hash chains.
#![allow(missing_docs, clippy::unwrap_used)]

use std::borrow::Cow;
use std::hint::black_box;

use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::issue::CertificateTemplate;
use causeway_pki::{Certificate, DigestAlgorithm, SigningKey, name};
use causeway_signature::batch::sign;
use causeway_signature::hashchain::{self, Input, PartDigest, Resolve};
use causeway_signature::verify::{Absent, ChainDocuments, Content, Part, judge_coverage};
use causeway_signature::xades::{Composer, SignatureDocument};
use causeway_xml::{Canonicalization, Document, Limits};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use time::macros::datetime;

fn signer(kind: KeyKind) -> (KeyPair, Certificate) {
    let key = KeyPair::generate(kind).unwrap();
    let subject = name::encode(&[("C", "DEV"), ("O", "GOV"), ("CN", "1234")]).unwrap();
    let (from, to) = (datetime!(2026-01-01 0:00 UTC), datetime!(2036-01-01 0:00 UTC));
    let certificate = CertificateTemplate::new(subject, key.public_key(), &[1], from, to)
        .self_sign(&key)
        .unwrap();
    (key, certificate)
}

fn message(number: usize) -> Vec<PartDigest> {
    let part = |name: &str| PartDigest {
        name: name.into(),
        digest: DigestAlgorithm::Sha512.digest(&number.to_be_bytes()),
    };
    vec![part("/message.xml"), part("/attachment1")]
}

struct Chain<'a>(&'a [u8]);

impl Resolve for Chain<'_> {
    fn resolve(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self.0))
    }
    fn must_resolve(&self, uri: &str) -> bool {
        uri.starts_with("/sig")
    }
}

fn benches(c: &mut Criterion) {
    let ocsp = vec![0_u8; 1800];
    let at = datetime!(2026-11-24 10:20 UTC);
    for (label, kind) in [("rsa2048", KeyKind::Rsa2048), ("p256", KeyKind::EcP256)] {
        let (key, certificate) = signer(kind);
        let composer = Composer::new(&certificate, &[], key.algorithm());
        let mut group = c.benchmark_group(format!("sign/{label}"));
        for size in [1, 32] {
            let batch: Vec<_> = (0..size).map(message).collect();
            group.throughput(Throughput::Elements(size as u64));
            group.bench_with_input(BenchmarkId::from_parameter(size), &batch, |b, batch| {
                b.iter(|| sign(black_box(batch), &composer, &key, &[&ocsp], at).unwrap());
            });
        }
        group.finish();

        let signed = sign(&[message(0)], &composer, &key, &[], at).unwrap();
        let bytes = signed[0].signature.clone();
        let document = SignatureDocument::parse(&bytes).unwrap();
        let mut group = c.benchmark_group(format!("verify/{label}"));
        group.bench_function("read", |b| {
            b.iter(|| SignatureDocument::parse(black_box(&bytes)).unwrap())
        });
        group.bench_function("value", |b| b.iter(|| document.judge_value().unwrap()));
        let (result, chain) = signed[0].chain().unwrap();
        let documents = ChainDocuments { result, chain };
        let content = 0_usize.to_be_bytes();
        let parts = [
            Part { name: "/message.xml", content: Content::Bytes(&content) },
            Part { name: "/attachment1", content: Content::Bytes(&content) },
        ];
        group.bench_function("coverage", |b| {
            b.iter(|| {
                judge_coverage(&document, Some(documents), black_box(&parts), Absent::Refused)
                    .unwrap()
            });
        });
        group.finish();
        if kind == KeyKind::EcP256 {
            let mut group = c.benchmark_group("xml");
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function("parse", |b| {
                b.iter(|| Document::parse(black_box(&bytes), &Limits::default()).unwrap())
            });
            let parsed = Document::parse(&bytes, &Limits::default()).unwrap();
            let info = parsed.root().descendants().find(|e| e.name() == "SignedInfo").unwrap();
            group.bench_function("canonicalize", |b| {
                b.iter(|| info.canonicalize(Canonicalization::Inclusive).unwrap())
            });
            group.finish();
        }
    }

    let mut group = c.benchmark_group("hashchain");
    for size in [32, 10_000] {
        let leaves: Vec<_> = (0..size).map(message).collect();
        group.throughput(Throughput::Elements(size as u64));
        group.bench_with_input(BenchmarkId::new("build", size), &leaves, |b, leaves| {
            b.iter(|| {
                hashchain::build(DigestAlgorithm::Sha512, black_box(leaves), "/sig-hashchain.xml")
                    .unwrap()
            });
        });
    }
    let leaves: Vec<_> = (0..32).map(message).collect();
    let chains = hashchain::build(DigestAlgorithm::Sha512, &leaves, "/sig-hashchain.xml").unwrap();
    group.throughput(Throughput::Elements(1));
    group.bench_function("verify", |b| {
        let inputs = [
            Input { name: "/message.xml", digest: None },
            Input { name: "/attachment1", digest: None },
        ];
        let chain = Chain(chains.chains[7].as_bytes());
        b.iter(|| hashchain::verify(black_box(chains.result.as_bytes()), &inputs, &chain));
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
