//! OCSP responses before `openssl ocsp`: those inside signatures (also in [`crate::by_hand`]) and
//! those that port 5577 serves.

use causeway_pki::Certificate;

use crate::desk::Desk;
use crate::samples::Samples;
use crate::tools;

fn check(
    desk: &Desk,
    response: &[u8],
    certificate: &Certificate,
    trust: &str,
) -> Result<(), String> {
    desk.put("response.der", response);
    desk.put("certificate.pem", certificate.to_pem().as_bytes());
    let commands = format!(
        "openssl ocsp -respin response.der -no_nonce -issuer ca.pem -cert certificate.pem {trust} 2>&1"
    );
    let said = desk.run_in(desk.path(), &commands)?;
    let holds = said.contains("Response verify OK") && said.contains("certificate.pem: good");
    if holds { Ok(()) } else { Err(said) }
}

#[test]
fn what_port_5577_serves_holds() {
    if !tools::have(&["openssl"]) {
        return;
    }
    for samples in Samples::all() {
        let desk = Desk::empty();
        desk.put("ca.pem", samples.ca.to_pem().as_bytes());
        desk.put("ocsp.pem", samples.responder.to_pem().as_bytes());
        assert_eq!(samples.responses.len(), 5, "two servers, three members");
        for (certificate, response) in &samples.responses {
            // The responder as the global configuration states it, and by the authority's word.
            for trust in ["-VAfile ocsp.pem", "-CAfile ca.pem"] {
                let checked = check(&desk, response, certificate, trust);
                assert_eq!(checked, Ok(()), "{} {trust}", certificate.subject_rfc2253());
            }
        }
        let [(first, _), (_, second), ..] = samples.responses.as_slice() else { panic!("several") };
        check(&desk, second, first, "-VAfile ocsp.pem").expect_err("of another certificate");
        let mut forged = second.to_vec();
        let middle = forged.len() / 4;
        forged[middle] ^= 1;
        check(&desk, &forged, &samples.responses[1].0, "-VAfile ocsp.pem").expect_err("forged");
    }
}
