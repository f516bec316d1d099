#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use causeway_pki::ocsp::{CertId, ResponseBuilder, error_response};
use tempfile::TempDir;

use super::*;
use crate::outgoing::fake::{FakeServer, IMPATIENT, Reply, TestCa, TestKey, conf_with_ca, nobody};

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Made once for all tests; a CA and a certificate of it.
struct Pki {
    ca: TestCa,
    certificate: Certificate,
}

impl Pki {
    fn new() -> Arc<Self> {
        let ca = TestCa::new("Test CA");
        let certificate = ca.issue("member", &TestKey::generate());
        Arc::new(Self { ca, certificate })
    }

    fn response(&self, status: CertStatus, this_update: OffsetDateTime) -> Vec<u8> {
        self.response_by(&self.ca.key, status, this_update)
    }

    fn response_by(
        &self,
        key: &TestKey,
        status: CertStatus,
        this_update: OffsetDateTime,
    ) -> Vec<u8> {
        let id = CertId::of(&self.certificate, &self.ca.certificate);
        ResponseBuilder::new(now())
            .single(&id, status, this_update, None)
            .sign(key, &self.ca.certificate)
            .unwrap()
    }
}

type Answer = Arc<Mutex<(u16, Vec<u8>)>>;

async fn responder(answer: &Answer) -> FakeServer {
    let answer = Arc::clone(answer);
    FakeServer::start(move |_| {
        let (status, body) = answer.lock().unwrap().clone();
        Reply::Http(status, "application/ocsp-response", body)
    })
    .await
}

struct World {
    folder: TempDir,
    client: OcspClient,
    cache: Arc<OcspCache>,
}

fn settings() -> OcspSettings {
    OcspSettings {
        fetch_interval: None,
        retry: Duration::from_secs(60),
        connect_timeout: IMPATIENT.connect,
        read_timeout: IMPATIENT.read,
    }
}

fn world(pki: &Pki, urls: &[String]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let cache = Arc::new(OcspCache::open(folder.path().join("ocsp")));
    let published = Published::default();
    published.store(Some(Arc::new(conf_with_ca(&pki.ca.certificate, urls))));
    let certificate = pki.certificate.clone();
    let client = OcspClient::new(settings(), Arc::clone(&cache), published, move || {
        vec![certificate.clone()]
    });
    World { folder, client, cache }
}

#[tokio::test]
async fn a_response_is_fetched_kept_and_read_back() {
    let pki = Pki::new();
    let answer = Answer::new(Mutex::new((200, pki.response(CertStatus::Good, now()))));
    let server = responder(&answer).await;
    let world = world(&pki, &[server.url("/ocsp")]);
    let changes = world.client.subscribe();
    let next = world.client.fetch_due(now(), true).await;
    let until = until(now(), next).as_secs();
    assert!((1190..=1200).contains(&until), "{until}");
    let held = world.cache.get(&pki.certificate).unwrap();
    assert_eq!(held.status(), CertStatus::Good);
    assert!(changes.has_changed().unwrap());
    assert_eq!(world.client.diagnosis().state, State::Good);
    let [status] = &world.client.certificates()[..] else { panic!() };
    assert_eq!(status.status, Some(CertStatus::Good));
    assert_eq!(world.cache.get_by_sha1(&status.sha1).unwrap().der(), held.der());

    let asked = server.asked.lock().unwrap()[0].clone();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/ocsp"));
    assert!(asked.head.contains("content-type: application/ocsp-request"));
    assert_eq!(asked.body, ocsp::request(&pki.certificate, &pki.ca.certificate));

    // Nothing is due, so nothing is fetched, unless asked for.
    world.client.fetch_due(now(), false).await;
    assert_eq!(server.count(), 1);
    world.client.fetch_due(now(), true).await;
    assert_eq!(server.count(), 2);

    let again = OcspCache::open(world.folder.path().join("ocsp"));
    assert_eq!(again.get(&pki.certificate).unwrap().der(), held.der());
    again.retain(&[]);
    assert!(OcspCache::open(world.folder.path().join("ocsp")).get(&pki.certificate).is_none());
}

#[tokio::test]
async fn what_does_not_count_does_not_replace() {
    let pki = Pki::new();
    let good = pki.response(CertStatus::Good, now() - time::Duration::minutes(1));
    let answer = Answer::new(Mutex::new((200, good.clone())));
    let server = responder(&answer).await;
    let world = world(&pki, &[server.url("/")]);
    world.client.fetch_due(now(), true).await;
    let stranger = TestKey::generate();
    let other = Pki { ca: TestCa::new("Test CA"), certificate: pki.ca.issue("x", &stranger) };
    for (status, body, reason) in [
        (500, good.clone(), "status 500"),
        (200, b"garbage".to_vec(), "OCSP response"),
        (200, error_response(3), "status 3"),
        (200, pki.response_by(&stranger, CertStatus::Good, now()), "not valid"),
        (200, other.response_by(&pki.ca.key, CertStatus::Good, now()), "does not apply"),
        (200, pki.response(CertStatus::Good, now() - time::Duration::hours(2)), "too old"),
        (200, pki.response(CertStatus::Good, now() + time::Duration::hours(2)), "future"),
        (200, pki.response(CertStatus::Unknown, now()), "UNKNOWN"),
        (200, vec![0; MAX_RESPONSE + 1], "longer than"),
    ] {
        *answer.lock().unwrap() = (status, body);
        world.client.fetch_due(now(), true).await;
        assert_eq!(world.cache.get(&pki.certificate).unwrap().der(), good);
        let error = world.client.diagnosis().last_error.unwrap();
        assert!(error.contains(reason) && error.contains("CN=member"), "{reason}: {error}");
        assert_eq!(world.client.diagnosis().state, State::Failing);
    }
    // An older one that would still count is no failure, but changes nothing.
    let older = pki.response(CertStatus::Good, now() - time::Duration::minutes(9));
    *answer.lock().unwrap() = (200, older);
    world.client.fetch_due(now(), true).await;
    assert_eq!(world.cache.get(&pki.certificate).unwrap().der(), good);
    assert_eq!(world.client.diagnosis().state, State::Good);
}

#[tokio::test]
async fn revocation_is_taken_note_of() {
    let pki = Pki::new();
    let good = pki.response(CertStatus::Good, now() - time::Duration::minutes(1));
    let answer = Answer::new(Mutex::new((200, good)));
    let server = responder(&answer).await;
    let world = world(&pki, &[server.url("/")]);
    world.client.fetch_due(now(), true).await;
    let revoked = CertStatus::Revoked { at: now().replace_nanosecond(0).unwrap() };
    *answer.lock().unwrap() = (200, pki.response(revoked, now()));
    world.client.fetch_due(now(), true).await;
    assert_eq!(world.cache.get(&pki.certificate).unwrap().status(), revoked);
}

#[tokio::test]
async fn another_responder_stands_in() {
    let pki = Pki::new();
    let answer = Answer::new(Mutex::new((200, pki.response(CertStatus::Good, now()))));
    let server = responder(&answer).await;
    let slow = FakeServer::start(|_| Reply::Hang).await;
    let dead = format!("http://{}/", nobody().await);
    let world = world(&pki, &[dead, slow.url("/"), server.url("/")]);
    world.client.fetch_due(now(), true).await;
    assert_eq!(world.client.diagnosis().state, State::Good);
    assert!(world.cache.get(&pki.certificate).is_some());
}

#[tokio::test]
async fn failures_are_tried_again_later_and_later() {
    let pki = Pki::new();
    let world = world(&pki, &[format!("http://{}/", nobody().await)]);
    let start = now();
    assert_eq!(world.client.fetch_due(start, true).await, start + time::Duration::seconds(60));
    let second = start + time::Duration::seconds(60);
    assert_eq!(world.client.fetch_due(second, false).await, second + time::Duration::seconds(120));
}

#[tokio::test]
async fn a_stranger_and_nobody_to_ask_are_told() {
    let pki = Pki::new();
    let lonely = world(&pki, &[]);
    lonely.client.fetch_due(now(), true).await;
    assert!(lonely.client.diagnosis().last_error.unwrap().contains("no OCSP responder"));
    let strange =
        world(&Pki { ca: TestCa::new("Other"), certificate: pki.certificate.clone() }, &[]);
    strange.client.fetch_due(now(), true).await;
    assert!(strange.client.diagnosis().last_error.unwrap().contains("issuer is not among"));
}

#[tokio::test]
async fn the_loop_waits_for_the_configuration_and_stops() {
    let pki = Pki::new();
    let answer = Answer::new(Mutex::new((200, pki.response(CertStatus::Good, now()))));
    let server = responder(&answer).await;
    let world = world(&pki, &[server.url("/")]);
    let conf = world.client.published.swap(None);
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
    client.published.store(conf);
    client.refresh_soon();
    reaches(State::Good).await;
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}

#[test]
fn files_that_are_no_responses_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(format!("{}.ocsp", "ab".repeat(20))), b"junk").unwrap();
    std::fs::write(folder.path().join("readme"), b"junk").unwrap();
    std::fs::write(folder.path().join(".tmpAbCdEf"), b"half a respo").unwrap();
    let cache = OcspCache::open(folder.path().to_owned());
    assert!(cache.get_by_sha1(&"ab".repeat(20)).is_none());
    for hex in ["", "zz", &"ab".repeat(21), &"é".repeat(20)] {
        assert!(cache.get_by_sha1(hex).is_none());
    }
    // What a crash left goes; what is somebody else's stays.
    assert!(!folder.path().join(".tmpAbCdEf").exists() && folder.path().join("readme").exists());
}
