//! Programs that Causeway's authors did not write, made for X-Road and for SOAP at large: the clients `zeep`,
//! `pyxroad` and `requests`, and a provider made with `fastapi-xroad-soap`. They come from the Python package index
//! (`.ci/run` installs them where `CAUSEWAY_PYTHON` is) and are told nothing but addresses and identifiers.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use sandbox::Ecosystem;
use serde_json::Value;

use crate::scene::{self, POPULATION, PORTAL, TAX, container};
use crate::wire::ask;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/exchange/programs");

fn python() -> Option<String> {
    let python = std::env::var("CAUSEWAY_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let packages = "import zeep, XRoad, fastapi_xroad_soap, requests, uvicorn";
    let imported = Command::new(&python).args(["-c", packages]).output();
    if imported.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let why = format!(
        "{python} lacks packages; pip install zeep pyxroad fastapi-xroad-soap pydantic-xml==2.14.3 requests uvicorn, and say CAUSEWAY_PYTHON"
    );
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("SKIPPED: {why}");
    None
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The provider, and its port.
fn start_provider(python: &str) -> (Running, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(python)
        .args(["-B", &format!("{FOLDER}/provider.py"), &port.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    (Running(child), port)
}

/// Runs a client; its line of JSON.
async fn run(python: &str, program: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(python);
    command.args(["-B", &format!("{FOLDER}/{program}")]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{program}: {e}: {out}{err}"))
}

/// Waits until the provider answers.
async fn wait_for(port: u16) {
    for _ in 0..600 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the provider never listened");
}

/// An ecosystem whose population register provides what the Python program does, by its WSDL.
async fn ecosystem(port: u16) -> Ecosystem {
    scene::start(move |name, table| {
        if name == "ss2" {
            let described = format!(
                "type = \"wsdl\"\nlocation = \"http://127.0.0.1:{port}/service?wsdl\"\nurl = \"http://127.0.0.1:{port}/service\"\nallow = [\"{PORTAL}\"]\n"
            );
            let client = scene::client(table, POPULATION);
            let list = client
                .entry("descriptions")
                .or_insert_with(|| toml::Value::Array(Vec::new()))
                .as_array_mut()
                .unwrap();
            list.push(described.parse::<toml::Table>().unwrap().into());
        } else if name == "ss1" {
            // Whom pyxroad's question for the WSDL comes from: the owner of the server.
            let owner = table["server"].as_str().unwrap().rsplit_once('/').unwrap().0.to_owned();
            let own = format!("id = \"{owner}\"\nconnection = \"http\"\n");
            let clients = table.get_mut("clients").unwrap().as_array_mut().unwrap();
            if !clients.iter().any(|c| c["id"].as_str() == Some(&owner)) {
                clients.push(own.parse::<toml::Table>().unwrap().into());
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_a_provider_made_by_others() {
    let Some(python) = python() else { return };
    let (_provider, port) = start_provider(&python);
    wait_for(port).await;
    let ecosystem = ecosystem(port).await;
    let server = format!("http://{}", ecosystem.server("ss1").unwrap().addresses().http);

    // The description that consumers get has no address of the provider.
    let (instance, rest) = POPULATION.split_once('/').unwrap();
    let [class, member, subsystem] = rest.split('/').collect::<Vec<_>>()[..] else { panic!() };
    let query = format!(
        "xRoadInstance={instance}&memberClass={class}&memberCode={member}&subsystemCode={subsystem}&serviceCode=sumNumbers&version=v1"
    );
    let http = ecosystem.server("ss1").unwrap().addresses().http;
    let request = format!("GET /wsdl?{query} HTTP/1.1\r\nHost: ss\r\n\r\n");
    let wsdl = ask(http, request).await;
    assert_eq!(wsdl.status, 200, "{}", wsdl.text());
    assert!(wsdl.text().contains("http://example.org/xroad-endpoint"), "{}", wsdl.text());
    assert!(!wsdl.text().contains(&port.to_string()));
    let request = format!("GET /wsdl?{query}9 HTTP/1.1\r\nHost: ss\r\n\r\n");
    let unknown = ask(http, request).await.text();
    assert!(unknown.contains("server.serverproxy.unknown_service"), "{unknown}");

    let wsdl = format!("{server}/wsdl?{query}");
    let by_zeep = run(&python, "by_zeep.py", &[&server, &wsdl, PORTAL, POPULATION]).await;
    assert_eq!(by_zeep["sum"]["Sum"], 42, "{by_zeep}");
    assert_eq!(by_zeep["sum"]["Note"], "Đặng <&> õ");
    assert_eq!(by_zeep["header"]["service"]["serviceCode"], "sumNumbers");
    assert_eq!(by_zeep["file"]["size"], 100_000);
    assert_eq!(by_zeep["file"]["start"], "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    // The provider's own fault passes as it is; ours has our code.
    assert_eq!(by_zeep["service_fault"]["code"], "Server", "{by_zeep}");
    assert_eq!(by_zeep["service_fault"]["text"], "the numbers are out of order", "{by_zeep}");
    let code = "server.serverproxy.service_failed.http_error";
    assert_eq!(by_zeep["http_error"]["code"], code, "status 400 is no answer: {by_zeep}");
    assert_eq!(by_zeep["stranger"]["code"], "server.clientproxy.unknown_member", "{by_zeep}");

    let by_pyxroad = run(&python, "by_pyxroad.py", &[&server, PORTAL, POPULATION]).await;
    assert_eq!(by_pyxroad["sum"]["Sum"], 42, "{by_pyxroad}");
    assert_eq!(by_pyxroad["sum"]["Note"], "đường");
    assert_eq!(by_pyxroad["id"], "pyxroad-1");

    let income = format!("{TAX}/income");
    let arguments = [server.as_str(), PORTAL, POPULATION, income.as_str()];
    let by_requests = run(&python, "by_requests.py", &arguments).await;
    let file = &by_requests["attachment"];
    assert_eq!(file["status"], 200, "{file}");
    let text = file["text"].as_str().unwrap();
    assert!(text.contains(&format!("<Size>{}</Size>", file["size"])), "{text}");
    assert!(text.contains(file["digest"].as_str().unwrap()), "{text}");
    assert!(text.contains("requestHash"), "{text}");
    let called = by_requests["rest"]["called"].as_object().unwrap();
    assert!(!called.is_empty() && called.values().all(|c| c["status"] == 200), "{by_requests}");

    // What they exchanged is kept by both servers, and verifies.
    for id in ["zeep-sum", "zeep-fault", "zeep-file", "pyxroad-1", "requests-file"] {
        for (server, owner) in [("ss1", PORTAL), ("ss2", POPULATION)] {
            let server = ecosystem.server(server).unwrap();
            // A fault is passed on and not signed, as X-Road does it: there is no response to keep.
            for response in [false, true].into_iter().take(if id == "zeep-fault" { 1 } else { 2 }) {
                let kept = container(server, owner, id, response).await;
                let attached = usize::from(
                    (id == "zeep-file" && response) || (id == "requests-file" && !response),
                );
                assert_eq!(kept.attachments.len(), attached, "{id}, response: {response}");
            }
        }
    }
    ecosystem.stop().await;
}
