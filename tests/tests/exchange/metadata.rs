//! What members can find out about each other: who is there, what they offer, and how to call it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use sandbox::{Ecosystem, Options};
use serde_json::{Value, json};

use crate::provider::{Provider, response};
use crate::scene::{self, POPULATION, PORTAL, TAX, container, get, portal, with_body};
use crate::wire::{Answer, ask};

/// Where the population register is asked.
const REGISTER: &str = "/r1/DEV/GOV/1001/population";

/// Validates against X-Road's schema, where there is one and a validator; says so where not.
pub(crate) fn validate(xml: &str) {
    let ci = std::env::var("CI").as_deref() == Ok("true");
    let vectors = std::env::var_os("CAUSEWAY_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors")),
        PathBuf::from,
    );
    let schema = vectors.join("schemas/service-metainfo.xsd");
    let child = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema"])
        .arg(&schema)
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match child {
        Ok(mut child) if schema.is_file() => {
            child.stdin.take().unwrap().write_all(xml.as_bytes()).unwrap();
            let done = child.wait_with_output().unwrap();
            assert!(done.status.success(), "{xml}\n{}", String::from_utf8_lossy(&done.stderr));
        }
        _ => {
            assert!(!ci, "xmllint or {} is missing", schema.display());
            eprintln!("SKIPPED: no xmllint, or no schema at {}", schema.display());
        }
    }
}

/// A request of anybody, without a client.
async fn plain(ecosystem: &Ecosystem, target: &str, headers: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: ss\r\n{headers}\r\n");
    ask(ecosystem.server("ss1").unwrap().addresses().http, request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_the_network() {
    let ecosystem = Ecosystem::start(Options::for_tests()).await.unwrap();
    let xml = plain(&ecosystem, "/listClients", "").await;
    assert_eq!(xml.header("content-type"), Some("text/xml; charset=UTF-8"));
    validate(&xml.text());
    for target in ["/listClients", "/listClients?xRoadInstance=DEV", "/listClients?xRoadInstance="]
    {
        let found = plain(&ecosystem, target, "Accept: text/xml, application/json;q=0.1\r\n").await;
        assert_eq!(found.header("content-type"), Some("application/json; charset=utf-8"));
        let found = found.json();
        let members = found["member"].as_array().unwrap();
        assert_eq!(members.len(), 6, "{found}");
        let portal = json!({"member_class": "GOV", "member_code": "1003", "object_type": "SUBSYSTEM",
            "subsystem_code": "portal", "xroad_instance": "DEV"});
        let listed = members.iter().find(|m| m["id"] == portal).unwrap();
        assert_eq!(listed["name"], "Public Service Portal");
    }
    assert_eq!(plain(&ecosystem, "/listClients", "Accept: */*\r\n").await.body, xml.body);
    let stranger = plain(&ecosystem, "/listClients?xRoadInstance=ELSE", "").await;
    assert!(stranger.text().contains("server.clientproxy.internal_error"), "{}", stranger.text());
    assert!(stranger.text().contains("ELSE"));
    let posted = "POST /listClients HTTP/1.1\r\nHost: ss\r\nContent-Length: 0\r\n\r\n";
    assert!(!portal(&ecosystem, posted).await.text().contains("clientList"));
    ecosystem.stop().await;
}

/// The services of a list by code, each with its endpoints.
fn services(answer: &Answer) -> Vec<(String, String, Vec<String>)> {
    assert_eq!((answer.status, answer.code()), (200, None), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let list = answer.json();
    let services = list["service"].as_array().unwrap().iter().map(|service| {
        let text = |key: &str| service[key].as_str().unwrap().to_owned();
        assert_eq!(text("object_type"), "SERVICE");
        let endpoints = service["endpoint_list"].as_array().unwrap().iter();
        let endpoints = endpoints
            .map(|e| format!("{} {}", e["method"].as_str().unwrap(), e["path"].as_str().unwrap()));
        (text("service_code"), text("service_type"), endpoints.collect())
    });
    services.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_offers_and_what_one_may_call() {
    let ecosystem = scene::start(|name, table| {
        if name == "ss2" {
            let table = scene::service(table, TAX, "income");
            let rule =
                "[{ subject = \"DEV/GOV/1003/portal\", endpoints = [\"GET /*/*\", \"PUT /own\"] }]";
            let rule: toml::Table = format!("allow = {rule}").parse().unwrap();
            scene::set(table, "allow", rule["allow"].clone());
        }
    })
    .await;
    let all =
        portal(&ecosystem, get(&format!("{REGISTER}/listMethods"), "X-Road-Id: all\r\n")).await;
    let persons = (
        "persons".to_owned(),
        "OPENAPI".to_owned(),
        vec!["GET /*".to_owned(), "GET /*/parents".to_owned()],
    );
    let rest = |code: &str| (code.to_owned(), "REST".to_owned(), Vec::new());
    assert_eq!(services(&all), [rest("archive"), rest("measure"), persons.clone()]);
    assert_eq!(all.header("x-road-service"), Some("DEV/GOV/1001/population/listMethods"));
    // An ordinary message: signed, and kept with its evidence by both servers.
    for (server, owner) in [("ss1", PORTAL), ("ss2", POPULATION)] {
        let server = ecosystem.server(server).unwrap();
        let kept = container(server, owner, "all", true).await;
        assert_eq!(kept.attachments[0].content().unwrap().as_ref(), all.body);
        container(server, owner, "all", false).await;
    }
    let allowed = portal(&ecosystem, get(&format!("{REGISTER}/allowedMethods?x=y"), "")).await;
    assert_eq!(services(&allowed), services(&all));

    let tax = "/r1/DEV/GOV/1002/tax";
    let offered = portal(&ecosystem, get(&format!("{tax}/listMethods"), "")).await;
    let codes: Vec<_> = services(&offered);
    assert_eq!(codes[1].2, ["POST /", "GET /*/*", "PUT /own"]);
    let allowed = portal(&ecosystem, get(&format!("{tax}/allowedMethods/anything"), "")).await;
    let income = (
        "income".to_owned(),
        "OPENAPI".to_owned(),
        vec!["GET /*/*".to_owned(), "PUT /own".to_owned()],
    );
    assert_eq!(services(&allowed), [income]);

    // Whoever is registered may ask, and is told what it may call: nothing.
    let request = format!(
        "GET {REGISTER}/allowedMethods HTTP/1.1\r\nHost: ss\r\nX-Road-Client: {TAX}\r\n\r\n"
    );
    let none = ask(ecosystem.server("ss2").unwrap().addresses().http, &request).await;
    assert_eq!(none.text(), r#"{"service":[]}"#);
    let stranger = request.replace(TAX, "DEV/GOV/1002/nobody");
    let stranger = ask(ecosystem.server("ss2").unwrap().addresses().http, stranger).await;
    assert_eq!(stranger.code(), Some("server.clientproxy.unknown_member"));
    // Only GET asks for metadata.
    let posted =
        portal(&ecosystem, with_body("POST", &format!("{REGISTER}/listMethods"), "", b"{}")).await;
    assert_eq!(posted.code(), Some("server.serverproxy.unknown_service"));
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_calls_by_the_description() {
    let ecosystem = Ecosystem::start(Options::for_tests()).await.unwrap();
    let tax = "/r1/DEV/GOV/1002/tax";
    let asked = get(&format!("{tax}/getOpenAPI?serviceCode=income"), "X-Road-Id: described\r\n");
    let description = portal(&ecosystem, asked).await;
    assert_eq!((description.status, description.code()), (200, None), "{description:?}");
    assert_eq!(description.header("content-type"), Some("application/json"));
    let kept = container(ecosystem.server("ss2").unwrap(), TAX, "described", true).await;
    assert_eq!(kept.attachments[0].content().unwrap().as_ref(), description.body);

    // The paths of the description, below the service.
    let description = description.json();
    let paths = description["paths"].as_object().unwrap();
    let (path, _) = paths.iter().find(|(_, item)| item.get("get").is_some()).unwrap();
    let path = path.replace("{personalCode}", "099191000233").replace("{year}", "2025");
    let income = portal(&ecosystem, get(&format!("{tax}/income{path}"), "")).await;
    assert_eq!((income.status, &income.json()["year"]), (200, &json!(2025)), "{income:?}");
    let (path, _) = paths.iter().find(|(_, item)| item.get("post").is_some()).unwrap();
    let question = br#"{"year": 2025, "persons": ["099191000233"]}"#;
    let incomes = portal(
        &ecosystem,
        with_body(
            "POST",
            &format!("{tax}/income{path}"),
            "Content-Type: application/json\r\n",
            question,
        ),
    )
    .await;
    assert_eq!(incomes.json(), Value::Array(vec![income.json()]));

    // The register's is YAML, and answers while its information system is away.
    ecosystem.systems().population.set_available(false).await;
    let yaml =
        portal(&ecosystem, get(&format!("{REGISTER}/getOpenAPI?serviceCode=persons"), "")).await;
    assert_eq!(yaml.header("content-type"), Some("application/yaml"));
    assert!(yaml.text().starts_with("openapi: 3.0.3\n") && yaml.text().contains("url: /persons\n"));

    for (query, code, text) in [
        ("", "server.serverproxy.invalid_request", "serviceCode"),
        ("?serviceCode=", "server.serverproxy.invalid_request", "serviceCode"),
        ("?serviceCode=none", "server.serverproxy.internal_error", "Service not found"),
        ("?serviceCode=measure", "server.serverproxy.internal_error", "Invalid service type: REST"),
    ] {
        let refused = portal(&ecosystem, get(&format!("{REGISTER}/getOpenAPI{query}"), "")).await;
        assert_eq!(refused.code(), Some(code));
        assert!(refused.text().contains(text), "{}", refused.text());
    }
    ecosystem.stop().await;
}

/// Runs a command of the security server: exit code, output, errors.
fn command(arguments: Vec<String>) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = security_server::cli::execute(arguments, &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_takes_a_newer_description_over() {
    let text = Arc::new(Mutex::new(
        "openapi: 3.0.0\ninfo: {title: Pets, version: '1'}\nservers: [{url: /api}]\npaths: {/pets: {get: {}}}\n".to_owned(),
    ));
    let published = Arc::clone(&text);
    let provider = Provider::start(move |seen| match seen.target() {
        "GET /pets.yaml" => {
            response("200 OK", "Content-Type: text/yaml\r\n", published.lock().unwrap().as_bytes())
        }
        _ => response("200 OK", "", b"meow"),
    })
    .await;
    let location = provider.url("/pets.yaml");
    let mut options = Options::for_tests().adjust(move |name, table| {
        if name == "ss2" {
            let added: toml::Table = format!(
                "type = \"openapi3\"\nlocation = \"{location}\"\ncode = \"pets\"\nallow = [\"{PORTAL}\"]\n"
            )
            .parse()
            .unwrap();
            let list = scene::client(table, POPULATION).get_mut("descriptions").unwrap();
            list.as_array_mut().unwrap().push(added.into());
        }
    });
    options.topology = sandbox::world::Topology::Two;
    let ecosystem = Ecosystem::start(options).await.unwrap();
    let server = ecosystem.server("ss2").unwrap();
    let config = server.configuration().display().to_string();
    let services_command = |what: &'static str, more: &'static [&'static str]| {
        let mut arguments = vec!["security-server", "services", what, "--config", &config];
        arguments.extend(more);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        // It has a runtime of its own.
        tokio::task::spawn_blocking(|| command(arguments))
    };
    let call = async || portal(&ecosystem, get(&format!("{REGISTER}/pets/pets"), "")).await.text();
    assert_eq!(call().await, "meow");
    assert_eq!(provider.last().target(), "GET /api/pets");

    let (code, out, err) = services_command("refresh", &[]).await.unwrap();
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(out.matches("nothing is new").count(), 3, "{out}");

    *text.lock().unwrap() =
        "openapi: 3.0.0\nservers: [{url: /v2}]\npaths: {'/pets/{id}': {get: {}}}\n".to_owned();
    let (code, out, _) = services_command("refresh", &["--client", POPULATION]).await.unwrap();
    assert_eq!(code, 0);
    for line in [
        "  + GET /pets/*",
        "  - GET /pets",
        "  ~ the service moves from /api to /v2",
        "  doubtful: info.title is missing",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert!(out.contains("--yes") && out.contains("Next: take it over"), "{out}");
    let described = async || {
        portal(&ecosystem, get(&format!("{REGISTER}/getOpenAPI?serviceCode=pets"), "")).await
    };
    assert!(described().await.text().contains("title: Pets"), "nothing was taken over yet");

    let (code, out, _) = services_command("refresh", &["--yes", "--json"]).await.unwrap();
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &out["takenOver"]), (0, &json!(true)));
    server.reload().unwrap();
    let newer = described().await;
    assert_eq!(newer.text(), *text.lock().unwrap());
    assert_eq!(newer.header("content-type"), Some("text/yaml"));
    assert_eq!(call().await, "meow");
    assert_eq!(provider.last().target(), "GET /v2/pets");

    // What cannot be read is told, and what is in use stays.
    *text.lock().unwrap() = "swagger: '2.0'\n".to_owned();
    let (code, out, err) = services_command("refresh", &["--yes"]).await.unwrap();
    assert_eq!(code, 1);
    assert!(out.contains("OpenAPI version 2.0 (Swagger) is not supported"), "{out}");
    assert!(err.contains("1 of 3 descriptions could not be read"), "{err}");
    server.reload().unwrap();
    assert_eq!(described().await.text(), newer.text());

    let (code, out, _) = services_command("list", &[]).await.unwrap();
    assert_eq!(code, 0);
    assert!(out.contains("DEV/GOV/1001/population/pets"), "{out}");
    ecosystem.stop().await;
}
