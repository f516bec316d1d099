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
    let mut script = steps.concat();
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
