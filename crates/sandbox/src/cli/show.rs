//! What is printed on standard output: results, and what to try next.

use std::path::{Path, PathBuf};

use causeway_console::{quote, say};

use crate::Ecosystem;
use crate::ecosystem::folder::log_file;
use crate::evidence::{Judged, asic_path};
use crate::load::Report;
use crate::records::{CHILD, INCOME_YEAR, person};
use crate::story::Outcome;
use crate::table::{Align, render};
use crate::texts::Language;

/// Shows the exchanges of the story and its decision.
pub(super) fn story(language: Language, ecosystem: &Ecosystem, outcome: &Outcome) {
    let headings = [
        ("#", Align::Right),
        (&*language.column_who(), Align::Left),
        (&*language.column_whom(), Align::Left),
        (&*language.column_what(), Align::Left),
        (&*language.column_id(), Align::Left),
        (&*language.column_time(), Align::Right),
        (&*language.column_size(), Align::Right),
        (&*language.column_verdict(), Align::Left),
    ];
    let world = ecosystem.world();
    let row = |(number, judged): (usize, &Judged)| {
        let exchange = &judged.exchange;
        let bytes = exchange.sent.saturating_add(exchange.body.len());
        let millis = format!("{:.1}", exchange.elapsed.as_secs_f64() * 1000.0);
        let (method, path) = exchange.request.split_once(' ').unwrap_or((&exchange.request, ""));
        [
            number.to_string(),
            world.name_of(&exchange.client),
            world.name_of(exchange.service.client()),
            format!("{method} {}{path}", exchange.service.code()),
            exchange.id.clone(),
            language.decimal(&millis),
            language.number(bytes as u64),
            verdict(language, judged),
        ]
    };
    let rows: Vec<_> = (1..).zip(&outcome.judged).map(row).collect();
    say(format_args!("\n{}", render(headings, &rows)));
    for failure in outcome.judged.iter().flat_map(Judged::failures) {
        say(format_args!("  {failure}"));
    }
    say(decision(language, outcome));
    say(match outcome.is_verified() {
        true => language.all_verified(),
        false => language.some_not_verified(),
    });
}

fn verdict(language: Language, judged: &Judged) -> String {
    match judged.exchange.error() {
        Some(error) => language.refused(&error),
        None if judged.is_verified() => language.verified(Judged::CONTAINERS),
        None => language.not_verified(judged.valid(), Judged::CONTAINERS),
    }
}

fn decision(language: Language, outcome: &Outcome) -> String {
    match &outcome.decision {
        Ok(decision) => {
            let income = language.number(decision.income);
            match decision.monthly_benefit {
                0 => language.not_granted(&decision.name, &income, decision.year),
                benefit => {
                    let benefit = language.number(benefit);
                    language.granted(&decision.name, &benefit, &income, decision.year)
                }
            }
        }
        Err(error) => language.no_decision(&language.error(error)),
    }
}

/// Shows lines to paste, and addresses.
pub(super) fn next_steps(language: Language, ecosystem: &Ecosystem) {
    let (world, base) = (ecosystem.world(), ecosystem.consumer_url());
    let header = format!("-H 'X-Road-Client: {}'", world.portal.subsystem.to_short());
    let ask = |path: String| format!("curl -i {header} {base}{path}");
    let parent = person(CHILD).and_then(|child| child.parents.first()).copied().unwrap_or(CHILD);
    let rest = crate::consumer::rest_path;
    let population = rest(&world.persons, "");
    let provider = population.strip_suffix(world.persons.code()).unwrap_or(&population);
    let meta = |code: &str| format!("{provider}{code}");
    let asic = asic_path(&world.portal.subsystem, "my-1", false);
    let lines = [
        (
            language.try_portal(),
            format!("curl http://{}/child-benefit/{CHILD}", ecosystem.addresses().portal()),
        ),
        (language.try_person(), ask(rest(&world.persons, &format!("/{CHILD}")))),
        (
            language.try_income(),
            format!(
                "curl -i {header} -H 'X-Road-Id: my-1' -H 'Content-Type: application/json' \
                 -d '{{\"year\": {INCOME_YEAR}, \"persons\": [\"{parent}\"]}}' {base}{}",
                rest(&world.income, "")
            ),
        ),
        (
            language.try_evidence(),
            format!(
                "curl -o request.asice '{base}{asic}&force' && curl -o conf.zip {base}/verificationconf \\\n    \
                 && {} verify request.asice --conf conf.zip",
                auditor()
            ),
        ),
        (language.try_clients(), format!("curl -H 'Accept: application/json' {base}/listClients")),
        (language.try_methods(), ask(meta("allowedMethods"))),
        (
            language.try_description(),
            format!(
                "curl {header} '{base}{}?serviceCode={}'",
                meta("getOpenAPI"),
                world.persons.code()
            ),
        ),
        (language.try_disabled(), ask(rest(&world.archive, "/1"))),
        (language.try_forbidden(), ask(rest(&world.audits, "/1"))),
    ];
    say(format_args!("\n{}", language.try_it()));
    for (what, line) in lines {
        say(format_args!("  # {what}\n  {line}"));
    }
    addresses(language, ecosystem);
    say(format_args!("\n{}", language.stays_up()));
}

/// How the auditor is called from any folder: the program beside this one; else, of a checkout, what cargo
/// builds; else the one that is installed.
fn auditor() -> String {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name("auditor"));
    if let Some(beside) = beside.filter(|path| path.is_file()) {
        return quote(&beside);
    }
    // Cargo says it to the programs that it runs.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = package.as_deref().and_then(Path::parent).and_then(Path::parent);
    match manifest.map(|folder| folder.join("Cargo.toml")).filter(|path| path.is_file()) {
        Some(path) => {
            format!("cargo run --release --manifest-path {} -p auditor --", quote(&path))
        }
        None => "auditor".to_owned(),
    }
}

fn addresses(language: Language, ecosystem: &Ecosystem) {
    let at = ecosystem.addresses();
    let mut rows = vec![
        (language.address_portal(), format!("http://{}/child-benefit/", at.portal())),
        (language.address_conf(), format!("http://{}/internalconf?version=6", at.registry())),
        (language.address_ocsp(), ecosystem.authorities().ocsp_url().to_owned()),
        (language.address_tsa(), ecosystem.authorities().tsa_url().to_owned()),
    ];
    for server in ecosystem.servers() {
        let (id, at) = (server.plan().id.code(), server.addresses());
        rows.push((
            language.address_server(id),
            format!("http://{}  https://{}", at.http, at.https),
        ));
        rows.push((
            language.address_health(id),
            format!("http://{0}/health  http://{0}/metrics", at.health),
        ));
        rows.push((language.address_file(id), server.configuration().display().to_string()));
    }
    rows.push((language.address_log(), log_file(ecosystem.folder()).display().to_string()));
    pairs(&language.addresses(), &rows);
}

/// Shows the figures of a load.
pub(super) fn load(language: Language, report: &Report) {
    let figure = |value: f64| language.decimal(&format!("{value:.2}"));
    let optional = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), figure);
    let latency = &report.latency_ms;
    let latencies = [latency.p50, latency.p99, latency.p999, latency.max].map(figure).join(" / ");
    let memory = [report.memory_mb, report.memory_peak_mb].map(optional).join(" / ");
    let mut rows = vec![
        (language.load_rate(), language.decimal(&format!("{:.1}", report.exchanges_per_second))),
        (language.load_count(), language.number(report.exchanges)),
        (language.load_failed(), language.number(report.failed())),
        (language.load_latency(), latencies),
        (language.load_body(), language.decimal(&format!("{:.0}", report.body_bytes))),
        (language.load_cpu(), optional(report.cpu_ms_per_exchange)),
        (language.load_driver(), optional(report.driver_cpu_ms_per_exchange)),
        (language.load_memory(), memory),
    ];
    let failures = report.errors.iter();
    rows.extend(failures.map(|(code, count)| (format!("  {code}"), language.number(*count))));
    let key = report.key.as_deref().map(|key| format!(", {key}")).unwrap_or_default();
    pairs(&format!("{} {}{key}", report.method, report.target), &rows);
}

fn pairs(title: &str, rows: &[(String, String)]) {
    say(format_args!("\n{title}"));
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        let padding = " ".repeat(width - name.chars().count());
        say(format_args!("  {name}{padding}  {value}"));
    }
}
