//! Reads bytes as a multipart and as SOAP alone: nothing panics, and what was read can be answered, with
//! an answer that is read back.
#![no_main]

use causeway_management::{Message, request_id, response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for content_type in ["multipart/related; boundary=B", "text/xml"] {
        if let Ok(message) = Message::read(Some(content_type), data.to_vec().into())
            && let Ok(answer) = response(&message, 7)
        {
            assert_eq!(request_id(&answer, &message.header), Ok(Some(7)));
        }
    }
});
