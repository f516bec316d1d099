//! The program as behind `| head`, once that has ended: its log and its answers find nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use causeway_globalconf::{Anchor, AnchorSource, EncodedCertificate};
use causeway_keys::{KeyKind, KeyPair};
use causeway_pki::issue::CertificateTemplate;
use causeway_pki::{SigningKey as _, name};
use time::OffsetDateTime;

fn program(arguments: &[&str], config: &Path) -> Command {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_security-server"));
    command.args(arguments).arg("--config").arg(config).env("RUST_LOG", "trace");
    command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
    command
}

#[test]
fn it_runs_and_stops_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("server.toml");
    let now = OffsetDateTime::now_utc();
    let key = KeyPair::generate(KeyKind::EcP256).unwrap();
    let subject = name::encode(&[("CN", "registry")]).unwrap();
    let (start, end) = (now - time::Duration::DAY, now + time::Duration::DAY);
    let template =
        CertificateTemplate::new(subject, key.certificate_public_key(), &[1], start, end);
    let anchor = Anchor {
        generated_at: Some(now),
        instance: "DEV".to_owned(),
        sources: vec![AnchorSource {
            url: "http://127.0.0.1:9/internalconf".to_owned(),
            certificates: vec![EncodedCertificate::from(&template.self_sign(&key).unwrap())],
        }],
    };
    std::fs::write(folder.path().join("anchor.xml"), anchor.to_xml().unwrap()).unwrap();
    std::fs::write(folder.path().join("pin"), "Secret1234\n").unwrap();
    let health = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!(
        "server = 'DEV/GOV/1/SS1'\nglobal_conf.anchor = 'anchor.xml'\ntoken.pin = 'file:pin'\n\
         [listen]\nclient_http = 'off'\nclient_https = 'off'\npeers = 'off'\nocsp = 'off'\nhealth = '{health}'\n"
    );
    std::fs::write(&config, text).unwrap();
    let status = |arguments: &[&str]| program(arguments, &config).status().unwrap().code();
    assert_eq!(status(&["keys", "list"]), Some(1));
    assert_eq!(status(&["keys", "init"]), Some(0));
    assert_eq!(status(&["keys", "list"]), Some(0));
    assert_eq!(status(&["run", "--check"]), Some(0));
    assert_eq!(status(&["fly"]), Some(2));

    let mut server = program(&["run"], &config).spawn().unwrap();
    while TcpStream::connect(health).is_err() {
        assert_eq!(server.try_wait().unwrap(), None, "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert!(server.wait().unwrap().success());
}
