//! What automation and browsers rely on at the edge.

use base64::Engine as _;
use causeway_admin::http::{
    Access, Answer, Document, EdgeSettings, Route, Routes, decode, read_pairs, to_yaml,
};
use causeway_admin::identity::Role;
use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    AWAY, HOME, PASSWORD, PERMISSIONS, borrowed, document, scene, session_headers, things,
};

pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");

pub(crate) fn basic(user: &str, password: &str) -> String {
    let text = format!("{user}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

#[test]
fn a_key_is_made_used_changed_and_revoked() {
    let scene = scene(EdgeSettings::default());
    let admin = basic("admin", PASSWORD);
    let auth = ("Authorization", admin.as_str());
    let path = "/api/v1/api-keys";
    let body = r#"["XROAD_SECURITYSERVER_OBSERVER","XROAD_REGISTRATION_OFFICER"]"#;
    let made = scene.send("POST", path, &[auth, JSON], body, HOME);
    assert_eq!(made.status, 200, "{}", made.body);
    let (id, key) = (made.json()["id"].clone(), made.json()["key"].as_str().unwrap().to_owned());
    assert_eq!(made.json()["roles"].as_array().unwrap().len(), 2);
    assert!(key.len() >= 32);

    let listed = scene.send("GET", path, &[auth], "", HOME).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert!(listed[0].get("key").is_none());

    // The words in any case, as X-Road reads them.
    for scheme in ["X-Road-ApiKey token=", "x-road-apikey TOKEN="] {
        let header = format!("{scheme}{key} ");
        let got = scene.send("GET", "/api/v1/things", &[("Authorization", &header)], "", AWAY);
        assert_eq!((got.status, got.json()), (200, json!(["first"])));
    }
    let key = format!("X-Road-ApiKey token={key}");
    let keyed = ("Authorization", key.as_str());
    assert_eq!(scene.send("POST", "/api/v1/things", &[keyed, JSON], "\"x\"", AWAY).status, 201);

    let one = format!("{path}/{id}");
    let changed =
        scene.send("PUT", &one, &[auth, JSON], r#"["XROAD_SECURITYSERVER_OBSERVER"]"#, HOME);
    assert_eq!(changed.json(), json!({ "id": id, "roles": ["XROAD_SECURITYSERVER_OBSERVER"] }));
    assert_eq!(scene.send("GET", &one, &[auth], "", HOME).json(), changed.json());
    let refused = scene.send("POST", "/api/v1/things", &[keyed, JSON], "\"y\"", AWAY);
    assert_eq!((refused.status, refused.json()), (403, json!({ "status": 403 })));
    assert_eq!(scene.last_event(), "Add thing failed");

    // A key must not make keys.
    assert_eq!(scene.send("GET", path, &[keyed], "", HOME).status, 401);

    let revoked = scene.send("DELETE", &one, &[auth], "", HOME);
    assert_eq!((revoked.status, revoked.body.as_str()), (200, ""));
    let gone = scene.send("DELETE", &one, &[auth], "", HOME);
    assert_eq!((gone.status, gone.code()), (404, "api_key_not_found".to_owned()));
    assert_eq!(scene.send("GET", "/api/v1/things", &[keyed], "", AWAY).status, 401);
    assert_eq!(scene.last_event(), "API key authentication failed");

    let events: Vec<String> = scene
        .audited()
        .iter()
        .map(|line| line["event"].as_str().unwrap().to_owned())
        .filter(|event| event.starts_with("API key "))
        .collect();
    assert_eq!(
        events,
        [
            "API key create",
            "API key update",
            "API key remove",
            "API key remove failed",
            "API key authentication failed"
        ]
    );
}

#[test]
fn errors_have_x_roads_form() {
    let scene = scene(EdgeSettings::default());
    let admin = basic("admin", PASSWORD);
    let auth = ("Authorization", admin.as_str());
    let post = |body: &str| scene.send("POST", "/api/v1/api-keys", &[auth, JSON], body, HOME);
    let wrong_role = post(r#"["XROAD_NOBODY"]"#);
    assert_eq!(wrong_role.json(), json!({ "status": 400, "error": { "code": "invalid_role" } }));
    assert_eq!(post("[]").code(), "invalid_role");
    assert_eq!(post("{").code(), "invalid_body");
    assert_eq!(post("{").headers["content-type"], "application/json");

    let key = scene.key([Role::RegistrationOfficer]);
    let auth = ("Authorization", key.as_str());
    let twice = scene.send("POST", "/api/v1/things", &[auth, JSON], "\"first\"", AWAY);
    assert_eq!(
        twice.json(),
        json!({ "status": 409, "error": { "code": "thing_exists", "metadata": ["first"] } })
    );
    let line = scene.audited().pop().unwrap();
    assert_eq!(line["event"], "Add thing failed");
    assert_eq!(line["reason"], "there is one");
    assert_eq!(line["auth"], "ApiKey");
    assert_eq!(line["user"], "api-key-1");
    assert_eq!(line["ipaddress"], "192.0.2.7");
    assert_eq!(line["url"], "/api/v1/things");
    assert_eq!(line["data"], json!({ "code": "first" }));

    for (method, path, status) in [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/things/", 404),
        ("DELETE", "/api/v1/things", 405),
        ("POST", "/api/v1/things/x", 405),
        ("GET", "/api/v1/things/%2e%2e", 400),
        ("GET", "/api/v1/things/a%2Fb", 400),
        ("GET", "/api/v1/things/a;b", 400),
        ("GET", "/api/v1/things/%ff", 400),
        ("GET", "/api/v1/things/%0", 400),
        ("GET", "/api/v1/things?a=%", 400),
    ] {
        let got = scene.send(method, path, &[auth, JSON], "", AWAY);
        assert_eq!(got.status, status, "{method} {path}");
        assert_eq!(got.json()["status"], status);
    }
    let allowed = scene.send("DELETE", "/api/v1/things", &[auth], "", AWAY);
    assert_eq!(allowed.headers["allow"], "GET, POST");
    // What is there is told to those alone who are known.
    assert_eq!(scene.send("GET", "/api/v1/nothing", &[], "", AWAY).status, 401);
}

#[test]
fn paths_lead_where_they_should() {
    let scene = scene(EdgeSettings::default());
    let key = scene.key([Role::Observer]);
    let get =
        |path: &str| scene.send("GET", path, &[("Authorization", key.as_str())], "", AWAY).json();
    assert_eq!(get("/api/v1/things/special"), json!("special"));
    assert_eq!(
        get("/api/v1/things/FI:GOV:1?q=a%20b+c&q=d"),
        json!({ "id": "FI:GOV:1", "q": "a b c" })
    );
    assert_eq!(get("/api/v1/things/K%C3%B6%C3%B6k"), json!({ "id": "Köök", "q": null }));
}

#[test]
fn signing_in_gives_a_session_for_our_own_pages() {
    let scene = scene(EdgeSettings::default());
    let in_ = scene.sign_in("observer", &[]);
    assert_eq!((in_.status, in_.body.as_str()), (200, "OK\n"));
    let set: Vec<&str> =
        in_.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap()).collect();
    assert!(set.iter().all(|c| c.contains("Secure") && c.contains("SameSite=Strict")));
    assert!(set[0].contains("HttpOnly") && !set[1].contains("HttpOnly"));
    let headers = session_headers(&in_.cookie("__Host-session"), &in_.cookie("XSRF-TOKEN"));
    let headers = borrowed(&headers);
    let user = scene.send("GET", "/api/v1/user", &headers, "", AWAY).json();
    assert_eq!(
        user,
        json!({
            "username": "observer",
            "roles": ["ROLE_XROAD_SECURITYSERVER_OBSERVER"],
            "permissions": ["VIEW_THINGS"],
        })
    );
    let get = |path: &str| scene.send("GET", path, &headers, "", AWAY);
    assert_eq!(get("/api/v1/user/roles").json(), json!(["ROLE_XROAD_SECURITYSERVER_OBSERVER"]));
    assert_eq!(get("/api/v1/user/permissions").json(), json!(["VIEW_THINGS"]));
    assert_eq!(get("/api/v1/notifications/session-status").json(), json!({ "valid": true }));
    assert_eq!(get("/api/v1/api-keys").status, 403, "an observer sees no keys");

    let out = scene.send("POST", "/logout", &headers, "", AWAY);
    assert_eq!(out.status, 200);
    assert!(
        out.headers.get_all("set-cookie").iter().all(|c| c.to_str().unwrap().contains("Max-Age=0"))
    );
    assert_eq!(get("/api/v1/user").status, 401);
    let events: Vec<Value> = scene.audited().into_iter().map(|l| l["event"].clone()).collect();
    assert_eq!(
        events,
        ["Log in user", "Access check failed", "Log out user", "Authentication failed"]
    );
    let key = scene.key([Role::Observer]);
    let status = "/api/v1/notifications/session-status";
    let keyed = scene.send("GET", status, &[("Authorization", &key)], "", AWAY);
    assert_eq!(keyed.json(), json!({ "valid": false }));
}

#[test]
fn a_page_that_looks_whether_the_session_lives_does_not_keep_it_alive() {
    let scene = scene(EdgeSettings::default());
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let body = format!("username=admin&password={PASSWORD}");
    let in_ = scene.send_at(5_000_000, "POST", "/login", &[form], &body, AWAY);
    let headers = session_headers(&in_.cookie("__Host-session"), &in_.cookie("XSRF-TOKEN"));
    let headers = borrowed(&headers);
    let status = |now| {
        let path = "/api/v1/notifications/session-status";
        scene.send_at(now, "GET", path, &headers, "", AWAY).status
    };
    assert_eq!((5_000_000..5_001_800).step_by(600).map(status).max(), Some(200));
    assert_eq!(status(5_001_800), 401);
}

#[test]
fn the_text_says_what_is_dispatched_and_nothing_else() {
    let scene = scene(EdgeSettings::default());
    let got = scene.send("GET", "/api/v1/openapi.json", &[], "", AWAY);
    let text = got.json();
    let mut told: Vec<(String, String)> = Vec::new();
    for (path, operations) in text["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            told.push((path.clone(), method.to_uppercase()));
        }
    }
    let routes = scene.gate.routes().all();
    let mut known: Vec<(String, String)> =
        routes.iter().map(|r| (r.path.to_owned(), r.method.to_string())).collect();
    told.sort();
    known.sort();
    assert_eq!(told, known);
    for route in routes {
        let said = &text["paths"][route.path][route.method.as_str().to_lowercase()];
        assert_eq!(said["operationId"], route.operation);
        assert!(said["responses"].get(route.status.to_string()).is_some());
        assert_eq!(
            said.get("requestBody").is_some(),
            route.accepts != causeway_admin::http::Accepts::Nothing
        );
        let parameters = said["parameters"].as_array().unwrap();
        let in_path = parameters.iter().filter(|p| p["in"] == "path").count();
        assert_eq!(in_path, route.parameters().count());
        assert_eq!(said["security"] == json!([]), route.access == Access::Open, "{route:?}");
    }
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(to)) => found.push(to.clone()),
                _ => references(value, found),
            }),
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&text, &mut found);
    for to in found {
        assert!(text.pointer(to.trim_start_matches('#')).is_some(), "{to}");
    }
    let yaml = scene.send("GET", "/api/v1/openapi.yaml", &[], "", AWAY);
    assert_eq!(yaml.headers["content-type"], "text/yaml");
    assert_eq!(yaml.body, to_yaml(&text));
}

#[test]
fn the_yaml_is_read_by_another_as_the_same() {
    let scene = scene(EdgeSettings::default());
    let get = |path| scene.send("GET", path, &[], "", AWAY).body;
    let program = "import sys,json,yaml; print(json.dumps(yaml.safe_load(sys.stdin.read())))";
    let mut child = match std::process::Command::new("python3")
        .args(["-c", program])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
    {
        Ok(child) => child,
        Err(e) => return eprintln!("python3 is not there ({e}); YAML is not read by another"),
    };
    use std::io::Write as _;
    child.stdin.take().unwrap().write_all(get("/api/v1/openapi.yaml").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        return eprintln!("PyYAML is not there; YAML is not read by another");
    }
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected: Value = serde_json::from_str(&get("/api/v1/openapi.json")).unwrap();
    assert_eq!(read, expected);
}

#[test]
fn mistakes_in_a_table_are_found_at_the_start() {
    let answer = |_: &causeway_admin::http::Call| Ok(Answer::nothing());
    let get = |path, operation, access| Route::new(Method::GET, path, operation, access, answer);
    let open = Access::Open;
    for (routes, what) in [
        (vec![get("/a/{b}", "x", open), get("/a/{c}", "y", open)], "another"),
        (vec![get("/a", "x", open), get("/b", "x", open)], "named"),
        (vec![get("a", "x", open)], "another"),
        (vec![get("/a", "x", Access::Permission("NONE"))], "permission"),
        (vec![Route::new(Method::POST, "/a", "x", Access::SignedIn, answer)], "no event"),
    ] {
        let error = Routes::new(routes, PERMISSIONS).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    assert!(Routes::new(things(), PERMISSIONS).is_ok());
    let document = Document { schemas: serde_json::Map::new(), ..document() };
    let folder = tempfile::tempdir().unwrap();
    let now = time::OffsetDateTime::UNIX_EPOCH;
    let audit = causeway_admin::audit::AuditLog::open(folder.path(), 1 << 20, now).unwrap().0;
    let gate = causeway_admin::http::Gate::new(
        std::sync::Arc::new(crate::support::in_memory()),
        std::sync::Arc::new(audit),
        Box::<causeway_admin::SystemRandomness>::default(),
        things(),
        &document,
        EdgeSettings::default(),
    );
    assert!(gate.unwrap_err().to_string().contains("schema"));
}

proptest! {
    #[test]
    fn nothing_that_comes_in_a_path_panics(text in "\\PC{0,40}") {
        let _ = decode(&text, true);
        let _ = read_pairs(&text);
    }

    #[test]
    fn what_is_encoded_is_decoded(text in ".{0,40}") {
        let encoded: String = text.bytes().map(|b| format!("%{b:02x}")).collect();
        prop_assert_eq!(decode(&encoded, false).unwrap(), text);
    }
}
