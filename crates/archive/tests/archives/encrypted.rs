//! Encrypted archives, opened by `gpg` and by ourselves.

use std::fs::{self, File};
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use causeway_archive::ArchiveError;
use causeway_archive::folder::{Protection, Settings};
use causeway_archive::openpgp::{Recipients, SecretKeys, decrypt, looks_encrypted};
use causeway_archive::read::inspect;
use time::OffsetDateTime;

use super::{Book, archive};

/// A keyring of GnuPG with keys of three kinds; none, with a word about it, where there is no GnuPG.
struct Gpg(tempfile::TempDir);

impl Gpg {
    fn new() -> Option<Self> {
        if Command::new("gpg").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("SKIPPED: gpg is not installed");
            return None;
        }
        let home = Self(tempfile::Builder::new().prefix("g").tempdir().unwrap());
        for (user, algorithm) in
            [("rsa", "rsa2048"), ("curve", "future-default"), ("nist", "nistp256")]
        {
            let mut arguments = vec!["--passphrase", "", "--quick-generate-key", user, algorithm];
            if user != "curve" {
                arguments.extend(["default", "never"]);
            }
            home.run(&arguments);
            if user == "nist" {
                let fingerprint = home.fingerprint(user);
                home.run(&[
                    "--passphrase",
                    "",
                    "--quick-add-key",
                    &fingerprint,
                    "nistp256",
                    "encr",
                ]);
            }
            if user == "rsa" {
                let fingerprint = home.fingerprint(user);
                home.run(&["--passphrase", "", "--quick-add-key", &fingerprint, "rsa2048", "encr"]);
            }
        }
        Some(home)
    }

    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("gpg")
            .arg("--homedir")
            .arg(self.0.path())
            .args([
                "--batch",
                "--yes",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
                "--trust-model",
                "always",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    fn fingerprint(&self, user: &str) -> String {
        let listed = String::from_utf8(self.run(&["--list-keys", "--with-colons", user])).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    fn recipients(&self, users: &[&str]) -> Recipients {
        let keys = self.run(&[&["--export"], users].concat());
        Recipients::read(&keys, OffsetDateTime::now_utc()).unwrap()
    }

    fn secrets(&self, user: &str) -> SecretKeys {
        SecretKeys::read(&self.run(&["--export-secret-keys", "--armor", user]), "").unwrap()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.0.path())
            .args(["--kill", "all"])
            .status();
    }
}

fn encrypted(folder: &Path, recipients: Recipients, signer: Option<SecretKeys>) -> PathBuf {
    let protection =
        Protection::OpenPgp { recipients: Arc::new(recipients), signer: signer.map(Arc::new) };
    let records = [("DEV/COM/1", vec![1; 3 << 20]), ("DEV/COM/1", b"second".to_vec())];
    let book = Book { protection, ..Book::default() };
    let book = archive(folder, Settings::default(), book, &records);
    let link = &book.links[0].1;
    assert_eq!(book.stored[0].file_name().unwrap().to_str(), Some(&link.archive[..]));
    assert!(link.archive.ends_with(".zip.gpg"));
    book.stored[0].clone()
}

fn opened(path: &Path, keys: &SecretKeys) -> Result<Vec<u8>, ArchiveError> {
    let mut plain = Vec::new();
    decrypt(BufReader::new(File::open(path).unwrap()), &mut plain, keys, 64 << 20)?;
    Ok(plain)
}

#[test]
fn each_recipient_opens_it_with_gpg_and_without() {
    let Some(gpg) = Gpg::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let all = gpg.recipients(&["rsa"]).and(gpg.recipients(&["curve", "nist", "rsa"])).unwrap();
    assert_eq!(all.fingerprints().len(), 3);
    let path = encrypted(folder.path(), all, Some(gpg.secrets("rsa")));
    assert!(looks_encrypted(&fs::read(&path).unwrap()));
    let by_gpg = gpg.run(&["--decrypt", path.to_str().unwrap()]);
    assert!(inspect(Cursor::new(&by_gpg)).unwrap().holds());
    let status = String::from_utf8(gpg.run(&[
        "--status-fd",
        "1",
        "--output",
        "/dev/null",
        "--decrypt",
        path.to_str().unwrap(),
    ]))
    .unwrap();
    assert!(status.contains("GOODSIG") && status.contains("DECRYPTION_OKAY"), "{status}");
    assert_eq!(status.matches("ENC_TO").count(), 3, "{status}");
    for user in ["rsa", "curve", "nist"] {
        assert!(opened(&path, &gpg.secrets(user)).unwrap() == by_gpg, "{user}");
    }
    // Nothing was written as plaintext beside it.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_gpg_encrypts_as_xroad_has_it_do_is_opened() {
    let Some(gpg) = Gpg::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.zip");
    fs::write(&plain, vec![9; 100_000]).unwrap();
    let as_xroad = "--compress-algo none --cipher-algo AES-256 --digest-algo SHA256";
    for options in [as_xroad, "--digest-algo SHA512"] {
        let out = folder.path().join("out.gpg");
        let mut arguments: Vec<&str> = options.split(' ').collect();
        arguments.extend(["--recipient", "curve", "--local-user", "rsa", "--encrypt", "--sign"]);
        arguments.extend(["--output", out.to_str().unwrap(), plain.to_str().unwrap()]);
        gpg.run(&arguments);
        assert!(opened(&out, &gpg.secrets("curve")).unwrap() == vec![9; 100_000]);
    }
}

#[test]
fn others_do_not_open_it_and_changes_are_noticed() {
    let Some(gpg) = Gpg::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = encrypted(folder.path(), gpg.recipients(&["curve"]), None);
    assert!(matches!(opened(&path, &gpg.secrets("rsa")), Err(ArchiveError::NoKey(_))));
    let keys = gpg.secrets("curve");
    let bytes = fs::read(&path).unwrap();
    let mut small = Vec::new();
    let error = decrypt(Cursor::new(bytes.clone()), &mut small, &keys, 1000).unwrap_err();
    assert_eq!(error.code(), "io_error");
    let changed = folder.path().join("changed");
    for at in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 30, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        fs::write(&changed, bytes).unwrap();
        let error = opened(&changed, &keys).unwrap_err();
        assert!(matches!(error, ArchiveError::Encryption(_)), "{at}: {error}");
    }
    for length in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&changed, &bytes[..length]).unwrap();
        opened(&changed, &keys).unwrap_err();
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused() {
    let now = OffsetDateTime::now_utc();
    for bytes in [&b""[..], b"nonsense", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"] {
        assert!(matches!(Recipients::read(bytes, now), Err(ArchiveError::Key(_))), "{bytes:?}");
        assert!(matches!(SecretKeys::read(bytes, ""), Err(ArchiveError::Key(_))));
    }
    let Some(gpg) = Gpg::new() else { return };
    gpg.run(&["--passphrase", "", "--quick-generate-key", "signs", "rsa2048", "sign", "never"]);
    let signs = gpg.run(&["--export", "signs"]);
    assert!(
        Recipients::read(&signs, now).unwrap_err().to_string().contains("no key for encryption")
    );
    gpg.run(&[
        "--passphrase",
        "",
        "--quick-generate-key",
        "short",
        "future-default",
        "default",
        "1d",
    ]);
    let short = gpg.run(&["--export", "short"]);
    Recipients::read(&short, now).unwrap();
    let later = now + time::Duration::days(2);
    assert!(Recipients::read(&short, later).unwrap_err().to_string().contains("has expired"));
}
