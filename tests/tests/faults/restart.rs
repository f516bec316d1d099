//! A server with a long log begins to serve at once, whether it was stopped or killed.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use causeway_messagelog::{
    AttachmentBody, Log, LogSettings, MessageRecord, NewAttachment, NewCover, NewRecord,
    NewTimestamp, Query, RecordId, SpooledBody,
};
use sandbox::{Exchange, Options};
use tokio::task::JoinSet;

use crate::scene::{Scene, number};

const RECORDS: usize = 20_000;
/// How many of them wait for their timestamp when the server starts.
const WAITING: usize = 1_000;
/// Records under one timestamp, as a server has them that falls a little behind.
const BATCH: usize = 2_000;
const WRITERS: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_opens() {
    let records = match number("CAUSEWAY_MILLION") {
        Some(1) => 1_000_000,
        _ => RECORDS,
    };
    let scene = Scene::set("ss1", Options::for_tests()).await;
    let mut process = scene.start();
    let (first, with_nothing) = scene.until_served(&mut process).await;
    println!("first answer with an empty log: {with_nothing:.1?} after the start");
    scene.stamp(&first).await;
    let status = process.terminate().await;
    assert!(status.success(), "{status}");

    let folder = scene.log_folder("ss1");
    let begun = Instant::now();
    let middle = fill(&folder, &first, records).await;
    println!("{records} records written in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    let log = Log::open(LogSettings::new(&folder)).unwrap();
    println!("the log alone opens in {:.1?}: {:?}", begun.elapsed(), log.counters().unwrap());
    log.close().await;

    for killed in [false, true] {
        let mut process = scene.start();
        let (exchange, elapsed) = scene.until_served(&mut process).await;
        println!("first answer with {records} records: {elapsed:.1?} after the start");
        // What is old is found, and what is new too.
        scene.stamp(&exchange).await;
        let (_, conf) = sandbox::evidence::configuration(&scene.ecosystem).await.unwrap();
        for exchange in [&first, &exchange] {
            let found =
                sandbox::evidence::collect(&scene.ecosystem, exchange, &conf).await.unwrap();
            assert!(found.iter().all(|evidence| evidence.report.is_valid()));
            let answer = asic(&scene, &exchange.id).await;
            assert!(sandbox::evidence::judge(&answer, &conf).is_valid());
        }
        asic(&scene, &middle).await;
        if killed {
            process.kill();
        } else {
            assert!(process.terminate().await.success());
        }
    }
    let mut process = scene.start();
    let (_, elapsed) = scene.until_served(&mut process).await;
    println!(
        "first answer with {records} records: {elapsed:.1?} after a start that follows a kill"
    );
    drop(process);
    let log = Log::open(LogSettings::new(&folder)).unwrap();
    assert!(log.recovery().damages.is_empty() && !log.recovery().rebuilt);
    assert!(log.counters().unwrap().records >= records as u64);
    log.close().await;
    scene.ecosystem.stop().await;
}

async fn asic(scene: &Scene, id: &str) -> Bytes {
    let server = scene.ecosystem.server(scene.name).unwrap();
    let owner = &scene.ecosystem.world().portal.subsystem;
    let found = sandbox::evidence::download(server.consumer(), owner, id, true).await.unwrap();
    found.unwrap_or_else(|| panic!("{id} is not found"))
}

/// Copies the records of an exchange under other message ids until there are so many. The copies
/// are as long as real ones, but do not verify. Gives the message id of one in the middle.
async fn fill(folder: &Path, exchange: &Exchange, records: usize) -> String {
    let log = Log::open(LogSettings::new(folder)).unwrap();
    let member = exchange.client.member();
    let query = Query {
        message_id: exchange.id.clone(),
        member_class: member.class().to_owned(),
        member_code: member.code().to_owned(),
        subsystem_code: exchange.client.subsystem_code().map(str::to_owned),
        response: None,
        limit: 2,
    };
    let found = log.find(&query).unwrap();
    let originals: Vec<_> = found.iter().map(|id| log.record(*id).unwrap().unwrap()).collect();
    let originals: Arc<[MessageRecord]> = originals.into();
    assert_eq!(originals.len(), 2);

    let token = originals[0].timestamp.as_ref().unwrap().token.clone();
    let mut done = 0;
    while done < records {
        let amount = BATCH.min(records - done);
        let ids = write(&log, &originals, done..done + amount).await;
        done += amount;
        if records - done < WAITING {
            continue;
        }
        let hash_chain_result = Bytes::from_static(&[b'r'; 400]);
        let leaves = ids.into_iter().map(|id| (id, [id.0 as u8; 64])).collect();
        let cover = NewCover::Batch { hash_chain_result, leaves };
        let timestamp = NewTimestamp { time: originals[0].time, token: token.clone(), cover };
        log.append_timestamp(timestamp).await.unwrap();
    }
    log.close().await;
    name(records / 4)
}

/// The message id of a copied exchange.
fn name(exchange: usize) -> String {
    format!("copy-{exchange:08}")
}

async fn write(
    log: &Log,
    originals: &Arc<[MessageRecord]>,
    numbers: std::ops::Range<usize>,
) -> Vec<RecordId> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (log, originals) = (log.clone(), Arc::clone(originals));
        let numbers = numbers.clone().skip(writer).step_by(WRITERS);
        writers.spawn(async move {
            let mut ids = Vec::new();
            for number in numbers {
                let record = copy(&originals[number % 2], name(number / 2));
                ids.push(log.append(record).await.unwrap());
            }
            ids
        });
    }
    writers.join_all().await.into_iter().flatten().collect()
}

fn copy(original: &MessageRecord, message_id: String) -> NewRecord {
    let attachments = original.attachments.iter().map(|attachment| NewAttachment {
        number: attachment.number,
        digest: attachment.digest,
        length: attachment.length,
        body: match &attachment.body {
            AttachmentBody::Inline(bytes) => Some(SpooledBody::Memory(bytes.clone())),
            _ => None,
        },
    });
    NewRecord {
        time: original.time,
        message_id,
        request_id: original.request_id.clone(),
        response: original.response,
        side: original.side,
        owner: original.owner.clone(),
        service: original.service.clone(),
        peer: original.peer.clone(),
        message: original.message.clone(),
        signature: original.signature.clone(),
        hash_chain_result: original.hash_chain_result.clone(),
        hash_chain: original.hash_chain.clone(),
        attachments: attachments.collect(),
    }
}
