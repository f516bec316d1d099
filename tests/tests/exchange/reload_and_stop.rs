//! An operator changes the clients, or stops a server, while others use it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::provider::{Provider, response};
use crate::scene::{
    self, PERSON, POPULATION, PORTAL, add_service, container, for_portal, get, set, wait_for,
};
use crate::wire::{Wire, ask};

const ECHO: &str = "/r1/DEV/GOV/1001/population/echo";

#[tokio::test(flavor = "multi_thread")]
async fn clients_change_under_a_kept_connection() {
    let ecosystem = scene::start(|_, _| {}).await;
    let (consumer, provider) = (ecosystem.server("ss1").unwrap(), ecosystem.server("ss2").unwrap());
    let mut wire = Wire::connect(consumer.addresses().http).await;
    let mut code = async || {
        let answer = wire.ask(get(PERSON, "")).await;
        answer.code().map(str::to_owned)
    };
    assert_eq!(code().await, None);

    let disable = |table: &mut toml::Table| {
        set(scene::service(table, POPULATION, "measure"), "disabled", "Closed for today");
    };
    provider.edit(disable).unwrap();
    assert_eq!(code().await, None, "not yet read");
    provider.reload().unwrap();
    assert_eq!(code().await.as_deref(), Some("server.serverproxy.service_disabled"));

    let enable = |table: &mut toml::Table| {
        scene::service(table, POPULATION, "measure").remove("disabled");
        set(scene::service(table, POPULATION, "measure"), "allow", toml::Value::Array(Vec::new()));
    };
    provider.edit(enable).unwrap();
    provider.reload().unwrap();
    assert_eq!(code().await.as_deref(), Some("server.serverproxy.access_denied"));
    let allow = |table: &mut toml::Table| {
        let allow = toml::Value::Array(vec![PORTAL.into()]);
        set(scene::service(table, POPULATION, "measure"), "allow", allow);
    };
    provider.edit(allow).unwrap();
    provider.reload().unwrap();
    assert_eq!(code().await, None);

    for (registered, expected) in [(false, Some("server.clientproxy.unknown_member")), (true, None)]
    {
        let edit = |table: &mut toml::Table| {
            set(scene::client(table, PORTAL), "registered", registered);
        };
        consumer.edit(edit).unwrap();
        consumer.reload().unwrap();
        assert_eq!(code().await.as_deref(), expected);
    }

    // A mistake changes nothing.
    let mistake = |table: &mut toml::Table| {
        set(scene::client(table, PORTAL), "connection", "carrier pigeon");
    };
    consumer.edit(mistake).unwrap();
    let error = consumer.reload().unwrap_err().to_string();
    assert!(error.contains("connection") && error.contains("security-server.toml:"), "{error}");
    assert_eq!(code().await, None);
    ecosystem.stop().await;
}

/// Stops a server while a request waits for its provider, and lets the provider answer only when
/// the server takes no new connections any more.
async fn stop_in_flight(name: &'static str) {
    let provider = Arc::new(Provider::start(|_| response("200 OK", "", b"at last")).await);
    let url = provider.url("/");
    let mut ecosystem = scene::start(move |name, table| {
        set(table, "shutdown_grace", "60s");
        if name == "ss2" {
            add_service(table, POPULATION, "echo", &url, &for_portal());
        }
    })
    .await;
    let consumer = ecosystem.server("ss1").unwrap().addresses().http;
    provider.set_answering(false);
    let asking = tokio::spawn(async move { ask(consumer, get(ECHO, "X-Road-Id: late\r\n")).await });
    wait_for("the request at the provider", || provider.count() == 1).await;

    let server = ecosystem.server_mut(name).unwrap();
    let door = server.addresses().http;
    let release = async {
        while is_open(door).await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(!asking.is_finished());
        provider.set_answering(true);
    };
    tokio::join!(server.stop(), release);
    let answer = asking.await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "at last"), "{answer:?}");

    server.start().await.unwrap();
    ecosystem.stamp_now().await.unwrap();
    for (server, owner) in [("ss1", PORTAL), ("ss2", POPULATION)] {
        container(ecosystem.server(server).unwrap(), owner, "late", true).await;
    }
    ecosystem.stop().await;
}

async fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumers_server_finishes_what_is_in_flight() {
    stop_in_flight("ss1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_server_finishes_what_is_in_flight() {
    stop_in_flight("ss2").await;
}
