//! A large country: 20,000 subsystems on 2,000 security servers.

use std::time::{Duration, Instant};

use causeway_globalconf::shared::{ConfigurationSource, GlobalSettings, Member, Subsystem};
use causeway_globalconf::{
    AuthCertificateHash, GlobalConf, InstanceConfiguration, SecurityServer, SharedParameters,
    Version,
};
use causeway_identifiers::{ClientId, MemberId, SecurityServerId};

fn country() -> SharedParameters {
    let (mut members, mut servers) = (Vec::new(), Vec::new());
    for m in 0..2_000_u32 {
        let id = MemberId::new("DEV", "GOV", &format!("{m:08}")).unwrap();
        let subsystems: Vec<Subsystem> = (0..10)
            .map(|s| Subsystem {
                code: format!("subsystem-{s}"),
                name: Some(format!("Subsystem {s}")),
            })
            .collect();
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&m.to_be_bytes());
        servers.push(SecurityServer {
            id: SecurityServerId::new(id.clone(), "SS").unwrap(),
            address: Some(format!("ss{m}.example.org")),
            auth_cert_hashes: vec![AuthCertificateHash { sha1: None, sha256: Some(digest) }],
            clients: subsystems.iter().map(|s| id.subsystem(&s.code).unwrap()).collect(),
            maintenance: None,
        });
        members.push(Member {
            id,
            class_description: "g".into(),
            name: format!("Member {m}"),
            subsystems,
        });
    }
    SharedParameters {
        instance: "DEV".into(),
        sources: vec![ConfigurationSource {
            address: "cs".into(),
            internal_certificates: vec![],
            external_certificates: vec![],
        }],
        approved_cas: vec![],
        approved_tsas: vec![],
        members,
        security_servers: servers,
        global_groups: vec![],
        settings: GlobalSettings { member_classes: vec![], ocsp_freshness_seconds: 3600 },
    }
}

#[test]
fn a_large_country_is_read_and_indexed_in_a_second() {
    let xml = country().to_xml(Version::V6).unwrap();
    let start = Instant::now();
    let shared = SharedParameters::parse(&xml, Version::V6).unwrap();
    let read = start.elapsed();
    let instance = InstanceConfiguration::new(shared, Version::V6, None);
    let conf = GlobalConf::new("DEV", vec![instance]).unwrap();
    let all = start.elapsed();
    eprintln!("{} bytes: read in {read:?}, read and indexed in {all:?}", xml.len());
    // Unoptimised code on a shared machine is many times slower; the bound holds for release builds.
    let bound = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });
    assert!(all < bound, "{all:?}");

    let client = ClientId::parse("DEV/GOV/00001999/subsystem-9").unwrap();
    let start = Instant::now();
    for _ in 0..1000 {
        assert_eq!(conf.servers_of(&client).len(), 1);
        assert!(conf.has_subsystem(&client));
    }
    assert!(start.elapsed() < Duration::from_secs(1));
}
