//! WSDL documents and SOAP questions: nothing panics, no address is told, and no service changes.
#![no_main]

use causeway_metadata::soap::{WsdlQuestion, method_list, wsdl_answer};
use causeway_metadata::wsdl::{HIDDEN_ADDRESS, Wsdl, hide_addresses};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let _ = (WsdlQuestion::read(text), wsdl_answer(text), method_list(text, "listMethods", []));
    let (read, hidden) = (Wsdl::read(text), hide_addresses(text));
    if let (Ok(read), Ok(hidden)) = (read, hidden) {
        let names = |wsdl: &Wsdl| wsdl.operations.iter().map(|o| o.name()).collect::<Vec<_>>();
        let told = Wsdl::read(&hidden).expect("what was read stays readable");
        assert_eq!(names(&read), names(&told));
        assert!(told.operations.iter().all(|o| o.address.as_deref().is_none_or(|a| a == HIDDEN_ADDRESS)));
    }
});
