//! `services`: what this server's clients provide, and taking over newer descriptions.

use std::path::PathBuf;

use causeway_console::quote;
use causeway_identifiers::ClientId;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Refusal;
use super::console::{Console, printable};
use super::place::program;
use crate::descriptions::{self, Compared, News};
use crate::server::internal_identity;
use crate::service_call::ServiceCaller;
use crate::settings::{Client, DescriptionSource, Service, ServiceKind, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct ServicesArguments {
    #[command(subcommand)]
    command: ServicesCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ServicesCommand {
    /// List the services of all clients.
    List(Place),
    /// Fetch the clients' service descriptions and show what is new in them; with --yes, take it over.
    Refresh {
        #[command(flatten)]
        place: Place,
        /// Only the descriptions of this client.
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// Only the description from this address or file.
        #[arg(long, value_name = "LOCATION")]
        location: Option<String>,
        /// Take over what is new.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The server's configuration.
    #[arg(long, short, env = "CAUSEWAY_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(
    arguments: &ServicesArguments,
    console: &mut Console<'_>,
) -> Result<(), Refusal> {
    match &arguments.command {
        ServicesCommand::List(place) => list(place, console),
        ServicesCommand::Refresh { place, client, location, yes } => {
            let settings = Settings::load(&place.config)?;
            let client = client.as_deref().map(|id| client_of(&settings, id)).transpose()?;
            let wanted = |id: &ClientId, source: &DescriptionSource| {
                client.as_ref().is_none_or(|client| client == id)
                    && location.as_ref().is_none_or(|l| source.location.to_string() == *l)
            };
            refresh(place, &settings, wanted, *yes, console)
        }
    }
}

fn client_of(settings: &Settings, id: &str) -> Result<ClientId, Refusal> {
    let short = id.strip_prefix("SUBSYSTEM:").or_else(|| id.strip_prefix("MEMBER:")).unwrap_or(id);
    let parsed = ClientId::parse(short).map_err(Refusal::because)?;
    match settings.clients.get(&parsed) {
        Some(_) => Ok(parsed),
        None => Err(Refusal::because(format!("{parsed} is no client of this server"))),
    }
}

fn sorted_clients(settings: &Settings) -> Vec<&Client> {
    let mut clients: Vec<&Client> = settings.clients.iter().collect();
    clients.sort_by(|a, b| a.id.cmp(&b.id));
    clients
}

fn list(place: &Place, console: &mut Console<'_>) -> Result<(), Refusal> {
    let settings = Settings::load(&place.config)?;
    let mut services: Vec<&Service> =
        settings.clients.iter().flat_map(|c| c.services.values()).map(AsRef::as_ref).collect();
    services.sort_by(|a, b| a.id.cmp(&b.id));
    let pending: Vec<(&Client, &DescriptionSource)> = sorted_clients(&settings)
        .into_iter()
        .flat_map(|c| c.descriptions.iter().map(move |source| (c, source)))
        .filter(|(_, source)| source.kept.is_none())
        .collect();
    if place.json {
        let services: Vec<Value> = services.iter().map(|s| service_json(s)).collect();
        let pending = pending.iter().map(|(client, source)| {
            json!({"client": client.id.to_short(), "type": source.kind.name(),
                   "location": source.location.to_string()})
        });
        let pending: Vec<Value> = pending.collect();
        return console.json(&json!({ "services": services, "notTakenOver": pending }));
    }
    let rows: Vec<[String; 5]> = services
        .iter()
        .map(|s| {
            let state = if s.disabled.is_some() { "off" } else { "on" };
            [
                s.id.to_short(),
                kind_name(s.kind).to_owned(),
                state.to_owned(),
                s.listed_endpoints().len().to_string(),
                s.url.clone(),
            ]
        })
        .collect();
    console.table(["SERVICE", "TYPE", "STATE", "ENDPOINTS", "ADDRESS"], &rows)?;
    for (client, source) in pending {
        console.line(format_args!(
            "Not taken over yet: {} of {} from {}",
            source.kind, client.id, source.location
        ))?;
    }
    Ok(())
}

fn kind_name(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Rest => "rest",
        ServiceKind::OpenApi => "openapi3",
        ServiceKind::Soap => "wsdl",
    }
}

fn service_json(service: &Service) -> Value {
    let endpoints: Vec<String> =
        service.listed_endpoints().iter().map(ToString::to_string).collect();
    json!({
        "service": service.id.to_short(),
        "type": kind_name(service.kind),
        "url": service.url,
        "disabled": service.disabled,
        "described": service.description.is_some(),
        "endpoints": endpoints,
    })
}

fn refresh(
    place: &Place,
    settings: &Settings,
    wanted: impl Fn(&ClientId, &DescriptionSource) -> bool,
    yes: bool,
    console: &mut Console<'_>,
) -> Result<(), Refusal> {
    let tls = &settings.tls;
    // Without it, services that ask for a certificate refuse us; the others do not.
    let has_identity = tls.internal_certificate.exists() && tls.internal_key.exists();
    let identity = if has_identity {
        Some(internal_identity(tls).map_err(Refusal::because)?.into())
    } else {
        None
    };
    let caller = ServiceCaller::new(identity);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Refusal::because(format!("cannot start: {e}")))?;
    let compared = runtime.block_on(descriptions::compare(settings, &caller, wanted));
    if compared.is_empty() {
        return Err(Refusal::because("no client has such a description"));
    }
    // What is shown first explains what may be wrong.
    if !place.json {
        for one in &compared {
            show(one, console)?;
        }
    }
    descriptions::judge(&place.config, &compared)?;
    let newer = compared.iter().filter(|one| one.newer().is_some()).count();
    if yes {
        descriptions::take_over(settings, &compared, OffsetDateTime::now_utc())
            .map_err(|e| Refusal::because(format!("cannot keep the descriptions: {e}")))?;
    }
    let program = program(&format!("--config {} --yes", quote(&place.config)));
    let next = match (newer, yes) {
        (0, _) => String::new(),
        (_, true) => {
            "make the server read its clients again: send it SIGHUP, or start it".to_owned()
        }
        (_, false) => format!("take it over with {}", program.command("services refresh")),
    };
    let failed = compared.iter().filter(|one| one.now.is_err()).count();
    if place.json {
        let all: Vec<Value> = compared.iter().map(compared_json).collect();
        console.json(&json!({ "descriptions": all, "takenOver": yes, "next": next }))?;
    } else if yes {
        console.line(format_args!("Taken over: {newer}"))?;
    }
    if !place.json && !next.is_empty() {
        console.line(format_args!("Next: {next}"))?;
    }
    if failed > 0 {
        return Err(Refusal::because(format!(
            "{failed} of {} descriptions could not be read; what was in use stays in use",
            compared.len()
        )));
    }
    Ok(())
}

fn show(one: &Compared, console: &mut Console<'_>) -> Result<(), Refusal> {
    let Compared { client, source, now } = one;
    console.line(format_args!("{client}: {} from {}", source.kind, source.location))?;
    let news = match now {
        Ok(news) => news,
        Err(why) => return console.line(format_args!("  cannot be read: {}", printable(why))),
    };
    let News { kept, difference, is_other_text } = news;
    let marked = [("+", &difference.added), ("-", &difference.removed), ("~", &difference.changed)];
    for (mark, lines) in marked {
        for line in lines {
            console.line(format_args!("  {mark} {}", printable(line)))?;
        }
    }
    for warning in kept.reading.warnings() {
        console.line(format_args!("  doubtful: {}", printable(warning)))?;
    }
    match (is_other_text, difference.is_empty()) {
        (false, _) => console.line("  nothing is new"),
        (true, true) => console.line("  the text is another one; services and endpoints stay"),
        (true, false) => Ok(()),
    }
}

fn compared_json(one: &Compared) -> Value {
    let mut value = json!({
        "client": one.client.to_short(),
        "type": one.source.kind.name(),
        "location": one.source.location.to_string(),
    });
    let more = match &one.now {
        Ok(news) => json!({
            "isNew": news.is_other_text,
            "added": news.difference.added,
            "removed": news.difference.removed,
            "changed": news.difference.changed,
            "warnings": news.kept.reading.warnings(),
        }),
        Err(why) => json!({ "error": why }),
    };
    if let (Value::Object(all), Value::Object(more)) = (&mut value, more) {
        all.extend(more);
    }
    value
}
