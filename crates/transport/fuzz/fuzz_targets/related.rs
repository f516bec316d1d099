//! Decodes an information system's multipart whole and in pieces: nothing panics, and the cut does not matter.
#![no_main]

use bytes::Bytes;
use causeway_transport::{Boundary, Limits, RelatedDecoder, RelatedEvent, TransportError};
use libfuzzer_sys::fuzz_target;

/// Events with the bytes of a part joined.
fn decode(pieces: &[&[u8]]) -> (Vec<RelatedEvent>, Option<TransportError>) {
    let Some(boundary) = Boundary::parse("B") else { unreachable!("the boundary is good") };
    let mut decoder = RelatedDecoder::new(&boundary, Limits::default());
    let mut events: Vec<RelatedEvent> = Vec::new();
    for index in 0..=pieces.len() {
        match pieces.get(index) {
            Some(piece) => decoder.push(Bytes::copy_from_slice(piece)),
            None => decoder.end_of_input(),
        }
        loop {
            match decoder.next_event() {
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
                Ok(Some(event)) => match (events.last_mut(), event) {
                    (Some(RelatedEvent::Data(have)), RelatedEvent::Data(more)) => {
                        *have = Bytes::from([&have[..], &more[..]].concat());
                    }
                    (_, event) => events.push(event),
                },
            }
        }
    }
    (events, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, message) = input;
    let pieces: Vec<&[u8]> = message.chunks(usize::from(size).max(1)).collect();
    assert_eq!(decode(&[message]), decode(&pieces));
});
