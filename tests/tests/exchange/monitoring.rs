//! Owners and others ask a server what passed through it, how its services do, and how it is.

use std::io::Read as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use sandbox::{Ecosystem, SecurityServer};
use serde_json::Value;
use toml::Table;

use crate::scene::{self, PERSON, POPULATION, PORTAL, TAX, container, get, portal, set};
use crate::wire::{Answer, ask};

/// The owner of `ss2`.
const OWNER: &str = "DEV/GOV/1001";
/// The owner of `ss1`.
const OTHER_OWNER: &str = "DEV/GOV/1003";
const OPERATIONAL: &str = "http://x-road.eu/xsd/op-monitoring.xsd";
const ENVIRONMENT: &str = "http://x-road.eu/xsd/monitoring";

/// An ecosystem whose servers speak for their owners too, and give records out at once.
async fn scene() -> Ecosystem {
    scene::start(|name, table| {
        let owner = if name == "ss1" { OTHER_OWNER } else { OWNER };
        let mut client = Table::new();
        client.insert("id".into(), owner.into());
        client.insert("connection".into(), "http".into());
        table["clients"].as_array_mut().unwrap().push(client.into());
        set(table, "monitoring.available_after", "0s");
        if name == "ss2" {
            // Described endpoints: what a path meets is told, not the path.
            let rights: toml::Value = toml::from_str::<Table>(&format!(
                "allow = [{{ subject = \"{PORTAL}\", endpoints = [\"GET /*\"] }}]"
            ))
            .unwrap()["allow"]
                .clone();
            set(scene::service(table, POPULATION, "measure"), "allow", rights);
        }
    })
    .await
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The header field of a client, service or server.
fn identifier(field: &str, kind: &str, short: &str, last: &[&str]) -> String {
    let names = ["xRoadInstance", "memberClass", "memberCode"];
    let parts: Vec<&str> = short.split('/').collect();
    let mut names: Vec<&str> = names.to_vec();
    names.extend(last);
    assert_eq!(names.len(), parts.len(), "{short}");
    let parts: String =
        names.iter().zip(parts).map(|(n, part)| format!("<id:{n}>{part}</id:{n}>")).collect();
    format!("<x:{field} id:objectType=\"{kind}\">{parts}</x:{field}>")
}

fn client(field: &str, short: &str) -> String {
    match short.split('/').count() {
        3 => identifier(field, "MEMBER", short, &[]),
        _ => identifier(field, "SUBSYSTEM", short, &["subsystemCode"]),
    }
}

/// A question to the server of an owner.
fn question(asks: &str, server: &str, code: &str, namespace: &str, inside: &str) -> String {
    let (owner, _) = server.rsplit_once('/').unwrap();
    let header = [
        client("client", asks),
        identifier("service", "SERVICE", &format!("{owner}/{code}"), &["serviceCode"]),
        identifier("securityServer", "SERVER", server, &["serverCode"]),
        format!("<x:id>question-{}</x:id>", now_ms()),
        "<x:protocolVersion>4.0</x:protocolVersion>".to_owned(),
    ]
    .concat();
    let envelope = format!(
        "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:x=\"http://x-road.eu/xsd/xroad.xsd\" \
         xmlns:id=\"http://x-road.eu/xsd/identifiers\" xmlns:q=\"{namespace}\"><e:Header>{header}</e:Header>\
         <e:Body><q:{code}>{inside}</q:{code}></e:Body></e:Envelope>"
    );
    format!(
        "POST / HTTP/1.1\r\nHost: ss\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {}\r\n\r\n{envelope}",
        envelope.len()
    )
}

/// Asks for records; what the envelope says, and the records.
async fn records(
    through: &SecurityServer,
    asks: &str,
    server: &str,
    more: &str,
) -> (String, Vec<Value>) {
    let from = now_ms() / 1000 - 3600;
    let criteria = format!(
        "<q:searchCriteria><q:recordsFrom>{from}</q:recordsFrom><q:recordsTo>{}</q:recordsTo></q:searchCriteria>{more}",
        from + 7200
    );
    let request =
        question(asks, server, "getSecurityServerOperationalData", OPERATIONAL, &criteria);
    let answer = ask(through.addresses().http, request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("recordsCount>"), "{}", answer.text());
    let json = attachment(&answer);
    let records = json["records"].as_array().unwrap().clone();
    assert!(answer.text().contains(&format!("recordsCount>{}<", records.len())));
    (answer.text(), records)
}

/// The JSON in the second part of a multipart.
fn attachment(answer: &Answer) -> Value {
    let content_type = answer.header("content-type").unwrap();
    let boundary = content_type.split("boundary=").nth(1).unwrap().trim_matches('"').as_bytes();
    let find = |from: usize, what: &[u8]| {
        let found = answer.body[from..].windows(what.len()).position(|w| w == what);
        from + found.unwrap_or_else(|| panic!("{answer:?}"))
    };
    let part = find(0, b"operational-monitoring-data.json.gz>");
    let begin = find(part, b"\r\n\r\n") + 4;
    let end = find(begin, boundary) - b"\r\n--".len();
    let mut text = String::new();
    GzDecoder::new(&answer.body[begin..end]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Sees to it that all that happened so far can be asked for.
async fn settle(ecosystem: &Ecosystem) {
    for server in ecosystem.servers() {
        let server = server.server().unwrap().clone();
        let recorder = server.monitoring.recorder().unwrap().clone();
        let flush = move || recorder.flush(Duration::from_secs(60));
        assert!(tokio::task::spawn_blocking(flush).await.unwrap());
    }
    // The second in which something is stored is not given out before it is over.
    tokio::time::sleep(Duration::from_millis(1100)).await;
}

fn with_id<'r>(records: &'r [Value], id: &str) -> &'r Value {
    let found: Vec<&Value> = records.iter().filter(|r| r["messageId"] == id).collect();
    assert_eq!(found.len(), 1, "{id}: {records:#?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_exchange_is_seen_once_by_those_who_may() {
    let mut ecosystem = scene().await;
    let began = now_ms();
    let good = portal(
        &ecosystem,
        get(
            PERSON,
            "X-Road-Id: good\r\nX-Road-UserId: EE1\r\nX-Road-Represented-Party: COM/77\r\n",
        ),
    )
    .await;
    assert_eq!(good.code(), None, "{good:?}");
    let closed = "/r1/DEV/GOV/1001/population/archive/x";
    let closed = portal(&ecosystem, get(closed, "X-Road-Id: closed\r\n")).await;
    assert_eq!(closed.code(), Some("server.serverproxy.service_disabled"));
    settle(&ecosystem).await;
    let ended = now_ms();
    let (ss1, ss2) = (ecosystem.server("ss1").unwrap(), ecosystem.server("ss2").unwrap());

    let (envelope, of_owner) = records(ss2, OWNER, "DEV/GOV/1001/SS2", "").await;
    assert!(envelope.contains("nextRecordsFrom>"), "the time asked for lies ahead: {envelope}");
    let (_, of_other_owner) = records(ss1, OTHER_OWNER, "DEV/GOV/1003/SS1", "").await;
    let (producer, consumer) = (with_id(&of_owner, "good"), with_id(&of_other_owner, "good"));
    assert_eq!(producer["securityServerType"], "Producer");
    assert_eq!(consumer["securityServerType"], "Client");
    let request = container(ss1, PORTAL, "good", false).await;
    let response = container(ss1, PORTAL, "good", true).await;
    for record in [producer, consumer] {
        let time =
            |name: &str| record[name].as_u64().unwrap_or_else(|| panic!("{name}: {record:#}"));
        let times = ["requestInTs", "requestOutTs", "responseInTs", "responseOutTs"].map(time);
        assert!(times.is_sorted() && times[0] >= began && times[3] <= ended, "{times:?}");
        assert!(time("monitoringDataTs") >= began / 1000);
        assert_eq!(time("requestSize"), request.message.len() as u64);
        let body: usize = good.body.len();
        assert_eq!(time("responseSize"), (response.message.len() + body) as u64);
        assert_eq!((record["succeeded"].as_bool(), time("statusCode")), (Some(true), 200));
        for (name, value) in [
            ("clientMemberCode", "1003"),
            ("clientSubsystemCode", "portal"),
            ("serviceMemberCode", "1001"),
            ("serviceCode", "measure"),
            ("messageUserId", "EE1"),
            ("representedPartyClass", "COM"),
            ("representedPartyCode", "77"),
            ("messageProtocolVersion", "1"),
            ("serviceType", "REST"),
            ("restMethod", "GET"),
            ("clientSecurityServerAddress", "127.0.0.1"),
            ("serviceSecurityServerAddress", "127.0.0.2"),
        ] {
            assert_eq!(record[name], value, "{name}");
        }
        assert!(
            record["securityServerInternalIp"]
                .as_str()
                .unwrap()
                .parse::<std::net::IpAddr>()
                .is_ok()
        );
    }
    assert_eq!(producer["xRequestId"], consumer["xRequestId"]);
    assert_eq!(producer["restPath"], "/*");
    assert_eq!(consumer.get("restPath"), None);
    for record in [with_id(&of_owner, "closed"), with_id(&of_other_owner, "closed")] {
        assert_eq!(record["succeeded"], false);
        assert_eq!(record["faultCode"], "server.serverproxy.service_disabled");
        assert!(record["faultString"].as_str().unwrap().contains("The archive is being moved"));
    }

    // The client sees its own, without what is the owner's business; others do not see it.
    let (_, of_portal) = records(ss1, PORTAL, "DEV/GOV/1001/SS2", "").await;
    with_id(&of_portal, "closed");
    assert_eq!(with_id(&of_portal, "good").get("securityServerInternalIp"), None);
    let (_, of_tax) = records(ss2, TAX, "DEV/GOV/1001/SS2", "").await;
    assert!(of_tax.is_empty(), "{of_tax:#?}");
    let some = "<q:outputSpec><q:outputField>messageId</q:outputField></q:outputSpec>";
    let (_, some) = records(ss2, OWNER, "DEV/GOV/1001/SS2", some).await;
    assert!(some.iter().all(|r| r.as_object().unwrap().keys().eq(["messageId"])), "{some:#?}");

    // The questions are exchanges themselves, and what was stored outlives the server.
    settle(&ecosystem).await;
    let ss2 = ecosystem.server_mut("ss2").unwrap();
    ss2.stop().await;
    ss2.start().await.unwrap();
    let ss2 = ecosystem.server("ss2").unwrap();
    let (_, again) = records(ss2, OWNER, "DEV/GOV/1001/SS2", "").await;
    assert_eq!(with_id(&again, "good"), producer);
    let of_portal: Vec<&Value> = again
        .iter()
        .filter(|r| {
            r["serviceCode"] == "getSecurityServerOperationalData"
                && r["clientSubsystemCode"] == "portal"
        })
        .collect();
    assert_eq!(of_portal.len(), 1, "{again:#?}");
    let soap = of_portal[0];
    assert_eq!((&soap["serviceType"], &soap["succeeded"]), (&"WSDL".into(), &true.into()));
    assert_eq!(soap["messageProtocolVersion"], "4.0");
    assert_eq!(
        (&soap["requestAttachmentCount"], &soap["responseAttachmentCount"]),
        (&0.into(), &1.into())
    );
    assert!(soap["responseMimeSize"].as_u64() > soap["responseSize"].as_u64());
    assert_eq!(soap.get("requestMimeSize"), None);
    assert_eq!(soap.get("statusCode"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics() {
    let ecosystem = scene().await;
    for _ in 0..3 {
        assert_eq!(portal(&ecosystem, get(PERSON, "")).await.code(), None);
    }
    settle(&ecosystem).await;
    let (ss1, ss2) = (ecosystem.server("ss1").unwrap(), ecosystem.server("ss2").unwrap());
    let health = |inside: &str| {
        question(PORTAL, "DEV/GOV/1001/SS2", "getSecurityServerHealthData", OPERATIONAL, inside)
    };
    let all = ask(ss1.addresses().http, health("")).await.text();
    assert!(all.contains(">measure<") && all.contains("successfulRequestCount>3<"), "{all}");
    assert!(
        all.contains("requestAverageDuration>") && all.contains("lastSuccessfulRequestTimestamp>")
    );
    assert!(all.contains("x:requestHash"), "the answer bears the question's hash: {all}");
    let other = format!(
        "<q:filterCriteria>{}</q:filterCriteria>",
        client("client", TAX).replace("x:client", "q:client")
    );
    let none = ask(ss1.addresses().http, health(&other)).await.text();
    assert!(none.contains("servicesEvents") && !none.contains("measure"), "{none}");

    let metrics = |asks: &str, inside: &str| {
        question(asks, "DEV/GOV/1001/SS2", "getSecurityServerMetrics", ENVIRONMENT, inside)
    };
    let full = ask(ss2.addresses().http, metrics(OWNER, "")).await.text();
    for name in [
        "SERVER:DEV/GOV/1001/SS2",
        "proxyVersion",
        "OperatingSystem",
        "FreePhysicalMemory",
        "AUTH_OR_SIGN",
        "SECURITY_SERVER_TLS",
    ] {
        assert!(full.contains(name), "{name}: {full}");
    }
    let one = "<q:outputSpec><q:outputField>OperatingSystem</q:outputField></q:outputSpec>";
    let one = ask(ss2.addresses().http, metrics(OWNER, one)).await.text();
    assert!(one.contains("OperatingSystem") && !one.contains("Certificates"), "{one}");
    let stranger = ask(ss1.addresses().http, metrics(PORTAL, "")).await.text();
    assert!(stranger.contains("server.serverproxy.access_denied"), "{stranger}");

    // What does not follow the protocol is the client's fault.
    let wrong = question(
        OWNER,
        "DEV/GOV/1001/SS2",
        "getSecurityServerOperationalData",
        OPERATIONAL,
        "<q:what/>",
    );
    let wrong = ask(ss2.addresses().http, wrong).await.text();
    assert!(wrong.contains("client.invalid_request"), "{wrong}");
}
