//! Hash chains: X-Road's vectors, the known tree shapes, and hostile chains.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod vectors;

use std::borrow::Cow;
use std::collections::HashMap;

use causeway_pki::DigestAlgorithm::{self, Sha256, Sha512};
use causeway_signature::HashChainError;
use causeway_signature::hashchain::{
    Covered, DigestValue, Input, PartDigest, Resolve, build, digest_list, step_digest, verify,
};
use proptest::prelude::*;

#[derive(Default)]
struct Files(HashMap<String, Vec<u8>>, Vec<&'static str>);

impl Resolve for Files {
    fn resolve(&self, uri: &str) -> Option<Cow<'_, [u8]>> {
        self.0.get(uri).map(|b| Cow::Borrowed(b.as_slice()))
    }
    fn must_resolve(&self, uri: &str) -> bool {
        !self.1.contains(&uri)
    }
}

fn known(byte: u8) -> DigestValue {
    DigestValue { algorithm: Sha256, value: vec![byte] }
}

fn codes(result: Result<Vec<Covered>, HashChainError>) -> &'static str {
    result.map_or_else(|e| e.code(), |_| "valid")
}

#[test]
fn xroads_chains() {
    let Some(dir) = vectors::folder("hashchain") else { return };
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let files = |pairs: &[(&str, &str)]| {
        Files(pairs.iter().map(|(uri, file)| ((*uri).to_owned(), read(file))).collect(), vec![])
    };
    let message = [Input { name: "/message.xml", digest: None }];

    let one = files(&[
        ("/hashchain.xml", "hc-verifier1-hashchain.xml"),
        ("/message.xml", "hc-verifier1-message.xml"),
    ]);
    let result = read("hc-verifier1-hashchainresult.xml");
    assert_eq!(codes(verify(&result, &message, &one)), "valid");
    let digest =
        DigestValue { algorithm: Sha256, value: Sha256.digest(&read("hc-verifier1-message.xml")) };
    let given = |d| [Input { name: "/message.xml", digest: Some(d) }];
    assert_eq!(codes(verify(&result, &given(&digest), &one)), "valid");
    let unused = [
        message[0].clone(),
        Input { name: "/unused1", digest: None },
        Input { name: "/unused2", digest: None },
    ];
    assert_eq!(codes(verify(&result, &unused, &one)), "hashchain_unused_inputs");
    let other = DigestValue { algorithm: Sha256, value: Sha256.digest(b"another") };
    assert_eq!(codes(verify(&result, &given(&other), &one)), "invalid_hash_chain");

    let four = files(&[
        ("/hashchain.xml", "hc-verifier4-hashchain1.xml"),
        ("/hashchain2.xml", "hc-verifier4-hashchain2.xml"),
        ("/message.xml", "hc-verifier4-message.xml"),
    ]);
    assert_eq!(codes(verify(&read("hc-verifier4-hashchainresult.xml"), &message, &four)), "valid");

    let mut two = files(&[("/hashchain.xml", "hc-verifier2-hashchain.xml")]);
    let digests = [known(11), known(12), known(13), known(14)];
    let names = ["/message.xml", "/attachment1", "/attachment2", "/attachment3"];
    let all: Vec<Input<'_>> =
        names.iter().zip(&digests).map(|(name, d)| Input { name, digest: Some(d) }).collect();
    let result = read("hc-verifier2-hashchainresult.xml");
    assert_eq!(codes(verify(&result, &all, &two)), "valid");
    two.1 = vec!["/attachment1", "/attachment2", "/attachment3"];
    let covered = verify(&result, &all[..1], &two).unwrap();
    assert_eq!(covered.iter().filter(|c| !c.compared).count(), 3);

    let three =
        |chain| files(&[("/hashchain.xml", chain), ("/message.xml", "hc-verifier3-message.xml")]);
    let result = read("hc-verifier3-hashchainresult.xml");
    assert_eq!(codes(verify(&result, &message, &three("hc-verifier3-hashchain.xml"))), "valid");
    assert_eq!(
        codes(verify(&result, &message, &three("hc-verifier3-hashchain-invalid.xml"))),
        "invalid_hash_chain_ref"
    );
    assert_eq!(
        codes(verify(&result, &message, &three("hc-verifier5-hashchain-invalid-schema.xml"))),
        "malformed_hash_chain"
    );
}

fn leaf(parts: &[(&str, &[u8])], algorithm: DigestAlgorithm) -> Vec<PartDigest> {
    parts
        .iter()
        .map(|(name, data)| PartDigest { name: (*name).to_owned(), digest: algorithm.digest(data) })
        .collect()
}

#[test]
fn the_digest_list_is_der() {
    let item = DigestValue { algorithm: Sha512, value: vec![7; 64] };
    let der = digest_list(&[item.clone(), item]);
    assert_eq!(der.len(), 225);
    assert_eq!(&der[..3], [0x30, 0x81, 0xde]);
    assert_eq!(&der[3..7], [0x30, 0x6d, 0x04, 0x40]);
    assert_eq!(&der[der.len() - 2..], [0x30, 0x00]);
}

#[test]
fn xroads_tree_over_one_two_three_four() {
    let leaves: Vec<_> = [b"one".as_slice(), b"two", b"three", b"four"]
        .iter()
        .map(|text| leaf(&[("/message.xml", text)], Sha256))
        .collect();
    let chains = build(Sha256, &leaves, "/sig-hashchain.xml").unwrap();
    assert!(chains.result.contains("D7oIIfhfp4ToT729xyx991PvstI5XvpW+d7oeWvXw8E="));
}

#[test]
fn odd_nodes_move_up() {
    let d = |t: &[u8]| DigestValue { algorithm: Sha512, value: Sha512.digest(t) };
    let h = |a: &DigestValue, b: &DigestValue| DigestValue {
        algorithm: Sha512,
        value: step_digest(Sha512, &[a.clone(), b.clone()]),
    };
    let [a, b, c, e, f] = [d(b"a"), d(b"b"), d(b"c"), d(b"d"), d(b"e")];
    let five = h(&h(&h(&a, &b), &h(&c, &e)), &f);
    let leaves: Vec<_> = [b"a", b"b", b"c", b"d", b"e"]
        .iter()
        .map(|t| leaf(&[("/message.xml", t.as_slice())], Sha512))
        .collect();
    let chains = build(Sha512, &leaves, "/sig-hashchain.xml").unwrap();
    let stated = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, five.value);
    assert!(chains.result.contains(&stated));
}

#[test]
fn circles_and_depth_are_refused() {
    let step =
        |id: &str, to: &str| format!("<HashStep id=\"{id}\"><StepRef URI=\"#{to}\"/></HashStep>");
    let chain = |steps: String| {
        format!(
            "<HashChain xmlns=\"http://cyber.ee/hashchain\"><DefaultDigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha512\"/>{steps}</HashChain>"
        )
    };
    let result = "<HashChainResult URI=\"/c#S0\" xmlns=\"http://cyber.ee/hashchain\" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha512\"/><ds:DigestValue>AA==</ds:DigestValue></HashChainResult>";
    let long: String = (0..60).map(|i| step(&format!("S{i}"), &format!("S{}", i + 1))).collect();
    for steps in [
        step("S0", "S0"),
        step("S0", "S1") + &step("S1", "S0"),
        long,
        step("S0", "S1") + &step("S0", "S2"),
    ] {
        let files = Files(HashMap::from([("/c".to_owned(), chain(steps).into_bytes())]), vec![]);
        assert_eq!(codes(verify(result.as_bytes(), &[], &files)), "malformed_hash_chain");
    }
    let to_itself = chain("<HashStep id=\"S0\"><StepRef URI=\"/c#S0\"/></HashStep>".into());
    let files = Files(HashMap::from([("/c".to_owned(), to_itself.into_bytes())]), vec![]);
    assert_eq!(codes(verify(result.as_bytes(), &[], &files)), "malformed_hash_chain");
}

#[test]
fn transforms_do_not_hide_behind_a_known_digest() {
    let parts = leaf(&[("/message.xml", b"<a/>"), ("/attachment1", b"not XML")], Sha512);
    let digests: Vec<_> =
        parts.iter().map(|p| DigestValue { algorithm: Sha512, value: p.digest.clone() }).collect();
    let built = build(Sha512, &[parts], "/sig-hashchain.xml").unwrap();
    let inputs = [
        Input { name: "/message.xml", digest: Some(&digests[0]) },
        Input { name: "/attachment1", digest: Some(&digests[1]) },
    ];
    let judged = |chain: String| {
        let files =
            Files(HashMap::from([("/sig-hashchain.xml".to_owned(), chain.into_bytes())]), vec![]);
        codes(verify(built.result.as_bytes(), &inputs, &files))
    };
    let chain = &built.chains[0];
    assert_eq!(judged(chain.clone()), "valid");
    let data = "URI=\"/attachment1\">";
    assert!(chain.contains(data), "{chain}");
    let with = |transforms: &str| {
        let ds = "http://www.w3.org/2000/09/xmldsig#";
        let inside = format!("{data}<Transforms xmlns=\"{ds}\">{transforms}</Transforms>");
        judged(chain.replace(data, &inside))
    };
    assert_eq!(with(""), "valid");
    let c14n = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    assert_eq!(with(&format!("<Transform Algorithm=\"{c14n}\"/>")), "malformed_hash_chain");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_leaf_of_any_batch_verifies(sizes in proptest::collection::vec(1_usize..4, 1..40)) {
        let names = ["/message.xml", "/attachment1", "/attachment2"];
        let content: Vec<Vec<(&str, Vec<u8>)>> = sizes.iter().enumerate()
            .map(|(i, n)| names.iter().take(*n).map(|name| (*name, format!("{i}{name}").into_bytes())).collect())
            .collect();
        let leaves: Vec<Vec<PartDigest>> = content.iter()
            .map(|parts| parts.iter().map(|(n, d)| PartDigest { name: (*n).to_owned(), digest: Sha512.digest(d) }).collect())
            .collect();
        let Some(chains) = build(Sha512, &leaves, "/sig-hashchain.xml") else {
            prop_assert_eq!(sizes, vec![1]);
            return Ok(());
        };
        for (parts, chain) in content.iter().zip(&chains.chains) {
            let mut files = Files::default();
            files.0.insert("/sig-hashchain.xml".into(), chain.clone().into_bytes());
            for (name, data) in parts {
                files.0.insert((*name).to_owned(), data.clone());
            }
            let inputs: Vec<Input<'_>> = parts.iter().map(|(name, _)| Input { name, digest: None }).collect();
            let covered = verify(chains.result.as_bytes(), &inputs, &files).unwrap();
            prop_assert_eq!(covered.len(), parts.len());
            files.0.insert("/message.xml".into(), b"tampered".to_vec());
            prop_assert!(verify(chains.result.as_bytes(), &inputs, &files).is_err());
        }
    }

    #[test]
    fn judging_never_panics(a in proptest::collection::vec(any::<u8>(), 0..200), b in "<HashChain[ -~]{0,200}") {
        let files = Files(HashMap::from([("/c".to_owned(), b.into_bytes())]), vec![]);
        let _ = verify(&a, &[], &files);
    }

    /// A comment behind the root changes nothing but who reads: the quick reader leaves such a document to the general one.
    #[test]
    fn both_readers_of_a_chain_come_to_the_same_verdict(
        sizes in proptest::collection::vec(1_usize..4, 2..9),
        which in any::<proptest::sample::Index>(),
        of_result in any::<bool>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0..4_u8, "[ -~\n]"), 0..4),
    ) {
        let names = ["/message.xml", "/attachment1", "/attachment2"];
        let content = |leaf: usize, name: &str| format!("{leaf}{name}").into_bytes();
        let leaves: Vec<Vec<PartDigest>> = sizes.iter().enumerate()
            .map(|(i, n)| names.iter().take(*n).map(|name| PartDigest {
                name: (*name).to_owned(), digest: Sha512.digest(&content(i, name)),
            }).collect())
            .collect();
        let chains = build(Sha512, &leaves, "/sig-hashchain.xml").unwrap();
        let leaf = which.index(leaves.len());
        let (mut result, mut chain) = (chains.result.into_bytes(), chains.chains[leaf].clone().into_bytes());
        for (at, kind, byte) in changes {
            let bytes = if of_result { &mut result } else { &mut chain };
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte.as_bytes()[0],
                1 => bytes.insert(at, byte.as_bytes()[0]),
                2 => drop(bytes.remove(at)),
                _ => {
                    let line = bytes[at..].split_inclusive(|b| *b == b'\n').next().unwrap().to_vec();
                    bytes.splice(at..at, line);
                }
            }
        }
        let inputs: Vec<Input<'_>> = leaves[leaf].iter().map(|p| Input { name: &p.name, digest: None }).collect();
        let verdict = |result: &[u8], chain: &[u8]| {
            let mut files = Files::default();
            files.0.insert("/sig-hashchain.xml".into(), chain.to_vec());
            for part in &leaves[leaf] {
                files.0.insert(part.name.clone(), content(leaf, &part.name));
            }
            verify(result, &inputs, &files).map_err(|e| e.code())
        };
        let commented = |bytes: &[u8]| [bytes, b"<!-- -->"].concat();
        prop_assert_eq!(verdict(&result, &chain), verdict(&commented(&result), &commented(&chain)));
    }
}
