//! OpenAPI descriptions.

use causeway_metadata::openapi::{Format, OpenApi, hide_servers};
use causeway_metadata::{Description, DescriptionError, DescriptionType, Difference};
use proptest::prelude::*;

use super::vector;

fn endpoints(openapi: &OpenApi) -> Vec<String> {
    openapi.endpoints.iter().map(ToString::to_string).collect()
}

fn read(text: &str) -> OpenApi {
    OpenApi::read(text.as_bytes()).unwrap()
}

fn hidden(text: &str) -> String {
    String::from_utf8(hide_servers(text.as_bytes()).unwrap()).unwrap()
}

#[test]
fn xroads_own_files() {
    let Some(yaml) = vector("petstore.yaml") else { return };
    let read = OpenApi::read(&yaml).unwrap();
    assert_eq!((read.version.as_str(), read.format), ("3.0.0", Format::Yaml));
    assert_eq!(read.title.as_deref(), Some("Swagger Petstore"));
    assert_eq!(read.base(), Some("http://petstore.swagger.io/v1/cats"));
    assert_eq!(endpoints(&read), ["GET /pets", "POST /pets", "GET /pets/*"]);
    assert!(read.warnings.is_empty(), "{:?}", read.warnings);

    let json = OpenApi::read(&vector("petstore.json").unwrap()).unwrap();
    assert_eq!(json.format, Format::Json);
    assert_eq!(json.base(), Some("https://petstore.swagger.io/v2"));
    assert_eq!(json.endpoints.len(), 20);
    assert!(endpoints(&json).contains(&"POST /pet/*/uploadImage".to_owned()));

    let refused = vector("openapi_incompatible_version.yaml").unwrap();
    assert_eq!(OpenApi::read(&refused).unwrap_err(), DescriptionError::Version("2.5.0".into()));
    assert_eq!(hide_servers(&refused).unwrap_err(), DescriptionError::Version("2.5.0".into()));
}

/// As X-Road's own test has it, and all other bytes stay.
#[test]
fn servers_are_hidden_as_xroad_does() {
    let Some(yaml) = vector("petstore.yaml") else { return };
    let yaml = String::from_utf8(yaml).unwrap();
    let expected = yaml.replace("http://petstore.swagger.io/v1/cats", "\"/v1/cats\"");
    assert_eq!(hidden(&yaml), expected);
    let json = String::from_utf8(vector("petstore.json").unwrap()).unwrap();
    let expected = json.replace("\"https://petstore.swagger.io/v2\"", "\"/v2\"");
    assert_eq!(hidden(&json), expected);
    assert!(expected.contains("https://{username}.petstore.swagger.io:{port}/{basePath}"));
}

#[test]
fn both_generations_in_both_forms() {
    let yaml = "\u{feff}---\r\nopenapi: 3.1.0\r\ninfo: {title: Tëst, version: \"1.0\"}\r\nservers:\r\n  - description: ä\r\n    url: https://example.org/api # c\r\npaths:\r\n  /test:\r\n    get: {}\r\n    parameters: []\r\n    x-y: 1\r\n  /file/{id}.{ext}:\r\n    summary: s\r\n    post: {responses: {200: {description: OK}}}\r\n";
    let read_yaml = read(yaml);
    assert_eq!(endpoints(&read_yaml), ["GET /test", "POST /file/*"]);
    assert_eq!(read_yaml.api_version.as_deref(), Some("1.0"));
    assert_eq!(hidden(yaml), yaml.replace("https://example.org/api", "\"/api\""));
    let json = r#"{"openapi":"3.1.1","info":{"title":"\ud83d\ude00","version":"1"},
	"servers":[{"url":"https:\/\/example.org\/api"}],"paths":{"\/test":{"get":{},"TRACE":{}}},"n":[1e400,-0.5,null,true]}"#;
    let read_json = read(json);
    assert_eq!(endpoints(&read_json), ["GET /test"]);
    assert_eq!(read_json.title.as_deref(), Some("😀"));
    assert_eq!(hidden(json), json.replace("\"https:\\/\\/example.org\\/api\"", "\"/api\""));
    // YAML that begins like JSON.
    let flow = "{openapi: 3.0, info: {title: a, version: 1}, servers: [{url: 'http://h/x'}], paths: {/a: {get: {}}}}";
    assert_eq!(endpoints(&read(flow)), ["GET /a"]);
    assert_eq!(read(flow).format, Format::Yaml);
    assert_eq!(hidden(flow), flow.replace("'http://h/x'", "\"/x\""));
}

#[test]
fn servers_of_paths_and_operations_are_hidden_too() {
    let text = "openapi: 3.0.0
servers: &all
- url: &main http://10.0.0.5:8000/api/v1
- url: >-
    http://10.0.0.6/folded
  description: two
- {url: *main}
- url: |
    http://10.0.0.7/block
- url: 'http://10.0.0.8/it''s'
- url: http://{host}/var
paths:
  /a:
    servers: [{url: http://10.0.0.9/path}]
    get:
      servers: *all
    post:
      servers:
        - url: \"http://10.0.0.10/\\x6fp\"
        - url: !!str http://10.0.0.11
components:
  examples:
    x: {servers: [{url: http://stays}]}
";
    let out = hidden(text);
    assert!(!out.contains("10.0.0."), "{out}");
    assert!(out.contains("url: &main \"/api/v1\"") && out.contains("http://stays"));
    let again = OpenApi::read(out.as_bytes()).unwrap();
    assert_eq!(
        again.servers,
        ["/api/v1", "/folded", "/api/v1", "/block", "/it's", "http://{host}/var"]
    );
    assert_eq!(hidden(&out), out);
}

#[test]
fn what_is_refused() {
    let refused = |text: &str| OpenApi::read(text.as_bytes()).unwrap_err();
    assert_eq!(refused("swagger: '2.0'\n"), DescriptionError::Version("2.0 (Swagger)".into()));
    for version in ["2.0.0", "3.2.0", "4.0", "'3.10'", "3.00", "v3.0"] {
        assert!(
            matches!(refused(&format!("openapi: {version}\n")), DescriptionError::Version(_)),
            "{version}"
        );
    }
    assert!(matches!(refused(""), DescriptionError::NotOpenApi(_)));
    assert!(matches!(refused("just text"), DescriptionError::NotOpenApi(_)));
    assert!(matches!(refused("title: x"), DescriptionError::NotOpenApi(_)));
    assert!(refused("a: [\nb: }").to_string().contains("line 2"));
    assert!(matches!(
        refused("{\"openapi\": \"3.0.0\",\n \"a\": }}"),
        DescriptionError::Syntax { line: 2, .. }
    ));
    assert!(matches!(refused("a: 1\n---\nb: 2\n"), DescriptionError::Syntax { .. }));
    assert!(matches!(refused("a: *b\n"), DescriptionError::Syntax { .. }));
    assert!(matches!(refused("a: &b [*b]\n"), DescriptionError::Syntax { .. }));
    assert!(matches!(OpenApi::read(b"a: \xff\n"), Err(DescriptionError::Syntax { line: 1, .. })));
    for deep in
        ["[".repeat(100_000), "{\"a\":".repeat(100_000), "- ".repeat(5000), "? ".repeat(5000)]
    {
        assert!(OpenApi::read(deep.as_bytes()).is_err());
    }
    let many: String = (0..10_001).map(|i| format!("  /p{i}: {{get: {{}}}}\n")).collect();
    assert_eq!(
        refused(&format!("openapi: 3.0.0\npaths:\n{many}")),
        DescriptionError::TooMuch("endpoints", 10_000)
    );
    let items = "- 1\n".repeat(500_001);
    assert_eq!(refused(&items), DescriptionError::TooMuch("nodes", 500_000));
    assert_eq!(
        hide_servers(b"servers: [{url: 'http://a b'}]"),
        Err(DescriptionError::CannotHide("'http://a b' is no URL".into()))
    );
}

#[test]
fn aliases_do_not_multiply() {
    let mut bomb = String::from("openapi: 3.0.0\nx0: &x0 [1,2]\n");
    for i in 1..60 {
        bomb.push_str(&format!("x{i}: &x{i} [*x{0},*x{0},*x{0},*x{0},*x{0}]\n", i - 1));
    }
    bomb.push_str("paths: *x59\n");
    assert!(read(&bomb).endpoints.is_empty());
    hide_servers(bomb.as_bytes()).unwrap();
    let shared = "openapi: 3.0.0\nx: &item {get: {}}\npaths: {/a: *item, /b: *item}\n";
    assert_eq!(endpoints(&read(shared)), ["GET /a", "GET /b"]);
}

#[test]
fn what_is_doubtful_is_told() {
    let text = "openapi: 3.0.0
paths:
  /a/{x}: {get: {}}
  /a/{y}: {get: {}, put: null}
  b: {get: {}}
  x-note: {get: {}}
  /c: {$ref: other.yaml}
  /a/{x}: {get: {}}
";
    let read = read(text);
    assert_eq!(endpoints(&read), ["GET /a/*"]);
    assert_eq!(
        read.warnings,
        [
            "info.title is missing",
            "info.version is missing",
            "GET /a/* is there more than once",
            "put of '/a/*' describes nothing and is left out",
            "the path 'b' does not begin with '/' and is left out",
            "the path '/c' refers to another place, which is not read; add its endpoints by hand",
            "GET /a/* is there more than once",
        ]
    );
}

#[test]
fn what_a_newer_description_changes() {
    let description = |server: &str, path: &str| {
        let text = format!(
            "openapi: 3.0.0\nservers: [{{url: {server}}}]\npaths: {{/a: {{get: {{}}}}, \"{path}\": {{post: {{}}}}}}"
        );
        Description::read(DescriptionType::OpenApi3, text.as_bytes()).unwrap()
    };
    let (old, new) = (description("/x", "/b/{c}"), description("/y", "/d"));
    let difference = Difference::between(Some(&old), &new);
    assert_eq!(difference.added, ["POST /d"]);
    assert_eq!(difference.removed, ["POST /b/*"]);
    assert_eq!(difference.changed, ["the service moves from /x to /y"]);
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("openapi: 3.0.0\n".to_owned()),
        Just("servers:\n".to_owned()),
        Just("- url: http://10.0.0.5/api\n".to_owned()),
        Just("  - url: &a 'http://10.0.0.5/api' # c\n".to_owned()),
        Just("- url: >\n    http://10.0.0.5/x\n\n".to_owned()),
        Just("paths:\n  /ä/{b}:\n    get: {servers: [{url: http://10.0.0.5}]}\n".to_owned()),
        "[a-zä{}\\[\\],:&*!'\"|>#%@ \n\r\t-]{0,12}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn nothing_panics_and_nothing_is_told(text in text()) {
        let _ = OpenApi::read(text.as_bytes());
        if let Ok(hidden) = hide_servers(text.as_bytes())
            && let Ok(read) = OpenApi::read(&hidden)
        {
            prop_assert!(read.servers.iter().all(|s| !s.contains("10.0.0.5") || s.contains('{')), "{:?}", read.servers);
            let before = OpenApi::read(text.as_bytes()).unwrap();
            prop_assert_eq!(before.endpoints, read.endpoints);
        }
    }

    #[test]
    fn json_is_read_as_serde_reads_it(value in "[\\[\\]{}\",:0-9a-e\\\\ .+-]{0,40}") {
        let text = format!("{{\"openapi\":\"3.0.0\",\"x\":[{value}]}}");
        let valid = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        let read = OpenApi::read(text.as_bytes());
        if valid {
            prop_assert_eq!(read.unwrap().format, Format::Json);
        } else if let Ok(read) = read {
            prop_assert_eq!(read.format, Format::Yaml);
        }
    }
}
