//! SOAP envelopes: nothing panics, and a request's hash is there once and changes nothing else.
#![no_main]

use causeway_message::soap::{self, Answer, Soap, SoapMessage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|envelope: &[u8]| {
    let _ = Soap::read(envelope);
    if let Ok(action) = std::str::from_utf8(envelope) {
        let _ = soap::check_soap_action(Some(action));
    }
    let hash = soap::request_hash(envelope);
    let Ok(Answer::Message(message, written)) = soap::read_answer(envelope, &hash) else { return };
    assert_eq!(SoapMessage::parse(&written).as_ref(), Ok(&*message));
    let own = SoapMessage::parse(envelope).map(|m| SoapMessage { request_hash: None, ..m });
    assert_eq!(own, Ok(SoapMessage { request_hash: None, ..*message }));
});
