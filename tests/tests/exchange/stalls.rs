//! Programs that ask and never read must not keep others from being served.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::scene::{self, PERSON, get, portal, set};

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_never_read_lose_their_places() {
    let ecosystem = scene::start(|_, table| {
        set(table, "limits.max_connections", 4);
        set(table, "limits.request_timeout", "1s");
    })
    .await;
    let addresses = ecosystem.server("ss1").unwrap().addresses();
    let mut held = Vec::new();
    for address in [addresses.http, addresses.ocsp] {
        for _ in 0..4 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let asked = b"GET /verificationconf HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20_000);
            // As much as the server takes: it stops when its answers are not read.
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&asked)).await;
            held.push(stream);
        }
    }
    let answer = tokio::time::timeout(Duration::from_secs(30), portal(&ecosystem, get(PERSON, "")));
    assert_eq!(answer.await.expect("the places are free again").status, 200);
    drop(held);
    ecosystem.stop().await;
}
