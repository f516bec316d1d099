//! Users of the API, and its audit log.

use std::io::BufReader;
use std::path::PathBuf;

use causeway_admin::audit::{AuditLog, FaultKind, GENESIS, Link, Verifier};
use causeway_admin::identity::{IdentityError, Role};
use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::Failure;
use super::act::Answer;
use crate::admin::{AdminClient, UserEdit, UserListing, list_users, users_next_step};
use crate::api;
use crate::config::Config;

/// The longest password file that is read, in bytes.
const MAX_PASSWORD: u64 = 1024;

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Show the users with their roles.
    List,
    /// Add a user.
    Add {
        /// The name.
        name: String,
        /// A role; may be repeated.
        #[arg(long = "role", required = true, value_parser = Role::ALL.map(Role::name))]
        roles: Vec<String>,
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// Give a user another password, or other roles; their sessions end.
    Change {
        /// The name.
        name: String,
        /// A role in place of those there are; may be repeated.
        #[arg(long = "role", value_parser = Role::ALL.map(Role::name))]
        roles: Vec<String>,
        /// Ask for a new password, or take it from --password-file.
        #[arg(long)]
        password: bool,
        #[command(flatten)]
        from: PasswordFrom,
    },
    /// Remove a user; their sessions end.
    Remove {
        /// The name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct PasswordFrom {
    /// A file with the password; without it, the password is asked for at the terminal.
    #[arg(long)]
    password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Tell whether lines of the audit log were changed, moved or removed.
    Verify {
        /// The end that an earlier verification told, as NUMBER:HASH: the log must still have it. A log
        /// whose end was cut off is found by this alone.
        #[arg(long, value_parser = link)]
        end: Option<Link>,
        /// The end of what was archived before, as NUMBER:HASH: the log must follow it.
        #[arg(long, value_parser = link)]
        after: Option<Link>,
    },
}

fn link(text: &str) -> Result<Link, String> {
    let read = || {
        let (seq, hash) = text.split_once(':')?;
        let hash = hex::decode(hash).ok()?.try_into().ok()?;
        Some(Link { seq: seq.parse().ok()?, hash })
    };
    read().ok_or_else(|| "give it as NUMBER:HASH, as a verification tells it".to_owned())
}

impl PasswordFrom {
    fn read(self, user: &str) -> Result<Zeroizing<String>, Failure> {
        let amiss = |e: &dyn std::fmt::Display| {
            Failure::new(e.to_string(), "give a file with the password, or run at a terminal")
        };
        match self.password_file {
            Some(path) => {
                use std::io::Read as _;
                let mut text = Zeroizing::new(String::new());
                let file = std::fs::File::open(&path)
                    .map_err(|e| amiss(&format!("{}: {e}", path.display())))?;
                file.take(MAX_PASSWORD)
                    .read_to_string(&mut text)
                    .map_err(|e| amiss(&format!("{}: {e}", path.display())))?;
                Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            None => rpassword::prompt_password(format!("Password of {user}: "))
                .map(Zeroizing::new)
                .map_err(|e| amiss(&e)),
        }
    }
}

impl From<IdentityError> for Failure {
    fn from(e: IdentityError) -> Self {
        Self::new(&e, users_next_step(&e))
    }
}

pub(super) fn on_users(config: &Config, command: User) -> Result<Answer, Failure> {
    let (done, edit) = match command {
        User::List => (None, None),
        User::Add { name, roles, password } => {
            let password = password.read(&name)?.to_string();
            let done = format!("added user {name}");
            (Some(done), Some(UserEdit::Add { name, password, roles }))
        }
        User::Change { name, roles, password, from } => {
            let asked = password || from.password_file.is_some();
            let password = match asked {
                true => Some(from.read(&name)?.to_string()),
                false => None,
            };
            let done = format!("changed user {name}");
            (Some(done), Some(UserEdit::Change { name, password, roles }))
        }
        User::Remove { name } => {
            (Some(format!("removed user {name}")), Some(UserEdit::Remove { name }))
        }
    };
    let users = match (AdminClient::connect(&config.admin_socket())?, edit) {
        (Some(client), Some(edit)) => client.edit_users(&edit)?,
        (Some(client), None) => client.users()?,
        (None, edit) => {
            let identity = api::open_identity(config)?;
            if let Some(edit) = edit {
                edit.make(&identity)?;
            }
            list_users(&identity)
        }
    };
    let text = done.clone().unwrap_or_else(|| table(&users));
    Ok(Answer::Told(text, json!({ "done": done, "users": users })))
}

fn table(users: &[UserListing]) -> String {
    let lines = users.iter().map(|user| format!("{}  {}", user.name, user.roles.join(" ")));
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { "there are no users".to_owned() } else { lines.join("\n") }
}

pub(super) fn on_audit(config: &Config, command: &Audit) -> Result<Answer, Failure> {
    let Audit::Verify { end, after } = command;
    let folder = config.audit_folder();
    let unreadable = |e: std::io::Error| {
        Failure::new(format!("{}: {e}", folder.display()), "is the admin interface switched on?")
    };
    let files = AuditLog::files(&folder).map_err(unreadable)?;
    let mut verifier = Verifier::new(Some(after.unwrap_or(GENESIS)));
    if let Some(end) = end {
        verifier = verifier.expecting(*end);
    }
    for file in &files {
        let reader = std::fs::File::open(file).map_err(unreadable)?;
        verifier.read(BufReader::new(reader)).map_err(unreadable)?;
    }
    let report = verifier.finish();
    let faults: Vec<String> = (report.faults.iter())
        .map(|fault| format!("line {}: {}", fault.line, what(fault.kind)))
        .collect();
    if !report.is_whole() {
        let error = format!("the audit log is not as it was written:\n{}", faults.join("\n"));
        return Err(Failure::new(error, "keep the files as they are for whoever looks into it"));
    }
    let told = report.end.map(|end| format!("{}:{}", end.seq, hex::encode(end.hash)));
    let mut text = format!("{} lines in {} files, as they were written", report.lines, files.len());
    if let Some(end) = &told {
        text.push_str(&format!(
            "\nend {end}\nnext: note the end elsewhere, and give it to the next verification with --end"
        ));
    }
    Ok(Answer::Told(text, json!({ "lines": report.lines, "end": told })))
}

fn what(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::NotALine => "no line of an audit log",
        FaultKind::Changed => "was changed",
        FaultKind::DoesNotFollow => {
            "does not follow the one before: lines were removed, added or moved"
        }
        FaultKind::Unfinished => "is unfinished",
        FaultKind::EndsElsewhere => "the noted end is not there: lines are missing at the end",
        _ => "is not as it was written",
    }
}
