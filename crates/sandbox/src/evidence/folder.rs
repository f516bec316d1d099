//! The evidence as files, for tools of others.

use std::fs::File;
use std::path::Path;

use causeway_asic::Limits;
use causeway_asic::archive::Archive;
use central_registry::ConfigurationKind;
use hyper::StatusCode;

use super::{Judged, file_name, write_file};
use crate::consumer::Consumer;
use crate::texts::Language;
use crate::{Ecosystem, SandboxError};

/// The largest file of a verification configuration that is unpacked, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// The page for auditors. What its commands do, ours do: there is one copy of them.
const PAGE: &str = include_str!("../../../../docs/verify-by-hand.md");

/// Writes containers, verification configuration (packed and unpacked), the signed global
/// configuration with its anchor, certificates, and a text that says how to check them with other
/// tools, into a folder.
///
/// # Errors
/// When files cannot be written, the verification configuration cannot be unpacked, or the registry
/// does not answer.
pub async fn write(
    folder: &Path,
    ecosystem: &Ecosystem,
    configuration: &Path,
    judged: &[Judged],
    language: Language,
) -> Result<(), SandboxError> {
    std::fs::create_dir_all(folder).map_err(SandboxError::io(folder))?;
    remove_older(folder).map_err(SandboxError::io(folder))?;
    for (number, judged) in (1..).zip(judged) {
        for evidence in &judged.evidence {
            write_file(folder, &file_name(number, evidence), &evidence.container)?;
        }
    }
    let zip = std::fs::read(configuration).map_err(SandboxError::io(configuration))?;
    write_file(folder, "verificationconf.zip", &zip)?;
    unpack(configuration, folder)?;
    let authorities = ecosystem.authorities();
    let certificates = [
        ("ca.pem", authorities.ca().certificate()),
        ("ocsp.pem", authorities.ocsp_certificate()),
        ("tsa.pem", authorities.tsa_certificate()),
    ];
    for (name, certificate) in certificates {
        write_file(folder, name, certificate.to_pem().as_bytes())?;
    }
    let registry = Consumer::new(format!("http://{}", ecosystem.addresses().registry()));
    let signed = registry.get("/internalconf?version=6").await?;
    write_file(folder, "internalconf", signed.body())?;
    for location in locations(signed.body()) {
        let file = registry.get(location).await?;
        if file.status() != StatusCode::OK {
            return Err(SandboxError::part(location)(file.status()));
        }
        write_file(folder, location.trim_start_matches('/'), file.body())?;
    }
    let anchor = ecosystem.registry().anchor(ConfigurationKind::Internal);
    let anchor = anchor.map_err(SandboxError::part("anchor"))?;
    write_file(folder, "anchor.xml", &anchor)?;
    write_file(folder, "check.sh", include_bytes!("check.sh"))?;
    write_file(folder, "chain.sh", chain_script()?.as_bytes())?;
    write_file(folder, "verify-by-hand.md", PAGE.as_bytes())?;
    write_file(folder, "README.txt", language.evidence_readme().as_bytes())
}

/// The script of the page that folds a hash chain.
fn chain_script() -> Result<&'static str, SandboxError> {
    let (_, script) = PAGE.split_once("<!-- file: chain.sh -->\n```sh\n").unwrap_or_default();
    match script.split_once("```\n") {
        Some((script, _)) => Ok(script),
        None => Err(SandboxError::part("verify-by-hand.md")("has no chain.sh")),
    }
}

/// The paths of the files that a signed directory names, as far as they stay within a folder.
fn locations(directory: &[u8]) -> impl Iterator<Item = &str> {
    let lines = directory.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    lines
        .filter_map(|line| line.strip_prefix("Content-location: "))
        .map(str::trim_end)
        .filter(|path| path.starts_with('/') && !path.split('/').any(|part| part == ".."))
}

/// Removes the containers of an earlier run: other authorities vouch for them than those of this one.
fn remove_older(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".asice")) else {
            continue;
        };
        let mut parts = name.splitn(3, '-');
        let number = parts.next().is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()));
        let kind = parts.next().is_some_and(|kind| matches!(kind, "request" | "response"));
        if number && kind && parts.next().is_some_and(|server| server.starts_with("ss")) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Unpacks the archive; its names are those that our own server gives, and are checked all the same.
fn unpack(configuration: &Path, folder: &Path) -> Result<(), SandboxError> {
    let failed = |error: causeway_asic::AsicError| SandboxError::part("verificationconf")(error);
    let file = File::open(configuration).map_err(SandboxError::io(configuration))?;
    let mut archive = Archive::open(file, &Limits::for_global_configuration()).map_err(failed)?;
    let entries = archive.entries().to_vec();
    for entry in entries.iter().filter(|entry| !entry.is_directory()) {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
        if !entry.name().split('/').all(plain) {
            return Err(SandboxError::part("verificationconf")(entry.name()));
        }
        let content = archive.read(entry, MAX_FILE).map_err(failed)?;
        write_file(folder, entry.name(), &content)?;
    }
    Ok(())
}
