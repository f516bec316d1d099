//! The program as an operator uses it, with and without a running registry.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use causeway_globalconf::Anchor;
use serde_json::Value;

use crate::support::{auth_certificate, ca_certificate};

pub(crate) struct Operator {
    folder: tempfile::TempDir,
}

impl Operator {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pin"), "Secret-1234\n").unwrap();
        let operator = Self { folder };
        operator.configure("127.0.0.1:0");
        operator
    }

    fn configure(&self, listen: &str) {
        let path = self.folder.path().display();
        let text = format!(
            "instance = 'DEV'\nstorage = '{path}/storage'\nlisten = '{listen}'\npublic_addresses = ['cs.example.org']\n\
             [signing]\npin_file = '{path}/pin'\nkey = 'p256'\n"
        );
        std::fs::write(self.file("registry.toml"), text).unwrap();
    }

    /// Adds to the configuration file.
    pub(crate) fn configure_more(&self, text: &str) {
        let file = self.file("registry.toml");
        let before = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, before + text).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_central-registry"));
        command.args(arguments).arg("--config").arg(self.file("registry.toml"));
        command
    }

    fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let out = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.success(), text(out.stdout), text(out.stderr))
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let (success, out, error) = self.run(arguments);
        assert!(success, "{arguments:?}: {out}{error}");
        out
    }

    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let (success, out, error) = self.run(arguments);
        assert!(!success, "{arguments:?}: {out}");
        assert!(error.starts_with("error: ") && error.contains("\nnext: "), "{error}");
        error
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let (_, out, _) = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
    }

    pub(crate) fn start(&self) -> Serving {
        self.start_with(Stdio::null())
    }

    fn start_with(&self, log: Stdio) -> Serving {
        let child = self.command(&["run"]).stderr(log).spawn().unwrap();
        let serving = Serving { child };
        for _ in 0..500 {
            if std::os::unix::net::UnixStream::connect(self.file("storage/admin.sock")).is_ok() {
                return serving;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the registry did not start");
    }
}

pub(crate) struct Serving {
    child: Child,
}

impl Serving {
    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(path: &Path, certificate: &causeway_pki::Certificate) -> String {
    std::fs::write(path, certificate.to_pem()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_operator_builds_an_instance() {
    let operator = Operator::new();
    let error = operator.refused(&["anchor", "export", "internal"]);
    assert!(error.contains("central-registry init"), "{error}");
    operator.ok(&["init"]);
    let error = operator.refused(&["member", "add", "DEV/GOV/1", "--name", "One"]);
    assert!(error.contains("member-class add GOV"), "{error}");
    operator.ok(&["member-class", "add", "GOV", "--description", "Government"]);
    let told = operator.ok(&["member", "add", "DEV/GOV/1", "--name", "One"]);
    assert!(told.contains("added MEMBER:DEV/GOV/1") && told.contains("no registry runs"), "{told}");
    operator.ok(&["subsystem", "add", "DEV/GOV/1/MANAGEMENT"]);
    operator.ok(&["server", "add", "DEV/GOV/1/SS1", "--address", "ss1.example.org"]);

    let serving = operator.start();
    let certificate = write(&operator.file("auth.pem"), &auth_certificate("ss1"));
    // Nothing can be published yet, but the change is made.
    let told =
        operator.json(&["server", "auth-cert", "add", "DEV/GOV/1/SS1", "--cert", &certificate]);
    assert_eq!(told["published"], false);
    assert!(told["next"].as_str().unwrap().contains("management set"), "{told}");
    let told = operator.json(&["management", "set", "--provider", "DEV/GOV/1/MANAGEMENT"]);
    assert_eq!(told["published"], true, "{told}");
    let told = operator.ok(&["client", "add", "DEV/GOV/1/SS1", "DEV/GOV/1/MANAGEMENT"]);
    assert!(told.contains(", published"), "{told}");
    let ca = write(&operator.file("ca.pem"), &ca_certificate("CA"));
    let below = write(&operator.file("below.pem"), &ca_certificate("Below"));
    operator.ok(&[
        "ca",
        "add",
        "Test CA",
        "--cert",
        &ca,
        "--profile",
        "FiVRKCertificateProfileInfoProvider",
        "--ocsp",
        &format!("http://ocsp.example.org,{ca}"),
        "--intermediate",
        &format!("{below},http://ocsp2.example.org"),
    ]);
    operator.ok(&["tsa", "add", "Test TSA", "--url", "http://tsa.example.org", "--cert", &ca]);
    operator.ok(&["group", "add", "all", "--description", "All"]);
    operator.ok(&["group", "member", "add", "all", "DEV/GOV/1/MANAGEMENT"]);
    let error = operator.refused(&["group", "member", "add", "all", "DEV/GOV/2"]);
    assert!(error.contains("there is no member MEMBER:DEV/GOV/2"), "{error}");

    let table = operator.ok(&["list", "servers"]);
    assert!(table.contains("SECURITY SERVER") && table.contains("DEV/GOV/1/SS1"), "{table}");
    let all = operator.ok(&["list"]);
    for word in ["MANAGEMENT", "Test CA", "Test TSA", "ss1.example.org", "internal", "external"] {
        assert!(all.contains(word), "{word} in {all}");
    }
    let listing = operator.json(&["list"]);
    assert_eq!(listing["cas"][0]["certificates"].as_array().unwrap().len(), 2);
    assert_eq!(listing["servers"][0]["clients"][0], "DEV/GOV/1/MANAGEMENT");
    assert_eq!(listing["groups"][1]["members"][0], "DEV/GOV/1/MANAGEMENT");

    let file = operator.file("anchor.xml");
    let told = operator.ok(&["anchor", "export", "internal", "--out", file.to_str().unwrap()]);
    let xml = std::fs::read(&file).unwrap();
    assert!(told.contains(&Anchor::fingerprint(&xml)), "{told}");
    assert_eq!(Anchor::parse(&xml).unwrap().sources[0].url, "http://cs.example.org/internalconf");
    let error = operator.refused(&["run"]);
    assert!(error.contains("runs on this storage folder already"), "{error}");
    operator.ok(&["publish"]);
    let key = operator.json(&["signing-key", "add", "internal"]);
    operator.ok(&["signing-key", "activate", key["id"].as_str().unwrap()]);

    use std::os::unix::fs::PermissionsExt as _;
    let socket = std::fs::metadata(operator.file("storage/admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let storage = std::fs::metadata(operator.file("storage")).unwrap();
    assert_eq!(storage.permissions().mode() & 0o777, 0o700);
    serving.stop();

    assert!(!operator.file("storage/admin.sock").exists());
    let again = operator.json(&["list"]);
    assert_eq!(again["members"], listing["members"]);
    assert_eq!(again["signing_keys"].as_array().unwrap().len(), 3);
    operator.ok(&["publish"]);
    assert!(operator.file("storage/public/V6/internalconf").is_file());
}

#[test]
fn paths_of_the_configuration_file_are_relative_to_it() {
    let operator = Operator::new();
    let text = "instance = 'DEV'\nstorage = 'kept'\npublic_addresses = ['cs.example.org']\n\
                [signing]\npin_file = 'pin'\nkey = 'p256'\n";
    std::fs::write(operator.file("registry.toml"), text).unwrap();
    operator.ok(&["init"]);
    assert!(operator.file("kept/store").is_dir() && operator.file("kept/token").is_dir());
    // By a relative name of the file, too.
    let output = Command::new(env!("CARGO_BIN_EXE_central-registry"))
        .args(["--config", "../registry.toml", "member-class", "add", "GOV", "--description", "x"])
        .current_dir(operator.file("kept"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(operator.json(&["list", "member-classes"])[0]["code"], "GOV");
}

#[test]
fn init_alone_makes_a_registry() {
    let operator = Operator::new();
    for command in [
        &["list"][..],
        &["run"],
        &["publish"],
        &["member-class", "add", "GOV", "--description", "x"],
        &["anchor", "export", "internal"],
        &["signing-key", "add", "internal"],
    ] {
        let error = operator.refused(command);
        assert!(error.contains("there is no registry in "), "{error}");
        assert!(error.contains("central-registry init"), "{error}");
        assert!(!operator.file("storage").exists(), "{command:?}");
    }
    operator.ok(&["init"]);
    operator.ok(&["list"]);
}

#[test]
fn every_mistake_of_the_configuration_file_is_told() {
    let operator = Operator::new();
    assert!(operator.ok(&["run", "--check"]).contains("correct"));
    std::fs::write(
        operator.file("registry.toml"),
        "instance = 'DEV'\nlisten = 'x'\n[signing]\nkey = 1\n",
    )
    .unwrap();
    let error = operator.refused(&["run", "--check"]);
    for mistake in ["storage: must be given", ":2: listen:", ":4: signing.key:"] {
        assert!(error.contains(mistake), "{mistake} in {error}");
    }
    let told = operator.json(&["list"]);
    assert!(told["error"].as_str().unwrap().contains(":2: listen:") && told["next"].is_string());
}

#[test]
fn a_registry_that_was_killed_starts_again() {
    let operator = Operator::new();
    operator.ok(&["init"]);
    drop(operator.start());
    assert!(operator.file("storage/admin.sock").exists());
    operator.ok(&["member-class", "add", "GOV", "--description", "Government"]);
    let serving = operator.start();
    assert_eq!(operator.json(&["list", "member-classes"])[0]["code"], "GOV");
    serving.stop();
}

/// As behind `| head`, once it has ended.
#[test]
fn nobody_who_reads_changes_nothing() {
    let operator = Operator::new();
    let status = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = operator.command(arguments);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        command.status().unwrap().code()
    };
    assert_eq!(status(&["list"]), Some(1));
    assert_eq!(status(&["list", "--json"]), Some(1));
    assert_eq!(status(&["init"]), Some(0));
    assert_eq!(status(&["list"]), Some(0));
    assert_eq!(status(&["--help"]), Some(0));
    assert_eq!(status(&["no-such-command"]), Some(2));

    // A registry that serves, too.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let serving = operator.start_with(writer.into());
    operator.ok(&["member-class", "add", "GOV", "--description", "Government"]);
    serving.stop();
}

#[test]
fn next_steps_can_be_pasted() {
    let operator = Operator::new();
    let paste = |text: &str, fill: &[(&str, &str)]| {
        let commands: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        assert!(!commands.is_empty(), "{text}");
        for command in commands {
            let mut command = command.to_owned();
            for (name, value) in fill {
                command = command.replace(name, value);
            }
            let output = Command::new("sh").args(["-c", &command]).output().unwrap();
            assert!(output.status.success(), "{command}: {output:?}");
        }
    };
    paste(&operator.refused(&["list"]), &[]);
    paste(
        &operator.refused(&["member", "add", "DEV/GOV/1", "--name", "One"]),
        &[("DESCRIPTION", "Government")],
    );
    let subsystem = ["subsystem", "add", "DEV/GOV/1/MANAGEMENT"];
    paste(&operator.refused(&subsystem), &[("NAME", "One")]);
    operator.ok(&subsystem);
    let told = operator.ok(&["server", "add", "DEV/GOV/1/SS1", "--address", "ss1.example.org"]);
    assert!(told.contains("`") && told.contains(" run --config "), "{told}");
    let error = operator.json(&["publish"]);
    let provider = [("CLIENT", "DEV/GOV/1/MANAGEMENT")];
    operator.ok(&["client", "add", "DEV/GOV/1/SS1", "DEV/GOV/1/MANAGEMENT"]);
    paste(error["next"].as_str().unwrap(), &provider);
    let told = operator.ok(&["init"]);
    assert_eq!(told.matches("--config ").count(), 3, "{told}");
    // Given by the environment, it is so for the next command, too.
    let output = Command::new(env!("CARGO_BIN_EXE_central-registry"))
        .args(["group", "remove", "none"])
        .env("CENTRAL_REGISTRY_CONFIG", operator.file("registry.toml"))
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("central-registry group add none ") && !error.contains("--config"),
        "{error}"
    );
    std::fs::write(operator.file("registry.toml"), "instance = 'DEV'\n").unwrap();
    assert!(operator.refused(&["list"]).contains(" run --check --config "));
}

/// Requests that servers have sent, brought into the store as the running registry keeps them.
fn with_requests(operator: &Operator) {
    use causeway_management::Request;
    use central_registry::{Approval, Config, Origin, Records};
    operator.ok(&["init"]);
    operator.ok(&["member-class", "add", "GOV", "--description", "Government"]);
    operator.ok(&["member", "add", "DEV/GOV/1", "--name", "One"]);
    operator.ok(&["server", "add", "DEV/GOV/1/SS1", "--address", "ss1.example.org"]);
    let config = Config::load(&operator.file("registry.toml")).unwrap();
    let mut records = Records::open(&config).unwrap();
    for code in ["A", "B"] {
        let request = Request::ClientReg {
            server: crate::support::server("DEV/GOV/1/SS1"),
            client: crate::support::client(&format!("DEV/GOV/1/{code}")),
            subsystem_name: None,
        };
        let now = time::OffsetDateTime::now_utc();
        let policy = Approval::default();
        records.submit_request(&request, Origin::SecurityServer, None, &policy, now).unwrap();
    }
    drop(records);
    // The store lets go of its folder a little after it is dropped.
    let free = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        operator.run(&["list", "members"]).0
    });
    assert!(free);
}

#[test]
fn requests_are_looked_at_and_decided() {
    let operator = Operator::new();
    with_requests(&operator);
    for running in [false, true] {
        let serving = running.then(|| operator.start());
        let number = if running { "2" } else { "1" };
        let list = operator.ok(&["requests", "list", "--pending"]);
        assert!(list.starts_with("NUMBER  REQUEST    STATUS"), "{list}");
        assert!(list.contains("clientReg  waiting  security server"), "{list}");
        let approve = format!("central-registry requests approve {number} --config");
        assert!(list.contains(&approve), "{list}");
        let shown = operator.ok(&["requests", "show", number]);
        assert!(shown.contains("client           DEV/GOV/1/"), "{shown}");
        let listed = operator.json(&["requests", "list"]);
        let newest = if running { 3 } else { 2 };
        assert_eq!(listed[0]["number"], newest);
        match running {
            false => {
                let told = operator.ok(&["requests", "approve", number]);
                assert!(told.starts_with("request 1 approved, stored but not published"), "{told}");
                let again = operator.refused(&["requests", "approve", number]);
                assert!(again.contains("request 1 is approved already"), "{again}");
                let list = operator.ok(&["list", "clients"]);
                assert!(list.contains("DEV/GOV/1/A"), "{list}");
            }
            true => {
                let refused = operator.refused(&["requests", "revoke", number]);
                assert!(refused.contains("requests decline 2"), "{refused}");
                let told = operator.json(&["requests", "decline", number]);
                assert_eq!(told["status"], "declined");
                let again = operator.refused(&["requests", "decline", number]);
                assert!(again.contains("request 2 is declined already"), "{again}");
                let list = operator.ok(&["requests", "list", "--pending"]);
                assert_eq!(list.lines().count(), 1, "{list}");
            }
        }
        operator.refused(&["requests", "show", "99"]);
        // The operator's own, before the server's.
        let id = format!("DEV/GOV/1/OWN{number}");
        let told = operator.ok(&["requests", "add-client", "DEV/GOV/1/SS1", &id, "--name", "Own"]);
        assert!(told.contains(" waiting\nnext: let the security server ask for it too"), "{told}");
        let own = operator.json(&["requests", "list"])[0]["number"].to_string();
        operator.refused(&["requests", "add-client", "DEV/GOV/1/SS1", &id]);
        let told = operator.json(&["requests", "revoke", &own]);
        assert_eq!(told["status"], "revoked");
        let unknown = ["requests", "add-client", "DEV/GOV/1/SS9", "DEV/GOV/1/X"];
        assert!(operator.refused(&unknown).contains("there is no security server"));
        if let Some(serving) = serving {
            serving.stop();
        }
    }
}
