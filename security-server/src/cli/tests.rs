#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use causeway_globalconf::{Anchor, AnchorSource, EncodedCertificate};
use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::issue::{CertificateRequest, CertificateTemplate};
use causeway_pki::{Certificate, KeyUsage, SigningKey as _, name};
use serde_json::Value;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use super::execute;

struct Place {
    folder: TempDir,
    authority: KeyPair,
    authority_certificate: Certificate,
}

/// What a command did: exit code, standard output, standard error.
type Outcome = (u8, String, String);

fn command(arguments: &[&str]) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = std::iter::once("security-server").chain(arguments.iter().copied());
    let code = execute(all, &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

impl Place {
    /// A folder with a configuration, its anchor, a PIN, and an authority that issues certificates.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = KeyPair::generate(KeyKind::EcP256).unwrap();
        let now = OffsetDateTime::now_utc();
        let authority_certificate = CertificateTemplate::new(
            name::encode(&[("CN", "Test authority")]).unwrap(),
            authority.certificate_public_key(),
            &[1],
            now - Duration::DAY,
            now + Duration::DAY,
        )
        .self_sign(&authority)
        .unwrap();
        let anchor = Anchor {
            generated_at: Some(now),
            instance: "DEV".to_owned(),
            sources: vec![AnchorSource {
                url: "http://registry.example/internalconf".to_owned(),
                certificates: vec![EncodedCertificate::from(&authority_certificate)],
            }],
        };
        let write =
            |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
        write("anchor.xml", &anchor.to_xml().unwrap());
        write("pin", b"Secret1234\n");
        write("new-pin", b"Other-Secret-1\n");
        write("weak-pin", b"1234\n");
        write(
            "server.toml",
            b"server = \"DEV/GOV/1234/SS1\"\nglobal_conf.anchor = \"anchor.xml\"\ntoken.pin = \"file:pin\"\n\
              [[clients]]\nid = \"DEV/GOV/1234/Register\"\n",
        );
        Self { folder, authority, authority_certificate }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Runs `keys …` with the configuration.
    fn keys(&self, arguments: &[&str]) -> Outcome {
        let config = self.text("server.toml");
        command(&[&["keys"], arguments, &["--config", &config]].concat())
    }

    /// As [`Self::keys`], which must succeed, with its JSON.
    fn keys_json(&self, arguments: &[&str]) -> Value {
        let (code, out, err) = self.keys(&[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Issues what a request asks for.
    fn issue(&self, request: &Path, usage: KeyUsage, file: &str) {
        let request = CertificateRequest::parse(&std::fs::read(request).unwrap()).unwrap();
        let now = OffsetDateTime::now_utc();
        let mut template = CertificateTemplate::new(
            request.subject_der().to_vec(),
            request.public_key().spki(),
            &[2],
            now - Duration::HOUR,
            now + Duration::HOUR,
        );
        template.key_usage = Some(usage);
        let issued = template.issue(&self.authority, &self.authority_certificate).unwrap();
        std::fs::write(self.path(file), issued.to_pem()).unwrap();
    }
}

#[test]
fn from_an_empty_token_to_certificates_in_use() {
    let place = Place::new();
    let (code, _, err) = place.keys(&["list"]);
    assert_eq!(code, 1);
    assert!(err.contains("security-server keys init --config"), "{err}");

    let (code, out, err) = place.keys(&["init"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("Next: make a signing key"), "{out}");
    assert_eq!(place.keys(&["init"]).0, 1, "not twice");

    let made =
        place.keys_json(&["generate", "--usage", "signing", "--kind", "p256", "--label", "sign"]);
    let signing = made["key"].as_str().unwrap().to_owned();
    assert!(made["next"].as_str().unwrap().contains(&signing));
    let made = place.keys_json(&["generate", "--usage", "authentication", "--kind", "p256"]);
    let authentication = made["key"].as_str().unwrap().to_owned();

    let out = place.text("sign.csr");
    let profile = ["--profile", "ejbca", "--member", "DEV/GOV/1234", "--out", out.as_str()];
    let made = place.keys_json(&[&["csr", "sign"], &profile[..]].concat());
    assert_eq!(made["subject"], "CN=1234,O=GOV,C=DEV");
    assert_eq!(made["member"], "DEV/GOV/1234");
    assert!(std::fs::read_to_string(&out).unwrap().starts_with("-----BEGIN CERTIFICATE REQUEST"));

    let der = place.text("auth.csr");
    let (code, _, err) = place.keys(&[
        "csr",
        &authentication[..8],
        "--subject",
        r"C=EE, O=Ministry\, X, CN=ss1",
        "--dns",
        "ss1.example",
        "--format",
        "der",
        "--out",
        &der,
    ]);
    assert_eq!(code, 0, "{err}");

    let signs = KeyUsage::NON_REPUDIATION;
    place.issue(Path::new(&out), signs, "sign.pem");
    let authenticates = KeyUsage::DIGITAL_SIGNATURE;
    place.issue(Path::new(&der), authenticates, "auth.pem");
    let sign = place.keys_json(&["import", &place.text("sign.pem")]);
    assert_eq!((&sign["active"], &sign["member"]), (&Value::Bool(true), &"DEV/GOV/1234".into()));
    let auth = place.keys_json(&["import", &place.text("auth.pem")]);
    assert_eq!(auth["active"], false);
    let auth = auth["certificate"]["sha256"].as_str().unwrap().to_owned();
    assert_eq!(place.keys(&["import", &place.text("auth.pem")]).0, 1, "not twice");

    let config = place.text("server.toml");
    let (code, out, _) = command(&["config", "check", &config]);
    assert_eq!(code, 0);
    assert!(out.contains("no active authentication certificate"), "{out}");
    assert!(!out.contains("no active signing certificate"), "{out}");

    assert_eq!(place.keys(&["activate", &auth[..10]]).0, 0);
    let (_, out, _) = command(&["run", "--check", "--config", &config]);
    assert!(!out.contains("Still missing"), "{out}");
    let list = place.keys_json(&["list"]);
    assert_eq!(list["keys"][0]["id"], signing);
    assert_eq!(list["keys"][1]["certificates"][0]["active"], true);
    let (_, table, _) = place.keys(&["list"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("KEY "), "{table}");
    assert!(table.contains("CN=1234,O=GOV,C=DEV"), "{table}");

    assert_eq!(place.keys(&["deactivate", &auth[..10]]).0, 0);
    assert_eq!(place.keys_json(&["list"])["keys"][1]["certificates"][0]["active"], false);

    let (code, _, err) = place.keys(&["delete", "--key", "sign"]);
    assert_eq!(code, 1);
    assert!(err.contains("--yes"), "{err}");
    assert_eq!(place.keys(&["delete", "--certificate", &auth[..10], "--yes"]).0, 0);
    assert_eq!(place.keys(&["delete", "--key", "sign", "--yes"]).0, 0);
    assert_eq!(place.keys_json(&["list"])["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn pins() {
    let place = Place::new();
    let weak = place.text("weak-pin");
    let (code, _, err) = place.keys(&["init", "--pin-file", &weak]);
    assert_eq!(code, 1);
    assert!(err.contains("--allow-weak-pin"), "{err}");
    assert_eq!(place.keys(&["init", "--pin-file", &weak, "--allow-weak-pin"]).0, 0);
    let generate = ["generate", "--usage", "signing", "--kind", "p256"];
    let (code, _, err) = place.keys(&generate);
    assert_eq!(code, 1);
    assert!(err.contains("the PIN is wrong"), "{err}");
    let new = place.text("new-pin");
    assert_eq!(place.keys(&["change-pin", "--pin-file", &weak, "--new-pin-file", &new]).0, 0);
    assert_eq!(place.keys(&[&generate[..], &["--pin-file", &weak]].concat()).0, 1);
    assert_eq!(place.keys(&[&generate[..], &["--pin-file", &new]].concat()).0, 0);
    // By folder, without a configuration.
    let token = place.text("data/token");
    let (code, out, _) = command(&["keys", "list", "--json", "--token", &token]);
    assert_eq!(code, 0);
    let id =
        serde_json::from_str::<Value>(&out).unwrap()["keys"][0]["id"].as_str().unwrap().to_owned();
    let csr = |more: &[&str]| {
        command(&[&["keys", "csr", &id, "--token", &token, "--pin-file", &new], more].concat())
    };
    for (more, said) in [
        (&["--subject", "CN=1"][..], "--member"),
        (&["--member", "DEV/GOV/1", "--profile", "ejbca"], "--server"),
        (&["--member", "DEV/GOV/1", "--profile", "nobody"], "no certificate profile"),
        (&["--server", "DEV/GOV/1/S", "--profile", "basic"], "--name"),
        (&["--server", "DEV/GOV/1/S", "--subject", "FOO=1"], "FOO"),
        (&["--server", "DEV/GOV/1/S", "--subject", "CN=1", "--format", "der"], "--out"),
    ] {
        let (code, _, err) = csr(more);
        assert_eq!(code, 1, "{more:?}");
        assert!(err.contains(said), "{more:?} {err}");
    }
    let (code, out, err) =
        csr(&["--server", "DEV/GOV/1/S", "--profile", "basic", "--name", "Ministry"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.ends_with("-----END CERTIFICATE REQUEST-----\n"), "{out}");
    assert_eq!(command(&["keys", "delete", "--requests-of", &id, "--yes", "--token", &token]).0, 0);
}

/// The commands between backticks in a text, with words filled in.
fn commands_in(text: &str, fill: &[(&str, &str)]) -> Vec<Vec<String>> {
    let quoted = text.split('`').skip(1).step_by(2);
    let word = |word: &str| {
        let filled = fill.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        filled.unwrap_or(word).to_owned()
    };
    quoted.map(|line| line.split(' ').skip(1).map(word).collect()).collect()
}

/// Runs a command as it was printed, with more words behind it; gives what it prints.
fn pasted(words: &[String], more: &[&str]) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let (code, out, err) = command(&words);
    assert_eq!(code, 0, "{words:?}: {out}{err}");
    out
}

#[test]
fn commands_that_are_printed_can_be_pasted() {
    let place = Place::new();
    let config = place.text("server.toml");
    let file = place.text("request.csr");
    let fill =
        [("PROFILE", "fivrk"), ("NAME", "Ministry"), ("HOST", "ss1.example"), ("FILE", &*file)];
    let (_, out, _) = command(&["run", "--check", "--config", &config]);
    let [init] = &commands_in(&out, &fill)[..] else { panic!("{out}") };
    let out = pasted(init, &[]);
    let made = commands_in(&out, &fill);
    assert_eq!(made.len(), 2, "{out}");
    for generate in &made {
        let out = pasted(generate, &["--kind", "p256"]);
        let [request] = &commands_in(&out, &fill)[..] else { panic!("{out}") };
        let out = pasted(request, &[]);
        assert!(out.contains("serialNumber=DEV/SS1/GOV") && !out.contains("=#"), "{out}");
        let usage = match request.iter().any(|word| word == "--member") {
            true => KeyUsage::NON_REPUDIATION,
            false => KeyUsage::DIGITAL_SIGNATURE,
        };
        place.issue(Path::new(&file), usage, "issued.pem");
        let issued = place.text("issued.pem");
        let [import] = &commands_in(&out, &[("FILE", &issued)])[..] else { panic!("{out}") };
        let out = pasted(import, &[]);
        for activate in commands_in(&out, &[]) {
            pasted(&activate, &[]);
        }
    }
    let (_, out, _) = command(&["run", "--check", "--config", &config]);
    assert!(!out.contains("Still missing"), "{out}");
    let list = place.keys(&["list", "--json"]).1;
    assert!(list.contains("serialNumber=") && !list.contains("2.5.4.5=#"), "{list}");
    let (_, _, err) = place.keys(&["activate", "0000"]);
    pasted(&commands_in(&err, &[])[0], &[]);
}

#[test]
fn commands_for_a_token_without_a_configuration_can_be_pasted() {
    let place = Place::new();
    let (token, pin) = (place.text("another token"), place.text("pin"));
    let (code, out, err) = command(&["keys", "init", "--token", &token, "--pin-file", &pin]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("--token '{token}' --pin-file {pin}`")), "{out}");
    let generate = ["keys", "generate", "--usage", "authentication", "--kind", "p256"];
    let (_, out, _) = command(&[&generate[..], &["--token", &token, "--pin-file", &pin]].concat());
    assert!(out.contains("--server INSTANCE/CLASS/CODE/SERVER --profile PROFILE --name"), "{out}");
}

#[test]
fn wrong_configurations_are_told() {
    let place = Place::new();
    let bad = place.text("bad.toml");
    std::fs::write(&bad, "server = \"DEV/GOV\"\n[peers]\nport = 0\n").unwrap();
    let (code, out, err) = command(&["config", "check", &bad]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("bad.toml:1: server: "), "{err}");
    assert!(err.contains("bad.toml:3: peers.port: "), "{err}");
    assert!(err.ends_with("the configuration has 3 errors to correct\n"), "{err}");
    assert_eq!(command(&["run", "--check", "--config", &bad]).0, 1);
    assert_eq!(command(&["run", "--config", &bad]).0, 1);
    let (code, out, err) = command(&["config", "check", "--json", &bad]);
    assert_eq!((code, err.as_str()), (1, ""));
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["errors"][2]["line"], 3);
}

#[test]
fn the_internal_certificate() {
    let place = Place::new();
    let config = place.text("server.toml");
    let make = |more: &[&str]| command(&[&["internal-tls", "--config", &config], more].concat());
    let (code, out, err) = make(&["--name", "ss1.example", "--json"]);
    assert_eq!(code, 0, "{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(made["names"][0], "ss1.example");
    let (code, _, err) = make(&[]);
    assert_eq!(code, 1);
    assert!(err.contains("--renew"), "{err}");
    assert_eq!(make(&["--renew"]).0, 0);
}

#[test]
fn exit_codes_of_the_command_line_itself() {
    assert_eq!(command(&[]).0, 2);
    assert_eq!(command(&["fly"]).0, 2);
    assert_eq!(command(&["run", "--log-format", "xml", "--config", "x"]).0, 2);
    assert_eq!(command(&["keys", "generate"]).0, 2);
    let (code, out, _) = command(&["--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("internal-tls"), "{out}");
    assert_eq!(command(&["--version"]).0, 0);
}

#[test]
fn descriptions_are_shown_before_they_are_taken_over() {
    let place = Place::new();
    let config = place.text("server.toml");
    let text = std::fs::read_to_string(place.path("server.toml")).unwrap();
    let description = "[[clients.descriptions]]\ntype = \"openapi3\"\nlocation = \"pets.yaml\"\ncode = \"pets\"\nurl = \"http://10.0.0.5/pets\"\n";
    std::fs::write(place.path("server.toml"), text + description).unwrap();
    let services =
        |arguments: &[&str]| command(&[&["services"], arguments, &["--config", &config]].concat());
    let (code, out, _) = command(&["config", "check", &config]);
    assert_eq!(code, 0);
    assert!(out.contains("OpenAPI 3 description of SUBSYSTEM:DEV/GOV/1234/Register"), "{out}");
    assert!(out.contains("is not taken over, so its services are not there; see"), "{out}");
    let (code, out, _) = services(&["list"]);
    assert_eq!(code, 0);
    assert!(out.contains("Not taken over yet: OpenAPI 3"), "{out}");

    let (code, out, err) = services(&["refresh"]);
    assert_eq!(code, 1);
    assert!(out.contains("cannot be read: '") && err.contains("1 of 1 descriptions"), "{out}{err}");
    let pets = "openapi: 3.0.0\ninfo: {title: \"a\\u001b[31mb\", version: '1'}\npaths: {/pets: {get: {}}}\n";
    std::fs::write(place.path("pets.yaml"), pets).unwrap();
    let (code, out, err) = services(&["refresh", "--client", "DEV/GOV/1234/Register"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("  + GET /pets") && out.contains("services refresh --config"), "{out}");
    assert!(services(&["list"]).1.contains("Not taken over yet"), "nothing was taken over");
    assert_eq!(services(&["refresh", "--client", "DEV/GOV/9"]).0, 1);
    assert_eq!(services(&["refresh", "--location", "elsewhere"]).0, 1);

    let (code, out, _) = services(&["refresh", "--yes"]);
    assert_eq!(code, 0);
    assert!(out.contains("Taken over: 1") && out.contains("SIGHUP"), "{out}");
    assert!(services(&["refresh"]).1.contains("nothing is new"));
    let listed: Value = serde_json::from_str(&services(&["list", "--json"]).1).unwrap();
    assert_eq!(listed["services"][0]["service"], "DEV/GOV/1234/Register/pets");
    assert_eq!(listed["services"][0]["endpoints"][0], "GET /pets");
    assert_eq!(listed["notTakenOver"], serde_json::json!([]));
}
