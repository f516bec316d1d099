//! What the servers depend on fails, and comes back: OCSP, the registry, timestamping.

use std::time::Duration;

use causeway_pki::Certificate;
use central_registry::Edit;
use sandbox::{Ecosystem, Options};
use time::OffsetDateTime;

use crate::scene::{self, PERSON, get, portal, set, until, until_one_of};

const FAULT_OF_SIGNING: &str = "server.clientproxy.cannot_create_signature";

/// The certificates that the authority has issued to a server's member, to sign with or for TLS.
fn issued(ecosystem: &Ecosystem, member: &str, signing: bool) -> Vec<Certificate> {
    let all = ecosystem.authorities().ca().issued().into_iter().map(|issued| issued.certificate);
    let wanted = |c: &Certificate| {
        c.is_signing_certificate() == signing && c.subject_rfc2253().contains(member)
    };
    all.filter(wanted).collect()
}

fn revoke(ecosystem: &Ecosystem, certificates: &[Certificate]) {
    assert!(!certificates.is_empty());
    for certificate in certificates {
        ecosystem.authorities().ca().revoke(certificate, OffsetDateTime::now_utc()).unwrap();
    }
}

fn ask_for_ocsp_often(_: &str, table: &mut toml::Table) {
    set(table, "ocsp.fetch_interval", "1s");
    set(table, "ocsp.retry", "1s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_certificate_is_revoked() {
    let ecosystem = scene::start(ask_for_ocsp_often).await;
    assert_eq!(portal(&ecosystem, get(PERSON, "")).await.status, 200);
    // The provider's: what it answers cannot be signed.
    revoke(&ecosystem, &issued(&ecosystem, "1001", true));
    let refused = "server.serverproxy.cannot_create_signature";
    until(&ecosystem, &get(PERSON, ""), Some(refused)).await;
    // The consumer's own.
    revoke(&ecosystem, &issued(&ecosystem, "1003", true));
    let refused = until(&ecosystem, &get(PERSON, ""), Some(FAULT_OF_SIGNING)).await;
    assert_eq!(refused.status, 500);
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authentication_certificate_is_revoked() {
    let ecosystem = scene::start(ask_for_ocsp_often).await;
    assert_eq!(portal(&ecosystem, get(PERSON, "")).await.status, 200);
    revoke(&ecosystem, &issued(&ecosystem, "CN=127.0.0.1,", false));
    let refused = "server.clientproxy.ssl_authentication_failed";
    let refused = until(&ecosystem, &get(PERSON, ""), Some(refused)).await;
    assert!(refused.text().contains("REVOKED"), "{refused:?}");
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ocsp_responses_grow_stale() {
    let ecosystem = Ecosystem::start(Options {
        configuration_refresh: Duration::from_secs(1),
        ..Options::for_tests().adjust(ask_for_ocsp_often)
    })
    .await
    .unwrap();
    assert_eq!(portal(&ecosystem, get(PERSON, "")).await.status, 200);
    let fresh_for = Edit::PolicySet {
        ocsp_freshness_seconds: Some(4),
        timestamping_interval_seconds: None,
        ocsp_fetch_interval_seconds: None,
        verify_next_update: None,
        monitoring_client: None,
    };
    ecosystem.registry().edit(fresh_for).unwrap();
    ecosystem.authorities().ocsp_faults().set_available(false);
    // The other server's certificate, or the own one: whichever is looked at first when time is up.
    let refused = [Some("server.clientproxy.ssl_authentication_failed"), Some(FAULT_OF_SIGNING)];
    let refused = until_one_of(&ecosystem, &get(PERSON, ""), &refused).await;
    assert_eq!(refused.status, 500);
    ecosystem.authorities().ocsp_faults().set_available(true);
    until(&ecosystem, &get(PERSON, ""), None).await;
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_global_configuration_expires() {
    let mut ecosystem = Ecosystem::start(Options {
        configuration_validity: Duration::from_secs(10),
        configuration_refresh: Duration::from_secs(1),
        ..Options::for_tests()
    })
    .await
    .unwrap();
    assert_eq!(portal(&ecosystem, get(PERSON, "")).await.status, 200);
    ecosystem.stop_registry().await;
    let outdated = "server.clientproxy.global_conf_outdated";
    let refused = until(&ecosystem, &get(PERSON, ""), Some(outdated)).await;
    assert_eq!(refused.status, 500);
    ecosystem.start_registry().await.unwrap();
    until(&ecosystem, &get(PERSON, ""), None).await;
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_configuration_survives_a_restart_without_the_registry() {
    let mut ecosystem = scene::start(|_, _| {}).await;
    ecosystem.stop_registry().await;
    ecosystem.server_mut("ss1").unwrap().stop().await;
    ecosystem.server_mut("ss1").unwrap().start().await.unwrap();
    assert_eq!(portal(&ecosystem, get(PERSON, "")).await.status, 200);
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamping_fails_for_too_long() {
    let ecosystem = Ecosystem::start(Options {
        timestamping_interval: Duration::from_secs(1),
        ..Options::for_tests().adjust(|name, table| {
            set(table, "timestamping.retry", "1s");
            if name == "ss1" {
                set(table, "timestamping.acceptable_failure", "1s");
            }
        })
    })
    .await
    .unwrap();
    ecosystem.authorities().tsa_faults().set_available(false);
    let failed = "server.clientproxy.logging_failed.timestamping_failed";
    let refused = until(&ecosystem, &get(PERSON, ""), Some(failed)).await;
    assert_eq!(refused.status, 500);
    ecosystem.authorities().tsa_faults().set_available(true);
    until(&ecosystem, &get(PERSON, ""), None).await;
    ecosystem.stop().await;
}
