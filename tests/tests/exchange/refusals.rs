//! What a curl user sees when a request is refused: HTTP status, code, body.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox::Ecosystem;
use uuid::Uuid;

use crate::provider::{Provider, response};
use crate::scene::{
    self, PERSON, POPULATION, PORTAL, add_service, for_portal, get, portal, set, with_body,
};
use crate::wire::{Answer, ask};

/// The answer is the refusal that X-Road gives, in JSON.
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, Some(code)), "{answer:?}");
    let kind = answer.header("content-type").unwrap();
    assert_eq!(kind, "application/json;charset=utf-8");
    let body = answer.json();
    assert_eq!(body["type"], code);
    assert!(!body["message"].as_str().unwrap().is_empty(), "{body}");
    body["detail"].as_str().unwrap().parse::<Uuid>().unwrap();
}

async fn check(
    ecosystem: &Ecosystem,
    request: impl AsRef<[u8]>,
    status: u16,
    code: &str,
) -> Answer {
    let answer = portal(ecosystem, request).await;
    refused(&answer, status, code);
    answer
}

fn adjust(name: &str, table: &mut toml::Table) {
    if name == "ss1" {
        set(table, "log.max_loggable_body", "100 KiB");
        return;
    }
    set(table, "log.max_loggable_body", "16 KiB");
    let slow = format!("{}\ntimeout = \"300ms\"", for_portal());
    let unverified = format!("{}\nverify_tls = false", for_portal());
    let measure = scene::service(table, POPULATION, "measure")["url"].as_str().unwrap().to_owned();
    add_service(table, POPULATION, "slow", &measure, &slow);
    add_service(table, POPULATION, "lost", "http://no-such-host.invalid/", &for_portal());
    add_service(table, POPULATION, "refusing", "https://127.0.0.2:1/", &unverified);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_refused() {
    let ecosystem = scene::start(adjust).await;
    let e = &ecosystem;
    assert_eq!(portal(e, get(PERSON, "")).await.status, 200);

    // Who and what there is not.
    let r1 = |rest: &str| get(&format!("/r1/DEV/GOV/{rest}"), "");
    check(e, r1("9999/nobody/persons"), 500, "server.clientproxy.unknown_member").await;
    check(e, r1("1001/population/nothing"), 500, "server.serverproxy.unknown_service").await;
    let stranger = get(PERSON, "").replace(PORTAL, "DEV/GOV/1003/stranger");
    check(e, stranger, 500, "server.clientproxy.unknown_member").await;

    // What the provider forbids.
    check(e, r1("1002/tax/audits/1"), 500, "server.serverproxy.access_denied").await;
    let disabled =
        check(e, r1("1001/population/archive/1"), 500, "server.serverproxy.service_disabled").await;
    assert!(disabled.text().contains("The archive is being moved"), "{disabled:?}");

    // Where the provider's information system fails.
    check(e, r1("1001/population/lost"), 500, "server.serverproxy.unknown_host").await;
    check(e, r1("1001/population/refusing"), 500, "server.serverproxy.network_error").await;
    e.systems().population.set_delay(Duration::from_secs(20));
    check(e, r1("1001/population/slow/5"), 500, "server.serverproxy.io_error").await;
    e.systems().population.set_delay(Duration::ZERO);
    e.systems().population.set_available(false).await;
    check(e, get(PERSON, ""), 500, "server.serverproxy.network_error").await;
    e.systems().population.set_available(true).await;

    // What the client program does wrong.
    let twice = format!("X-Road-Client: {PORTAL}\r\n");
    check(e, get(PERSON, &twice), 400, "client.duplicate_header_field").await;
    let nobody = get(PERSON, "").replace("X-Road-Client", "X-Client");
    check(e, nobody, 500, "server.clientproxy.invalid_client_identifier").await;
    for path in ["1001/population/per%zzsons", "1001/population/per\"sons", "1001/population"] {
        check(e, r1(path), 500, "server.clientproxy.internal_error").await;
    }
    let illegal = get(PERSON, "").replace(PORTAL, "DEV/GOV/1003/por|tal");
    check(e, illegal, 500, "server.clientproxy.internal_error").await;
    // What identifiers must not contain is nobody's name, and no service's: X-Road says no more either.
    let control = r1("1001/popul%00ation/persons");
    check(e, control, 500, "server.clientproxy.unknown_member").await;
    for code in ["per%2Fsons", "per%3Bsons", "per%25sons"] {
        let path = format!("1001/population/{code}");
        check(e, r1(&path), 500, "server.serverproxy.unknown_service").await;
    }
    let elsewhere = get(PERSON, "X-Road-Security-Server: DEV/GOV/1003/SS1\r\n");
    check(e, elsewhere, 500, "server.clientproxy.invalid_security_server").await;
    let right = get(PERSON, "X-Road-Security-Server: DEV/GOV/1001/SS2\r\n");
    assert_eq!(portal(e, right).await.status, 200);
    let version = get(&PERSON.replace("/r1/", "/r2/"), "");
    check(e, version, 500, "server.clientproxy.internal_error").await;
    let method = get(PERSON, "").replace("GET ", "BREW ");
    check(e, method, 500, "server.clientproxy.internal_error").await;

    // Bodies over a limit: the consumer's server's, the provider's, and the provider's for its answer.
    let post = |size: usize| with_body("POST", PERSON, "", &vec![b'x'; size]);
    check(e, post(100 * 1024 + 1), 500, "server.clientproxy.logging_failed").await;
    check(e, post(16 * 1024 + 1), 500, "server.serverproxy.logging_failed").await;
    assert_eq!(portal(e, post(16 * 1024)).await.status, 200);
    // Who reads only when everything is sent sees why it was refused, too.
    for size in [2 << 20, 20 << 20] {
        check(e, post(size), 500, "server.clientproxy.logging_failed").await;
    }
    for size in [16 * 1024 + 1, 99 * 1024] {
        let answer = r1(&format!("1001/population/measure/{size}"));
        check(e, answer, 500, "server.serverproxy.logging_failed").await;
    }
    assert_eq!(portal(e, get(PERSON, "")).await.status, 200);
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_in_other_forms() {
    let ecosystem = scene::start(|name, table| {
        if name == "ss1" {
            set(table, "error_codes", "camel");
        }
    })
    .await;
    let e = &ecosystem;

    // As X-Road 7.7 and older wrote codes.
    let unknown = "/r1/DEV/GOV/9999/nobody/persons";
    let answer = check(e, get(unknown, ""), 500, "Server.ClientProxy.UnknownMember").await;
    assert!(answer.text().contains("DEV/GOV/9999/nobody"), "{answer:?}");
    check(e, get("/r1/DEV/GOV/1002/tax/audits", ""), 500, "Server.ServerProxy.AccessDenied").await;
    let twice = get(PERSON, &format!("X-Road-Client: {PORTAL}\r\n"));
    check(e, twice, 400, "Client.DuplicateHeaderField").await;

    // As XML, for those who accept that.
    for (accept, kind) in [
        ("application/xml", "application/xml;charset=utf-8"),
        ("text/xml", "text/xml;charset=utf-8"),
        ("text/xml;q=0.9", "text/xml;charset=utf-8"),
    ] {
        let answer = portal(e, get(unknown, &format!("Accept: {accept}\r\n"))).await;
        assert_eq!((answer.status, answer.header("content-type")), (500, Some(kind)));
        let text = answer.text();
        assert!(text.contains("<type>Server.ClientProxy.UnknownMember</type>"), "{text}");
        let (_, detail) = text.split_once("<detail>").unwrap();
        detail.split_once('<').unwrap().0.parse::<Uuid>().unwrap();
    }

    // What is not REST gets a SOAP fault.
    let address = e.server("ss1").unwrap().addresses().http;
    let other = ask(address, "GET /unknown HTTP/1.1\r\nHost: ss\r\n\r\n").await;
    assert!(other.text().contains("<faultcode>Client.InvalidHttpMethod<"), "{other:?}");
    let soap = ask(address, "POST / HTTP/1.1\r\nHost: ss\r\nContent-Length: 2\r\n\r\n{}").await;
    assert!(soap.text().contains("<faultcode>Client.InvalidRequest<"), "{soap:?}");
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn information_systems_that_fail_half_way() {
    let provider = Provider::start(|seen| {
        let answer = match seen.target() {
            "GET /stalls" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_owned(),
            "GET /stalls-late" => {
                let body = "x".repeat(200_000);
                format!("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{body}")
            }
            "GET /breaks" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffx\r\n".to_owned()
            }
            "GET /babbles" => "220 mail.example ESMTP\r\n\r\n".to_owned(),
            _ => return response("200 OK", "", b"well"),
        };
        answer.into_bytes()
    })
    .await;
    let url = provider.url("/");
    let ecosystem = scene::start(move |name, table| {
        if name == "ss2" {
            let rule = format!("{}\ntimeout = \"300ms\"", for_portal());
            add_service(table, POPULATION, "echo", &url, &rule);
        }
    })
    .await;
    for path in ["stalls", "stalls-late", "breaks", "babbles"] {
        let path = format!("/r1/DEV/GOV/1001/population/echo/{path}");
        check(&ecosystem, get(&path, ""), 500, "server.serverproxy.io_error").await;
        let well = portal(&ecosystem, get("/r1/DEV/GOV/1001/population/echo/well", "")).await;
        assert_eq!((well.status, well.text().as_str()), (200, "well"));
    }
    ecosystem.stop().await;
}

/// The log of all servers of this process.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_what_the_refusal_says() {
    let log = Kept::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let ecosystem = scene::start(|_, _| {}).await;
    for (path, id) in [("9999/nobody/persons", "here"), ("1002/tax/audits/1", "there")] {
        let request = get(&format!("/r1/DEV/GOV/{path}"), &format!("X-Road-Id: {id}-77\r\n"));
        let answer = portal(&ecosystem, request).await.json();
        let detail = answer["detail"].as_str().unwrap();
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(detail)).collect();
        // A refusal of the provider's server is in both logs.
        assert_eq!(lines.len(), if id == "here" { 1 } else { 2 }, "{text}");
        for line in lines {
            assert!(line.contains(&format!("{id}-77")), "{line}");
            assert!(line.contains(answer["type"].as_str().unwrap()), "{line}");
        }
    }
    ecosystem.stop().await;
}
