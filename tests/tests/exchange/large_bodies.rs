//! Large bodies stream: they are never held whole, and the evidence says what it does not keep.

use std::process::Command;

use bytes::Bytes;
use causeway_message::rest;
use causeway_pki::Digester;
use http_body_util::BodyExt as _;
use hyper::Request;
use sandbox::evidence;
use sandbox::systems::measure;

use crate::scene::{self, POPULATION, PORTAL, container, set};

const LARGE: u64 = 192 << 20;
/// A body that is long as well.
const LONG: u64 = 32 << 20;
const KEPT: u64 = 1 << 20;
/// What a process may take more at its peak while two large bodies pass, in KiB.
const MAY_GROW: u64 = 64 << 10;

const ALONE: &str = "CAUSEWAY_TEST_ALONE";

/// The most memory that this process had resident so far, in KiB.
pub(crate) fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn large_bodies_pass_through() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(pass_through());
    }
    // In a process of its own: what other tests hold in memory is not to be measured.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["large_bodies::large_bodies_pass_through", "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

/// Sends so many bytes and gets as many back; tells the digest of the request's body and the hash
/// of the request, as the answer has it.
async fn exchange(ecosystem: &sandbox::Ecosystem, size: u64, id: &str) -> (Vec<u8>, String) {
    let server = ecosystem.server("ss1").unwrap();
    let url = format!("{}/r1/DEV/GOV/1001/population/measure/{size}", server.consumer().base());
    let request = Request::post(url)
        .header("X-Road-Client", PORTAL)
        .header("X-Road-Id", id)
        .body(measure::pattern(size))
        .unwrap();
    let answer = server.consumer().stream(request).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.headers()["measure-received"], size.to_string());
    let hash = answer.headers()["x-road-request-hash"].to_str().unwrap().to_owned();
    let mut body = answer.into_body();
    let mut got = 0;
    // What comes back is what was sent.
    let mut digester = Digester::new(causeway_pki::DigestAlgorithm::Sha512);
    while let Some(frame) = body.frame().await {
        let data: Bytes = frame.unwrap().into_data().unwrap_or_default();
        got += data.len() as u64;
        digester.update(&data);
    }
    assert_eq!(got, size);
    (digester.finish(), hash)
}

async fn pass_through() {
    let ecosystem = scene::start(|_, table| {
        set(table, "log.over_limit", "omit");
        set(table, "log.max_loggable_body", "1 MiB");
    })
    .await;
    let (small, small_hash) = exchange(&ecosystem, KEPT, "kept").await;
    // A long body fills the buffers on its way; a longer one needs no more of them.
    exchange(&ecosystem, LONG, "long").await;
    let before = peak();
    let (large, large_hash) = exchange(&ecosystem, LARGE, "passed").await;
    let grown = peak() - before;
    assert!(grown < MAY_GROW, "{grown} KiB more than {before} KiB");
    // One byte over what is kept: nothing of it is kept.
    exchange(&ecosystem, KEPT + 1, "over").await;

    ecosystem.stamp_now().await.unwrap();
    let (_, conf) = evidence::configuration(&ecosystem).await.unwrap();
    for (server, owner) in [("ss1", PORTAL), ("ss2", POPULATION)] {
        let server = ecosystem.server(server).unwrap();
        for response in [false, true] {
            let kept = container(server, owner, "kept", response).await;
            let report = auditor::judge(&kept, &conf, None);
            assert!(report.is_valid() && report.complete, "{report:?}");
            assert_eq!(kept.attachments[0].content().unwrap().len() as u64, KEPT);

            for id in ["passed", "over"] {
                let omitted = container(server, owner, id, response).await;
                assert!(omitted.attachments.is_empty());
                let report = auditor::judge(&omitted, &conf, None);
                assert!(report.is_valid() && !report.complete, "{report:?}");
                let absent = report.not_covered.iter().find(|entry| entry.name.contains('1'));
                let digest = absent.unwrap().signed_digest.as_deref().unwrap();
                if id == "passed" {
                    let hex: String = large.iter().map(|byte| format!("{byte:02x}")).collect();
                    assert_eq!(digest, format!("SHA-512:{hex}"));
                }
            }
        }
        for (id, digest, hash) in [("kept", &small, &small_hash), ("passed", &large, &large_hash)] {
            let request = container(server, owner, id, false).await;
            assert_eq!(rest::request_hash(&request.message, Some(digest)), *hash);
        }
    }
    ecosystem.stop().await;
}
