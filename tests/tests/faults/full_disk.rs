//! The disk of a message log is full: messages are refused, nothing is lost, and all goes on by
//! itself when there is space again.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use sandbox::{Consumer, Options};

use crate::ledger::Ledger;
use crate::load::{Dice, Load};
use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn the_consumers_disk_is_full() {
    fill("ss1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_disk_is_full() {
    fill("ss2").await;
}

async fn fill(name: &'static str) {
    let options = Options { timestamping_interval: Duration::from_secs(1), ..Options::for_tests() };
    let options = options.adjust(|_, config| {
        let log = config.entry("log").or_insert_with(|| toml::Table::new().into());
        log.as_table_mut().unwrap().insert("segment_size".into(), "1 MiB".into());
    });
    let scene = Scene::set(name, options).await;
    let Some(disk) = SmallDisk::mount(&scene.log_folder(name)) else { return };
    let mut process = scene.start();
    let (old, _) = scene.until_served(&mut process).await;
    scene.stamp(&old).await;
    let mut dice = Dice::new(7);
    let load = Load::start(&scene, 2, &mut dice);
    tokio::time::sleep(Duration::from_millis(500)).await;

    for restarted in [false, true] {
        disk.fill();
        let error = scene.until_refused("logging_failed").await;
        println!("{name}: {error}");
        let (status, text) = health(&scene).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{text}");
        println!("{name}: health: {text}");
        if restarted {
            process.kill();
            process = scene.start();
            scene.until_refused("logging_failed").await;
        }
        // What was logged before is there for all to see.
        let (_, conf) = sandbox::evidence::configuration(&scene.ecosystem).await.unwrap();
        for response in [false, true] {
            let server = scene.ecosystem.server(name).unwrap();
            let owner = if name == "ss1" { &old.client } else { old.service.client() };
            let found = sandbox::evidence::download(server.consumer(), owner, &old.id, response);
            let found = found.await.unwrap().unwrap();
            assert!(sandbox::evidence::judge(&found, &conf).is_valid());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        process.must_run();

        disk.clear();
        let begun = Instant::now();
        let (_, elapsed) = scene.until_answered(begun, || process.must_run()).await;
        println!("{name}: answers again {elapsed:.1?} after there was space");
        let before = load.answered();
        while load.answered() < before + 20 {
            assert!(begun.elapsed() < crate::scene::PATIENCE);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    let tally = load.stop().await;
    let (last, _) = scene.until_served(&mut process).await;
    scene.stamp(&last).await;
    assert_eq!(health(&scene).await.0, StatusCode::OK);
    let (_, conf) = sandbox::evidence::configuration(&scene.ecosystem).await.unwrap();
    let status = process.terminate().await;
    assert!(status.success(), "{status}");
    let folders = ["ss1", "ss2"].map(|server| (server, scene.log_folder(server)));
    let Scene { mut ecosystem, .. } = scene;
    for (server, folder) in folders {
        ecosystem.server_mut(server).unwrap().stop().await;
        let ledger = Ledger::read(server, &folder, &conf).await;
        tally.answered.iter().for_each(|exchange| ledger.must_have(exchange));
    }
    println!(
        "{name}: {} answered, refused {:?}, {} broken",
        tally.answered.len(),
        tally.refused,
        tally.broken
    );
    ecosystem.stop().await;
}

async fn health(scene: &Scene) -> (StatusCode, String) {
    let address = scene.ecosystem.server(scene.name).unwrap().addresses().health;
    let answer = Consumer::new(format!("http://{address}")).get("/").await.unwrap();
    (answer.status(), String::from_utf8_lossy(answer.body()).into_owned())
}

/// A small disk in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one on a folder, which is made; `None`, said aloud, where that is not allowed.
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=32m", "causeway-test"])
            .arg(folder)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            other => {
                let why = other.map_or_else(
                    |error| error.to_string(),
                    |output| String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                );
                // Not with a macro, of which the output is only shown for tests that fail.
                let said = format!("SKIPPED: a full disk needs the right to mount one: {why}\n");
                std::io::stderr().write_all(said.as_bytes()).unwrap();
                None
            }
        }
    }

    /// Leaves no space.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for piece in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    /// Gives the space back.
    fn clear(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: after a failure something may still be open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
