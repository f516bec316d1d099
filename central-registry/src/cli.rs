//! The command line: everything an operator does with a registry.
//!
//! A command speaks to the registry that runs on the storage folder; when none runs, it opens the store
//! itself. Each error comes with what to do next; with `--json` answers and errors are JSON.

mod act;
mod edits;
mod requests;
mod show;
mod users;

use std::path::PathBuf;
use std::process::ExitCode;

use causeway_console::{Program, complain, quote, readable, say};
use causeway_identifiers::{ClientId, MemberId, SecurityServerId};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::admin::AdminError;
use crate::config::ConfigErrors;
use crate::edit::EditError;
use crate::records::ConfigurationKind;
use crate::registry::RegistryError;
use crate::requests::RequestError;

use requests::Requests;

/// The central registry of a secure data exchange, compatible with X-Road.
#[derive(Debug, Parser)]
#[command(name = "central-registry", version)]
pub struct Cli {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        env = "CENTRAL_REGISTRY_CONFIG",
        default_value = DEFAULT_CONFIG
    )]
    config: PathBuf,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the global configuration, and keep it fresh.
    Run {
        /// Check the configuration file alone, and tell every mistake in it.
        #[arg(long)]
        check: bool,
    },
    /// Make the store, the token and the signing keys, and show the anchors' fingerprints.
    Init,
    /// Show the records.
    List {
        /// Which of them.
        #[arg(value_enum, default_value = "all")]
        what: What,
    },
    /// Sign and publish now.
    Publish,
    /// Anchors: the files by which security servers and partners find and trust this registry.
    #[command(subcommand)]
    Anchor(Anchor),
    /// Classes of members.
    #[command(subcommand)]
    MemberClass(MemberClass),
    /// Members.
    #[command(subcommand)]
    Member(Member),
    /// Subsystems of members.
    #[command(subcommand)]
    Subsystem(Subsystem),
    /// Security servers.
    #[command(subcommand)]
    Server(Server),
    /// Clients of security servers.
    #[command(subcommand)]
    Client(Client),
    /// Groups of clients.
    #[command(subcommand)]
    Group(Group),
    /// Approved certification services.
    #[command(subcommand)]
    Ca(Ca),
    /// Approved timestamping authorities.
    #[command(subcommand)]
    Tsa(Tsa),
    /// Partner instances.
    #[command(subcommand)]
    Federation(Federation),
    /// Management services.
    #[command(subcommand)]
    Management(Management),
    /// What security servers ask for: registrations that wait for you, and what has come before.
    #[command(subcommand)]
    Requests(Requests),
    /// Security policy.
    #[command(subcommand)]
    Policy(Policy),
    /// The keys that sign the configuration.
    #[command(subcommand)]
    SigningKey(SigningKey),
    /// Who may use the API over HTTPS.
    #[command(subcommand)]
    User(users::User),
    /// The audit log of the API.
    #[command(subcommand)]
    Audit(users::Audit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    All,
    MemberClasses,
    Members,
    Subsystems,
    Servers,
    AuthCerts,
    Clients,
    Groups,
    Cas,
    Tsas,
    Federations,
    SigningKeys,
    Settings,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// For the instance's own security servers.
    Internal,
    /// For partner instances.
    External,
}

impl From<Kind> for ConfigurationKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Internal => Self::Internal,
            Kind::External => Self::External,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Anchor {
    /// Write an anchor file.
    Export {
        /// Which of the two.
        #[arg(value_enum)]
        kind: Kind,
        /// The file; without it, the anchor goes to standard output.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum MemberClass {
    /// Add a class.
    Add {
        /// The code, e.g. GOV.
        code: String,
        /// What it means.
        #[arg(long)]
        description: String,
    },
    /// Remove a class without members.
    Remove {
        /// The code.
        code: String,
    },
}

#[derive(Debug, Subcommand)]
enum Member {
    /// Add a member.
    Add {
        /// INSTANCE/CLASS/CODE
        #[arg(value_parser = MemberId::parse)]
        id: MemberId,
        /// The official name.
        #[arg(long)]
        name: String,
    },
    /// Give a member another name.
    Rename {
        /// INSTANCE/CLASS/CODE
        #[arg(value_parser = MemberId::parse)]
        id: MemberId,
        /// The new name.
        #[arg(long)]
        name: String,
    },
    /// Remove a member without subsystems and servers.
    Remove {
        /// INSTANCE/CLASS/CODE
        #[arg(value_parser = MemberId::parse)]
        id: MemberId,
    },
}

#[derive(Debug, Subcommand)]
enum Subsystem {
    /// Add a subsystem.
    Add {
        /// INSTANCE/CLASS/CODE/SUBSYSTEM
        #[arg(value_parser = ClientId::parse)]
        id: ClientId,
        /// Its name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Give a subsystem another name, or none.
    Rename {
        /// INSTANCE/CLASS/CODE/SUBSYSTEM
        #[arg(value_parser = ClientId::parse)]
        id: ClientId,
        /// The new name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Remove a subsystem that is no server's client.
    Remove {
        /// INSTANCE/CLASS/CODE/SUBSYSTEM
        #[arg(value_parser = ClientId::parse)]
        id: ClientId,
    },
}

#[derive(Debug, Subcommand)]
enum Server {
    /// Add a security server.
    Add {
        /// INSTANCE/CLASS/CODE/SERVER
        #[arg(value_parser = SecurityServerId::parse)]
        id: SecurityServerId,
        /// Host name or address at which other servers reach it.
        #[arg(long)]
        address: String,
    },
    /// Give a security server another address.
    Address {
        /// INSTANCE/CLASS/CODE/SERVER
        #[arg(value_parser = SecurityServerId::parse)]
        id: SecurityServerId,
        /// The new address.
        address: String,
    },
    /// Put a security server out of service, or back.
    Maintenance {
        /// INSTANCE/CLASS/CODE/SERVER
        #[arg(value_parser = SecurityServerId::parse)]
        id: SecurityServerId,
        /// Out of service, or back.
        #[arg(value_parser = ["on", "off"])]
        state: String,
        /// What consumers are told.
        #[arg(long)]
        message: Option<String>,
    },
    /// Remove a security server with its certificates and client registrations.
    Remove {
        /// INSTANCE/CLASS/CODE/SERVER
        #[arg(value_parser = SecurityServerId::parse)]
        id: SecurityServerId,
    },
    /// Its authentication certificates.
    #[command(subcommand)]
    AuthCert(AuthCert),
}

#[derive(Debug, Subcommand)]
enum AuthCert {
    /// Register an authentication certificate.
    Add {
        /// INSTANCE/CLASS/CODE/SERVER
        #[arg(value_parser = SecurityServerId::parse)]
        server: SecurityServerId,
        /// The certificate, PEM or DER.
        #[arg(long)]
        cert: PathBuf,
    },
    /// Take a registration back.
    Remove {
        /// INSTANCE/CLASS/CODE/SERVER
        #[arg(value_parser = SecurityServerId::parse)]
        server: SecurityServerId,
        /// SHA-256 of the certificate, in hexadecimal.
        sha256: String,
    },
}

#[derive(Debug, Subcommand)]
enum Client {
    /// Register a client at a security server.
    Add {
        /// INSTANCE/CLASS/CODE/SERVER
        #[arg(value_parser = SecurityServerId::parse)]
        server: SecurityServerId,
        /// INSTANCE/CLASS/CODE[/SUBSYSTEM]
        #[arg(value_parser = ClientId::parse)]
        client: ClientId,
    },
    /// Take a registration back.
    Remove {
        /// INSTANCE/CLASS/CODE/SERVER
        #[arg(value_parser = SecurityServerId::parse)]
        server: SecurityServerId,
        /// INSTANCE/CLASS/CODE[/SUBSYSTEM]
        #[arg(value_parser = ClientId::parse)]
        client: ClientId,
    },
}

#[derive(Debug, Subcommand)]
enum Group {
    /// Add a group.
    Add {
        /// The code.
        code: String,
        /// What the group is for.
        #[arg(long)]
        description: String,
    },
    /// Remove a group.
    Remove {
        /// The code.
        code: String,
    },
    /// The clients in it.
    #[command(subcommand)]
    Member(GroupMember),
}

#[derive(Debug, Subcommand)]
enum GroupMember {
    /// Put a client, of any instance, into a group.
    Add {
        /// The group's code.
        group: String,
        /// INSTANCE/CLASS/CODE[/SUBSYSTEM]
        #[arg(value_parser = ClientId::parse)]
        client: ClientId,
    },
    /// Take a client out of a group.
    Remove {
        /// The group's code.
        group: String,
        /// INSTANCE/CLASS/CODE[/SUBSYSTEM]
        #[arg(value_parser = ClientId::parse)]
        client: ClientId,
    },
}

#[derive(Debug, Subcommand)]
enum Ca {
    /// Approve a certification service.
    Add(CaAdd),
    /// Take the approval back.
    Remove {
        /// The name of the service.
        name: String,
    },
}

#[derive(Debug, Args)]
struct CaAdd {
    /// The name of the service.
    name: String,
    /// The topmost CA's certificate, PEM or DER.
    #[arg(long)]
    cert: PathBuf,
    /// The certificate profile, e.g. BasicCertificateProfileInfoProvider, or a full class name.
    #[arg(long)]
    profile: String,
    /// A responder of the topmost CA: URL, or URL,CERTIFICATE-FILE. May be repeated.
    #[arg(long = "ocsp")]
    ocsp: Vec<String>,
    /// A CA below: CERTIFICATE-FILE, or CERTIFICATE-FILE,OCSP-URL, or with a third part, the
    /// responder's CERTIFICATE-FILE. May be repeated.
    #[arg(long = "intermediate")]
    intermediates: Vec<String>,
    /// Its certificates are for TLS authentication alone.
    #[arg(long)]
    authentication_only: bool,
    /// What its OCSP responders cost.
    #[arg(long, value_parser = ["FREE", "PAID", "UNDEFINED"])]
    ocsp_cost: Option<String>,
    /// The directory of its ACME server.
    #[arg(long)]
    acme_url: Option<String>,
    /// The addresses of its ACME server, comma-separated.
    #[arg(long)]
    acme_addresses: Option<String>,
    /// The form in which certificate requests are to be made.
    #[arg(long, value_parser = ["PEM", "DER"])]
    csr_format: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Tsa {
    /// Approve a timestamping authority.
    Add {
        /// Its name.
        name: String,
        /// Where it answers.
        #[arg(long)]
        url: String,
        /// The certificate with which it signs, PEM or DER.
        #[arg(long)]
        cert: PathBuf,
        /// What it costs.
        #[arg(long, value_parser = ["FREE", "PAID", "UNDEFINED"])]
        cost: Option<String>,
    },
    /// Take the approval back.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum Federation {
    /// Federate with the instance to which an anchor leads.
    Add {
        /// The external anchor file of the other instance.
        #[arg(long)]
        anchor: PathBuf,
    },
    /// End the federation with an instance.
    Remove {
        /// The instance identifier.
        instance: String,
    },
}

#[derive(Debug, Subcommand)]
enum Management {
    /// Say who provides the management services.
    Set {
        /// INSTANCE/CLASS/CODE[/SUBSYSTEM]
        #[arg(long, value_parser = ClientId::parse)]
        provider: ClientId,
        /// Where authentication certificates are registered.
        #[arg(long)]
        registration_url: Option<String>,
        /// The TLS certificate of that address, PEM or DER.
        #[arg(long)]
        registration_cert: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Policy {
    /// Change the policy; what is not named stays.
    Set {
        /// How old OCSP responses may be, in seconds.
        #[arg(long)]
        ocsp_freshness_seconds: Option<u32>,
        /// How long a record of the message log may wait for its timestamp, in seconds.
        #[arg(long)]
        timestamping_interval_seconds: Option<u32>,
        /// How often OCSP responses are fetched, in seconds.
        #[arg(long)]
        ocsp_fetch_interval_seconds: Option<u32>,
        /// Whether nextUpdate of OCSP responses counts.
        #[arg(long)]
        verify_next_update: Option<bool>,
        /// Who may ask all security servers for monitoring data.
        #[arg(long, value_parser = ClientId::parse)]
        monitoring_client: Option<ClientId>,
    },
}

#[derive(Debug, Subcommand)]
enum SigningKey {
    /// Make a key; its certificate is published, but it does not sign yet.
    Add {
        /// What it is to sign.
        #[arg(value_enum)]
        kind: Kind,
    },
    /// Let a key sign from now on, in place of the one before.
    Activate {
        /// Its identifier.
        id: String,
    },
    /// Forget a key that does not sign.
    Remove {
        /// Its identifier.
        id: String,
    },
}

/// What went wrong, and what to do next.
#[derive(Debug)]
struct Failure {
    error: String,
    next: String,
}

impl Failure {
    fn new(error: impl ToString, next: impl Into<String>) -> Self {
        Self { error: readable(&error.to_string()), next: next.into() }
    }
}

macro_rules! failures {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(e: $error) -> Self {
                Self::new(&e, e.next_step())
            }
        }
    )*};
}
failures!(RegistryError, EditError, AdminError, RequestError);

impl From<ConfigErrors> for Failure {
    fn from(e: ConfigErrors) -> Self {
        Self::new(
            &e,
            "correct the configuration file, and check it: `central-registry run --check`",
        )
    }
}

/// Where the configuration file is when nobody says otherwise.
const DEFAULT_CONFIG: &str = "/etc/causeway/central-registry.toml";

impl Cli {
    /// How further commands are to be typed: with the same configuration file.
    fn program(&self) -> Program {
        let usual = std::env::var_os("CENTRAL_REGISTRY_CONFIG");
        let usual = usual.map_or_else(|| PathBuf::from(DEFAULT_CONFIG), PathBuf::from);
        let options = match self.config == usual {
            true => String::new(),
            false => format!("--config {}", quote(&self.config)),
        };
        Program::of_process("central-registry", &options)
    }
}

/// The program: reads the arguments, does what they say, and tells the outcome.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that cannot be printed is no reason to fail in another way.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let (json, program) = (cli.json, cli.program());
    match act::act(cli) {
        Ok(answer) => {
            answer.print(json, &program);
            ExitCode::SUCCESS
        }
        Err(Failure { error, next }) => {
            let next = program.pasteable(&next);
            if json {
                say(serde_json::json!({ "error": error, "next": next }));
            } else {
                complain(format_args!("error: {error}\nnext: {next}"));
            }
            ExitCode::FAILURE
        }
    }
}
