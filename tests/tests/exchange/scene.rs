//! Setting an ecosystem up for a story, and asking in it.

use std::time::Duration;

use causeway_asic::{Container, Limits};
use causeway_identifiers::ClientId;
use sandbox::{Ecosystem, Options, SecurityServer, evidence};
use toml::{Table, Value};

use crate::wire::{Answer, ask};

/// The consumer, at `ss1`.
pub(crate) const PORTAL: &str = "DEV/GOV/1003/portal";
/// The provider of persons, at `ss2`.
pub(crate) const POPULATION: &str = "DEV/GOV/1001/population";
/// The provider of income, at `ss2`.
pub(crate) const TAX: &str = "DEV/GOV/1002/tax";
/// A request that is in order.
pub(crate) const PERSON: &str = "/r1/DEV/GOV/1001/population/measure/5";

/// How long something that must come may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);

/// An ecosystem whose servers' configurations are changed before they start.
pub(crate) async fn start(adjust: impl Fn(&str, &mut Table) + Send + Sync + 'static) -> Ecosystem {
    Ecosystem::start(Options::for_tests().adjust(adjust)).await.unwrap()
}

/// The bytes of a GET from the portal; `headers` are whole lines.
pub(crate) fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: ss\r\nX-Road-Client: {PORTAL}\r\n{headers}\r\n")
}

/// The bytes of a request with a body of known length from the portal.
pub(crate) fn with_body(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut out = format!(
        "{method} {path} HTTP/1.1\r\nHost: ss\r\nX-Road-Client: {PORTAL}\r\n{headers}Content-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    out.extend_from_slice(body);
    out
}

/// Sends a request to the portal's security server.
pub(crate) async fn portal(ecosystem: &Ecosystem, request: impl AsRef<[u8]>) -> Answer {
    ask(ecosystem.server("ss1").unwrap().addresses().http, request).await
}

/// Asks again until the answer has this code (`None`: no error) and gives that answer.
pub(crate) async fn until(ecosystem: &Ecosystem, request: &str, code: Option<&str>) -> Answer {
    until_one_of(ecosystem, request, &[code]).await
}

/// Asks again until the answer has one of these codes and gives that answer.
pub(crate) async fn until_one_of(
    ecosystem: &Ecosystem,
    request: &str,
    codes: &[Option<&str>],
) -> Answer {
    let mut last = None;
    let asking = async {
        loop {
            let answer = portal(ecosystem, request).await;
            if codes.contains(&answer.code()) {
                return answer;
            }
            last = Some(answer);
            tokio::time::sleep(STEP).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("never {codes:?}, but {last:?}"),
    }
}

/// Waits for something that must come.
pub(crate) async fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Sets a value by its place, such as `log.over_limit`.
pub(crate) fn set(table: &mut Table, place: &str, value: impl Into<Value>) {
    match place.split_once('.') {
        Some((section, rest)) => {
            let section = section.to_owned();
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            set(inner.as_table_mut().unwrap(), rest, value);
        }
        None => {
            table.insert(place.to_owned(), value.into());
        }
    }
}

/// A client of a server's configuration.
pub(crate) fn client<'t>(table: &'t mut Table, id: &str) -> &'t mut Table {
    let clients = table.get_mut("clients").unwrap().as_array_mut().unwrap();
    let mut clients = clients.iter_mut().map(|c| c.as_table_mut().unwrap());
    clients.find(|c| c["id"].as_str() == Some(id)).unwrap()
}

/// A service of a client, described or not.
pub(crate) fn service<'t>(table: &'t mut Table, id: &str, code: &str) -> &'t mut Table {
    let of_client = client(table, id).iter_mut();
    let arrays = of_client.filter(|(key, _)| matches!(key.as_str(), "services" | "descriptions"));
    let services = arrays.flat_map(|(_, array)| array.as_array_mut().unwrap().iter_mut());
    let mut services = services.map(|service| service.as_table_mut().unwrap());
    services.find(|s| s["code"].as_str() == Some(code)).unwrap()
}

/// Adds a service to a client; `rest` is TOML, such as `allow = []`.
pub(crate) fn add_service(table: &mut Table, id: &str, code: &str, url: &str, rest: &str) {
    let mut service: Table = rest.parse().unwrap();
    service.insert("code".into(), code.into());
    service.insert("url".into(), url.into());
    let services = client(table, id).get_mut("services").unwrap().as_array_mut().unwrap();
    services.push(Value::Table(service));
}

/// The portal may use the service.
pub(crate) fn for_portal() -> String {
    format!("allow = [\"{PORTAL}\"]")
}

/// An identifier from its short form.
pub(crate) fn id(short: &str) -> ClientId {
    let mut parts = short.split('/');
    let mut next = || parts.next().unwrap();
    ClientId::new(next(), next(), next(), Some(next())).unwrap()
}

/// A container from a server's log.
pub(crate) async fn container(
    server: &SecurityServer,
    owner: &str,
    message_id: &str,
    response: bool,
) -> Container {
    let found = evidence::download(server.consumer(), &id(owner), message_id, response).await;
    Container::read(&found.unwrap().expect("no such record"), &Limits::default()).unwrap()
}
