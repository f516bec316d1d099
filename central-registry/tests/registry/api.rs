//! The API of X-Road's central server, as automation uses it: over HTTPS with curl, on a running program.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use crate::command_line::{Operator, Serving};
use crate::support::{auth_certificate, ca_certificate};

const PASSWORD: &str = "Correct-horse-7";

/// An operator's registry with its API switched on.
struct Desk {
    operator: Operator,
    url: String,
    key: String,
    _serving: Serving,
}

fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    NEXT.store(listener.local_addr().unwrap().port(), Ordering::Relaxed);
    NEXT.load(Ordering::Relaxed)
}

fn curl(arguments: &[&str]) -> (u16, String) {
    let output = Command::new("curl")
        .args(["-sS", "-k", "--max-time", "30", "-w", "\n%{http_code}"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn curl_is_there() -> bool {
    let there = Command::new("curl").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !there {
        eprintln!("curl is not there; the API is not tested with a real client");
    }
    there
}

impl Desk {
    fn new() -> Self {
        let operator = Operator::new();
        let port = free_port();
        operator.configure_more(&format!("[admin]\nlisten = '127.0.0.1:{port}'\n"));
        operator.ok(&["init"]);
        std::fs::write(operator.file("password"), format!("{PASSWORD}\n")).unwrap();
        let password = operator.file("password").display().to_string();
        let add = |name: &str, roles: &[&str]| {
            let mut arguments = vec!["user", "add", name, "--password-file", &password];
            roles.iter().for_each(|role| arguments.extend(["--role", role]));
            operator.ok(&arguments);
        };
        let all =
            ["XROAD_SYSTEM_ADMINISTRATOR", "XROAD_REGISTRATION_OFFICER", "XROAD_SECURITY_OFFICER"];
        add("admin", &all);
        let serving = operator.start();
        // A user that is added while the registry runs counts at once.
        add("registrar", &["XROAD_REGISTRATION_OFFICER"]);
        let url = format!("https://127.0.0.1:{port}");
        let roles = serde_json::to_string(&all).unwrap();
        let user = format!("admin:{PASSWORD}");
        let keys = format!("{url}/api/v1/api-keys");
        let json_type = "Content-Type: application/json";
        let (status, body) =
            curl(&["-X", "POST", "-u", &user, &keys, "-H", json_type, "-d", &roles]);
        assert_eq!(status, 200, "{body}");
        let made: Value = serde_json::from_str(&body).unwrap();
        let key = format!("Authorization: X-Road-ApiKey token={}", made["key"].as_str().unwrap());
        Self { operator, url, key, _serving: serving }
    }

    fn send(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        // Automation keeps below the rate; so does this.
        std::thread::sleep(std::time::Duration::from_millis(60));
        let url = format!("{}/api/v1{path}", self.url);
        let mut arguments = vec!["-X", method, &url, "-H", &self.key];
        let body = body.map(|body| body.to_string());
        if let Some(body) = &body {
            arguments.extend(["-H", "Content-Type: application/json", "-d", body]);
        }
        let (status, body) = curl(&arguments);
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.send("GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    #[track_caller]
    fn expect(&self, method: &str, path: &str, body: Option<Value>, status: u16, code: &str) {
        let (got, answer) = self.send(method, path, body);
        assert_eq!(got, status, "{method} {path}: {answer}");
        let told = answer["error"]["code"].as_str().unwrap_or_default();
        assert_eq!(told, code, "{method} {path}: {answer}");
        if status >= 400 {
            assert_eq!(answer["status"], status);
        }
    }
}

#[test]
fn a_registration_officers_automation() {
    if !curl_is_there() {
        return;
    }
    let desk = Desk::new();
    let class = json!({ "code": "GOV", "description": "Government" });
    assert_eq!(desk.send("POST", "/member-classes", Some(class.clone())), (201, class.clone()));
    desk.expect("POST", "/member-classes", Some(class), 409, "member_class_exists");
    desk.expect(
        "POST",
        "/member-classes",
        Some(json!({ "code": "A%B", "description": "" })),
        400,
        "validation_failure",
    );
    desk.expect("POST", "/member-classes", Some(json!({ "code": "A" })), 400, "invalid_body");
    let other = json!({ "description": "Public bodies" });
    let described = json!({ "code": "GOV", "description": "Public bodies" });
    assert_eq!(
        desk.send("PATCH", "/member-classes/GOV", Some(other.clone())),
        (200, described.clone())
    );
    desk.expect("PATCH", "/member-classes/X", Some(other), 404, "member_class_not_found");
    assert_eq!(desk.get("/member-classes"), json!([described]));

    let member = |class: &str, code: &str| json!({ "member_name": "Tax", "member_id": { "member_class": class, "member_code": code } });
    let added = desk.send("POST", "/members", Some(member("GOV", "1")));
    let tax = json!({
        "client_id": {
            "instance_id": "DEV", "type": "MEMBER", "member_class": "GOV", "member_code": "1",
            "encoded_id": "DEV:GOV:1",
        },
        "member_name": "Tax",
    });
    assert_eq!(added, (201, tax.clone()));
    desk.expect("POST", "/members", Some(member("GOV", "1")), 409, "member_exists");
    desk.expect("POST", "/members", Some(member("COM", "1")), 404, "member_class_not_found");
    desk.expect("POST", "/members", Some(member("GOV", "a/b")), 400, "validation_failure");
    assert_eq!(desk.get("/members/DEV:GOV:1"), tax);
    desk.expect("GET", "/members/DEV:GOV:2", None, 404, "member_not_found");
    desk.expect("GET", "/members/DEV:GOV", None, 400, "invalid_member_id");
    let renamed = desk.send("PATCH", "/members/DEV:GOV:1", Some(json!({ "member_name": "Taxes" })));
    assert_eq!((renamed.0, &renamed.1["member_name"]), (200, &json!("Taxes")));
    desk.expect("DELETE", "/member-classes/GOV", None, 409, "member_class_is_in_use");

    let subsystem = json!({
        "subsystem_id": { "member_class": "GOV", "member_code": "1", "subsystem_code": "S" },
        "subsystem_name": "Service",
    });
    let (status, added) = desk.send("POST", "/subsystems", Some(subsystem.clone()));
    assert_eq!((status, &added["client_id"]["encoded_id"]), (201, &json!("DEV:GOV:1:S")));
    desk.expect("POST", "/subsystems", Some(subsystem), 409, "subsystem_exists");
    let other = json!({ "subsystem_id": { "member_class": "GOV", "member_code": "9", "subsystem_code": "S" } });
    desk.expect("POST", "/subsystems", Some(other), 404, "member_not_found");
    let path = "/subsystems/DEV:GOV:1:S";
    assert_eq!(desk.send("PATCH", path, Some(json!({ "subsystem_name": "Other" }))).0, 200);

    // Servers come with management requests or by the command line.
    let server = desk.operator.file("ss.pem");
    std::fs::write(&server, auth_certificate("ss1").to_pem()).unwrap();
    desk.operator.ok(&["server", "add", "DEV/GOV/1/SS1", "--address", "ss1.example.org"]);
    desk.operator.ok(&[
        "server",
        "auth-cert",
        "add",
        "DEV/GOV/1/SS1",
        "--cert",
        server.to_str().unwrap(),
    ]);
    desk.operator.ok(&["client", "add", "DEV/GOV/1/SS1", "DEV/GOV/1/S"]);
    let subsystems = desk.get("/members/DEV:GOV:1/subsystems");
    assert_eq!(subsystems[0]["subsystem_name"], "Other");
    assert_eq!(subsystems[0]["used_security_servers"][0]["server_code"], "SS1");
    desk.expect("DELETE", path, None, 400, "subsystem_registered_and_cannot_be_deleted");
    desk.expect("DELETE", "/members/DEV:GOV:1", None, 409, "member_is_in_use");
    let owned = desk.get("/members/DEV:GOV:1/owned-servers");
    assert_eq!(owned[0]["server_id"]["encoded_id"], "DEV:GOV:1:SS1");
    assert_eq!(desk.get("/members/DEV:GOV:1/used-servers"), json!([]));

    let servers = desk.get("/security-servers?q=ss1&sort=owner_name&desc=true");
    assert_eq!(
        servers["paging_metadata"],
        json!({ "total_items": 1, "items": 1, "limit": 25, "offset": 0 })
    );
    assert_eq!(servers["items"][0]["owner_name"], "Taxes");
    assert_eq!(desk.get("/security-servers?q=other")["items"], json!([]));
    desk.expect("GET", "/security-servers?sort=colour", None, 400, "invalid_sort_properties");
    let server = "/security-servers/DEV:GOV:1:SS1";
    let address = json!({ "server_address": "192.0.2.1" });
    assert_eq!(desk.send("PATCH", server, Some(address)).1["server_address"], "192.0.2.1");
    assert_eq!(desk.get(&format!("{server}/clients"))[0]["client_id"]["subsystem_code"], "S");
    let certificates = desk.get(&format!("{server}/authentication-certificates"));
    assert_eq!(certificates[0]["subject_common_name"], "ss1");
    assert_eq!(certificates[0]["key_usages"], json!(["DIGITAL_SIGNATURE"]));
    assert_eq!(certificates[0]["signature_algorithm"], "SHA256withECDSA");
    let one = format!("{server}/authentication-certificates/{}", certificates[0]["id"]);
    assert_eq!(desk.send("DELETE", &one, None).0, 204);
    desk.expect("DELETE", &one, None, 404, "ss_auth_certificate_not_found");

    let clients = desk.get("/clients?client_type=SUBSYSTEM");
    assert_eq!(clients["clients"][0]["client_id"]["encoded_id"], "DEV:GOV:1:S");
    assert_eq!(desk.get("/clients?q=tax&limit=1&offset=1")["clients"].as_array().unwrap().len(), 1);

    let group = json!({ "code": "partners", "description": "Partners" });
    assert_eq!(desk.send("POST", "/global-groups", Some(group.clone())).1["member_count"], 0);
    desk.expect("POST", "/global-groups", Some(group), 409, "global_group_exists");
    let items = json!({ "items": ["DEV:GOV:1:S", "DEV:GOV:1"] });
    assert_eq!(
        desk.send("POST", "/global-groups/partners/members/add", Some(items.clone())),
        (201, items.clone())
    );
    assert_eq!(
        desk.send("POST", "/global-groups/partners/members/add", Some(items)),
        (201, json!({ "items": [] }))
    );
    assert_eq!(desk.get("/global-groups/partners")["member_count"], 2);
    assert_eq!(desk.get("/members/DEV:GOV:1/global-groups").as_array().unwrap().len(), 2);
    assert_eq!(desk.send("DELETE", "/global-groups/partners/members/DEV:GOV:1", None).0, 204);
    let owners = "/global-groups/security-server-owners";
    desk.expect("DELETE", owners, None, 400, "owners_global_group_cannot_be_deleted");
    assert_eq!(desk.get(owners)["member_count"], 1);
    assert_eq!(desk.send("DELETE", "/global-groups/partners", None).0, 204);
    desk.expect("DELETE", "/global-groups/partners", None, 404, "global_group_not_found");

    let registration = "/subsystems/DEV:GOV:1:S/servers/DEV:GOV:1:SS1";
    assert_eq!(desk.send("DELETE", registration, None), (204, json!("")));
    desk.expect("DELETE", registration, None, 404, "subsystem_not_registered_to_security_server");
    assert_eq!(desk.send("DELETE", server, None).0, 204);
    desk.expect("GET", server, None, 404, "security_server_not_found");
    assert_eq!(desk.send("DELETE", path, None).0, 204);
    assert_eq!(desk.send("DELETE", "/members/DEV:GOV:1", None).0, 204);
    assert_eq!(desk.send("DELETE", "/member-classes/GOV", None).0, 204);
    assert_eq!(desk.operator.json(&["list"])["members"], json!([]));

    // Whoever comes later sees all of it, and whether anybody has changed the log.
    let told = desk.operator.json(&["audit", "verify"]);
    assert!(told["lines"].as_u64().unwrap() > 20, "{told}");
    let log = desk.operator.file("storage/admin/audit/audit.log");
    let text = std::fs::read_to_string(&log).unwrap();
    let first = |event: &str| -> Value {
        let line = text.lines().find(|line| line.contains(&format!("\"event\":\"{event}\"")));
        serde_json::from_str(line.unwrap_or_else(|| panic!("{event}"))).unwrap()
    };
    let line = first("Add member");
    assert_eq!(
        line["data"],
        json!({ "memberClass": "GOV", "memberCode": "1", "memberName": "Tax" })
    );
    assert_eq!((line["auth"].as_str(), line["user"].as_str()), (Some("ApiKey"), Some("api-key-1")));
    first("Delete subsystem failed");
    first("Unregister subsystem as security server client");
    std::fs::write(&log, text.replacen("\"Tax\"", "\"Tux\"", 1)).unwrap();
    let refused = desk.operator.refused(&["audit", "verify"]);
    assert!(refused.contains("was changed"), "{refused}");
}

#[test]
fn trust_services_and_the_systems_state() {
    if !curl_is_there() {
        return;
    }
    let desk = Desk::new();
    let write = |name: &str| {
        let path = desk.operator.file(name);
        std::fs::write(&path, ca_certificate(name).to_pem()).unwrap();
        path.display().to_string()
    };
    let (ca, tsa) = (write("ca"), write("tsa"));
    let profile = "BasicCertificateProfileInfoProvider";
    desk.operator.ok(&[
        "ca",
        "add",
        "Test CA",
        "--cert",
        &ca,
        "--profile",
        profile,
        "--ocsp",
        "http://ocsp.example.org",
        "--intermediate",
        &write("below"),
    ]);
    desk.operator.ok(&[
        "tsa",
        "add",
        "Test TSA",
        "--cert",
        &tsa,
        "--url",
        "http://tsa.example.org",
    ]);

    let cas = desk.get("/certification-services");
    assert_eq!(cas[0]["name"], "Test CA");
    let ca = format!("/certification-services/{}", cas[0]["id"]);
    let details = desk.get(&ca);
    assert_eq!(details["tls_auth"], false);
    assert!(details["certificate_profile_info"].as_str().unwrap().ends_with(profile));
    let certificate = desk.get(&format!("{ca}/certificate"));
    assert_eq!(certificate["key_usages"], json!(["KEY_CERT_SIGN"]));
    assert_eq!(certificate["ec_public_parameters"], "secp256r1 (1.2.840.10045.3.1.7)");
    assert_eq!(certificate["hash"].as_str().unwrap().len(), 64);
    let below = desk.get(&format!("{ca}/intermediate-cas"));
    assert_eq!(below[0]["ca_certificate"]["subject_common_name"], "below");
    let responders = desk.get(&format!("{ca}/ocsp-responders"));
    assert_eq!(responders[0]["url"], "http://ocsp.example.org");
    assert_eq!(responders[0]["has_certificate"], false);
    let tsas = desk.get("/timestamping-services");
    assert_eq!(tsas[0]["timestamping_interval"], 60);
    let tsa = format!("/timestamping-services/{}", tsas[0]["id"]);
    assert_eq!(desk.get(&tsa), tsas[0]);
    assert_eq!(desk.send("DELETE", &tsa, None).0, 204);
    desk.expect("GET", &tsa, None, 404, "timestamping_authority_not_found");
    assert_eq!(desk.send("DELETE", &ca, None).0, 204);
    desk.expect("GET", &ca, None, 404, "certification_service_not_found");
    desk.expect("GET", "/certification-services/x", None, 400, "validation_failure");

    approvals(&desk);

    let state = desk.get("/system/status");
    assert_eq!(state["initialization_status"]["instance_identifier"], "DEV");
    assert_eq!(state["initialization_status"], desk.get("/initialization/status"));
    assert_eq!(state["high_availability_status"]["is_ha_configured"], false);
    assert!(desk.get("/system/version")["info"].as_str().unwrap().starts_with("Causeway "));
    let (status, anchor) =
        desk.send("GET", "/configuration-sources/INTERNAL/anchor/download", None);
    let anchor = causeway_globalconf::Anchor::parse(anchor.as_str().unwrap().as_bytes()).unwrap();
    assert_eq!((status, anchor.instance.as_str()), (200, "DEV"));
    desk.expect(
        "GET",
        "/configuration-sources/OTHER/anchor/download",
        None,
        400,
        "validation_failure",
    );

    let url = desk.get("/configuration-sources/EXTERNAL/download-url");
    assert_eq!(url, json!({ "url": "http://cs.example.org/externalconf" }));
    assert_eq!(desk.get("/system/high-availability-cluster/status")["nodes"], json!([]));
    federation(&desk, &partner_anchor());

    // Duties are separate: a registrar sees no trust services, and makes no keys.
    let user = format!("registrar:{PASSWORD}");
    let keys = format!("{}/api/v1/api-keys", desk.url);
    assert_eq!(curl(&["-u", &user, &keys]).0, 403);
    let users = desk.operator.json(&["user", "list"]);
    assert_eq!(users["users"].as_array().unwrap().len(), 2);
    desk.operator.ok(&["user", "remove", "registrar"]);
    assert_eq!(curl(&["-u", &user, &keys]).0, 401);
    let text = desk.get("/openapi.json");
    assert!(text["paths"]["/api/v1/members/{member_id}"]["patch"].is_object());
}

/// The external anchor of another instance.
fn partner_anchor() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut config = crate::support::config(&folder);
    config.instance = "PARTNER".into();
    let registry = central_registry::Registry::open(config).unwrap();
    registry.anchor(central_registry::ConfigurationKind::External).unwrap()
}

fn federation(desk: &Desk, anchor: &[u8]) {
    let file = desk.operator.file("anchor.xml");
    std::fs::write(&file, anchor).unwrap();
    let send = |path: &str, field: &str| -> (u16, Value) {
        std::thread::sleep(std::time::Duration::from_millis(60));
        let url = format!("{}/api/v1{path}", desk.url);
        let (status, body) = curl(&["-X", "POST", &url, "-H", &desk.key, "-F", field]);
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    };
    let field = format!("anchor=@{}", file.display());
    let (status, told) = send("/trusted-anchors/preview", &field);
    assert_eq!((status, &told["instance_identifier"]), (200, &json!("PARTNER")), "{told}");
    assert_eq!(told["hash"].as_str().unwrap().len(), 28 * 3 - 1, "SHA-224 with colons");
    assert_eq!(desk.get("/trusted-anchors"), json!([]));
    assert_eq!(send("/trusted-anchors", &field), (201, told.clone()));
    assert_eq!(send("/trusted-anchors", "anchor=nonsense").1["error"]["code"], "malformed_anchor");
    assert_eq!(desk.get("/trusted-anchors"), json!([told]));
    let one = format!("/trusted-anchors/{}", told["hash"].as_str().unwrap());
    let (status, text) = desk.send("GET", &format!("{one}/download"), None);
    assert_eq!((status, text.as_str().unwrap().as_bytes()), (200, anchor));
    assert_eq!(desk.send("DELETE", &one, None).0, 204);
    desk.expect("DELETE", &one, None, 404, "trusted_anchor_not_found");
}

/// Approves a certification service and a timestamping authority with files, as X-Road's scripts do.
fn approvals(desk: &Desk) {
    let form = |method: &str, path: &str, fields: &[&str]| -> (u16, Value) {
        std::thread::sleep(std::time::Duration::from_millis(60));
        let url = format!("{}/api/v1{path}", desk.url);
        let mut arguments = vec!["-X", method, &url, "-H", &desk.key];
        fields.iter().for_each(|field| arguments.extend(["-F", field]));
        let (status, body) = curl(&arguments);
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    };
    let file = |name: &str| format!("certificate=@{}", desk.operator.file(name).display());
    let (ca, tsa, below) = (file("ca"), file("tsa"), file("below"));
    let profile = "certificate_profile_info=BasicCertificateProfileInfoProvider";
    let post = |fields: &[&str]| form("POST", "/certification-services", fields);
    let (status, made) = post(&[&ca, profile, "tls_auth=false", "default_csr_format=DER"]);
    assert_eq!((status, &made["name"]), (201, &json!("ca")), "{made}");
    assert_eq!(made["default_csr_format"], "DER");
    assert_eq!(post(&[&ca, profile]).1["error"]["code"], "certification_service_exists");
    assert_eq!(post(&[profile]).1["error"]["code"], "validation_failure");
    let wrong = form("POST", "/certification-services", &["certificate=nonsense", profile]);
    assert_eq!((wrong.0, &wrong.1["error"]["code"]), (400, &json!("invalid_certificate")));
    let path = format!("/certification-services/{}", made["id"]);
    let added = form("POST", &format!("{path}/intermediate-cas"), &[&below]);
    assert_eq!(
        (added.0, &added.1["ca_certificate"]["subject_common_name"]),
        (201, &json!("below"))
    );
    let again = form("POST", &format!("{path}/intermediate-cas"), &[&below]);
    assert_eq!(again.0, 409);
    let fields = ["url=http://ocsp.example.org", "cost_type=FREE", ca.as_str()];
    let responder = form("POST", &format!("{path}/ocsp-responders"), &fields);
    assert_eq!((responder.0, &responder.1["has_certificate"]), (201, &json!(true)));
    let refused =
        form("POST", &format!("{path}/ocsp-responders"), &["url=ftp://x", "cost_type=FREE"]);
    assert_eq!(refused.0, 400);
    let change = json!({ "tls_auth": "true", "default_csr_format": "" });
    let (status, changed) = desk.send("PATCH", &path, Some(change));
    assert_eq!((status, &changed["tls_auth"]), (200, &json!(true)));
    assert!(changed.get("default_csr_format").is_none());
    assert_eq!(desk.get(&format!("{path}/ocsp-responders")), json!([responder.1]));
    assert_eq!(desk.get(&format!("{path}/intermediate-cas")), json!([added.1]));
    desk.expect(
        "PATCH",
        "/certification-services/1",
        Some(json!({})),
        404,
        "certification_service_not_found",
    );

    let fields = [tsa.as_str(), "url=http://tsa.example.org", "cost_type=PAID"];
    let (status, made) = form("POST", "/timestamping-services", &fields);
    assert_eq!((status, &made["cost_type"]), (201, &json!("PAID")), "{made}");
    let path = format!("/timestamping-services/{}", made["id"]);
    let (status, changed) = form("PATCH", &path, &["url=http://other.example.org"]);
    assert_eq!((status, &changed["url"]), (200, &json!("http://other.example.org")));
    assert_eq!(changed["cost_type"], "PAID");
    assert_eq!(desk.get(&path), changed);
    let listed = desk.operator.json(&["list"]);
    assert_eq!(listed["tsas"][0]["url"], "http://other.example.org");
}
