//! `keys csr`: a certificate request, with the subject that the authority's profile wants.

use std::path::PathBuf;

use causeway_console::{name, quote};
use causeway_identifiers::{MemberId, SecurityServerId};
use causeway_keys::{KeyInfo, Usage};
use causeway_pki::issue::{CertificateRequest, RequestTemplate, SubjectAltName};
use causeway_pki::profile::CertificateProfile;
use serde_json::json;

use super::{Refusal, choose};
use crate::cli::console::{Console, printable};
use crate::cli::place::{Found, saved_global_conf};
use crate::settings::Settings;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("name_of_subject").required(true).args(["profile", "subject"]))]
pub(super) struct CsrArguments {
    /// The key: its label, or the beginning of its identifier.
    key: String,
    /// The authority's certificate profile: ejbca, fivrk, fo, is, basic, basicacme, skklass3, or a
    /// class name as the global configuration has it.
    #[arg(long)]
    profile: Option<String>,
    /// The subject itself, such as "C=EE, O=Ministry, CN=1234"; types by short name or number, a
    /// backslash before a comma that belongs to a value.
    #[arg(long)]
    subject: Option<String>,
    /// The member whose signatures the certificate is for, INSTANCE/CLASS/CODE. Default: the owner
    /// of the server.
    #[arg(long, value_parser = MemberId::parse)]
    member: Option<MemberId>,
    /// The server, INSTANCE/CLASS/CODE/SERVER. Default: as the configuration says.
    #[arg(long, value_parser = SecurityServerId::parse)]
    server: Option<SecurityServerId>,
    /// The organisation's name, for profiles that have it. Default: the member's name in the global
    /// configuration, if this server has one already.
    #[arg(long)]
    name: Option<String>,
    /// A host name of this server; may be repeated. The first is the subject's, where the profile
    /// has one; all become alternative names.
    #[arg(long, value_name = "HOST")]
    dns: Vec<String>,
    /// The form of the request.
    #[arg(long, value_enum, default_value = "pem")]
    format: Format,
    /// Write the request to a file, in place of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Text, with BEGIN and END lines.
    Pem,
    /// Binary.
    Der,
}

/// Makes a request, and writes it where the arguments say.
pub(super) fn make(
    found: &Found,
    arguments: &CsrArguments,
    as_json: bool,
    console: &mut Console<'_>,
) -> Result<(), Refusal> {
    if arguments.out.is_none() && arguments.format == Format::Der {
        return Err(Refusal::because("a binary request needs a file; say --out FILE"));
    }
    let key = choose::key(found.open()?.as_ref(), &arguments.key, &found.program)?;
    let configured = found.settings.as_ref().map(|settings| settings.server.clone());
    let server = arguments.server.clone().or(configured);
    let owner = server.as_ref().map(|server| server.owner().clone());
    let member = match key.usage {
        Usage::Authentication => None,
        Usage::Signing => Some(arguments.member.clone().or(owner.clone()).ok_or_else(|| {
            Refusal::because("whose signatures is it for? Say --member INSTANCE/CLASS/CODE")
        })?),
    };
    let organisation = match (&arguments.name, &found.settings, member.as_ref().or(owner.as_ref()))
    {
        (Some(name), _, _) => name.clone(),
        (None, Some(settings), Some(member)) => known_name(settings, member).unwrap_or_default(),
        _ => String::new(),
    };
    let subject = subject(&key, arguments, server.as_ref(), member.as_ref(), &organisation)?;
    let template = RequestTemplate::new(&subject)
        .map_err(Refusal::because)?
        .alt_names(arguments.dns.iter().map(|host| SubjectAltName::from_host(host)));
    let der = found
        .unlock()?
        .certificate_request(&key.id, &template, member.clone())
        .map_err(Refusal::because)?;
    let request = CertificateRequest::parse(&der).map_err(Refusal::because)?;
    let pem = request.to_pem();
    let bytes = if arguments.format == Format::Der { der.as_slice() } else { pem.as_bytes() };

    let Some(path) = &arguments.out else {
        if as_json {
            let value = json!({
                "key": key.id.as_str(), "subject": name(&request.subject_rfc2253()), "request": pem,
                "member": member.as_ref().map(MemberId::to_short),
            });
            return console.done(true, value, "", &next(found));
        }
        return console.bytes(bytes);
    };
    std::fs::write(path, bytes)
        .map_err(|e| Refusal::because(format!("'{}' cannot be written: {e}", path.display())))?;
    let text = format!(
        "Made a request for the {} key {} with the subject {} in {}",
        key.usage,
        key.id,
        printable(&name(&request.subject_rfc2253())),
        path.display()
    );
    let value = json!({
        "key": key.id.as_str(), "subject": name(&request.subject_rfc2253()), "file": path,
        "member": member.as_ref().map(MemberId::to_short),
    });
    console.done(as_json, value, text, &next(found))
}

/// The words of a command that makes a request for a key, with what the configuration knows filled in
/// and what it does not know in capitals.
pub(super) fn words(found: &Found, key: &str, usage: Usage) -> String {
    let settings = found.settings.as_ref();
    let mut words = format!("csr {key}");
    let mut of = settings.map(|settings| settings.server.owner().clone());
    if usage == Usage::Signing {
        let clients = settings.into_iter().flat_map(|settings| settings.clients.iter());
        let mut members: Vec<_> = clients.map(|client| client.id.member()).collect();
        members.sort();
        members.dedup();
        // Of several, nobody knows which is meant.
        of = match members[..] {
            [member] => Some(member.clone()),
            _ => None,
        };
        let member = of.as_ref().map_or_else(|| "INSTANCE/CLASS/CODE".into(), MemberId::to_short);
        words.push_str(&format!(" --member {}", quote(member.as_ref())));
    }
    if settings.is_none() {
        words.push_str(" --server INSTANCE/CLASS/CODE/SERVER");
    }
    words.push_str(" --profile PROFILE");
    let known = settings.zip(of).and_then(|(settings, member)| known_name(settings, &member));
    if known.is_none() {
        words.push_str(" --name NAME");
    }
    if usage == Usage::Authentication {
        words.push_str(" --dns HOST");
    }
    words + " --out FILE"
}

/// A member's name in the global configuration, if this server has one already.
fn known_name(settings: &Settings, member: &MemberId) -> Option<String> {
    saved_global_conf(settings)?.member_name(member).map(str::to_owned)
}

fn next(found: &Found) -> String {
    format!(
        "send the request to the certification authority, and take what it issues: {}",
        found.program.command("keys import FILE")
    )
}

type Attribute = (String, String);

/// The subject, by profile or as it was given.
fn subject(
    key: &KeyInfo,
    arguments: &CsrArguments,
    server: Option<&SecurityServerId>,
    member: Option<&MemberId>,
    name: &str,
) -> Result<Vec<Attribute>, Refusal> {
    if let Some(text) = &arguments.subject {
        return parse_subject(text).map_err(Refusal::because);
    }
    let named = arguments.profile.as_deref().unwrap_or_default();
    let profile = CertificateProfile::from_class_name(named)
        .or_else(|| {
            let class = format!("{named}CertificateProfileInfoProvider");
            CertificateProfile::from_class_name(&class)
        })
        .ok_or_else(|| {
            Refusal::because(format!(
                "'{named}' is no certificate profile; there are ejbca, fivrk, fo, is, basic, basicacme, skklass3"
            ))
        })?;
    let server = server.ok_or_else(|| {
        Refusal::because("the profile needs to know the server; say --config, or --server INSTANCE/CLASS/CODE/SERVER")
    })?;
    let dns = arguments.dns.first().map(String::as_str).unwrap_or_default();
    let fields = match member {
        Some(member) => profile.sign_subject(server, member, name),
        None => profile.auth_subject(server, name, dns),
    };
    if fields.is_empty() {
        return Err(Refusal::because(format!(
            "the profile {named} says nothing about the subject of a request; say --subject"
        )));
    }
    if let Some((kind, _)) = fields.iter().find(|(_, value)| value.is_empty()) {
        let option = if key.usage == Usage::Authentication && *kind == "CN" && dns.is_empty() {
            "--dns with a host name of this server"
        } else {
            "--name with the organisation's name"
        };
        return Err(Refusal::because(format!(
            "the profile's field {kind} would be empty; say {option}"
        )));
    }
    Ok(fields.into_iter().map(|(kind, value)| (kind.to_owned(), value)).collect())
}

/// Reads `TYPE=value, TYPE=value`, with backslashes before commas that belong to a value.
fn parse_subject(text: &str) -> Result<Vec<Attribute>, String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let last = parts.len() - 1;
        match c {
            ',' => parts.push(String::new()),
            '\\' => match chars.next() {
                Some(escaped) => parts[last].push(escaped),
                None => return Err("the subject ends in a backslash".to_owned()),
            },
            other => parts[last].push(other),
        }
    }
    let attribute = |part: &String| match part.split_once('=') {
        Some((kind, value)) if !kind.trim().is_empty() && !value.trim().is_empty() => {
            Ok((kind.trim().to_owned(), value.trim().to_owned()))
        }
        _ => {
            Err(format!("'{}' is not TYPE=value, as in \"C=EE, O=Ministry, CN=1234\"", part.trim()))
        }
    };
    parts.iter().map(attribute).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn subjects_that_people_write() {
        let attribute = |kind: &str, value: &str| (kind.to_owned(), value.to_owned());
        assert_eq!(
            parse_subject(r"C=EE, O=Ministry\, of X,2.5.4.5 = 1=2").unwrap(),
            [attribute("C", "EE"), attribute("O", "Ministry, of X"), attribute("2.5.4.5", "1=2")]
        );
        for bad in ["", "EE", "C=", "=EE", "C=EE,", r"C=EE\"] {
            assert!(parse_subject(bad).is_err(), "{bad}");
        }
    }
}
