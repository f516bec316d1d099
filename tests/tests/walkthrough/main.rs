//! `docs/first-exchange.md`, as somebody follows it: its commands one after the other in an empty folder,
//! with our programs on the `PATH`, and with other ports than the page's so that two of us do not meet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use sandbox::world::{Topology, World};
use sandbox::{Addresses, Ports};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/first-exchange.md"));

/// The first port of the page; the others follow it.
const FIRST_PORT: u16 = 21_000;

/// Far more than it takes.
const SECONDS: &str = "300";

#[test]
fn the_page_leads_to_an_exchange() {
    follow(|script| script);
}

/// The same way, but that the members' signing keys are in a PKCS#11 module (SoftHSM2), made and kept there.
#[test]
fn signing_keys_may_be_in_a_module() {
    let libraries = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];
    let Some(library) = libraries.into_iter().find(|path| std::path::Path::new(path).exists())
    else {
        let why = "SoftHSM2 is not installed (Debian: apt install softhsm2)";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("SKIPPED: {why}");
        return;
    };
    follow(|script| {
        let mut script = script;
        let mut change = |from: &str, to: &str| {
            assert!(script.contains(from), "the page says no more: {from}");
            script = script.replace(from, to);
        };
        change(
            "[token]\npin = \"file:pin\"\n",
            &format!(
                "[token]\npin = \"file:pin\"\n[[token.modules]]\nname = \"hsm\"\nlibrary = \"{library}\"\nlabel = \"server $n\"\npin = \"file:pin\"\n"
            ),
        );
        change(
            "    security-server keys init --config \"$config\"\n",
            "    security-server keys init --config \"$config\"\n    softhsm2-util --init-token --free --label \"server $n\" --so-pin officer --pin \"Server-PIN-$n\"\n",
        );
        change(
            "keys generate --usage signing --kind rsa2048",
            "keys --module hsm generate --usage signing --kind rsa2048",
        );
        change("keys csr signing", "keys --module hsm csr signing");
        change(
            "        security-server keys import \"ss$n/$usage.pem\" --config",
            "        module=; [ \"$usage\" = authentication ] || module='--module hsm'\n        security-server keys $module import \"ss$n/$usage.pem\" --config",
        );
        // What the server could use by mistake is not there.
        change(
            "security-server run",
            "if grep '\"usage\": \"signing\"' ss1/data/token/token.json ss2/data/token/token.json; then exit 3; fi\n    security-server run",
        );
        format!(
            "mkdir tokens\necho \"directories.tokendir = $PWD/tokens\" >softhsm2.conf\nexport SOFTHSM2_CONF=$PWD/softhsm2.conf\n{script}"
        )
    });
}

/// Follows the page, changed as said, in an empty folder.
fn follow(change: impl FnOnce(String) -> String) {
    // One after the other: ports that are free when they are chosen must be so still when they are used.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for tool in ["openssl", "curl", "python3"] {
        let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", tool]).output();
        if !found.is_ok_and(|found| found.status.success()) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{tool} is not installed");
            eprintln!("SKIPPED: {tool} is not installed");
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (programs, desk) = (folder.path().join("programs"), folder.path().join("desk"));
    std::fs::create_dir(&programs).unwrap();
    std::fs::create_dir(&desk).unwrap();
    for (name, program) in [
        ("security-server", env!("CARGO_BIN_EXE_security-server-under-test")),
        ("central-registry", env!("CARGO_BIN_EXE_central-registry-under-test")),
        ("auditor", env!("CARGO_BIN_EXE_auditor-under-test")),
    ] {
        symlink(program, programs.join(name)).unwrap();
    }
    let steps: Vec<&str> = PAGE
        .split("<!-- step: ")
        .skip(1)
        .map(|step| step.split_once("-->\n```sh\n").unwrap().1.split_once("```\n").unwrap().0)
        .collect();
    assert_eq!(PAGE.matches("```sh").count(), steps.len(), "all commands are steps");
    let mut script = change(steps.concat());
    let servers = World::new().unwrap().servers(Topology::Two).unwrap();
    let base = Addresses::choose(Ports::Free, &servers).unwrap().base();
    for offset in 0..32 {
        let of = |base: u16| (base + offset).to_string();
        script = script.replace(&of(FIRST_PORT), &of(base));
    }

    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut child = Command::new("timeout")
        .args([SECONDS, "sh", "-euxc", &script])
        .current_dir(&desk)
        .env("PATH", path)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap();
    let status = child.wait().unwrap();
    // What the page leaves running.
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    let said = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let logs = || {
        let log = |name| std::fs::read_to_string(desk.join(name)).unwrap_or_default();
        ["registry.log", "ss1/log", "ss2/log", "services.log", "ocsp.log"].map(log).join("\n")
    };
    assert!(status.success(), "{said}\n{}", logs());
    assert!(said.contains("\"name\": \"Bello\""), "{said}");
    assert!(said.contains("answer.asice: VALID\n"), "{said}");
    assert!(said.contains("signed by    MEMBER:FIRST/GOV/1002\n"), "{said}");
}
