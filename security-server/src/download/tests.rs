#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use causeway_asic::{Container, Limits};
use causeway_globalconf::GlobalConf;
use causeway_message::codes;
use http_body_util::BodyExt as _;

use super::*;
use crate::settings::TimestampingSettings;
use crate::timestamper::Timestamping;
use crate::timestamper::fake::{FakeTsa, Mood, TestLog, conf_with};

const CLIENT: &str = "xRoadInstance=AA&memberClass=GOV&memberCode=1&subsystemCode=sub";

/// A log whose records an authority stamps when it is told to.
struct World {
    log: TestLog,
    tsa: FakeTsa,
    stamper: Timestamping,
    stamped: AtomicUsize,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    content_type: String,
    disposition: String,
    body: Bytes,
}

impl World {
    async fn new() -> Self {
        let (log, tsa) = (TestLog::new(), FakeTsa::start(Mood::Grant).await);
        let settings = TimestampingSettings {
            services: Vec::new(),
            acceptable_failure: std::time::Duration::ZERO,
            interval: None,
            retry: std::time::Duration::from_secs(60),
            records_limit: 100,
            connect_timeout: std::time::Duration::from_secs(1),
            read_timeout: std::time::Duration::from_secs(1),
        };
        let conf = Arc::new(ArcSwapOption::new(Some(conf_with(&[("TSA", &tsa)]))));
        let stamper = Timestamping::new(settings, Arc::clone(&log.log), conf);
        Self { log, tsa, stamper, stamped: AtomicUsize::new(0) }
    }

    async fn ask(&self, rest: &str) -> Answer {
        self.ask_raw(&format!("{CLIENT}{rest}"), |_| Ok(())).await
    }

    async fn ask_raw(
        &self,
        query: &str,
        authenticate: impl Fn(&ClientId) -> Result<(), Fault>,
    ) -> Answer {
        let stamp = || async {
            self.stamped.fetch_add(1, Ordering::Relaxed);
            self.stamper.stamp_now().await
        };
        read(asic(&self.log.log, stamp, query, authenticate).await).await
    }
}

async fn read(response: Response<Body>) -> Answer {
    let header = |name| {
        let value = response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    };
    let (content_type, disposition) = (header(CONTENT_TYPE), header(CONTENT_DISPOSITION));
    let (status, length) = (response.status().as_u16(), header(CONTENT_LENGTH));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    if status == 200 {
        assert_eq!(length, body.len().to_string());
    }
    Answer { status, content_type, disposition, body }
}

fn unzip(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.name().to_owned(), content)
        })
        .collect()
}

fn text(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.content_type, "text/plain;charset=utf-8");
    (answer.status, std::str::from_utf8(&answer.body).unwrap())
}

#[tokio::test]
async fn a_message_is_downloaded_with_its_evidence() {
    let world = World::new().await;
    let ids = [world.log.keep("a b/c", false).await, world.log.keep("a b/c", true).await];
    world.stamper.stamp_now().await.unwrap();

    let answer = world.ask("&queryId=a+b%2Fc").await;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/zip"));
    assert_eq!(answer.disposition, "attachment; filename=\"a+b%2Fc.zip\"");
    let containers = unzip(&answer.body);
    let expected = ids.map(|id| {
        let record = world.log.log.record(id).unwrap().unwrap();
        causeway_messagelog::evidence::file_name(&record)
    });
    assert_eq!(containers.keys().cloned().collect::<Vec<_>>(), expected);
    for container in containers.values() {
        Container::read(container, &Limits::default()).unwrap().check().unwrap();
    }

    let answer = world.ask("&queryId=a%20b/c&responseOnly").await;
    assert_eq!(answer.disposition, "attachment; filename=\"a+b%2Fc-response.zip\"");
    assert_eq!(unzip(&answer.body).len(), 1);

    let answer = world.ask("&queryId=a%20b/c&requestOnly&unique").await;
    assert_eq!(answer.content_type, "application/vnd.etsi.asic-e+zip");
    assert_eq!(answer.disposition, format!("attachment; filename=\"{}\"", expected[0]));
    assert_eq!(answer.body, containers[&expected[0]]);
    assert_eq!(world.stamped.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_is_not_timestamped_is_refused_unless_forced() {
    let world = World::new().await;
    world.log.keep("q", false).await;
    let answer = world.ask("&queryId=q").await;
    assert_eq!(text(&answer), (500, "Message signature has not been timestamped yet!"));

    world.tsa.turn(Mood::Reject);
    let answer = world.ask("&queryId=q&force").await;
    let (status, why) = text(&answer);
    assert!(status == 500 && why.contains("time-stamp"), "{why}");

    let nothing = || async { Ok(()) };
    let query = format!("{CLIENT}&queryId=q&force");
    let answer = read(asic(&world.log.log, nothing, &query, |_| Ok(())).await).await;
    assert_eq!(text(&answer), (500, "Could not create missing timestamp!"));

    world.tsa.turn(Mood::Grant);
    let answer = world.ask("&queryId=q&force&unique&requestOnly").await;
    assert_eq!(answer.status, 200);
    let container = Container::read(&answer.body, &Limits::default()).unwrap();
    assert!(container.timestamp.is_none() && container.ts_hash_chain.is_none());
    assert_eq!(world.ask("&queryId=q").await.status, 200);
    assert_eq!(world.stamped.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn checks_come_in_order() {
    let world = World::new().await;
    world.log.keep("q", false).await;
    let stranger = |_: &ClientId| Err(Fault::new(codes::UNKNOWN_MEMBER, "who are you"));
    // Which client it is comes before who asks, and that before everything else.
    let answer = world.ask_raw("memberClass=GOV&memberCode=1", stranger).await;
    assert_eq!(text(&answer), (400, "Parameter \"xRoadInstance\"  must be specified."));
    let answer = world.ask_raw(CLIENT, stranger).await;
    assert_eq!(text(&answer), (401, "who are you"));
    let answer = world.ask("&requestOnly&responseOnly").await;
    assert_eq!(text(&answer), (400, "Parameter \"queryId\"  must be specified."));
    let answer = world.ask("&queryId=nope&requestOnly&responseOnly").await;
    assert_eq!(answer.status, 400);
    let answer = world.ask("&queryId=nope&unique").await;
    assert_eq!(text(&answer), (404, "No signed documents found"));
    assert_eq!(world.ask("&queryId=q&unique").await.status, 500);
    let answer = world.ask("&queryId=q&unique&force").await;
    assert_eq!(answer.status, 400);
    assert_eq!(world.ask("&queryId=q&queryId=q").await.status, 400);
    // Another client's records are not found, and neither are a subsystem's for its member.
    for other in [
        "xRoadInstance=AA&memberClass=GOV&memberCode=1&queryId=q",
        "xRoadInstance=AA&memberClass=GOV&memberCode=1&subsystemCode=other&queryId=q",
        "xRoadInstance=AA&memberClass=GOV&memberCode=2&subsystemCode=sub&queryId=q",
    ] {
        assert_eq!(world.ask_raw(other, |_| Ok(())).await.status, 404, "{other}");
    }
}

#[tokio::test]
async fn a_large_body_streams_from_its_file() {
    let world = World::new().await;
    let body: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let message = Bytes::from_static(b"m");
    let signature = Bytes::from_static(b"<nonsense/>");
    world.log.keep_with("q", true, message, signature, Some(&body)).await;
    world.stamper.stamp_now().await.unwrap();
    let answer = world.ask("&queryId=q").await;
    assert_eq!(answer.status, 200);
    let containers = unzip(&answer.body);
    let container = unzip(containers.values().next().unwrap());
    assert_eq!(container["attachment1"], body);
    assert_eq!(unzip(&world.ask("&queryId=q&responseOnly&unique").await.body), container);
}

#[tokio::test]
async fn the_global_configuration_is_downloaded_in_the_verifiers_layout() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("globalconf");
    let answer = read(verification_configuration(&folder).await).await;
    assert_eq!(text(&answer).0, 500);

    let shared = crate::outgoing::fake::shared_parameters("AA")
        .to_xml(causeway_globalconf::Version::V6)
        .unwrap();
    std::fs::create_dir_all(folder.join("AA")).unwrap();
    std::fs::write(folder.join("instance-identifier"), "AA").unwrap();
    std::fs::write(folder.join("AA/shared-params.xml"), &shared).unwrap();
    let metadata = br#"{"contentIdentifier":"SHARED-PARAMETERS","instanceIdentifier":"AA","expirationDate":"2020-01-01T00:00:00Z","configurationVersion":"6"}"#;
    std::fs::write(folder.join("AA/shared-params.xml.metadata"), metadata).unwrap();
    std::fs::write(folder.join("AA/private-params.xml"), "<secret/>").unwrap();

    let answer = read(verification_configuration(&folder).await).await;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/zip"));
    assert_eq!(answer.disposition, "filename=\"verificationconf.zip\"");
    let files = unzip(&answer.body);
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "verificationconf/AA/shared-params.xml",
            "verificationconf/AA/shared-params.xml.metadata",
            "verificationconf/instance-identifier"
        ]
    );
    let metadata = &files["verificationconf/AA/shared-params.xml.metadata"];
    assert_eq!(metadata, br#"{"configurationVersion":"6"}"#);
    // The verifier reads it.
    let files = files.into_iter().map(|(path, content)| {
        (path.strip_prefix("verificationconf/").unwrap().to_owned(), content)
    });
    let conf = GlobalConf::from_directory_files(files.collect()).unwrap();
    assert_eq!(conf.instance(), "AA");
    conf.valid_at(time::OffsetDateTime::now_utc()).unwrap();
}
