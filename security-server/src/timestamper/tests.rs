#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use arc_swap::ArcSwapOption;
use causeway_messagelog::TimestampCover;
use causeway_pki::tsp::TimestampToken;
use causeway_signature::xades::SignatureDocument;

use super::fake::{FakeTsa, Mood, TestLog, conf_that_expires, conf_with};
use super::*;

fn settings() -> TimestampingSettings {
    TimestampingSettings {
        services: Vec::new(),
        acceptable_failure: Duration::from_secs(100),
        interval: Some(Duration::from_secs(30)),
        retry: Duration::from_millis(50),
        records_limit: 10,
        connect_timeout: Duration::from_millis(500),
        read_timeout: Duration::from_millis(200),
    }
}

fn published(conf: &Arc<GlobalConf>) -> Published {
    Arc::new(ArcSwapOption::new(Some(Arc::clone(conf))))
}

fn timestamping(
    log: &TestLog,
    conf: &Arc<GlobalConf>,
    settings: TimestampingSettings,
) -> Arc<Timestamping> {
    Arc::new(Timestamping::new(settings, Arc::clone(&log.log), published(conf)))
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[tokio::test]
async fn one_record_has_its_signature_value_stamped_and_the_token_inside() {
    let (log, tsa) = (TestLog::new(), FakeTsa::start(Mood::Grant).await);
    let id = log.keep("a", false).await;
    let stamper = timestamping(&log, &conf_with(&[("TSA", &tsa)]), settings());
    stamper.stamp_now().await.unwrap();
    let record = log.log.record(id).unwrap().unwrap();
    let timestamp = record.timestamp.unwrap();
    assert_eq!(timestamp.cover, TimestampCover::Single);
    let document = SignatureDocument::parse(&record.signature).unwrap();
    assert_eq!(document.timestamps()[0], timestamp.token);
    let token = TimestampToken::parse(&timestamp.token).unwrap();
    token.verify(document.value(), std::slice::from_ref(&tsa.certificate)).unwrap();
    // The token holds its signer's certificate though it was not asked for.
    assert_eq!(token.certificates(), std::slice::from_ref(&tsa.certificate));
    let asked = tsa.server.asked.lock().unwrap()[0].clone();
    assert!(asked.head.contains("content-type: application/timestamp-query\r\n"), "{}", asked.head);
    let status = stamper.status();
    assert_eq!((status.work.state, status.services[0].state), (State::Good, State::Good));
}

#[tokio::test]
async fn several_records_share_a_timestamp_and_full_batches_follow_each_other() {
    let (log, tsa) = (TestLog::new(), FakeTsa::start(Mood::Grant).await);
    let mut ids = Vec::new();
    for n in 0..25 {
        ids.push(log.keep(&n.to_string(), n % 2 == 0).await);
    }
    let stamper = timestamping(&log, &conf_with(&[("TSA", &tsa)]), settings());
    stamper.stamp_now().await.unwrap();
    assert_eq!((log.waiting(), tsa.server.count()), (0, 3));
    let first = log.log.record(ids[0]).unwrap().unwrap().timestamp.unwrap();
    let second = log.log.record(ids[9]).unwrap().unwrap().timestamp.unwrap();
    assert_eq!(first.id, second.id);
    let TimestampCover::Batch { hash_chain_result, .. } = first.cover else { panic!() };
    let token = TimestampToken::parse(&first.token).unwrap();
    token.verify(&hash_chain_result, std::slice::from_ref(&tsa.certificate)).unwrap();
}

#[tokio::test]
async fn nobody_is_asked_when_nothing_waits() {
    let (log, tsa) = (TestLog::new(), FakeTsa::start(Mood::Reject).await);
    let stamper = timestamping(&log, &conf_with(&[("TSA", &tsa)]), settings());
    stamper.stamp_now().await.unwrap();
    assert_eq!((tsa.server.count(), stamper.status().work.state), (0, State::Good));
}

#[tokio::test]
async fn what_does_not_count_is_passed_over_for_the_next_authority() {
    let (log, good) = (TestLog::new(), FakeTsa::start(Mood::Grant).await);
    let moods = [
        (Mood::Reject, "status: 2"),
        (Mood::Garbage, "timestamp response"),
        (Mood::Unavailable, "HTTP status 503"),
        (Mood::Silent, "no progress"),
        (Mood::OtherImprint, "message imprint differs"),
        (Mood::Forge, "signer information"),
    ];
    for (mood, text) in moods {
        let bad = FakeTsa::start(mood).await;
        log.keep("a", false).await;
        let conf = conf_with(&[("bad", &bad), ("good", &good)]);
        let stamper = timestamping(&log, &conf, settings());
        stamper.stamp_now().await.unwrap();
        assert_eq!((log.waiting(), bad.server.count()), (0, 1), "{mood:?}");
        let status = stamper.status();
        assert_eq!(status.work.state, State::Good);
        let [first, second] = &status.services[..] else { panic!() };
        assert_eq!((first.state, second.state), (State::Failing, State::Good));
        let (_, error) = first.last_error.as_ref().unwrap();
        assert!(error.contains(text), "{mood:?}: {error}");

        // Alone it is a failure.
        log.keep("b", false).await;
        let stamper = timestamping(&log, &conf_with(&[("bad", &bad)]), settings());
        let fault = stamper.stamp_now().await.unwrap_err();
        assert_eq!(fault.code(), "timestamping_failed");
        assert!(fault.message().contains(text), "{}", fault.message());
        assert_eq!(log.waiting(), 1);
        timestamping(&log, &conf_with(&[("good", &good)]), settings()).stamp_now().await.unwrap();
    }
}

#[tokio::test]
async fn the_operator_names_and_orders_the_services() {
    let log = TestLog::new();
    let (a, b, c) = tokio::join!(
        FakeTsa::start(Mood::Grant),
        FakeTsa::start(Mood::Grant),
        FakeTsa::start(Mood::Grant)
    );
    let conf = conf_with(&[("A", &a), ("B", &b), ("C", &c)]);
    let wanted = vec!["nobody".to_owned(), c.url(), "A".to_owned(), "C".to_owned()];
    let stamper =
        timestamping(&log, &conf, TimestampingSettings { services: wanted, ..settings() });
    let status = stamper.status();
    let names: Vec<_> = status.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!((names, status.unapproved), (vec!["C", "A"], vec!["nobody".to_owned()]));
    log.keep("a", false).await;
    stamper.stamp_now().await.unwrap();
    assert_eq!((a.server.count(), b.server.count(), c.server.count()), (0, 0, 1));
}

#[tokio::test]
async fn the_gate_closes_without_a_provider_and_after_the_acceptable_period() {
    let (log, tsa) = (TestLog::new(), FakeTsa::start(Mood::Reject).await);
    let nobody = timestamping(&log, &conf_with(&[]), settings());
    let code = "logging_failed.mlog.no_timestamping_provider_found";
    assert_eq!(nobody.gate(now()).unwrap_err().code(), code);
    let none = Timestamping::new(settings(), Arc::clone(&log.log), Arc::default());
    assert_eq!(none.gate(now()).unwrap_err().code(), code);

    let stamper = timestamping(&log, &conf_with(&[("TSA", &tsa)]), settings());
    let later = now() + Duration::from_secs(101);
    stamper.gate(later).unwrap();
    log.keep("a", false).await;
    stamper.stamp_now().await.unwrap_err();
    stamper.gate(now()).unwrap();
    let fault = stamper.gate(later + Duration::from_secs(5)).unwrap_err();
    assert_eq!(fault.code(), "logging_failed.timestamping_failed");
    assert!(stamper.status().refuses_from.unwrap() > now());
    // More failures do not move the end of the period.
    let since = stamper.failing_since();
    tokio::time::sleep(Duration::from_millis(5)).await;
    stamper.stamp_now().await.unwrap_err();
    assert_eq!(stamper.failing_since(), since);
    tsa.turn(Mood::Grant);
    stamper.stamp_now().await.unwrap();
    stamper.gate(later + Duration::from_secs(5)).unwrap();
    assert_eq!(stamper.status().refuses_from, None);

    let patient = TimestampingSettings { acceptable_failure: Duration::ZERO, ..settings() };
    tsa.turn(Mood::Reject);
    log.keep("b", false).await;
    let stamper = timestamping(&log, &conf_with(&[("TSA", &tsa)]), patient);
    stamper.stamp_now().await.unwrap_err();
    stamper.gate(later + Duration::from_secs(1 << 30)).unwrap();
}

#[tokio::test]
async fn an_expired_configuration_is_a_failure_and_nobody_is_asked() {
    let (log, tsa) = (TestLog::new(), FakeTsa::start(Mood::Grant).await);
    log.keep("a", false).await;
    let conf = conf_that_expires(&[("TSA", &tsa)], Some(now() - Duration::from_secs(1)));
    let stamper = timestamping(&log, &conf, settings());
    assert_eq!(stamper.stamp_now().await.unwrap_err().code(), "global_conf_outdated");
    assert_eq!(tsa.server.count(), 0);
}

#[tokio::test]
async fn a_signature_that_cannot_be_read_keeps_nobody_waiting() {
    let (log, tsa) = (TestLog::new(), FakeTsa::start(Mood::Grant).await);
    let signature = Bytes::from_static(b"<nonsense/>");
    let id = log.keep_with("a", false, Bytes::from_static(b"m"), signature, None).await;
    let stamper = timestamping(&log, &conf_with(&[("TSA", &tsa)]), settings());
    stamper.stamp_now().await.unwrap();
    assert!(log.log.record(id).unwrap().unwrap().timestamp.is_some());
    assert_eq!(log.waiting(), 0);
}

#[tokio::test]
async fn callers_of_the_same_moment_share_a_round() {
    let (log, tsa) = (TestLog::new(), FakeTsa::start(Mood::Silent).await);
    log.keep("a", false).await;
    let stamper = timestamping(&log, &conf_with(&[("TSA", &tsa)]), settings());
    let calls = (0..20).map(|_| stamper.stamp_now());
    let results = futures_util::future::join_all(calls).await;
    assert!(results.iter().all(Result::is_err));
    assert!(tsa.server.count() <= 2, "{}", tsa.server.count());
}

/// The story of an authority that goes away and comes back, told by the loop.
#[tokio::test]
async fn the_loop_retries_with_one_record_and_catches_up() {
    let (log, tsa) = (TestLog::new(), FakeTsa::start(Mood::Unavailable).await);
    for n in 0..5 {
        log.keep(&n.to_string(), false).await;
    }
    let quick = TimestampingSettings { interval: Some(Duration::from_millis(100)), ..settings() };
    let stamper = timestamping(&log, &conf_with(&[("TSA", &tsa)]), quick);
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn({
        let stamper = Arc::clone(&stamper);
        async move { stamper.run(stopping).await }
    });
    until(|| tsa.server.count() >= 3).await;
    assert_eq!((stamper.status().work.state, log.waiting()), (State::Failing, 5));
    tsa.server.forget();
    tsa.turn(Mood::Grant);
    until(|| log.waiting() == 0).await;
    // Five records in two timestamps: one alone to try, then the rest.
    let asked = tsa.server.count();
    assert!((2..=3).contains(&asked), "{asked}");
    until(|| stamper.status().work.state == State::Good).await;
    log.keep("late", false).await;
    until(|| log.waiting() == 0).await;
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_failure_elsewhere_brings_the_next_attempt_forward() {
    let (log, tsa) = (TestLog::new(), FakeTsa::start(Mood::Reject).await);
    let slow = TimestampingSettings { interval: Some(Duration::from_secs(3600)), ..settings() };
    let stamper = timestamping(&log, &conf_with(&[("TSA", &tsa)]), slow);
    let (_stop, stopping) = watch::channel(false);
    let running = tokio::spawn({
        let stamper = Arc::clone(&stamper);
        async move { stamper.run(stopping).await }
    });
    // The first attempt finds nothing, so the next one is an hour away.
    until(|| stamper.status().work.state == State::Good).await;
    log.keep("a", false).await;
    stamper.stamp_now().await.unwrap_err();
    tsa.turn(Mood::Grant);
    until(|| log.waiting() == 0).await;
    running.abort();
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it does not happen");
}
