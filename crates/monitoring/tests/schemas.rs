//! The answers against X-Road's schemas: XML by `xmllint`, the records' JSON by what its schema
//! (`query_operational_data_response_payload_schema.yaml`) demands, written down here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use causeway_identifiers::{ClientId, ServiceId};
use causeway_monitoring::environment::{
    CertificateKind, CertificateMetric, Histogram, Metric, certificates, metrics_response,
};
use causeway_monitoring::request::MetricsQuery;
use causeway_monitoring::response::{health_data, operational_data, records};
use causeway_monitoring::view::{MetricsView, View};
use causeway_monitoring::{Field, Fields, Health, Record, ServerType};
use flate2::read::GzDecoder;
use proptest::prelude::*;
use serde_json::Value;

fn service() -> ServiceId {
    ClientId::parse("DEV/GOV/1/sub").unwrap().service("persons", Some("v1")).unwrap()
}

/// A record in which every field has a value.
fn full(server: ServerType, text: &str) -> Record {
    let mut record = Record::begin(server, 1_700_000_000_000);
    let some = || Some(text.to_owned());
    record.monitoring_data_ts = 1_700_000_001;
    record.security_server_internal_ip = Some("192.0.2.7".into());
    record.request_out_ts = Some(1_700_000_000_001);
    record.response_in_ts = Some(1_700_000_000_020);
    record.response_out_ts = 1_700_000_000_021;
    record.set_client(&ClientId::parse("DEV/GOV/2/portal").unwrap());
    record.set_service(&service());
    record.rest_method = Some("GET".into());
    record.rest_path = Some("/persons/*".into());
    record.x_road_version = Some("7.8.0".into());
    record.represented_party_class = some();
    record.represented_party_code = some();
    record.message_id = some();
    record.message_user_id = some();
    record.message_issue = some();
    record.message_protocol_version = Some("1".into());
    record.client_security_server_address = Some("ss1.example".into());
    record.service_security_server_address = Some("ss2.example".into());
    record.request_size = Some(10);
    record.response_size = Some(20);
    record.request_mime_size = Some(30);
    record.request_attachment_count = Some(1);
    record.response_mime_size = Some(40);
    record.response_attachment_count = Some(2);
    record.succeeded = true;
    record.fault_code = some();
    record.fault_string = some();
    record.x_request_id = some();
    record.status_code = Some(200);
    record.service_type = Some("OPENAPI3".into());
    record.shorten();
    record
}

/// What the schema says of each field: its type, and the longest text or the words allowed.
fn judge(payload: &Value) {
    let numbers = [
        "monitoringDataTs",
        "requestInTs",
        "requestOutTs",
        "responseInTs",
        "responseOutTs",
        "requestMimeSize",
        "requestAttachmentCount",
        "responseMimeSize",
        "responseAttachmentCount",
        "requestSize",
        "responseSize",
        "statusCode",
    ];
    let texts = [
        "securityServerInternalIp",
        "securityServerType",
        "clientXRoadInstance",
        "clientMemberClass",
        "clientMemberCode",
        "clientSubsystemCode",
        "serviceXRoadInstance",
        "serviceMemberClass",
        "serviceMemberCode",
        "serviceSubsystemCode",
        "serviceCode",
        "restMethod",
        "restPath",
        "xRoadVersion",
        "serviceVersion",
        "representedPartyClass",
        "representedPartyCode",
        "messageId",
        "messageUserId",
        "messageIssue",
        "messageProtocolVersion",
        "clientSecurityServerAddress",
        "serviceSecurityServerAddress",
        "faultCode",
        "faultString",
        "serviceType",
        // Not in the schema, but in X-Road's records.
        "xRequestId",
    ];
    let top = payload.as_object().unwrap();
    assert_eq!(top.keys().collect::<Vec<_>>(), ["records"]);
    for record in top["records"].as_array().unwrap() {
        for (name, value) in record.as_object().unwrap() {
            let name = name.as_str();
            match value {
                Value::Number(n) => {
                    assert!(numbers.contains(&name) && n.as_u64().is_some(), "{name}")
                }
                Value::Bool(_) => assert_eq!(name, "succeeded"),
                Value::String(text) => {
                    assert!(texts.contains(&name), "{name}");
                    let most = if name == "faultString" { 2048 } else { 255 };
                    assert!(text.chars().count() <= most, "{name}");
                    if name == "securityServerType" {
                        assert!(["Client", "Producer"].contains(&text.as_str()));
                    }
                    if name == "securityServerInternalIp" {
                        assert!(text.parse::<std::net::Ipv4Addr>().is_ok());
                    }
                }
                other => panic!("{name} is {other}"),
            }
        }
    }
}

fn unpacked(packed: &[u8]) -> Value {
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_record_with_every_field_is_as_the_schema_says() {
    let all = [
        full(ServerType::Client, "a \"b\" \u{1} ä"),
        full(ServerType::Producer, &"x".repeat(5000)),
    ];
    let payload = unpacked(&records(&all, Fields::all()).unwrap());
    judge(&payload);
    let first = payload["records"][0].as_object().unwrap();
    assert_eq!(first.len(), Field::ALL.len());
    assert_eq!(first["messageId"], "a \"b\" \u{1} ä");
    assert_eq!(first["succeeded"], true);
    let stranger = View::Own(ClientId::parse("DEV/GOV/2/portal").unwrap());
    let payload = unpacked(&records(&all, stranger.fields(Fields::NONE)).unwrap());
    assert!(payload["records"][0].get("securityServerInternalIp").is_none());
    assert_eq!(payload["records"][0].as_object().unwrap().len(), Field::ALL.len() - 1);
    let empty = unpacked(&records(&[], Fields::all()).unwrap());
    judge(&empty);
    assert!(empty["records"].as_array().unwrap().is_empty());
}

proptest! {
    #[test]
    fn whatever_a_stranger_writes_the_payload_holds(text in "\\PC{0,300}|.{0,40}", fields in any::<u64>()) {
        let fields: Fields = Field::ALL.iter().copied().filter(|f| fields & (1 << *f as u8) != 0).collect();
        let payload = unpacked(&records(&[full(ServerType::Client, &text)], fields).unwrap());
        judge(&payload);
        prop_assert_eq!(payload["records"][0].as_object().unwrap().len(), fields.iter().count());
    }
}

#[test]
fn answers_about_records_and_health_are_valid() {
    let mut health = Health::new(600);
    let mut record = full(ServerType::Producer, "");
    health.count(&record, 1000);
    record.response_out_ts += 5;
    health.count(&record, 2000);
    record.succeeded = false;
    health.count(&record, 2000);
    let mut other = Record::begin(ServerType::Producer, 5);
    other.set_service(&ClientId::parse("DEV/GOV/1").unwrap().service("a<b", None).unwrap());
    health.count(&other, 2000);
    let services = health.of(None, 2000);
    assert_eq!(services.len(), 2);
    let documents = [
        operational_data(0, None),
        operational_data(10_000, Some(1_700_000_000)),
        health_data(1_700_000_000_000, 600, &services),
        health_data(1_700_000_000_000, 600, &[]),
    ];
    for document in &documents {
        valid("op-monitoring.xsd", document);
    }
    let text = &documents[2];
    assert!(text.contains("<om:requestAverageDuration>23.5</om:requestAverageDuration>"), "{text}");
    assert!(text.contains("<om:responseMaxSize>20</om:responseMaxSize>"));
}

#[test]
fn answers_about_the_machine_are_valid() {
    let histogram = Histogram::of([1, 2, 1 << 40], "2026-01-31T12:00:00Z".into()).unwrap();
    let metrics = vec![
        certificates(&[CertificateMetric {
            hash: vec![7; 32],
            not_before: "2026-01-31T12:00:00Z".into(),
            not_after: "2027-01-31T12:00:00Z".into(),
            kind: CertificateKind::AuthOrSign,
            active: true,
        }]),
        Metric::Text("OperatingSystem".into(), "Linux version 6 <x>".into()),
        Metric::Number("TotalPhysicalMemory".into(), 1 << 34),
        Metric::Histogram("FreePhysicalMemory".into(), histogram),
    ];
    let all = MetricsQuery { names: Vec::new() };
    for view in [MetricsView::Everything, MetricsView::Limited] {
        let document =
            metrics_response("SERVER:DEV/GOV/1/ss1", "7.8.0", metrics.clone(), &all, view);
        valid("monitoring.xsd", &document);
    }
    let nothing = MetricsQuery { names: vec!["nothing".into()] };
    let document =
        metrics_response("SERVER:DEV/GOV/1/ss1", "7.8.0", metrics, &nothing, MetricsView::Limited);
    valid("monitoring.xsd", &document);
}

/// X-Road's schemas, where they are; says aloud when they are not.
fn schemas() -> Option<PathBuf> {
    let vectors = std::env::var_os("CAUSEWAY_VECTORS")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"));
    let schemas = vectors.join("schemas");
    let there = schemas.join("op-monitoring.xsd").is_file();
    if !there {
        let what = format!("SKIPPED: X-Road's schemas are not at {}", schemas.display());
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what}");
        eprintln!("{what}");
    }
    there.then_some(schemas)
}

fn valid(schema: &str, document: &str) {
    let Some(schemas) = schemas() else { return };
    if Command::new("xmllint").arg("--version").output().is_err() {
        eprintln!("SKIPPED: xmllint is not installed (package libxml2-utils)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in [schema, "identifiers.xsd"] {
        std::fs::copy(schemas.join(name), folder.path().join(name)).unwrap();
    }
    // WS-I's type of a reference to an attachment, which X-Road's schema imports: a URI.
    let swaref = "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
        targetNamespace=\"http://ws-i.org/profiles/basic/1.1/xsd\">\
        <xs:simpleType name=\"swaRef\"><xs:restriction base=\"xs:anyURI\"/></xs:simpleType></xs:schema>";
    std::fs::write(folder.path().join("swaref.xsd"), swaref).unwrap();
    let path = folder.path().join("document.xml");
    std::fs::write(&path, document).unwrap();
    let judged = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema"])
        .arg(folder.path().join(schema))
        .arg(&path)
        .output()
        .unwrap();
    assert!(judged.status.success(), "{}\n{document}", String::from_utf8_lossy(&judged.stderr));
}
