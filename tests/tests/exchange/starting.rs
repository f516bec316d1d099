//! A server that cannot start says why.

use std::fs;

use sandbox::{Ecosystem, Options};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told() {
    let options = Options { not_started: ["ss1".to_owned()].into(), ..Options::for_tests() };
    let mut ecosystem = Ecosystem::start(options).await.unwrap();
    let folder = ecosystem.folder().join("ss1");
    let pin = fs::read(folder.join("pin")).unwrap();
    let server = ecosystem.server_mut("ss1").unwrap();

    fs::write(folder.join("pin"), "not the PIN at all").unwrap();
    let error = server.start().await.unwrap_err().to_string();
    assert!(error.contains("PIN") && error.contains("wrong"), "{error}");

    fs::remove_file(folder.join("pin")).unwrap();
    let error = server.start().await.unwrap_err().to_string();
    assert!(error.contains("pin"), "{error}");
    fs::write(folder.join("pin"), pin).unwrap();

    fs::rename(folder.join("data/token"), folder.join("data/elsewhere")).unwrap();
    let error = server.start().await.unwrap_err().to_string();
    assert!(error.contains("token") && error.contains("keys init"), "{error}");
    fs::rename(folder.join("data/elsewhere"), folder.join("data/token")).unwrap();

    server.edit(|table| crate::scene::set(table, "listen.client_htttp", "127.0.0.1:1")).unwrap();
    let error = server.start().await.unwrap_err().to_string();
    assert!(error.contains("client_htttp") && error.contains("security-server.toml:"), "{error}");
    let undo = |table: &mut toml::Table| {
        table.get_mut("listen").unwrap().as_table_mut().unwrap().remove("client_htttp");
    };
    server.edit(undo).unwrap();

    let taken = std::net::TcpListener::bind(server.addresses().https).unwrap();
    let error = server.start().await.unwrap_err().to_string();
    assert!(error.contains(&server.addresses().https.to_string()), "{error}");
    drop(taken);

    server.start().await.unwrap();
    ecosystem.stop().await;
}
