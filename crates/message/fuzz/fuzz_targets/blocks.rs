//! REST header blocks and SOAP messages: nothing panics, and what is read as REST is written back to the same bytes.
#![no_main]

use causeway_message::rest::{RestRequest, RestResponse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    let _ = causeway_message::sender_of(block);
    let _ = causeway_message::soap::read_fault(block);
    if let Ok(request) = RestRequest::parse(block) {
        assert_eq!(RestRequest::parse(&request.to_block()).as_ref(), Ok(&request));
    }
    if let Ok(response) = RestResponse::parse(block) {
        assert_eq!(RestResponse::parse(&response.to_block()).as_ref(), Ok(&response));
    }
});
