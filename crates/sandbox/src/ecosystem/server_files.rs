//! The security servers' configuration files: real ones, as an operator would write them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_identifiers::ServiceId;
use toml::{Table, Value};

use super::folder;
use super::registry::GROUP;
use crate::SandboxError;
use crate::addresses::Addresses;
use crate::options::Options;
use crate::world::{INSTANCE, Party, ServerPlan, World};

/// The name of a server's configuration file in its folder.
pub(crate) const FILE: &str = "security-server.toml";

/// Writes a server's configuration file and says where it is. The anchor is beside the server's folder.
pub(crate) fn write(
    plan: &ServerPlan,
    folder: &Path,
    world: &World,
    addresses: Addresses,
    options: &Options,
) -> Result<PathBuf, SandboxError> {
    let mut table = content(plan, world, addresses, options);
    if let Some(adjust) = &options.adjust {
        adjust(&plan.name(), &mut table);
    }
    let text = toml::to_string_pretty(&table).map_err(SandboxError::part(FILE))?;
    let text = format!(
        "# Security server {} of the sandbox, written by it.\n\
         # Check a change with: security-server run --config THIS_FILE --check\n\n{text}",
        plan.id.to_short()
    );
    let path = folder.join(FILE);
    folder::make(folder)?;
    std::fs::write(&path, text).map_err(SandboxError::io(&path))?;
    Ok(path)
}

fn content(plan: &ServerPlan, world: &World, addresses: Addresses, options: &Options) -> Table {
    let at = addresses.server(plan.address);
    let clients = plan.parties.iter().map(|party| Value::Table(client(party, world, addresses)));
    table([
        ("server", text(plan.id.to_short())),
        ("data_dir", text("data")),
        ("shutdown_grace", text("5s")),
        (
            "listen",
            section([
                ("client_http", text(at.http)),
                ("client_https", text(at.https)),
                ("peers", text(at.peers)),
                ("ocsp", text(at.ocsp)),
                ("health", text(at.health)),
            ]),
        ),
        (
            "peers",
            section([
                ("port", Value::Integer(at.peers.port().into())),
                ("ocsp_port", Value::Integer(at.ocsp.port().into())),
                ("connect_timeout", text("5s")),
            ]),
        ),
        (
            "global_conf",
            section([
                ("anchor", text("../anchor.xml")),
                ("refresh", duration(options.configuration_refresh)),
            ]),
        ),
        ("token", section([("pin", text("file:pin"))])),
        (
            "timestamping",
            section([("interval", duration(options.timestamping_interval)), ("retry", text("2s"))]),
        ),
        ("ocsp", section([("retry", text("2s"))])),
        ("clients", Value::Array(clients.collect())),
    ])
}

fn client(party: &Party, world: &World, addresses: Addresses) -> Table {
    let portal = Value::Array(vec![text(world.portal.subsystem.to_short())]);
    let group = Value::Array(vec![text(format!("GLOBALGROUP:{INSTANCE}/{GROUP}"))]);
    let mut services = Vec::new();
    if *party == world.population {
        let url = |path: &str| format!("http://{}/{path}", addresses.population());
        services.push(service(&world.persons, &url("persons"), portal.clone()));
        services.push(service(&world.measure, &url("measure"), portal.clone()));
        let soap = service(&world.measure_soap, &url(crate::systems::soap::PATH), portal.clone());
        services.push(by_soap(soap));
        let mut archive = service(&world.archive, &url("archive"), portal);
        archive.insert("disabled".into(), text("The archive is being moved"));
        services.push(archive);
    } else if *party == world.tax {
        let url = |path: &str| format!("http://{}/{path}", addresses.tax());
        services.push(service(&world.income, &url("income"), group));
        services.push(service(&world.audits, &url("audits"), Value::Array(Vec::new())));
    }
    let services = services.into_iter().map(Value::Table).collect();
    table([
        ("id", text(party.subsystem.to_short())),
        ("connection", text("http")),
        ("services", Value::Array(services)),
    ])
}

fn service(id: &ServiceId, url: &str, allow: Value) -> Table {
    table([
        ("code", text(id.code())),
        ("url", text(url)),
        ("timeout", text("20s")),
        ("allow", allow),
    ])
}

fn by_soap(mut service: Table) -> Table {
    service.insert("kind".into(), text("soap"));
    service
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn section<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Table(table(entries))
}

fn text(value: impl ToString) -> Value {
    Value::String(value.to_string())
}

fn duration(value: Duration) -> Value {
    text(format!("{}ms", value.as_millis()))
}
