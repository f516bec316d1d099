//! Durable appends of 4 KiB by 1, 16 and 256 writers at once.
//!
//! The log is made in `CAUSEWAY_BENCH_DIR`, or under `target`: a file system in
//! memory would say nothing.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_identifiers::ClientId;
use causeway_messagelog::{Log, LogSettings, NewRecord, Side};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use time::OffsetDateTime;

fn record(message: &Bytes, signature: &Bytes, number: u64) -> NewRecord {
    NewRecord {
        time: OffsetDateTime::now_utc(),
        message_id: format!("message-{number}"),
        request_id: None,
        response: false,
        side: Side::Consumer,
        owner: ClientId::new("DEV", "GOV", "1234", Some("Portal")).unwrap(),
        service: "DEV/GOV/77/Register/persons".into(),
        peer: None,
        message: message.clone(),
        signature: signature.clone(),
        hash_chain_result: None,
        hash_chain: None,
        attachments: Vec::new(),
    }
}

async fn write(log: &Log, writers: u64, total: u64) -> Duration {
    let message = Bytes::from(vec![b'm'; 1024]);
    let signature = Bytes::from(vec![b's'; 3072]);
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let (log, message, signature) = (log.clone(), message.clone(), signature.clone());
        tasks.spawn(async move {
            for number in (writer..total).step_by(writers as usize) {
                log.append(record(&message, &signature, number)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    begin.elapsed()
}

fn append(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let base = std::env::var_os("CAUSEWAY_BENCH_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")),
        PathBuf::from,
    );
    let mut group = c.benchmark_group("append 4 KiB");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for writers in [1, 16, 256] {
        let folder = tempfile::tempdir_in(&base).unwrap();
        let log = Log::open(LogSettings::new(folder.path())).unwrap();
        group.bench_function(BenchmarkId::new("writers", writers), |b| {
            b.iter_custom(|total| runtime.block_on(write(&log, writers, total)));
        });
        runtime.block_on(log.close());
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
