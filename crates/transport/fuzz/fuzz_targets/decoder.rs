//! Decodes the same bytes whole and in pieces: nothing panics, and the cut does not matter.
#![no_main]

use bytes::Bytes;
use causeway_transport::{Decoder, Event, Expect, Limits, TransportError};
use libfuzzer_sys::fuzz_target;

/// Events with the chunks of a body joined.
fn decode(expect: Expect, pieces: &[&[u8]]) -> (Vec<Event>, Option<TransportError>) {
    let content_type = "multipart/mixed; boundary=B";
    let Ok(mut decoder) = Decoder::new(content_type, expect, Limits::default()) else {
        unreachable!("the content type is good")
    };
    let mut events: Vec<Event> = Vec::new();
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
                    (Some(Event::BodyChunk(have)), Event::BodyChunk(more))
                    | (Some(Event::AttachmentChunk(have)), Event::AttachmentChunk(more)) => {
                        *have = Bytes::from([&have[..], &more[..]].concat());
                    }
                    (_, event) => events.push(event),
                },
            }
        }
    }
    (events, None)
}

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (request, size, message) = input;
    let expect = if request { Expect::Request } else { Expect::Response };
    let pieces: Vec<&[u8]> = message.chunks(usize::from(size).max(1)).collect();
    assert_eq!(decode(expect, &[message]), decode(expect, &pieces));
});
