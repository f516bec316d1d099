//! A message log belongs to one process at a time.

use std::fs;
use std::time::Duration;

use causeway_messagelog::{Log, LogError, LogSettings};
use sandbox::Options;

use crate::process::{Process, forget_said};
use crate::scene::Scene;

const IN_USE: &str = "is in use by another process";

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused() {
    let scene = Scene::set("ss1", Options::for_tests()).await;
    let mut first = scene.start();
    scene.until_served(&mut first).await;
    let folder = scene.log_folder("ss1");
    let refused = Log::open(LogSettings::new(&folder)).err();
    assert!(matches!(refused, Some(LogError::Locked { .. })), "{refused:?}");

    // The same server once more, and another one that is told the same folder.
    let config = scene.config();
    let mut other: toml::Table = fs::read_to_string(&config).unwrap().parse().unwrap();
    other.insert("data_dir".into(), "other-data".into());
    let log = toml::Table::from_iter([("dir".to_owned(), "data/log".into())]);
    other.insert("log".into(), log.into());
    let token = other["token"].as_table_mut().unwrap();
    token.insert("dir".into(), "data/token".into());
    for (_, address) in other["listen"].as_table_mut().unwrap() {
        *address = "127.0.0.1:0".into();
    }
    let other_config = config.with_file_name("other.toml");
    fs::write(&other_config, toml::to_string(&other).unwrap()).unwrap();
    for config in [&config, &other_config] {
        forget_said(config);
        let mut second = Process::start(config);
        let status = second.ended(Duration::from_secs(20)).await;
        let said = second.said();
        println!("{status}: {said}");
        assert!(!status.success());
        assert!(said.contains(IN_USE) && said.contains(&*folder.to_string_lossy()), "{said}");
        scene.ask().await.unwrap();
    }

    // A process that is gone has nothing in use.
    first.kill();
    let mut next = scene.start();
    scene.until_served(&mut next).await;
    assert!(next.terminate().await.success());
    scene.ecosystem.stop().await;
}
