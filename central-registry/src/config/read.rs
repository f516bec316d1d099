//! Reading the configuration file with the places of its keys.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use causeway_admin::http::{EdgeSettings, Networks};
use causeway_globalconf::Version;
use causeway_identifiers::has_illegal_characters;
use causeway_keys::{KeyKind, PinSource};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{AdminConfig, Config, Doorway, Mistake};
use crate::requests::Approval;

const TOP: [&str; 9] = [
    "instance",
    "storage",
    "listen",
    "public_addresses",
    "minimum_version",
    "signing",
    "publication",
    "requests",
    "admin",
];
const SIGNING: [&str; 3] = ["pin_file", "pin_environment", "key"];
const REQUESTS: [&str; 8] = [
    "tls_certificate",
    "tls_key",
    "registration_listen",
    "management_listen",
    "management_from",
    "approve_auth_certificates",
    "approve_clients",
    "approve_owner_changes",
];
const PUBLICATION: [&str; 2] = ["validity_seconds", "renewal_seconds"];
const ADMIN: [&str; 4] = ["listen", "allowed_hosts", "key_management_from", "api_from"];

pub(super) fn read(text: &str) -> Result<Config, Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, mistakes: Vec::new() };
    for error in errors {
        let at = error.span().unwrap_or_default();
        reader.mistake(at, String::new(), error.message().to_owned());
    }
    // After a syntax error the tables may have holes; what is missing would be told wrongly.
    if !reader.mistakes.is_empty() {
        return Err(reader.mistakes);
    }
    let config = reader.config(document.get_ref());
    match config {
        Some(config) if reader.mistakes.is_empty() => Ok(config),
        _ => {
            reader.mistakes.sort_by_key(|m| (m.line, m.key.clone()));
            Err(reader.mistakes)
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

/// A table with the name under which its keys are told, and its place.
#[derive(Clone, Copy)]
struct Table<'t> {
    name: &'static str,
    keys: Option<&'t DeTable<'t>>,
}

impl<'t> Table<'t> {
    fn find(self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.keys?.iter().find(|(name, _)| name.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    fn full(self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

impl Reader<'_> {
    fn config(&mut self, document: &DeTable<'_>) -> Option<Config> {
        let top = Table { name: "", keys: Some(document) };
        self.only(top, &TOP);
        let signing = self.table(top, "signing", &SIGNING);
        let publication = self.table(top, "publication", &PUBLICATION);
        let requests = self.table(top, "requests", &REQUESTS);
        let admin = self.table(top, "admin", &ADMIN);

        let instance = self.required(top, "instance", Self::instance);
        let storage = self.required(top, "storage", Self::text).map(PathBuf::from);
        let public_addresses = self.required(top, "public_addresses", Self::addresses);
        let listen = self.optional(top, "listen", Self::listen);
        let minimum_version = self.optional(top, "minimum_version", Self::version);
        let pin = self.pin(signing);
        let key_kind = self.optional(signing, "key", Self::key_kind);
        let validity = self.optional(publication, "validity_seconds", Self::seconds);
        let renewal = self.optional(publication, "renewal_seconds", Self::seconds);
        let doorway = self.doorway(requests);
        let mut approves = |key| self.optional(requests, key, Self::flag).unwrap_or_default();
        let approval = Approval {
            auth_certificates: approves("approve_auth_certificates"),
            clients: approves("approve_clients"),
            owner_changes: approves("approve_owner_changes"),
        };

        let admin = self.admin(admin);

        let mut config = Config::new(&instance?, storage?, "");
        config.admin = admin;
        config.public_addresses = public_addresses?;
        config.listen = listen.unwrap_or(config.listen);
        config.minimum_version = minimum_version.unwrap_or(config.minimum_version);
        config.pin = pin.unwrap_or(config.pin);
        config.key_kind = key_kind.unwrap_or(config.key_kind);
        config.validity = validity.unwrap_or(config.validity);
        config.renewal = renewal.unwrap_or(config.renewal);
        config.doorway = doorway;
        config.approval = approval;
        if config.renewal >= config.validity {
            let at = publication.find("renewal_seconds").or(publication.find("validity_seconds"));
            let what = format!(
                "must be less than validity_seconds ({}), or the configuration expires before it is renewed",
                config.validity.as_secs()
            );
            let span = at.map(Spanned::span).unwrap_or_default();
            self.mistake(span, "publication.renewal_seconds".into(), what);
        }
        Some(config)
    }

    fn mistake(&mut self, at: Range<usize>, key: String, what: String) {
        let line = self.text.get(..at.start).map_or(0, |before| before.matches('\n').count() + 1);
        let line = if at == Range::default() && !key.is_empty() { 0 } else { line };
        self.mistakes.push(Mistake { line, key, what });
    }

    fn only(&mut self, table: Table<'_>, known: &[&str]) {
        for (key, _) in table.keys.into_iter().flatten() {
            let name = key.get_ref();
            if !known.contains(&name.as_ref()) {
                let what = format!("unknown key; known here are {}", known.join(", "));
                self.mistake(key.span(), table.full(name), what);
            }
        }
    }

    fn table<'t>(&mut self, top: Table<'t>, name: &'static str, known: &[&str]) -> Table<'t> {
        let keys = match top.find(name) {
            None => None,
            Some(value) => match value.get_ref() {
                DeValue::Table(keys) => Some(keys),
                _ => {
                    self.mistake(value.span(), name.into(), "must be a table".into());
                    None
                }
            },
        };
        let table = Table { name, keys };
        self.only(table, known);
        table
    }

    fn optional<'t, T>(
        &mut self,
        table: Table<'t>,
        key: &str,
        read: fn(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        let value = table.find(key)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(what) => {
                self.mistake(value.span(), table.full(key), what);
                None
            }
        }
    }

    fn required<'t, T>(
        &mut self,
        table: Table<'t>,
        key: &str,
        read: fn(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        if table.find(key).is_none() {
            self.mistake(0..0, table.full(key), "must be given".into());
        }
        self.optional(table, key, read)
    }

    /// Certificate and key come together; without them nothing else of the doors has a meaning.
    fn doorway(&mut self, requests: Table<'_>) -> Option<Doorway> {
        let certificate = self.optional(requests, "tls_certificate", Self::text);
        let key = self.optional(requests, "tls_key", Self::text);
        let registration = self.optional(requests, "registration_listen", Self::listen);
        let management = self.optional(requests, "management_listen", Self::listen);
        let from = self.optional(requests, "management_from", Self::peers);
        for (own, other) in [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")] {
            if let (Some(at), None) = (requests.find(own), requests.find(other)) {
                let what = format!("needs requests.{other} beside it");
                self.mistake(at.span(), requests.full(own), what);
            }
        }
        if requests.find("tls_certificate").is_none() && requests.find("tls_key").is_none() {
            for key in ["registration_listen", "management_listen", "management_from"] {
                if let Some(at) = requests.find(key) {
                    let what = "has no effect without tls_certificate and tls_key".to_owned();
                    self.mistake(at.span(), requests.full(key), what);
                }
            }
        }
        let mut doorway = Doorway::new(certificate?, key?);
        doorway.registration = registration.unwrap_or(doorway.registration);
        doorway.management = management.unwrap_or(doorway.management);
        doorway.management_from = from.unwrap_or(doorway.management_from);
        Some(doorway)
    }

    fn admin(&mut self, admin: Table<'_>) -> Option<AdminConfig> {
        let mut edge = EdgeSettings::default();
        let hosts = self.optional(admin, "allowed_hosts", Self::addresses);
        let from = self.optional(admin, "key_management_from", Self::networks);
        let api_from = self.optional(admin, "api_from", Self::networks);
        edge.allowed_hosts = hosts.unwrap_or(edge.allowed_hosts);
        edge.key_management_from = from.unwrap_or(edge.key_management_from);
        edge.api_from = api_from.unwrap_or(edge.api_from);
        admin.keys?;
        let listen = self.required(admin, "listen", Self::listen)?;
        Some(AdminConfig { listen, edge })
    }

    fn pin(&mut self, signing: Table<'_>) -> Option<PinSource> {
        let file = self.optional(signing, "pin_file", Self::text);
        let environment = self.optional(signing, "pin_environment", Self::text);
        if let (Some(_), Some(_), Some(value)) =
            (&file, &environment, signing.find("pin_environment"))
        {
            let what = "give either pin_file or pin_environment, not both".to_owned();
            self.mistake(value.span(), signing.full("pin_environment"), what);
        }
        file.map(|path| PinSource::File(path.into())).or(environment.map(PinSource::Environment))
    }

    fn text(value: &DeValue<'_>) -> Result<String, String> {
        match value.as_str() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            Some(_) => Err("must not be empty".into()),
            None => Err(format!("must be a string, not {}", value.type_str())),
        }
    }

    fn instance(value: &DeValue<'_>) -> Result<String, String> {
        let text = Self::text(value)?;
        if has_illegal_characters(&text) || text.len() > causeway_identifiers::MAX_PART_BYTES {
            return Err(
                "must be at most 255 bytes without control characters and % : ; / \\".into()
            );
        }
        Ok(text)
    }

    fn addresses(value: &DeValue<'_>) -> Result<Vec<String>, String> {
        let bad = || "must be a list of host names, e.g. [\"registry.example.org\"]".to_owned();
        let list = value.as_array().ok_or_else(bad)?;
        let addresses = list
            .iter()
            .map(|item| {
                let text = Self::text(item.get_ref())?;
                let host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
                if text.chars().all(host) { Ok(text) } else { Err(bad()) }
            })
            .collect::<Result<Vec<_>, String>>()?;
        if addresses.is_empty() { Err(bad()) } else { Ok(addresses) }
    }

    fn listen(value: &DeValue<'_>) -> Result<SocketAddr, String> {
        Self::text(value)?
            .parse()
            .map_err(|_| "must be an address with a port, e.g. \"0.0.0.0:8080\"".into())
    }

    fn peers(value: &DeValue<'_>) -> Result<Vec<IpAddr>, String> {
        let wrong = || "must be a list of IP addresses, e.g. [\"192.0.2.1\"]".to_owned();
        let list = value.as_array().ok_or_else(wrong)?;
        let address = |item: &Spanned<DeValue<'_>>| {
            item.get_ref().as_str().and_then(|text| text.parse().ok()).ok_or_else(wrong)
        };
        list.iter().map(address).collect()
    }

    fn flag(value: &DeValue<'_>) -> Result<bool, String> {
        value.as_bool().ok_or_else(|| format!("must be true or false, not {}", value.type_str()))
    }

    fn networks(value: &DeValue<'_>) -> Result<Networks, String> {
        let list = value
            .as_array()
            .ok_or("must be a list of addresses and networks, e.g. [\"192.0.2.0/24\"]")?;
        let texts = list.iter().map(|item| Self::text(item.get_ref()));
        texts.collect::<Result<Vec<_>, _>>()?.join(",").parse()
    }

    fn version(value: &DeValue<'_>) -> Result<Version, String> {
        let number = Self::number(value)?;
        Version::from_number(number).ok_or_else(|| "must be 2, 3, 4, 5 or 6".into())
    }

    fn key_kind(value: &DeValue<'_>) -> Result<KeyKind, String> {
        Self::text(value)?.parse().map_err(|_| {
            let names = KeyKind::ALL.map(KeyKind::name).join(", ");
            format!("must be one of {names}")
        })
    }

    fn seconds(value: &DeValue<'_>) -> Result<Duration, String> {
        match Self::number(value)? {
            seconds @ 1..=86_400 => Ok(Duration::from_secs(seconds)),
            _ => Err("must be from 1 to 86400 seconds".into()),
        }
    }

    fn number(value: &DeValue<'_>) -> Result<u64, String> {
        let number =
            value.as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        number.ok_or_else(|| format!("must be a number, not {}", value.type_str()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_full_file_is_read() {
        let config = Config::parse(
            r#"
instance = "DEV"
storage = "/var/lib/registry"
listen = "127.0.0.1:80"
public_addresses = ["a.example.org", "b.example.org:8080"]
minimum_version = 3
[signing]
pin_file = "/run/pin"
key = "p256"
[publication]
validity_seconds = 300
renewal_seconds = 30
[admin]
listen = "127.0.0.1:4000"
allowed_hosts = ["cs.example.org"]
key_management_from = ["127.0.0.0/8", "10.0.0.1"]
"#,
        )
        .unwrap();
        let admin = config.admin.unwrap();
        assert_eq!(admin.listen.port(), 4000);
        assert_eq!(admin.edge.allowed_hosts, ["cs.example.org"]);
        assert!(admin.edge.key_management_from.contain([10, 0, 0, 1].into()));
        assert!(!admin.edge.key_management_from.contain([10, 0, 0, 2].into()));
        assert_eq!(admin.edge.api_from, Networks::all());
        assert_eq!(config.public_addresses.len(), 2);
        assert_eq!(config.minimum_version, Version::V3);
        assert_eq!(config.pin, PinSource::File("/run/pin".into()));
        assert_eq!(config.key_kind, KeyKind::EcP256);
        assert_eq!(config.validity.as_secs(), 300);
    }

    #[test]
    fn a_short_file_gets_the_defaults() {
        let text = "instance = 'DEV'\nstorage = 'x'\npublic_addresses = ['cs']\n";
        assert_eq!(Config::parse(text).unwrap(), Config::new("DEV", "x", "cs"));
    }

    const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

    #[test]
    fn the_example_loads() {
        let path = std::path::Path::new(DOCS).join("examples/central-registry.toml");
        let config = Config::load(&path).unwrap();
        let folder = path.parent().unwrap();
        let mut wanted = Config::new("DEV", folder.join("storage"), "registry.example.org");
        wanted.public_addresses.push("registry2.example.org:8080".into());
        wanted.pin = PinSource::File(folder.join("pin"));
        assert_eq!(config, wanted);

        // What is commented out is the default, and may be said.
        let whole = std::fs::read_to_string(&path).unwrap();
        let (text, admin) = whole.split_once("# [admin]").unwrap();
        let keys = [TOP.as_slice(), &SIGNING, &PUBLICATION, &REQUESTS].concat();
        let keys: Vec<&str> = keys.into_iter().filter(|key| *key != "admin").collect();
        let of_key = |line: &str| {
            let key = line.strip_prefix("# ")?.split_once(" = ")?.0;
            (keys.contains(&key) && key != "pin_environment").then(|| line[2..].to_owned())
        };
        let said = text.lines().map(|line| of_key(line).unwrap_or_else(|| line.to_owned()));
        let said = said.collect::<Vec<_>>().join("\n");
        assert_eq!(said.matches(" = ").count(), text.matches(" = ").count());
        let mut said = Config::parse(&said).unwrap();
        said.storage = folder.join(said.storage);
        said.pin = wanted.pin.clone();
        // A certificate opens the doors, at the addresses that are the default.
        let opened = Doorway::new("management.crt", "management.key");
        assert_eq!(said.doorway.take(), Some(opened));
        assert_eq!(said, wanted);
        // The admin interface is off, and what would switch it on is right.
        let on = admin.lines().filter(|line| line.contains(" = ")).map(|line| &line[2..]);
        let on = format!("{text}\n[admin]\n{}", on.collect::<Vec<_>>().join("\n"));
        let on = Config::parse(&on).unwrap().admin.unwrap();
        assert_eq!(on.edge.key_management_from, Networks::loopback());
        assert!(ADMIN.iter().all(|key| admin.contains(&format!("# {key} = "))));
        for key in keys {
            assert!(
                text.lines().any(|line| {
                    let line = line.trim_start_matches("# ");
                    line.starts_with(&format!("{key} = ")) || line == format!("[{key}]")
                }),
                "{key}"
            );
        }
    }

    #[test]
    fn the_reference_is_right() {
        let path = std::path::Path::new(DOCS).join("central-registry-configuration.md");
        let reference = std::fs::read_to_string(path).unwrap();
        let example = reference.split("```").nth(1).unwrap().strip_prefix("toml").unwrap();
        let defaults = Config::parse(example).unwrap();
        let doorway = Doorway::new("crt", "key");
        let sections = [
            ("## Top level\n", &TOP[..]),
            ("## `[signing]`\n", &SIGNING),
            ("## `[publication]`\n", &PUBLICATION),
            ("## `[requests]`\n", &REQUESTS),
            ("## `[admin]`\n", &ADMIN),
        ];
        for (heading, keys) in sections {
            let (_, section) = reference.split_once(heading).unwrap();
            let section = section.split("\n## ").next().unwrap();
            let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
            let tables = ["signing", "publication", "requests", "admin"];
            let keys = keys.iter().filter(|key| !tables.contains(key));
            assert_eq!(rows.len(), keys.clone().count(), "{heading}");
            for key in keys {
                let row = rows.iter().find(|row| row.starts_with(&format!("| `{key}` |")));
                let row = row.unwrap_or_else(|| panic!("{key} under {heading}"));
                let stated = row.split('|').nth(2).unwrap().trim().trim_matches('`');
                let wanted = match *key {
                    "listen" if heading.contains("admin") => "required".into(),
                    "allowed_hosts" => "any".into(),
                    "key_management_from" => "this machine".into(),
                    "api_from" => "everywhere".into(),
                    "listen" => defaults.listen.to_string(),
                    "minimum_version" => defaults.minimum_version.number().to_string(),
                    "key" => defaults.key_kind.to_string(),
                    "validity_seconds" => defaults.validity.as_secs().to_string(),
                    "renewal_seconds" => defaults.renewal.as_secs().to_string(),
                    "pin_file" | "pin_environment" | "tls_certificate" | "tls_key" => "none".into(),
                    "registration_listen" => doorway.registration.to_string(),
                    "management_listen" => doorway.management.to_string(),
                    "management_from" => "[\"127.0.0.1\", \"::1\"]".into(),
                    "approve_auth_certificates" => defaults.approval.auth_certificates.to_string(),
                    "approve_clients" => defaults.approval.clients.to_string(),
                    "approve_owner_changes" => defaults.approval.owner_changes.to_string(),
                    _ => "required".into(),
                };
                assert_eq!(stated, wanted, "{key}");
            }
        }
    }

    #[test]
    fn certificate_and_key_come_together() {
        let told = |requests: &str| -> Vec<String> {
            let text = format!(
                "instance = 'D'\nstorage = 'x'\npublic_addresses = ['cs']\n[requests]\n{requests}"
            );
            let mistakes = Config::parse(&text).unwrap_err();
            mistakes.into_iter().map(|m| format!("{}: {}: {}", m.line, m.key, m.what)).collect()
        };
        assert_eq!(
            told("tls_key = 'a'\n"),
            ["5: requests.tls_key: needs requests.tls_certificate beside it"]
        );
        assert_eq!(
            told("management_from = ['::1']\napprove_clients = 1\n"),
            [
                "5: requests.management_from: has no effect without tls_certificate and tls_key",
                "6: requests.approve_clients: must be true or false, not integer"
            ]
        );
        let pair = "tls_key = 'a'\ntls_certificate = 'b'\n";
        assert_eq!(
            told(&format!("{pair}management_from = ['here']\n")),
            ["7: requests.management_from: must be a list of IP addresses, e.g. [\"192.0.2.1\"]"]
        );
    }

    #[test]
    fn every_mistake_is_told_with_line_and_key() {
        let mistakes = Config::parse(
            "instance = 'D:V'\nstorage = 5\nlisten = 'here'\nminimum_version = 7\nname = 'x'\n\
             [signing]\nkey = 'dsa'\npin_file = 'a'\npin_environment = 'B'\n\
             [publication]\nvalidity_seconds = 0\nrenewal_seconds = '5'\n",
        )
        .unwrap_err();
        let told: Vec<(usize, &str)> = mistakes.iter().map(|m| (m.line, m.key.as_str())).collect();
        assert_eq!(
            told,
            [
                (0, "public_addresses"),
                (1, "instance"),
                (2, "storage"),
                (3, "listen"),
                (4, "minimum_version"),
                (5, "name"),
                (7, "signing.key"),
                (9, "signing.pin_environment"),
                (11, "publication.validity_seconds"),
                (12, "publication.renewal_seconds"),
            ]
        );
    }

    #[test]
    fn syntax_and_sense_are_checked() {
        let mistakes = Config::parse("instance = 'DEV'\nstorage = = 'x'\n").unwrap_err();
        assert_eq!(mistakes[0].line, 2);
        let text = "instance = 'DEV'\nstorage = 'x'\npublic_addresses = ['cs']\n[publication]\nrenewal_seconds = 600\n";
        let mistakes = Config::parse(text).unwrap_err();
        assert_eq!(
            (mistakes[0].line, mistakes[0].key.as_str()),
            (5, "publication.renewal_seconds")
        );
        for addresses in ["'cs'", "[]", "['http://cs/']", "[1]"] {
            let text = format!("instance = 'DEV'\nstorage = 'x'\npublic_addresses = {addresses}\n");
            assert_eq!(Config::parse(&text).unwrap_err()[0].line, 3, "{addresses}");
        }
    }
}
