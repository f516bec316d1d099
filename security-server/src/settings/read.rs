//! The configuration file's sections, one function each.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use causeway_globalconf::Anchor;
use causeway_identifiers::{SecurityServerId, has_illegal_characters};
use causeway_keys::TokenChoice;

use super::document::{File, Item, MAX_FILE, Section};
use super::problem::Problems;
use super::read_clients::ClientReader;
use super::{
    AllowedFederations, ClientTable, CodeStyle, GlobalConfSettings, LimitSettings, Listen,
    LogFormat, LogSettings, LoggingSettings, ModuleSettings, MonitoringSettings, OcspSettings,
    OverLimit, PeerSettings, PinSource, Settings, SettingsErrors, TimestampingSettings,
    TlsSettings, TokenSettings,
};
use crate::descriptions::{Copies, Kept};

const ZERO: Duration = Duration::ZERO;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Reads a configuration file and the client files that it includes.
pub(super) fn load(
    path: &Path,
    newer: HashMap<String, Arc<Kept>>,
) -> Result<Settings, SettingsErrors> {
    let problems = Problems::default();
    let settings = match read_text(path) {
        Ok(text) => {
            let file = File::new(path, &text, &problems);
            file.parse(&text).and_then(|document| settings(file.root(&document), &problems, newer))
        }
        Err(message) => {
            problems.add(path, 0, "", message);
            None
        }
    };
    problems.into_result(settings)
}

/// Reads a text file of at most [`MAX_FILE`] bytes.
fn read_text(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("is larger than {} MiB", MAX_FILE >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

fn settings(
    root: Section<'_>,
    problems: &Problems,
    newer: HashMap<String, Arc<Kept>>,
) -> Option<Settings> {
    let server = root
        .required("server", "write who this server is, such as \"DEV/GOV/1234/SS1\"")
        .and_then(|item| server_id(&item));
    let data_dir = root.path("data_dir", &root.file().resolve(""), "data");
    let data_dir = if data_dir.as_os_str().is_empty() { PathBuf::from(".") } else { data_dir };
    let instance = server.as_ref().map(|s| s.owner().instance());

    let listen = listen(root.section("listen"));
    let peers = peers(root.section("peers"));
    let global_conf = global_conf(root.section("global_conf"), instance);
    let token = token(root.section("token"), &data_dir);
    let timestamping = timestamping(root.section("timestamping"));
    let ocsp = ocsp(root.section("ocsp"));
    let log = log(root.section("log"), &data_dir);
    let monitoring = monitoring(root.section("monitoring"), &data_dir);
    let limits = limits(root.section("limits"));
    let tls = tls(root.section("tls"), &data_dir);
    let logging = logging(root.section("logging"));
    let shutdown_grace = root.duration("shutdown_grace", seconds(30), ZERO);
    let errors = root.choice(
        "error_codes",
        CodeStyle::Snake,
        &[("snake", CodeStyle::Snake), ("camel", CodeStyle::Camel)],
    );

    let copies = Copies::of(&data_dir).with(newer);
    let mut clients = ClientReader::new(instance, copies);
    for section in root.sections("clients") {
        clients.read(section);
    }
    if let Some(item) = root.item("clients_dir") {
        client_files(&item, &mut clients, problems);
    }
    let clients = Arc::new(ClientTable::new(clients.finish()));
    root.finish();

    Some(Settings {
        server: server?,
        data_dir,
        listen,
        peers,
        global_conf: global_conf?,
        token,
        timestamping,
        ocsp,
        log,
        monitoring,
        limits,
        errors,
        tls,
        clients,
        shutdown_grace,
        logging,
    })
}

fn server_id(item: &Item<'_>) -> Option<SecurityServerId> {
    let text = item.text()?;
    let short = text.strip_prefix("SERVER:").unwrap_or(text);
    let id = item.note(
        SecurityServerId::parse(short)
            .map_err(|e| format!("{e}; write INSTANCE/MEMBERCLASS/MEMBERCODE/SERVERCODE")),
    )?;
    let owner = id.owner();
    for part in [owner.instance(), owner.class(), owner.code(), id.code()] {
        legal_part(item, part);
    }
    Some(id)
}

/// Notes a part of an identifier that the registry would refuse.
pub(super) fn legal_part(item: &Item<'_>, part: &str) {
    if has_illegal_characters(part) {
        item.problem(format!(
            "'{}' has a character that identifiers must not have: a control character, \
             one of % : ; / \\, or an invisible space",
            part.escape_debug()
        ));
    }
}

fn listen(s: Section<'_>) -> Listen {
    let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
    let this_host = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let addresses = [
        ("client_http", s.address("client_http", this_host(8080))),
        ("client_https", s.address("client_https", any(8443))),
        ("peers", s.address("peers", any(5500))),
        ("ocsp", s.address("ocsp", any(5577))),
        ("health", s.address("health", this_host(5588))),
    ];
    for (i, (key, address)) in addresses.iter().enumerate() {
        let Some(address) = address.filter(|a| a.port() != 0) else { continue };
        let same = addresses[..i].iter().find(|(_, other)| *other == Some(address));
        if let Some((other, _)) = same {
            s.problem(format!("{key} and {other} both listen on {address}; change one of them"));
        }
    }
    let [(_, client_http), (_, client_https), (_, peers), (_, ocsp), (_, health)] = addresses;
    s.finish();
    Listen { client_http, client_https, peers, ocsp, health }
}

fn peers(s: Section<'_>) -> PeerSettings {
    let settings = PeerSettings {
        port: s.port("port", 5500),
        ocsp_port: s.port("ocsp_port", 5577),
        connect_timeout: s.duration("connect_timeout", seconds(30), MILLISECOND),
        response_timeout: s.duration("response_timeout", seconds(600), MILLISECOND),
        idle_timeout: s.duration("idle_timeout", seconds(60), ZERO),
        min_supported_version: s.item("min_supported_version").and_then(|item| version(&item)),
        fastest_cache: s.duration("fastest_cache", seconds(3600), ZERO),
        cbc_suites_for: s
            .texts("cbc_suites_for")
            .into_iter()
            .map(|(_, id)| id.to_owned())
            .collect(),
    };
    s.finish();
    settings
}

fn version(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() == 3 && parts.iter().all(|p| p.parse::<u32>().is_ok()) {
        return Some(text.to_owned());
    }
    item.problem(format!("'{text}' is not a version; write three numbers such as \"7.4.0\""));
    None
}

fn global_conf(s: Section<'_>, instance: Option<&str>) -> Option<GlobalConfSettings> {
    let anchor = s
        .required("anchor", "name the file of the configuration anchor that the registry gave you")
        .and_then(|item| anchor(&item, instance));
    let refresh = s.duration("refresh", seconds(60), SECOND);
    let connect_timeout = s.duration("connect_timeout", seconds(10), MILLISECOND);
    let read_timeout = s.duration("read_timeout", seconds(30), MILLISECOND);
    let allowed_federations = s
        .item("allowed_federations")
        .and_then(|item| federations(&item))
        .unwrap_or(AllowedFederations::None);
    s.finish();
    let anchor = anchor?;
    Some(GlobalConfSettings { anchor, refresh, connect_timeout, read_timeout, allowed_federations })
}

fn anchor(item: &Item<'_>, instance: Option<&str>) -> Option<PathBuf> {
    let path = item.file().resolve(item.text()?);
    let bytes = item.note(read_bytes(&path))?;
    let anchor = item.note(
        Anchor::parse(&bytes).map_err(|e| format!("'{}' is not an anchor: {e}", path.display())),
    )?;
    if let Some(own) = instance.filter(|own| *own != anchor.instance) {
        item.problem(format!(
            "is the anchor of instance '{}', but this server is in '{own}'",
            anchor.instance
        ));
        return None;
    }
    Some(path)
}

/// Reads a small file that the configuration names.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("'{}' cannot be read: {error}", path.display());
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("'{}' is larger than {} MiB", path.display(), MAX_FILE >> 20));
    }
    Ok(bytes)
}

fn federations(item: &Item<'_>) -> Option<AllowedFederations> {
    let words = [("none", AllowedFederations::None), ("all", AllowedFederations::All)];
    if let Some(items) = item.is_array().then(|| item.items("an array")).flatten() {
        let instances = items.iter().filter_map(|instance| {
            let text = instance.text()?;
            legal_part(instance, text);
            if text.trim().is_empty() {
                instance.problem("is empty; write an instance identifier");
            }
            Some(text.to_owned())
        });
        return Some(AllowedFederations::Only(instances.collect()));
    }
    let text = item.text()?;
    if let Some((_, value)) = words.into_iter().find(|(word, _)| *word == text) {
        return Some(value);
    }
    item.problem(format!("'{text}' is not \"none\", \"all\" or an array such as [\"{text}\"]"));
    None
}

fn token(s: Section<'_>, data_dir: &Path) -> TokenSettings {
    let dir = s.path("dir", data_dir, "token");
    let pin = s.item("pin").and_then(|item| pin(&item)).unwrap_or_else(prompt);
    let mut modules: Vec<ModuleSettings> = Vec::new();
    for section in s.sections("modules") {
        let Some(module) = module(section, data_dir) else { continue };
        if modules.iter().any(|other| other.name == module.name) {
            s.problem(format!("two modules have the name '{}'", module.name));
        }
        modules.push(module);
    }
    s.finish();
    TokenSettings { dir, pin, modules }
}

fn module(s: Section<'_>, data_dir: &Path) -> Option<ModuleSettings> {
    let name = s.required("name", "write a word to call it by, such as \"hsm\"").and_then(|item| {
        let name = item.text()?;
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(word) {
            item.problem("is not a word of at most 64 letters, digits, - and _");
            return None;
        }
        Some(name.to_owned())
    });
    let library =
        s.required("library", "write the file of the module's PKCS#11 library").and_then(|item| {
            let path = item.file().resolve(item.text()?);
            if !path.is_file() {
                item.problem(format!("'{}' is not a file", path.display()));
            }
            Some(path)
        });
    let choice = TokenChoice {
        label: s.text("label").map(str::to_owned),
        serial: s.text("serial").map(str::to_owned),
        slot: s.item("slot").and_then(|item| item.number(0..=u64::from(u32::MAX))),
    };
    if choice == TokenChoice::default() {
        s.problem("says not which token of the library; write its label, or its serial number");
    }
    let place = format!("tokens/{}", name.as_deref().unwrap_or_default());
    let dir = s.path("dir", data_dir, &place);
    let question =
        || PinSource::Prompt(format!("PIN of the token {}: ", name.as_deref().unwrap_or_default()));
    let pin = match s.item("pin").and_then(|item| pin(&item)) {
        Some(PinSource::Prompt(_)) | None => question(),
        Some(other) => other,
    };
    s.finish();
    Some(ModuleSettings { name: name?, library: library?, choice, pin, dir })
}

fn prompt() -> PinSource {
    PinSource::Prompt("PIN of the token: ".to_owned())
}

fn pin(item: &Item<'_>) -> Option<PinSource> {
    let text = item.text()?;
    match text.split_once(':') {
        None if text == "prompt" => return Some(prompt()),
        Some(("file", path)) if !path.is_empty() => {
            let path = item.file().resolve(path);
            if !path.is_file() {
                item.problem(format!("'{}' is not a file", path.display()));
            }
            return Some(PinSource::File(path));
        }
        Some(("env", name)) if !name.is_empty() => {
            return Some(PinSource::Environment(name.to_owned()));
        }
        _ => {}
    }
    // The text is not repeated: it may be a PIN.
    item.problem(
        "says not where the PIN comes from; write \"prompt\", \"file:PATH\" or \"env:NAME\"",
    );
    None
}

fn timestamping(s: Section<'_>) -> TimestampingSettings {
    let mut services: Vec<String> = Vec::new();
    for (item, text) in s.texts("services") {
        if services.iter().any(|other| other == text) {
            item.problem(format!("'{text}' is there twice"));
        }
        services.push(text.to_owned());
    }
    let settings = TimestampingSettings {
        services,
        acceptable_failure: s.duration("acceptable_failure", seconds(14_400), ZERO),
        interval: s.optional_duration("interval", SECOND),
        retry: s.duration("retry", seconds(60), SECOND),
        records_limit: count(&s, "records_limit", 1_000, 1_000_000),
        connect_timeout: s.duration("connect_timeout", seconds(20), MILLISECOND),
        read_timeout: s.duration("read_timeout", seconds(60), MILLISECOND),
    };
    s.finish();
    settings
}

fn count(s: &Section<'_>, key: &'static str, default: u64, most: u64) -> usize {
    usize::try_from(s.number(key, default, 1..=most)).unwrap_or(usize::MAX)
}

fn ocsp(s: Section<'_>) -> OcspSettings {
    let settings = OcspSettings {
        fetch_interval: s.optional_duration("fetch_interval", SECOND),
        retry: s.duration("retry", seconds(60), SECOND),
        connect_timeout: s.duration("connect_timeout", seconds(20), MILLISECOND),
        read_timeout: s.duration("read_timeout", seconds(30), MILLISECOND),
    };
    s.finish();
    settings
}

fn log(s: Section<'_>, data_dir: &Path) -> LogSettings {
    let settings = LogSettings {
        dir: s.path("dir", data_dir, "log"),
        segment_bytes: s.size("segment_size", 64 << 20, 1 << 20..=4 << 30),
        max_loggable_body: s.size("max_loggable_body", 10 << 20, 0..=1 << 40),
        over_limit: s.choice(
            "over_limit",
            OverLimit::Refuse,
            &[("refuse", OverLimit::Refuse), ("omit", OverLimit::Omit)],
        ),
        body_logging: s.boolean("body_logging", true),
    };
    s.finish();
    settings
}

fn monitoring(s: Section<'_>, data_dir: &Path) -> MonitoringSettings {
    let settings = MonitoringSettings {
        enabled: s.boolean("enabled", true),
        dir: s.path("dir", data_dir, "monitoring"),
        keep: s.duration("keep", seconds(7 * 86_400), seconds(3600)),
        max_disk: s.size("max_disk", 10 << 30, 64 << 20..=1 << 50),
        max_records_in_buffer: count(&s, "max_records_in_buffer", 20_000, 1_000_000),
        max_records_in_payload: count(&s, "max_records_in_payload", 10_000, 1_000_000),
        available_after: s.duration("available_after", seconds(60), ZERO),
        health_period: s.duration("health_period", seconds(600), SECOND),
        limit_remote_metrics: s.boolean("limit_remote_metrics", false),
    };
    s.finish();
    settings
}

fn limits(s: Section<'_>) -> LimitSettings {
    let inline_body = s.size("inline_body", 64 << 10, 1 << 10..=1 << 30);
    let settings = LimitSettings {
        max_body: s.size("max_body", 8 << 30, 1 << 10..=1 << 50),
        max_connections: count(&s, "max_connections", 5000, 1_000_000),
        header_timeout: s.duration("header_timeout", seconds(30), MILLISECOND),
        request_timeout: s.duration("request_timeout", seconds(60), MILLISECOND),
        inline_body: usize::try_from(inline_body).unwrap_or(usize::MAX),
    };
    s.finish();
    settings
}

fn tls(s: Section<'_>, data_dir: &Path) -> TlsSettings {
    let settings = TlsSettings {
        internal_certificate: s.path("internal_certificate", data_dir, "tls/internal.crt"),
        internal_key: s.path("internal_key", data_dir, "tls/internal.key"),
        check_client_dates: s.boolean("check_client_dates", false),
    };
    s.finish();
    settings
}

fn logging(s: Section<'_>) -> LoggingSettings {
    let format = s.choice(
        "format",
        LogFormat::Text,
        &[("text", LogFormat::Text), ("json", LogFormat::Json)],
    );
    let filter = s.item("filter").and_then(|item| {
        let text = item.text()?;
        item.note(
            text.parse::<tracing_subscriber::EnvFilter>()
                .map_err(|e| format!("'{text}' is not a filter: {e}; write such as \"info\"")),
        )?;
        Some(text.to_owned())
    });
    s.finish();
    LoggingSettings { format, filter: filter.unwrap_or_else(|| "info".to_owned()) }
}

/// Reads the clients of every `*.toml` file in a folder, in the order of their names.
fn client_files(item: &Item<'_>, clients: &mut ClientReader, problems: &Problems) {
    let Some(folder) = item.text().map(|text| item.file().resolve(text)) else { return };
    let listed = std::fs::read_dir(&folder)
        .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(|e| format!("the folder '{}' cannot be read: {e}", folder.display()));
    let Some(mut paths) = item.note(listed) else { return };
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml") && !is_hidden(path));
    paths.sort();
    for path in paths {
        match read_text(&path) {
            Ok(text) => {
                let file = File::new(&path, &text, problems);
                let Some(document) = file.parse(&text) else { continue };
                let root = file.root(&document);
                for section in root.sections("clients") {
                    clients.read(section);
                }
                root.finish();
            }
            Err(message) => problems.add(&path, 0, "", message),
        }
    }
}

/// Whether a file is an editor's leftover rather than the operator's.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}
