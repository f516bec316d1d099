//! Several servers of one provider, both sides on one server, and maintenance.

use std::time::Duration;

use sandbox::world::Topology;
use sandbox::{Ecosystem, Options};
use toml::Value;

use crate::scene::{
    self, PERSON, POPULATION, PORTAL, TAX, container, for_portal, get, portal, set, until,
};
use crate::wire::ask;

const RESTING: &str = "server.clientproxy.maintenance_mode";
const UNREACHABLE: &str = "server.clientproxy.network_error";

fn three() -> Options {
    Options {
        topology: Topology::Failover,
        configuration_refresh: Duration::from_secs(1),
        ..Options::for_tests()
    }
}

fn at(server: &str) -> String {
    get(PERSON, &format!("X-Road-Security-Server: {server}\r\n"))
}

const SS2: &str = "DEV/GOV/1001/SS2";
const SS3: &str = "DEV/GOV/1002/SS3";

#[tokio::test(flavor = "multi_thread")]
async fn the_others_answer_when_one_is_down() {
    let mut ecosystem = Ecosystem::start(three()).await.unwrap();
    for down in ["ss2", "ss3", "ss2"] {
        // Connections are open to one of them at least.
        assert_eq!(portal(&ecosystem, get(PERSON, "")).await.status, 200);
        ecosystem.server_mut(down).unwrap().stop().await;
        for _ in 0..5 {
            let answer = portal(&ecosystem, get(PERSON, "")).await;
            assert_eq!((answer.status, answer.code()), (200, None), "{down}: {answer:?}");
        }
        let asked = if down == "ss2" { SS2 } else { SS3 };
        let refused = portal(&ecosystem, at(asked)).await;
        assert_eq!((refused.status, refused.code()), (500, Some(UNREACHABLE)), "{refused:?}");
        ecosystem.server_mut(down).unwrap().start().await.unwrap();
    }
    // The one that is asked for answers, and keeps the record.
    for (server, name) in [(SS2, "ss2"), (SS3, "ss3")] {
        let headers = format!("X-Road-Id: {name}\r\nX-Road-Security-Server: {server}\r\n");
        assert_eq!(portal(&ecosystem, get(PERSON, &headers)).await.status, 200);
        container(ecosystem.server(name).unwrap(), POPULATION, name, true).await;
    }
    for name in ["ss2", "ss3"] {
        ecosystem.server_mut(name).unwrap().stop().await;
    }
    let refused = portal(&ecosystem, get(PERSON, "")).await;
    assert_eq!((refused.status, refused.code()), (500, Some(UNREACHABLE)), "{refused:?}");
    let text = refused.text();
    assert!(text.contains("127.0.0.2") && text.contains("127.0.0.3"), "{text}");
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_maintenance_is_passed_over() {
    let ecosystem = Ecosystem::start(three()).await.unwrap();
    ecosystem.set_maintenance("ss2", true).unwrap();
    let refused = until(&ecosystem, &at(SS2), Some(RESTING)).await;
    assert_eq!(refused.status, 500);
    for _ in 0..3 {
        assert_eq!(portal(&ecosystem, get(PERSON, "")).await.status, 200);
    }
    ecosystem.set_maintenance("ss3", true).unwrap();
    until(&ecosystem, &get(PERSON, ""), Some(RESTING)).await;
    ecosystem.set_maintenance("ss2", false).unwrap();
    until(&ecosystem, &get(PERSON, ""), None).await;
    until(&ecosystem, &at(SS3), Some(RESTING)).await;
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_on_one_server() {
    let ecosystem = scene::start(|name, table| {
        if name == "ss2" {
            let allow = vec![Value::from(POPULATION), Value::from(PORTAL)];
            set(scene::service(table, TAX, "income"), "allow", Value::Array(allow));
            scene::add_service(table, TAX, "never", "http://127.0.0.1:1/", &for_portal());
        }
    })
    .await;
    let server = ecosystem.server("ss2").unwrap();
    let request = |path: &str| get(path, "X-Road-Id: own\r\n").replace(PORTAL, POPULATION);
    let answer = ask(server.addresses().http, request("/r1/DEV/GOV/1002/tax/income/0")).await;
    assert_eq!(answer.code(), None, "{answer:?}");
    let refused = ask(server.addresses().http, request("/r1/DEV/GOV/1002/tax/never")).await;
    assert_eq!(refused.code(), Some("server.serverproxy.access_denied"), "{refused:?}");

    server.stamp_now().await.unwrap();
    let (_, conf) = sandbox::evidence::configuration(&ecosystem).await.unwrap();
    for owner in [POPULATION, TAX] {
        for response in [false, true] {
            let kept = container(server, owner, "own", response).await;
            assert!(auditor::judge(&kept, &conf, None).is_valid());
        }
    }
    ecosystem.stop().await;
}
