//! Doing what a command says.

use std::fs;
use std::path::Path;

use causeway_console::{Program, time};
use causeway_globalconf::Anchor as AnchorFile;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tracing_subscriber::EnvFilter;

use super::{Anchor, Cli, Command, Failure, SigningKey, edits, requests, show, users};
use crate::admin::{AdminAnswer, AdminClient};
use crate::config::Config;
use crate::edit::Edit;
use crate::listing::Listing;
use crate::records::ConfigurationKind;
use crate::registry::{Records, Registry, RegistryError};
use crate::store::StoreError;

/// What a command answers.
pub(super) enum Answer {
    /// A text for people, and the same for programs.
    Told(String, Value),
    /// Bytes that go to standard output as they are.
    Raw(Vec<u8>),
}

impl Answer {
    /// Prints it, with the commands in it as they can be pasted.
    pub(super) fn print(self, as_json: bool, program: &Program) {
        use std::io::Write as _;
        let bytes = match self {
            Self::Told(_, mut value) if as_json => {
                if let Some(Value::String(next)) = value.get_mut("next") {
                    *next = program.pasteable(next);
                }
                format!("{value}\n").into_bytes()
            }
            Self::Told(text, _) => format!("{}\n", program.pasteable(text.trim_end())).into_bytes(),
            Self::Raw(bytes) => bytes,
        };
        // A reader that has gone away wants no more.
        let _ = std::io::stdout().write_all(&bytes);
    }
}

/// Where a command finds the records.
pub(super) enum Backend {
    Running(AdminClient),
    Idle(Box<Records>),
}

impl Backend {
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        if let Some(client) = AdminClient::connect(&config.admin_socket())? {
            return Ok(Self::Running(client));
        }
        match Records::open(config) {
            Ok(records) => Ok(Self::Idle(records.into())),
            Err(RegistryError::Store(e @ StoreError::InUse)) => Err(Failure::new(
                e,
                "another command is at work: try again; or a registry is starting or stopping: wait for it",
            )),
            Err(e) => Err(e.into()),
        }
    }

    fn listing(&self) -> Result<Listing, Failure> {
        match self {
            Self::Running(client) => Ok(client.listing()?),
            Self::Idle(records) => Ok(records.listing()),
        }
    }

    fn edit(&mut self, edit: Edit) -> Result<AdminAnswer, Failure> {
        match self {
            Self::Running(client) => Ok(client.edit(&edit)?),
            Self::Idle(records) => {
                records.edit(edit)?;
                Ok(not_running(None))
            }
        }
    }

    fn anchor(&self, config: &Config, kind: ConfigurationKind) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Running(client) => Ok(client.anchor(kind)?),
            Self::Idle(records) => {
                let anchor = records.anchor(config, kind, OffsetDateTime::now_utc())?;
                Ok(anchor.to_xml().map_err(RegistryError::from)?)
            }
        }
    }
}

pub(super) fn act(cli: Cli) -> Result<Answer, Failure> {
    let config = Config::load(&cli.config)?;
    if !matches!(cli.command, Command::Init | Command::Run { check: true }) {
        existing(&config)?;
    }
    let edit = match cli.command {
        Command::Run { check: true } => {
            let text = format!("{}: correct", cli.config.display());
            return Ok(Answer::Told(text, json!({ "correct": true })));
        }
        Command::Run { check: false } => return run(config),
        Command::Init => return init(config),
        Command::List { what } => {
            let listing = Backend::open(&config)?.listing()?;
            let value = show::value(&listing, what);
            return Ok(Answer::Told(show::tables(&listing, what), value));
        }
        Command::Publish => return publish(config),
        Command::Anchor(Anchor::Export { kind, out }) => {
            return export(&config, kind.into(), out.as_deref());
        }
        Command::Requests(command) => return requests::act(&config, command),
        Command::SigningKey(command) => return signing_key(config, command),
        Command::User(command) => return users::on_users(&config, command),
        Command::Audit(command) => return users::on_audit(&config, &command),
        other => edits::of(other)?,
    };
    let done = edits::told(&edit);
    let answer = Backend::open(&config)?.edit(edit)?;
    Ok(changed(&done, &answer))
}

/// Refuses to work with a registry that nobody has made: a mistake in the configuration file's name or
/// in `storage` would make an empty one.
fn existing(config: &Config) -> Result<(), Failure> {
    if config.store_folder().is_dir() && config.token_folder().is_dir() {
        return Ok(());
    }
    Err(Failure::new(
        format!("there is no registry in {}", config.storage.display()),
        "make one: `central-registry init`; or correct 'storage' in the configuration file",
    ))
}

pub(super) fn not_running(id: Option<String>) -> AdminAnswer {
    AdminAnswer {
        published: false,
        reason: Some("no registry runs".into()),
        next: Some("publish it: `central-registry run`, or `central-registry publish`".into()),
        id,
    }
}

pub(super) fn changed(done: &str, answer: &AdminAnswer) -> Answer {
    let mut text = done.to_owned();
    if let Some(id) = &answer.id {
        text.push_str(&format!(" {id}"));
    }
    text.push_str(match answer.published {
        true => ", published",
        false => ", stored but not published yet",
    });
    if let Some(reason) = &answer.reason {
        text.push_str(&format!(": {reason}"));
    }
    if let Some(next) = &answer.next {
        text.push_str(&format!("\nnext: {next}"));
    }
    let mut value = serde_json::to_value(answer).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("done".into(), done.into());
    }
    Answer::Told(text, value)
}

fn run(config: Config) -> Result<Answer, Failure> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // That nobody reads the log is no reason to stop: telling so on standard error would panic.
    tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    if AdminClient::connect(&config.admin_socket())?.is_some() {
        let next = "stop it first, or work with it: the other commands do";
        return Err(Failure::new("a registry runs on this storage folder already", next));
    }
    let registry = Registry::open(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(e, "look at the limits of the system"))?;
    runtime.block_on(async {
        let listen = registry.config().listen;
        let listener = tokio::net::TcpListener::bind(listen).await.map_err(|e| {
            let next = "correct 'listen' in the configuration file, or free the port";
            Failure::new(format!("cannot listen on {listen}: {e}"), next)
        })?;
        registry.serve(listener, stop_signal()).await?;
        Ok(Answer::Told("stopped".into(), json!({ "stopped": true })))
    })
}

async fn stop_signal() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

fn init(config: Config) -> Result<Answer, Failure> {
    if AdminClient::connect(&config.admin_socket())?.is_some() {
        let next = "export the anchors: `central-registry anchor export internal --out FILE`";
        return Err(Failure::new("a registry runs on this storage folder already", next));
    }
    let registry = Registry::open(config)?;
    let keys = registry.listing().signing_keys;
    let lines = keys.iter().map(|key| {
        format!(
            "{} signing key {}: certificate {}",
            key.kind.name(),
            key.id,
            key.certificate.sha256
        )
    });
    let mut text = lines.collect::<Vec<_>>().join("\n");
    text.push_str(
        "\nnext: add a class of members, `central-registry member-class add CODE --description DESCRIPTION`; \
         members, `central-registry member add INSTANCE/CLASS/CODE --name NAME`; and say who provides the \
         management services, `central-registry management set --provider CLIENT`",
    );
    Ok(Answer::Told(text, json!({ "signing_keys": keys })))
}

fn publish(config: Config) -> Result<Answer, Failure> {
    if let Some(client) = AdminClient::connect(&config.admin_socket())? {
        let answer = client.publish()?;
        return match answer.published {
            true => Ok(Answer::Told("published".into(), json!(answer))),
            false => {
                let next = answer.next.unwrap_or_else(|| "look at the registry's log".into());
                Err(Failure::new(answer.reason.unwrap_or_else(|| "not published".into()), next))
            }
        };
    }
    let registry = Registry::open(config)?;
    let publication = registry.publish(OffsetDateTime::now_utc())?;
    if let Some(problem) = publication.disk_problem() {
        return Err(Failure::new(
            problem,
            "look at the disk and the permissions of the storage folder",
        ));
    }
    let folder = registry.config().public_folder();
    let text = format!("published in {}, until {}", folder.display(), time(publication.expires()));
    let value = json!({ "published": true, "folder": folder, "expires_unix": publication.expires().unix_timestamp() });
    Ok(Answer::Told(text, value))
}

fn export(config: &Config, kind: ConfigurationKind, out: Option<&Path>) -> Result<Answer, Failure> {
    let xml = Backend::open(config)?.anchor(config, kind)?;
    let Some(out) = out else { return Ok(Answer::Raw(xml)) };
    fs::write(out, &xml).map_err(|e| {
        Failure::new(format!("{}: {e}", out.display()), "name a file that can be written")
    })?;
    let fingerprint = AnchorFile::fingerprint(&xml);
    let text = format!(
        "{} anchor written to {}\nSHA-256 {fingerprint}\nnext: hand it over by a way that you trust, and compare the fingerprint",
        kind.name(),
        out.display()
    );
    let value = json!({ "file": out, "kind": kind, "sha256": fingerprint });
    Ok(Answer::Told(text, value))
}

fn signing_key(config: Config, command: SigningKey) -> Result<Answer, Failure> {
    let (done, answer) = match AdminClient::connect(&config.admin_socket())? {
        Some(client) => match command {
            SigningKey::Add { kind } => ("made signing key", client.add_signing_key(kind.into())?),
            SigningKey::Activate { id } => {
                ("activated signing key", client.activate_signing_key(&id)?)
            }
            SigningKey::Remove { id } => ("removed signing key", client.remove_signing_key(&id)?),
        },
        None => {
            let registry = Registry::open(config)?;
            match command {
                SigningKey::Add { kind } => {
                    let id = registry.add_signing_key(kind.into())?;
                    ("made signing key", not_running(Some(id)))
                }
                SigningKey::Activate { id } => {
                    registry.activate_signing_key(&id)?;
                    ("activated signing key", not_running(None))
                }
                SigningKey::Remove { id } => {
                    registry.remove_signing_key(&id)?;
                    ("removed signing key", not_running(None))
                }
            }
        }
    };
    Ok(changed(done, &answer))
}
