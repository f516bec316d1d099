//! Who may call what: subsystems, global groups, local groups, and endpoints.

use std::time::Duration;

use central_registry::Edit;
use sandbox::{Ecosystem, Options};
use toml::{Table, Value};

use crate::provider::{Provider, response};
use crate::scene::{self, POPULATION, PORTAL, add_service, get, portal, until};

const DENIED: &str = "server.serverproxy.access_denied";
const INCOME: &str = "/r1/DEV/GOV/1002/tax/income/0";

/// What each service allows.
const RULES: [(&str, &str); 9] = [
    ("nobody", "allow = []"),
    ("subsystem", "allow = [\"SUBSYSTEM:DEV/GOV/1003/portal\"]"),
    ("other", "allow = [\"DEV/GOV/1003/porta\", \"DEV/GOV/1003/Portal\", \"DEV/GOV/1002/tax\"]"),
    ("member", "allow = [\"DEV/GOV/1003\"]"),
    ("global", "allow = [\"GLOBALGROUP:DEV/public-services\"]"),
    ("local", "allow = [\"LOCALGROUP:friends\"]"),
    ("strangers", "allow = [\"LOCALGROUP:strangers\"]"),
    (
        "parts",
        "[[allow]]\nsubject = \"DEV/GOV/1003/portal\"\n\
         endpoints = [\"GET /pets/*\", \"* /shops/**\", \"POST /pets\", \"GET /\", \"PUT /a/*/c\"]\n\
         [[allow]]\nsubject = \"DEV/GOV/1002/tax\"\nendpoints = [\"GET /secret\"]",
    ),
    (
        "grouped",
        "[[allow]]\nsubject = \"LOCALGROUP:friends\"\nendpoints = [\"GET /one\"]\n\
         [[allow]]\nsubject = \"GLOBALGROUP:DEV/public-services\"\nendpoints = [\"GET /two\"]",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn subjects_and_endpoints() {
    let provider = Provider::start(|_| response("200 OK", "", b"ok")).await;
    let url = provider.url("");
    let ecosystem = scene::start(move |name, table| {
        if name != "ss2" {
            return;
        }
        let groups: Table = format!("friends = [\"{PORTAL}\"]\nstrangers = [\"DEV/GOV/1002/tax\"]")
            .parse()
            .unwrap();
        scene::set(scene::client(table, POPULATION), "local_groups", Value::Table(groups));
        for (code, rule) in RULES {
            add_service(table, POPULATION, code, &url, rule);
        }
    })
    .await;
    for (verb, path, allowed) in [
        ("GET", "nobody", false),
        ("GET", "subsystem", true),
        ("DELETE", "subsystem/any/where?x", true),
        ("GET", "other", false),
        ("GET", "member", false),
        ("GET", "global", true),
        ("GET", "local", true),
        ("GET", "strangers", false),
        ("GET", "parts/pets/1", true),
        ("GET", "parts/pets/1?x=/y", true),
        ("GET", "parts/pets/a%20b", true),
        ("POST", "parts/pets/1", false),
        ("GET", "parts/pets", false),
        ("POST", "parts/pets", true),
        ("GET", "parts/pets/1/2", false),
        ("GET", "parts/pets/1%2F2", false),
        ("GET", "parts/pets/../secret", false),
        ("GET", "parts/pets/%2e%2e/secret", false),
        ("GET", "parts/shops/../secret", false),
        ("GET", "parts/shops/1/2/3", true),
        ("PATCH", "parts/shops/1", true),
        ("GET", "parts/", true),
        ("PUT", "parts/a/b/c", true),
        ("PUT", "parts/a/b/b/c", false),
        ("GET", "parts/secret", false),
        ("GET", "grouped/one", true),
        ("GET", "grouped/two", true),
        ("GET", "grouped/three", false),
    ] {
        let before = provider.count();
        let request = get(&format!("/r1/DEV/GOV/1001/population/{path}"), "");
        let answer = portal(&ecosystem, request.replace("GET ", &format!("{verb} "))).await;
        let expected = if allowed { (200, None) } else { (500, Some(DENIED)) };
        assert_eq!((answer.status, answer.code()), expected, "{verb} {path}: {answer:?}");
        assert_eq!(provider.count() - before, usize::from(allowed));
    }
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_a_global_group_ends_its_rights() {
    let options = Options { configuration_refresh: Duration::from_secs(1), ..Options::for_tests() };
    let ecosystem = Ecosystem::start(options).await.unwrap();
    assert_eq!(portal(&ecosystem, get(INCOME, "")).await.code(), None);
    let group = "public-services".to_owned();
    let member = scene::id(PORTAL);
    let edit = Edit::GroupMemberRemove { group: group.clone(), client: member.clone() };
    ecosystem.registry().edit(edit).unwrap();
    until(&ecosystem, &get(INCOME, ""), Some(DENIED)).await;
    ecosystem.registry().add_group_member(&group, &member).unwrap();
    until(&ecosystem, &get(INCOME, ""), None).await;
    ecosystem.stop().await;
}
