//! Timestamps and containers, X-Road's own among them.

use bytes::Bytes;
use causeway_asic::{Container, Limits};
use causeway_messagelog::timestamping::Plan;
use causeway_messagelog::{
    Log, LogError, NewAttachment, NewCover, NewTimestamp, RecordId, RecordTimestamp, SpooledBody,
    TimestampCover, evidence,
};
use causeway_pki::DigestAlgorithm;
use causeway_signature::hashchain::{self, Input, PartDigest, Resolve, build};
use causeway_signature::xades::SignatureDocument;

use crate::{now, record, small, vectors};

#[tokio::test]
async fn the_first_timestamp_counts_and_unknown_records_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for number in 0..3 {
        log.append(record(&format!("m{number}"))).await.unwrap();
    }
    let plan = Plan::batch(&log.untimestamped(10).unwrap()).unwrap();
    let first = plan.clone().complete(Bytes::from_static(b"first"), now()).unwrap();
    let second = plan.complete(Bytes::from_static(b"second"), now()).unwrap();
    let stamped = log.append_timestamp(first).await.unwrap();
    log.append_timestamp(second).await.unwrap();
    assert_eq!(log.counters().unwrap().untimestamped, 0);
    let timestamp = log.record(RecordId(2)).unwrap().unwrap().timestamp.unwrap();
    assert_eq!((timestamp.id, &timestamp.token[..]), (stamped, &b"first"[..]));

    for id in [stamped, RecordId(100)] {
        let cover = NewCover::Single { record: id, signature: Bytes::from_static(b"<s/>") };
        let new = NewTimestamp { time: now(), token: Bytes::new(), cover };
        assert!(matches!(log.append_timestamp(new).await, Err(LogError::UnknownRecord(_))));
    }
    assert!(log.record(stamped).unwrap().is_none(), "a timestamp is no message record");
}

struct Files<'a>(&'a [u8], &'a [u8]);

impl Resolve for Files<'_> {
    fn resolve(&self, uri: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
        match uri {
            "/ts-hashchain.xml" => Some(self.0.into()),
            "/META-INF/signatures.xml" => Some(self.1.into()),
            _ => None,
        }
    }
}

#[tokio::test]
async fn a_batch_timestamp_leads_to_each_signature() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for number in 0..150 {
        log.append(record(&format!("m{number}"))).await.unwrap();
    }
    let plan = Plan::batch(&log.untimestamped(149).unwrap()).unwrap();
    assert_eq!(plan.records(), 149);
    let stamped = plan.stamped().to_vec();
    log.append_timestamp(plan.complete(Bytes::from_static(b"t"), now()).unwrap()).await.unwrap();
    assert_eq!(log.untimestamped(9).unwrap().len(), 1);
    // What the composer of whole batches makes is what comes out, byte for byte.
    let parts: Vec<Vec<PartDigest>> = (1..=149)
        .map(|id| {
            let read = log.record(RecordId(id)).unwrap().unwrap();
            let digest = DigestAlgorithm::Sha512.digest(&read.signature);
            vec![PartDigest { name: "/META-INF/signatures.xml".into(), digest }]
        })
        .collect();
    let built = build(DigestAlgorithm::Sha512, &parts, "/ts-hashchain.xml").unwrap();
    assert_eq!(built.result.as_bytes(), &stamped[..]);
    for id in 1..=149 {
        let read = log.record(RecordId(id)).unwrap().unwrap();
        let container = evidence::to_container(&read);
        assert_eq!(container.ts_hash_chain_result.as_deref(), Some(&stamped[..]));
        let chain = container.ts_hash_chain.unwrap();
        assert_eq!(&chain[..], built.chains[id as usize - 1].as_bytes());
        let inputs = [Input { name: "/META-INF/signatures.xml", digest: None }];
        hashchain::verify(&stamped, &inputs, &Files(&chain, &read.signature)).unwrap();
        assert!(hashchain::verify(&stamped, &inputs, &Files(&chain, b"<other/>")).is_err());
        if id == 77 {
            assert_eq!(evidence::file_name(&read), "m76-request-2d.asice");
            let bytes = evidence::write_container(&read, Vec::new()).unwrap();
            let again = Container::read(&bytes, &Limits::default()).unwrap();
            assert_eq!((again.message, again.signatures), (read.message, read.signature));
            assert_eq!(again.ts_hash_chain, Some(chain));
        }
    }
}

#[tokio::test]
async fn a_single_timestamp_goes_into_xroads_own_signatures() {
    let Some(vectors) = vectors() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for name in ["signatures/sign-0.xml", "messagelog/signature.xml"] {
        let mut new = record(name);
        let signature = Bytes::from(std::fs::read(vectors.join(name)).unwrap());
        new.signature = signature.clone();
        let id = log.append(new).await.unwrap();
        let read = log.record(id).unwrap().unwrap();
        let plan = Plan::single(&read).unwrap();
        let before = SignatureDocument::parse(&signature).unwrap();
        assert_eq!(plan.stamped(), before.value());
        let new = plan.complete(Bytes::from_static(b"a token"), now()).unwrap();
        log.append_timestamp(new).await.unwrap();

        let stamped = log.record(id).unwrap().unwrap();
        assert_eq!(stamped.timestamp.unwrap().cover, TimestampCover::Single);
        assert_eq!(stamped.signature_hash, read.signature_hash);
        let after = SignatureDocument::parse(&stamped.signature).unwrap();
        assert_eq!(after.timestamps()[0], b"a token");
        assert_eq!(after.signed_info(), before.signed_info());
        assert_eq!(after.value(), before.value());
        assert_eq!(after.judge_value().is_ok(), before.judge_value().is_ok());
    }
}

#[tokio::test]
async fn xroads_containers_come_out_as_they_went_in() {
    let Some(vectors) = vectors() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    for name in
        ["valid-batch-ts.asice", "valid-non-batch-rest.asice", "valid-signed-hashchain.asice"]
    {
        let bytes = std::fs::read(vectors.join("asic").join(name)).unwrap();
        let original = Container::read(&bytes, &Limits::default()).unwrap();
        let mut new = record(name);
        new.message = original.message.clone();
        new.signature = original.signatures.clone();
        new.hash_chain_result = original.sig_hash_chain_result.clone();
        new.hash_chain = original.sig_hash_chain.clone();
        for attachment in &original.attachments {
            new.attachments.push(NewAttachment {
                number: attachment.number(),
                digest: attachment.sha512().try_into().unwrap(),
                length: attachment.size(),
                body: attachment.content().cloned().map(SpooledBody::Memory),
            });
        }
        let id = log.append(new).await.unwrap();
        let token = original.timestamp.clone().unwrap_or_default();
        let mut read = log.record(id).unwrap().unwrap();
        let cover = match (&original.ts_hash_chain_result, &original.ts_hash_chain) {
            (Some(result), Some(chain)) => TimestampCover::Batch {
                hash_chain_result: result.clone(),
                hash_chain: chain.clone(),
            },
            _ => TimestampCover::Single,
        };
        read.timestamp = Some(RecordTimestamp { id, token, cover });
        let written = evidence::write_container(&read, Vec::new()).unwrap();
        let mut again = Container::read(&written, &Limits::default()).unwrap();
        again.manifest.clone_from(&original.manifest);
        again.asic_manifest.clone_from(&original.asic_manifest);
        // Ours always comes first; older ones of X-Road have it later.
        assert!(again.media_type_first, "{name}");
        again.media_type_first = original.media_type_first;
        assert!(again == original, "{name}");
    }
}

#[tokio::test]
async fn a_token_finds_its_place_or_a_chain_takes_it() {
    let Some(vectors) = vectors() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(small(folder.path())).unwrap();
    let text = std::fs::read_to_string(vectors.join("signatures/sign-0.xml")).unwrap();
    let before = SignatureDocument::parse(text.as_bytes()).unwrap();

    // The same words in a comment come first.
    let (head, tail) = text.split_at(text.find("<xades:UnsignedProperties").unwrap());
    let decoy = "<!-- <xades:UnsignedSignatureProperties> -->";
    let mut new = record("decoy");
    new.signature = Bytes::from(format!("{head}{decoy}{tail}"));
    let id = log.append(new).await.unwrap();
    let plan = Plan::single(&log.record(id).unwrap().unwrap()).unwrap();
    assert_eq!(plan.stamped(), before.value());
    let new = plan.complete(Bytes::from_static(b"a token"), now()).unwrap();
    log.append_timestamp(new).await.unwrap();
    let stamped = log.record(id).unwrap().unwrap();
    assert_eq!(SignatureDocument::parse(&stamped.signature).unwrap().timestamps()[0], b"a token");

    // No place at all: the record is stamped by a chain instead.
    let end = "</xades:UnsignedProperties>";
    let (_, behind) = tail.split_once(end).unwrap();
    let mut new = record("no place");
    new.signature = Bytes::from(format!("{head}{behind}"));
    let id = log.append(new).await.unwrap();
    let plan = Plan::single(&log.record(id).unwrap().unwrap()).unwrap();
    let result = plan.stamped().to_vec();
    let new = plan.complete(Bytes::from_static(b"a token"), now()).unwrap();
    log.append_timestamp(new).await.unwrap();
    let read = log.record(id).unwrap().unwrap();
    let TimestampCover::Batch { hash_chain, .. } = read.timestamp.unwrap().cover else {
        panic!("not by a chain");
    };
    let inputs = [Input { name: "/META-INF/signatures.xml", digest: None }];
    hashchain::verify(&result, &inputs, &Files(&hash_chain, &read.signature)).unwrap();
}
