//! Programs that ask and never read must not keep others from being served.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

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
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            let mut stream = socket.connect(address).await.unwrap();
            let asked = b"GET /verificationconf HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20_000);
            held.push(tokio::spawn(async move {
                // As much as the server takes: it stops when its answers are not read.
                let _ = stream.write_all(&asked).await;
                std::future::pending::<()>().await;
            }));
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer =
        tokio::time::timeout(Duration::from_secs(120), portal(&ecosystem, get(PERSON, "")));
    assert_eq!(answer.await.expect("the places are free again").status, 200);
    held.iter().for_each(JoinHandle::abort);
    ecosystem.stop().await;
}
