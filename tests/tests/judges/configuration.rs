//! The global configuration, ours and X-Road's, before openssl alone.

use std::path::Path;

use causeway_keys::KeyKind;

use crate::desk::Desk;
use crate::samples::{Samples, VERSIONS, find};
use crate::tools;

fn desk<'f>(
    directory: &[u8],
    anchor: &[u8],
    files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
) -> Desk {
    let desk = Desk::empty();
    desk.put("internalconf", directory);
    desk.put("anchor.xml", anchor);
    for (path, content) in files {
        desk.put(path.strip_prefix('/').unwrap(), content);
    }
    desk
}

fn check(desk: &Desk) -> Result<String, String> {
    let signature = desk.run_in(desk.path(), crate::page::step("configuration-signature"))?;
    assert!(signature.contains("Verified OK"), "{signature}");
    desk.run_in(desk.path(), crate::page::step("configuration-files"))
}

#[test]
fn our_configurations_hold_in_every_version() {
    if !tools::have(&["openssl"]) {
        return;
    }
    let samples = Samples::of(KeyKind::EcP256);
    assert_eq!(samples.published.len(), VERSIONS.count() * 2);
    for published in &samples.published {
        let place = format!("{:?} {}", published.kind, published.version);
        let anchor = |own: bool| {
            let found = samples.anchors.iter().find(|(kind, _)| (*kind == published.kind) == own);
            found.unwrap().1.as_slice()
        };
        let files = || published.files.iter().map(|(path, content)| (path.as_str(), &content[..]));
        let said = check(&desk(&published.directory, anchor(true), files()));
        let said = said.unwrap_or_else(|said| panic!("{place}: {said}"));
        assert!(
            said.contains("shared-params.xml") && said.contains("Expire-date:"),
            "{place}: {said}"
        );
        let text = String::from_utf8_lossy(&published.directory).into_owned();
        assert!(text.contains(&format!("\r\nVersion: {}\r\n", published.version)), "{place}");

        check(&desk(&published.directory, anchor(false), files())).expect_err("another's anchor");
        let mut forged = published.directory.to_vec();
        let at = find(&forged, b"Expire-date: 2").unwrap() + 14;
        forged[at] ^= 1;
        check(&desk(&forged, anchor(true), files())).expect_err("a forged date");
        let forged = published.files.iter().map(|(path, content)| (path.as_str(), &content[1..]));
        check(&desk(&published.directory, anchor(true), forged)).expect_err("forged files");
    }
}

#[test]
fn xroads_configurations_hold_by_the_same_commands() {
    let Some(folder) = tools::vectors().filter(|_| tools::have(&["openssl"])) else { return };
    for version in ["V3", "V4", "V5"] {
        let folder = folder.join("globalconf-signed").join(version);
        let directory = std::fs::read(folder.join("internalconf")).unwrap();
        let text = String::from_utf8_lossy(&directory).into_owned();
        let paths = text.lines().filter_map(|line| line.strip_prefix("Content-location: "));
        let files: Vec<_> = paths.map(|path| (path.trim(), read(&folder, path.trim()))).collect();
        let shared = files.iter().find(|(path, _)| path.ends_with("shared-params.xml")).unwrap();
        // Its anchor is not among the vectors, but the certificates are in the configuration too.
        let anchor = String::from_utf8_lossy(&shared.1)
            .replace("internalVerificationCert", "verificationCert");
        let files = files.iter().map(|(path, content)| (*path, content.as_slice()));
        check(&desk(&directory, anchor.as_bytes(), files))
            .unwrap_or_else(|said| panic!("{version}: {said}"));
    }
}

fn read(folder: &Path, location: &str) -> Vec<u8> {
    // Locations begin with the version's folder.
    std::fs::read(folder.parent().unwrap().join(location.strip_prefix('/').unwrap())).unwrap()
}
