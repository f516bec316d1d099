#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use causeway_globalconf::shared::{GlobalGroup, GlobalSettings};
use causeway_globalconf::{InstanceConfiguration, SharedParameters, Version};
use causeway_identifiers::{GlobalGroupId, LocalGroupId};

use super::*;
use crate::settings::ConnectionType;

fn id(short: &str) -> ClientId {
    ClientId::parse(short).unwrap()
}

fn conf() -> GlobalConf {
    let shared = SharedParameters {
        instance: "DEV".to_owned(),
        global_groups: vec![GlobalGroup {
            code: "hospitals".to_owned(),
            description: String::new(),
            members: vec![id("DEV/COM/2/Ward")],
        }],
        sources: Vec::new(),
        approved_cas: Vec::new(),
        approved_tsas: Vec::new(),
        members: Vec::new(),
        security_servers: Vec::new(),
        settings: GlobalSettings { member_classes: Vec::new(), ocsp_freshness_seconds: 3600 },
    };
    let own = InstanceConfiguration::new(shared, Version::V5, None);
    GlobalConf::new("DEV", vec![own]).unwrap()
}

fn right(subject: Subject, endpoint: Option<(&str, &str)>) -> Right {
    match endpoint {
        None => Right { subject, method: None, path: PathPattern::everything() },
        Some((method, path)) => Right {
            subject,
            method: (method != "*").then(|| method.to_owned()),
            path: PathPattern::parse(path).unwrap(),
        },
    }
}

fn client(short: &str) -> Subject {
    Subject::Client(id(short))
}

/// Code, version, kind, notice, rights.
type Offer<'t> = (&'t str, Option<&'t str>, ServiceKind, Option<&'t str>, Vec<Right>);

fn provider(services: Vec<Offer<'_>>) -> Client {
    let provider = id("DEV/GOV/1/Register");
    let services = services.into_iter().map(|(code, version, kind, disabled, rights)| {
        let service = Service {
            id: provider.service(code, version).unwrap(),
            kind,
            url: "http://localhost/api".to_owned(),
            timeout: Duration::from_secs(60),
            disabled: disabled.map(str::to_owned),
            verify_tls: false,
            rights,
            endpoints: Vec::new(),
            description: None,
        };
        (crate::settings::service_key(code, version).into_owned(), Arc::new(service))
    });
    let services = services.collect();
    Client {
        id: provider.clone(),
        registered: true,
        connection: ConnectionType::HttpsWithCertificate,
        certificates: Vec::new(),
        services,
        local_groups: HashMap::from([(
            "friends".to_owned(),
            HashSet::from([id("DEV/COM/3/Friend")]),
        )]),
        descriptions: Vec::new(),
    }
}

#[test]
fn what_rights_allow() {
    let portal = "DEV/COM/2/Portal";
    let provider = provider(vec![(
        "pets",
        None,
        ServiceKind::Rest,
        None,
        vec![
            right(client(portal), Some(("GET", "/pets/*"))),
            right(client(portal), Some(("*", "/open/**"))),
            right(client("DEV/COM/2"), None),
            right(client("DEV/COM/4/Reader"), Some(("GET", "**"))),
            right(Subject::GlobalGroup(GlobalGroupId::new("DEV", "hospitals").unwrap()), None),
            right(
                Subject::LocalGroup(LocalGroupId::new("friends").unwrap()),
                Some(("POST", "/pets")),
            ),
        ],
    )]);
    let conf = conf();
    for (who, method, path, allowed) in [
        (portal, "GET", "/pets/1", true),
        (portal, "get", "/pets/1", true),
        (portal, "POST", "/pets/1", false),
        (portal, "GET", "/pets", false),
        (portal, "GET", "/pets/1/photo", false),
        (portal, "GET", "/pets/a%20b", true),
        (portal, "GET", "/pets/a%2Fb", false),
        (portal, "GET", "/pets/%2e%2e/x", false),
        (portal, "GET", "//pets/1", false),
        (portal, "GET", "/pets/x/../1", false),
        (portal, "GET", "/open/x/../1", true),
        (portal, "GET", "/open/../pets/1", true),
        (portal, "GET", "/open/../people", false),
        (portal, "DELETE", "/open/a/b", true),
        (portal, "GET", "", false),
        ("DEV/COM/4/Reader", "GET", "/group%2Fproject", true),
        ("DEV/COM/4/Reader", "PUT", "/group", false),
        ("DEV/COM/2", "PUT", "/anything", true),
        ("DEV/COM/2", "GET", "", true),
        ("DEV/COM/2", "GET", "/group%2Fproject", true),
        ("DEV/COM/2", "GET", "/a%3Fb//c", true),
        ("DEV/COM/2", "GET", "/../other", false),
        ("DEV/COM/2", "GET", "/..%2fother", false),
        ("DEV/COM/2", "GET", "/%252e%252e/other", false),
        ("DEV/COM/2/Other", "GET", "/pets/1", false),
        ("DEV/COM/2/Ward", "GET", "/pets/1", true),
        ("DEV/COM/3/Friend", "POST", "/pets", true),
        ("DEV/COM/3/Friend", "GET", "/pets", false),
        ("DEV/COM/3", "POST", "/pets", false),
        ("TEST/COM/2", "GET", "/pets/1", false),
    ] {
        let judged = judge(&id(who), &provider, "pets", method, path, &conf);
        match judged {
            Ok(service) => {
                assert!(allowed, "{who} {method} {path}");
                assert_eq!(service.id.code(), "pets");
            }
            Err(fault) => {
                assert!(!allowed, "{who} {method} {path}: {fault}");
                assert_eq!(fault.code(), codes::ACCESS_DENIED);
            }
        }
    }
}

#[test]
fn a_fault_tells_why_a_path_is_denied() {
    let everyone = |endpoint| right(client("DEV/COM/2/Portal"), endpoint);
    let provider = provider(vec![
        ("part", None, ServiceKind::Rest, None, vec![everyone(Some(("GET", "/pets/**")))]),
        ("whole", None, ServiceKind::OpenApi, None, vec![everyone(None)]),
        ("none", None, ServiceKind::Rest, None, vec![]),
    ]);
    let judge = |service, path| {
        let fault = judge(&id("DEV/COM/2/Portal"), &provider, service, "GET", path, &conf());
        fault.unwrap_err().message().to_owned()
    };
    let prefix = "Request is not allowed: SERVICE:DEV/GOV/1/Register/";
    assert_eq!(
        judge("part", "/pets/a%2fb"),
        format!("{prefix}part; the path {}", PathDoubt::EncodedSeparator)
    );
    assert_eq!(
        judge("whole", "/.."),
        format!("{prefix}whole; the path {}", PathDoubt::LeavesService)
    );
    assert_eq!(judge("part", "/people"), format!("{prefix}part"));
    // Who has no right at all learns nothing of paths.
    assert_eq!(judge("none", "/pets/a%2fb"), format!("{prefix}none"));
}

#[test]
fn the_order_of_refusals() {
    let me = id("DEV/COM/2/Portal");
    let mine = || vec![right(client("DEV/COM/2/Portal"), None)];
    let provider = provider(vec![
        ("rest", None, ServiceKind::Rest, Some("back on Monday"), mine()),
        ("closed", None, ServiceKind::Rest, Some("back on Monday"), vec![]),
        ("soap", Some("v1"), ServiceKind::Soap, None, mine()),
        ("soap", None, ServiceKind::Soap, None, vec![]),
    ]);
    let conf = conf();
    let rest = |code| judge(&me, &provider, code, "GET", "/x", &conf).map(|s| s.id.to_short());
    let soap =
        |code, version| judge_soap(&me, &provider, code, version, &conf).map(|s| s.id.to_short());
    let code = |judged: Result<String, Fault>| judged.unwrap_err().code().to_owned();

    assert_eq!(code(rest("nothing")), codes::UNKNOWN_SERVICE);
    assert_eq!(code(rest("soap")), codes::SERVICE_TYPE);
    assert_eq!(code(rest("closed")), codes::ACCESS_DENIED);
    let disabled = rest("rest").unwrap_err();
    assert_eq!(disabled.code(), codes::SERVICE_DISABLED);
    assert!(disabled.message().ends_with("is disabled: back on Monday"));
    // A slash in a code leads to no version of another service.
    assert_eq!(code(rest("soap/v1")), codes::UNKNOWN_SERVICE);

    assert_eq!(soap("soap", Some("v1")).unwrap(), "DEV/GOV/1/Register/soap/v1");
    assert_eq!(code(soap("soap", Some("v2"))), codes::UNKNOWN_SERVICE);
    assert_eq!(code(soap("soap", None)), codes::ACCESS_DENIED);
    assert_eq!(code(soap("rest", None)), codes::SERVICE_TYPE);
}

#[test]
fn a_right_for_endpoints_is_none_for_soap() {
    let me = id("DEV/COM/2/Portal");
    let mine = vec![right(Subject::Client(me.clone()), Some(("GET", "/**")))];
    let provider = provider(vec![("soap", None, ServiceKind::Soap, None, mine)]);
    let fault = judge_soap(&me, &provider, "soap", None, &conf()).unwrap_err();
    assert_eq!(fault.code(), codes::ACCESS_DENIED);
    let service = provider.service("soap", None).unwrap();
    assert!(may_call_some(&me, &provider, service, &conf()));
}

#[test]
fn what_clients_are_told_that_they_may_call() {
    let endpoint = |method: &str, path: &str| Endpoint { method: method.into(), path: path.into() };
    let rights = vec![
        right(client("DEV/COM/1/Some"), Some(("GET", "/pets/*"))),
        right(client("DEV/COM/1/Some"), Some(("*", "/food/**"))),
        right(Subject::LocalGroup(LocalGroupId::new("friends").unwrap()), None),
    ];
    let provider = provider(vec![("pets", None, ServiceKind::OpenApi, Some("off"), rights)]);
    let mut service = (**provider.service("pets", None).unwrap()).clone();
    service.endpoints = vec![
        endpoint("GET", "/pets/*"),
        endpoint("PUT", "/pets/*"),
        endpoint("GET", "/pets/*/food"),
        endpoint("POST", "/food/cats"),
    ];
    let told = |who: &str| {
        let told = allowed_endpoints(&id(who), &provider, &service, &conf());
        told.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(told("DEV/COM/1/Some").unwrap(), ["GET /pets/*", "POST /food/cats", "* /food/**"]);
    assert_eq!(told("DEV/COM/3/Friend").unwrap().len(), 5);
    assert_eq!(told("DEV/COM/1"), None);
}
