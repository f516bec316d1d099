//! Encoder and decoder: cost of a small exchange, throughput of a large body.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::hint::black_box;

use bytes::Bytes;
use causeway_transport::{Boundary, BoundaryUse, Decoder, Encoder, Event, Expect, Limits, media};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// A frame as HTTP hands it over.
const FRAME: usize = 64 * 1024;

fn encode(body: &[u8]) -> (String, Vec<u8>) {
    let mut encoder = Encoder::new(Boundary::random(BoundaryUse::Message, &[7; 30]));
    let content_type = encoder.content_type();
    let mut out = Vec::new();
    let ocsp = [&[0x30, 0x82, 0x06, 0x00][..], &[0; 0x600]].concat();
    for (kind, part) in [
        (media::OCSP_RESPONSE, ocsp.as_slice()),
        (media::REST_REQUEST, b"GET /r1/DEV/COM/1234/S/svc\r\nx-road-client:DEV/COM/1/C\r\n"),
        (media::REST_BODY, body),
        (media::SIGNATURE, &[b'x'; 6_000]),
    ] {
        out.extend_from_slice(&encoder.part_header(kind, &[]).unwrap());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&encoder.end());
    (content_type, out)
}

fn decode(content_type: &str, frames: &[Bytes]) -> usize {
    let mut decoder = Decoder::new(content_type, Expect::Request, Limits::default()).unwrap();
    let mut body = 0;
    for frame in frames {
        decoder.push(frame.clone());
        while let Some(event) = decoder.next_event().unwrap() {
            if let Event::BodyChunk(chunk) = event {
                body += chunk.len();
            }
        }
    }
    decoder.end_of_input();
    assert_eq!(decoder.next_event().unwrap(), Some(Event::End));
    body
}

/// Bytes without repetition, from a fixed generator (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("transport");
    let lines = b"a line of some text with its end\r\n".repeat(16 << 20 >> 5);
    for (name, body) in
        [("1 KiB", noise(1 << 10)), ("16 MiB noise", noise(16 << 20)), ("16 MiB lines", lines)]
    {
        let (content_type, message) = encode(&body);
        let frames: Vec<Bytes> = message.chunks(FRAME).map(Bytes::copy_from_slice).collect();
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| assert_eq!(decode(&content_type, black_box(&frames)), body.len()));
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode headers", |b| {
        b.iter_batched(
            || Boundary::random(BoundaryUse::Message, &[7; 30]),
            |boundary| {
                let mut encoder = Encoder::new(boundary);
                for kind in [media::REST_REQUEST, media::REST_BODY, media::SIGNATURE] {
                    black_box(encoder.part_header(kind, &[]).unwrap());
                }
                black_box(encoder.end())
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
