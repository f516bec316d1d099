//! Parameters, anchors, optional parts and metadata: X-Road's files, round trips, hostile texts.

use causeway_globalconf::shared::{
    AcmeServer, ApprovedCa, ApprovedTsa, CaInfo, ConfigurationSource, CostType, CsrFormat,
    GlobalGroup, GlobalSettings, Maintenance, Member, MemberClass, OcspResponder, Subsystem,
};
use causeway_globalconf::{
    Anchor, AnchorSource, AuthCertificateHash, EncodedCertificate, FetchInterval,
    ManagementService, MonitoringParameters, NextUpdate, PartMetadata, PrivateParameters,
    SecurityServer, SharedParameters, Version,
};
use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use causeway_pki::DigestAlgorithm;
use causeway_xml::decode_base64;
use proptest::prelude::*;

use crate::{at, files_below, read, vector};

#[test]
fn anchors_of_xroad() {
    let Some(path) = vector("globalconf/configuration-anchor1.xml") else { return };
    let anchor = Anchor::parse(&read(path)).unwrap();
    assert_eq!((anchor.instance.as_str(), anchor.sources.len()), ("EE", 3));
    assert_eq!(anchor.sources[0].url, "http://www.bar.com/conf");
    for hash in ["t7+jfR1wnsN1EBtBpCt/q8JIasg=", "4HCV0OGOaz4mJauIZvrt7A3RdfM="] {
        let hash = decode_base64(hash).unwrap();
        let mut certificates = anchor.sources[0].certificates.iter().map(|c| c.read().unwrap());
        assert!(certificates.any(|c| c.digest(DigestAlgorithm::Sha1) == hash));
    }
    assert_eq!(Anchor::parse(&anchor.to_xml().unwrap()).unwrap(), anchor);
    let other =
        Anchor::parse(&read(vector("globalconf/configuration-anchor2.xml").unwrap())).unwrap();
    assert_ne!(other, anchor);
    assert!(Anchor::fingerprint(b"").starts_with("E3:B0:C4:42:"));
}

#[test]
fn optional_parts_of_xroad() {
    if vector("").is_none() {
        return;
    }
    let file = |name: &str| read(vector(&format!("globalconf/{name}-params.xml")).unwrap());
    let monitoring = MonitoringParameters::parse(&file("valid-monitoring")).unwrap();
    assert_eq!(monitoring.client, Some(ClientId::parse("fdev/GOV/66655666").unwrap()));
    assert_eq!(MonitoringParameters::parse(&monitoring.to_xml()).unwrap(), monitoring);
    let empty = MonitoringParameters::parse(&file("empty-monitoring")).unwrap();
    assert_eq!(MonitoringParameters::parse(&empty.to_xml()).unwrap().client, None);
    MonitoringParameters::parse(&file("invalid-monitoring")).unwrap_err();

    let interval = FetchInterval::parse(&file("valid-fetchinterval")).unwrap();
    assert_eq!(interval.seconds, 500);
    assert_eq!(FetchInterval::parse(&interval.to_xml()).unwrap(), interval);
    FetchInterval::parse(&file("empty-fetchinterval")).unwrap_err();
    FetchInterval::parse(&file("invalid-fetchinterval")).unwrap_err();
    assert_eq!(FetchInterval { seconds: 1 }.duration().as_secs(), 60);

    let next_update = NextUpdate::parse(&file("valid-nextupdate")).unwrap();
    assert!(!next_update.verify);
    assert_eq!(NextUpdate::parse(&next_update.to_xml()).unwrap(), next_update);
    NextUpdate::parse(&file("empty-nextupdate")).unwrap_err();
    let error = NextUpdate::parse(&file("invalid-nextupdate")).unwrap_err();
    assert_eq!(error.code(), "malformed_global_conf");
}

/// Every parameters file of the vectors, written and read again, says the same.
#[test]
fn xroads_parameters_survive_a_round_trip() {
    let mut count = 0;
    for folder in ["globalconf", "globalconf-signed", "configuration-client"] {
        let Some(root) = vector(folder) else { return };
        for (path, bytes) in files_below(&root) {
            if path.contains("malformed") {
                continue;
            }
            if path.ends_with("private-params.xml") {
                let private =
                    PrivateParameters::parse(&bytes).unwrap_or_else(|e| panic!("{path}: {e}"));
                assert_eq!(PrivateParameters::parse(&private.to_xml().unwrap()).unwrap(), private);
            }
            if path.ends_with("shared-params.xml") {
                let metadata = root.join(format!("{path}.metadata"));
                let version = match std::fs::read(metadata) {
                    Ok(json) => PartMetadata::parse(&json).unwrap().version.unwrap_or_default(),
                    Err(_) => Version::ALL
                        .into_iter()
                        .find(|v| path.starts_with(&format!("V{v}/")))
                        .unwrap_or_default(),
                };
                let shared = SharedParameters::parse(&bytes, version)
                    .unwrap_or_else(|e| panic!("{path} as version {version}: {e}"));
                let written = shared.to_xml(version).unwrap();
                assert_eq!(SharedParameters::parse(&written, version).unwrap(), shared, "{path}");
                count += 1;
            }
        }
    }
    assert!(count >= 29, "only {count} files");
}

#[test]
fn metadata_of_xroad() {
    let text = br#"{"contentIdentifier":"SHARED-PARAMETERS","instanceIdentifier":"EE","expirationDate":"2124-05-20T17:42:55Z", "configurationVersion": "6"}"#;
    let metadata = PartMetadata::parse(text).unwrap();
    assert_eq!(metadata.expires, Some(at("2124-05-20T17:42:55Z")));
    assert_eq!(metadata.version, Some(Version::V6));
    assert_eq!(PartMetadata::parse(&metadata.to_json()).unwrap(), metadata);
    let lenient =
        PartMetadata::parse(br#"{"expirationDate":"2124-05-20T17:42+02:00","new":1}"#).unwrap();
    assert_eq!(lenient.expires, Some(at("2124-05-20T15:42:00Z")));
    for bad in [&b"1"[..], b"{", br#"{"configurationVersion":"7"}"#, br#"{"expirationDate":"x"}"#] {
        PartMetadata::parse(bad).unwrap_err();
    }
}

fn certificate(seed: u8) -> EncodedCertificate {
    vec![seed; 20].into()
}

pub(crate) fn full() -> SharedParameters {
    let member = MemberId::parse("DEV/GOV/1").unwrap();
    SharedParameters {
        instance: "DEV".into(),
        sources: vec![ConfigurationSource {
            address: "cs".into(),
            internal_certificates: vec![certificate(1)],
            external_certificates: vec![certificate(2)],
        }],
        approved_cas: vec![ApprovedCa {
            name: "CA & co".into(),
            authentication_only: true,
            top: CaInfo {
                certificate: certificate(3),
                ocsp: vec![OcspResponder {
                    url: "http://ocsp".into(),
                    certificate: Some(certificate(4)),
                    cost: Some(CostType::Paid),
                }],
            },
            intermediates: vec![CaInfo { certificate: certificate(5), ocsp: vec![] }],
            certificate_profile: "ee.x.FoCertificateProfileInfoProvider".into(),
            csr_format: Some(CsrFormat::Der),
            acme: Some(AcmeServer {
                directory_url: "http://acme".into(),
                ip_address: Some("192.0.2.1".into()),
                authentication_profile: Some("5".into()),
                signing_profile: Some("6".into()),
            }),
        }],
        approved_tsas: vec![ApprovedTsa {
            name: "TSA".into(),
            url: "http://tsa".into(),
            certificate: certificate(6),
            cost: Some(CostType::Free),
        }],
        members: vec![Member {
            id: member.clone(),
            class_description: "Government".into(),
            name: "Name".into(),
            subsystems: vec![Subsystem { code: "S".into(), name: Some("Subsystem".into()) }],
        }],
        security_servers: vec![SecurityServer {
            id: SecurityServerId::new(member.clone(), "SS").unwrap(),
            address: Some("ss.example".into()),
            auth_cert_hashes: vec![AuthCertificateHash {
                sha1: Some([7; 20]),
                sha256: Some([8; 32]),
            }],
            clients: vec![member.subsystem("S").unwrap()],
            maintenance: Some(Maintenance { message: Some("back soon".into()) }),
        }],
        global_groups: vec![GlobalGroup {
            code: "group".into(),
            description: "A group".into(),
            members: vec![member.as_client(), ClientId::parse("OTHER/COM/2/X").unwrap()],
        }],
        settings: GlobalSettings {
            member_classes: vec![MemberClass {
                code: "GOV".into(),
                description: "Government".into(),
            }],
            ocsp_freshness_seconds: 3600,
        },
    }
}

/// What each version says, and nothing else: the differences of protocol reference 7.7.
#[test]
fn each_version_says_what_its_schema_has() {
    for version in Version::ALL {
        let text = String::from_utf8(full().to_xml(version).unwrap()).unwrap();
        for (element, since) in [
            ("<source>", Version::V3),
            ("<acmeServer>", Version::V3),
            ("<authenticationCertificateProfileId>", Version::V4),
            ("<subsystemName>", Version::V5),
            ("<inMaintenanceMode>", Version::V5),
            ("<costType>", Version::V6),
            ("<defaultCsrFormat>", Version::V6),
        ] {
            assert_eq!(text.contains(element), version >= since, "{element} in version {version}");
        }
        let read = SharedParameters::parse(text.as_bytes(), version).unwrap();
        let hash = &read.security_servers[0].auth_cert_hashes[0];
        assert_eq!(hash.sha1.is_some(), version == Version::V2);
        assert_eq!(hash.sha256.is_some(), version > Version::V2);
    }
    let mut expected = full();
    expected.security_servers[0].auth_cert_hashes[0].sha1 = None;
    let written = full().to_xml(Version::V6).unwrap();
    assert_eq!(SharedParameters::parse(&written, Version::V6).unwrap(), expected);
}

/// Our documents against X-Road's own schemas, with libxml2 where it is installed.
#[test]
fn our_documents_keep_to_xroads_schemas() {
    let Some(schemas) = vector("schemas/globalconf") else { return };
    if std::process::Command::new("xmllint").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no xmllint");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let validate = |version: Version, xml: &[u8], schema: &str| {
        let file = folder.path().join(format!("{version}-{schema}"));
        std::fs::write(&file, xml).unwrap();
        let schema = schemas.join(format!("v{version}")).join(schema);
        let out = std::process::Command::new("xmllint")
            .args(["--nonet", "--noout", "--schema"])
            .args([&schema, &file])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        // libxml2 cannot load the schemas that redefine types of an included schema.
        if text.contains("failed to compile") {
            eprintln!("SKIPPED: {}: {text}", schema.display());
            return false;
        }
        assert!(out.status.success(), "{}: {text}", schema.display());
        true
    };
    let validated: Vec<bool> = Version::ALL
        .into_iter()
        .map(|v| validate(v, &full().to_xml(v).unwrap(), "shared-parameters.xsd"))
        .collect();
    assert_eq!(validated, [true; 5]);
    for version in [Version::V2, Version::V3] {
        assert!(validate(version, &private().to_xml().unwrap(), "private-parameters.xsd"));
    }
}

fn private() -> PrivateParameters {
    PrivateParameters {
        instance: "DEV".into(),
        anchors: vec![Anchor {
            generated_at: Some(at("2026-01-02T03:04:05.678Z")),
            instance: "OTHER".into(),
            sources: vec![AnchorSource {
                url: "http://other/externalconf".into(),
                certificates: vec![certificate(1)],
            }],
        }],
        management: ManagementService {
            registration_url: "https://cs:4001/managementservice/".into(),
            registration_certificate: Some(certificate(2)),
            provider: ClientId::parse("DEV/GOV/1/MANAGEMENT").unwrap(),
        },
        timestamping_interval_seconds: 60,
    }
}

#[test]
fn private_parameters_are_read_back() {
    assert_eq!(PrivateParameters::parse(&private().to_xml().unwrap()).unwrap(), private());
}

#[test]
fn malformed_documents_are_refused() {
    let good = String::from_utf8(full().to_xml(Version::V6).unwrap()).unwrap();
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    for bad in [
        String::new(),
        "xxx".into(),
        change("xroad:conf", "xroad:configuration"),
        change("http://x-road.eu/xsd/xroad.xsd", "http://example.org/"),
        change("<instanceIdentifier>DEV</instanceIdentifier>", ""),
        change(
            "<instanceIdentifier>DEV</instanceIdentifier>",
            "<instanceIdentifier> </instanceIdentifier>",
        ),
        change("<ocspFreshnessSeconds>3600<", "<ocspFreshnessSeconds>-1<"),
        change("<ocspFreshnessSeconds>3600</ocspFreshnessSeconds>", ""),
        change("<owner>id0<", "<owner>id1<"),
        change("<owner>id0<", "<owner>id9<"),
        change("<client>id1<", "<client>id9<"),
        change("id=\"id1\"", "id=\"id0\""),
        change(
            "<memberCode>1</memberCode>",
            "<memberCode>1</memberCode><memberCode>2</memberCode>",
        ),
        change("<memberCode>1</memberCode>", "<memberCode> </memberCode>"),
        change("<topCA>", "<topCa>").replace("</topCA>", "</topCa>"),
        change("<costType>PAID<", "<costType>DEAR<"),
        change("<authenticationOnly>true<", "<authenticationOnly>yes<"),
        change("id:objectType=\"SUBSYSTEM\"", "id:objectType=\"SERVER\""),
        change("<id:memberCode>2</id:memberCode>", ""),
        change("<id:memberCode>2</id:memberCode>", "<memberCode>2</memberCode>"),
        change("<authCertHash>", "<authCertHash>*"),
        change("<source>", "<origin>").replace("</source>", "</origin>"),
    ] {
        let error = SharedParameters::parse(bad.as_bytes(), Version::V6).expect_err(&bad);
        assert_eq!(error.code(), "malformed_global_conf");
    }
    // What later versions may add is passed over, and so are foreign elements of known names.
    let extended = change("<globalSettings>", "<news/><globalSettings>")
        .replace("</xroad:conf>", "<x:member xmlns:x='urn:x'/></xroad:conf>");
    let mut expected = full();
    expected.security_servers[0].auth_cert_hashes[0].sha1 = None;
    assert_eq!(SharedParameters::parse(extended.as_bytes(), Version::V6).unwrap(), expected);
}

#[test]
fn what_cannot_be_said_is_not_written() {
    let mut unknown_client = full();
    unknown_client.security_servers[0].clients.push(ClientId::parse("DEV/GOV/9").unwrap());
    unknown_client.to_xml(Version::V6).unwrap_err();
    let mut no_source = full();
    no_source.sources.clear();
    no_source.to_xml(Version::V3).unwrap_err();
    no_source.to_xml(Version::V2).unwrap();
    let mut twice = full();
    twice.members.push(twice.members[0].clone());
    twice.to_xml(Version::V6).unwrap_err();
}

fn text() -> impl Strategy<Value = String> {
    "[^\\p{Cc}\\p{Cn}\u{fffe}\u{ffff}]{0,20}"
}

fn code() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9äöü &<'\"_-]{0,10}[a-z]"
}

prop_compose! {
    fn parameters()(
        members in proptest::collection::btree_map(code(), (text(), proptest::collection::btree_map(code(), proptest::option::of(text()), 0..4)), 1..5),
        class in code(),
        servers in proptest::collection::btree_map(code(), (proptest::option::of("[a-z.]{1,10}"), any::<[u8; 32]>(), any::<prop::sample::Index>(), proptest::option::of(proptest::option::of(text()))), 0..4),
        ca in (text(), any::<bool>(), proptest::collection::vec(any::<u8>(), 1..9), proptest::option::of(code())),
        group in (code(), text()),
        freshness in any::<u32>(),
    ) -> SharedParameters {
        let mut p = full();
        p.members = members.into_iter().map(|(member, (name, subsystems))| Member {
            id: MemberId::new("DEV", &class, &member).unwrap(),
            class_description: name.clone(),
            name,
            subsystems: subsystems.into_iter().map(|(code, name)| Subsystem { code, name }).collect(),
        }).collect();
        p.security_servers = servers.into_iter().map(|(server, (address, hash, owner, maintenance))| {
            let owner = owner.get(&p.members);
            SecurityServer {
                id: SecurityServerId::new(owner.id.clone(), &server).unwrap(),
                address,
                auth_cert_hashes: vec![AuthCertificateHash { sha1: None, sha256: Some(hash) }],
                clients: p.members.iter().flat_map(|m| m.subsystems.iter().map(|s| m.id.subsystem(&s.code).unwrap())).collect(),
                maintenance: maintenance.map(|message| Maintenance { message }),
            }
        }).collect();
        p.approved_cas[0].name = ca.0;
        p.approved_cas[0].authentication_only = ca.1;
        p.approved_cas[0].top.certificate = ca.2.into();
        p.approved_cas[0].acme.as_mut().unwrap().ip_address = ca.3;
        p.global_groups[0].code = group.0;
        p.global_groups[0].description = group.1;
        p.settings.ocsp_freshness_seconds = freshness;
        p
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read_back(p in parameters()) {
        let written = p.to_xml(Version::V6).unwrap();
        prop_assert_eq!(SharedParameters::parse(&written, Version::V6).unwrap(), p);
    }

    #[test]
    fn reading_broken_documents_never_panics(place in any::<prop::sample::Index>(), length in 0_usize..40, filler in "[<>a-z/\"= ]{0,10}") {
        for mut bytes in [full().to_xml(Version::V6).unwrap(), private().to_xml().unwrap()] {
            let start = place.index(bytes.len());
            let end = bytes.len().min(start + length);
            bytes.splice(start..end, filler.bytes());
            for version in Version::ALL {
                let _ = SharedParameters::parse(&bytes, version);
            }
            let _ = PrivateParameters::parse(&bytes);
            let _ = Anchor::parse(&bytes);
            let _ = MonitoringParameters::parse(&bytes);
            let _ = PartMetadata::parse(&bytes);
        }
    }
}
