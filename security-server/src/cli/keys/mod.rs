//! `keys`: from an empty token to certificates in use.

mod choose;
mod request;
mod show;

use std::path::PathBuf;
use std::str::FromStr as _;

use causeway_console::name;
use causeway_identifiers::MemberId;
use causeway_keys::{KeyKind, SoftwareToken, Token as _, Usage};
use causeway_pki::Certificate;
use serde_json::json;

use super::Refusal;
use super::console::{Console, day, printable};
use super::place::{Found, NewPinArguments, TokenPlace, new_pin};

#[derive(Debug, clap::Args)]
pub(super) struct KeysArguments {
    #[command(flatten)]
    place: TokenPlace,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeysCommand {
    /// Make a token.
    Init {
        /// The token's name, for people.
        #[arg(long, default_value = "software token")]
        label: String,
        /// Accept a PIN that is easily guessed.
        #[arg(long)]
        allow_weak_pin: bool,
    },
    /// Make a key.
    Generate {
        /// What it is for.
        #[arg(long, value_enum)]
        usage: UsageArgument,
        /// rsa2048, rsa3072, rsa4096 or p256.
        #[arg(long, default_value = "rsa3072", value_parser = KeyKind::from_str)]
        kind: KeyKind,
        /// The key's name, for people.
        #[arg(long, default_value = "")]
        label: String,
    },
    /// Show keys, certificates and requests. Needs no PIN.
    List,
    /// Take a key into use that is in a module already; without a key, show those that could be.
    Adopt {
        /// The beginning of its identifier, as shown.
        #[arg(requires = "usage")]
        key: Option<String>,
        /// What it is for.
        #[arg(long, value_enum)]
        usage: Option<UsageArgument>,
        /// The key's name, for people.
        #[arg(long, default_value = "")]
        label: String,
    },
    /// Make a certificate request for a key.
    Csr(request::CsrArguments),
    /// Take the certificate that an authority issued.
    Import {
        /// The certificate, PEM or DER.
        file: PathBuf,
        /// The member whose signatures it is for, INSTANCE/CLASS/CODE; if another than that of the
        /// key's request.
        #[arg(long, value_parser = MemberId::parse)]
        member: Option<MemberId>,
    },
    /// Put a certificate to use.
    Activate {
        /// The beginning of its SHA-256 fingerprint, as `list` shows it.
        certificate: String,
    },
    /// Take a certificate out of use; it stays in the token.
    Deactivate {
        /// The beginning of its SHA-256 fingerprint, as `list` shows it.
        certificate: String,
    },
    /// Delete a key with all that belongs to it, or one certificate, or a key's requests.
    #[command(group = clap::ArgGroup::new("what").required(true))]
    Delete {
        /// The key: its label, or the beginning of its identifier.
        #[arg(long, group = "what")]
        key: Option<String>,
        /// The certificate: the beginning of its SHA-256 fingerprint.
        #[arg(long, group = "what")]
        certificate: Option<String>,
        /// The key whose unanswered requests go.
        #[arg(long, group = "what", value_name = "KEY")]
        requests_of: Option<String>,
        /// Do it. Without, only what would be lost is said.
        #[arg(long)]
        yes: bool,
    },
    /// Change the token's PIN.
    ChangePin {
        #[command(flatten)]
        new: NewPinArguments,
        /// Accept a PIN that is easily guessed.
        #[arg(long)]
        allow_weak_pin: bool,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum UsageArgument {
    /// A member's signatures on messages.
    Signing,
    /// This server's side of TLS between security servers.
    Authentication,
}

impl From<UsageArgument> for Usage {
    fn from(usage: UsageArgument) -> Self {
        match usage {
            UsageArgument::Signing => Self::Signing,
            UsageArgument::Authentication => Self::Authentication,
        }
    }
}

pub(super) fn execute(arguments: &KeysArguments, console: &mut Console<'_>) -> Result<(), Refusal> {
    let found = arguments.place.find()?;
    let mut act = Act { found, json: arguments.json, console };
    match &arguments.command {
        KeysCommand::Init { label, allow_weak_pin } => act.init(label, *allow_weak_pin),
        KeysCommand::Generate { usage, kind, label } => act.generate((*usage).into(), *kind, label),
        KeysCommand::Adopt { key: Some(key), usage: Some(usage), label } => {
            act.adopt(key, (*usage).into(), label)
        }
        KeysCommand::Adopt { .. } => act.unknown(),
        KeysCommand::List => show::list(&act.found, act.json, act.console),
        KeysCommand::Csr(arguments) => request::make(&act.found, arguments, act.json, act.console),
        KeysCommand::Import { file, member } => act.import(file, member.as_ref()),
        KeysCommand::Activate { certificate } => act.activate(certificate),
        KeysCommand::Deactivate { certificate } => act.deactivate(certificate),
        KeysCommand::Delete { key: Some(key), yes, .. } => act.delete_key(key, *yes),
        KeysCommand::Delete { certificate: Some(certificate), yes, .. } => {
            act.delete_certificate(certificate, *yes)
        }
        KeysCommand::Delete { requests_of: Some(key), yes, .. } => act.delete_requests(key, *yes),
        KeysCommand::Delete { .. } => Err(Refusal::because("say what to delete")),
        KeysCommand::ChangePin { new, allow_weak_pin } => act.change_pin(new, *allow_weak_pin),
    }
}

const RESTART: &str = "restart the server, which reads its token at start";

struct Act<'a, 'o> {
    found: Found,
    json: bool,
    console: &'a mut Console<'o>,
}

impl Act<'_, '_> {
    fn command(&self, rest: &str) -> String {
        self.found.program.command(&format!("keys {rest}"))
    }

    /// TLS needs the server's own key in memory, where no module lets it go.
    fn not_in_a_module(&self, usage: Usage) -> Result<(), Refusal> {
        if usage == Usage::Authentication && self.found.is_module() {
            return Err(Refusal::because(
                "authentication keys are kept in the software token; leave --module out",
            ));
        }
        Ok(())
    }

    fn unknown(&mut self) -> Result<(), Refusal> {
        let token = self.found.open_module()?;
        token.unlock(&self.found.pin()?).map_err(Refusal::because)?;
        let keys = token.unknown_keys().map_err(Refusal::because)?;
        if self.json {
            let keys: Vec<_> = keys
                .iter()
                .map(|key| json!({"key": key.id.as_str(), "kind": key.kind.name(), "label": key.label}))
                .collect();
            return self.console.json(&json!({ "keys": keys }));
        }
        if keys.is_empty() {
            return self.console.line("The module has no signing keys beside those in use.");
        }
        let rows: Vec<_> = keys
            .iter()
            .map(|key| [key.id.as_str().to_owned(), key.kind.to_string(), key.label.clone()])
            .collect();
        self.console.table(["KEY", "KIND", "LABEL"], &rows)?;
        self.console.line(format_args!("Next: {}", self.command("adopt KEY --usage signing")))
    }

    fn adopt(&mut self, named: &str, usage: Usage, label: &str) -> Result<(), Refusal> {
        self.not_in_a_module(usage)?;
        let token = self.found.open_module()?;
        token.unlock(&self.found.pin()?).map_err(Refusal::because)?;
        let keys = token.unknown_keys().map_err(Refusal::because)?;
        let matching = keys.iter().filter(|key| choose::begins(key.id.as_str(), named));
        let key = choose::one(matching, "key", named, &self.found.program)?;
        token.adopt_key(&key.id, label, usage).map_err(Refusal::because)?;
        let id = key.id.as_str();
        let request = self.command(&request::words(&self.found, id, usage));
        let next = format!(
            "take its certificate if it has one: {}; or ask for one: {request}",
            self.command("import FILE --member INSTANCE/CLASS/CODE")
        );
        let text = format!("Took the {usage} key {id} ({}) into use", key.kind);
        let value = json!({
            "key": id, "usage": usage.to_string(), "kind": key.kind.name(), "label": label,
        });
        self.console.done(self.json, value, text, &next)
    }

    fn init(&mut self, label: &str, allow_weak_pin: bool) -> Result<(), Refusal> {
        if self.found.is_module() {
            return Err(Refusal::because(
                "a module is made ready with its manufacturer's own tools; then make a key with `keys generate`",
            ));
        }
        let folder = &self.found.folder;
        if SoftwareToken::open(folder).is_ok() {
            // Said before a PIN is asked for.
            return Err(Refusal::because(causeway_keys::KeysError::TokenExists(folder.clone())));
        }
        let pin = self.found.first_pin(allow_weak_pin)?;
        SoftwareToken::create_with(folder, &pin, label, causeway_keys::Cost::default())
            .map_err(Refusal::because)?;
        let next = format!(
            "make a signing key for each member: {}; and a key for the server: {}",
            self.command("generate --usage signing"),
            self.command("generate --usage authentication"),
        );
        let text = format!("Made the token '{}' in {}", printable(label), folder.display());
        let value = json!({ "token": folder, "label": label });
        self.console.done(self.json, value, text, &next)
    }

    fn generate(&mut self, usage: Usage, kind: KeyKind, label: &str) -> Result<(), Refusal> {
        self.not_in_a_module(usage)?;
        let token = self.found.unlock()?;
        let id = token.generate_key(kind, label, usage).map_err(Refusal::because)?;
        let request = self.command(&request::words(&self.found, id.as_str(), usage));
        let next = format!("ask for a certificate: {request}");
        let text = format!("Made the {usage} key {id} ({kind})");
        let value = json!({
            "key": id.as_str(), "usage": usage.to_string(), "kind": kind.name(), "label": label,
        });
        self.console.done(self.json, value, text, &next)
    }

    fn import(&mut self, file: &PathBuf, member: Option<&MemberId>) -> Result<(), Refusal> {
        let bytes = std::fs::read(file)
            .map_err(|e| Refusal::because(format!("'{}' cannot be read: {e}", file.display())))?;
        let certificate = Certificate::from_der_or_pem(&bytes).map_err(|e| {
            Refusal::because(format!("'{}' is not a certificate: {e}", file.display()))
        })?;
        let token = self.found.open()?;
        let id = token.import_certificate(certificate.clone()).map_err(Refusal::because)?;
        let fingerprint = certificate.sha256();
        if let Some(member) = member {
            token.set_member(&fingerprint, Some(member.clone())).map_err(Refusal::because)?;
        }
        let short = hex::encode(&fingerprint[..6]);
        let key = choose::key(token.as_ref(), id.as_str(), &self.found.program)?;
        let info = key.certificates.iter().find(|c| c.certificate == certificate);
        let member = info.and_then(|info| info.member.as_ref());
        let next = match key.usage {
            Usage::Signing if member.is_none() => format!(
                "nobody said whose signatures it is for; delete it with {} and import it again with --member",
                self.command(&format!("delete --certificate {short} --yes"))
            ),
            Usage::Signing => format!("it is active; {RESTART}"),
            Usage::Authentication => format!(
                "have the registry register it for this server, then {}",
                self.command(&format!("activate {short}"))
            ),
        };
        let mut text = format!(
            "Took the certificate {short} of {} for the {} key {id}, valid until {}",
            printable(&name(&certificate.subject_rfc2253())),
            key.usage,
            day(certificate.not_after()),
        );
        if let Some(member) = member {
            text.push_str(&format!("; it signs for {member}"));
        }
        let value = json!({
            "key": id.as_str(),
            "usage": key.usage.to_string(),
            "certificate": show::certificate(&certificate),
            "member": member.map(MemberId::to_short),
            "active": info.is_some_and(|info| info.active),
        });
        self.console.done(self.json, value, text, &next)
    }

    fn activate(&mut self, certificate: &str) -> Result<(), Refusal> {
        let token = self.found.open()?;
        let (key, info) = choose::certificate(token.as_ref(), certificate, &self.found.program)?;
        if !info.certificate.is_valid_at(time::OffsetDateTime::now_utc()) {
            return Err(Refusal::because(format!(
                "the certificate is valid from {} until {} only",
                day(info.certificate.not_before()),
                day(info.certificate.not_after())
            )));
        }
        token.set_active(&info.certificate.sha256(), true).map_err(Refusal::because)?;
        self.switched(&info.certificate, key.usage, true)
    }

    fn deactivate(&mut self, certificate: &str) -> Result<(), Refusal> {
        let token = self.found.open()?;
        let (key, info) = choose::certificate(token.as_ref(), certificate, &self.found.program)?;
        token.set_active(&info.certificate.sha256(), false).map_err(Refusal::because)?;
        self.switched(&info.certificate, key.usage, false)
    }

    fn switched(
        &mut self,
        certificate: &Certificate,
        usage: Usage,
        active: bool,
    ) -> Result<(), Refusal> {
        let state = if active { "active" } else { "not active any more" };
        let subject = printable(&name(&certificate.subject_rfc2253()));
        let text = format!("The {usage} certificate of {subject} is {state}");
        let value = json!({ "certificate": show::certificate(certificate), "active": active });
        self.console.done(self.json, value, text, RESTART)
    }

    fn delete_key(&mut self, key: &str, yes: bool) -> Result<(), Refusal> {
        let token = self.found.open()?;
        let key = choose::key(token.as_ref(), key, &self.found.program)?;
        let what = format!(
            "the {} key {} ('{}') with {} certificate(s) and {} request(s); what it signed stays \
             verifiable, but it can never sign again",
            key.usage,
            key.id,
            printable(&key.label),
            key.certificates.len(),
            key.requests.len()
        );
        self.confirmed(yes, &what)?;
        token.delete_key(&key.id).map_err(Refusal::because)?;
        let value = json!({ "deleted": { "key": key.id.as_str() } });
        self.console.done(self.json, value, format!("Deleted {what}"), RESTART)
    }

    fn delete_certificate(&mut self, certificate: &str, yes: bool) -> Result<(), Refusal> {
        let token = self.found.open()?;
        let (key, info) = choose::certificate(token.as_ref(), certificate, &self.found.program)?;
        let subject = printable(&name(&info.certificate.subject_rfc2253()));
        let what = format!("the {} certificate of {subject}; its key stays", key.usage);
        self.confirmed(yes, &what)?;
        token.delete_certificate(&info.certificate.sha256()).map_err(Refusal::because)?;
        let value = json!({ "deleted": { "certificate": show::certificate(&info.certificate) } });
        self.console.done(self.json, value, format!("Deleted {what}"), RESTART)
    }

    fn delete_requests(&mut self, key: &str, yes: bool) -> Result<(), Refusal> {
        let token = self.found.open()?;
        let key = choose::key(token.as_ref(), key, &self.found.program)?;
        let what = format!("{} request(s) of the {} key {}", key.requests.len(), key.usage, key.id);
        self.confirmed(yes, &what)?;
        for request in &key.requests {
            token.delete_request(&key.id, &request.der).map_err(Refusal::because)?;
        }
        let value = json!({ "deleted": { "requestsOf": key.id.as_str() } });
        self.console.done(self.json, value, format!("Deleted {what}"), "")
    }

    fn confirmed(&self, yes: bool, what: &str) -> Result<(), Refusal> {
        if yes {
            return Ok(());
        }
        Err(Refusal::because(format!("this would delete {what}. If you mean it, say --yes")))
    }

    fn change_pin(&mut self, new: &NewPinArguments, allow_weak: bool) -> Result<(), Refusal> {
        let token = self.found.open()?;
        let present = self.found.pin()?;
        token.unlock(&present).map_err(Refusal::because)?;
        let new = new_pin(new.source().as_ref(), allow_weak)?;
        token.change_pin(&present, &new).map_err(Refusal::because)?;
        let next = "put the new PIN where the server's configuration says that it comes from, before the next start";
        let value = json!({ "token": self.found.folder });
        self.console.done(self.json, value, "Changed the PIN", next)
    }
}
