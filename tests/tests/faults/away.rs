//! Services that security servers need are away for a while: messages flow within the limits, are
//! refused beyond them, and flow again by themselves.

use std::time::{Duration, Instant};

use central_registry::Edit;
use sandbox::Options;

use crate::load::{Dice, Load};
use crate::scene::Scene;

/// Longer than servers wait between attempts.
const A_WHILE: Duration = Duration::from_millis(2500);

fn set(config: &mut toml::Table, section: &str, key: &str, value: &str) {
    let section = config.entry(section).or_insert_with(|| toml::Table::new().into());
    section.as_table_mut().unwrap().insert(key.into(), value.into());
}

/// Fails when anything but an answer comes to a load within a while.
async fn must_flow(scene: &Scene, time: Duration) {
    let load = Load::start(scene, 2, &mut Dice::new(3));
    tokio::time::sleep(time).await;
    let tally = load.stop().await;
    assert!(tally.refused.is_empty() && tally.broken == 0, "{:?}", tally.refused);
    assert!(!tally.answered.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timestamping_authority_is_away() {
    const ACCEPTABLE: Duration = Duration::from_secs(5);
    let options = Options { timestamping_interval: Duration::from_secs(1), ..Options::for_tests() };
    let options = options.adjust(|_, config| {
        set(config, "timestamping", "retry", "1s");
        set(config, "timestamping", "acceptable_failure", &format!("{}s", ACCEPTABLE.as_secs()));
    });
    let scene = Scene::set("ss1", options).await;
    let mut process = scene.start();
    scene.until_served(&mut process).await;
    let tsa = scene.ecosystem.authorities().tsa_listening();

    // Within the acceptable time.
    tsa.set_listening(false);
    must_flow(&scene, A_WHILE).await;
    tsa.set_listening(true);
    must_flow(&scene, A_WHILE).await;

    // Beyond it.
    tsa.set_listening(false);
    let begun = Instant::now();
    let error = scene.until_refused("timestamping_failed").await;
    println!("refused after {:.1?}: {error}", begun.elapsed());
    assert!(begun.elapsed() >= ACCEPTABLE);
    tsa.set_listening(true);
    let (last, elapsed) = scene.until_answered(Instant::now(), || process.must_run()).await;
    println!("answered again {elapsed:.1?} after the timestamping authority was back");
    scene.stamp(&last).await;
    must_flow(&scene, A_WHILE).await;
    assert!(process.terminate().await.success());
    scene.ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ocsp_responder_is_away() {
    const FRESHNESS: u32 = 10;
    let options = Options::for_tests().adjust(|_, config| {
        set(config, "ocsp", "fetch_interval", "1s");
        set(config, "ocsp", "retry", "1s");
    });
    let scene = Scene::set("ss1", options).await;
    let policy = Edit::PolicySet {
        ocsp_freshness_seconds: Some(FRESHNESS),
        timestamping_interval_seconds: None,
        ocsp_fetch_interval_seconds: None,
        verify_next_update: Some(false),
        monitoring_client: None,
    };
    scene.ecosystem.registry().edit(policy).unwrap();
    let mut process = scene.start();
    scene.until_served(&mut process).await;
    // Until both servers know the new policy.
    must_flow(&scene, Duration::from_secs(6)).await;
    let ocsp = scene.ecosystem.authorities().ocsp_listening();

    // While the responses at hand are fresh, even over a restart.
    ocsp.set_listening(false);
    let begun = Instant::now();
    process.kill();
    process = scene.start();
    let (_, elapsed) = scene.until_served(&mut process).await;
    println!("answered {elapsed:.1?} after a start without OCSP responder");
    must_flow(&scene, Duration::from_secs(1)).await;

    // Beyond that.
    let error = scene.until_refused("").await;
    println!("refused after {:.1?}: {error}", begun.elapsed());
    assert!(begun.elapsed() + Duration::from_secs(5) > Duration::from_secs(FRESHNESS.into()));
    ocsp.set_listening(true);
    let (_, elapsed) = scene.until_answered(Instant::now(), || process.must_run()).await;
    println!("answered again {elapsed:.1?} after the OCSP responder was back");
    must_flow(&scene, A_WHILE).await;
    assert!(process.terminate().await.success());
    scene.ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_away() {
    const VALIDITY: Duration = Duration::from_secs(12);
    let options = Options {
        configuration_validity: VALIDITY,
        configuration_refresh: Duration::from_secs(1),
        ..Options::for_tests()
    };
    let mut scene = Scene::set("ss1", options).await;
    let mut process = scene.start();
    scene.until_served(&mut process).await;

    // The last good configuration holds, even over a restart.
    // Killed at once: what the first message was judged by must be on disk already.
    process.kill();
    scene.ecosystem.stop_registry().await;
    let begun = Instant::now();
    process = scene.start();
    let (_, elapsed) = scene.until_served(&mut process).await;
    println!("answered {elapsed:.1?} after a start without registry");
    must_flow(&scene, Duration::from_secs(1)).await;

    // Until it expires.
    let error = scene.until_refused("global_conf_outdated").await;
    println!("refused after {:.1?}: {error}", begun.elapsed());
    assert!(begun.elapsed() <= VALIDITY + Duration::from_secs(1));
    process.kill();
    process = scene.start();
    scene.until_refused("global_conf_outdated").await;
    process.must_run();

    scene.ecosystem.start_registry().await.unwrap();
    let (_, elapsed) = scene.until_answered(Instant::now(), || process.must_run()).await;
    println!("answered again {elapsed:.1?} after the registry was back");
    must_flow(&scene, A_WHILE).await;
    assert!(process.terminate().await.success());
    scene.ecosystem.stop().await;
}
