//! The clients of a configuration: their connection, groups, services and rights.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use causeway_identifiers::{ClientId, GlobalGroupId, LocalGroupId, ServiceId};
use causeway_metadata::{Endpoint, RESERVED_SERVICE_CODES};
use causeway_pki::Certificate;
use url::Url;

use super::clients::{Client, ConnectionType, Right, Service, ServiceKind, Subject, service_key};
use super::document::{Item, Section, nearest};
use super::read::{legal_part, read_bytes};
use super::read_descriptions::{Described, described};
use crate::access::PathPattern;
use crate::descriptions::Copies;

/// How long an information system may take, unless the operator says otherwise.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// HTTP methods that the REST protocol carries (`pr-rest` 4.2).
const METHODS: [&str; 8] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Reads clients, from several files if need be.
#[derive(Debug)]
pub(super) struct ClientReader<'i> {
    instance: Option<&'i str>,
    copies: Copies,
    clients: Vec<Client>,
    /// Where each identifier was met first.
    seen: HashMap<ClientId, String>,
}

impl<'i> ClientReader<'i> {
    /// Begins; `instance` is the server's own, `copies` the descriptions that were taken over.
    pub(super) fn new(instance: Option<&'i str>, copies: Copies) -> Self {
        Self { instance, copies, clients: Vec::new(), seen: HashMap::new() }
    }

    /// The clients that were read.
    pub(super) fn finish(self) -> Vec<Client> {
        self.clients
    }

    /// Reads one `[[clients]]` table.
    pub(super) fn read(&mut self, s: Section<'_>) {
        let id = s
            .required("id", "write who it is, such as \"DEV/GOV/1234/Register\"")
            .and_then(|item| self.id(&item));
        let registered = s.boolean("registered", true);
        let connection = s.choice(
            "connection",
            ConnectionType::HttpsWithCertificate,
            &[
                ("https-with-certificate", ConnectionType::HttpsWithCertificate),
                ("https", ConnectionType::Https),
                ("http", ConnectionType::Http),
            ],
        );
        let certificates: Vec<Certificate> = s
            .texts("certificates")
            .iter()
            .filter_map(|(item, path)| certificate(item, path))
            .collect();
        let local_groups = local_groups(s.section("local_groups"));
        let mut services: HashMap<String, Arc<Service>> = HashMap::new();
        let mut found = Vec::new();
        for section in s.sections("services") {
            if let Some(service) = service(section, id.as_ref(), &local_groups, &services) {
                services.insert(key_of(&service), Arc::new(service.clone()));
                found.push(service);
            }
        }
        let mut descriptions = Vec::new();
        for section in s.sections("descriptions") {
            let Some(id) = &id else { continue };
            let Described { source, services: from } =
                described(section, id, &local_groups, &self.copies, &services, &descriptions);
            for service in from {
                services.insert(key_of(&service), Arc::new(service.clone()));
                found.push(service);
            }
            descriptions.extend(source);
        }
        for service in found {
            if service.verify_tls && service.url.starts_with("https:") && certificates.is_empty() {
                s.problem(format!(
                    "service '{}' verifies its TLS certificate, but the client lists none; add it \
                     to certificates, or write verify_tls = false in the service",
                    service.id.code()
                ));
            }
        }
        s.finish();
        if let Some(id) = id {
            self.clients.push(Client {
                id,
                registered,
                connection,
                certificates,
                services,
                local_groups,
                descriptions,
            });
        }
    }

    fn id(&mut self, item: &Item<'_>) -> Option<ClientId> {
        let id = client_id(item, item.text()?)?;
        if let Some(own) = self.instance.filter(|own| *own != id.instance()) {
            item.problem(format!(
                "is of instance '{}', but this server is in '{own}' and serves no other",
                id.instance()
            ));
        }
        if let Some(first) = self.seen.get(&id) {
            item.problem(format!("{id} is there twice; the first is at {first}"));
            return None;
        }
        self.seen.insert(id.clone(), item.place());
        Some(id)
    }
}

fn key_of(service: &Service) -> String {
    service_key(service.id.code(), service.id.version()).into_owned()
}

/// Reads a member or subsystem, in short or typed form.
fn client_id(item: &Item<'_>, text: &str) -> Option<ClientId> {
    let short = text.strip_prefix("SUBSYSTEM:").or_else(|| text.strip_prefix("MEMBER:"));
    let id = item.note(ClientId::parse(short.unwrap_or(text)).map_err(|e| {
        format!(
            "{e}; write INSTANCE/MEMBERCLASS/MEMBERCODE/SUBSYSTEM, or without the last for a member"
        )
    }))?;
    let declared_wrongly = (text.starts_with("SUBSYSTEM:") && id.subsystem_code().is_none())
        || (text.starts_with("MEMBER:") && id.subsystem_code().is_some());
    if declared_wrongly {
        item.problem(format!("'{text}' has the form of {id}; change the word before the colon"));
    }
    let member = id.member();
    let parts = [member.instance(), member.class(), member.code()];
    parts.into_iter().chain(id.subsystem_code()).for_each(|part| legal_part(item, part));
    Some(id)
}

fn certificate(item: &Item<'_>, path: &str) -> Option<Certificate> {
    let path = item.file().resolve(path);
    let bytes = item.note(read_bytes(&path))?;
    item.note(
        Certificate::from_der_or_pem(&bytes)
            .map_err(|e| format!("'{}' is not a certificate: {e}", path.display())),
    )
}

fn local_groups(s: Section<'_>) -> HashMap<String, HashSet<ClientId>> {
    let mut groups = HashMap::new();
    for (code, item) in s.entries() {
        if code.trim().is_empty() {
            item.problem("a group code is empty; give the group a name");
        }
        legal_part(&item, &code);
        let mut members = HashSet::new();
        for member in item.items("an array of member and subsystem identifiers").unwrap_or_default()
        {
            let Some(id) = member.text().and_then(|text| client_id(&member, text)) else {
                continue;
            };
            if !members.insert(id) {
                member.problem("is there twice in this group");
            }
        }
        groups.insert(code, members);
    }
    groups
}

fn service(
    s: Section<'_>,
    client: Option<&ClientId>,
    groups: &HashMap<String, HashSet<ClientId>>,
    others: &HashMap<String, Arc<Service>>,
) -> Option<Service> {
    let kind = s.choice(
        "kind",
        ServiceKind::Rest,
        &[
            ("rest", ServiceKind::Rest),
            ("openapi", ServiceKind::OpenApi),
            ("soap", ServiceKind::Soap),
        ],
    );
    let code = s.required("code", "write the service's code, such as \"population\"");
    let version = s.item("version");
    if let Some(item) = version.as_ref().filter(|_| kind.is_rest()) {
        item.problem("only SOAP services have a version; remove it, or write kind = \"soap\"");
    }
    let id = code.as_ref().and_then(|item| service_id(item, version.as_ref(), client));
    if let (Some(item), Some(id)) = (&code, &id)
        && others.contains_key(service_key(id.code(), id.version()).as_ref())
    {
        item.problem(format!("{id} is there twice; remove one, or give one another code"));
    }
    let url = s
        .required(
            "url",
            "write where the information system listens, such as \"http://10.0.0.5/api\"",
        )
        .and_then(|item| url(&item, kind));
    let timeout = s.duration("timeout", TIMEOUT, Duration::from_millis(1));
    let disabled = s.text("disabled").map(str::to_owned);
    let verify_tls = s.boolean("verify_tls", true);
    let rights = rights(&s, kind, groups).unwrap_or_default();
    let endpoints = listed_endpoints(&s, kind);
    s.finish();
    let (id, url) = (id?, url?);
    let description = None;
    Some(Service { id, kind, url, timeout, disabled, verify_tls, rights, endpoints, description })
}

/// Reads `endpoints`: what `listMethods` tells of a REST service that has no description.
fn listed_endpoints(s: &Section<'_>, kind: ServiceKind) -> Vec<Endpoint> {
    let Some(item) = s.item("endpoints") else { return Vec::new() };
    if !kind.is_rest() {
        item.problem("a SOAP service has no endpoints; remove them");
    }
    let written = item.items("an array of endpoints").unwrap_or_default();
    let endpoint = |item: &Item<'_>| {
        let (method, path) = endpoint(item)?;
        let method = method.unwrap_or_else(|| "*".to_owned());
        Some(Endpoint { method, path: path.as_str().to_owned() })
    };
    written.iter().filter_map(endpoint).collect()
}

/// Reads `allow`; `None` when it is absent.
pub(super) fn rights(
    s: &Section<'_>,
    kind: ServiceKind,
    groups: &HashMap<String, HashSet<ClientId>>,
) -> Option<Vec<Right>> {
    let item = s.item("allow")?;
    let mut rights = Vec::new();
    for item in item.items("an array of whom to allow").unwrap_or_default() {
        allow(&item, kind, groups, &mut rights);
    }
    Some(rights)
}

pub(super) fn service_id(
    code: &Item<'_>,
    version: Option<&Item<'_>>,
    client: Option<&ClientId>,
) -> Option<ServiceId> {
    let text = code.text()?;
    legal_part(code, text);
    if RESERVED_SERVICE_CODES.iter().any(|reserved| reserved.eq_ignore_ascii_case(text)) {
        code.problem(format!("'{text}' is the name of a built-in service; choose another code"));
    }
    let version = match version {
        None => None,
        Some(item) => {
            let text = item.text()?;
            legal_part(item, text);
            Some(text)
        }
    };
    code.note(client?.service(text, version))
}

/// Reads the address of an information system.
pub(super) fn url(item: &Item<'_>, kind: ServiceKind) -> Option<String> {
    let text = item.text()?;
    item.note(service_url(text, kind))
}

/// The address of an information system, or what is wrong with it.
pub(super) fn service_url(text: &str, kind: ServiceKind) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("'{text}' {why}"));
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(e) => {
            return wrong(&format!(
                "is not a URL: {e}; write such as \"http://10.0.0.5:8000/api\""
            ));
        }
    };
    if !matches!(url.scheme(), "http" | "https") {
        return wrong("is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(
            "has a user name or password, which services do not get from here; remove it",
        );
    }
    if url.fragment().is_some() {
        return wrong("has a fragment ('#'), which is never sent; remove it");
    }
    if kind.is_rest() && url.query().is_some() {
        return wrong("has a query ('?'), but a request's path is put behind it; remove the query");
    }
    Ok(String::from(url))
}

/// Reads one element of `allow`: a subject, or a table with a subject and endpoints.
fn allow(
    item: &Item<'_>,
    kind: ServiceKind,
    groups: &HashMap<String, HashSet<ClientId>>,
    rights: &mut Vec<Right>,
) {
    if !item.is_table() {
        if let Some(subject) = item.text().and_then(|text| subject(item, text, groups)) {
            rights.push(Right { subject, method: None, path: PathPattern::everything() });
        }
        return;
    }
    let Some(s) = item.section() else { return };
    let subject = s
        .required("subject", "write whom to allow, such as \"DEV/COM/5678/Portal\"")
        .and_then(|item| subject(&item, item.text()?, groups));
    let endpoints = s.item("endpoints");
    let written = endpoints.as_ref().map(|item| item.items("an array of endpoints"));
    let mut add = |method, path| {
        if let Some(subject) = &subject {
            rights.push(Right { subject: subject.clone(), method, path });
        }
    };
    match (endpoints, written.flatten()) {
        (Some(item), _) if !kind.is_rest() => {
            item.problem("a SOAP service is allowed as a whole; remove the endpoints");
        }
        (Some(item), Some(list)) if list.is_empty() => {
            item.problem("is empty and would allow nothing; add endpoints, or remove the key to allow the whole service");
        }
        (Some(_), Some(list)) => {
            for item in list {
                if let Some((method, path)) = endpoint(&item) {
                    add(method, path);
                }
            }
        }
        (Some(_), None) => {}
        (None, _) => add(None, PathPattern::everything()),
    }
    s.finish();
}

/// Reads an endpoint: a method or `*`, a space, and a path pattern.
fn endpoint(item: &Item<'_>) -> Option<(Option<String>, PathPattern)> {
    let text = item.text()?;
    let Some((method, path)) = text.split_once(' ').map(|(m, p)| (m, p.trim_start())) else {
        item.problem(format!(
            "'{text}' is not an endpoint; write such as \"GET /pets/*\" or \"* /pets/**\""
        ));
        return None;
    };
    let method = match method.to_ascii_uppercase() {
        any if any == "*" => None,
        known if METHODS.contains(&known.as_str()) => Some(known),
        other => {
            let hint = nearest(&other, METHODS.into_iter());
            let hint = hint.map_or_else(|| METHODS.join(", "), |m| format!("did you mean {m}?"));
            item.problem(format!("'{method}' is not an HTTP method: {hint}"));
            return None;
        }
    };
    let path = item.note(PathPattern::parse(path).map_err(|e| format!("'{path}' {e}")))?;
    Some((method, path))
}

/// Reads whom a right permits: a client in short form, or any subject in typed form.
fn subject(
    item: &Item<'_>,
    text: &str,
    groups: &HashMap<String, HashSet<ClientId>>,
) -> Option<Subject> {
    let Some((kind, short)) = text.split_once(':') else {
        if let [instance, group] = text.split('/').collect::<Vec<_>>()[..] {
            item.problem(format!(
                "'{text}' is no member or subsystem; for a global group write \
                 \"GLOBALGROUP:{instance}/{group}\""
            ));
            return None;
        }
        if groups.contains_key(text) {
            item.problem(format!("'{text}' is a local group; write \"LOCALGROUP:{text}\""));
            return None;
        }
        return client_id(item, text).map(Subject::Client);
    };
    match kind {
        "SUBSYSTEM" | "MEMBER" => client_id(item, text).map(Subject::Client),
        "GLOBALGROUP" => {
            let Some((instance, code)) = short.split_once('/') else {
                item.problem(format!(
                    "'{text}' lacks an instance; write GLOBALGROUP:INSTANCE/GROUP"
                ));
                return None;
            };
            [instance, code].into_iter().for_each(|part| legal_part(item, part));
            item.note(GlobalGroupId::new(instance, code)).map(Subject::GlobalGroup)
        }
        "LOCALGROUP" => {
            if !groups.contains_key(short) {
                item.problem(match nearest(short, groups.keys().map(String::as_str)) {
                    Some(near) => {
                        format!("the client has no local group '{short}'; did you mean '{near}'?")
                    }
                    None => format!(
                        "the client has no local group '{short}'; add it to its local_groups"
                    ),
                });
                return None;
            }
            item.note(LocalGroupId::new(short)).map(Subject::LocalGroup)
        }
        other => {
            let kinds = ["SUBSYSTEM", "MEMBER", "GLOBALGROUP", "LOCALGROUP"];
            item.problem(match nearest(other, kinds.into_iter()) {
                Some(near) => format!("'{other}' is no kind of subject; did you mean '{near}'?"),
                None => format!("'{other}' is no kind of subject; there are {}", kinds.join(", ")),
            });
            None
        }
    }
}
