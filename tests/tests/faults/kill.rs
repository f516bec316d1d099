//! A server is killed under load, again and again: nothing that a client saw answered is lost.

use std::time::{Duration, Instant};

use sandbox::Options;

use crate::ledger::Ledger;
use crate::load::{Dice, Load};
use crate::process::Process;
use crate::scene::{PATIENCE, Scene, number};

const KILLS: u64 = 6;
const CONNECTIONS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn the_consumers_server_is_killed() {
    kill("ss1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_server_is_killed() {
    kill("ss2").await;
}

async fn kill(name: &'static str) {
    let kills = number("CAUSEWAY_KILLS").unwrap_or(KILLS);
    let clock = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seed = number("CAUSEWAY_SEED").unwrap_or_else(clock);
    println!("{name}: {kills} kills; again with CAUSEWAY_SEED={seed}");
    let mut dice = Dice::new(seed);
    let options = Options { timestamping_interval: Duration::from_secs(1), ..Options::for_tests() };
    let scene = Scene::set(name, options).await;

    let mut process = scene.start();
    scene.until_served(&mut process).await;
    let load = Load::start(&scene, CONNECTIONS, &mut dice);
    let mut back = Vec::new();
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(100 + dice.below(900))).await;
        process.kill();
        if dice.below(3) == 0 {
            // While it comes up, too.
            let half_way = scene.start();
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
            half_way.kill();
        }
        let before = load.answered();
        process = scene.start();
        back.push(until_more(&load, before, &mut process).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let tally = load.stop().await;

    let (last, _) = scene.until_served(&mut process).await;
    scene.stamp(&last).await;
    let (_, conf) = sandbox::evidence::configuration(&scene.ecosystem).await.unwrap();
    let folders = ["ss1", "ss2"].map(|server| (server, scene.log_folder(server)));
    let status = process.terminate().await;
    assert!(status.success(), "{status}");
    let Scene { mut ecosystem, .. } = scene;
    for server in ["ss1", "ss2"] {
        ecosystem.server_mut(server).unwrap().stop().await;
    }
    for (server, folder) in folders {
        let begun = Instant::now();
        let ledger = Ledger::read(server, &folder, &conf).await;
        tally.answered.iter().for_each(|exchange| ledger.must_have(exchange));
        println!("{server}: {} records judged in {:.1?}", ledger.len(), begun.elapsed());
    }
    let slowest = back.iter().max().unwrap();
    println!(
        "{name}: {} answered, refused {:?}, {} broken; first answer at most {slowest:.1?} after a start",
        tally.answered.len(),
        tally.refused,
        tally.broken
    );
    assert!(tally.answered.len() as u64 > 5 * kills);
    ecosystem.stop().await;
}

async fn until_more(load: &Load, before: usize, process: &mut Process) -> Duration {
    loop {
        if load.answered() > before {
            return process.started.elapsed();
        }
        process.must_run();
        assert!(process.started.elapsed() < PATIENCE, "no answer:\n{}", process.said());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
