//! The sandbox as its users meet it: the story with its evidence, the switches that tests of other
//! crates use, and the binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use causeway_asic::archive::{Archive, ArchiveWriter};
use causeway_pki::DigestAlgorithm;
use sandbox::world::{Topology, World};
use sandbox::{
    Addresses, Call, Ecosystem, Exchange, Options, Ports, evidence, records, story, texts,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_of_the_story_is_proven() {
    let ecosystem = Ecosystem::start(Options::for_tests()).await.unwrap();
    let outcome = story::run(&ecosystem).await.unwrap();
    for judged in &outcome.judged {
        assert_eq!(judged.failures().collect::<Vec<_>>(), Vec::<String>::new());
        assert!(judged.is_verified(), "{:?}", judged.exchange);
    }
    assert!(outcome.is_verified() && outcome.judged.len() == 3);
    let decision = outcome.decision.as_ref().unwrap();
    assert_eq!((decision.income, decision.monthly_benefit), (309_500_000, 900_000));

    let folder = tempfile::tempdir().unwrap();
    let language = texts::Language::English;
    evidence::write(folder.path(), &ecosystem, &outcome.configuration, &outcome.judged, language)
        .await
        .unwrap();
    for name in [
        "01-request-ss1.asice",
        "03-response-ss2.asice",
        "ca.pem",
        "ocsp.pem",
        "tsa.pem",
        "internalconf",
    ] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    let conf = auditor::configuration::read(&folder.path().join("verificationconf")).unwrap();
    let mut container = std::fs::read(folder.path().join("03-request-ss1.asice")).unwrap();
    assert!(evidence::judge(&container, &conf).is_valid());
    let middle = container.len() / 2;
    container[middle] ^= 1;
    assert!(!evidence::judge(&container, &conf).is_valid());
    let checked = Command::new("sh").arg(folder.path().join("check.sh")).output().unwrap();
    let (said, _) = texts_of(&checked);
    if checked.status.code() == Some(2) && said.contains("is not installed") {
        eprintln!("SKIPPED: evidence is not checked with tools of others: {said}");
    } else {
        assert!(checked.status.success() && said.matches("  ok ").count() == 50, "{said}");
        the_page_holds_of_evidence(folder.path());
        forgeries_are_refused(folder.path());
    }
    ecosystem.stop().await;
}

/// Takes the page's steps for the global configuration in the folder as it was left.
fn the_page_holds_of_evidence(folder: &std::path::Path) {
    let page = std::fs::read_to_string(folder.join("verify-by-hand.md")).unwrap();
    for step in ["configuration-signature", "configuration-files"] {
        let (_, commands) = page.split_once(&format!("<!-- step: {step} -->\n```sh\n")).unwrap();
        let (commands, _) = commands.split_once("```").unwrap();
        let done =
            Command::new("sh").args(["-euc", commands]).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{step}: {:?}", texts_of(&done));
        assert!(texts_of(&done).0.contains(if step.ends_with("files") {
            "/shared-params.xml"
        } else {
            "Verified OK"
        }));
    }
}

/// Runs the evidence's script over forged containers, one at a time.
fn forgeries_are_refused(folder: &std::path::Path) {
    let original = std::fs::read(folder.join("03-response-ss1.asice")).unwrap();
    let parts = unpack(&original);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "asice") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let digest = |bytes: &[u8]| {
        base64::engine::general_purpose::STANDARD.encode(DigestAlgorithm::Sha512.digest(bytes))
    };
    let body = &parts["attachment1"];
    let forged = [body.as_slice(), b" "].concat();
    let text = |name: &str| String::from_utf8(parts[name].clone()).unwrap();
    let chain = text("sig-hashchain.xml");
    assert!(chain.contains(&digest(body)));
    let stray = format!(
        "<HashStep id=\"STEP9\"><DataRef URI=\"/attachment1\"><ds:DigestValue \
         xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">{}</ds:DigestValue></DataRef></HashStep></HashChain>",
        digest(&forged)
    );
    let aside = chain.replace("/attachment1", "/attachment9").replace("</HashChain>", &stray);
    assert_ne!(aside, chain);
    let signatures = text("META-INF/signatures.xml");
    let comment = "<!-- <ds:SignedInfo><ds:Reference URI=\"/attachment1\"><ds:Reference \
                   URI=\"/message.xml\"></ds:SignedInfo> --></ds:Signature>";
    let shown = signatures.replace("</ds:Signature>", comment);
    let other = signatures.replace("signature-value", "signature-valuf");
    let ts_chain =
        text("ts-hashchain.xml").replace(&digest(signatures.as_bytes()), &digest(other.as_bytes()));
    assert_ne!(ts_chain, text("ts-hashchain.xml"));
    let forged = |more: &[(&str, Option<&str>)]| {
        let mut parts = parts.clone();
        parts.insert("attachment1".into(), forged.clone());
        for (name, content) in more {
            match content {
                Some(content) => parts.insert((*name).into(), content.as_bytes().to_vec()),
                None => parts.remove(*name),
            };
        }
        parts
    };
    let with_its_digest = chain.replace(&digest(body), &digest(&forged(&[])["attachment1"]));
    let mut unsigned = parts.clone();
    unsigned.insert("attachment2".into(), b"more".to_vec());
    for (what, parts, failed) in [
        ("nothing", parts.clone(), ""),
        ("the body", forged(&[]), "covers"),
        ("its digest too", forged(&[("sig-hashchain.xml", Some(&with_its_digest))]), "covers"),
        ("a step aside", forged(&[("sig-hashchain.xml", Some(&aside))]), "covers"),
        ("no chain", forged(&[("sig-hashchain.xml", None)]), "covers"),
        (
            "other names for the eye",
            forged(&[
                ("META-INF/signatures.xml", Some(&shown)),
                ("sig-hashchain.xml", None),
                ("META-INF/timestamp.tst", None),
            ]),
            "covers",
        ),
        ("another file", unsigned, "covers"),
        (
            "the signature document, and its digest",
            {
                let mut parts = parts.clone();
                parts.insert("META-INF/signatures.xml".into(), other.into_bytes());
                parts.insert("ts-hashchain.xml".into(), ts_chain.into_bytes());
                parts
            },
            "timestamp",
        ),
    ] {
        std::fs::write(folder.join("01-forged.asice"), pack(&parts)).unwrap();
        let checked = Command::new("sh").arg(folder.join("check.sh")).output().unwrap();
        let (said, _) = texts_of(&checked);
        let failures: Vec<_> = said.lines().filter(|line| line.contains("FAILED")).collect();
        assert_eq!(checked.status.code(), Some((!failed.is_empty()).into()), "{what}: {said}");
        assert!(
            failed.is_empty() == failures.is_empty()
                && (failed.is_empty() || failures.iter().any(|line| line.contains(failed))),
            "{what}: {said}"
        );
    }
}

type Parts = BTreeMap<String, Vec<u8>>;

fn unpack(container: &[u8]) -> Parts {
    let mut archive =
        Archive::open(std::io::Cursor::new(container), &causeway_asic::Limits::default()).unwrap();
    let entries = archive.entries().to_vec();
    let read = |entry| archive.read(entry, 1 << 20).unwrap();
    entries.iter().map(|entry| entry.name().to_owned()).zip(entries.iter().map(read)).collect()
}

fn pack(parts: &Parts) -> Vec<u8> {
    let mut archive = ArchiveWriter::new(Vec::new(), time::OffsetDateTime::UNIX_EPOCH);
    for (name, content) in parts {
        archive.deflate(name, content).unwrap();
    }
    archive.finish("").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_ecosystem_starts_again_with_its_logs() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { data: Some(folder.path().join("data")), ..Options::for_tests() };
    let ecosystem = Ecosystem::start(options.clone()).await.unwrap();
    let before = person(&ecosystem).await;
    assert_eq!(before.error(), None);
    ecosystem.stop().await;

    let ecosystem = Ecosystem::start(options).await.unwrap();
    let after = person(&ecosystem).await;
    ecosystem.stamp_now().await.unwrap();
    let (_, conf) = evidence::configuration(&ecosystem).await.unwrap();
    for exchange in [before, after] {
        let evidence = evidence::collect(&ecosystem, &exchange, &conf).await.unwrap();
        assert_eq!(evidence.len(), evidence::Judged::CONTAINERS);
        assert!(evidence.iter().all(|evidence| evidence.report.is_valid()));
    }
    ecosystem.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_fail_and_come_back() {
    let options = Options { topology: Topology::Failover, ..Options::for_tests() };
    let mut ecosystem = Ecosystem::start(options).await.unwrap();
    assert_eq!(ecosystem.servers().len(), 3);
    assert_eq!(person(&ecosystem).await.error(), None);

    ecosystem.systems().population.set_available(false).await;
    let refused = person(&ecosystem).await;
    assert!(refused.error_code().is_some(), "{refused:?}");
    ecosystem.systems().population.set_available(true).await;
    ecosystem.systems().population.set_delay(Duration::from_millis(300));
    let slow = person(&ecosystem).await;
    assert!(slow.error().is_none() && slow.elapsed >= Duration::from_millis(300));
    ecosystem.systems().population.set_delay(Duration::ZERO);

    ecosystem.authorities().tsa_faults().set_available(false);
    assert!(ecosystem.stamp_now().await.is_err());
    ecosystem.authorities().tsa_faults().set_available(true);
    ecosystem.stamp_now().await.unwrap();

    ecosystem.server_mut("ss2").unwrap().stop().await;
    assert_eq!(person(&ecosystem).await.error(), None, "ss3 should have answered");
    ecosystem.server_mut("ss2").unwrap().start().await.unwrap();

    let world = World::new().unwrap();
    let (from, body) = (&world.portal.subsystem, vec![7; 3000]);
    let echo = Call::get(from, &world.measure, "/5000").method(hyper::Method::POST).body(body);
    let exchange = ecosystem.send(echo).await.unwrap();
    assert_eq!((exchange.error(), exchange.body.len(), exchange.sent), (None, 5000, 3000));
    for service in [&world.archive, &world.audits] {
        let refused = ecosystem.call(from, service, "/1").await.unwrap();
        assert!(refused.error_code().is_some(), "{refused:?}");
    }
    let stranger = World::new().unwrap().tax.subsystem;
    let refused = ecosystem.call(&stranger, &world.persons, "/1").await.unwrap();
    assert!(refused.error_code().is_some(), "{refused:?}");
    ecosystem.stop().await;
}

async fn person(ecosystem: &Ecosystem) -> Exchange {
    let world = ecosystem.world();
    let path = format!("/{}", records::CHILD);
    ecosystem.call(&world.portal.subsystem, &world.persons, &path).await.unwrap()
}

#[test]
fn the_program_plays_the_story_once() {
    let folder = tempfile::tempdir().unwrap();
    let base = free_base();
    let output = sandbox(&["--once", "--key", "p256", "--port-base", &base, "--evidence"])
        .arg(folder.path())
        .output()
        .unwrap();
    let (out, err) = texts_of(&output);
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(out.matches("valid: 4 of 4 containers").count(), 3, "{out}");
    assert!(err.contains("temporary folder") && !err.contains('\x1b') && !out.contains('\x1b'));
    assert!(folder.path().join("README.txt").is_file());
}

#[test]
fn the_program_says_what_is_amiss() {
    let base = free_base();
    let taken = std::net::TcpListener::bind(format!("127.0.0.1:{base}")).unwrap();
    let output = sandbox(&["--once", "--port-base", &base]).output().unwrap();
    let (_, err) = texts_of(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err.contains(&format!("127.0.0.1:{base} is in use")) && err.contains("--port-base"),
        "{err}"
    );
    drop(taken);

    let output = sandbox(&["--once", "--language", "vi", "--data", env!("CARGO_MANIFEST_DIR")]);
    let (_, err) = texts_of(&{ output }.output().unwrap());
    assert!(err.contains("không trống"), "{err}");
    assert!(!sandbox(&["load", "--seconds", "0"]).output().unwrap().status.success());
}

#[test]
fn the_program_stays_up_until_it_is_told_to_stop() {
    let base = free_base();
    let mut child = sandbox(&["--key", "p256", "--port-base", &base])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let judge = lines.find(|line| line.contains(" verify request.asice ")).unwrap();
    // The auditor is called as it can be from any folder.
    let judge = judge.trim().strip_prefix("&& ").unwrap();
    let program = judge.split(' ').find(|word| word.starts_with('/')).unwrap_or_default();
    assert!(std::path::Path::new(program).is_file(), "{judge}");
    let log = lines.find(|line| line.trim_start().starts_with("log ")).unwrap();
    let folder = std::path::Path::new(log.split_whitespace().last().unwrap()).parent().unwrap();
    assert!(lines.any(|line| line == "Stop with Ctrl-C."));
    assert!(folder.join("ss1/security-server.toml").is_file());
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert!(child.wait().unwrap().success());
    assert!(!folder.exists());
}

/// Starts the program with keys that take long to make, and tells it to stop while they are made.
#[test]
fn the_program_can_be_stopped_while_it_makes_keys() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (kept, signal) in [(false, "-INT"), (false, "-HUP"), (true, "-INT"), (true, "-KILL")] {
        let base = free_base();
        let mut command = sandbox(&["--once", "--key", "rsa3072", "--port-base", &base]);
        command.env("TMPDIR", folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        if kept {
            command.arg("--data").arg(&data);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line == "… 0 of 5 keys of kind rsa3072"));
        // What goes on beside is at work too.
        std::thread::sleep(Duration::from_millis(50));
        let told = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert!(!child.wait().unwrap().success());
        let rest: Vec<String> = lines.collect();
        assert!(!rest.iter().any(|line| line.contains("The ecosystem is up")), "{rest:?}");
        let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        assert_eq!(left.filter(|path| *path != data).collect::<Vec<_>>(), Vec::<PathBuf>::new());
    }
    // What was broken off does not stand in the way.
    assert!(data.join("sandbox.begun").is_file());
    let base = free_base();
    let mut command = sandbox(&["--once", "--key", "p256", "--port-base", &base, "--data"]);
    let output = command.arg(&data).output().unwrap();
    assert!(output.status.success(), "{:?}", texts_of(&output));
    assert!(data.join("sandbox.json").is_file() && !data.join("sandbox.begun").exists());
}

/// As behind `| head`, once it has ended.
#[test]
fn nobody_who_reads_changes_nothing() {
    let status = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = sandbox(arguments);
        command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap().code()
    };
    assert_eq!(status(&["--once", "--key", "p256", "--port-base", &free_base()]), Some(0));
    let load = ["load", "--seconds", "1", "--warm-up", "0", "--key", "p256", "--port-base"];
    // On a busy machine a second may be too short for an exchange; that is 1.
    assert!(matches!(status(&[&load[..], &[&free_base()]].concat()), Some(0 | 1)));
    assert_eq!(status(&["--help"]), Some(0));
    assert_eq!(status(&["--once", "--data", env!("CARGO_MANIFEST_DIR")]), Some(2));
}

#[test]
fn the_program_measures() {
    let base = free_base();
    let output = sandbox(&["load", "--seconds", "1", "--warm-up", "0", "--connections", "4"])
        .args(["--key", "p256", "--json", "--port-base", &base])
        .output()
        .unwrap();
    let (out, err) = texts_of(&output);
    assert!(output.status.success(), "{out}{err}");
    let figures: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(figures["exchanges"].as_u64().unwrap() > 0, "{out}");
    assert_eq!(figures["body_bytes"].as_f64(), Some(1024.0), "{out}");
    assert!(figures["latency_ms"]["p99.9"].as_f64() >= figures["latency_ms"]["p50"].as_f64());
}

fn sandbox(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.args(arguments).env("LANG", "C").env_remove("LC_ALL").env_remove("RUST_LOG");
    command
}

fn free_base() -> String {
    let servers = World::new().unwrap().servers(Topology::Two).unwrap();
    Addresses::choose(Ports::Free, &servers).unwrap().base().to_string()
}

fn texts_of(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}
