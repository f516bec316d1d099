//! What a registry publishes, and how it keeps it fresh.

use std::net::SocketAddr;
use std::time::Duration;

use causeway_globalconf::directory::PRIVATE_PARAMETERS;
use causeway_globalconf::{GlobalConf, InstanceConfiguration, PrivateParameters, Version};
use central_registry::store::MemoryStore;
use central_registry::{ConfigurationKind, Edit, EditError, Registry, RegistryError};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use crate::support::{
    auth_certificate, client, config, download, exchange, get, member, now, populate, server,
    signers,
};

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<Result<(), RegistryError>>,
}

impl Running {
    async fn start(registry: Registry) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let handle = registry.clone();
        let serving =
            tokio::spawn(
                async move { handle.serve(listener, async { drop(stopped.await) }).await },
            );
        Self { address, stop, serving }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.serving)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

fn in_memory(folder: &tempfile::TempDir) -> Registry {
    Registry::with_parts(config(folder), Box::new(MemoryStore::default()), signers()).unwrap()
}

/// Waits until the registry has published something that `done` accepts.
async fn until(registry: &Registry, done: impl Fn(OffsetDateTime) -> bool) {
    for _ in 0..500 {
        if registry.publication().is_some_and(|p| done(p.created())) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was published");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_is_downloaded_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let registry = in_memory(&folder);
    let certificate = populate(&registry);
    let running = Running::start(registry.clone()).await;
    until(&registry, |_| true).await;
    for kind in ConfigurationKind::ALL {
        let anchor = registry.anchor(kind).unwrap();
        for version in 2..=6 {
            let (directory, shared) =
                download(running.address, &anchor, kind, version).await.unwrap();
            assert_eq!(directory.version.number(), version);
            let private = directory.part(PRIVATE_PARAMETERS, "DEV");
            assert_eq!(private.is_some(), kind == ConfigurationKind::Internal);
            if let Some(private) = private {
                let (_, xml) = get(running.address, &private.location).await;
                let private = PrivateParameters::parse(&xml).unwrap();
                assert_eq!(private.management.provider, client("DEV/GOV/1/MANAGEMENT"));
                assert_eq!(
                    private.management.registration_url,
                    "https://registry.example.org:4001/managementservice/"
                );
            }
            assert_eq!(shared.members[0].name, "Operator & Sons");
            assert_eq!(shared.approved_cas.len(), 1);
            assert!(shared.approved_cas[0].certificate_profile.starts_with("ee.ria.xroad."));
            let instance = InstanceConfiguration::new(shared, directory.version, None);
            let conf = GlobalConf::new("DEV", vec![instance]).unwrap();
            assert_eq!(conf.problems(), &[] as &[String]);
            let found = conf.server_by_auth_certificate(&certificate).unwrap();
            assert_eq!(found.id, server("DEV/GOV/1/SS1"));
            assert!(conf.is_registered_client(&found.id, &client("DEV/GOV/1/MANAGEMENT")));
            let owners = causeway_identifiers::GlobalGroupId::new("DEV", "security-server-owners");
            assert!(conf.global_group_contains(&owners.unwrap(), &client("DEV/GOV/1")));
        }
        // Without a version it is version 2; the other anchor does not verify it.
        let (_, bare) = get(running.address, &format!("/{}", kind.path())).await;
        let (_, two) = get(running.address, &format!("/{}?version=2", kind.path())).await;
        assert_eq!(bare, two);
    }
    let internal = registry.anchor(ConfigurationKind::Internal).unwrap();
    let swapped = String::from_utf8(internal).unwrap().replace("internalconf", "externalconf");
    let error = download(running.address, swapped.as_bytes(), ConfigurationKind::External, 6).await;
    assert_eq!(error.unwrap_err().code(), "global_conf_missing_verification_cert");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_published_at_once_and_the_old_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let registry = in_memory(&folder);
    populate(&registry);
    let running = Running::start(registry.clone()).await;
    until(&registry, |_| true).await;
    let anchor = registry.anchor(ConfigurationKind::Internal).unwrap();
    let internal = ConfigurationKind::Internal;
    let (before, _) = download(running.address, &anchor, internal, 6).await.unwrap();

    let start = now();
    registry.add_member(&member("DEV/GOV/2"), "Second").unwrap();
    until(&registry, |created| created > start).await;
    let (after, shared) = download(running.address, &anchor, internal, 6).await.unwrap();
    assert_eq!(shared.members.len(), 2);
    for part in &before.parts {
        let (status, file) = get(running.address, &part.location).await;
        assert_eq!(status, 200, "a client that is still reading finds {}", part.location);
        part.check(&file).unwrap();
    }
    assert_ne!(before.parts, after.parts);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_renewed_before_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    config.validity = Duration::from_secs(3);
    config.renewal = Duration::from_secs(1);
    let registry =
        Registry::with_parts(config, Box::new(MemoryStore::default()), signers()).unwrap();
    populate(&registry);
    let running = Running::start(registry.clone()).await;
    until(&registry, |_| true).await;
    let first = registry.publication().unwrap();
    let anchor = registry.anchor(ConfigurationKind::Internal).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(first.expires() < now());
    let (directory, _) =
        download(running.address, &anchor, ConfigurationKind::Internal, 6).await.unwrap();
    assert!(directory.expires > first.expires());
    // The files did not change, so they are where they were.
    assert_eq!(first.file("V6/internalconf").map(|_| ()), Some(()));
    for part in &directory.parts {
        assert!(first.file(part.location.trim_start_matches('/')).is_some());
    }
    assert_eq!(get(running.address, "/health").await.0, 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unready_registry_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let registry = in_memory(&folder);
    let running = Running::start(registry.clone()).await;
    let error = registry.publish(now()).unwrap_err();
    assert!(error.next_step().contains("management set"), "{error}");
    assert_eq!(get(running.address, "/internalconf?version=6").await.0, 404);
    let (status, body) = get(running.address, "/health").await;
    assert_eq!(status, 503);
    assert!(String::from_utf8(body).unwrap().contains("nothing is published"));
    populate(&registry);
    until(&registry, |_| true).await;
    assert_eq!(get(running.address, "/health").await.0, 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let registry = in_memory(&folder);
    populate(&registry);
    let running = Running::start(registry.clone()).await;
    until(&registry, |_| true).await;
    for (request, status) in [
        (
            "POST /internalconf HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            405,
        ),
        ("GET /../store HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n", 404),
        ("GET /internalconf?version=7 HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n", 404),
        ("GET /anchor/internal HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n", 404),
        ("nonsense\r\n\r\n", 400),
        ("HEAD /internalconf?version=6 HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n", 200),
    ] {
        let (found, body) = exchange(running.address, request.as_bytes()).await;
        assert_eq!(found, status, "{request}");
        assert!(!request.starts_with("HEAD") || body.is_empty());
    }
    let long = format!("GET / HTTP/1.1\r\nHost: r\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let (status, _) = exchange(running.address, long.as_bytes()).await;
    assert_eq!(status, 431);
    running.stop().await;
}

/// The store and the token on disk: what was recorded and published is there after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_comes_back_with_all_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let (anchor, location) = {
        let registry = Registry::open(config(&folder)).unwrap();
        populate(&registry);
        let publication = registry.publish(now()).unwrap();
        assert_eq!(publication.disk_problem(), None);
        assert_eq!(publication.versions(), Version::ALL);
        let running = Running::start(registry.clone()).await;
        let anchor = registry.anchor(ConfigurationKind::Internal).unwrap();
        let (directory, _) =
            download(running.address, &anchor, ConfigurationKind::Internal, 6).await.unwrap();
        let location = directory.parts[0].location.clone();
        running.stop().await;
        (anchor, location)
    };
    let public = folder.path().join("storage/public");
    assert!(public.join("V2/externalconf").is_file());
    assert!(public.join(location.trim_start_matches('/')).is_file());

    let registry = Registry::open(config(&folder)).unwrap();
    registry.add_member(&member("DEV/GOV/2"), "Second").unwrap();
    let running = Running::start(registry.clone()).await;
    until(&registry, |_| true).await;
    let (_, shared) =
        download(running.address, &anchor, ConfigurationKind::Internal, 6).await.unwrap();
    assert_eq!(shared.members.len(), 2);
    assert_eq!(
        get(running.address, &location).await.0,
        200,
        "the files of before stay for a while"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_keys_are_changed_without_new_anchors() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(config(&folder)).unwrap();
    populate(&registry);
    let running = Running::start(registry.clone()).await;
    let internal = ConfigurationKind::Internal;
    let old_anchor = registry.anchor(internal).unwrap();
    let old = registry.listing().signing_keys.into_iter().find(|k| k.kind == internal).unwrap().id;

    let id = registry.add_signing_key(internal).unwrap();
    registry.publish(now()).unwrap();
    let (_, shared) = download(running.address, &old_anchor, internal, 6).await.unwrap();
    assert_eq!(shared.sources[0].internal_certificates.len(), 2);
    assert_eq!(shared.sources[0].external_certificates.len(), 1);
    let new_anchor = registry.anchor(internal).unwrap();

    registry.activate_signing_key(&id).unwrap();
    registry.publish(now()).unwrap();
    download(running.address, &new_anchor, internal, 6).await.unwrap();
    download(running.address, &old_anchor, internal, 6).await.unwrap_err();
    registry.remove_signing_key(&id).unwrap_err();
    registry.remove_signing_key(&old).unwrap();
    running.stop().await;
    drop(registry);

    let registry = Registry::open(config(&folder)).unwrap();
    assert!(registry.listing().signing_keys.iter().any(|key| key.id == id && key.active));
}

#[test]
fn another_instances_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Registry::open(config(&folder)).unwrap());
    let mut other = config(&folder);
    other.instance = "OTHER".into();
    let error = Registry::open(other).unwrap_err();
    assert!(matches!(error, RegistryError::OtherInstance { .. }), "{error}");
}

#[test]
fn rules_keep_the_records_whole() {
    let folder = tempfile::tempdir().unwrap();
    let registry = in_memory(&folder);
    let certificate = populate(&registry);
    let missing =
        |r: Result<(), EditError>| assert!(matches!(r, Err(EditError::Missing(..))), "{r:?}");
    let exists =
        |r: Result<(), EditError>| assert!(matches!(r, Err(EditError::Exists(..))), "{r:?}");
    let in_use =
        |r: Result<(), EditError>| assert!(matches!(r, Err(EditError::InUse(..))), "{r:?}");
    let invalid =
        |r: Result<(), EditError>| assert!(matches!(r, Err(EditError::Invalid(..))), "{r:?}");

    missing(registry.add_member(&member("DEV/COM/1"), "x"));
    invalid(registry.add_member(&member("OTHER/GOV/1"), "x"));
    invalid(registry.add_member(&member("DEV/GOV/a:b"), "x"));
    exists(registry.add_member(&member("DEV/GOV/1"), "x"));
    missing(registry.add_subsystem(&client("DEV/GOV/9/S"), None));
    invalid(registry.add_subsystem(&client("DEV/GOV/1"), None));
    exists(registry.add_subsystem(&client("DEV/GOV/1/MANAGEMENT"), None));
    missing(registry.add_server(&server("DEV/GOV/9/SS"), "ss"));
    invalid(registry.add_server(&server("DEV/GOV/1/SS9"), "http://ss/"));
    missing(registry.add_client(&server("DEV/GOV/1/SS1"), &client("DEV/GOV/1/NONE")));
    exists(registry.add_client(&server("DEV/GOV/1/SS1"), &client("DEV/GOV/1")));
    exists(registry.add_auth_certificate(&server("DEV/GOV/1/SS1"), &certificate));
    missing(registry.add_auth_certificate(&server("DEV/GOV/1/SS2"), &auth_certificate("x")));
    invalid(registry.add_auth_certificate(
        &server("DEV/GOV/1/SS1"),
        &crate::support::ca_certificate("not for authentication"),
    ));
    invalid(registry.add_group("security-server-owners", "x"));
    missing(registry.add_group_member("none", &client("DEV/GOV/1")));
    registry.add_group("group", "A group").unwrap();
    missing(registry.add_group_member("group", &client("DEV/GOV/9")));
    registry.add_group_member("group", &client("OTHER/GOV/9/X")).unwrap();
    registry.add_group_member("group", &client("DEV/GOV/1/MANAGEMENT")).unwrap();
    invalid(registry.add_federation("<x/>"));
    let own = registry.anchor(ConfigurationKind::External).unwrap();
    invalid(registry.add_federation(std::str::from_utf8(&own).unwrap()));

    in_use(registry.edit(Edit::MemberClassRemove { code: "GOV".into() }));
    in_use(registry.edit(Edit::MemberRemove { id: member("DEV/GOV/1") }));
    let subsystem = client("DEV/GOV/1/MANAGEMENT");
    in_use(registry.edit(Edit::SubsystemRemove { id: subsystem.clone() }));
    let ss1 = server("DEV/GOV/1/SS1");
    registry.edit(Edit::ServerRemove { id: ss1.clone() }).unwrap();
    let listing = registry.listing();
    assert!(listing.servers.is_empty());
    // Registered no more, but the management services still need it.
    in_use(registry.edit(Edit::SubsystemRemove { id: subsystem.clone() }));
    registry.add_subsystem(&client("DEV/GOV/1/M2"), None).unwrap();
    registry.set_management_provider(&client("DEV/GOV/1/M2")).unwrap();
    registry.edit(Edit::SubsystemRemove { id: subsystem }).unwrap();
    let group = registry.listing().groups.into_iter().find(|g| g.code == "group").unwrap();
    assert_eq!(group.members, ["OTHER/GOV/9/X"]);
    // The certificate is free for another server now.
    registry.add_server(&server("DEV/GOV/1/SS2"), "ss2.example.org").unwrap();
    registry.add_auth_certificate(&server("DEV/GOV/1/SS2"), &certificate).unwrap();
}

#[test]
fn maintenance_and_policy_are_published() {
    let folder = tempfile::tempdir().unwrap();
    let registry = in_memory(&folder);
    populate(&registry);
    let id = server("DEV/GOV/1/SS1");
    let message = Some("until noon".to_owned());
    registry.edit(Edit::ServerMaintenance { id: id.clone(), on: true, message }).unwrap();
    let monitoring = client("DEV/GOV/1/MANAGEMENT");
    registry
        .edit(Edit::PolicySet {
            ocsp_freshness_seconds: Some(7200),
            timestamping_interval_seconds: None,
            ocsp_fetch_interval_seconds: Some(600),
            verify_next_update: Some(false),
            monitoring_client: Some(monitoring.clone()),
        })
        .unwrap();
    let publication = registry.publish(now()).unwrap();
    let directory =
        String::from_utf8(publication.file("V6/internalconf").unwrap().to_vec()).unwrap();
    for identifier in ["MONITORING", "FETCHINTERVAL", "NEXTUPDATE"] {
        assert!(directory.contains(&format!("Content-identifier: {identifier}; instance='DEV'")));
    }
    let folder = directory.split("/V6/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let mut files = vec![("instance-identifier".to_owned(), b"DEV".to_vec())];
    for name in ["shared", "private", "monitoring", "fetchinterval", "nextupdate"] {
        let name = format!("{name}-params.xml");
        let content = publication.file(&format!("V6/{folder}/{name}")).unwrap().to_vec();
        files.push((format!("DEV/{name}"), content));
    }
    files.push((
        "DEV/shared-params.xml.metadata".into(),
        br#"{"configurationVersion":"6"}"#.to_vec(),
    ));
    let conf = GlobalConf::from_directory_files(files).unwrap();
    assert_eq!(conf.ocsp_policy().freshness.as_secs(), 7200);
    assert!(!conf.ocsp_policy().verify_next_update);
    assert_eq!(conf.ocsp_fetch_interval().as_secs(), 600);
    assert_eq!(conf.timestamping_interval().as_secs(), 60);
    assert_eq!(conf.monitoring_client(), Some(&monitoring));
    let maintenance = conf.server(&id).unwrap().maintenance.clone().unwrap();
    assert_eq!(maintenance.message.as_deref(), Some("until noon"));
}

/// A large country: 20,000 subsystems on 2,000 servers, all versions signed and on disk.
#[test]
fn a_large_country_is_published_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(config(&folder)).unwrap();
    populate(&registry);
    let mut edits = Vec::new();
    for m in 0..2_000 {
        let id = member(&format!("DEV/GOV/{m:08}"));
        let ss = server(&format!("DEV/GOV/{m:08}/SS"));
        edits.push(Edit::MemberAdd { id: id.clone(), name: format!("Member {m}") });
        edits.push(Edit::ServerAdd { id: ss.clone(), address: format!("ss{m}.example.org") });
        for s in 0..10 {
            let subsystem = id.subsystem(&format!("subsystem-{s}")).unwrap();
            edits.push(Edit::SubsystemAdd { id: subsystem.clone(), name: None });
            edits.push(Edit::ClientAdd { server: ss.clone(), client: subsystem });
        }
    }
    let mut refused = edits.clone();
    refused.push(Edit::MemberClassRemove { code: "GOV".into() });
    registry.edit_all(refused).unwrap_err();
    assert_eq!(registry.listing().members.len(), 1);
    registry.edit_all(edits).unwrap();

    let start = std::time::Instant::now();
    let first = registry.publish(now()).unwrap();
    let with_files = start.elapsed();
    let second = registry.publish(now()).unwrap();
    let renewed = start.elapsed() - with_files;
    eprintln!("published in {with_files:?}, renewed in {renewed:?}");
    assert_eq!(first.disk_problem(), None);
    let directory = String::from_utf8(second.file("V6/internalconf").unwrap().to_vec()).unwrap();
    let location = directory.split("Content-location: /").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(second.file(location).unwrap(), first.file(location).unwrap());
    // Unoptimised code on a shared machine; a renewal must fit in its period many times over.
    assert!(renewed < Duration::from_secs(20), "{renewed:?}");
}
