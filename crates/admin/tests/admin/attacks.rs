//! What an attacker tries, without a socket.

use causeway_admin::http::{EdgeSettings, MAX_DEPTH, Rates, is_bounded, presented};
use causeway_admin::identity::Role;
use proptest::prelude::*;

use crate::edge::{JSON, basic};
use crate::support::{AWAY, HOME, PASSWORD, borrowed, scene, scene_with, session_headers};

#[test]
fn a_session_that_was_planted_is_not_the_victims() {
    let scene = scene(EdgeSettings::default());
    let eve = scene.sign_in("observer", &[]);
    let planted = format!("__Host-session={}", eve.cookie("__Host-session"));
    let victim = scene.sign_in("admin", &[("Cookie", &planted)]);
    assert_eq!(victim.status, 200);
    assert_ne!(victim.cookie("__Host-session"), eve.cookie("__Host-session"));
    let headers = session_headers(&eve.cookie("__Host-session"), &eve.cookie("XSRF-TOKEN"));
    assert_eq!(scene.send("GET", "/api/v1/user", &borrowed(&headers), "", AWAY).status, 401);
    // A value of one's own choosing opens nothing and is not taken over.
    let own = scene.sign_in("admin", &[("Cookie", "__Host-session=chosen")]);
    assert_ne!(own.cookie("__Host-session"), "chosen");
}

#[test]
fn without_the_pages_token_a_session_does_nothing() {
    let scene = scene(EdgeSettings::default());
    let in_ = scene.sign_in("admin", &[]);
    let (session, csrf) = (in_.cookie("__Host-session"), in_.cookie("XSRF-TOKEN"));
    let session = format!("__Host-session={session}");
    let both = format!("{session}; XSRF-TOKEN={csrf}");
    let forged = format!("{session}; XSRF-TOKEN=forged");
    let post = |headers: &[(&str, &str)]| {
        let headers = [headers, &[JSON]].concat();
        scene.send("POST", "/api/v1/things", &headers, "\"new\"", AWAY).status
    };
    for headers in [
        vec![("Cookie", session.as_str())],
        vec![("Cookie", session.as_str()), ("X-XSRF-TOKEN", csrf.as_str())],
        vec![("Cookie", both.as_str())],
        vec![("Cookie", both.as_str()), ("X-XSRF-TOKEN", "")],
        vec![("Cookie", forged.as_str()), ("X-XSRF-TOKEN", "forged")],
    ] {
        assert_eq!(post(&headers), 403, "{headers:?}");
        assert_eq!(scene.last_event(), "Access check failed");
        assert_eq!(scene.send("GET", "/api/v1/user", &headers, "", AWAY).status, 403);
        assert_eq!(scene.send("POST", "/logout", &headers, "", AWAY).status, 403);
    }
    let good = [("Cookie", both.as_str()), ("X-XSRF-TOKEN", csrf.as_str())];
    assert_eq!(post(&good), 201);
}

#[test]
fn another_sites_page_changes_nothing_and_signs_nobody_in() {
    let scene = scene(EdgeSettings::default());
    for foreign in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://localhost:4000"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        assert_eq!(scene.sign_in("admin", &[foreign]).status, 403, "{foreign:?}");
        let basic = basic("admin", PASSWORD);
        let headers = [foreign, JSON, ("Authorization", basic.as_str())];
        let got = scene.send("POST", "/api/v1/api-keys", &headers, "[]", HOME);
        assert_eq!(got.status, 403);
    }
    let own = [("Origin", "https://localhost:4000"), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(scene.sign_in("admin", &own).status, 200);
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    let scene = scene(EdgeSettings::default());
    let (one, two) = (scene.key([Role::Observer]), scene.key([Role::RegistrationOfficer]));
    let auth = ("Authorization", one.as_str());
    let refused = |headers: &[(&str, &str)], path: &str| {
        assert_eq!(scene.send("GET", path, headers, "", AWAY).status, 400, "{headers:?} {path}");
    };
    let things = "/api/v1/things";
    refused(&[auth, ("Authorization", &two)], things);
    refused(&[auth, ("Host", "a"), ("Host", "b")], things);
    refused(&[auth, ("Host", "")], things);
    refused(&[auth, ("Host", "a")], "https://b/api/v1/things");
    refused(&[auth, ("Transfer-Encoding", "chunked"), ("Content-Length", "3")], things);
    refused(&[("Cookie", "__Host-session=a; __Host-session=b")], things);
    refused(&[("Cookie", "__Host-session=a"), ("Cookie", "__Host-session=b")], things);
    refused(&[("Cookie", "__Host-session=a; XSRF-TOKEN=a; XSRF-TOKEN=b")], things);
    refused(
        &[("Cookie", "__Host-session=a"), ("X-XSRF-TOKEN", "a"), ("X-XSRF-TOKEN", "b")],
        things,
    );
    assert_eq!(scene.send("GET", things, &[auth], "", AWAY).status, 200);
}

#[test]
fn the_wrong_credentials_in_the_wrong_place_do_not_count() {
    let scene = scene(EdgeSettings {
        api_from: "10.0.0.0/8, 127.0.0.1".parse().unwrap(),
        ..EdgeSettings::default()
    });
    let key = scene.key([Role::Observer]);
    let basic_header = basic("admin", PASSWORD);
    let status = |path: &str, auth: &str, from| {
        scene.send("GET", path, &[("Authorization", auth)], "", from).status
    };
    assert_eq!(status("/api/v1/things", &key, HOME), 200);
    assert_eq!(status("/api/v1/things", &key, AWAY), 401);
    assert_eq!(status("/api/v1/api-keys", &basic_header, HOME), 200);
    assert_eq!(status("/api/v1/api-keys", &basic_header, AWAY), 401, "from this machine alone");
    assert_eq!(status("/api/v1/things", &basic_header, HOME), 401, "for work on keys alone");
    for nonsense in ["", "Bearer x", "Basic", "Basic !!!", "X-Road-ApiKey token=", "X-Road-ApiKey"]
    {
        assert_eq!(status("/api/v1/things", nonsense, HOME), 401, "{nonsense}");
    }
    let long = format!("X-Road-ApiKey token={}", "k".repeat(5000));
    assert_eq!(status("/api/v1/things", &long, HOME), 401);
}

#[test]
fn a_server_that_names_its_hosts_answers_to_those_alone() {
    let allowed_hosts = vec!["cs.example.org".to_owned(), "[::1]".to_owned()];
    let scene = scene(EdgeSettings { allowed_hosts, ..EdgeSettings::default() });
    let key = scene.key([Role::Observer]);
    let status = |host: &str| {
        let headers = [("Authorization", key.as_str()), ("Host", host)];
        scene.send("GET", "/api/v1/things", &headers, "", AWAY).status
    };
    for good in ["cs.example.org", "CS.example.org:4000", "[::1]:4000"] {
        assert_eq!(status(good), 200, "{good}");
    }
    for bad in ["evil.example", "cs.example.org.evil", "localhost", "cs.example.org:4000:1"] {
        assert_eq!(status(bad), 400, "{bad}");
    }
}

#[test]
fn bodies_are_bounded_in_length_type_and_depth() {
    let scene = scene(EdgeSettings::default());
    let key = scene.key([Role::RegistrationOfficer]);
    let auth = ("Authorization", key.as_str());
    let post = |headers: &[(&str, &str)], body: &str| {
        let headers = [headers, &[auth]].concat();
        scene.send("POST", "/api/v1/things", &headers, body, AWAY)
    };
    let long = format!("\"{}\"", "x".repeat(51 << 10));
    assert_eq!(post(&[JSON], &long).status, 413);
    assert_eq!(post(&[JSON, ("Content-Length", "99999999999999")], "").status, 413);
    assert_eq!(post(&[], "\"x\"").status, 415);
    assert_eq!(post(&[("Content-Type", "text/plain")], "\"x\"").status, 415);
    assert_eq!(post(&[JSON, JSON], "\"x\"").status, 415);
    let deep = "[".repeat(25_000) + &"]".repeat(25_000);
    let refused = post(&[JSON], &deep);
    assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_body"));
    assert!(refused.body.contains("deeper"));
    let utf8 = ("Content-Type", "application/json; charset=utf-8");
    assert_eq!(post(&[utf8], "\"fine\"").status, 201);
}

#[test]
fn too_many_requests_are_held_up_by_address_and_by_key() {
    let rates = Rates { per_second: 5, per_minute: 8 };
    let scene = scene(EdgeSettings { rates_by_principal: rates, ..EdgeSettings::default() });
    let key = scene.key([Role::Observer]);
    let get = |now, from: [u8; 4]| {
        let headers = [("Authorization", key.as_str())];
        scene.send_at(now, "GET", "/api/v1/things", &headers, "", from.into())
    };
    // By the key, though each comes from another address.
    let many: Vec<u16> = (0..10).map(|n| get(9_000_000, [10, 0, 0, n]).status).collect();
    assert_eq!(many.iter().filter(|status| **status == 200).count(), 5);
    let refused = get(9_000_000, [10, 0, 0, 99]);
    assert_eq!((refused.status, refused.body.as_str()), (429, "{\"status\":429}"));
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    // By the address, before anything else is looked at.
    let rates_by_address = Rates { per_second: 3, per_minute: 0 };
    let scene = crate::support::scene(EdgeSettings { rates_by_address, ..EdgeSettings::default() });
    let many: Vec<u16> = (0..6)
        .map(|_| scene.send_at(9_000_000, "GET", "/api/v1/openapi.json", &[], "", AWAY).status)
        .collect();
    assert_eq!(many, [200, 200, 200, 429, 429, 429]);
}

#[test]
fn guessing_passwords_waits_whatever_the_door() {
    let scene = scene(EdgeSettings::default());
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let body = "username=admin&password=Gu3ss-work";
    let guess = || scene.send_at(8_000_000, "POST", "/login", &[form], body, HOME).status;
    assert_eq!([guess(), guess(), guess(), guess()], [401, 401, 401, 429]);
    let basic = basic("admin", PASSWORD);
    let headers = [("Authorization", basic.as_str())];
    let got = scene.send_at(8_000_001, "GET", "/api/v1/api-keys", &headers, "", HOME);
    assert_eq!(got.status, 429, "the same count");
    assert!(got.headers.contains_key("retry-after"));
    let lines = scene.audited();
    assert_eq!(lines[0]["event"], "Log in user failed");
    assert_eq!(lines[0]["user"], "admin");
    assert!(lines.iter().all(|line| !line.to_string().contains("Gu3ss")), "no passwords");
}

#[test]
fn every_answer_tells_browsers_to_be_careful() {
    let scene = scene(EdgeSettings::default());
    for got in [
        scene.send("GET", "/api/v1/openapi.yaml", &[], "", AWAY),
        scene.send("GET", "/api/v1/things", &[], "", AWAY),
        scene.sign_in("admin", &[]),
    ] {
        for name in ["content-security-policy", "x-frame-options", "x-content-type-options"] {
            assert!(got.headers.contains_key(name), "{name}");
        }
        assert!(got.headers["cache-control"].to_str().unwrap().contains("no-store"));
        assert_eq!(got.headers["x-road-ui-correlation-id"].len(), 16);
        assert!(!got.headers.contains_key("www-authenticate"), "browsers must not remember");
    }
}

#[test]
fn without_a_record_nothing_is_answered_as_done_and_soon_nothing_is_done() {
    // A device that is always full stands for the disk.
    if !std::path::Path::new("/dev/full").exists() {
        eprintln!("/dev/full is not there; not tested");
        return;
    }
    let scene = scene_with(EdgeSettings::default(), |folder| {
        std::fs::create_dir(folder).unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.join("audit.log")).unwrap();
    });
    let key = scene.key([Role::RegistrationOfficer]);
    let auth = ("Authorization", key.as_str());
    let add = |name| scene.send("POST", "/api/v1/things", &[auth, JSON], name, AWAY).status;
    assert_eq!(add("\"unrecorded\""), 500);
    assert!(scene.audit.ready().is_err());
    assert_eq!(add("\"not made\""), 500);
    let seen = scene.send("GET", "/api/v1/things", &[auth], "", AWAY);
    assert_eq!(seen.status, 200, "looking is still possible");
    assert!(!seen.body.contains("not made"));
}

proptest! {
    #[test]
    fn depth_is_counted_outside_strings_alone(depth in 0_usize..80, text in "[a\\[\\]{}\\\\\"]{0,30}") {
        let inner = serde_json::to_string(&text).unwrap();
        let json = format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
        prop_assert_eq!(is_bounded(json.as_bytes()), depth <= MAX_DEPTH);
    }

    #[test]
    fn whatever_headers_come_nothing_panics(
        auth in proptest::collection::vec("[ -~]{0,60}", 0..3),
        cookie in proptest::collection::vec("(__Host-session=|XSRF-TOKEN=|;| |[a-z=]){0,10}", 0..3),
    ) {
        let mut headers = http::HeaderMap::new();
        for value in auth {
            headers.append("authorization", value.parse().unwrap());
        }
        for value in cookie {
            headers.append("cookie", value.parse().unwrap());
        }
        let _ = presented(&headers);
    }
}
