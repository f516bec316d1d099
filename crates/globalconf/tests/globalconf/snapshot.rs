//! Look-ups, with the answers that X-Road's own tests expect of the same files.

use std::collections::BTreeSet;

use causeway_globalconf::shared::CostType;
use causeway_globalconf::{
    AuthCertificateHash, CostPriority, GlobalConf, GlobalConfError, InstanceConfiguration,
    SharedParameters, Version,
};
use causeway_identifiers::{ClientId, GlobalGroupId, MemberId, SecurityServerId};
use causeway_pki::Certificate;

use crate::{at, files_below, vector};

fn load(folder: &str) -> Option<Result<GlobalConf, GlobalConfError>> {
    let root = vector(&format!("globalconf/{folder}"))?;
    Some(GlobalConf::from_directory_files(files_below(&root)))
}

fn good(folder: &str) -> Option<GlobalConf> {
    let conf = load(folder)?.unwrap_or_else(|e| panic!("{folder}: {e}"));
    assert_eq!(conf.problems(), &[] as &[String], "{folder}");
    Some(conf)
}

/// Some files are openssl's TRUSTED CERTIFICATE, so openssl reads them.
fn certificate(name: &str) -> Certificate {
    let file = vector(&format!("certs/{name}.pem")).unwrap();
    let out = std::process::Command::new("openssl")
        .args(["x509", "-outform", "DER", "-in"])
        .arg(file)
        .output()
        .unwrap();
    Certificate::from_der(&out.stdout).unwrap()
}

fn client(short: &str) -> ClientId {
    ClientId::parse(&format!("EE/BUSINESS/{short}")).unwrap()
}

fn server(short: &str) -> SecurityServerId {
    SecurityServerId::parse(&format!("EE/BUSINESS/{short}")).unwrap()
}

#[test]
fn configurations_of_all_versions_are_read() {
    for (folder, instances) in [
        ("globalconf_good_v2", vec!["EE", "bar", "foo"]),
        ("globalconf_good_v3", vec!["EE", "bar", "foo_v2"]),
        ("globalconf_good_v4", vec!["EE", "bar", "baz_v3", "foo_v2"]),
        ("globalconf_good_v5", vec!["EE", "bar", "baz_v3", "foo_v2", "qux_v4"]),
        ("globalconf_good_v6", vec!["EE", "bar", "baz_v3", "foo_v2", "quux_v5", "qux_v4"]),
        ("globalconf_good2_v3", vec!["DEV"]),
    ] {
        let Some(conf) = good(folder) else { return };
        assert_eq!(conf.instances().collect::<Vec<_>>(), instances, "{folder}");
        assert_eq!(conf.instance(), instances[0]);
        assert!(conf.valid_at(at("2124-05-20T17:42:55Z")).is_ok());
    }
}

#[test]
fn incomplete_and_malformed_configurations_are_refused() {
    for folder in ["globalconf_empty", "globalconf_malformed", "globalconf_missing_identifier"] {
        let Some(result) = load(folder) else { return };
        assert_eq!(result.expect_err(folder).code(), "malformed_global_conf");
    }
}

#[test]
fn a_configuration_counts_until_it_expires() {
    let Some(conf) = good("globalconf_good_v6") else { return };
    let error = conf.valid_at(at("2124-05-20T17:42:56Z")).unwrap_err();
    assert_eq!(error.code(), "global_conf_outdated");
    assert!(conf.without_expired_partners(at("2124-05-20T17:42:55Z")).is_none());
    let alone = conf.without_expired_partners(at("2124-05-20T17:42:56Z")).unwrap();
    assert_eq!(alone.instances().collect::<Vec<_>>(), ["EE"]);
    assert!(alone.all_cas().len() <= conf.all_cas().len());
}

/// A malformed partner is left out, a malformed own instance is an error.
#[test]
fn one_partners_fault_does_not_stop_the_others() {
    let Some(root) = vector("globalconf/globalconf_good_v6") else { return };
    for (broken, survives) in [("bar/", true), ("EE/", false)] {
        let mut files = files_below(&root);
        for (path, bytes) in &mut files {
            if path == &format!("{broken}shared-params.xml") {
                *bytes = b"yyy".to_vec();
            }
        }
        match GlobalConf::from_directory_files(files) {
            Ok(conf) if survives => assert_eq!(conf.problems().len(), 1),
            Err(e) if !survives => assert_eq!(e.code(), "malformed_global_conf"),
            other => panic!("{broken}: {other:?}"),
        }
    }
}

#[test]
fn the_verification_archive_of_a_security_server_is_read() {
    let Some(root) = vector("globalconf/globalconf_good2_v3") else { return };
    let files = files_below(&root);
    let files = files.into_iter().map(|(path, bytes)| (format!("verificationconf/{path}"), bytes));
    assert_eq!(GlobalConf::from_directory_files(files.collect()).unwrap().instance(), "DEV");
}

/// `GlobalConfTest` of X-Road, over version 2 (and what holds in the newer versions too).
#[test]
fn look_ups_answer_as_xroads() {
    for folder in [
        "globalconf_good_v2",
        "globalconf_good_v3",
        "globalconf_good_v4",
        "globalconf_good_v5",
        "globalconf_good_v6",
    ] {
        let Some(conf) = good(folder) else { return };
        let group = GlobalGroupId::new("EE", "Test group").unwrap();
        assert!(conf.global_group_contains(&group, &client("member1/subsys")));
        assert!(conf.global_group_contains(&group, &client("member2")));
        assert!(!conf.global_group_contains(&group, &client("member2/subsys")));
        let none = GlobalGroupId::new("non-existent-instance", "none").unwrap();
        assert!(!conf.global_group_contains(&none, &client("member2")));
        assert_eq!(conf.global_group_description(&group), Some("Description"));

        for known in ["producer", "consumer", "foo", "foo/foosubsystem"] {
            assert!(conf.has_client(&client(known)), "{known}");
        }
        assert!(!conf.has_client(&client("bar")));
        assert!(!conf.has_client(&client("consumer/foosubsystem")));
        let producer = MemberId::parse("EE/BUSINESS/producer").unwrap();
        assert_eq!(conf.member_name(&producer), Some("Experimental producer"));

        let addresses = |id: &str| -> BTreeSet<String> {
            let servers = conf.servers_of(&client(id)).into_iter();
            servers.filter_map(|server| server.address.clone()).collect()
        };
        assert_eq!(
            addresses("consumer"),
            ["https://www.foo.com/bar", "127.0.0.1"].map(String::from).into()
        );
        assert_eq!(addresses("producer"), ["127.0.0.1".to_owned()].into());

        let ids: Vec<_> = conf.servers("EE").iter().map(|s| s.id.clone()).collect();
        let all = [
            "producer/producerServerCode",
            "consumer/consumerServerCode",
            "foo/fooServerCode",
            "foo/FooBarServerCode",
        ];
        assert_eq!(ids, all.map(server));
        let of_foo: Vec<_> = conf.servers_of(&client("foo")).iter().map(|s| s.id.clone()).collect();
        assert_eq!(of_foo, [server(all[0]), server(all[2]), server(all[3])]);
        assert_eq!(*conf.server(&server(all[0])).unwrap().owner(), producer);
        assert!(conf.server(&server("producer/unknown")).is_none());

        let serves = |s: &str, c: &str| conf.is_registered_client(&server(s), &client(c));
        assert!(serves(all[0], "consumer"));
        assert!(serves(all[0], "producer"));
        assert!(serves(all[0], "foo/foosubsystem"));
        assert!(!serves("producer/foo", "consumer"));
        assert!(!serves(all[3], "foo/foosubsystem"));

        assert_eq!(conf.ocsp_policy().freshness.as_secs(), 42);
        assert!(conf.ocsp_policy().verify_next_update);
        assert_eq!(conf.ocsp_fetch_interval().as_secs(), 1200);
        let management = conf.management_service().unwrap();
        assert_eq!(management.registration_url, "http://mgmt.com:1234");
        assert_eq!(management.provider, client("servicemember2"));
        assert_eq!(conf.timestamping_interval().as_secs(), 123);
    }
}

#[test]
fn authentication_certificates_lead_to_their_servers() {
    let Some(conf) = good("globalconf_good_v2") else { return };
    let (producer, consumer) = (certificate("producer"), certificate("consumer"));
    let found = conf.server_by_auth_certificate(&producer).unwrap();
    assert_eq!(found.id, server("foo/fooServerCode"));
    assert!(conf.auth_certificate_matches(&producer, &client("producer")));
    assert!(!conf.auth_certificate_matches(&consumer, &client("producer")));
    assert!(!conf.auth_certificate_matches(&producer, &client("consumer")));
    assert!(conf.auth_certificate_matches(&consumer, &client("consumer")));
    assert!(conf.server_by_auth_certificate(&certificate("root-ca")).is_none());
}

/// The digest is SHA-1 in version 2 and SHA-256 in the others, whatever else the document carries.
#[test]
fn the_digest_of_authentication_certificates_depends_on_the_version() {
    let (_, known) = crate::keys::TestKey::ec();
    let (_, other) = crate::keys::TestKey::ec();
    let mut shared = crate::documents::full();
    let hash = AuthCertificateHash::of(&known);
    for (version, hashes, found) in [
        (Version::V2, AuthCertificateHash { sha256: None, ..hash.clone() }, true),
        (Version::V2, AuthCertificateHash { sha1: None, ..hash.clone() }, false),
        (Version::V3, AuthCertificateHash { sha256: None, ..hash.clone() }, false),
        (Version::V6, AuthCertificateHash { sha1: None, ..hash.clone() }, true),
    ] {
        shared.security_servers[0].auth_cert_hashes = vec![hashes];
        let xml = shared.to_xml(version).unwrap();
        let read = SharedParameters::parse(&xml, version).unwrap();
        let instance = InstanceConfiguration::new(read, version, None);
        let conf = GlobalConf::new("DEV", vec![instance]).unwrap();
        assert_eq!(conf.server_by_auth_certificate(&known).is_some(), found, "version {version}");
        assert!(conf.server_by_auth_certificate(&other).is_none());
        let subsystem = ClientId::parse("DEV/GOV/1/S").unwrap();
        assert_eq!(conf.auth_certificate_matches(&known, &subsystem), found);
    }
}

#[test]
fn certification_authorities_are_found() {
    let Some(conf) = good("globalconf_good_v2") else { return };
    let producer = certificate("producer");
    let ca = conf.issuer_of("EE", &producer).unwrap();
    assert_eq!(ca.certificate.der(), certificate("root-ca").der());
    assert_eq!(conf.ca_by_subject("EE", producer.issuer_der()).unwrap().name, ca.name);
    assert!(conf.ca_by_subject("nowhere", producer.issuer_der()).is_none());
    assert!(ca.is_top && !ca.authentication_only);
    assert!(ca.ocsp_urls.contains(&"http://127.0.0.1:8082/ocsp".into()));
    assert_eq!(conf.ocsp_trust(ca).responders_of_issuer.len(), ca.ocsp_responders.len());

    let user = certificate("test_chain/user_3");
    let path: Vec<_> =
        conf.issuer_path("EE", &user).iter().map(|ca| ca.certificate.sha1()).collect();
    let expected =
        ["ca_3", "ca_2", "ca_1", "root_ca"].map(|n| certificate(&format!("test_chain/{n}")));
    assert_eq!(path, expected.iter().map(Certificate::sha1).collect::<Vec<_>>());
    let ca_3 = conf.issuer_of("EE", &user).unwrap();
    assert!(!ca_3.is_top);
    assert_eq!(ca_3.top.der(), expected[3].der());

    assert_eq!(conf.shared("EE").unwrap().approved_cas.len(), 5);
    let listed: usize = ["EE", "bar", "foo"].map(|i| conf.approved_tsas(i).len()).iter().sum();
    assert_eq!(listed, 3);
    let urls = conf.ocsp_urls_of(&certificate("consumer"), CostPriority::AsListed);
    assert!(urls.contains(&"http://www.example.net/ocsp".into()));
}

/// `GlobalConfVer6Test` of X-Road.
#[test]
fn responders_are_ordered_by_cost() {
    let Some(conf) = good("globalconf_good_v6") else { return };
    let user = certificate("test_chain/user_1");
    let urls = |priority| -> Vec<String> {
        let urls = conf.ocsp_urls_of(&user, priority).into_iter();
        urls.map(|u| {
            u.replace("http://www.example.net/", "").replace("http://127.0.0.1:8082/", "own-")
        })
        .collect()
    };
    assert_eq!(urls(CostPriority::OnlyFree), ["own-ocsp", "ocsp4"]);
    assert_eq!(urls(CostPriority::FreeFirst), ["own-ocsp", "ocsp4", "ocsp", "ocsp2", "ocsp3"]);
    assert_eq!(urls(CostPriority::OnlyPaid), ["ocsp", "ocsp2"]);
    assert_eq!(urls(CostPriority::PaidFirst), ["ocsp", "ocsp2", "own-ocsp", "ocsp4", "ocsp3"]);
    assert_eq!(urls(CostPriority::AsListed), ["own-ocsp", "ocsp", "ocsp2", "ocsp3", "ocsp4"]);
    let ca = conf.issuer_of("EE", &certificate("producer")).unwrap();
    assert_eq!(ca.ocsp.len(), 5);
    assert_eq!(ca.ocsp[0].cost, Some(CostType::Free));
    let maintained = conf.server(&server("foo/FooBarServerCode")).unwrap().maintenance.clone();
    assert_eq!(maintained.unwrap().message.as_deref(), Some("Test maintenance mode"));
    let subsystem = client("foo/foosubsystem");
    assert_eq!(conf.subsystem_name(&subsystem), Some("FOO Subsystem"));
}
