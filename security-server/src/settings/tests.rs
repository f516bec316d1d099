#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use causeway_globalconf::shared::{GlobalGroup, GlobalSettings, Member, SecurityServer};
use causeway_globalconf::{
    Anchor, AnchorSource, EncodedCertificate, GlobalConf, InstanceConfiguration, SharedParameters,
    Version,
};
use causeway_identifiers::ClientId;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

fn certificate() -> String {
    rcgen::generate_simple_self_signed(["is.example".to_owned()]).unwrap().cert.pem()
}

/// A folder with an anchor of the instance DEV, a certificate and a PIN.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pem = certificate();
    let parsed = causeway_pki::Certificate::from_der_or_pem(pem.as_bytes()).unwrap();
    let source = AnchorSource {
        url: "http://registry.example/internalconf".to_owned(),
        certificates: vec![EncodedCertificate::from(&parsed)],
    };
    let anchor = Anchor {
        generated_at: Some(time::macros::datetime!(2026-01-02 03:04:05 UTC)),
        instance: "DEV".to_owned(),
        sources: vec![source],
    };
    std::fs::write(folder.path().join("anchor.xml"), anchor.to_xml().unwrap()).unwrap();
    std::fs::write(folder.path().join("is.pem"), pem).unwrap();
    std::fs::write(folder.path().join("pin"), "Secret1234\n").unwrap();
    folder
}

fn load(folder: &TempDir, text: &str) -> Result<Settings, SettingsErrors> {
    let path = folder.path().join("security-server.toml");
    std::fs::write(&path, text).unwrap();
    Settings::load(&path)
}

/// What is wrong, as `line key: message`.
fn wrong(text: &str) -> Vec<String> {
    let errors = load(&folder(), text).unwrap_err();
    errors.iter().map(|e| format!("{} {}: {}", e.line, e.key, e.message)).collect()
}

const MINIMAL: &str = r#"server = "DEV/GOV/1234/SS1"
[global_conf]
anchor = "anchor.xml"
"#;

#[test]
fn two_keys_are_enough() {
    let folder = folder();
    let s = load(&folder, MINIMAL).unwrap();
    assert_eq!(s.server.to_short(), "DEV/GOV/1234/SS1");
    assert_eq!(s.data_dir, folder.path().join("data"));
    assert_eq!(s.listen.client_http, Some("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(s.listen.peers, Some("0.0.0.0:5500".parse().unwrap()));
    assert_eq!(s.peers.connect_timeout, Duration::from_secs(30));
    assert_eq!(s.global_conf.allowed_federations, AllowedFederations::None);
    assert_eq!(s.token.dir, folder.path().join("data/token"));
    assert!(matches!(s.token.pin, PinSource::Prompt(_)));
    assert_eq!(s.timestamping.acceptable_failure, Duration::from_secs(14_400));
    assert_eq!(s.log.max_loggable_body, 10 << 20);
    assert_eq!(s.body_limit(), 10 << 20);
    assert_eq!(s.tls.internal_key, folder.path().join("data/tls/internal.key"));
    assert!(s.monitoring.enabled && !s.monitoring.limit_remote_metrics);
    assert_eq!(s.monitoring.dir, folder.path().join("data/monitoring"));
    assert_eq!(s.monitoring.keep, Duration::from_secs(7 * 86_400));
    assert!(s.clients.is_empty());
    assert!(s.needs_restart(&s.clone()).is_empty());
}

#[test]
fn the_example_loads() {
    let text = std::fs::read_to_string(format!("{DOCS}/examples/security-server.toml")).unwrap();
    let s = load(&folder(), &text).unwrap();
    assert_eq!(s.clients.len(), 2);
    assert!(s.global_conf.allowed_federations.allows("test"));
    assert!(!s.global_conf.allowed_federations.allows("EE"));
    assert_eq!(s.body_limit(), 2 << 30);
    assert_eq!(s.monitoring.max_disk, 20 << 30);
    let register = s.clients.get(&ClientId::parse("DEV/GOV/1234/Register").unwrap()).unwrap();
    assert_eq!(register.connection, ConnectionType::Https);
    assert_eq!(register.local_groups["hospitals"].len(), 2);
    let population = register.service("population", None).unwrap();
    assert_eq!(population.url, "http://10.0.0.5:8000/api/v1");
    assert_eq!(population.timeout, Duration::from_secs(30));
    assert_eq!(population.rights.len(), 4);
    assert!(population.rights[0].is_whole_service());
    assert_eq!(population.rights[2].method.as_deref(), Some("GET"));
    assert!(population.rights[2].path.matches("/people/1"));
    assert!(register.service("personRequest", Some("v1")).is_some());
    assert!(register.service("personRequest", None).is_none());
    assert!(register.service("statistics", None).unwrap().disabled.is_some());
}

#[test]
fn the_reference_and_its_example_are_right() {
    let reference =
        std::fs::read_to_string(format!("{DOCS}/security-server-configuration.md")).unwrap();
    let example = reference.split("```").nth(1).unwrap().strip_prefix("toml").unwrap();
    load(&folder(), example).unwrap();
    // A made-up key in each section makes the reader tell which keys there are.
    let known = wrong(
        r#"zzzzzzzz = 1
server = "DEV/GOV/1234/SS1"
listen.zzzzzzzz = 1
peers.zzzzzzzz = 1
global_conf = { anchor = "anchor.xml", zzzzzzzz = 1 }
token = { zzzzzzzz = 1, modules = [{ name = "a", library = "anchor.xml", label = "a", zzzzzzzz = 1 }] }
timestamping.zzzzzzzz = 1
ocsp.zzzzzzzz = 1
log.zzzzzzzz = 1
monitoring.zzzzzzzz = 1
limits.zzzzzzzz = 1
tls.zzzzzzzz = 1
logging.zzzzzzzz = 1
[[clients]]
id = "DEV/GOV/1"
zzzzzzzz = 1
[[clients.services]]
code = "a"
url = "http://a"
zzzzzzzz = 1
allow = [{ subject = "DEV/GOV/2", zzzzzzzz = 1 }]
[[clients.descriptions]]
type = "wsdl"
location = "a.wsdl"
zzzzzzzz = 1
services = [{ code = "a", zzzzzzzz = 1 }]
"#,
    );
    let known: BTreeSet<String> = known
        .iter()
        .flat_map(|error| error.split_once("there are: ").expect(error).1.split(", "))
        .map(str::to_owned)
        .collect();
    let keys = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let sections = reference.lines().filter_map(|line| line.strip_prefix("## `[")?.split_once(']'));
    let documented: BTreeSet<String> = keys
        .chain(sections)
        .map(|(key, _)| key.trim_start_matches('[').replace("clients.", "").replace("token.", ""))
        .filter(|key| !key.contains(['/', ':']))
        .collect();
    assert_eq!(documented, known);
}

#[test]
fn every_error_at_once_with_its_line() {
    let found = wrong(
        r#"server = "DEV/GOV/1234"
datadir = "x"
shutdown_grace = 30

[peers]
conect_timeout = "10s"
connect_timeout = "10"
port = 70000
idle_timeout = true
min_supported_version = "7"

[listen]
client_http = "8080"
client_https = "localhost:8443"
peers = "0.0.0.0:5577"

[global_conf]
anchor = "none.xml"
refresh = "10ms"

[log]
max_loggable_body = "10"
over_limit = "drop"
segment_size = "1 KiB"
[token]
pin = "1234"
"#,
    );
    let expected = [
        "1 server: 'DEV/GOV/1234' has 3 parts where 4 are needed; write INSTANCE/MEMBERCLASS/MEMBERCODE/SERVERCODE",
        "2 datadir: is not a key; did you mean 'data_dir'?",
        "3 shutdown_grace: 30 has no unit; write for example \"30s\"",
        "6 peers.conect_timeout: is not a key; did you mean 'connect_timeout'?",
        "7 peers.connect_timeout: '10' has no unit; write for example \"10s\"",
        "8 peers.port: '70000' is not between 1 and 65535",
        "9 peers.idle_timeout: is true or false where a duration such as \"30s\" is needed",
        "10 peers.min_supported_version: '7' is not a version; write three numbers such as \"7.4.0\"",
        "12 listen: ocsp and peers both listen on 0.0.0.0:5577; change one of them",
        "13 listen.client_http: '8080' has no address; write for example \"0.0.0.0:8080\"",
        "14 listen.client_https: 'localhost:8443' is not an IP address with a port; write such as \"0.0.0.0:8443\", \"[::]:8443\" or \"off\"",
        "18 global_conf.anchor: ",
        "19 global_conf.refresh: '10ms' is too short; the shortest is 1s",
        "22 log.max_loggable_body: '10' has no unit; write for example \"10 MiB\"",
        "23 log.over_limit: 'drop' is not one of \"refuse\", \"omit\"",
        "24 log.segment_size: '1 KiB' is not between 1 MiB and 4 GiB",
        "26 token.pin: says not where the PIN comes from; write \"prompt\", \"file:PATH\" or \"env:NAME\"",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn what_must_be_there() {
    assert_eq!(
        wrong(""),
        [
            "1 server: is missing; write who this server is, such as \"DEV/GOV/1234/SS1\"",
            "1 global_conf.anchor: is missing; name the file of the configuration anchor that the registry gave you",
        ]
    );
}

#[test]
fn syntax_errors_have_lines() {
    let found = wrong("server = \"DEV/GOV/1234/SS1\"\nlisten = [\n[peers\nport = 1\n");
    assert!(found.iter().any(|e| e.contains("this is not TOML")), "{found:#?}");
    let found = wrong("server = \"a\"\nserver = \"b\"\n");
    assert!(found[0].starts_with("2 : this is not TOML: duplicate key"), "{found:#?}");
    let folder = folder();
    let path = folder.path().join("x.toml");
    std::fs::write(&path, b"a = \"\xff\"").unwrap();
    assert!(Settings::load(&path).unwrap_err().to_string().ends_with("is not UTF-8 text"));
    let none = Settings::load(&folder.path().join("none.toml")).unwrap_err().to_string();
    assert!(none.contains("none.toml: cannot be read"), "{none}");
}

#[test]
fn deep_nesting_is_refused() {
    for open in ["[", "{a="] {
        assert!(!wrong(&format!("x = {}", open.repeat(100_000))).is_empty());
    }
    assert!(!wrong(&format!("[{}a]", "a.".repeat(100_000))).is_empty());
}

#[test]
fn what_is_wrong_with_clients() {
    let found = wrong(&format!(
        "{MINIMAL}{}",
        r#"
[[clients]]
id = "TEST/GOV/1/A"
connection = "tls"
[[clients]]
id = "DEV/GOV/1:2/A"
[[clients]]
id = "DEV/GOV/3/A"
certificates = ["is.pem", "gone.pem", "anchor.xml"]
[clients.local_groups]
friends = ["DEV/COM/1/A", "DEV/COM/1/A", "DEV/COM"]
[[clients.services]]
code = "listMethods"
url = "ftp://a"
[[clients.services]]
code = "pets"
version = "v1"
url = "http://user:x@a/"
[[clients.services]]
code = "cats"
url = "http://a/?x=1"
timeout = "0s"
allow = ["friends", "LOCALGROUP:fiends", "DEV/owners", "GLOBALGRUOP:DEV/owners", "GLOBALGROUP:owners", "MEMBER:DEV/COM/1/A", 5]
[[clients.services]]
code = "cats"
url = "not a url"
allow = [
  { subject = "DEV/COM/1", endpoints = ["GET", "GTE /a", "GET a", "GET /*.json"] },
  { subjects = "DEV/COM/1" },
  { subject = "DEV/COM/1", endpoints = [] },
]
[[clients.services]]
kind = "soap"
url = "https://a/"
code = "dogs"
allow = [{ subject = "DEV/COM/1", endpoints = ["GET /a"] }]
[[clients]]
id = "DEV/GOV/3/A"
"#
    ));
    let expected = [
        "6 clients[0].id: is of instance 'TEST', but this server is in 'DEV' and serves no other",
        "7 clients[0].connection: 'tls' is not one of \"https-with-certificate\", \"https\", \"http\"",
        "9 clients[1].id: '1:2' has a character that identifiers must not have",
        "12 clients[2].certificates[1]: ",
        "12 clients[2].certificates[2]: ",
        "14 clients[2].local_groups.friends[1]: is there twice in this group",
        "14 clients[2].local_groups.friends[2]: 'DEV/COM' has 2 parts where 3 or 4 are needed",
        "16 clients[2].services[0].code: 'listMethods' is the name of a built-in service",
        "17 clients[2].services[0].url: 'ftp://a' is neither http nor https",
        "20 clients[2].services[1].version: only SOAP services have a version",
        "21 clients[2].services[1].url: 'http://user:x@a/' has a user name or password",
        "24 clients[2].services[2].url: 'http://a/?x=1' has a query",
        "25 clients[2].services[2].timeout: '0s' is too short",
        "26 clients[2].services[2].allow[0]: 'friends' is a local group; write \"LOCALGROUP:friends\"",
        "26 clients[2].services[2].allow[1]: the client has no local group 'fiends'; did you mean 'friends'?",
        "26 clients[2].services[2].allow[2]: 'DEV/owners' is no member or subsystem; for a global group write \"GLOBALGROUP:DEV/owners\"",
        "26 clients[2].services[2].allow[3]: 'GLOBALGRUOP' is no kind of subject; did you mean 'GLOBALGROUP'?",
        "26 clients[2].services[2].allow[4]: 'GLOBALGROUP:owners' lacks an instance",
        "26 clients[2].services[2].allow[5]: 'MEMBER:DEV/COM/1/A' has the form of SUBSYSTEM:DEV/COM/1/A",
        "26 clients[2].services[2].allow[6]: is a whole number where a string is needed",
        "29 clients[2].services[3].url: 'not a url' is not a URL",
        "31 clients[2].services[3].allow[0].endpoints[0]: 'GET' is not an endpoint",
        "31 clients[2].services[3].allow[0].endpoints[1]: 'GTE' is not an HTTP method: did you mean GET?",
        "31 clients[2].services[3].allow[0].endpoints[2]: 'a' does not begin with '/'",
        "31 clients[2].services[3].allow[0].endpoints[3]: '/*.json' can never match",
        "32 clients[2].services[3].allow[1].subject: is missing",
        "32 clients[2].services[3].allow[1].subjects: is not a key; did you mean 'subject'?",
        "33 clients[2].services[3].allow[2].endpoints: is empty",
        "39 clients[2].services[4].allow[0].endpoints: a SOAP service is allowed as a whole",
        "41 clients[3].id: SUBSYSTEM:DEV/GOV/3/A is there twice; the first is at ",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn services_that_are_there_twice_or_cannot_be_verified() {
    let found = wrong(&format!(
        "{MINIMAL}{}",
        r#"
[[clients]]
id = "DEV/GOV/3/A"
services = [
  { code = "a", url = "http://a" },
  { code = "a", url = "http://b" },
  { code = "a", url = "http://b", kind = "soap", version = "v1" },
  { code = "b", url = "https://b" },
]
"#
    ));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("5 clients[0]: service 'b' verifies its TLS certificate"),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("9 clients[0].services[1].code: SERVICE:DEV/GOV/3/A/a is there twice")
    );
}

const WSDL: &str = r#"<d:definitions xmlns:d="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:v="u">
<d:binding name="B" type="T"><s:binding transport="http://schemas.xmlsoap.org/soap/http"/>
<d:operation name="hello"><v:version>v1</v:version></d:operation><d:operation name="bye"/></d:binding>
<d:service name="S"><d:port binding="B"><s:address location="http://10.0.0.7/soap"/></d:port></d:service></d:definitions>"#;

const OPENAPI: &str = "openapi: 3.0.3
info: {title: Pets, version: '1'}
servers: [{url: http://10.0.0.5:8000/v1}]
paths: {'/pets/{id}': {get: {}}, /pets: {post: {}}}
";

/// Takes over what the configuration's descriptions are now.
fn take_over(folder: &TempDir) -> Result<(), String> {
    let config = folder.path().join("security-server.toml");
    let settings = Settings::load(&config).map_err(|e| e.to_string())?;
    let caller = crate::service_call::ServiceCaller::new(None);
    let compared = crate::descriptions::compare(&settings, &caller, |_, _| true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let compared = runtime.block_on(compared);
    for one in &compared {
        one.now.as_ref().map_err(Clone::clone)?;
    }
    crate::descriptions::judge(&config, &compared).map_err(|e| e.to_string())?;
    let now = time::macros::datetime!(2026-01-02 03:04:05 UTC);
    crate::descriptions::take_over(&settings, &compared, now).map_err(|e| e.to_string())?;
    Ok(())
}

#[test]
fn services_come_from_descriptions_once_they_are_taken_over() {
    let folder = folder();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("pets.yaml", OPENAPI);
    write("hello.wsdl", WSDL);
    let text = format!(
        "{MINIMAL}{}",
        r#"
[[clients]]
id = "DEV/GOV/3/A"
certificates = ["is.pem"]
[[clients.services]]
code = "plain"
url = "http://a"
endpoints = ["GET /told", "* /any"]
allow = [{ subject = "DEV/COM/1", endpoints = ["GET /told", "PUT /named"] }]
[[clients.descriptions]]
type = "openapi3"
location = "pets.yaml"
code = "pets"
allow = [{ subject = "DEV/COM/1", endpoints = ["GET /pets/*"] }]
[[clients.descriptions]]
type = "wsdl"
location = "hello.wsdl"
timeout = "5s"
verify_tls = false
allow = ["DEV/COM/1"]
[[clients.descriptions.services]]
code = "bye"
url = "https://10.0.0.8/other"
disabled = "Gone fishing"
allow = []
"#
    );
    let before = load(&folder, &text).unwrap();
    let id = ClientId::parse("DEV/GOV/3/A").unwrap();
    let client = before.clients.get(&id).unwrap();
    assert_eq!((client.services.len(), client.descriptions.len()), (1, 2));
    let endpoints = |service: &Service| -> Vec<String> {
        service.listed_endpoints().iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        endpoints(client.service("plain", None).unwrap()),
        ["GET /told", "* /any", "PUT /named"]
    );

    take_over(&folder).unwrap();
    // From here on the files need not be there.
    std::fs::remove_file(folder.path().join("hello.wsdl")).unwrap();
    let after = load(&folder, &text).unwrap();
    assert!(before.needs_restart(&after).is_empty());
    let client = after.clients.get(&id).unwrap();
    let pets = client.service("pets", None).unwrap();
    assert_eq!(pets.url, "http://10.0.0.5:8000/v1");
    assert_eq!(pets.kind, ServiceKind::OpenApi);
    assert_eq!(endpoints(pets), ["GET /pets/*", "POST /pets"]);
    assert_eq!(
        pets.description.as_ref().unwrap().hidden,
        OPENAPI.replace("http://10.0.0.5:8000/v1", "\"/v1\"")
    );
    let hello = client.service("hello", Some("v1")).unwrap();
    assert_eq!((hello.kind, hello.url.as_str()), (ServiceKind::Soap, "http://10.0.0.7/soap"));
    assert_eq!((hello.timeout.as_secs(), hello.rights.len(), hello.verify_tls), (5, 1, false));
    let bye = client.service("bye", None).unwrap();
    assert_eq!((bye.url.as_str(), bye.rights.len()), ("https://10.0.0.8/other", 0));
    assert_eq!(bye.disabled.as_deref(), Some("Gone fishing"));
    assert_eq!(bye.timeout.as_secs(), 5);

    // What would make the configuration wrong is not taken over.
    write("hello.wsdl", &WSDL.replace("\"bye\"", "\"ciao\""));
    let refused = take_over(&folder).unwrap_err();
    assert!(refused.contains("clients[0].descriptions[1].services[0].code: the description that was taken over has no service 'bye'"), "{refused}");
    assert_eq!(load(&folder, &text).unwrap().clients.get(&id).unwrap().services.len(), 4);
    write("hello.wsdl", "no WSDL");
    assert!(take_over(&folder).unwrap_err().contains("cannot be read"));

    // A damaged copy is told, with the way out.
    for copy in std::fs::read_dir(folder.path().join("data/descriptions")).unwrap() {
        std::fs::write(copy.unwrap().path(), "{}").unwrap();
    }
    let errors = load(&folder, &text).unwrap_err();
    assert_eq!(errors.count(), 2);
    assert!(errors.to_string().contains("take the description over again"), "{errors}");
}

#[test]
fn what_is_wrong_with_descriptions() {
    let found = wrong(&format!(
        "{MINIMAL}{}",
        r#"
[[clients]]
id = "DEV/GOV/3/A"
[[clients.descriptions]]
type = "rest"
location = "ftp://a/b"
[[clients.descriptions]]
type = "openapi3"
location = "http://a/b?doc=1"
url = "http://a/?x=1"
services = [{ code = "a" }]
[[clients.descriptions]]
type = "wsdl"
code = "x"
location = "a.wsdl"
allow = [{ subject = "DEV/COM/1", endpoints = ["GET /a"] }]
services = [{ version = "v1" }, { code = "getWsdl" }]
[[clients.descriptions]]
location = "./a.wsdl"
type = "wsdl"
[[clients.descriptions]]
location = "a.yaml"
type = "openapi3"
code = "listMethods"
"#
    ));
    let expected = [
        "8 clients[0].descriptions[0].type: a REST service without a description is a table [[clients.services]]",
        "9 clients[0].descriptions[0].location: 'ftp://a/b' is neither http nor https",
        "10 clients[0].descriptions[1]: has no code",
        "13 clients[0].descriptions[1].url: 'http://a/?x=1' has a query",
        "14 clients[0].descriptions[1].services[0].code: an OpenAPI description is one service",
        "17 clients[0].descriptions[2].code: a WSDL names its services itself",
        "19 clients[0].descriptions[2].allow[0].endpoints: a SOAP service is allowed as a whole",
        "20 clients[0].descriptions[2].services[0].code: is missing",
        "20 clients[0].descriptions[2].services[1].code: 'getWsdl' is the name of a built-in service",
        "22 clients[0].descriptions[3].location: is there twice for this client; remove one",
        "27 clients[0].descriptions[4].code: 'listMethods' is the name of a built-in service",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn clients_in_files_of_a_folder() {
    let folder = folder();
    let clients = folder.path().join("clients.d");
    std::fs::create_dir(&clients).unwrap();
    let text = format!("clients_dir = \"clients.d\"\n{MINIMAL}[[clients]]\nid = \"DEV/GOV/1\"\n");
    std::fs::write(
        clients.join("one.toml"),
        "[[clients]]\nid = \"DEV/GOV/1/A\"\ncertificates = [\"../is.pem\"]\n",
    )
    .unwrap();
    std::fs::write(clients.join("two.toml"), "\n[[clients]]\nid = \"DEV/GOV/1/B\"\n").unwrap();
    std::fs::write(clients.join(".two.toml"), "left by an editor").unwrap();
    std::fs::write(clients.join("README"), "not a client").unwrap();
    let first = load(&folder, &text).unwrap();
    assert_eq!(first.clients.len(), 3);

    std::fs::write(clients.join("three.toml"), "[[clients]]\nid = \"DEV/GOV/1/C\"\n").unwrap();
    let second = load(&folder, &text).unwrap();
    assert_eq!(second.clients.len(), 4);
    assert!(first.needs_restart(&second).is_empty());
    let other = load(&folder, &text.replace("SS1", "SS2")).unwrap();
    assert_eq!(first.needs_restart(&other), ["server"]);

    std::fs::write(clients.join("four.toml"), "x = 1\n[[clients]]\nid = \"DEV/GOV/1/B\"\n")
        .unwrap();
    std::fs::write(clients.join("five.toml"), "[[clients]\n").unwrap();
    let errors: Vec<SettingsError> = load(&folder, &text).unwrap_err().iter().cloned().collect();
    let files: Vec<_> =
        errors.iter().map(|e| e.file.file_name().unwrap().to_str().unwrap()).collect();
    assert!(files.contains(&"five.toml") && files.contains(&"four.toml"), "{errors:#?}");
    let twice = errors.iter().find(|e| e.message.contains("there twice")).unwrap();
    assert!(twice.file.ends_with("two.toml"), "{errors:#?}");
    assert!(twice.message.contains("four.toml:3"), "{errors:#?}");

    let gone = load(&folder, &text.replace("clients.d", "gone.d")).unwrap_err();
    assert_eq!(gone.count(), 1);
    assert!(gone.to_string().contains(":1: clients_dir: the folder"), "{gone}");
}

#[test]
fn an_anchor_of_another_instance_is_refused() {
    let found = wrong(&MINIMAL.replace("DEV/", "TEST/"));
    assert_eq!(
        found,
        ["3 global_conf.anchor: is the anchor of instance 'DEV', but this server is in 'TEST'"]
    );
}

#[test]
fn where_pins_come_from() {
    let folder = folder();
    let with = |pin: &str| load(&folder, &format!("{MINIMAL}[token]\npin = \"{pin}\"\n"));
    assert_eq!(with("file:pin").unwrap().token.pin, PinSource::File(folder.path().join("pin")));
    assert_eq!(with("env:X").unwrap().token.pin, PinSource::Environment("X".to_owned()));
    assert!(with("file:gone").unwrap_err().to_string().contains("is not a file"));
    assert!(!with("Secret1234").unwrap_err().to_string().contains("Secret1234"));
}

#[test]
fn what_the_registry_does_not_know() {
    let folder = folder();
    let text = format!(
        "{MINIMAL}{}",
        r#"
[timestamping]
services = ["Time One"]
[[clients]]
id = "DEV/GOV/1234/A"
local_groups = { friends = ["DEV/COM/1/X"] }
[[clients.services]]
code = "a"
url = "http://a"
allow = ["DEV/GOV/1234", "DEV/COM/2/X", "GLOBALGROUP:DEV/g", "GLOBALGROUP:DEV/h", "LOCALGROUP:friends"]
"#
    );
    let settings = load(&folder, &text).unwrap();
    let member = causeway_identifiers::MemberId::parse("DEV/GOV/1234").unwrap();
    let shared = SharedParameters {
        instance: "DEV".to_owned(),
        sources: Vec::new(),
        approved_cas: Vec::new(),
        approved_tsas: Vec::new(),
        members: vec![Member {
            id: member.clone(),
            class_description: String::new(),
            name: "Ministry".to_owned(),
            subsystems: Vec::new(),
        }],
        security_servers: vec![SecurityServer {
            id: settings.server.clone(),
            address: None,
            auth_cert_hashes: Vec::new(),
            clients: Vec::new(),
            maintenance: None,
        }],
        global_groups: vec![GlobalGroup {
            code: "g".to_owned(),
            description: String::new(),
            members: Vec::new(),
        }],
        settings: GlobalSettings { member_classes: Vec::new(), ocsp_freshness_seconds: 3600 },
    };
    let own = InstanceConfiguration::new(shared, Version::V5, None);
    let conf = GlobalConf::new("DEV", vec![own]).unwrap();
    assert_eq!(
        settings.doubts(&conf),
        [
            "'Time One' is no approved timestamping service; there are: ",
            "GLOBALGROUP:DEV/h, allowed the service 'a' of SUBSYSTEM:DEV/GOV/1234/A, is not in the registry",
            "SUBSYSTEM:DEV/COM/1/X, in the group 'friends' of SUBSYSTEM:DEV/GOV/1234/A, is not in the registry",
            "SUBSYSTEM:DEV/COM/2/X, allowed the service 'a' of SUBSYSTEM:DEV/GOV/1234/A, is not in the registry",
            "SUBSYSTEM:DEV/GOV/1234/A is not registered on SERVER:DEV/GOV/1234/SS1; register it, or write registered = false",
        ]
    );
}

#[test]
fn listeners_can_be_switched_off() {
    let text = format!(
        "{MINIMAL}[listen]\nclient_http = \"off\"\npeers = \"127.0.0.1:0\"\nocsp = \"127.0.0.1:0\"\n"
    );
    let s = load(&folder(), &text).unwrap();
    assert_eq!(s.listen.client_http, None);
    assert_eq!(s.listen.peers.unwrap().port(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn damaged_files_are_refused_without_a_panic(
        cut in any::<prop::sample::Index>(),
        length in 0..40_usize,
        inserted in "[\\[\\]{}=\"\\.,#a-z0-9 \n]{0,6}",
    ) {
        let text = std::fs::read_to_string(format!("{DOCS}/examples/security-server.toml")).unwrap();
        let mut chars: Vec<char> = text.chars().collect();
        let at = cut.index(chars.len());
        let end = (at + length).min(chars.len());
        chars.splice(at..end, inserted.chars());
        let folder = folder();
        if let Err(errors) = load(&folder, &chars.into_iter().collect::<String>()) {
            prop_assert!(errors.iter().all(|e| !e.message.is_empty()));
        }
    }
}
