//! A folder in which the page's commands are run, as a reader of the page would have it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::page;

/// A folder with a container, unpacked, and the configuration to judge it by.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    /// Puts a container and a verification configuration there, and takes the page's first steps.
    pub(crate) fn new(container: &[u8], configuration: &[u8]) -> Self {
        let desk = Self::empty();
        desk.put("evidence.asice", container);
        desk.put("verificationconf.zip", configuration);
        desk.put("chain.sh", page::file("chain.sh").as_bytes());
        desk.run_in(desk.path(), page::step("unpack")).unwrap();
        desk.step("trust").unwrap();
        desk
    }

    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the unpacked container.
    pub(crate) fn part(&self, name: &str) -> PathBuf {
        self.path().join("container").join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Takes a step of the page in the unpacked container; gives what was printed, as an error when
    /// a command failed.
    pub(crate) fn step(&self, name: &str) -> Result<String, String> {
        self.run_in(&self.path().join("container"), page::step(name))
    }

    /// Takes a step of the page with other words in it.
    pub(crate) fn step_with(&self, name: &str, from: &str, to: &str) -> Result<String, String> {
        let commands = page::step(name);
        assert!(commands.contains(from), "{name} has no {from}");
        self.run_in(&self.path().join("container"), &commands.replace(from, to))
    }

    /// Runs commands until one fails.
    pub(crate) fn run_in(&self, folder: &Path, commands: &str) -> Result<String, String> {
        let output = Command::new("sh")
            .args(["-euc", commands])
            .current_dir(folder)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() { Ok(said) } else { Err(said) }
    }
}
