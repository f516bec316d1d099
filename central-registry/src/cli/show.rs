//! The records as tables and as JSON.

use serde_json::{Value, json};

use super::What;
use crate::listing::{CertificateListing, Listing, Named};

/// The part of the records that was asked for, as JSON.
pub(super) fn value(listing: &Listing, what: What) -> Value {
    match what {
        What::All => json!(listing),
        What::MemberClasses => json!(listing.member_classes),
        What::Members => json!(listing.members),
        What::Subsystems => json!(listing.subsystems),
        What::Servers | What::AuthCerts | What::Clients => json!(listing.servers),
        What::Groups => json!(listing.groups),
        What::Cas => json!(listing.cas),
        What::Tsas => json!(listing.tsas),
        What::Federations => json!(listing.federations),
        What::SigningKeys => json!(listing.signing_keys),
        What::Settings => json!(listing.settings),
    }
}

/// The part of the records that was asked for, as tables.
pub(super) fn tables(listing: &Listing, what: What) -> String {
    let all = [
        What::MemberClasses,
        What::Members,
        What::Subsystems,
        What::Servers,
        What::AuthCerts,
        What::Clients,
        What::Groups,
        What::Cas,
        What::Tsas,
        What::Federations,
        What::SigningKeys,
        What::Settings,
    ];
    match what {
        What::All => all.map(|what| table(listing, what)).join("\n"),
        one => table(listing, one),
    }
}

fn table(l: &Listing, what: What) -> String {
    let yes = |flag: bool| if flag { "yes" } else { "" }.to_owned();
    let named = |list: &[Named]| -> Vec<Vec<String>> {
        list.iter().map(|n| vec![n.id.clone(), n.name.clone().unwrap_or_default()]).collect()
    };
    let certificate = |c: &CertificateListing| -> Vec<String> {
        vec![c.sha256.clone(), c.subject.clone(), c.not_after.clone()]
    };
    match what {
        What::All => String::new(),
        What::MemberClasses => {
            let row = |c: &crate::listing::Described| vec![c.code.clone(), c.description.clone()];
            draw(&["MEMBER CLASS", "DESCRIPTION"], l.member_classes.iter().map(row).collect())
        }
        What::Members => draw(&["MEMBER", "NAME"], named(&l.members)),
        What::Subsystems => draw(&["SUBSYSTEM", "NAME"], named(&l.subsystems)),
        What::Servers => {
            let rows = l.servers.iter().map(|s| {
                vec![
                    s.id.clone(),
                    s.address.clone().unwrap_or_default(),
                    s.auth_certificates.len().to_string(),
                    s.clients.len().to_string(),
                    yes(s.maintenance),
                ]
            });
            let heads = ["SECURITY SERVER", "ADDRESS", "CERTIFICATES", "CLIENTS", "OUT OF SERVICE"];
            draw(&heads, rows.collect())
        }
        What::AuthCerts => {
            let rows = l.servers.iter().flat_map(|s| {
                let of = |c| [vec![s.id.clone()], certificate(c)].concat();
                s.auth_certificates.iter().map(of)
            });
            draw(
                &["SECURITY SERVER", "CERTIFICATE SHA-256", "SUBJECT", "VALID UNTIL"],
                rows.collect(),
            )
        }
        What::Clients => {
            let rows = l.servers.iter().flat_map(|s| {
                s.clients.iter().map(|client| {
                    let disabled = s.disabled_clients.contains(client);
                    vec![s.id.clone(), client.clone(), yes(disabled)]
                })
            });
            draw(&["SECURITY SERVER", "CLIENT", "DISABLED"], rows.collect())
        }
        What::Groups => {
            let rows = l
                .groups
                .iter()
                .map(|g| vec![g.code.clone(), g.description.clone(), g.members.join(" ")]);
            draw(&["GROUP", "DESCRIPTION", "MEMBERS"], rows.collect())
        }
        What::Cas => {
            let rows = l.cas.iter().flat_map(|ca| {
                let profile = ca.profile.rsplit('.').next().unwrap_or_default().to_owned();
                let of = move |c| {
                    let first = vec![ca.name.clone(), profile.clone(), yes(ca.authentication_only)];
                    [first, certificate(c)].concat()
                };
                ca.certificates.iter().map(of)
            });
            let heads = [
                "CERTIFICATION SERVICE",
                "PROFILE",
                "TLS ONLY",
                "CERTIFICATE SHA-256",
                "SUBJECT",
                "VALID UNTIL",
            ];
            draw(&heads, rows.collect())
        }
        What::Tsas => {
            let rows = l.tsas.iter().map(|tsa| {
                [vec![tsa.name.clone(), tsa.url.clone()], certificate(&tsa.certificate)].concat()
            });
            let heads =
                ["TIMESTAMPING AUTHORITY", "URL", "CERTIFICATE SHA-256", "SUBJECT", "VALID UNTIL"];
            draw(&heads, rows.collect())
        }
        What::Federations => {
            draw(&["FEDERATED WITH"], l.federations.iter().map(|i| vec![i.clone()]).collect())
        }
        What::SigningKeys => {
            let rows = l.signing_keys.iter().map(|key| {
                let first = vec![key.id.clone(), key.kind.name().to_owned(), yes(key.active)];
                [first, certificate(&key.certificate)].concat()
            });
            let heads =
                ["SIGNING KEY", "SIGNS", "ACTIVE", "CERTIFICATE SHA-256", "SUBJECT", "VALID UNTIL"];
            draw(&heads, rows.collect())
        }
        What::Settings => {
            let s = &l.settings;
            let client = |c: &Option<causeway_identifiers::ClientId>| {
                c.as_ref().map(causeway_identifiers::ClientId::to_short).unwrap_or_default()
            };
            let number = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
            let rows = [
                ("instance", s.instance.clone()),
                ("management provider", client(&s.management_provider)),
                ("registration URL", s.registration_url.clone().unwrap_or_default()),
                ("OCSP freshness, s", s.ocsp_freshness_seconds.to_string()),
                ("timestamping interval, s", s.timestamping_interval_seconds.to_string()),
                ("OCSP fetch interval, s", number(s.ocsp_fetch_interval_seconds)),
                (
                    "verify nextUpdate",
                    s.verify_next_update.map(|v| v.to_string()).unwrap_or_default(),
                ),
                ("monitoring client", client(&s.monitoring_client)),
            ];
            let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
            draw(&["SETTING", "VALUE"], rows.collect())
        }
    }
}

/// A table with as much room for each column as it needs.
pub(super) fn draw(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| -> String {
        let cells = cells.into_iter().zip(&widths);
        let padded: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut out = line(heads.to_vec());
    for row in &rows {
        out.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    out
}
