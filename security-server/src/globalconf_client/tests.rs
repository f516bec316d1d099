#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex as StdMutex;

use causeway_globalconf::directory::{
    Boundaries, FETCH_INTERVAL, NewPart, PRIVATE_PARAMETERS, SHARED_PARAMETERS, SignedDirectory,
    build,
};
use causeway_globalconf::{
    AnchorSource, FetchInterval, ManagementService, PrivateParameters, SharedParameters, Version,
};
use causeway_identifiers::ClientId;
use causeway_pki::Certificate;
use tempfile::TempDir;

use super::*;
use crate::health::work::State;
use crate::outgoing::fake::{
    FakeServer, IMPATIENT, Reply, TestKey, nobody, self_signed, shared_parameters,
};
use crate::settings::AllowedFederations;

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// What a registry publishes, by request target.
type Site = Arc<StdMutex<HashMap<String, Vec<u8>>>>;

struct Registry {
    server: FakeServer,
    site: Site,
    key: TestKey,
    certificate: Certificate,
    instance: &'static str,
}

impl Registry {
    async fn new(instance: &'static str) -> Self {
        let site = Site::default();
        let pages = Arc::clone(&site);
        let server =
            FakeServer::start(move |asked| match pages.lock().unwrap().get(&asked.target) {
                Some(page) => Reply::Http(200, "application/octet-stream", page.clone()),
                None => Reply::Http(404, "text/plain", Vec::new()),
            })
            .await;
        let key = TestKey::generate();
        let certificate = self_signed("registry", &key);
        Self { server, site, key, certificate, instance }
    }

    fn source(&self) -> AnchorSource {
        AnchorSource {
            url: self.server.url("/internalconf"),
            certificates: vec![(&self.certificate).into()],
        }
    }

    fn anchor(&self) -> Anchor {
        Anchor {
            generated_at: Some(OffsetDateTime::UNIX_EPOCH),
            instance: self.instance.to_owned(),
            sources: vec![self.source()],
        }
    }

    fn put(&self, target: &str, page: Vec<u8>) {
        self.site.lock().unwrap().insert(target.to_owned(), page);
    }

    fn publish(&self, version: Version, files: &[(&str, &str, Vec<u8>)]) {
        let expires = now() + time::Duration::minutes(10);
        self.publish_until(version, files, expires, &self.key, &self.certificate);
    }

    fn publish_until(
        &self,
        version: Version,
        files: &[(&str, &str, Vec<u8>)],
        expires: OffsetDateTime,
        key: &TestKey,
        certificate: &Certificate,
    ) {
        let parts: Vec<NewPart<'_>> = files
            .iter()
            .map(|(identifier, location, content)| NewPart { identifier, location, content })
            .collect();
        let boundaries = Boundaries::from_random(&[7; 38]);
        let directory =
            build(&parts, expires, version, self.instance, key, certificate, &boundaries).unwrap();
        self.put(&format!("/internalconf?version={version}"), directory);
        for (_, location, content) in files {
            self.put(location, content.clone());
        }
    }

    /// Publishes shared and private parameters with these partners.
    fn publish_all(&self, shared: &SharedParameters, partners: Vec<Anchor>) {
        let files = [
            (SHARED_PARAMETERS, "/6/shared-params.xml", shared.to_xml(Version::V6).unwrap()),
            (
                PRIVATE_PARAMETERS,
                "/6/private-params.xml",
                private(self.instance, partners).to_xml().unwrap(),
            ),
        ];
        self.publish(Version::V6, &files);
    }
}

fn private(instance: &str, anchors: Vec<Anchor>) -> PrivateParameters {
    PrivateParameters {
        instance: instance.to_owned(),
        anchors,
        management: ManagementService {
            registration_url: "https://registry/".to_owned(),
            registration_certificate: None,
            provider: ClientId::new(instance, "GOV", "1", Some("MANAGEMENT")).unwrap(),
        },
        timestamping_interval_seconds: 77,
    }
}

struct World {
    folder: TempDir,
    client: GlobalConfClient,
}

fn world(anchor: &Anchor, allowed: AllowedFederations) -> World {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("anchor.xml"), anchor.to_xml().unwrap()).unwrap();
    let client = client(folder.path(), allowed);
    World { folder, client }
}

fn client(folder: &std::path::Path, allowed_federations: AllowedFederations) -> GlobalConfClient {
    let settings = GlobalConfSettings {
        anchor: folder.join("anchor.xml"),
        refresh: Duration::from_secs(60),
        connect_timeout: IMPATIENT.connect,
        read_timeout: IMPATIENT.read,
        allowed_federations,
    };
    // No roots, hence no https twins: the fake registries speak plain http.
    let outgoing = Outgoing::plain(IMPATIENT);
    GlobalConfClient::with_outgoing(settings, folder.join("conf"), Published::default(), outgoing)
}

#[tokio::test]
async fn a_configuration_is_downloaded_and_survives_a_restart() {
    let registry = Registry::new("AA").await;
    let mut shared = shared_parameters("AA");
    shared.settings.ocsp_freshness_seconds = 1234;
    registry.publish_all(&shared, Vec::new());
    let world = world(&registry.anchor(), AllowedFederations::None);
    assert!(world.client.current().is_none());
    let mut changes = world.client.subscribe();
    world.client.refresh_once(now()).await.unwrap();
    let conf = world.client.current().unwrap();
    conf.valid_at(now()).unwrap();
    assert_eq!(conf.ocsp_policy().freshness, Duration::from_secs(1234));
    assert_eq!(conf.timestamping_interval(), Duration::from_secs(77));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();

    // The second time the files are not downloaded again, and nothing has changed.
    registry.server.forget();
    world.client.refresh_once(now()).await.unwrap();
    assert_eq!(registry.server.targets(), ["/internalconf?version=6"]);
    assert!(!changes.has_changed().unwrap());

    let again = client(world.folder.path(), AllowedFederations::None);
    let loaded = again.current().unwrap();
    assert_eq!(loaded.configuration("AA"), world.client.current().unwrap().configuration("AA"));
    registry.server.forget();
    again.refresh_once(now()).await.unwrap();
    assert_eq!(registry.server.targets(), ["/internalconf?version=6"]);
}

#[tokio::test]
async fn the_newest_version_that_there_is_counts() {
    let registry = Registry::new("AA").await;
    let shared = shared_parameters("AA");
    let xml = |version| shared.to_xml(version).unwrap();
    let at = |version: Version| format!("/{version}/shared-params.xml");
    for version in [Version::V2, Version::V3] {
        registry.publish(version, &[(SHARED_PARAMETERS, &at(version), xml(version))]);
    }
    let world = world(&registry.anchor(), AllowedFederations::None);
    world.client.refresh_once(now()).await.unwrap();
    let version = world.client.current().unwrap().configuration("AA").unwrap().version;
    assert_eq!(version, Version::V3);
    assert_eq!(
        registry.server.targets(),
        [
            "/internalconf?version=6",
            "/internalconf?version=5",
            "/internalconf?version=4",
            "/internalconf?version=3",
            "/3/shared-params.xml"
        ]
    );
    // The same file under another version is read again, since its digests mean something else.
    registry.publish(Version::V5, &[(SHARED_PARAMETERS, "/3/shared-params.xml", xml(Version::V3))]);
    world.client.refresh_once(now()).await.unwrap();
    let version = world.client.current().unwrap().configuration("AA").unwrap().version;
    assert_eq!(version, Version::V5);
}

#[tokio::test]
async fn optional_parts_come_and_go() {
    let registry = Registry::new("AA").await;
    let shared = shared_parameters("AA").to_xml(Version::V6).unwrap();
    let interval = FetchInterval { seconds: 300 }.to_xml();
    let shared = (SHARED_PARAMETERS, "/6/shared-params.xml", shared);
    registry.publish(Version::V6, &[shared.clone(), (FETCH_INTERVAL, "/6/whatever.xml", interval)]);
    let world = world(&registry.anchor(), AllowedFederations::None);
    world.client.refresh_once(now()).await.unwrap();
    let interval = |client: &GlobalConfClient| client.current().unwrap().ocsp_fetch_interval();
    assert_eq!(interval(&world.client), Duration::from_secs(300));
    let again = client(world.folder.path(), AllowedFederations::None);
    assert_eq!(interval(&again), Duration::from_secs(300));
    registry.publish(Version::V6, &[shared]);
    world.client.refresh_once(now()).await.unwrap();
    assert_eq!(interval(&world.client), Duration::from_secs(1200));
}

#[tokio::test]
async fn what_is_not_right_does_not_replace_what_is_held() {
    let registry = Registry::new("AA").await;
    registry.publish_all(&shared_parameters("AA"), Vec::new());
    let world = world(&registry.anchor(), AllowedFederations::None);
    world.client.refresh_once(now()).await.unwrap();
    let held = world.client.current().unwrap();

    let mut other = shared_parameters("AA");
    other.settings.ocsp_freshness_seconds = 9;
    let other = other.to_xml(Version::V6).unwrap();
    let part = (SHARED_PARAMETERS, "/6/new-shared-params.xml", other.clone());
    let page = "/internalconf?version=6";
    let expect = async |what: &str| {
        let error = world.client.refresh_once(now()).await.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        let current = world.client.current().unwrap();
        assert_eq!(current.configuration("AA"), held.configuration("AA"), "{what}");
    };

    let stranger = TestKey::generate();
    let certificate = self_signed("registry", &stranger);
    let later = now() + time::Duration::minutes(5);
    registry.publish_until(
        Version::V6,
        std::slice::from_ref(&part),
        later,
        &stranger,
        &certificate,
    );
    expect("no verification certificate").await;

    let earlier = now() - time::Duration::minutes(5);
    registry.publish_until(
        Version::V6,
        std::slice::from_ref(&part),
        earlier,
        &registry.key,
        &registry.certificate,
    );
    expect("expired").await;

    registry.publish(Version::V6, std::slice::from_ref(&part));
    let directory = registry.site.lock().unwrap().get(page).unwrap().clone();
    let text = String::from_utf8(directory.clone()).unwrap();
    SignedDirectory::parse(&directory).unwrap();
    registry.put(page, text.replace("new-shared", "old-shared").into_bytes());
    expect("signature").await;

    registry.put(page, directory.clone());
    registry.put("/6/new-shared-params.xml", b"something else".to_vec());
    expect("digest").await;
    registry.site.lock().unwrap().remove("/6/new-shared-params.xml");
    expect("404").await;

    registry.put(page, b"garbage".to_vec());
    expect("directory").await;
    registry.put(page, vec![b'x'; 5 << 20]);
    expect("longer than").await;

    let foreign = shared_parameters("BB").to_xml(Version::V6).unwrap();
    registry.publish(Version::V6, &[(SHARED_PARAMETERS, "/6/foreign.xml", foreign)]);
    expect("instance AA is of instance BB").await;
    registry.publish(Version::V6, &[(SHARED_PARAMETERS, "/6/junk.xml", b"<junk".to_vec())]);
    expect("malformed shared parameters").await;
    registry.publish(Version::V6, &[(FETCH_INTERVAL, "/6/junk.xml", b"<junk".to_vec())]);
    expect("no shared parameters").await;

    // And then all is well again.
    registry.publish(Version::V6, &[(SHARED_PARAMETERS, "/6/new-shared-params.xml", other)]);
    world.client.refresh_once(now()).await.unwrap();
    let freshness = world.client.current().unwrap().ocsp_policy().freshness;
    assert_eq!(freshness, Duration::from_secs(9));
}

#[tokio::test]
async fn an_expired_configuration_is_loaded_as_expired() {
    let registry = Registry::new("AA").await;
    registry.publish_all(&shared_parameters("AA"), Vec::new());
    let world = world(&registry.anchor(), AllowedFederations::None);
    world.client.refresh_once(now()).await.unwrap();
    let again = client(world.folder.path(), AllowedFederations::None);
    let later = now() + time::Duration::hours(1);
    let error = again.current().unwrap().valid_at(later).unwrap_err();
    assert_eq!(error.code(), "global_conf_outdated");
}

#[tokio::test]
async fn another_source_stands_in_and_is_remembered() {
    let registry = Registry::new("AA").await;
    registry.publish_all(&shared_parameters("AA"), Vec::new());
    let slow = FakeServer::start(|_| Reply::Hang).await;
    let broken = FakeServer::start(|_| Reply::Http(500, "text/plain", Vec::new())).await;
    let dead = nobody().await;
    let mut anchor = registry.anchor();
    for url in [slow.url("/c"), broken.url("/c"), format!("http://{dead}/c")] {
        anchor.sources.insert(0, AnchorSource { url, ..registry.source() });
    }
    let world = world(&anchor, AllowedFederations::None);
    world.client.refresh_once(now()).await.unwrap();
    slow.forget();
    broken.forget();
    for _ in 0..4 {
        world.client.refresh_once(now()).await.unwrap();
    }
    assert_eq!((slow.count(), broken.count()), (0, 0));
    // Its own failure is told with those of all others.
    registry.site.lock().unwrap().clear();
    let error = world.client.refresh_once(now()).await.unwrap_err().to_string();
    for part in ["404", "500", "no progress", "cannot connect"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[tokio::test]
async fn partners_are_trusted_as_far_as_allowed() {
    let (own, partner) = (Registry::new("AA").await, Registry::new("BB").await);
    own.publish_all(&shared_parameters("AA"), vec![partner.anchor()]);
    partner.publish_all(&shared_parameters("BB"), Vec::new());
    let instances = |client: &GlobalConfClient| -> Vec<String> {
        client.current().unwrap().instances().map(str::to_owned).collect()
    };
    let alone = world(&own.anchor(), AllowedFederations::None);
    alone.client.refresh_once(now()).await.unwrap();
    assert_eq!(instances(&alone.client), ["AA"]);
    assert_eq!(partner.server.count(), 0);

    let only = AllowedFederations::Only(vec!["bb".to_owned()]);
    let together = world(&own.anchor(), only.clone());
    together.client.refresh_once(now()).await.unwrap();
    assert_eq!(instances(&together.client), ["AA", "BB"]);
    // A partner's private parameters are not ours to know.
    assert!(!partner.server.targets().iter().any(|target| target.contains("private")));
    assert_eq!(instances(&client(together.folder.path(), only.clone())), ["AA", "BB"]);
    assert_eq!(instances(&client(together.folder.path(), AllowedFederations::None)), ["AA"]);

    // A partner that fails stays as it is, and takes nobody else along.
    partner.site.lock().unwrap().clear();
    let error = together.client.refresh_once(now()).await.unwrap_err();
    assert!(matches!(error, RefreshError::Partners(_)), "{error}");
    assert_eq!(instances(&together.client), ["AA", "BB"]);
    assert_eq!(instances(&client(together.folder.path(), only)), ["AA", "BB"]);

    // Once it has expired it is unknown.
    let later = now() + time::Duration::minutes(11);
    own.publish_until(
        Version::V6,
        &[
            (SHARED_PARAMETERS, "/6/s.xml", shared_parameters("AA").to_xml(Version::V6).unwrap()),
            (
                PRIVATE_PARAMETERS,
                "/6/p.xml",
                private("AA", vec![partner.anchor()]).to_xml().unwrap(),
            ),
        ],
        later + time::Duration::minutes(1),
        &own.key,
        &own.certificate,
    );
    together.client.refresh_once(later).await.unwrap_err();
    assert_eq!(instances(&together.client), ["AA"]);
    // And known again when it recovers.
    partner.publish_until(
        Version::V6,
        &[(SHARED_PARAMETERS, "/s.xml", shared_parameters("BB").to_xml(Version::V6).unwrap())],
        later + time::Duration::minutes(1),
        &partner.key,
        &partner.certificate,
    );
    together.client.refresh_once(later).await.unwrap();
    assert_eq!(instances(&together.client), ["AA", "BB"]);
}

#[tokio::test]
async fn the_own_configuration_counts_before_partners_are_asked() {
    let own = Registry::new("AA").await;
    let partner =
        Registry { server: FakeServer::start(|_| Reply::Hang).await, ..Registry::new("BB").await };
    own.publish_all(&shared_parameters("AA"), vec![partner.anchor()]);
    let world = world(&own.anchor(), AllowedFederations::Only(vec!["BB".to_owned()]));
    let refresh = world.client.refresh_once(now());
    let watch = async {
        while partner.server.count() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.client.current().map(|conf| conf.instance().to_owned())
    };
    let (refreshed, current) = tokio::join!(refresh, watch);
    assert_eq!(current.as_deref(), Some("AA"));
    assert!(matches!(refreshed.unwrap_err(), RefreshError::Partners(_)));
}

#[tokio::test]
async fn a_partner_cannot_speak_for_us() {
    let (own, partner) = (Registry::new("AA").await, Registry::new("BB").await);
    own.publish_all(&shared_parameters("AA"), vec![partner.anchor()]);
    let mut evil = shared_parameters("AA");
    evil.settings.ocsp_freshness_seconds = 1;
    partner
        .publish(Version::V6, &[(SHARED_PARAMETERS, "/e.xml", evil.to_xml(Version::V6).unwrap())]);
    let world = world(&own.anchor(), AllowedFederations::All);
    let error = world.client.refresh_once(now()).await.unwrap_err().to_string();
    assert!(error.contains("instance BB is of instance AA"), "{error}");
    let conf = world.client.current().unwrap();
    assert_eq!(conf.ocsp_policy().freshness, Duration::from_secs(3600));
}

#[tokio::test]
async fn what_cannot_be_saved_is_used_all_the_same() {
    let registry = Registry::new("AA").await;
    registry.publish_all(&shared_parameters("AA"), Vec::new());
    let world = world(&registry.anchor(), AllowedFederations::None);
    std::fs::write(world.folder.path().join("conf.generations"), "in the way").unwrap();
    let error = world.client.refresh_once(now()).await.unwrap_err();
    assert!(matches!(error, RefreshError::Save(_)), "{error}");
    world.client.current().unwrap().valid_at(now()).unwrap();
    std::fs::remove_file(world.folder.path().join("conf.generations")).unwrap();
    world.client.refresh_once(now()).await.unwrap();
    assert!(client(world.folder.path(), AllowedFederations::None).current().is_some());
}

#[tokio::test]
async fn the_loop_refreshes_when_asked_and_stops() {
    let registry = Registry::new("AA").await;
    let world = world(&registry.anchor(), AllowedFederations::None);
    let client = Arc::new(world.client);
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.run(stopping).await }
    });
    let reaches = async |state: State| {
        for _ in 0..200 {
            if client.diagnosis().state == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", client.diagnosis());
    };
    reaches(State::Failing).await;
    let diagnosis = client.diagnosis();
    assert!(diagnosis.last_error.unwrap().contains("404"));
    assert!(diagnosis.next.unwrap() < now() + time::Duration::seconds(15));
    registry.publish_all(&shared_parameters("AA"), Vec::new());
    client.refresh_soon();
    reaches(State::Good).await;
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_partner_is_unknown_once_it_expires_between_refreshes() {
    let (own, partner) = (Registry::new("AA").await, Registry::new("BB").await);
    own.publish_all(&shared_parameters("AA"), vec![partner.anchor()]);
    let shared = shared_parameters("BB").to_xml(Version::V6).unwrap();
    // Expiry dates are in whole seconds.
    let soon = now() + time::Duration::seconds(3);
    let files = [(SHARED_PARAMETERS, "/s.xml", shared)];
    partner.publish_until(Version::V6, &files, soon, &partner.key, &partner.certificate);
    let world = world(&own.anchor(), AllowedFederations::All);
    world.client.refresh_once(now()).await.unwrap();
    let known = || world.client.current().unwrap().instances().count();
    assert_eq!(known(), 2);
    let (_sender, mut stop) = watch::channel(false);
    let mut changes = world.client.subscribe();
    changes.mark_unchanged();
    tokio::select! {
        _ = world.client.rest(Duration::from_secs(60), &mut stop) => panic!("too early"),
        changed = changes.changed() => changed.unwrap(),
    }
    assert_eq!(known(), 1);
    assert!(now() > soon - time::Duration::seconds(1));
}
