//! Durable appends by 1, 16 and 256 writers at once: records of 4 KiB that
//! share nothing, and records as an exchange makes them, five at a time under
//! one signature. What they cost on disk is printed.
//!
//! The log is made in `CAUSEWAY_BENCH_DIR`, or under `target`: a file system in
//! memory would say nothing.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_identifiers::ClientId;
use causeway_messagelog::timestamping::Plan;
use causeway_messagelog::{Log, LogSettings, NewRecord, Side};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use time::OffsetDateTime;

/// How many messages one signature is for.
const SHARING: u64 = 5;

fn record(number: u64, message: &Bytes, signature: Bytes, batch: bool) -> NewRecord {
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
        signature,
        hash_chain_result: batch.then(|| Bytes::from_static(&[b'r'; 430])),
        hash_chain: batch.then(|| Bytes::from_static(&[b'c'; 1500])),
        attachments: Vec::new(),
    }
}

/// What is signed together has the same document; each message brings its own copy.
fn shared(number: u64) -> Bytes {
    let mut document = vec![b's'; 8192];
    document[1000..1008].copy_from_slice(&(number / SHARING).to_le_bytes());
    Bytes::from(document)
}

async fn write(log: &Log, writers: u64, total: u64, batch: bool) -> Duration {
    let message = Bytes::from(vec![b'm'; 1024]);
    let alone = Bytes::from(vec![b's'; 3072]);
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let (log, message, alone) = (log.clone(), message.clone(), alone.clone());
        tasks.spawn(async move {
            for number in (writer..total).step_by(writers as usize) {
                let signature = if batch { shared(number) } else { alone.clone() };
                log.append(record(number, &message, signature, batch)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    begin.elapsed()
}

fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) * 10_000.0
}

fn written_bytes() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn append(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let base = std::env::var_os("CAUSEWAY_BENCH_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")),
        PathBuf::from,
    );
    for (name, batch) in [("append 4 KiB", false), ("append of a batch", true)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(1)).sample_size(10);
        for writers in [1, 16, 256] {
            let folder = tempfile::tempdir_in(&base).unwrap();
            let log = Log::open(LogSettings::new(folder.path())).unwrap();
            let (cpu, bytes) = (processor_time(), written_bytes());
            group.bench_function(BenchmarkId::new("writers", writers), |b| {
                b.iter_custom(|total| runtime.block_on(write(&log, writers, total, batch)));
            });
            let counters = log.counters().unwrap();
            let each = |sum: f64| sum / counters.records.max(1) as f64;
            println!(
                "    {} records, each {:.0} bytes in segments, {:.0} written, {:.1} µs of processor",
                counters.records,
                each(counters.segment_bytes as f64),
                each(written_bytes() - bytes),
                each(processor_time() - cpu),
            );
            runtime.block_on(log.close());
        }
        group.finish();
    }
}

fn timestamp(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let base = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target"));
    let folder = tempfile::tempdir_in(base).unwrap();
    let log = Log::open(LogSettings::new(folder.path())).unwrap();
    let stamp = || {
        let plan = Plan::batch(&log.untimestamped(1000).unwrap()).unwrap();
        let token = Bytes::from_static(&[b't'; 3000]);
        let timestamp = plan.complete(token, OffsetDateTime::now_utc()).unwrap();
        runtime.block_on(log.append_timestamp(timestamp)).unwrap();
    };
    let mut group = c.benchmark_group("timestamp");
    group.throughput(Throughput::Elements(1000)).sample_size(10);
    group.bench_function("1000 records", |b| {
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                runtime.block_on(write(&log, 256, 1000, true));
                let begin = Instant::now();
                stamp();
                total += begin.elapsed();
            }
            total
        });
    });
    runtime.block_on(write(&log, 256, 1000, true));
    let before = log.counters().unwrap().segment_bytes;
    stamp();
    let bytes = log.counters().unwrap().segment_bytes - before;
    println!("    each record's share is {:.1} bytes", bytes as f64 / 1000.0);
    group.finish();
    runtime.block_on(log.close());
}

criterion_group!(benches, append, timestamp);
criterion_main!(benches);
